#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: one drive behind leap-hostd and socp, for every kind of host.
# 63-chain.sh starts it and counts its checks.
#
#	drive -- leap-hostd ==queue pairs==> socp --+-- tcp: the kernel's host
#	                                            +-- shm: leap-perf
#	                                            +-- vfio-user: leap-perf

. /run/guest-lib.sh

D=$(basename "$(readlink -f /sys/class/nvme/nvme0/device)")
LENT=lent:/run/lend.sock/$DRIVE_NQN
NQN=nqn.2024-01.io.example:chain
ADDR=127.0.0.1 PORT=4420
SHM=/run/chain.sock
VM=/run/vm.sock
CTL=/run/socp.ctl

pci_ns() {	# NSID: of the drive, as the kernel's own driver has it
	local b

	for b in /sys/block/nvme*n*; do
		case $b in */nvme*c*n*) continue ;; esac
		case $(readlink -f "$b") in *"/$D/"* | */nvme-subsystem/*) ;;
		*) continue ;; esac
		[ "$(cat "$b/nsid" 2>/dev/null)" = "$1" ] && basename "$b" &&
			return
	done
	return 1
}

lends() { grep -q '^leap-hostd: lends' /tmp/hostd.out; }
listens() { grep -q "^socp: listening" /tmp/socp.out; }

started() {
	check "bound to vfio-pci" leap-hostd devices bind "$D"
	leap-hostd --lend "pcie:$D/$DRIVE_NQN=/run/lend.sock,queues=12" \
		>/tmp/hostd.out 2>/tmp/hostd.err &
	hostd_pid=$!
	check "leap-hostd lends the drive" wait_for 10 lends
	socp --listen "tcp://$ADDR:$PORT" --listen "shm:$SHM" \
		--control "$CTL" --threads 2 --subsystem "$NQN" \
		--ns "nsid=1,stack=relay:${LENT}[nsid=1,queues=2]" \
		--ns "nsid=2,block_bytes=4096,stack=relay:${LENT}[nsid=2,queues=2]" \
		--vfio-user "$VM" >/tmp/socp.out 2>/tmp/socp.err &
	socp_pid=$!
	check "socp borrows it" wait_for 20 listens || {
		cat /tmp/socp.out /tmp/socp.err; exit 1; }
}

# What socp counts, in all its threads and namespaces: read+written, copied.
passed_on() {
	leapctl --control "$CTL" --json stacks | tr -d ' \n' |
		grep -o '"ops":[0-9]*' | awk -F: '{ n += $2 } END { print n + 0 }'
}

copied() {
	leapctl --control "$CTL" --json stats | tr -d ' \n' |
		grep -o '"bounced":[0-9]*' |
		awk -F: '{ n += $2 } END { print NR ? n : "nothing" }'
}

# uncopied NAME LEAST: since the last time that many commands, none copied
before=0
uncopied() {
	local now

	now=$(passed_on)
	[ $((now - before)) -ge "$2" ] && [ "$(copied)" = 0 ]
	ok $? "$1: $((now - before)) commands passed on, $(copied) with a copy of payload"
	before=$now
}

kernel_host() {
	local nsid

	check "tcp: the kernel connects" connect -i 2 || {
		cat /tmp/socp.err; dmesg | tail -n 5; }
	check "tcp: namespace 2 is there" wait_for 10 ns 2
	for nsid in 1 2; do
		check "tcp: fio, verified, namespace $nsid" fio_verify "tcp$nsid" \
			"$(tcp_ns $nsid)" --rw=randrw --size=8m --io_size=16m \
			--bssplit=4k/50:16k/30:128k/20 --numjobs=1
	done
	uncopied "tcp" 500
	put /tmp/image "/dev/$(tcp_ns 1)" 64k >/tmp/put.out &&
		same /tmp/image "/dev/$(tcp_ns 1)"
	ok $? "tcp: an image is written, and read back"
	check "tcp: disconnect" disconnect
}

tcp_ns() {
	local b

	for b in /sys/block/nvme*n*; do
		case $b in */nvme*c*n*) continue ;; esac
		[ "$(cat "$b/device/subsysnqn" 2>/dev/null)" = "$NQN" ] &&
			[ "$(cat "$b/nsid")" = "$1" ] && basename "$b" && return
	done
	return 1
}

verify() {	# NAME URL ARGUMENTS...
	local name=$1 url=$2

	shift 2
	leap-perf --verify --quiet --json --range 8m "$@" "$url" \
		>/tmp/perf.out 2>&1
	ok $? "$name" || cat /tmp/perf.out
}

# At its start a host over shm offers its memory, and copies until that has been
# accepted.
few_copied() {	# NAME MOST
	local n

	n=$(grep -o '"bounced":[0-9]*' /tmp/perf.out | cut -d: -f2)
	[ -n "$n" ] && [ "$n" -le "$2" ]
	ok $? "$1: its host copied the payload of $n commands"
}

by_memory() {
	verify "shm: verified, blocks of 512" "shm:$SHM/$NQN" --nsid 1 \
		--bs 512-128k --queues 2 --depth 16 --count 1500
	few_copied shm 500
	verify "shm: verified, blocks of 4096" "shm:$SHM/$NQN" --nsid 2 \
		--bs 4k-128k --queues 2 --depth 16 --count 1500
	few_copied shm 500
	uncopied "shm" 3000
	verify "virtual machine: verified" "vfio-user:$VM/$NQN" --nsid 2 \
		--bs 4k-128k --queues 2 --depth 16 --count 1500
	few_copied "virtual machine" 0
	uncopied "virtual machine" 1500
}

ended() {
	kill $socp_pid
	wait $socp_pid
	ok $? "socp ends" || cat /tmp/socp.err
	kill $hostd_pid
	wait $hostd_pid
	ok $? "leap-hostd ends" || cat /tmp/hostd.err
	check "released" leap-hostd devices release "$D"
	wait_for 10 pci_ns 1
	check "the kernel's own driver reads the image" \
		same /tmp/image "/dev/$(pci_ns 1)"
	! dmesg | grep -i "DMAR.*fault"
	ok $? "the IOMMU has seen no fault"
}

ip link set lo up
check "the kernel's driver has the drive" wait_for 10 pci_ns 2
dd if=/dev/urandom of=/tmp/image bs=1M count=4 2>/dev/null
started
by_memory
kernel_host
ended
exit 0
