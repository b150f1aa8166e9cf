"""A data directory prepared when the image was built, as the start of a new cluster or of its replicas.

`new` makes a cluster: a copy of the seed with a system identifier of its own, so that two clusters from one image are
as different as two that initdb made. `replica` makes a copy with the leader's identifier: everything since then comes
as WAL. That is right only if the leader descends from the very same seed, is still on its first timeline and still has
the WAL since; anything else exits with 1, and Patroni takes a base backup.

Layout, PostgreSQL 15 (src/include/catalog/pg_control.h, access/xlog_internal.h): the control file starts with the
system identifier (8 bytes) and ends in mock_authentication_nonce (32 bytes) and a CRC-32C of all before it. The first
page of each WAL file has a long header with the identifier at byte 24; page headers carry no checksum.
"""
import array
import fcntl
import glob
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time

SEED = '/var/lib/postgresql/seed'
SEED_ID = '/var/lib/postgresql/seed.id'
CONTROL_VERSION = 1300
CRC_OFFSET = 288
NONCE_OFFSET = CRC_OFFSET - 32
WAL_MAGIC = 0xD110
LONG_HEADER = 0x0002
# wal_keep_size is 128 MB: half of it leaves time to connect.
LARGEST_DISTANCE = 64 * 1024 * 1024


class Unsuitable(Exception):
    """The seed can not be used here; the message says why."""


def crc32c(data):
    """CRC-32C (Castagnoli), as PostgreSQL protects its control file with. Bitwise: 300 bytes only."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def wal_files(directory):
    folder = os.path.join(directory, 'pg_wal')
    return [os.path.join(folder, name) for name in os.listdir(folder) if re.fullmatch('[0-9A-F]{24}', name)]


def read_control(directory):
    """The control file's first bytes up to its CRC, verified."""
    with open(os.path.join(directory, 'global/pg_control'), 'rb') as file:
        control = file.read(CRC_OFFSET + 4)
    if struct.unpack_from('<I', control, 8)[0] != CONTROL_VERSION:
        raise Unsuitable('the control file is of another version')
    if struct.unpack_from('<I', control, CRC_OFFSET)[0] != crc32c(control[:CRC_OFFSET]):
        raise Unsuitable('the control file is not laid out as expected')
    return control[:CRC_OFFSET]


def set_identifier(directory, identifier):
    """Writes the system identifier wherever it stands, and a nonce derived from it."""
    control = bytearray(read_control(directory))
    old = control[0:8]
    new = struct.pack('<Q', identifier)
    for path in wal_files(directory):
        with open(path, 'r+b') as file:
            header = file.read(32)
            magic, info = struct.unpack_from('<HH', header)
            if magic != WAL_MAGIC or not info & LONG_HEADER or header[24:32] != old:
                raise Unsuitable(f'{path} is not laid out as expected')
            file.seek(24)
            file.write(new)
    control[0:8] = new
    control[NONCE_OFFSET:CRC_OFFSET] = hashlib.sha256(b'devstack' + new).digest()
    with open(os.path.join(directory, 'global/pg_control'), 'r+b') as file:
        file.write(control + struct.pack('<I', crc32c(control)))


def spread(directory):
    """Lets ext4 place each folder made in `directory` in a block group that its name decides (chattr +T, ext4(5)).

    In a group where files were deleted within the last 35 s each new file costs a look at all of them, and a stack that is
    destroyed and made again has thousands. Other file systems know no such flag.
    """
    get_flags, set_flags, top_of_hierarchy = 0x80086601, 0x40086602, 0x00020000
    folder = os.open(directory, os.O_RDONLY)
    try:
        flags = array.array('l', [0])
        fcntl.ioctl(folder, get_flags, flags)
        flags[0] |= top_of_hierarchy
        fcntl.ioctl(folder, set_flags, flags)
    except OSError:
        pass
    finally:
        os.close(folder)


def copy_seed(directory, identifier):
    """Makes `directory` a copy of the seed with `identifier`. Nothing stays behind when that fails."""
    if not os.path.isdir(SEED):
        raise Unsuitable('this image has no seed')
    folder = os.path.dirname(directory)
    os.makedirs(folder, exist_ok=True)
    spread(folder)
    for left in glob.glob(f'{glob.escape(directory)}.seed-*'):
        shutil.rmtree(left)
    draft = f'{directory}.seed-{os.urandom(4).hex()}'
    try:
        subprocess.run(['cp', '-a', '--sparse=always', '--reflink=auto', '-T', SEED, draft], check=True)
        set_identifier(draft, identifier)
        os.rename(draft, directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    # What PostgreSQL writes from here on it syncs itself; the copied files are written out beside its start.
    if os.environ.get('DEVSTACK_FSYNC', 'on') != 'off':
        subprocess.Popen(['sync', '-f', directory], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def new_identifier():
    """As initdb makes it: seconds, microseconds and process id of this moment."""
    now = time.time_ns() // 1000
    return ((now // 1_000_000) << 32) | ((now % 1_000_000) << 12) | (os.getpid() & 0xFFF)


def seed_position():
    """The log position that the seed starts from."""
    control = read_control(SEED)
    return struct.unpack_from('<Q', control, 40)[0]


def new(arguments):
    directory = os.environ.get('PGDATA') or arguments[-1]
    copy_seed(directory, new_identifier())
    print(f'{directory} copied from the seed of the image')


def replica(arguments):
    import psycopg2

    options = dict(argument[2:].split('=', 1) for argument in arguments if argument.startswith('--'))
    with open(SEED_ID, encoding='ascii') as file:
        seed_id = file.read().strip()
    connection = psycopg2.connect(options['connstring'], dbname='postgres', connect_timeout=3)
    try:
        cursor = connection.cursor()
        cursor.execute("""
            SELECT (SELECT array_agg(id) FROM devstack.seed), system_identifier,
                   pg_walfile_name(pg_current_wal_lsn()), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
              FROM pg_control_system()""")
        ids, identifier, wal_file, position = cursor.fetchone()
    finally:
        connection.close()
    if ids != [seed_id]:
        raise Unsuitable('the leader does not descend from the seed of this image')
    if not wal_file.startswith('00000001'):
        raise Unsuitable('the leader has left its first timeline')
    if int(position) - seed_position() > LARGEST_DISTANCE:
        raise Unsuitable('the leader is too far ahead of the seed')
    copy_seed(options['datadir'], identifier)


def check(_arguments):
    read_control(SEED)
    if not wal_files(SEED):
        raise Unsuitable('the seed has no log file')
    print(f'seed at {seed_position():#x}')


def main(command, arguments):
    try:
        {'new': new, 'replica': replica, 'check': check}[command](arguments)
    except Exception as error:  # whatever it is, the ordinary way is still there
        print(f'seed not used: {error}', file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
