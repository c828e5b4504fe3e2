/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "config.h"
#include "stub-device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/dmabuf.h>

#include "bench.h"
#include "core/io/regctrl.h"
#include "core/io/transport.h"

#define QUEUES	8u
#define MAPS	64u

struct stub_queue {
	const struct leap_sqe *sq;
	struct leap_cqe *cq;
	uint32_t sq_size, cq_size, head, cq_tail;
	uint16_t phase, qid;
};

struct stub_map {
	uint64_t at, bytes;
	uint8_t *addr;
};

struct stub_dev {
	struct leap__regdev dev;	/* first */
	struct leap__regio *ask, **ask_tail;
	struct leap_msg work;
	int work_out, opened, closing;
	uint32_t cc, aqa;
	uint64_t asq, acq;
	struct stub_map maps[MAPS];
	struct stub_queue q[QUEUES];
};

/* ---- commands ---------------------------------------------------------- */

static void *at(struct stub_dev *d, uint64_t addr)
{
	uint32_t i;

	for (i = 0; i < MAPS; i++)
		if (addr - d->maps[i].at < d->maps[i].bytes)
			return d->maps[i].addr + (addr - d->maps[i].at);
	abort();
}

static inline void post(struct stub_queue *q, uint16_t head, leap_le16 cid,
			uint32_t dw0, leap_status_t status)
{
	struct leap_cqe *cqe = &q->cq[q->cq_tail];

	cqe->dw0 = leap_to_le32(dw0);
	cqe->sqhd = leap_to_le16(head);
	cqe->sqid = leap_to_le16(q->qid);
	cqe->cid = cid;
	__atomic_store_n((uint16_t *)(void *)&cqe->status,
			 (uint16_t)(status << 1 | q->phase), __ATOMIC_RELEASE);
	if (++q->cq_tail == q->cq_size) {
		q->cq_tail = 0;
		q->phase ^= 1;
	}
}

static void identify(struct stub_dev *d, const struct leap_sqe *sqe)
{
	uint8_t *page = at(d, leap_from_le64(sqe->prp1));
	struct leap_id_ctrl *id = (void *)page;
	struct leap_id_ns *ns = (void *)page;
	uint32_t nsid = leap_from_le32(sqe->nsid);

	memset(page, 0, 4096);
	switch (leap_from_le32(sqe->cdw10) & 0xff) {
	case LEAP_CNS_CTRL:
		strcpy((char *)id->subnqn, STUB_NQN);
		id->cntlid = leap_to_le16(1);
		id->sqes = 0x66;
		id->cqes = 0x44;
		id->nn = leap_to_le32(1);
		break;
	case LEAP_CNS_NS:
		ns->nsze = ns->ncap = leap_to_le64(1u << 20);
		ns->lbaf[0].lbads = 12;
		break;
	case LEAP_CNS_NS_ACTIVE:
		page[0] = !nsid;
		break;
	}
}

static void create(struct stub_dev *d, const struct leap_sqe *sqe)
{
	uint32_t qid = leap_from_le32(sqe->cdw10) & 0xffff;
	uint32_t size = (leap_from_le32(sqe->cdw10) >> 16) + 1;
	struct stub_queue *q = &d->q[qid % QUEUES];

	if (sqe->opc == LEAP_ADM_CREATE_CQ) {
		memset(q, 0, sizeof(*q));
		q->qid = (uint16_t)qid;
		q->phase = 1;
		q->cq_size = size;
		q->cq = at(d, leap_from_le64(sqe->prp1));
	} else {
		q->sq_size = size;
		q->sq = at(d, leap_from_le64(sqe->prp1));
	}
}

static void admin(struct stub_dev *d, const struct leap_sqe *sqe,
		  uint16_t head)
{
	leap_status_t status = 0;
	uint32_t dw0 = 0;

	switch (sqe->opc) {
	case LEAP_ADM_IDENTIFY:
		identify(d, sqe);
		break;
	case LEAP_ADM_SET_FEATURES:
		dw0 = (QUEUES - 2) * 0x10001u;
		break;
	case LEAP_ADM_CREATE_CQ:
	case LEAP_ADM_CREATE_SQ:
		create(d, sqe);
		break;
	case LEAP_ADM_DELETE_CQ:
	case LEAP_ADM_DELETE_SQ:
		break;
	case LEAP_ADM_AER:
		return;
	default:
		status = LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR;
	}
	post(&d->q[0], head, sqe->cid, dw0, status);
}

/* What a command costs the drive: a look at it, and a completion. */
static inline void ring(struct stub_queue *q, uint32_t tail)
{
	uint32_t i = q->head;

	while (i != tail) {
		const struct leap_sqe *sqe = &q->sq[i];

		i = i + 1 == q->sq_size ? 0 : i + 1;
		post(q, (uint16_t)i, sqe->cid, 0, 0);
	}
	q->head = i;
}

static void stub_doorbell(struct leap__regdev *dev, uint32_t offset,
			  uint32_t value)
{
	struct stub_dev *d = (struct stub_dev *)dev;
	uint32_t i = (offset - LEAP_REG_DBL) / 4;
	struct stub_queue *q = &d->q[i / 2];

	if (i & 1)
		return;
	if (i) {
		ring(q, value);
		return;
	}
	while (q->head != value) {
		struct leap_sqe sqe = q->sq[q->head];

		q->head = q->head + 1 == q->sq_size ? 0 : q->head + 1;
		admin(d, &sqe, (uint16_t)q->head);
	}
}

double stub_floor(uint32_t batch, uint32_t n)
{
	static struct leap_sqe sqes[1024];
	static struct leap_cqe cqes[2048];
	struct stub_queue q = {
		.sq = sqes, .cq = cqes, .sq_size = 1024, .cq_size = 2048,
		.phase = 1, .qid = 1,
	};
	uint64_t start = bench_now_ns();
	uint32_t i, tail = 0;

	for (i = 0; i < n; i += batch) {
		tail = (tail + batch) % q.sq_size;
		ring(&q, tail);
		__asm__ volatile("" ::: "memory");
	}
	return (double)(bench_now_ns() - start) / i;
}

/* ---- registers --------------------------------------------------------- */

static void write_cc(struct stub_dev *d, uint32_t cc)
{
	struct stub_queue *q = &d->q[0];

	if ((cc & LEAP_CC_EN) && !(d->cc & LEAP_CC_EN)) {
		memset(d->q, 0, sizeof(d->q));
		q->sq = at(d, d->asq);
		q->cq = at(d, d->acq);
		q->sq_size = (d->aqa & 0xfff) + 1;
		q->cq_size = (d->aqa >> 16) + 1;
		q->phase = 1;
	}
	d->cc = cc;
}

static uint64_t read_bar(const struct stub_dev *d, uint64_t offset)
{
	switch (offset) {
	case LEAP_REG_CAP:
		return LEAP_PUT(1023ull, LEAP_CAP_MQES) | LEAP_CAP_CQR |
		       LEAP_CAP_CSS_NVM;
	case LEAP_REG_VS:
		return LEAP_VS_1_4;
	case LEAP_REG_CC:
		return d->cc;
	case LEAP_REG_CSTS:
		return (d->cc & LEAP_CC_EN) |
		       (LEAP_GET(d->cc, LEAP_CC_SHN) ?
			LEAP_PUT(LEAP_CSTS_SHST_DONE, LEAP_CSTS_SHST) : 0);
	}
	return 0;
}

static int map(struct stub_dev *d, const struct leap__regio *io, uint64_t bytes)
{
	uint32_t i = 0;

	while (i < MAPS && (bytes ? d->maps[i].bytes :
			    !d->maps[i].bytes || d->maps[i].at != io->offset))
		i++;
	if (i == MAPS)
		return -ENOSPC;
	d->maps[i].at = io->offset;
	d->maps[i].bytes = bytes;
	d->maps[i].addr = leap_dmabuf_addr(io->buf);
	return 0;
}

static int run(struct stub_dev *d, struct leap__regio *io)
{
	switch (io->op) {
	case LEAP__REG_READ:
		io->value = read_bar(d, io->offset);
		return 0;
	case LEAP__REG_WRITE:
		if (io->offset == LEAP_REG_CC)
			write_cc(d, (uint32_t)io->value);
		else if (io->offset == LEAP_REG_AQA)
			d->aqa = (uint32_t)io->value;
		else if (io->offset == LEAP_REG_ASQ)
			d->asq = io->value;
		else if (io->offset == LEAP_REG_ACQ)
			d->acq = io->value;
		return 0;
	case LEAP__REG_CONFIG_READ:
		io->value = io->offset == 8 ? 0x01080200 : 0;
		return 0;
	case LEAP__REG_MAP:
		return map(d, io, leap_dmabuf_bytes(io->buf));
	case LEAP__REG_UNMAP:
		return map(d, io, 0);
	case LEAP__REG_IRQ:
		return -EOPNOTSUPP;
	default:
		return 0;
	}
}

/* ---- the way to it ----------------------------------------------------- */

static void wake(struct stub_dev *d)
{
	if (d->work_out)
		return;
	d->work_out = 1;
	leap_pollgroup_send(d->dev.pg, &d->work);
}

static void do_work(struct leap_msg *msg)
{
	struct stub_dev *d = leap__list_entry(msg, struct stub_dev, work);
	struct leap__regio *io;

	d->work_out = 0;
	if (!d->opened && !d->closing) {
		d->opened = 1;
		leap__reg_opened(&d->dev, 0);
		return;
	}
	while ((io = d->ask)) {
		d->ask = io->next;
		if (!d->ask)
			d->ask_tail = &d->ask;
		io->done(io, d->closing ? -ECANCELED : run(d, io));
	}
	if (d->closing && !d->work_out)
		leap__reg_closed(&d->dev);
}

static int stub_open(struct leap__regdev *dev, const struct leap_qp_opts *opts,
		     const char *address)
{
	struct stub_dev *d = (struct stub_dev *)dev;

	d->ask_tail = &d->ask;
	d->work.run = do_work;
	wake(d);
	return 0;
}

static void stub_submit(struct leap__regdev *dev, struct leap__regio *io)
{
	struct stub_dev *d = (struct stub_dev *)dev;

	io->next = NULL;
	*d->ask_tail = io;
	d->ask_tail = &io->next;
	wake(d);
}

static void stub_close(struct leap__regdev *dev)
{
	((struct stub_dev *)dev)->closing = 1;
	wake((struct stub_dev *)dev);
}

static const struct leap__regdev_ops dev_ops = {
	.dev_bytes = sizeof(struct stub_dev), .open = stub_open,
	.submit = stub_submit, .doorbell = stub_doorbell, .close = stub_close,
};

static int stub_connect(struct leap_qp *qp, const char *address)
{
	return leap__regqp_connect(qp, address, &dev_ops);
}

const struct leap_transport_ops *const *leap__transports(void)
{
	static const struct leap_transport_ops ops = {
		.size = sizeof(ops), .name = "stub",
		.qp_bytes = sizeof(struct leap__regqp),
		.qp_connect = stub_connect, .qp_submit = leap__regqp_submit,
		.qp_kick = leap__regqp_kick, .qp_close = leap__regqp_close,
	};
	static const struct leap_transport_ops *const all[] = {
		&ops, &leap__loop_transport, &leap__vdev_transport,
#ifdef LEAP_WITH_VFIO_USER
		&leap__vfio_user_transport,
#endif
		NULL,
	};

	return all;
}
