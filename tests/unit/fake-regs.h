/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake-regs.h - a controller behind registers that does what a test says, as
 * the transport "fake" ("fake:X/NQN"), the only one of such a program
 *
 * Written from the specification, without the rings and PRP walkers that the
 * library has. One device at a time: the global @fake is it, and what it should
 * do wrong.
 */
#ifndef LEAP_TESTS_FAKE_REGS_H
#define LEAP_TESTS_FAKE_REGS_H

#include "unit.h"

#include <leapio/qp.h>

#include "core/io/regctrl.h"

#define FAKE_NQN	"nqn.2026-01.org.example:registers"
#define FAKE_QUEUES	8

struct fake_queue {
	uint32_t sq_size, cq_size;	/* 0 = there is none */
	uint64_t sq, cq;
	uint32_t head, tail, cq_tail, cq_head;
	int phase;
};

struct fake {
	/* what it is */
	uint64_t cap;
	struct leap_id_ctrl id;
	int no_msix;
	/* what it does */
	int open_err;		/* fails to open */
	int never_opens;
	int gone;		/* registers read as all ones */
	int never_ready;
	int cfs;		/* when enabled */
	int stays_ready;	/* when disabled; 2: even after a reset */
	uint32_t ready_after;	/* reads of CSTS */
	int map_err;
	int lie_sqhd, lie_sqid, lie_cid, wrong_phase, mute;
	leap_status_t refuse_cq, refuse_sq, refuse_dbbuf, refuse_id;
	int hold;		/* complete no I/O */
	/* what it saw */
	uint32_t cc, csts, reads_left;
	uint32_t aqa, command, msix;
	uint64_t asq, acq;
	unsigned int enables, resets, doorbells, irqs, closes;
	unsigned int sgls, prps, lists;		/* of I/O */
	unsigned int shadow_kicks;
	int irq_fd;
	uint64_t shadow, eventidx;
	uint32_t last_bytes;	/* named by the DPTR of the last I/O */
	struct leap_sqe last;
	struct fake_queue q[FAKE_QUEUES];
	struct leap_sqe held[64];
	unsigned int nr_held;
	unsigned int maps;	/* that it can reach now */
};

extern struct fake fake;

/* As after power-on, and well-behaved. */
void fake_init(void);
/* Look at shadow doorbells, as a controller that polls would. */
void fake_poll(void);
/* Complete what was held. */
void fake_release(void);
/* The device is lost. */
void fake_lose(int err);

/* Between the parts of it: memory that it can reach, or the test fails; and a
 * doorbell, by its place among them. */
uint8_t *fake_at(uint64_t addr, uint64_t bytes);
void fake_bell(uint32_t i, uint32_t value);

#endif
