#!/bin/sh
# Does what the upstream entrypoint does, as far as docker-compose.yml asks: the database is made at the first start, and the server runs as its own user.
set -eu
PGDATA=${PGDATA:-/var/lib/postgresql/18/docker}
export PGDATA
if [ "$(id -u)" = 0 ]; then
  POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  export POSTGRES_PASSWORD
  mkdir -p "$PGDATA" /run/postgresql
  chown postgres:postgres /var/lib/postgresql "$(dirname "$PGDATA")" "$PGDATA" /run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --clear-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --no-instructions $POSTGRES_INITDB_ARGS
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl -w -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
  createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -w -m fast stop
fi
unset POSTGRES_PASSWORD
exec "$@" -c "listen_addresses=*" -c unix_socket_directories=/run/postgresql
