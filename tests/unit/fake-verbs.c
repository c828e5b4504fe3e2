/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fake fabric itself, the memory that is registered with it, and completion
 * queues with their channels. Knows nothing of who completes what: fake-qp.c.
 */
#include "fake-verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The library has freed what this would touch. */
void fake_late(const struct leap__v_dev *dev)
{
	if (dev->removed && !dev->nr_ids)
		dev->f->nr_late++;
}

/* ---- memory ---- */

static int pd_create(struct leap__v_dev *dev, struct leap__v_pd **out)
{
	struct leap__v_pd *pd = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		pd = calloc(1, sizeof(*pd));
	if (pd) {
		pd->dev = dev;
		dev->f->nr_pds++;
		*out = pd;
	}
	fake_unlock(dev->f);
	return pd ? 0 : -ENOMEM;
}

static void pd_destroy(struct leap__v_pd *pd)
{
	fake_lock(pd->dev->f);
	if (pd->users)
		abort();
	fake_late(pd->dev);
	pd->dev->f->nr_pds--;
	fake_unlock(pd->dev->f);
	free(pd);
}

static int mr_create(struct leap__v_pd *pd, void *addr, uint64_t bytes,
		     uint32_t access, struct leap__v_keys *keys,
		     struct leap__v_mr **out)
{
	struct fake_fabric *f = pd->dev->f;
	struct leap__v_mr *mr = NULL;
	uint32_t i, n;

	fake_lock(f);
	if (access & LEAP__V_ON_DEMAND && f->pins)
		f->nr_refused++;
	else if (f->max_mrs && f->nr_mrs >= f->max_mrs)
		f->nr_refused++;
	else if (!fake_fails(f))
		mr = calloc(1, sizeof(*mr));
	/* Not the key that was given back last. */
	for (n = 0, i = f->next_mr; mr && f->mrs[i]; n++)
		i = (i + 1) % FAKE_MRS;
	if (mr) {
		f->next_mr = (i + 1) % FAKE_MRS;
		mr->pd = pd;
		mr->addr = (uintptr_t)addr;
		mr->bytes = bytes;
		mr->access = access;
		mr->key = ++f->key_gen << 16 | i;
		f->mrs[i] = mr;
		f->nr_mrs++;
		f->nr_unpinned += !!(access & LEAP__V_ON_DEMAND);
		pd->users++;
		keys->lkey = mr->key;
		keys->rkey = mr->key;
		*out = mr;
	}
	fake_unlock(f);
	return mr ? 0 : -ENOMEM;
}

static void mr_destroy(struct leap__v_mr *mr)
{
	struct fake_fabric *f = mr->pd->dev->f;

	fake_lock(f);
	fake_late(mr->pd->dev);
	f->mrs[mr->key & 0xffff] = NULL;
	f->nr_mrs--;
	mr->pd->users--;
	fake_unlock(f);
	free(mr);
}

uint8_t *fake_reach(struct fake_fabric *f, const struct leap__v_pd *pd,
		    uint32_t key, uint64_t addr, uint64_t len, uint32_t access)
{
	const struct leap__v_mr *mr = f->mrs[key & 0xffff];

	if (!mr || mr->key != key || mr->pd != pd || mr->invalid ||
	    (mr->access & access) != access || addr < mr->addr ||
	    len > mr->bytes || addr - mr->addr > mr->bytes - len)
		return NULL;
	if (addr - f->alias_at < f->alias_bytes)
		return f->alias + (addr - f->alias_at);
	return (uint8_t *)(uintptr_t)addr;
}

void fake_may_invalidate(struct fake_fabric *f, uint32_t key)
{
	fake_lock(f);
	f->mrs[key & 0xffff]->may_invalidate = 1;
	fake_unlock(f);
}

int fake_is_invalid(struct fake_fabric *f, uint32_t key)
{
	int is;

	fake_lock(f);
	is = f->mrs[key & 0xffff]->invalid;
	fake_unlock(f);
	return is;
}

/* ---- completions ---- */

static int comp_create(struct leap__v_dev *dev, struct leap__v_comp **out)
{
	struct leap__v_comp *c = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		c = calloc(1, sizeof(*c));
	if (c) {
		c->f = dev->f;
		c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
		dev->f->nr_comps++;
		*out = c;
	}
	fake_unlock(dev->f);
	return c ? 0 : -ENOMEM;
}

static void comp_destroy(struct leap__v_comp *c)
{
	fake_lock(c->f);
	c->f->nr_comps--;
	fake_unlock(c->f);
	close(c->fd);
	free(c);
}

static int comp_fd(struct leap__v_comp *c)
{
	return c->fd;
}

/* Takes @told[@i] out: its turn has come, or it goes. */
static void take_told(struct leap__v_comp *c, uint32_t i)
{
	uint64_t count;

	if (read(c->fd, &count, sizeof(count)) != sizeof(count))
		abort();
	for (c->nr_told--; i < c->nr_told; i++)
		c->told[i] = c->told[i + 1];
}

static struct leap__v_cq *comp_next(struct leap__v_comp *c)
{
	struct leap__v_cq *cq = NULL;

	fake_lock(c->f);
	if (c->nr_told) {
		cq = c->told[0];
		take_told(c, 0);
	}
	fake_unlock(c->f);
	return cq;
}

static void tell(struct leap__v_cq *cq)
{
	struct leap__v_comp *c = cq->comp;
	uint64_t one = 1;
	uint32_t i;

	for (i = 0; i < c->nr_told; i++)
		if (c->told[i] == cq)
			return;
	if (i == sizeof(c->told) / sizeof(c->told[0]) ||
	    write(c->fd, &one, sizeof(one)) != sizeof(one))
		abort();
	c->told[c->nr_told++] = cq;
}

static int cq_create(struct leap__v_dev *dev, uint32_t entries,
		     struct leap__v_comp *comp, struct leap__v_cq **out)
{
	struct leap__v_cq *cq = NULL;

	fake_lock(dev->f);
	if (!fake_fails(dev->f))
		cq = calloc(1, sizeof(*cq));
	if (cq) {
		cq->f = dev->f;
		cq->comp = comp;
		for (cq->size = 1; cq->size < entries;)
			cq->size *= 2;
		cq->wc = calloc(cq->size, sizeof(*cq->wc));
		dev->f->nr_cqs++;
		*out = cq;
	}
	fake_unlock(dev->f);
	return cq ? 0 : -ENOMEM;
}

static void cq_destroy(struct leap__v_cq *cq)
{
	uint32_t i;

	fake_lock(cq->f);
	for (i = 0; i < cq->comp->nr_told; i++)
		if (cq->comp->told[i] == cq)
			take_told(cq->comp, i);
	cq->f->nr_cqs--;
	fake_unlock(cq->f);
	free(cq->wc);
	free(cq);
}

void fake_complete(struct leap__v_cq *cq, uint64_t id, uint32_t status,
		   uint32_t bytes, uint32_t flags)
{
	struct leap__v_wc *wc = &cq->wc[cq->tail & (cq->size - 1)];

	if (cq->tail - cq->head == cq->size)
		abort();	/* overrun: our bug */
	wc->id = id;
	wc->status = status;
	wc->bytes = bytes;
	wc->flags = flags;
	__atomic_store_n(&cq->tail, cq->tail + 1, __ATOMIC_RELEASE);
	if (!cq->armed)
		return;
	cq->armed = 0;
	tell(cq);
}

static int cq_arm(struct leap__v_cq *cq)
{
	fake_lock(cq->f);
	cq->armed = 1;
	cq->f->nr_arms++;
	fake_unlock(cq->f);
	return 0;
}

static int cq_poll(struct leap__v_cq *cq, struct leap__v_wc *wc, int n)
{
	int i = 0;

	/* As a device: an empty queue costs a load and no lock. */
	if (__atomic_load_n(&cq->tail, __ATOMIC_ACQUIRE) == cq->head)
		return 0;
	fake_lock(cq->f);
	cq->f->nr_polls++;
	while (i < n && cq->head != cq->tail)
		wc[i++] = cq->wc[cq->head++ & (cq->size - 1)];
	fake_unlock(cq->f);
	return i;
}

static int dev_caps(struct leap__v_dev *dev, struct leap__v_caps *caps)
{
	fake_lock(dev->f);
	*caps = dev->caps;
	fake_unlock(dev->f);
	return 0;
}

struct fake_fabric *fake_fabric_create(void)
{
	struct fake_fabric *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->mrs = calloc(FAKE_MRS, sizeof(struct leap__v_mr *));
	pthread_mutex_init(&f->lock, NULL);
	f->dev.f = f;
	f->dev.caps = (struct leap__v_caps) {
		.max_wr = 16384, .max_sge = FAKE_SGES, .read_sges = FAKE_SGES,
		.max_cqe = 65536, .max_srq = 16384, .max_ird = 16,
		.max_ord = 16,
	};
	f->next_port = 40000;
	fake_cm_ops(&f->v);
	f->v.dev_caps = dev_caps;
	f->v.pd_create = pd_create;
	f->v.pd_destroy = pd_destroy;
	f->v.mr_create = mr_create;
	f->v.mr_destroy = mr_destroy;
	f->v.comp_create = comp_create;
	f->v.comp_destroy = comp_destroy;
	f->v.comp_fd = comp_fd;
	f->v.comp_next = comp_next;
	f->v.cq_create = cq_create;
	f->v.cq_destroy = cq_destroy;
	f->v.cq_arm = cq_arm;
	f->v.cq_poll = cq_poll;
	fake_qp_ops(&f->v);
	fake_srq_ops(&f->v);
	return f;
}

unsigned int fake_fabric_destroy(struct fake_fabric *f)
{
	unsigned int left = f->nr_chans + f->nr_ids + f->nr_pds + f->nr_mrs +
			    f->nr_comps + f->nr_cqs + f->nr_qps + f->nr_srqs +
			    (unsigned int)f->nr_late;
	uint32_t i;

	for (i = 0; i < f->nr_devs; i++)
		free(f->devs[i]);
	pthread_mutex_destroy(&f->lock);
	free(f->mrs);
	free(f);
	return left;
}
