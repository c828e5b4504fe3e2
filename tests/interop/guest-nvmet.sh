#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# In a guest: Linux nvmet-tcp on 10.0.2.2:$PORT with namespace 2 on the disk that
# the host gave, the others on loop devices (512-byte blocks) over tmpfs; then
# does what the host asks, until "stop". With $ONLY_DISK the disk is namespace 1.

cfg=/sys/kernel/config/nvmet
sub=$cfg/subsystems/$NQN
port=$cfg/ports/1

ns_on() {	# NSID PATH
	mkdir "$sub/namespaces/$1" &&
		echo "$2" >"$sub/namespaces/$1/device_path" &&
		echo "6c656170-696f-4c41-8000-00000000000$1" \
			>"$sub/namespaces/$1/device_uuid" &&
		echo 1 >"$sub/namespaces/$1/enable"
}

ns_add() {	# NSID SIZE
	truncate -s "$2" "/tmp/ns$1" && losetup "/dev/loop$1" "/tmp/ns$1" &&
		ns_on "$1" "/dev/loop$1"
}

ns_remove() {
	echo 0 >"$sub/namespaces/$1/enable" && rmdir "$sub/namespaces/$1" &&
		losetup -d "/dev/loop$1"
}

ns_resize() {
	truncate -s "$2" "/tmp/ns$1" && losetup -c "/dev/loop$1" &&
		echo 1 >"$sub/namespaces/$1/revalidate_size"
}

port_up() {
	ln -s "$sub" "$port/subsystems/$NQN"
}

port_down() {
	rm "$port/subsystems/$NQN"
}

mkdir "$sub" && echo 1 >"$sub/attr_allow_any_host" || exit 1
mkdir "$port" || exit 1
echo tcp >"$port/addr_trtype"
echo ipv4 >"$port/addr_adrfam"
echo 10.0.2.2 >"$port/addr_traddr"
echo "$PORT" >"$port/addr_trsvcid"
if [ -n "$ONLY_DISK" ]; then
	ns_on 1 /dev/vda
else
	ns_add 1 64M && ns_on 2 /dev/vda
fi && port_up || exit 1
echo "nvmet serves $NQN"
while :; do
	# shellcheck disable=SC2046 # words on purpose
	set -- $(host next)
	case ${1:-} in
	'') ;;
	stop) host result 0; exit 0 ;;
	ns_add | ns_remove | ns_resize | port_up | port_down)
		"$@"
		host result $?
		;;
	*) host result 1 ;;
	esac
done
