/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared receives of the fake fabric: who waits for one gets it in turn, and
 * what a queue pair has taken when it breaks completes later or never.
 */
#include "fake-verbs.h"

#include <errno.h>
#include <stdlib.h>

/* What it is in the middle of, once; then it takes no more. */
void fake_flush_shared(struct leap__v_qp *qp)
{
	struct fake_fabric *f = qp->f;
	struct fake_rq *rq = &qp->srq->rq;
	uint32_t i;

	/* One that was never linked has had no message. */
	for (i = 0; !qp->error && qp->id->state >= FAKE_LINKED &&
	     i < f->srq_takes && i < FAKE_TAKEN && rq->head != rq->tail; i++) {
		uint64_t id = rq->r[rq->head++ & (rq->size - 1)].id;

		if (!f->srq_drops)
			qp->taken[qp->nr_taken++] = id;
	}
}

static int srq_create(struct leap__v_pd *pd, uint32_t recvs,
		      struct leap__v_srq **out)
{
	struct fake_fabric *f = pd->dev->f;
	struct leap__v_srq *srq = NULL;

	fake_lock(f);
	if (!fake_fails(f) && recvs <= pd->dev->caps.max_srq)
		srq = calloc(1, sizeof(*srq));
	if (srq) {
		srq->f = f;
		srq->pd = pd;
		srq->max = recvs;
		fake_rq_create(&srq->rq, recvs);
		srq->next = f->srqs;
		f->srqs = srq;
		pd->users++;
		f->nr_srqs++;
		*out = srq;
	}
	fake_unlock(f);
	return srq ? 0 : -ENOMEM;
}

static void srq_destroy(struct leap__v_srq *srq)
{
	struct fake_fabric *f = srq->f;
	struct leap__v_srq **at = &f->srqs;

	fake_lock(f);
	if (srq->users)
		abort();
	fake_late(srq->pd->dev);
	while (*at != srq)
		at = &(*at)->next;
	*at = srq->next;
	srq->pd->users--;
	f->nr_srqs--;
	fake_unlock(f);
	free(srq->rq.r);
	free(srq);
}

/* Whoever waits for one, another first each time. */
static void serve(struct leap__v_srq *srq)
{
	uint32_t n = srq->f->nr_ids, skip = srq->f->turn++ % (n ? n : 1), i;
	struct leap__v_id *id = srq->f->ids;

	for (i = 0; i < 2 * n; i++, id = id->next ? id->next : srq->f->ids)
		if (i >= skip && i < skip + n && id->qp &&
		    id->qp->srq == srq && id->peer && id->peer->qp)
			fake_run(id->peer->qp);
}

static int srq_post(struct leap__v_srq *srq, const struct leap__v_recv *r,
		    uint32_t n)
{
	int err;

	fake_lock(srq->f);
	err = fake_rq_post(&srq->rq, srq->max, r, n);
	if (!err)
		serve(srq);
	fake_unlock(srq->f);
	return err;
}

static void dev_events(struct leap__v_dev *dev)
{
	struct leap__v_id *id;

	fake_lock(dev->f);
	for (id = dev->f->ids; id; id = id->next) {
		struct leap__v_qp *qp = id->qp;

		if (!qp || !qp->srq || !qp->error || qp->said_last)
			continue;
		if (qp->nr_taken) {
			fake_complete(qp->cq, qp->taken[--qp->nr_taken],
				 LEAP__V_FLUSHED, 0, 0);
			continue;
		}
		if (dev->f->srq_silent)
			continue;
		qp->said_last = 1;
		__atomic_store_n(qp->caps.last_recv, 1, __ATOMIC_RELEASE);
	}
	fake_unlock(dev->f);
}

uint32_t fake_srq_recvs(struct fake_fabric *f)
{
	uint32_t n;

	fake_lock(f);
	n = f->srqs ? f->srqs->rq.tail - f->srqs->rq.head : 0;
	fake_unlock(f);
	return n;
}

void fake_srq_ops(struct leap__verbs *v)
{
	v->srq_create = srq_create;
	v->srq_destroy = srq_destroy;
	v->srq_post = srq_post;
	v->dev_events = dev_events;
}
