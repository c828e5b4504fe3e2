/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-fixture.h - a host over the pcie transport, over a kernel that is faked,
 * over a drive of this process
 */
#ifndef LEAP_TESTS_VFIO_FIXTURE_H
#define LEAP_TESTS_VFIO_FIXTURE_H

#include "fake-vfio.h"
#include "rand.h"
#include "serve.h"

#include <leapio/leapio.h>

#define NQN "nqn.2026-01.org.example:drive"
#define URL "pcie:" FAKE_ADDRESS "/" NQN
#define NO_IOMMU_URL "pcie:" FAKE_ADDRESS "?noiommu=1/" NQN
#define BLOCK 512u
#define BLOCKS 8192u
#define MOST 65536u
#define MEM (4u << 20)

struct vf_world {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_host *host;
	struct leap_dmabuf *mem;
	uint8_t *base, *copy;
	struct test_rand rnd;
	const char *url;
	uint32_t depth;
	int elsewhere;		/* payload is not in a dmabuf */
	char log[256];
	int warned;
};

extern struct fake_vfio fake;
extern struct vf_world vf;

/* A link of its own, not open; and one that opening has to refuse. */
struct leap__vfio_link vf_link_of(void);
void vf_refuse(int err, const char *text);

/* A drive, its poll group and memory, for a host that is not there yet. */
int vf_setup(void **state);
int vf_teardown(void **state);
int vf_start(uint32_t flags);
void vf_open_host(uint32_t flags);
/* Until the drive has forgotten everything. */
void vf_close_host(void);
/* So many commands, verified. */
void vf_some(int n);
/* Any one call of bring-up fails: the host says so, or goes on without. */
void vf_any_call(void);
/* Commands whose payload was copied. */
uint64_t vf_bounced(void);
uint32_t vf_below(uint32_t n);
void vf_turn(const int *flag);

#endif
