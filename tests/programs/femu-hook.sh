# SPDX-License-Identifier: BSD-3-Clause
# femu-hook: what it says of programs that look like QEMU, and the command line
# that it makes.
. "$top_srcdir/tests/programs/lib.sh"

hook=$(binary "$top_builddir/examples/femu-hook/femu-hook")
drive=$tmp/drive.sock

# fake NAME VERSION DEVICES: a program that answers as QEMU does
fake() {
	cat >"$tmp/$1" <<-END
		#!/bin/sh
		case "\$*" in
		--version) echo "QEMU emulator version $2" ;;
		"-device help") echo '$3' ;;
		*) printf '%s\n' "\$@" >"$tmp/ran"; exit 7 ;;
		esac
	END
	chmod 755 "$tmp/$1"
}

# try NAME EXIT-CODE ARGUMENT...: runs it; its words stay in $out
try() {
	name=$1 want=$2
	shift 2
	out=$("$hook" "$@" 2>&1)
	is "$name: exit code" $? "$want"
}

has_user='name "vfio-user-pci", bus PCI, desc "VFIO over socket"'
fake good 11.1.3 "$has_user"
fake old "10.0.2 (Debian 1:10.0.2)" 'name "nvme", bus PCI'
fake bare "11.0.0" 'name "nvme", bus PCI'
fake trap "10.1.0" "$has_user"
fake liar "of something" ''
sed -i 's/QEMU emulator version/a/' "$tmp/liar"

try "no QEMU" 1 --drive "$drive" --qemu "$tmp/absent" --check --ns memory:1M
has "it says so" "$out" "absent does not run"
try "no version" 1 --drive "$drive" --qemu "$tmp/liar" --check --ns memory:1M
has "it says so" "$out" "says no version of QEMU"
try "too old" 1 --drive "$drive" --qemu "$tmp/old" --check --ns memory:1M
has "it names the version" "$out" "QEMU 10.0.2"
has "and what came when" "$out" "vfio-user-pci: it came with QEMU 10.1"
try "built without" 1 --drive "$drive" --qemu "$tmp/bare" --check --ns memory:1M
has "it says how to build" "$out" "--enable-vfio-user-client"
try "10.1.0" 0 --drive "$drive" --qemu "$tmp/trap" --check --ns memory:1M
has "a note, not a refusal" "$out" "note: QEMU 10.1.0 lays DMA_READ"
try "11.1.3" 0 --drive "$drive" --qemu "$tmp/good" --check --ns memory:1M
is "nothing to say" "$out" ""
try "nobody serves" 1 --drive "$drive" --qemu "$tmp/good"
has "it says so" "$out" "nobody serves $drive"

# What the user's own arguments say about memory.
ram() {	# NAME EXIT-CODE PART ARGUMENT...
	name=$1 want=$2 part=$3
	shift 3
	try "$name" "$want" --drive "$drive" --ns memory:1M \
		--qemu "$tmp/good" --check -- "$@"
	has "$name: what it says" "$out" "$part"
}
ram "plain -m" 1 "-m 2G alone makes memory that is private" -m 2G
ram "the way out" 1 "size=2G,share=on -machine memory-backend=ram" -m 2G
ram "share=off" 1 "memory-backend-memfd,id=r is private" -m 1G \
	-object memory-backend-memfd,id=r,size=1G,share=off \
	-machine q35,memory-backend=r
ram "a file is private by default" 1 "memory-backend-file,id=r is private" \
	-object memory-backend-file,id=r,mem-path=/x,size=1G \
	-M memory-backend=r
ram "memfd is shared by default" 0 "" -m 1G \
	-object memory-backend-memfd,id=r,size=1G -machine memory-backend=r
ram "share=on" 0 "" -m 1G --object memory-backend-ram,id=r,share=on,size=1G \
	--machine memory-backend=r
ram "JSON" 1 "memory-backend-ram,id=r is private" \
	-object '{"qom-type":"memory-backend-ram","id":"r","size":4096}' \
	-machine memory-backend=r
ram "NUMA" 1 "memory-backend-ram,id=b is private" \
	-object memory-backend-memfd,id=a,size=1G \
	-object memory-backend-ram,id=b,size=1G \
	-numa node,memdev=a -numa node,memdev=b
ram "a backend that nobody uses" 1 "add -machine memory-backend=r" \
	-object memory-backend-memfd,id=r,size=1G
ram "a backend that is not there" 1 "guest memory is to be \"r\"" \
	-machine memory-backend=r

# What is started, and the command line.
out=$("$hook" --drive "$drive" --ns memory:16M --socp "$socp" \
	--control "$ctl" --qemu "$tmp/good" --mem 512M -- -name "it's" \
	2>"$tmp/err")
is "a command line: exit code" $? 0
pid=$(sed -n 's/.*started .*, process \([0-9]*\)$/\1/p' "$tmp/err")
has "what the user gave" "$out" "-name 'it'\''s'"
has "shared memory" "$out" "memory-backend-memfd,id=leapram,size=512M,share=on"
has "the drive" "$out" "{\"driver\":\"vfio-user-pci\",\"id\":\"leap0\",\"socket\":{\"type\":\"unix\",\"path\":\"$drive\"}}"
ok "socp goes on" "$leapctl" --control "$ctl" info
try "joined" 0 --drive "$drive" --qemu "$tmp/good"
try "as JSON" 0 --drive "$drive" --qemu "$tmp/good" --json
ok "it is JSON" python3 -c 'import json, sys
o = json.loads(sys.argv[1])
assert o["problems"] == [] and o["qemu"]["name"] == "QEMU 11.1.3"
assert "-device" in o["command"]' "$out"
try "run" 7 --drive "$drive" --qemu "$tmp/good" --run
ok "QEMU got its arguments" grep -q share=on "$tmp/ran"
ok "who served before goes on" "$leapctl" --control "$ctl" info
kill "$pid"
ok "and ends when told to" wait_for 10 sh -c "! kill -0 $pid"
pid=
try "run with a server" 7 --drive "$drive" --ns memory:16M --socp "$socp" \
	--control "$ctl" --qemu "$tmp/good" --run
ok "which ends with it" sh -c "! '$leapctl' --control '$ctl' info"
# A QEMU that runs until it is told to end, as its own ends then: with 0.
rm -f "$tmp/ran"
fake waits 11.1.3 "$has_user"
sed -i 's/exit 7 ;;/trap "exit 0" TERM; while :; do sleep 0.1; done ;;/' \
	"$tmp/waits"
"$hook" --drive "$drive" --ns memory:16M --socp "$socp" --control "$ctl" \
	--qemu "$tmp/waits" --run >"$tmp/err" 2>&1 &
pid=$!
ok "run until told to end" wait_for 10 test -s "$tmp/ran"
stop_socp TERM
is "SIGTERM: QEMU's exit code" "$rc" 0
ok "the server has ended with it" sh -c "! '$leapctl' --control '$ctl' info"
try "run with MSI" 7 --drive "$drive" --ns memory:16M --socp "$socp" \
	--irq msi --qemu "$tmp/good" --run
try "run with what interrupts by nothing" 2 --drive "$drive" --ns memory:16M \
	--socp "$socp" --irq none --qemu "$tmp/good" --run
has "it says what there is" "$out" '--irq takes msix, msi or intx'

# Usage.
try "no drive" 2 --qemu "$tmp/good"
try "QEMU's arguments without --" 2 --drive "$drive" -m 2G
try "--run with --json" 2 --drive "$drive" --run --json
plan
