/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the host end over vfio-user, and its inside
 *
 *	host.c		its life: connecting, answers, the table of regdev.h
 *	host_msg.c	what it says
 */
#ifndef LEAP_VFIO_USER_HOST_H
#define LEAP_VFIO_USER_HOST_H

#include <leapio/plugin/transport_ops.h>

#include "core/io/connector.h"
#include "core/io/fdchan.h"
#include "core/io/regctrl.h"
#include "transport/vfio-user/parse.h"

#define LEAP__VFU_HOST_TX	4096u	/* bytes of one send */
#define LEAP__VFU_HOST_RX	(LEAP__VFU_MAX_JSON + 64u)

enum step {
	STEP_VERSION,
	STEP_INFO,
	STEP_BAR,
	STEP_CONFIG,
	STEP_IRQ,
	STEP_OPEN,
};

struct db {
	uint32_t value;
	bool waits;
};

struct vfu_dev {
	struct leap__regdev dev;	/* first */
	struct leap__fdchan chan;
	struct leap__connector connector;
	struct leap_msg closed;
	enum step step;
	bool chan_up;
	bool closing;
	bool gone;
	bool asks;			/* the step's question has to be sent */
	bool refuse_dma;		/* an error reply has to be sent */
	uint16_t next_id;
	uint16_t first_id;		/* of the oldest without an answer */
	struct leap__vfu_hdr dma;	/* of the command to be refused */
	struct leap__regio *ask, **ask_tail;	/* to be sent */
	struct leap__regio *out, **out_tail;	/* answers are awaited */
	struct db *dbs;
	uint32_t *db_fifo;		/* ring of those that wait */
	uint32_t nr_dbs, db_head, db_nr;
	uint32_t tx_bytes;
	int tx_fd;
	uint32_t nr_tx_fds;
	uint8_t tx[LEAP__VFU_HOST_TX];
	struct {
		struct leap__vfu_hdr hdr;
		uint8_t data[LEAP__VFU_HOST_RX];
	} rx;				/* a message */
};

/* host.c: the slot of a transport's table; the others are leap__regqp_*. */
int leap__vfu_qp_connect(struct leap_qp *qp, const char *address);

/* host_msg.c: send what waits, when the channel is free. */
void leap__vfu_host_pump(struct vfu_dev *d);

#endif
