/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp-fixture.h"

#include "core/io/inet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct tcp_fixture *fixture_of(struct leap_target *t)
{
	return (struct tcp_fixture *)t;
}

static void copy(struct tcp_fixture *f, struct leap_cmd *cmd)
{
	uint32_t at = leap_from_le32(cmd->sqe.cdw10), i;
	uint8_t *disk = f->disk + at;

	assert_true(at + leap_pieces_bytes(cmd->pieces, cmd->nr_pieces) <=
		    TCP_DISK);
	for (i = 0; i < cmd->nr_pieces; i++) {
		struct leap_piece *p = &cmd->pieces[i];

		if (LEAP_OPC_DIR(cmd->sqe.opc) == LEAP_DIR_TO_CTRL)
			memcpy(disk, p->addr, p->len_bytes);
		else
			memcpy(p->addr, disk, p->len_bytes);
		disk += p->len_bytes;
	}
}

static void finish(struct tcp_fixture *f, struct leap_cmd *cmd)
{
	if (!f->fail)
		copy(f, cmd);
	cmd->result = leap_from_le32(cmd->sqe.cdw13);
	leap_cmd_complete(cmd, f->fail);
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct tcp_fixture *f = fixture_of(cmd->vqp->handler_priv);

	if (status) {
		leap_cmd_complete(cmd, status);
		return;
	}
	assert_int_equal(leap_pieces_bytes(cmd->pieces, cmd->nr_pieces),
			 leap_from_le32(cmd->sqe.cdw12));
	if (f->delay && f->nr_delayed < COUNT(f->delayed)) {
		f->due[f->nr_delayed] = 1 + (unsigned int)rand() % f->delay;
		f->delayed[f->nr_delayed++] = cmd;
		return;
	}
	finish(f, cmd);
}

static void execute(struct leap_target *t, struct leap_cmd *cmd)
{
	struct tcp_fixture *f = fixture_of(t);

	f->executed++;
	leap_cmd_pull(cmd, leap_from_le32(cmd->sqe.cdw12), ready);
}

void tcp_fixture_poll(struct tcp_fixture *f)
{
	unsigned int i;

	for (i = 0; i < f->nr_delayed; ) {
		struct leap_cmd *cmd = f->delayed[i];

		if (--f->due[i]) {
			i++;
			continue;
		}
		f->delayed[i] = f->delayed[--f->nr_delayed];
		f->due[i] = f->due[f->nr_delayed];
		finish(f, cmd);
	}
}

static void init(struct tcp_fixture *f, struct leap_pollgroup *pg)
{
	memset(f, 0, sizeof(*f));
	fake_target_init(&f->target, pg);
	f->target.execute = execute;
	f->pg = pg;
	f->limits.max_data = 1 << 20;
	f->limits.inline_bytes = 8192;
	f->limits.max_depth = 128;
	f->disk = calloc(1, TCP_DISK);
	assert_non_null(f->disk);
}

static void post_accept(struct tcp_fixture *f)
{
	f->accept.op = LEAP__IO_ACCEPT;
	f->accept.wfd = f->listener;
	leap__io_submit(leap__pollgroup_world(f->pg), &f->accept);
}

static void accepted(struct leap__io *io)
{
	struct tcp_fixture *f = io->arg;
	struct leap_vqp *vqp;

	if (io->res == -ECANCELED) {
		f->listening = 0;
		return;
	}
	assert_int_equal(io->res, 0);
	if (leap__tcp_target_start(f->pg, &f->limits, &f->target.listener,
				   io->wfd_out, &vqp))
		io->wfd_out->world->ops->close(io->wfd_out);
	post_accept(f);
}

void tcp_fixture_start(struct tcp_fixture *f, struct leap_pollgroup *pg,
		       const char *address)
{
	struct leap__world *w = leap__pollgroup_world(pg);
	struct sockaddr_storage addr;
	char text[64];
	socklen_t len;
	int v6 = *address == '[';

	init(f, pg);
	snprintf(text, sizeof(text), "%s:0", address);
	assert_int_equal(leap__inet_parse("test", text, &addr, &len), 0);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&addr, len, 16, 0,
					&f->listener), 0);
	assert_int_equal(w->ops->local_addr(f->listener, &addr), 0);
	snprintf(f->url, sizeof(f->url), "tcp://%s:%u/" TCP_NQN, address,
		 ntohs(v6 ? ((struct sockaddr_in6 *)&addr)->sin6_port :
		       ((struct sockaddr_in *)&addr)->sin_port));
	f->accept.done = accepted;
	f->accept.arg = f;
	f->listening = 1;
	post_accept(f);
}

int tcp_fixture_pair(struct tcp_fixture *f, struct leap_pollgroup *pg)
{
	struct leap__world *w = leap__pollgroup_world(pg);
	struct leap__wfd *wfd;
	struct leap_vqp *vqp;
	int fds[2];

	if (!f->disk)
		init(f, pg);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(w->ops->adopt(w, fds[0], &wfd), 0);
	assert_int_equal(leap__tcp_target_start(pg, &f->limits,
						&f->target.listener, wfd,
						&vqp), 0);
	f->fd = fds[0];
	return fds[1];
}

void tcp_fixture_stop(struct tcp_fixture *f)
{
	if (f->listener)
		f->listener->world->ops->close(f->listener);
	TCP_WAIT(!f->listening && !f->nr_delayed &&
		 f->target.gone == f->target.accepted,
		 (leap_pollgroup_poll(f->pg, 0), tcp_fixture_poll(f)));
	assert_int_equal(f->target.lost, f->target.accepted);
	assert_int_equal(f->target.gone, f->target.accepted);
	free(f->disk);
	f->disk = NULL;
}

uint64_t tcp_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct leap_pollgroup *create(uint32_t nr_bufs, uint32_t buf_bytes,
				     uint32_t nr_cmds)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	opts.world = LEAP_WORLD_EPOLL;
	opts.nr_cmds = nr_cmds;
	opts.nr_bufs = nr_bufs;
	opts.buf_bytes = buf_bytes;
	assert_int_equal(leap_pollgroup_create(&opts, &pg), 0);
	return pg;
}

struct leap_pollgroup *tcp_pollgroup(uint32_t nr_bufs, uint32_t buf_bytes)
{
	return create(nr_bufs, buf_bytes, 0);
}

struct leap_pollgroup *tcp_pollgroup_few(uint32_t nr_cmds)
{
	return create(16, 65536, nr_cmds);
}
