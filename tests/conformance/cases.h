/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cases.h - what a controller has to answer, as a table
 *
 * A case is one command: its fields, its payload, the status that has to come
 * back, and where the specification says so. Cases of one table run in order,
 * on every queue pair; a case may rely on those before it.
 *
 * The drive: NSID 1 has 32768 LBAs of 512 bytes, NSID 2 has 4096 of 4096, NSID
 * 3 is read-only with 32768 of 512, NSID 4 has zones (cases_zns.c); NSIDs to 64
 * are valid and inactive. MDTS is 64 KiB, two I/O queues are granted per queue
 * pair asked for.
 */
#ifndef LEAP_TESTS_CASES_H
#define LEAP_TESTS_CASES_H

#include <leapio/nvmf.h>

#define NS1_LBAS	32768u
#define NS2_LBAS	4096u
#define MAX_NSID	64u
#define MDTS		65536u

/* Q_ONE: the last of the I/O queue pairs only. */
enum { Q_IO, Q_ADMIN, Q_DISC, Q_ONE };

/* What is in the payload that a host sends. */
enum {
	FILL_SEED,		/* bytes made from seed */
	FILL_DSM,		/* range i: LBA seed + i of arg blocks */
	FILL_DSM_BAD_LAST,	/* the same; the last lies outside */
	FILL_DSM_OVERFLOW,	/* the last wraps around 2^64 */
	FILL_COPY,		/* range i: arg LBAs at LBA seed + i * arg */
	FILL_COPY_BAD_LAST,
	FILL_COPY_OVERFLOW,
};

/* In fuse: goes into the queue together with the case behind it. */
#define FUSE_PAIR	0x10u

struct testcase {
	const char *name;
	const char *spec;
	uint8_t queue;
	uint8_t opc;
	uint8_t fuse;
	uint8_t fill;
	uint32_t nsid;		/* fabrics commands: FCTYPE */
	uint32_t cdw[6];	/* 10 to 15 */
	uint32_t len;		/* of the payload, either way */
	uint32_t seed;		/* not 0: a payload to the host is its bytes */
	uint32_t arg;
	leap_status_t status;	/* code, without DNR, CRD and M */
	uint8_t check_result;
	uint8_t no_data;	/* payload differs from run to run */
	uint64_t result;
	/* Looks at a payload to the host; NULL, or what is wrong with it. */
	const char *(*check)(const uint8_t *buf, uint32_t len);
};

/*
 * A case that a controller behind registers has to answer otherwise, because
 * the standard says so. Its line is in neither transcript when they are
 * compared.
 */
struct difference {
	const char *name;
	leap_status_t status;	/* that has to come back instead */
	const char *why;
	const char *(*check)(const uint8_t *buf, uint32_t len);
};

extern const struct difference differences[];
extern const unsigned int nr_differences;

extern const struct testcase io_cases[], admin_cases[], disc_cases[];
extern const struct testcase zns_cases[];
extern const unsigned int nr_io_cases, nr_admin_cases, nr_disc_cases;
extern const unsigned int nr_zns_cases;

#define ADMIN(name, spec, opc, nsid, d10, d11, len, status) \
	{ name, spec, Q_ADMIN, opc, 0, 0, nsid, { d10, d11 }, len, 0, 0, \
	  status, 0, 0, 0, NULL }

#endif
