# SPDX-License-Identifier: BSD-3-Clause
# leap-hostd owns a drive behind registers and lends queue pairs of it; socp
# borrows them, serves a host over TCP, and is killed again and again.
. "$top_srcdir/tests/programs/lib.sh"

dev=nqn.2024-01.io.example:device
dev_pid=
hostd_pid=
perf_pid=
trap 'stop_socp KILL >/dev/null 2>&1
	kill -9 $dev_pid $hostd_pid $perf_pid 2>/dev/null; rm -rf "$tmp"' EXIT

"$perf" --help 2>&1 | grep -q vfio-user ||
	{ echo "skip: built without vfio-user"; exit 77; }
hctl=$tmp/hctl

# The model of a drive: slow enough that a kill finds commands in it.
start_dev() {
	"$socp" --listen "vfio-user:$tmp/dev.sock/$dev" --subsystem "$dev" \
		--ns "stack=delay[write_us=2000,jitter_us=4000] -> memory:64M" \
		>"$tmp/dev.out" 2>"$tmp/dev.err" &
	dev_pid=$!
	wait_for 10 grep -q '^socp: listening' "$tmp/dev.out"
}

lends() { grep -q '^leap-hostd: lends' "$tmp/hostd.out"; }

ok "the drive starts" start_dev
"$hostd" --lend "vfio-user:$tmp/dev.sock/$dev=$tmp/lend.sock,queues=6" \
	--control "$hctl" >"$tmp/hostd.out" 2>"$tmp/hostd.err" &
hostd_pid=$!
ok "leap-hostd lends it" wait_for 10 lends
has "to its owner only" "$(ls -l "$tmp/lend.sock")" "srw-------"

ok "verified I/O on queue pairs that are lent" "$perf" --verify --quiet \
	--count 3000 --queues 2 --range 16m "lent:$tmp/lend.sock/$dev"
out=$("$leapctl" --control "$hctl" status 2>&1)
is "status without an agent is refused" $? 1
has "... and why" "$out" "only lends"

ok "socp borrows" start_socp --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--threads 2 \
	--ns "stack=relay:lent:$tmp/lend.sock/$dev[nsid=1,queues=2]"
near=$url
out=$("$leapctl" --control "$hctl" lent)
echo "$out" | sed 's/^/# /'
has "leapctl says who has borrowed" "$out" " $pid "
"$perf" --verify --quiet --time 600 --queues 2 --depth 16 --range 32m \
	"$near/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
for i in 1 2 3 4; do
	wait_for 10 is_loaded
	stop_socp KILL >/dev/null 2>&1
	ok "killed under load, round $i: the next one borrows" start_socp \
		--listen "$near" --threads 2 --subsystem "$nqn" \
		--ns "stack=relay:lent:$tmp/lend.sock/$dev[nsid=1,queues=2]"
done
wait_for 10 is_loaded
end_load
is "the host saw pauses, and its data" $? 0
sed 's/^/# /' "$tmp/perf.out"
perf_pid=

# The drive itself goes and comes: leap-hostd takes it up again.
kill -9 "$dev_pid"
wait "$dev_pid" 2>/dev/null
ok "it is missed" wait_for 10 grep -q lost "$tmp/hostd.err"
: >"$tmp/hostd.out"
ok "the drive starts again" start_dev
ok "... and is lent again" wait_for 10 lends
ok "verified I/O through socp" "$perf" --verify --quiet --count 2000 \
	--range 16m "$near/$nqn"

stop_socp TERM
is "SIGTERM to socp: 0" "$rc" 0
kill "$hostd_pid"
wait "$hostd_pid"
is "SIGTERM to leap-hostd: 0" $? 0
ok "its socket is gone" test ! -e "$tmp/lend.sock"
hostd_pid=
"$hostd" --lend "tcp://127.0.0.1:1/$dev=$tmp/lend.sock" >"$tmp/out" 2>&1
is "only what is behind registers is lent: exit code" $? 1
has "... and why" "$(cat "$tmp/out")" "behind registers"
plan
