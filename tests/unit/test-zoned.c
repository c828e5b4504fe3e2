/* SPDX-License-Identifier: BSD-3-Clause */
/* src/block/zoned, against a model that knows the table of states only. */
#include "config.h"

#include "block-fixture.h"
#include "block/bdev.h"
#include "block/zoned/zoned.h"

#define EMPTY	LEAP_ZS_EMPTY
#define IMP	LEAP_ZS_IMPLICIT_OPEN
#define EXP	LEAP_ZS_EXPLICIT_OPEN
#define CLOSED	LEAP_ZS_CLOSED
#define RO	LEAP_ZS_READ_ONLY
#define FULL	LEAP_ZS_FULL
#define OFF	LEAP_ZS_OFFLINE
#define BF	LEAP_SC_ZONE_TRANSITION

static leap_status_t zsend(struct blk *b, uint64_t block, uint32_t action,
			   uint8_t flags)
{
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_ZONE_SEND, block, 0, NULL,
				       0, &wait);

	bio->result = action;
	bio->flags = flags;
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

static leap_status_t report(struct blk *b, uint64_t block, uint32_t filter,
			    int partial, void *buf, uint32_t bytes)
{
	struct leap_piece pieces[2] = {
		/* The head lies in two pieces. */
		{ .addr = buf, .len_bytes = 4 },
		{ .addr = (uint8_t *)buf + 4, .len_bytes = bytes - 4 },
	};
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_ZONE_REPORT, block, 0,
				       pieces, 2, &wait);

	memset(buf, 0xee, bytes);
	bio->result = filter << 8 | (partial ? LEAP_ZMR_CDW13_PARTIAL : 0);
	leap_bio_submit(b->chan, bio);
	return blk_await(b, bio, &wait);
}

static leap_status_t append(struct blk *b, uint64_t block, uint32_t nr,
			    void *buf, uint64_t *where)
{
	struct leap_piece piece = {
		.addr = buf, .len_bytes = nr * b->block_bytes
	};
	struct blk_wait wait;
	struct leap_bio *bio = blk_bio(b, LEAP_BIO_ZONE_APPEND, block, nr,
				       &piece, 1, &wait);
	leap_status_t status;

	leap_bio_submit(b->chan, bio);
	status = blk_await(b, bio, &wait);
	*where = bio->result;
	return status;
}

static struct leap_zone_desc zone_of(struct blk *b, uint64_t block)
{
	uint8_t buf[128];
	struct leap_zone_desc d;

	assert_int_equal(report(b, block, 0, 1, buf, sizeof(buf)), 0);
	memcpy(&d, buf + 64, sizeof(d));
	return d;
}

/* ---- the model ---- */

#define NR	12u		/* zones */
#define BLOCKS	16u
#define CAP	13u
#define MAX_ACTIVE 5u
#define MAX_OPEN 3u

struct mzone {
	uint8_t state;
	uint32_t wp;		/* blocks */
	uint32_t opened;	/* implicitly: when */
	uint8_t data[CAP];	/* what is in each block; 0 = nothing */
};

struct zmodel {
	struct blk b;
	struct mzone z[NR];
	uint32_t now;
	uint64_t seed;
	uint8_t buf[BLOCKS * 4096];
};

static uint32_t rnd(struct zmodel *m, uint32_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (uint32_t)((m->seed >> 20) % below);
}

static uint32_t in_state(const struct zmodel *m, uint8_t a, uint8_t b,
			 uint8_t c)
{
	uint32_t i, n = 0;

	for (i = 0; i < NR; i++)
		n += m->z[i].state == a || m->z[i].state == b ||
		     m->z[i].state == c;
	return n;
}

static void m_close(struct mzone *z)
{
	z->state = z->wp ? CLOSED : EMPTY;
}

static struct mzone *oldest(struct zmodel *m)
{
	struct mzone *found = NULL;
	uint32_t i;

	for (i = 0; i < NR; i++)
		if (m->z[i].state == IMP &&
		    (!found || m->z[i].opened < found->opened))
			found = &m->z[i];
	return found;
}

static leap_status_t m_open(struct zmodel *m, struct mzone *z, uint8_t to)
{
	if (z->state != IMP && z->state != EXP) {
		if (z->state == EMPTY &&
		    in_state(m, IMP, EXP, CLOSED) >= MAX_ACTIVE)
			return LEAP_SC_ZONE_TOO_MANY_ACTIVE;
		if (in_state(m, IMP, EXP, 0) >= MAX_OPEN) {
			if (!oldest(m))
				return LEAP_SC_ZONE_TOO_MANY_OPEN;
			m_close(oldest(m));
		}
	}
	z->state = to;
	if (to == IMP)
		z->opened = ++m->now;
	return 0;
}

static leap_status_t m_write(struct zmodel *m, struct mzone *z, uint32_t at,
			     uint32_t nr, uint8_t tag)
{
	leap_status_t status;

	if (z->state == FULL)
		return LEAP_SC_ZONE_FULL;
	if (z->state == RO)
		return LEAP_SC_ZONE_READ_ONLY;
	if (z->state == OFF)
		return LEAP_SC_ZONE_OFFLINE;
	if (at != z->wp)
		return LEAP_SC_ZONE_INVALID_WRITE;
	if (at + nr > CAP)
		return LEAP_SC_ZONE_BOUNDARY;
	if (z->state == EMPTY || z->state == CLOSED) {
		status = m_open(m, z, IMP);
		if (status)
			return status;
	}
	memset(z->data + at, tag, nr);
	z->wp += nr;
	if (z->wp == CAP)
		z->state = FULL;
	return 0;
}

/* The table: what becomes of a zone, or BFh. 0 = as m_open says. */
static leap_status_t m_action(struct zmodel *m, struct mzone *z,
			      uint32_t action)
{
	static const uint8_t full_from[] = { EMPTY, IMP, EXP, CLOSED, FULL };
	uint32_t i;

	switch (action) {
	case LEAP_ZSA_OPEN:
		if (z->state == FULL || z->state == RO || z->state == OFF)
			return BF;
		return m_open(m, z, EXP);
	case LEAP_ZSA_CLOSE:
		if (z->state == IMP || z->state == EXP)
			m_close(z);
		else if (z->state != CLOSED)
			return BF;
		return 0;
	case LEAP_ZSA_FINISH:
	case LEAP_ZSA_RESET:
		for (i = 0; i < 5 && full_from[i] != z->state; i++)
			;
		if (i == 5)
			return BF;
		z->state = action == LEAP_ZSA_RESET ? EMPTY : FULL;
		if (action == LEAP_ZSA_RESET) {
			z->wp = 0;
			memset(z->data, 0, sizeof(z->data));
		}
		return 0;
	default:
		if (z->state != RO && z->state != OFF)
			return BF;
		z->state = OFF;
		return 0;
	}
}

static leap_status_t m_open_all(struct zmodel *m)
{
	uint32_t closed = in_state(m, CLOSED, 0, 0), i;
	uint8_t was[NR];

	for (i = 0; i < NR; i++)
		was[i] = m->z[i].state;
	if (in_state(m, EXP, CLOSED, 0) > MAX_OPEN)
		return LEAP_SC_ZONE_TOO_MANY_OPEN;
	while (in_state(m, IMP, EXP, 0) + closed > MAX_OPEN)
		m_close(oldest(m));
	for (i = 0; i < NR; i++)
		if (was[i] == CLOSED)
			m->z[i].state = EXP;
	return 0;
}

static leap_status_t m_all(struct zmodel *m, uint32_t action)
{
	uint32_t i;

	if (action == LEAP_ZSA_OPEN)
		return m_open_all(m);
	for (i = 0; i < NR; i++) {
		uint8_t s = m->z[i].state;

		if (action == LEAP_ZSA_RESET ? s == EMPTY || s == RO ||
					       s == OFF :
		    action == LEAP_ZSA_FINISH ? s != IMP && s != EXP &&
						s != CLOSED :
		    action == LEAP_ZSA_CLOSE ? s != IMP && s != EXP : s != RO)
			continue;
		m_action(m, &m->z[i], action);
	}
	return 0;
}

static int m_matches(const struct mzone *z, uint32_t filter)
{
	static const uint8_t by[] = { 0, EMPTY, IMP, EXP, CLOSED, FULL, RO,
				      OFF };

	return !filter || z->state == by[filter];
}

static void check_report(struct zmodel *m)
{
	uint32_t first = rnd(m, NR), filter = rnd(m, 8), i, n = 0, room;
	int partial = (int)rnd(m, 2);
	uint32_t bytes = 64 * (1 + rnd(m, NR + 3)) + 4 * rnd(m, 16);
	struct leap_zone_report head;
	struct leap_zone_desc d;
	uint8_t *p = m->buf;

	room = bytes / 64 - 1;
	assert_int_equal(report(&m->b, first * BLOCKS + rnd(m, BLOCKS), filter,
				partial, p, bytes), 0);
	memcpy(&head, p, sizeof(head));
	for (i = first; i < NR; i++) {
		const struct mzone *z = &m->z[i];
		int has_wp = z->state < RO;

		if (!m_matches(z, filter))
			continue;
		if (n++ >= room)
			continue;
		memcpy(&d, p + 64 * n, sizeof(d));
		assert_int_equal(d.zt, LEAP_ZT_SEQ_WRITE);
		assert_int_equal(d.zs, z->state << 4);
		assert_int_equal(leap_from_le64(d.zcap), CAP);
		assert_int_equal(leap_from_le64(d.zslba), i * BLOCKS);
		assert_true(leap_from_le64(d.wp) ==
			    (has_wp ? i * BLOCKS + z->wp : UINT64_MAX));
	}
	assert_int_equal(leap_from_le64(head.nzones),
			 partial && n > room ? room : n);
	for (i = 64 * (1 + (n < room ? n : room)); i < bytes; i++)
		assert_int_equal(p[i], 0);
}

static void check_read(struct zmodel *m)
{
	uint32_t at = rnd(m, NR * BLOCKS - 1), nr = 1 + rnd(m, BLOCKS), i;
	uint32_t op = rnd(m, 3);
	leap_status_t want = 0, got;

	if (at + nr > NR * BLOCKS)
		nr = NR * BLOCKS - at;
	for (i = 0; i < nr; i++) {
		const struct mzone *z = &m->z[(at + i) / BLOCKS];
		uint32_t in = (at + i) % BLOCKS;

		if (z->state == OFF)
			want = LEAP_SC_ZONE_OFFLINE;
		memset(m->buf + i * 4096, in < CAP ? z->data[in] : 0, 4096);
	}
	if (!op) {
		got = blk_io(&m->b, LEAP_BIO_COMPARE, 0, at, nr, m->buf);
	} else {
		uint8_t *back = malloc(nr * 4096);

		got = blk_io(&m->b, LEAP_BIO_READ, 0, at, nr, back);
		if (!want)
			assert_memory_equal(back, m->buf, nr * 4096);
		free(back);
	}
	assert_int_equal(LEAP_STATUS_CODE(got), want);
}

static void do_write(struct zmodel *m)
{
	uint32_t i = rnd(m, NR), kind = rnd(m, 4), nr = 1 + rnd(m, 6);
	struct mzone *z = &m->z[i];
	uint32_t at = rnd(m, 5) && z->wp < BLOCKS ? z->wp : rnd(m, BLOCKS);
	uint8_t tag = kind == 1 ? 0 : (uint8_t)(1 + rnd(m, 255));
	uint64_t where = 0, was = z->wp;
	leap_status_t want, got;

	if (at + i * BLOCKS + nr > NR * BLOCKS)
		nr = NR * BLOCKS - at - i * BLOCKS;
	memset(m->buf, tag, nr * 4096);
	if (!kind) {
		want = m_write(m, z, z->wp, nr, tag);
		got = append(&m->b, i * BLOCKS, nr, m->buf, &where);
		if (!want)
			assert_int_equal(where, i * BLOCKS + was);
	} else {
		want = m_write(m, z, at, nr, tag);
		got = blk_io(&m->b, kind == 1 ? LEAP_BIO_WRITE_ZEROES :
			     LEAP_BIO_WRITE, 0, i * BLOCKS + at, nr,
			     kind == 1 ? NULL : m->buf);
	}
	assert_int_equal(LEAP_STATUS_CODE(got), want);
	assert_true(!want || got & LEAP_STATUS_DNR);
}

static void do_action(struct zmodel *m)
{
	uint32_t i = rnd(m, NR), action = 1 + rnd(m, 5);
	leap_status_t want, got;

	if (rnd(m, 40)) {
		want = m_action(m, &m->z[i], action);
		got = zsend(&m->b, i * BLOCKS, action, 0);
	} else {
		want = m_all(m, action);
		got = zsend(&m->b, rnd(m, 2) ? 0 : 7, action,
			    LEAP_BIO_ZONE_ALL);
	}
	assert_int_equal(LEAP_STATUS_CODE(got), want);
}

static void do_break(struct zmodel *m)
{
	uint32_t i = rnd(m, NR);
	uint8_t to = rnd(m, 2) ? RO : OFF;

	/* Not all of them: then nothing more would happen. */
	if (in_state(m, RO, OFF, 0) > 2)
		return;
	m->z[i].state = to;
	assert_int_equal(leap__zoned_break(m->b.bdev, i, to), 0);
}

static void play(uint64_t seed, uint32_t nr_ops)
{
	struct zmodel *m = calloc(1, sizeof(*m));
	uint32_t i;

	m->seed = seed;
	for (i = 0; i < NR; i++)
		m->z[i].state = EMPTY;
	blk_open(&m->b, "zoned:768K[zone=64K,cap=52K,max_active=5,max_open=3]");
	for (i = 0; i < nr_ops; i++) {
		uint32_t what = rnd(m, 100);

		if (what < 50)
			do_write(m);
		else if (what < 75)
			do_action(m);
		else if (what < 88)
			check_read(m);
		else if (what < 99)
			check_report(m);
		else if (!rnd(m, 4))
			do_break(m);
	}
	blk_close(&m->b);
	free(m);
}

static void random_operations(void **state)
{
	uint64_t seed;

	for (seed = 1; seed <= 60; seed++)
		play(seed * 0x9e3779b97f4a7c15ull, 2000);
}

/* ---- by hand ---- */

/* All rows and columns of the table of states, one after the other. */
static void every_transition(void **state)
{
	static const uint8_t states[] = { EMPTY, IMP, EXP, CLOSED, FULL, RO,
					  OFF };
	static const struct {
		uint32_t action;	/* 0: write */
		leap_status_t status[7];
		uint8_t to[7];
	} t[] = {
		{ 0, { 0, 0, 0, 0, 0x1b9, 0x1ba, 0x1bb },
		  { IMP, IMP, EXP, IMP, FULL, RO, OFF } },
		{ LEAP_ZSA_OPEN, { 0, 0, 0, 0, BF, BF, BF },
		  { EXP, EXP, EXP, EXP, FULL, RO, OFF } },
		{ LEAP_ZSA_CLOSE, { BF, 0, 0, 0, BF, BF, BF },
		  { EMPTY, CLOSED, CLOSED, CLOSED, FULL, RO, OFF } },
		{ LEAP_ZSA_FINISH, { 0, 0, 0, 0, 0, BF, BF },
		  { FULL, FULL, FULL, FULL, FULL, RO, OFF } },
		{ LEAP_ZSA_RESET, { 0, 0, 0, 0, 0, BF, BF },
		  { EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, RO, OFF } },
		{ LEAP_ZSA_OFFLINE, { BF, BF, BF, BF, BF, 0, 0 },
		  { EMPTY, IMP, EXP, CLOSED, FULL, OFF, OFF } },
	};
	static uint8_t buf[8192];
	uint32_t a, s;
	struct blk b;

	for (a = 0; a < sizeof(t) / sizeof(t[0]); a++) {
		for (s = 0; s < 7; s++) {
			uint64_t wp = 0;
			leap_status_t got;

			blk_open(&b, "trace -> zoned:1M[zone=64K]");
			if (states[s] != EMPTY) {
				assert_int_equal(blk_io(&b, LEAP_BIO_WRITE, 0,
							16, 2, buf), 0);
				wp = 2;
			}
			if (states[s] == EXP)
				zsend(&b, 16, LEAP_ZSA_OPEN, 0);
			if (states[s] == CLOSED)
				zsend(&b, 16, LEAP_ZSA_CLOSE, 0);
			if (states[s] == FULL)
				zsend(&b, 16, LEAP_ZSA_FINISH, 0);
			if (states[s] == RO || states[s] == OFF)
				leap__zoned_break(leap_bdev_child(b.bdev, 0),
						  1, states[s]);
			assert_int_equal(zone_of(&b, 16).zs, states[s] << 4);
			got = t[a].action ? zsend(&b, 16, t[a].action, 0) :
			      blk_io(&b, LEAP_BIO_WRITE, 0, 16 + wp, 1, buf);
			assert_int_equal(LEAP_STATUS_CODE(got),
					 t[a].status[s]);
			assert_int_equal(zone_of(&b, 31).zs, t[a].to[s] << 4);
			blk_close(&b);
		}
	}
}

static void options_are_checked(void **state)
{
	static const char *const bad[] = {
		"zoned", "zoned:100M", "zoned:128M[cap=65M]",
		"zoned:128M[zone=1000]", "zoned:128M[block=1024]",
		"zoned:128M[max_active=2,max_open=3]", "zoned:128M[cap=0]",
		"zoned:128M[append=5000]", "zoned:64G[zone=4096]",
	};
	struct leap_pollgroup *pg = blk_pollgroup(LEAP_WORLD_EPOLL);
	struct leap_bdev *bdev;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(leap_bdev_open(pg, bad[i], &bdev), -EINVAL);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
}

static void what_no_layer_sees(void **state)
{
	struct leap_bdev_zones zones = { .size = sizeof(zones) };
	static uint8_t buf[5 * 4096];
	struct leap_piece piece = { .addr = buf, .len_bytes = 60 };
	uint64_t where;
	struct blk b;

	blk_open(&b, "error[op=append,status=2/80,after=1] -> delay -> "
		 "zoned:1M[zone=64K,append=16K,across=off,max_active=4,"
		 "max_open=2]");
	assert_int_equal(leap_bdev_zones(b.bdev, &zones), 0);
	assert_int_equal(zones.zone_blocks, 16);
	assert_int_equal(zones.max_active, 4);
	assert_int_equal(zones.max_open, 2);
	assert_int_equal(zones.append_blocks, 4);
	assert_int_equal(zones.read_across, 0);
	assert_int_equal(LEAP_STATUS_CODE(append(&b, 1, 1, buf, &where)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(append(&b, 0, 5, buf, &where)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(append(&b, 256, 1, buf, &where)),
			 LEAP_SC_LBA_RANGE);
	/* Results come through instruments. */
	assert_int_equal(append(&b, 32, 2, buf, &where), 0);
	assert_int_equal(where, 32);
	assert_int_equal(append(&b, 32, 2, buf, &where), 0x280);
	assert_int_equal(LEAP_STATUS_CODE(zsend(&b, 3, LEAP_ZSA_OPEN, 0)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(zsend(&b, 256, LEAP_ZSA_OPEN, 0)),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(LEAP_STATUS_CODE(zsend(&b, 0, 0, 0)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(zsend(&b, 0, LEAP_ZSA_SET_ZDE, 0)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(report(&b, 0, 8, 0, buf, 64)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(report(&b, 256, 0, 0, buf, 64)),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(LEAP_STATUS_CODE(blk_run(&b, LEAP_BIO_ZONE_REPORT, 0,
						  0, 0, &piece, 1)),
			 LEAP_SC_INVALID_FIELD);
	assert_int_equal(LEAP_STATUS_CODE(blk_io(&b, LEAP_BIO_READ, 0, 15, 2,
						 buf)), LEAP_SC_ZONE_BOUNDARY);
	assert_int_equal(blk_io(&b, LEAP_BIO_READ, 0, 14, 2, buf), 0);
	blk_close(&b);
	blk_open(&b, "memory:1M");
	assert_int_equal(leap_bdev_zones(b.bdev, &zones), -ENOENT);
	assert_int_equal(LEAP_STATUS_CODE(append(&b, 0, 1, buf, &where)),
			 LEAP_SC_INVALID_OPCODE);
	blk_close(&b);
}

struct user {
	struct leap__bdev_user user;
	uint64_t block;
	int told;
};

static void changed(struct leap__bdev_user *user, uint64_t block)
{
	((struct user *)user)->block = block;
	((struct user *)user)->told++;
}

static void users_hear_of_broken_zones(void **state)
{
	struct user u = { .user.zone_changed = changed };
	struct blk b;

	blk_open(&b, "trace -> zoned:1M[zone=64K,readonly=3,offline=4]");
	leap__bdev_use(b.bdev, &u.user);
	assert_int_equal(zone_of(&b, 48).zs, RO << 4);
	assert_int_equal(zone_of(&b, 64).zs, OFF << 4);
	assert_int_equal(leap__zoned_break(leap_bdev_child(b.bdev, 0), 5, OFF),
			 0);
	assert_int_equal(u.told, 1);
	assert_int_equal(u.block, 80);
	leap__bdev_unuse(b.bdev, &u.user);
	blk_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(every_transition),
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(what_no_layer_sees),
		cmocka_unit_test(users_hear_of_broken_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
