/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated network: streams that arrive in pieces and late, half-open
 * peers, resets. A connection is two pipes; what is sent travels in segments,
 * each an event, in order within its pipe. Ends close as the kernel's do: data
 * for a closed end comes back as a reset, closing over unread data resets.
 */
#include "sim/sim_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define SEG_FDS 8

enum seg_kind { SEG_DATA, SEG_FIN, SEG_RST };

struct sim_seg {
	struct sim_event ev;
	struct sim_conn *conn;
	int side;		/* who sent it */
	enum seg_kind kind;
	struct sim_seg *next;
	size_t off, len;
	uint32_t nr_fds;
	int fds[SEG_FDS];
	unsigned char data[];
};

struct seg_list {
	struct sim_seg *head, **tail;
};

/* From side s to side 1 - s. */
struct sim_pipe {
	struct seg_list flight;	/* not scheduled: held back */
	struct seg_list arrived;
	size_t bytes;		/* in flight and unread */
	uint64_t last_ns;	/* arrival of the newest */
	bool fin;		/* arrived */
	bool rst;		/* arrived */
};

struct sim_conn {
	bool held[2];		/* by side; besides those of processes */
	bool cut;		/* nothing gets through any more */
	uint32_t id;
	struct sim_pipe pipe[2];
	struct sim_fd *end[2];	/* NULL = closed */
	int process[2];
	struct sim_conn *next;	/* of the simulator, newest first */
};

/* A connection request, there and back. */
struct sim_syn {
	struct sim_event ev;
	struct sim_fd *f;
	int family;
	uint16_t port;
	char path[108];
	int to;			/* process; -1 = nobody listens */
	int res;		/* of the request, once answered is set */
	bool answered;
	struct sim_syn *next, **prev;
};

/* ---- segments ------------------------------------------------------------ */

static void list_init(struct seg_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void list_push(struct seg_list *l, struct sim_seg *seg)
{
	seg->next = NULL;
	*l->tail = seg;
	l->tail = &seg->next;
}

static struct sim_seg *list_pop(struct seg_list *l)
{
	struct sim_seg *seg = l->head;

	if (seg) {
		l->head = seg->next;
		if (!l->head)
			l->tail = &l->head;
	}
	return seg;
}

static void seg_free(struct leap_sim *sim, struct sim_seg *seg)
{
	sim_unschedule(sim, &seg->ev);
	while (seg->nr_fds)
		close(seg->fds[--seg->nr_fds]);
	free(seg);
}

static void list_free(struct leap_sim *sim, struct seg_list *l)
{
	struct sim_seg *seg;

	while ((seg = list_pop(l)))
		seg_free(sim, seg);
}

static void wake(struct sim_fd *f)
{
	if (f && f->wfd.world)
		sim_fd_world(f)->awake = true;
}

static void conn_free(struct leap_sim *sim, struct sim_conn *c)
{
	struct sim_conn **p;
	int s;

	for (s = 0; s < 2; s++) {
		list_free(sim, &c->pipe[s].flight);
		list_free(sim, &c->pipe[s].arrived);
	}
	for (p = &sim->conns; *p != c; p = &(*p)->next)
		;
	*p = c->next;
	free(c);
}

static void seg_arrive(struct leap_sim *sim, struct sim_event *ev);

static void seg_schedule(struct leap_sim *sim, struct sim_seg *seg)
{
	struct sim_pipe *p = &seg->conn->pipe[seg->side];
	uint64_t at = sim->now_ns + sim_between(sim, sim->opts.net_min_ns,
						sim->opts.net_max_ns);

	if (at < p->last_ns)
		at = p->last_ns;
	p->last_ns = at;
	sim_schedule(sim, &seg->ev, at - sim->now_ns, seg_arrive);
}

static void seg_send(struct leap_sim *sim, struct sim_conn *c, int side,
		     struct sim_seg *seg)
{
	struct sim_pipe *p = &c->pipe[side];
	bool held = sim->held[c->process[side]][c->process[1 - side]] ||
		c->held[side] ||
		(p->flight.head && !p->flight.head->ev.pos);

	seg->conn = c;
	seg->side = side;
	list_push(&p->flight, seg);
	p->bytes += seg->len;
	if (!held)
		seg_schedule(sim, seg);
}

static void send_mark(struct leap_sim *sim, struct sim_conn *c, int side,
		      enum seg_kind kind)
{
	struct sim_seg *seg = sim_alloc(sizeof(*seg));

	seg->kind = kind;
	seg_send(sim, c, side, seg);
}

static void seg_arrive(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_seg *seg = (struct sim_seg *)ev;
	struct sim_conn *c = seg->conn;
	struct sim_pipe *p = &c->pipe[seg->side];
	struct sim_fd *dst = c->end[1 - seg->side];
	int side = seg->side;

	list_pop(&p->flight);		/* in order: it is the first */
	sim_trace(sim, seg->kind == SEG_DATA ? "data" : seg->kind == SEG_FIN ?
		  "fin" : "rst", c->id * 2 + (unsigned int)side, seg->len,
		  seg->data, seg->len);
	if (p->rst) {
		/* What was sent behind a reset: part of the stream may have
		 * been thrown away before it. */
		seg_free(sim, seg);
		return;
	}
	if (seg->kind == SEG_DATA && dst) {
		list_push(&p->arrived, seg);
		wake(dst);
		return;
	}
	if (seg->kind == SEG_DATA)
		send_mark(sim, c, 1 - side, SEG_RST);
	else if (seg->kind == SEG_FIN)
		p->fin = true;
	else
		p->rst = true;
	wake(dst);
	seg_free(sim, seg);
}

/* ---- connecting ---------------------------------------------------------- */

static struct sim_fd *find_listener(struct leap_sim *sim, int family,
				    uint16_t port, const char *path)
{
	struct sim_fd *l;

	for (l = sim->listeners; l; l = l->next_listener) {
		if ((l->family == AF_UNIX) != (family == AF_UNIX))
			continue;
		if (family == AF_UNIX ? !strcmp(l->path, path) :
		    l->port == port)
			return l;
	}
	return NULL;
}

static int parse_addr(const struct sockaddr *addr, uint16_t *port, char *path)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)addr;

	*port = 0;
	path[0] = 0;
	switch (addr->sa_family) {
	case AF_INET:
		*port = ntohs(((const struct sockaddr_in *)addr)->sin_port);
		return 0;
	case AF_INET6:
		*port = ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
		return 0;
	case AF_UNIX:
		memcpy(path, un->sun_path, sizeof(un->sun_path));
		path[sizeof(un->sun_path) - 1] = 0;
		return path[0] ? 0 : -EINVAL;
	}
	return -EAFNOSUPPORT;
}

int sim_net_listen(struct sim_world *w, const struct sockaddr *addr,
		   socklen_t len, struct sim_fd **out)
{
	struct leap_sim *sim = w->sim;
	struct sim_fd *f;
	uint16_t port;
	char path[108];
	int rc = parse_addr(addr, &port, path);

	if (rc)
		return rc;
	if (addr->sa_family != AF_UNIX && !port)
		port = sim->next_port++;
	if (find_listener(sim, addr->sa_family, port, path))
		return -EADDRINUSE;
	f = sim_fd_new(w, SIM_LISTENER);
	f->family = addr->sa_family;
	f->port = port;
	memcpy(f->path, path, sizeof(path));
	f->next_listener = sim->listeners;
	sim->listeners = f;
	*out = f;
	return 0;
}

static void syn_back(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_syn *syn = (struct sim_syn *)ev;

	syn->answered = true;
	wake(syn->f);
}

static struct sim_conn *conn_new(struct leap_sim *sim, struct sim_fd *from,
				 struct sim_fd *l)
{
	struct sim_conn *c = sim_alloc(sizeof(*c));
	struct sim_fd *f = sim_fd_new(sim_fd_world(l), SIM_STREAM);
	int s;

	c->id = ++sim->next_id;
	for (s = 0; s < 2; s++) {
		list_init(&c->pipe[s].flight);
		list_init(&c->pipe[s].arrived);
	}
	f->family = l->family;
	f->port = l->port;
	f->conn = from->conn = c;
	f->side = 1;
	from->side = 0;
	c->end[0] = from;
	c->end[1] = f;
	c->process[0] = sim_fd_world(from)->process;
	c->process[1] = sim_fd_world(l)->process;
	c->next = sim->conns;
	sim->conns = c;
	*l->accepts_tail = f;
	l->accepts_tail = &f->backlog;
	wake(l);
	return c;
}

static void syn_arrive(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_syn *syn = (struct sim_syn *)ev;
	struct sim_fd *l = find_listener(sim, syn->family, syn->port,
					 syn->path);

	sim_trace(sim, "syn", syn->f->id, l ? l->id : 0, NULL, 0);
	syn->res = l ? 0 : syn->family == AF_UNIX ? -ENOENT : -ECONNREFUSED;
	if (l)
		conn_new(sim, syn->f, l);
	sim_schedule(sim, &syn->ev, sim_between(sim, sim->opts.net_min_ns,
						sim->opts.net_max_ns),
		     syn_back);
}

static void syn_free(struct leap_sim *sim, struct sim_syn *syn)
{
	sim_unschedule(sim, &syn->ev);
	syn->f->syn = NULL;
	*syn->prev = syn->next;
	if (syn->next)
		syn->next->prev = syn->prev;
	free(syn);
}

static void syn_send(struct leap_sim *sim, struct sim_syn *syn)
{
	sim_schedule(sim, &syn->ev, sim_between(sim, sim->opts.net_min_ns,
						sim->opts.net_max_ns),
		     syn_arrive);
}

static void try_connect(struct sim_world *w, struct sim_fd *f)
{
	struct leap__io *io = f->tx.head;
	struct leap_sim *sim = w->sim;
	struct sim_syn *syn = f->syn;
	struct sim_fd *l;
	int rc;

	if (syn && syn->answered) {
		rc = syn->res;
		syn_free(sim, syn);
		sim_done(w, simq_pop(&f->tx), rc);
		return;
	}
	if (syn)
		return;
	syn = sim_alloc(sizeof(*syn));
	rc = f->conn ? -EISCONN : parse_addr(io->addr, &syn->port, syn->path);
	w->w.syscalls++;
	if (rc) {
		free(syn);
		sim_done(w, simq_pop(&f->tx), rc);
		return;
	}
	syn->family = io->addr->sa_family;
	syn->f = f;
	syn->next = sim->syns;
	syn->prev = &sim->syns;
	if (syn->next)
		syn->next->prev = &syn->next;
	sim->syns = f->syn = syn;
	l = find_listener(sim, syn->family, syn->port, syn->path);
	syn->to = l ? sim_fd_world(l)->process : -1;
	if (syn->to < 0 || !sim->held[w->process][syn->to])
		syn_send(sim, syn);
}

/* ---- sending and receiving ----------------------------------------------- */

static void gather(const struct leap__io *io, uint64_t skip,
		   unsigned char *out, size_t bytes)
{
	const struct iovec *iov = io->iov;
	size_t n;

	for (; bytes; iov++) {
		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - skip < bytes ? iov->iov_len - skip : bytes;
		memcpy(out, (char *)iov->iov_base + skip, n);
		out += n;
		bytes -= n;
		skip = 0;
	}
}

static uint64_t total(const struct leap__io *io)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < io->nr_iov; i++)
		bytes += io->iov[i].iov_len;
	return bytes;
}

/* Descriptors travel with the first byte. */
static void attach_fds(struct leap__io *io, struct sim_seg *seg)
{
	uint32_t i;

	if (io->op != LEAP__IO_SENDMSG || io->priv[1])
		return;
	for (i = 0; i < io->nr_fds && i < SEG_FDS; i++)
		seg->fds[seg->nr_fds++] = fcntl(io->fds[i], F_DUPFD_CLOEXEC, 0);
}

static void send_bytes(struct leap_sim *sim, struct sim_fd *f,
		       struct leap__io *io, size_t bytes)
{
	uint64_t *cut = &sim->cut_after[sim_fd_world(f)->process];
	struct sim_conn *c = f->conn;
	struct sim_seg *seg;
	size_t n;

	while (bytes) {
		if (c->cut) {
			io->priv[1] += bytes;
			return;
		}
		n = bytes;
		if (*cut == 1) {
			*cut = 0;
			c->cut = true;
			send_mark(sim, c, f->side, SEG_FIN);
			send_mark(sim, c, 1 - f->side, SEG_RST);
			continue;
		}
		if (*cut && n > *cut - 1)
			n = *cut - 1;
		if (sim_chance(sim, sim->opts.split))
			n = 1 + leap_sim_below(sim, (uint32_t)n);
		if (*cut)
			*cut -= n;
		seg = sim_alloc(sizeof(*seg) + n);
		seg->kind = SEG_DATA;
		seg->len = n;
		attach_fds(io, seg);
		gather(io, io->priv[1], seg->data, n);
		if (n >= sim->corrupt_bytes &&
		    sim_chance(sim, sim->corrupt[sim_fd_world(f)->process]))
			seg->data[leap_sim_below(sim, (uint32_t)n)] ^= 0x10;
		io->priv[1] += n;
		bytes -= n;
		seg_send(sim, f->conn, f->side, seg);
	}
}

static void try_send(struct sim_world *w, struct sim_fd *f)
{
	struct leap_sim *sim = w->sim;
	struct sim_pipe *p;
	struct leap__io *io;
	uint64_t left;
	size_t room;

	while ((io = f->tx.head) && io->op != LEAP__IO_CONNECT) {
		left = total(io) - io->priv[1];
		p = f->conn ? &f->conn->pipe[f->side] : NULL;
		if (!p || f->conn->pipe[1 - f->side].rst) {
			sim_done(w, simq_pop(&f->tx), p ? -EPIPE : -ENOTCONN);
			continue;
		}
		room = p->bytes < sim->opts.net_window_bytes ?
			sim->opts.net_window_bytes - p->bytes : 0;
		if (left && !room)
			return;
		w->w.syscalls++;
		send_bytes(sim, f, io, left < room ? (size_t)left : room);
		if (io->priv[1] == total(io))
			sim_done(w, simq_pop(&f->tx), (int64_t)io->priv[1]);
	}
}

static void give_fds(struct leap__io *io, struct sim_seg *seg)
{
	if (!seg->nr_fds)
		return;		/* those of an earlier segment stay */
	if (io->op == LEAP__IO_RECVMSG) {
		memcpy(io->fds, seg->fds, sizeof(int) * seg->nr_fds);
		io->nr_fds = seg->nr_fds;
		seg->nr_fds = 0;
	}
	while (seg->nr_fds)
		close(seg->fds[--seg->nr_fds]);
}

static size_t take(struct leap_sim *sim, struct sim_pipe *p,
		   struct leap__io *io)
{
	size_t want = io->iov[0].iov_len, got = 0, n;
	unsigned char *out = io->iov[0].iov_base;
	struct sim_seg *seg;

	if (want > 1 && sim_chance(sim, sim->opts.split))
		want = 1 + leap_sim_below(sim, (uint32_t)want);
	if (io->op == LEAP__IO_RECVMSG)
		io->nr_fds = 0;
	while (got < want && (seg = p->arrived.head)) {
		if (seg->nr_fds && got)
			break;		/* descriptors start a new message */
		give_fds(io, seg);
		n = seg->len - seg->off;
		if (n > want - got)
			n = want - got;
		memcpy(out + got, seg->data + seg->off, n);
		got += n;
		seg->off += n;
		if (seg->off == seg->len)
			seg_free(sim, list_pop(&p->arrived));
	}
	p->bytes -= got;
	return got;
}

static void try_recv(struct sim_world *w, struct sim_fd *f)
{
	struct sim_pipe *p;
	struct leap__io *io;
	int64_t res;

	while ((io = f->rx.head)) {
		p = f->conn ? &f->conn->pipe[1 - f->side] : NULL;
		if (!p) {
			if (f->syn || f->tx.head)
				return;		/* not connected yet */
			res = -ENOTCONN;
		} else if (p->arrived.head) {
			res = (int64_t)take(w->sim, p, io);
			wake(f->conn->end[1 - f->side]);	/* room */
		} else if (p->rst) {
			res = -ECONNRESET;
		} else if (p->fin) {
			res = 0;
		} else {
			return;
		}
		w->w.syscalls++;
		sim_done(w, simq_pop(&f->rx), res);
	}
}

static void try_accept(struct sim_world *w, struct sim_fd *l)
{
	struct leap__io *io;
	struct sim_fd *f;

	while (l->rx.head && (f = l->accepts)) {
		l->accepts = f->backlog;
		if (!l->accepts)
			l->accepts_tail = &l->accepts;
		f->backlog = NULL;
		io = simq_pop(&l->rx);
		io->wfd_out = &f->wfd;
		w->w.syscalls++;
		sim_done(w, io, 0);
	}
}

void sim_net_try(struct sim_world *w, struct sim_fd *f)
{
	if (f->kind == SIM_LISTENER) {
		try_accept(w, f);
		return;
	}
	if (f->tx.head && f->tx.head->op == LEAP__IO_CONNECT)
		try_connect(w, f);
	if (!f->syn) {
		try_send(w, f);
		try_recv(w, f);
	}
}

/* ---- ends ---------------------------------------------------------------- */

static void close_listener(struct leap_sim *sim, struct sim_fd *l)
{
	struct sim_world *w = sim_fd_world(l);
	struct sim_fd **p, *f;

	for (p = &sim->listeners; *p != l; p = &(*p)->next_listener)
		;
	*p = l->next_listener;
	while ((f = l->accepts)) {
		l->accepts = f->backlog;
		sim_net_close(f);
		if (!w->dead)
			sim_fd_free(f);
	}
}

void sim_net_close(struct sim_fd *f)
{
	struct leap_sim *sim = sim_fd_world(f)->sim;
	struct sim_conn *c = f->conn;
	struct sim_pipe *in;

	if (f->kind == SIM_LISTENER) {
		close_listener(sim, f);
		return;
	}
	if (f->syn)
		syn_free(sim, f->syn);
	if (!c)
		return;
	in = &c->pipe[1 - f->side];
	c->end[f->side] = NULL;
	f->conn = NULL;
	if (!c->end[1 - f->side]) {
		conn_free(sim, c);
		return;
	}
	if (!in->rst)
		send_mark(sim, c, f->side, in->arrived.head ? SEG_RST :
			  SEG_FIN);
	list_free(sim, &in->arrived);
}

int sim_net_peer_closed(struct sim_fd *f)
{
	struct sim_pipe *in;

	if (!f->conn)
		return 0;
	in = &f->conn->pipe[1 - f->side];
	return in->fin || in->rst;
}

int sim_net_peer(struct sim_fd *f)
{
	return f->conn && !f->syn ? f->conn->process[1 - f->side] : -1;
}

void sim_net_free(struct leap_sim *sim)
{
	while (sim->syns)
		syn_free(sim, sim->syns);
	while (sim->conns)
		conn_free(sim, sim->conns);
}

/* ---- faults -------------------------------------------------------------- */

static bool is(int process, int pattern)
{
	return pattern == LEAP_SIM_ANY || process == pattern;
}

static void set_held(struct leap_sim *sim, int from, int to, bool held)
{
	int a, b;

	for (a = 0; a < LEAP_SIM_PROCESSES; a++)
		for (b = 0; b < LEAP_SIM_PROCESSES; b++)
			if (is(a, from) && is(b, to))
				sim->held[a][b] = held;
}

void leap_sim_net_hold(struct leap_sim *sim, int from, int to)
{
	sim_trace(sim, "hold", (uint64_t)from, (uint64_t)to, NULL, 0);
	set_held(sim, from, to, true);
}

void leap_sim_net_hold_first(struct leap_sim *sim, int from, int to)
{
	struct sim_conn *c, *first = NULL;
	int side = 0;

	sim_trace(sim, "hold first", (uint64_t)from, (uint64_t)to, NULL, 0);
	/* The list has the newest in front. */
	for (c = sim->conns; c; c = c->next) {
		if (c->process[0] == from && c->process[1] == to)
			side = 0;
		else if (c->process[1] == from && c->process[0] == to)
			side = 1;
		else
			continue;
		first = c;
	}
	if (first)
		first->held[side] = true;
}

void leap_sim_net_release(struct leap_sim *sim, int from, int to)
{
	struct sim_conn *c;
	struct sim_syn *syn;
	struct sim_seg *seg;
	int s;

	sim_trace(sim, "release", (uint64_t)from, (uint64_t)to, NULL, 0);
	set_held(sim, from, to, false);
	for (c = sim->conns; c; c = c->next)
		for (s = 0; s < 2; s++) {
			if (sim->held[c->process[s]][c->process[1 - s]])
				continue;
			c->held[s] = false;
			for (seg = c->pipe[s].flight.head; seg; seg = seg->next)
				if (!seg->ev.pos)
					seg_schedule(sim, seg);
		}
	for (syn = sim->syns; syn; syn = syn->next)
		if (!syn->ev.pos && !syn->answered && syn->to >= 0 &&
		    !sim->held[sim_fd_world(syn->f)->process][syn->to])
			syn_send(sim, syn);
}

void leap_sim_net_corrupt(struct leap_sim *sim, int from, uint32_t per_1000,
			  size_t min_bytes)
{
	sim_trace(sim, "corrupt", (uint64_t)from, per_1000, NULL, 0);
	sim->corrupt[from] = per_1000;
	sim->corrupt_bytes = min_bytes;
}

void leap_sim_net_cut_after(struct leap_sim *sim, int from, uint64_t bytes)
{
	sim_trace(sim, "cut after", (uint64_t)from, bytes, NULL, 0);
	sim->cut_after[from] = bytes + 1;
}

static bool between(const struct sim_conn *c, int a, int b)
{
	return (is(c->process[0], a) && is(c->process[1], b)) ||
		(is(c->process[0], b) && is(c->process[1], a));
}

void leap_sim_net_reset(struct leap_sim *sim, int a, int b)
{
	struct sim_seg *seg;
	struct sim_conn *c;
	int s;

	for (c = sim->conns; c; c = c->next) {
		if (!between(c, a, b))
			continue;
		for (s = 0; s < 2; s++) {
			/* It overtakes what is under way, held or not. */
			list_free(sim, &c->pipe[s].flight);
			c->pipe[s].last_ns = 0;
			seg = sim_alloc(sizeof(*seg));
			seg->kind = SEG_RST;
			seg->conn = c;
			seg->side = s;
			list_push(&c->pipe[s].flight, seg);
			seg_schedule(sim, seg);
		}
	}
}

int leap_sim_net_count(struct leap_sim *sim, int a, int b)
{
	struct sim_conn *c;
	int n = 0;

	for (c = sim->conns; c; c = c->next)
		n += between(c, a, b) && c->end[0] && c->end[1];
	return n;
}
