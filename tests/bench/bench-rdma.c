/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the RDMA transport itself costs: nanoseconds per command of 4 KiB for
 * host end and controller end together on one core, over a wire that only hands
 * capsules on, with payload in registered memory. READs and WRITEs of payload
 * are posted and completed, and move nothing: that is a device's work.
 *
 *	bench-rdma [--json] [--smoke]
 *
 * Connections are made over the fake fabric; then the wire takes the place of
 * its posts and polls. The floor is that wire alone, called as often.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/fake-target.h"
#include "../unit/fake-verbs.h"
#include "bench.h"
#include "transport/rdma/rdma.h"

#include <leapio/dmabuf.h>

#define RUNS	9
#define MAX_QD	127u
#define RING	1024u
#define PAYLOAD	4096u

/* One end: receives that are posted, completions that are not polled yet. */
struct end {
	struct leap__v_cq *cq;
	uint64_t recv_id[RING], recv_at[RING];
	uint32_t r_head, r_tail;
	struct leap__v_wc wc[RING];
	uint32_t w_head, w_tail;
};

struct bench {
	struct fake_fabric *fabric;
	struct leap_pollgroup *pg;
	struct leap_target target;
	struct leap_qp *qp;
	struct leap_req reqs[MAX_QD];
	struct leap_piece piece;
	uint64_t left, done, posts;
	int up;
};

static struct bench b;
static struct end ends[2];	/* [1] is the controller's */
static uint32_t total = 1000000, runs = RUNS;

/* Of the processor: nothing here waits for anybody. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void complete(struct end *e, uint64_t id, uint32_t bytes)
{
	struct leap__v_wc *wc = &e->wc[e->w_tail++ % RING];

	wc->id = id;
	wc->status = LEAP__V_OK;
	wc->bytes = bytes;
	wc->flags = 0;
}

static int wire_recv(struct leap__v_qp *qp, const struct leap__v_recv *r,
		     uint32_t n)
{
	struct end *e = &ends[qp->id->passive];
	uint32_t i;

	for (i = 0; i < n; i++, e->r_tail++) {
		e->recv_id[e->r_tail % RING] = r[i].id;
		e->recv_at[e->r_tail % RING] = r[i].sge[0].addr;
	}
	return 0;
}

static int wire_send(struct leap__v_qp *qp, const struct leap__v_wr *wr,
		     uint32_t n)
{
	struct end *e = &ends[qp->id->passive], *to = &ends[!qp->id->passive];
	uint32_t i;

	b.posts++;
	for (i = 0; i < n; i++) {
		if (wr[i].op <= LEAP__V_SEND_INV) {
			uint32_t at = to->r_head++ % RING;

			memcpy((void *)(uintptr_t)to->recv_at[at],
			       (void *)(uintptr_t)wr[i].sge->addr,
			       wr[i].sge->len);
			complete(to, to->recv_id[at], wr[i].sge->len);
		}
		if (wr[i].flags & LEAP__V_SIGNALED)
			complete(e, wr[i].id, 0);
	}
	return 0;
}

static int wire_poll(struct leap__v_cq *cq, struct leap__v_wc *wc, int n)
{
	struct end *e = &ends[cq == ends[1].cq];
	int i;

	for (i = 0; i < n && e->w_head != e->w_tail; i++)
		wc[i] = e->wc[e->w_head++ % RING];
	return i;
}

/* From here on nothing is slower than it has to be. */
static void switch_over(void)
{
	int i;

	for (i = 0; i < 2; i++) {
		struct leap__v_qp *qp = fake_id(b.fabric, i, 0)->qp;
		struct fake_rq *rq = &qp->rq;

		ends[i].cq = qp->cq;
		for (; rq->head != rq->tail; rq->head++, ends[i].r_tail++) {
			struct fake_recv *r = &rq->r[rq->head & (rq->size - 1)];

			ends[i].recv_id[ends[i].r_tail] = r->id;
			ends[i].recv_at[ends[i].r_tail] = r->sge[0].addr;
		}
	}
	b.fabric->v.post_send = wire_send;
	b.fabric->v.post_recv = wire_recv;
	b.fabric->v.cq_poll = wire_poll;
}

static void null_ready(struct leap_cmd *cmd, leap_status_t status)
{
	leap_cmd_complete(cmd, status);
}

static void null_execute(struct leap_target *t, struct leap_cmd *cmd)
{
	leap_cmd_pull(cmd, PAYLOAD, null_ready);
}

static void done(struct leap_req *req)
{
	b.done++;
	if (!b.left)
		return;
	b.left--;
	leap_qp_submit(b.qp, &req, 1);
}

static void connected(struct leap_qp *qp, leap_status_t status, int sys_errno,
		      void *arg)
{
	b.up = status ? -1 : 1;
}

static double run(uint32_t qd, int write)
{
	struct leap_req *req;
	uint64_t start;
	uint32_t i;

	b.done = 0;
	b.left = total - qd;
	b.posts = 0;
	start = cpu_ns();
	for (i = 0; i < qd; i++) {
		req = &b.reqs[i];
		memset(&req->sqe, 0, sizeof(req->sqe));
		req->sqe.opc = write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
		req->pieces = &b.piece;
		req->nr_pieces = 1;
		req->done = done;
		if (leap_qp_submit(b.qp, &req, 1) != 1)
			exit(1);
	}
	while (b.done < total)
		leap_pollgroup_poll(b.pg, 0);
	return (double)(cpu_ns() - start) / total;
}

/* The wire's part of a command: a capsule each way, two receives, and its share
 * of four posts and two polls of a batch. */
static double floor_run(uint32_t qd)
{
	static struct leap_sqe sqe;
	struct leap__v_qp *qp[2] = { fake_id(b.fabric, 0, 0)->qp,
				     fake_id(b.fabric, 1, 0)->qp };
	struct leap__v_sge sge = { (uintptr_t)&sqe, sizeof(sqe), 0 };
	struct leap__v_wr wr[64] = { { 0 } };
	struct leap__v_recv r[64];
	struct leap__v_wc wc[32];
	uint32_t i, k, n = qd < 64 ? qd : 64;
	uint64_t start = cpu_ns();

	for (k = 0; k < n; k++) {
		wr[k].sge = &sge;
		wr[k].nr_sge = 1;
	}
	wr[n - 1].flags = LEAP__V_SIGNALED;
	for (i = 0; i < total; i += n)
		for (k = 0; k < 2; k++) {
			struct end *e = &ends[!k];
			uint32_t m;

			sge.len = k ? LEAP_CQE_SIZE : LEAP_SQE_SIZE;
			wire_send(qp[k], wr, n);
			for (m = 0; m < n; m++) {
				static struct leap__v_sge back;
				uint32_t at = (e->r_head - n + m) % RING;

				back.addr = e->recv_at[at];
				r[m].id = e->recv_id[at];
				r[m].sge = &back;
				wire_recv(qp[!k], &r[m], 1);
			}
			while (wire_poll(qp[k]->cq, wc, 32) +
			       wire_poll(qp[!k]->cq, wc, 32))
				;
		}
	return (double)(cpu_ns() - start) / total;
}

static int open_all(void)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_qp_opts opts = LEAP_QP_OPTS_INIT;
	char url[128], bound[64];

	b.fabric = fake_fabric_create();
	if (leap_pollgroup_create(NULL, &b.pg) ||
	    leap__rdma_use(b.pg, &b.fabric->v))
		return -1;
	fake_target_init(&b.target, b.pg);
	b.target.execute = null_execute;
	if (leap__rdma_listen(&b.target.listener, "127.0.0.1:0", bound,
			      sizeof(bound)))
		return -1;
	snprintf(url, sizeof(url), "rdma://%s/nqn.2014-08.org.example:bench",
		 bound);
	o.bytes = PAYLOAD;
	if (leap_dmabuf_create(&o, &b.piece.buf))
		return -1;
	b.piece.addr = leap_dmabuf_addr(b.piece.buf);
	b.piece.len_bytes = PAYLOAD;
	opts.url = url;
	opts.qid = 1;
	opts.cntlid = 7;
	opts.depth = MAX_QD + 1;
	opts.connected = connected;
	if (leap_qp_connect(b.pg, &opts, &b.qp))
		return -1;
	while (!b.up)
		leap_pollgroup_poll(b.pg, 0);
	if (b.up < 0)
		return -1;
	switch_over();
	return 0;
}

static void row(int json, int first, uint32_t qd, int write)
{
	double ns[RUNS], fl[RUNS];
	double per_post;
	unsigned int r;

	for (r = 0; r < runs; r++) {
		fl[r] = floor_run(qd);
		ns[r] = run(qd, write);
	}
	per_post = (double)total * 2 / (double)b.posts;
	bench_median(ns, runs);
	bench_median(fl, runs);
	if (json)
		printf("%s{\"op\":\"%s\",\"depth\":%" PRIu32 ",\"min\":%.1f,"
		       "\"median\":%.1f,\"wire\":%.1f,\"per_post\":%.1f}",
		       first ? "" : ",", write ? "write" : "read", qd, ns[0],
		       ns[runs / 2], fl[0], per_post);
	else
		printf("%6s %6" PRIu32 " %10.1f %10.1f %10.1f %10.1f\n",
		       write ? "write" : "read", qd, ns[0], ns[runs / 2],
		       fl[0], per_post);
}

int main(int argc, char **argv)
{
	static const uint32_t depths[] = { 1, 32, 127 };
	int json = bench_flag(argc, argv, "--json");
	unsigned int d;

	if (bench_flag(argc, argv, "--smoke")) {
		total = 50000;
		runs = 3;
	}
	if (open_all())
		return 1;
	if (json)
		printf("{\"bench\":\"rdma\",\"unit\":\"ns/command, both "
		       "ends\",\"results\":[");
	else
		printf("rdma, 4 KiB, both ends on one core\n%6s %6s %10s %10s "
		       "%10s %10s\n", "op", "depth", "min ns", "median ns",
		       "wire ns", "per post");
	for (d = 0; d < 6; d++)
		row(json, !d, depths[d / 2], (int)(d & 1));
	if (json)
		printf("]}\n");
	/* Their queues hold what the fabric knows nothing of: no goodbye. */
	return 0;
}
