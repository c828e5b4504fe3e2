# SPDX-License-Identifier: BSD-3-Clause
# Shared by the tests of the programs: TAP lines, and a socp that goes away.

[ -z "$LEAP_CROSS" ] || { echo "skip: cross build"; exit 77; }
socp=$top_builddir/examples/socp/socp
leapctl=$top_builddir/examples/leapctl/leapctl
perf=$top_builddir/examples/leap-perf/leap-perf
hostd=$top_builddir/examples/leap-hostd/leap-hostd
nqn=nqn.2024-01.io.example:test
tmp=$(mktemp -d)
ctl=$tmp/ctl
pid=
far=nqn.2024-01.io.example:far
far_pid=
perf_pid=
trap 'stop_socp KILL >/dev/null 2>&1
	kill -9 $far_pid $perf_pid 2>/dev/null; rm -rf "$tmp"' EXIT
n=0
bad=0

ok() {	# name, then a command that is to succeed
	name=$1
	shift
	n=$((n + 1))
	if "$@" >"$tmp/ok.out" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' "$tmp/ok.out"
		bad=1
	fi
}

is() {	# name, what came, what was expected
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		printf '# got:      %s\n# expected: %s\n' "$2" "$3"
		bad=1
	fi
}

has() {	# name, text, a part that it must have
	n=$((n + 1))
	case $2 in
	*"$3"*) echo "ok $n - $1" ;;
	*)	echo "not ok $n - $1"
		printf '# got:      %s\n# expected: ...%s...\n' "$2" "$3"
		bad=1 ;;
	esac
}

plan() {
	echo "1..$n"
	exit $bad
}

# within SECONDS COMMAND...: counted in looks, of which a second has twenty. On
# a machine with other work they take longer, as does what they wait for.
within() {
	tries=$(($1 * 20))
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.05
	done
}

# wait_for SECONDS COMMAND...: as long as a machine may take that has nothing else
# to do; how long is not what is shown. One that is slow gets six times that.
wait_for() {
	seconds=$1
	shift
	within $((seconds * 6)) "$@"
}

# Reads reach the socp that is asked: a host has more to do before than connect.
is_loaded() {
	"$leapctl" --control "$ctl" top 0.3 1 | grep -Eq 'read +[1-9]'
}

# A load that was started with time to spare, as perf_pid, ends now: well, when
# nothing was wrong with it.
end_load() {
	kill -INT "$perf_pid" && wait "$perf_pid"
}

# The program itself: libtool's wrapper would be the process we look at.
binary() {
	dir=$(dirname "$1")
	if [ -x "$dir/.libs/$(basename "$1")" ]; then
		echo "$dir/.libs/$(basename "$1")"
	else
		echo "$1"
	fi
}

LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
socp=$(binary "$socp")
leapctl=$(binary "$leapctl")
perf=$(binary "$perf")
hostd=$(binary "$hostd")

start_socp() {	# arguments; sets pid and url
	rm -f "$tmp/socp.out"	# what the one before said
	"$socp" "$@" --control "$ctl" >"$tmp/socp.out" 2>"$tmp/socp.err" &
	pid=$!
	wait_for 10 grep -q '^socp: listening' "$tmp/socp.out" || {
		sed 's/^/# /' "$tmp/socp.err"
		return 1
	}
	url=$(sed -n 's/^socp: listening on \([^ ,]*\).*/\1/p' \
		"$tmp/socp.out")
}

start_far() {	# arguments of a second socp; sets far_pid and far_url
	"$socp" --subsystem "$far" "$@" >"$tmp/far.out" 2>"$tmp/far.err" &
	far_pid=$!
	wait_for 10 grep -q '^socp: listening' "$tmp/far.out" || return 1
	far_url=$(sed -n 's/^socp: listening on \([^ ,]*\).*/\1/p' \
		"$tmp/far.out")
}

ends() {	# name, pid of a child
	kill "$2"
	wait "$2"
	is "$1 ends at SIGTERM: exit code" $? 0
}

stop_socp() {	# signal; sets rc
	[ -n "$pid" ] || return 0
	kill -"$1" "$pid"
	wait "$pid"
	rc=$?
	pid=
}

ask() { "$leapctl" --control "$ctl" "$@"; }

# is_gone PID: it has ended; whoever started it reaps it later
is_gone() {
	case $(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" \
		2>/dev/null) in
	'' | Z) return 0 ;;
	esac
	return 1
}

switches() {	# PID: how often its threads have gone to sleep
	cat /proc/"$1"/task/*/status |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
}

# Nothing has woken it up for a while: what came before is over.
is_quiet() {	# PID
	before=$(switches "$1")
	sleep 0.3
	[ "$(switches "$1")" = "$before" ]
}

# is_idle NAME PID: at most one wake-up a second, of all threads together. The
# seconds are those that have really passed.
is_idle() {
	wait_for 1 is_quiet "$2"
	from=$(date +%s%3N)
	before=$(switches "$2")
	sleep 3
	wakeups=$(($(switches "$2") - before))
	took=$(($(date +%s%3N) - from))
	echo "# $wakeups wake-ups in $took ms"
	ok "$1: at most one wake-up a second" test $((wakeups * 1000)) -le $took
}

# raw TEXT...: what the control socket answers to exactly these lines
raw() {
	printf '%s\n' "$@" | python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(120)
s.connect(sys.argv[1])
s.sendall(sys.stdin.buffer.read())
s.shutdown(socket.SHUT_WR)
while True:
    b = s.recv(65536)
    if not b:
        break
    sys.stdout.buffer.write(b)
' "$ctl"
}
