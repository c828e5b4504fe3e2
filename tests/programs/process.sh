# SPDX-License-Identifier: BSD-3-Clause
# socp as a process: start, idle, memory, signals, locks, an ordinary user.
. "$top_srcdir/tests/programs/lib.sh"

perf_pid=
trap 'kill -9 $perf_pid 2>/dev/null; stop_socp KILL >/dev/null 2>&1
	rm -rf "$tmp"' EXIT
# It touches all that is allocated, which is counted here.
unset MALLOC_PERTURB_
idle_host=$(binary "$top_builddir/tests/programs/idle-host")

is_small() {	# NAME
	[ -z "$LEAP_INSTRUMENTED" ] || return 0
	rss=$(awk '/^VmRSS/ { print $2 }' /proc/"$pid"/status)
	echo "# resident $rss KiB"
	ok "$1: less than 8 MiB resident" test "$rss" -lt 8192
}

# connect NR-QUEUES: an idle host; its standard input is our descriptor 9
connect() {
	rm -f "$tmp/pipe"
	mkfifo "$tmp/pipe"
	"$idle_host" "$url/$nqn" "$1" 15000 <"$tmp/pipe" >"$tmp/idle.out" 2>&1 &
	host_pid=$!
	exec 9>"$tmp/pipe"
	wait_for 10 grep -q '^connected' "$tmp/idle.out" ||
		sed 's/^/# /' "$tmp/idle.out"
	wait_for 10 count_queues "$1"
}

# An instrumented leapctl on a busy machine may give up before it has its answer,
# and the host may know of its last queue before the target counts it.
count_queues() {	# EXPECTED
	queues=$(ask --json connections | grep -o '"io_queues": *[0-9]*' |
		grep -o '[0-9]*$')
	[ "$queues" = "$1" ]
}

# The target has gone, or is to go on without it.
disconnect() {
	exec 9>&-
	wait "$host_pid"
}

# idle_with LISTEN-URL ARGUMENT...: ten queue pairs that do nothing, and then
# an end that does not wait for them
idle_with() {
	start_socp --listen "$1" --subsystem "$nqn" \
		--ns nsid=1,stack=memory:64M ${2+"$2" "$3"}
	what="${url%%:*}${2+, $2 $3}"
	connect 10
	is "$what: ten I/O queues are connected" "$queues" 10
	is_idle "$what: ten idle queue pairs" "$pid"
	is_small "$what: ten idle queue pairs"
	kill -TERM "$pid"
	ok "$what: it ends before it would give them up" within 4 is_gone "$pid"
	stop_socp TERM 2>/dev/null
	is "$what: SIGTERM: 0" "$rc" 0
	disconnect
}

ok "start with two I/O threads" start_socp --listen tcp://127.0.0.1:0 \
	--threads 2 --subsystem "$nqn" --ns nsid=1,stack=memory:64M
ok "verified I/O through it" "$perf" --verify --quiet --time 1 --queues 4 \
	"$url/$nqn"
kill -TERM "$pid"
ok "it ends without waiting, as nobody is connected" within 4 is_gone "$pid"
stop_socp TERM 2>/dev/null
is "SIGTERM: 0" "$rc" 0

start_socp --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--ns nsid=1,stack=memory:64M
is_small "idle with one subsystem"
is_idle "idle" "$pid"

"$perf" --quiet --time 600 --loss 4294967295 "$url/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
wait_for 10 is_loaded
kill -TERM "$pid"
ok "it ends within ten seconds under load" within 10 is_gone "$pid"
stop_socp TERM 2>/dev/null
is "SIGTERM under load: 0" "$rc" 0
kill "$perf_pid" 2>/dev/null
wait "$perf_pid"
perf_pid=
ok "nothing was written to stderr" test ! -s "$tmp/socp.err"

idle_with tcp://127.0.0.1:0
idle_with tcp://127.0.0.1:0 --threads 2
idle_with shm:"$tmp/sock"
# A loop that never spins has to look whether it is to end before it sleeps.
idle_with shm:"$tmp/sock" --spin-us 0

truncate -s 16M "$tmp/disk"
start_socp --subsystem "$nqn" --ns "stack=file:$tmp/disk"
out=$("$socp" --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--ns "stack=file:$tmp/disk" 2>&1)
is "a second socp on the same file is refused" $? 1
has "by name" "$out" "$tmp/disk"
out=$("$socp" --control "$ctl" 2>&1)
is "and on the same control socket" $? 1
has "by name, too" "$out" "$ctl"
ok "the first goes on" ask subsystems
stop_socp KILL
# The kernel lets go of it when the last write in flight has landed.
wait_for 10 flock -n "$tmp/disk" true
ok "a socket left behind is replaced" start_socp --subsystem "$nqn" \
	--ns "stack=file:$tmp/disk"
stop_socp INT
is "SIGINT: 0" "$rc" 0

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	# Its own copy: the build tree may be closed to others.
	mkdir "$tmp/nobody"
	cp "$socp" "$leapctl" "$top_builddir"/.libs/libleapio.so* \
		"$tmp/nobody" 2>/dev/null
	chmod 755 "$tmp" && chmod 777 "$tmp/nobody"
	socp="setpriv --reuid=65534 --regid=65534 --clear-groups \
		env LD_LIBRARY_PATH=$tmp/nobody $tmp/nobody/$(basename "$socp")"
	ctl=$tmp/nobody/ctl
	rm -f "$tmp/socp.out"
	$socp --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
		--ns nsid=1,stack=memory:16M --control "$ctl" \
		>"$tmp/socp.out" 2>"$tmp/socp.err" &
	pid=$!
	wait_for 10 grep -q '^socp: listening' "$tmp/socp.out"
	url=$(sed -n 's/^socp: listening on \([^ ,]*\).*/\1/p' "$tmp/socp.out")
	is "an ordinary user runs it" \
		"$(awk '/^Uid/ { print $2 }' /proc/"$pid"/status)" 65534
	ok "and is served by it" "$perf" --verify --quiet --count 2000 \
		--range 8m "$url/$nqn"
	stop_socp TERM
	is "it ends well" "$rc" 0
fi
plan
