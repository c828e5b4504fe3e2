#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2034,SC2154
#
# In a guest: NVMe over soft RDMA, ours and Linux', each as host and as target.
# 70-rdma.sh starts it and counts its checks.

BUILD=/nowhere SOCP=/usr/bin/socp LEAP_PERF=/usr/bin/leap-perf LEAPCTL=
ADDR=10.88.0.1 PORT=4420 TRTYPE=rdma DRIVER=${DRIVER:-rxe}
CFG=/sys/kernel/config/nvmet SUB=$CFG/subsystems/$NQN NVMET_PORT=$CFG/ports/1
. /run/commands.sh
. /run/guest-lib.sh
ulimit -l unlimited

# What nvmet takes in a capsule, and the I/O that its end has to interrupt. It
# waits for its RDMA READs when it disconnects, and siw forgets those that are
# out then: nvmet stands still for ever, whichever host wrote. So nothing is read
# there.
CAPSULE=4096 BOUNCE_BS=4k-128k
[ "$DRIVER" != siw ] || { CAPSULE=16384 BOUNCE_BS=4k-16k; }

# ---- the lab ----

device() {
	ip addr add $ADDR/24 dev dummy0 && ip link set dummy0 up && link_add
}

link_add() {
	rdma link add "${DRIVER}0" type "$DRIVER" netdev dummy0 &&
		rdma link show | grep -q "${DRIVER}0/1 state ACTIVE"
}

ping_pong() {
	(rping -s -a $ADDR -C 5 >/dev/null 2>&1 &)
	wait_for 10 timeout 60 rping -c -a $ADDR -C 5
}

rc_ping_pong() {
	(ibv_rc_pingpong -d rxe0 -g 1 -n 50 >/dev/null 2>&1 &)
	wait_for 10 timeout 60 ibv_rc_pingpong -d rxe0 -g 1 -n 50 $ADDR
}

# ---- socp ----

# Again while it ends at once: the kernel keeps the lock of a killed process on its
# file until its last write has landed.
target_start() { wait_for 10 target_try; }

target_try() {
	rdma_socp_run $ADDR $PORT /tmp/ctl.sock memory:48M file:/tmp/ns2.img \
		>>/tmp/socp.log 2>&1 &
	target=$!
	wait_for 10 listens_or_ended
	listening && return
	target_kill
	return 1
}

listens_or_ended() { listening || has_ended $target; }

# Its last line since it was started.
listening() {
	! has_ended $target && tail -n 1 /tmp/socp.log | grep -q 'listening on rdma'
}

target_kill() {
	kill -KILL $target
	wait $target 2>/dev/null
	echo killed >>/tmp/socp.log
}

discovery() {
	nvme discover -t rdma -a $ADDR -s $PORT -o json >/tmp/disc.json &&
		grep -q "\"subnqn\":\"$NQN\"" /tmp/disc.json &&
		grep -q '"trtype":"rdma"' /tmp/disc.json &&
		grep -q "\"traddr\":\"$ADDR\"" /tmp/disc.json && return
	cat /tmp/disc.json
	return 1
}

# One connection with QUEUES I/O queues: writes that fit in a capsule, writes
# that are fetched by their keys, and both read back.
matrix() {
	local queues=$1 dev count

	check "$queues queues: connect" connect -i "$queues" || return
	count=$(cat "/sys/class/nvme/$(ctrl)/queue_count")
	[ "$count" = $((queues + 1)) ]
	ok $? "$queues queues: the kernel got them all"
	dev=/dev/$(ns 1)
	put /tmp/small "$dev" 4k >/tmp/put.out && same /tmp/small "$dev"
	ok $? "$queues queues: 4 KiB writes read back"
	put /tmp/large "$dev" 1M >/tmp/put.out && same /tmp/large "$dev"
	ok $? "$queues queues: 1 MiB writes read back"
	check "$queues queues: disconnect" disconnect
}

resets() {
	busy 2
	check "nvme reset" nvme reset "/dev/$(ctrl)"
	check "live after the reset" wait_for 20 state_is live
	check "fio goes on over the reset" busy_end
	put /tmp/small "/dev/$(ns 2)" 4k >/tmp/put.out
	check "disconnect" disconnect
	check "reconnect" connect -i 2
	check "the data is still there" same /tmp/small "/dev/$(ns 2)"
}

# A target that is killed loses nothing that it has acknowledged.
killed_target() {
	busy 2 --bssplit=4k/70:64k/30 --size=12m --rate=1500k
	sleep 2
	check "SIGKILL the target" target_kill
	check "the kernel notices" wait_for 20 state_is connecting
	kill -0 $busy
	ok $? "fio is still at it"
	check "start the target again" target_start
	check "the kernel reconnects" wait_for 40 state_is live
	busy_end
	ok $? "fio finishes and every acknowledged write is there"
}

linux_on_socp() {
	truncate -s 128M /tmp/ns2.img
	dd if=/dev/urandom of=/tmp/small bs=4k count=32 2>/dev/null
	dd if=/dev/urandom of=/tmp/large bs=1M count=4 2>/dev/null
	check "socp listens" target_start || { cat /tmp/socp.log; exit 1; }
	check "discover names the subsystem and how it is reached" discovery
	matrix 1
	matrix 2
	matrix 4
	check "connect" connect -i 4
	check "fio: 512 B to 1 MiB, verified" fio_verify mixed "$(ns 1)" \
		--rw=randrw --size=16m \
		--bssplit=512/10:4k/40:16k/20:64k/20:256k/7:1m/3
	filesystem
	resets
	killed_target
	check "disconnect at the end" disconnect
}

# ---- our host end ----

ours_on_socp() {
	check "leap-perf on socp: verified I/O, 4 queues" \
		rdma_perf_verify $ADDR $PORT --range 16M --time 4 --queues 4
	target_kill
}

# ---- shared receives ----

shared_start() { wait_for 10 shared_try "$1"; }

shared_try() {	# HOW-MANY
	# What the one before has said is not to be taken for this one's.
	rm -f /tmp/shared.log
	rdma_socp_run $ADDR "$PORT,srq=$1" /tmp/ctl.sock memory:48M \
		file:/tmp/ns2.img >/tmp/shared.log 2>&1 &
	target=$!
	wait_for 10 shared_listens_or_ended
	shared_listens && return
	target_kill
	return 1
}

shared_listens() { grep -qs 'listening on rdma' /tmp/shared.log; }
shared_listens_or_ended() { shared_listens || has_ended $target; }

shared_queues() {	# HOW-MANY: of leap-perf, since socp was started
	[ "$(grep -c 'of 33 takes part in 640' /tmp/shared.log)" = "$1" ]
}

# Their queue pairs break in the middle of whatever they receive.
killed_hosts() {
	local i host

	for i in 1 2 3 4 5 6; do
		$LEAP_PERF --bs 4k --mix 50 --time 3600 --queues 4 --quiet \
			"rdma://$ADDR:$PORT/$NQN" &
		host=$!
		wait_for 30 shared_queues $((4 * i)) || return
		sleep 0.5
		kill -KILL $host || return
		wait $host
	done
	kill -0 $target
}

rnr_sent() {
	cat "/sys/class/infiniband/${DRIVER}0/ports/1/hw_counters/send_rnr_err"
}

# Fewer than there are entries of queues, and then so few that hosts often find
# none. That is not for Linux' host over rxe: whenever that sends something again
# it registers memory again as well, which it refuses itself, and the queue is lost.
shared_receives() {
	local before socp=$SOCP

	SOCP="$SOCP --log-level debug"
	check "shared receives: socp listens" shared_start 640
	check "shared receives: connect, 4 queues" connect -i 4
	check "shared receives: Linux writes and reads, verified" \
		fio_verify shared "$(ns 1)" --rw=randrw --size=16m \
		--iodepth=128 --bssplit=512/10:4k/60:16k/20:64k/10
	check "shared receives: six hosts are killed" killed_hosts
	check "shared receives: verified after it" fio_verify after "$(ns 1)" \
		--rw=randrw --size=8m --iodepth=128 --bs=4k
	check "shared receives: disconnect" disconnect
	[ "$(grep -c 'of 128 takes part in 640' /tmp/shared.log)" = 4 ]
	ok $? "shared receives: four queues had them, and none was lost"
	target_kill
	before=$(rnr_sent)
	check "few shared receives: socp listens" shared_start 24
	check "few shared receives: leap-perf writes and reads, verified" \
		rdma_perf_verify $ADDR $PORT --range 16M --time 4 --queues 4
	[ "$(rnr_sent)" -gt "$before" ]
	ok $? "few shared receives: it had to wait for some"
	[ "$(grep -c 'takes part in 24' /tmp/shared.log)" = 4 ]
	ok $? "few shared receives: and lost no queue"
	target_kill
	cat /tmp/shared.log >>/tmp/socp.log
	SOCP=$socp
}

nvmet_up() {
	mkdir "$SUB" && echo 1 >"$SUB/attr_allow_any_host" &&
		mkdir "$SUB/namespaces/1" &&
		echo /dev/loop1 >"$SUB/namespaces/1/device_path" &&
		echo 1 >"$SUB/namespaces/1/enable" && mkdir "$NVMET_PORT" &&
		echo rdma >"$NVMET_PORT/addr_trtype" &&
		echo ipv4 >"$NVMET_PORT/addr_adrfam" &&
		echo $ADDR >"$NVMET_PORT/addr_traddr" &&
		echo 4421 >"$NVMET_PORT/addr_trsvcid" &&
		echo "$CAPSULE" >"$NVMET_PORT/param_inline_data_size" &&
		ln -s "$SUB" "$NVMET_PORT/subsystems/$NQN"
}

nvmet_start() {
	truncate -s 64M /tmp/nvmet.img && losetup /dev/loop1 /tmp/nvmet.img &&
		nvmet_up
}

port_bounce() {
	rm "$NVMET_PORT/subsystems/$NQN" && sleep 2 &&
		ln -s "$SUB" "$NVMET_PORT/subsystems/$NQN"
}

# All of it, as near to a kill as a target in a kernel can be.
nvmet_bounce() {
	rm "$NVMET_PORT/subsystems/$NQN" && rmdir "$NVMET_PORT" &&
		echo 0 >"$SUB/namespaces/1/enable" &&
		rmdir "$SUB/namespaces/1" "$SUB" && rmmod nvmet-rdma &&
		rmmod nvmet && sleep 2 && insmod /modules/nvmet.ko &&
		insmod /modules/nvmet-rdma.ko && nvmet_up
}

written_by_nvmet() { awk '{ print $5 }' /sys/block/loop1/stat; }
nvmet_wrote_since() { [ "$(written_by_nvmet)" -gt "$1" ]; }

# bounce NAME COMMAND: verified I/O goes on over it
bounce() {
	local perf before

	before=$(written_by_nvmet)
	(exec_rdma_perf_verify $ADDR 4421 --range 16M --time 3600 --queues 2 \
		--bs "$BOUNCE_BS") >/tmp/perf.log 2>&1 &
	perf=$!
	wait_for 10 nvmet_wrote_since "$before"
	sleep 2
	check "$1" "$2"
	kill -0 $perf
	ok $? "leap-perf is still at it"
	before=$(written_by_nvmet)
	wait_for 20 nvmet_wrote_since "$before"
	sleep 2
	kill -INT $perf
	wait $perf
	ok $? "it finishes, and nothing was lost" || cat /tmp/perf.log
}

ours_on_linux() {
	check "nvmet serves over rdma" nvmet_start
	check "leap-perf on nvmet: verified I/O, 1 queue" \
		rdma_perf_verify $ADDR 4421 --range 16M --time 4 --queues 1
	check "leap-perf on nvmet: verified I/O, 4 queues" \
		rdma_perf_verify $ADDR 4421 --range 16M --time 4 --queues 4
	bounce "nvmet's port goes and comes" port_bounce
	bounce "nvmet goes, module and all, and comes" nvmet_bounce
}

again() {
	check "again: connect" connect -i 4
	killed_target
	check "again: filesystem" fio_verify long "$(ns 2)" --rw=randwrite \
		--bs=16k --size=64m
	check "again: disconnect" disconnect
}

echo "leapio: test starts" >/dev/kmsg
check "the device" device || exit 1
check "rping" ping_pong || exit 1
# Over iWARP only the connection manager connects.
[ "$DRIVER" != rxe ] || check "ibv_rc_pingpong" rc_ping_pong || exit 1
linux_on_socp
[ -z "$LONG" ] || again
ours_on_socp
[ "$DRIVER" != rxe ] || shared_receives
ours_on_linux
kernel_log || grep -H -v -x 0 /sys/class/infiniband/*/ports/1/hw_counters/*
sed 's/^/socp: /' /tmp/socp.log
exit 0
