# SPDX-License-Identifier: BSD-3-Clause
# A drive whose socp shares no memory with leap-hostd: every command is relayed
# over TCP. The socp is killed, and stopped, while a guest uses the drive.
. "$top_srcdir/tests/programs/lib.sh"

far=nqn.2024-01.io.example:far
hctl=$tmp/hctl
vm=$tmp/vm.sock
hostd_pid=
far_pid=
perf_pid=
trap 'kill -9 $hostd_pid $far_pid $perf_pid 2>/dev/null; rm -rf "$tmp"' EXIT

"$perf" --help 2>&1 | grep -q vfio-user ||
	{ echo "1..0 # SKIP leap-perf without vfio-user"; exit 0; }

start_far() {
	rm -f "$tmp/far.out"	# what that one said
	"$socp" --listen "$far_url" --subsystem "$far" \
		--ns "stack=file:$tmp/disk[create=64M]" \
		>"$tmp/far.out" 2>>"$tmp/far.err" &
	far_pid=$!
	wait_for 10 grep -q '^socp: listening' "$tmp/far.out"
}

kill_far() {
	kill -9 "$far_pid"
	wait "$far_pid" 2>/dev/null
	# The kernel lets go of it when the last write in flight has landed.
	wait_for 10 flock -n "$tmp/disk" true
}

host() { "$leapctl" --control "$hctl" "$@"; }
has_ns() { host --json drives | tr -d ' \n' | grep -q '"namespaces":\[1\]'; }
# Memory and queues of the guest before are gone.
was_reset() { host inspect "$nqn" | tr '\n' ' ' |
	grep -q ' 0 B of memory.*nothing in flight'; }
busy() { host inspect "$nqn" | awk '$3 == "issued" && $1 > 0' | grep -q .; }
guest() { "$perf" --quiet --verify --range 32m --bs 4k --depth 16 "$@" \
	"vfio-user:$vm/$nqn"; }

"$hostd" --vfio-user "$tmp/x=$nqn" >"$tmp/out" 2>&1
is "a drive without socp and without a relay: exit code" $? 1
has "... and what is expected" "$(cat "$tmp/out")" "expected --listen SOCKET"
"$hostd" --subsystem "$nqn" --ns stack=memory:1M --vfio-user "$tmp/x=$nqn" \
	>"$tmp/out" 2>&1
is "a stack that is no relay: exit code" $? 1
has "... and what is expected" "$(cat "$tmp/out")" "relay:URL"
for option in nsid queues depth reconnect_ms; do
	timeout 120 "$hostd" --subsystem "$nqn" --vfio-user "$tmp/x=$nqn" \
		--ns "stack=relay:tcp://127.0.0.1:1/$far[$option=0]" \
		>"$tmp/out" 2>&1
	is "$option=0 is none: exit code" $? 1
done

# A port that no connection gets by itself, as it has to be free for the next.
far_url=tcp://127.0.0.1:$((20000 + $$ % 10000))
ok "a socp with a file starts" start_far
kill_far
# Not there yet: the drive is, and its namespace comes with the far end.
"$hostd" --subsystem "$nqn" --control "$hctl" --vfio-user "$vm=$nqn" \
	--ns "stack=relay:$far_url/$far[nsid=1,queues=2,reconnect_ms=50]" \
	>"$tmp/hostd.out" 2>"$tmp/hostd.err" &
hostd_pid=$!
ok "leap-hostd starts without it" wait_for 10 grep -q '^leap-hostd: drives' \
	"$tmp/hostd.out"
ok "... and says what is missing" wait_for 10 grep -q 'trying again' \
	"$tmp/hostd.err"
ok "the far end starts" start_far
ok "the namespace comes" wait_for 10 has_ns
ok "verified I/O" guest --count 4000
ok "... which is in the file" sh -c "! cmp -s -n 33554432 '$tmp/disk' /dev/zero"

"$perf" --quiet --verify --range 32m --bs 4k --depth 16 --time 600 \
	"vfio-user:$vm/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
for i in 1 2 3 4 5; do
	sleep 0.7
	kill_far
	ok "killed under load, round $i: the next starts" start_far
done
sleep 0.5
ok "the guest saw pauses, right bytes and no error" end_load
sed 's/^/# /' "$tmp/perf.out"
perf_pid=

# A guest resets, here by its end, while a far end that lives does nothing.
"$perf" --quiet --verify --range 32m --bs 4k --depth 16 --time 600 \
	"vfio-user:$vm/$nqn" >/dev/null 2>&1 &
perf_pid=$!
sleep 1
kill -STOP "$far_pid"
ok "stopped, with commands out" wait_for 5 busy
sleep 0.2
kill -9 "$perf_pid"
wait "$perf_pid" 2>/dev/null
perf_pid=
ok "the reset is answered within two seconds" within 2 was_reset
kill -CONT "$far_pid"
ok "the next guest finds the drive as it should be" guest --count 4000

ends leap-hostd "$hostd_pid"
hostd_pid=
kill "$far_pid"
wait "$far_pid"
is "socp, too" $? 0
is "leap-hostd has said no error" "$(grep -c 'error:' "$tmp/hostd.err")" 0
plan
