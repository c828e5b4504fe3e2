# SPDX-License-Identifier: BSD-3-Clause
# Two socp: one serves windows of what the other has.
. "$top_srcdir/tests/programs/lib.sh"

far_ns="nsid=3,stack=file:$tmp/disk"
truncate -s 64M "$tmp/disk"
ok "the far end starts" start_far \
	--listen tcp://127.0.0.1:0 --ns "$far_ns"
ok "the near end starts, two windows and all of it" start_socp \
	--listen tcp://127.0.0.1:0 --threads 2 --subsystem "$nqn" \
	--ns "nsid=1,stack=relay:$far_url/$far[nsid=3,start=2048,blocks=32768]" \
	--ns "nsid=2,stack=trace -> relay:$far_url/$far[nsid=3,start=65536,blocks=32768,queues=2]" \
	--ns "nsid=3,stack=relay:$far_url/$far[nsid=3,loss_ms=20000,reconnect_ms=50]"
ok "stacks are shown" sh -c "'$leapctl' --control '$ctl' stacks |
	grep -q 'relay:$far_url/$far'"
ok "and what their relays did" sh -c "'$leapctl' --control '$ctl' stacks |
	grep -q '^relay: groups_live .* bounced 0'"
ok "verified I/O through one window" "$perf" --verify --quiet --count 4000 \
	--queues 4 "$url/$nqn"
ok "only the window was written" sh -c \
	"! cmp -s -n 1048576 '$tmp/disk' /dev/zero -i 1048576:0 &&
	 cmp -n 1048576 '$tmp/disk' /dev/zero &&
	 cmp -n 16777216 -i 17825792:0 '$tmp/disk' /dev/zero"
out=$("$leapctl" --control "$ctl" ns add "$nqn" \
	"stack=relay:$far_url/$far[nsid=4]" 2>&1)
is "a far namespace that is not there is refused" $? 1
has "by number" "$out" "no namespace 4"

# The far end is killed and started again under I/O.
"$perf" --verify --quiet --time 600 --queues 2 --nsid 3 "$url/$nqn" \
	>"$tmp/perf.out" 2>&1 &
perf_pid=$!
wait_for 10 is_loaded
kill -9 "$far_pid"
wait "$far_pid" 2>/dev/null
wait_for 10 flock -n "$tmp/disk" true
sleep 0.5
ok "the far end is back" start_far --listen "$far_url" --ns "$far_ns"
wait_for 10 is_loaded
end_load
is "the host saw a pause, and its data" $? 0
sed 's/^/# /' "$tmp/perf.out"
stop_socp TERM
is "SIGTERM: 0" "$rc" 0
ok "nothing was written to stderr" test ! -s "$tmp/socp.err"
ends "the far end, too," "$far_pid"
plan
