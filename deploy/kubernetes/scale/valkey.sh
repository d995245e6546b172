#!/bin/sh
# Starts a server of the store as what the sentinels say it is: the primary, or a replica of it. So
# no server that was the primary once begins as one, and none begins before a sentinel answers.
#
# STORE_NAME      of this server, as the others reach it
# STORE_PASSWORD  of all servers
# SENTINELS       names of all sentinels
# STORE_MAXMEMORY from which on writes are refused (507), by default never: about half of what it may
#                 take, since a rewrite of the log copies what is written to meanwhile
# LISTEN          address to listen on, by default all
set -eu

primary_by_sentinels() {
  for sentinel in $SENTINELS; do
    address="$(timeout 20 valkey-cli -h "$sentinel" -p 26379 -t 2 \
      sentinel get-master-addr-by-name streamers 2>/dev/null)" || continue
    name="$(echo "$address" | head -n 1)"
    if [ -n "$name" ]; then
      echo "$name"
      return 0
    fi
  done
  return 1
}

until primary="$(primary_by_sentinels)"; do
  sleep 1
done

umask 077
{
  echo "bind ${LISTEN:-*}"
  echo "protected-mode no" # it has a password
  echo "dir ."
  echo "appendonly yes"
  echo "appendfsync always" # an acknowledged write is on disk
  echo 'save ""' # the log is on disk; a dump would need as much memory again
  echo "maxmemory ${STORE_MAXMEMORY:-0}"
  echo "maxmemory-policy noeviction"
  echo "hash-max-listpack-entries 32" # a record in one piece, not as a table of its fields
  echo "hash-max-listpack-value 8192"
  echo "min-replicas-to-write 1" # who can't acknowledge a write refuses it at once
  echo "min-replicas-max-lag 5"
  # A replica that was away goes on from the backlog, and copies everything again where that is too
  # short: an import of 5,000 rows/s writes 25 MB/s. It is counted in maxmemory.
  echo "repl-backlog-size 128mb"
  # What is written while everything is copied waits for the replica, beyond maxmemory. At the
  # defaults (64 MB for a minute, 256 MB) an import has it cut off and begin again, over and over.
  echo "client-output-buffer-limit replica 512mb 0 0"
  echo "replica-announce-ip $STORE_NAME"
  echo "requirepass $STORE_PASSWORD"
  echo "primaryauth $STORE_PASSWORD"
  if [ "$primary" != "$STORE_NAME" ]; then
    echo "replicaof $primary 6379"
  fi
} > valkey.conf
exec valkey-server valkey.conf
