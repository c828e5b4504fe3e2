/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller as registers in memory: what a PCIe function shows its host in
 * BAR 0 below the doorbells. Turns accesses of any size and place into those
 * of property.c, whose state machine fabrics controllers share, and makes and
 * ends controllers that no Connect has asked for. Does not know whose memory
 * the queues are in, nor how a host's accesses get here.
 *
 * Spec: NVMe PCIe Transport 1.0 s3.1 (controller registers)
 */
#include "core/ctrl/ctrl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/endian.h"

int leap__ctrl_create_registers(struct leap_subsystem *ss,
				const struct leap__ctrl_front *front,
				void *front_arg, struct leap__ctrl **out)
{
	struct leap__ctrl *c;
	int err;

	if (!front->nr_vectors || front->nr_vectors > LEAP__MAX_VECTORS)
		return leap__err(-EINVAL,
			"leap__ctrl_create_registers: %u vectors are not 1..%d",
			front->nr_vectors, LEAP__MAX_VECTORS);
	err = leap__ctrl_create(ss, &c);
	if (err)
		return leap__err(err,
			"leap__ctrl_create_registers: %s", err == -EBUSY ?
			"no controller id is free" : "out of memory");
	c->front = front;
	c->front_arg = front_arg;
	c->refs++;
	/* Once more: now it is known what it has. */
	leap__features_reset(c);
	*out = c;
	return 0;
}

static uint32_t dword(struct leap__ctrl *c, uint64_t offset)
{
	uint64_t v;

	if (offset >= LEAP_REG_DBL ||
	    leap__ctrl_prop_read(c, (uint32_t)offset, 4, &v))
		return 0;
	return (uint32_t)v;
}

void leap__ctrl_reg_read(struct leap__ctrl *c, uint64_t offset, void *buf,
			 uint32_t bytes)
{
	uint8_t *to = buf, word[4];
	uint32_t i;

	for (i = 0; i < bytes; i++) {
		uint64_t at = offset + i;

		if (!i || at % 4 == 0)
			leap__put_le32(word, dword(c, at & ~3ull));
		to[i] = word[at % 4];
	}
}

void leap__ctrl_reg_write(struct leap__ctrl *c, uint64_t offset,
			  const void *buf, uint32_t bytes)
{
	uint8_t copy[8];
	uint32_t i;

	if ((bytes != 4 && bytes != 8) || offset % bytes ||
	    offset >= LEAP_REG_DBL || c->dead)
		return;
	memcpy(copy, buf, bytes);
	/* As two dwords, low half first: no register that an 8-byte write may
	 * cut through acts on less than a dword. */
	for (i = 0; i < bytes && !c->dead; i += 4)
		(void)leap__ctrl_prop_write(c, (uint32_t)offset + i, 4,
					    leap__get_le32(copy + i));
}

void leap__ctrl_reg_reset(struct leap__ctrl *c)
{
	if (c->dead)
		return;
	(void)leap__ctrl_prop_write(c, LEAP_REG_CC, 4, 0);
	c->intm = 0;
	c->aqa = 0;
	c->asq = 0;
	c->acq = 0;
	/* At once, even while I/O queues still have to go: a host that
	 * enables it meanwhile waits for RDY. */
	c->csts = 0;
}

int leap__ctrl_adopt_admin(struct leap__ctrl *c, struct leap_vqp *vqp)
{
	struct leap__conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->target = c->target;
	conn->vqp = vqp;
	conn->ctrl = c;
	vqp->handler = &leap__admin_handler;
	vqp->handler_priv = conn;
	vqp->connected = 1;
	vqp->depth = (uint16_t)(LEAP_GET(c->aqa, LEAP_AQA_ASQS) + 1);
	c->conn = conn;
	c->refs++;
	c->target->connections++;
	leap__list_push_back(&c->target->conns, &conn->link);
	return 0;
}
