/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfu-fixture.h - a vfio-user server before a function that ends its work when
 * it is told to, and a scripted client
 */
#ifndef LEAP_TESTS_VFU_FIXTURE_H
#define LEAP_TESTS_VFU_FIXTURE_H

#include "unit.h"

#include <leapio/leapio.h>
#include <leapio/nvme.h>

#include "fake-vdev.h"
#include "fds.h"
#include "transport/vfio-user/server.h"
#include "vfu-client.h"

#define VF_VECTORS	17u
#define E_FD	(LEAP__VFU_SET_EVENTFD | LEAP__VFU_SET_TRIGGER)	/* 24h */
#define E_NONE	(LEAP__VFU_SET_NONE | LEAP__VFU_SET_TRIGGER)	/* 21h */
#define RW	(LEAP__VFU_MAP_READ | LEAP__VFU_MAP_WRITE)

/* Of the test that runs. */
struct vf {
	struct leap_pollgroup *pg;
	struct leap__vfu_server *server;
	struct fake_vdev vdev;
	struct vfu_client c;
	char path[64];
	char log[4096];
	int stopped;
	int fds_open;		/* before anything */
};

extern struct vf vf;

/* cmocka's: a server, and a client that has said VERSION. */
int vf_set_up(void **state);
int vf_set_up_live(void **state);
int vf_tear_down(void **state);

#define VF_LIVE(f) \
	cmocka_unit_test_setup_teardown(f, vf_set_up_live, vf_tear_down)

int vf_event(void);
/* Signals since the last look. */
uint64_t vf_fired(int fd);
int vf_hung_up(void);
int vf_ask(uint16_t cmd, const void *p, size_t n);
/* A callback that counts in an int. */
void vf_count(void *arg);

#endif
