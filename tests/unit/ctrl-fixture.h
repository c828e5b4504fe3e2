/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ctrl-fixture.h - a target and host ends over loopback, on one poll group
 *
 * NSID 1: 16 MiB of memory in 512-byte blocks; 2: the same in 4096-byte LBAs;
 * 3: read-only. Everything is polled by the call that waits.
 */
#ifndef LEAP_TESTS_CTRL_FIXTURE_H
#define LEAP_TESTS_CTRL_FIXTURE_H

#include "serve.h"

#include <leapio/qp.h>

#define FX_NQN	"nqn.2026-01.org.example:fx"
#define FX_HOST	"nqn.2026-01.org.example:host"

struct fx {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *ss;
	struct leap_listener *listener;
	struct leap_qp *admin;
	uint16_t cntlid;
	uint64_t result;	/* of the last command */
	int (*poll)(struct fx *fx);	/* once; as leap_pollgroup_poll */
};

/* Set-up and tear-down of a cmocka test; *state is a struct fx. */
int fx_setup(void **state);
/* In a world of the caller's, who drives it. */
int fx_setup_in(void **state, const struct leap_pollgroup_opts *opts,
		int (*poll)(struct fx *fx));
int fx_teardown(void **state);
/* The same, with the admin queue connected and the controller enabled. */
int fx_setup_live(void **state);

/* Poll until *flag, or fail after a while. */
void fx_wait(struct fx *fx, const int *flag);
/* Poll for as long as there is something to do. */
void fx_settle(struct fx *fx);

struct fx_connect {
	const char *nqn;	/* NULL = FX_NQN */
	const char *hostnqn;	/* NULL = FX_HOST */
	uint8_t hostid;		/* all 16 bytes; 0 = 1 */
	uint16_t qid;
	uint16_t cntlid;
	uint32_t kato_ms;
	uint32_t depth;
};

/* NULL *qp on failure; the status of Connect. */
leap_status_t fx_connect(struct fx *fx, const struct fx_connect *how,
			 struct leap_qp **qp);
struct leap_qp *fx_io(struct fx *fx, uint16_t qid);
void fx_close(struct fx *fx, struct leap_qp *qp);
int fx_is_lost(struct leap_qp *qp);

/* One command to its end; code without DNR and M; fx->result. */
leap_status_t fx_cmd(struct fx *fx, struct leap_qp *qp, struct leap_sqe *sqe,
		     void *buf, uint32_t len);
/* In raw form: with all status bits. */
leap_status_t fx_cmd_raw(struct fx *fx, struct leap_qp *qp,
			 struct leap_sqe *sqe, void *buf, uint32_t len);

/* A command that is not waited for. */
struct fx_req {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	int done;
	leap_status_t status;
};
void fx_submit(struct fx *fx, struct leap_qp *qp, struct fx_req *r,
	       const struct leap_sqe *sqe, void *buf, uint32_t len);

leap_status_t fx_prop_get(struct fx *fx, uint32_t offset, int size8,
			  uint64_t *v);
leap_status_t fx_prop_set(struct fx *fx, uint32_t offset, uint64_t v);
void fx_enable(struct fx *fx);

/* SQEs. */
struct leap_sqe fx_rw(uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t nr);
struct leap_sqe fx_identify(uint8_t cns, uint32_t nsid);
struct leap_sqe fx_log(uint8_t lid, uint32_t bytes);
struct leap_sqe fx_feature(uint8_t opc, uint8_t fid, uint32_t sel_or_sv,
			   uint32_t v);

/* Add a namespace from a stack text; waits until it is there. */
void fx_add_ns(struct fx *fx, const char *stack, uint32_t nsid,
	       uint32_t block_bytes, int read_only);

#endif
