# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The drive of guests that outlives who serves it: leap-hostd has the socket, a
# socp of its own the namespace, which is a file. DELAY: a layer above it.

DRIVE=$WORK/drive.sock

target_program() {
	[ -n "$SOCP" ] || return 1
	[ -n "$LEAPCTL" ] || return 1
	[ -n "$LEAP_HOSTD" ]
}

target_start() {
	(hostd_run "$WORK/agent.sock" "$WORK/hostd.sock" "$DRIVE") \
		>>"$WORK/hostd.log" 2>&1 &
	echo $! >"$WORK/hostd.pid"
	disown $!
	wait_for 10 test -S "$DRIVE" && runtime_start
}

target_stop() {
	stop_pid TERM "$WORK/target.pid" && stop_pid TERM "$WORK/hostd.pid"
}

# runtime_run OPTION...: with a control socket of its own, there when it returns.
# Fails as soon as it has ended.
runtime_run() {
	local ctl pid

	echo . >>"$WORK/runtimes"
	ctl=$WORK/ctl$(wc -l <"$WORK/runtimes").sock
	(socp_agent_run "$WORK/agent.sock" "$ctl" \
		"${DELAY:+$DELAY -> }file:$WORK/ns2.img" "$@") \
		>>"$WORK/target.log" 2>&1 &
	pid=$!
	echo $pid >"$WORK/target.pid"
	disown $pid
	wait_for 10 up_or_gone $pid test -S "$ctl" && ! gone $pid
}

# Like a service manager, starts it again while it ends at once: the kernel keeps
# the lock of a killed process on its file until its last write has landed.
runtime_start() { wait_for 15 runtime_try; }

runtime_try() {
	runtime_run && return
	stop_pid KILL "$WORK/target.pid"
	return 1
}

runtime_kill() { stop_pid KILL "$WORK/target.pid"; }
runtime_freeze() { kill -STOP "$(cat "$WORK/target.pid")"; }
runtime_thaw() { kill -CONT "$(cat "$WORK/target.pid")"; }

# While it has commands, if the guest gives it any in a while. What is stopped
# ends none of them between the look and what follows.
runtime_freeze_busy() {
	local i

	for i in $(seq 300); do
		runtime_freeze
		io_is_under_way && return
		runtime_thaw
	done
	runtime_freeze
}

# A standby takes over, and the one before drains and ends.
runtime_handoff() {
	local old

	old=$(cat "$WORK/target.pid")
	runtime_run --standby && wait_for 10 ctl_handoff "$WORK/hostd.sock" &&
		wait_for 10 gone "$old"
}

# slots_were WHAT: the state of every command of an I/O queue when the last
# runtime was lost, for the end of the test. Later, so that nobody waits for it.
slots_were() {
	ctl_agent_status "$WORK/hostd.sock" | awk -v what="$1" '
		/"(free|fetched|issued|completing)":/ {
			gsub(/[",:]/, ""); n[$1] = $2 }
		END { printf "%s: slots free %d, fetched %d, issued %d, " \
			"completing %d\n", what, n["free"], n["fetched"],
			n["issued"], n["completing"] }' >>"$WORK/slots"
}

# A guest cannot get past these while nobody answers it. It waits for a command
# of an I/O queue, or for the deletion of one, as the first thing that a driver
# does to end them all.
guest_is_at_unmount() {
	ctl_inspect "$WORK/hostd.sock" | awk '
		$1 == "SQ" { sqs = $5 == "HEAD" }
		sqs && $1 > 0 && $5 != $6 { waits = 1 }
		END { exit !waits }'
}

guest_is_at_reset() {
	ctl_inspect "$WORK/hostd.sock" | awk '
		$1 == "SQ" { slots = $3 == "STATE" }
		slots && $1 == 0 && $3 == "issued" && $5 == "00" { waits = 1 }
		END { exit !waits }'
}

guest_is_at_reboot() { guest_is_at_reset; }

# Writes, which DELAY keeps for a while.
io_is_under_way() {
	ctl_inspect "$WORK/hostd.sock" | awk '
		$1 == "SQ" { slots = $3 == "STATE" }
		slots && $1 > 0 && $3 == "issued" && $5 == "01" { busy = 1 }
		END { exit !busy }'
}

drive_args() {
	echo --vfio-user "$DRIVE"
}
