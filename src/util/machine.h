/* SPDX-License-Identifier: BSD-3-Clause */
/* What there is of the machine, for bounds of what peers may ask for. */
#ifndef LEAP__UTIL_MACHINE_H
#define LEAP__UTIL_MACHINE_H

#include <stdint.h>

/* Memory and swap: nobody has a use for more than that. */
uint64_t leap__machine_bytes(void);

#endif
