/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The borrower's end ("lent:/run/ssd.sock/NQN"): a way to a device (regdev.h)
 * that is somebody else's.
 *
 * To the driver above it looks like a controller of its own (host_ctrl.c).
 * Memory and interrupt are asked of the lender. I/O queues are the device's:
 * their doorbells are stored where the device looks, if that can be mapped, or
 * sent.
 *
 *	connect -> HELLO, WELCOME -> open -> BYE, the lender closes -> closed
 */
#include "transport/lend/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/dmabuf.h>
#include <leapio/lend.h>

#include "core/io/transport.h"
#include "dmabuf/region.h"
#include "util/atomic.h"
#include "util/err.h"

/* A lender that does not let go; and what CAP.TO adds to that. A device that
 * hangs is noticed, reset and closed in 40 seconds and twice that time: until
 * then it may write to memory that a queue pair of ours has named. */
#define BYE_NS		40000000000ull
#define BYE_READY	2u
#define PCI_CLASS	0x08
#define PCI_CLASS_NVME	0x01080200u

static struct leap__lent_dev *of_dev(struct leap__regdev *dev)
{
	return (struct leap__lent_dev *)dev;
}

static struct leap__lent_dev *of_chan(struct leap__fdchan *chan)
{
	return leap__list_entry(chan, struct leap__lent_dev, chan);
}

static void wake(struct leap__lent_dev *d)
{
	if (d->work_sent)
		return;
	d->work_sent = true;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

void leap__lent_say(struct leap__lent_dev *d, const struct leap__lend_msg *msg,
		    int fd)
{
	leap__fdchan_send(&d->chan, msg, sizeof(*msg), &fd, fd >= 0);
}

/* ---- what has been asked: answered in its order --------------------- */

/* priv of one that waits for the lender: id << 1; of one that has its answer:
 * errno << 32 | 1. */
static void answered(struct leap__regio *io, int err)
{
	io->priv = (uint64_t)(uint32_t)-err << 32 | 1;
}

static void run_answers(struct leap__lent_dev *d)
{
	struct leap__regio *io;

	while ((io = d->ask) && (io->priv & 1)) {
		int err = -(int)(io->priv >> 32);

		d->ask = io->next;
		if (!d->ask)
			d->ask_tail = &d->ask;
		io->done(io, err);
	}
}

static struct leap__regio *find_ask(struct leap__lent_dev *d, uint32_t id)
{
	struct leap__regio *io = d->ask;

	while (io && io->priv != (uint64_t)id << 1)
		io = io->next;
	return io;
}

static void ask_map(struct leap__lent_dev *d, const struct leap__regio *io)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_MEM_ADD,
						   d->next_id);

	msg.mem.offset = leap_to_le64(leap__dmabuf_offset(io->buf));
	msg.mem.bytes = leap_to_le64(leap_dmabuf_bytes(io->buf));
	leap__lent_say(d, &msg, leap_dmabuf_fd(io->buf));
}

static void ask_unmap(struct leap__lent_dev *d, const struct leap__regio *io)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_MEM_DEL,
						   d->next_id);

	msg.mem.bytes = leap_to_le64(leap_dmabuf_bytes(io->buf));
	msg.mem.iova = leap_to_le64(io->offset);
	leap__lent_mem_del(d, io->offset);
	leap__lent_say(d, &msg, -1);
}

/* True: the lender has been asked. */
static bool start(struct leap__lent_dev *d, struct leap__regio *io)
{
	struct leap__lend_msg msg;

	switch (io->op) {
	case LEAP__REG_READ:
		io->value = leap__lent_read(d, io->offset);
		return false;
	case LEAP__REG_CONFIG_READ:
		io->value = io->offset == PCI_CLASS ? PCI_CLASS_NVME : 0;
		return false;
	case LEAP__REG_CONFIG_WRITE:
		return false;
	case LEAP__REG_WRITE:
		return leap__lent_write(d, io);
	case LEAP__REG_MAP:
		ask_map(d, io);
		return true;
	case LEAP__REG_UNMAP:
		ask_unmap(d, io);
		return true;
	case LEAP__REG_IRQ:
		msg = leap__lend_msg(LEAP__LEND_IRQ, d->next_id);
		leap__lent_say(d, &msg, io->fd);
		return true;
	default:
		d->cc = 0;
		leap__lent_ask_disable(d);
		return true;
	}
}

static void reply_done(struct leap__lent_dev *d, struct leap__regio *io,
		       int err, uint64_t value)
{
	if (io->op == LEAP__REG_MAP && !err) {
		io->offset = value;
		err = leap__lent_mem_add(d, io);
	} else if (io->op == LEAP__REG_WRITE || io->op == LEAP__REG_RESET) {
		leap__lent_disabled(d);
	}
	answered(io, err);
	run_answers(d);
}

/* ---- doorbells ------------------------------------------------------ */

static void send_doorbells(struct leap__lent_dev *d)
{
	struct leap__lend_msg *msg = &d->out;
	struct iovec part = { msg, sizeof(*msg) };
	uint32_t n = 0, i;

	if (!d->db_waits || !d->chan_up || !leap__fdchan_idle(&d->chan))
		return;
	*msg = leap__lend_msg(LEAP__LEND_RING, 0);
	if (d->has_shadow && !d->shadow)
		msg->doorbells.flags = leap_to_le32(LEAP__LEND_STORE);
	for (i = 0; i < d->nr_dbs && n < LEAP__LEND_DOORBELLS; i++) {
		struct leap__lent_db *db = &d->dbs[i];

		if (!db->waits)
			continue;
		db->waits = false;
		d->db_waits--;
		msg->doorbells.db[n].offset = leap_to_le32(db->offset);
		msg->doorbells.db[n++].value = leap_to_le32(db->value);
	}
	msg->doorbells.nr = leap_to_le32(n);
	leap__fdchan_post(&d->chan, &part, 1, NULL, 0);
}

static struct leap__lent_db *find_db(struct leap__lent_dev *d, uint32_t offset)
{
	uint32_t i;

	for (i = 0; i < d->nr_dbs; i++)
		if (d->dbs[i].offset == offset)
			return &d->dbs[i];
	/* Those of queues that are gone make room. */
	for (i = 0; i < d->nr_dbs; i++)
		if (d->nr_dbs == LEAP__LENT_DBS && !d->dbs[i].waits)
			break;
	if (i == d->nr_dbs && i < LEAP__LENT_DBS)
		d->nr_dbs++;
	if (i == LEAP__LENT_DBS)
		return NULL;
	d->dbs[i].offset = offset;
	return &d->dbs[i];
}

static void lent_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	struct leap__lent_dev *d = of_dev(dev);
	uint32_t dstrd = (uint32_t)LEAP_GET(d->cap, LEAP_CAP_DSTRD);
	uint32_t at = offset - LEAP_REG_DBL;
	struct leap__lent_db *db;

	if (d->gone || d->closing)
		return;
	if (offset == LEAP_REG_SQTDBL(0, dstrd)) {
		leap__lent_admin_doorbell(d, value);
	} else if (offset == LEAP_REG_CQHDBL(0, dstrd)) {
		leap__cqp_trap(&d->cqp, value);
	} else if (d->page && at < d->page_bytes && d->page_bytes - at >= 4) {
		/* Entries first, wherever they lie. */
		leap__dma_publish();
		leap__store_release((leap_le32 *)(void *)(d->page + at),
				    leap_to_le32(value));
	} else if ((db = find_db(d, offset))) {
		db->value = value;
		d->db_waits += !db->waits;
		db->waits = true;
		send_doorbells(d);
	}
}

static void chan_idle(struct leap__fdchan *chan)
{
	send_doorbells(of_chan(chan));
}

/* ---- messages in ---------------------------------------------------- */

/* What cannot be mapped is said by messages. */
static void map_doorbells(struct leap__lent_dev *d,
			  const struct leap__lend_msg *msg, const int *fds)
{
	uint32_t flags = leap_from_le32(msg->welcome.flags);
	uint32_t bytes = leap_from_le32(msg->welcome.page_bytes);
	uint64_t offset = leap_from_le64(msg->welcome.shadow_offset);
	void *page;

	d->has_shadow = flags & LEAP__LEND_SHADOW;
	if (d->has_shadow &&
	    !leap_dmabuf_import(*fds++, offset, 2 * LEAP__REG_PAGE,
				LEAP_PERM_READ | LEAP_PERM_WRITE, &d->shadow))
		d->dev.shadow = leap_dmabuf_addr(d->shadow);
	/* Whoever does not reach the words has to ask for both. */
	if (!(flags & LEAP__LEND_PAGE) || (d->has_shadow && !d->shadow))
		return;
	offset = leap_from_le64(msg->welcome.page_offset);
	page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *fds,
		    (off_t)offset);
	if (page == MAP_FAILED)
		return;
	d->page = page;
	d->page_bytes = bytes;
}

static int welcome(struct leap__lent_dev *d, const struct leap__lend_msg *msg,
		   const int *fds)
{
	if (d->open)
		return -EPROTO;
	d->cap = leap_from_le64(msg->welcome.cap);
	d->crto = leap_from_le32(msg->welcome.crto);
	d->vs = leap_from_le32(msg->welcome.vs);
	map_doorbells(d, msg, fds);
	d->open = true;
	leap__reg_opened(&d->dev, 0);
	return 0;
}

static int heard(struct leap__lent_dev *d, int type,
		 const struct leap__lend_msg *msg, const int *fds)
{
	struct leap__regio *io;

	if (type == LEAP__LEND_WELCOME)
		return welcome(d, msg, fds);
	if (!d->open)
		return -EPROTO;
	if (type == LEAP__LEND_DONE)
		return leap__lent_admin_done(d, msg);
	io = find_ask(d, leap_from_le32(msg->id));
	if (!io)
		return -EPROTO;
	reply_done(d, io, -(int)leap_from_le32(msg->err),
		   leap_from_le64(msg->reply.value));
	return 0;
}

static void chan_message(struct leap__fdchan *chan, uint32_t bytes)
{
	struct leap__lent_dev *d = of_chan(chan);
	int type = leap__lend_check(&d->in, 0, chan->nr_fds);
	int err = type < 0 ? type : 0;

	if (!err && !d->closing)
		err = heard(d, type, &d->in, chan->fds);
	if (err)
		leap__fdchan_kill(chan, err);
}

/* ---- the end -------------------------------------------------------- */

static void finish(struct leap__lent_dev *d)
{
	struct leap__regio *io;

	if (d->finished)
		return;
	d->finished = true;
	leap_timer_stop(d->dev.pg, &d->bound);
	while ((io = d->ask)) {
		d->ask = io->next;
		io->done(io, -ECANCELED);
	}
	d->ask_tail = &d->ask;
	leap_dmabuf_put(d->shadow);
	if (d->page)
		munmap(d->page, d->page_bytes);
	leap__reg_closed(&d->dev);
}

static void chan_gone(struct leap__fdchan *chan, int err)
{
	struct leap__lent_dev *d = of_chan(chan);

	d->gone = true;
	d->err = err ? err : -ECONNRESET;
	wake(d);
}

static void do_work(struct leap_msg *msg)
{
	struct leap__lent_dev *d = leap__list_entry(msg, struct leap__lent_dev,
						    work);

	d->work_sent = false;
	if (d->closing) {
		if (d->gone)
			finish(d);
		return;
	}
	if (!d->gone)
		run_answers(d);
	else if (d->open)
		leap__reg_lost(&d->dev, d->err);
	else
		leap__reg_opened(&d->dev, d->err);
}

static const struct leap__fdchan_end lent_end = {
	.head_bytes = sizeof(struct leap__lend_msg), .max_fds = 2,
	.message = chan_message, .idle = chan_idle, .gone = chan_gone,
};

/* ---- the table ------------------------------------------------------ */

static void start_chan(struct leap__lent_dev *d, struct leap__wfd *wfd)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_HELLO, 0);

	leap__fdchan_start(&d->chan, &lent_end, d->dev.pg, wfd, &d->in,
			   sizeof(d->in));
	d->chan_up = true;
	leap__lent_say(d, &msg, -1);
}

static void waited(struct leap_timer *timer)
{
	leap__fdchan_kill(&leap__list_entry(timer, struct leap__lent_dev,
					    bound)->chan, -ETIMEDOUT);
}

static void connected(struct leap__connector *c, struct leap__wfd *wfd, int err)
{
	struct leap__lent_dev *d = leap__list_entry(c, struct leap__lent_dev,
						    connector);

	if (!err) {
		start_chan(d, wfd);
		return;
	}
	d->gone = true;
	d->err = err;
	wake(d);
}

static int open_here(struct leap__lent_dev *d, struct leap_lender *lender)
{
	struct leap__world *w = leap__pollgroup_world(d->dev.pg);
	struct leap__wfd *wfd;
	int fd = leap_lender_connect(lender), err;

	if (fd < 0)
		return fd;
	err = w->ops->adopt(w, fd, &wfd);
	if (err) {
		close(fd);
		return leap__err(err, "leap_qp_connect: no socket");
	}
	start_chan(d, wfd);
	return 0;
}

static int lent_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		     const char *address)
{
	struct leap__lent_dev *d = of_dev(dev);

	d->ask_tail = &d->ask;
	d->bound.run = waited;
	d->work.run = do_work;
	if (opts->lender)
		return open_here(d, opts->lender);
	return leap__connector_start(&d->connector, dev->pg, address,
				     connected);
}

static void lent_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct leap__lent_dev *d = of_dev(dev);

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	if (d->gone) {
		answered(io, -ECONNRESET);
		wake(d);
		return;
	}
	d->next_id++;
	io->priv = (uint64_t)d->next_id << 1;
	if (!start(d, io)) {
		answered(io, 0);
		wake(d);
	}
}

/* Once the lender has closed, nothing of ours is at the device any more. */
static void lent_close(struct leap__regdev *dev)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_BYE, 0);
	struct leap__lent_dev *d = of_dev(dev);

	d->closing = true;
	if (d->gone) {
		wake(d);
	} else if (leap__connector_busy(&d->connector)) {
		leap__connector_stop(&d->connector);
	} else {
		leap__lent_say(d, &msg, -1);
		leap_timer_start(dev->pg, &d->bound,
				 BYE_NS + BYE_READY * dev->ctrl->to_ns);
	}
}

static uint16_t lent_queue_id(struct leap__regdev *dev, uint16_t qid)
{
	struct leap__lent_dev *d = of_dev(dev);

	return qid < sizeof(d->qids) / sizeof(d->qids[0]) ? d->qids[qid] : 0;
}

static const struct leap__regdev_ops lent_dev_ops = {
	.dev_bytes = sizeof(struct leap__lent_dev),
	.device = true,		/* whatever the lender has */
	.open = lent_open,
	.submit = lent_submit,
	.doorbell = lent_doorbell,
	.close = lent_close,
	.queue_id = lent_queue_id,
};

static int lent_qp_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &lent_dev_ops);
}

const struct leap_transport_ops leap__lent_transport = {
	.size = sizeof(struct leap_transport_ops),
	.name = "lent",
	.qp_bytes = sizeof(struct leap__regqp),
	.qp_connect = lent_qp_connect,
	.qp_submit = leap__regqp_submit,
	.qp_submit_lists = leap__regqp_submit_lists,
	.qp_kick = leap__regqp_kick,
	.qp_close = leap__regqp_close,
};
