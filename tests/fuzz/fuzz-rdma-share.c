/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Shared memory over RDMA, and a peer that says what it likes: to its owner
 * private data, messages, keys and places; to its user an answer that tells
 * where the memory is, which is then read and written; to both, events of a
 * connection manager gone mad.
 *
 * Byte 0: 1 the peer is the owner, else the user; 2 private data by the book;
 * bits 7:2 length of private data otherwise, which follows. Then operations: a
 * byte of kind, and what it needs.
 */
#include "fuzz-rdma.h"

#include <leapio/leapio.h>

#include "transport/rdma/farmem.h"

#define BYTES	65536u		/* of the memory, on either side */
#define PERIOD	4u		/* ms, of everything that has a time */
#define GPA	0x10000000ull
#define SHARE_PORT 4430
#define PEER_PORT 4431

static struct leap_pollgroup *pg;
static uint8_t token[LEAP_SHARE_TOKEN];
/* Ours. */
static struct leap_dmabuf *buf;
static struct leap_share *share;
static struct leap_farmem *far;
static struct leap_ats *ats;
static struct leap_ats_view *view;
static struct leap_ats_io io;
static void *local;
static int busy, opened, mapped;
static struct fuzz_peer peer;
static struct leap__farmem_mem said;	/* by the owner, to the peer */

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void polls(int n)
{
	while (n--)
		leap_pollgroup_poll(pg, 0);
}

static void turn(const int *flag)
{
	while (!*flag)
		leap_pollgroup_poll(pg, 0);
}

static void init(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_share_opts so = LEAP_SHARE_OPTS_INIT;

	if (pg)
		return;
	fuzz_peer_init(&peer, BYTES);
	po.world = LEAP_WORLD_EPOLL;
	po.nr_bufs = 2;
	po.buf_bytes = BYTES;
	FUZZ_CHECK(!leap_pollgroup_create(&po, &pg));
	FUZZ_CHECK(!leap__rdma_use(pg, peer.v));
	memset(token, 0x77, sizeof(token));
	mo.bytes = BYTES;
	FUZZ_CHECK(!leap_dmabuf_create(&mo, &buf));
	so.url = "rdma://127.0.0.1:4430";
	so.buf = buf;
	so.perm = LEAP_PERM_READ;
	memcpy(so.token, token, sizeof(token));
	FUZZ_CHECK(!leap_share_create(pg, &so, &share));
	fuzz_peer_listen(&peer, PEER_PORT);
	local = leap_pollgroup_buf_get(pg);
	FUZZ_CHECK(local);
}

/* ---- the peer ---- */

static void peer_post(uint8_t op, uint32_t key, uint64_t at, uint32_t len)
{
	struct leap__v_wc wc;

	while (peer.qp && peer.v->cq_poll(peer.cq, &wc, 1) > 0)
		;
	if (!peer.qp)
		return;
	fuzz_peer_post(&peer, op, 0, len, key, at);
	polls(2);
}

static void event_of(int passive, const uint8_t *p, size_t n)
{
	fuzz_event(fake_id(peer.fabric, passive, 0), fuzz_event_type(p[0]),
		   p + 1, n - 1);
	polls(4);
}

/* ---- to an owner ---- */

/* What the owner must think of it. */
static int may_enter(const uint8_t *priv, uint32_t len)
{
	struct leap__farmem_req good;

	leap__farmem_req_make(&good, token);
	return len >= sizeof(good) && !memcmp(priv, &good, sizeof(good));
}

static void knock(const uint8_t *priv, uint8_t len)
{
	struct leap__v_param p = { .priv = priv, .priv_len = len, .ird = 4,
				   .ord = 4, .rnr_retries = 7 };
	struct leap__v_cm cm;
	uint32_t in = 0;

	fuzz_peer_ask(&peer, SHARE_PORT, &p, 1);
	polls(20);
	while (peer.v->chan_get(peer.chan, &cm) > 0) {
		if (cm.type != LEAP__V_ESTABLISHED)
			continue;
		in = 1;
		FUZZ_CHECK(!leap__farmem_rep_parse(cm.priv, cm.priv_len,
						   &said));
		FUZZ_CHECK(said.addr == (uintptr_t)leap_dmabuf_addr(buf));
		FUZZ_CHECK(said.bytes == BYTES && said.perm == LEAP_PERM_READ);
	}
	FUZZ_CHECK(in == (uint32_t)may_enter(priv, len));
}

static size_t bother_owner(const uint8_t *p, size_t n)
{
	if (n < 4)
		return 0;
	switch (p[0] & 7) {
	case 0:			/* a message: nobody expects one */
		peer_post(LEAP__V_SEND, 0, 0, p[1]);
		return 2;
	case 1:			/* what it may, and what it may not */
		peer_post(p[3] & 1 ? LEAP__V_WRITE : LEAP__V_READ, said.key,
			  said.addr + (p[1] | (uint32_t)p[2] << 8) *
			  (p[3] & 2 ? 2u : 1u), p[3] * 16u);
		return 4;
	case 2:
		peer_post(LEAP__V_READ, said.key + p[1], said.addr, 512);
		return 2;
	case 3:
		event_of(1, p + 1, n - 1);
		return 3;
	case 4:
		fake_break(peer.id);
		return 1;
	default:
		polls(4);
		return 1;
	}
}

static void at_owner(const uint8_t *priv, uint8_t len, const uint8_t *p,
		     size_t size)
{
	struct leap_share_info info = { sizeof(info) };
	uint32_t i;

	memset(&said, 0, sizeof(said));
	memset(leap_dmabuf_addr(buf), 0x5a, BYTES);
	knock(priv, len);
	fuzz_operations(p, size, bother_owner);
	fuzz_peer_leave(&peer);
	do {
		polls(1);
		FUZZ_CHECK(!leap_share_info(share, &info));
	} while (info.peers);
	/* It may read, and has. */
	for (i = 0; i < BYTES; i += 64)
		FUZZ_CHECK(((uint8_t *)leap_dmabuf_addr(buf))[i] == 0x5a);
}

/* ---- to a user ---- */

static void on_opened(struct leap_farmem *f, int err, void *arg)
{
	FUZZ_CHECK(!opened);
	opened = err ? -1 : 1;
}

static void on_done(struct leap_ats_io *done, int err)
{
	FUZZ_CHECK(busy && done == &io);
	busy = 0;
}

/* What an honest owner would say. */
static struct leap__farmem_rep honest(void)
{
	struct leap__farmem_mem m = {
		.addr = (uintptr_t)peer.mem, .bytes = BYTES,
		.key = peer.keys.rkey,
		.perm = LEAP_PERM_READ | LEAP_PERM_WRITE,
	};
	struct leap__farmem_rep rep;

	leap__farmem_rep_make(&rep, &m);
	return rep;
}

enum { AS_GIVEN, HONEST, SAY_NO };

/* Take whoever is waiting. */
static void take(const uint8_t *priv, uint8_t len, int how)
{
	struct leap__farmem_req good;
	struct leap__farmem_rep rep;
	struct leap__v_cm cm;
	struct leap__v_param p = { .priv = priv, .priv_len = len, .ird = 16,
				   .rnr_retries = 7 };
	int i;

	leap__farmem_req_make(&good, token);
	for (i = 0; i < 50; i++) {
		polls(1);
		if (peer.v->chan_get(peer.chan, &cm) <= 0 ||
		    cm.type != LEAP__V_CONNECT_REQUEST)
			continue;
		FUZZ_CHECK(cm.priv_len >= sizeof(good) &&
			   !memcmp(cm.priv, &good, sizeof(good)));
		fuzz_peer_leave(&peer);
		peer.id = cm.id;
		if (how == SAY_NO) {
			peer.v->reject(peer.id, priv, len);
			fuzz_peer_leave(&peer);
			break;
		}
		fuzz_peer_queue(&peer, 1, LEAP__V_REMOTE_READ |
				LEAP__V_REMOTE_WRITE);
		if (how == HONEST) {
			rep = honest();
			p.priv = &rep;
			p.priv_len = sizeof(rep);
		}
		peer.v->accept(peer.id, &p);
		break;
	}
	polls(10);
}

static void map(void)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	uint64_t bytes = leap_farmem_bytes(far);

	FUZZ_CHECK(bytes);
	FUZZ_CHECK(leap_farmem_range(far, bytes, 1, LEAP_PERM_READ, &r) < 0);
	FUZZ_CHECK(leap_farmem_range(far, 1, bytes, LEAP_PERM_READ, &r) < 0);
	if (bytes > BYTES)
		bytes = BYTES;
	if (leap_farmem_range(far, 0, bytes, LEAP_PERM_READ, &r))
		return;
	r.gpa.addr = GPA;
	mapped = !leap_ats_map(ats, &r);
}

static void move(uint32_t at, uint32_t bytes, int out)
{
	if (busy || opened != 1)
		return;
	if (!mapped)
		map();
	memset(&io, 0, sizeof(io));
	io.gpa.addr = GPA + at;
	io.buf = local;
	io.bytes = bytes;
	io.done = on_done;
	busy = 1;
	if (out ? leap_ats_write(view, &io) : leap_ats_read(view, &io))
		busy = 0;
	polls(4);
}

static size_t bother_user(const uint8_t *p, size_t n)
{
	uint8_t len;

	if (n < 4)
		return 0;
	switch (p[0] & 7) {
	case 0:
		move(p[1] * 256u, 1 + p[2] * 64u, p[3] & 1);
		return 4;
	case 1:			/* it comes again: another answer */
		len = p[1] < n - 2 ? p[1] : (uint8_t)(n - 2);
		take(p + 2, len, p[0] & 0x80 ? SAY_NO : AS_GIVEN);
		return 2 + (size_t)len;
	case 2:
		take(NULL, 0, HONEST);
		return 1;
	case 3:
		event_of(0, p + 1, n - 1);
		return 3;
	case 4:
		peer_post(LEAP__V_SEND, 0, 0, p[1]);
		return 2;
	case 5:
		if (peer.id)
			fake_break(peer.id);
		polls(4);
		return 1;
	default:
		polls(4);
		return 1;
	}
}

static void user_begin(void)
{
	struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;

	opened = 0;
	mapped = 0;
	busy = 0;
	o.url = "rdma://127.0.0.1:4431";
	o.reconnect_ms = 1;
	o.loss_ms = PERIOD;
	o.opened = on_opened;
	memcpy(o.token, token, sizeof(token));
	FUZZ_CHECK(!leap_farmem_open(pg, &o, &far));
	FUZZ_CHECK(!leap_ats_create(NULL, &ats));
	FUZZ_CHECK(!leap_ats_attach(ats, pg, &view));
}

static void user_end(void)
{
	struct leap__v_cm cm;
	int done = 0;

	/* In its own time, whatever the peer does. */
	while (busy)
		polls(1);
	if (mapped) {
		FUZZ_CHECK(!leap_ats_unmap(ats, (leap_gpa_t){ GPA },
					   leap_farmem_bytes(far) < BYTES ?
					   leap_farmem_bytes(far) : BYTES,
					   set_flag, &done));
		turn(&done);
	}
	FUZZ_CHECK(!leap_ats_detach(view));
	done = 0;
	leap_farmem_close(far, set_flag, &done);
	turn(&done);
	FUZZ_CHECK(!leap_ats_destroy(ats));
	fuzz_peer_leave(&peer);
	/* It may have come again, and nobody took it. */
	while (peer.v->chan_get(peer.chan, &cm) > 0)
		if (cm.type == LEAP__V_CONNECT_REQUEST)
			peer.v->id_destroy(cm.id);
	polls(4);
}

static void at_user(const uint8_t *priv, uint8_t len, int by_the_book,
		    const uint8_t *p, size_t size)
{
	user_begin();
	take(priv, len, by_the_book ? HONEST : AS_GIVEN);
	fuzz_operations(p, size, bother_user);
	user_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap__farmem_req req;
	const uint8_t *priv;
	uint8_t how, len;

	if (size < 2)
		return 0;
	init();
	how = *data++;
	size--;
	len = how & 2 ? 0 : how >> 2;
	if (len > size)
		len = (uint8_t)size;
	priv = data;
	data += len;
	size -= len;
	if (how & 1) {
		at_user(priv, len, how & 2, data, size);
		return 0;
	}
	if (how & 2) {
		leap__farmem_req_make(&req, token);
		priv = (uint8_t *)&req;
		len = sizeof(req);
	}
	at_owner(priv, len, data, size);
	return 0;
}
