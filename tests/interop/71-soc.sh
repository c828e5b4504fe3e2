#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 71-soc.sh [--long]
#
# A host and a SoC that share no memory: two guests joined by a network, a soft
# RDMA device in each. In one, leap-hostd with a toy guest's drive, in the other
# the socp that it relays to, which reads and writes that guest's memory by key
# and is killed and stopped meanwhile. TAP. --long kills it 20 times, and has all
# of it over iWARP (siw) too.

KILLS=3 long=
while [ $# -gt 0 ]; do
	case $1 in
	--long) KILLS=20 long=1 ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
CHECKS=$((long ? 58 : 29))

# The providers that a program of this machine loads by name.
rxe=$(ls /usr/lib/*/libibverbs/librxe-*.so 2>/dev/null | head -n 1)
siw=$(ls /usr/lib/*/libibverbs/libsiw-*.so 2>/dev/null | head -n 1)
socp=$(real_program socp)
perf=$(real_program leap-perf)
hostd=$(real_program leap-hostd)
ctl=$(real_program leapctl)
far=$(BUILD=$BUILD/tests/interop real_program far)
HOST=10.99.0.2 SOC=10.99.0.1

# machine ADDRESS LAST SERVER DRIVER MORE-ARGUMENT...: what both have in common, for
# guest.sh
machine() {
	MACHINE=(--with rdma --smp 2 --mem 768 --timeout $LIMIT
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh"
		--file "$HERE/commands.sh:/run/commands.sh"
		--file "$WORK/dmesg.allow:/run/dmesg.allow"
		--file "$rxe:$rxe" --file "$siw:$siw"
		--env "NQN=$NQN" --env "ADDR=$1" --env "DRIVER=$4"
		--module virtio_pci --module virtio_net
		--module crc32_generic --module crc32c_generic "${@:5}"
		--module rdma_ucm)
	WIRE=(--
		-netdev "stream,id=n,server=$3,addr.type=unix,addr.path=$WORK/wire-$4"
		-device "virtio-net-pci,netdev=n,romfile=,mac=52:54:00:00:00:0$2")
}

# on DRIVER MORE-ARGUMENT...: both guests, and what they show
on() {
	local log=$WORK/soc-$1.log pid

	machine $SOC 1 on "$@"
	"$VM/guest.sh" "${MACHINE[@]}" --script "$HERE/guest-soc.sh" \
		--prog "$socp:/usr/bin/socp" --prog "$far:/usr/bin/far" \
		--env "HOST=$HOST" "${WIRE[@]}" >"$log" 2>&1 &
	pid=$!
	echo $pid >"$WORK/soc.pid"
	tap_cmd "$1: the SoC is up" wait_for 60 up_or_gone $pid \
		grep -q '^the SoC is up' "$log"
	machine $HOST 2 off "$@"
	guest "$1" "${MACHINE[@]}" --script "$HERE/guest-soc-host.sh" \
		--env "SOC=$SOC" --env "KILLS=$KILLS" \
		--prog "$hostd:/usr/bin/leap-hostd" \
		--prog "$perf:/usr/bin/leap-perf" \
		--prog "$ctl:/usr/bin/leapctl" --prog "$far:/usr/bin/far" \
		--file "$WORK/no-touch.so:/run/no-touch.so" "${WIRE[@]}" ||
		stop_pid TERM "$WORK/soc.pid"
	tap_cmd "$1: the SoC's guest came to its end" wait $pid
	rm -f "$WORK/soc.pid"
}

work_open
for p in "$socp" "$perf" "$hostd" "$ctl" "$far"; do
	[ -n "$p" ] || bail "socp, leap-hostd, leap-perf, leapctl, far: not all built"
done
[ -n "$rxe" ] && [ -n "$siw" ] || bail "ibverbs-providers is not installed"
export LD_LIBRARY_PATH="$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
ldd "$socp" | grep -q librdmacm || bail "socp is built without RDMA"
lab_ready ${long:+--built}
"${CC:-cc}" -shared -fPIC -O1 -o "$WORK/no-touch.so" "$HERE/no-touch.c" -ldl ||
	bail "no-touch.so does not build"
# The last line of these: a queue pair that was broken while the peer used it.
cat "$HERE/expect/dmesg.allow" "$HERE/expect/dmesg-rdma.allow" - \
	>"$WORK/dmesg.allow" <<-ALLOW
	rxe0: qp#[0-9]+ (make_send_cqe|do_complete): non-flush error status = [0-9]+
ALLOW
LIMIT=$((600 + KILLS * 60))
trap 'stop_pid TERM "$WORK/soc.pid"; work_close' EXIT
on rxe --module rdma_rxe
cat "$HERE/expect/dmesg-siw.allow" >>"$WORK/dmesg.allow"
[ -z "$long" ] || on siw --kernel built --module siw
tap_done $CHECKS || { sed 's/^/# soc: /' "$WORK"/soc-*.log; exit 1; }
