# SPDX-License-Identifier: BSD-3-Clause
# What people get wrong at first: each mistake has one line that says what it is
# and what was expected, the exit code of the manual, and leaves nothing behind.
. "$top_srcdir/tests/programs/lib.sh"

hook=$(binary "$top_builddir/examples/femu-hook/femu-hook")
at=tcp://127.0.0.1:0
disk="--subsystem $nqn --ns stack=memory:1M"

# wrong EXIT-CODE PART-OF-THE-LINE COMMAND...
wrong() {
	expected=$1
	part=$2
	shift 2
	timeout 20 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	rc=$?
	said=$(sed '/^qemu-/d' "$tmp/err")
	shown=$(basename "$1")
	shift
	is "$shown $*: exit code" $rc "$expected"
	has "$shown $*: why" "$said" "$part"
	is "$shown $*: in one line" "$(wc -l <"$tmp/err")" 1
}

# --- leap-perf ---
start_socp --listen "$at" --subsystem "$nqn" --ns stack=memory:8M
wrong 2 "--depth takes 1 to 65535, not 0" "$perf" -d 0 "$url/$nqn"
wrong 2 "--mix takes 0 to 100, not 101" "$perf" -m 101 "$url/$nqn"
wrong 2 "--bs takes 512 to 64m" "$perf" -b 100 "$url/$nqn"
wrong 2 "--time takes seconds" "$perf" -t 1s "$url/$nqn"
wrong 4 "is there such a subsystem?" "$perf" --quiet "$url/$far"
wrong 4 "No such file" "$perf" --quiet shm:"$tmp/none/$nqn"
wrong 4 "refused" "$perf" --discover tcp://127.0.0.1:1
"$perf" --quiet --time 600 "$url/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
wait_for 10 is_loaded
stop_socp KILL 2>/dev/null
wait_for 10 grep -q "lost the connection" "$tmp/perf.out"
kill -INT "$perf_pid"
sleep 0.3
ok "leap-perf: a signal does not lose what is out" kill -0 "$perf_pid"
kill -INT "$perf_pid"
ok "a second one ends it" wait_for 10 is_gone "$perf_pid"
wait "$perf_pid"
is "with the code of a lost connection" $? 4
perf_pid=

# --- socp ---
wrong 1 "--listen: leap_listener_create: pcie: is for hosts alone" \
	"$socp" --listen pcie:0000:01:00.0/"$nqn" $disk
wrong 1 "--listen: \"irq\": only vfio-user" "$socp" --listen "$at,irq=msi" $disk
wrong 1 "\"irq\": only vfio-user" "$socp" --check-config \
	--listen "$at,irq=msi" $disk
wrong 1 "only shm and vfio-user" "$socp" --listen "$at,mode=0600" $disk
wrong 1 "--vfio-user: \"irq\": expected msix, msi or intx" \
	"$socp" --vfio-user "$tmp/vm,irq=pin" $disk
wrong 1 "\"memory:1M\": expected key=value pairs, at the end stack=..." \
	"$socp" --listen "$at" --subsystem "$nqn" --ns memory:1M
wrong 1 "length 3 of \"bad\" is not 11 to 223" \
	"$socp" --listen "$at" --subsystem bad
wrong 1 "/dev/null is neither a regular file nor a block device" \
	"$socp" --listen "$at" --subsystem "$nqn" --ns stack=file:/dev/null

# --- leap-hostd, femu-hook ---
wrong 1 "nothing to do: expected --listen SOCKET" "$hostd"
wrong 1 "--listen: " "$hostd" --listen "/$(printf '%0120d' 0)"
wrong 1 "--vfio-user: " "$hostd" --listen "$tmp/agent" \
	--vfio-user "$tmp/none/vm=$nqn"
wrong 1 "--ns: leap_" "$hostd" --subsystem "$nqn" --ns stack=relay:disk \
	--vfio-user "$tmp/vm=$nqn"
[ -d /sys/bus/pci ] && wrong 1 "ffff:00:00.0: no such NVMe drive" \
	"$hostd" devices list ffff:00:00.0
wrong 2 "--irq takes" "$hook" --irq pin --drive "$tmp/vm"
# What may come yet is waited for, and that is said once, however often it is
# tried.
waits() {	# NAME LINE COMMAND...
	name=$1
	line=$2
	shift 2
	"$@" >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	wait_for 10 grep -q "trying again" "$tmp/err"
	sleep 2.2
	stop_socp TERM
	is "$name" "$(cat "$tmp/err")" "$line; trying again"
	is "$name: and at SIGTERM: 0" "$rc" 0
}
waits "leap-hostd: a device that is not there yet" "leap-hostd: \
vfio-user:$tmp/none/$nqn: cannot be used: No such file or directory" \
	"$hostd" --lend "vfio-user:$tmp/none/$nqn=$tmp/lend"
waits "socp: an agent that is not there yet" \
	"socp: --agent $tmp/none: No such file or directory" \
	"$socp" --agent "$tmp/none" $disk

# --- leapctl ---
start_socp --listen "$at" $disk
wrong 1 "here: ask the --control of leap-hostd" \
	"$leapctl" --control "$ctl" status
wrong 2 "no command \"ns nothing\"" "$leapctl" --control "$ctl" ns nothing
wrong 2 "may end in k, M, G or T" \
	"$leapctl" --control "$ctl" ns resize "$nqn" 1 1Q
wrong 2 "--control PATH is missing" env SOCP_CONTROL= "$leapctl" info
stop_socp TERM
is "nothing is left behind" "$(cd "$tmp" && find . -type s)" ""
plan
