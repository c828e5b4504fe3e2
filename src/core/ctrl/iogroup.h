/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iogroup.h - the I/O half: what one poll group needs to serve I/O queues
 *
 * Owned by the group's thread from the first message on; the admin half
 * allocates and frees these structs and looks into none of them meanwhile.
 */
#ifndef LEAP_CORE_CTRL_IOGROUP_H
#define LEAP_CORE_CTRL_IOGROUP_H

#include <leapio/plugin/bdev_ops.h>

#include "block/copy.h"
#include "core/ctrl/cmds.h"
#include "core/ctrl/halves.h"
#include "core/ctrl/orphans.h"
#include "core/guest/guest.h"
#include "core/io/vqp.h"

#define LEAP__IOC_SCRATCH_BYTES	65536	/* compare and copy, by chunks */
#define LEAP__IOC_NR_ERRORS	16	/* error-log messages under way */

#define LEAP__IONS_ZONES	128

/* A namespace on one I/O group. */
struct leap__ions {
	struct leap_chan *chan;
	uint64_t nr_lbas;
	uint32_t lba_shift;	/* log2 of the LBA format's bytes */
	uint32_t stack_shift;	/* LBAs to blocks of the stack */
	uint32_t caps;		/* LEAP_BDEV_* */
	uint32_t read_only;
	uint32_t busy;		/* bios out, and walkers */
	uint32_t nsid;
	uint32_t zone_lbas;	/* of each zone; 0 = it has none */
	uint32_t append_lbas;	/* most in one append; 0 = no limit */
	/* Zones, by number modulo this, with a write in the leaf. */
	uint64_t zone_busy[LEAP__IONS_ZONES / 64];
	struct leap__ioss *ss;
	struct leap__lmsg *closing;	/* NS_DEL to answer when not busy */
	/* Admin half's. */
	struct leap_bdev *bdev;
	struct leap__lmsg m;
	struct leap__lmsg m_size;	/* NS_CHANGED */
};

/* The namespaces of a subsystem on one I/O group, by NSID. */
struct leap__ioss {
	const void *subsystem;	/* an identity */
	uint32_t max_nsid;
	uint32_t reserved;
	struct leap__lmsg *flushes;	/* of shutdowns; the first is at it */
	struct leap__ions *ns[];	/* [max_nsid + 1] */
};

/*
 * A completion queue of a controller behind registers (CQ_ADD, with this as its
 * subject). All queue pairs that name it are on its group.
 */
struct leap__iocq {
	struct leap_cq_desc desc;	/* answered CQ_DEL: seq is current */
	const void *ctrl;	/* an identity */
	struct leap__guest *guest;	/* NULL: a remote group's */
	struct leap__guest_cq *cq;	/* the group's */
	struct leap__list link;	/* the group's */
	uint32_t nr_users;	/* the group's: queue pairs not gone */
	struct leap__lmsg *closing;	/* the group's: CQ_DEL, till then */
	/* Admin half's. */
	struct leap__iogroup *group;
	struct leap__lmsg m;
	void *owner;
	uint32_t owner_state;
	uint32_t nr_sqs;
};

/* Compare and Write of a queue pair: dispatch_fused.c. */
struct leap__fused {
	struct leap_cmd *lone;	/* a first half; the second comes next */
	struct leap_timer timer;	/* unless it does not */
	uint32_t waits;
	uint32_t stage;
	uint32_t bytes;		/* payload of each half */
	uint8_t driving;
	uint8_t in_leaf;	/* @first is in inflight, and counted */
	/* Pairs in order: their first halves, whose owner is the second. */
	struct leap__cmds pairs;
	struct leap_cmd *first, *second;	/* under way */
	struct leap_bio_expect expect;
	struct leap__list link;		/* waits for the group's claim */
};

/*
 * An I/O queue pair of a controller. It gets to its group with its connection
 * (leap__ioqp_add), or, of a controller behind registers, by QP_ADD with
 * this as the subject of @add: then guest and iocq are set, vqp is made there,
 * and nothing is fetched before RESUME if the desc says so. An error ends it as
 * a lost connection would: after the answer, stats and gone are told.
 */
struct leap__ioqp {
	struct leap__iogroup *group;
	struct leap__ioss *ss;
	struct leap_vqp *vqp;
	uint32_t max_bytes;	/* MDTS */
	uint32_t write_through;	/* volatile write cache disabled */
	uint32_t nr_in;		/* commands in leaves */
	uint32_t state;		/* IOQP_* */
	uint64_t nr_seen;	/* commands, for keep alive */
	uint64_t nr_seen_told;
	uint64_t busy_since;	/* ns, 0 = idle */
	struct leap_io_counters count;
	struct leap_qp_desc desc;
	const void *ctrl;	/* an identity */
	struct leap__guest *guest;	/* NULL: a connection's, or remote */
	struct leap__iocq *iocq;
	struct leap_cmd *connect;	/* until it is answered */
	struct leap_cmd *parked;	/* draining: arrived too late */
	/* Writes to zones, in the order of the queue: numbers given, whose
	 * turn it is, and payloads that came too early. */
	uint64_t zone_next, zone_turn;
	struct leap_cmd *zone_early;
	struct leap__fused fused;
	struct leap__list link;	/* of the group */
	struct leap__vqp_move move;
	struct leap__lmsg add;
	struct leap__lmsg del;		/* QP_DEL, answered at once */
	struct leap__lmsg stats;	/* last counters */
	struct leap__lmsg gone;		/* QP_DEL reply: nothing is left */
	/* Admin half's. */
	void *owner;
	uint32_t owner_state;
	uint32_t del_again;
};

enum {
	LEAP__IOQP_LIVE = 0,
	LEAP__IOQP_DRAINING = 1,	/* takes no new commands */
	LEAP__IOQP_ENDED = 2,	/* executes nothing; in leaves = orphans */
};

/* Answer to LEAP__LINK_INSPECT. Every group fills in the queues that are its
 * own, and touches no others. */
struct leap__inspect_queue {
	uint32_t has_sq;
	uint32_t has_view;
	struct leap__guest_info sq;
	struct leap_ats_stats view;	/* of its CQ */
};

struct leap__inspect {
	uint32_t nr;
	struct leap__inspect_queue queue[];	/* [nr], by SQID and by CQID */
};

#define LEAP__QPDEL_DRAIN	1u	/* link.u.feature.value of QP_DEL */

/*
 * A group in another process: who carries the messages there. The struct that
 * embeds the group gets every question on the home thread and answers it there
 * in a later poll (leap__link_answer), whatever becomes of the other process.
 */
struct leap__remote_ops {
	void (*ask)(struct leap__iogroup *g, struct leap__lmsg *m);
	/* A doorbell word changed. */
	void (*kick)(struct leap__iogroup *g, struct leap_doorbell *db);
};

/* What have you in leaves that overlaps my claim? */
struct leap__ask {
	struct leap_msg msg;	/* first */
	struct leap__list link;	/* of those that @to has yet to answer */
	struct leap__iogroup *from, *to;
};

struct leap__iogroup {
	const struct leap__remote_ops *remote;	/* NULL: on @pg */
	struct leap_pollgroup *pg;
	struct leap_pollgroup *home;
	struct leap__orphans *orphans;
	struct leap_cmd **inflight;	/* [nr_cmds], by tag: in a leaf */
	uint32_t nr_cmds;
	uint32_t index;
	struct leap__list qps;
	struct leap__list cqs;		/* of guests */
	struct leap__list memos;	/* ioguest.c's */
	/* Commands that wait for orphans, first come first served. */
	struct leap__cmds held;
	struct leap_msg recheck;
	uint32_t recheck_sent;		/* shared: exchanged */
	uint32_t reserved;
	/* Commands that wait for the scratch buffer, and who has it. */
	struct leap__cmds compares;
	struct leap_cmd *comparing;
	int releasing;
	/* Writes to zones that have a write in their leaf. */
	struct leap__cmds zone_wait;
	int zone_driving;
	struct leap_bio_vector *vectors;	/* [nr_cmds], by tag; or NULL */
	uint8_t *scratch;		/* LEAP__IOC_SCRATCH_BYTES */
	struct leap_piece piece;	/* of the scratch buffer */
	struct leap__copy_list copy;	/* of who has it, when that copies */
	uint32_t copy_at;		/* range */
	uint32_t copy_done;		/* LBAs of it */
	/* The claim of a queue pair, and those that wait to have it. */
	struct leap__ioqp *claimer;
	struct leap__list claim_wait;
	struct leap__claim claim;
	struct leap__ions *claim_ns;	/* busy; NULL = not claimed yet */
	uint8_t claim_granted, claim_passing;
	uint32_t asks_left;
	struct leap__list asked;	/* of others' asks */
	struct leap_piece claim_piece;
	uint8_t *claim_block;		/* behind the scratch buffer */
	struct leap__ask asks[LEAP__MAX_GROUPS];
	/* Error-log messages. */
	struct leap__lmsg errors[LEAP__IOC_NR_ERRORS];
	struct leap__lmsg *free_errors;
	uint64_t errors_dropped;
};

/* What the I/O half keeps in a command (leap_cmd.owner_priv). */
struct leap__iocmd {
	struct leap__orphan range;
	uint8_t kind;		/* LEAP__IOC_* */
	uint8_t orphan;
	uint8_t bio_flags;
	uint8_t stepping;	/* dispatch_multi.c's */
	uint32_t step;
	uint64_t done;		/* LBAs, ranges or namespaces gone through */
};

_Static_assert(sizeof(struct leap__iocmd) <=
	       sizeof(((struct leap_cmd *)0)->owner_priv),
	       "fits in a command");

enum {
	LEAP__IOC_PLAIN = 0,	/* one bio, then complete */
	LEAP__IOC_FLUSH,		/* one namespace,
					 * or one after the other */
	LEAP__IOC_FUA_READ,	/* flush, then read */
	LEAP__IOC_DSM,
	LEAP__IOC_COMPARE,	/* by read and memcmp */
	LEAP__IOC_COPY,		/* dispatch_copy.c's */
	/* dispatch_zns.c's, from here on. */
	LEAP__IOC_ZONE_WAITS,	/* a write that has not begun */
	LEAP__IOC_ZONE_WRITE,	/* and one that has its zone */
	LEAP__IOC_ZONE_APPEND,
	LEAP__IOC_ZONE_OTHER,	/* send, report: done is for the bio's result */
	LEAP__IOC_VECTOR,	/* dispatch_ocssd.c's */
	LEAP__IOC_FUSED,	/* dispatch_fused.c's: the second half */
};

/* leap__iocmd.orphan */
#define LEAP__IOC_ORPHAN	1u
#define LEAP__IOC_AWAITED	2u	/* by a claim */

/* A word in the record: of a pair that may have written. */
#define LEAP__FUSED_WRITES	1u

#define LEAP__CLAIM_BYTES	4096u	/* one LBA */

static inline struct leap__iocmd *leap__iocmd(struct leap_cmd *cmd)
{
	return (struct leap__iocmd *)cmd->owner_priv;
}

static inline struct leap__ions *leap__io_ns(const struct leap__ioqp *q,
					     uint32_t nsid)
{
	/* NSID 0 has an entry that stays empty. */
	return nsid <= q->ss->max_nsid ? q->ss->ns[nsid] : NULL;
}

/* iogroup.c */
int leap__iogroup_create(struct leap_pollgroup *pg, struct leap_pollgroup *home,
			 struct leap__orphans *orphans, uint32_t index,
			 struct leap__iogroup **out);
void leap__iogroup_destroy(struct leap__iogroup *g);
/* Home: the doorbell words of a queue of @g changed. */
static inline void leap__iogroup_kick(struct leap__iogroup *g,
				      struct leap_doorbell *db)
{
	if (g->remote)
		g->remote->kick(g, db);
	else
		leap__guest_kick(g->pg, db);
}

void leap__ions_put(struct leap__ions *ns);
void leap__orphans_wake(void *group);

/* ioqp.c */
/* Admin half: @q->vqp, with its Connect in @q->connect, goes to the group.
 * Context: home */
void leap__ioqp_add(struct leap__iogroup *g, struct leap__ioqp *q);
/* 1: it was about queue pairs, and is answered. */
int leap__ioqp_message(struct leap__iogroup *g, struct leap__lmsg *m);
/* It executes nothing from now on. */
void leap__ioqp_end(struct leap__ioqp *q);
/* leap__guest_vqp_leave, of a struct leap__ioqp. */
void leap__ioqp_leave(void *arg, uint16_t slot, const struct leap_dmabuf *buf);
/* Its last messages. */
void leap__ioqp_tell_gone(struct leap__ioqp *q);
/* Does this opcode change a medium? */
int leap__io_writes(uint8_t opc);
extern const struct leap_vqp_handler leap__io_handler;
/* Behind a queue pair whose next command is the second half of a pair. */
extern const struct leap_vqp_handler leap__io_fused_handler;
extern const struct leap_vqp_handler leap__io_drain_handler;
extern const struct leap_vqp_handler leap__io_ended_handler;

/* ioguest.c */
/* 1: it was for queues of guests, and has been or will be answered. */
int leap__ioguest_message(struct leap__iogroup *g, struct leap__lmsg *m);
/* One of their queue pairs is gone. */
void leap__ioguest_gone(struct leap__iocq *cq);
void leap__ioguest_fini(struct leap__iogroup *g);
/*
 * May a command that a dead predecessor had issued, and did or did not do, run
 * again? Those that must not end with Internal Error and DNR. A new opcode that
 * is to survive who serves it has to be named there. @note: its slot's
 */
bool leap__io_may_rerun(const struct leap__ioqp *q, const struct leap_sqe *sqe,
			uint64_t note);

/* dispatch_io.c */
void leap__io_execute(struct leap_vqp *vqp, struct leap_cmd *cmd);
/* Start what leap__iocmd says, once nothing holds it back. */
void leap__io_start(struct leap__ioqp *q, struct leap__ions *ns,
		    struct leap_cmd *cmd);
/* One bio of a command: op, range of the namespace, pieces. 1, or 0: the
 * command has ended with an error instead. */
int leap__io_issue(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, uint8_t op, uint64_t slba,
		   uint32_t nr_lbas, const struct leap_piece *pieces,
		   uint32_t nr_pieces);
/* Flags but FUSE, range, size: of a Compare or Write. */
leap_status_t leap__io_check_half(const struct leap__ioqp *q,
				  const struct leap_sqe *sqe);
/* Complete with an error of ours (DNR) or of a leaf; error log. */
void leap__io_fail(struct leap_cmd *cmd, leap_status_t status);
void leap__io_complete(struct leap_cmd *cmd, leap_status_t status);

/* dispatch_hold.c: commands that wait for orphans and claims */
/* Must it? Then it does: 1. */
__attribute__((cold)) int leap__io_held(struct leap__ioqp *q,
					struct leap_cmd *cmd);
/* A command that leap__orphans_overlap has counted as held. */
void leap__io_hold(struct leap__iogroup *g, struct leap_cmd *cmd);
/* Look again. */
void leap__io_recheck(struct leap__iogroup *g);
/* Drop what waits for anything: all of a connection, or one CID. How many. */
uint32_t leap__io_abort(struct leap__iogroup *g, struct leap_vqp *vqp,
			int32_t cid);

/* dispatch_multi.c: commands of several steps */
void leap__io_multi(struct leap__ioqp *q, struct leap_cmd *cmd);
void leap__io_next(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, leap_status_t status);
void leap__io_begin(struct leap__ioqp *q, struct leap__ions *ns,
		    struct leap_cmd *cmd);
/* 1 when @len bytes at @offset of a payload are those of @buf. */
int leap__io_same(const struct leap_cmd *cmd, uint64_t offset,
		  const uint8_t *buf, uint32_t len);
/* Who has the scratch buffer is g->comparing. 1: another one; @cmd takes its
 * next step when it is free. */
int leap__io_scratch_busy(struct leap__iogroup *g, struct leap_cmd *cmd);
/* @cmd had it, and is complete. 0 */
int leap__io_scratch_end(struct leap__iogroup *g, struct leap_cmd *cmd,
			 leap_status_t status);

/* dispatch_copy.c */
void leap__io_copy(struct leap__ioqp *q, struct leap_cmd *cmd);
/* As the steps of dispatch_multi.c. */
int leap__io_copy_step(struct leap__ioqp *q, struct leap__ions *ns,
		       struct leap_cmd *cmd, leap_status_t status);

/* dispatch_zns.c: namespaces with zones */
/* A Write or Write Zeroes that is good but for what zones have to say. */
void leap__zns_write(struct leap__ioqp *q, struct leap__ions *ns,
		     struct leap_cmd *cmd);
/* Zone Append, Management Send and Receive. */
void leap__io_zns(struct leap__ioqp *q, struct leap_cmd *cmd);
/* As leap__io_next's steps. */
int leap__zns_step(struct leap__ioqp *q, struct leap__ions *ns,
		   struct leap_cmd *cmd, leap_status_t status);
/* What a command that changes a zone is in the way of. */
void leap__zns_widen(const struct leap__ions *ns, struct leap__orphan *range);
/* A command that waited for orphans goes without having begun. */
void leap__zns_dropped(struct leap__iogroup *g, struct leap_cmd *cmd);
uint32_t leap__zns_abort(struct leap__iogroup *g, struct leap_vqp *vqp,
			 int32_t cid);
/* A namespace goes: before it is taken from the table. */
void leap__zns_closing(struct leap__iogroup *g, struct leap__ions *ns);

/* dispatch_fused.c: Compare and Write */
/* Not of zones, whose writes have an order. */
static inline bool leap__io_fuses(const struct leap__ions *ns)
{
	return (ns->caps & (LEAP_BDEV_COMPARE_WRITE | LEAP_BDEV_EXCLUSIVE)) &&
	       !ns->zone_lbas;
}

/* By one operation of the stack; else by a claim and two. */
static inline bool leap__io_fuses_below(const struct leap__ions *ns)
{
	return (ns->caps & LEAP_BDEV_COMPARE_WRITE) && !ns->stack_shift;
}

static inline bool leap__io_claims(const struct leap__ions *ns,
				   struct leap_cmd *cmd)
{
	return leap__iocmd(cmd)->kind == LEAP__IOC_FUSED &&
	       !leap__io_fuses_below(ns);
}

void leap__fused_init(struct leap__ioqp *q);
/* A command with FUSE, and what follows a first half. */
void leap__io_fused(struct leap__ioqp *q, struct leap_cmd *cmd);
void leap__fused_next(struct leap_vqp *vqp, struct leap_cmd *cmd);
/* As leap__io_next's steps; of the second half. */
int leap__fused_step(struct leap__ioqp *q, struct leap__ions *ns,
		     struct leap_cmd *cmd, leap_status_t status);
/* The pair under way has not begun, and does not. */
void leap__fused_dropped(struct leap__ioqp *q, leap_status_t status);
void leap__fused_no_bio(struct leap__ioqp *q);
uint32_t leap__fused_abort(struct leap__ioqp *q, int32_t cid);
/* Nothing more is fetched. */
void leap__fused_drain(struct leap__ioqp *q);

/* claims.c: blocks for one writer alone */
/* What a command changes. */
void leap__io_blocks(const struct leap__ions *ns, const struct leap__iocmd *io,
		     struct leap__claim *blocks);
/* For the pair under way of @q. False: leap__io_next is called with its second
 * half, perhaps to ask again. */
bool leap__claim_begin(struct leap__ioqp *q, struct leap__ions *ns);
/* It stands in line for its group's claim. */
bool leap__claim_waits(const struct leap__ioqp *q);
/* No-op when it has none. */
void leap__claim_end(struct leap__ioqp *q);
/* Something that was AWAITED has left its leaf. */
void leap__claims_look(struct leap__iogroup *g);

/* dispatch_ocssd.c: open-channel namespaces */
/* Before the first one is opened. 0, or -1: out of memory. */
int leap__ocssd_prepare(struct leap__iogroup *g);
/* 0: of a namespace that knows no vectors. */
int leap__io_vector(struct leap__ioqp *q, struct leap_cmd *cmd);
int leap__vector_step(struct leap__ioqp *q, struct leap__ions *ns,
		      struct leap_cmd *cmd, leap_status_t status);

#endif
