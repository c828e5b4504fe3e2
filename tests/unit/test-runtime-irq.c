/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a controller that is lent, while the agent changes where they
 * go: what a runtime raises between an agent's decision and the message that
 * says it is not lost.
 */
#include "fds.h"
#include "runtime-fixture.h"

#include <sys/eventfd.h>

#define BYTES	(1u << 20)
#define DEPTH	16u
#define CQ_AT	4096u
#define SQ_AT	8192u
#define VECTOR	1u

/* One queue pair, in memory that this test has as well. */
struct w {
	struct rf *f;
	uint8_t *ram;
	struct leap_doorbell *db;	/* state memory */
	uint32_t tail, head;
	int efd;
};

static void *map(int fd)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void lend(struct w *w)
{
	struct leap_link_msg m = rf_ctrl_add(BYTES);
	int state = fds_memory(BYTES, F_SEAL_SHRINK);
	int ram = fds_memory(BYTES, F_SEAL_SHRINK);

	w->db = map(state);
	w->ram = map(ram);
	assert_int_equal(rf_ask(w->f, &m, state), 0);
	m = liar_say(LEAP_LINK_MEM_ADD);
	m.u.mem.bytes = BYTES;
	m.u.mem.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	assert_int_equal(rf_ask(w->f, &m, ram), 0);
	m = liar_say(LEAP_LINK_CQ_ADD);
	m.u.cq.cqid = 1;
	m.u.cq.depth = DEPTH;
	m.u.cq.gpa.addr = CQ_AT;
	m.u.cq.doorbell = 3 * sizeof(*w->db);
	m.u.cq.vector = VECTOR;
	assert_int_equal(rf_ask(w->f, &m, -1), 0);
	m = liar_say(LEAP_LINK_QP_ADD);
	m.u.qp.qid = 1;
	m.u.qp.cqid = 1;
	m.u.qp.sq_depth = DEPTH;
	m.u.qp.cq_depth = DEPTH;
	m.u.qp.page_bytes = 4096;
	m.u.qp.sq.addr = SQ_AT;
	m.u.qp.doorbell = 2 * sizeof(*w->db);
	assert_int_equal(rf_ask(w->f, &m, -1), 0);
	close(state);
	close(ram);
}

static int set_up(void **state)
{
	struct w *w = calloc(1, sizeof(*w));

	w->f = rf_new();
	rf_go(w->f);
	lend(w);
	w->efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	close(w->efd);
	munmap(w->ram, BYTES);
	munmap(w->db, BYTES);
	liar_end(&w->f->l);
	rf_free(w->f);
	free(w);
	return 0;
}

/* The batch is over, and a message to the home would have come. */
static void settle(struct w *w)
{
	int i;

	for (i = 0; i < 20; i++)
		leap_pollgroup_poll(w->f->pg, 0);
}

/* A command, and its answer: of a namespace that is not there, so an error. */
static void one_command(struct w *w)
{
	struct leap_sqe *sqe = (struct leap_sqe *)(void *)(w->ram + SQ_AT);
	struct leap_cqe *cqe = (struct leap_cqe *)(void *)(w->ram + CQ_AT);
	struct unit_lived lived = { 0 };

	memset(&sqe[w->tail], 0, sizeof(*sqe));
	sqe[w->tail].nsid = leap_to_le32(1);
	w->tail++;
	assert_true(w->tail < DEPTH);
	__atomic_store_n((uint32_t *)&w->db[2].value,
			 (uint32_t)leap_to_le32(w->tail), __ATOMIC_RELEASE);
	while (!(leap_from_le16(__atomic_load_n(&cqe[w->head].status,
						__ATOMIC_ACQUIRE)) & 1)) {
		leap_pollgroup_poll(w->f->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	w->head++;
	settle(w);
}

static void want_irqs(struct w *w, int wanted)
{
	__atomic_store_n((uint32_t *)&w->db[0].no_irq,
			 (uint32_t)leap_to_le32(!wanted), __ATOMIC_SEQ_CST);
}

static void set_eventfd(struct w *w, int fd)
{
	struct leap_link_msg m = liar_say(LEAP_LINK_IRQ);

	m.u.irq.vector = VECTOR;
	assert_int_equal(rf_ask(w->f, &m, fd), 0);
}

static uint64_t signals(struct w *w)
{
	uint64_t n = 0;

	return read(w->efd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

/* Interrupts that the runtime has told the agent of. */
static int told(struct w *w)
{
	struct leap_link_msg m;
	int n = 0;

	settle(w);
	while (liar_hear(&w->f->l, &m) > 0) {
		/* The command failed: so there is an error to be told. */
		if (m.type != LEAP_LINK_IRQ)
			continue;
		assert_int_equal(m.flags, 0);
		assert_int_equal(m.u.irq.vector, VECTOR);
		n++;
	}
	return n;
}

static void test_told(void **state)
{
	struct w *w = *state;

	one_command(w);
	assert_int_equal(told(w), 1);
	set_eventfd(w, w->efd);
	assert_int_equal(signals(w), 0);
	one_command(w);
	assert_int_equal(signals(w), 1);
	assert_int_equal(told(w), 0);
	set_eventfd(w, -1);
	one_command(w);
	assert_int_equal(signals(w), 0);
	assert_int_equal(told(w), 1);
}

static void test_not_wanted(void **state)
{
	struct w *w = *state;

	want_irqs(w, 0);
	one_command(w);
	one_command(w);
	assert_int_equal(told(w), 0);
	want_irqs(w, 1);
	one_command(w);
	assert_int_equal(told(w), 1);
}

/*
 * The client has given its eventfd, and lets its guest go on; the message that
 * brings it here is still on its way.
 */
static void test_eventfd_on_its_way(void **state)
{
	struct w *w = *state;

	want_irqs(w, 0);
	one_command(w);
	set_eventfd(w, w->efd);
	assert_int_equal(signals(w), 1);
	assert_int_equal(told(w), 0);
	/* Once. */
	set_eventfd(w, -1);
	set_eventfd(w, w->efd);
	assert_int_equal(signals(w), 0);
	one_command(w);
	assert_int_equal(signals(w), 1);
}

static void mask(struct w *w, uint32_t vectors)
{
	__atomic_store_n((uint32_t *)&w->db[0].irq_mask,
			 (uint32_t)leap_to_le32(vectors), __ATOMIC_SEQ_CST);
}

/* INTMS: no eventfd is signalled, and the agent, who knows when that is over,
 * is told, even if it has said that it wants no interrupts. */
static void test_masked(void **state)
{
	struct w *w = *state;

	set_eventfd(w, w->efd);
	want_irqs(w, 0);
	mask(w, 1u << VECTOR);
	one_command(w);
	assert_int_equal(signals(w), 0);
	assert_int_equal(told(w), 1);
	mask(w, ~(1u << VECTOR));
	one_command(w);
	assert_int_equal(signals(w), 1);
	assert_int_equal(told(w), 0);
	/* Kept for an eventfd that finds the mask when it comes. */
	mask(w, 0);
	set_eventfd(w, -1);
	one_command(w);
	assert_int_equal(told(w), 0);
	mask(w, 1u << VECTOR);
	set_eventfd(w, w->efd);
	assert_int_equal(signals(w), 0);
	assert_int_equal(told(w), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_told), T(test_not_wanted), T(test_eventfd_on_its_way),
		T(test_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
