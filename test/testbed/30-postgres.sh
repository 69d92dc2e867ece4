#!/usr/bin/env bash
# A PostgreSQL cluster of our own for the tests of the store: on 127.0.0.1 and a
# socket only, without passwords there, and with every safety switched on, because
# durability is what is tested and measured.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"

what="the PostgreSQL store against a real server"
pg_up && exit 0

if [ -z "$(pg_bin)" ]; then
	# Without this the package makes a cluster of its own.
	conf=/etc/postgresql-common/createcluster.conf
	if [ "$(id -u)" -eq 0 ] && [ -e /etc/debian_version ] && [ ! -e "$conf" ]; then
		mkdir -p "$(dirname "$conf")"
		echo "create_main_cluster = false" >"$conf"
	fi
	apt_install "$what" postgresql
	[ -n "$(pg_bin)" ] || exit 0
fi
if [ "$(id -u)" -eq 0 ] && ! id postgres >/dev/null 2>&1; then
	left_out "$what" "root needs a user called postgres to run the server as"
	exit 0
fi

mkdir -p "$pg_root"
exec 9>"$pg_root/lock"
flock 9
pg_up && exit 0 # somebody else has just started it
[ "$(id -u)" -ne 0 ] || chown postgres: "$pg_root"

# make_cluster fills the data folder; one that was only half filled is made anew.
make_cluster() {
	rm -rf "$pg_data"
	as_owner "$(pg_bin)/initdb" -D "$pg_data.new" -U postgres -A trust -E UTF8 --locale=C >/dev/null
	cat >>"$pg_data.new/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_directories = '$pg_root'
		max_connections = 200
		shared_buffers = 64MB
		fsync = on
		synchronous_commit = on
		full_page_writes = on
		log_min_messages = fatal
		log_min_error_statement = panic
	END
	# The role heddle_password is asked for one, so that giving a wrong one can be tested.
	sed -i '1i host all heddle_password 127.0.0.1/32 scram-sha-256' "$pg_data.new/pg_hba.conf"
	mv "$pg_data.new" "$pg_data"
}
rm -rf "$pg_data.new"
[ -e "$pg_data/PG_VERSION" ] || make_cluster

# A crash leaves a file with a process number that may be another program's by now.
if [ -e "$pg_data/postmaster.pid" ] && [ -d /proc/self ]; then
	pid=$(head -n 1 "$pg_data/postmaster.pid")
	if ! tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$pg_data"; then
		rm -f "$pg_data/postmaster.pid"
	fi
fi

# start_on PORT
start_on() {
	as_owner "$(pg_bin)/pg_ctl" start -s -w -t 60 -D "$pg_data" -l "$pg_root/log" -o "-p $1" 9>&-
}
# free PORT: does nothing listen there?
free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

started=
for port in $(pg_port) $((20000 + RANDOM % 10000)) $((20000 + RANDOM % 10000)) $((20000 + RANDOM % 10000)); do
	if free "$port" && start_on "$port"; then
		started=$port
		break
	fi
done
if [ -z "$started" ]; then
	left_out "$what" "the server did not start; $pg_root/log says why"
	exit 0
fi
echo "$started" >"$pg_root/port"

# An ordinary role, so that nothing comes to need a superuser's rights.
"$(pg_bin)/psql" -q -h "$pg_root" -p "$started" -U postgres -d postgres -v ON_ERROR_STOP=1 <<'END'
SELECT 'CREATE ROLE heddle LOGIN CREATEDB' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'heddle') \gexec
SELECT 'CREATE ROLE heddle_password LOGIN PASSWORD ''right''' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'heddle_password') \gexec
SELECT 'CREATE DATABASE heddle OWNER heddle' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'heddle') \gexec
END
