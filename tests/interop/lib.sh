# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
#
# Sourced by the interop tests: TAP output, the scratch folder, the processes of
# a test, and running a guest whose checks join the test's own.

set -u
HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
TOP=$(realpath "$HERE/../..")
VM=$TOP/scripts/vm
BUILD=${BUILD:-$TOP/build/unit}
PORT=${PORT:-14420}
. "$HERE/commands.sh"

tap_n=0 tap_bad=0

# tap STATUS NAME: one check, passed when STATUS is 0.
tap() {
	tap_n=$((tap_n + 1))
	if [ "$1" = 0 ]; then
		printf 'ok %d - %s\n' $tap_n "$2"
	else
		printf 'not ok %d - %s\n' $tap_n "$2"
		tap_bad=$((tap_bad + 1))
	fi
}

# tap_cmd NAME COMMAND...: the check passes when COMMAND does.
tap_cmd() {
	local name=$1 rc=0

	shift
	"$@" >"$WORK/out" 2>&1 || rc=$?
	[ $rc = 0 ] || tail -n 20 "$WORK/out" | sed 's/^/# /'
	tap $rc "$name"
}

# tap_done COUNT: the plan; a check that never ran fails the test too.
tap_done() {
	echo "1..$1"
	[ $tap_n = "$1" ] || echo "# $1 checks were planned, $tap_n ran"
	[ $tap_bad = 0 ] || echo "# $tap_bad checks failed"
	[ $tap_n = "$1" ] && [ $tap_bad = 0 ]
}

bail() {
	echo "Bail out! $*"
	exit 1
}

# work_open: the scratch folder, which goes with the test's processes at its end.
work_open() {
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/leap-interop.XXXXXX")
	export WORK PORT BUILD TARGET
	trap work_close EXIT
	trap 'exit 1' TERM INT HUP
}

work_close() {
	local f

	trap - EXIT
	for f in "$WORK"/*.pid; do
		[ -e "$f" ] || continue
		stop_pid KILL "$f"
	done
	rm -rf "$WORK"
}

# stop_pid SIGNAL PIDFILE: send it and wait, a minute or more, until it is gone.
stop_pid() {
	local pid i

	pid=$(cat "$2" 2>/dev/null) || return 0
	kill "-$1" "$pid" 2>/dev/null || true
	for i in $(seq 600); do
		gone "$pid" && { rm -f "$2"; return 0; }
		sleep 0.1
	done
	return 1
}

# A zombie has ended; whoever started it reaps it in its own time.
gone() {
	local state

	state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" \
		2>/dev/null)
	[ -z "$state" ] || [ "$state" = Z ]
}

# wait_for SECONDS COMMAND...: as long as a machine may take that has nothing else
# to do. One that is slow or busy gets six times that.
wait_for() {
	local end=$((SECONDS + $1 * 6))

	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# up_or_gone PID COMMAND...: COMMAND passes, or that process has ended
up_or_gone() {
	gone "$1" && return
	shift
	"$@"
}

# An NVMe/TCP target answers the initialisation request with a PDU of type 1.
# Opening the port is not enough: a port forwarder accepts for a dead target.
target_answers() {
	timeout 5 bash -c '
		exec 5<>"/dev/tcp/127.0.0.1/$0" || exit 1
		printf "\\x00\\x00\\x80\\x00\\x80\\x00\\x00\\x00%0120d" 0 |
			sed "s/0/\\x00/g" >&5
		test "$(head -c 1 <&5 | od -An -tx1)" = " 01"' "$PORT"
}

# usage: what is right, as the test's own opening comment says it.
usage() {
	sed -n '4,/^#$/s/^# \{0,1\}//p' "$0" | sed '/^$/d' >&2
	exit 2
}

# long_option ARGUMENT...: the one option that every test takes; sets long.
long_option() {
	long=
	case $* in
	'') ;;
	--long) long=1 ;;
	*) usage ;;
	esac
}

# prog_args NAME...: for a guest, each program itself, with the library that it
# finds; drive is one of the tests' own.
prog_args() {
	local name dir

	export LD_LIBRARY_PATH="$BUILD/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
	PROGS=()
	for name in "$@"; do
		dir=$BUILD
		[ "$name" != drive ] || dir=$BUILD/tests/interop
		PROGS+=(--prog "$(BUILD=$dir real_program "$name"):/usr/bin/$name")
	done
}

# lab_ready [--built]: the VM lab is there, or is made now.
lab_ready() {
	{ "$VM/setup.sh" "$@" && "$VM/slim.sh"; } >"$WORK/setup.log" 2>&1 || {
		sed 's/^/# /' "$WORK/setup.log"
		bail "no VM lab"
	}
}

# guest NAME GUEST-ARGUMENT...: lines "@ok TEXT" and "@not TEXT" of the console
# become checks, as does that the script came to its end; with DIES=PATTERN, or
# that the hypervisor said that when it died.
guest() {
	local name=$1 line rc=125 died=

	shift
	while IFS= read -r line; do
		case $line in
		"@ok "*) tap 0 "${line#@ok }" ;;
		"@not "*) tap 1 "${line#@not }" ;;
		"@rc "*) rc=${line#@rc } ;;
		*) printf '# %s\n' "$line" ;;
		esac
		# shellcheck disable=SC2254 # a pattern
		[ -z "${DIES:-}" ] || case $line in $DIES) died=1 ;; esac
	done < <("$VM/guest.sh" "$@" 2>&1; echo "@rc $?")
	if [ "$rc" = 126 ] && [ -n "$died" ]; then
		tap 0 "$name: the hypervisor died as it is known to"
		return 1
	fi
	tap "$rc" "$name: the guest came to its end"
}

# iommu_guest NAME GUEST-ARGUMENT...: one with an IOMMU, and target-pcie.sh's
# drive behind it, free for VFIO, with the programs of prog_args.
iommu_guest() {
	local name=$1

	shift
	# shellcheck disable=SC2046 # words
	guest "$name" --script "$HERE/guest-$name.sh" \
		--file "$HERE/guest-lib.sh:/run/guest-lib.sh" --smp 2 \
		--module nvme --module vfio_iommu_type1 --module vfio-pci \
		--append "intel_iommu=on iommu=nopt" "${PROGS[@]}" \
		--plug port0 --qmp "$WORK" --hook "$HERE/hook.sh" "$@" -- \
		-device intel-iommu,intremap=on,caching-mode=on \
		-machine kernel-irqchip=split $(drive_qemu)
}

# compare DIR NAMES UPDATE: what the guest kept is what DIR has, or with UPDATE 1
# becomes it. Values that differ from run to run count as "*".
compare() {
	local name expect got

	for name in $2; do
		expect=$1/$name.json got=$WORK/got/$name.json
		if [ "$3" = 1 ]; then
			sed -E -f "$HERE/expect/mask.sed" "$got" >"$expect"
		fi
		sed -E -f "$HERE/expect/mask.sed" "$got" >"$got.masked"
		tap_cmd "$name is as expected" diff -u "$expect" "$got.masked"
	done
}
