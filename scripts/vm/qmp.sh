#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: qmp.sh DIR COMMAND [JSON-ARGUMENTS]     has QEMU do that; prints its answer
#        qmp.sh DIR --wait EVENT [TEXT]          until that event, which has TEXT in it
#        qmp.sh --device ID PORT SOCKET          prints a vfio-user device, for
#                                                -device and for device_add
#
# DIR is the one that guest.sh --qmp was given. Exit code 1: QEMU refused, or did
# not answer within two minutes.

set -u

# say LINE: nobody else talks or listens meanwhile
say() {
	exec 7<>"$dir/qmp.in" 8<>"$dir/qmp.out"
	exec 9>"$dir/qmp.lock"
	flock 9
	[ -z "$1" ] || printf '%s\n' "$1" >&7
}

# Events that come while an answer is waited for stay for --wait.
answer() {
	local line

	while IFS= read -r -t 120 line <&8; do
		case $line in
		'{"return"'*) return 0 ;;
		'{"error"'*) echo "$line"; return 1 ;;
		*'"event": '*) printf '%s\n' "$line" >>"$dir/qmp.events" ;;
		esac
	done
	echo "QEMU does not answer"
	return 1
}

# The first word to QEMU ends its greeting.
greet() {
	[ ! -e "$dir/qmp.greeted" ] || return 0
	say '{"execute":"qmp_capabilities"}'
	answer && : >"$dir/qmp.greeted"
}

run() {
	say "{\"execute\":\"$1\"${2:+,\"arguments\":$2}}"
	answer
}

wait_event() {
	local line

	say ''
	if [ -e "$dir/qmp.events" ] && grep -q "\"$1\".*${2:-}" \
		"$dir/qmp.events"; then
		rm -f "$dir/qmp.events"
		return 0
	fi
	while IFS= read -r -t 120 line <&8; do
		case $line in *"\"$1\""*"${2:-}"*) return 0 ;; esac
	done
	echo "no $1 came"
	return 1
}

case ${1:-} in
--device)
	printf '{"driver":"vfio-user-pci","id":"%s","bus":"%s",' "$2" "$3"
	printf '"socket":{"type":"unix","path":"%s"}}\n' "$4"
	exit
	;;
esac
[ $# -ge 2 ] || { sed -n '4,7s/^# //p' "$0" >&2; exit 2; }
dir=$1
[ -p "$dir/qmp.in" ] || { echo "no QEMU in $dir"; exit 1; }
greet || exit 1
case $2 in
--wait) wait_event "$3" "${4:-}" ;;
*) run "$2" "${3:-}" ;;
esac
