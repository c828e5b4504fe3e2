#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds libleapio, serves a drive over NVMe/TCP, does verified I/O to it as a
# host, shows how to attach kernels and VMs, and stops everything again.
#
# usage: scripts/quickstart.sh [--no-install] [--seconds N]
#   --no-install  fail when a package is missing instead of installing it
#   --seconds N   how long to do I/O (default 3)
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/lib.sh"

seconds=3
while [ $# -gt 0 ]; do
	case $1 in
	--no-install) export LEAP_NO_INSTALL=1 ;;
	--seconds) seconds=${2:?--seconds takes a number}; shift ;;
	-h | --help) sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) sed -n '3,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
	esac
	shift
done

nqn=nqn.2024-01.io.libleapio:quickstart
tmp=$(mktemp -d)
pid=
attached=

# Whatever happens, nothing stays: no process, no connection, no file.
clean_up() {
	[ -z "$attached" ] || as_root nvme disconnect -n "$nqn" >/dev/null 2>&1
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; }
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The kernel's own host, where this machine has one.
try_kernel() {
	local port=$1 dev

	[ -e /dev/nvme-fabrics ] && command -v nvme >/dev/null || {
		say "this kernel has no NVMe/TCP host (modprobe nvme-tcp), or" \
			"nvme-cli is missing: skipping that"
		return 0
	}
	say "the kernel connects ..."
	as_root nvme connect -t tcp -a 127.0.0.1 -s "$port" -n "$nqn" ||
		die "nvme connect"
	attached=1
	dev=$(as_root nvme list -v 2>/dev/null | grep -o 'nvme[0-9]*n1' |
		tail -n 1)
	say "it is /dev/${dev:-?} there"
	as_root nvme disconnect -n "$nqn" >/dev/null
	attached=
}

say "packages ..."
need_packages $base_packages
say "build ..."
build_in quickstart --disable-shared || die "the build (see above)"
bin=$top/build/quickstart/examples
for p in socp/socp leapctl/leapctl leap-perf/leap-perf; do
	[ -x "$bin/$p" ] || die "the build made no ${p#*/}"
done

say "start socp with a drive in memory ..."
"$bin/socp/socp" --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--ns nsid=1,stack=memory:256M --control "$tmp/socp.sock" \
	>"$tmp/out" 2>"$tmp/err" &
pid=$!
for _ in $(seq 200); do
	grep -q '^socp: listening' "$tmp/out" && break
	kill -0 "$pid" 2>/dev/null || { cat "$tmp/err" >&2; pid=
		die "socp ended"; }
	sleep 0.05
done
url=$(sed -n 's/^socp: listening on \([^ ,]*\).*/\1/p' "$tmp/out")
[ -n "$url" ] || die "socp is not listening after 10 s"
port=${url##*:}
say "it serves $nqn on $url"

say "verified I/O for $seconds s ..."
"$bin/leap-perf/leap-perf" --verify --quiet --time "$seconds" --queues 2 \
	--bs 512-128k "$url/$nqn" || die "leap-perf found something wrong"

say "what socp says about it:"
"$bin/leapctl/leapctl" --control "$tmp/socp.sock" subsystems ||
	die "leapctl subsystems"
"$bin/leapctl/leapctl" --control "$tmp/socp.sock" stacks ||
	die "leapctl stacks"

try_kernel "$port"

say "SIGTERM ..."
kill "$pid"
wait "$pid"
rc=$?
pid=
[ $rc = 0 ] || die "socp ended with $rc"
[ ! -e "$tmp/socp.sock" ] || die "socp left its socket behind"

cat <<EOF

All of it works. To serve a disk image to other machines:

  socp --listen tcp://0.0.0.0:4420 --subsystem $nqn \\
       --ns 'stack=file:disk.img[create=1G]' --control /tmp/socp.sock

and to attach it there, with an unmodified Linux kernel:

  modprobe nvme-tcp
  nvme connect -t tcp -a ADDRESS -s 4420 -n $nqn

The same two lines attach it inside a VM; with QEMU's user network, ADDRESS is
10.0.2.2 and --listen says tcp://127.0.0.1:4420,advertise=10.0.2.2:4420.
EOF
say "done"
