#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Build for another architecture and run its tests under qemu-user.
#
# usage: scripts/cross.sh aarch64|s390x
# aarch64 runs everything that needs no io_uring; s390x is big-endian and runs
# what parses and prints wire formats. Test libraries of that architecture are
# unpacked, never installed, under $LEAPIO_CACHE: /var/cache/libleapio, or
# build/cache where that cannot be written.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/lib.sh"

case ${1-} in
aarch64) arch=aarch64 deb=arm64 ;;
s390x) arch=s390x deb=s390x ;;
*) sed -n '3,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
triple=$arch-linux-gnu
need_packages $base_packages gcc-$triple libc6-dev-$deb-cross qemu-user-static

root=$LEAPIO_CACHE/cross-$deb
# libpci wants the three after it.
debs="libcmocka0 libcmocka-dev libjansson4 libjansson-dev libpci3 libpci-dev
libudev1 zlib1g libcap2"
if [ "$(cat "$root/made" 2>/dev/null)" != "$debs" ]; then
	say "fetching test libraries for $deb"
	rm -rf "$root"
	mkdir -p "$root/lists/partial" "$root/deb/partial" "$root/tree"
	apt=(apt-get -qq -o APT::Architecture=$deb -o APT::Architectures=$deb
		-o Dir::State::lists="$root/lists" -o APT::Sandbox::User=root
		-o Dir::Cache::archives="$root/deb"
		-o Dir::Cache::pkgcache="" -o Dir::Cache::srcpkgcache="")
	"${apt[@]}" update
	# shellcheck disable=SC2086 # a list of words
	(cd "$root/deb" && "${apt[@]}" download $debs)
	for d in "$root"/deb/*.deb; do dpkg -x "$d" "$root/tree"; done
	rm -rf "$root/lists" "$root/deb"
	echo "$debs" >"$root/made"
fi
lib=$root/tree/usr/lib/$triple
# Where libraries lie that only other libraries want.
more=$root/tree/lib/$triple

say "$arch: build ..."
export PKG_CONFIG_LIBDIR=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root/tree
build_in cross-$arch --host=$triple --enable-werror --disable-shared \
	--disable-uring --disable-isal \
	CPPFLAGS="-I$root/tree/usr/include" LDFLAGS="-L$lib -Wl,-rpath-link,$lib:$more" ||
	die "$arch: build"

# Programs find the loader and their libraries without binfmt and without root;
# what hangs under the emulator fails, unless LEAP_TIMEOUT is set and empty.
cat >"$top/build/cross-$arch/run-target" <<R
#!/bin/sh
exec \${LEAP_TIMEOUT-timeout 120} qemu-$arch-static -L /usr/$triple -E LD_LIBRARY_PATH=$lib:$more:/usr/$triple/lib "\$@"
R
chmod +x "$top/build/cross-$arch/run-target"
# What starts programs of that architecture itself.
export LEAP_EMULATOR="$top/build/cross-$arch/run-target"

say "$arch: make check under qemu-user ..."
rc=0
cd "$top/build/cross-$arch"
tests=
# and no others are built
[ $arch = aarch64 ] || tests=$(make -s print-codec-tests)
make -k -j"$(nproc)" check LOG_COMPILER="$PWD/run-target" \
	${tests:+"TESTS=$tests" "check_PROGRAMS=$tests"} || rc=$?
[ $rc = 0 ] || tail -n 60 test-suite.log
exit $rc
