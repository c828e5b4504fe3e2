/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sleep and wake under the explorer: a sleeper with two producers, first with
 * bare words of work, which the sleeper looks at by itself, then with a message
 * queue, by the calls that a poll group makes.
 * A sleeper that never wakes with work pending is the violation.
 */
#include "core/io/msgq.h"
#include "core/io/wake.h"
#include "explore.h"

#define SLEEP_FD	1
#define MSGS_MAX	3

/* One word of work that one producer writes. */
struct source {
	uint32_t work;			/* shared: how much was published */
	uint32_t done;			/* the sleeper's */
};

struct note {
	struct leap__msg msg;
	uint32_t value;			/* what the message carries */
};

struct world {
	leap_le32 need;			/* shared by all producers */
	struct source source[2];
	uint32_t goal[2];
	struct leap__msgq q;
	struct note note[MSGS_MAX];
	uint32_t got[MSGS_MAX];
	uint32_t nr_got, nr_msgs;
};

static struct world world;

/* ---- words ---- */

static bool pending(struct source *s)
{
	return leap__load_acquire(&s->work) != s->done;
}

static void sleeper(void *arg)
{
	struct world *w = arg;

	while (w->source[0].done < w->goal[0] ||
	       w->source[1].done < w->goal[1]) {
		bool any = false;
		int i;

		for (i = 0; i < 2; i++) {
			struct source *s = &w->source[i];

			if (pending(s)) {
				s->done++;
				any = true;
			}
		}
		if (any)
			continue;
		leap__wake_arm(&w->need);
		if (!pending(&w->source[0]) && !pending(&w->source[1]))
			explore_wait(SLEEP_FD);
		leap__wake_disarm(&w->need);
	}
}

static void produce(struct world *w, int i)
{
	uint32_t n;

	for (n = 1; n <= w->goal[i]; n++) {
		leap__store_release(&w->source[i].work, n);
		if (leap__wake_wanted(&w->need))
			leap__wake_signal(SLEEP_FD);
	}
}

static void producer0(void *arg)
{
	produce(arg, 0);
}

static void producer1(void *arg)
{
	produce(arg, 1);
}

static void words_final(void *arg, unsigned int stuck)
{
	(void)arg;
	if (stuck)
		explore_fail("the sleeper sleeps for ever with work pending");
}

static void words_setup(struct world *w, uint32_t goal0, uint32_t goal1)
{
	w->goal[0] = goal0;
	w->goal[1] = goal1;
}

static void words_setup_two(void *arg)
{
	words_setup(arg, 1, 1);
}

static void words_setup_one(void *arg)
{
	words_setup(arg, 3, 0);
}

/* ---- message queue ---- */

static void send(struct world *w, int i)
{
	leap__store_relaxed(&w->note[i].value, 100u + (uint32_t)i);
	if (leap__msgq_send(&w->q, &w->note[i].msg, &w->need))
		leap__wake_signal(SLEEP_FD);
}

/* Two senders, one message each; or one sender of all. */
static void sender0(void *arg)
{
	struct world *w = arg;
	uint32_t i;

	send(w, 0);
	for (i = 1; w->nr_msgs > 2 && i < w->nr_msgs; i++)
		send(w, (int)i);
}

static void sender1(void *arg)
{
	send(arg, 1);
}

static void consumer(void *arg)
{
	struct world *w = arg;

	while (w->nr_got < w->nr_msgs) {
		struct leap__msg *m = leap__msgq_take(&w->q), *next;

		if (!m) {
			if (leap__msgq_arm(&w->q, &w->need))
				continue;	/* and armed: a needless kick */
			explore_wait(SLEEP_FD);
			leap__wake_disarm(&w->need);
			continue;
		}
		for (; m; m = next) {
			struct note *n = (struct note *)m;

			next = m->next;
			explore_check(w->nr_got < w->nr_msgs);
			explore_check(n >= w->note && n < w->note + w->nr_msgs);
			w->got[w->nr_got++] = leap__load_relaxed(&n->value);
		}
	}
}

static void msgq_final(void *arg, unsigned int stuck)
{
	struct world *w = arg;
	uint32_t i, sum = 0;

	if (stuck) {
		explore_fail("the consumer sleeps for ever beside a message");
		return;
	}
	for (i = 0; i < w->nr_msgs; i++) {
		sum += w->got[i];
		/* In order from each producer. */
		if (w->nr_msgs > 2)
			explore_check(w->got[i] == 100 + i);
	}
	explore_check(sum == (w->nr_msgs > 2 ? 303 : 201));
	explore_check(leap__msgq_empty(&w->q));
}

static void msgq_setup(struct world *w, uint32_t nr_msgs)
{
	w->nr_msgs = nr_msgs;
}

static void msgq_setup_two(void *arg)
{
	msgq_setup(arg, 2);
}

static void msgq_setup_one(void *arg)
{
	msgq_setup(arg, 3);
}

static const struct explore_model words_two = {
	.name = "wake-2-producers", .world = &world,
	.world_bytes = sizeof(world), .setup = words_setup_two,
	.thread = { sleeper, producer0, producer1 }, .final = words_final,
};

static const struct explore_model words_one = {
	.name = "wake-1-producer", .world = &world,
	.world_bytes = sizeof(world), .setup = words_setup_one,
	.thread = { sleeper, producer0 }, .final = words_final,
};

static const struct explore_model msgq_two = {
	.name = "msgq-2-producers", .world = &world,
	.world_bytes = sizeof(world), .setup = msgq_setup_two,
	.thread = { consumer, sender0, sender1 }, .final = msgq_final,
};

static const struct explore_model msgq_one = {
	.name = "msgq-1-producer", .world = &world,
	.world_bytes = sizeof(world), .setup = msgq_setup_one,
	.thread = { consumer, sender0 }, .final = msgq_final,
};

static const struct explore_case cases[] = {
	{ &words_two, { LEAP_PLANT_LOST_WAKE, LEAP_PLANT_LOST_KICK } },
	{ &words_one, { LEAP_PLANT_LOST_WAKE, LEAP_PLANT_LOST_KICK } },
	{ &msgq_two, { LEAP_PLANT_MSGQ_MISSING_RELEASE, LEAP_PLANT_LOST_WAKE,
		       LEAP_PLANT_LOST_KICK, LEAP_PLANT_WAKE_NO_RECHECK } },
	{ &msgq_one, { LEAP_PLANT_MSGQ_MISSING_RELEASE } },
};

int main(int argc, char **argv)
{
	return explore_main(argc, argv, cases,
			    sizeof(cases) / sizeof(cases[0]));
}
