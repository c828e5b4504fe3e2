/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A controller over RDMA that answers what it likes: private data, response
 * capsules, and events of a connection manager gone mad.
 *
 * Byte 0: 1 reject, 2 Connect is answered by the book; bits 7:2 length of
 * private data, which follows. Then operations: a byte of kind, and what it
 * needs.
 */
#include "fuzz-rdma.h"

#include <leapio/nvmf.h>
#include <leapio/qp.h>

#define DEPTH	4u
#define RECVS	32u
#define SLOT	16384u

static struct leap_pollgroup *pg;
static struct fuzz_peer peer;	/* its memory: RECVS messages in, one out */
static struct leap_qp *host;
static struct leap_req reqs[DEPTH];
static struct leap_piece pieces[DEPTH];
static uint8_t payload[DEPTH][9000];
static uint8_t busy[DEPTH];
static int out, closed, up;
static leap_le16 cids[RECVS];	/* of what came, newest last */
static uint32_t nr_cids;

static void init(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;

	if (pg)
		return;
	fuzz_peer_init(&peer, (RECVS + 1) * SLOT);
	po.world = LEAP_WORLD_EPOLL;
	FUZZ_CHECK(!leap_pollgroup_create(&po, &pg));
	FUZZ_CHECK(!leap__rdma_use(pg, peer.v));
	fuzz_peer_listen(&peer, 4420);
}

static void on_done(struct leap_req *req)
{
	FUZZ_CHECK(busy[req - reqs]);
	busy[req - reqs] = 0;
	out--;
}

static void on_connected(struct leap_qp *q, leap_status_t status,
			 int sys_errno, void *arg)
{
	FUZZ_CHECK(!up);
	up = status ? -1 : 1;
}

static void on_closed(void *arg)
{
	closed = 1;
}

static void post_recv(uint32_t slot)
{
	fuzz_peer_recv(&peer, slot, slot * SLOT, SLOT);
}

static void hear(void)
{
	struct leap__v_wc wc;

	while (peer.qp && peer.v->cq_poll(peer.cq, &wc, 1) > 0) {
		const struct leap_sqe *sqe;
		uint32_t slot;

		if (wc.status || wc.id < FUZZ_RECVS)
			continue;
		slot = (uint32_t)wc.id - FUZZ_RECVS;
		sqe = (void *)(peer.mem + slot * SLOT);
		cids[nr_cids++ % RECVS] = sqe->cid;
		post_recv(slot);
	}
}

static void polls(int n)
{
	while (n--) {
		leap_pollgroup_poll(pg, 0);
		hear();
	}
}

static void say(uint32_t len)
{
	fuzz_peer_post(&peer, LEAP__V_SEND, RECVS * SLOT, len, 0, 0);
	polls(1);
}

static void take(const uint8_t *priv, uint8_t len)
{
	struct leap__v_param p = { .priv = priv, .priv_len = len,
				   .rnr_retries = 7 };
	uint32_t i;

	fuzz_peer_queue(&peer, RECVS, 0);
	for (i = 0; i < RECVS; i++)
		post_recv(i);
	peer.v->accept(peer.id, &p);
	polls(20);
}

static void answer(leap_le16 cid)
{
	struct leap_cqe *cqe = (void *)(peer.mem + RECVS * SLOT);

	memset(cqe, 0, sizeof(*cqe));
	cqe->cid = cid;
	say(sizeof(*cqe));
}

static void submit(uint8_t kind)
{
	struct leap_req *req;
	uint32_t i = 0;

	if (up != 1 || out >= (int)DEPTH - 1)
		return;
	while (busy[i])
		i++;
	req = &reqs[i];
	memset(req, 0, sizeof(*req));
	req->sqe.opc = kind & 1 ? LEAP_NVM_READ : LEAP_NVM_WRITE;
	pieces[i].addr = payload[i];
	pieces[i].len_bytes = kind * 35u;
	req->pieces = &pieces[i];
	req->nr_pieces = 1;
	req->done = on_done;
	busy[i] = leap_qp_submit(host, &req, 1) == 1;
	out += busy[i];
	leap_qp_kick(host);
	hear();
}

static size_t operate(const uint8_t *p, size_t n)
{
	uint32_t len;

	if (n < 4)
		return 0;
	switch (p[0] & 7) {
	case 0:
		submit(p[1]);
		return 2;
	case 1:			/* one that came, or none */
		answer(p[1] & 1 ? cids[(nr_cids - 1 - (p[1] >> 1)) % RECVS] :
		       leap_to_le16((uint16_t)(p[1] | p[2] << 8)));
		return 3;
	case 2:
		len = n - 1 < 16 ? (uint32_t)n - 1 : 16;
		memcpy(peer.mem + RECVS * SLOT, p + 1, len);
		say(16);
		return 1 + len;
	case 3:
		say(p[1]);
		return 2;
	case 4:
		polls(20);
		return 1;
	case 5:
		fuzz_event(fake_id(peer.fabric, 0, 0),
			   p[1] % LEAP__V_NR_EVENTS, p + 2, n - 2);
		return 3;
	default:
		fake_break(peer.id);
		return 1;
	}
}

static void leave(void)
{
	closed = 0;
	leap_qp_close(host, on_closed, NULL);
	while (!closed)
		polls(1);
	FUZZ_CHECK(!out);
	fuzz_peer_leave(&peer);
	polls(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap__v_cm cm;
	uint8_t how, len;
	int i;

	if (size < 2)
		return 0;
	init();
	how = data[0];
	len = how >> 2 < size - 1 ? how >> 2 : (uint8_t)(size - 1);
	data++;
	size--;
	up = 0;
	nr_cids = 0;
	memset(cids, 0, sizeof(cids));
	o.url = "rdma://127.0.0.1:4420/nqn.2026-01.org.example:fuzz";
	o.qid = 1;
	o.cntlid = 1;
	o.depth = DEPTH;
	o.inline_bytes = 4096;
	o.connected = on_connected;
	FUZZ_CHECK(!leap_qp_connect(pg, &o, &host));
	for (i = 0; i < 1000 && peer.v->chan_get(peer.chan, &cm) <= 0; i++)
		leap_pollgroup_poll(pg, 0);
	FUZZ_CHECK(i < 1000);
	peer.id = cm.id;
	if (how & 1) {
		peer.v->reject(peer.id, data, len);
		polls(20);
	} else {
		take(data, len);
	}
	data += len;
	size -= len;
	if (!(how & 1) && (how & 2) && nr_cids)
		answer(cids[0]);
	if (!(how & 1))
		fuzz_operations(data, size, operate);
	leave();
	return 0;
}
