#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# shellcheck disable=SC1091,SC2034,SC2153
#
# In the guest that plays the SoC: a soft RDMA device, and a socp that is started,
# killed and stopped as the other guest says over the network. 71-soc.sh starts
# both. ADDR: of this guest, HOST: of the other;
# DRIVER: of the device.

BUILD=/nowhere SOCP=/usr/bin/socp LEAP_PERF= LEAPCTL= LEAP_HOSTD=
. /run/commands.sh
. /run/guest-lib.sh
ulimit -l unlimited

pid() { cat /tmp/socp.pid; }

# Its last line since it was started.
listening() {
	! has_ended "$(pid)" && tail -n 1 /tmp/socp.log | grep -q 'listening on rdma'
}

# Again while it ends at once: the kernel keeps the lock of a killed process on its
# file until its last write has landed.
start() { wait_for 10 start_one; }

start_one() {
	(
		echo starting
		rdma_socp_run "$ADDR" 4420 /tmp/ctl.sock file:/tmp/disk.img
	) </dev/null >>/tmp/socp.log 2>&1 &
	echo $! >/tmp/socp.pid
	wait_for 10 listens_or_ended
	listening && return
	kill -KILL "$(pid)"
	return 1
}

listens_or_ended() { listening || has_ended "$(pid)"; }

# One word from the other guest.
serve() {
	local word

	read -r word
	case $word in
	start) start ;;
	kill) kill -KILL "$(pid)" ;;
	stop) kill -STOP "$(pid)" ;;
	cont) kill -CONT "$(pid)" ;;
	far)	# uses memory of the other guest's; stops half way
		mkfifo /tmp/go
		(
			far use "rdma://$HOST:4430" <>/tmp/go >/tmp/far.out
			echo $? >/tmp/far.rc
		) </dev/null >/tmp/far.err 2>&1 &
		wait_for 20 grep -q half /tmp/far.out || cat /tmp/far.err
		;;
	far-go)
		echo >/tmp/go
		wait_for 20 grep -qx 0 /tmp/far.rc || cat /tmp/far.err
		;;
	rping) (rping -s -a "$ADDR" -C 5 >/dev/null 2>&1 &) ;;
	written) ! cmp -s -n 16777216 /tmp/disk.img /dev/zero ;;
	log) cat /tmp/socp.log ;;
	kernel) kernel_log ;;
	end) kill "$(cat /tmp/nc.pid)" ;;
	esac
	echo "@rc $?"
}

if [ "${1:-}" = serve ]; then
	serve 2>&1
	exit 0
fi

ip addr add "$ADDR/24" dev eth0 && ip link set eth0 up &&
	rdma link add "${DRIVER}0" type "$DRIVER" netdev eth0 || exit 1
truncate -s 64M /tmp/disk.img
printf '#!/bin/sh\nexec sh /run/main.sh serve\n' >/tmp/serve
chmod 755 /tmp/serve
echo "leapio: test starts" >/dev/kmsg
nc -ll -p 900 -e /tmp/serve &
echo $! >/tmp/nc.pid
echo "the SoC is up"
wait
exit 0
