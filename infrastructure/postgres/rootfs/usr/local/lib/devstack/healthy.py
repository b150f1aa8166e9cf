"""What a health check of the container engine asks: Patroni's liveness, and of a replica that it streams."""
import json
import sys
import urllib.error
import urllib.request


def main():
    try:
        with urllib.request.urlopen('http://127.0.0.1:8008/patroni', timeout=2) as answer:
            status = json.load(answer)
    except (OSError, ValueError) as error:
        sys.exit(f'Patroni does not answer: {error}')
    if status.get('state') not in ('running', 'streaming'):
        sys.exit(f'PostgreSQL is {status.get("state")}')
    if status.get('role') == 'replica' and status.get('replication_state') != 'streaming':
        sys.exit('the replica does not stream')


if __name__ == '__main__':
    main()
