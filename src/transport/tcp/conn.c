/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a connection, whichever end it is: start, work at the end of a
 * poll, protocol errors, orderly and sudden ends.
 *
 * A connection is over when its socket is closed and both of its operations
 * have come back; only then may the end free what they pointed to. Everything
 * here but leap__tcp_work is off the hot path.
 */
#include "transport/tcp/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void conn_run(struct leap__defer *defer)
{
	struct leap__tcp_conn *c = (struct leap__tcp_conn *)
		((char *)defer - offsetof(struct leap__tcp_conn, defer));

	if (c->state < LEAP__TCP_DEAD) {
		leap__tcp_rx_start(c);
		leap__tcp_flush(c);
	} else if (c->state == LEAP__TCP_DEAD && !c->rx.busy && !c->tx.busy &&
		   !c->connecting) {
		c->state = LEAP__TCP_GONE;
		c->end->gone(c);
	}
}

void leap__tcp_work(struct leap__tcp_conn *c)
{
	if (!c->in_rx || c->state >= LEAP__TCP_DEAD)
		leap__pollgroup_defer(c->pg, &c->defer);
}

void leap__tcp_resume(struct leap__tcp_conn *c)
{
	leap__pollgroup_defer(c->pg, &c->defer);
}

static void conn_timer(struct leap_timer *timer)
{
	struct leap__tcp_conn *c = (struct leap__tcp_conn *)
		((char *)timer - offsetof(struct leap__tcp_conn, timer));

	if (c->state == LEAP__TCP_TERM || c->state == LEAP__TCP_CLOSING)
		leap__tcp_kill(c, c->err);
	else
		c->end->timeout(c);
}

void leap__tcp_timer(struct leap__tcp_conn *c, uint32_t ms)
{
	leap_timer_start(c->pg, &c->timer, (uint64_t)ms * 1000000u);
}

void leap__tcp_timer_stop(struct leap__tcp_conn *c)
{
	leap_timer_stop(c->pg, &c->timer);
}

int leap__tcp_conn_init(struct leap__tcp_conn *c,
			const struct leap__tcp_end *end,
			struct leap_pollgroup *pg, struct leap__wfd *wfd)
{
	c->end = end;
	c->pg = pg;
	c->world = leap__pollgroup_world(pg);
	c->state = LEAP__TCP_HELLO;
	c->defer.run = conn_run;
	c->timer.run = conn_timer;
	if (!c->rx.size)
		c->rx.size = LEAP__TCP_RX_BYTES;
	c->rx.buf = malloc(c->rx.size);
	c->tx.hdrs = malloc(LEAP__TCP_TX_HDRS);
	c->tx.iov = malloc(LEAP__TCP_TX_IOVS * sizeof(*c->tx.iov));
	if (!c->rx.buf || !c->tx.hdrs || !c->tx.iov) {
		leap__tcp_conn_fini(c);
		return -ENOMEM;
	}
	c->wfd = wfd;
	leap__tcp_rx_init(c);
	leap__tcp_tx_init(c);
	return 0;
}

void leap__tcp_conn_fini(struct leap__tcp_conn *c)
{
	leap__pollgroup_undefer(c->pg, &c->defer);
	free(c->rx.buf);
	free(c->tx.hdrs);
	free(c->tx.iov);
	c->rx.buf = NULL;
	c->tx.hdrs = NULL;
	c->tx.iov = NULL;
}

__attribute__((cold)) void leap__tcp_fatal(struct leap__tcp_conn *c,
					   const struct leap__tcp_bad *bad,
					   const void *hdr, uint32_t len)
{
	if (c->state > LEAP__TCP_READY)
		return;
	c->term_bytes = leap__tcp_term(c->term, c->rules.host ?
				       LEAP_TCP_H2C_TERM : LEAP_TCP_C2H_TERM,
				       bad, hdr, len);
	c->err = -EPROTO;
	c->state = LEAP__TCP_TERM;
	c->rx.left = 0;
	c->rx.hold = 0;
	leap__pg_log_limited(c->pg, &c->pg->peer_limit, LEAP_LOG_WARN,
			     "tcp: protocol error of %s: pdu type %u fes %u "
			     "fei %u", c->rules.host ? "controller" : "host",
			     len ? *(const uint8_t *)hdr : 0u, bad->fes,
			     bad->fei);
	leap__tcp_timer(c, LEAP__TCP_LINGER_MS);
	leap__tcp_work(c);
}

void leap__tcp_close(struct leap__tcp_conn *c)
{
	if (c->state >= LEAP__TCP_DEAD)
		return;
	if (c->state == LEAP__TCP_TERM || c->state == LEAP__TCP_HELLO) {
		leap__tcp_kill(c, c->err);
		return;
	}
	c->state = LEAP__TCP_CLOSING;
	leap__tcp_timer(c, LEAP__TCP_LINGER_MS);
	leap__tcp_work(c);
}

void leap__tcp_kill(struct leap__tcp_conn *c, int err)
{
	if (c->state >= LEAP__TCP_DEAD)
		return;
	c->state = LEAP__TCP_DEAD;
	c->err = err;
	leap__tcp_timer_stop(c);
	if (c->wfd)
		c->world->ops->close(c->wfd);
	c->wfd = NULL;
	leap__tcp_work(c);
}
