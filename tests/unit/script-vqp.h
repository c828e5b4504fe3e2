/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * script-vqp.h - controller ends that a test drives by hand: it writes every
 * bit of every submission entry itself, and gives each command one buffer
 */
#ifndef LEAP_TESTS_SCRIPT_VQP_H
#define LEAP_TESTS_SCRIPT_VQP_H

#include "unit.h"

#include <leapio/plugin/transport_ops.h>

#define SCRIPT_BUF 65536u

struct script {
	struct leap_vqp vqp;	/* first */
	struct leap_piece piece;
	unsigned int completes;	/* of commands, while it was connected */
	unsigned int dropped;	/* after it was closed */
	leap_status_t status;	/* of the last */
	uint64_t result;
	uint32_t data_bytes;	/* asked for by it */
	int stopped;		/* completions are dropped */
	int destroyed;
	_Alignas(8) uint8_t buf[SCRIPT_BUF];
};

extern const struct leap_transport_ops script_ops;

/* A new connection of @listener, or none (NULL) for leap__ctrl_adopt_admin. */
void script_init(struct script *s, struct leap_pollgroup *pg,
		 struct leap_listener *listener);
/* Deliver; the answer may come in a later poll. */
void script_send(struct script *s, const void *sqe);
/* Deliver and poll until it is answered: its status without M. */
leap_status_t script_cmd(struct script *s, const void *sqe);
/* Connect; @qid 0 makes a controller, whose id comes back in s->result. */
leap_status_t script_connect(struct script *s, const char *subnqn,
			     const char *hostnqn, uint16_t qid,
			     uint16_t cntlid);
void script_close(struct script *s);

#endif
