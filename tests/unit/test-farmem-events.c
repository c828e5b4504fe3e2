/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another machine's memory, and what a connection manager may tell either end
 * of it: any event while nothing moves, while something does, and in place of
 * each that a new connection waits for. No command notices.
 */
#include "farmem-fixture.h"

#include "transport/rdma/conn.h"

static uint64_t nr_peers(void)
{
	struct leap_share_info si = { sizeof(si) };

	assert_int_equal(leap_share_info(fm.share, &si), 0);
	return si.peers;
}

/* Those that went are gone, and the one that came is there. */
static void settled(void)
{
	uint64_t from = fm_lived_ns();
	int i;

	for (i = 0; i < 20; i++)
		fm_poll(NULL);
	while (nr_peers() != 1) {
		fm_poll(NULL);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
}

static int is_ignored(unsigned int type)
{
	return type == LEAP__V_TIMEWAIT_EXIT || type == LEAP__V_OTHER ||
	       type == LEAP__V_CONNECT_REQUEST;
}

/* At the owner's end (@passive) or the other, with commands out or none. */
static void event_at(unsigned int type, int passive, int loaded)
{
	uint64_t before = fm_info().connections;
	uint16_t cids[OUT];
	int i;

	fm.fabric->paused = loaded;
	if (loaded) {
		pay_load(&fm.pay, cids, (uint8_t)type);
		fm_posted(OUT);
	}
	fake_event(fake_id(fm.fabric, passive, 0), type, 0, NULL, 0);
	for (i = 0; i < 20; i++)
		fm_poll(NULL);
	fake_resume(fm.fabric);
	if (loaded)
		fm_settle(cids, 0);
	pay_one(&fm.pay, (int)type, fm_run_sqe);
	settled();
	if (is_ignored(type))
		assert_true(fm_info().connections == before);
	else
		assert_true(fm_info().connections == before + 1);
	assert_int_equal(fm_info().failed, 0);
}

static void test_events(void **state)
{
	unsigned int type, k;

	(void)state;
	for (type = 0; type < LEAP__V_NR_EVENTS; type++)
		for (k = 0; k < 4; k++)
			event_at(type, (int)k & 1, (int)k >> 1);
}

/* What a lane waits for does not come: as if its time were over. */
static void time_over(void)
{
	struct leap__rdma_conn *c = fake_id(fm.fabric, 0, 0)->ctx;

	leap_timer_stop(fm.pg, &c->timer);
	c->timer.run(&c->timer);
}

/* A new connection, with @type in place of @instead. */
static void event_instead(unsigned int type, unsigned int instead)
{
	uint64_t before = fm_info().connections, from = fm_lived_ns();

	fm.fabric->swap_from = (uint8_t)instead;
	fm.fabric->swap_to = (uint8_t)type;
	fm.fabric->swap_on = 1;
	fake_event(fake_id(fm.fabric, 0, 0), LEAP__V_DISCONNECTED, 0, NULL, 0);
	while (fm.fabric->swap_on) {
		fm_poll(NULL);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
	fm_poll(NULL);
	if (is_ignored(type))
		time_over();
	pay_one(&fm.pay, (int)type, fm_run_sqe);
	settled();
	assert_true(fm_info().connections == before + 1);
	assert_int_equal(fm_info().failed, 0);
}

static void test_connecting(void **state)
{
	static const uint8_t instead[] = {
		LEAP__V_ADDR_RESOLVED, LEAP__V_ROUTE_RESOLVED,
		LEAP__V_ESTABLISHED,
	};
	unsigned int type, k;

	(void)state;
	for (type = 0; type < LEAP__V_NR_EVENTS; type++)
		for (k = 0; k < COUNT(instead); k++)
			event_instead(type, instead[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FM_TEST(test_events),
		FM_TEST(test_connecting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
