#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 40-tshark.sh [--target socp|nvmet] [--port PORT]
#
# What our two ends put on the wire, as tshark reads it: every PDU kind is seen
# from the end that sends it, nothing is malformed, every digest is right. socp
# talks to leap-perf, over IPv4 and IPv6; then each has to do with a peer that
# breaks the protocol, for the termination PDUs. With --target nvmet two Linux
# guests talk instead, to try the test itself. Needs root, to capture on the
# loopback device. TAP.

TARGET=socp
export LISTEN6=1
while [ $# -gt 0 ]; do
	case $1 in
	--target) TARGET=$2; shift ;;
	--port) PORT=$2; shift ;;
	--long) ;; # no more to do than always
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
. "$HERE/target-$TARGET.sh"

capture_start() {
	tshark -i lo -f "tcp port $PORT" -B 128 -w "$WORK/cap" \
		>"$WORK/tshark.log" 2>&1 &
	echo $! >"$WORK/tshark.pid"
	wait_for 20 grep -q "Capturing on" "$WORK/tshark.log" &&
		wait_for 20 test -s "$WORK/cap"
}

# A connection that nobody takes, to an address that none of the others has: what
# was sent before it is in the file when that is.
marked() {
	(exec 5<>"/dev/tcp/127.77.99.77/$PORT") 2>/dev/null
	LC_ALL=C grep -qaP '\x7f\x4d\x63\x4d' "$WORK/cap"
}

# The capture is complete when the kernel dropped none of it.
capture_stop() {
	wait_for 20 marked || return
	stop_pid INT "$WORK/tshark.pid" && [ -s "$WORK/cap" ] &&
		! grep -i "dropped" "$WORK/tshark.log"
}

# decode: one line per frame: source port, PDU types, digests, complaints
decode() {
	tshark -r "${1:-$WORK/cap}" -Y nvme-tcp \
		-d "tcp.port==$PORT,nvme-tcp" \
		-o nvme-tcp.check_hdgst:TRUE -o nvme-tcp.check_ddgst:TRUE \
		-T fields -E separator='|' -e tcp.srcport -e nvme-tcp.type \
		-e nvme-tcp.hdgst.status -e nvme-tcp.ddgst.status \
		-e _ws.malformed -e frame.number \
		>"$WORK/frames" 2>"$WORK/decode.log"
}

# seen SIDE TYPE: frames of the host or the target that hold that kind of PDU
seen() {
	awk -F'|' -v port="$PORT" -v side="$1" -v type="$2" '
		(side == "target") == ($1 == port) {
			n = split($2, t, ",")
			for (i = 1; i <= n; i++)
				count += t[i] + 0 == type
		}
		END { print side, "sent", count + 0; exit !count }' "$WORK/frames"
}

# digests COLUMN STATUS: how often (0 is bad, 1 is good)
digests() {
	awk -F'|' -v column="$1" -v status="$2" '{
			n = split($column, d, ",")
			for (i = 1; i <= n; i++)
				count += d[i] != "" && d[i] + 0 == status
		}
		END { print count + 0 }' "$WORK/frames"
}

talk() {
	if [ "$TARGET" = nvmet ]; then
		(guest "two Linux ends" --script "$HERE/guest-kernel-host.sh" \
			--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
			--env "NQN=$NQN" --env ADDR=10.0.2.2 --env "PORT=$PORT" \
			--env BRIEF=1 --with nvme --smp 4 --module nvme-tcp \
			--module crc32c_generic --net) >"$WORK/talk" 2>&1
		! grep '^not ok' "$WORK/talk"
		return
	fi
	# few and slow enough for the capture to keep up
	local digest

	for digest in "" --digest --hdgst --ddgst; do
		# shellcheck disable=SC2086 # none, or one word
		perf_verify --count 200 --range 2M --depth 4 $digest || return
	done
	PERF_HOST='[::1]' perf_verify --count 200 --range 2M --depth 4 --digest
}

# A host that breaks the protocol, then a target that does in the place of socp.
terminate() {
	local rc=0 pid

	"$BAD_PEER" host "$PORT" || return
	target_stop || return
	"$BAD_PEER" target "$PORT" >"$WORK/bad-target" 2>&1 &
	pid=$!
	echo $pid >"$WORK/bad-target.pid"
	wait_for 10 grep -q listening "$WORK/bad-target" || return
	# it gives up: exit 4 is "no connection"
	perf_verify --count 1 --loss 1 || rc=$?
	wait $pid || { cat "$WORK/bad-target"; return 1; }
	rm -f "$WORK/bad-target.pid"
	[ $rc = 4 ]
}

verdict() {
	local kind

	for kind in "host 0 ICReq" "host 4 CapsuleCmd" "host 6 H2CData" \
		"target 1 ICResp" "target 5 CapsuleResp" "target 7 C2HData" \
		"target 9 R2T"; do
		# shellcheck disable=SC2086 # three words
		set -- $kind
		tap_cmd "the $1 sent $3" seen "$1" "$2"
	done
	if [ "$TARGET" = socp ]; then
		tap_cmd "the host sent H2CTermReq" seen host 2
		tap_cmd "the target sent C2HTermReq" seen target 3
	fi
	awk -F'|' '$5 != "" { print "# malformed: frame", $6 }
		{
			n = split($2, t, ",")
			for (i = 1; i <= n; i++)
				if (t[i] == 8 || t[i] > 9)
					print "# no PDU type " t[i] ": frame", $6
		}' "$WORK/frames" >"$WORK/malformed"
	[ ! -s "$WORK/malformed" ]
	tap $? "no PDU is malformed"
	head -n 20 "$WORK/malformed"
	tap_cmd "header digests were checked" [ "$(digests 3 1)" -gt 0 ]
	tap_cmd "data digests were checked" [ "$(digests 4 1)" -gt 0 ]
	tap_cmd "no digest is wrong" [ "$(digests 3 0) $(digests 4 0)" = "0 0" ]
}

work_open
command -v tshark >/dev/null || bail "tshark is not installed"
target_program || bail "$TARGET is not built"
[ "$TARGET" = nvmet ] || [ -n "$LEAP_PERF" ] || bail "leap-perf is not built"
[ "$TARGET" = socp ] || lab_ready
[ "$TARGET" = nvmet ] || [ -n "$BAD_PEER" ] || bail "bad-peer is not built"
tap_cmd "the target starts" target_start
tap_cmd "tshark captures" capture_start
tap_cmd "the two ends talk" talk
[ "$TARGET" = nvmet ] || tap_cmd "broken protocols are ended" terminate
tap_cmd "the capture is complete" capture_stop
tap_cmd "tshark decodes it" decode
echo "# $(wc -l <"$WORK/frames") frames, good digests: $(digests 3 1) header," \
	"$(digests 4 1) data"
verdict
target_stop
if [ "$TARGET" = nvmet ]; then
	tap_done 16
else
	tap_done 19
fi
