#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: queue pairs of a PCI drive, lent. 61-lend.sh starts it and counts
# its checks.

. /run/guest-lib.sh

D=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
LENT=lent:/run/lend.sock/$NQN
NEAR=nqn.2024-01.io.example:near
socp_pid=

lends() { [ "$(grep -c '^leap-hostd: lends' /tmp/hostd.out)" -ge "${1:-1}" ]; }
driver() { basename "$(readlink "/sys/bus/pci/devices/$D/driver")"; }

verify() {	# NAME URL ARGUMENTS...
	local name=$1 url=$2

	shift 2
	check "$name" leap-perf --verify --quiet "$@" "$url"
}

listens() { grep -q '^socp: listening' /tmp/socp.out; }

# What has come over lo, in KiB.
traffic() { awk '$1 == "lo:" { print int($2 / 1024) }' /proc/net/dev; }
at_work_since() { [ "$(traffic)" -gt $(($1 + 8192)) ]; }

serve() {
	rm -f /tmp/socp.out
	socp --listen tcp://127.0.0.1:4420 --subsystem "$NEAR" --threads 2 --ns \
		"stack=relay:$LENT[nsid=1,queues=2]" >/tmp/socp.out \
		2>/tmp/socp.err &
	socp_pid=$!
	wait_for 10 listens || { cat /tmp/socp.err; return 1; }
}

lent_out() {
	check "bound to vfio-pci" leap-hostd devices bind "$D"
	leap-hostd --lend "pcie:$D/$NQN=/run/lend.sock,queues=12" \
		>/tmp/hostd.out 2>/tmp/hostd.err &
	hostd_pid=$!
	check "leap-hostd lends it" wait_for 10 lends || cat /tmp/hostd.err
}

borrowed() {
	local first

	verify "verified, blocks of 512" "$LENT" --nsid 1 --range 16m \
		--bs 512-256k --queues 2 --count 600 --depth 16
	verify "verified, blocks of 4096, PRPs" "$LENT" --nsid 2 --range 16m \
		--bs 4k-256k --queues 2 --count 600 --depth 16 --prp
	verify "sleeping for interrupts" "$LENT" --nsid 1 --range 8m \
		--count 300 --depth 1 --spin-us 0
	leap-perf --verify --quiet --nsid 1 --range 16m --queues 2 --time 4 \
		"$LENT" >/tmp/first.out 2>&1 &
	first=$!
	verify "two at once, one of them" "$LENT" --nsid 2 --range 16m \
		--queues 2 --time 3
	wait $first
	ok $? "... and the other" || cat /tmp/first.out
	! dmesg | grep -i "DMAR.*fault"
	ok $? "the IOMMU has seen no fault"
}

killed() {
	local k=0 perf from

	check "socp borrows" serve
	leap-perf --verify --quiet --range 16m --queues 2 --depth 16 --json \
		--reconnect 200 --time 3600 \
		"tcp://127.0.0.1:4420/$NEAR" >/tmp/perf.out 2>&1 &
	perf=$!
	from=$(traffic)
	while [ $k -lt "$KILLS" ]; do
		k=$((k + 1))
		# the host has to be back, and at work
		wait_for 20 at_work_since "$from"
		sleep 1
		kill -9 $socp_pid
		wait $socp_pid 2>/dev/null
		t=$(cut -d' ' -f1 /proc/uptime)
		serve
		ok $? "killed, round $k: the next one borrows"
		echo "from $t to $(cut -d' ' -f1 /proc/uptime)"
		from=$(traffic)
	done
	wait_for 20 at_work_since "$from"
	kill -INT $perf
	wait $perf
	ok $? "the host saw pauses, and its data" || cat /tmp/perf.out
	tail -n 3 /tmp/perf.out
	grep -q '"commands": *[0-9][0-9][0-9][0-9]' /tmp/perf.out
	ok $? "... and was at work meanwhile"
	kill $socp_pid
	wait $socp_pid
	! dmesg | grep -i "DMAR.*fault"
	ok $? "the IOMMU has seen no fault of a dead process"
	! grep lost /tmp/hostd.err
	ok $? "the drive was not reset for it"
}

# The device under all of them: leap-hostd takes it up again, they go on.
reset_under() {
	local perf n

	leap-perf --verify --quiet --nsid 1 --range 16m --queues 2 --time 3600 \
		--reconnect 300 "$LENT" >/tmp/perf.out 2>&1 &
	perf=$!
	sleep 4
	n=$(grep -c '^leap-hostd: lends' /tmp/hostd.out)
	echo 1 >"/sys/bus/pci/devices/$D/reset"
	wait_for 20 lends $((n + 1))
	sleep 2
	kill -INT $perf
	wait $perf
	ok $? "reset under I/O: the borrower goes on" || {
		cat /tmp/perf.out /tmp/hostd.err; }
}

given_back() {
	kill $hostd_pid
	wait $hostd_pid
	ok $? "leap-hostd ends" || cat /tmp/hostd.err
	check "released" leap-hostd devices release "$D"
	wait_for 10 ns 1
	ok $? "the kernel's driver has it again"
}

ip link set lo up 2>/dev/null || ifconfig lo 127.0.0.1 up
wait_for 10 ns 2
lent_out
borrowed
killed
reset_under
given_back
exit 0
