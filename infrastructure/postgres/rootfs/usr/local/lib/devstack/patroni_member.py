"""Starts Patroni as soon as etcd can serve it.

Two things differ from `patroni /etc/devstack/patroni.yml`. Patroni sleeps 5 s when etcd does not answer at its first
request: here etcd is asked every 50 ms while Patroni's modules are being loaded. And Patroni looks at its cluster once
a second: here five times a second for as long as leader or synchronous standby are missing, in the first minute after
the start and after each such loss, so that redundancy is back sooner. Its rules are untouched.
"""
import os
import sys
import threading
import time
import urllib.request

CONFIGURATION = '/etc/devstack/patroni.yml'
NAP = 0.2
HURRY = 60.0


def etcd_serves(host):
    """Whether this member answers a linearizable read, that is, whether the cluster has a quorum."""
    request = urllib.request.Request(f'http://{host}/v3/kv/range', data=b'{"key":"L3NlcnZpY2U=","limit":"1"}')
    try:
        with urllib.request.urlopen(request, timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def await_etcd(hosts):
    asked = 0
    while True:
        if etcd_serves(hosts[asked % len(hosts)]):
            return
        asked += 1
        if asked % 200 == 0:
            print(f'etcd has no quorum yet ({", ".join(hosts)})', file=sys.stderr)
        time.sleep(0.05)


def main():
    hosts = [host.strip().strip('\'"') for host in os.environ['PATRONI_ETCD3_HOSTS'].split(',')]
    waiter = threading.Thread(target=await_etcd, args=(hosts,), daemon=True)
    waiter.start()

    # Patroni loads most of these only once it is configured.
    from patroni import __main__ as entry
    from patroni import api, ha, postgresql, request, watchdog  # noqa: F401
    from patroni.dcs import etcd3  # noqa: F401

    class Member(entry.Patroni):
        _incomplete_since = None

        def _incomplete(self):
            cluster = self.ha.cluster
            if not cluster or cluster.is_unlocked():
                return True
            others = [member for member in cluster.members if member.name != cluster.leader.name]
            if len(cluster.members) < int(os.environ.get('DEVSTACK_MEMBERS', '3')):
                return True
            return bool(others) and self.ha.is_synchronous_mode() and not cluster.sync.members

        def schedule_next_run(self):
            now = time.time()
            if not self._incomplete():
                self._incomplete_since = None
            elif self._incomplete_since is None:
                self._incomplete_since = now
            if self._incomplete_since is not None and now - self._incomplete_since < HURRY:
                self.ha.watch(NAP)
                self.next_run = time.time()
                return
            super().schedule_next_run()

    entry.patroni_main = lambda configuration: entry.abstract_main(Member, configuration)
    waiter.join()
    sys.argv = ['patroni', CONFIGURATION]
    entry.main()


if __name__ == '__main__':
    main()
