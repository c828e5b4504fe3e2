/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * status.h - how a command ended, as opposed to how a call ended
 *
 * A call answers with 0, a count or a negative errno: was it accepted? A
 * command that was accepted ends with a leap_status_t: the 15 status bits of
 * its completion entry, without the phase. The two never share a variable.
 */
#ifndef LEAPIO_STATUS_H
#define LEAPIO_STATUS_H

#include <leapio/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * NVMe Base 2.0 s4.2.3 (completion queue entry: status): bits 7:0 SC,
 * 10:8 SCT, 12:11 CRD, 13 M (more), 14 DNR (do not retry).
 */
typedef uint16_t leap_status_t;

#define LEAP_STATUS(sct, sc)	((leap_status_t)((sct) << 8 | (sc)))
#define LEAP_STATUS_MORE	((leap_status_t)(1u << 13))
#define LEAP_STATUS_DNR		((leap_status_t)(1u << 14))
/* SCT and SC alone, for comparisons. */
#define LEAP_STATUS_CODE(st)	((leap_status_t)((st) & 0x7ff))

/**
 * leap_status_str - the standard's name of a status, as "LBA Out of Range"
 *
 * @status: any value; DNR, M and CRD are ignored
 *
 * Never NULL, always static. Codes without a name give that of their range, as
 * "Command Specific Status, reserved" or "Path Related Status, vendor
 * specific". Codes that mean one thing to fabrics commands and another to I/O
 * commands give both.
 * Context: any
 */
LEAP_API const char *leap_status_str(leap_status_t status);

/**
 * leap_status_to_errno - the nearest errno to a status, for callers who must
 * give one to somebody else
 *
 * Returns: 0 for success, else a negative errno (-EIO where nothing fits)
 * Context: any
 */
LEAP_API int leap_status_to_errno(leap_status_t status);

/**
 * leap_status_from_errno - the status for a command that failed with @err
 *
 * @err: negative errno of a leaf or a transport; 0 gives success. -ENOSPC
 * is Capacity Exceeded, -EIO and unknown values an Internal Error without DNR
 * Context: any
 */
LEAP_API leap_status_t leap_status_from_errno(int err);

#ifdef __cplusplus
}
#endif

#endif
