/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bad-fixture.h - a leap_host over the misbehaving drive, in virtual time
 */
#ifndef LEAP_TESTS_BAD_FIXTURE_H
#define LEAP_TESTS_BAD_FIXTURE_H

#include "unit.h"

#include <leapio/leapio.h>

#include "bad-device.h"
#include "sim/sim.h"

#define MS		1000000ull
#define SECOND		1000000000ull
#define NR_IOS		6u
#define IO_BYTES	12288u

struct bad_io {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct bad_world *w;
	uint32_t turns;		/* write, read, write, read left */
	uint32_t done;
	uint32_t failed;	/* ended with a status that is not 0 */
	uint8_t fill;
	bool wrong;
};

/* What happened, for the asserts of a test. */
struct bad_world {
	struct leap_sim *sim;
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	struct leap_host_opts opts;
	enum leap_host_state state;
	unsigned int lives, losses;
	leap_status_t status;
	int err;
	char text[160];
	uint32_t event;
	unsigned int events;
	int closed;
	struct bad_io io[NR_IOS];
	uint32_t running;
	struct leap_req adm;
	struct leap_piece adm_piece;
	int adm_done;
	_Alignas(64) uint8_t page[4096];
};

/* bad_init has been called; opts are good for a short life. */
void bad_world_init(struct bad_world *w);
/* Everything is closed and nothing is left. */
void bad_world_fini(struct bad_world *w);
/* cmocka's: one that the tests of a program share. */
extern struct bad_world bad_shared;
int bad_set_up(void **state);
int bad_tear_down(void **state);
/* Until it is live, or the test has failed. */
void bad_up(struct bad_world *w);
/* A callback of closes, with the world as its argument; and what to run
 * until. */
void bad_note_closed(void *arg);
bool bad_is_closed(void *arg);
/* Runs until @until; it has to come within @max_ns of virtual time. */
void bad_run(struct bad_world *w, bool (*until)(void *arg), uint64_t max_ns);
void bad_pass(struct bad_world *w, uint64_t ns);
/* Until it is live or has failed. The state. */
enum leap_host_state bad_open_host(struct bad_world *w);
void bad_close_host(struct bad_world *w);
/* NR_IOS requests write and read back, @turns commands each. Until all are
 * done; how many ended with another status than 0. */
uint32_t bad_load(struct bad_world *w, uint32_t turns);
void bad_load_start(struct bad_world *w, uint32_t turns);
uint32_t bad_load_wait(struct bad_world *w);
/* One admin command with w->page as its data. */
leap_status_t bad_admin(struct bad_world *w, uint8_t opc, uint32_t nsid,
			uint32_t cdw10, uint32_t bytes);
/* Open, load, close: the state it came to before the close. */
enum leap_host_state bad_life(struct bad_world *w);

#endif
