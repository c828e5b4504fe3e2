#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154
#
# In a guest: the Linux kernel as NVMe/TCP host of the target at $ADDR:$PORT.
# 10-kernel-host-tcp.sh starts it, counts its checks and answers its host calls.
# With $BRIEF it stops after the first connections, with $LONG it tries
# every number of queues with every choice of digests.

. /run/guest-lib.sh

discovery() {
	nvme discover -t tcp -a "$ADDR" -s "$PORT" -o json >/tmp/disc.json &&
		grep -q "\"subnqn\":\"$NQN\"" /tmp/disc.json &&
		grep -q "\"traddr\":\"$ADDR\"" /tmp/disc.json &&
		grep -q "\"trsvcid\":\"$PORT\"" /tmp/disc.json &&
		return
	cat /tmp/disc.json
	return 1
}

connect_all() {
	nvme connect-all -t tcp -a "$ADDR" -s "$PORT" &&
		wait_for 10 state_is live && wait_for 10 ns 1 && wait_for 10 ns 2
}

# One connection with QUEUES I/O queues and digest FLAGS: writes that fit in a
# capsule, writes that need R2Ts, and both read back.
matrix() {
	local queues=$1 label dev count

	shift
	label="$queues I/O queues${*:+ $*}"
	check "$label: connect" connect -i "$queues" "$@" || return
	count=$(cat "/sys/class/nvme/$(ctrl)/queue_count")
	[ "$count" = $((queues + 1)) ]
	ok $? "$label: the kernel got all its queues ($count with the admin queue)"
	dev=/dev/$(ns 1)
	dd if=/dev/urandom of=/tmp/small bs=4k count=32 2>/dev/null
	dd if=/dev/urandom of=/tmp/large bs=1M count=4 2>/dev/null
	put /tmp/small "$dev" 4k >/tmp/put.out && same /tmp/small "$dev"
	ok $? "$label: 4 KiB writes read back"
	put /tmp/large "$dev" 1M >/tmp/put.out && same /tmp/large "$dev"
	ok $? "$label: 1 MiB writes read back"
	check "$label: disconnect" disconnect
}

mixed_fio() {
	local dev discards

	dev=$(ns 1)
	check "fio: 512 B to 1 MiB, verified, with trims" \
		fio_verify mixed "$dev" --rw=randtrimwrite --size=48m \
		--bssplit=512/10:4k/40:16k/20:64k/20:256k/7:1m/3
	discards=$(awk '{ print $12 }' "/sys/block/$dev/stat")
	[ "$discards" -gt 0 ]
	ok $? "the trims reached the device"
	blkdiscard -o 0 -l 4194304 "/dev/$dev" && dd if=/dev/zero bs=1M count=4 \
		of=/tmp/zero 2>/dev/null && same /tmp/zero "/dev/$dev"
	ok $? "what was trimmed reads as zeroes"
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
	busy 2 --bssplit=4k/70:64k/30 --size=24m --rate=3m
	sleep 2
	check "host: SIGKILL the target" host target-kill
	check "the kernel notices" wait_for 20 state_is connecting
	kill -0 $busy
	ok $? "fio is still at it"
	check "host: start the target again" host target-start
	check "the kernel reconnects" wait_for 40 state_is live
	busy_end
	ok $? "fio finishes and every acknowledged write is there"
}

# A target that stands still for a while: keep-alives time out on both sides.
frozen_target() {
	busy 2
	check "host: freeze the target" host target-freeze
	check "the kernel misses it" wait_for 60 state_is connecting
	check "host: thaw the target" host target-thaw
	check "the kernel is back" wait_for 60 state_is live
	check "fio goes on" busy_end
}

# A command that is refused comes back with its status and is in the error log.
refused() {
	local dev

	dev=/dev/$(ns 1)
	nvme io-passthru "$dev" --opcode=2 --namespace-id=1 --data-len=512 \
		--cdw10=0x7fffffff --read >/tmp/refused.out 2>&1
	check "a read past the end: $REFUSAL" grep -i "$REFUSAL" /tmp/refused.out ||
		cat /tmp/refused.out
	nvme error-log "/dev/$(ctrl)" -e 1 -o json >/tmp/refused.out
	check "the error log has it" grep -E '"lba":2147483647' /tmp/refused.out
}

answers() {
	local c fid

	c=/dev/$(ctrl)
	keep id-ctrl nvme id-ctrl "$c" -o json
	keep id-ns-1 nvme id-ns "$c" -n 1 -o json
	keep ns-descs-1 nvme ns-descs "$c" -n 1 -o json
	keep list-ns nvme list-ns "$c" -o json
	keep smart-log nvme smart-log "$c" -o json
	keep error-log nvme error-log "$c" -e 4 -o json
	keep effects-log nvme effects-log "$c" -o json
	keep show-regs nvme show-regs "$c" -o json
	for fid in $FEATURES; do
		keep "feature-$fid" nvme get-feature "$c" -f $fid -o json
	done
}

digests() {
	local queues

	if [ -z "$LONG" ]; then
		matrix 1
		matrix 2 -g
		matrix 2 -G
		matrix 4 -g -G
		return
	fi
	for queues in 1 2 4; do
		matrix $queues
		matrix $queues -g
		matrix $queues -G
		matrix $queues -g -G
	done
}

first_light() {
	check "discover names the subsystem and where it is" discovery
	check "connect-all goes where the discovery log points" connect_all ||
		exit 1
	check "disconnect" disconnect
}

echo "leapio: test starts" >/dev/kmsg
first_light
digests
[ -z "$BRIEF" ] || exit 0
check "connect" connect -i 4
put /tmp/large "/dev/$(ns 1)" 64k >/tmp/put.out	# for the counters
refused
answers
filesystem
mixed_fio
namespaces
resets
killed_target
check "disconnect at the end" disconnect
kernel_log
[ -n "$LONG" ] || exit 0
check "connect once more" connect -i 2
frozen_target
check "disconnect at last" disconnect
exit 0
