#!/bin/sh
# Starts a sentinel. What it knows is kept in the current folder: after a fail-over, that the
# primary is another one.
#
# STORE_NAME      of this sentinel, as the others reach it
# STORE_PASSWORD  of the servers
# FIRST_PRIMARY   the server that is the primary at the very first start
# LISTEN          address to listen on, by default all
set -eu

umask 077
if [ -e sentinel.conf ]; then
  # What it knows stays, but for the password, which may be another one by now.
  grep -v "^sentinel auth-pass streamers " sentinel.conf > sentinel.conf.new
else
  cat > sentinel.conf.new <<EOF
bind ${LISTEN:-*}
protected-mode no
port 26379
dir .
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $STORE_NAME
sentinel monitor streamers $FIRST_PRIMARY 6379 2
sentinel down-after-milliseconds streamers 2000
sentinel failover-timeout streamers 6000
sentinel parallel-syncs streamers 1
EOF
fi
echo "sentinel auth-pass streamers $STORE_PASSWORD" >> sentinel.conf.new
sync  # or a power cut may leave an empty file, and what it knew is lost
mv sentinel.conf.new sentinel.conf
exec valkey-server sentinel.conf --sentinel
