/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that means harm, and one beside it that must not notice: random and
 * chosen commands, rings, doorbells, registers and resets, while a thread
 * scribbles over everything that the guest has. Whatever it does ends in a
 * status, an ignored write or CFS; not a byte outside its memory changes, and
 * after a reset its drive works.
 */
#include "hostile-world.h"

/* ---- the bad one ---- */

static uint32_t below(struct w *w, uint32_t n)
{
	return test_rand_below(&w->r, n);
}

static void wr4(struct w *w, uint64_t at, uint32_t v)
{
	leap_le32 le = leap_to_le32(v);

	leap_vdev_bar_write(w->bad, at, &le, sizeof(le));
}

static void wr8(struct w *w, uint64_t at, uint64_t v)
{
	leap_le64 le = leap_to_le64(v);

	leap_vdev_bar_write(w->bad, at, &le, sizeof(le));
}

static uint32_t csts(struct w *w)
{
	leap_le32 le;

	leap_vdev_bar_read(w->bad, LEAP_REG_CSTS, &le, sizeof(le));
	return leap_from_le32(le);
}

/* An address that somebody who means harm would choose. */
static uint64_t bad_gpa(struct w *w)
{
	static const uint64_t edges[] = {
		0, 0x1000, GD_BASE - 4096, GD_BASE, GD_BASE + 4096,
		GD_BASE + BAD_RAM / 2 - 4096, GD_BASE + BAD_RAM / 2,
		GD_BASE + BAD_RAM - 4096, GD_BASE + BAD_RAM, ROM_GPA,
		ROM_GPA + ROM_BYTES - 4096, ROM_GPA + ROM_BYTES, MMIO_GPA,
		MMIO_GPA + MMIO_BYTES - 4096, UINT64_MAX - 4095,
		1ull << 63, 0xfee00000,
	};

	switch (below(w, 4)) {
	case 0:
		return edges[below(w, COUNT(edges))];
	case 1:
		return edges[below(w, COUNT(edges))] + below(w, 8192) - 4096;
	case 2:
		return test_rand_next(&w->r);
	default:
		return GD_BASE + below(w, BAD_RAM / 4096) * 4096ull;
	}
}

static void bad_sgl(struct w *w, uint8_t *sgl)
{
	uint64_t gpa = bad_gpa(w);
	uint32_t len = below(w, 3) ? below(w, 70000) :
		       (uint32_t)test_rand_next(&w->r);

	memcpy(sgl, &gpa, 8);
	memcpy(sgl + 8, &len, 4);
	sgl[15] = (uint8_t)(below(w, 6) << 4 | (below(w, 4) ? 0 :
						below(w, 16)));
}

static void bad_sqe(struct w *w, struct leap_sqe *sqe, int admin)
{
	static const uint8_t opcs[] = {
		LEAP_NVM_READ, LEAP_NVM_WRITE, LEAP_NVM_FLUSH,
		LEAP_NVM_COMPARE, LEAP_NVM_DSM, LEAP_NVM_WRITE_ZEROES,
		LEAP_NVM_VERIFY,
	};
	static const uint8_t admin_opcs[] = {
		LEAP_ADM_CREATE_CQ, LEAP_ADM_CREATE_SQ, LEAP_ADM_DELETE_CQ,
		LEAP_ADM_DELETE_SQ, LEAP_ADM_IDENTIFY, LEAP_ADM_GET_LOG,
		LEAP_ADM_SET_FEATURES, LEAP_ADM_GET_FEATURES, LEAP_ADM_AER,
		LEAP_ADM_ABORT, LEAP_ADM_DBBUF_CONFIG, LEAP_ADM_FABRICS,
	};
	uint8_t *raw = (uint8_t *)sqe;
	uint32_t i;

	for (i = 0; i < sizeof(*sqe); i++)
		raw[i] = (uint8_t)test_rand_next(&w->r);
	if (!below(w, 8))
		return;
	sqe->opc = admin ? admin_opcs[below(w, COUNT(admin_opcs))] :
		   opcs[below(w, COUNT(opcs))];
	sqe->flags = below(w, 4) ? 0 : (uint8_t)below(w, 256);
	sqe->nsid = leap_to_le32(below(w, 3));
	sqe->cid = leap_to_le16((uint16_t)below(w, 4));
	sqe->prp1 = leap_to_le64(bad_gpa(w));
	sqe->prp2 = leap_to_le64(bad_gpa(w));
	if (!admin && !below(w, 4)) {
		sqe->flags = LEAP_SQE_PSDT_SGL;
		bad_sgl(w, raw + 24);
	}
	sqe->cdw10 = leap_to_le32(below(w, 4) ? below(w, 8) << 16 |
				  below(w, 5) :
				  (uint32_t)test_rand_next(&w->r));
	sqe->cdw11 = leap_to_le32(below(w, 4) ? below(w, 4) << 16 | 1 |
				  below(w, 2) << 1 : 0);
	sqe->cdw12 = leap_to_le32(below(w, 4) ? below(w, 300) :
				  (uint32_t)test_rand_next(&w->r));
}

/* PRP lists that loop, SGL chains that do, or noise. */
static void bad_page(struct w *w)
{
	uint8_t *p = w->ram + below(w, BAD_RAM / 4096) * 4096;
	uint32_t i;

	for (i = 0; i < 4096; i += 16) {
		uint64_t gpa = bad_gpa(w);

		if (below(w, 2)) {
			bad_sgl(w, p + i);
			continue;
		}
		memcpy(p + i, &gpa, 8);
		gpa = GD_BASE + (uint64_t)(p - w->ram);
		memcpy(p + i + 8, &gpa, 8);
	}
}

static void enable_bad(struct w *w, int sane)
{
	const leap_le16 on = leap_to_le16(6);

	wr4(w, LEAP_REG_CC, 0);
	leap_vdev_config_write(w->bad, 4, &on, sizeof(on));
	wr4(w, LEAP_REG_AQA, sane ? 0x000f000f :
	    (below(w, 64) + 1) << 16 | (below(w, 64) + 1));
	w->sq_at[0] = sane ? GD_BASE : bad_gpa(w) & ~4095ull;
	/* Perhaps over each other. */
	w->cq_at[0] = sane ? GD_BASE + 4096 :
		      GD_BASE + below(w, 3) * 4096ull;
	wr8(w, LEAP_REG_ASQ, w->sq_at[0]);
	wr8(w, LEAP_REG_ACQ, w->cq_at[0]);
	wr4(w, LEAP_REG_CC, GD_CC_ENABLE);
}

/* Its ring of commands, or NULL. */
static uint8_t *ring_of(struct w *w, uint32_t qid)
{
	uint64_t at = w->sq_at[qid] - GD_BASE;

	return at < BAD_RAM - 4096 ? w->ram + at : NULL;
}

/* Admin queues, and I/O queues over whatever lies there: other rings too. */
static void bring_up(struct w *w)
{
	struct leap_sqe *sqe;
	uint32_t i, qid;

	for (i = 0; i < 8; i++)
		serve_poll(w->pg);
	enable_bad(w, below(w, 8));
	sqe = (struct leap_sqe *)(void *)ring_of(w, 0);
	if (!sqe || !(csts(w) & LEAP_CSTS_RDY))
		return;
	memset(sqe, 0, 16 * sizeof(*sqe));
	for (i = 0; i < 8; i++) {
		qid = i / 2 + 1;
		sqe[i].opc = i & 1 ? LEAP_ADM_CREATE_SQ : LEAP_ADM_CREATE_CQ;
		sqe[i].cdw10 = leap_to_le32(15u << 16 | qid);
		sqe[i].cdw11 = leap_to_le32(i & 1 ? qid << 16 | 1 : 3);
		w->cq_at[qid] = GD_BASE + below(w, BAD_RAM / 4096) * 4096ull;
		if (i & 1)
			w->sq_at[qid] = GD_BASE +
				below(w, BAD_RAM / 4096) * 4096ull;
		sqe[i].prp1 = leap_to_le64(i & 1 ? w->sq_at[qid] :
						   w->cq_at[qid]);
		wr4(w, LEAP_REG_SQTDBL(0, 0), i + 1);
		serve_poll(w->pg);
		serve_poll(w->pg);
		serve_poll(w->pg);
		wr4(w, LEAP_REG_CQHDBL(0, 0), i + 1);
	}
}

/* Commands somewhere; doorbells say they are in a ring. */
static void bad_ring(struct w *w, uint32_t qid)
{
	uint8_t *ring = ring_of(w, qid);
	uint32_t i;

	if (!ring || !below(w, 8))
		ring = w->ram + below(w, BAD_RAM / 4096) * 4096;
	for (i = 0; i < 16; i++)
		bad_sqe(w, (struct leap_sqe *)(void *)(ring + i * 64), !qid);
	wr4(w, LEAP_REG_SQTDBL(qid, 0), below(w, 16));
}

static void storm_of_resets(struct w *w)
{
	leap_le16 devctl = leap_to_le16(0x8000);
	uint32_t i;

	for (i = 0; i < 50; i++) {
		leap_vdev_config_write(w->bad, 0x88, &devctl, 2);
		enable_bad(w, below(w, 4));
	}
	bring_up(w);
}

/* Messages on and off, their masks, and who gets them. */
static void bad_messages(struct w *w)
{
	leap_le16 ctrl = leap_to_le16((uint16_t)(below(w, 4) << 14 |
						 below(w, 8) << 4 |
						 below(w, 2)));

	if (!below(w, 8))
		leap_vdev_config_write(w->bad, 0x52, &ctrl, sizeof(ctrl));
	if (below(w, 2))
		wr4(w, LEAP_REG_INTMS + 4ull * below(w, 2), below(w, 32));
	else
		wr4(w, LEAP_VDEV_MSIX_TABLE + 4ull * below(w, 32),
		    below(w, 2));
}

/* The hypervisor moves half of the memory about. */
static void move_half(struct w *w)
{
	const leap_gpa_t half = { GD_BASE + BAD_RAM / 2 };

	if (w->half_there) {
		w->half_there = w->half_gone = 0;
		assert_int_equal(leap_vdev_mem_del(w->bad, half, BAD_RAM / 2,
						   set_err, &w->half_gone), 0);
	} else if (w->half_gone) {
		assert_int_equal(w->half_gone, 1);
		add_half(w);
	}
}

static void one_harm(struct w *w)
{
	uint32_t qid = below(w, 5), i;
	uint8_t noise[16];

	switch (below(w, 14)) {
	case 0: case 1: case 2: case 3:
		bad_ring(w, qid);
		break;
	case 4:
		wr4(w, LEAP_REG_CQHDBL(qid, 0), below(w, 16));
		break;
	case 5:
		wr4(w, LEAP_REG_DBL + 4ull * below(w, 1024),
		    (uint32_t)test_rand_next(&w->r));
		break;
	case 6: case 7:
		bad_page(w);
		break;
	case 8:
		for (i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)test_rand_next(&w->r);
		if (!below(w, 20))
			leap_vdev_bar_write(w->bad,
					    below(w, LEAP_VDEV_BAR_BYTES),
					    noise, below(w, 17));
		break;
	case 9:
		if (!below(w, 50))
			bring_up(w);
		break;
	case 10:
		for (i = 0; i < 4; i++)
			noise[i] = (uint8_t)test_rand_next(&w->r);
		if (!below(w, 100))
			leap_vdev_config_write(w->bad, below(w, 256), noise,
					       below(w, 5));
		break;
	case 11:
		bad_messages(w);
		break;
	case 12:
		if (!below(w, 40))
			move_half(w);
		break;
	default:
		if (!below(w, 200))
			storm_of_resets(w);
	}
	if (!below(w, 4))
		serve_poll(w->pg);
	if ((csts(w) & 3) != LEAP_CSTS_RDY && !below(w, 8))
		bring_up(w);
}

static void *scribble(void *arg)
{
	struct w *w = arg;
	struct test_rand r = { 4711 };
	uint32_t i;

	while (!atomic_load(&w->stop)) {
		for (i = 0; i < 64; i++)
			((volatile uint8_t *)w->ram)[test_rand_below(&r,
				BAD_RAM)] = (uint8_t)test_rand_next(&r);
		usleep(20);
	}
	return NULL;
}

/* A guest that behaves finds everything as it should be. */
static void check_reformed(struct w *w)
{
	struct gd *g = calloc(1, sizeof(*g));
	struct leap_sqe id = { .opc = LEAP_ADM_IDENTIFY };
	struct gd_cq cq;
	struct gd_sq sq;
	int done = 0;

	if (!w->half_there && !w->half_gone)
		serve_await(w->pg, &w->half_gone);
	if (!w->half_there)
		move_half(w);
	leap_vdev_reset(w->bad, set_err, &done);
	serve_await(w->pg, &done);
	assert_int_equal(done, 1);
	g->v = w->bad;
	g->poll = serve_poll;
	g->poll_arg = w->pg;
	g->mem = w->ram;
	g->bytes = BAD_RAM;
	gd_up(g, &cq, &sq, 16);
	id.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	id.cdw10 = leap_to_le32(LEAP_CNS_CTRL);
	assert_int_equal(gd_cmd(g, &g->asq, &id), 0);
	id = gd_sqe_rw(LEAP_NVM_READ, 1, 0, 8);
	id.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	assert_int_equal(gd_cmd(g, &sq, &id), 0);
	gd_disable(g);
	free(g);
}

/* It did get as far as I/O queues that answer. */
static void check_reached(struct w *w)
{
	struct leap_vdev_info info = { .size = sizeof(info) };

	assert_int_equal(leap_vdev_info(w->bad, &info), 0);
	print_message("%llu commands, %llu doorbells\n",
		      (unsigned long long)info.commands,
		      (unsigned long long)info.doorbells);
	assert_true(info.commands > 100);
}

static uint32_t nr_harms(void)
{
	return unit_is_emulated() ? 40000 : 200000;
}

static void test_noise(void **state)
{
	struct w *w = *state;
	uint32_t i, n = nr_harms();

	for (i = 0; i < n; i++) {
		one_harm(w);
		if (!(i % 500))
			check_good(w);
	}
	check_guards(w);
	check_reached(w);
	check_reformed(w);
	check_good(w);
}

/* The same while the memory changes under the controller's eyes. */
static void test_scribble(void **state)
{
	struct w *w = *state;
	uint32_t i, n = nr_harms();

	assert_int_equal(pthread_create(&w->scribbler, NULL, scribble, w), 0);
	for (i = 0; i < n; i++) {
		one_harm(w);
		if (!(i % 500))
			check_good(w);
	}
	atomic_store(&w->stop, 1);
	pthread_join(w->scribbler, NULL);
	check_guards(w);
	check_reformed(w);
	check_good(w);
}

/* 65,535 commands with one id, none of whose answers is looked at. */
static void test_one_cid(void **state)
{
	struct w *w = *state;
	struct gd *g = calloc(1, sizeof(*g));
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_READ, 1, 0, 8);
	struct gd_cq cq;
	struct gd_sq sq;
	uint32_t n = 0, turns = 0;

	g->v = w->bad;
	g->poll = serve_poll;
	g->poll_arg = w->pg;
	g->mem = w->ram;
	g->bytes = BAD_RAM;
	gd_up(g, &cq, &sq, 128);
	sqe.prp1 = leap_to_le64(gd_alloc(g, GD_PAGE));
	while (n < 65535) {
		while ((sq.tail + 1) % sq.depth != sq.head && n < 65535) {
			g->cid = 77;
			gd_push(g, &sq, &sqe);
			n++;
		}
		gd_ring_sq(g, &sq);
		serve_poll(w->pg);
		gd_reap(g, &cq, &sq);
		assert_true(++turns < 1000000);
		if (!(turns % 100))
			check_good(w);
	}
	/* A CQ that is never emptied holds back its own queue only. */
	while (turns++ < 2000000 && (sq.tail + 1) % sq.depth != sq.head) {
		gd_push(g, &sq, &sqe);
		gd_ring_sq(g, &sq);
		serve_poll(w->pg);
	}
	check_good(w);
	gd_disable(g);
	free(g);
	check_reformed(w);
}

#define T(f, irqs) \
	cmocka_unit_test_setup_teardown(f, set_up_##irqs, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_noise, msix),
		T(test_noise, msi),
		T(test_noise, pin),
		T(test_scribble, msix),
		T(test_scribble, msi),
		T(test_one_cid, msix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
