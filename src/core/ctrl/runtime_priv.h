/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime_priv.h - what the files of the runtime share
 *
 *	runtime.c        the connection, whose turn it is, handoff
 *	runtime_ns.c     namespaces and the locks of their stacks
 *	runtime_ctrl.c   controllers that were lent: memory, their end
 *	runtime_queues.c  their queues
 *	runtime_irq.c    their interrupts
 *	runtime_inspect.c  a look at them
 *
 * All of it belongs to the thread of the target's home, but for what says
 * otherwise.
 */
#ifndef LEAP_CORE_CTRL_RUNTIME_PRIV_H
#define LEAP_CORE_CTRL_RUNTIME_PRIV_H

#include <sys/un.h>

#include <leapio/agent.h>
#include <leapio/dmabuf.h>

#include "core/ctrl/admin.h"
#include "core/ctrl/irqfd.h"
#include "core/ctrl/lchan.h"

#define LEAP__RT_VECTORS	LEAP__MAX_VECTORS

/* One vector. Threads of groups read it. */
struct leap__rvector {
	struct leap__irqfd irqfd;
	uint32_t pending;	/* exchanged: raised, and there was no
				 * eventfd */
};

/* A controller that the agent has lent. */
struct leap__rctrl {
	struct leap__guest guest;	/* first */
	struct leap__list link;
	struct leap_runtime *rt;
	uint16_t id;			/* cntlid on the link */
	uint8_t ending;			/* all of it is to go */
	uint8_t said_end;		/* groups were told, in the end */
	uint8_t answer_del;		/* CTRL_DEL waits for an answer */
	struct leap_link_msg del;
	struct leap_subsystem *ss;
	struct leap_dmabuf *state;
	struct leap__list qps;
	struct leap__list cqs;
	uint32_t nr_qps;
	uint32_t out;			/* messages and unmaps under way */
	uint64_t mem_bytes;
	struct leap_timer settle_timer;
	/* Interrupts. */
	struct leap__rvector *vector;	/* [LEAP__RT_VECTORS] */
	uint32_t nr_vectors;		/* highest that was used, + 1 */
	int sink_fd;
	struct leap_msg poke;		/* from threads of groups */
	uint32_t poked;			/* exchanged */
	uint32_t fatal;			/* exchanged: qid + 1 */
	int32_t fatal_err;
};

struct leap__rcq {
	struct leap__iocq io;		/* first */
	struct leap__list link;		/* of the controller */
	struct leap__rctrl *c;
	struct leap_link_msg q;		/* the question */
	uint32_t state;
	uint32_t nr_qps;
};

struct leap__rqp {
	struct leap__ioqp io;		/* first */
	struct leap__list link;
	struct leap__rctrl *c;
	struct leap__rcq *cq;
	struct leap_link_msg q;
	struct leap_link_msg dels[4];	/* QP_DELs that wait for gone */
	uint32_t nr_dels;
	uint32_t added, del_out, gone;
	uint32_t del_flags, del_again;
};

struct leap_runtime {
	struct leap_target *target;
	struct leap_pollgroup *pg;
	struct leap_runtime_opts opts;
	struct sockaddr_un addr;
	struct leap__io connect;
	struct leap__wfd *wfd;		/* connecting */
	struct leap__lchan chan;
	struct leap_timer retry;
	struct leap_timer drain;	/* how long to drain politely */
	uint32_t connected;		/* chan is in use */
	uint32_t going;			/* go was called, ready not yet */
	uint32_t active;
	uint32_t draining;
	uint32_t stopping;		/* stop was called */
	uint32_t destroying;
	uint32_t out;			/* questions about subsystems */
	int err;			/* for lost */
	struct leap_link_msg go;	/* RESUME and HANDOFF, to be answered */
	struct leap_link_msg handoff;
	uint32_t last_id;
	int64_t agent_pid;
	struct leap__list ctrls;
	void (*done)(void *arg);
	void *done_arg;
};

static inline struct leap__rctrl *leap__rctrl_of(struct leap__guest *guest)
{
	return (struct leap__rctrl *)guest;
}

/* runtime.c */
void leap__runtime_reply(struct leap_runtime *rt,
			 const struct leap_link_msg *question, int err, int fd);
void leap__runtime_tell(struct leap_runtime *rt, struct leap_link_msg *msg);
/* Something has ended: is it what drain, loss or destroy waits for? */
void leap__runtime_settle(struct leap_runtime *rt);

/* runtime_ns.c */
/* All of them, and their locks. 0, or what one of them cannot be served for. */
int leap__runtime_tell_all(struct leap_runtime *rt);

/* runtime_ctrl.c */
/* A question about a controller; every one is answered. */
void leap__rctrl_message(struct leap_runtime *rt,
			 const struct leap_link_msg *msg, int fd);
void leap__rctrl_end(struct leap__rctrl *c);
struct leap__rctrl *leap__rctrl_find(struct leap_runtime *rt, uint16_t id);
void leap__rctrl_settle(struct leap__rctrl *c);

/* runtime_queues.c */
/* 0: it will be answered; or what to answer. */
int leap__rctrl_qp_add(struct leap__rctrl *c, const struct leap_link_msg *msg);
int leap__rctrl_cq_add(struct leap__rctrl *c, const struct leap_link_msg *msg);
void leap__rctrl_qp_del(struct leap__rctrl *c, const struct leap_link_msg *msg);
void leap__rctrl_cq_del(struct leap__rctrl *c, const struct leap_link_msg *msg);
struct leap__rqp *leap__rctrl_find_qp(struct leap__rctrl *c, uint16_t qid);
/* All queues are to go: @flags LEAP__QPDEL_DRAIN, or at once. */
void leap__rctrl_delete_queues(struct leap__rctrl *c, uint32_t flags);
/* Completion queues that no queue pair uses any more go. */
void leap__rctrl_close_cqs(struct leap__rctrl *c);
int leap__rctrl_has_queues(const struct leap__rctrl *c);

/* runtime_irq.c */
int leap__rctrl_irq_init(struct leap__rctrl *c);
void leap__rctrl_irq_fini(struct leap__rctrl *c);
int leap__rctrl_irq_fd(struct leap__rctrl *c, uint32_t vector, int fd);

#endif
