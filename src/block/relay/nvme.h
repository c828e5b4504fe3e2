/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme.h - what a relay's links need to know of a device that is lent to them
 */
#ifndef LEAP_BLOCK_RELAY_NVME_H
#define LEAP_BLOCK_RELAY_NVME_H

struct leap__nvme;
struct leap__lease;
struct leap_lender;

/* The lender that there is, for one connection; NULL: none at the moment.
 * Context: any, while the bdev is open */
struct leap__lease *leap__nvme_get(struct leap__nvme *nvme);
/* The connection is closed. Context: any */
void leap__nvme_put(struct leap__lease *lease);
struct leap_lender *leap__lease_lender(const struct leap__lease *lease);

#endif
