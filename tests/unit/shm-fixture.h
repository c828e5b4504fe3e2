/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm-fixture.h - a target with a memory drive on a socket for shared memory,
 * on threads of its own, and hosts that check what it holds
 */
#ifndef LEAP_TESTS_SHM_FIXTURE_H
#define LEAP_TESTS_SHM_FIXTURE_H

#include "serve.h"

#include <pthread.h>
#include <stdatomic.h>

#include <leapio/host.h>

#define SHM_NQN		"nqn.2024-01.io.example:shm"
#define SHM_BLOCKS	(64u * 2048)

struct shm_server {
	pthread_t thread[2];
	char path[64];
	int nr_threads;
	atomic_int ready, stop, stopped;
	/* So many sockets from now on the second thread's poll group cannot
	 * take; and so many it has not taken. */
	atomic_int attach_fails, attach_failed;
	struct leap_pollgroup *io;
	struct leap_target *target;
};

extern struct shm_server shm;

/* cmocka's. With two, the second one serves all I/O. */
int shm_start_one(void **state);
int shm_start_two(void **state);
int shm_stop(void **state);

#define SHM_TEST(f, start) cmocka_unit_test_setup_teardown(f, start, shm_stop)

struct shm_client {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	uint8_t *a, *b;
	struct leap_dmabuf *mem;
};

void shm_client_open(struct shm_client *c);
void shm_client_close(struct shm_client *c);
/* @nr blocks out of one buffer and back into another, both cut in pieces. */
void shm_check_io(struct shm_client *c, uint32_t nr, int in_place,
		  uint32_t cuts);
/* A client that comes, is served, and goes. */
void shm_good_one(void);

/* 1 = it is live; *@out is NULL or to be closed. */
int shm_host_try(struct leap_pollgroup *pg, struct leap_host **out);
void shm_host_close(struct leap_pollgroup *pg, struct leap_host *host);

/* 0 .. n - 1, on the test's own thread. */
uint32_t shm_below(uint32_t n);
/* Until no more than @n descriptors are open. */
void shm_wait_for_fds(int n);

#endif
