/* SPDX-License-Identifier: BSD-3-Clause */
#include "rdma-fixture.h"

#include <stdio.h>
#include <time.h>

uint32_t rdma_srq;

uint64_t rdma_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct leap_pollgroup *rdma_pollgroup(struct fake_fabric *f, uint32_t nr_bufs,
				      uint32_t buf_bytes, uint32_t nr_cmds)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_pollgroup *pg;

	opts.world = LEAP_WORLD_EPOLL;
	opts.nr_cmds = nr_cmds;
	opts.nr_bufs = nr_bufs;
	opts.buf_bytes = buf_bytes;
	assert_int_equal(leap_pollgroup_create(&opts, &pg), 0);
	assert_int_equal(leap__rdma_use(pg, &f->v), 0);
	return pg;
}

void rdma_arm(struct leap_pollgroup *pg)
{
	while (leap_pollgroup_arm(pg))
		leap_pollgroup_poll(pg, 0);
}

void rdma_no_leak(struct leap_pollgroup *pg)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	unsigned int i;

	/* What was stopped last comes back. */
	for (i = 0; i < 4; i++)
		leap_pollgroup_poll(pg, 0);
	assert_int_equal(leap_pollgroup_stats(pg, &st), 0);
	assert_int_equal(st.cmds_in_use, 0);
	assert_int_equal(st.bufs_in_use, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

/* ---- the controller's side ---- */

static void copy(struct rdma_fixture *f, struct leap_cmd *cmd)
{
	uint32_t at = leap_from_le32(cmd->sqe.cdw10), i;
	uint8_t *disk = f->disk + at;

	assert_true(at + leap_pieces_bytes(cmd->pieces, cmd->nr_pieces) <=
		    RDMA_DISK);
	for (i = 0; i < cmd->nr_pieces; i++) {
		struct leap_piece *p = &cmd->pieces[i];

		if (LEAP_OPC_DIR(cmd->sqe.opc) == LEAP_DIR_TO_CTRL)
			memcpy(disk, p->addr, p->len_bytes);
		else
			memcpy(p->addr, disk, p->len_bytes);
		disk += p->len_bytes;
	}
}

static void finish(struct rdma_fixture *f, struct leap_cmd *cmd)
{
	copy(f, cmd);
	cmd->result = leap_from_le32(cmd->sqe.cdw13);
	leap_cmd_complete(cmd, 0);
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	struct leap_target *t = cmd->vqp->handler_priv;
	struct rdma_fixture *f = (struct rdma_fixture *)t;

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
	((struct rdma_fixture *)t)->executed++;
	leap_cmd_pull(cmd, leap_from_le32(cmd->sqe.cdw12), ready);
}

void rdma_poll(struct rdma_fixture *f)
{
	unsigned int i;

	leap_pollgroup_poll(f->pg, 0);
	if (f->io)
		leap_pollgroup_poll(f->io, 0);
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

void rdma_start(struct rdma_fixture *f, struct fake_fabric *fabric,
		struct leap_pollgroup *pg, const char *address)
{
	char bound[64], text[64];

	memset(f, 0, sizeof(*f));
	fake_target_init(&f->target, pg);
	f->target.execute = execute;
	f->target.listener_opts.srq = rdma_srq;
	f->fabric = fabric;
	f->pg = pg;
	f->disk = calloc(1, RDMA_DISK);
	assert_non_null(f->disk);
	snprintf(text, sizeof(text), "%s:0", address);
	assert_int_equal(leap__rdma_listen(&f->target.listener, text, bound,
					   sizeof(bound)), 0);
	snprintf(f->url, sizeof(f->url), "rdma://%s/" RDMA_NQN, bound);
}

void rdma_stop(struct rdma_fixture *f)
{
	leap__rdma_unlisten(&f->target.listener);
	RDMA_WAIT(!f->nr_delayed && f->target.gone == f->target.accepted,
		  rdma_poll(f));
	assert_int_equal(f->target.lost, f->target.accepted);
	free(f->disk);
	f->disk = NULL;
	/* The listener's memory goes in the next poll. */
	rdma_poll(f);
	rdma_poll(f);
}

/* ---- the host's ---- */

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
{
	struct rdma_run *r = arg;

	r->connected++;
	r->status = status;
	r->sys_errno = sys_errno;
}

static void on_lost(struct leap_qp *qp, int sys_errno, void *arg)
{
	struct rdma_run *r = arg;

	r->lost++;
	r->sys_errno = sys_errno;
}

static void on_closed(void *arg)
{
	((struct rdma_run *)arg)->closed++;
}

/* Payload in up to 9 uneven pieces, some of them empty. */
static void cut(struct rdma_io *io)
{
	uint32_t left = io->bytes, n, i = 0;
	uint8_t *at = io->data;

	memset(io->pieces, 0, sizeof(io->pieces));
	while (left && i < 8 && rand() % 3) {
		n = (uint32_t)rand() % (left + 1);
		io->pieces[i].addr = at;
		io->pieces[i].buf = io->run->buf;
		io->pieces[i++].len_bytes = n;
		at += n;
		left -= n;
	}
	io->pieces[i].addr = at;
	io->pieces[i].buf = io->run->buf;
	io->pieces[i++].len_bytes = left;
	io->req.pieces = io->pieces;
	io->req.nr_pieces = i;
}

static void next_io(struct rdma_io *io)
{
	static const uint32_t sizes[] = { 0, 1, 512, 4096, 8192, 8193, 65536,
					  131072, 131073, 1 << 20 };
	struct rdma_run *r = io->run;
	struct leap_req *req = &io->req;

	if (!r->left || r->stop)
		return;
	r->left--;
	/* Turns: write a pattern, read it back. */
	if (!(io->turn & 1)) {
		io->bytes = sizes[(unsigned int)rand() % COUNT(sizes)];
		if (rand() % 2 || io->bytes > r->max)
			io->bytes = (uint32_t)rand() % (r->max + 1);
		if (io->bytes > RDMA_SLOT)
			io->bytes = RDMA_SLOT;
		io->fill = (uint8_t)rand();
		memset(io->data, io->fill, io->bytes);
	} else {
		memset(io->data, ~io->fill, io->bytes);
	}
	cut(io);
	memset(&req->sqe, 0, sizeof(req->sqe));
	req->sqe.opc = io->turn & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	req->sqe.cdw10 = leap_to_le32(io->at);
	req->sqe.cdw12 = leap_to_le32(io->bytes);
	req->sqe.cdw13 = leap_to_le32(io->turn % 3 ? 0 : 77);
	io->busy = 1;
	if (leap_qp_submit(r->qp, (struct leap_req *[]){ req }, 1) == 1)
		return;
	/* It has gone meanwhile. */
	assert_true(r->may_fail);
	io->busy = 0;
	r->done++;
	r->failed++;
}

static void io_done(struct leap_req *req)
{
	struct rdma_io *io = (struct rdma_io *)req;
	struct rdma_run *r = io->run;
	uint8_t bad = 0;
	uint32_t i;

	assert_true(io->busy);
	io->busy = 0;
	r->done++;
	if (leap_req_status(req)) {
		r->failed++;
		assert_true(r->may_fail);
		return;
	}
	for (i = 0; (io->turn & 1) && i < io->bytes; i++)
		bad |= io->data[i] ^ io->fill;
	assert_int_equal(bad, 0);
	assert_int_equal(leap_req_result(req), io->turn % 3 ? 0 : 77);
	io->turn++;
	next_io(io);
}

void rdma_open(struct rdma_run *r, struct rdma_fixture *f,
	       struct leap_pollgroup *pg, uint16_t qid, uint32_t flags,
	       uint32_t inline_bytes)
{
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	struct leap_dmabuf *buf = r->buf;
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->buf = buf;
	r->f = f;
	r->pg = pg;
	r->max = 1 << 20;
	for (i = 0; i < COUNT(r->ios); i++) {
		r->ios[i].run = r;
		r->ios[i].req.done = io_done;
		r->ios[i].at = i * RDMA_SLOT;
		r->ios[i].data = buf ? (uint8_t *)leap_dmabuf_addr(buf) +
				 i * RDMA_SLOT : malloc(1 << 20);
		assert_non_null(r->ios[i].data);
	}
	opts.url = f->url;
	opts.qid = qid;
	opts.cntlid = qid ? 7 : 0;
	opts.depth = RDMA_DEPTH;
	opts.flags = flags;
	opts.inline_bytes = inline_bytes;
	opts.connected = on_connected;
	opts.lost = on_lost;
	opts.arg = r;
	assert_int_equal(leap_qp_connect(pg, &opts, &r->qp), 0);
}

void rdma_run_poll(struct rdma_run *r)
{
	if (r->pg != r->f->pg)
		leap_pollgroup_poll(r->pg, 0);
	rdma_poll(r->f);
}

void rdma_connect(struct rdma_run *r)
{
	RDMA_WAIT(r->connected, rdma_run_poll(r));
	assert_int_equal(r->connected, 1);
	assert_int_equal(r->status, 0);
}

void rdma_load(struct rdma_run *r, unsigned int n)
{
	unsigned int i;

	r->left = n;
	r->done = 0;
	for (i = 0; i < COUNT(r->ios); i++)
		next_io(&r->ios[i]);
}

void rdma_ios(struct rdma_run *r, unsigned int n)
{
	rdma_load(r, n);
	RDMA_WAIT(r->done == n, rdma_run_poll(r));
	assert_int_equal(r->failed, 0);
}

void rdma_close(struct rdma_run *r)
{
	unsigned int i;

	r->stop = 1;
	r->may_fail = 1;
	leap_qp_close(r->qp, on_closed, r);
	RDMA_WAIT(r->closed, rdma_run_poll(r));
	assert_int_equal(r->closed, 1);
	/* Late writes must not land in the next connection's data: keeping
	 * them apart is a controller's work, and this target is none. */
	RDMA_WAIT(!r->f->nr_delayed, rdma_run_poll(r));
	for (i = 0; i < COUNT(r->ios); i++) {
		assert_false(r->ios[i].busy);
		if (!r->buf)
			free(r->ios[i].data);
	}
}

/* ---- both ---- */

void rdma_pair_init(struct rdma_pair *p)
{
	memset(p, 0, sizeof(*p));
	p->fabric = fake_fabric_create();
}

void rdma_pair_init_two(struct rdma_pair *p)
{
	rdma_pair_init(p);
	p->host = rdma_pollgroup(p->fabric, 0, 0, 0);
	p->pg = rdma_pollgroup(p->fabric, 0, 0, 0);
}

void rdma_pair_start(struct rdma_pair *p, const char *address)
{
	if (!p->pg)
		p->pg = rdma_pollgroup(p->fabric, 0, 0, 0);
	if (!p->host)
		p->host = p->pg;
	rdma_start(&p->f, p->fabric, p->pg, address);
	p->f.target.io = p->io;
	p->f.io = p->io;
}

void rdma_pair_open(struct rdma_pair *p, uint32_t inline_bytes)
{
	rdma_open(&p->r, &p->f, p->host, 1, 0, inline_bytes);
	rdma_connect(&p->r);
}

void rdma_pair_end(struct rdma_pair *p)
{
	if (p->r.qp && !p->r.closed)
		rdma_close(&p->r);
	rdma_stop(&p->f);
	if (p->io)
		rdma_no_leak(p->io);
	rdma_no_leak(p->pg);
	if (p->host != p->pg)
		rdma_no_leak(p->host);
	assert_int_equal(fake_fabric_destroy(p->fabric), 0);
}
