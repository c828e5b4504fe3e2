/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stub-device.h - a drive behind registers that answers at once, for the cost
 * of what drives it: the transport "stub" ("stub:x/NQN") beside those of the
 * same process and vfio-user
 *
 * An I/O command is completed within the doorbell that announces it, and no
 * payload moves. stub_floor is what that costs alone.
 */
#ifndef LEAP_BENCH_STUB_DEVICE_H
#define LEAP_BENCH_STUB_DEVICE_H

#include <stdint.h>

#define STUB_NQN "nqn.2014-08.org.example:stub"

/* Nanoseconds per command of the drive's own work, in batches of @batch. */
double stub_floor(uint32_t batch, uint32_t n);

#endif
