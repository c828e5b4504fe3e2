# SPDX-License-Identifier: BSD-3-Clause
# The checks of include arrows and of Context: lines hold, and find what they
# are for: each is run on the tree, and on a copy with one planted mistake.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; cat "$tmp/out"; exit 1; }

check() { sh "$top_srcdir/build-aux/$1" "$2" >"$tmp/out" 2>&1; }

must_find() {	# name, file below the copy, line
	rm -rf "$tmp/tree"
	mkdir "$tmp/tree"
	cp -r "$top_srcdir/src" "$tmp/tree/src"
	chmod -R u+w "$tmp/tree"
	printf '%s\n' "$3" >>"$tmp/tree/src/$2"
	if check check-includes "$tmp/tree"; then
		not_ok "missed: $1"
	fi
	ok "finds $1"
}

check check-includes "$top_srcdir" || not_ok "include arrows point downwards"
ok "include arrows point downwards"
must_find "an include upwards" util/version.c '#include "core/io/world.h"'
must_find "a transport that sees block" transport/registry.c \
	'#include "block/bdev.h"'
must_find "an implementation named elsewhere" core/ctrl/x.c \
	'#include "transport/tcp/pdu.h"'
must_find "a path with .." util/version.c '#include "../core/io/world.h"'

check check-context "$top_srcdir/include/leapio" || not_ok "Context: lines"
ok "every public function says where it may be called"
cp -r "$top_srcdir/include/leapio" "$tmp/inc"
chmod -R u+w "$tmp/inc"
printf '/* no word */\nLEAP_API int leap_planted(void);\n' >"$tmp/inc/planted.h"
if check check-context "$tmp/inc"; then
	not_ok "missed a function without Context:"
fi
ok "finds a function without Context:"
echo "1..$n"
