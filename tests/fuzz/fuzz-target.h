/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-target.h - a real target for fuzz targets of what comes in from hosts
 *
 * Made once; each input connects to it, and nothing of an input may be left in
 * it when the input is over.
 */
#ifndef LEAP_FUZZ_TARGET_H
#define LEAP_FUZZ_TARGET_H

#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include <leapio/nvmf.h>
#include <leapio/target.h>

#include "core/io/pollgroup.h"

#define FUZZ_NQN "nqn.2026-01.org.example:fuzz"

struct fuzz_target {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_listener *listener;
};

static inline void fuzz_ns(struct fuzz_target *f, struct leap_subsystem *ss,
			   const char *stack, uint32_t read_only)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;

	FUZZ_CHECK(!leap_bdev_open(f->pg, stack, &no.bdev));
	no.read_only = read_only;
	FUZZ_CHECK(leap_ns_add(ss, &no, NULL, NULL) > 0);
	leap_pollgroup_poll(f->pg, 0);
}

/* Once; @url says which transport's controller ends will be made. */
static inline void fuzz_target_init(struct fuzz_target *f, const char *url)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_target_opts to = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem *ss;

	if (f->pg)
		return;
	po.world = LEAP_WORLD_EPOLL;
	po.nr_cmds = 32;
	po.nr_bufs = 24;
	po.buf_bytes = 8192;
	FUZZ_CHECK(!leap_pollgroup_create(&po, &f->pg));
	to.mdts_bytes = 65536;
	FUZZ_CHECK(!leap_target_create(f->pg, &to, &f->target));
	so.nqn = FUZZ_NQN;
	so.allow_any_host = 1;
	so.max_nsid = 8;
	FUZZ_CHECK(!leap_subsystem_create(f->target, &so, &ss));
	fuzz_ns(f, ss, "memory:256K", 0);
	fuzz_ns(f, ss, "error[op=any,every=3] -> memory:256K[block=4096]", 0);
	fuzz_ns(f, ss, "memory:256K", 1);
	fuzz_ns(f, ss, "zoned:256K[zone=32K,cap=24K,max_active=3,max_open=2]",
		0);
	fuzz_ns(f, ss, "ocssd[groups=2,pus=2,chunks=5,blocks=8,cunits=4]", 0);
	lo.url = url;
	FUZZ_CHECK(!leap_listener_create(f->target, &lo, &f->listener));
}

/* All connections of the input are closed: it leaves nothing. */
static inline void fuzz_target_settle(struct fuzz_target *f)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	struct leap_target_stats ts = { sizeof(ts) };
	uint32_t i = 0;

	do {
		leap_pollgroup_poll(f->pg, 0);
		FUZZ_CHECK(!leap_target_stats(f->target, &ts));
		FUZZ_CHECK(i++ < 100000);
	} while (ts.connections);
	while (leap_pollgroup_poll(f->pg, 0))
		;
	FUZZ_CHECK(!leap_target_stats(f->target, &ts));
	FUZZ_CHECK(!ts.orphans && !ts.held);
	FUZZ_CHECK(!leap_pollgroup_stats(f->pg, &st));
	FUZZ_CHECK(!st.cmds_in_use && !st.bufs_in_use);
}

/* A Connect command and its data, by the book. */
static inline void fuzz_connect(struct leap_fab_connect *c,
				struct leap_connect_data *d, uint16_t qid,
				uint16_t cntlid, uint16_t depth)
{
	memset(c, 0, sizeof(*c));
	memset(d, 0, sizeof(*d));
	c->opc = LEAP_ADM_FABRICS;
	c->flags = LEAP_SQE_PSDT_SGL;
	c->fctype = LEAP_FCTYPE_CONNECT;
	c->qid = leap_to_le16(qid);
	c->sqsize = leap_to_le16((uint16_t)(depth - 1));
	c->sgl1.len = leap_to_le32(sizeof(*d));
	c->sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET);
	memset(d->hostid, 7, sizeof(d->hostid));
	d->cntlid = leap_to_le16(cntlid);
	strcpy((char *)d->subnqn, FUZZ_NQN);
	strcpy((char *)d->hostnqn, "nqn.2026-01.org.example:host");
}

static inline void fuzz_enable(struct leap_fab_prop_set *set)
{
	memset(set, 0, sizeof(*set));
	set->opc = LEAP_ADM_FABRICS;
	set->flags = LEAP_SQE_PSDT_SGL;
	set->fctype = LEAP_FCTYPE_PROP_SET;
	set->ofst = leap_to_le32(LEAP_REG_CC);
	set->value = leap_to_le64(0x00460061);
}

#endif
