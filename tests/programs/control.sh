# SPDX-License-Identifier: BSD-3-Clause
# The control socket: good and bad requests, and leapctl's tables and codes.
. "$top_srcdir/tests/programs/lib.sh"
perf_pid=
trap 'kill -9 $perf_pid 2>/dev/null; stop_socp KILL >/dev/null 2>&1
	rm -rf "$tmp"' EXIT
command -v python3 >/dev/null || { echo "skip: no python3"; exit 77; }

ok "socp starts" start_socp --listen tcp://127.0.0.1:0 --subsystem "$nqn" \
	--ns nsid=1,stack=memory:16M
is "only its user may talk to it" "$(stat -c %a "$ctl")" 600

J='"jsonrpc":"2.0"'
has "a call" "$(raw "{$J,\"id\":1,\"method\":\"ns.list\",\"params\":{\"nqn\":\"$nqn\"}}")" \
	'"nsid":1'
has "no JSON: -32700" "$(raw 'this is none')" '"code":-32700'
has "and its id is null" "$(raw '{]')" '"id":null'
is "after a parse error the stream goes on" \
	"$(raw '{"a' "{$J,\"id\":2,\"method\":\"process.info\"}" |
		grep -c '"result"')" 1
has "not a request: -32600" "$(raw '{"id":1}')" '"code":-32600'
has "an empty batch: -32600" "$(raw '[]')" '"code":-32600'
has "no such method: -32601" "$(raw "{$J,\"id\":3,\"method\":\"no\"}")" \
	'"code":-32601'
has "wrong parameters: -32602" \
	"$(raw "{$J,\"id\":3,\"method\":\"ns.list\",\"params\":{\"nqn\":4}}")" \
	'"code":-32602'
has "and what was expected" \
	"$(raw "{$J,\"id\":3,\"method\":\"ns.list\",\"params\":{\"nqn\":4}}")" \
	'expected text'
is "a notification is not answered" \
	"$(raw "{$J,\"method\":\"process.info\"}")" ""
is "a batch: one line, two answers, the notification none" \
	"$(raw "[{$J,\"id\":1,\"method\":\"no\"},{$J,\"method\":\"no\"},{$J,\"id\":2,\"method\":\"listeners.list\"}]" |
		python3 -c 'import json,sys
l = sys.stdin.read().splitlines()
print(len(l), [a["id"] for a in json.loads(l[0])])')" "1 [1, 2]"
has "a huge message is refused" "$(python3 -c 'print("[" + "1," * 800000)' |
	{ read -r big; raw "$big"; })" 'longer than 1048576'
has "deep nesting is refused" \
	"$(raw "$(python3 -c 'print("[" * 5000 + "]" * 5000)')")" '-32700'
ok "and others are still served" ask info

before=$(ask --json subsystems)
refuse() {	# NAME EXPECTED ARGUMENT...
	name=$1
	expected=$2
	shift 2
	out=$(ask "$@" 2>&1)
	is "$name: exit code 1" $? 1
	has "$name: says why" "$out" "$expected"
}
refuse "add an NSID that is there" "1" ns add "$nqn" nsid=1,stack=memory:1M
refuse "add a stack that is none" "leap_bdev_open" ns add "$nqn" 'stack=what?'
refuse "remove what is not there" "9" ns remove "$nqn" 9
refuse "resize what is not there" "9" ns resize "$nqn" 9 1M
refuse "resize to half a block" "ns.resize" ns resize "$nqn" 1 1000
refuse "a subsystem that is there" "$nqn" subsystems add "$nqn"
refuse "a name that is none" "length 7" subsystems add "no name"
refuse "a listener that is there" "listeners.add" listeners add "$url"
refuse "no such subsystem" "no subsystem" ns list nqn.2024-01.io.x:none
refuse "no such host" "any host" hosts deny "$nqn" nqn.2024-01.io.x:h
refuse "a subsystem with one bad host" "" \
	subsystems add nqn.2024-01.io.x:half nqn.2024-01.io.x:h bad
is "requests that failed changed nothing" "$(ask --json subsystems)" "$before"

ok "add one of larger blocks than its stack has" ask ns add "$nqn" \
	"nsid=4,block_bytes=4096,stack=memory:16M[block=512]"
has "they are what is shown" "$(ask --json ns list "$nqn" | tr -d ' \n' |
	grep -o '"nsid":4,"block_bytes":4096,"blocks":4096')" 4096
ok "remove it" ask ns remove "$nqn" 4
ok "add a namespace" ask ns add "$nqn" nsid=3,stack=memory:16M
has "it is there" "$(ask ns list "$nqn")" "   3"
ok "resize it" ask ns resize "$nqn" 3 32M
has "it is larger" "$(ask ns list "$nqn")" "32.0 MiB"
ok "remove it" ask ns remove "$nqn" 3
is "all is as before" "$(ask --json subsystems)" "$before"
ok "add a subsystem with a host" \
	ask subsystems add nqn.2024-01.io.x:s,serial=1 nqn.2024-01.io.x:h
ok "allow another" ask hosts allow nqn.2024-01.io.x:s nqn.2024-01.io.x:i
ok "deny it again" ask hosts deny nqn.2024-01.io.x:s nqn.2024-01.io.x:i
ok "remove the subsystem" ask subsystems remove nqn.2024-01.io.x:s
is "and once more as before" "$(ask --json subsystems)" "$before"
added=$(ask listeners add tcp://127.0.0.1:0 | sed 's/.* //')
has "add a listener" "$(ask listeners)" "$added"
ok "use it" "$perf" --quiet --count 100 "$added/$nqn"
found=$("$perf" --json --discover "$added" | python3 -c '
import json, sys
for e in json.load(sys.stdin):
    print(e["type"], e["subtype"], e["port"], e["subsystem"])')
has "it is discovered" "$found" "tcp nvme ${added##*:} $nqn"
ok "remove it" ask listeners remove "$added"
is "it is gone" "$(ask listeners)" "$url"

drive=vfio-user:$tmp/drive.sock/$nqn
ok "add a drive for a virtual machine" ask listeners add "$drive",mode=0660
has "it is listed" "$(ask listeners)" "$drive"
is "its socket's mode" "$(stat -c %a "$tmp/drive.sock")" 660
ok "remove it" ask listeners remove "$drive"
ok "its socket is gone" test ! -e "$tmp/drive.sock"
ok "a drive of a subsystem" ask subsystems add nqn.2024-01.io.x:vm
ok "that goes" ask listeners add "vfio-user:$tmp/drive.sock/nqn.2024-01.io.x:vm"
ok "goes with it" ask subsystems remove nqn.2024-01.io.x:vm
ok "its socket as well" test ! -e "$tmp/drive.sock"
is "and once more as before" "$(ask --json subsystems)" "$before"

"$perf" --quiet --time 600 "$url/$nqn" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
ok "a connection shows" wait_for 10 sh -c \
	"'$leapctl' --control '$ctl' connections | grep -q 127.0.0.1"
has "stacks count" "$(ask stacks)" "read"
ok "top shows rates" wait_for 10 is_loaded
ok "top as JSON" wait_for 10 sh -c "'$leapctl' --control '$ctl' --json top 0.3 1 |
	python3 -c 'import json,sys; assert json.load(sys.stdin)[0][\"iops\"] > 0'"
for what in subsystems connections stacks stats info listeners; do
	ok "$what --json is JSON" sh -c \
		"'$leapctl' --control '$ctl' --json $what | python3 -m json.tool"
done
cntlid=$(ask --json connections | python3 -c \
	'import json,sys; print(json.load(sys.stdin)[0]["cntlid"])')
ok "end one connection" ask connections disconnect "$nqn" "$cntlid"
refuse "there is none of that number" "no controller" \
	connections disconnect "$nqn" 65000
end_load
perf_pid=

drive=vfio-user:$tmp/drive.sock/$nqn
ok "a drive for a virtual machine" ask listeners add "$drive"
"$perf" --quiet --time 600 --loss 20000 "$drive" >"$tmp/perf.out" 2>&1 &
perf_pid=$!
pci() {
	ask --json connections | python3 -c 'import json,sys
print([c["cntlid"] for c in json.load(sys.stdin) if c["peer"] == "pci" and
	c["io_queues"]][0])'
}
ok "is used" wait_for 10 pci
ok "it is pulled out" ask connections disconnect "$nqn" "$(pci)"
ok "who comes next gets another" wait_for 20 pci
end_load
is "and goes on with it" $? 0
perf_pid=
ok "the drive goes" ask listeners remove "$drive"

ask nonsense >/dev/null 2>&1
is "usage: 2" $? 2
ask ns add "$nqn" >/dev/null 2>&1
is "a missing argument: 2" $? 2
ask ns resize "$nqn" 1 big >/dev/null 2>&1
is "not a size: 2" $? 2
ask top nan >/dev/null 2>&1
is "not so many seconds: 2" $? 2
for count in -1 99999999999g 1x; do
	"$perf" --count $count "$url/$nqn" >/dev/null 2>&1
	is "leap-perf --count $count: 2" $? 2
done
for prog in "$socp" "$leapctl" "$perf" "$hostd"; do
	has "$(basename "$prog") --version" "$("$prog" --version)" \
		"$(basename "$prog") "
	has "--help says how it ends" "$("$prog" --help)" "Exit: 0"
done
"$leapctl" --control "$tmp/none" info >/dev/null 2>&1
is "no connection: 3" $? 3
stop_socp TERM
is "it ends well after all that" "$rc" 0
ok "and its socket is gone" test ! -e "$ctl"
plan
