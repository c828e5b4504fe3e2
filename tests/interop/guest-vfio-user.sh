#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091
#
# In a guest: the kernel's NVMe driver over a drive that the hypervisor shows as
# a PCI function. 50-vfio-user-linux.sh starts it, counts its checks and answers
# its host calls. PASS chooses what is done: full, brief,
# plug or intx.

. /run/guest-lib.sh

# Where the controller is on the PCI bus, as 0000:01:00.0
pci() {
	basename "$(readlink -f "/sys/class/nvme/$(ctrl)/device")"
}

appears() {
	check "the controller is live" wait_for 20 state_is live || {
		dmesg | tail -n 30
		exit 1
	}
	check "namespace 1 is there" wait_for 10 ns 1
	check "namespace 2 is there" wait_for 10 ns 2
}

msix_queues() {	# MSI-X, and at least two I/O queues with a vector of their own
	local count irqs

	count=$(cat "/sys/class/nvme/$(ctrl)/queue_count")
	[ "$count" -ge 3 ]
	ok $? "two or more I/O queues ($((count - 1)))"
	irqs=$(grep -c "$(ctrl)q" /proc/interrupts)
	grep -qs msix "/sys/bus/pci/devices/$(pci)"/msi_irqs/* &&
		[ "$irqs" = "$count" ]
	ok $? "each on an MSI-X vector of its own ($irqs)"
}

# One message for all queues, or one for each where interrupts are remapped.
msi_queues() {
	local count irqs kinds

	count=$(cat "/sys/class/nvme/$(ctrl)/queue_count")
	irqs=$(grep -c "$(ctrl)q" /proc/interrupts)
	kinds=$(sort -u "/sys/bus/pci/devices/$(pci)"/msi_irqs/*)
	[ "$kinds" = msi ] && [ "$irqs" -ge 2 ] && [ "$irqs" -le "$count" ]
	ok $? "interrupts are MSI ($irqs of them, $count queues)"
}

intx_queues() {
	! [ -d "/sys/bus/pci/devices/$(pci)/msi_irqs" ] &&
		grep "$(ctrl)q0" /proc/interrupts | grep -q fasteoi
	ok $? "interrupts come by the INTx pin"
}

# Interrupts that the driver did not ask for would be the end of the line.
no_stray_interrupts() {
	! dmesg | grep -E "nobody cared|Disabling IRQ"
	ok $? "no stray interrupts"
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
		keep "feature-$fid" nvme get-feature "$c" -f "$fid" -o json
	done
}

# Counted at the path where the kernel has a device for it, at the disk elsewhere.
discards() {
	cat /sys/block/nvme*/stat | awk '{ n += $12 } END { print n }'
}

mixed_fio() {
	local dev before

	check "fio: 512 B to 1 MiB, read and write, QD 32, three jobs, verified" \
		fio_verify mixed "$(ns 2)" --rw=randrw --iodepth=32 \
		--numjobs=3 --offset_increment=64m --size=24m \
		--bssplit=512/10:4k/40:16k/20:64k/20:256k/7:1m/3
	dev=$(ns 1)
	before=$(discards)
	check "fio: with trims, QD 32, two jobs, verified" \
		fio_verify trims "$dev" --rw=randtrimwrite --iodepth=32 \
		--numjobs=2 --offset_increment=32m --size=16m \
		--bssplit=512/10:4k/40:16k/20:64k/20:256k/7:1m/3
	[ "$(discards)" -gt "$before" ]
	ok $? "the trims reached the device"
	blkdiscard -o 0 -l 4194304 "/dev/$dev" && dd if=/dev/zero bs=1M count=4 \
		of=/tmp/zero 2>/dev/null && same /tmp/zero "/dev/$dev"
	ok $? "what was trimmed reads as zeroes"
}

# How many doorbell writes left the guest for a thousand commands at QD 32; counted
# over so many that the first ones, of a drive that slept, do not matter.
doorbells() {
	local a b

	a=$(host counters)
	fio --name=bells --filename="/dev/$(ns 1)" --ioengine=libaio --direct=1 \
		--rw=randread --bs=4k --iodepth=32 --io_size=16m \
		--numjobs=2 --eta=never --output=/tmp/bells.out ||
		tail -n 5 /tmp/bells.out
	b=$(host counters)
	bells=$(echo "$a $b" | awk '{ n = $4 - $2
		printf "%d", (n > 0 ? ($3 - $1) * 1000 / n : 999999) }')
	echo "doorbell exits: $a before, $b after: $bells per thousand commands"
}

always_poll() {
	doorbells
	[ "$bells" -lt 50 ]
	ok $? "shadow doorbells: $bells exits per thousand commands when always polled"
}

flr() {
	local dev

	dev=/sys/bus/pci/devices/$(pci)
	echo flr >"$dev/reset_method" && echo 1 >"$dev/reset"
}

resets() {
	local i

	check "nvme reset" nvme reset "/dev/$(ctrl)"
	check "live after the reset" wait_for 20 state_is live
	busy 2
	for i in 1 2 3; do
		check "reset $i under I/O" nvme reset "/dev/$(ctrl)"
		wait_for 20 state_is live
		sleep 0.5
	done
	check "fio goes on over the resets" busy_end
}

function_resets() {
	busy 2
	check "function level reset under I/O" flr
	check "live after it" wait_for 20 state_is live
	check "fio goes on over it" busy_end
}

marked() {	# a pattern that has to outlive the guest's kernel and the drive
	seq 1 40000 >/tmp/mark
	put /tmp/mark "/dev/$(ns 2)" 4k >/tmp/put.out
	ok $? "a mark is written"
}

mark_is_there() {
	seq 1 40000 >/tmp/mark
	check "the mark is still there $*" same /tmp/mark "/dev/$(ns 2)"
}

# Not written again by what is busy: that has the second half to itself. It must
# not find the device gone at its start and make a plain file of that name, which
# everybody would take for the drive from then on.
busy_elsewhere() {
	local dev

	dev=$(ns 2)
	fio --name=busy --filename="/dev/$dev" --ioengine=libaio --direct=1 \
		--rw=randrw --bs=16k --iodepth=32 --offset=128m --size=64m \
		--allow_file_create=0 --time_based --runtime=600 --eta=never \
		--output=/tmp/busy.out 2>/dev/null &
	busy=$!
	check "fio is at work" wait_for 20 in_flight "$dev"
}

in_flight() {
	set -- $(cat "/sys/block/$1/stat")
	[ "$9" -gt 0 ]
}

# The kernel's own removal of the function, and finding it again.
removing() {
	local i addr

	addr=$(pci)
	for i in 1 2; do
		busy_elsewhere
		echo 1 >"/sys/bus/pci/devices/$addr/remove"
		check "removed under I/O ($i): the kernel has let it go" \
			wait_for 20 gone
		wait $busy
		[ $? != 127 ]
		ok $? "fio came to an end"
		echo 1 >/sys/bus/pci/rescan
		check "the drive is found again" wait_for 20 ns 2
		check "it is live" wait_for 20 state_is live
		mark_is_there "in the drive found again"
	done
}

plugged() {
	check "host: plug the drive in" host plug
	appears
	"${IRQ}_queues"
}

# The hypervisor takes the drive away and gives it back, while it is at work.
plug() {
	local i

	plugged
	marked
	for i in 1 2; do
		busy_elsewhere
		check "host: pull it out under I/O ($i)" host unplug
		check "the kernel has let it go" wait_for 20 gone
		wait $busy
		[ $? != 127 ]
		ok $? "fio came to an end"
		plugged
		mark_is_there "in the drive plugged in again"
		check "fio on it, verified" fio_verify again "$(ns 1)" \
			--rw=randrw --bs=16k --size=8m
	done
	no_stray_interrupts
}

# One with MSI-X: the hypervisor may abort when it is pulled. Then another guest,
# with a new one, looks for the mark.
abort() {
	plugged
	if [ "$BOOT" = 2 ]; then
		mark_is_there "in another machine"
		return
	fi
	marked
	busy_elsewhere
	host unplug || echo "host unplug failed"
	wait_for 20 gone
	ok $? "pulled under I/O: the kernel has let it go"
	wait $busy
	host plug
	wait_for 20 ns 2
	mark_is_there "in the drive plugged in again"
}

# With its namespaces: one that is on its way out must not be taken for the new
# one, whose name may be another.
gone() {
	! ctrl && no_ns 1 && no_ns 2
}

full() {
	case $BOOT in
	1)
		appears
		msix_queues
		dd if=/dev/urandom of=/tmp/large bs=1M count=4 2>/dev/null
		put /tmp/large "/dev/$(ns 1)" 64k >/tmp/put.out
		answers
		filesystem
		mixed_fio
		[ -n "$LAB_ONLY" ] || always_poll
		[ -n "$LAB_ONLY" ] || namespaces
		resets
		function_resets
		marked
		kernel_log
		busy_elsewhere
		echo "rebooting"
		reboot -f
		sleep 60
		;;
	2)
		appears
		msix_queues
		mark_is_there "after a reboot under I/O"
		kernel_log
		removing
		no_stray_interrupts
		;;
	esac
}

brief() {
	appears
	msix_queues
	filesystem
	mixed_fio
	resets
	[ -n "$LAB_ONLY" ] || doorbells
	no_stray_interrupts
	kernel_log
}

# While whoever serves the drive is killed again and again.
killed() {
	appears
	msix_queues
	filesystem
	mixed_fio
	resets
	no_stray_interrupts
	kernel_log
}

intx() {
	appears
	intx_queues
	filesystem
	resets
	no_stray_interrupts
	kernel_log
}

BOOT=$(host boot)
# from the driver's first word on
dmesg >/tmp/dmesg.start
echo "leapio: test starts" >/dev/kmsg
! grep -iE "nvme.*(timeout|abort|fail|error|invalid|missing|warn)" /tmp/dmesg.start
ok $? "the driver has nothing to complain about, start $BOOT"
$PASS
exit 0
