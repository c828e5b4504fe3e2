/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lender's side of one borrower: its messages, its interrupt, and how
 * everything is taken back.
 *
 *	hello -> welcomed -> (disabled and enabled again) -> ending -> gone
 *
 * One that ends (BYE, a closed socket, a broken rule, eviction) is fenced by
 * the device: commands of its own that are out are awaited, its queues deleted,
 * its interrupt taken away, its memory unmapped. Only then does the connection
 * end, so that a borrower that lives knows by it that its memory is its own. A
 * device that does not do its part is reset, which ends all borrowers.
 *
 * Everything that comes is checked by proto.c for form, here for meaning.
 */
#include "transport/lend/lend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "util/atomic.h"
#include "util/bitmap.h"
#include "util/plant.h"

#define MAX_WAITING	256u	/* answers that the borrower does not read */
#define MSI_ADDRESS	0xfee00000u

static struct leap__borrower *of_chan(struct leap__fdchan *chan)
{
	return leap__list_entry(chan, struct leap__borrower, chan);
}

/* ---- messages out --------------------------------------------------- */

static void say(struct leap__borrower *b, const struct leap__lend_msg *msg)
{
	if (!b->ending)
		leap__fdchan_send(&b->chan, msg, sizeof(*msg), NULL, 0);
}

void leap__borrower_reply(struct leap__borrower *b, uint32_t id, int err,
			  uint64_t value)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_REPLY, id);

	msg.err = leap_to_le32((uint32_t)-err);
	msg.reply.value = leap_to_le64(value);
	say(b, &msg);
}

void leap__borrower_done(struct leap__borrower *b, uint32_t id,
			 leap_status_t status, uint64_t result, uint16_t qid)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_DONE, id);

	msg.done.result = leap_to_le64(result);
	msg.done.status = leap_to_le16(status);
	msg.done.qid = leap_to_le16(qid);
	say(b, &msg);
}

/* All of a borrower's queues share one; the lender itself has the first. */
static void take_vector(struct leap__borrower *b)
{
	uint32_t n = b->l->c->nr_vectors;
	size_t v;

	if (b->vector || n < 2)
		return;
	v = leap__bitmap_next_zero(b->l->vectors, n < 2048 ? n : 2048, 1);
	if (v >= n || v >= 2048)
		return;
	leap__bitmap_set(b->l->vectors, v);
	b->vector = (uint32_t)v;
}

void leap__borrower_welcome(struct leap__borrower *b)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_WELCOME, 0);
	struct leap__regctrl *c = b->l->c;
	const struct leap__regq *a = c->admin;
	uint32_t nr = 0, flags = 0, bytes;
	uint64_t offset;
	int fds[2], fd;

	if (!b->hello || b->welcomed || b->ending)
		return;
	b->welcomed = true;
	take_vector(b);
	if (c->shadow) {
		fds[nr++] = leap_dmabuf_fd(a->mem);
		flags |= LEAP__LEND_SHADOW;
		msg.welcome.shadow_offset =
			leap_to_le64(leap__dmabuf_offset(a->mem) + a->extra_at);
	}
	fd = !c->dev->ops->doorbell_fd ? -EOPNOTSUPP :
		c->dev->ops->doorbell_fd(c->dev, &offset, &bytes);
	if (fd >= 0) {
		if (bytes > LEAP__LEND_MAX_PAGE)
			bytes = LEAP__LEND_MAX_PAGE;
		fds[nr++] = fd;
		flags |= LEAP__LEND_PAGE;
		msg.welcome.page_offset = leap_to_le64(offset);
		msg.welcome.page_bytes = leap_to_le32(bytes);
	}
	msg.welcome.cap = leap_to_le64(c->cap);
	msg.welcome.vs = b->l->host->id->ver;
	msg.welcome.crto = leap_to_le32(c->crto);
	msg.welcome.flags = leap_to_le32(flags);
	leap__fdchan_send(&b->chan, &msg, sizeof(msg), fds, nr);
}

/* ---- interrupt ------------------------------------------------------ */

static void irq_done(struct leap__regio *io, int err)
{
	struct leap__borrower *b = io->arg;

	if (err)
		b->irq_err = err;
	if (io->op == LEAP__REG_IRQ)
		b->irq_on = !err && io->fd >= 0;
	if (--b->irq_busy)
		return;
	if (b->irq_fd >= 0)
		close(b->irq_fd);
	b->irq_fd = -1;
	b->irq_set |= !b->irq_err;
	leap__borrower_reply(b, b->irq_id, b->irq_err, 0);
	leap__borrower_step(b);
}

static void irq_ask(struct leap__borrower *b, uint32_t i,
		    struct leap__regio io)
{
	struct leap__regdev *dev = b->l->c->dev;

	io.done = irq_done;
	io.arg = b;
	b->irq_io[i] = io;
	b->irq_busy++;
	dev->ops->submit(dev, &b->irq_io[i]);
}

/* The table entry once, where it is this side's, then the eventfd. */
static void irq_start(struct leap__borrower *b, int fd)
{
	const uint32_t words[4] = { MSI_ADDRESS, 0, 0, 0 };
	const struct leap__regctrl *c = b->l->c;
	uint32_t i;

	b->irq_fd = fd;
	b->irq_err = 0;
	if (c->dev->ops->msix_table && c->msix_table != UINT32_MAX &&
	    !b->irq_set)
		for (i = 0; i < 4; i++)
			irq_ask(b, i, (struct leap__regio){
				.op = LEAP__REG_WRITE, .bytes = 4, .fd = -1,
				.offset = c->msix_table + 16 * b->vector +
					  4 * i,
				.value = words[i] });
	irq_ask(b, 4, (struct leap__regio){
		.op = LEAP__REG_IRQ, .fd = fd, .value = b->vector });
}

/* Takes *@fd over, if it is of use. */
static int irq(struct leap__borrower *b, const struct leap__lend_msg *msg,
	       int *fd)
{
	uint32_t id = leap_from_le32(msg->id);

	if (b->irq_busy || (*fd >= 0 && !leap__is_eventfd(*fd)))
		return -EPROTO;
	if (!b->vector) {
		leap__borrower_reply(b, id, -ENOSPC, 0);
		return 0;
	}
	b->irq_id = id;
	irq_start(b, *fd);
	*fd = -1;
	return 0;
}

/* ---- doorbells ------------------------------------------------------ */

static bool rings_own(const struct leap__borrower *b, uint32_t offset)
{
	uint32_t dstrd = (uint32_t)LEAP_GET(b->l->c->cap, LEAP_CAP_DSTRD);
	uint32_t i;

	for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++) {
		const struct leap__lend_queue *q = &b->queues[i];

		if ((q->sq && offset == LEAP_REG_SQTDBL((uint32_t)q->qid,
							dstrd)) ||
		    (q->cq && offset == LEAP_REG_CQHDBL((uint32_t)q->qid,
							dstrd)))
			return true;
	}
	return false;
}

/*
 * A device with shadow doorbells reads those. The borrower that writes them may
 * have gone on since it sent the message: what it said then would take that
 * back.
 */
static void ring(struct leap__regctrl *c, uint32_t offset, uint32_t value,
		 bool store)
{
	uint8_t *page = c->admin->base + c->admin->extra_at;
	uint32_t at = offset - LEAP_REG_DBL;
	leap_le32 *word = (leap_le32 *)(void *)(page + at);

	if (c->shadow && at + 4 <= LEAP__REG_PAGE) {
		if (store)
			leap__store_release(word, leap_to_le32(value));
		else
			value = leap_from_le32(leap__load_acquire(word));
	}
	c->dev->ops->doorbell(c->dev, offset, value);
}

static int doorbells(struct leap__borrower *b, const struct leap__lend_msg *msg)
{
	uint32_t n = leap_from_le32(msg->doorbells.nr), i;

	for (i = 0; i < n; i++) {
		uint32_t offset = leap_from_le32(msg->doorbells.db[i].offset);

		/* One of a queue that has just been deleted is no sin. */
		if (!rings_own(b, offset))
			continue;
		b->l->doorbells++;
		ring(b->l->c, offset,
		     leap_from_le32(msg->doorbells.db[i].value),
		     msg->doorbells.flags != leap_to_le32(0));
	}
	return 0;
}

/* ---- messages in ---------------------------------------------------- */

static int hello(struct leap__borrower *b)
{
	if (b->hello)
		return -EPROTO;
	b->hello = true;
	if (leap__lender_live(b->l))
		leap__borrower_welcome(b);
	return 0;
}

static int disable(struct leap__borrower *b, uint32_t id)
{
	if (b->disabling)
		return -EPROTO;
	b->disabling = true;
	b->disable_id = id;
	b->aec = 0;
	b->nr_events = 0;
	leap__lend_drop(b);
	leap__borrower_step(b);
	return 0;
}

static int handle(struct leap__borrower *b, int type, int *fd)
{
	const struct leap__lend_msg *msg = &b->in;
	uint32_t id = leap_from_le32(msg->id);

	if (type == LEAP__LEND_HELLO)
		return hello(b);
	if (type == LEAP__LEND_BYE) {
		leap__borrower_end(b, false);
		return 0;
	}
	if (!b->welcomed)
		return -EPROTO;
	/* Lost since; the connection's end is under way. */
	if (!leap__lender_live(b->l))
		return 0;
	switch (type) {
	case LEAP__LEND_MEM_ADD:
		return leap__borrower_mem_add(b, msg, *fd);
	case LEAP__LEND_MEM_DEL:
		return leap__borrower_mem_del(b, msg);
	case LEAP__LEND_ADMIN:
		return b->disabling ? -EPROTO :
				      leap__lend_admin(b, id, &msg->sqe);
	case LEAP__LEND_DISABLE:
		return disable(b, id);
	case LEAP__LEND_IRQ:
		return irq(b, msg, fd);
	default:
		return doorbells(b, msg);
	}
}

static void chan_message(struct leap__fdchan *chan, uint32_t bytes)
{
	struct leap__borrower *b = of_chan(chan);
	int type = leap__lend_check(&b->in, 1, chan->nr_fds);
	int none = -1, err = type < 0 ? type : 0;

	if (!err && !b->ending)
		err = handle(b, type, chan->nr_fds ? chan->fds : &none);
	if (err)
		leap__borrower_end(b, b->l->opts.kill);
}

/* ---- the end -------------------------------------------------------- */

static void free_borrower(struct leap__borrower *b)
{
	struct leap_lender *l = b->l;
	void (*evicted)(void *arg) = b->evicted;
	void *arg = b->evicted_arg;

	leap__fence_fini(&b->fence);
	leap__list_remove(&b->link);
	l->nr_borrowers--;
	l->ended++;
	free(b);
	if (evicted)
		evicted(arg);
	leap__lender_look(l);
}

/* Nothing of it is at the device any more. */
static void clean(struct leap__borrower *b)
{
	struct leap_lender *l = b->l;
	uint32_t i;

	b->clean = true;
	l->nr_fencing--;
	for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++)
		if (!LEAP_PLANT(LEND_UNFENCED))
			leap__lend_put_qid(l, &b->queues[i]);
	if (b->vector)
		leap__bitmap_clear(l->vectors, b->vector);
	leap__lender_look(l);
	if (b->chan_gone)
		free_borrower(b);
	else
		leap__fdchan_kill(&b->chan, -ECONNRESET);
}

static void chan_gone(struct leap__fdchan *chan, int err)
{
	struct leap__borrower *b = of_chan(chan);

	b->chan_gone = true;
	if (b->ending)
		leap__borrower_step(b);
	else
		leap__borrower_end(b, false);
}

static void process_gone(struct leap__fence *fence)
{
	struct leap__borrower *b =
		leap__list_entry(fence, struct leap__borrower, fence);

	b->fence_busy = false;
	b->fenced = true;
	b->l->killed += fence->killed;
	leap__borrower_step(b);
}

/* Is a process being killed? */
static bool fence_process(struct leap__borrower *b)
{
	if (b->fence_busy)
		return true;
	if (!b->kill || b->fenced || b->fence.pidfd < 0)
		return false;
	b->fence_busy = true;
	leap__fence_start(&b->fence, 0, process_gone);
	return true;
}

static void next_step(struct leap__borrower *b)
{
	struct leap__lend_queue *q;

	if (b->ending && fence_process(b))
		return;
	if (b->ending && LEAP_PLANT(LEND_UNFENCED)) {
		clean(b);
		return;
	}
	if (!leap__lender_live(b->l)) {
		/* leap__borrower_lost says when the device is closed. */
		if (b->ending && !b->welcomed)
			clean(b);
		return;
	}
	if (b->cmds_out || leap__lend_delete(b))
		return;
	if (!b->ending) {
		b->disabling = false;
		for (q = b->queues; q <= &b->queues[LEAP__LEND_MAX_QUEUES]; q++)
			leap__lend_put_qid(b->l, q);
		leap__borrower_reply(b, b->disable_id, 0, 0);
		return;
	}
	if (b->irq_busy)
		return;
	if (b->irq_on) {
		irq_start(b, -1);
		return;
	}
	if (!leap__borrower_mem_drop(b))
		clean(b);
}

void leap__borrower_step(struct leap__borrower *b)
{
	if (b->clean) {
		if (b->chan_gone)
			free_borrower(b);
	} else if (b->ending || b->disabling) {
		next_step(b);
	}
}

void leap__borrower_end(struct leap__borrower *b, bool kill)
{
	if (b->ending)
		return;
	b->ending = true;
	b->disabling = false;
	b->kill = kill;
	b->l->nr_fencing++;
	leap__lend_drop(b);
	leap__borrower_step(b);
}

/* Regcmds are dropped without a word; all else has been answered. */
void leap__borrower_lost(struct leap__borrower *b)
{
	uint32_t i;

	leap__lend_drop(b);
	for (i = 0; i < LEAP__LEND_MAX_CMDS; i++)
		b->cmds[i].busy = false;
	for (i = 0; i <= LEAP__LEND_MAX_QUEUES; i++) {
		if (b->queues[i].sq)
			b->l->nr_queues--;
		b->queues[i].sq = b->queues[i].cq = false;
		b->queues[i].changing = false;
		b->queues[i].out = 0;
		b->queues[i].naming = 0;
	}
	leap__borrower_mem_lost(b);
	b->cmds_out = 0;
	b->del_busy = false;
	b->irq_on = b->irq_set = false;
	if (!b->ending && !b->welcomed)
		return;		/* it waits */
	if (!b->ending) {
		b->ending = true;
		b->l->nr_fencing++;
	}
	b->welcomed = false;
	leap__borrower_step(b);
}

static const struct leap__fdchan_end borrower_end = {
	.head_bytes = sizeof(struct leap__lend_msg), .max_fds = 1,
	.max_waiting = MAX_WAITING, .message = chan_message, .gone = chan_gone,
};

int leap__borrower_start(struct leap_lender *l, struct leap__wfd *wfd)
{
	struct leap__borrower *b = calloc(1, sizeof(*b));
	struct leap__world *w = wfd->world;
	int pidfd = -1;

	if (!b)
		return -ENOMEM;
	b->l = l;
	b->id = ++l->next_id;
	b->irq_fd = -1;
	leap__fence_init(&b->fence, l->pg);
	if (!w->ops->peer_process(wfd, &b->pid, &pidfd) &&
	    leap__fence_process(&b->fence, b->pid, pidfd)) {
		/* Ourselves, or one that we may not kill. */
		leap__fence_fini(&b->fence);
		leap__fence_init(&b->fence, l->pg);
	}
	leap__list_push_back(&l->borrowers, &b->link);
	l->nr_borrowers++;
	leap__fdchan_start(&b->chan, &borrower_end, l->pg, wfd, &b->in,
			   sizeof(b->in));
	return 0;
}
