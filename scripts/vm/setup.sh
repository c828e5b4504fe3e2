#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: setup.sh [--built]
#
# Makes the VM lab's cache when it is absent or stale: an unpacked Debian trixie
# tree (QEMU from trixie-backports, nvme-cli, fio, e2fsprogs, firmware), two
# Debian kernels with their vmlinux, a boot loader, and initramfs pieces.
# Packages are unpacked and never installed: no maintainer script runs, nothing
# is mounted, the host's own package state is not touched. Each stage is built
# beside its place and moved there when whole, so a run that was cut short is
# simply done again. README.md in this folder says more.
# --built: also the kernel with modules that Debian leaves out, built here.

set -euo pipefail
HERE=$(dirname "$(realpath "$0")")
. "$HERE/lab.sh"

SUITE=trixie
OLDER=bookworm
PACKAGES="qemu-system-x86 busybox-static nvme-cli fio e2fsprogs kmod cpio
zstd xz-utils libgcc-s1 ovmf mtools grub-common grub-pc-bin grub-efi-amd64-bin"
# Soft RDMA's programs, a stage of their own beside the tree.
RDMA_PACKAGES="rdmacm-utils ibverbs-utils ibverbs-providers iproute2"
KERNEL=linux-image-amd64
NEWER_KERNEL='6[.]12[.]'
OLDER_KERNEL='6[.]1[.]'
# Pulled in by dependencies, of no use without a running Debian.
SKIP="python3* libpython3* systemd_* libsystemd-shared* dpkg_* perl* passwd_*
debconf_* tar_* tzdata* adduser_* mount_* libpam-* login* sensible-utils_*
init-system-helpers_* ipxe-qemu_* gettext-base_*"
# Hardware that no guest here has, two thirds of the modules.
NO_MODULES="sound drivers/gpu drivers/media drivers/net/ethernet
drivers/net/wireless drivers/staging drivers/iio drivers/hwmon drivers/usb"
NEED_MB=1300

# Of the kernel's source, for the kernel that is built upon.
SOURCE=linux-source-6.12
# Those of vfio once more, with what Debian's configuration leaves out.
BUILT_DIRS="drivers/infiniband/sw/siw drivers/vfio"

say() { printf 'vm setup: %s\n' "$*"; }

# The mirror is the one that this machine's apt uses for Debian itself.
find_mirror() {
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian|Debian|main|//p' | head -n 1
}

apt_conf() {
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror

	mirror=$(find_mirror)
	[ -n "$mirror" ] ||
		lab_die "apt knows no Debian mirror (run apt-get update first)"
	[ -r $keys ] || lab_die "$keys is missing (install debian-archive-keyring)"
	mkdir -p "$APT"/{lists/partial,archives/partial,empty}
	: >"$APT/status"
	printf 'deb [signed-by=%s] %s %s main\n' \
		$keys "$mirror" $SUITE $keys "$mirror" $SUITE-backports \
		$keys "$mirror" $OLDER >"$APT/sources.list"
	printf 'Package: %s\nPin: release n=%s\nPin-Priority: %d\n\n' \
		'qemu-system-* seabios' $SUITE-backports 990 '*' $OLDER 100 \
		>"$APT/preferences"
	# Read after the machine's own configuration, so proxies still apply.
	cat >"$APT/apt.conf" <<-CONF
		Dir::State "$APT";
		Dir::State::status "$APT/status";
		Dir::State::lists "$APT/lists";
		Dir::Cache "$APT";
		Dir::Etc::sourcelist "$APT/sources.list";
		Dir::Etc::sourceparts "$APT/empty";
		Dir::Etc::preferences "$APT/preferences";
		Dir::Etc::preferencesparts "$APT/empty";
		APT::Architecture "amd64";
		APT::Install-Recommends "0";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Retries "3";
	CONF
	say "reading package lists of $SUITE and $OLDER from ${mirror%/}"
	apt_run apt-get update
}

apt_run() {
	APT_CONFIG=$APT/apt.conf "$@" >"$APT/log" 2>&1 && return
	tail -n 20 "$APT/log" >&2
	lab_die "'$*' failed"
}

apt_open() {
	[ -e "$APT/apt.conf" ] || apt_conf
}

skipped() {
	local p

	for p in $SKIP; do
		# shellcheck disable=SC2254 # the words of SKIP are patterns
		case $1 in $p) return 0 ;; esac
	done
	return 1
}

make_tree() {
	local deb

	apt_open
	say "downloading QEMU and guest programs (80 MB)"
	# shellcheck disable=SC2086 # a list of words
	apt_run apt-get -y --download-only install $PACKAGES
	say "unpacking them"
	for deb in "$APT"/archives/*.deb; do
		skipped "${deb##*/}" || dpkg-deb -x "$deb" "$1"
	done
	rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale"
	rm -f "$APT"/archives/*.deb
}

# A bzImage's header says where its compressed ELF lies (boot protocol 2.08);
# QEMU boots the ELF through PVH without decompressing it under emulation.
extract_vmlinux() {
	local sectors off len magic unpack

	sectors=$(od -An -tu1 -j497 -N1 "$1" | tr -d ' ')
	read -r off len < <(od -An -tu4 -j584 -N8 "$1")
	off=$(((${sectors:-4} + 1) * 512 + off))
	magic=$(od -An -tx1 -j$off -N4 "$1" | tr -d ' ')
	case $magic in
	28b52ffd) unpack="zstd -dqc" ;;
	fd377a58) unpack="xz -dc --single-stream" ;;
	*) lab_die "$1: unknown compression $magic" ;;
	esac
	# The payload may be followed by its size; the tools complain, after
	# the data is out. The ELF magic below is the check.
	# shellcheck disable=SC2086
	tail -c +$((off + 1)) "$1" | head -c "$len" | lab_run $unpack \
		>"$2" 2>/dev/null || true
	[ "$(od -An -tx1 -N4 "$2" | tr -d ' ')" = 7f454c46 ] ||
		lab_die "$1: the payload is not an ELF file"
}

# kernel_image VERSION: the package of the newest kernel that begins with that
kernel_image() {
	APT_CONFIG=$APT/apt.conf apt-cache show $KERNEL |
		sed -n "s/^Depends: \(linux-image-$1[^ ,]*\).*/\1/p" |
		sort -V | tail -n 1
}

# make_kernel DIR [VERSION]
make_kernel() {
	local version=${2:-$NEWER_KERNEL} image deb dir

	apt_open
	image=$(kernel_image "$version")
	[ -n "$image" ] || lab_die "$KERNEL $version depends on no kernel image"
	say "downloading $image (100 MB)"
	(cd "$APT/archives" && apt_run apt-get download "$image")
	deb=$(echo "$APT"/archives/"$image"_*.deb)
	say "unpacking it"
	dpkg-deb -x "$deb" "$1"
	rm -f "$deb"
	[ -d "$1/lib" ] || ln -s usr/lib "$1/lib"
	ls "$1/lib/modules" >"$1/version"
	for dir in $NO_MODULES; do
		rm -rf "$1"/lib/modules/*/kernel/"$dir"
	done
	lab_run depmod -b "$1" "$(cat "$1/version")"
	mv "$1/boot/vmlinuz-$(cat "$1/version")" "$1/vmlinuz"
	extract_vmlinux "$1/vmlinuz" "$1/vmlinux"
	rm -rf "${1:?}/boot" "${1:?}/usr/share"
}

make_older() {
	make_kernel "$1" "$OLDER_KERNEL"
}

# Programs of the headers' packages want the C library of their suite: each gets
# the tree's loader. kbuild's dispatchers look for what they start by a path that
# is not there; those are left out.
wrap_kbuild() {	# FOLDER
	local prog name

	lab_host_ld
	for prog in scripts/basic/fixdep scripts/genksyms/genksyms \
		scripts/mod/modpost=.real-lsb-64 tools/objtool/objtool=.real-x86; do
		name=$1/${prog%=*}
		if [ "$prog" = "${prog%=*}" ]; then
			mv "$name" "$name.prog"
			prog=$name.prog
		else
			prog=$name${prog#*=}
		fi
		rm -f "$name"
		printf '#!/bin/sh\nexec %s %s "$@"\n' "${LAB_LD[*]}" "$prog" \
			>"$name"
		chmod 755 "$name"
	done
}

# The kernel was built by a newer compiler than may be at hand here.
make_cc() {	# FILE
	cat >"$1" <<-'CC'
		#!/bin/bash
		for a; do
			case $a in
			-fmin-function-alignment=* | -fstrict-flex-arrays=*) ;;
			*) args+=("$a") ;;
			esac
		done
		exec gcc "${args[@]}" -g0
	CC
	chmod 755 "$1"
}

fetch_source() {	# FOLDER VERSION
	local deb version=${2%-amd64}

	say "downloading headers and source of Linux $2 (170 MB)"
	(cd "$APT/archives" && apt_run apt-get download "linux-headers-$2" \
		"linux-headers-$version-common" "linux-kbuild-$version" $SOURCE)
	say "unpacking them"
	for deb in "$APT"/archives/linux-[hk]*.deb; do
		dpkg-deb -x "$deb" "$1"
	done
	# shellcheck disable=SC2086 # a list of words
	dpkg-deb --fsys-tarfile "$APT"/archives/${SOURCE}_*.deb |
		tar -xO ./usr/src/$SOURCE.tar.xz | xz -dc -T0 |
		tar -x -C "$1" --strip-components=1 \
			$(printf "$SOURCE/%s " $BUILT_DIRS)
	rm -f "$APT"/archives/*.deb
}

# The kernel again, with siw and with a VFIO that has its no-IOMMU mode.
make_built() {
	local version work=$1/work head d name

	command -v gcc >/dev/null && command -v make >/dev/null ||
		lab_die "gcc and make are needed to build kernel modules"
	apt_open
	cp -al "$LAB/kernel/." "$1/"
	rm -f "$1/.stamp"
	version=$(cat "$1/version")
	head=$work/usr/src/linux-headers-$version
	mkdir "$work"
	fetch_source "$work" "$version"
	say "building modules"
	sed -i "s|/usr/src/|$work&|" "$head/Makefile"
	rm -f "$head/vmlinux"	# no type information for modules, then
	wrap_kbuild "$work/usr/lib/linux-kbuild-${version%-amd64}"
	make_cc "$work/cc"
	cat >"$work/drivers/vfio/Makefile" <<-'END'
		obj-m := vfio.o vfio_iommu_type1.o vfio-pci-core.o vfio-pci.o
		vfio-y := vfio_main.o group.o container.o virqfd.o
		vfio-pci-core-y := pci/vfio_pci_core.o pci/vfio_pci_intrs.o \
			pci/vfio_pci_rdwr.o pci/vfio_pci_config.o
		vfio-pci-y := pci/vfio_pci.o pci/vfio_pci_igd.o
		ccflags-y := -DCONFIG_VFIO_NOIOMMU=1
	END
	mkdir "$1/lib/modules/$version/updates"
	for d in $BUILT_DIRS; do
		make -j"$(nproc)" -C "$head" M="$work/$d" CC="$work/cc" \
			CONFIG_RDMA_SIW=m modules >"$APT/log" 2>&1 || {
			tail -n 20 "$APT/log" >&2
			lab_die "modules of $d cannot be built"
		}
		for name in "$work/$d"/*.ko; do
			find "$1/lib/modules/$version/kernel" \
				-name "$(basename "$name").xz" -delete
			strip --strip-debug -o "$1/lib/modules/$version/updates/$(
				basename "$name")" "$name"
		done
	done
	rm -rf "$work"
	# Not into the files that both kernels share.
	rm -f "$1/lib/modules/$version"/modules.*.bin \
		"$1/lib/modules/$version"/modules.{alias,dep,devname,softdep,symbols,weakdep}
	lab_run depmod -b "$1" "$version"
}

# GRUB for both firmwares. The first sector loads what follows it, which needs
# no installer: the blocks from sector 1 on are where it looks by itself.
make_boot() {
	local mods=$LAB_TREE/usr/lib/grub common="normal part_msdos fat linux
		serial terminal echo"

	say "making boot loaders"
	# shellcheck disable=SC2086 # a list of words
	{
		lab_run grub-mkimage -d "$mods/i386-pc" -O i386-pc \
			-p '(hd0,msdos1)/grub' -o "$1/core.img" biosdisk $common
		lab_run grub-mkimage -d "$mods/x86_64-efi" -O x86_64-efi \
			-p /grub -o "$1/BOOTX64.EFI" $common
	}
	cp "$mods/i386-pc/boot.img" "$1/"
}

# piece_of TREE OUT PROGRAM...: programs of that tree with their libraries.
piece_of() {
	local tree=$1 out=$2 stage prog path lib

	shift 2
	stage=$(mktemp -d -p "$APT")
	mkdir -p "$stage/usr/bin"
	for prog in "$@"; do
		path=$(echo "$tree"/usr/[s]bin/"$prog")
		[ -e "$path" ] || path=$tree/usr/bin/$prog
		[ -e "$path" ] || lab_die "$prog is not in $tree"
		cp -L "$path" "$stage/usr/bin/"
		for lib in $(LAB_TREE=$tree lab_libs "$path"); do
			mkdir -p "$stage/$(dirname "${lib#"$tree"/}")"
			cp -Lu "$lib" "$stage/${lib#"$tree"/}"
		done
	done
	lab_cpio "$stage" "$out"
	rm -rf "$stage"
}

piece() {
	piece_of "$LAB_TREE" "$@"
}

make_img() {
	local s=$1/base lib=usr/lib/x86_64-linux-gnu

	say "making initramfs pieces"
	mkdir -p "$APT" "$s"/{bin,dev,etc/nvme,mnt,proc,root,run,sys,tmp,lib64} \
		"$s/$lib"
	ln -s usr/lib "$s/lib"
	ln -sf "../$lib/ld-linux-x86-64.so.2" "$s/lib64/ld-linux-x86-64.so.2"
	cp -L "$LAB_TREE/usr/bin/busybox" "$s/bin/busybox"
	# glibc loads it by name when a thread is cancelled: ldd cannot see it
	cp -L "$LAB_TREE/$lib/libgcc_s.so.1" "$s/$lib/"
	install -m 755 "$HERE/init" "$s/init"
	install -m 755 "$HERE/host" "$s/bin/host"
	cp "$LAB_TREE/etc/mke2fs.conf" "$s/etc/"
	printf '127.0.0.1 localhost\n' >"$s/etc/hosts"
	printf 'root:x:0:0::/root:/bin/sh\n' >"$s/etc/passwd"
	printf 'root:x:0:\n' >"$s/etc/group"
	echo "nqn.2014-08.org.nvmexpress:uuid:$HOSTID" >"$s/etc/nvme/hostnqn"
	echo "$HOSTID" >"$s/etc/nvme/hostid"
	lab_cpio "$s" "$1/base.cpio"
	rm -rf "$s"
	piece "$1/nvme.cpio" nvme
	piece "$1/fio.cpio" fio
	piece "$1/e2fs.cpio" mke2fs e2fsck
}
HOSTID=6c656170-696f-4c41-8000-766d6c616201

# rdma.cpio: what makes a soft RDMA device and shows that it works by itself.
make_rdma() {
	local deb lib=usr/lib/x86_64-linux-gnu root=$1/tree

	apt_open
	say "downloading the RDMA programs (20 MB)"
	# shellcheck disable=SC2086 # a list of words
	apt_run apt-get -y --download-only install $RDMA_PACKAGES
	for deb in "$APT"/archives/*.deb; do
		skipped "${deb##*/}" || dpkg-deb -x "$deb" "$root"
	done
	rm -f "$APT"/archives/*.deb
	piece_of "$root" "$1/rdma.cpio" rdma rping ibv_rc_pingpong ibv_devinfo
	mkdir -p "$1/s/$lib/libibverbs" "$1/s/etc/libibverbs.d"
	cp "$root/$lib"/libibverbs/lib{rxe,siw}-* "$1/s/$lib/libibverbs/"
	cp "$root"/etc/libibverbs.d/{rxe,siw}.driver "$1/s/etc/libibverbs.d/"
	lab_cpio "$1/s" "$1/rdma.cpio"
	rm -rf "$1/s" "$root"
}

# A library left out shows only when the program starts in a guest.
try_img() {
	"$HERE/guest.sh" --with nvme --with fio --with e2fs --net \
		--cmd 'nvme version && fio --version && /usr/bin/mke2fs -V && e2fsck -V' \
		>"$APT/try" 2>&1 && return
	rm -f "$LAB_IMG/.stamp"
	cat "$APT/try" >&2
	lab_die "the guest does not work"
}

# stage NAME KEY: (re)make $LAB/NAME unless its stamp already says KEY.
stage() {
	local dir=$LAB/$1

	if [ -e "$dir/.stamp" ] && [ "$(cat "$dir/.stamp")" = "$2" ]; then
		return 0
	fi
	rm -rf "$dir" "$dir.new"
	mkdir -p "$dir.new"
	"make_$1" "$dir.new"
	printf '%s\n' "$2" >"$dir.new/.stamp"
	mv "$dir.new" "$dir"
}

main() {
	local self free fresh built=

	case $* in
	'') ;;
	--built) built=1 ;;
	*) sed -n '4s/^# //p' "$0" >&2; exit 2 ;;
	esac
	[ "$(uname -m)" = x86_64 ] ||
		lab_die "the lab's programs are for x86_64, this is $(uname -m)"
	mkdir -p "$LAB" || lab_die "cannot write $LAB (run as root or set LEAPIO_CACHE)"
	exec 9>"$LAB/lock"
	flock -n 9 || { say "waiting for another setup"; flock 9; }
	# Somebody's bind mount in here would be emptied by rm -rf.
	! grep -q " $LAB/" /proc/self/mountinfo ||
		lab_die "something is mounted under $LAB: unmount it first"
	APT=$LAB/apt.tmp
	rm -rf "$APT"
	trap 'rm -rf "$APT"' EXIT
	self=$(cat "$HERE"/{setup.sh,lab.sh,init,host} | cksum)
	free=$(df -Pm "$LAB" | awk 'NR == 2 { print $4 }')
	[ -e "$LAB/img/.stamp" ] || [ "$free" -ge $NEED_MB ] ||
		lab_die "$LAB has $free MB free, $NEED_MB are needed"
	stage tree "1 $SUITE $PACKAGES $SKIP"
	stage kernel "2 $SUITE $KERNEL $NEWER_KERNEL $NO_MODULES"
	stage older "1 $OLDER $KERNEL $OLDER_KERNEL $NO_MODULES"
	stage rdma "2 $SUITE $RDMA_PACKAGES"
	stage boot "1 $(cksum <"$LAB/tree/.stamp")"
	fresh=$(cat "$LAB_IMG/.stamp" 2>/dev/null || true)
	stage img "1 $self $(cat "$LAB/tree/.stamp" "$LAB/kernel/.stamp" | cksum)"
	[ "$fresh" = "$(cat "$LAB_IMG/.stamp")" ] || try_img
	[ -z "$built" ] || stage built \
		"1 $SOURCE $BUILT_DIRS $(cksum <"$LAB/kernel/version")"
	say "ready: QEMU $(lab_run qemu-system-x86_64 --version |
		sed -n '1s/.*version \([0-9.]*\).*/\1/p'), Linux $(cat \
		"$LAB/kernel/version") and $(cat "$LAB/older/version"), in $LAB"
}

main "$@"
