/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that means harm, and one beside it that must not notice: random and
 * chosen commands, rings, doorbells, registers and resets, while a thread
 * scribbles over everything that the guest has. Whatever it does ends in a
 * status, an ignored write or CFS; not a byte outside its memory changes, and
 * after a reset its drive works.
 */
#include "guest-driver.h"
#include "rand.h"

#include <leapio/bdev.h>
#include <leapio/nvme.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NQN		"nqn.2026-01.org.example:bad"
#define NQN2		"nqn.2026-01.org.example:good"
#define RAM_BYTES	(4u << 20)	/* of the good one */
/* The bad one's RAM lies between two of nobody. */
#define GUARD		(256u << 10)
#define BAD_RAM		(1u << 20)
#define ROM_BYTES	(64u << 10)
#define ROM_GPA		0x200000000ull
#define MMIO_GPA	0x300000000ull
#define MMIO_BYTES	0x10000u

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss, *ss2;
	struct leap_vdev *bad;
	struct leap_dmabuf *mem, *rom;
	uint8_t *all, *ram;
	/* The good one. */
	struct leap_vdev *v2;
	struct gd *g2;
	struct gd_cq cq2;
	struct gd_sq sq2;
	uint32_t gen;
	uint64_t sq_at[5], cq_at[5];	/* rings of the bad one */
	struct test_rand r;
	pthread_t scribbler;
	atomic_int stop;
	uint32_t raised;
	/* Of the second half of its memory: is there; 1 it has gone. */
	int half_there, half_gone;
};

static void poll_home(void *arg)
{
	leap_pollgroup_poll(((struct w *)arg)->pg, 0);
}

static struct leap_subsystem *add_ss(struct w *w, const char *nqn)
{
	struct leap_subsystem *ss = serve_subsystem(w->target, nqn);

	serve_ns(w->pg, ss, "memory:4M", 1);
	return ss;
}

static struct leap_dmabuf *make_mem(uint64_t bytes)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;
	struct leap_dmabuf *buf;

	o.bytes = bytes;
	o.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&o, &buf), 0);
	return buf;
}

static void map(struct w *w, uint64_t gpa, uint64_t bytes, uint32_t perm,
		struct leap_dmabuf *buf, uint64_t offset)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = gpa;
	r.bytes = bytes;
	r.perm = perm;
	r.source = buf ? LEAP_ATS_DMABUF : LEAP_ATS_MESSAGE;
	r.buf = buf;
	r.offset = offset;
	assert_int_equal(leap_vdev_mem_add(w->bad, &r), 0);
}

static uint8_t guard_at(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 4096);
}

static void fill_guards(struct w *w)
{
	uint8_t *rom = leap_dmabuf_addr(w->rom);
	uint32_t i;

	for (i = 0; i < GUARD; i++) {
		w->all[i] = guard_at(i);
		w->all[GUARD + BAD_RAM + i] = guard_at(i);
	}
	for (i = 0; i < ROM_BYTES; i++)
		rom[i] = guard_at(i);
}

static void check_guards(struct w *w)
{
	const uint8_t *rom = leap_dmabuf_addr(w->rom);
	uint32_t i;

	for (i = 0; i < GUARD; i++) {
		assert_int_equal(w->all[i], guard_at(i));
		assert_int_equal(w->all[GUARD + BAD_RAM + i], guard_at(i));
	}
	for (i = 0; i < ROM_BYTES; i++)
		assert_int_equal(rom[i], guard_at(i));
}

static void add_half(struct w *w)
{
	map(w, GD_BASE + BAD_RAM / 2, BAD_RAM / 2,
	    LEAP_PERM_READ | LEAP_PERM_WRITE, w->mem, GUARD + BAD_RAM / 2);
	w->half_there = 1;
}

static void on_raise(void *arg, uint32_t vector)
{
	assert_true(vector < 65);
	((struct w *)arg)->raised++;
}

static int set_up(void **state, uint32_t irqs)
{
	struct leap_vdev_opts o = LEAP_VDEV_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));
	const uint32_t rw = LEAP_PERM_READ | LEAP_PERM_WRITE;

	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	w->ss = add_ss(w, NQN);
	w->ss2 = add_ss(w, NQN2);
	o.raise = on_raise;
	o.arg = w;
	o.irqs = irqs;
	assert_int_equal(leap_vdev_create(w->ss, &o, &w->bad), 0);
	w->mem = make_mem(2 * GUARD + BAD_RAM);
	w->rom = make_mem(ROM_BYTES);
	w->all = leap_dmabuf_addr(w->mem);
	w->ram = w->all + GUARD;
	fill_guards(w);
	/* In two halves, so that rings may lie across. */
	map(w, GD_BASE, BAD_RAM / 2, rw, w->mem, GUARD);
	add_half(w);
	map(w, ROM_GPA, ROM_BYTES, LEAP_PERM_READ, w->rom, 0);
	map(w, MMIO_GPA, MMIO_BYTES, rw, NULL, 0);
	assert_int_equal(leap_vdev_create(w->ss2, &o, &w->v2), 0);
	w->g2 = gd_new(w->v2, RAM_BYTES, poll_home, w);
	gd_up(w->g2, &w->cq2, &w->sq2, 16);
	w->r.s = 2026;
	*state = w;
	return 0;
}

static int set_up_msix(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_MSIX);
}

static int set_up_msi(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_MSI);
}

static int set_up_pin(void **state)
{
	return set_up(state, LEAP_VDEV_HAS_PIN);
}

static int tear_down(void **state)
{
	struct w *w = *state;

	check_guards(w);
	gd_unplug(w->pg, w->bad);
	gd_unplug(w->pg, w->v2);
	gd_free(w->g2);
	serve_stop(w->pg, w->target);
	leap_dmabuf_put(w->mem);
	leap_dmabuf_put(w->rom);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* ---- the good one ---- */

static void check_good(struct w *w)
{
	struct gd *g = w->g2;
	uint64_t used = g->used, buf = gd_alloc(g, 16384);
	uint8_t *p = gd_at(g, buf);
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 64, 32);
	uint32_t i;

	w->gen++;
	for (i = 0; i < 16384; i++)
		p[i] = (uint8_t)(w->gen + i * 3);
	gd_prp(g, &sqe, buf, 16384);
	assert_int_equal(gd_cmd(g, &w->sq2, &sqe), 0);
	memset(p, 0, 16384);
	sqe.opc = LEAP_NVM_READ;
	assert_int_equal(gd_cmd(g, &w->sq2, &sqe), 0);
	for (i = 0; i < 16384; i++)
		assert_int_equal(p[i], (uint8_t)(w->gen + i * 3));
	g->used = used;
}

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
		poll_home(w);
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
		poll_home(w);
		poll_home(w);
		poll_home(w);
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
		poll_home(w);
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
	g->poll = poll_home;
	g->poll_arg = w;
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
	g->poll = poll_home;
	g->poll_arg = w;
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
		poll_home(w);
		gd_reap(g, &cq, &sq);
		assert_true(++turns < 1000000);
		if (!(turns % 100))
			check_good(w);
	}
	/* A CQ that is never emptied holds back its own queue only. */
	while (turns++ < 2000000 && (sq.tail + 1) % sq.depth != sq.head) {
		gd_push(g, &sq, &sqe);
		gd_ring_sq(g, &sq);
		poll_home(w);
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
