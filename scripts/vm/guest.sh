#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: guest.sh [OPTION]... [-- QEMU-ARGUMENT...]
#
#   --script FILE        shell script to run in the guest
#   --cmd TEXT           the same, given as text
#   --env NAME=VALUE     set for it (repeat)
#   --with PIECE         add a cached initramfs piece: nvme, fio, e2fs, rdma
#                        (repeat)
#   --file HOST:GUEST    add a file (repeat)
#   --prog HOST:GUEST    add a host program with its shared libraries (repeat)
#   --module 'NAME ARG'  load a kernel module and what it needs (repeat)
#   --net                eth0 at 10.0.2.15/24, the host's 127.0.0.1 at 10.0.2.2
#   --net-args TEXT      more for QEMU's -netdev user (hostfwd=..., net=...)
#   --ip CIDR            address of eth0
#   --hook COMMAND       runs on the host, words added, when the guest calls host
#   --mem MB, --smp N, --machine TYPE, --append KERNEL-ARGS
#   --kernel NAME        kernel (the default), older, or built (setup.sh --built)
#   --vfio-user SOCKET   a drive at that socket, behind a port of its own, and
#                        memory that its server can map (repeat)
#   --shared             the memory without the drive
#   --plug NAME          a free port for device_add (repeat)
#   --reboot             a reboot starts the guest anew; otherwise it ends it
#   --qmp DIR            QEMU's control channel, for qmp.sh
#   --make-disk FILE     start nothing: write a disk that firmware boots this from
#   --boot bios|efi      start what firmware finds on the guest's drives
#   --timeout SECONDS    end the guest after that (default 900)
#   --pidfile FILE       QEMU's process id goes here
#
# Boots a guest from the lab's cache (run setup.sh first), prints its console,
# and exits with the guest script's exit code; 124 is a timeout, 125 a lab
# failure, 126 a guest that ended without saying how. Leaves nothing behind.

set -euo pipefail
. "$(dirname "$(realpath "$0")")/lab.sh"

mem=1024 smp=2 machine=pc append='' limit=900 pidfile='' hook=false
shared=0 reboot=-no-reboot qmp='' disk='' boot='' port=0
net=0 net_args='' ip=10.0.2.15/24 script='' cmd=''
pieces=() files=() progs=() modules=() envs=() qemu=() devices=()

choose_kernel() {
	case $1 in
	kernel) ;;
	older) LAB_KERNEL=$LAB_OLDER ;;
	built) LAB_KERNEL=$LAB_BUILT ;;
	*) lab_die "no such kernel: $1" ;;
	esac
}

# Ports of PCI Express, so that drives come and go like on a real machine.
add_port() {
	machine=q35
	port=$((port + 1))
	devices+=(-device "pcie-root-port,id=$1,chassis=$port,slot=$port")
}

add_vfio_user() {
	shared=1
	add_port "port$port"
	devices+=(-device "$("${0%/*}/qmp.sh" --device "drive$((port - 1))" \
		"port$((port - 1))" "$1")")
}

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		-- | --net | --shared | --reboot) ;;
		*) [ $# -ge 2 ] || lab_die "$1 needs a value" ;;
		esac
		case $1 in
		--script) script=$2 ;;
		--cmd) cmd=$2 ;;
		--env) envs+=("$2") ;;
		--with) pieces+=("$2") ;;
		--file) files+=("$2") ;;
		--prog) progs+=("$2") ;;
		--module) modules+=("$2") ;;
		--net) net=1; shift; continue ;;
		--shared) shared=1; shift; continue ;;
		--reboot) reboot=; shift; continue ;;
		--vfio-user) add_vfio_user "$2" ;;
		--plug) add_port "$2" ;;
		--kernel) choose_kernel "$2" ;;
		--qmp) qmp=$2 ;;
		--make-disk) disk=$2 ;;
		--boot) boot=$2 ;;
		--net-args) net_args=,$2 ;;
		--ip) ip=$2 ;;
		--hook) hook=$2 ;;
		--mem) mem=$2 ;;
		--smp) smp=$2 ;;
		--machine) machine=$2 ;;
		--append) append=$2 ;;
		--timeout) limit=$2 ;;
		--pidfile) pidfile=$2 ;;
		--) shift; qemu=("$@"); return ;;
		*) lab_die "unknown option $1" ;;
		esac
		shift 2
	done
}

# Unpacks the modules and what they depend on into DIR/modules, and writes the
# order they load in: the guest has nobody to ask for them later.
add_modules() {
	local dir=$1 spec name path args version

	version=$(cat "$LAB_KERNEL/version")
	mkdir -p "$dir/modules"
	: >"$dir/modules/order"
	for spec in "${modules[@]}"; do
		lab_run modprobe -d "$LAB_KERNEL" -S "$version" --ignore-install \
			--show-depends "${spec%% *}" >"$D/depends" 2>/dev/null ||
			lab_die "the kernel has no module ${spec%% *}"
		args=''
		while read -r kind path _; do
			[ "$kind" = insmod ] || continue
			name=$(basename "$path" .xz)
			name=${name%.ko}
			[ -e "$dir/modules/$name.ko" ] && continue
			case $path in
			*.xz) lab_run xz -dc "$path" >"$dir/modules/$name.ko" ;;
			*) cp "$path" "$dir/modules/$name.ko" ;;
			esac
			[ "${name//-/_}" != "$(tr - _ <<<"${spec%% *}")" ] ||
				[ "$spec" = "${spec%% *}" ] || args=${spec#* }
			echo "$name $args" >>"$dir/modules/order"
		done <"$D/depends"
	done
}

# A host program brings its own loader and libraries: the guest's C library is
# the lab's, which may be older or newer than the one it was built with.
add_prog() {
	local dir=$1 src=$2 dst=$3 base lib loader=''

	[ -x "$src" ] || lab_die "$src is not a program"
	base=/opt/$(basename "$dst")
	mkdir -p "$dir$base" "$(dirname "$dir$dst")"
	cp -L "$src" "$dir$base/prog"
	for lib in $(ldd "$src" 2>/dev/null | grep -o '/[^ ]*'); do
		cp -L "$lib" "$dir$base/"
		case $lib in */ld-linux*) loader=$base/$(basename "$lib") ;; esac
	done
	{
		echo '#!/bin/sh'
		echo "exec ${loader:+$loader --library-path $base }$base/prog \"\$@\""
	} >"$dir$dst"
	chmod 755 "$dir$dst"
}

make_initrd() {
	local dir=$D/root spec piece path

	mkdir -p "$dir/run"
	add_modules "$dir"
	for spec in "${files[@]}"; do
		mkdir -p "$(dirname "$dir${spec#*:}")"
		cp -rL "${spec%%:*}" "$dir${spec#*:}"
	done
	for spec in "${progs[@]}"; do
		add_prog "$dir" "${spec%%:*}" "${spec#*:}"
	done
	if [ -n "$script" ]; then
		cp "$script" "$dir/run/main.sh"
	else
		printf '%s\n' "$cmd" >"$dir/run/main.sh"
	fi
	{
		echo "GUEST_IP=$([ $net = 0 ] || echo "$ip")"
		for spec in "${envs[@]}"; do
			printf 'export %s=%q\n' "${spec%%=*}" "${spec#*=}"
		done
	} >"$dir/run/env.sh"
	for piece in base "${pieces[@]}"; do
		path=$LAB_IMG/$piece.cpio
		[ "$piece" != rdma ] || path=$LAB_RDMA/rdma.cpio
		# what slim.sh made, if it did
		[ "$piece" != fio ] || [ ! -e "$LAB/fio/.stamp" ] ||
			path=$LAB/fio/fio.cpio
		[ -r "$path" ] || lab_die "no such piece: $piece"
		cat "$path" >>"$D/initrd"
	done
	lab_cpio "$dir" "$D/initrd"
}

# Answers the guest's calls until QEMU closes the channel. Output goes through
# a file, not a pipe, so a hook may leave a daemon running.
serve_channel() {
	local line rc

	while IFS= read -r line <&3; do
		case $line in
		"exit "*)
			echo "${line#exit }" >"$D/rc"
			kill -USR1 $$
			;;
		"call "*)
			rc=0
			# shellcheck disable=SC2086 # both are lists of words
			$hook ${line#call } </dev/null >"$D/reply" 2>&1 3<&- 4>&- ||
				rc=$?
			cat "$D/reply" >&4
			echo "@rc $rc" >&4
			;;
		esac
	done 3<"$D/ch.out" 4>"$D/ch.in"
}

# A disk with one partition, which both firmwares know how to start from: the
# boot loader's own blocks for one, a file with the agreed name for the other.
make_disk() {
	local part=$1@@1M mb sectors

	mb=$((($(stat -c %s "$D/initrd" "$LAB_KERNEL/vmlinuz" |
		awk '{ n += $1 } END { print n }') >> 20) + 16))
	sectors=$((mb * 2048))
	cat "$LAB_BOOT/boot.img" "$LAB_BOOT/core.img" >"$1"
	truncate -s $((mb + 1))M "$1"
	# active, type EFh, from sector 2048; in place of the loader's floppy code
	printf '%b' "$(printf '\\x%02x' 0x80 0 1 1 0xef 0xfe 0xff 0xff 0 8 0 0 \
		$((sectors & 255)) $((sectors >> 8 & 255)) \
		$((sectors >> 16 & 255)) $((sectors >> 24)) \
		$(for _ in $(seq 48); do echo 0; done))" |
		dd of="$1" bs=1 seek=446 conv=notrunc status=none
	printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
	mkdir -p "$D/grub"
	printf '%s\n' 'serial --unit=0 --speed=115200' 'terminal_output serial' \
		'echo "loader: started from the drive"' "linux /vmlinuz $(args)" \
		'initrd /initrd' 'echo "loader: kernel read"' boot >"$D/grub/grub.cfg"
	export MTOOLS_SKIP_CHECK=1
	lab_run mformat -i "$part" -T $sectors -h 255 -s 63 -H 2048 ::
	lab_run mmd -i "$part" ::/grub ::/EFI ::/EFI/BOOT
	lab_run mcopy -i "$part" "$D/grub/grub.cfg" ::/grub/grub.cfg
	lab_run mcopy -i "$part" "$LAB_BOOT/BOOTX64.EFI" ::/EFI/BOOT/
	lab_run mcopy -i "$part" "$LAB_KERNEL/vmlinuz" "$D/initrd" ::/
}

# The kernel's arguments. Its watchdogs think of processors that nobody takes away.
args() {
	echo "console=ttyS0 quiet loglevel=1 panic=-1 nokaslr mitigations=off \
nopti tsc=reliable no_timer_check cryptomgr.notests audit=0 apparmor=0 \
random.trust_cpu=on rcupdate.rcu_cpu_stall_suppress=1 watchdog_thresh=60 \
sysctl.kernel.hung_task_timeout_secs=900 i8042.noaux i8042.nokbd $append"
}

# What the guest starts from.
add_boot() {
	local fw=$LAB_TREE/usr/share/OVMF

	case $boot in
	'')
		make_initrd
		devices+=(-kernel "$LAB_KERNEL/vmlinux" -initrd "$D/initrd"
			-append "$(args)")
		;;
	bios) ;;
	efi)
		cp "$fw/OVMF_VARS_4M.fd" "$D/vars"
		devices+=(
			-drive "if=pflash,format=raw,unit=0,readonly=on,file=$fw/OVMF_CODE_4M.fd"
			-drive "if=pflash,format=raw,unit=1,file=$D/vars")
		;;
	*) lab_die "no such firmware: $boot" ;;
	esac
}

start_qemu() {
	[ $net = 0 ] || devices+=(-netdev "user,id=n0$net_args"
		-device 'virtio-net-pci,netdev=n0,romfile=')
	[ $shared = 0 ] || {
		devices+=(-object "memory-backend-memfd,id=ram,size=${mem}M,share=on")
		machine=$machine,memory-backend=ram
	}
	[ -z "$qmp" ] || {
		mkfifo "$qmp/qmp.in" "$qmp/qmp.out"
		devices+=(-qmp "pipe:$qmp/qmp")
	}
	lab_host_ld
	# One thread for all processors: with several, one may run code that another
	# has just patched, and now and then a kernel dies of a stale breakpoint.
	# shellcheck disable=SC2086 # reboot is one option or none
	setpriv --pdeathsig KILL \
		"${LAB_LD[@]}" "$LAB_TREE/usr/bin/qemu-system-x86_64" \
		-L "$LAB_TREE/usr/share/qemu" -L "$LAB_TREE/usr/share/seabios" \
		-nodefaults -no-user-config $reboot -display none \
		-machine "$machine" -accel tcg,thread=single -cpu max \
		-smp "$smp" -m "$mem" \
		-serial stdio \
		-chardev "pipe,id=ch,path=$D/ch" -serial chardev:ch \
		"${devices[@]}" "${qemu[@]}" </dev/null >"$D/console" 2>&1 &
	QEMU=$!
	[ -z "$pidfile" ] || echo $QEMU >"$pidfile"
}

timer() {	# SECONDS
	setpriv --pdeathsig KILL sleep "$1" </dev/null >/dev/null 2>&1 &
}

# Until QEMU ends. It has a minute for that when the guest has said its exit code.
await() {
	local ended=''

	timer "$limit"
	TIMER=$!
	while [ -z "$ended" ]; do
		# a signal ends the wait as well
		wait -n -p ended $QEMU $TIMER ${GRACE:-} 2>/dev/null || true
		[ -n "${ended:-}" ] || [ -n "${GRACE:-}" ] || [ ! -s "$D/rc" ] || {
			timer 60
			GRACE=$!
		}
		kill -0 $QEMU 2>/dev/null || ended=$QEMU
		ended=${ended:-}
	done
	case $ended in
	"$TIMER")
		echo "guest.sh: the guest ran longer than $limit s" >&2
		exit 124
		;;
	"${GRACE:-}")
		echo "guest.sh: the guest has ended, and QEMU has not" >&2
		stuck >&2
		exit 124
		;;
	esac
}

# What each thread of QEMU waits for.
stuck() {
	local t

	for t in /proc/$QEMU/task/*; do
		echo "guest.sh: $(cat "$t/comm"): $(cat "$t/wchan"): $(cat \
			"$t/syscall")"
	done
	! command -v gdb >/dev/null || timeout 60 gdb -p $QEMU -batch \
		-ex 'set pagination off' -ex 'thread apply all bt' 2>&1 || true
}

# shellcheck disable=SC2317 # called by the trap
cleanup() {
	local pid

	trap - EXIT
	for pid in ${QEMU:-} ${CHANNEL:-} ${TIMER:-} ${GRACE:-} ${TEE:-}; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	[ -z "$qmp" ] || rm -f "$qmp/qmp.in" "$qmp/qmp.out"
	rm -rf "$D"
}

main() {
	local rc=126

	parse "$@"
	[ -n "$script$cmd$boot" ] || lab_die "give --script, --cmd or --boot"
	[ -e "$LAB_IMG/.stamp" ] || lab_die "no lab in $LAB: run setup.sh first"
	[ $net = 0 ] || modules=(virtio_pci virtio_net "${modules[@]}")
	D=$(mktemp -d "${TMPDIR:-/tmp}/leap-guest.XXXXXX")
	trap cleanup EXIT
	trap 'exit 125' TERM INT HUP
	trap : USR1
	mkfifo "$D/ch.in" "$D/ch.out" "$D/console"
	if [ -n "$disk" ]; then
		make_initrd
		make_disk "$disk"
		exit 0
	fi
	add_boot
	sed -u -e 's/\x1b\[[0-9;=?]*[A-Za-z]//g' -e 's/\r$//' <"$D/console" &
	TEE=$!
	serve_channel &
	CHANNEL=$!
	start_qemu
	await
	QEMU=
	# The signal may come as late as this.
	until wait $TEE || [ $? -le 128 ]; do :; done
	# the guest's last word is in the pipe; a hook that hangs is not waited for
	for _ in $(seq 300); do
		kill -0 $CHANNEL 2>/dev/null || break
		sleep 0.1
	done
	TEE=''
	[ ! -s "$D/rc" ] || rc=$(cat "$D/rc")
	[ "$rc" != 126 ] || echo "guest.sh: the guest died" >&2
	exit "$rc"
}

main "$@"
