#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2154
#
# In a guest: the Linux kernel over namespaces with zones of 4 MiB, of which 3
# can be written; 12 may be active and 8 open. 65-zoned.sh starts it and counts
# its checks.

. /run/guest-lib.sh

# Namespace 1 of $NQN: two drives have one.
zoned_ns() {
	local b

	for b in /sys/block/nvme*n*; do
		case $b in */nvme*c*n*) continue ;; esac
		[ "$(cat "$b/device/subsysnqn" 2>/dev/null)" = "$NQN" ] &&
			[ "$(cat "$b/nsid")" = 1 ] && basename "$b" && return
	done
	return 1
}

# Of the path where the kernel has a device for it: that has all limits.
q() {	# ATTRIBUTE of the queue of $dev
	local path

	for path in /sys/class/nvme/"$(ctrl)"/nvme*c*n"${dev##*n}" \
		"/sys/block/$dev"; do
		[ -e "$path/queue/$1" ] && cat "$path/queue/$1" && return
	done
}

q_is() {	# ATTRIBUTE VALUE
	[ "$(q "$1")" = "$2" ]
	ok $? "$name: $1 is $2 ($(q "$1"))"
}

# state LBA: state and write pointer of the zone there, as "0x10 0x400"
zone() {
	nvme zns report-zones "/dev/$dev" -s "$1" -d 1 -o json >/tmp/zone &&
		tr -d ' "\n' </tmp/zone |
		sed 's/.*slba:\([0-9]*\).*wp:\([0-9]*\).*state:\([A-Z_]*\).*/\3 \1 \2/'
}

zone_is() {	# LBA TEXT WHAT
	local got

	got=$(zone "$1")
	case $got in
	$2) ok 0 "$name: $3" ;;
	*) cat /tmp/zone; ok 1 "$name: $3 (not $2 but $got)" ;;
	esac
}

limits() {
	q_is zoned host-managed
	q_is nr_zones "$1"
	q_is chunk_sectors 8192
	q_is max_open_zones 8
	q_is max_active_zones 12
	[ "$(q zone_append_max_bytes)" = 65536 ]
	ok $? "$name: appends are limited to ZASL ($(q zone_append_max_bytes))"
	nvme zns report-zones "/dev/$dev" -o json >/tmp/zones
	[ "$(grep -c '"slba"' /tmp/zones)" = "$1" ]
	ok $? "$name: nvme-cli reports $1 zones"
}

write_at() {	# LBA
	nvme write "/dev/$dev" -s "$1" -c 15 -z 65536 -d /tmp/piece
}

# Every state that a host can bring a zone to; zones are 1024 LBAs of 4 KiB. Past
# the block layer, which would not know any more where its pointers are.
states() {
	check "$name: reset all" nvme zns reset-zone "/dev/$dev" -a
	zone_is 1024 "EMPTY*1024*1024" "a zone is empty"
	check "$name: write 16 blocks" write_at 0
	zone_is 0 "IMP_OPENED*0*16" "it is open, and its pointer has moved"
	! write_at 300 >/tmp/write.out 2>&1
	ok $? "$name: a write elsewhere is refused"
	grep -qi "zone invalid write" /tmp/write.out
	ok $? "$name: with the status of zones" || cat /tmp/write.out
	check "$name: close" nvme zns close-zone "/dev/$dev" -s 0
	zone_is 0 "CLOSED*" "it is closed"
	check "$name: open" nvme zns open-zone "/dev/$dev" -s 0
	zone_is 0 "EXP_OPENED*" "it is opened"
	check "$name: finish" nvme zns finish-zone "/dev/$dev" -s 0
	zone_is 0 "FULL*" "it is full"
	check "$name: reset" nvme zns reset-zone "/dev/$dev" -s 0
	zone_is 0 "EMPTY*" "it is empty again"
	nvme zns zone-append "/dev/$dev" -s 2048 -z 65536 -d /tmp/piece \
		>/tmp/append.out 2>&1 &&
		nvme zns zone-append "/dev/$dev" -s 2048 -z 65536 -d /tmp/piece \
		>>/tmp/append.out 2>&1
	ok $? "$name: two appends" || cat /tmp/append.out
	zone_is 2048 "IMP_OPENED*2048*2080" "both went to the end of their zone"
	check "$name: reset all again" nvme zns reset-zone "/dev/$dev" -a
	zone_is 2048 "EMPTY*" "all are empty"
}

fio_zoned() {	# NAME ARGUMENTS...
	local job=$1

	shift
	fio --name="$job" --filename="/dev/$dev" --ioengine=libaio --direct=1 \
		--zonemode=zbd --verify=crc32c --verify_fatal=1 --do_verify=1 \
		--randseed=7 --eta=never --output="/tmp/$job.out" "$@" ||
		{ tail -n 20 "/tmp/$job.out"; return 1; }
}

load() {
	check "$name: fio, sequential, verified" fio_zoned seq --rw=write \
		--bs=64k --iodepth=8 --size=24M
	check "$name: fio, 6 zones at once, verified" fio_zoned many \
		--rw=randwrite --bs=16k --iodepth=8 --size=32M --io_size=12M \
		--max_open_zones=6
}

# A superblock as mkzonefs writes it: magic, CRC, label, UUID.
zonefs() {
	{
		printf 'SFOZ\107\227\147\341leapio\000\000'
		head -c 56 /dev/zero
		printf '\001\002\003\004\005\006\007\010'
		printf '\011\012\013\014\015\016\017\020'
	} >/tmp/super
	truncate -s 4096 /tmp/super
	put /tmp/super "/dev/$dev" 4k >/tmp/put.out && same /tmp/super "/dev/$dev"
	ok $? "$name: what is written is read back" || {
		cat /tmp/put.out
		dmesg | tail -n 15
	}
	mount -t zonefs "/dev/$dev" /mnt
	ok $? "$name: zonefs mounts" || { dmesg | tail -n 5; return; }
	dd if=/tmp/data of=/mnt/seq/3 bs=64k oflag=direct,append \
		conv=notrunc >/tmp/dd.out 2>&1 && cmp /tmp/data /mnt/seq/3
	ok $? "$name: a file of zonefs holds data" || cat /tmp/dd.out
	check "$name: a file is cut, which resets its zone" truncate -s 0 \
		/mnt/seq/3
	check "$name: zonefs goes" umount /mnt
}

all() {	# NR_ZONES
	limits "$1"
	zonefs
	load
	states
}

echo "leapio: test starts" >/dev/kmsg
dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
dd if=/tmp/data of=/tmp/piece bs=64k count=1 2>/dev/null
NQN=$TCP_NQN
check "tcp: connect" connect -i 2 && wait_for 10 zoned_ns || exit 1
name=tcp dev=$(zoned_ns)
all 32
check "tcp: disconnect" disconnect
NQN=$TCP_NQN-pci
check "pci: the drive is there" wait_for 20 zoned_ns || { dmesg | tail -n 20; exit 1; }
name=pci dev=$(zoned_ns)
all 32
kernel_log
exit 0
