/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * <leapio/version.h> - which library this is
 *
 * The version of the library that is loaded, which may be newer than the headers
 * that a program was compiled with.
 */
#ifndef LEAPIO_VERSION_H
#define LEAPIO_VERSION_H

#ifndef LEAP_API
#define LEAP_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/**
 * leap_version - version of the loaded library
 * Returns: "major.minor.patch"; static, never NULL
 * Context: any
 * Since: 0.1
 */
LEAP_API const char *leap_version(void);

#ifdef __cplusplus
}
#endif

#endif /* LEAPIO_VERSION_H */
