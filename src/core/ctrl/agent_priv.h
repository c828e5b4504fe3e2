/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * agent_priv.h - what the files of the agent share
 *
 *	agent.c           its life, who of the runtimes serves, fence, handoff
 *	agent_runtimes.c  runtimes that have connected
 *	agent_lents.c     controllers, as runtimes know them
 *	remote.c          questions of the admin half, their answers
 *	unasked.c         what a runtime says by itself: namespaces, errors,
 *	                  interrupts
 *
 * All of it belongs to the thread of the target's home.
 */
#ifndef LEAP_CORE_CTRL_AGENT_PRIV_H
#define LEAP_CORE_CTRL_AGENT_PRIV_H

#include <stdbool.h>

#include <leapio/agent.h>
#include <leapio/record.h>

#include "core/io/fence.h"
#include "core/ctrl/lchan.h"
#include "core/ctrl/vdev.h"
#include "core/io/acceptor.h"

#define LEAP__AGENT_SESSIONS	16u	/* runtimes, with those that wait */

/* A runtime. */
struct leap__session {
	struct leap__list link;		/* of the agent */
	struct leap_agent *agent;
	struct leap__lchan chan;
	struct leap__fence fence;
	int64_t pid;
	uint64_t since_ns;
	uint32_t hello_id;
	uint64_t hello_ns;		/* when it was said */
	int stranger;			/* why it could not be fenced */
	uint8_t hello;			/* it has said so */
	uint8_t welcome;		/* and was answered */
	uint8_t standby;
	uint8_t refused;
	uint8_t gone;			/* the connection is */
	uint8_t fenced;
	uint8_t bye;			/* it has drained, and ends */
	struct leap_timer timer;	/* for HELLO; to go when refused */
};

/* A controller, as runtimes know it. */
struct leap__lent {
	struct leap__list link;
	const void *ctrl;		/* leap__ctrl, an identity */
	uint16_t id;			/* cntlid on the link */
	uint8_t told;			/* this runtime has had CTRL_ADD */
	const uint8_t *state;		/* its memory, to look at records */
	uint64_t state_bytes;
};

/* SMART counters of a subsystem, over several runtimes. */
struct leap__tally {
	struct leap__list link;
	const void *ss;			/* an identity */
	struct leap_io_counters base;	/* of runtimes that are gone */
	struct leap_io_counters last;	/* the present one's last answer */
};

/* Questions in the order they were asked, by leap__lmsg.next. */
struct leap__asks {
	struct leap__lmsg *head;
	struct leap__lmsg **tail;
};

struct leap_agent {
	struct leap__iogroup group;	/* first: remote */
	struct leap__iogroup *local;	/* the home's own, until the end */
	struct leap_target *target;	/* NULL: gone */
	struct leap_pollgroup *pg;
	struct leap_agent_opts opts;
	struct leap__acceptor *acceptor;
	struct leap__list sessions;
	uint32_t nr_sessions;
	struct leap__session *active;	/* it has been told to go */
	uint32_t state;			/* enum leap_agent_state */
	uint32_t serving;		/* questions go to it */
	uint32_t go_id;			/* of RESUME and HANDOFF; 0 = none */
	uint32_t last_id;
	uint32_t replays;		/* under way */
	uint32_t epoch;			/* of namespaces that are shown */
	uint32_t destroyed;		/* freed with its last session */
	struct leap__asks pending;	/* out to the runtime */
	struct leap__asks fenced;	/* answered when it is fenced */
	struct leap__asks flushes;	/* for the next runtime */
	struct leap__list lents;
	struct leap__list tallies;
	uint16_t last_lent;
	int kick_fd[LEAP__MAX_GROUPS];
	uint32_t nr_kicks;
	/* Is it alive? */
	struct leap_timer tick;
	uint32_t hurry;			/* the tick is a short one */
	uint64_t ping_ns;		/* when it was asked; 0 = not */
	struct leap_timer limit;	/* of the fence, of a handoff */
	struct leap_timer next;		/* look for a runtime */
	struct leap_timer policy;	/* no_runtime_ms */
	uint64_t lost_ns;
	uint32_t resting;		/* no runtime is to start */
	void (*rested)(void *arg, int err);
	void *rested_arg;
	void (*handed)(void *arg, int err);
	void *handed_arg;
	struct leap_agent_info info;
};

static inline struct leap_agent *leap__agent_of(struct leap__iogroup *g)
{
	return (struct leap_agent *)g;
}

static inline void leap__asks_init(struct leap__asks *a)
{
	a->head = NULL;
	a->tail = &a->head;
}

static inline void leap__asks_push(struct leap__asks *a, struct leap__lmsg *m)
{
	m->next = NULL;
	*a->tail = m;
	a->tail = &m->next;
}

static inline struct leap__lmsg *leap__asks_pop(struct leap__asks *a)
{
	struct leap__lmsg *m = a->head;

	if (m) {
		a->head = m->next;
		if (!a->head)
			a->tail = &a->head;
	}
	return m;
}

/* agent.c */

/* Something is waited for: look soon whether the runtime lives. */
void leap__agent_hurry(struct leap_agent *a);
/* The runtime has broken the rules, is gone, or does not answer. */
void leap__agent_lose(struct leap_agent *a, int err, const char *why);
/* The target is gone but for its local group. */
void leap__agent_orphaned(struct leap_agent *a);

/* Runtimes, if none serves and one waits. */
void leap__agent_start_next(struct leap_agent *a);
/* The active one has answered RESUME or HANDOFF; false: this is neither. */
bool leap__agent_changes(struct leap_agent *a, const struct leap_link_msg *msg);

/* agent_runtimes.c */

/* As leap__acceptor_start has it. */
int leap__agent_accept(void *arg, struct leap__wfd *wfd);
void leap__session_send(struct leap__session *s, uint16_t type, uint16_t flags,
			uint32_t id, int err);
/* Its HELLO is answered, once. */
void leap__session_welcome(struct leap__session *s, int err);
/* It, and then the agent, may be gone for good. */
void leap__session_settle(struct leap__session *s);
void leap__session_free(struct leap__session *s);
/* One that waits and could serve; or NULL. */
struct leap__session *leap__agent_pick(struct leap_agent *a);
/* Is there one whose HELLO is not answered; and those who said it before
 * @asked_ns, when the active one was asked, are: it serves. */
int leap__agent_impatient(const struct leap_agent *a);
void leap__agent_refuse_impatient(struct leap_agent *a, uint64_t asked_ns);

/* agent_lents.c */

/* Of CTRL_ADD; NULL: out of memory. */
struct leap__lent *leap__agent_lend(struct leap_agent *a,
				    const struct leap__lmsg *m);
void leap__agent_forget(struct leap__lent *l);
struct leap__lent *leap__agent_lent(struct leap_agent *a, const void *ctrl);
/* One that the runtime was told of. */
struct leap__lent *leap__agent_lent_by_id(struct leap_agent *a, uint16_t id);
struct leap_vdev *leap__agent_vdev(struct leap_agent *a, const void *ctrl);
/* @a->info.slots: what the records of all queues say now. */
void leap__agent_count_slots(struct leap_agent *a);

/* remote.c */

extern const struct leap__remote_ops leap__agent_remote;
/* A reply of the runtime; -EPROTO: to nothing that was asked. */
int leap__agent_reply(struct leap_agent *a, const struct leap_link_msg *msg,
		      int *fd);
/* The runtime is lost, and then fenced: answers for who waits. */
void leap__agent_answer_lost(struct leap_agent *a);
void leap__agent_answer_fenced(struct leap_agent *a);
/* Time for the fence is over: controllers whose questions wait show CFS. */
void leap__agent_cfs(struct leap_agent *a, int all);
/* A runtime serves: what was kept for it. */
void leap__agent_send_kept(struct leap_agent *a);
uint32_t leap__agent_next_id(struct leap_agent *a);

/* unasked.c: 0, or -errno: end the link */
int leap__agent_unasked(struct leap_agent *a, struct leap__session *s,
			const struct leap_link_msg *msg);
/* The runtime has told all its namespaces: others go. */
void leap__agent_trim_ns(struct leap_agent *a);

#endif
