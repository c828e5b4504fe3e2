/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host over RDMA that says what it likes: private data, capsules, keys, and
 * events of a connection manager gone mad.
 *
 * Byte 0: 1 private data by the book, 2 and Connect, 4 no receives posted at
 * first, 64 without 32 where receives are shared; else 32 bytes of private data
 * follow. Then operations: a byte of kind, and what it needs.
 */
#include "fuzz-rdma.h"
#include "fuzz-target.h"

#define DEPTH	8u
#define SLOT	16384u
#define DATA	65536u
#define SHARED	4u

static struct fuzz_target f;
static struct fuzz_peer peer;	/* its memory: DATA, a message in, one out */

static void polls(void)
{
	int i;

	for (i = 0; i < 20; i++)
		leap_pollgroup_poll(f.pg, 0);
}

static void init(void)
{
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;

	if (peer.fabric)
		return;
	fuzz_peer_init(&peer, DATA + 2 * SLOT);
	fuzz_target_init(&f, "loop://");
	FUZZ_CHECK(!leap__rdma_use(f.pg, peer.v));
	lo.url = "rdma://127.0.0.1:4420";
	FUZZ_CHECK(!leap_listener_create(f.target, &lo, &f.listener));
	lo.url = "rdma://127.0.0.1:4421";
	lo.srq = SHARED;
	FUZZ_CHECK(!leap_listener_create(f.target, &lo, &f.listener));
}

static void post_recv(void)
{
	fuzz_peer_recv(&peer, 0, DATA, SLOT);
}

static void drain(void)
{
	struct leap__v_wc wc[16];
	struct leap__v_cm cm;

	while (peer.v->cq_poll(peer.cq, wc, 16) > 0)
		;
	while (peer.v->chan_get(peer.chan, &cm) > 0)
		;
}

/* Nobody is connected: the shared ones are gone, with all that they were. */
static void settle(void)
{
	fuzz_target_settle(&f);
	while (peer.fabric->nr_qps)
		leap_pollgroup_poll(f.pg, 0);
	FUZZ_CHECK(!peer.fabric->nr_srqs);
}

static void send_bytes(uint32_t len)
{
	fuzz_peer_post(&peer, LEAP__V_SEND, DATA + SLOT, len, 0, 0);
	leap_pollgroup_poll(f.pg, 0);
	drain();
}

static void put_key(struct leap_sqe *sqe, uint32_t at, uint32_t len,
		    uint8_t sub)
{
	struct leap_sgl_keyed k;

	leap_sgl_keyed_set(&k, (uintptr_t)peer.mem + at, len, peer.keys.rkey,
			   LEAP_SGL_ID(LEAP_SGL_TYPE_KEYED, sub));
	memcpy(&sqe->sgl1, &k, sizeof(k));
	sqe->flags = LEAP_SQE_PSDT_SGL;
}

static void join(uint16_t qid)
{
	struct leap_fab_connect c;

	fuzz_connect(&c, (void *)peer.mem, qid, qid ? 1 : 0xffff, DEPTH);
	put_key((struct leap_sqe *)(void *)&c, 0, 1024, 0);
	memcpy(peer.mem + DATA + SLOT, &c, sizeof(c));
	send_bytes(sizeof(c));
	polls();
	drain();
}

/* A command of up to 64 bytes; its key is right unless bit 7 of @how says. */
static uint32_t capsule(const uint8_t *p, uint32_t n, uint8_t how)
{
	struct leap_sqe *sqe = (void *)(peer.mem + DATA + SLOT);
	uint32_t len = n < 64 ? n : 64;

	memset(sqe, 0, 64);
	memcpy(sqe, p, len);
	if (!(how & 0x80))
		put_key(sqe, (how & 7u) * 512u, 512u << (how >> 3 & 7),
			how & 0x40 ? LEAP_SGL_SUB_INVALIDATE : 0);
	return len;
}

static size_t operate(const uint8_t *p, size_t n)
{
	uint32_t len;

	if (n < 4)
		return 0;
	switch (p[0] & 7) {
	case 0:			/* a capsule alone */
		len = capsule(p + 2, (uint32_t)n - 2, p[1]);
		send_bytes(64);
		return 2 + len;
	case 1:			/* with data behind it */
		len = capsule(p + 3, (uint32_t)n - 3, 0x80);
		send_bytes(64 + p[1] * 40u);
		return 3 + len;
	case 2:			/* of any length */
		send_bytes((p[1] | (uint32_t)p[2] << 8) % SLOT);
		return 3;
	case 3:
		post_recv();
		return 1;
	case 4:
		polls();
		drain();
		return 1;
	case 5:
		fuzz_event(fake_id(peer.fabric, 1, 0), fuzz_event_type(p[1]),
			   p + 2, n - 2);
		return 3;
	case 6:
		peer.fabric->paused = p[1] & 1;
		if (!peer.fabric->paused)
			fake_resume(peer.fabric);
		return 2;
	default:
		fake_break(peer.id);
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_rdma_cm_req req = {
		.hrqsize = leap_to_le16(DEPTH),
		.hsqsize = leap_to_le16(DEPTH - 1),
	};
	struct leap__v_param param = { .priv = &req, .priv_len = sizeof(req),
				       .rnr_retries = 7 };
	uint8_t how;
	int i;

	if (size < 2)
		return 0;
	init();
	how = *data++;
	size--;
	req.qid = leap_to_le16(how >> 3 & 3);
	if (!(how & 1) && size >= sizeof(req)) {
		memcpy(&req, data, sizeof(req));
		data += sizeof(req);
		size -= sizeof(req);
	}
	param.ird = how & 32 ? how >> 6 : 16;
	fuzz_peer_ask(&peer, (how & 96) == 64 ? 4421 : 4420, &param, 64);
	for (i = 0; i < 16 && !(how & 4); i++)
		post_recv();
	polls();
	drain();
	if (how & 2)
		join(leap_from_le16(req.qid));
	fuzz_operations(data, size, operate);
	peer.fabric->paused = 0;
	fake_resume(peer.fabric);
	drain();
	fuzz_peer_leave(&peer);
	settle();
	return 0;
}
