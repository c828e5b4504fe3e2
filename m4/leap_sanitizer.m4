# SPDX-License-Identifier: BSD-3-Clause
#
# LEAP_SANITIZERS: --enable-{asan,ubsan,tsan,coverage,fuzz,werror,planted}.
# Each is link-tested, because a compiler may know a flag whose run-time library
# is not installed.

# LEAP_INSTRUMENT(NAME, HELP, FLAGS)
AC_DEFUN([LEAP_INSTRUMENT], [
AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$2])], [],
	[enable_$1=no])
AS_IF([test "x$enable_$1" = xyes], [
	AC_MSG_CHECKING([whether $CC links with $3])
	leap_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $3"
	AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([--enable-$1: $CC cannot link with $3])])
	CFLAGS=$leap_save_CFLAGS
	LEAP_SANITIZER_FLAGS="$LEAP_SANITIZER_FLAGS $3"
	leap_instruments="$leap_instruments $1"])
])

AC_DEFUN([LEAP_SANITIZERS], [
LEAP_SANITIZER_FLAGS=
leap_instruments=
LEAP_INSTRUMENT([asan], [build with AddressSanitizer],
	[-fsanitize=address -fno-omit-frame-pointer])
LEAP_INSTRUMENT([ubsan], [build with UndefinedBehaviorSanitizer],
	[-fsanitize=undefined -fno-sanitize-recover=undefined])
LEAP_INSTRUMENT([tsan], [build with ThreadSanitizer], [-fsanitize=thread])
LEAP_INSTRUMENT([coverage], [build with gcov counters], [--coverage])
AS_IF([test "x$enable_tsan$enable_asan" = xyesyes],
	[AC_MSG_ERROR([--enable-tsan and --enable-asan exclude each other])])

AC_ARG_ENABLE([fuzz],
	[AS_HELP_STRING([--enable-fuzz], [build libFuzzer programs (needs clang)])],
	[], [enable_fuzz=no])
LEAP_FUZZ_FLAGS=
AS_IF([test "x$enable_fuzz" = xyes], [
	AC_MSG_CHECKING([whether $CC links with -fsanitize=fuzzer])
	leap_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -fsanitize=fuzzer"
	AC_LINK_IFELSE([AC_LANG_SOURCE([[
#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{ return size && *data == 0xff ? 0 : 0; }]])],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		 AC_MSG_ERROR([--enable-fuzz needs clang with libFuzzer (CC=clang)])])
	CFLAGS=$leap_save_CFLAGS
	LEAP_SANITIZER_FLAGS="$LEAP_SANITIZER_FLAGS -fsanitize=fuzzer-no-link"
	LEAP_FUZZ_FLAGS="-fsanitize=fuzzer"
	leap_instruments="$leap_instruments fuzz"])
AM_CONDITIONAL([ENABLE_FUZZ], [test "x$enable_fuzz" = xyes])
AC_SUBST([LEAP_FUZZ_FLAGS])

AC_ARG_ENABLE([werror],
	[AS_HELP_STRING([--enable-werror], [stop at compiler warnings])],
	[], [enable_werror=no])
AS_IF([test "x$enable_werror" = xyes],
	[LEAP_CFLAGS="$LEAP_CFLAGS -Werror"
	 leap_instruments="$leap_instruments werror"])

AC_ARG_ENABLE([planted],
	[AS_HELP_STRING([--enable-planted],
		[compile in the switches that plant bugs for the tests to find])],
	[], [enable_planted=no])
AS_IF([test "x$enable_planted" = xyes],
	[AC_DEFINE([LEAP_PLANTED], [1],
		[Define to 1 to compile in the planted bugs.])
	 leap_instruments="$leap_instruments planted"])
AM_CONDITIONAL([ENABLE_PLANTED], [test "x$enable_planted" = xyes])

LEAP_CFLAGS="$LEAP_CFLAGS $LEAP_SANITIZER_FLAGS"
LEAP_LDFLAGS="$LEAP_LDFLAGS $LEAP_SANITIZER_FLAGS"
AM_CONDITIONAL([ENABLE_ASAN], [test "x$enable_asan" = xyes])
AM_CONDITIONAL([ENABLE_TSAN], [test "x$enable_tsan" = xyes])
AM_CONDITIONAL([ENABLE_INSTRUMENTS], [test -n "$LEAP_SANITIZER_FLAGS"])
])
