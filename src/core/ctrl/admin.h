/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * admin.h - the admin half: targets, subsystems, namespaces as descriptions,
 * controllers, and the connections on their way to them
 *
 * All of it belongs to the thread of the target's home poll group.
 */
#ifndef LEAP_CORE_CTRL_ADMIN_H
#define LEAP_CORE_CTRL_ADMIN_H

#include <leapio/target.h>

#include "block/bdev.h"
#include "core/ctrl/iogroup.h"
#include "core/io/pollgroup.h"
#include "util/err.h"
#include "util/list.h"

#define LEAP__DNR(sc)	((leap_status_t)((sc) | LEAP_STATUS_DNR))

#define LEAP__NR_AERS		4	/* AERL + 1 */
#define LEAP__NR_ABORTS		4	/* ACL + 1 */
#define LEAP__NR_ERRORS		64	/* ELPE + 1 */
#define LEAP__NR_CHANGED_NS	1024	/* NVMe Base 2.0, log 04h */
#define LEAP__NR_CHANGED_ZONES	64
#define LEAP__KAS_MS		100	/* keep alive granularity */
#define LEAP__RTD3E_US		5000000	/* a slow disk's cache */
#define LEAP__TEMPERATURE_K	313	/* 40 C: there is no sensor */
#define LEAP__WCTEMP_K		343
#define LEAP__CCTEMP_K		353
#define LEAP__MAX_VECTORS	2048	/* MSI-X */
#define LEAP__CAP_TO		60	/* 30 s, in 500 ms */
#define LEAP__CONNECT_MS	10000	/* transport connection to Connect */
#define LEAP__DISC_KATO_MS	120000	/* discovery without a KATO */
#define LEAP__FW_REV		"0.1.0   "

/*
 * A question to every I/O group, and one answer when all have answered.
 */
struct leap__round {
	struct leap__lmsg *m;	/* [nr_groups], made on first use */
	uint32_t nr;
	uint32_t pending;
	int err;		/* of the last group that failed */
	uint32_t found;		/* KEEPALIVE: of any */
	struct leap_io_counters sum;	/* STATS */
	void (*done)(struct leap__round *r);
	void *arg;
};

struct leap_listener {
	struct leap__list link;
	struct leap_target *target;
	const struct leap_transport_ops *ops;
	struct leap_listener_opts opts;
	char *url;		/* as given */
	char *advertise;
	struct leap_subsystem *ss;	/* of its URL, or NULL */
	char bound[384];	/* address bound, perhaps with an NQN */
	char text[400];		/* URL with it */
	uint16_t portid;
	const struct leap__keep_ops *keep;	/* NULL: cannot be kept */
	const struct leap__saved *saved;	/* while it is made */
	_Alignas(16) uint8_t priv[];
};

struct leap__host {
	struct leap__list link;
	char nqn[LEAP_NQN_MAX + 1];
};

enum { LEAP__NS_OPENING, LEAP__NS_ACTIVE, LEAP__NS_CLOSING };

struct leap__ns {
	struct leap_subsystem *ss;
	struct leap_ns_desc desc;	/* block_bytes is the LBA format's */
	struct leap_bdev *bdev;		/* NULL: a runtime's */
	uint32_t shown;			/* epoch of the agent, see it */
	struct leap__bdev_user user;
	uint32_t stack_bytes;	/* block of the stack */
	uint32_t state;
	uint32_t pending;	/* messages out: opening, closing */
	uint32_t resizing;	/* the same, resize */
	uint32_t resize_again;
	int err;
	void (*done)(int err, void *arg);	/* added, then removed */
	void *arg;
	uint32_t nr_ions;
	struct leap__ions *ions[LEAP__MAX_GROUPS];
};

struct leap_subsystem {
	struct leap__list link;
	struct leap_target *target;
	char nqn[LEAP_NQN_MAX + 1];
	char serial[LEAP_SN_LEN + 1];
	char model[LEAP_MN_LEN + 1];
	uint32_t allow_any_host;
	uint32_t max_nsid;
	uint32_t max_ctrls;
	uint32_t discovery;
	uint16_t last_cntlid;
	uint16_t dying;
	uint32_t nr_ctrls;
	uint32_t nr_ns;
	struct leap__list hosts;
	struct leap__list ctrls;
	struct leap__ns **ns;	/* [max_nsid + 1] */
	struct leap__ioss *ioss[LEAP__MAX_GROUPS];
	void (*destroyed)(void *arg);
	void *destroyed_arg;
	struct leap_timer settle_timer;
	uint64_t created_ns;
	struct leap_io_counters count;	/* SMART: of queues that are gone */
};

/* A connection at home: waiting for Connect, or an admin queue. */
struct leap__conn {
	struct leap__list link;		/* of the target */
	struct leap_target *target;
	struct leap_vqp *vqp;		/* NULL: moved away, or gone */
	struct leap__ctrl *ctrl;	/* admin queue */
	struct leap_cmd *connect;	/* being worked on */
	struct leap_timer timer;	/* for Connect */
	struct leap__round barrier;
	struct leap_connect_data data;
};

enum leap__feat {
	LEAP__FEAT_ARBITRATION,
	LEAP__FEAT_POWER,
	LEAP__FEAT_TEMP_OVER,
	LEAP__FEAT_TEMP_UNDER,
	LEAP__FEAT_ERROR_RECOVERY,
	LEAP__FEAT_WRITE_CACHE,
	LEAP__FEAT_WRITE_ATOMIC,
	LEAP__FEAT_INTR_COALESCE,
	LEAP__FEAT_ASYNC_EVENT,
	LEAP__FEAT_NR,
};

/* Kinds of events; each is pending or masked at most once. */
enum leap__event {
	LEAP__EVENT_NS_CHANGED,
	LEAP__EVENT_ZONE_CHANGED,
	LEAP__EVENT_DISCOVERY,
	LEAP__EVENT_TEMPERATURE,
	LEAP__EVENT_BAD_DB_REG,		/* doorbell of no queue */
	LEAP__EVENT_BAD_DB_VALUE,
	LEAP__EVENT_NR,
};

/*
 * A front end that shows a controller as registers in memory (a PCIe function,
 * real or emulated) instead of as fabrics connections. Called on the thread of
 * the target's home, from leap__ctrl_reg_write() or in a later poll.
 */
struct leap__ctrl_front {
	/* EN 0->1 and the settings are good: serve the admin queues that
	 * c->aqa, c->asq and c->acq name. -errno: CSTS.CFS instead of RDY. */
	int (*start)(struct leap__ctrl *c, void *arg);
	/* EN 1->0, or the end: fetch and post nothing more. Commands that
	 * complete from here on are dropped. */
	void (*stop)(struct leap__ctrl *c, void *arg);
	/* The controller is being taken away, after stop: leap__ctrl_put()
	 * it when nothing of the front end uses it any more. */
	void (*ended)(struct leap__ctrl *c, void *arg);
	/* QP_ADD of an I/O queue pair was answered. It is gone: the last call
	 * about it. NULL: the front end has none. */
	void (*ioq_added)(struct leap__ctrl *c, void *arg, struct leap__ioqp *q,
			  int err);
	void (*ioq_gone)(struct leap__ctrl *c, void *arg, struct leap__ioqp *q);
	/* Features 08h or 09h were set: c->feat and c->coalesce_off. */
	void (*coalesce)(struct leap__ctrl *c, void *arg);
	/* Admin commands about queues in memory; NULL = not supported. */
	void (*create_cq)(struct leap__ctrl *c, struct leap_cmd *cmd);
	void (*delete_cq)(struct leap__ctrl *c, struct leap_cmd *cmd);
	void (*create_sq)(struct leap__ctrl *c, struct leap_cmd *cmd);
	void (*delete_sq)(struct leap__ctrl *c, struct leap_cmd *cmd);
	void (*dbbuf_config)(struct leap__ctrl *c, struct leap_cmd *cmd);
	uint32_t nr_vectors;	/* interrupts; 1..LEAP__MAX_VECTORS */
	uint16_t vendor_id, subsystem_vendor_id;
};

struct leap__ctrl {
	struct leap__list link;
	struct leap_subsystem *ss;
	struct leap_target *target;
	struct leap__conn *conn;	/* NULL: registers only, or lost */
	uint16_t cntlid;
	uint8_t dead;			/* accepts nothing; waits for refs */
	uint8_t resetting;		/* RDY drops when no I/O
					 * queue is left */
	uint32_t refs;			/* I/O queues, messages, the list */
	char hostnqn[LEAP_NQN_FIELD];
	uint8_t hostid[16];
	char peer[64];
	uint64_t created_ns;
	/* Properties. */
	const struct leap__ctrl_front *front;	/* NULL: fabrics */
	void *front_arg;
	uint64_t cap, asq, acq;
	uint32_t cc, csts, aqa;
	uint32_t intm;			/* INTMS, INTMC */
	struct leap__lmsg flush;	/* shutdown */
	uint8_t flush_out;
	uint8_t flush_again;		/* asked while one was out */
	uint8_t started;		/* front->start was, stop was not */
	/* Keep alive. */
	uint32_t kato_ms;
	uint32_t kato_connect_ms;
	uint8_t kato_late;		/* the second look comes next */
	struct leap_timer kato_timer;
	uint64_t seen_ns;
	struct leap__round kato_round;
	/* Features. */
	uint32_t feat[LEAP__FEAT_NR];
	uint32_t granted;		/* I/O queues, one-based */
	uint64_t timestamp_ms;		/* at timestamp_ns */
	uint64_t timestamp_ns;
	uint8_t timestamp_origin;
	uint8_t host_behavior[512];
	uint32_t coalesce_off[LEAP__MAX_VECTORS / 32];	/* bit per vector */
	struct leap__round feat_round;
	struct leap_cmd *feat_cmd;
	/* Events. */
	struct leap_cmd *aer[LEAP__NR_AERS];
	uint32_t nr_aers;
	uint32_t events;		/* bit per leap__event: not told yet */
	uint32_t masked;		/* told, log not read */
	uint32_t changed_ns[LEAP__NR_CHANGED_NS];
	uint32_t nr_changed_ns;		/* one more than that: too many */
	struct { uint64_t zslba; uint32_t nsid; }
		changed_zones[LEAP__NR_CHANGED_ZONES];
	uint32_t nr_changed_zones;
	uint32_t zones_lost;		/* a namespace that had too many */
	/* Error log: a ring, newest at error_count - 1. */
	struct leap_log_error errors[LEAP__NR_ERRORS];
	uint64_t error_count;
	/* SMART. */
	struct leap__round stats;
	struct leap_cmd *stats_cmds;	/* answered by this round */
	struct leap_cmd *stats_next;	/* by the next */
	/* Aborts. */
	struct leap__lmsg aborts[LEAP__NR_ABORTS];
	struct leap_cmd *abort_cmds[LEAP__NR_ABORTS];
	/* I/O queues, by QID. */
	uint32_t nr_ioqs;
	uint32_t nr_iocqs;		/* the front end's */
	struct leap__ioqp **ioq;	/* [max_io_queues + 1] */
};

struct leap_target {
	struct leap_pollgroup *home;
	struct leap_target_opts opts;	/* defaults filled in; name below */
	char name[64];
	/* [0] is home; it serves I/O queues when it is the only one. */
	struct leap__iogroup *groups[LEAP__MAX_GROUPS];
	uint32_t nr_groups;
	uint32_t next_group;
	struct leap__orphans orphans;
	struct leap__list subsystems;
	struct leap__list listeners;
	struct leap__list conns;
	struct leap__list vdevs;
	struct leap_subsystem *disc;
	uint16_t next_portid;
	uint16_t draining;
	uint64_t genctr;
	uint64_t connections;
	uint64_t accepted;
	uint64_t protocol_errors;
	uint64_t keep_alive_expired;
	uint8_t *scratch;		/* log pages and identify data */
	size_t scratch_bytes;
	/* Drain and destroy. */
	struct leap_timer drain_timer;
	struct leap_timer settle_timer;
	void (*drained)(void *arg);
	void *drained_arg;
	uint32_t destroying;
	struct leap__round bye;
	void (*destroyed)(void *arg);
	void *destroyed_arg;
	/* Whose I/O goes over a link, or who serves that of others. */
	struct leap_agent *agent;
	struct leap_runtime *runtime;
	struct leap__list kept;		/* of a predecessor, for listeners */
};

/* target.c */
int leap__round_start(struct leap_target *t, struct leap__round *r,
		      uint16_t type, const void *ctrl);
struct leap__lmsg *leap__round_prepare(struct leap_target *t,
				       struct leap__round *r, uint16_t type);
void leap__round_send(struct leap_target *t, struct leap__round *r);
void leap__round_fini(struct leap__round *r);
uint8_t *leap__target_scratch(struct leap_target *t, size_t bytes);
struct leap__iogroup *leap__target_pick(struct leap_target *t);
uint32_t leap__target_first_io(const struct leap_target *t);
/* A connection, subsystem or listener has gone: drained, destroyed? */
void leap__target_settle(struct leap_target *t);
/* What the discovery log says has changed. */
void leap__target_changed(struct leap_target *t);

/* runtime.c: its agent is told. Check: can it be fenced? 0 or -errno. Then
 * before the groups open it; it serves, or serves no more, or has another size;
 * nothing of it is left. */
int leap__runtime_ns_check(const struct leap_bdev *bdev);
void leap__runtime_ns_opening(struct leap_runtime *rt,
			      const struct leap__ns *ns);
void leap__runtime_ns_changed(struct leap_runtime *rt,
			      struct leap_subsystem *ss, uint32_t nsid);
void leap__runtime_ns_closed(struct leap_runtime *rt,
			     const struct leap__ns *ns);

/* connect.c */
int leap__conn_room(const struct leap_target *t);
int leap__conn_accept(struct leap_listener *l, struct leap_vqp *vqp);
void leap__conn_free(struct leap__conn *conn);

/* subsystem.c */
int leap__subsystem_make(struct leap_target *t,
			 const struct leap_subsystem_opts *opts, int discovery,
			 struct leap_subsystem **out);
int leap__subsystem_add_group(struct leap_subsystem *ss, uint32_t i);
int leap__subsystem_allows(const struct leap_subsystem *ss, const char *nqn);
struct leap__ctrl *leap__subsystem_ctrl(const struct leap_subsystem *ss,
					uint32_t cntlid);
void leap__subsystem_settle(struct leap_subsystem *ss);

/* ns.c */
/*
 * A namespace that a runtime serves, as that describes it; connected hosts are
 * told what is new. 0; -EEXIST one that is another namespace is there, -EINVAL,
 * -EBUSY it is just being removed, -ENOMEM
 */
int leap__ns_show(struct leap_subsystem *ss, const struct leap_ns_desc *desc,
		  uint32_t epoch);
int leap__ns_add_group(struct leap__ns *ns, uint32_t i);
static inline struct leap__ns *leap__ns_active(const struct leap_subsystem *ss,
					       uint32_t nsid)
{
	struct leap__ns *ns = nsid && nsid <= ss->max_nsid ? ss->ns[nsid] :
							     NULL;

	return ns && ns->state == LEAP__NS_ACTIVE ? ns : NULL;
}

/* ctrl.c */
int leap__ctrl_create(struct leap_subsystem *ss, struct leap__ctrl **out);
/* Ends it: AERs forgotten, I/O queues deleted, freed when all is back. */
void leap__ctrl_end(struct leap__ctrl *c);
void leap__ctrl_put(struct leap__ctrl *c);
/*
 * Register-style access to properties, for fabrics commands and for registers
 * in memory: @bytes 4 or 8 at @offset; halves of 8-byte registers are allowed.
 * Returns: 0, -EINVAL no such property or not that way
 */
int leap__ctrl_prop_read(struct leap__ctrl *c, uint32_t offset,
			 uint32_t bytes, uint64_t *value);
int leap__ctrl_prop_write(struct leap__ctrl *c, uint32_t offset,
			  uint32_t bytes, uint64_t value);
/*
 * A controller behind registers, without Connect. The caller fills in hostnqn,
 * hostid and peer, has one reference, and shows it to its host by the calls
 * below; @front and what it points to live until that reference is put.
 * Returns: 0, -EBUSY no CNTLID free or the subsystem goes, -EINVAL, -ENOMEM
 */
int leap__ctrl_create_registers(struct leap_subsystem *ss,
				const struct leap__ctrl_front *front,
				void *front_arg, struct leap__ctrl **out);
/*
 * Any access to 0..FFFh, of any size: what no register answers reads as zero,
 * and a write that is not one or two whole dwords changes nothing. Doorbells
 * are the front end's.
 */
void leap__ctrl_reg_read(struct leap__ctrl *c, uint64_t offset, void *buf,
			 uint32_t bytes);
void leap__ctrl_reg_write(struct leap__ctrl *c, uint64_t offset,
			  const void *buf, uint32_t bytes);
/* Power on, PCI reset, function level reset. */
void leap__ctrl_reg_reset(struct leap__ctrl *c);
/* Commands of @vqp, which no Connect has to precede, are its admin commands. */
int leap__ctrl_adopt_admin(struct leap__ctrl *c, struct leap_vqp *vqp);
/* An I/O queue that the group has done with. */
void leap__ctrl_add_ioq(struct leap__ctrl *c, struct leap__ioqp *q);
void leap__ctrl_delete_ioqs(struct leap__ctrl *c, uint32_t flags);
void leap__ctrl_delete_ioq(struct leap__ioqp *q);
/* Its group was asked to end it. */
int leap__ctrl_ioq_is_ending(const struct leap__ioqp *q);
/* An I/O or completion queue has gone: was it what a reset waits for? */
void leap__ctrl_queues_left(struct leap__ctrl *c);
void leap__ctrl_seen(struct leap__ctrl *c);
void leap__ctrl_set_kato(struct leap__ctrl *c, uint32_t ms);

/* admin.c */
extern const struct leap_vqp_handler leap__admin_handler;
void leap__admin_fail(struct leap__ctrl *c, struct leap_cmd *cmd,
		      leap_status_t status);
/*
 * Answer with data: room for @len, then @fill builds at most @len bytes in
 * @buf (zeroed) or says what is wrong.
 */
void leap__admin_data(struct leap_cmd *cmd, uint32_t len,
		      leap_status_t (*fill)(struct leap__ctrl *c,
					    struct leap_cmd *cmd,
					    uint8_t *buf));
void leap__cmd_copy_out(struct leap_cmd *cmd, uint32_t offset,
			const void *buf, uint32_t len);
void leap__cmd_zero_out(struct leap_cmd *cmd, uint32_t offset, uint32_t len);
void leap__cmd_copy_in(const struct leap_cmd *cmd, void *buf, uint32_t len);
struct leap__ctrl *leap__cmd_ctrl(const struct leap_cmd *cmd);

/* zns.c */
/* Does CC.CSS let the host see a namespace? */
int leap__zns_visible(const struct leap__ctrl *c, const struct leap__ns *ns);
void leap__zns_id_ns(const struct leap__ns *ns, uint8_t *buf);
void leap__zns_id_ctrl(const struct leap__ctrl *c, uint8_t *buf);
/* A zone is what its hosts do not expect. */
void leap__zns_changed(const struct leap__ns *ns, uint64_t zslba);
uint32_t leap__zns_event_nsid(const struct leap__ctrl *c);
void leap__zns_changed_log(struct leap__ctrl *c, uint32_t nsid, int forget,
			   uint8_t *buf);
void leap__zns_forget(struct leap__ctrl *c);

/* ocssd.c; 1: the command was taken */
int leap__ocssd_admin(struct leap__ctrl *c, struct leap_cmd *cmd);
int leap__ocssd_log(struct leap__ctrl *c, struct leap_cmd *cmd, uint32_t len);
int leap__ocssd_feature(struct leap__ctrl *c, struct leap_cmd *cmd);

/* identify.c, features.c, logs.c, aer.c, discovery.c */
void leap__admin_identify(struct leap__ctrl *c, struct leap_cmd *cmd);
void leap__admin_set_features(struct leap__ctrl *c, struct leap_cmd *cmd);
void leap__admin_get_features(struct leap__ctrl *c, struct leap_cmd *cmd);
void leap__features_reset(struct leap__ctrl *c);
uint32_t leap__features_effects(const struct leap__ctrl *c, uint32_t fid);
void leap__admin_get_log(struct leap__ctrl *c, struct leap_cmd *cmd);
void leap__error_log_add(struct leap__ctrl *c,
			 const struct leap_error_desc *e);
/* Critical warnings of SMART, LEAP_SMART_x. */
uint8_t leap__smart_warnings(const struct leap__ctrl *c);
void leap__error_arrived(struct leap__lmsg *m);
void leap__admin_aer(struct leap__ctrl *c, struct leap_cmd *cmd);
uint32_t leap__aer_oaes(const struct leap__ctrl *c);
void leap__aer_event(struct leap__ctrl *c, enum leap__event ev);
void leap__aer_unmask(struct leap__ctrl *c, enum leap__event ev);
void leap__aer_forget(struct leap__ctrl *c, leap_status_t status);
int leap__aer_abort(struct leap__ctrl *c, uint16_t cid);
void leap__aer_ns_changed(struct leap_subsystem *ss, uint32_t nsid);
/* Supported admin commands of a controller: effects, 0 = none. */
uint32_t leap__admin_effects(const struct leap__ctrl *c, uint32_t opc);
uint32_t leap__io_effects(const struct leap__ctrl *c, uint32_t csi,
			  uint32_t opc);
/* The discovery log as a host sees it, in the target's scratch. 0, -ENOMEM */
int leap__discovery_log(struct leap__ctrl *c, uint8_t **log, size_t *bytes);

#endif
