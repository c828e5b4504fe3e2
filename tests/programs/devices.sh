# SPDX-License-Identifier: BSD-3-Clause
# leap-hostd devices, on a made-up machine: what it lists, refuses and says. That
# devices do change hands is shown by tests/interop/60-pcie.sh.
. "$top_srcdir/tests/programs/lib.sh"

root=$tmp/machine
drive=0000:01:00.0
at=$root/sys/devices/pci0000:00/$drive
run() { "$hostd" devices "$@" >"$tmp/out" 2>"$tmp/err"; }

run list --root "$root"
rc=$?
if grep -q 'has no pcie transport' "$tmp/err"; then
	echo "skip: built without the pcie transport"
	exit 77
fi
is "a machine without PCI: exit code" $rc 1
has "... and why" "$(cat "$tmp/err")" "cannot be read"

mkdir -p "$at/nvme/nvme0/nvme0n1/holders" "$root/sys/bus/pci/devices" \
	"$root/sys/class/block" "$root/sys/bus/pci/drivers/nvme" \
	"$root/proc/self" "$root/sys/kernel/iommu_groups/4/devices"
for f in vendor=0x1b36 device=0x0010 class=0x010802 irq=11 numa_node=1 \
	subsystem_vendor=0x1af4 subsystem_device=0x1100 \
	driver_override='(null)' resource=0x0; do
	echo "${f#*=}" >"$at/${f%%=*}"
done
echo nqn.2024-01.io.example:ssd >"$at/nvme/nvme0/subsysnqn"
echo 259:0 >"$at/nvme/nvme0/nvme0n1/dev"
ln -s ../../../bus/pci/drivers/nvme "$at/driver"
ln -s ../../../kernel/iommu_groups/4 "$at/iommu_group"
ln -s ../../../devices/pci0000:00/$drive "$root/sys/bus/pci/devices/$drive"
ln -s ../../devices/pci0000:00/$drive/nvme/nvme0/nvme0n1 \
	"$root/sys/class/block/nvme0n1"
echo '9 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw' >"$root/proc/self/mountinfo"

run list --root "$root"
is "list: exit code" $? 0
has "it shows the drive" "$(cat "$tmp/out")" \
	"$drive  1b36:0010     1      4  nvme    -    nvme0n1 is mounted at /srv"
has "... and its subsystem" "$(cat "$tmp/out")" nqn.2024-01.io.example:ssd
run list --root "$root" --json
has "as JSON: in use" "$(tr -d '\n ' <"$tmp/out")" '"in_use":true'
has "as JSON: its group" "$(cat "$tmp/out")" '"iommu_group": 4'
printf 'nqn.\377\n' >"$at/nvme/nvme0/subsysnqn"
run list --root "$root" --json
has "as JSON: a name that is none" "$(cat "$tmp/out")" '(not UTF-8)'
run list --root "$root" --numa 0
is "none on node 0" "$(wc -l <"$tmp/out")" 1
run list --root "$root" --driver vfio-pci --json
is "none bound" "$(cat "$tmp/out")" "[]"
run list --root "$root" 0000:02:00.0
has "none at another address" "$(cat "$tmp/err")" "0000:02:00.0: no such NVMe"

run bind --root "$root" $drive
is "bind without vfio-pci: exit code" $? 1
has "... and why" "$(cat "$tmp/err")" "modprobe vfio-pci"
mkdir "$root/sys/bus/pci/drivers/vfio-pci"
run bind --root "$root" $drive
is "bind of a mounted drive: exit code" $? 1
has "... and why" "$(cat "$tmp/err")" "nvme0n1 is mounted at /srv"
is "nothing was written" "$(cat "$at/driver_override")" "(null)"
run release --root "$root" $drive
is "release of what is not bound: exit code" $? 1
has "... and why" "$(cat "$tmp/err")" "was not bound by leap_pci_bind"

run
is "no verb: usage" $? 2
run eject $drive
is "another verb: usage" $? 2
run bind
is "no address: usage" $? 2
run bind 1:0.0
is "no address that could be one: exit code" $? 1
has "... and why" "$(cat "$tmp/err")" "is not a PCI address"
run list --numa x
is "no number: usage" $? 2
run bind --owner nobody-of-that-name: $drive
is "no such user: usage" $? 2
run list a b
is "two addresses: usage" $? 2
run --help
is "help" $? 0
plan
