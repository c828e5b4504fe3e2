# SPDX-License-Identifier: BSD-3-Clause
# Programs build against an installed copy through pkg-config alone, shared and
# static, and run: every examples/hello-*.c.
set -eu
[ -z "$LEAP_CROSS" ] || { echo "skip: cross build"; exit 77; }
[ -z "$LEAP_INSTRUMENTED" ] || { echo "skip: instrumented build"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0
bad=0

(cd "$top_builddir" &&
	$MAKE -s install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1) ||
	{ echo "not ok 1 - make install"; cat "$tmp/install.log"; exit 1; }
pc=$(find "$tmp/root" -name libleapio.pc | head -n 1)
[ -n "$pc" ] || { echo "not ok 1 - libleapio.pc is not installed"; exit 1; }
PKG_CONFIG_PATH=${pc%/*}
PKG_CONFIG_SYSROOT_DIR=
export PKG_CONFIG_PATH
pkg() { ${PKG_CONFIG:-pkg-config} --define-variable=prefix="$tmp/root$(
	${PKG_CONFIG:-pkg-config} --variable=prefix libleapio)" "$@" libleapio; }
libdir=$(pkg --variable=libdir)

one() {	# source, name, flags...
	src=$1
	name=$2
	shift 2
	n=$((n + 1))
	if $CC -std=c11 -Wall -Wextra -Werror -o "$tmp/hello" "$src" \
		$(pkg --cflags) "$@" >"$tmp/out" 2>&1 &&
		(cd "$tmp" && LD_LIBRARY_PATH=$libdir ./hello) >"$tmp/out" 2>&1
	then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		cat "$tmp/out"
		bad=1
	fi
}

for src in "$top_srcdir"/examples/hello-*.c; do
	[ -f "$src" ] || { echo "not ok 1 - no examples/hello-*.c"; exit 1; }
	base=$(basename "$src" .c)
	lines=$(wc -l <"$src")
	n=$((n + 1))
	if [ "$lines" -le 80 ]; then
		echo "ok $n - $base has $lines lines"
	else
		echo "not ok $n - $base has $lines lines, more than 80"
		bad=1
	fi
	# Without a shared library that would be a static one without what it
	# needs.
	[ ! -e "$libdir/libleapio.so" ] ||
		one "$src" "$base, shared" $(pkg --libs)
	one "$src" "$base, static" -static $(pkg --static --libs)
done
echo "1..$n"
exit $bad
