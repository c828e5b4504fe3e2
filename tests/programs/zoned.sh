# SPDX-License-Identifier: BSD-3-Clause
# Namespaces with zones: two socp, one with a window of what the other has.
. "$top_srcdir/tests/programs/lib.sh"

zones="zone=1M,cap=768K,max_active=12,max_open=8,append=64K"

perf_zoned() {	# MODE NSID
	"$perf" --zoned "$1" --nsid "$2" --quiet --count 3000 --bs 4k-64k \
		--queues 2 --depth 16 "$url/$nqn"
}

ok "the far end starts" start_far --listen tcp://127.0.0.1:0 \
	--ns "nsid=1,stack=zoned:64M[$zones]"
ok "the near end starts" start_socp --listen tcp://127.0.0.1:0 --threads 2 \
	--subsystem "$nqn" --ns "nsid=1,stack=zoned:64M[$zones]" \
	--ns "nsid=2,stack=relay:$far_url/$far[start=2048,blocks=4096]" \
	--ns "nsid=3,stack=memory:1M"
perf_zoned write 3 >"$tmp/none" 2>&1
is "no zones: usage" $? 2
is "it says that, and nothing else" "$(cat "$tmp/none")" \
	"leap-perf: namespace 3 has no zones"
ok "writes in order, several to a zone at once" perf_zoned write 1
ok "appends" perf_zoned append 1
ok "writes through a window" perf_zoned write 2
ok "appends through a window" perf_zoned append 2
out=$("$leapctl" --control "$ctl" ns add "$nqn" \
	"stack=relay:$far_url/$far[start=100]" 2>&1)
is "a window that cuts a zone is refused" $? 1
has "and says so" "$out" "zones of 256"
"$perf" --zoned sideways --quiet "$url/$nqn" >/dev/null 2>&1
is "a mode that is not there: 2" $? 2
stop_socp TERM
is "SIGTERM: 0" "$rc" 0
ok "nothing was written to stderr" test ! -s "$tmp/socp.err"
ends "the far end, too," "$far_pid"
plan
