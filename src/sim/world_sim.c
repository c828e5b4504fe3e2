/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated world: the seam's table over sim_net.c and sim_disk.c. It keeps
 * the rules of the seam to the letter (done in poll only, exactly once), and
 * where the rules leave a choice, chance makes it.
 */
#include "sim/sim_int.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* io->priv[0] */
enum { IO_IDLE, IO_PENDING, IO_DONE };

void simq_init(struct sim_queue *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

void simq_push(struct sim_queue *q, struct leap__io *io)
{
	io->link[0] = NULL;
	*q->tail = io;
	q->tail = &io->link[0];
}

struct leap__io *simq_pop(struct sim_queue *q)
{
	struct leap__io *io = q->head;

	if (io)
		simq_del(q, io);
	return io;
}

bool simq_del(struct sim_queue *q, struct leap__io *io)
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

void sim_done(struct sim_world *w, struct leap__io *io, int64_t res)
{
	io->res = res;
	io->priv[0] = IO_DONE;
	simq_push(&w->done, io);
	w->nr_done++;
	w->awake = true;
}

struct sim_fd *sim_fd_new(struct sim_world *w, enum sim_fd_kind kind)
{
	struct sim_fd *f = sim_alloc(sizeof(*f));

	f->kind = kind;
	f->id = ++w->sim->next_id;
	simq_init(&f->rx);
	simq_init(&f->tx);
	f->accepts_tail = &f->accepts;
	sim_fd_move(f, w);
	return f;
}

/* To another world's list; NULL = to none. */
void sim_fd_move(struct sim_fd *f, struct sim_world *w)
{
	if (f->wfd.world) {
		*f->prev = f->next;
		if (f->next)
			f->next->prev = f->prev;
	}
	f->wfd.world = w ? &w->w : NULL;
	if (!w)
		return;
	f->next = w->fds;
	f->prev = &w->fds;
	if (f->next)
		f->next->prev = &f->next;
	w->fds = f;
	w->awake = true;
}

void sim_fd_free(struct sim_fd *f)
{
	sim_fd_move(f, NULL);
	free(f);
}

static bool is_tx(const struct leap__io *io)
{
	return io->op == LEAP__IO_SEND || io->op == LEAP__IO_SENDMSG ||
		io->op == LEAP__IO_CONNECT;
}

static bool fits(const struct sim_fd *f, unsigned int op)
{
	if (op >= LEAP__IO_READ && op <= LEAP__IO_ZERO)
		return f->kind == SIM_FILE;
	if (op == LEAP__IO_ACCEPT)
		return f->kind == SIM_LISTENER;
	return f->kind == SIM_STREAM && op != LEAP__IO_WATCH;
}

static void sim_submit(struct leap__world *world, struct leap__io *io)
{
	struct sim_world *w = sim_world(world);
	struct sim_fd *f = sim_fd(io->wfd);

	if (w->dead)
		return;
	io->priv[0] = IO_PENDING;
	io->priv[1] = 0;
	w->awake = true;
	if (!fits(f, io->op))
		sim_done(w, io, -EINVAL);
	else if (f->kind == SIM_FILE)
		sim_disk_submit(w, io);
	else
		simq_push(is_tx(io) ? &f->tx : &f->rx, io);
}

static void sim_cancel(struct leap__world *world, struct leap__io *io)
{
	struct sim_world *w = sim_world(world);
	struct sim_fd *f = sim_fd(io->wfd);

	if (w->dead || io->priv[0] != IO_PENDING)
		return;
	if (f->kind == SIM_FILE)
		sim_disk_cancel(w, io);
	else if (simq_del(&f->rx, io) || simq_del(&f->tx, io))
		sim_done(w, io, -ECANCELED);
}

static void sim_flush(struct leap__world *world)
{
	struct sim_world *w = sim_world(world);
	struct sim_fd *f;

	for (f = w->fds; f && !w->dead; f = f->next)
		if (f->kind != SIM_FILE && (f->rx.head || f->tx.head))
			sim_net_try(w, f);
}

static int sim_poll(struct leap__world *world, unsigned int max)
{
	struct sim_world *w = sim_world(world);
	uint32_t left;
	struct leap__io *io;
	int n = 0;

	sim_flush(world);
	left = max && w->nr_done > max ? max : w->nr_done;
	for (; left; left--, n++) {
		io = simq_pop(&w->done);
		w->nr_done--;
		io->priv[0] = IO_IDLE;
		io->done(io);
	}
	return n;
}

static int sim_arm(struct leap__world *world, uint64_t deadline_ns)
{
	struct sim_world *w = sim_world(world);

	sim_flush(world);
	w->deadline_ns = deadline_ns;
	return w->nr_done != 0;
}

/* leap_pollgroup_wait in a simulated group: the others go on meanwhile. */
static int sim_sleep(struct leap__world *world, uint64_t deadline_ns)
{
	struct sim_world *w = sim_world(world);

	w->deadline_ns = deadline_ns;
	w->awake = false;
	w->waiting = true;
	while (!w->awake && w->sim->now_ns < deadline_ns) {
		/* Nothing will ever come: as if a signal had. */
		if (!sim_step(w->sim, deadline_ns))
			break;
	}
	w->waiting = false;
	w->awake = true;
	return 0;
}

static int sim_get_fd(struct leap__world *w)
{
	return -1;
}

static void sim_wake(struct leap__world *w)
{
	sim_world(w)->awake = true;
}

static uint64_t sim_now(struct leap__world *w)
{
	return sim_world(w)->sim->now_ns;
}

static uint64_t sim_rand(struct leap__world *w)
{
	return leap_sim_random(sim_world(w)->sim);
}

static int sim_open(struct leap__world *w, const char *path, uint32_t flags,
		    uint64_t create_bytes, struct leap__wfd **out)
{
	struct sim_fd *f;
	int rc = sim_disk_open(sim_world(w), path, flags, create_bytes, &f);

	if (!rc)
		*out = &f->wfd;
	return rc;
}

static int sim_fstat(struct leap__wfd *f, struct leap__fstat *st)
{
	*st = (struct leap__fstat){
		.bytes = sim_disk_bytes(sim_fd(f)->disk),
		.block_bytes = SIM_SECTOR, .direct_align = SIM_SECTOR,
	};
	return 0;
}

static int sim_truncate(struct leap__wfd *f, uint64_t bytes)
{
	return sim_disk_resize(sim_fd(f)->disk, bytes);
}

static int sim_share(struct leap__world *w, struct leap__wfd *f,
		     struct leap__wfd **out)
{
	if (sim_fd(f)->kind != SIM_FILE)
		return -EOPNOTSUPP;
	*out = &sim_disk_share(sim_world(w), sim_fd(f))->wfd;
	return 0;
}

static int sim_detach(struct leap__wfd *f)
{
	if (sim_fd(f)->rx.head || sim_fd(f)->tx.head)
		return -EBUSY;
	sim_fd_move(sim_fd(f), NULL);
	return 0;
}

static int sim_attach(struct leap__world *w, struct leap__wfd *f)
{
	sim_fd_move(sim_fd(f), sim_world(w));
	return 0;
}

static int sim_socket(struct leap__world *w, int family, struct leap__wfd **out)
{
	struct sim_fd *f;

	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	f = sim_fd_new(sim_world(w), SIM_STREAM);
	f->family = family;
	*out = &f->wfd;
	return 0;
}

static int sim_listen(struct leap__world *w, const struct sockaddr *addr,
		      socklen_t len, int backlog, uint32_t mode,
		      struct leap__wfd **out)
{
	struct sim_fd *f;
	int rc = sim_net_listen(sim_world(w), addr, len, &f);

	if (!rc)
		*out = &f->wfd;
	return rc;
}

static int sim_local_addr(struct leap__wfd *wfd, struct sockaddr_storage *addr)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)addr;
	struct sockaddr_in *in = (struct sockaddr_in *)addr;
	struct sim_fd *f = sim_fd(wfd);

	memset(addr, 0, sizeof(*addr));
	addr->ss_family = (sa_family_t)f->family;
	if (f->family == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons(f->port);
	} else if (f->family == AF_INET6) {
		in6->sin6_addr = in6addr_loopback;
		in6->sin6_port = htons(f->port);
	} else {
		memcpy((char *)addr + sizeof(sa_family_t), f->path,
		       sizeof(f->path));
	}
	return 0;
}

static int sim_peer_text(struct leap__wfd *f, char *text, size_t max)
{
	int peer = sim_net_peer(sim_fd(f));

	if (peer < 0)
		return -ENOTCONN;
	snprintf(text, max, "process %d", peer);
	return 0;
}

static int sim_peer_closed(struct leap__wfd *f)
{
	return sim_net_peer_closed(sim_fd(f));
}

static int sim_wake_fd(struct leap__world *w)
{
	(void)w;
	return -EOPNOTSUPP;
}

static int sim_peer_process(struct leap__wfd *f, int64_t *pid, int *pidfd)
{
	(void)f;
	(void)pid;
	(void)pidfd;
	return -EOPNOTSUPP;
}

static int sim_adopt(struct leap__world *w, int fd, struct leap__wfd **out)
{
	return -EOPNOTSUPP;
}

static void end_all(struct sim_world *w, struct sim_queue *q)
{
	struct leap__io *io;

	while ((io = simq_pop(q)))
		sim_done(w, io, -ECANCELED);
}

static void sim_close(struct leap__wfd *wfd)
{
	struct sim_fd *f = sim_fd(wfd);
	struct sim_world *w = sim_fd_world(f);

	if (w->dead)
		return;		/* closed already, by its death */
	if (f->kind == SIM_FILE) {
		sim_disk_close(f);
	} else {
		end_all(w, &f->rx);
		end_all(w, &f->tx);
		sim_net_close(f);
	}
	sim_fd_free(f);
}

static void sim_destroy(struct leap__world *world)
{
	struct sim_world *w = sim_world(world), **p;

	while (w->fds)
		sim_close(&w->fds->wfd);
	for (p = &w->sim->worlds; *p; p = &(*p)->next) {
		if (*p != w)
			continue;
		*p = w->next;
		break;
	}
	free(w);
}

/* The process is gone: what the kernel does for it. Operations are never done,
 * as the code that waits for them is gone too. */
void sim_world_kill(struct sim_world *w)
{
	struct sim_fd *f;

	w->dead = true;
	w->awake = false;
	for (f = w->fds; f; f = f->next) {
		simq_init(&f->rx);
		simq_init(&f->tx);
		if (f->kind == SIM_FILE)
			sim_disk_close(f);
		else
			sim_net_close(f);
	}
	simq_init(&w->done);
	w->nr_done = 0;
}

static const struct leap__world_ops sim_ops = {
	.name = "sim",
	.kind = LEAP_WORLD_SIM,
	.destroy = sim_destroy,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.poll = sim_poll,
	.flush = sim_flush,
	.arm = sim_arm,
	.sleep = sim_sleep,
	.fd = sim_get_fd,
	.wake = sim_wake,
	.now_ns = sim_now,
	.random = sim_rand,
	.open = sim_open,
	.fstat = sim_fstat,
	.truncate = sim_truncate,
	.share = sim_share,
	.detach = sim_detach,
	.attach = sim_attach,
	.socket = sim_socket,
	.listen = sim_listen,
	.local_addr = sim_local_addr,
	.peer_text = sim_peer_text,
	.peer_closed = sim_peer_closed,
	.adopt = sim_adopt,
	.close = sim_close,
	.wake_fd = sim_wake_fd,
	.peer_process = sim_peer_process,
};

int sim_world_create(struct leap_sim *sim, struct leap__world **out)
{
	struct sim_world *w = sim_alloc(sizeof(*w));

	w->w.ops = &sim_ops;
	w->sim = sim;
	w->process = sim->process;
	w->id = ++sim->next_id;
	w->deadline_ns = UINT64_MAX;
	w->awake = true;
	simq_init(&w->done);
	w->next = sim->worlds;
	sim->worlds = w;
	*out = &w->w;
	return 0;
}
