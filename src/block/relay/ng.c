/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ng: a namespace of a drive that the kernel keeps. A leaf.
 *
 *	ng:/dev/ngXnY[start=BLOCK,blocks=N,depth=N,loss_ms=N,lock=on|off,
 *	              rescan_ms=N]
 *
 * Commands go through the kernel's pass-through as they would to a far end: the
 * whole data path is the relay's, windows and lists with LBAs too. Nothing is
 * bound or unbound, and no more is needed than the node's mode. Each channel
 * has a ring of its own; a command that the kernel could not finish because it
 * was resetting the drive waits and is sent again for loss_ms.
 *
 * Knows the kernel by its table only (ng.h).
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/bdev.h"
#include "block/relay/ng.h"
#include "core/io/host.h"
#include "core/io/pollgroup.h"
#include "core/io/world.h"
#include "util/atomic.h"
#include "util/err.h"

#define MS		1000000ull
#define IOVS		128u	/* of a command */
#define MAX_BYTES	(256u << 10)
/* Where the kernel does not say: what it takes behind an IOMMU, too. */
#define SAFE_BYTES	(128u << 10)
#define SAFE_SEGMENTS	127u
#define REAP		64u
#define AGAIN_MS	100u
#define RESCAN_MS	5000u

/* A command that is out, or waits to be sent again. */
struct slot {
	struct leap_req *req;	/* NULL = free */
	uint64_t since_ns;	/* when it failed first; 0 = it did not */
	uint32_t next;		/* free, or waits */
	uint32_t nr_iov;
	uint32_t bytes;
	struct iovec iov[IOVS];
};

#define NONE UINT32_MAX

/* Of a bdev. */
struct leap__ng_dev {
	struct leap__relay relay;	/* first */
	struct leap_bdev *bdev;
	struct leap_timer rescan;
	uint64_t rescan_ns;	/* 0 = never */
};

/* Of a channel; outlives it until its event fd has been given back. */
struct leap__ng {
	struct leap_poller poller;	/* first */
	const struct leap__ng_kernel *kernel;
	struct leap__relay *relay;
	struct leap__link *link;
	struct leap_pollgroup *pg;
	void *ring;
	int event_fd;
	struct leap__wfd *wfd;
	struct leap__io watch;
	struct leap_timer timer;	/* what failed is sent again */
	bool closing;
	uint32_t free, again;		/* lists of slots */
	uint32_t nr_out;
	uint32_t depth;
	struct slot slots[];
};

/* ---- commands ---- */

static void send_slot(struct leap__ng *ng, uint32_t i)
{
	struct slot *s = &ng->slots[i];
	int err;

	do {
		err = ng->kernel->submit(ng->ring, i, &s->req->sqe, s->iov,
					 s->nr_iov, s->bytes);
		if (err)
			ng->kernel->push(ng->ring);
	} while (err == -EAGAIN);
	ng->nr_out++;
}

/* 1: taken; 0: as many are out as there may be. */
static int ng_send(struct leap__link *link, struct leap_req *req)
{
	struct leap__ng *ng = link->ng;
	uint32_t i = ng->free, k, n = 0;
	struct slot *s;

	if (i == NONE)
		return 0;
	s = &ng->slots[i];
	ng->free = s->next;
	s->req = req;
	s->since_ns = 0;
	s->bytes = 0;
	for (k = 0; k < req->nr_pieces; k++) {
		if (!req->pieces[k].len_bytes)
			continue;
		s->iov[n].iov_base = req->pieces[k].addr;
		s->iov[n++].iov_len = req->pieces[k].len_bytes;
		s->bytes += req->pieces[k].len_bytes;
	}
	s->nr_iov = n;
	send_slot(ng, i);
	return 1;
}

static void end_slot(struct leap__ng *ng, uint32_t i, leap_status_t status,
		     int sys_errno, uint64_t result)
{
	struct slot *s = &ng->slots[i];
	struct leap_req *req = s->req;

	s->req = NULL;
	s->next = ng->free;
	ng->free = i;
	req->sys_errno = sys_errno;
	req->cqe.status = leap_to_le16((uint16_t)(status << 1));
	req->cqe.result = leap_to_le64(result);
	req->done(req);
}

static void retry(struct leap_timer *timer)
{
	struct leap__ng *ng = leap__list_entry(timer, struct leap__ng, timer);
	uint32_t i = ng->again, next;

	ng->again = NONE;
	for (; i != NONE; i = next) {
		next = ng->slots[i].next;
		send_slot(ng, i);
	}
	ng->kernel->push(ng->ring);
}

/* Was it the way to the drive that failed, and not the command? */
static bool may_come_back(int32_t res)
{
	return res == -EAGAIN || res == -EINTR ||
	       (res > 0 && LEAP_STATUS_SCT(LEAP_STATUS_CODE(res)) ==
			   LEAP_SCT_PATH);
}

/* The drive had it: nobody knows what it has done with it. */
static bool may_be_done(int32_t res)
{
	return res == -EIO || (res > 0 && LEAP_STATUS_CODE(res) ==
					  LEAP_SC_PATH_HOST_ABORTED);
}

/* 1 = it will be sent again. */
static int hold_back(struct leap__ng *ng, uint32_t i, int32_t res)
{
	uint64_t now = leap_pollgroup_now_ns(ng->pg);
	struct slot *s = &ng->slots[i];

	if (!may_come_back(res) || ((struct leap__rbio *)s->req)->let_go ||
	    (may_be_done(res) && !leap__sqe_may_run_twice(&s->req->sqe)))
		return 0;
	if (!s->since_ns) {
		s->since_ns = now;
		leap__fetch_add(&ng->relay->held, 1u);
	}
	if (now - s->since_ns >= ng->relay->loss_ms * MS)
		return 0;
	if (ng->again == NONE)
		leap_timer_start(ng->pg, &ng->timer, AGAIN_MS * MS);
	/* A write that a zone refuses next may be the one that it has. */
	ng->link->lost++;
	s->next = ng->again;
	ng->again = i;
	return 1;
}

static leap_status_t status_of(int32_t res)
{
	switch (res) {
	case -EPERM:
	case -EACCES:
		return LEAP_SC_OP_DENIED | LEAP_STATUS_DNR;
	case -EAGAIN:
	case -EINTR:
	case -ENODEV:
	case -ENXIO:
	case -EIO:
		return LEAP_SC_PATH_CTRL;
	}
	return LEAP_SC_INTERNAL | LEAP_STATUS_DNR;
}

static void ended(struct leap__ng *ng, const struct leap__ng_event *e)
{
	ng->nr_out--;
	if (hold_back(ng, e->tag, e->res))
		return;
	if (e->res < 0)
		end_slot(ng, e->tag, status_of(e->res),
			 may_be_done(e->res) ? e->res : 0, 0);
	else
		end_slot(ng, e->tag, (leap_status_t)e->res,
			 may_be_done(e->res) ? -EIO : 0, e->result);
}

/* What the kernel has nobody gets out of it; but what waits here need not. */
static void let_go(struct leap__link *link)
{
	struct leap__ng *ng = link->ng;
	uint32_t i, next, stay = NONE, gone = NONE, *list;

	for (i = 0; i < ng->depth; i++)
		if (ng->slots[i].req)
			leap__relay_has_to_go(ng->slots[i].req, NULL);
	for (i = ng->again; i != NONE; i = next) {
		next = ng->slots[i].next;
		list = ((struct leap__rbio *)ng->slots[i].req)->let_go ?
		       &gone : &stay;
		ng->slots[i].next = *list;
		*list = i;
	}
	ng->again = stay;
	for (i = gone; i != NONE; i = next) {
		next = ng->slots[i].next;
		end_slot(ng, i, LEAP_SC_PATH_CTRL, 0, 0);
	}
}

static int ng_poll(struct leap_poller *poller, unsigned int budget)
{
	struct leap__ng *ng = (struct leap__ng *)poller;
	struct leap__ng_event e[REAP];
	uint32_t i, n;

	if (!ng->nr_out)
		return 0;
	ng->kernel->push(ng->ring);
	n = ng->kernel->reap(ng->ring, e, budget && budget < REAP ? budget :
			     REAP);
	for (i = 0; i < n; i++)
		ended(ng, &e[i]);
	if (n)
		ng->kernel->push(ng->ring);
	return (int)n;
}

static int ng_arm(struct leap_poller *poller)
{
	struct leap__ng *ng = (struct leap__ng *)poller;

	if (!ng->nr_out)
		return 0;
	ng->kernel->push(ng->ring);
	return ng->kernel->arm(ng->ring, true);
}

/* ---- a channel ---- */

static void ng_free(struct leap__ng *ng)
{
	leap__pollgroup_release(ng->pg);
	free(ng->link);
	free(ng);
}

static void event_fired(struct leap__io *io)
{
	struct leap__ng *ng = io->arg;

	/* It has ended the sleep; the poller does the rest. */
	if (!ng->closing && !io->res) {
		ng->kernel->arm(ng->ring, false);
		leap__io_submit(io->wfd->world, io);
		return;
	}
	ng->wfd = NULL;
	if (ng->closing)
		ng_free(ng);
}

static int watch_events(struct leap__ng *ng)
{
	struct leap__world *w = leap__pollgroup_world(ng->pg);
	int err;

	ng->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (ng->event_fd < 0)
		return -errno;
	err = w->ops->adopt(w, ng->event_fd, &ng->wfd);
	if (err) {
		close(ng->event_fd);
		ng->wfd = NULL;
		return err;
	}
	return 0;
}

static void start_watching(struct leap__ng *ng)
{
	ng->watch = (struct leap__io){
		.op = LEAP__IO_WATCH, .wfd = ng->wfd, .done = event_fired,
		.arg = ng,
	};
	leap__io_submit(ng->wfd->world, &ng->watch);
}

static struct leap__ng *ng_alloc(struct leap__relay *relay,
				 struct leap_pollgroup *pg)
{
	struct leap__ng *ng = calloc(1, sizeof(*ng) + relay->depth *
				     sizeof(ng->slots[0]));
	uint32_t i;

	if (!ng)
		return NULL;
	ng->relay = relay;
	ng->pg = pg;
	ng->depth = relay->depth;
	ng->again = NONE;
	ng->timer.run = retry;
	ng->poller.poll = ng_poll;
	ng->poller.arm = ng_arm;
	for (i = 0; i < ng->depth; i++)
		ng->slots[i].next = i + 1 < ng->depth ? i + 1 : NONE;
	ng->link = leap__relay_link_alloc(relay, pg);
	if (!ng->link) {
		free(ng);
		return NULL;
	}
	leap__pollgroup_hold(pg);
	ng->link->ng = ng;
	ng->link->send = ng_send;
	ng->link->let_go = let_go;
	return ng;
}

static const struct leap__ng_kernel *kernel_of(const struct leap_bdev *bdev)
{
	return bdev->table == &leap__ng_ops ? &leap__ng_kernel :
	       ((const struct leap__ng_layer *)bdev->table)->kernel;
}

static int ng_chan_open(struct leap_chan *chan)
{
	struct leap__relay *relay = leap_bdev_priv(leap_chan_bdev(chan));
	struct leap__link **link = leap_chan_priv(chan);
	struct leap__ng *ng = ng_alloc(relay, leap_chan_pollgroup(chan));
	int err;

	if (!ng)
		return leap__err(-ENOMEM, "ng: depth %u: out of memory",
				 relay->depth);
	ng->kernel = kernel_of(leap_chan_bdev(chan));
	err = watch_events(ng);
	if (err) {
		ng_free(ng);
		return leap__err(err, "ng: no event fd: %s", strerror(-err));
	}
	err = ng->kernel->ring_open(relay->dev, ng->depth, ng->event_fd,
				    &ng->ring);
	if (err) {
		ng->wfd->world->ops->close(ng->wfd);
		ng_free(ng);
		return err;
	}
	start_watching(ng);
	leap_pollgroup_add_poller(ng->pg, &ng->poller);
	leap__fetch_add(&relay->groups_live, 1u);
	*link = ng->link;
	return 0;
}

static void ng_chan_close(struct leap_chan *chan)
{
	struct leap__link **link = leap_chan_priv(chan);
	struct leap__ng *ng = (*link)->ng;

	leap__fetch_add(&ng->relay->groups_live, (uint32_t)-1);
	leap_pollgroup_del_poller(ng->pg, &ng->poller);
	leap_timer_stop(ng->pg, &ng->timer);
	leap_timer_stop(ng->pg, &ng->link->go_timer);
	ng->kernel->ring_close(ng->ring);
	ng->closing = true;
	if (ng->wfd)
		ng->wfd->world->ops->close(ng->wfd);
	else
		ng_free(ng);
}

/* ---- the namespace ---- */

static int identify_csi(const struct leap__ng_kernel *kernel, void *dev,
			uint32_t cns, uint32_t csi, uint32_t nsid, void *data)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = LEAP_ADM_IDENTIFY;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32(cns);
	sqe.cdw11 = leap_to_le32(LEAP_PUT(csi, LEAP_IDENTIFY_CDW11_CSI));
	memset(data, 0, LEAP_IDENTIFY_SIZE);
	return kernel->admin(dev, &sqe, data, LEAP_IDENTIFY_SIZE);
}

static int identify(const struct leap__ng_kernel *kernel, void *dev,
		    uint32_t cns, uint32_t nsid, void *data)
{
	return identify_csi(kernel, dev, cns, 0, nsid, data);
}

/* The namespace's command set; those before there were several have none. */
static uint8_t command_set(const struct leap__ng_kernel *kernel, void *dev,
			   uint32_t nsid, uint8_t *page)
{
	const uint8_t *p = page, *end = page + LEAP_IDENTIFY_SIZE;

	if (identify(kernel, dev, LEAP_CNS_NS_DESC, nsid, page))
		return LEAP_CSI_NVM;
	for (; end - p > 4 && p[1] && p[1] <= end - p - 4; p += 4 + p[1])
		if (p[0] == LEAP_NIDT_CSI && p[1] == LEAP_NIDL_CSI)
			return p[4];
	return LEAP_CSI_NVM;
}

/* A piece that begins and ends anywhere has two segments more than pages. */
static void set_limits(const struct leap__ng_kernel *kernel,
		       struct leap__relay *relay)
{
	uint32_t bytes = SAFE_BYTES, segments = SAFE_SEGMENTS, pages, n;

	kernel->limits(relay->url, &bytes, &segments);
	if (bytes > MAX_BYTES)
		bytes = MAX_BYTES;
	if (bytes / 4096 > segments / 2)
		bytes = segments / 2 * 4096;
	if (bytes < 4096)
		bytes = 4096;
	if (relay->far.max_bytes > bytes)
		relay->far.max_bytes = bytes;
	pages = relay->far.max_bytes / 4096;
	n = segments > pages ? (segments - pages) / 2 : 1;
	relay->far.max_pieces = !n ? 1 : n < IOVS ? n : IOVS;
}

/* Pages of the zoned command set. */
static int ask_zones(const struct leap__ng_kernel *kernel,
		     struct leap__relay *relay, struct leap_host_ns *ns,
		     uint8_t *page)
{
	if (identify_csi(kernel, relay->dev, LEAP_CNS_CSI_NS, LEAP_CSI_ZNS,
			 relay->nsid, page) ||
	    leap__host_ns_zones(ns, (const void *)page))
		return leap__err(-EOPNOTSUPP, "ng: %s: zones of which nothing "
				 "is said", relay->url);
	if (!identify_csi(kernel, relay->dev, LEAP_CNS_CSI_CTRL, LEAP_CSI_ZNS,
			  0, page))
		leap__host_ns_append(ns, (const void *)page);
	return 0;
}

static int ask(const struct leap__ng_kernel *kernel, struct leap__relay *relay,
	       uint8_t *pages)
{
	struct leap_id_ctrl *id = (struct leap_id_ctrl *)(void *)pages;
	struct leap_id_ns *id_ns = (struct leap_id_ns *)(void *)(pages + 4096);
	struct leap_id_ctrl_nvm *nvm =
		(struct leap_id_ctrl_nvm *)(void *)(pages + 8192);
	struct leap_host_ns ns = { .size = sizeof(ns) };
	uint8_t csi;
	int rc;

	rc = identify(kernel, relay->dev, LEAP_CNS_CTRL, 0, id);
	if (!rc)
		rc = identify(kernel, relay->dev, LEAP_CNS_NS, relay->nsid,
			      id_ns);
	if (rc)
		return leap__err(rc < 0 ? rc : -EIO, "ng: %s: Identify "
				 "answered %s %d", relay->url, rc < 0 ?
				 "error" : "status", rc < 0 ? -rc : rc);
	csi = command_set(kernel, relay->dev, relay->nsid, pages + 8192);
	if (csi != LEAP_CSI_NVM && csi != LEAP_CSI_ZNS)
		return leap__err(-EOPNOTSUPP, "ng: %s: the namespace has "
				 "another command set than NVM or zones",
				 relay->url);
	if (leap__host_ns_set(&ns, relay->nsid, id_ns))
		return leap__err(-EOPNOTSUPP, "ng: %s: a format that is none",
				 relay->url);
	if (csi == LEAP_CSI_ZNS)
		rc = ask_zones(kernel, relay, &ns, pages + 8192);
	if (rc)
		return rc;
	if (identify(kernel, relay->dev, LEAP_CNS_CSI_CTRL, 0, nvm))
		memset(nvm, 0, sizeof(*nvm));
	leap__relay_far(id, nvm, &ns, &relay->far);
	/* The kernel keeps no two commands together. */
	relay->far.caps &= ~LEAP_BDEV_COMPARE_WRITE;
	set_limits(kernel, relay);
	return 0;
}

static int look(const struct leap__ng_kernel *kernel, struct leap__relay *relay,
		int lock)
{
	bool read_only = false;
	uint8_t *pages;
	int rc;

	rc = kernel->open(relay->url, &read_only, &relay->dev);
	if (rc)
		return leap__err(rc, "ng: %s: %s", relay->url, strerror(-rc));
	rc = kernel->nsid(relay->dev);
	if (rc <= 0)
		return leap__err(rc ? rc : -ENOTTY, "ng: %s is not the node of "
				 "an NVMe namespace", relay->url);
	relay->nsid = (uint32_t)rc;
	if (lock && kernel->hold(relay->dev, relay->url) == -EBUSY)
		return leap__err(-EBUSY, "ng: %s: the namespace is mounted or "
				 "otherwise in use", relay->url);
	pages = aligned_alloc(4096, 3 * 4096);
	if (!pages)
		return leap__err(-ENOMEM, "ng: out of memory");
	rc = ask(kernel, relay, pages);
	free(pages);
	if (read_only)
		relay->far.caps |= LEAP_BDEV_READONLY;
	return rc;
}

/* ---- a new size ---- */

static void rescan(struct leap_timer *timer)
{
	struct leap__ng_dev *dev = leap__list_entry(timer, struct leap__ng_dev,
						    rescan);
	struct leap_bdev_info info = { .size = sizeof(info) };
	uint64_t blocks;

	leap_timer_start(leap_bdev_pollgroup(dev->bdev), timer,
			 dev->rescan_ns);
	leap_bdev_info(dev->bdev, &info);
	if (kernel_of(dev->bdev)->size(dev->relay.url, &blocks))
		return;
	blocks /= info.block_bytes / 512;
	if (blocks <= dev->relay.start)
		return;
	blocks -= dev->relay.start;
	if (blocks != info.nr_blocks)
		leap_bdev_set(dev->bdev, info.block_bytes, blocks, info.caps);
}

/* Zones and windows stay as they are. */
static void start_rescans(struct leap_bdev *bdev)
{
	struct leap__ng_dev *dev = leap_bdev_priv(bdev);

	dev->bdev = bdev;
	if (!dev->rescan_ns || dev->relay.blocks || dev->relay.far.zone_blocks)
		return;
	dev->rescan.run = rescan;
	leap_timer_start(leap_bdev_pollgroup(bdev), &dev->rescan,
			 dev->rescan_ns);
}

static int ng_opts(struct leap_bdev *bdev, struct leap__relay *relay,
		   int *lock)
{
	uint64_t depth = 0, loss = 0, rescan_ms = 0;
	int err;

	relay->name = "ng";
	relay->url = leap_bdev_arg(bdev);
	if (!relay->url)
		return leap__err(-EINVAL, "ng: a path is missing, as in "
				 "ng:/dev/ng0n1");
	err = leap_bdev_opt_u64(bdev, "start", 0, UINT64_MAX, &relay->start);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "blocks", 0, UINT64_MAX,
					&relay->blocks);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "depth", 128, 4096, &depth);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "loss_ms", 30000, UINT32_MAX - 1,
					&loss);
	if (!err)
		err = leap_bdev_opt_bool(bdev, "lock", 1, lock);
	if (!err)
		err = leap_bdev_opt_u64(bdev, "rescan_ms", RESCAN_MS, 86400000,
					&rescan_ms);
	if (!err && !depth)
		err = leap__err(-EINVAL, "ng: depth is 0");
	relay->depth = (uint32_t)depth;
	relay->loss_ms = (uint32_t)loss;
	((struct leap__ng_dev *)relay)->rescan_ns = rescan_ms * MS;
	return err;
}

static void ng_close(struct leap_bdev *bdev)
{
	struct leap__ng_dev *dev = leap_bdev_priv(bdev);
	struct leap__relay *relay = &dev->relay;

	leap_timer_stop(leap_bdev_pollgroup(bdev), &dev->rescan);
	if (relay->dev)
		kernel_of(bdev)->close(relay->dev);
	relay->dev = NULL;
}

static int ng_open(struct leap_bdev *bdev)
{
	struct leap__relay *relay = leap_bdev_priv(bdev);
	int lock = 1, err = ng_opts(bdev, relay, &lock);

	if (!err)
		err = look(kernel_of(bdev), relay, lock);
	if (!err)
		err = leap__relay_describe(bdev, relay);
	if (!err)
		start_rescans(bdev);
	else
		ng_close(bdev);
	return err;
}

/* A command of a killed process may still be with the drive. */
static int ng_lock_path(const struct leap_bdev *bdev, char *path, size_t max)
{
	return -ENOLCK;
}

const struct leap_bdev_ops leap__ng_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "ng",
	.help = "ng:/dev/ngXnY   a namespace that the kernel drives\n"
		"start=BLOCK     first block of the window (0)\n"
		"blocks=N        blocks of the window (0: all)\n"
		"depth=N         commands of each thread (128)\n"
		"loss_ms=N       how long they wait while it is reset (30000)\n"
		"lock=on|off     keep mounts and others away (on)\n"
		"rescan_ms=N     look for a new size (5000; 0 = never)",
	.bdev_bytes = sizeof(struct leap__ng_dev),
	.chan_bytes = sizeof(struct leap__link *),
	.bio_bytes = sizeof(struct leap__rbio),
	.open = ng_open,
	.close = ng_close,
	.chan_open = ng_chan_open,
	.chan_close = ng_chan_close,
	.submit = leap__relay_bio,
	.lock_path = ng_lock_path,
	.let_go = leap__relay_chan_let_go,
};
