/* SPDX-License-Identifier: BSD-3-Clause */
/* inspect.h - what looking into a drive shares, whoever has it */
#ifndef LEAP_CORE_CTRL_INSPECT_H
#define LEAP_CORE_CTRL_INSPECT_H

#include <leapio/record.h>
#include <leapio/vdev.h>

#include "core/ctrl/iogroup.h"

/* Where a record has to be; a queue's. */
struct leap__inspect_record {
	const struct leap_record_header *head;	/* NULL: outside */
	uint32_t max_slots;
};

/* @q->nr_slots and what follows of the record, @q->head. */
void leap__inspect_record(const struct leap__inspect_record *r,
			  struct leap_vdev_sq_info *q);
/* A call for each slot that is not free. */
void leap__inspect_slots(const struct leap__inspect_record *r, uint16_t sqid,
			 const struct leap_vdev_inspect_ops *ops, void *arg);
/* The words in state memory. */
void leap__inspect_db(const struct leap_doorbell *db,
		      struct leap_vdev_db_info *o);
/* What the group that serves it has said, if one does. */
void leap__inspect_served(const struct leap__inspect_queue *here,
			  struct leap_vdev_sq_info *q);

#endif
