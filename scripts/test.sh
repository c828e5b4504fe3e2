#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Everything that CI runs, or some parts of it.
#
# usage: scripts/test.sh [--long] [--no-install] [PART...]
# parts: unit sanitize fuzz sim arm vm pcie rdma soc bench  (default: all of them)
#   --long        the larger numbers: more seeds, longer fuzzing, valgrind
#   --no-install  fail when a package is missing instead of installing it
# The last line counts: N passed, N failed, N skipped. With CI=true a test that
# is skipped has failed, unless scripts/skips allows it.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/lib.sh"

all_parts="unit sanitize fuzz sim arm vm pcie rdma soc bench"
long=
parts=
passed=0
failed=0
skipped=0
failures=
skips=
times=

usage() { sed -n '3,10s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
	case $1 in
	--long) long=1 ;;
	--no-install) export LEAP_NO_INSTALL=1 ;;
	-h | --help) usage; exit 0 ;;
	unit | sanitize | fuzz | sim | arm | vm | pcie | rdma | soc | bench)
		parts="$parts $1" ;;
	services)
		die "part $1: this release has nothing of the kind to test" ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
parts=${parts:-$all_parts}

pass() { passed=$((passed + 1)); say "ok: $*"; }
fail() { failed=$((failed + 1)); failures="$failures\n  $*"; say "NOT OK: $*"; }

# skip STEP TEST WHY - one test that did not run
skip() {
	skipped=$((skipped + 1))
	skips="$skips\n  $1: $2: $3"
	[ "${CI:-}" != true ] || allowed "$1" "$2" ||
		fail "$1: $2 was skipped, and scripts/skips does not allow that"
}

allowed() {	# STEP TEST
	local step test why
	while read -r step test why; do
		# shellcheck disable=SC2254 # both are patterns
		case $step in '#'* | '') continue ;; esac
		case ${1// /-} in $step) ;; *) continue ;; esac
		case $2 in $test) return 0 ;; esac
	done <"$top/scripts/skips"
	return 1
}

# However this ends, the last line says what came of it.
summary() {
	local rc=$?
	trap - EXIT
	[ $rc = 0 ] || fail "stopped early (exit code $rc)"
	[ -z "$skips" ] || printf '\nskipped:%b\n' "$skips"
	[ -z "$failures" ] || printf '\nfailed:%b\n' "$failures"
	printf '\n%-10s %7s %7s %7s %7s%b\n\n' \
		part seconds passed failed skipped "$times"
	echo "$passed passed, $failed failed, $skipped skipped"
	# A bare exit would end with what was true before the trap.
	[ $failed = 0 ] && [ $passed -gt 0 ] || exit 1
	exit 0
}

# try NAME LOG COMMAND... - one step that passes or fails as a whole
try() {
	local name=$1 log=$2
	shift 2
	say "$name ..."
	if logged "$log" "$@"; then pass "$name"; else fail "$name"; return 1; fi
}

# skips_in LOG DIR - "TEST<tab>WHY" of each test that did not run, or not whole
# (cmocka names a skipped test twice: where it ran, and in a list at the end)
own_skips() {	# LOG...
	awk -v OFS='\t' '
		/^[Ss][Kk][Ii][Pp]: / { sub(/^[^:]*: */, ""); why = $0 }
		/^\[  SKIPPED \] / && !/listed below/ {
			name = substr($0, 14)
			if (!seen[name]++)
				print name, why == "" ? "skipped itself" : why
			why = ""
		}
		/^ok .*# *[Ss][Kk][Ii][Pp]/ {
			name = $0
			sub(/^ok [0-9]* -* */, "", name)
			sub(/ *# *[Ss][Kk][Ii][Pp].*/, "", name)
			sub(/.*# *[Ss][Kk][Ii][Pp] */, "")
			print name, $0
		}' "$@"
}

skips_in() {
	local t
	own_skips "$1"
	sed -n 's/^\(PASS\|SKIP\): \([^ ]*\/[^ ]*\)$/\2/p' "$1" | sort -u |
	while read -r t; do
		if grep -q "^SKIP: $t\$" "$1"; then
			printf '%s\t%s\n' "$t" "$(sed -n \
				's/^skip: *//Ip' "$2/${t%.sh}.log" | head -n 1)"
		else
			own_skips "$2/${t%.sh}.log" | sed "s|^|$t: |"
		fi
	done
}

# tally STEP LOG [DIR] - add up what a log of `make check` in DIR or of TAP
# programs says
tally() {
	local name=$1 log=$2 dir=${3:-} p f s t why
	if grep -q '^# TOTAL:' "$log"; then
		p=$(awk '/^# (PASS|XFAIL):/ { n += $3 } END { print n + 0 }' "$log")
		f=$(awk '/^# (FAIL|XPASS|ERROR):/ { n += $3 } END { print n + 0 }' "$log")
	else
		p=$(grep -E '^ok ' "$log" | grep -civ '# *skip')
		f=$(grep -cE '^not ok ' "$log")
	fi
	s=$skipped
	while IFS=$'\t' read -r t why; do
		skip "$name" "$t" "${why:-it does not say why}"
	done < <(skips_in "$log" "$dir")
	passed=$((passed + p))
	failed=$((failed + f))
	[ "$f" = 0 ] || failures="$failures\n  $name: $f of its tests"
	say "$name: $p passed, $f failed, $((skipped - s)) skipped"
	# With what a check that failed has said, for the log's end may be far off.
	awk '/^(FAIL|ERROR|not ok)/ { print; n = 15; next }
		/^#/ && n-- > 0 { print; next } { n = 0 }' "$log" |
		sed 's/^/         /'
	[ $((p + f)) -gt 0 ] || fail "$name: no test ran"
}

# tests STEP LOG DIR COMMAND... - run what prints TAP or is a `make check` in DIR
tests() {
	local name=$1 log=$2 dir=$3 rc=0 before=$failed
	shift 3
	say "$name ..."
	"$@" >"$log" 2>&1 || rc=$?
	tally "$name" "$log" "$dir"
	[ $rc != 0 ] || return 0
	[ "$failed" != "$before" ] || fail "$name: ended with $rc"
	if [ -f "$dir/test-suite.log" ]; then log=$dir/test-suite.log; fi
	tail -n 80 "$log" >&2
}

# check_in STEP DIR [MAKE-ARGUMENT...] - make check there
check_in() {
	local name=$1 dir=$top/build/$2
	shift 2
	rm -f "$dir/test-suite.log"
	tests "$name" "$dir/check.out" "$dir" \
		make -C "$dir" -k -j"$(nproc)" "$@" check
}

built() {	# NAME DIR CONFIGURE-ARGUMENT...
	local name=$1
	shift
	say "$name: build ..."
	if build_in "$@"; then pass "$name: builds"; else
		fail "$name: build"; return 1; fi
}

# Without the slow tests: for builds that differ from gcc's in the compiler only.
quick_tests() {	# DIR
	make -s -C "$top/build/$1" print-quick-tests | tr '\n' ' '
}

# musl-gcc comes without the kernel's headers, which belong to no C library.
kernel_headers() {
	local dir=$top/build/kernel-headers
	mkdir -p "$dir"
	ln -sfn /usr/include/linux "$dir/linux"
	ln -sfn /usr/include/asm-generic "$dir/asm-generic"
	ln -sfn "/usr/include/$(gcc -print-multiarch)/asm" "$dir/asm"
	echo "-idirafter $dir"
}

part_unit() {
	built "gcc" unit --enable-werror && {
		check_in "gcc" unit
		try "distcheck" "$top/build/unit/distcheck.out" distcheck
		package_part
	}
	built "clang" clang --enable-werror CC=clang CXX=clang++ &&
		check_in "clang" clang TESTS="$(quick_tests clang)"
	# Debian has none of the libraries for musl, cmocka neither.
	built "musl" musl --enable-werror CC=musl-gcc CXX=no \
		CPPFLAGS="$(kernel_headers)" --disable-uring --disable-isal \
		--disable-programs --disable-unit-tests --disable-pcie --disable-rdma \
		--disable-shared &&
		check_in "musl" musl \
			TESTS="$(quick_tests musl) tests/conformance/conformance"
	try "configure refuses what it cannot have" "$top/build/refuse.out" \
		refuse_features
}

# The library and the programs are built from the package, and installed; what they
# do is known.
distcheck() {
	local tests
	tests=$(quick_tests unit | tr ' ' '\n' | grep -E '^(examples|tests/abi)/')
	make -C "$top/build/unit" -j"$(nproc)" distcheck TESTS="${tests//$'\n'/ }" \
		check_PROGRAMS="$(grep '^examples/' <<<"$tests" | tr '\n' ' ')"
}

# Of a checkout, whoever owns it.
tracked() { git -C "$top" -c safe.directory='*' ls-files; }

package_part() {
	if tracked >/dev/null 2>&1; then
		try "the package has every file" \
			"$top/build/unit/package.out" whole_package
	else
		skip "gcc" "the package has every file" \
			"not a checkout to compare it with"
	fi
}

whole_package() {
	local missing
	missing=$(comm -23 <(tracked | grep -v '^\.git' | sort) \
		<(tar -tzf "$top"/build/unit/libleapio-*.tar.gz |
			sed 's,^[^/]*/,,' | sort))
	[ -z "$missing" ] || { echo "not in EXTRA_DIST: $missing"; return 1; }
}

# An explicit yes without its dependency stops configure, with a reason.
refuse_features() (
	rc=0
	autogen || return 1
	mkdir -p "$top/build/refuse"
	cd "$top/build/refuse" || return 1
	for f in uring isal programs rdma pcie; do
		if PKG_CONFIG_LIBDIR=/nonexistent PKG_CONFIG_PATH='' \
			../../configure --enable-$f=yes >"$f.out" 2>&1; then
			echo "--enable-$f=yes went through without its dependency"
			rc=1
		fi
	done
	return $rc
)

part_sanitize() {
	built "asan+ubsan" asan --enable-asan --enable-ubsan --enable-werror \
		--disable-shared && check_in "asan+ubsan" asan
	built "tsan" tsan --enable-tsan --enable-werror --disable-shared &&
		check_in "tsan" tsan TESTS="$(threaded_tests)" \
			check_PROGRAMS="$(threaded_tests)"
	[ -n "$long" ] || return 0
	# It does not know what io_uring has written.
	built "valgrind" valgrind --disable-shared --disable-uring &&
		tests "valgrind" "$top/build/valgrind/check.out" \
			"$top/build/valgrind" \
			make -C "$top/build/valgrind" -k -j"$(nproc)" \
			check-valgrind TESTS="$(valgrind_tests)"
}

# Programs of ours, not scripts, for which there is no valgrind.
valgrind_tests() {
	quick_tests valgrind | tr ' ' '\n' | grep -v '\.sh$' | tr '\n' ' '
	echo tests/conformance/conformance
}

# Tests with more than one thread name themselves in THREADED_TESTS.
threaded_tests() {
	make -s -C "$top/build/tsan" print-threaded-tests
}

part_fuzz() {
	local seconds=10 f name
	[ -z "$long" ] || seconds=300
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
	built "planted" planted --enable-planted --enable-werror \
		--disable-shared || return
	tests "simulator and models" "$top/build/planted/sim.out" "" \
		make -C "$top/build/planted" sim SIM_ARGS="$args"
	check_in "fences" planted TESTS=tests/fault/test-lend-kill
}

part_arm() {
	[ -z "$long" ] || export LEAP_LONG=1
	tests "aarch64" "$top/build/arm.out" "$top/build/cross-aarch64" \
		"$top/scripts/cross.sh" aarch64
	built "programs for x86-64" unit --enable-werror &&
		tests "shm across architectures" "$top/build/cross-shm.out" "" \
			"$top/tests/interop/cross-shm.sh"
	tests "big-endian" "$top/build/s390x.out" "$top/build/cross-s390x" \
		"$top/scripts/cross.sh" s390x
}

# interop SCRIPT... - tests with virtual machines
interop() {
	local t args=
	[ -z "$long" ] || args=--long
	built "programs for guests" unit --enable-werror || return
	say "the lab (made when absent) ..."
	"$top/scripts/vm/setup.sh" || { fail "$part: the lab"; return; }
	for t; do
		tests "$(basename "$t")" "$top/build/$(basename "$t").out" "" \
			"$t" $args
	done
}

part_vm() { interop "$top"/tests/interop/[1-5][0-9]*.sh; }
part_pcie() { interop "$top"/tests/interop/6[0-9]*.sh; }
part_rdma() { interop "$top"/tests/interop/70-*.sh; }

# A host and a runtime that share no memory: on this machine, then two guests.
part_soc() {
	built "programs for guests" unit --enable-werror || return
	check_in "relayed drives" unit TESTS=tests/programs/soc.sh \
		check_PROGRAMS=
	interop "$top"/tests/interop/71-*.sh
}

part_bench() {
	built "bench" bench --disable-shared || return
	try "benchmarks, short" "$top/build/bench/bench.out" \
		make -C "$top/build/bench" bench BENCH_ARGS=--smoke
	sed -n '/^#/,$p' "$top/build/bench/bench.out" | head -n 80
	[ -n "$long" ] || return 0
	# In a guest, beside the kernel's driver.
	built "programs for guests" unit --enable-werror || return
	tests "driver in a guest" "$top/build/bench/pcie.out" "" \
		"$top/tests/interop/60-pcie.sh" --bench
	sed -n 's/^# bench:/pcie:/p' "$top/build/bench/pcie.out"
}

packages() {	# PART
	case $1 in
	unit) echo g++ clang git musl-tools python3 mandoc ;;
	sanitize) echo g++ libasan8 libubsan1 libtsan2 python3 mandoc
		[ -z "$long" ] || echo valgrind ;;
	fuzz) echo clang libclang-rt-14-dev ;;
	arm) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
		gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user-static ;;
	vm | pcie) echo tshark ;;
	rdma | soc) echo tshark ibverbs-providers ;;
	esac
}

trap summary EXIT
mkdir -p "$top/build"
need_packages $base_packages $(for p in $parts; do packages "$p"; done | sort -u)
for part in $parts; do
	say "==== $part"
	from=($SECONDS $passed $failed $skipped)
	part_$part
	times="$times\n$(printf '%-10s %7d %7d %7d %7d' "$part" \
		$((SECONDS - from[0])) $((passed - from[1])) \
		$((failed - from[2])) $((skipped - from[3])))"
done
exit 0
