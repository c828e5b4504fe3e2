#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 70-rdma.sh [--long]
#
# NVMe over soft RDMA (rxe) inside one guest: first what others' programs make of
# that device, so that a broken lab is not taken for a broken library; then the
# Linux host on socp, leap-perf on Linux nvmet, and leap-perf on socp. With --long
# all of it over iWARP (siw) too, with a kernel that has it. TAP.

long=
while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done
. "$(dirname "$(realpath "$0")")/lib.sh"
CHECKS=52 SHARED=7
[ -z "$long" ] || CHECKS=$((CHECKS + 9 + CHECKS - 1))
CHECKS=$((CHECKS + SHARED))

# The providers that a program of this machine loads by name.
rxe=$(ls /usr/lib/*/libibverbs/librxe-*.so 2>/dev/null | head -n 1)
siw=$(ls /usr/lib/*/libibverbs/libsiw-*.so 2>/dev/null | head -n 1)
socp=$(real_program socp)
perf=$(real_program leap-perf)

work_open
[ -n "$socp" ] && [ -n "$perf" ] || bail "socp and leap-perf are not built"
[ -n "$rxe" ] && [ -n "$siw" ] || bail "ibverbs-providers is not installed"
export LD_LIBRARY_PATH="$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
ldd "$socp" | grep -q librdmacm || bail "socp is built without RDMA"
lab_ready ${long:+--built}
cat "$HERE/expect/dmesg.allow" "$HERE/expect/dmesg-rdma.allow" \
	>"$WORK/dmesg.allow"

# on NAME MORE-ARGUMENT...: the whole of it over that driver
on() {
	local driver=$1

	shift
	guest "$driver" --script "$HERE/guest-rdma.sh" \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" \
		--file "$HERE/commands.sh:/run/commands.sh" \
		--file "$WORK/dmesg.allow:/run/dmesg.allow" \
		--file "$rxe:$rxe" --file "$siw:$siw" \
		--prog "$socp:/usr/bin/socp" --prog "$perf:/usr/bin/leap-perf" \
		--env "NQN=$NQN" --env "DRIVER=$driver" \
		--with nvme --with fio --with e2fs --with rdma \
		--smp 4 --mem 2048 --timeout 600 \
		--module dummy --module crc32_generic \
		--module crc32c_generic "$@" \
		--module rdma_ucm --module nvme-rdma --module nvmet-rdma \
		--module loop --module ext4
}

on rxe --module rdma_rxe --env "LONG=$long"
cat "$HERE/expect/dmesg-siw.allow" >>"$WORK/dmesg.allow"
[ -z "$long" ] || on siw --kernel built --module siw
tap_done $CHECKS
