"""Takes the idle time out of Patroni 4.0.7, and nothing else: its rules, its lease and its order of steps stay.

Patroni waits in whole seconds for things that take milliseconds on one machine: 1 s until PostgreSQL has opened its
port, 2 s until a synchronous standby is confirmed, 1 s between two looks at a cluster that is not complete yet. Each of
these waits here ends when what it waits for has happened. And PostgreSQL is started through a shell where Patroni loads
a second Python interpreter with all of itself.

All of this leans on names inside of Patroni. `python3 -m shorter_waits` checks that they are there; the image is not
built with a Patroni where they are not.
"""
import inspect
import subprocess
import threading
import time
import types

from patroni import __main__ as entry
from patroni import api, ha, postgresql, request, utils, watchdog  # noqa: F401 (loaded while etcd is awaited)
from patroni.async_executor import AsyncExecutor
from patroni.dcs import SyncState, etcd3
from patroni.postgresql import postmaster

LOOK = 0.05
# While the leader misses members or this replica does not stream, look five times a second, but not for ever.
INCOMPLETE_LOOK = 0.2
INCOMPLETE_LIMIT = 60.0

_awaited = threading.local()


def _module_with(module, **changes):
    return types.SimpleNamespace(**{**vars(module), **changes})


def _sleep(seconds):
    """Sleeps, or only until what this thread awaits is the case."""
    holds = getattr(_awaited, 'holds', None)
    if holds is None:
        return time.sleep(seconds)
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(LOOK)


def _short_sleep(seconds):
    time.sleep(min(seconds, LOOK))


def _short_polling_loop(timeout, interval=1):
    return utils.polling_loop(timeout, min(interval, LOOK))


_process_multisync_replication = ha.Ha._process_multisync_replication


def _confirm_soon(self):
    """As Patroni's own, which sleeps 2 s between naming a synchronous standby and looking whether it is one."""
    _awaited.holds = lambda: self.state_handler.sync_handler.current_state(self.cluster).sync_confirmed
    try:
        return _process_multisync_replication(self)
    finally:
        _awaited.holds = None


class _ShellContext:
    """What Patroni needs of multiprocessing to start PostgreSQL: somebody who starts it, tells its pid and ends."""

    @staticmethod
    def Pipe(_duplex):
        told = []
        return types.SimpleNamespace(recv=lambda: told.pop()), types.SimpleNamespace(send=told.append)

    class Process:
        def __init__(self, target, args):
            self._connection, self._command, self._environment = args

        def start(self):
            # In a session of its own, so that no signal meant for Patroni's group reaches it.
            shell = subprocess.run(
                ['/bin/sh', '-c', '"$@" >&2 & echo $!', 'sh', *self._command], env=self._environment,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True, check=False)
            self._connection.send(int(shell.stdout) if shell.returncode == 0 else None)

        def join(self):
            pass


def _version_known(self, _base_uri, **_kwargs):
    """etcd here is 3.5. Its cluster version is unset until the last member has joined, which Patroni takes for 3.0."""
    self._cluster_version = (3, 5, 0)
    self.version_prefix = '/v3'


def apply(members):
    """Shortens the waits and gives the class to run; `members`: how many the cluster has when it is complete."""
    postgresql.STOP_POLLING_INTERVAL = LOOK
    postgresql.polling_loop = _short_polling_loop
    postgresql.time = _module_with(time, sleep=_short_sleep)
    ha.time = _module_with(time, sleep=_sleep)
    ha.Ha._process_multisync_replication = _confirm_soon
    postmaster.multiprocessing = _module_with(postmaster.multiprocessing, get_context=lambda _method: _ShellContext)
    etcd3.Etcd3Client._ensure_version_prefix = _version_known

    class Member(entry.Patroni):
        _incomplete_since = None

        def _incomplete(self):
            """Whether the next look may find what this member can do something about."""
            if self.ha._async_executor.busy:  # its end wakes the loop
                return False
            cluster = self.ha.cluster
            if not cluster or cluster.is_unlocked():
                return self.postgresql.role != 'uninitialized'  # else the leader's key wakes the loop
            if self.ha.is_leader():
                synchronous = self.ha.is_synchronous_mode() and members > 1
                return len(cluster.members) < members or synchronous and not cluster.sync.voters
            own = cluster.get_member(self.postgresql.name, False)
            return not own or own.data.get('replication_state') != 'streaming'

        def schedule_next_run(self):
            now = time.time()
            if not self._incomplete():
                self._incomplete_since = None
            elif self._incomplete_since is None:
                self._incomplete_since = now
            if self._incomplete_since is None or now - self._incomplete_since > INCOMPLETE_LIMIT:
                return super().schedule_next_run()
            self.ha.watch(INCOMPLETE_LOOK)
            self.next_run = time.time()

    return Member


def check():
    """Whether Patroni still has what is replaced here, and still calls it the way that is answered here."""
    expected = {
        postgresql: ('STOP_POLLING_INTERVAL', 'polling_loop', 'time'),
        ha: ('time',),
        postmaster: ('multiprocessing',),
        SyncState: ('voters',),
        etcd3.Etcd3Client: ('_ensure_version_prefix',),
        ha.Ha: ('_process_multisync_replication', 'is_synchronous_mode', 'watch'),
        entry.Patroni: ('schedule_next_run',),
        AsyncExecutor: ('busy',),
        entry: ('patroni_main', 'abstract_main'),
    }
    missing = [f'{owner.__name__}.{name}' for owner, names in expected.items() for name in names
               if not hasattr(owner, name)]
    start = inspect.getsource(postmaster.PostmasterProcess.start)
    for call in ("get_context('spawn')", 'ctx.Pipe(False)', 'ctx.Process(target=pg_ctl_start, args=(child_conn, '
                 'cmdline, env))', 'parent_conn.recv()'):
        if call not in start:
            missing.append(f'PostmasterProcess.start: {call}')
    if 'time.sleep(2)' not in inspect.getsource(_process_multisync_replication):
        missing.append('Ha._process_multisync_replication: time.sleep(2)')
    if missing:
        raise SystemExit(f'this Patroni is laid out differently: {", ".join(missing)}')


if __name__ == '__main__':
    check()
