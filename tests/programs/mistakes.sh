# SPDX-License-Identifier: BSD-3-Clause
# What people get wrong at first: each mistake has one line that says what it is
# and what was expected, the exit code of the manual, and leaves nothing behind.
. "$top_srcdir/tests/programs/lib.sh"

hook=$(binary "$top_builddir/examples/femu-hook/femu-hook")
at=tcp://127.0.0.1:0
disk="--subsystem $nqn --ns stack=memory:1M"

# wrong EXIT-CODE PART-OF-THE-LINE COMMAND...
wrong() {
	expected=$1
	part=$2
	shift 2
	timeout 20 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	rc=$?
	said=$(sed '/^qemu-/d' "$tmp/err")
	shown=$(basename "$1")
	shift
	is "$shown $*: exit code" $rc "$expected"
	has "$shown $*: why" "$said" "$part"
	is "$shown $*: in one line" "$(wc -l <"$tmp/err")" 1
}

# --- leap-perf ---
start_socp --listen "$at" --subsystem "$nqn" --ns stack=memory:8M
wrong 2 "--depth takes 1 to 65535, not 0" "$perf" -d 0 "$url/$nqn"
wrong 2 "--mix takes 0 to 100, not 101" "$perf" -m 101 "$url/$nqn"
wrong 2 "--bs takes 512 to 64m" "$perf" -b 100 "$url/$nqn"
wrong 2 "--time takes seconds" "$perf" -t 1s "$url/$nqn"
wrong 4 "is there such a subsystem?" "$perf" --quiet "$url/$far"
wrong 4 "No such file" "$perf" --quiet shm:"$tmp/none/$nqn"
wrong 4 "refused" "$perf" --discover tcp://127.0.0.1:1
"$perf" --quiet --time 600 "$url/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
wait_for 10 sh -c "'$leapctl' --control '$ctl' connections | grep -q 127"
stop_socp KILL 2>/dev/null
wait_for 10 grep -q "lost the connection" "$tmp/perf.out"
kill -INT "$perf_pid"
sleep 0.3
ok "leap-perf: a signal does not lose what is out" kill -0 "$perf_pid"
kill -INT "$perf_pid"
ok "a second one ends it" wait_for 10 is_gone "$perf_pid"
wait "$perf_pid"
is "with the code of a lost connection" $? 4
perf_pid=
plan
