# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=dash
#
# Sourced by scripts that run in a guest: checks, and the kernel's NVMe devices.
# A line "@ok NAME" or "@not NAME" on the console is a check of the host's test.

ok() {	# STATUS NAME
	if [ "$1" = 0 ]; then echo "@ok $2"; else echo "@not $2"; fi
	return "$1"
}

# check NAME COMMAND...: passes when COMMAND does; shows its output if not.
check() {
	local name=$1 rc=0

	shift
	"$@" >/tmp/check.out 2>&1 || rc=$?
	[ $rc = 0 ] || tail -n 15 /tmp/check.out
	ok $rc "$name"
	return $rc
}

# wait_for SECONDS COMMAND...: as long as a machine may take that has nothing else
# to do. One that is slow or busy gets six times that.
wait_for() {
	local tries=$(($1 * 30))

	shift
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "waited in vain: $*"; return 1; }
		sleep 0.2
	done
}

# has_ended PID: a zombie has; whoever started it reaps it in its own time
has_ended() {
	case $(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null) in
	'' | Z) return 0 ;;
	esac
	return 1
}

# ctrl: the controller of $NQN, as nvme0
ctrl() {
	local c

	for c in /sys/class/nvme/nvme*; do
		[ "$(cat "$c/subsysnqn" 2>/dev/null)" = "$NQN" ] || continue
		basename "$c"
		return 0
	done
	return 1
}

state() {
	cat "/sys/class/nvme/$(ctrl)/state" 2>/dev/null
}

state_is() {
	[ "$(state)" = "$1" ]
}

# ns NSID: its block device, as nvme0n1. The kernel numbers devices by itself;
# nvme0c0n1 is one path to a namespace, not the namespace.
ns() {
	local b

	for b in /sys/block/nvme*n*; do
		case $b in */nvme*c*n*) continue ;; esac
		[ "$(cat "$b/nsid" 2>/dev/null)" = "$1" ] || continue
		basename "$b"
		return 0
	done
	return 1
}

no_ns() {
	local b

	! ns "$1"
}

ns_mb() {	# NSID: its size
	echo $(($(cat "/sys/block/$(ns "$1")/size") / 2048))
}

ns_is() {	# NSID MB
	ns "$1" >/dev/null && [ "$(ns_mb "$1")" = "$2" ]
}

connect() {	# ARGUMENTS...
	nvme connect -t "${TRTYPE:-tcp}" -a "$ADDR" -s "$PORT" -n "$NQN" -c 1 -l 600 "$@" &&
		wait_for 10 state_is live && wait_for 10 ns 1
}

disconnect() {
	nvme disconnect -n "$NQN" && ! ctrl
}

# same FILE DEVICE: the device begins with what FILE holds, read past the cache
same() {
	local bytes

	case $2 in /dev/*) [ -b "$2" ] || { echo "$2: a plain file"; return 1; } ;; esac
	bytes=$(stat -c %s "$1")
	dd if="$2" of=/tmp/same.out iflag=direct bs=64k \
		count=$(((bytes + 65535) / 65536)) 2>/dev/null &&
		truncate -s "$bytes" /tmp/same.out || return
	# Busybox compares byte by byte, which takes emulation five times as long.
	[ "$(md5sum <"$1")" = "$(md5sum </tmp/same.out)" ] ||
		cmp "$1" /tmp/same.out
}

put() {	# FILE DEVICE BLOCKSIZE
	dd if="$1" of="$2" oflag=direct bs="$3" 2>&1
}

fio_verify() {	# NAME DEVICE ARGUMENTS...
	local name=$1 dev=$2

	shift 2
	fio --name="$name" --filename="/dev/$dev" --ioengine=libaio --direct=1 \
		--iodepth=16 --verify=crc32c --verify_fatal=1 --do_verify=1 \
		--randseed=7 --eta=never \
		--output="/tmp/$name.out" "$@" || {
		grep -m 8 -E 'verify|error|err=' "/tmp/$name.out"
		return 1
	}
}

filesystem() {
	local dev

	dev=/dev/$(ns 2)
	# by its path: busybox's shell prefers its own mke2fs, which knows no ext4
	check "mkfs.ext4" /usr/bin/mke2fs -q -t ext4 -F "$dev"
	# Without the libraries, which are large and few.
	mount -t ext4 "$dev" /mnt && mkdir -p /mnt/tree/usr &&
		cp -a /usr/bin /mnt/tree/usr/ &&
		cp -a /bin /modules /mnt/tree/ && umount /mnt
	ok $? "copy a tree"
	check "fsck -f after the copy" e2fsck -f -n "$dev"
	echo 3 >/proc/sys/vm/drop_caches
	mount -t ext4 "$dev" /mnt && diff -r /usr/bin /mnt/tree/usr/bin >/tmp/diff.out &&
		diff -r /modules /mnt/tree/modules >/tmp/diff.out
	ok $? "the tree reads back"
	rm -rf /mnt/tree/usr && umount /mnt
	check "fsck -f after deleting half" e2fsck -f -n "$dev"
}

# busy NSID [FIO-ARGUMENT...]: verified I/O, again and again until busy_end, which
# has its result. No round writes what the one before has left.
busy() {
	local nsid=$1 n=0 before

	shift
	rm -f /tmp/busy.end
	before=$(written)
	until [ -e /tmp/busy.end ]; do
		n=$((n + 1))
		fio_verify busy "$(ns "$nsid")" --rw=randwrite --bs=8k \
			--size=4m --randseed=$n "$@" || return 1
	done &
	busy=$!
	wait_for 10 written_since "$before"
	sleep 1
}

written() {	# writes that NVMe devices have done
	cat /sys/block/nvme*/stat | awk '{ n += $5 } END { print n + 0 }'
}

written_since() {	# BEFORE
	[ "$(written)" -gt "$1" ]
}

busy_end() {
	kill -0 $busy || return 1
	touch /tmp/busy.end
	wait $busy
}

keep() {	# NAME COMMAND...: its output becomes an expectation
	local name=$1

	shift
	"$@" >/tmp/keep.out 2>&1 && [ -s /tmp/keep.out ] &&
		host put "$name.json" "$(base64 -w 0 /tmp/keep.out)"
	ok $? "$name answers" || head -n 5 /tmp/keep.out
}

# Everything that the kernel said since the start is on the list, or is shown,
# the first of it in the check's own line.
kernel_log() {
	local line

	dmesg | sed '1,/leapio: test starts/d' >/tmp/dmesg.all
	sed 's/^\[ *[0-9.]*\] //' /tmp/dmesg.all |
		grep -v -x -E -f /run/dmesg.allow >/tmp/dmesg.bad ||
		{ ok 0 "the kernel log has only expected lines"; return; }
	line=$(head -n 1 /tmp/dmesg.bad)
	ok 1 "the kernel log has only expected lines: $line"
	head -n 20 /tmp/dmesg.bad
	# When that was, and what came before it.
	grep -F -B 30 -A 5 -m 1 "$line" /tmp/dmesg.all
	return 1
}

# Namespaces come, grow and go while fio is busy on another one.
namespaces() {
	busy 2
	check "host: add namespace 3" host ns-add 3 16M
	check "namespace 3 appears" wait_for 10 ns_is 3 16
	dd if=/dev/urandom of=/tmp/new bs=64k count=8 2>/dev/null
	put /tmp/new "/dev/$(ns 3)" 64k >/tmp/put.out && same /tmp/new "/dev/$(ns 3)"
	ok $? "namespace 3 holds data"
	check "host: grow namespace 1" host ns-resize 1 128M
	check "the new size is seen" wait_for 10 ns_is 1 128
	check "host: remove namespace 3" host ns-remove 3
	check "namespace 3 is gone" wait_for 10 no_ns 3
	check "fio on namespace 2 saw nothing of it" busy_end
}
