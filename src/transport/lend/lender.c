/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A lender: the device, the socket that borrowers come to, and who is there.
 *
 * The device is used through a leap_host that has no I/O queues of its own: it
 * enables, identifies, asks for queues, hears events, and brings the device
 * back after it was lost. While it is being brought back nothing is lent:
 * borrowers are ended as soon as the old controller is closed, and those that
 * come wait until the new one is live.
 *
 *	OPENING --> LIVE --> LOST --> LIVE ...
 *	    |                  +--loss_ms--> FAILED
 *	    +--> FAILED
 *
 * Knows nothing of what borrowers say.
 */
#include "transport/lend/lend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/io/info.h"
#include "core/io/transport.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/opts.h"

#define LOOK_NS		1000000u	/* is the old controller closed? */
#define MAX_QUEUES	64u
#define MAX_BORROWERS	64u
#define RECONNECT_MS	100u
#define LOSS_MS		30000u

static struct leap__borrower *borrower_of(struct leap__list *pos)
{
	return leap__list_entry(pos, struct leap__borrower, link);
}

static void set_state(struct leap_lender *l, enum leap_lender_state state,
		      int err)
{
	l->state = state;
	if (l->opts.changed && !l->destroying)
		l->opts.changed(l, state, err, l->opts.arg);
}

/* ---- the device ----------------------------------------------------- */

static struct leap__regctrl *ctrl_of(const struct leap_host *h)
{
	struct leap_qp *qp = h->q[0].qp;

	return qp ? ((struct leap__regqp *)qp)->c : NULL;
}

static void live(struct leap_lender *l)
{
	struct leap__list *pos, *tmp;

	l->c = ctrl_of(l->host);
	l->max_queues = leap_host_nr_queues(l->host);
	if (l->max_queues > LEAP__LEND_QID_MAX)
		l->max_queues = LEAP__LEND_QID_MAX;
	set_state(l, LEAP_LENDER_LIVE, 0);
	leap__list_for_each_safe(pos, tmp, &l->borrowers)
		leap__borrower_welcome(borrower_of(pos));
	leap__lender_look(l);
}

/* The controller is closed: its memory is not reached any more. */
static void device_gone(struct leap_lender *l)
{
	struct leap__list *pos, *tmp;

	l->c = NULL;
	leap__list_for_each_safe(pos, tmp, &l->borrowers)
		leap__borrower_lost(borrower_of(pos));
}

static void look_again(struct leap_timer *timer)
{
	struct leap_lender *l =
		leap__list_entry(timer, struct leap_lender, timer);

	if (l->host->tear_asked || l->host->tearing)
		leap_timer_start(l->pg, &l->timer, LOOK_NS);
	else if (l->c)
		device_gone(l);
}

static void host_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	struct leap_lender *l = arg;
	struct leap__list *pos, *tmp;

	switch (state) {
	case LEAP_HOST_LIVE:
		leap_timer_stop(l->pg, &l->timer);
		if (l->c)
			device_gone(l);
		live(l);
		return;
	case LEAP_HOST_RECONNECTING:
		if (l->state == LEAP_LENDER_LIVE)
			l->resets++;
		set_state(l, LEAP_LENDER_LOST, sys_errno);
		leap_timer_start(l->pg, &l->timer, LOOK_NS);
		return;
	case LEAP_HOST_FAILED:
		leap_timer_stop(l->pg, &l->timer);
		device_gone(l);
		set_state(l, LEAP_LENDER_FAILED,
			  sys_errno ? sys_errno : -EIO);
		leap__list_for_each_safe(pos, tmp, &l->borrowers)
			leap__borrower_end(borrower_of(pos), false);
		leap__lender_look(l);
		return;
	default:
		return;
	}
}

static void host_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	struct leap_lender *l = arg;
	struct leap__list *pos;

	leap__list_for_each(pos, &l->borrowers)
		if (borrower_of(pos)->welcomed)
			leap__lend_event(borrower_of(pos), host->event);
}

static int check_url(const char *url)
{
	const struct leap_transport_ops *ops;
	const char *address, *nqn;
	char buf[512];
	int err;

	err = leap__url_split("leap_lender_create", url, 1, buf, sizeof(buf),
			      &ops, &address, &nqn);
	/* What is borrowed may not be lent on: its ids are not ours. */
	if (!err && (ops->qp_submit != leap__regqp_submit ||
		     ops == &leap__lent_transport))
		err = leap__err(-EINVAL, "leap_lender_create: \"%s\" is no "
				"device of its own behind registers", url);
	/* Borrowers name memory by one address for each buffer. */
	if (!err && strstr(address, "?noiommu=1"))
		err = leap__err(-EOPNOTSUPP, "leap_lender_create: \"%s\": "
				"without an IOMMU a device cannot be lent",
				url);
	return err;
}

static int connect_device(struct leap_lender *l)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;
	int err;

	opts.url = l->url;
	opts.hostnqn = l->hostnqn;
	opts.vdev = l->opts.vdev;
	opts.nr_io_queues = l->opts.max_queues;
	opts.depth = 2;
	opts.kato_ms = UINT32_MAX;
	opts.reconnect_ms = l->opts.reconnect_ms;
	opts.loss_ms = l->opts.loss_ms;
	opts.state = host_state;
	opts.event = host_event;
	opts.arg = l;
	err = check_url(l->url);
	if (!err)
		err = leap_host_connect(l->pg, &opts, &l->host);
	if (!err)
		l->host->no_io = 1;
	return err;
}

/* ---- borrowers come ------------------------------------------------- */

/* There is no room: the oldest that has not even said HELLO makes some. */
static bool end_silent(struct leap_lender *l)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &l->borrowers) {
		struct leap__borrower *b = borrower_of(pos);

		if (b->hello || b->ending)
			continue;
		leap__borrower_end(b, false);
		return true;
	}
	return false;
}

int leap__lender_admit(struct leap_lender *l, struct leap__wfd *wfd)
{
	if (l->destroying || l->state == LEAP_LENDER_FAILED)
		return -EUSERS;
	if (l->nr_borrowers >= l->opts.max_borrowers && !end_silent(l))
		return -EUSERS;
	return leap__borrower_start(l, wfd);
}

static int accepted(void *arg, struct leap__wfd *conn)
{
	return leap__lender_admit(arg, conn);
}

/* A connection that some thread of this process has made. */
struct arrival {
	struct leap_msg msg;
	struct leap_lender *l;
	int fd;
};

static void arrived(struct leap_msg *msg)
{
	struct arrival *a = leap__list_entry(msg, struct arrival, msg);
	struct leap_lender *l = a->l;
	struct leap__world *w = leap__pollgroup_world(l->pg);
	struct leap__wfd *wfd;

	if (w->ops->adopt(w, a->fd, &wfd))
		close(a->fd);
	else if (leap__lender_admit(l, wfd))
		w->ops->close(wfd);
	free(a);
	leap__fetch_add(&l->connects, (uint32_t)-1);
	leap__lender_look(l);
}

int leap_lender_connect(struct leap_lender *l)
{
	struct arrival *a = calloc(1, sizeof(*a));
	int pair[2];

	if (!a)
		return leap__err(-ENOMEM, "leap_lender_connect: out of memory");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		free(a);
		return leap__err(-errno, "leap_lender_connect: no socket");
	}
	a->l = l;
	a->fd = pair[1];
	a->msg.run = arrived;
	leap__fetch_add(&l->connects, 1u);
	leap_pollgroup_send(l->pg, &a->msg);
	return pair[0];
}

static int listen_at(struct leap_lender *l)
{
	struct leap_listener_opts opts = LEAP_LISTENER_OPTS_INIT;
	struct leap__wfd *wfd;
	int err;

	opts.mode = l->opts.mode;
	opts.set_owner = l->opts.set_owner;
	opts.uid = l->opts.uid;
	opts.gid = l->opts.gid;
	err = leap__acceptor_listen("leap_lender_create",
				    leap__pollgroup_world(l->pg), l->path,
				    &opts, 128, &wfd);
	return err ? err : leap__acceptor_start(l->pg, wfd, accepted, l,
						&l->acceptor);
}

/* A process that was killed has closed its socket, and nobody may have looked
 * at that yet. */
void leap__lender_sweep(struct leap_lender *l)
{
	struct leap__list *pos, *tmp;

	leap__list_for_each_safe(pos, tmp, &l->borrowers) {
		struct leap__borrower *b = borrower_of(pos);

		if (!b->ending && !b->chan.dead && b->welcomed &&
		    leap__fdchan_peer_closed(&b->chan))
			leap__borrower_end(b, false);
	}
}

/* ---- the end -------------------------------------------------------- */

static void host_closed(void *arg)
{
	struct leap_lender *l = arg;
	void (*done)(void *arg) = l->destroyed;
	void *done_arg = l->destroyed_arg;

	leap_timer_stop(l->pg, &l->timer);
	leap__pollgroup_release(l->pg);
	free(l->url);
	free(l->hostnqn);
	free(l->path);
	free(l);
	if (done)
		done(done_arg);
}

/* By message: a host may not be closed from its own callbacks. */
static void do_work(struct leap_msg *msg)
{
	struct leap_lender *l =
		leap__list_entry(msg, struct leap_lender, work);

	l->work_sent = false;
	leap__lend_release_held(l);
	if (!l->destroying || l->closing || l->nr_borrowers ||
	    leap__load_acquire(&l->connects))
		return;
	l->closing = true;
	leap_host_close(l->host, host_closed, l);
}

void leap__lender_look(struct leap_lender *l)
{
	if (l->work_sent)
		return;
	l->work_sent = true;
	leap_pollgroup_send(l->pg, &l->work);
}

void leap_lender_destroy(struct leap_lender *l, void (*done)(void *arg),
			 void *arg)
{
	struct leap__list *pos, *tmp;

	if (!l)
		return;
	l->destroying = true;
	l->destroyed = done;
	l->destroyed_arg = arg;
	leap__acceptor_stop(l->acceptor);
	l->acceptor = NULL;
	leap__list_for_each_safe(pos, tmp, &l->borrowers)
		leap__borrower_end(borrower_of(pos), false);
	leap__lender_look(l);
}

/* ---- making one ----------------------------------------------------- */

static int take_opts(struct leap_lender *l, const struct leap_lender_opts *from)
{
	struct leap_lender_opts *o = &l->opts;
	int err = leap__opts_copy(o, sizeof(*o), from);

	if (err)
		return err;
	if (!o->url)
		return leap__err(-EINVAL, "leap_lender_create: no url");
	if (!o->max_queues)
		o->max_queues = MAX_QUEUES;
	if (o->max_queues > LEAP__LEND_QID_MAX)
		return leap__err(-EINVAL, "leap_lender_create: max_queues %u "
				 "exceeds %u", o->max_queues,
				 LEAP__LEND_QID_MAX);
	if (!o->max_borrowers)
		o->max_borrowers = MAX_BORROWERS;
	if (!o->reconnect_ms)
		o->reconnect_ms = RECONNECT_MS;
	if (!o->loss_ms)
		o->loss_ms = LOSS_MS;
	if (!o->max_map_bytes)
		o->max_map_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) *
				   (uint64_t)sysconf(_SC_PAGESIZE);
	l->url = strdup(o->url);
	l->hostnqn = o->hostnqn ? strdup(o->hostnqn) : NULL;
	l->path = o->path ? strdup(o->path) : NULL;
	if (!l->url || (o->hostnqn && !l->hostnqn) || (o->path && !l->path))
		return leap__err(-ENOMEM, "leap_lender_create: out of memory");
	return 0;
}

static void free_new(struct leap_lender *l)
{
	leap__acceptor_stop(l->acceptor);
	free(l->url);
	free(l->hostnqn);
	free(l->path);
	free(l);
}

int leap_lender_create(struct leap_pollgroup *pg,
		       const struct leap_lender_opts *opts,
		       struct leap_lender **out)
{
	struct leap_lender *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return leap__err(-ENOMEM, "leap_lender_create: out of memory");
	l->pg = pg;
	l->timer.run = look_again;
	l->work.run = do_work;
	leap__list_init(&l->borrowers);
	leap__list_init(&l->held);
	err = take_opts(l, opts);
	if (!err && l->path)
		err = listen_at(l);
	if (!err)
		err = connect_device(l);
	if (err) {
		free_new(l);
		return err;
	}
	leap__pollgroup_hold(pg);
	*out = l;
	return 0;
}

/* ---- questions ------------------------------------------------------ */

static void count_maps(const struct leap__borrower *b, uint32_t *nr,
		       uint64_t *bytes)
{
	uint32_t i;

	for (i = 0; i < LEAP__LEND_MAX_MAPS; i++)
		*nr += b->maps[i].state != LEAP__LEND_MAP_FREE;
	*bytes += b->map_bytes;
}

int leap_lender_info(const struct leap_lender *l, struct leap_lender_info *info)
{
	struct leap_lender_info full = {
		.state = l->state,
		.nr_borrowers = l->nr_borrowers,
		.nr_fencing = l->nr_fencing,
		.max_queues = l->max_queues,
		.nr_queues = l->nr_queues,
		.nr_vectors = leap__lender_live(l) ? l->c->nr_vectors : 0,
		.shadow = leap__lender_live(l) && l->c->shadow,
		.ended = l->ended,
		.killed = l->killed,
		.refused = l->refused,
		.doorbells = l->doorbells,
		.resets = l->resets,
	};
	struct leap__list *pos;

	leap__list_for_each(pos, &l->borrowers)
		count_maps(borrower_of(pos), &full.nr_maps, &full.map_bytes);
	return leap__info_copy("leap_lender_info", info, &full, sizeof(full));
}

const struct leap_id_ctrl *leap_lender_identify(const struct leap_lender *l)
{
	return leap__lender_live(l) ? l->host->id : NULL;
}

int leap_lender_next(const struct leap_lender *l, uint32_t after,
		     struct leap_borrower_info *info)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &l->borrowers) {
		const struct leap__borrower *b = borrower_of(pos);
		struct leap_borrower_info full = {
			.id = b->id, .pid = b->pid, .fencing = b->ending,
			.commands = b->commands,
		};
		uint32_t i;

		if (b->id <= after)
			continue;
		for (i = 1; i <= LEAP__LEND_MAX_QUEUES; i++)
			full.nr_queues += b->queues[i].sq;
		count_maps(b, &full.nr_maps, &full.map_bytes);
		return leap__info_copy("leap_lender_next", info, &full,
				       sizeof(full));
	}
	return -ENOENT;
}

int leap_lender_evict(struct leap_lender *l, uint32_t id, uint32_t kill,
		      void (*done)(void *arg), void *arg)
{
	struct leap__list *pos;

	leap__list_for_each(pos, &l->borrowers) {
		struct leap__borrower *b = borrower_of(pos);

		if (b->id != id)
			continue;
		if (b->ending)
			return leap__err(-EBUSY, "leap_lender_evict: borrower "
					 "%u is being ended", id);
		b->evicted = done;
		b->evicted_arg = arg;
		leap__borrower_end(b, kill != 0);
		return 0;
	}
	return leap__err(-ENOENT, "leap_lender_evict: no borrower %u", id);
}
