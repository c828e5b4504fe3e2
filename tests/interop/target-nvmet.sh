# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Linux nvmet in a guest, reached through a forwarded port: the target for our
# host end, and a stand-in for socp that tries out the kernel-host test itself.
# Commands reach the guest by its asking for them (hook "next").

target_program() { [ -x "$VM/guest.sh" ]; }

target_start() {
	local net=host=10.0.2.100,dns=10.0.2.101

	[ -e "$WORK/ns2.img" ] || truncate -s 256M "$WORK/ns2.img"
	[ -p "$WORK/ask" ] || mkfifo "$WORK/ask" "$WORK/answer"
	# The guest has the address that its discovery log gives out.
	"$VM/guest.sh" --script "$HERE/guest-nvmet.sh" --timeout "${LIMIT:-900}" \
		--env "NQN=$NQN" --env "PORT=$PORT" \
		--env "ONLY_DISK=${ONLY_DISK:-}" --mem 768 \
		--module loop --module nvmet-tcp --module virtio_blk \
		--module crc32c_generic --net --ip 10.0.2.2/24 \
		--net-args "$net,hostfwd=tcp:127.0.0.1:$PORT-10.0.2.2:$PORT" \
		--hook "$HERE/hook.sh" --pidfile "$WORK/target.pid" \
		-- -drive "file=$WORK/ns2.img,if=none,id=d0,format=raw,discard=unmap" \
		-device virtio-blk-pci,drive=d0 \
		>>"$WORK/target.log" 2>&1 </dev/null &
	wait_for 60 up_or_gone $! target_answers && ! gone $!
}

target_freeze() { kill -STOP "$(cat "$WORK/target.pid")"; }
target_thaw() { kill -CONT "$(cat "$WORK/target.pid")"; }
target_kill() { stop_pid KILL "$WORK/target.pid"; }
target_stop() { nvmet_do stop; stop_pid TERM "$WORK/target.pid"; }
target_ns_add() { nvmet_do ns_add "$1" "$2"; }
target_ns_remove() { nvmet_do ns_remove "$1"; }
target_ns_resize() { nvmet_do ns_resize "$1" "$2"; }
target_port_down() { nvmet_do port_down; }
target_port_up() { nvmet_do port_up; }

nvmet_do() {
	local rc

	# both opened for reading too: neither side may find the other gone
	exec 6<>"$WORK/answer" 7<>"$WORK/ask"
	echo "$*" >&7
	read -r -t 120 rc <&6 || { echo "the nvmet guest did not answer"; return 1; }
	exec 6>&- 7>&-
	[ "$rc" = 0 ]
}
