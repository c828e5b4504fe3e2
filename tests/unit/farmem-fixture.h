/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farmem-fixture.h - a guest whose payload is in another machine's memory
 *
 *	guest driver -> vdev -> memory leaf
 *	                  \--- READ, WRITE ---> share of the owner
 *
 * over the fake fabric. The owner's mapping of the memory is PROT_NONE, and so
 * nobody but the device touches it.
 */
#ifndef LEAP_TESTS_FARMEM_FIXTURE_H
#define LEAP_TESTS_FARMEM_FIXTURE_H

#include "payload-fixture.h"

#include <leapio/leapio.h>

#include "fake-verbs.h"

#define FM_NQN		"nqn.2026-01.org.example:far-memory"
#define SECONDS(n)	((n) * 1000000000ull)
#define TOKEN		0x77	/* all bytes of the share's */
#define FM_RW		(LEAP_PERM_READ | LEAP_PERM_WRITE)
#define FAULT		(LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR)

struct fm {
	struct fake_fabric *fabric;
	/* The owner of the memory. */
	struct leap_pollgroup *owner;
	struct leap_share *share;
	char url[64];
	/* Who serves the drive. */
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_vdev *vdev;
	struct leap_farmem *far;
	int opened;
	struct gd *g;
	struct gd_cq cq;
	struct gd_sq sq;
	struct payload pay;
	struct unit_lived lived;
};

extern struct fm fm;

/* cmocka's: all of it, and commands go through. */
int fm_setup(void **state);
int fm_setup_iwarp(void **state);
int fm_teardown(void **state);

#define FM_TEST(f) cmocka_unit_test_setup_teardown(f, fm_setup, fm_teardown)

/* Time of the guest's side, and both sides' turns. */
uint64_t fm_lived_ns(void);
void fm_poll(void *arg);
void fm_turn(const int *flag);
void fm_pass(uint64_t ns);

/* The owner gives the memory, at the same place as before. */
void fm_share(uint32_t perm);
void fm_unshare(void);

/* Who serves opens it; fm.opened is to become 1, or the error. */
struct leap_farmem_opts fm_opts(uint8_t token);
void fm_open(uint8_t token, int opened);
void fm_close(void);
struct leap_farmem_info fm_info(void);
/* All of it, where the guest's payload is. */
struct leap_ats_range fm_range(uint32_t perm);
/* The guest's drive gets it, and loses the first @bytes from there; the latter
 * to its end, or until *@done. */
void fm_mem_add(uint32_t perm);
void fm_mem_del(uint64_t bytes);
void fm_mem_del_start(uint64_t bytes, int *done);

/* A command, to its end; that of one that was submitted; of pay_load's. */
leap_status_t fm_run(uint8_t opc, uint32_t lba, uint32_t nr, uint32_t at);
leap_status_t fm_run_sqe(const struct leap_sqe *sqe);
leap_status_t fm_ended(uint16_t cid);
void fm_settle(const uint16_t *cids, leap_status_t expect);
/* While the fabric is paused: until that many moves wait in it. */
void fm_posted(uint32_t n);

#endif
