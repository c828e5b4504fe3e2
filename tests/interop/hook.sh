#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a guest may ask of the host during an interop test (guest.sh --hook).

. "$(dirname "$(realpath "$0")")/lib.sh"
. "$HERE/target-$TARGET.sh"

case $1 in
target-start) target_start ;;
target-kill) target_kill ;;
target-stop) target_stop ;;
target-freeze) target_freeze ;;
target-thaw) target_thaw ;;
ns-add) target_ns_add "$2" "$3" ;;
ns-remove) target_ns_remove "$2" ;;
ns-resize) target_ns_resize "$2" "$3" ;;
put)	# put NAME BASE64: a result of the guest
	case $2 in
	*[!a-z0-9.-]* | .*) echo "bad name $2"; exit 1 ;;
	esac
	mkdir -p "$WORK/got"
	base64 -d <<<"$3" >"$WORK/got/$2"
	;;
boot)	# how often the guest has started, this time included
	echo . >>"$WORK/boots"
	wc -l <"$WORK/boots"
	;;
unplug)
	"$VM/qmp.sh" "$WORK" device_del '{"id":"drive0"}' &&
		"$VM/qmp.sh" "$WORK" --wait DEVICE_DELETED '"device": "drive0"'
	;;
plug) "$VM/qmp.sh" "$WORK" device_add "$(drive_json)" ;;
drive-speed) drive_speed "$2" ;;
admin-commands) admin_commands "$2" ;;
counters) target_counters ;;
kill) runtime_kill && runtime_start && slots_were "killed" ;;
kill-busy)	# while it has commands, if the guest gives it any in a while
	for _ in $(seq 100); do
		io_is_under_way && break
	done
	runtime_kill && runtime_start && slots_were "killed"
	;;
kill-in)	# OPERATION: stopped now; killed and started in the middle of it
	runtime_freeze
	(
		if wait_for 30 "guest_is_at_$2"; then echo "$2" >>"$WORK/hits"; fi
		runtime_kill
		runtime_start
		slots_were "killed in the middle of a $2"
	) >>"$WORK/later.log" 2>&1 &
	;;
was-hit) wait_for 10 grep -qx "$2" "$WORK/hits" ;;
runtime-freeze) runtime_freeze ;;
freeze-busy) runtime_freeze_busy ;;
handoff) runtime_handoff && slots_were "handed over" ;;
wakeups)	# of the drive's processes, all threads, since they began; and when
	for pid in $(cat "$WORK/hostd.pid" "$WORK/target.pid"); do
		cat /proc/"$pid"/task/*/status
	done | awk -v now="$(date +%s)" '/^voluntary_ctxt/ { n += $2 }
		END { print n, now }'
	;;
next)	# the nvmet guest asks for work; an empty line is none
	exec 6<>"$WORK/ask"
	read -r -t 0.3 line <&6
	echo "$line"
	;;
result)
	exec 6<>"$WORK/answer"
	echo "$2" >&6
	sleep 0.05
	;;
*)
	echo "no such hook: $1"
	exit 1
	;;
esac
