/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that writes whatever it likes, wherever its rings, lists and shadow
 * doorbells lie, takes memory back and ends its queues in between; and a
 * predecessor that left state memory in any state. Payload always lies in
 * memory that is mapped or still pinned, nothing is executed by a queue that
 * was closed, and nothing is left when the input is over.
 *
 * Operations of 16 bytes: what, which queue, and its arguments.
 */
#include "fuzz-target.h"

#include <leapio/ats.h>
#include <leapio/dmabuf.h>
#include <leapio/record.h>

#include "core/guest/guest.h"

#define GPA		0x10000ull
#define RANGE_BYTES	16384u
#define NR_RANGES	4u
#define BYTES		(NR_RANGES * RANGE_BYTES)
#define NR_SQS		2u
#define NR_HELD		64u
#define NR_SLOTS	8u
#define DEPTH		8u
#define CQ_DEPTH	5u
/* Of RAM: rings in the first range, shadow words in the second. */
#define CQ_AT		0u
#define SQ_AT(i)	(4096u + (i) * 4096u)
#define SHADOW_AT	RANGE_BYTES

/* Of state memory. */
#define CQ_DB		0u
#define SQ_DB(i)	(64u + (i) * 64u)
#define RECORD_BYTES	(LEAP_RECORD_HEADER_BYTES + \
			 NR_SLOTS * LEAP_RECORD_SLOT_BYTES)
#define RECORD(i)	(192u + (i) * RECORD_BYTES)
#define STATE_BYTES	(192u + NR_SQS * RECORD_BYTES)

struct range {
	int mapped, leaving;
};

static struct leap_pollgroup *pg;
static struct leap_dmabuf *ram;
static struct leap_ats *ats;
static struct range ranges[NR_RANGES];
static struct leap__guest guest;
static struct leap__guest_cq *cq;
static struct leap_vqp *sq[NR_SQS];
static struct leap_cmd *held[NR_HELD];
static uint32_t nr_held, nr_gone, nr_made;

static void settle(void)
{
	int i;

	for (i = 0; i < 8; i++)
		leap_pollgroup_poll(pg, 0);
}

static void unmapped(void *arg)
{
	struct range *r = arg;

	FUZZ_CHECK(r->leaving);
	r->leaving = 0;
}

static void map(uint32_t i)
{
	struct leap_ats_range o = LEAP_ATS_RANGE_INIT;
	struct range *r = &ranges[i];

	if (r->mapped || r->leaving)
		return;
	o.gpa.addr = GPA + i * RANGE_BYTES;
	o.bytes = RANGE_BYTES;
	o.offset = i * RANGE_BYTES;
	o.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	o.source = LEAP_ATS_DMABUF;
	o.buf = ram;
	FUZZ_CHECK(!leap_ats_map(ats, &o));
	r->mapped = 1;
}

static void unmap(uint32_t i)
{
	leap_gpa_t gpa = { GPA + i * RANGE_BYTES };
	struct range *r = &ranges[i];

	if (!r->mapped)
		return;
	r->mapped = 0;
	r->leaving = 1;
	FUZZ_CHECK(!leap_ats_unmap(ats, gpa, RANGE_BYTES, unmapped, r));
}

static void raise_vector(struct leap__guest *g, uint32_t vector)
{
	FUZZ_CHECK(g == &guest && vector == 1);
}

/* ---- the device ---- */

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	uint8_t *base = leap_dmabuf_addr(ram);
	uint32_t i;

	for (i = 0; !status && i < cmd->nr_pieces; i++) {
		uint64_t at = (uint64_t)((uint8_t *)cmd->pieces[i].addr - base);
		uint32_t len = cmd->pieces[i].len_bytes, k;

		FUZZ_CHECK(at < BYTES && len <= BYTES - at);
		for (k = (uint32_t)(at / RANGE_BYTES);
		     k <= (at + len - 1) / RANGE_BYTES; k++)
			FUZZ_CHECK(ranges[k].mapped || ranges[k].leaving);
		if (cmd->sqe.opc & 2)
			memset(cmd->pieces[i].addr, 0x5a, len);
	}
	if (status || nr_held == NR_HELD)
		leap_cmd_complete(cmd, status);
	else
		held[nr_held++] = cmd;
}

static void execute(struct leap_vqp *vqp, struct leap_cmd *cmd)
{
	FUZZ_CHECK(vqp == sq[0] || vqp == sq[1]);
	leap_cmd_pull(cmd, leap_from_le32(cmd->sqe.cdw12) & 0xffff, ready);
}

static void lost(struct leap_vqp *vqp, int err)
{
	(void)err;
	if (vqp == sq[0])
		sq[0] = NULL;
	if (vqp == sq[1])
		sq[1] = NULL;
}

static void gone(struct leap_vqp *vqp)
{
	(void)vqp;
	nr_gone++;
}

static const struct leap_vqp_handler handler = {
	.size = sizeof(handler),
	.execute = execute,
	.lost = lost,
	.gone = gone,
};

static void let(uint32_t i)
{
	struct leap_cmd *cmd;

	if (!nr_held)
		return;
	i %= nr_held;
	cmd = held[i];
	nr_held--;
	held[i] = held[nr_held];
	leap_cmd_complete(cmd, 0);
}

/* ---- queues ---- */

static void format(uint32_t i)
{
	struct leap_record_opts o = LEAP_RECORD_OPTS_INIT;

	o.nr_slots = NR_SLOTS;
	o.sq_size = DEPTH;
	o.cq_size = CQ_DEPTH;
	o.sqid = (uint16_t)(i + 1);
	o.cqid = 1;
	FUZZ_CHECK(!leap_record_format(guest.state + RECORD(i), RECORD_BYTES,
				       &o));
}

static void close_sq(uint32_t i)
{
	struct leap_vqp *vqp = sq[i];

	if (!vqp)
		return;
	/* Nothing of it may be executed from here on. */
	sq[i] = NULL;
	leap_vqp_close(vqp);
}

static int make_sq(uint32_t i, uint32_t flags)
{
	struct leap_qp_desc d = {
		.qid = (uint16_t)(i + 1), .cqid = 1, .sq_depth = DEPTH,
		.cq_depth = CQ_DEPTH, .flags = flags, .page_bytes = 4096,
		.sq = { GPA + SQ_AT(i) }, .doorbell = SQ_DB(i),
		.record = RECORD(i), .record_bytes = RECORD_BYTES,
	};

	if (!cq || sq[i])
		return 0;
	if (!(flags & LEAP_QPD_RESUME))
		format(i);
	if (leap__guest_vqp_create(pg, &guest, cq, &d, NULL, &sq[i]))
		return -1;
	nr_made++;
	sq[i]->handler = &handler;
	if (!(flags & LEAP_QPD_RESUME))
		leap__guest_vqp_start(sq[i]);
	return 0;
}

static void make_cq(uint32_t flags)
{
	struct leap_cq_desc d = {
		.cqid = 1, .depth = CQ_DEPTH, .gpa = { GPA + CQ_AT },
		.doorbell = CQ_DB, .vector = 1, .flags = flags,
	};

	if (leap__guest_cq_create(pg, &guest, &d, &cq))
		cq = NULL;
}

static void end_queues(void)
{
	uint32_t i;

	for (i = 0; i < NR_SQS; i++)
		close_sq(i);
	while (nr_held)
		let(0);
	settle();
	FUZZ_CHECK(nr_gone == nr_made);
	if (cq)
		leap__guest_cq_destroy(cq);
	cq = NULL;
}

static void succeed(void)
{
	uint32_t i;

	end_queues();
	make_cq(LEAP_QPD_RESUME);
	for (i = 0; i < NR_SQS; i++)
		make_sq(i, LEAP_QPD_RESUME);
	if (!cq || leap__guest_cq_restored(cq))
		return;
	for (i = 0; i < NR_SQS; i++)
		if (sq[i])
			leap__guest_vqp_start(sq[i]);
}

/* ---- operations ---- */

static uint16_t u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static void ring(uint32_t at, uint16_t value)
{
	struct leap_doorbell *db = (struct leap_doorbell *)(void *)
		(guest.state + at);

	db->value = leap_to_le32(value);
	leap__guest_kick(pg, db);
}

/* A command that may be a good one. */
static void push(uint32_t i, const uint8_t *p)
{
	uint8_t *at = (uint8_t *)leap_dmabuf_addr(ram) + SQ_AT(i) +
		      p[2] % DEPTH * 64u;
	struct leap_sqe sqe = {
		.opc = p[3] & 3, .flags = p[4] & 0x41,
		.cid = leap_to_le16(p[5]),
		.prp1 = leap_to_le64(GPA + u16(p + 6)),
		.prp2 = leap_to_le64(GPA + u16(p + 8)),
		.cdw12 = leap_to_le32(u16(p + 10)),
	};

	if (sqe.flags & 0x40) {
		sqe.sgl1.len = sqe.cdw12;
		sqe.sgl1.type = p[12] & 0x30;
	}
	memcpy(at, &sqe, 64);
	ring(SQ_DB(i), (uint16_t)((p[2] % DEPTH + 1) % DEPTH));
}

static void operate(const uint8_t *p)
{
	static const leap_gpa_t none;
	leap_gpa_t db = { GPA + SHADOW_AT }, ei = { GPA + SHADOW_AT + 4096 };
	uint32_t i = p[1] % NR_SQS;

	switch (p[0] % 16) {
	case 0:
		memcpy((uint8_t *)leap_dmabuf_addr(ram) +
		       u16(p + 2) % (BYTES / 8) * 8, p + 8, 8);
		break;
	case 1:
		ring(SQ_DB(i), u16(p + 2));
		break;
	case 2:
		ring(CQ_DB, u16(p + 2) % 8);
		break;
	case 3:
	case 4:
	case 5:
		push(i, p);
		break;
	case 6:
		let(p[2]);
		break;
	case 7:
		unmap(p[2] % NR_RANGES);
		break;
	case 8:
		map(p[2] % NR_RANGES);
		break;
	case 9:
		if (sq[i])
			leap__guest_vqp_shadow(sq[i], p[2] & 1 ? db : none,
					       p[2] & 1 ? ei : none);
		break;
	case 10:
		close_sq(i);
		break;
	case 11:
		make_sq(i, 0);
		break;
	case 12:
		if (sq[i])
			leap__guest_vqp_drain(sq[i]);
		break;
	case 13:
		memcpy(guest.state + u16(p + 2) % (STATE_BYTES / 8) * 8, p + 8,
		       8);
		break;
	case 14:
		succeed();
		break;
	default:
		leap_pollgroup_arm(pg);
	}
	if (!(p[1] & 0x80))
		leap_pollgroup_poll(pg, 0);
}

static void begin(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts bo = LEAP_DMABUF_OPTS_INIT;
	uint32_t i;

	if (!pg) {
		po.world = LEAP_WORLD_EPOLL;
		po.nr_cmds = 12;
		bo.bytes = BYTES;
		FUZZ_CHECK(!leap_pollgroup_create(&po, &pg));
		FUZZ_CHECK(!leap_dmabuf_create(&bo, &ram));
		guest.max_data_bytes = 32768;
		guest.raise = raise_vector;
		guest.state_bytes = STATE_BYTES;
	}
	memset(leap_dmabuf_addr(ram), 0, BYTES);
	FUZZ_CHECK(!leap_ats_create(NULL, &ats));
	guest.ats = ats;
	guest.state = aligned_alloc(64, STATE_BYTES);
	FUZZ_CHECK(guest.state);
	memset(guest.state, 0, STATE_BYTES);
	memset(ranges, 0, sizeof(ranges));
	nr_gone = nr_made = 0;
	for (i = 0; i < NR_RANGES; i++)
		map(i);
	make_cq(0);
	FUZZ_CHECK(cq);
	for (i = 0; i < NR_SQS; i++)
		FUZZ_CHECK(!make_sq(i, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	uint32_t i;

	if (size > 1u << 16)
		return 0;
	begin();
	for (; size >= 16; data += 16, size -= 16)
		operate(data);
	end_queues();
	for (i = 0; i < NR_RANGES; i++)
		FUZZ_CHECK(!ranges[i].leaving);
	FUZZ_CHECK(!leap_pollgroup_stats(pg, &st));
	FUZZ_CHECK(!st.cmds_in_use);
	/* Says -EBUSY while a view is attached, or pins in it are held. */
	FUZZ_CHECK(!leap_ats_destroy(ats));
	free(guest.state);
	return 0;
}
