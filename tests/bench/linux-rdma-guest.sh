#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2034
#
# In a guest: every pair of a host and a target over soft RDMA in turn, again and
# again. linux-rdma.sh starts it and reads its lines "@sample HOST TARGET
# OPERATION DEPTH IOPS P99.9-NS".

BUILD=/nowhere SOCP=/usr/bin/socp LEAP_PERF=/usr/bin/leap-perf LEAPCTL=
ADDR=10.88.0.1 LINUX_NQN=nqn.2024-01.io.leapio:nvmet
. /run/commands.sh
. /run/guest-lib.sh
ulimit -l unlimited

targets() {
	local cfg=/sys/kernel/config/nvmet sub port

	sub=$cfg/subsystems/$LINUX_NQN port=$cfg/ports/1
	dd if=/dev/zero of=/dev/ram0 bs=1M count=64 2>/dev/null
	mkdir "$sub" && echo 1 >"$sub/attr_allow_any_host" &&
		mkdir "$sub/namespaces/2" &&
		echo /dev/ram0 >"$sub/namespaces/2/device_path" &&
		echo 1 >"$sub/namespaces/2/enable" && mkdir "$port" &&
		echo rdma >"$port/addr_trtype" &&
		echo ipv4 >"$port/addr_adrfam" &&
		echo $ADDR >"$port/addr_traddr" &&
		echo 4421 >"$port/addr_trsvcid" &&
		ln -s "$sub" "$port/subsystems/$LINUX_NQN" || return 1
	rdma_socp_run $ADDR 4420 /tmp/ctl.sock memory:64M >/tmp/socp.log 2>&1 &
	wait_for 10 grep -q 'listening on rdma' /tmp/socp.log
}

linux_host() {
	nvme connect -t rdma -a $ADDR -s 4420 -n "$NQN" -i 1 &&
		nvme connect -t rdma -a $ADDR -s 4421 -n "$LINUX_NQN" -i 1 &&
		wait_for 10 ns 1 && wait_for 10 ns 2
}

fio_one() {	# NSID OPERATION DEPTH: "IOPS P99.9"
	fio --name=one --filename="/dev/$(ns "$1")" --ioengine=libaio \
		--direct=1 --rw="rand$2" --bs=4k --iodepth="$3" --size=32m \
		--time_based --runtime="$SECONDS_EACH" --ramp_time=200ms \
		--norandommap --percentile_list=99.9 --eta=never \
		--output-format=json 2>/dev/null |
		awk '/"iops" :/ && $3 + 0 > n { n = $3 + 0 }
			/"99.900000" :/ && $3 + 0 > p { p = $3 + 0 }
			END { print n, p }'
}

perf_one() {	# PORT NQN OPERATION DEPTH: the same
	local mix=0 part

	[ "$3" = write ] || mix=100
	part=$($LEAP_PERF --mix $mix --bs 4k --depth "$4" --queues 1 \
		--range 32M --time "$SECONDS_EACH" --quiet --json \
		"rdma://$ADDR:$1/$2" | sed "s/.*\"$3\":{//;s/}.*//")
	echo "$part" | sed 's/.*"iops":\([0-9.]*\).*"p99_9":\([0-9]*\).*/\1 \2/'
}

round() {	# OPERATION DEPTH
	echo "@sample nvme-rdma nvmet $1 $2 $(fio_one 2 "$1" "$2")"
	echo "@sample nvme-rdma socp $1 $2 $(fio_one 1 "$1" "$2")"
	echo "@sample leap-perf nvmet $1 $2 $(perf_one 4421 "$LINUX_NQN" "$1" "$2")"
	echo "@sample leap-perf socp $1 $2 $(perf_one 4420 "$NQN" "$1" "$2")"
}

ip addr add $ADDR/24 dev dummy0 && ip link set dummy0 up &&
	rdma link add rxe0 type rxe netdev dummy0 || exit 1
targets && linux_host || { cat /tmp/socp.log; exit 1; }
run=0
while [ $run -lt "$RUNS" ]; do
	run=$((run + 1))
	for op in read write; do
		round $op 1
		round $op 32
	done
done
exit 0
