# SPDX-License-Identifier: BSD-3-Clause
# leap-hostd and the socps that follow one another behind it, while a host uses
# the drive through vfio-user: killed, stopped, handed over.
. "$top_srcdir/tests/programs/lib.sh"

agent=$tmp/agent
hctl=$tmp/hctl
vm=$tmp/vm.sock
hostd_pid=
trap 'kill -9 $hostd_pid $serving $next $perf_pid 2>/dev/null; rm -rf "$tmp"' EXIT
serving=
next=
perf_pid=

host() { "$leapctl" --control "$hctl" "$@"; }
state() { host --json status | sed -n 's/.*"state": "\([a-z]*\)".*/\1/p'; }
# Commands of I/O queues that are in a stack. (The admin queue always has some.)
in_flight() {
	host inspect "$nqn" | awk '$3 == "issued" && $1 > 0' | wc -l
}
# Stop socp in the middle of something.
freeze() {
	kill -STOP "$serving"
	[ "$(in_flight)" -gt 0 ] || { kill -CONT "$serving"; return 1; }
}
has_hits() { ask --json inspect "$nqn" | grep -q '"hits": [1-9]'; }
number() { host --json status | sed -n "s/.*\"$1\": \\([0-9]*\\).*/\\1/p"; }
is_state() { [ "$(state)" = "$1" ]; }
is_pid() { [ "$(number pid)" = "$1" ] && is_state served; }
stands_by() { host status | grep -q "^standby *$1"; }

serve() {	# arguments; sets next
	"$socp" --agent "$agent" --subsystem "$nqn" \
		--ns "stack=file:$tmp/disk[create=64M]" "$@" \
		>"$tmp/socp.out" 2>>"$tmp/socp.err" &
	next=$!
}

"$hostd" --listen "$agent" --control "$hctl" --vfio-user "$vm=$nqn" \
	>"$tmp/hostd.out" 2>"$tmp/hostd.err" &
hostd_pid=$!
ok "leap-hostd starts" wait_for 10 grep -q 'attaches at' "$tmp/hostd.out"
is "nobody serves yet" "$(state)" waiting
host handoff >"$tmp/out" 2>&1
is "no handoff without socp: exit code" $? 1
has "... and why" "$(cat "$tmp/out")" "no runtime serves"
serve
serving=$next
ok "socp serves" wait_for 10 is_pid "$serving"
has "the drive is listed" "$(host drives)" "$nqn"
ok "it can be inspected without a guest" host inspect "$nqn"
host inspect nqn.2024-01.io.example:other >"$tmp/out" 2>&1
is "inspect of a drive that is not there: exit code" $? 1
has "... and why" "$(cat "$tmp/out")" 'no drive "nqn.2024-01.io.example:other"'
host inspect >"$tmp/out" 2>&1
is "inspect of nothing: exit code" $? 2
host inspect "$nqn" 77 >"$tmp/out" 2>&1
is "inspect of a controller that is not there: exit code" $? 1
serve
wait "$next"
is "a second one is refused: exit code" $? 1
has "... and told what to do" "$(cat "$tmp/socp.err")" "--standby"

if "$perf" --help 2>&1 | grep -q vfio-user; then
	"$perf" --quiet --verify --range 32m --depth 16 --bs 4k --time 600 \
		"vfio-user:$vm/$nqn" >"$tmp/perf.out" 2>&1 &
	perf_pid=$!
	for i in 1 2 3; do
		sleep 0.7
		kill -9 "$serving"
		wait "$serving" 2>/dev/null
		serve
		serving=$next
		ok "killed under load, round $i: the next serves" \
			wait_for 10 is_pid "$serving"
		host status | sed -n 's/^\(pause\|slots\)/# \1/p'
	done
	host inspect "$nqn" >"$tmp/out"
	sed 's/^/# /' "$tmp/out"
	has "inspect under load: memory" "$(cat "$tmp/out")" "MEMORY"
	has "... and its queues" "$(cat "$tmp/out")" "DOORBELL"
	ok "... with commands in flight" wait_for 5 freeze
	a=$(in_flight)
	kill -9 "$serving"
	wait "$serving" 2>/dev/null
	ok "killed, and nobody serves" wait_for 5 is_state waiting
	is "the same commands are still shown" "$(in_flight)" "$a"
	has "... each with what it was" \
		"$(host inspect "$nqn" | awk '$3 == "issued" && $1')" "0x"
	serve --control "$ctl"
	serving=$next
	ok "the next one takes them over" wait_for 10 is_pid "$serving"
	ok "it shows the IOTLB of its own" wait_for 5 has_hits
	ask inspect "$nqn" | sed 's/^/# /'
	ask inspect "$nqn" 77 >"$tmp/out" 2>&1
	is "... and of no controller that is not there: exit code" $? 1
	serve --standby
	ok "another stands by" wait_for 10 stands_by "$next"
	ok "handoff" host handoff
	wait "$serving" 2>/dev/null
	serving=$next
	ok "... to it" wait_for 10 is_pid "$serving"
	host status | sed -n 's/^\(pause\|slots\)/# \1/p'
	kill -STOP "$serving"
	serve
	ok "a stopped one does not keep the next out" wait_for 10 is_pid "$next"
	wait "$serving" 2>/dev/null
	serving=$next
	sleep 0.5
	ok "every byte was right, and no command failed" end_load
	sed 's/^/# /' "$tmp/perf.out"
	perf_pid=
fi

ends socp "$serving"
serving=
ok "leap-hostd waits for the next" wait_for 5 is_state waiting
is_idle "and sleeps" "$hostd_pid"
ends leap-hostd "$hostd_pid"
hostd_pid=
is "leap-hostd has said no error" "$(grep -c 'error:' "$tmp/hostd.err")" 0
plan
