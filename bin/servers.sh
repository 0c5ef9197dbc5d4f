#!/usr/bin/env bash
# A Kafka broker or a PostgreSQL server on the loopback, for tests and for trying things out; never for production.
#
#   bin/servers.sh kafka|postgres start|run|stop [FOLDER [PORT]]
#
# start returns when the server answers, run stays in the foreground, stop ends the process that start left in FOLDER/pid.
# FOLDER (default .cache/servers/kafka or …/postgres) keeps data and log; stop leaves it, and start goes on with it.
# PostgreSQL takes LAKEHOUSE_DATABASE_PASSWORD as its password; without one it makes its own, in FOLDER/password.
# Kafka asks for LAKEHOUSE_KAFKA_USER and LAKEHOUSE_KAFKA_PASSWORD (SCRAM-SHA-512, no TLS) where they are set when FOLDER is made.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  printf 'servers: %s\n' "$@" >&2
  exit 1
}

SERVER=${1:-} ACTION=${2:-run} HOST=127.0.0.1
case $SERVER in
  kafka) DEFAULT_PORT=9092 ;;
  postgres) DEFAULT_PORT=5432 ;;
  *) fail 'bin/servers.sh kafka|postgres start|run|stop [FOLDER [PORT]]' ;;
esac
FOLDER=$(realpath -m "${3:-.cache/servers/$SERVER}") PORT=${4:-$DEFAULT_PORT}

answers() { (exec 3<>"/dev/tcp/$HOST/$1") 2>/dev/null; }

# ---- PostgreSQL ----------------------------------------------------------------------------------------------------

# PostgreSQL refuses to run as root: then the system's user `postgres` or `nobody` runs it, and owns the folder.
as_owner() {
  if ((EUID != 0)); then
    exec "$@"
  fi
  exec setpriv --reuid="$(owner)" --regid="$(id -g "$(owner)")" --clear-groups "$@"
}

owner() { if id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi; }

make_database() {
  local programs=$1 password=$FOLDER/password
  mkdir -p "$FOLDER"
  [[ -n ${LAKEHOUSE_DATABASE_PASSWORD:-} ]] || LAKEHOUSE_DATABASE_PASSWORD=$(od -An -v -N12 -tx1 /dev/urandom | tr -d ' \n')
  (umask 077 && printf '%s\n' "$LAKEHOUSE_DATABASE_PASSWORD" >"$password")
  if ((EUID == 0)); then
    chown -R "$(owner)" "$FOLDER"
    (as_owner test -w "$FOLDER") || fail "user $(owner) can't reach $FOLDER, and PostgreSQL refuses to run as root." \
      "Name a folder that all may enter: bin/servers.sh postgres run /var/tmp/lakehouse-postgres"
  fi
  (as_owner "$programs/initdb" --pgdata="$FOLDER/data" --username=lakehouse --pwfile="$password" --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync) >"$FOLDER/initdb.log" 2>&1 || fail "$(tail -n 5 "$FOLDER/initdb.log")"
}

serve_postgres() { # never returns
  local programs
  bin/setup.sh postgres >&2
  programs=$(<.setup/postgres)
  [[ -f $FOLDER/data/PG_VERSION ]] || make_database "$programs"
  # No socket file, whose path may be too long; no fsync, which tests don't need.
  cd "$FOLDER"
  as_owner "$programs/postgres" -D "$FOLDER/data" -c listen_addresses=$HOST -c port="$PORT" \
    -c unix_socket_directories= -c fsync=off
}

# ---- Kafka: one process that is broker and controller --------------------------------------------------------------

serve_kafka() { # never returns
  local java properties=$FOLDER/server.properties controller=$((PORT + 1)) listener=PLAINTEXT users=()
  bin/setup.sh kafka >&2
  java=("$(<.setup/java_home)/bin/java" -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
    -cp "$PWD/.cache/servers/kafka-jars/*")
  mkdir -p "$FOLDER"
  if [[ -n ${LAKEHOUSE_KAFKA_PASSWORD:-} ]]; then
    listener=SASL_PLAINTEXT
    users=(--add-scram "SCRAM-SHA-512=[name=${LAKEHOUSE_KAFKA_USER:-lakehouse},password=$LAKEHOUSE_KAFKA_PASSWORD]")
  fi
  cat >"$properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$HOST:$controller
controller.listener.names=CONTROLLER
listeners=$listener://$HOST:$PORT,CONTROLLER://$HOST:$controller
listener.security.protocol.map=$listener:$listener,CONTROLLER:PLAINTEXT
inter.broker.listener.name=$listener
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs=$FOLDER/data
num.partitions=2
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
message.max.bytes=4000000
END
  [[ -f $FOLDER/data/meta.properties ]] ||
    "${java[@]}" kafka.tools.StorageTool format -t Q3VzdG9tZXJMYWtlaG91c2 -c "$properties" "${users[@]}" >"$FOLDER/format.log" 2>&1 ||
    fail "$(tail -n 5 "$FOLDER/format.log")"
  exec "${java[@]}" kafka.Kafka "$properties"
}

# ---- start, run, stop ----------------------------------------------------------------------------------------------

start() {
  local until=$((SECONDS + 120)) pid
  if answers "$PORT"; then fail "port $PORT is taken; name another one"; fi
  mkdir -p "$FOLDER"
  ("serve_$SERVER") >"$FOLDER/server.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$FOLDER/pid"
  until answers "$PORT"; do
    kill -0 "$pid" 2>/dev/null || fail "$SERVER did not start:" "$(tail -n 10 "$FOLDER/server.log")"
    ((SECONDS < until)) || fail "$SERVER does not answer on port $PORT after two minutes; its log: $FOLDER/server.log"
    sleep 0.2
  done
}

stop() { # SIGINT is PostgreSQL's fast way to end; Kafka's is SIGTERM
  local pid signal=TERM
  pid=$(cat "$FOLDER/pid" 2>/dev/null) || return 0
  [[ $SERVER == postgres ]] && signal=INT
  kill -"$signal" "$pid" 2>/dev/null || true
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$FOLDER/pid"
}

case $ACTION in
  start) start ;;
  stop) stop ;;
  run)
    echo "$SERVER: $HOST:$PORT, data in $FOLDER (Ctrl-C ends it)" >&2
    [[ $SERVER == kafka ]] || echo "user lakehouse, database postgres, password: LAKEHOUSE_DATABASE_PASSWORD or $FOLDER/password" >&2
    "serve_$SERVER"
    ;;
  *) fail "there is no action $ACTION: start, run or stop" ;;
esac
