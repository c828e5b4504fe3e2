# SPDX-License-Identifier: BSD-3-Clause
# Shared by the scripts: progress lines, packages, builds. Sourced by bash with
# $top set to the source tree.

start_s=$(date +%s)
export LC_ALL=C.UTF-8

say() { printf '[%4ds] %s\n' $(($(date +%s) - start_s)) "$*"; }
die() { say "FAILED: $*" >&2; exit 1; }

case $top in
*[[:space:]]*) die "'$top' has a space in it, which make cannot build in" ;;
esac
[ -n "${LEAPIO_CACHE:-}" ] || {
	LEAPIO_CACHE=/var/cache/libleapio
	mkdir -p "$LEAPIO_CACHE" 2>/dev/null && [ -w "$LEAPIO_CACHE" ] ||
		LEAPIO_CACHE=$top/build/cache
	export LEAPIO_CACHE
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -n "$@"
	else
		die "needs root or sudo to run: $*"
	fi
}

# need_packages NAME... - install those Debian packages that are missing
need_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
			grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "${LEAP_NO_INSTALL:-}" = "" ] ||
		die "missing packages: ${missing[*]} (and --no-install was given)"
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		die "missing packages: ${missing[*]} (install them as root)"
	say "installing: ${missing[*]}"
	mkdir -p "$top/build"
	as_root apt-get -o DPkg::Lock::Timeout=300 update -qq \
		>"$top/build/apt.log" 2>&1 ||
		say "apt-get update failed, trying with the lists at hand"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get \
		-o DPkg::Lock::Timeout=300 install -qy --no-install-recommends \
		"${missing[@]}" >>"$top/build/apt.log" 2>&1 || {
		tail -n 20 "$top/build/apt.log" >&2
		die "apt-get install ${missing[*]}"
	}
}

base_packages="gcc libc6-dev make autoconf automake libtool pkg-config
	libcmocka-dev liburing-dev libjansson-dev libisal-dev libssl-dev
	libpci-dev libibverbs-dev librdmacm-dev"

# logged LOG COMMAND... - run quietly; show the end of the log on failure
logged() {
	local log=$1 rc=0
	shift
	mkdir -p "${log%/*}"
	"$@" >"$log" 2>&1 || rc=$?
	if [ $rc != 0 ]; then
		tail -n 60 "$log" >&2
		say "the whole log: $log" >&2
	fi
	return $rc
}

autogen() {
	[ -x "$top/configure" ] && [ "$top/configure" -nt "$top/configure.ac" ] &&
		[ "$top/Makefile.in" -nt "$top/Makefile.am" ] &&
		[ -z "$(find "$top/src" "$top/tests" "$top/include" \
			"$top/examples" "$top/docs" "$top/m4" \
			\( -name Makefile.inc.am -o -name 'leap*.m4' \) \
			-newer "$top/Makefile.in")" ] && return 0
	(cd "$top" && logged "$top/build/autogen.log" ./autogen.sh)
}

# build_in DIR CONFIGURE-ARGUMENT... - configure (when its arguments or
# configure changed) and make
build_in() {
	local dir=$top/build/$1
	shift
	autogen || return 1
	mkdir -p "$dir"
	if [ ! -f "$dir/Makefile" ] || [ "$(cat "$dir/.args" 2>/dev/null)" != "$*" ] ||
		[ "$top/configure" -nt "$dir/config.status" ]; then
		(cd "$dir" && logged "$dir/configure.out" ../../configure "$@") ||
			return 1
		printf '%s' "$*" >"$dir/.args"
	fi
	logged "$dir/make.out" make -C "$dir" -j"$(nproc)"
}
