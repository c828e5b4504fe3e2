/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * target.c - the controller end of a shared-memory queue pair
 *
 * Maps the memory that the host end made and serves the rings in it: fetches
 * entries in one pass, posts completions, and decides once a batch whether the
 * host must be woken. All that the host can write is checked where it is read,
 * or cannot matter. Their payload is target_data.c's.
 */
#include "transport/shm/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/dmabuf.h>

#include "core/io/wake.h"
#include "util/maplimit.h"

#define FETCH_MAX 64
#define HELLO_NS	10000000000ull
#define LINGER_NS	1000000000ull	/* to take the last answers */

static struct target *of_chan(struct leap__shm_chan *chan)
{
	return (struct target *)((char *)chan - offsetof(struct target, chan));
}

/* ---- completions ---- */

static void post(struct target *t, struct leap_cmd *cmd)
{
	struct leap__cqe cqe = {
		.dw0 = (uint32_t)cmd->result,
		.dw1 = (uint32_t)(cmd->result >> 32),
		.sqhd = leap__sqc_sqhd(&t->sqc),
		.sqid = t->vqp.qid,
		.cid = leap_from_le16(cmd->sqe.cid),
		.status = cmd->status,
	};

	leap__cqp_post(&t->cqp, &cqe);
	t->posted = true;
	leap_cmd_put(cmd);
}

static void bad_ring(struct target *t)
{
	leap__shm_chan_kill(&t->chan, -EPROTO);
}

/* Room, and no word about the next heads. */
static int space(struct target *t)
{
	int room = leap__cqp_space(&t->cqp);

	if (room > 0)
		leap__cqp_disarm(&t->cqp);
	return room;
}

/* Post what found the ring full, as far as there is room now. */
static void post_blocked(struct target *t)
{
	struct leap_cmd *cmd;
	int room = space(t);

	if (room < 0) {
		bad_ring(t);
		return;
	}
	while (room-- > 0 && (cmd = t->blocked) != NULL) {
		t->blocked = cmd->link[0];
		if (!t->blocked)
			t->blocked_tail = &t->blocked;
		post(t, cmd);
	}
	leap__pollgroup_defer(t->vqp.pg, &t->end_of_batch);
}

/* One decision for all completions of a poll: does the host sleep? */
static void end_of_batch(struct leap__defer *defer)
{
	struct target *t = (struct target *)
		((char *)defer - offsetof(struct target, end_of_batch));

	if (t->chan.c.dead)
		return;
	if (t->posted && leap__wake_wanted(t->host_wake))
		leap__shm_chan_kick(&t->chan);
	t->posted = false;
	if (t->closing && !t->blocked)
		leap__shm_chan_kill(&t->chan, 0);
}

void leap__shm_cmd_complete(struct leap_cmd *cmd)
{
	struct target *t = of_vqp(cmd->vqp);

	payload_put(t, cmd);
	/* A command that ends because its queue does is not answered: the host
	 * sends it again, where an error would reach the application. */
	if (t->chan.c.dead ||
	    (t->closing && cmd->status == LEAP_SC_ABORT_SQ_DELETED)) {
		leap_cmd_put(cmd);
		return;
	}
	if (t->chan.c.paused)
		leap__fdchan_unpause(&t->chan.c);
	if (!t->blocked && (leap__cqp_room(&t->cqp) || space(t) > 0)) {
		post(t, cmd);
	} else {
		cmd->link[0] = NULL;
		*t->blocked_tail = cmd;
		t->blocked_tail = &cmd->link[0];
	}
	leap__pollgroup_defer(t->vqp.pg, &t->end_of_batch);
}

/* ---- commands ---- */

/*
 * Until Connect is answered there is one command at a time, and nothing under
 * way on the socket, so that the queue can be moved to another poll group.
 */
static int may_fetch(struct target *t, int n)
{
	if (t->vqp.connected)
		return n > FETCH_MAX ? FETCH_MAX : n;
	if (t->vqp.nr_cmds)
		return 0;
	leap__fdchan_pause(&t->chan.c);
	return leap__fdchan_is_paused(&t->chan.c);
}

/* Returns how many were delivered; stops when the queue moves or dies. */
static int fetch(struct target *t, int n)
{
	struct leap_cmd *cmd;
	bool moved = false;
	int done = 0;

	t->moved = &moved;
	while (done < n && !t->closing) {
		cmd = leap_cmd_get(&t->vqp);
		if (!cmd) {
			t->starved = true;
			break;
		}
		leap__sqc_take(&t->sqc, &cmd->sqe);
		cmd->priv[0] = 0;
		done++;
		leap_vqp_deliver(&t->vqp, cmd);
		if (moved)
			return done;	/* another thread's by now */
		if (t->chan.c.dead)
			break;
	}
	t->moved = NULL;
	return done;
}

static int target_poll(struct leap_poller *poller, unsigned int budget)
{
	struct target *t = (struct target *)
		((char *)poller - offsetof(struct target, poller));
	int n;

	if (t->chan.c.dead)
		return 0;
	if (t->armed) {
		t->armed = false;
		leap__sqc_disarm(&t->sqc);
		leap__cqp_disarm(&t->cqp);
	}
	/* Perhaps it starves because they have all the commands there are. */
	if (t->blocked)
		post_blocked(t);
	if (t->chan.c.dead || t->starved)
		return 0;
	n = leap__sqc_poll(&t->sqc);
	if (n < 0) {
		bad_ring(t);
		return 1;
	}
	return n ? fetch(t, may_fetch(t, n)) : 0;
}

/* What is under way on the socket has to end first, which is an event. */
static bool waits_for_socket(const struct target *t)
{
	return !t->vqp.connected && t->chan.c.paused &&
	       !leap__fdchan_is_paused(&t->chan.c);
}

static int target_arm(struct leap_poller *poller)
{
	struct target *t = (struct target *)
		((char *)poller - offsetof(struct target, poller));
	int n;

	if (t->chan.c.dead)
		return 0;
	t->armed = true;
	if (t->blocked && leap__cqp_arm(&t->cqp))
		return 1;
	if (t->starved || t->closing)
		return 0;
	if (!t->vqp.connected && t->vqp.nr_cmds)
		return 0;	/* its completion is an event */
	n = leap__sqc_arm(&t->sqc);
	return n > 0 ? !waits_for_socket(t) : n < 0;
}

void leap__shm_vqp_resume(struct leap_vqp *vqp)
{
	of_vqp(vqp)->starved = false;
}

/* ---- hand-shake ---- */

static int map_region(struct target *t, uint32_t region,
		      struct leap_dmabuf *buf)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;

	range.gpa.addr = (uint64_t)region << LEAP__SHM_REGION_SHIFT;
	range.bytes = leap_dmabuf_bytes(buf);
	range.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	range.source = LEAP_ATS_DMABUF;
	range.buf = buf;
	return leap_ats_map(t->ats, &range);
}

/* Of the addresses of this process, which are for others too. */
static bool has_room(const struct target *t, uint64_t bytes)
{
	uint64_t all = leap__map_limit();

	return t->mapped <= all && bytes <= all - t->mapped;
}

static int import_region(struct target *t, uint32_t region, int fd,
			 uint64_t bytes, struct leap_dmabuf **out)
{
	struct leap_dmabuf *buf;
	int err;

	if (!bytes || bytes > 1ull << LEAP__SHM_REGION_SHIFT)
		return -EINVAL;
	if (!has_room(t, bytes))
		return -ENOSPC;
	err = leap_dmabuf_import(fd, 0, bytes,
				 LEAP_PERM_READ | LEAP_PERM_WRITE, &buf);
	if (err)
		return err;
	err = map_region(t, region, buf);
	t->mapped += err ? 0 : bytes;
	if (err || !out)
		leap_dmabuf_put(buf);
	else
		*out = buf;
	return err;
}

static int set_up_rings(struct target *t, uint32_t depth)
{
	uint8_t *base = leap_dmabuf_addr(t->mem);
	struct leap__ring_opts sq = {
		.entries = base + LEAP__SHM_SQ, .size = depth,
		.doorbell = (leap_le32 *)(base + LEAP__SHM_SQ_TAIL),
		.eventidx = (leap_le32 *)(base + LEAP__SHM_SQ_EVENTIDX),
	};
	struct leap__ring_opts cq = {
		.entries = base + leap__shm_cq(depth), .size = depth,
		.doorbell = (leap_le32 *)(base + LEAP__SHM_CQ_HEAD),
		.eventidx = (leap_le32 *)(base + LEAP__SHM_CQ_EVENTIDX),
	};
	int err;

	t->host_wake = (leap_le32 *)(base + LEAP__SHM_HOST_WAKE);
	err = leap__sqc_init(&t->sqc, &sq);
	return err ? err : leap__cqp_init(&t->cqp, &cq);
}

static int hello(struct target *t, const struct leap__shm_msg *msg, int fd)
{
	uint32_t depth = leap_from_le32(msg->depth);
	uint64_t bytes = leap_from_le64(msg->bytes);
	int err;

	if (depth < LEAP__RING_MIN || depth > LEAP__SHM_MAX_DEPTH ||
	    bytes < leap__shm_bytes(depth))
		return -EINVAL;
	err = import_region(t, 0, fd, bytes, &t->mem);
	if (!err)
		err = leap_ats_attach(t->ats, t->vqp.pg, &t->view);
	if (!err)
		err = set_up_rings(t, depth);
	if (err)
		return err;
	t->attached = true;
	leap_timer_stop(t->vqp.pg, &t->timer);
	leap_pollgroup_add_poller(t->vqp.pg, &t->poller);
	return 0;
}

static void target_message(struct leap__shm_chan *chan, int type,
			   const struct leap__shm_msg *msg, int fd)
{
	struct target *t = of_chan(chan);
	struct leap__shm_msg reply;
	int err = -EPROTO;

	switch (type) {
	case LEAP__SHM_HELLO:
		reply = leap__shm_msg(LEAP__SHM_WELCOME);
		if (!t->attached)
			err = hello(t, msg, fd);
		break;
	case LEAP__SHM_MEM_ADD:
		reply = leap__shm_msg(LEAP__SHM_MEM_ADDED);
		reply.region = msg->region;
		if (t->attached)
			err = import_region(t, leap_from_le32(msg->region), fd,
					    leap_from_le64(msg->bytes), NULL);
		break;
	default:	/* a kick: we are awake, which was its purpose */
		return;
	}
	close(fd);
	reply.err = leap_to_le32((uint32_t)-err);
	if (leap__shm_chan_send(chan, &reply, -1) || !t->attached ||
	    err == -EPROTO)
		leap__shm_chan_kill(chan, err ? err : -EPROTO);
}

/* ---- ends ---- */

static void put_list(struct leap_cmd **list, struct leap_cmd ***tail)
{
	struct leap_cmd *cmd;

	while ((cmd = *list) != NULL) {
		*list = cmd->link[0];
		leap_cmd_put(cmd);
	}
	*tail = list;
}

static void target_gone(struct leap__shm_chan *chan, int err)
{
	struct target *t = of_chan(chan);

	leap_timer_stop(t->vqp.pg, &t->timer);
	leap__pollgroup_undefer(t->vqp.pg, &t->end_of_batch);
	if (t->attached)
		leap_pollgroup_del_poller(t->vqp.pg, &t->poller);
	put_list(&t->blocked, &t->blocked_tail);
	put_list(&t->waiting, &t->waiting_tail);
	leap_vqp_lost(&t->vqp, err);
}

static const struct leap__shm_chan_end target_end = {
	.host = false,
	.message = target_message,
	.gone = target_gone,
};

static void linger_over(struct leap_timer *timer)
{
	struct target *t = (struct target *)
		((char *)timer - offsetof(struct target, timer));

	leap__shm_chan_kill(&t->chan, 0);
}

void leap__shm_vqp_close(struct leap_vqp *vqp)
{
	struct target *t = of_vqp(vqp);

	t->closing = true;
	leap__pollgroup_defer(vqp->pg, &t->end_of_batch);
	if (t->chan.c.dead)
		return;
	/* For one that never makes room. */
	t->timer.run = linger_over;
	leap_timer_start(vqp->pg, &t->timer, LINGER_NS);
}

int leap__shm_vqp_peer_closed(struct leap_vqp *vqp)
{
	return leap__fdchan_peer_closed(&of_vqp(vqp)->chan.c);
}

static void target_free(struct target *t)
{
	leap_ats_detach(t->view);
	leap_ats_destroy(t->ats);
	leap_dmabuf_put(t->mem);
	free(t->all_arrays);
	free(t);
}

void leap__shm_vqp_destroy(struct leap_vqp *vqp)
{
	target_free(of_vqp(vqp));
}

void leap__shm_vqp_detach(struct leap_vqp *vqp)
{
	struct target *t = of_vqp(vqp);

	if (t->moved)
		*t->moved = true;
	t->moved = NULL;
	leap_pollgroup_del_poller(vqp->pg, &t->poller);
	leap__pollgroup_undefer(vqp->pg, &t->end_of_batch);
	leap_timer_stop(vqp->pg, &t->timer);
	leap__fdchan_detach(&t->chan.c);
	leap_ats_detach(t->view);
	t->view = NULL;
}

int leap__shm_vqp_attach(struct leap_vqp *vqp)
{
	struct target *t = of_vqp(vqp);
	int err;

	t->starved = false;
	err = leap__fdchan_attach(&t->chan.c, vqp->pg);
	if (!err)
		err = leap_ats_attach(t->ats, vqp->pg, &t->view);
	if (err) {
		/* The dispatcher ends and frees the vqp now. */
		leap__fdchan_drop(&t->chan.c);
		return err;
	}
	leap_pollgroup_add_poller(vqp->pg, &t->poller);
	if (t->closing)
		leap__shm_vqp_close(vqp);
	else
		leap__pollgroup_defer(vqp->pg, &t->end_of_batch);
	return 0;
}

static void hello_timeout(struct leap_timer *timer)
{
	struct target *t = (struct target *)
		((char *)timer - offsetof(struct target, timer));

	leap__shm_chan_kill(&t->chan, -ETIMEDOUT);
}

int leap__shm_target_start(struct leap_listener *listener,
			   struct leap__wfd *wfd)
{
	struct leap_pollgroup *pg = leap_listener_pollgroup(listener);
	struct target *t = calloc(1, sizeof(*t));
	struct leap__world *world = leap__pollgroup_world(pg);
	int err;

	if (!t)
		return -ENOMEM;
	err = leap__shm_arrays_init(t);
	if (!err)
		err = leap_ats_create(NULL, &t->ats);
	if (err) {
		target_free(t);
		return err;
	}
	t->vqp.max_data_bytes = leap_listener_target_opts(listener)->mdts_bytes;
	if (world->ops->peer_text(wfd, t->vqp.peer, sizeof(t->vqp.peer)))
		snprintf(t->vqp.peer, sizeof(t->vqp.peer), "unix");
	t->blocked_tail = &t->blocked;
	t->waiting_tail = &t->waiting;
	t->poller.poll = target_poll;
	t->poller.arm = target_arm;
	t->end_of_batch.run = end_of_batch;
	t->timer.run = hello_timeout;
	leap_vqp_init(&t->vqp, &leap__shm_transport, pg, listener);
	err = leap_listener_accepted(listener, &t->vqp);
	if (err) {
		target_free(t);
		return err;
	}
	leap__shm_chan_start(&t->chan, &target_end, pg, wfd);
	leap_timer_start(pg, &t->timer, HELLO_NS);
	return 0;
}
