/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated network: streams that arrive in pieces and late, half-open
 * peers, resets. A connection is two pipes; what is sent travels in segments,
 * each an event, in order within its pipe. Ends close as the kernel's do: data
 * for a closed end comes back as a reset, closing over unread data resets. How
 * a connection comes to be is sim_connect.c's, what goes wrong sim_fault.c's.
 */
#include "sim/sim_net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
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

void sim_net_wake(struct sim_fd *f)
{
	if (f && f->wfd.world)
		sim_fd_world(f)->awake = true;
}

void sim_conn_new(struct leap_sim *sim, struct sim_fd *from, struct sim_fd *to)
{
	struct sim_conn *c = sim_alloc(sizeof(*c));
	int s;

	c->id = ++sim->next_id;
	for (s = 0; s < 2; s++) {
		list_init(&c->pipe[s].flight);
		list_init(&c->pipe[s].arrived);
	}
	from->conn = to->conn = c;
	from->side = 0;
	to->side = 1;
	c->end[0] = from;
	c->end[1] = to;
	c->process[0] = sim_fd_world(from)->process;
	c->process[1] = sim_fd_world(to)->process;
	c->next = sim->conns;
	sim->conns = c;
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
		sim_net_wake(dst);
		return;
	}
	if (seg->kind == SEG_DATA)
		send_mark(sim, c, 1 - side, SEG_RST);
	else if (seg->kind == SEG_FIN)
		p->fin = true;
	else
		p->rst = true;
	sim_net_wake(dst);
	seg_free(sim, seg);
}

void sim_conn_release(struct leap_sim *sim, struct sim_conn *c, int side)
{
	struct sim_seg *seg;

	c->held[side] = false;
	for (seg = c->pipe[side].flight.head; seg; seg = seg->next)
		if (!seg->ev.pos)
			seg_schedule(sim, seg);
}

void sim_conn_reset(struct leap_sim *sim, struct sim_conn *c)
{
	struct sim_seg *seg;
	int s;

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
			/* There is room. */
			sim_net_wake(f->conn->end[1 - f->side]);
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

void sim_net_try(struct sim_world *w, struct sim_fd *f)
{
	if (f->kind == SIM_LISTENER) {
		sim_net_accept(w, f);
		return;
	}
	if (f->tx.head && f->tx.head->op == LEAP__IO_CONNECT)
		sim_net_connect(w, f);
	if (!f->syn) {
		try_send(w, f);
		try_recv(w, f);
	}
}

/* ---- ends ---------------------------------------------------------------- */

void sim_net_close(struct sim_fd *f)
{
	struct leap_sim *sim = sim_fd_world(f)->sim;
	struct sim_conn *c = f->conn;
	struct sim_pipe *in;

	if (f->kind == SIM_LISTENER) {
		sim_listener_close(sim, f);
		return;
	}
	if (f->syn)
		sim_syn_free(sim, f->syn);
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
		sim_syn_free(sim, sim->syns);
	while (sim->conns)
		conn_free(sim, sim->conns);
}
