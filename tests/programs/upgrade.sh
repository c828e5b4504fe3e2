# SPDX-License-Identifier: BSD-3-Clause
# leap-hostd replaces itself by its own file while a host uses the drive through
# vfio-user and a socp serves it: neither is told, neither is killed.
. "$top_srcdir/tests/programs/lib.sh"

agent=$tmp/agent
hctl=$tmp/hctl
vm=$tmp/vm.sock
hostd_pid=
socp_pid=
trap 'kill -9 $hostd_pid $socp_pid $perf_pid 2>/dev/null; rm -rf "$tmp"' EXIT

host() { "$leapctl" --control "$hctl" "$@"; }
state() { host --json status | sed -n 's/.*"state": "\([a-z]*\)".*/\1/p'; }
is_state() { [ "$(state)" = "$1" ]; }
upgrades() { host --json info | sed -n 's/.*"upgrades": \([0-9]*\).*/\1/p'; }
serves_after() { [ "$(upgrades)" = "$1" ] && is_state served; }

# A copy that can be taken away.
cp "$(binary "$hostd")" "$tmp/leap-hostd"
LD_LIBRARY_PATH=$top_builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
hostd=$tmp/leap-hostd
gone() { grep -c 'client gone' "$tmp/hostd.err"; }
is_gone() { [ "$(gone)" = "$1" ]; }
said_again() { [ "$(grep -c 'upgrade: ' "$tmp/hostd.err")" -gt "$1" ]; }
said() { grep -q "upgrade: .*$1" "$tmp/hostd.err"; }

"$hostd" --log-level info --listen "$agent" --control "$hctl" --vfio-user "$vm=$nqn" \
	>"$tmp/hostd.out" 2>"$tmp/hostd.err" &
hostd_pid=$!
ok "leap-hostd starts" wait_for 10 grep -q 'attaches at' "$tmp/hostd.out"
"$socp" --agent "$agent" --subsystem "$nqn" \
	--ns "stack=file:$tmp/disk[create=64M]" \
	>"$tmp/socp.out" 2>"$tmp/socp.err" &
socp_pid=$!
ok "socp serves" wait_for 10 is_state served
ok "an upgrade without guests" host upgrade
ok "... and socp is back" wait_for 10 serves_after 1

if "$perf" --help 2>&1 | grep -q vfio-user; then
	"$perf" --quiet --verify --range 32m --depth 16 --bs 4k --time 600 \
		"vfio-user:$vm/$nqn" >"$tmp/perf.out" 2>&1 &
	perf_pid=$!
	sleep 1
	for i in 2 3; do
		ok "upgrade $i under load" host upgrade
		ok "... goes on" wait_for 10 serves_after $i
		host status | sed -n 's/^\(pause\|slots\)/# \1/p'
		sleep 0.7
	done
	kill -USR2 "$hostd_pid"
	ok "and by a signal" wait_for 10 serves_after 4
	mv "$hostd" "$hostd.new"
	ok "an upgrade to no file" host upgrade
	ok "... is not done" wait_for 10 said 'No such file'
	ok "... and the old program goes on" wait_for 10 serves_after 4
	for body in 'exit 1' 'exec sleep 30'; do
		printf '#!/bin/sh\n%s\n' "$body" >"$hostd"
		chmod 755 "$hostd"
		said=$(grep -c "upgrade: " "$tmp/hostd.err")
		ok "an upgrade to a program that does '$body'" host upgrade
		ok "... is tried" wait_for 10 said_again "$said"
		ok "... and the old program goes on" \
			wait_for 10 serves_after 4
	done
	mv "$hostd.new" "$hostd"
	ok "with a file again" host upgrade
	ok "... it is" wait_for 10 serves_after 5
	is "the client was never let go" "$(gone)" 0
	sleep 0.5
	ok "every byte was right, and no command failed" end_load
	sed 's/^/# /' "$tmp/perf.out"
	perf_pid=
	ok "the client is gone once" wait_for 5 is_gone 1
	"$perf" --quiet --verify --range 32m --depth 16 --bs 4k --time 1 \
		"vfio-user:$vm/$nqn" >"$tmp/perf.out" 2>&1
	is "the next client: exit code" $? 0
fi

is "leap-hostd is the same process" \
	"$(host --json info | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')" \
	"$hostd_pid"
ok "socp is the same process" kill -0 "$socp_pid"
ends socp "$socp_pid"
socp_pid=
ends leap-hostd "$hostd_pid"
hostd_pid=
is "leap-hostd has said no error" "$(grep -c 'error:' "$tmp/hostd.err")" 0
plan
