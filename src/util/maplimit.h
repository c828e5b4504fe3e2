/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * maplimit.h - a bound of what a peer may have mapped into this process
 */
#ifndef LEAP__UTIL_MAPLIMIT_H
#define LEAP__UTIL_MAPLIMIT_H

#include <stdint.h>

/* Bytes, for one peer: four times memory and swap. */
uint64_t leap__map_limit(void);

#endif
