#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Headers, version map and shared library name the same functions; and the check
# that says so finds each kind of difference.
set -u
check=$top_srcdir/build-aux/check-symbols
map=$top_srcdir/src/libleapio.map
lib=$top_builddir/.libs/libleapio.so

[ -f "$lib" ] || { echo "SKIP: built without a shared library"; exit 77; }
sh "$check" "$top_srcdir/include/leapio" "$map" "$lib" || exit 1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
must_find() { # WHAT INCLUDE MAP
	if sh "$check" "$2" "$3" "$lib" >"$tmp/out" 2>&1; then
		echo "FAIL: check-symbols missed $1"
		cat "$tmp/out"
		exit 1
	fi
}
cp -r "$top_srcdir/include/leapio" "$tmp/inc"
chmod -R u+w "$tmp/inc"
printf 'LEAP_API int leap_planted(\n\tint (*leap_cb)(int));\n' >"$tmp/inc/planted.h"
must_find "a function without code and map entry" "$tmp/inc" "$map"
grep -q 'leap_planted$' "$tmp/out" || { echo "FAIL: wrong name"; exit 1; }

cp "$map" "$tmp/map"
chmod u+w "$tmp/map"
sh "$check" --update "$tmp/inc" "$tmp/map" >/dev/null || exit 1
grep -q 'leap_planted;' "$tmp/map" || { echo "FAIL: --update lost it"; exit 1; }
must_find "a map entry without code" "$tmp/inc" "$tmp/map"
must_find "a map entry without declaration" "$top_srcdir/include/leapio" "$tmp/map"
rm "$tmp/inc/planted.h" "$tmp/inc/status.h"
must_find "an export without declaration" "$tmp/inc" "$map"
