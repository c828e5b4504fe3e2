/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev_priv.h - what the files of a virtual PCI function share
 *
 *	vdev.c           its life, resets
 *	vdev_mem.c       the guest's memory
 *	vdev_pci.c       config space, BAR 0
 *	vdev_msix.c      interrupts
 *	vdev_admin.c     the admin queue pair
 *	vdev_queues.c    I/O queues, their state memory
 *	vdev_shadow.c    Doorbell Buffer Config
 *	vdev_doorbell.c  doorbells, and how full completion queues are
 *	vdev_link.c      groups in other processes
 *	vdev_save.c      all of it in a box, for a successor
 *	vdev_inspect.c   a look at all of it
 *
 * All of it belongs to the home thread, but for what says otherwise.
 */
#ifndef LEAP_CORE_CTRL_VDEV_PRIV_H
#define LEAP_CORE_CTRL_VDEV_PRIV_H

#include <leapio/dmabuf.h>
#include <leapio/record.h>

#include "core/ctrl/irqfd.h"
#include "core/ctrl/vdev.h"
#include "dmabuf/region.h"
#include "util/atomic.h"

#define LEAP__VDEV_VECTORS	128u
#define LEAP__VDEV_MSI_VECTORS	32u
/* Doorbells fill the page before the MSI-X table: a pair of 4 bytes each. */
#define LEAP__VDEV_QUEUES	((LEAP_VDEV_MSIX_TABLE - LEAP_REG_DBL) / 8)
#define LEAP__VDEV_SLOTS	512u	/* commands of a queue under way */
#define LEAP__VDEV_FENCE_MS	2000u

enum {
	LEAP__VCQ_ADDING,
	LEAP__VCQ_LIVE,
	LEAP__VCQ_DELETING,
	LEAP__VCQ_FAILED,	/* was not added; goes with its SQs */
};

/* A completion queue; io.desc.cqid 0 is the admin queue's. */
struct leap__vcq {
	struct leap__iocq io;
	struct leap_cmd *cmd;	/* Create or Delete, to be answered */
	uint32_t state;		/* LEAP__VCQ_* */
	uint32_t head;		/* last good doorbell */
	uint64_t posted;	/* leap_doorbell.posted, as of the last look */
};

/* A submission queue. */
struct leap__vsq {
	struct leap__ioqp io;	/* first: ctrl.c frees it */
	struct leap__vcq *cq;
	struct leap_cmd *cmd;	/* Create or Delete, to be answered */
	uint32_t tail;		/* last good doorbell */
	int err;		/* QP_ADD refused */
	uint32_t deleting;
};

/* The admin queues of one time that the controller was enabled. */
struct leap__vadmin {
	struct leap_msg msg;
	struct leap__list link;
	struct leap_vdev *v;
	struct leap_vqp *vqp;
	struct leap__guest_cq *cq;
};

/* One message vector. Threads of groups read it. */
struct leap__vvector {
	uint32_t addr_lo, addr_hi, data;	/* as the guest wrote them */
	uint32_t ctrl;		/* bit 0: masked */
	uint32_t pending;	/* exchanged */
	struct leap__irqfd irqfd;
};

/* A range of the guest's memory, for those that have to be told again. */
struct leap__vrange {
	struct leap__list link;
	struct leap_ats_range range;	/* fd is ours */
};

/* The file that has the bytes of @r, and where in it; -1: none. */
static inline int leap__vrange_fd(const struct leap__vrange *r,
				  uint64_t *offset)
{
	*offset = r->range.offset;
	if (r->range.source != LEAP_ATS_DMABUF)
		return r->range.fd;
	*offset += leap__dmabuf_offset(r->range.buf);
	return leap_dmabuf_fd(r->range.buf);
}

/* Somebody waits: for the end of a reset, or until memory is known. */
struct leap__vwait {
	struct leap__list link;
	struct leap_vdev *v;
	struct leap_timer timer;
	uint32_t fatal;		/* CFS, when it takes too long */
	void (*done)(void *arg, int err);
	void *arg;
};

struct leap_vdev {
	struct leap__list link;		/* of the target */
	struct leap_target *target;	/* NULL with c */
	struct leap_pollgroup *home;
	struct leap__ctrl *c;		/* NULL: pulled out, or ended */
	struct leap_vdev_opts opts;
	struct leap__ctrl_front front;
	struct leap__guest guest;
	struct leap_dmabuf *state;
	uint64_t record_bytes;		/* room for each */
	uint32_t nr_queues;		/* pairs, with the admin queue */
	uint32_t started;
	uint32_t ended;			/* the controller is going */
	uint32_t told_end;		/* CTRL_DEL is out, or back */
	uint32_t dying;			/* leap_vdev_destroy */
	uint32_t out;			/* messages of vdev_link.c */
	uint32_t mem_out;		/* of those, MEM_ADD */
	struct leap_timer settle_timer;
	void (*destroyed)(void *arg);
	void *destroyed_arg;
	/* Memory. */
	struct leap__list ranges;
	struct leap__list memops;	/* vdev_mem.c's */
	uint64_t nr_ranges, mem_bytes;
	struct leap_ats_view *view;	/* of the home, for shadow heads */
	struct leap__list waits;	/* struct leap__vwait, of a reset */
	struct leap__list mem_waits;	/* the same, of MEM_ADD */
	/* Queues. */
	struct leap__list admins;
	uint32_t admin_tail;
	uint32_t admin_depth;
	struct leap__vcq admin_cq;	/* what interrupts need of it */
	struct leap__vcq **cq;		/* [nr_queues], [0] is not used */
	uint32_t nr_cqs;
	uint64_t commands;		/* of CQs that are gone */
	uint64_t doorbells;
	/* Shadow doorbells. */
	struct leap__round shadow_round;
	struct leap_cmd *shadow_cmd;
	struct leap_cmd *shadow_next;	/* for when a stale one is answered */
	leap_gpa_t shadow_db, shadow_ei;
	uint32_t shadow;
	uint32_t shadow_stale;		/* asked for before a reset */
	uint32_t shadow_missed;		/* queues, or a process, that came since
					 * it was sent */
	/* What groups remember of us. */
	uint32_t told_shadow;
	uint32_t told_coalesce;
	uint32_t told_off[LEAP__VDEV_VECTORS / 32];
	/* Config space. */
	uint8_t config[LEAP_VDEV_CONFIG_BYTES];
	/* Interrupts. */
	uint32_t nr_vectors;
	uint32_t nr_fds;
	uint32_t msix_ctrl;		/* shared: the register, or what MSI's
					 * amounts to */
	uint32_t msix_on;		/* shared */
	uint32_t irq_refused;		/* another process has not got one of
					 * the eventfds */
	struct leap__vvector vector[LEAP__VDEV_VECTORS];
	struct leap__irqfd pin;		/* INTx */
	int sink_fd;
	int level;
	struct leap_timer intx_timer;
	uint32_t intx_look_ns;
	/* From threads of groups to the home. */
	struct leap_msg poke;
	uint32_t poked;			/* exchanged */
	uint32_t fatal;			/* exchanged: qid + 1 */
	int32_t fatal_err;
};

static inline struct leap_vdev *leap__vdev_of(struct leap__ctrl *c)
{
	return c->front_arg;
}

static inline struct leap_doorbell *
leap__vdev_db(const struct leap_vdev *v, uint32_t qid, uint32_t cq)
{
	return (struct leap_doorbell *)(void *)v->guest.state + 2 * qid + cq;
}

/* vdev.c: as leap_vdev_create; with @state, the memory of a predecessor. */
int leap__vdev_make(struct leap_subsystem *ss,
		    const struct leap_vdev_opts *opts,
		    struct leap_dmabuf *state, struct leap_vdev **out);
/* Look, in the next poll, whether something is over. */
void leap__vdev_settle(struct leap_vdev *v);
/* @done when what @waits stands for is over, or -ETIMEDOUT. */
void leap__vdev_wait(struct leap_vdev *v, struct leap__list *waits,
		     uint32_t fatal, void (*done)(void *arg, int err),
		     void *arg);
/* Registers as after a reset, the function's own as well. */
void leap__vdev_do_reset(struct leap_vdev *v);

/* vdev_mem.c: nothing of the memory is ours any more. */
void leap__vdev_mem_fini(struct leap_vdev *v);

/* vdev_pci.c */
void leap__vdev_pci_init(struct leap_vdev *v);
int leap__vdev_bus_master(const struct leap_vdev *v);
int leap__vdev_intx_allowed(const struct leap_vdev *v);

/* vdev_msix.c */
int leap__vdev_irq_init(struct leap_vdev *v);
void leap__vdev_irq_fini(struct leap_vdev *v);
void leap__vdev_irq_reset(struct leap_vdev *v);
/* INTMS or INTMC may have been written. */
void leap__vdev_irq_mask(struct leap_vdev *v);
/* No thread can raise anything: let go of descriptors without use. */
void leap__vdev_irq_trim(struct leap_vdev *v);
void leap__vdev_msix_control(struct leap_vdev *v, uint32_t ctrl);
/* The registers of MSI: vectors below @nr are as if in the table, unmasked. */
void leap__vdev_msi_control(struct leap_vdev *v, int on, uint32_t nr,
			    uint64_t addr, uint32_t data);
uint32_t leap__vdev_table_read(const struct leap_vdev *v, uint32_t offset);
void leap__vdev_table_write(struct leap_vdev *v, uint32_t offset,
			    uint32_t value);
uint32_t leap__vdev_pba_read(const struct leap_vdev *v, uint32_t offset);
void leap__vdev_raise(struct leap__guest *guest, uint32_t vector);
void leap__vdev_guest_fatal(struct leap__guest *guest, uint16_t qid, int err);
/* The answer to leap__vdev_tell_irq. */
void leap__vdev_irq_told(struct leap_vdev *v, uint32_t vector, int err);
/* Something that the pin depends on has changed. */
void leap__vdev_intx_update(struct leap_vdev *v);

/* vdev_admin.c; as leap__ctrl_front.start */
int leap__vdev_admin_start(struct leap__ctrl *c, void *arg);
/* One that a predecessor left. */
int leap__vdev_resume_admin(struct leap_vdev *v);

/* vdev_queues.c */
void leap__vdev_front_init(struct leap_vdev *v);
/* Doorbells of a queue that is new, and where they are in the state memory. */
void leap__vdev_fresh_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t cq);
uint64_t leap__vdev_db_offset(const struct leap_vdev *v, uint32_t qid,
			      uint32_t cq);
/* What every queue pair of the controller has in common. */
void leap__vdev_fill_qp(struct leap_vdev *v, struct leap_qp_desc *d);
/* Where its record is; an empty one, unless it resumes. */
int leap__vdev_place_record(struct leap_vdev *v, struct leap_qp_desc *d);

/* Queues that a predecessor left, and whose ends are told by RESUME. The CQ and
 * SQ say where they are, and are ours then: 0, or -EINVAL and they are not. */
int leap__vdev_resume_cq(struct leap_vdev *v, struct leap__vcq *cq);
int leap__vdev_resume_sq(struct leap_vdev *v, struct leap__vsq *sq);

/* What became of a Create, or of another command that groups were asked for. */
void leap__vdev_answer(struct leap_vdev *v, struct leap_cmd *cmd, int err);

/* vdev_shadow.c */
void leap__vdev_dbbuf_config(struct leap__ctrl *c, struct leap_cmd *cmd);
/* A doorbell was trapped, of word @index. */
void leap__vdev_shadow_rung(struct leap_vdev *v, uint32_t index,
			    uint32_t value);
/* A queue is new, and where its doorbells are trapped: before anybody is told
 * of it. */
void leap__vdev_shadow_fresh(struct leap_vdev *v, uint32_t qid, uint32_t cq);
/* The controller is disabled. */
void leap__vdev_forget_shadow(struct leap_vdev *v);

/* vdev_doorbell.c */
void leap__vdev_sq_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t v32);
void leap__vdev_cq_doorbell(struct leap_vdev *v, uint32_t qid, uint32_t v32);
/* Bus mastering is allowed again: what was rung meanwhile. */
void leap__vdev_ring_all(struct leap_vdev *v);
/* Entries posted in all, counted on from the last look. */
uint64_t leap__vdev_cq_posted(struct leap_vdev *v, struct leap__vcq *cq);
/* Entries are there that the guest has not taken. */
int leap__vdev_cq_waiting(struct leap_vdev *v, struct leap__vcq *cq);

/* vdev_link.c: to every remote group, except where it says otherwise. */
void leap__vdev_tell_add(struct leap_vdev *v);
void leap__vdev_tell_end(struct leap_vdev *v);
void leap__vdev_tell_mem(struct leap_vdev *v, const struct leap__vrange *r);
/* How many were asked; @arrived gets each answer, @arg in m->arg's place. */
int leap__vdev_tell_mem_del(struct leap_vdev *v, leap_gpa_t gpa,
			    uint64_t bytes,
			    void (*answered)(void *arg, int err), void *arg);
void leap__vdev_tell_irq(struct leap_vdev *v, uint32_t vector, int fd);
/* To every group: interrupt coalescing as it is set now. */
void leap__vdev_tell_coalesce(struct leap_vdev *v);
/* The same as if nothing were set, shadow doorbells too; no queue is there. */
void leap__vdev_tell_forget(struct leap_vdev *v);
/* To every group: where shadow doorbells are; and that all queues that resume
 * exist. */
void leap__vdev_tell_resume(struct leap_vdev *v);
void leap__vdev_tell_shadow(struct leap_vdev *v);
/* That writes go through, to a remote group. */
void leap__vdev_tell_cache(struct leap_vdev *v, struct leap__iogroup *g);

#endif
