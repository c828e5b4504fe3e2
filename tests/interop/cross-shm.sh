#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Queue pairs in memory that processes of two architectures share: x86-64 on
# one side, aarch64 under qemu-user on the other, in both directions. It shows
# that the layout is the same and that neither end loses a wake-up of the
# other's; the emulator runs on the host's memory order, so it says nothing
# about barriers.
#
# usage: tests/interop/cross-shm.sh    (after scripts/cross.sh aarch64)
. "$(dirname "$0")/lib.sh"
CROSS=${CROSS:-$TOP/build/cross-aarch64}
RUN="env LEAP_TIMEOUT= $CROSS/run-target"
NQN=nqn.2024-01.io.example:cross
work_open
pid=
trap 'stop KILL; work_close' EXIT

stop() {	# SIGNAL; sets rc
	[ -n "$pid" ] || return 0
	kill -"$1" "$pid"
	wait "$pid" 2>/dev/null
	rc=$?
	pid=
}

# start RUNNER SOCP ARGUMENT...
start() {
	$1 "$2" --listen shm:"$WORK/s" --control "$WORK/ctl" \
		--subsystem $NQN --ns nsid=1,stack=memory:64M \
		--ns nsid=2,block_bytes=4096,stack=memory:64M "${@:3}" \
		>"$WORK/socp.out" 2>"$WORK/socp.err" &
	pid=$!
	for _ in $(seq 1200); do
		grep -q '^socp: listening' "$WORK/socp.out" && return 0
		sleep 0.05
	done
	cat "$WORK/socp.err"
	return 1
}

machine() { od -An -tx1 -j18 -N2 "$1" | tr -d ' '; }

# direction NAME TARGET-RUNNER TARGET-BUILD HOST-RUNNER HOST-BUILD
direction() {
	local name=$1 trun=$2 tgt=$3/examples hrun=$4 host=$5/examples p1 rc1 rc2
	local perf="$hrun $host/leap-perf/leap-perf --verify --quiet"

	tap_cmd "$name: the target starts" start "$trun" "$tgt/socp/socp" \
		--threads 1 --spin-us 0
	tap_cmd "$name: verified, deep, 512 B to 128 KiB, two queues" \
		timeout 600 $perf --time 2 --queues 2 --bs 512-128k \
		"shm:$WORK/s/$NQN"
	# The target sleeps between any two commands. Blocks of 4 KiB.
	tap_cmd "$name: verified, one at a time" timeout 600 $perf \
		--count 2000 --depth 1 --nsid 2 --range 4m "shm:$WORK/s/$NQN"
	# A host of each kind at once, on a namespace each.
	timeout 600 "$BUILD/examples/leap-perf/leap-perf" --verify --quiet \
		--time 2 "shm:$WORK/s/$NQN" >"$WORK/native" 2>&1 &
	p1=$!
	timeout 600 $RUN "$CROSS/examples/leap-perf/leap-perf" --verify \
		--quiet --time 2 --nsid 2 "shm:$WORK/s/$NQN" \
		>"$WORK/cross" 2>&1
	rc2=$?
	wait $p1
	rc1=$?
	sed 's/^/# /' "$WORK/native" "$WORK/cross"
	tap $((rc1 + rc2)) "$name: a host of each architecture at once"
	stop TERM
	tap "$rc" "$name: SIGTERM ends it well"
	[ ! -s "$WORK/socp.err" ] || sed 's/^/# /' "$WORK/socp.err"
	tap "$([ ! -s "$WORK/socp.err" ]; echo $?)" "$name: nothing on stderr"
}

# The wrapper scripts of libtool are not the programs.
native=$BUILD/examples/socp/socp
[ ! -x "$BUILD/examples/socp/.libs/socp" ] ||
	native=$BUILD/examples/socp/.libs/socp
a=$(machine "$native")
b=$(machine "$CROSS/examples/socp/socp")
echo "# ELF machines $a and $b"
tap "$([ "$a" != "$b" ]; echo $?)" "the programs are for two architectures"
direction "aarch64 target" "$RUN" "$CROSS" "" "$BUILD"
direction "aarch64 host" "" "$BUILD" "$RUN" "$CROSS"
tap_done 13
