/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * regctrl.h - a controller behind registers, from the host's side
 *
 *	leap_qp (transport slots)			regqp.c
 *		I/O queues, made and deleted		regioq.c
 *		fabrics commands, own answers		regfab.c
 *	  queue: rings, slots, completions		regqueue.c
 *		payload: PRPs, SGLs, bounce		regdata.c
 *	  controller: enable, disable, its end		regctrl.c
 *		admin commands of our own		regcmd.c
 *		what is there, and its quirks		regprobe.c
 *		commands that take too long, health	regwatch.c
 *	    device: registers, memory, interrupt	regdev.h, transport/
 *
 * One controller belongs to one poll group, with all its queues; the admin
 * leap_qp makes it and ends it.
 */
#ifndef LEAP_CORE_IO_REGCTRL_H
#define LEAP_CORE_IO_REGCTRL_H

#include <leapio/nvmf.h>
#include <leapio/plugin/transport_ops.h>

#include "core/io/chunks.h"
#include "core/io/pollgroup.h"
#include "core/io/regdev.h"
#include "core/io/ring.h"
#include "dmabuf/region.h"
#include "util/list.h"

/* Connected to by its address alone: whatever its name is. */
#define LEAP__NQN_ANY		"nqn.2014-08.org.nvmexpress:any"

#define LEAP__REG_PAGE		4096u
#define LEAP__REG_MAX_DATA	(1u << 20)
/* PRP list or SGL segment of a slot; never crosses a page. */
#define LEAP__REG_DESC_BYTES	2048u
#define LEAP__REG_OWN_CMDS	4u	/* admin commands of our own at once */
#define LEAP__REG_REGIONS	256u
#define LEAP__REG_IOVA		(1ull << 32)	/* first device address */
/* PCI Command: memory, bus master, no INTx. */
#define LEAP__REG_PCI_ON	0x0406u

/* What devices are known for: regprobe.c. */
#define LEAP__REGQ_SLOW_CSTS	0x01u	/* after a disable: do not look yet */
#define LEAP__REGQ_MQES_64	0x02u	/* MQES of 0 means 64 entries */
#define LEAP__REGQ_ONE_CMD	0x04u	/* queues of two entries */
#define LEAP__REGQ_LIST_512	0x08u	/* PRP lists at 512 byte borders */
#define LEAP__REGQ_NO_ZEROES	0x10u	/* no Write Zeroes, whatever it says */
#define LEAP__REGQ_NO_NS_DESC	0x20u	/* no Identify CNS 03h */
#define LEAP__REGQ_NO_NAME	0x40u	/* SUBNQN means nothing */
#define LEAP__REGQ_REFUSE	0x80u	/* cannot be worked with */

/* ---- memory that the device can reach: regmem.c ---- */

enum leap__regmap_state {
	LEAP__REGMAP_FREE = 0,
	LEAP__REGMAP_ASKED,	/* MAP is on its way */
	LEAP__REGMAP_READY,
	LEAP__REGMAP_REFUSED,	/* stays so: this buffer is bounced */
	LEAP__REGMAP_LEAVING,	/* wanted back, commands still name it; those
				 * that come are bounced */
	LEAP__REGMAP_GOING,	/* UNMAP is on its way */
};

struct leap__regmap {
	struct leap__regctrl *c;
	struct leap_dmabuf *buf;	/* a reference */
	uint64_t delta;		/* device address - address here */
	enum leap__regmap_state state;
	struct leap__regio io;
	/* Of who waits for ASKED or GOING to end; may be NULL. */
	void (*mapped)(void *arg, int err);
	void *arg;
	struct leap__dmabuf_holder holder;
	bool cache;			/* holder is the buffer's */
	uint32_t wanted;		/* atomic */
};

/* ---- queues: regqueue.c ---- */

struct leap__regslot {
	struct leap_req *req;	/* NULL = free */
	uint16_t chunks;	/* first bounce chunk, chained; or none */
	uint16_t list;		/* the chunk of its addresses; or none */
	uint16_t next;		/* parked after it, or none */
	bool own;		/* a command of the controller's own */
	bool parked;		/* not in the ring yet */
	uint8_t abort;		/* LEAP__ABORT_* */
	uint16_t tick;		/* when it went out: regwatch.c */
	uint16_t gen;		/* how often it has been used */
};

#define LEAP__ABORT_OUT		1u	/* the slot waits for the Abort's end */
#define LEAP__ABORT_OVER	2u	/* which has come; the command's not */

struct leap__regq {
	struct leap__regctrl *c;
	struct leap_qp *qp;
	struct leap__list link;		/* those that are polled */
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	uint32_t sq_size, cq_size;
	uint32_t sq_db, cq_db;		/* doorbells, offsets in BAR 0 */
	uint32_t cq_lazy;	/* consumed entries that need not be told yet */
	uint16_t tick;			/* of regwatch.c */
	uint16_t list_step;		/* see desc_at */
	uint16_t cid_mask;	/* of the slot in a CID */
	uint8_t cid_bits;
	uint16_t qid;
	bool live;
	bool sgl;			/* payload by SGL */
	bool closing;		/* what is aborted was aborted by us */
	bool bounce_all;
	struct leap__regslot *slots;
	uint16_t *free_slots;
	struct leap__chunks chunks;
	uint32_t nr_free_slots;
	uint16_t map;			/* of its memory */
	/* Commands that wait for their payload to be mapped, oldest first. */
	uint16_t parked, parked_last;
	struct leap_dmabuf *mem;
	uint8_t *base;
	uint64_t iova;
	const uint64_t *pages;	/* of a scattered device, which has no iova */
	uint64_t cq_at, extra_at, desc_at, chunk_at;
	struct leap__defer kick;	/* at the end of the batch */
};

/* Memory and slots; not yet mapped. 0, -ENOMEM. */
int leap__regq_init(struct leap__regq *q, struct leap__regctrl *c,
		    struct leap_qp *qp, uint32_t sq_size, uint32_t cq_size);
void leap__regq_fini(struct leap__regq *q);
/* Empty rings, for a controller that knows nothing of them yet. */
void leap__regq_restart(struct leap__regq *q);
/* Use the shadow doorbells of the controller, if it has any for this queue. */
void leap__regq_shadow(struct leap__regq *q);
/* Its memory is mapped: by which addresses. false: its rings are not in one
 * piece each, as they have to be. */
bool leap__regq_mapped(struct leap__regq *q);
/* Where the device has byte @at of the queue's memory. */
static inline uint64_t leap__regq_addr(const struct leap__regq *q, uint64_t at)
{
	return q->pages ? q->pages[at / LEAP__REG_PAGE] + at % LEAP__REG_PAGE :
			  q->iova + at;
}
/* The device knows the queue as @qid. */
void leap__regq_name(struct leap__regq *q, uint16_t qid);
/* A slot's number, or -EAGAIN. */
int leap__regq_slot(struct leap__regq *q, struct leap_req *req);
void leap__regq_put_slot(struct leap__regq *q, uint16_t cid);
/* The addresses of a command, where the device reads them. 0, -EAGAIN and the
 * slot is given back. */
int leap__regq_lists(struct leap__regq *q, uint16_t cid,
		     const struct leap_req_lists *lists);
/* Put a command into the ring, or park it; the slot is given back on failure.
 * 0, -EAGAIN. */
int leap__regq_push(struct leap__regq *q, uint16_t cid);
/* Those that are parked: perhaps they can go now. */
void leap__regq_unpark(struct leap__regq *q);
/* Does the device use @buf for a command of this queue? */
bool leap__regq_uses(const struct leap__regq *q,
		     const struct leap_dmabuf *buf);
void leap__regq_kick(struct leap__regq *q);
/* Completions that are there; finished through leap_qp_complete. Returns their
 * number; a controller that lies is failed. */
int leap__regq_reap(struct leap__regq *q);
/* No Abort of @cid is out any more. */
void leap__regq_abort_over(struct leap__regq *q, uint16_t cid);
/* Every command that is out fails; no callback for our own. @status 0: by
 * leap_qp_fail with @err. */
void leap__regq_fail_all(struct leap__regq *q, int err, leap_status_t status);

/* regdata.c: the DPTR of a command that has payload. 0; -EAGAIN: the device is
 * being told of it; -ENOBUFS: no chunks. */
int leap__regdata_name(struct leap__regq *q, struct leap_req *req,
		       uint16_t cid);

/* ---- controllers: regctrl.c ---- */

/* An admin command of our own. */
struct leap__regcmd {
	struct leap_req req;		/* first */
	struct leap_piece piece;
	struct leap__regcmd *next;
	/* Not called when the controller ends or is disabled meanwhile. */
	void (*done)(struct leap__regcmd *cmd, leap_status_t status);
	void *arg;
};

enum leap__regctrl_state {
	LEAP__REGCTRL_OPENING,
	LEAP__REGCTRL_OPEN,	/* the device can be asked */
	LEAP__REGCTRL_UP,	/* probed: Connect has been answered */
	LEAP__REGCTRL_ENDING,	/* admin queue closed: disable, reset, close */
	LEAP__REGCTRL_DEAD,	/* the device is being closed */
};

struct leap__regctrl {
	struct leap__list link;		/* of the poll group */
	struct leap_pollgroup *pg;
	struct leap__regdev *dev;
	char address[256];
	enum leap__regctrl_state state;
	uint16_t cntlid;	/* what Connect answered: see regqp.c */
	bool enabled;		/* RDY was seen, EN is set */
	bool shadow;		/* Doorbell Buffer Config is in force */
	bool polled;
	bool hung;		/* no manners at its end */
	bool was_on;		/* enabled when its end began */
	int err;
	char why[112];		/* in words, for leap_last_error */
	uint16_t quirks;
	uint64_t cap;
	uint32_t cc;		/* as last written */
	uint64_t to_ns;		/* CAP.TO, CRTO */
	uint32_t crto;
	uint64_t shutdown_ns;	/* RTD3E */
	struct leap_id_ctrl *id;
	struct leap__list qps;		/* struct leap__regqp, admin too */
	struct leap__list queues;	/* struct leap__regq that are polled */
	struct leap_poller poller;
	struct leap__regq *admin;
	/* The sequence of register accesses that is under way. */
	struct leap__regio io;
	void (*io_next)(struct leap__regctrl *c, uint64_t value);
	void (*seq_done)(struct leap__regctrl *c, int err);
	bool io_busy;
	bool reset_tried;
	uint32_t seq_cc;	/* that enable writes */
	uint32_t mask, want;	/* of CSTS, and who waits for it */
	void (*waited)(struct leap__regctrl *c, int err);
	uint32_t pci_at, pci_left;	/* the walk over capabilities */
	uint32_t msix_table;		/* in BAR 0; UINT32_MAX = elsewhere */
	uint32_t nr_vectors;		/* MSI-X; 0 = there is none */
	uint64_t deadline_ns;
	struct leap_timer timer;	/* CSTS again; then: bound of the end */
	void (*probed)(struct leap__regctrl *c, int err, leap_status_t status);
	leap_status_t probe_status;
	struct leap__regcmd cmd;	/* Identify, Doorbell Buffer Config */
	struct leap__regcmd *cmd_wait, **cmd_wait_tail;
	uint32_t cmds_out;
	struct leap_timer cmd_timer;
	/* Commands that take too long. */
	struct leap_timer watch;
	uint64_t limit_ns, tick_ns;	/* limit_ns 0: there is none */
	uint32_t age, limit_ticks;	/* age: ticks so far */
	bool watching, watch_idle, watch_busy;
	struct leap__regio watch_io;
	struct leap__regcmd abort;
	struct leap__regq *abort_q;	/* whose; NULL: it is gone */
	uint16_t abort_cid;
	bool abort_out;
	/* Of Set Features 07h; 0 = it has not been asked. */
	uint32_t nr_granted;
	/* Interrupt. */
	int irq_fd;			/* -1 = none to be had */
	struct leap__wfd *irq_wfd;
	struct leap__io irq_watch;
	struct leap__regio irq_io;
	bool irq_watching, irq_busy, irq_on, irq_refused;
	bool dev_closed;
	uint32_t irq_idle;		/* completions since the last sleep */
	struct leap_timer tick;		/* in its place where there is none */
	/* Memory. */
	struct leap__regmap *maps;
	uint32_t nr_maps;
	uint32_t last_map;
	uint32_t leaving;		/* maps that wait for commands */
	uint64_t next_iova;
	struct leap_msg recall;		/* somebody wants memory back */
	uint32_t recall_sent;		/* exchanged */
	void *owner;			/* regqp.c's */
};

/* Open a device. The admin queue's @qp and its rings are the caller's, until
 * leap__regqp_ended has been called for all. */
int leap__regctrl_create(struct leap_qp *qp,
			 const struct leap__regdev_ops *ops,
			 const char *address, struct leap__regctrl **out);
/* One access whose value @next gets; one at a time. */
void leap__regctrl_ask(struct leap__regctrl *c, enum leap__regop op,
		       uint64_t offset, uint8_t bytes, uint64_t value,
		       void (*next)(struct leap__regctrl *c, uint64_t value));
/* CC.EN 0->1 with @cc, and what has to be said right then: 0, -EIO CFS,
 * -ETIMEDOUT; -ENODEV fails the controller instead. One sequence at a time. */
void leap__regctrl_enable(struct leap__regctrl *c, uint32_t cc,
			  void (*done)(struct leap__regctrl *c, int err));
/* CC.EN 1->0. -ETIMEDOUT fails the controller. */
void leap__regctrl_disable(struct leap__regctrl *c,
			   void (*done)(struct leap__regctrl *c, int err));
static inline bool leap__regctrl_busy(const struct leap__regctrl *c)
{
	return c->seq_done != NULL;
}
/* It is no good: close the device, then end every queue with @err. */
void leap__regctrl_fail(struct leap__regctrl *c, int err);
/* The same, and why: what leap_last_error says in the callbacks. */
void leap__regctrl_refuse(struct leap__regctrl *c, int err, const char *fmt,
			  ...) __attribute__((format(printf, 3, 4), cold));
/* In order: shutdown, disable, reset, close; then end every queue. */
void leap__regctrl_end(struct leap__regctrl *c);
/* The same for one that hangs: no shutdown, and queues end with @err. */
void leap__regctrl_reset(struct leap__regctrl *c, int err, const char *fmt,
			 ...) __attribute__((format(printf, 3, 4), cold));
/* Its end may begin: what was under way when it was asked for is over. */
void leap__regctrl_end_now(struct leap__regctrl *c);

static inline bool leap__regctrl_dead(const struct leap__regctrl *c)
{
	return c->state == LEAP__REGCTRL_DEAD;
}

/* regcmd.c */

/* An admin command of our own, now or when there is room. */
void leap__regctrl_admin(struct leap__regctrl *c, struct leap__regcmd *cmd,
			 void (*done)(struct leap__regcmd *cmd,
				      leap_status_t status));
void leap__regctrl_cmd_done(struct leap__regctrl *c, struct leap__regcmd *cmd,
			    leap_status_t status);
/* Forget what is out or waits: the controller has been disabled. */
void leap__regctrl_drop_cmds(struct leap__regctrl *c);
/* Admin commands of our own that wait: try again. */
void leap__regctrl_pump(struct leap__regctrl *c);
/* c->cmd_timer's: a command of our own is not answered. */
void leap__regcmd_late(struct leap_timer *timer);

/* regprobe.c */

/* PCI set-up, disable, enable, Identify, disable. c->probed tells. */
void leap__regctrl_probe(struct leap__regctrl *c);
uint16_t leap__regprobe_quirks(uint16_t vendor, uint16_t device);
/* CAP as it should read. */
uint64_t leap__regprobe_cap(const struct leap__regctrl *c, uint64_t cap);
/* Identify Controller without what the device is known not to do. */
void leap__regprobe_correct(const struct leap__regctrl *c,
			    struct leap_id_ctrl *id);
uint64_t leap__regprobe_shutdown_ns(const struct leap_id_ctrl *id);

/* regwatch.c */
void leap__regwatch_init(struct leap__regctrl *c, uint32_t timeout_ms);
/* Commands have gone out. */
void leap__regwatch_start(struct leap__regctrl *c);
void leap__regwatch_stop(struct leap__regctrl *c);
/* @q ends. */
void leap__regwatch_forget(struct leap__regq *q);
/* What CSTS says; false: that the controller is no good, and it ends. */
bool leap__regwatch_csts(struct leap__regctrl *c, uint32_t csts);

/* regirq.c: the poller of a controller, and its interrupt. */
void leap__regirq_start(struct leap__regctrl *c);
void leap__regirq_stop(struct leap__regctrl *c);
/* Nothing of the device and of the interrupt is out any more: end. */
void leap__regctrl_settle(struct leap__regctrl *c);
/* Memory has been mapped: commands that waited for it go. */
void leap__regctrl_unpark(struct leap__regctrl *c);

/* regmem.c */

/* Ask for @buf; @mapped tells. Number of the map, or -ENOSPC. */
int leap__regmem_map(struct leap__regctrl *c, struct leap_dmabuf *buf,
		     void (*mapped)(void *arg, int err), void *arg);
/* Take it away; its reference goes when the device has let go. */
void leap__regmem_unmap(struct leap__regctrl *c, uint32_t map);
/* The same of one that is mapped, and @unmapped tells; -ENOTCONN. */
int leap__regmem_unmap_told(struct leap__regctrl *c, uint32_t map,
			    void (*unmapped)(void *arg, int err), void *arg);
/* Let go of what is wanted back and not in use any more. */
void leap__regmem_recalled(struct leap__regctrl *c);
void leap__regmem_recall_run(struct leap_msg *msg);
void leap__regmem_free(struct leap__regctrl *c);
uint64_t leap__regmem_iova(const struct leap__regctrl *c, uint32_t map);
/* Slow half of leap__regmem_delta. */
int leap__regmem_find(struct leap__regctrl *c, struct leap_dmabuf *buf,
		      uint64_t *delta);

/* What to add to an address in @buf. -EAGAIN: the device has been asked, wait;
 * -EOPNOTSUPP: bounce. */
static inline int leap__regmem_delta(struct leap__regctrl *c,
				     struct leap_dmabuf *buf, uint64_t *delta)
{
	const struct leap__regmap *m = &c->maps[c->last_map];

	if (__builtin_expect(m->buf != buf ||
			     m->state != LEAP__REGMAP_READY, 0))
		return leap__regmem_find(c, buf, delta);
	*delta = m->delta;
	return 0;
}

/* The same of a scattered device: where each 4 KiB of @buf is. */
static inline int leap__regmem_pages(struct leap__regctrl *c,
				     struct leap_dmabuf *buf,
				     const uint64_t **pages)
{
	uint64_t delta;
	int err = leap__regmem_delta(c, buf, &delta);

	if (!err)
		*pages = c->maps[c->last_map].io.pages;
	return err;
}

/* ---- transport slots: regqp.c ---- */

/* What waits for its turn or for its answer without being in the ring. */
struct leap__regfab {
	struct leap__regio io;
	struct leap_req *req;		/* NULL = free */
	struct leap__regfab *next;
	struct leap__regqp *rq;
	uint64_t result;
	leap_status_t status;
};

enum leap__regqp_state {
	LEAP__REGQP_NEW,	/* waits for Connect */
	LEAP__REGQP_MAPPING,
	LEAP__REGQP_CREATING_CQ,
	LEAP__REGQP_CREATING_SQ,
	LEAP__REGQP_LIVE,
	LEAP__REGQP_DELETING_SQ,
	LEAP__REGQP_DELETING_CQ,
	LEAP__REGQP_ENDED,	/* the controller is no longer there */
};

struct leap__regqp {
	struct leap_qp qp;		/* first */
	struct leap__list link;		/* of its controller */
	struct leap__regctrl *c;	/* NULL: ended */
	struct leap__regq q;
	enum leap__regqp_state state;
	struct leap_req *connect;	/* to be answered */
	struct leap__regcmd cmd;
	struct leap__regfab *fabs;	/* one for each entry */
	struct leap__regfab *answers, **answers_tail;
	struct leap__regfab *sets, **sets_tail;	/* CC, one after the other */
	struct leap__defer answer;
	struct leap_msg msg;		/* transport is up; or: closed */
	bool msg_out;
	bool q_init;
	bool disconnect;	/* after the answer */
	bool closing;
	leap_status_t why;	/* creation failed */
};

/* The slots of a leap_transport_ops; qp_bytes is sizeof(struct leap__regqp). */
int leap__regqp_connect(struct leap_qp *qp, const char *address,
			const struct leap__regdev_ops *ops);
int leap__regqp_submit(struct leap_qp *qp, struct leap_req *const *reqs,
		       unsigned int n);
int leap__regqp_submit_lists(struct leap_qp *qp, struct leap_req *req,
			     const struct leap_req_lists *lists);
void leap__regqp_kick(struct leap_qp *qp);
void leap__regqp_close(struct leap_qp *qp);

/* An answer of this side's. */
void leap__regqp_complete(struct leap__regqp *rq, struct leap_req *req,
			  uint64_t result, leap_status_t status);
void leap__regqp_disconnect(struct leap__regfab *f);

/* Its rings, slots and memory here. */
void leap__regqp_free_queue(struct leap__regqp *rq);

/* ---- I/O queues: regioq.c ---- */

/* Connect has come: rq->connect is answered when the queue is there. */
void leap__regioq_start(struct leap__regqp *rq);
/* Of one that is LIVE. */
void leap__regioq_delete(struct leap__regqp *rq);
/* It ends; its controller has forgotten it. */
void leap__regioq_gone(struct leap__regqp *rq, int err);

/* ---- answers without the ring: regfab.c ---- */

void leap__regfab_init(struct leap__regqp *rq);
/* For @req; NULL = none is free. */
struct leap__regfab *leap__regfab_take(struct leap__regqp *rq,
				       struct leap_req *req);
/* Not from within submit: at the end of this poll. */
void leap__regfab_answer(struct leap__regfab *f, uint64_t result,
			 leap_status_t status);
void leap__regfab_fail(struct leap__regqp *rq, int err);
/* A fabrics command, or one that leap__regfab_takes. */
void leap__regfab_submit(struct leap__regfab *f);
/* The controller has answered an admin command. */
void leap__regfab_seen(struct leap__regctrl *c, struct leap_req *req);
/* Is an admin command answered without the ring? */
bool leap__regfab_takes(struct leap__regqp *rq, const struct leap_req *req);

/* The controller of @rq is open, or gone: each told once. */
void leap__regqp_opened(struct leap__regqp *rq);
void leap__regqp_ended(struct leap__regqp *rq, int err);

#endif
