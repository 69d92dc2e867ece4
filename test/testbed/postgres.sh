# Where our PostgreSQL cluster is and how to talk to it; sourced by the parts that
# start it, name it and stop it.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The server refuses to run as root, so root's cluster belongs to the user postgres
# that Debian's package makes, in a folder that this user can reach.
if [ "$(id -u)" -eq 0 ]; then
	pg_root=/var/cache/heddle-testbed/postgres
	as_owner() { runuser -u postgres -- "$@"; }
else
	pg_root=${XDG_CACHE_HOME:-$HOME/.cache}/heddle-testbed/postgres
	as_owner() { "$@"; }
fi
pg_data=$pg_root/data

# pg_bin prints the folder with the newest server's programs; nothing without one.
# Debian keeps them out of the PATH, one folder per version.
pg_bin() {
	local newest
	newest=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name initdb 2>/dev/null | sort -V | tail -n 1)
	[ -n "$newest" ] || newest=$(command -v initdb) || return 0
	dirname "$newest"
}

# pg_port prints the port that the cluster was given.
pg_port() { cat "$pg_root/port" 2>/dev/null; }

# pg_up: does our cluster answer? It is asked on its socket, which no other has.
pg_up() {
	[ -e "$pg_root/port" ] && "$(pg_bin)/pg_isready" -q -h "$pg_root" -p "$(pg_port)" -U postgres -d postgres
}
