/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections of the simulated network before they are any: who listens where,
 * requests on their way there and back, and what waits to be accepted. What
 * goes over them is sim_net.c's.
 */
#include "sim/sim_net.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

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
	sim_net_wake(syn->f);
}

static void accept_later(struct leap_sim *sim, struct sim_fd *from,
			 struct sim_fd *l)
{
	struct sim_fd *f = sim_fd_new(sim_fd_world(l), SIM_STREAM);

	f->family = l->family;
	f->port = l->port;
	sim_conn_new(sim, from, f);
	*l->accepts_tail = f;
	l->accepts_tail = &f->backlog;
	sim_net_wake(l);
}

static void syn_arrive(struct leap_sim *sim, struct sim_event *ev)
{
	struct sim_syn *syn = (struct sim_syn *)ev;
	struct sim_fd *l = find_listener(sim, syn->family, syn->port,
					 syn->path);

	sim_trace(sim, "syn", syn->f->id, l ? l->id : 0, NULL, 0);
	syn->res = l ? 0 : syn->family == AF_UNIX ? -ENOENT : -ECONNREFUSED;
	if (l)
		accept_later(sim, syn->f, l);
	sim_schedule(sim, &syn->ev, sim_between(sim, sim->opts.net_min_ns,
						sim->opts.net_max_ns),
		     syn_back);
}

void sim_syn_free(struct leap_sim *sim, struct sim_syn *syn)
{
	sim_unschedule(sim, &syn->ev);
	syn->f->syn = NULL;
	*syn->prev = syn->next;
	if (syn->next)
		syn->next->prev = syn->prev;
	free(syn);
}

void sim_syn_send(struct leap_sim *sim, struct sim_syn *syn)
{
	sim_schedule(sim, &syn->ev, sim_between(sim, sim->opts.net_min_ns,
						sim->opts.net_max_ns),
		     syn_arrive);
}

void sim_net_connect(struct sim_world *w, struct sim_fd *f)
{
	struct leap__io *io = f->tx.head;
	struct leap_sim *sim = w->sim;
	struct sim_syn *syn = f->syn;
	struct sim_fd *l;
	int rc;

	if (syn && syn->answered) {
		rc = syn->res;
		sim_syn_free(sim, syn);
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
		sim_syn_send(sim, syn);
}

void sim_net_accept(struct sim_world *w, struct sim_fd *l)
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

void sim_listener_close(struct leap_sim *sim, struct sim_fd *l)
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
