/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registers-front.h - a controller that is registers in memory, and the front
 * end of a function that has queues, and no host memory
 */
#ifndef LEAP_TESTS_REGISTERS_FRONT_H
#define LEAP_TESTS_REGISTERS_FRONT_H

#include "ctrl-fixture.h"
#include "script-vqp.h"

#include "core/ctrl/admin.h"

#define CC_ENABLE	0x00460001u
#define AQA_EDK2	0x00010001u
#define AQA_SEABIOS	0x00ff003fu

struct front {
	struct fx *fx;
	struct leap__ctrl *c;
	struct script *admin;	/* while started */
	int refuse;
	unsigned int starts, stops, ended;
	uint32_t aqa;		/* as start saw them */
	uint64_t asq, acq;
};

static inline int front_start(struct leap__ctrl *c, void *arg)
{
	struct front *f = arg;

	assert_ptr_equal(f->c, c);
	assert_null(f->admin);
	f->starts++;
	f->aqa = c->aqa;
	f->asq = c->asq;
	f->acq = c->acq;
	if (f->refuse)
		return -EFAULT;
	f->admin = malloc(sizeof(*f->admin));
	script_init(f->admin, f->fx->pg, NULL);
	assert_int_equal(leap__ctrl_adopt_admin(c, &f->admin->vqp), 0);
	return 0;
}

static inline void front_stop(struct leap__ctrl *c, void *arg)
{
	struct front *f = arg;

	(void)c;
	assert_non_null(f->admin);
	f->stops++;
	f->admin->stopped = 1;
}

static inline void front_ended(struct leap__ctrl *c, void *arg)
{
	(void)c;
	((struct front *)arg)->ended++;
}

static const struct leap__ctrl_front front_ops = {
	.start = front_start,
	.stop = front_stop,
	.ended = front_ended,
	.nr_vectors = 33,
};

/* What stop left behind goes when the test gets to it. */
static inline void reap(struct front *f)
{
	if (f->admin && f->admin->stopped) {
		script_close(f->admin);
		free(f->admin);
		f->admin = NULL;
	}
}

static inline uint32_t rd4(struct front *f, uint32_t at)
{
	uint8_t b[4];

	leap__ctrl_reg_read(f->c, at, b, 4);
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
	       (uint32_t)b[3] << 24;
}

static inline uint64_t rd8(struct front *f, uint32_t at)
{
	leap_le64 v;

	leap__ctrl_reg_read(f->c, at, &v, 8);
	return leap_from_le64(v);
}

static inline void wr4(struct front *f, uint32_t at, uint32_t v)
{
	leap_le32 le = leap_to_le32(v);

	leap__ctrl_reg_write(f->c, at, &le, 4);
}

static inline void wr8(struct front *f, uint32_t at, uint64_t v)
{
	leap_le64 le = leap_to_le64(v);

	leap__ctrl_reg_write(f->c, at, &le, 8);
}

static inline struct front *front_new(struct fx *fx)
{
	struct front *f = calloc(1, sizeof(*f));

	f->fx = fx;
	assert_int_equal(leap__ctrl_create_registers(fx->ss, &front_ops, f,
						     &f->c), 0);
	strcpy(f->c->hostnqn, "nqn.2026-01.org.example:guest");
	memset(f->c->hostid, 9, sizeof(f->c->hostid));
	return f;
}

static inline void front_free(struct front *f)
{
	if (!f->ended)
		leap__ctrl_end(f->c);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->starts, f->stops + (unsigned int)f->refuse);
	reap(f);
	leap__ctrl_put(f->c);
	free(f);
}

static inline int set_up(void **state)
{
	struct fx *fx;

	fx_setup((void **)&fx);
	*state = front_new(fx);
	return 0;
}

static inline int tear_down(void **state)
{
	struct fx *fx = ((struct front *)*state)->fx;

	front_free(*state);
	return fx_teardown((void **)&fx);
}

static inline void set_queues(struct front *f)
{
	wr4(f, LEAP_REG_AQA, AQA_SEABIOS);
	wr8(f, LEAP_REG_ASQ, 0x100000);
	wr8(f, LEAP_REG_ACQ, 0x200000);
}

static inline void enable(struct front *f)
{
	set_queues(f);
	wr4(f, LEAP_REG_CC, CC_ENABLE);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

static inline void disable(struct front *f)
{
	wr4(f, LEAP_REG_CC, 0);
	reap(f);
	fx_settle(f->fx);
	assert_int_equal(rd4(f, LEAP_REG_CSTS), 0);
}

#define FRONT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
