# Shared by the parts of the test bed; sourced, not run.

# Daemons live in the sbin folders, which are not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# has COMMAND: is it there?
has() { command -v "$1" >/dev/null; }

# left_out WHAT WHY: says that something will not be tested. The tests skip it
# and name it again.
left_out() { echo "left out: $1: $2"; }

# apt_install WHAT PACKAGE...: installs packages without starting their daemons,
# or says why WHAT is left out.
apt_install() {
	local what=$1
	shift
	if [ ! -e /etc/debian_version ] || ! has apt-get; then
		left_out "$what" "install $* by hand; this is not Debian"
		return
	fi
	if [ "$(id -u)" -ne 0 ]; then
		left_out "$what" "needs root, once, to run: apt-get install $*"
		return
	fi
	echo "installing $*"
	if ! without_daemons apt_get_install "$@"; then
		left_out "$what" "apt-get could not install $*"
	fi
}

apt_get_install() {
	apt-get -qq update &&
		DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# without_daemons COMMAND...: runs it while Debian's policy-rc.d forbids packages
# to start anything. A policy that the machine has already is left alone.
without_daemons() {
	local policy=/usr/sbin/policy-rc.d status=0
	if [ -e "$policy" ]; then
		"$@"
		return
	fi
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	"$@" || status=$?
	rm -f "$policy"
	return "$status"
}

# The test bed's own folder, outside the checkout: what it built, and what the
# daemons that it started need.
bed=${XDG_CACHE_HOME:-$HOME/.cache}/heddle-testbed

# alive NAME: does the daemon that was started under this name run? A process ID
# that another program got after a restart of the machine does not count.
alive() {
	local pid
	pid=$(cat "$bed/$1.pid" 2>/dev/null) && [ -n "$pid" ] &&
		tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$bed"
}

# only_one NAME: waits until no other script is between this call and its end.
only_one() {
	mkdir -p "$bed"
	exec 9>"$bed/$1.lock"
	flock 9
}

# start NAME COMMAND...: starts a daemon that outlives this script. Its command
# line must contain the folder $bed, see alive.
start() {
	local name=$1
	shift
	setsid "$@" >"$bed/$name.log" 2>&1 </dev/null 9>&- &
	echo $! >"$bed/$name.pid"
}

# stop NAME: ends a daemon that start started, and waits for its end.
stop() {
	local name=$1 pid
	if alive "$name"; then
		pid=$(cat "$bed/$name.pid")
		kill "$pid"
		within 30 gone "$pid" || kill -9 "$pid"
	fi
	rm -f "$bed/$name.pid"
}

gone() { [ ! -e "/proc/$1" ]; }

# within SECONDS COMMAND...: repeats the command until it succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# answers PORT: does something listen on 127.0.0.1:PORT?
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port FIRST LAST: prints the first port from FIRST to LAST on which nothing
# listens.
free_port() {
	local port
	for ((port = $1; port <= $2; port++)); do
		if ! answers "$port"; then
			echo "$port"
			return
		fi
	done
	return 1
}
