/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the inside of a host end: what host.c and host_mem.c share
 */
#ifndef LEAP_RDMA_HOST_H
#define LEAP_RDMA_HOST_H

#include "transport/rdma/cache.h"
#include "transport/rdma/rdma.h"

#include <leapio/qp.h>

#define LEAP__RDMA_MAX_DATA	(1u << 20)	/* bytes of one request */
#define LEAP__RDMA_PAGE		4096u
#define LEAP__RDMA_PAGES	512u	/* of bounce memory */

struct hslot {
	struct leap_req *req;
	struct hslot *next;		/* on txq */
	struct leap__rdma_reg *reg;	/* registration in use, or NULL */
	uint32_t len;			/* payload, bytes */
	uint32_t page, nr_pages;	/* of bounce memory */
	uint16_t gen;
	uint16_t next_free;
	uint8_t flags;
	uint8_t dir;
};

struct host {
	struct leap_qp qp;		/* first */
	struct leap__rdma_conn c;
	struct sockaddr_storage addr;
	struct hslot *slots;
	uint32_t nr_slots;
	uint16_t free_slot;
	uint8_t slot_bits;
	uint8_t closing;		/* leap_qp_closed is awaited */
	struct hslot *txq, **txq_tail;
	/* Local memory: CQEs that come, SQEs that go. */
	uint8_t *mem;
	size_t mem_bytes;
	uint32_t sqe_at;
	uint32_t lkey;
	/* Memory that the controller may touch. */
	uint8_t *bounce;
	uint32_t bounce_lkey, bounce_rkey;
	uint32_t first_free;		/* page: none below it is */
	uint8_t used[LEAP__RDMA_PAGES];
};

/* Where a request's payload is for the device. */
struct hpayload {
	uint64_t addr;
	uint32_t lkey, rkey;
};

/* host_mem.c */
int leap__rdma_host_memory(struct host *h);
int leap__rdma_host_register(struct host *h);
void leap__rdma_host_memory_free(struct host *h);

/* leap__rdma_map - 1 and *@out; 0 = no memory now, when a request ends */
int leap__rdma_map(struct host *h, struct hslot *s, struct hpayload *out);
/* leap__rdma_landed - what a command has read is the caller's now */
void leap__rdma_landed(struct host *h, struct hslot *s);
void leap__rdma_unmap(struct host *h, struct hslot *s);

#endif
