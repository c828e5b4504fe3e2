/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.c - one poll group's connection to a relay's far end
 *
 * A host end that reconnects by itself while it may hold commands; when it
 * has given up, another one takes its place, and until that is live commands
 * are refused. Closing takes polls, so a link outlives its channel, and then
 * looks at nothing of it.
 *
 *	connecting --> live <--> reconnecting --loss_ms--> refusing --> live
 */
#include <errno.h>
#include <stdlib.h>

#include "block/relay/nvme.h"
#include "block/relay/relay.h"
#include "core/io/host.h"
#include "util/atomic.h"
#include "util/list.h"

#define MS 1000000ull

static void connect_host(struct leap__link *link);

static void set_live(struct leap__link *link, bool live)
{
	if (link->live == live)
		return;
	link->live = live;
	leap__fetch_add(&link->relay->groups_live, live ? 1u : (uint32_t)-1);
}

/* ---- size ---- */

void leap__relay_note_run(struct leap_msg *msg)
{
	struct leap__relay_note *note = (struct leap__relay_note *)msg;
	struct leap_bdev_info info = { .size = sizeof(info) };

	/* Before the look: a size stored after it is told anew. */
	leap__exchange(&note->sent, 0u);
	if (!note->bdev) {
		free(note);
		return;
	}
	leap_bdev_info(note->bdev, &info);
	leap_bdev_set(note->bdev, info.block_bytes,
		      leap__load_relaxed(&note->nr_blocks), info.caps);
}

static void tell_size(struct leap__relay *relay, uint64_t nr_blocks)
{
	struct leap__relay_note *note = relay->note;

	leap__store_relaxed(&note->nr_blocks, nr_blocks);
	if (!leap__exchange(&note->sent, 1u))
		leap_pollgroup_send(note->pg, &note->msg);
}

/* The far namespace may have changed while we were away, or just now. */
static void look(struct leap__link *link)
{
	struct leap__relay *relay = link->relay;
	struct leap__far far;

	/* Commands to one that is gone are answered by the far end. */
	if (leap__relay_look(link->host, relay->nsid, &far))
		return;
	link->unfit = !leap__relay_fits(&relay->far, &far);
	if (!link->unfit && !relay->blocks && far.nr_blocks > relay->start)
		tell_size(relay, far.nr_blocks - relay->start);
}

/* ---- states ---- */

static void try_again(struct leap_timer *timer)
{
	struct leap__link *link = leap__list_entry(timer, struct leap__link,
						   timer);

	if (link->relay)
		connect_host(link);
}

static void retry_later(struct leap__link *link)
{
	link->timer.run = try_again;
	leap_timer_start(link->pg, &link->timer, link->reconnect_ms * MS);
}

static void return_lease(struct leap__link *link)
{
	if (link->lease)
		leap__nvme_put(link->lease);
	link->lease = NULL;
}

static void host_closed(void *arg)
{
	struct leap__link *link = arg;

	link->host = NULL;
	link->dead = false;
	link->closing = false;
	return_lease(link);
	if (link->relay)
		retry_later(link);
	else if (!link->work_sent)
		free(link);
}

/* Where a host may be closed: not in its own callbacks. */
static void work(struct leap_msg *msg)
{
	struct leap__link *link = leap__list_entry(msg, struct leap__link,
						   work);

	link->work_sent = false;
	if (link->closing)
		return;
	if (link->host && (link->dead || !link->relay)) {
		link->closing = true;
		leap_host_close(link->host, host_closed, link);
	} else if (!link->host && !link->relay) {
		free(link);
	}
}

static void send_work(struct leap__link *link)
{
	if (link->work_sent)
		return;
	link->work_sent = true;
	link->work.run = work;
	leap_pollgroup_send(link->pg, &link->work);
}

/* One that was live has held commands for loss_ms by itself. */
static void be_patient(struct leap__link *link)
{
	struct leap__relay *relay = link->relay;
	uint64_t now = leap_pollgroup_now_ns(link->pg);

	if (link->was_live || now - link->away_ns >= relay->loss_ms * MS) {
		if (!link->refuses)
			leap__fetch_add(&relay->lost, 1u);
		link->refuses = true;
	}
	if (!link->away_ns)
		link->away_ns = now;
	link->was_live = false;
	if (link->refuses)
		leap__relay_refuse(link);
}

static void gone(struct leap__link *link)
{
	link->dead = true;
	set_live(link, false);
	send_work(link);
	be_patient(link);
}

static void host_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	struct leap__link *link = arg;

	(void)host;
	(void)status;
	(void)sys_errno;
	if (!link->relay)
		return;
	switch (state) {
	case LEAP_HOST_LIVE:
		if (link->away_ns && (link->refuses || link->was_live))
			leap__fetch_add(&link->relay->reconnects, 1u);
		look(link);
		link->was_live = true;
		link->away_ns = 0;
		link->refuses = link->unfit;
		set_live(link, !link->unfit);
		if (link->unfit)
			leap__relay_refuse(link);
		else
			leap__relay_drive(link);
		break;
	case LEAP_HOST_RECONNECTING:
		link->lost++;
		link->away_ns = leap_pollgroup_now_ns(link->pg);
		set_live(link, false);
		break;
	case LEAP_HOST_FAILED:
		gone(link);
		break;
	default:
		break;
	}
}

static void host_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	struct leap__link *link = arg;

	(void)host;
	(void)dw0;
	if (!link->relay || !link->was_live)
		return;
	look(link);
	/* It may also have become what it was. */
	link->refuses = link->unfit;
	set_live(link, !link->unfit);
	if (link->unfit)
		leap__relay_refuse(link);
}

static void connect_host(struct leap__link *link)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;

	leap__relay_host_opts(link->relay, &opts);
	opts.state = host_state;
	opts.event = host_event;
	opts.arg = link;
	link->was_live = false;
	if (link->relay->nvme) {
		link->lease = leap__nvme_get(link->relay->nvme);
		opts.lender = link->lease ? leap__lease_lender(link->lease) :
			      NULL;
	}
	if ((link->relay->nvme && !link->lease) ||
	    leap_host_connect(link->pg, &opts, &link->host)) {
		link->host = NULL;
		return_lease(link);
		retry_later(link);
		be_patient(link);
		return;
	}
	leap__host_count_bounced(link->host, &link->relay->bounced);
}

struct leap__link *leap__relay_link_alloc(struct leap__relay *relay,
					  struct leap_pollgroup *pg)
{
	struct leap__link *link = calloc(1, sizeof(*link));
	uint32_t i;

	if (!link)
		return NULL;
	link->pg = pg;
	link->relay = relay;
	link->reconnect_ms = relay->reconnect_ms;
	link->wait_tail = &link->wait;
	link->send = leap__relay_host_send;
	link->let_go = leap__relay_host_let_go;
	link->send_fused = leap__relay_host_send_fused;
	link->send_lists = leap__relay_host_send_lists;
	for (i = 0; i < LEAP__RELAY_WIDES; i++) {
		link->wides[i].next = link->free_wides;
		link->free_wides = &link->wides[i];
	}
	return link;
}

int leap__relay_link_open(struct leap__relay *relay, struct leap_pollgroup *pg,
			  struct leap__link **out)
{
	struct leap__link *link = leap__relay_link_alloc(relay, pg);

	if (!link)
		return -ENOMEM;
	link->away_ns = leap_pollgroup_now_ns(pg);
	connect_host(link);
	*out = link;
	return 0;
}

void leap__relay_link_close(struct leap__link *link)
{
	set_live(link, false);
	leap_timer_stop(link->pg, &link->timer);
	leap_timer_stop(link->pg, &link->go_timer);
	link->relay = NULL;
	send_work(link);
}
