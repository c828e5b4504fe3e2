/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The frame of the real worlds: the epoll set that a poll group sleeps on, the
 * list of descriptors worth trying, and the list of completions to run. What is
 * tried and how is in world_sock.c and world_file.c.
 *
 * Edges. Every descriptor is in the set edge-triggered, so an event says "look
 * again" once. may_read is set by an edge and taken back only when a read found
 * less than it asked for; whatever comes after that read makes a new edge. So
 * either may_read is set, or the set's fd becomes readable when more comes.
 * Busy sockets are received from without asking first: their edges then are
 * stale, which costs a look and nothing else.
 */
#include "config.h"

#include "core/io/world_real.h"
#include "core/io/wake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Polls between two looks at epoll, while looking has found nothing. */
#define LOOK_EVERY 16
#define EVENTS_MAX 64

bool leap__ioq_del(struct leap__io_queue *q, struct leap__io *io)
{
	struct leap__io **p;

	for (p = &q->head; *p; p = &(*p)->link[0]) {
		if (*p != io)
			continue;
		*p = io->link[0];
		if (!*p)
			q->tail = p;
		return true;
	}
	return false;
}

int leap__real_add_epoll(struct leap__real *r, int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	ev.data.ptr = ptr;
	return epoll_ctl(r->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

int leap__real_init(struct leap__real *r, const struct leap__world_ops *ops)
{
	int rc = 0;

	r->w.ops = ops;
	leap__ioq_init(&r->done);
	r->look = true;
	r->epfd = epoll_create1(EPOLL_CLOEXEC);
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC,
				     TFD_CLOEXEC | TFD_NONBLOCK);
	if (r->epfd < 0 || r->wake_fd < 0 || r->timer_fd < 0)
		rc = -errno;
	/* Edges of these two need no read: each signal is a new one. */
	if (!rc)
		rc = leap__real_add_epoll(r, r->wake_fd, &r->wake_fd);
	if (!rc)
		rc = leap__real_add_epoll(r, r->timer_fd, &r->timer_fd);
	if (rc)
		leap__real_fini(r);
	return rc;
}

void leap__real_fini(struct leap__real *r)
{
	while (r->all)
		r->w.ops->close(&r->all->wfd);
	if (r->timer_fd >= 0)
		close(r->timer_fd);
	if (r->wake_fd >= 0)
		close(r->wake_fd);
	if (r->epfd >= 0)
		close(r->epfd);
}

void leap__real_done(struct leap__real *r, struct leap__io *io, int64_t res)
{
	io->res = res;
	io->priv[LEAP__IO_STATE] = LEAP__IO_DONE;
	leap__ioq_push(&r->done, io);
	r->nr_done++;
}

static void link_fd(struct leap__real *r, struct leap__real_fd *f)
{
	f->wfd.world = &r->w;
	f->next = r->all;
	f->prev = &r->all;
	if (f->next)
		f->next->prev = &f->next;
	r->all = f;
}

int leap__real_new_fd(struct leap__real *r, int fd, enum leap__real_kind kind,
		      struct leap__real_fd **out)
{
	struct leap__real_fd *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->fd = fd;
	f->kind = kind;
	f->slot = -1;
	leap__ioq_init(&f->rx);
	leap__ioq_init(&f->tx);
	link_fd(r, f);
	*out = f;
	return 0;
}

void leap__real_free_fd(struct leap__real_fd *f)
{
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	free(f->unlink_path);
	free(f);
}

/* Put @f into the epoll set, or change what it waits for. */
int leap__real_watch(struct leap__real_fd *f, uint32_t events)
{
	struct leap__real *r = leap__real(f->wfd.world);
	struct epoll_event ev = { .events = events | EPOLLET };
	int op = f->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	ev.data.ptr = f;
	r->w.syscalls++;
	if (epoll_ctl(r->epfd, op, f->fd, &ev))
		return -errno;
	f->in_epoll = true;
	f->want_out = (events & EPOLLOUT) != 0;
	return 0;
}

void leap__real_unwatch(struct leap__real_fd *f)
{
	struct leap__real *r = leap__real(f->wfd.world);

	if (!f->in_epoll)
		return;
	r->w.syscalls++;
	epoll_ctl(r->epfd, EPOLL_CTL_DEL, f->fd, NULL);
	f->in_epoll = false;
}

void leap__real_mark(struct leap__real *r, struct leap__real_fd *f)
{
	if (f->dirty)
		return;
	f->dirty = true;
	f->dirty_next = r->dirty;
	f->dirty_prev = &r->dirty;
	if (f->dirty_next)
		f->dirty_next->dirty_prev = &f->dirty_next;
	r->dirty = f;
}

void leap__real_unmark(struct leap__real *r, struct leap__real_fd *f)
{
	if (!f->dirty)
		return;
	f->dirty = false;
	*f->dirty_prev = f->dirty_next;
	if (f->dirty_next)
		f->dirty_next->dirty_prev = f->dirty_prev;
}

/* Not busy any more: from here on epoll says when there is something. */
void leap__real_cool(struct leap__real *r, struct leap__real_fd *f)
{
	uint32_t i;

	if (!f->hot)
		return;
	f->hot = false;
	for (i = 0; i < r->nr_hot; i++)
		if (r->hot[i] == f)
			break;
	r->hot[i] = r->hot[--r->nr_hot];
}

static void take_event(struct leap__real *r, struct leap__real_fd *f,
		       uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		f->may_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		f->may_write = true;
		/* Nobody waits for room any more: no more such edges. */
		if (f->want_out && !f->tx.head)
			leap__real_watch(f, EPOLLIN | EPOLLRDHUP);
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		f->hup = true;
	if (f->rx.head || f->tx.head)
		leap__real_mark(r, f);
	if (!f->hot)
		r->found = true;
}

static void take_events(struct leap__real *r, struct epoll_event *ev, int n)
{
	void *ptr;
	int i;

	for (i = 0; i < n; i++) {
		ptr = ev[i].data.ptr;
		if (ptr == &r->timer_fd)
			r->timer_at_ns = 0;
		else if (ptr == &r->wake_fd)
			r->woken = true;
		else if (ptr != &r->uring)	/* looked at anyway */
			take_event(r, ptr, ev[i].events);
	}
}

/* Ask epoll. No callback runs in between, so what an event points to is still
 * there. */
void leap__real_look(struct leap__real *r)
{
	struct epoll_event ev[EVENTS_MAX];
	int n;

	r->found = false;
	do {
		r->w.syscalls++;
		n = epoll_wait(r->epfd, ev, EVENTS_MAX, 0);
		take_events(r, ev, n);
	} while (n == EVENTS_MAX);
	r->look = false;
	r->skipped = 0;
}

void leap__real_try_all(struct leap__real *r)
{
	struct leap__real_fd *f;

	while ((f = r->dirty)) {
		leap__real_unmark(r, f);
		leap__sock_try(r, f);
	}
	if (r->ring)
		r->ring(r);
}

/* Completions of this moment; those that callbacks cause wait. */
int leap__real_run_done(struct leap__real *r, unsigned int max)
{
	uint32_t left = r->nr_done;
	struct leap__io *io;
	int n = 0;

	if (max && left > max)
		left = max;
	for (; left; left--) {
		io = leap__ioq_pop(&r->done);
		r->nr_done--;
		io->priv[LEAP__IO_STATE] = LEAP__IO_IDLE;
		io->done(io);
		n++;
	}
	return n;
}

/*
 * An empty recv costs about as much as asking epoll. So while one or two
 * sockets are busy they are received from directly, which finds a message with
 * one call instead of two, and epoll is asked now and then; while more are
 * busy, epoll is asked every time.
 */
static void gather(struct leap__real *r)
{
	uint32_t i;

	if (r->fresh) {
		r->fresh = false;
		return;
	}
	if (r->crowded)
		r->crowded--;
	if (r->look || r->crowded || r->found || ++r->skipped >= LOOK_EVERY) {
		leap__real_look(r);
		return;
	}
	for (i = 0; i < r->nr_hot; i++) {
		r->hot[i]->may_read = true;
		if (r->hot[i]->rx.head)
			leap__real_mark(r, r->hot[i]);
	}
}

int leap__real_poll(struct leap__world *w, unsigned int max)
{
	struct leap__real *r = leap__real(w);

	gather(r);
	r->woken = false;	/* arm looks at the queues again */
	leap__real_try_all(r);
	return leap__real_run_done(r, max);
}

void leap__real_flush(struct leap__world *w)
{
	leap__real_try_all(leap__real(w));
}

static int set_timer(struct leap__real *r, uint64_t at_ns)
{
	struct itimerspec its = { 0 };

	if (at_ns == UINT64_MAX)
		at_ns = 0;
	if (at_ns == r->timer_at_ns)
		return 0;
	its.it_value.tv_sec = (time_t)(at_ns / 1000000000u);
	its.it_value.tv_nsec = (long)(at_ns % 1000000000u);
	r->w.syscalls++;
	if (timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &its, NULL))
		return -errno;
	r->timer_at_ns = at_ns;
	return 0;
}

int leap__real_arm(struct leap__world *w, uint64_t deadline_ns)
{
	struct leap__real *r = leap__real(w);

	/*
	 * Stale edges would wake us for nothing: take them all first. A wake
	 * among them may be that of a sender who found us armed a moment ago:
	 * taking it without looking at the queues again would lose it.
	 */
	leap__real_try_all(r);
	leap__real_look(r);
	leap__real_try_all(r);
	r->fresh = false;
	r->look = true;		/* after the sleep */
	if (r->nr_done || r->woken)
		return 1;
	return set_timer(r, deadline_ns) ? 1 : 0;
}

static int pwait2(int epfd, struct epoll_event *ev, const struct timespec *ts)
{
#ifdef HAVE_EPOLL_PWAIT2
	return epoll_pwait2(epfd, ev, EVENTS_MAX, ts, NULL);
#else
	errno = ENOSYS;
	return -1;
#endif
}

static int wait_until(struct leap__real *r, struct epoll_event *ev,
		      uint64_t deadline_ns)
{
	struct timespec ts, *tsp = NULL;
	uint64_t now, left;
	int n;

	if (deadline_ns != UINT64_MAX) {
		now = leap__real_now_ns(&r->w);
		left = deadline_ns > now ? deadline_ns - now : 0;
		ts.tv_sec = (time_t)(left / 1000000000u);
		ts.tv_nsec = (long)(left % 1000000000u);
		tsp = &ts;
	}
	if (!r->no_pwait2) {
		r->w.syscalls++;
		n = pwait2(r->epfd, ev, tsp);
		if (n >= 0 || errno != ENOSYS)
			return n < 0 ? -errno : n;
		r->no_pwait2 = true;
	}
	if (set_timer(r, deadline_ns))
		return -EINTR;
	r->w.syscalls++;
	n = epoll_wait(r->epfd, ev, EVENTS_MAX, -1);
	return n < 0 ? -errno : n;
}

int leap__real_sleep(struct leap__world *w, uint64_t deadline_ns)
{
	struct leap__real *r = leap__real(w);
	struct epoll_event ev[EVENTS_MAX];
	int n = wait_until(r, ev, deadline_ns);

	/* The kernel's own work (a ring that is torn down) ends a sleep like a
	 * signal does: whoever waits for a signal has a handler to say so. */
	if (n == -EINTR)
		n = 0;
	if (n < 0)
		return n;
	take_events(r, ev, n);
	/* What came with this call need not be asked for again. */
	r->look = n == EVENTS_MAX;
	r->fresh = !r->look;
	return 0;
}

int leap__real_epfd(struct leap__world *w)
{
	return leap__real(w)->epfd;
}

/* Context: any; touches nothing that the owner writes. */
void leap__real_wake(struct leap__world *w)
{
	leap__wake_signal(leap__real(w)->wake_fd);
}

int leap__real_borrow_fd(struct leap__wfd *f)
{
	return leap__real_fd(f)->fd;
}

int leap__real_wake_fd(struct leap__world *w)
{
	return leap__real(w)->wake_fd;
}

uint64_t leap__real_now_ns(struct leap__world *w)
{
	struct timespec ts;

	(void)w;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t leap__real_random(struct leap__world *w)
{
	uint64_t v = 0;

	w->syscalls++;
	while (getrandom(&v, sizeof(v), 0) != (ssize_t)sizeof(v))
		;
	return v;
}
