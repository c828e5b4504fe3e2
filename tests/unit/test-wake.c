/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The need-wake word and the message queue: every step alone, then against a
 * naive list, then with real threads and a real eventfd (a lost wake-up shows
 * as a poll that times out).
 */
#include "core/io/msgq.h"
#include "core/io/wake.h"
#include "rand.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <errno.h>
#include <cmocka.h>

static int readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms);
}

static void drain(int fd)
{
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

static void test_word(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	leap_le32 word = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_false(leap__wake_wanted(&word));
	leap__wake_arm(&word);
	assert_true(leap__wake_wanted(&word));
	assert_int_equal(leap__wake_signal(fd), 0);
	assert_int_equal(readable(fd, 0), 1);
	/* One signal per arming, however many producers. */
	assert_false(leap__wake_wanted(&word));
	drain(fd);
	assert_int_equal(readable(fd, 0), 0);
	leap__wake_arm(&word);
	leap__wake_disarm(&word);
	assert_false(leap__wake_wanted(&word));
	/* A peer that scribbles costs a needless signal, nothing else. */
	word = 0xffffffff;
	assert_true(leap__wake_wanted(&word));
	assert_int_equal(word, 0);
	close(fd);
}

static void test_signal_errors(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(leap__wake_signal(fd), 0);
	close(fd);
	assert_int_equal(leap__wake_signal(-1), -EBADF);
}

struct note {
	struct leap__msg msg;
	uint32_t producer;
	uint64_t n;
};

static void test_msgq_model(void **state)
{
	struct note notes[64];
	uint64_t pushed = 0, taken = 0;
	struct test_rand rnd = { .s = 42 };
	struct leap__msg *m, *next;
	struct leap__msgq q = { NULL };
	leap_le32 word = 0;

	(void)state;
	assert_null(leap__msgq_take(&q));
	while (taken < 200000) {
		if (test_rand_below(&rnd, 8) && pushed - taken < 64) {
			struct note *n = &notes[pushed % 64];

			n->n = pushed++;
			assert_false(leap__msgq_send(&q, &n->msg, &word));
			assert_false(leap__msgq_empty(&q));
			continue;
		}
		for (m = leap__msgq_take(&q); m; m = next) {
			next = m->next;
			assert_int_equal(((struct note *)m)->n, taken);
			taken++;
		}
		assert_int_equal(taken, pushed);
		assert_true(leap__msgq_empty(&q));
	}
}

#define PRODUCERS	3
#define PER_PRODUCER	20000

struct mt {
	struct leap__msgq *q;
	leap_le32 *need;
	int fd;
	uint32_t producer;
	struct note *notes;
};

static void *produce(void *arg)
{
	struct mt *mt = arg;
	uint64_t i;

	for (i = 0; i < PER_PRODUCER; i++) {
		struct note *n = &mt->notes[i];

		n->producer = mt->producer;
		n->n = i;
		if (leap__msgq_send(mt->q, &n->msg, mt->need) &&
		    leap__wake_signal(mt->fd))
			return arg;
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void test_msgq_threads(void **state)
{
	static struct note notes[PRODUCERS][PER_PRODUCER];
	static struct mt mt[PRODUCERS];
	uint64_t next_n[PRODUCERS] = { 0 }, total = 0, slept = 0;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), i;
	struct leap__msg *m, *next;
	struct leap__msgq q = { NULL };
	pthread_t t[PRODUCERS];
	leap_le32 word = 0;
	void *bad;

	(void)state;
	for (i = 0; i < PRODUCERS; i++) {
		mt[i].q = &q;
		mt[i].need = &word;
		mt[i].fd = fd;
		mt[i].producer = (uint32_t)i;
		mt[i].notes = notes[i];
		assert_int_equal(pthread_create(&t[i], NULL, produce, &mt[i]),
				 0);
	}
	while (total < PRODUCERS * PER_PRODUCER) {
		for (m = leap__msgq_take(&q); m; m = next) {
			struct note *n = (struct note *)m;

			next = m->next;
			assert_true(n->producer < PRODUCERS);
			assert_int_equal(n->n, next_n[n->producer]);
			next_n[n->producer]++;
			total++;
		}
		if (total == PRODUCERS * PER_PRODUCER)
			break;
		if (!leap__msgq_arm(&q, &word)) {
			/* A minute means for ever: a lost wake-up. */
			assert_int_equal(readable(fd, 60000), 1);
			slept++;
			drain(fd);
		}
		leap__wake_disarm(&word);
	}
	for (i = 0; i < PRODUCERS; i++) {
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	assert_null(leap__msgq_take(&q));
	print_message("slept %llu times\n", (unsigned long long)slept);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_word),
		cmocka_unit_test(test_signal_errors),
		cmocka_unit_test(test_msgq_model),
		cmocka_unit_test(test_msgq_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
