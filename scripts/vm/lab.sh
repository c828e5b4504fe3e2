# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
#
# Sourced by the scripts of the VM lab: where the cache is, and how programs of
# the unpacked Debian tree are run on the host without a chroot or a mount.

LAB=${LEAPIO_CACHE:-/var/cache/libleapio}/vm
LAB_TREE=$LAB/tree
LAB_KERNEL=$LAB/kernel
LAB_OLDER=$LAB/older
LAB_BUILT=$LAB/built
LAB_BOOT=$LAB/boot
LAB_IMG=$LAB/img
LAB_RDMA=$LAB/rdma

lab_die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 125
}

# lab_host_ld sets LAB_LD: the tree's own loader and library path.
lab_host_ld() {
	local lib=$LAB_TREE/usr/lib/x86_64-linux-gnu

	LAB_LD=("$lib/ld-linux-x86-64.so.2" --library-path "$lib:$lib/ceph")
}

# lab_run NAME ARGS...: run a program of the tree; NAME is also its argv[0],
# which programs like kmod choose their job by.
lab_run() {
	local name=$1 dir

	shift
	lab_host_ld
	for dir in usr/bin usr/sbin; do
		if [ -x "$LAB_TREE/$dir/$name" ]; then
			"${LAB_LD[@]}" --argv0 "$name" "$LAB_TREE/$dir/$name" "$@"
			return
		fi
	done
	lab_die "$name is not in $LAB_TREE (remove $LAB and run setup.sh again)"
}

# lab_libs BINARY: the shared libraries that a program of the tree needs. One
# that is found elsewhere belongs to the host and must not be mixed in.
lab_libs() {
	local libs alien

	lab_host_ld
	libs=$("${LAB_LD[@]}" --list "$1" |
		sed -n 's/.*=> //; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p')
	alien=$(grep -v "^$LAB_TREE/" <<<"$libs" || true)
	[ -z "$alien" ] || lab_die "$1 needs what the tree lacks: $alien"
	echo "$libs"
}

# lab_cpio DIR FILE: append everything under DIR to FILE as an initramfs piece.
lab_cpio() {
	(cd "$1" && find . -mindepth 1 | lab_run cpio -o -H newc -R 0:0 --quiet) \
		>>"$2"
}
