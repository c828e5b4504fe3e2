#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2034
#
# In the guest that plays the host: leap-hostd with a drive of a toy guest, whose
# queue pairs it relays over RDMA to the socp of the other guest. 71-soc.sh starts
# both and counts the checks. ADDR: of this guest, SOC: of the other; DRIVER: of the
# device; KILLS: how often that socp is killed.

BUILD=/nowhere SOCP='' LEAP_PERF=/usr/bin/leap-perf LEAPCTL=/usr/bin/leapctl
LEAP_HOSTD=/usr/bin/leap-hostd
. /run/commands.sh
. /run/guest-lib.sh
ulimit -l unlimited

VM=/tmp/vm.sock CTL=/tmp/hostd.sock

# soc WORD: have the other guest do it; its output, and whether it went well
soc() {
	echo "$1" | timeout 300 nc "$SOC" 900 >/tmp/soc.out || return 1
	grep -v '^@rc ' /tmp/soc.out
	grep -qx '@rc 0' /tmp/soc.out
}

device() {
	ip addr add "$ADDR/24" dev eth0 && ip link set eth0 up &&
		rdma link add "${DRIVER}0" type "$DRIVER" netdev eth0 &&
		rdma link show | grep -q "${DRIVER}0/1 state ACTIVE" &&
		wait_for 20 ping -c 1 -W 1 "$SOC"
}

ping_pong() {
	soc rping && wait_for 10 timeout 60 rping -c -a "$SOC" -C 5
}

hostd_start() {
	(
		export LD_PRELOAD=/run/no-touch.so NO_TOUCH_LOG=/tmp/no-touch.log
		relay_hostd_run "rdma://$SOC:4420" $CTL $VM
	) </dev/null >>/tmp/hostd.log 2>&1 &
	hostd=$!
	wait_for 10 test -S $VM
}

has_ns() {
	$LEAPCTL --control $CTL --json drives | tr -d ' \n' |
		grep -q '"namespaces":\[1\]'
}

# The toy guest: a driver over vfio-user, with memory of its own.
toy() { (exec_toy "$@"); }

exec_toy() {
	exec leap-perf --verify --quiet --range 32m --depth 16 --queues 2 "$@" \
		"vfio-user:$VM/$NQN"
}

# Payload that the agent has copied, the library's own included.
copied() {
	$LEAPCTL --control $CTL --json info | sed -n 's/.*"bounced": *\([0-9]*\).*/\1/p'
}

untouchable() { grep -c '^registered' /tmp/no-touch.log; }

# What the agent may do with the memory of the toy guest's payload.
maps() { awk '/memfd:leap-perf/ { print $2 }' /proc/$hostd/maps; }

# siw counts nothing.
hw() {
	cat "/sys/class/infiniband/${DRIVER}0/ports/1/hw_counters/$1" 2>/dev/null ||
		echo 0
}

zero_copies() {
	local before sends packets

	check "the agent relays, small" toy --bs 4k --count 500
	before=$(copied) sends=$(hw rdma_sends) packets=$(hw sent_pkts)
	check "verified I/O, 4 to 128 KiB" toy --bs 4k-128k --count 1500
	check "... and 512 bytes" toy --bs 512 --count 500
	[ -n "$before" ] && [ "$(copied)" = "$before" ]
	ok $? "no payload was copied by the agent" ||
		echo "before $before, now $(copied)"
	[ "$(untouchable)" -ge 3 ] && ! grep -v '^registered' /tmp/no-touch.log
	ok $? "... which could not even have read it" || cat /tmp/no-touch.log
	echo "messages sent $(($(hw rdma_sends) - sends)), packets" \
		"$(($(hw sent_pkts) - packets))"
	check "it is on the SoC's disk" soc written
}

killed() {
	local i=0 perf bad=0

	(exec_toy --bs 4k-64k --time 3600 >/tmp/perf.log 2>&1) &
	perf=$!
	while [ $i -lt "$KILLS" ]; do
		i=$((i + 1))
		sleep 2
		soc kill && soc start || bad=1
		sleep 2
	done
	[ $bad = 0 ]
	ok $? "socp is killed $KILLS times, and started again"
	kill -0 $perf
	ok $? "the guest is still at it"
	kill $perf
	wait $perf
	ok $? "it saw pauses, right bytes and no error"
	cat /tmp/perf.log
}

was_reset() {
	$LEAPCTL --control $CTL inspect "$NQN" | tr '\n' ' ' |
		grep -q ' 0 B of memory.*nothing in flight'
}

busy() {
	$LEAPCTL --control $CTL inspect "$NQN" |
		awk '$3 == "issued" && $1 > 0' | grep -q .
}

# The guest is gone while a socp that lives does nothing: its memory is given
# back by the end of the queue pair.
stopped() {
	local perf from

	leap-perf --quiet --verify --range 32m --bs 64k --depth 16 --time 3600 \
		"vfio-user:$VM/$NQN" >/dev/null 2>&1 &
	perf=$!
	sleep 2
	soc stop
	check "stopped, with commands out" wait_for 10 busy
	maps >/tmp/maps
	grep -q '^---s' /tmp/maps && ! grep -v '^---s' /tmp/maps
	ok $? "the agent's mapping of their payload has no access" ||
		cat /tmp/maps
	kill -KILL $perf
	wait $perf 2>/dev/null
	check "the guest's memory is given back" wait_for 10 was_reset
	soc cont
	check "the next guest finds the drive as it should be" toy --count 500
}

shared() { grep -q '^sharing' /tmp/far.out; }

# Memory of this guest as ranges of an address space in the other: without a
# process here that runs.
far_memory() {
	local far

	far share "rdma://$ADDR:4430" >/tmp/far.out 2>/tmp/far.err &
	far=$!
	check "memory is shared" wait_for 10 shared || cat /tmp/far.err
	check "... and half of it moved" soc far
	kill -STOP $far
	check "... the rest with its owner stopped" soc far-go
	kill -CONT $far
	kill $far
	wait $far
	ok $? "every byte was read and written" || cat /tmp/far.out /tmp/far.err
}

echo "leapio: test starts" >/dev/kmsg
check "the device" device || exit 1
check "rping, guest to guest" ping_pong || exit 1
far_memory
check "socp starts in the other guest" soc start || { soc log; exit 1; }
check "leap-hostd starts" hostd_start
check "the namespace comes" wait_for 20 has_ns
zero_copies
killed
stopped
kill $hostd
wait $hostd
ok $? "leap-hostd ends at SIGTERM"
[ "$(grep -c 'error:' /tmp/hostd.log)" = 0 ]
ok $? "it has said no error"
kernel_log
# A check there, which is one of ours.
soc kernel >/tmp/kernel.out 2>&1
grep -q '^@ok' /tmp/soc.out
ok $? "nor has the other guest's kernel" || sed 's/^@/soc: /' /tmp/kernel.out
sed 's/^/hostd: /' /tmp/hostd.log
soc log | sed 's/^/socp: /'
soc end
exit 0
