# SPDX-License-Identifier: BSD-3-Clause
# Configurations that are refused: file, line, what was expected; nothing starts.
. "$top_srcdir/tests/programs/lib.sh"

# refused NAME EXPECTED: the config in $tmp/c.json
refused() {
	out=$("$socp" --config "$tmp/c.json" 2>&1)
	is "$1: exit code" $? 1
	has "$1" "$out" "$2"
}

cat >"$tmp/c.json" <<'EOF'
{
  "subsystems": [
    { "nqn": "nqn.2024-01.io.example:a",
      "namespaces": [
        { "nsid": 1, "stack": "memory:16M" },
        { "nsid": "two", "stack": "memory:16M" } ] } ],
  "listeners": [ { "url": "tcp://127.0.0.1:0" } ]
}
EOF
refused "a number that is text" "c.json:6: \"nsid\": expected a number"
sed -i 's/"two"/2, "color": 3/' "$tmp/c.json"
refused "an unknown key" "c.json:6: unknown key \"color\", expected one of:"
sed -i 's/, "color": 3//; s/"url"/"uri"/' "$tmp/c.json"
refused "a missing key" "c.json:7: unknown key \"uri\""
sed -i 's/"uri": "tcp.*0" }/}/' "$tmp/c.json"
refused "a missing key" "c.json:7: expected \"url\", which is missing"
sed -i 's/{ } ]$/{ "url": "tcp:\/\/127.0.0.1:0" } ]/; s/16M" } ]/16M[x=1]" } ]/' \
	"$tmp/c.json"
refused "a stack with an unknown option" "c.json:6:"
sed -i 's/memory:16M\[x=1\]/nothing-like-it:1/' "$tmp/c.json"
refused "a layer that is not there" "c.json:6:"
sed -i 's/nothing-like-it:1/memory:16M/; s/tcp:/ftp:/' "$tmp/c.json"
refused "a transport that is not there" "c.json:7:"
sed -i 's/ftp:/tcp:/; s/"nqn.2024.*a"/"no name"/' "$tmp/c.json"
refused "a name that is no NQN" "c.json:3:"
sed -i 's/"no name"/"nqn.2024-01.io.example:a", "hosts": [ 7 ]/' "$tmp/c.json"
refused "a host that is no text" "c.json:3: expected the NQN of a host"
sed -i 's/, "hosts": \[ 7 \]//; s/"nsid": 1,/"nsid": 1/' "$tmp/c.json"
refused "broken syntax" "c.json:5: expected JSON:"
sed -i 's/"nsid": 1/"nsid": 2,/' "$tmp/c.json"
refused "an NSID twice" "c.json:6:"
echo '{ "threads": 65 }' >"$tmp/c.json"
refused "a number out of range" "c.json:1: \"threads\": expected a number up to 64"

option() {	# NAME EXPECTED ARGUMENT...
	name=$1
	expected=$2
	shift 2
	out=$("$socp" "$@" 2>&1)
	is "$name: exit code" $? 1
	has "$name" "$out" "$expected"
}
option "no such file" "/nowhere/c.json" --config /nowhere/c.json
option "a namespace of nothing" "--ns: expected after the --subsystem" \
	--ns stack=memory:1M
option "an option without stack" '--ns: expected "stack"' \
	--subsystem "$nqn" --ns nsid=1
option "an unknown key of an option" '--ns: unknown key "size"' \
	--subsystem "$nqn" --ns size=1,stack=memory:1M
option "threads" "--threads: " --threads many
option "log level" "--log-level: expected error, warn" --log-level loud
option "a drive of no subsystem" "--vfio-user: expected one subsystem" \
	--vfio-user "$tmp/x.sock"
option "a drive of two" "--vfio-user: expected one subsystem" \
	--vfio-user "$tmp/x.sock" --subsystem "$nqn" --subsystem "$nqn.b"
option "no permissions" '"mode": expected permissions in octal' \
	--vfio-user "$tmp/x.sock",mode=0668 --subsystem "$nqn"
option "no user" '"owner": expected USER' \
	--vfio-user "$tmp/x.sock",owner=no-such-user --subsystem "$nqn"
option "shared receives without RDMA" '"srq": only rdma has receives' \
	--listen "tcp://127.0.0.1:0,srq=64" --subsystem "$nqn"
option "too many shared receives" '"srq"' \
	--listen "rdma://127.0.0.1:0,srq=65537" --subsystem "$nqn"
option "no kind of interrupt" '"irq": expected msix, msi or intx' \
	--vfio-user "$tmp/x.sock",irq=pin --subsystem "$nqn"
option "a drive of a subsystem that is not there" "names no subsystem" \
	--listen "vfio-user:$tmp/x.sock/$nqn"
option "nothing to do" "nothing to do: expected --listen" --threads 1
layers=$("$socp" --layers)
for layer in delay error file memory null nvme ocssd relay trace zoned; do
	has "--layers has $layer" "
$layers" "
$layer
"
done
has "--layers has what a layer takes" "$layers" "zone=SIZE"
"$socp" --no-such-option >/dev/null 2>&1
is "an unknown option is usage" $? 2

cat >"$tmp/c.json" <<EOF
{ "control": "$tmp/other", "threads": 1, "log_level": "info",
  "subsystems": [ { "nqn": "nqn.2024-01.io.example:a", "serial": "S-1",
    "namespaces": [ { "stack": "memory:16M", "block_bytes": 4096 } ] } ],
  "listeners": [ { "url": "tcp://127.0.0.1:0" } ] }
EOF
ok "a good one is checked" "$socp" --config "$tmp/c.json" --check-config
ok "and nothing of it stays" test ! -e "$tmp/other"
ok "file and options go together" start_socp --config "$tmp/c.json" \
	--subsystem nqn.2024-01.io.example:b --ns nsid=7,stack=memory:16M
has "the file's subsystem is served" "$(ask subsystems)" "example:a"
has "and that of the options" "$(ask ns list nqn.2024-01.io.example:b)" \
	"memory:16M"
# The example leaves it to its exit to free things.
has "its block size is 4096" \
	"$(ASAN_OPTIONS=detect_leaks=0 "$top_builddir/examples/hello-host" "$url/nqn.2024-01.io.example:a")" \
	"4096 blocks of 4096 bytes"
ok "an option is stronger than the file" test ! -e "$tmp/other"
stop_socp TERM
is "it ends well" "$rc" 0
plan
