# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# QEMU's NVMe drive behind an IOMMU, for a guest in which our own driver has it.
# Namespace 1 has blocks of 512 bytes, 2 of 4096; they outlive the controller,
# which comes and goes. Blocks are written whole, as a real drive does. With
# $ZONED namespace 3 has zones of 4 MiB, of which 3 can be written.

# QEMU says its own name first.
NQN=nqn.2019-08.org.qemu:${NQN#nqn.*:}
export NQN
MDTS_BLOCKS=1023	# 0's based, of 512 bytes

target_program() {
	[ -n "$LEAP_PERF" ] && [ -n "$LEAP_HOSTD" ] && [ -n "$DRIVE" ]
}

target_start() {
	rm -f "$WORK"/ns[123].img
	truncate -s 64M "$WORK/ns1.img" "$WORK/ns2.img" "$WORK/ns3.img"
}

drive_props() {
	echo "serial=LEAP0,subsys=s0,max_ioqpairs=20,msix_qsize=21\
,atomic.awun=$MDTS_BLOCKS,atomic.awupf=$MDTS_BLOCKS"
}

drive_qemu() {
	echo -drive "file=$WORK/ns1.img,if=none,id=b1,format=raw,cache=unsafe" \
		-drive "file=$WORK/ns2.img,if=none,id=b2,format=raw,cache=unsafe" \
		-device "nvme-subsys,id=s0,nqn=${NQN#nqn.*:}" \
		-device "nvme,id=drive0,bus=port0,$(drive_props)" \
		-device "nvme-ns,id=ns1,drive=b1,nsid=1,shared=on" \
		-device "nvme-ns,drive=b2,nsid=2,shared=on,logical_block_size=4096,physical_block_size=4096"
	[ -z "${ZONED:-}" ] || echo \
		-drive "file=$WORK/ns3.img,if=none,id=b3,format=raw,cache=unsafe" \
		-device "nvme-ns,drive=b3,nsid=3,shared=on,logical_block_size=4096,physical_block_size=4096,zoned=on,zoned.zone_size=4M,zoned.zone_capacity=3M,zoned.max_open=8,zoned.max_active=12"
	# What the drive is asked to do, for admin_commands.
	echo -trace pci_nvme_admin_cmd -D "$WORK/qemu.log"
}

# How many admin commands of that name the drive has had.
admin_commands() {	# NAME
	grep -c "pci_nvme_admin_cmd.*$1" "$WORK/qemu.log"
}

# Namespace 1 does that many commands a second; 0: as many as it can.
drive_speed() {	# IOPS
	"$VM/qmp.sh" "$WORK" block_set_io_throttle "{\"id\":\"ns1\",\"bps\":0,\
\"bps_rd\":0,\"bps_wr\":0,\"iops\":$1,\"iops_rd\":0,\"iops_wr\":0}"
}

drive_json() {
	drive_props | sed 's/,/","/g; s/=/":"/g
		s/.*/{"driver":"nvme","id":"drive0","bus":"port0","&"}/
		s/"\([0-9][0-9]*\)"/\1/g'
}
