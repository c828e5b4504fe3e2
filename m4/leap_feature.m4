# SPDX-License-Identifier: BSD-3-Clause
#
# LEAP_FEATURE(NAME, DEFAULT, PROBE)
#   --enable-NAME=yes|no|auto.  PROBE is shell code that sets leap_found=yes, or
#   leaves it and says why in $leap_why.  An explicit yes whose probe fails stops
#   configure.  Gives the conditional ENABLE_<NAME>, the macro LEAP_WITH_<NAME>
#   (for registry.c and src/util only) and a line of the closing table.
#
# LEAP_TRANSPORT(NAME, DEFAULT, PROBE)
#   The same for src/transport/NAME, which also has to have source in this
#   release; what is built is listed in the .pc file's variable `transports'.

AC_DEFUN([LEAP_SUMMARY_INIT], [
leap_summary=
leap_transports=loopback
leap_requires=
leap_libs=
])

# leap_summary_line NAME VALUE NOTE
AC_DEFUN([LEAP_SUMMARY_LINE], [
leap_line=`printf '  %-12s %-4s %s' "$1" "$2" "$3"`
leap_summary="$leap_summary
$leap_line"
])

AC_DEFUN([LEAP_FEATURE], [
m4_pushdef([leap_var], m4_translit([$1], [-], [_]))dnl
m4_pushdef([leap_def], m4_toupper(m4_translit([$1], [-], [_])))dnl
AC_ARG_ENABLE([$1],
	[AS_HELP_STRING([--enable-$1=yes|no|auto], [build $1 (default: $2)])],
	[], [enable_[]leap_var=$2])
leap_found=no
leap_why=
AS_CASE([$enable_[]leap_var],
	[no], [leap_why="switched off"],
	[yes|auto], [$3],
	[AC_MSG_ERROR([--enable-$1 takes yes, no or auto, not `$enable_[]leap_var'])])
AS_IF([test "x$enable_[]leap_var" = xyes && test "x$leap_found" != xyes],
	[AC_MSG_ERROR([--enable-$1=yes, but: $leap_why])])
AM_CONDITIONAL([ENABLE_]leap_def, [test "x$leap_found" = xyes])
AS_IF([test "x$leap_found" = xyes],
	[AC_DEFINE([LEAP_WITH_]leap_def, [1], [Define to 1 if $1 is built.])])
LEAP_SUMMARY_LINE([$1], [$leap_found], [$leap_why])
m4_popdef([leap_def])dnl
m4_popdef([leap_var])dnl
])

AC_DEFUN([LEAP_TRANSPORT], [
LEAP_FEATURE([$1], [$2], [
	$3
	AS_IF([test ! -d "$srcdir/src/transport/$1" ||
	       test -z "`ls "$srcdir/src/transport/$1" | grep '\.c$'`"],
		[leap_found=no
		 leap_why="not in this release"])])
AS_IF([test "x$leap_found" = xyes],
	[leap_transports="$leap_transports $1"])
])

# LEAP_PROBE_PKG(PREFIX, MODULES): by pkg-config; sets PREFIX_CFLAGS and _LIBS.
AC_DEFUN([LEAP_PROBE_PKG], [
PKG_CHECK_MODULES([$1], [$2], [leap_found=yes],
	[leap_why="pkg-config does not find $2"])
])

# Cache variables on purpose not used: each probe is asked for once.
AC_DEFUN([LEAP_PROBE_FUNC], [
AC_CHECK_FUNC([$1], [leap_found=yes], [leap_why="libc has no $1()"])
])
AC_DEFUN([LEAP_PROBE_HEADER], [
AC_CHECK_HEADER([$1], [leap_found=yes], [leap_why="<$1> is missing"])
])

# LEAP_PROBE_HEADER_PKG(HEADER, PREFIX, MODULES): both.
AC_DEFUN([LEAP_PROBE_HEADER_PKG], [
AC_CHECK_HEADER([$1], [LEAP_PROBE_PKG([$2], [$3])],
	[leap_why="<$1> is missing"])
])

# What a static link of libleapio needs goes to Requires.private.
AC_DEFUN([LEAP_PC_FINISH], [
AM_COND_IF([ENABLE_URING], [leap_requires="$leap_requires liburing"])
# libisal is used when it is there (src/util/crc32c.c): a static link asks for it
# only where its archive exists, which Debian 12 does not have.
AM_COND_IF([ENABLE_ISAL], [
	leap_save_LIBS=$LIBS
	LIBS="-static $ISAL_LIBS $LIBS"
	AC_MSG_CHECKING([for libisal to link statically])
	AC_LINK_IFELSE([AC_LANG_CALL([], [crc32_iscsi])],
		[AC_MSG_RESULT([yes])
		 leap_requires="$leap_requires libisal"],
		[AC_MSG_RESULT([no])])
	LIBS=$leap_save_LIBS
	# A weak reference alone does not keep a shared library.
	LEAP_LDFLAGS="$LEAP_LDFLAGS -Wl,--push-state,--no-as-needed,-lisal"
	LEAP_LDFLAGS="$LEAP_LDFLAGS,--pop-state"
])
# Only what calls leap_pci_* needs libpci, which Debian has no archive of.
AM_COND_IF([ENABLE_PCIE], [
	leap_save_LIBS=$LIBS
	LIBS="-static `$PKG_CONFIG --static --libs libpci` $LIBS"
	AC_MSG_CHECKING([for libpci to link statically])
	AC_LINK_IFELSE([AC_LANG_CALL([], [pci_alloc])],
		[AC_MSG_RESULT([yes])
		 leap_requires="$leap_requires libpci"],
		[AC_MSG_RESULT([no])])
	LIBS=$leap_save_LIBS
])
AM_COND_IF([ENABLE_RDMA], [leap_requires="$leap_requires libibverbs librdmacm"])
LEAP_REQUIRES_PRIVATE=$leap_requires
LEAP_LIBS_PRIVATE="$LEAP_SANITIZER_FLAGS"
LEAP_TRANSPORTS=$leap_transports
AC_SUBST([LEAP_REQUIRES_PRIVATE])
AC_SUBST([LEAP_LIBS_PRIVATE])
AC_SUBST([LEAP_TRANSPORTS])
])

AC_DEFUN([LEAP_SUMMARY_SHOW], [
cat <<LEAP_EOF

libleapio $PACKAGE_VERSION for $host
  feature      built$leap_summary
  transports:  $leap_transports
  instruments: ${leap_instruments:-none}
  compiler:    $CC $CFLAGS
  prefix:      $prefix

LEAP_EOF
])
