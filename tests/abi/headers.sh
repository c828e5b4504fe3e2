# SPDX-License-Identifier: BSD-3-Clause
# Each public header compiles alone, as C11 and as C++17, without a warning.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0
bad=0
warn="-pedantic -Wall -Wextra -Werror"

try() {	# name, compiler and flags..., source file
	name=$1
	shift
	n=$((n + 1))
	if "$@" $warn -fsyntax-only -I"$top_srcdir/include" >"$tmp/out" 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		cat "$tmp/out"
		bad=1
	fi
}

headers=$(cd "$top_srcdir/include" && find leapio -name '*.h' | sort)
[ -n "$headers" ] || { echo "no headers"; exit 1; }
cxx=$(command -v "${CXX:-c++}" || true)
for h in $headers; do
	printf '#include <%s>\n#include <%s>\nint probe;\n' "$h" "$h" >"$tmp/t.c"
	cp "$tmp/t.c" "$tmp/t.cc"
	try "$h as C11" $CC -std=c11 -x c "$tmp/t.c"
	[ -z "$cxx" ] || try "$h as C++17" "$cxx" -std=c++17 -x c++ "$tmp/t.cc"
done

# Address spaces do not convert into each other.
cat >"$tmp/t.c" <<'C'
#include <leapio/base.h>
leap_iova_t f(leap_gpa_t a) { return a; }
C
n=$((n + 1))
if $CC -std=c11 -fsyntax-only -I"$top_srcdir/include" "$tmp/t.c" 2>"$tmp/out"
then
	echo "not ok $n - a guest address became an IOVA"
	bad=1
else
	echo "ok $n - a guest address does not become an IOVA"
fi
echo "1..$n"
[ -n "$cxx" ] || echo "# no C++ compiler: C++17 was not tried"
exit $bad
