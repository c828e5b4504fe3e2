# SPDX-License-Identifier: BSD-3-Clause
# What scripts/test.sh says at its end, to people and by its exit code: a copy
# of it, whose parts are made up here.
. "$top_srcdir/tests/programs/lib.sh"

command -v bash >/dev/null || { echo "skip: no bash"; exit 77; }
mkdir "$tmp/scripts"
cp "$top_srcdir/scripts/lib.sh" "$top_srcdir/scripts/skips" "$tmp/scripts"

# verdict NAME EXIT-CODE LAST-LINE BODY - of a run whose one part does BODY
verdict() {
	awk -v body="$4" '/^trap summary EXIT/ {
		print "need_packages() { :; }\npart_sim() { " body "; }"
	} { print }' "$top_srcdir/scripts/test.sh" >"$tmp/scripts/test.sh"
	CI=$ci bash "$tmp/scripts/test.sh" --no-install sim >"$tmp/out" 2>&1
	is "$1: exit code" $? "$2"
	is "$1: last line" "$(tail -n 1 "$tmp/out")" "$3"
}

ci=
verdict "all is well" 0 "1 passed, 0 failed, 0 skipped" "pass a"
verdict "one fails" 1 "1 passed, 1 failed, 0 skipped" "pass a; fail b"
verdict "one fails, others do not" 1 "1 passed, 1 failed, 0 skipped" \
	"fail b; pass a"
verdict "nothing ran" 1 "0 passed, 0 failed, 0 skipped" ":"
verdict "it stops" 1 "1 passed, 1 failed, 0 skipped" "pass a; exit 3"
verdict "tests in a step fail" 1 "1 passed, 1 failed, 0 skipped" \
	"tests s $tmp/log '' printf 'ok 1 - x\nnot ok 2 - y\n'"
verdict "a step of failures without a name" 1 "1 passed, 1 failed, 0 skipped" \
	"tests s $tmp/log '' sh -c 'echo ok 1 - x; exit 1'"
verdict "no test in a step" 1 "0 passed, 1 failed, 0 skipped" \
	"tests s $tmp/log '' true"
verdict "skipped" 0 "1 passed, 0 failed, 1 skipped" "pass a; skip s t why"
ci=true
verdict "skipped in CI" 1 "1 passed, 1 failed, 1 skipped" \
	"pass a; skip s t why"
plan
