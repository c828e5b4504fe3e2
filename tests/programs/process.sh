# SPDX-License-Identifier: BSD-3-Clause
# socp as a process: start, idle, memory, signals, locks, an ordinary user.
. "$top_srcdir/tests/programs/lib.sh"

sleeps() {	# of all threads
	cat /proc/"$pid"/task/*/status |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
}

ok "start with two I/O threads" start_socp --listen tcp://127.0.0.1:0 \
	--threads 2 --subsystem "$nqn" --ns nsid=1,stack=memory:64M
ok "verified I/O through it" "$perf" --verify --quiet --time 1 --queues 4 \
	"$url/$nqn"
stop_socp TERM
is "SIGTERM: 0" "$rc" 0

start_socp --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--ns nsid=1,stack=memory:64M
if [ -z "$LEAP_INSTRUMENTED" ]; then
	rss=$(awk '/^VmRSS/ { print $2 }' /proc/"$pid"/status)
	echo "# resident $rss KiB"
	ok "idle with one subsystem: less than 8 MiB" test "$rss" -lt 8192
fi
sleep 0.3
a=$(sleeps)
sleep 3
b=$(sleeps)
echo "# $((b - a)) wake-ups in 3 s"
ok "idle: at most one wake-up a second" test $((b - a)) -le 3

"$perf" --quiet --time 30 --loss 4294967295 "$url/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
wait_for 10 sh -c "'$leapctl' --control '$ctl' connections | grep -q 127"
sleep 0.3
t=$(date +%s)
stop_socp TERM
is "SIGTERM under load: 0" "$rc" 0
ok "within ten seconds" test $(($(date +%s) - t)) -lt 10
kill "$perf_pid" 2>/dev/null
wait "$perf_pid"
ok "nothing was written to stderr" test ! -s "$tmp/socp.err"

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
