#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: verified I/O while the process that serves the drive is killed,
# stopped and replaced under it. 52-vfio-user-kill.sh starts it, counts its
# checks and answers its host calls. KILLS: how often it is killed. PART: all, or
# pauses only. MEM: the guest's memory in MiB.

. /run/guest-lib.sh

dev=''

# Each half by itself, so that no two jobs write the same blocks.
load() {
	rm -f /tmp/load.end
	until [ -e /tmp/load.end ]; do
		fio_verify load "$dev" --rw=randrw --iodepth=32 \
			--bssplit=512/20:4k/40:64k/30:256k/10 \
			--offset=128m --size=16m || return 1
	done &
	load=$!
	fio --name=probe --filename="/dev/$dev" --ioengine=libaio --direct=1 \
		--rw=randread --bs=4k --iodepth=1 --rate_iops=500 --size=64m \
		--time_based --runtime=600 --write_lat_log=/tmp/probe \
		--eta=never --output=/tmp/probe.out &
	probe=$!
	sleep 2
}

load_end() {	# NAME
	touch /tmp/load.end
	wait $load
	ok $? "$1: fio finishes, and every byte is what it should be"
	kill -INT $probe 2>/dev/null
	wait $probe
	grep -q 'err= 0' /tmp/probe.out
	ok $? "$1: no read failed"
}

# As many pauses as there were interruptions: the longest ones, in ms.
pauses() {	# NAME COUNT
	cat /tmp/probe_lat*.log | awk -F', *' '{ print int($2 / 1000) }' |
		sort -n | tail -n "$2" | awk '
		{ v[NR] = $1 / 1000 }
		END { printf "%d %.1f %.1f\n", NR, v[int((NR + 1) / 2)], v[NR] }' \
		>/tmp/pauses
	awk -v name="$1" '{ printf "pause of %d %s: median %s ms, maximum %s ms\n",
		$1, name, $2, $3 }' /tmp/pauses
	host put "$1.$MEM" "$(base64 -w 0 /tmp/pauses)"
	rm -f /tmp/probe_*.log
}

quiet() {	# NAME: the driver noticed nothing
	! dmesg | sed '1,/leapio: test starts/d' |
		grep -iE 'nvme.*(timeout|abort|reset|error|fail)|blk_update|I/O error'
	ok $? "$1: the kernel noticed nothing"
}

moment() {	# half a second to a second and a half
	sleep "$(awk -v s="$1$(date +%N)" 'BEGIN { srand(s % 100000)
		print 0.5 + rand() }')"
}

killed() {
	local i bad=0

	load
	for i in $(seq "$KILLS"); do
		host kill-busy || bad=1
		moment "$i"
	done
	[ $bad = 0 ]
	ok $? "killed and started again $KILLS times"
	load_end killed
	pauses kills "$KILLS"
	quiet killed
}

handed_over() {
	local i bad=0

	load
	for i in 1 2 3; do
		host handoff || bad=1
		moment "$i"
	done
	[ $bad = 0 ]
	ok $? "handed over 3 times"
	load_end "handed over"
	pauses handoffs 3
	quiet "handed over"
}

stopped() {
	load
	check "stopped by SIGSTOP" host freeze-busy
	sleep 1
	check "then killed and started" host kill
	sleep 1
	load_end stopped
	quiet stopped
}

unmounting() {
	check "mkfs.ext4" /usr/bin/mke2fs -q -t ext4 -F "/dev/$dev"
	mount -t ext4 "/dev/$dev" /mnt && cp -a /usr /bin /mnt/
	host kill-in unmount
	umount /mnt
	ok $? "it is unmounted"
	check "killed in the middle of it" host was-hit unmount
	check "fsck -f" e2fsck -f -n "/dev/$dev"
	quiet unmounting
}

resetting() {
	host kill-in reset
	check "nvme reset" nvme reset "/dev/$(ctrl)"
	check "killed in the middle of it" host was-hit reset
	check "live" wait_for 30 state_is live
	sleep 1
	check "stopped again" host runtime-freeze
	check "nvme reset while it is stopped" nvme reset "/dev/$(ctrl)"
	check "started again" host kill
	check "live again" wait_for 30 state_is live
	check "fsck -f, after that" e2fsck -f -n "/dev/$dev"
}

case $(host boot) in
1)
	check "the drive is there" wait_for 20 ns 1 || exit 1
	dev=$(ns 1)
	echo "leapio: test starts" >/dev/kmsg
	killed
	handed_over
	[ "$PART" = all ] || exit 0
	stopped
	unmounting
	resetting
	host kill-in reboot
	reboot -f
	sleep 60
	;;
2)
	check "the drive is there after a reboot" wait_for 30 ns 1 || exit 1
	check "killed in the middle of the reboot" host was-hit reboot
	dev=$(ns 1)
	check "and what was written" e2fsck -f -n "/dev/$dev"
	;;
esac
exit 0
