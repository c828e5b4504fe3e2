/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The borrower's end ("lent:/run/ssd.sock/NQN"): a way to a device (regdev.h)
 * that is somebody else's.
 *
 * To the driver above it looks like a controller of its own. Registers are
 * kept here; admin commands are taken out of the ring and sent to the lender,
 * whose answers are put into the completion ring; memory and interrupt are
 * asked of it. I/O queues are the device's own: their doorbells are stored where the
 * device looks, if that can be mapped, or sent.
 *
 *	connect -> HELLO, WELCOME -> open -> BYE, the lender closes -> closed
 *
 * Knows nothing of NVMe but the registers and which admin command makes a
 * queue, as the device names that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/dmabuf.h>
#include <leapio/lend.h>

#include "core/io/connector.h"
#include "core/io/fdchan.h"
#include "core/io/regctrl.h"
#include "core/io/transport.h"
#include "dmabuf/region.h"
#include "transport/lend/proto.h"
#include "util/atomic.h"
#include "util/err.h"

#define BYE_NS		10000000000ull	/* a lender that does not let go */
#define PCI_CLASS	0x08
#define PCI_CLASS_NVME	0x01080200u
#define MAX_CREATES	64u		/* at once */
#define MAX_DBS		(2 * LEAP__LEND_MAX_QUEUES)

struct memory {
	uint64_t at;
	uint64_t bytes;		/* 0 = free */
	uint8_t *addr;
};

/* Create I/O CQ that is out: the answer names the queue. */
struct create {
	uint16_t cid;
	uint16_t queue;		/* 0 = free */
};

struct db {
	uint32_t offset;
	uint32_t value;
	bool waits;
};

struct lent_dev {
	struct leap__regdev dev;	/* first */
	struct leap__fdchan chan;
	struct leap__lend_msg in, out;	/* out: doorbells */
	struct leap__connector connector;
	struct leap_timer bound;	/* of the end */
	struct leap_msg work;		/* answers of our own; or the end */
	bool work_sent;
	bool chan_up, open, closing, gone, finished;
	int err;
	struct leap__regio *ask, **ask_tail;	/* oldest first */
	uint32_t next_id;
	/* Registers. */
	uint64_t cap, asq, acq;
	uint32_t vs, crto, cc, csts, aqa;
	/* Admin rings, as the controller sees them. */
	struct leap__sqc sqc;
	struct leap__cqp cqp;
	uint16_t era;			/* of CC.EN: older answers are late */
	struct create creates[MAX_CREATES];
	uint16_t qids[65536 / 16];	/* as the device names them */
	struct memory mem[LEAP__REG_REGIONS];
	/* Doorbells. */
	bool has_shadow;		/* the device; @shadow: so have we */
	struct leap_dmabuf *shadow;
	uint8_t *page;
	uint32_t page_bytes;
	struct db dbs[MAX_DBS];
	uint32_t nr_dbs, db_waits;
};

static struct lent_dev *of_dev(struct leap__regdev *dev)
{
	return (struct lent_dev *)dev;
}

static struct lent_dev *of_chan(struct leap__fdchan *chan)
{
	return leap__list_entry(chan, struct lent_dev, chan);
}

static void wake(struct lent_dev *d)
{
	if (d->work_sent)
		return;
	d->work_sent = true;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

static void say(struct lent_dev *d, const struct leap__lend_msg *msg, int fd)
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

static void run_answers(struct lent_dev *d)
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

static struct leap__regio *find_ask(struct lent_dev *d, uint32_t id)
{
	struct leap__regio *io = d->ask;

	while (io && io->priv != (uint64_t)id << 1)
		io = io->next;
	return io;
}

/* ---- memory --------------------------------------------------------- */

static struct memory *find_mem(struct lent_dev *d, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < LEAP__REG_REGIONS; i++)
		if (d->mem[i].bytes && at >= d->mem[i].at &&
		    at - d->mem[i].at < d->mem[i].bytes)
			return &d->mem[i];
	return NULL;
}

static int add_mem(struct lent_dev *d, const struct leap__regio *io)
{
	uint32_t i = 0;

	while (i < LEAP__REG_REGIONS && d->mem[i].bytes)
		i++;
	if (i == LEAP__REG_REGIONS)
		return -ENOSPC;
	d->mem[i] = (struct memory){
		.at = io->offset, .bytes = leap_dmabuf_bytes(io->buf),
		.addr = leap_dmabuf_addr(io->buf),
	};
	return 0;
}

static void ask_map(struct lent_dev *d, const struct leap__regio *io)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_MEM_ADD,
						   d->next_id);

	msg.mem.offset = leap_to_le64(leap__dmabuf_offset(io->buf));
	msg.mem.bytes = leap_to_le64(leap_dmabuf_bytes(io->buf));
	say(d, &msg, leap_dmabuf_fd(io->buf));
}

static void ask_unmap(struct lent_dev *d, const struct leap__regio *io)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_MEM_DEL,
						   d->next_id);
	struct memory *m = find_mem(d, io->offset);

	msg.mem.bytes = leap_to_le64(leap_dmabuf_bytes(io->buf));
	msg.mem.iova = leap_to_le64(io->offset);
	if (m)
		m->bytes = 0;
	say(d, &msg, -1);
}

/* ---- the admin queue ------------------------------------------------ */

static struct create *find_create(struct lent_dev *d, uint16_t cid, bool is_new)
{
	uint32_t i;

	for (i = 0; i < MAX_CREATES; i++)
		if (is_new ? !d->creates[i].queue :
			     d->creates[i].queue && d->creates[i].cid == cid)
			return &d->creates[i];
	return NULL;
}

static void send_admin(struct lent_dev *d, const struct leap_sqe *sqe)
{
	uint16_t cid = leap_from_le16(sqe->cid);
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_ADMIN,
					(uint32_t)d->era << 16 | cid);

	struct create *c;

	msg.sqe = *sqe;
	c = sqe->opc == LEAP_ADM_CREATE_CQ ? find_create(d, cid, true) : NULL;
	if (c)
		*c = (struct create){
			cid, (uint16_t)leap_from_le32(sqe->cdw10) };
	say(d, &msg, -1);
}

static void admin_doorbell(struct lent_dev *d, uint32_t value)
{
	struct leap_sqe sqe;
	int n;

	if (!(d->csts & LEAP_CSTS_RDY))
		return;
	n = leap__sqc_trap(&d->sqc, value);
	while (n-- > 0) {
		leap__sqc_take(&d->sqc, &sqe);
		send_admin(d, &sqe);
	}
}

static int admin_done(struct lent_dev *d, const struct leap__lend_msg *msg)
{
	uint32_t id = leap_from_le32(msg->id);
	uint64_t result = leap_from_le64(msg->done.result);
	struct leap__cqe cqe = {
		.dw0 = (uint32_t)result, .dw1 = (uint32_t)(result >> 32),
		.cid = (uint16_t)id, .status = leap_from_le16(msg->done.status),
	};
	struct create *c;

	if (id >> 16 != d->era || !(d->csts & LEAP_CSTS_RDY))
		return 0;	/* of before it was disabled */
	if (!leap__cqp_room(&d->cqp) || cqe.status >> 15)
		return -EPROTO;
	c = find_create(d, cqe.cid, false);
	if (c && c->queue < sizeof(d->qids) / sizeof(d->qids[0]))
		d->qids[c->queue] = leap_from_le16(msg->done.qid);
	if (c)
		c->queue = 0;
	cqe.sqhd = leap__sqc_sqhd(&d->sqc);
	leap__cqp_post(&d->cqp, &cqe);
	return 0;
}

/* ---- registers ------------------------------------------------------ */

static void enable(struct lent_dev *d)
{
	struct memory *sq = find_mem(d, d->asq), *cq = find_mem(d, d->acq);
	struct leap__ring_opts so = {
		.size = LEAP_GET(d->aqa, LEAP_AQA_ASQS) + 1,
	};
	struct leap__ring_opts co = {
		.size = LEAP_GET(d->aqa, LEAP_AQA_ACQS) + 1,
	};

	d->csts |= LEAP_CSTS_CFS;
	if (!sq || !cq)
		return;
	so.entries = sq->addr + (d->asq - sq->at);
	co.entries = cq->addr + (d->acq - cq->at);
	if (leap__sqc_init(&d->sqc, &so) || leap__cqp_init(&d->cqp, &co))
		return;
	d->era++;
	memset(d->creates, 0, sizeof(d->creates));
	d->csts = LEAP_CSTS_RDY;
}

static void ask_disable(struct lent_dev *d)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_DISABLE,
						   d->next_id);

	d->era++;
	say(d, &msg, -1);
}

/* True: the answer is the lender's. */
static bool write_cc(struct lent_dev *d, struct leap__regio *io)
{
	uint32_t cc = (uint32_t)io->value, old = d->cc;

	d->cc = cc;
	if ((cc & LEAP_CC_EN) && !(old & LEAP_CC_EN))
		enable(d);
	if (LEAP_GET(cc, LEAP_CC_SHN) && (d->csts & LEAP_CSTS_RDY))
		d->csts |= LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST);
	if ((cc & LEAP_CC_EN) || !(old & LEAP_CC_EN))
		return false;
	ask_disable(d);
	return true;
}

static bool write_reg(struct lent_dev *d, struct leap__regio *io)
{
	switch (io->offset) {
	case LEAP_REG_CC:
		return write_cc(d, io);
	case LEAP_REG_AQA:
		d->aqa = (uint32_t)io->value;
		break;
	case LEAP_REG_ASQ:
		d->asq = io->value;
		break;
	case LEAP_REG_ACQ:
		d->acq = io->value;
		break;
	}
	return false;
}

static uint64_t read_reg(const struct lent_dev *d, uint64_t offset)
{
	switch (offset) {
	case LEAP_REG_CAP:
		return d->cap;
	case LEAP_REG_VS:
		return d->vs;
	case LEAP_REG_CRTO:
		return d->crto;
	case LEAP_REG_CC:
		return d->cc;
	case LEAP_REG_CSTS:
		return d->csts;
	default:
		return 0;
	}
}

/* True: the lender has been asked. */
static bool start(struct lent_dev *d, struct leap__regio *io)
{
	struct leap__lend_msg msg;

	switch (io->op) {
	case LEAP__REG_READ:
		io->value = read_reg(d, io->offset);
		return false;
	case LEAP__REG_CONFIG_READ:
		io->value = io->offset == PCI_CLASS ? PCI_CLASS_NVME : 0;
		return false;
	case LEAP__REG_CONFIG_WRITE:
		return false;
	case LEAP__REG_WRITE:
		return write_reg(d, io);
	case LEAP__REG_MAP:
		ask_map(d, io);
		return true;
	case LEAP__REG_UNMAP:
		ask_unmap(d, io);
		return true;
	case LEAP__REG_IRQ:
		msg = leap__lend_msg(LEAP__LEND_IRQ, d->next_id);
		say(d, &msg, io->fd);
		return true;
	default:
		d->cc = 0;
		ask_disable(d);
		return true;
	}
}

static void reply_done(struct lent_dev *d, struct leap__regio *io, int err,
		       uint64_t value)
{
	if (io->op == LEAP__REG_MAP && !err) {
		io->offset = value;
		err = add_mem(d, io);
	} else if (io->op == LEAP__REG_WRITE || io->op == LEAP__REG_RESET) {
		d->csts = 0;
	}
	answered(io, err);
	run_answers(d);
}

/* ---- doorbells ------------------------------------------------------ */

static void send_doorbells(struct lent_dev *d)
{
	struct leap__lend_msg *msg = &d->out;
	uint32_t n = 0, i;

	if (!d->db_waits || !d->chan_up || !leap__fdchan_idle(&d->chan))
		return;
	*msg = leap__lend_msg(LEAP__LEND_RING, 0);
	if (d->has_shadow && !d->shadow)
		msg->doorbells.flags = leap_to_le32(LEAP__LEND_STORE);
	for (i = 0; i < d->nr_dbs && n < LEAP__LEND_DOORBELLS; i++) {
		struct db *db = &d->dbs[i];

		if (!db->waits)
			continue;
		db->waits = false;
		d->db_waits--;
		msg->doorbells.db[n].offset = leap_to_le32(db->offset);
		msg->doorbells.db[n++].value = leap_to_le32(db->value);
	}
	msg->doorbells.nr = leap_to_le32(n);
	leap__fdchan_post(&d->chan, msg, sizeof(*msg));
}

static struct db *find_db(struct lent_dev *d, uint32_t offset)
{
	uint32_t i;

	for (i = 0; i < d->nr_dbs; i++)
		if (d->dbs[i].offset == offset)
			return &d->dbs[i];
	/* Those of queues that are gone make room. */
	for (i = 0; i < d->nr_dbs; i++)
		if (d->nr_dbs == MAX_DBS && !d->dbs[i].waits)
			break;
	if (i == d->nr_dbs && i < MAX_DBS)
		d->nr_dbs++;
	if (i == MAX_DBS)
		return NULL;
	d->dbs[i].offset = offset;
	return &d->dbs[i];
}

static void lent_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	struct lent_dev *d = of_dev(dev);
	uint32_t dstrd = (uint32_t)LEAP_GET(d->cap, LEAP_CAP_DSTRD);
	uint32_t at = offset - LEAP_REG_DBL;
	struct db *db;

	if (d->gone || d->closing)
		return;
	if (offset == LEAP_REG_SQTDBL(0, dstrd)) {
		admin_doorbell(d, value);
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
static void map_doorbells(struct lent_dev *d, const struct leap__lend_msg *msg,
			  const int *fds)
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

static int welcome(struct lent_dev *d, const struct leap__lend_msg *msg,
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

static int heard(struct lent_dev *d, int type, const struct leap__lend_msg *msg,
		 const int *fds)
{
	struct leap__regio *io;

	if (type == LEAP__LEND_WELCOME)
		return welcome(d, msg, fds);
	if (!d->open)
		return -EPROTO;
	if (type == LEAP__LEND_DONE)
		return admin_done(d, msg);
	io = find_ask(d, leap_from_le32(msg->id));
	if (!io)
		return -EPROTO;
	reply_done(d, io, -(int)leap_from_le32(msg->err),
		   leap_from_le64(msg->reply.value));
	return 0;
}

static void chan_message(struct leap__fdchan *chan, const uint8_t *data,
			 uint32_t bytes, int *fds, uint32_t nr_fds)
{
	struct lent_dev *d = of_chan(chan);
	int type = leap__lend_check(&d->in, 0, nr_fds);
	int err = type < 0 ? type : 0;

	if (!err && !d->closing)
		err = heard(d, type, &d->in, fds);
	while (nr_fds)
		close(fds[--nr_fds]);
	if (err)
		leap__fdchan_kill(chan, err);
}

/* ---- the end -------------------------------------------------------- */

static void finish(struct lent_dev *d)
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
	struct lent_dev *d = of_chan(chan);

	d->gone = true;
	d->err = err ? err : -ECONNRESET;
	wake(d);
}

static void do_work(struct leap_msg *msg)
{
	struct lent_dev *d = leap__list_entry(msg, struct lent_dev, work);

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

static void start_chan(struct lent_dev *d, struct leap__wfd *wfd)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_HELLO, 0);

	leap__fdchan_start(&d->chan, &lent_end, d->dev.pg, wfd, &d->in,
			   sizeof(d->in));
	d->chan_up = true;
	say(d, &msg, -1);
}

static void waited(struct leap_timer *timer)
{
	leap__fdchan_kill(&leap__list_entry(timer, struct lent_dev,
					    bound)->chan, -ETIMEDOUT);
}

static void connected(struct leap__connector *c, struct leap__wfd *wfd, int err)
{
	struct lent_dev *d = leap__list_entry(c, struct lent_dev, connector);

	if (!err) {
		start_chan(d, wfd);
		return;
	}
	d->gone = true;
	d->err = err;
	wake(d);
}

static int open_here(struct lent_dev *d, struct leap_lender *lender)
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
	struct lent_dev *d = of_dev(dev);

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
	struct lent_dev *d = of_dev(dev);

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
	struct lent_dev *d = of_dev(dev);

	d->closing = true;
	if (d->gone) {
		wake(d);
	} else if (leap__connector_busy(&d->connector)) {
		leap__connector_stop(&d->connector);
	} else {
		say(d, &msg, -1);
		leap_timer_start(dev->pg, &d->bound, BYE_NS);
	}
}

static uint16_t lent_queue_id(struct leap__regdev *dev, uint16_t qid)
{
	struct lent_dev *d = of_dev(dev);

	return qid < sizeof(d->qids) / sizeof(d->qids[0]) ? d->qids[qid] : 0;
}

static const struct leap__regdev_ops lent_dev_ops = {
	.dev_bytes = sizeof(struct lent_dev),
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
