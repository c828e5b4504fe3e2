# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# QEMU's own NVMe drive in the place of ours: for working on the scripts that
# run in guests, without the programs. It has two namespaces that stay.

target_program() { :; }

target_start() {
	truncate -s 64M "$WORK/ns1.img"
	truncate -s 256M "$WORK/ns2.img"
}

target_stop() { :; }
target_counters() { echo "0 1000"; }

drive_args() {
	echo --shared --plug port0
}

# QEMU takes the namespaces with the controller; device_add brings it alone.
drive_qemu() {
	echo -drive "file=$WORK/ns1.img,if=none,id=b1,format=raw,discard=unmap" \
		-drive "file=$WORK/ns2.img,if=none,id=b2,format=raw,discard=unmap" \
		-device "nvme-subsys,id=s0,nqn=${NQN#nqn.*:}" \
		-device "nvme,id=drive0,bus=port0,serial=x,subsys=s0" \
		-device "nvme-ns,drive=b1,nsid=1,shared=on" \
		-device "nvme-ns,drive=b2,nsid=2,shared=on"
}

drive_json() {
	echo '{"driver":"nvme","id":"drive0","bus":"port0","serial":"x","subsys":"s0"}'
}
