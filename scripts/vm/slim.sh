#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: slim.sh
#
# Makes a small initramfs piece of fio, for guest.sh to take in the place of the
# one that setup.sh made, which has to have run. Debian's fio links with the
# clients of storage clusters, 40 MB that an emulated guest reads and relocates
# each time that fio starts, for engines that no test uses. Each gets a stub in
# its place here: its names, and nothing behind them. Without a compiler nothing
# is done, and guests are slower.

set -euo pipefail
HERE=$(dirname "$(realpath "$0")")
. "$HERE/lab.sh"

ENGINES="librbd librados libgfapi libnbd libnfs libpmem"
DIR=usr/lib/x86_64-linux-gnu

# stub LIBRARY FIO OUT: those names of the library that fio asks for, with the
# versions that it asks for
stub() {
	local so names sym version

	so=$(basename "$1")
	names=$(comm -12 <(nm -D --defined-only "$1" | awk '{ print $3 }' |
		sed 's/@@/@/' | sort -u) \
		<(nm -D --undefined-only "$2" | awk '{ print $2 }' | sort -u))
	{
		for sym in $names; do
			echo "void ${sym%@*}(void) { __builtin_trap(); }"
		done
	} >"$3.c"
	for version in $(sed -n 's/.*@//p' <<<"$names" | sort -u); do
		echo "$version { $(sed -n "s/@$version\$/;/p" <<<"$names" |
			tr '\n' ' ') };"
	done >"$3.map"
	gcc -w -O0 -shared -nostdlib -fPIC -o "$3" "$3.c" -Wl,-soname,"$so" \
		$([ ! -s "$3.map" ] || echo "-Wl,--version-script,$3.map")
	rm -f "$3.c" "$3.map"
}

make_piece() {	# FOLDER
	local s=$1/s fio=$LAB_TREE/usr/bin/fio lib name

	mkdir -p "$s/usr/bin" "$s/$DIR"
	cp -L "$fio" "$s/usr/bin/"
	for name in $ENGINES; do
		for lib in $(lab_libs "$fio" | grep "/${name}[.]so"); do
			stub "$lib" "$fio" "$s/$DIR/$(basename "$lib")"
		done
	done
	lab_host_ld
	for lib in $("${LAB_LD[0]}" --library-path "$s/$DIR:${LAB_LD[2]}" \
		--list "$fio" | sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p'); do
		[ -e "$s/$DIR/${lib##*/}" ] || cp -L "$lib" "$s/$DIR/"
	done
	cp -L "$LAB_TREE/$DIR/ld-linux-x86-64.so.2" "$s/$DIR/"
	# It starts with what it will have.
	"$s/$DIR/ld-linux-x86-64.so.2" --library-path "$s/$DIR" \
		"$s/usr/bin/fio" --version >/dev/null
	lab_cpio "$s" "$1/fio.cpio"
	rm -rf "$s"
}

main() {
	local key

	[ $# = 0 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
	command -v gcc >/dev/null && command -v nm >/dev/null || exit 0
	exec 9>"$LAB/lock"
	flock 9
	key="1 $(cksum <"$0") $(cksum <"$LAB/tree/.stamp")"
	[ "$(cat "$LAB_FIO/.stamp" 2>/dev/null)" != "$key" ] || return 0
	rm -rf "$LAB_FIO" "$LAB_FIO.new"
	mkdir "$LAB_FIO.new"
	make_piece "$LAB_FIO.new"
	echo "$key" >"$LAB_FIO.new/.stamp"
	mv "$LAB_FIO.new" "$LAB_FIO"
}

LAB_FIO=$LAB/fio
main "$@"
