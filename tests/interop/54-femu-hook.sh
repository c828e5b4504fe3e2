#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: 54-femu-hook.sh [--long]
#
# femu-hook alone brings up a guest that starts from its drive: once with socp
# by itself, once with leap-hostd between. TAP.

case ${1:-} in
'' | --long) ;; # no more to do than always
*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
esac
. "$(dirname "$(realpath "$0")")/lib.sh"
work_open
. "$VM/lab.sh"

HOOK=$(program femu-hook) && [ -n "$SOCP" ] && [ -n "$LEAP_HOSTD" ] ||
	bail "femu-hook, socp or leap-hostd is not built"
lab_ready
lab_host_ld
# The lab's QEMU as one program.
cat >"$WORK/qemu" <<E2
#!/bin/sh
exec ${LAB_LD[@]} $LAB_TREE/usr/bin/qemu-system-x86_64 \\
	-L $LAB_TREE/usr/share/qemu -L $LAB_TREE/usr/share/seabios "\$@"
E2
chmod 755 "$WORK/qemu"

# started NAME OPTION...: the guest's checks, and what it said at its end
started() {
	local name=$1 line

	shift
	rm -f "$WORK/end"
	while IFS= read -r line; do
		case $line in
		*"@ok "*) tap 0 "$name: ${line#*@ok }" ;;
		*"@not "*) tap 1 "$name: ${line#*@not }" ;;
		*) printf '# %s\n' "$line" ;;
		esac
	done < <(timeout 600 "$HOOK" --qemu "$WORK/qemu" \
		--drive "$WORK/$name.sock" --ns "file:$WORK/disk.img" \
		--socp "$SOCP" --hostd "$LEAP_HOSTD" \
		--control "$WORK/$name.ctl" "$@" --run -- \
		-nodefaults -no-reboot -display none -machine q35 -cpu max \
		-accel tcg,thread=single -serial stdio \
		-serial "file:$WORK/end" </dev/null 2>&1 | tr -d '\r')
	tap_cmd "$name: the guest came to its end" grep -q "exit 0" "$WORK/end"
	! pgrep -f "$WORK/$name" >/dev/null
	tap $? "$name: nothing is left of it"
}

tap_cmd "a disk is made" "$VM/guest.sh" --make-disk "$WORK/disk.img" \
	--script "$HERE/guest-firmware.sh" \
	--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --module nvme \
	--module vfat --module nls_cp437 --module nls_ascii
started socp
started hostd --agent "$WORK/hostd-agent.sock"
tap_done 15
