#!/bin/sh
# images.sh ROOT: makes stand-ins, without a registry, for the images that docker-compose.yml names:
# postgres:15 from ROOT, a folder that `debootstrap --include=postgresql,gosu` has filled (it is made
# when it is missing), and pgsignet:local from bin/pgsignet. Run as root in the project's folder.
set -eu
root=$1
[ -x "$root/usr/bin/gosu" ] || [ -x "$root/usr/sbin/gosu" ] || debootstrap --variant=minbase --include=postgresql,gosu bookworm "$root"
install -m 755 testenv/compose/docker-entrypoint.sh "$root/usr/local/bin/docker-entrypoint.sh"
mkdir -p "$root/docker-entrypoint-initdb.d"
tar -C "$root" --exclude=./proc --exclude=./sys --exclude=./dev -c . |
	docker import -c 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data' \
		-c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["postgres"]' -c 'EXPOSE 5432' - postgres:15
docker build -q -t pgsignet:local -f testenv/compose/Dockerfile .
