/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bad-device.h - a drive behind registers that does wrong what a test wants, as
 * the transport "bad" ("bad:X/NQN"), the only one of such a program
 *
 * It has two namespaces with memory behind them and does its work in the poll
 * after it was asked. Whatever it does on its own is by the book, and what the
 * driver may not do to it is a complaint: it counts them, and never ends the
 * program. One device at a time: the global @bad is it.
 *
 * A fault strikes at the step @at: every register access, doorbell and command
 * is a step; faults in completions count commands only.
 */
#ifndef LEAP_TESTS_BAD_DEVICE_H
#define LEAP_TESTS_BAD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <leapio/nvme.h>

#define BAD_NQN		"nqn.2026-01.org.example:bad"
#define BAD_URL		"bad:x/" BAD_NQN
#define BAD_QUEUES	16u
#define BAD_NS		2u
#define BAD_BLOCK	512u
#define BAD_BLOCKS	2048u		/* of each namespace */
#define BAD_MUTED	256u

enum bad_fault {
	BAD_NONE = 0,
	/* at a step */
	BAD_GONE,		/* pulled out: all ones, nothing else happens */
	BAD_GONE_TOLD,		/* and the way to it says so */
	BAD_CFS,		/* fatal status until it is reset */
	BAD_HANG,		/* answers no command until it is reset */
	BAD_RESETS,		/* is as after power-on, all of a sudden */
	/* at a command */
	BAD_MUTE,		/* never answers this one */
	BAD_WRONG_PHASE,
	BAD_DUPLICATE,		/* the same completion twice */
	BAD_CID_RANGE,		/* beyond the queue */
	BAD_CID_FREE,		/* of a slot that is not in use */
	BAD_SQID,
	BAD_SQHD_RANGE,		/* beyond the queue */
	BAD_SQHD_AHEAD,		/* of what has been rung */
	BAD_SQHD_BACK,
	BAD_FLOOD,		/* the queue full of this one's completion */
	BAD_STATUS,		/* says that it failed */
	BAD_LATE,		/* answers with the next command, or never */
};

struct bad_queue {
	uint32_t sq_size, cq_size;	/* 0 = there is none */
	uint64_t sq, cq;
	uint32_t head, tail, told;	/* told: by the doorbell register */
	uint32_t cq_tail, cq_head;
	int phase;
};

struct bad_muted {
	struct leap_sqe sqe;
	uint16_t qid;
};

struct bad_device {
	/* what it is */
	uint32_t pci_id, pci_class;
	uint64_t cap;
	uint32_t crto;
	struct leap_id_ctrl id;
	struct leap_id_ns ns[BAD_NS];
	uint32_t nr_queues;		/* that Set Features grants */
	/* what it does wrong */
	enum bad_fault fault;
	uint64_t at;
	uint32_t opc;			/* commands that count; 0x100 = all */
	bool stays_gone;		/* opening it again does not help */
	bool sticky;			/* a reset does not help */
	bool never_ready, never_down, reset_fails;
	uint32_t max_entries;		/* not what CAP.MQES says; 0 = that */
	uint32_t ready_after;		/* reads of CSTS */
	bool ignores_shadow;		/* takes it and does not look */
	bool ignores_abort;
	bool trusts_grant;		/* creates queues beyond it */
	uint32_t map_fails_at;		/* n-th map; 0 = none */
	/* Instead of all that: what the bytes say. */
	const uint8_t *bytes;
	size_t nr_bytes;
	/* what it saw */
	uint64_t steps, cmds;
	bool hit;			/* the fault has struck */
	bool gone, hung;
	uint32_t cc, csts, aqa, command, reads_left;
	uint64_t asq, acq;
	unsigned int opens, closes, enables, resets, aborts, shutdowns;
	unsigned int doorbells[BAD_QUEUES];	/* of submission queues */
	unsigned int io;		/* commands of I/O queues executed */
	unsigned int subsystem_resets, ns_descs;
	unsigned int complaints;
	char complaint[160];		/* the first */
	uint64_t shadow, eventidx;
	struct bad_queue q[BAD_QUEUES];
	struct bad_muted muted[BAD_MUTED];
	uint32_t nr_muted;
	struct leap_sqe aer[16];
	uint32_t nr_aers;
	uint32_t events;		/* as configured */
	uint32_t maps;			/* that it reaches now */
	uint8_t *data[BAD_NS];
};

extern struct bad_device bad;

/* As after power-on, and well-behaved. */
void bad_init(void);
void bad_fini(void);
/* An event: answers an outstanding AER. 0, or -1: there is none. */
int bad_event(uint32_t dw0);

/* ---- between its two files ---- */

void bad_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A step; true: it is not there, or not any more. */
bool bad_step(void);
void *bad_at(uint64_t addr, uint64_t bytes);
/* The next byte, or @dflt behind the end. */
uint8_t bad_byte(uint8_t dflt);
/* Commands that wait in its queues. */
void bad_fetch(void);
/* As after a reset of the controller. */
void bad_clear(void);

#endif
