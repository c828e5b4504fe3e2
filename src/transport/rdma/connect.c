/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way to a peer, for ends that connect: its address, the route there, the
 * question, the answer. Between the connection manager, whose events come by
 * way of conn.c, and the ends (host.c, farmem_lane.c), who know what to ask
 * and what an answer means. An event out of its turn ends the connection.
 */
#include "transport/rdma/conn.h"

#include <errno.h>

int leap__rdma_connect(struct leap__rdma_conn *c,
		       const struct leap__rdma_end *end,
		       struct leap_pollgroup *pg,
		       const struct sockaddr_storage *addr, uint32_t ms)
{
	int err = leap__rdma_conn_init(c, end, pg, NULL);

	if (!err)
		err = c->v->resolve_addr(c->id, (const struct sockaddr *)addr,
					 LEAP__RDMA_RESOLVE_MS);
	if (err) {
		if (c->v)
			leap__rdma_conn_fini(c);
		c->state = LEAP__RDMA_GONE;
		return err;
	}
	leap__rdma_timer(c, ms);
	return 0;
}

int leap__rdma_ask(struct leap__rdma_conn *c, const struct leap__v_param *p)
{
	int err = c->v->connect(c->id, p);

	c->linked = !err;
	return err;
}

static int addr_known(struct leap__rdma_conn *c)
{
	c->step = LEAP__RDMA_ROUTE;
	return c->v->resolve_route(c->id, LEAP__RDMA_RESOLVE_MS);
}

static int route_known(struct leap__rdma_conn *c)
{
	c->step = LEAP__RDMA_ASKED;
	return c->end->ask(c);
}

void leap__rdma_connecting(struct leap__rdma_conn *c,
			   const struct leap__v_cm *cm)
{
	int err = -EPROTO;

	if (cm->type == LEAP__V_ADDR_RESOLVED && c->step == LEAP__RDMA_ADDR) {
		err = addr_known(c);
	} else if (cm->type == LEAP__V_ROUTE_RESOLVED &&
		   c->step == LEAP__RDMA_ROUTE) {
		err = route_known(c);
	} else if (cm->type == LEAP__V_ESTABLISHED &&
		   c->step == LEAP__RDMA_ASKED) {
		c->step = LEAP__RDMA_LINKED;
		c->end->accepted(c, cm);
		return;
	} else if (cm->type == LEAP__V_REJECTED &&
		   c->step == LEAP__RDMA_ASKED) {
		err = c->end->refused(c, cm);
	}
	if (err)
		leap__rdma_kill(c, err);
}
