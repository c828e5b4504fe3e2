#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Everything that CI runs, or some parts of it.
#
# usage: scripts/test.sh [--long] [--no-install] [PART...]
# parts: unit sanitize fuzz sim arm vm bench        (default: all of them)
#   --long        the larger numbers: more seeds, longer fuzzing, valgrind
#   --no-install  fail when a package is missing instead of installing it
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/lib.sh"

all_parts="unit sanitize fuzz sim arm vm bench"
long=
parts=
passed=0
failed=0
skipped=0
failures=

usage() { sed -n '3,8s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	--no-install) export LEAP_NO_INSTALL=1 ;;
	-h | --help) usage; exit 0 ;;
	unit | sanitize | fuzz | sim | arm | vm | bench) parts="$parts $1" ;;
	pcie | rdma | soc | services)
		die "part $1: this release has nothing of the kind to test" ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
parts=${parts:-$all_parts}
[ "${CI:-}" = "" ] || [ "$(id -u)" != 0 ] || ulimit -c 0

pass() { passed=$((passed + 1)); say "ok: $*"; }
fail() { failed=$((failed + 1)); failures="$failures\n  $*"; say "NOT OK: $*"; }
skip() { skipped=$((skipped + 1)); say "skipped: $*"; }

# try NAME LOG COMMAND... - one step that passes or fails as a whole
try() {
	local name=$1 log=$2
	shift 2
	say "$name ..."
	if logged "$log" "$@"; then pass "$name"; else fail "$name"; return 1; fi
}

# tally NAME LOG - add up what a log of `make check` or of TAP programs says
tally() {
	local name=$1 log=$2 p f s
	if grep -q '^# TOTAL:' "$log"; then
		p=$(awk '/^# (PASS|XFAIL):/ { n += $3 } END { print n + 0 }' "$log")
		f=$(awk '/^# (FAIL|XPASS|ERROR):/ { n += $3 } END { print n + 0 }' "$log")
		s=$(awk '/^# SKIP:/ { n += $3 } END { print n + 0 }' "$log")
	else
		p=$(grep -cE '^ok ' "$log")
		f=$(grep -cE '^not ok ' "$log")
		s=$(grep -cE '^ok .*# *(SKIP|skip)' "$log")
		p=$((p - s))
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
	[ "$f" = 0 ] || failures="$failures\n  $name: $f of its tests"
	say "$name: $p passed, $f failed, $s skipped"
	grep -E '^(FAIL|ERROR|SKIP|not ok)' "$log" | sed 's/^/         /'
}

# check_in NAME DIR [MAKE-ARGUMENT...] - make check there, and tally it
check_in() {
	local name=$1 dir=$top/build/$2 rc=0
	shift 2
	say "$name: make check ..."
	make -C "$dir" -k -j"$(nproc)" "$@" check >"$dir/check.out" 2>&1 || rc=$?
	tally "$name" "$dir/check.out"
	if [ $rc != 0 ]; then
		cat "$dir/test-suite.log" 2>/dev/null | tail -n 80 >&2
		grep -q '^# FAIL: *[1-9]' "$dir/check.out" || {
			tail -n 30 "$dir/check.out" >&2
			fail "$name: make check ended with $rc"
		}
	fi
}

built() {	# NAME DIR CONFIGURE-ARGUMENT...
	local name=$1
	shift
	say "$name: build ..."
	if build_in "$@"; then pass "$name: builds"; else
		fail "$name: build"; return 1; fi
}

part_unit() {
	need_packages $base_packages g++ clang musl-tools
	built "gcc" unit --enable-werror && {
		check_in "gcc" unit
		try "distcheck" "$top/build/unit/distcheck.out" \
			make -C "$top/build/unit" distcheck DISTCHECK_QUICK=1
	}
	built "clang" clang --enable-werror CC=clang CXX=clang++ &&
		check_in "clang" clang
	built "musl" musl --enable-werror CC=musl-gcc --disable-uring \
		--disable-isal --disable-programs --disable-unit-tests \
		--disable-shared
	try "configure refuses what it cannot have" "$top/build/refuse.out" \
		refuse_features
}

# An explicit yes without its dependency stops configure, with a reason.
refuse_features() {
	local f rc=0
	autogen || return 1
	mkdir -p "$top/build/refuse"
	cd "$top/build/refuse" || return 1
	for f in uring isal programs rdma; do
		if PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH='' \
			../../configure --enable-$f=yes >"$f.out" 2>&1; then
			echo "--enable-$f=yes went through without its dependency"
			rc=1
		fi
	done
	return $rc
}

part_sanitize() {
	need_packages $base_packages g++ libasan8 libubsan1 libtsan2
	built "asan+ubsan" asan --enable-asan --enable-ubsan --enable-werror \
		--disable-shared && check_in "asan+ubsan" asan
	built "tsan" tsan --enable-tsan --enable-werror --disable-shared &&
		check_in "tsan" tsan TESTS="$(threaded_tests)"
	[ -z "$long" ] || {
		need_packages valgrind
		built "valgrind" valgrind --disable-shared &&
			try "valgrind" "$top/build/valgrind/valgrind.out" \
				make -C "$top/build/valgrind" check-valgrind
	}
}

# Tests with more than one thread name themselves in THREADED_TESTS.
threaded_tests() {
	make -s -C "$top/build/tsan" print-threaded-tests
}

part_fuzz() {
	local seconds=10 f name
	[ -z "$long" ] || seconds=300
	need_packages $base_packages clang libclang-rt-14-dev
	built "fuzzers" fuzz --enable-fuzz --enable-asan --enable-ubsan \
		CC=clang CXX=clang++ --disable-shared || return
	local list
	list=$(make -s -C "$top/build/fuzz" print-fuzzers)
	[ -n "$list" ] || { fail "there are no fuzzers"; return; }
	logged "$top/build/fuzz/fuzzers.out" make -C "$top/build/fuzz" \
		-j"$(nproc)" $list || { fail "fuzzers: build"; return; }
	for f in $list; do
		name=${f##*/fuzz-}
		mkdir -p "$top/build/fuzz/found/$name"
		try "fuzz $name, $seconds s" "$top/build/fuzz/$name.out" \
			"$top/build/fuzz/$f" -max_total_time=$seconds \
			-timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix="$top/build/fuzz/found/$name-" \
			"$top/build/fuzz/found/$name" \
			"$top/tests/fuzz/corpus/$name" &
		[ "$(jobs -r | wc -l)" -lt "$(nproc)" ] || wait -n
	done
	wait
	for f in $list; do
		name=${f##*/fuzz-}
		if grep -q 'stat::number_of_executed_units' \
			"$top/build/fuzz/$name.out" 2>/dev/null &&
			! grep -q 'ERROR: ' "$top/build/fuzz/$name.out"; then
			passed=$((passed + 1))
			say "$name: $(awk '/number_of_executed_units/ { print $2 }' \
				"$top/build/fuzz/$name.out") runs"
		else
			fail "fuzz $name"
		fi
	done
}

part_sim() {
	local args=
	[ -z "$long" ] || args=--long
	need_packages $base_packages
	built "planted" planted --enable-planted --enable-werror \
		--disable-shared || return
	say "simulator and models ..."
	make -C "$top/build/planted" sim SIM_ARGS="$args" \
		>"$top/build/planted/sim.out" 2>&1 || {
		tail -n 40 "$top/build/planted/sim.out" >&2
		grep -q '^not ok' "$top/build/planted/sim.out" ||
			fail "simulator"
	}
	tally "simulator" "$top/build/planted/sim.out"
}

part_arm() {
	need_packages $base_packages gcc-aarch64-linux-gnu \
		libc6-dev-arm64-cross gcc-s390x-linux-gnu \
		libc6-dev-s390x-cross qemu-user-static
	"$top/scripts/cross.sh" aarch64 >"$top/build/arm.out" 2>&1 ||
		{ tail -n 40 "$top/build/arm.out" >&2; }
	tally "aarch64" "$top/build/arm.out"
	"$top/scripts/cross.sh" s390x >"$top/build/s390x.out" 2>&1 ||
		{ tail -n 40 "$top/build/s390x.out" >&2; }
	tally "big-endian codecs" "$top/build/s390x.out"
}

part_vm() {
	local t args=
	[ -z "$long" ] || args=--long
	need_packages $base_packages tshark
	built "programs for guests" unit --enable-werror || return
	say "the lab (made when absent) ..."
	"$top/scripts/vm/setup.sh" || { fail "vm: the lab"; return; }
	for t in "$top"/tests/interop/[0-9]*.sh; do
		say "$(basename "$t") ..."
		"$t" $args >"$top/build/$(basename "$t").out" 2>&1 || {
			tail -n 60 "$top/build/$(basename "$t").out" >&2
			grep -q '^not ok' "$top/build/$(basename "$t").out" ||
				fail "$(basename "$t")"
		}
		tally "$(basename "$t")" "$top/build/$(basename "$t").out"
	done
}

part_bench() {
	need_packages $base_packages
	built "bench" bench --disable-shared || return
	try "benchmarks, short" "$top/build/bench/bench.out" \
		make -C "$top/build/bench" bench BENCH_ARGS=--smoke
	cat "$top/build/bench/bench.out" | sed -n '/^#/,$p' | head -n 80
}

for p in $parts; do
	say "==== $p"
	mkdir -p "$top/build"
	part_$p
done
[ -z "$failures" ] || printf "\nfailed:$failures\n\n"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
