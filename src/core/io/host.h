/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - what host.c (connections), host_req.c (requests), host_init.c (the
 * conversation with the controller) and host_ns.c (its namespaces) share
 */
#ifndef LEAP_CORE_IO_HOST_H
#define LEAP_CORE_IO_HOST_H

#include <stdbool.h>

#include <leapio/host.h>
#include <leapio/nvmf.h>
#include <leapio/pollgroup.h>

#define LEAP__HOST_AERS		4u
#define LEAP__HOST_ADMIN_DEPTH	32u

/*
 * May an I/O command that was sent, and has or has not been done, be sent
 * again? Not one that would be done twice by that, nor one that nobody here
 * knows. A zone takes no write twice.
 */
static inline bool leap__sqe_may_run_twice(const struct leap_sqe *sqe)
{
	if (sqe->flags & LEAP_SQE_FUSE_MASK)
		return false;
	switch (sqe->opc) {
	case LEAP_NVM_FLUSH:
	case LEAP_NVM_WRITE:
	case LEAP_NVM_READ:
	case LEAP_NVM_WRITE_UNCOR:
	case LEAP_NVM_COMPARE:
	case LEAP_NVM_WRITE_ZEROES:
	case LEAP_NVM_DSM:
	case LEAP_NVM_VERIFY:
	case LEAP_NVM_RESV_REPORT:
	case LEAP_NVM_ZONE_MGMT_SEND:
	case LEAP_NVM_ZONE_MGMT_RECV:
		return true;
	default:
		return false;
	}
}

struct leap__hqueue;

/* A caller's request on its way: our copy travels, and may travel again. */
struct leap__hcmd {
	struct leap_req req;	/* first */
	struct leap_req *user;	/* NULL: it is free */
	struct leap__hqueue *q;
	struct leap__hcmd *next;	/* free, or waiting */
	struct leap__hcmd *second;	/* they go together; or NULL */
	struct leap_req_lists lists;	/* nr 0: it has none */
	uint32_t again;
	uint32_t late;		/* how often it was out when time was up */
	uint32_t let_go;	/* does not travel again */
};

struct leap__hqueue {
	struct leap_host *host;
	struct leap_qp *qp;
	/* Whose qp takes its commands: itself, but for one that the
	 * controller did not grant again. */
	struct leap__hqueue *at;
	uint32_t up;		/* qp is connected and may be used */
	uint32_t depth;
	uint32_t in_flight;	/* commands of callers */
	struct leap__hcmd *cmds;
	struct leap__hcmd *free;
	struct leap__hcmd *wait, **wait_tail;
};

struct leap__hadm;
typedef void (*leap__hadm_done)(struct leap_host *h, struct leap__hadm *a,
				leap_status_t status);

/* An admin command of our own, with room for its data. */
struct leap__hadm {
	struct leap_req req;	/* first */
	struct leap_host *host;
	struct leap_piece piece;
	uint32_t busy;
	void *data;		/* data_max bytes, or NULL */
	uint32_t data_max;
	/* Not called when the connection was lost meanwhile. */
	leap__hadm_done done;
};

struct leap_host {
	struct leap_pollgroup *pg;
	struct leap_host_opts opts;	/* strings copied, defaults filled in */
	char *url, *hostnqn;
	enum leap_host_state state;
	uint16_t cntlid;
	uint8_t was_live;	/* once: from then on reconnect */
	uint8_t closing;
	uint8_t tearing;	/* connections are being closed */
	uint8_t discovery;
	uint8_t holding;	/* the poll group */
	uint8_t no_io;		/* I/O queues are asked for, and others' */
	uint32_t nr_closing;
	uint32_t nr_up;		/* I/O queues connected so far */
	uint32_t nr_granted;	/* the first time: what callers may use */
	uint32_t nr_now;	/* of those, on this connection */
	uint32_t sharing;	/* nr_now is less */
	int err;		/* why the connection went, and */
	leap_status_t why;
	uint64_t lost_ns;	/* when it was first lost; 0 = it is not */
	struct leap_timer timer;	/* reconnect; or: wait for CSTS */
	struct leap_timer keep_alive;
	struct leap_msg work;	/* what may not be done where it is noticed */
	uint32_t work_queued;
	uint32_t tear_asked;
	void (*closed)(void *arg);
	void *closed_arg;
	/* host_init.c */
	uint64_t cap;
	uint64_t deadline_ns;	/* of the CSTS that is waited for */
	struct leap__hadm adm;	/* one step after the other */
	struct leap__hadm ka;
	struct leap__hadm aer[LEAP__HOST_AERS];
	struct leap_id_ctrl *id;
	struct leap_id_ctrl_nvm *id_nvm;
	uint64_t events[LEAP__HOST_AERS];	/* DW0, DW1 */
	uint64_t event;			/* that opts.event is told of */
	uint32_t nr_events;
	uint32_t in_event;
	struct leap_host_ns *ns, *scan;	/* by NSID; in force, being read */
	uint32_t nr_ns, nr_scan, max_scan;
	struct leap_ns_list *list;
	uint32_t list_at;
	void (*scanned)(struct leap_host *h);
	struct leap_host_stats stats;
	uint64_t *bounced;	/* of I/O queues; atomic, or NULL */
	uint32_t nr_q;		/* I/O queues asked for */
	struct leap__hqueue q[];	/* [0] admin, then nr_q */
};

/* qp.c: of more than one address. */
int leap__qp_takes_lists(const struct leap_qp *qp);
/* The same; of one that is live. */
static inline int leap__host_takes_lists(const struct leap_host *h)
{
	return h->q[0].qp && leap__qp_takes_lists(h->q[0].qp);
}

/* qp.c: from now on no command may carry more than @bytes. */
void leap__qp_limit(struct leap_qp *qp, uint32_t bytes);

/* host.c */

/* The connection is no good: tear down, then reconnect or give up. */
void leap__host_fail(struct leap_host *h, leap_status_t status, int err);
/* A queue pair is wanted; leap__host_queue_up follows, or leap__host_fail. */
void leap__host_connect_queue(struct leap_host *h, uint32_t i);
/* All that the controller has to say is known. */
void leap__host_live(struct leap_host *h);
/* Close the connections, in a later poll. */
void leap__host_tear_down(struct leap_host *h);

/* host_req.c */

int leap__hqueue_init(struct leap_host *h, uint32_t i);
/* Send what waits, as far as there is room. Only from poll. */
void leap__hqueue_drive(struct leap__hqueue *q);
/* Nobody will take them any more. Only from poll. */
void leap__host_fail_waiting(struct leap_host *h);

/*
 * leap__host_let_go - end requests of which nobody knows when they will be
 *
 * Those on I/O queues that @is says so of come back: what waits, before this
 * returns; what is out, when the connections are closed, which is then done,
 * and after which the controller reaches none of their memory. The others are
 * sent again on the next connection. Context: owner, in poll
 */
void leap__host_let_go(struct leap_host *h,
		       bool (*is)(struct leap_req *user, void *arg),
		       void *arg);

/* Commands whose payload is copied count in @counter too, until it is closed.
 * Before it is live. */
static inline void leap__host_count_bounced(struct leap_host *h,
					    uint64_t *counter)
{
	h->bounced = counter;
}

/* host_ns.c */

/* What Identify Namespace says of one. 0, or -EINVAL: nothing that anybody can
 * use. */
int leap__host_ns_set(struct leap_host_ns *ns, uint32_t nsid,
		      const struct leap_id_ns *id);
/* And what the Identify pages of the zoned command set say. 0, -EINVAL */
int leap__host_ns_zones(struct leap_host_ns *ns,
			const struct leap_id_ns_zns *id);
void leap__host_ns_append(struct leap_host_ns *ns,
			  const struct leap_id_ctrl_zns *id);
/* Read the namespaces anew; until then the old ones are in force. */
void leap__host_scan(struct leap_host *h, void (*scanned)(struct leap_host *h));

/* host_init.c */

/* The next step: @data gets 4096 bytes. */
void leap__host_identify(struct leap_host *h, uint32_t cns, uint8_t csi,
			 uint32_t nsid, void *data, leap__hadm_done done);
int leap__host_init_alloc(struct leap_host *h);
void leap__host_init_free(struct leap_host *h);
/* Queue @i is connected: the next step. */
void leap__host_queue_up(struct leap_host *h, uint32_t i);
/* Keep alive and event requests, once it is live. */
void leap__host_start_upkeep(struct leap_host *h);
void leap__host_stop_upkeep(struct leap_host *h);
/* CC.SHN, wait for CSTS.SHST, then leap__host_tear_down. */
void leap__host_shut_down(struct leap_host *h);

#endif
