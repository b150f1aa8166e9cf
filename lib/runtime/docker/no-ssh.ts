/** Stands in for ssh2 in the bundle: docker-modem loads it at start, and devstack refuses ssh:// by name. */
export class Client {}
