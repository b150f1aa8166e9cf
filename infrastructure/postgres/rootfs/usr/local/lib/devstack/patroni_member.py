"""Starts Patroni as soon as etcd can serve it, and with shorter waits between its looks.

Patroni sleeps 5 s when etcd does not answer its first request. Here etcd is asked every 50 ms, while Patroni's modules
are being loaded.
"""
import os
import sys
import threading
import time
import urllib.request

CONFIGURATION = '/etc/devstack/patroni.yml'
WITHOUT_FSYNC = '/run/postgresql/patroni.yml'


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
    while not etcd_serves(hosts[asked % len(hosts)]):
        asked += 1
        if asked % 200 == 0:
            print(f'etcd has no quorum yet ({", ".join(hosts)})', file=sys.stderr)
        time.sleep(0.05)


def configuration():
    """The configuration to use; without fsync it is a changed copy."""
    if os.environ.get('DEVSTACK_FSYNC', 'on') != 'off':
        return CONFIGURATION
    import yaml
    with open(CONFIGURATION, encoding='utf-8') as file:
        settings = yaml.safe_load(file)
    settings['postgresql']['parameters'].update(fsync='off', full_page_writes='off')
    with open(WITHOUT_FSYNC, 'w', encoding='utf-8') as file:
        yaml.safe_dump(settings, file)
    return WITHOUT_FSYNC


def lighten_imports():
    """Takes a quarter off what loading Patroni costs: its lists of parameters are parsed in C, and dnspython does without HTTP."""
    import yaml

    yaml.safe_load = lambda stream: yaml.load(stream, Loader=yaml.CSafeLoader)
    sys.modules['requests'] = None  # taken for not installed: only look-ups over HTTPS need it


def main():
    hosts = [host.strip().strip('\'"') for host in os.environ['PATRONI_ETCD3_HOSTS'].split(',')]
    waiter = threading.Thread(target=await_etcd, args=(hosts,), daemon=True)
    waiter.start()

    lighten_imports()
    import shorter_waits
    from patroni import __main__ as entry

    member = shorter_waits.apply(members=int(os.environ.get('DEVSTACK_MEMBERS', '3')))
    entry.patroni_main = lambda file: entry.abstract_main(member, file)
    waiter.join()
    sys.argv = ['patroni', configuration()]
    entry.main()


if __name__ == '__main__':
    main()
