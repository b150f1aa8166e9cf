"""One PostgreSQL without Patroni, for the fast mode: the same version, parameters and roles, no etcd, no replicas."""
import os
import subprocess
import sys

import yaml

import seed

CONFIGURATION = '/etc/devstack/patroni.yml'
HBA = '/run/postgresql/pg_hba.conf'
BIN = os.environ['POSTGRES_BIN']


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def create(directory):
    """A new data directory whose passwords are set before anybody can connect."""
    new = directory + '.new'
    subprocess.run(['rm', '-rf', new], check=True)
    statements = []
    try:
        seed.new([new])
    except Exception as error:  # as for a cluster: the ordinary way is still there
        print(f'seed not used: {error}', file=sys.stderr)
        subprocess.run([f'{BIN}/initdb', '-D', new, '-U', 'postgres', '--data-checksums', '--encoding=UTF8',
                        '--locale=C.UTF-8', '--auth-local=peer', '--auth-host=reject'], check=True)
        statements += ['CREATE ROLE app LOGIN', 'CREATE DATABASE app OWNER app']
    statements += [f'ALTER ROLE postgres PASSWORD {literal(os.environ["POSTGRES_PASSWORD"])}',
                   f'ALTER ROLE app PASSWORD {literal(os.environ["APP_PASSWORD"])}']
    subprocess.run([f'{BIN}/postgres', '--single', '-D', new, 'postgres'], check=True, text=True,
                   input='\n'.join(statements) + '\n', stdout=subprocess.DEVNULL)
    os.rename(new, directory)


def main():
    with open(CONFIGURATION, encoding='utf-8') as file:
        settings = yaml.safe_load(file)
    directory = settings['postgresql']['data_dir']
    if not os.path.exists(directory):
        create(directory)
    with open(HBA, 'w', encoding='utf-8') as file:
        file.write('\n'.join(settings['postgresql']['pg_hba']) + '\n')
    parameters = {
        **settings['bootstrap']['dcs']['postgresql']['parameters'],
        **settings['postgresql']['parameters'],
        'listen_addresses': '*',
        'hba_file': HBA,
    }
    if os.environ.get('DEVSTACK_FSYNC', 'on') == 'off':
        parameters.update(fsync='off', full_page_writes='off')
    for name in ('POSTGRES_PASSWORD', 'APP_PASSWORD'):
        os.environ.pop(name, None)
    arguments = [word for name, value in parameters.items() for word in ('-c', f'{name}={value}')]
    os.execv(f'{BIN}/postgres', ['postgres', '-D', directory, *arguments])


if __name__ == '__main__':
    main()
