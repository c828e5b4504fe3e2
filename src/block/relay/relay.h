/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.h - what the files of a relay share
 *
 * relay.c is the layer: its options, the window, opening; look.c what the far
 * namespace is. link.c is one poll group's connection to the far end, and
 * outlives the channel that made it. command.c turns bios into commands, list.c
 * those whose payload carries LBAs, zones.c those of zones, fused.c pairs.
 */
#ifndef LEAP_BLOCK_RELAY_RELAY_H
#define LEAP_BLOCK_RELAY_RELAY_H

#include <stdbool.h>

#include <leapio/host.h>
#include <leapio/plugin/bdev_ops.h>
#include <leapio/pollgroup.h>
#include <leapio/relay.h>

/* What is to be known of the far namespace. */
struct leap__far {
	uint64_t nr_blocks;
	uint32_t block_bytes;
	uint32_t max_bytes;	/* of one command */
	uint32_t max_pieces;
	uint32_t caps;		/* LEAP_BDEV_* */
	/* Of one command of a kind; 65536 blocks is what a field can say. */
	uint32_t verify_blocks;
	uint32_t zeroes_blocks;
	uint32_t dsm_ranges;
	uint32_t dsm_range_blocks;
	uint64_t dsm_blocks;
	uint32_t copy_ranges;
	uint32_t copy_range_blocks;
	uint32_t copy_blocks;
	/* What cannot be carried. */
	uint32_t metadata_bytes;
	uint32_t pi_type;
	/* Zones; 0 blocks = it has none. */
	uint64_t zone_blocks;
	uint32_t max_active, max_open;
	uint32_t append_bytes;	/* 0 = no limit but max_bytes */
	uint32_t read_across;
	/* Open channel: what it answered when it was opened. */
	bool open_channel;
	uint8_t geometry[4096];
};

/* Says the new size on the control thread; may outlive the bdev. */
struct leap__relay_note {
	struct leap_msg msg;
	struct leap_bdev *bdev;	/* control thread's; NULL = closed */
	struct leap_pollgroup *pg;
	uint64_t nr_blocks;	/* atomic */
	uint32_t sent;		/* exchanged */
};

/* Of a bdev. Not changed once it is open, but for the counters. */
struct leap__relay {
	const char *name;	/* of the layer */
	const char *url, *hostnqn;
	void *dev;		/* ng.c's */
	struct leap__nvme *nvme;	/* nvme.c's: whose queues are lent */
	char *own_url;
	struct leap_target *target;
	uint64_t start, blocks;		/* window; 0 blocks = to the end */
	uint32_t nsid, nr_queues, depth, loss_ms, reconnect_ms;
	struct leap__far far;		/* as it was found */
	uint32_t shift;
	uint32_t max_blocks;		/* of a command with payload */
	struct leap__relay_note *note;
	/* Atomic. */
	uint32_t groups_live;
	uint64_t lost, reconnects, held, split, refused, bounced;
};

#define LEAP__RELAY_WIDES	4u
#define LEAP__RELAY_PIECES	1024u
#define LEAP__RELAY_RANGES	256u

/* A payload that carries LBAs: as it was read, once, and as it is sent. */
struct leap__relay_list {
	uint32_t nr;		/* 0 = not read yet */
	/* What is done; what will be after the command under way. */
	uint32_t at, next_at;
	uint32_t off, next_off;	/* blocks of range @at */
	struct {
		uint64_t block;
		uint32_t nr_blocks;
		uint32_t attr;	/* of dataset management */
	} from[LEAP__RELAY_RANGES];
	union {
		struct leap_dsm_range dsm[LEAP__RELAY_RANGES];
		struct leap_copy_range0 copy[LEAP__RELAY_RANGES];
	} to;
	uint8_t origin[LEAP__RELAY_RANGES];	/* of each: index of from */
};

/* What is asked of one zone after the other. */
#define LEAP__RELAY_ZONES	63u
struct leap__relay_zones {
	uint64_t started;	/* 0 = nothing was asked yet */
	uint64_t next;		/* where the next report begins, far away */
	uint64_t nr_all, nr_put;	/* of a report:
					 * in all, in the payload */
	uint32_t at, nr;	/* of a send: zones reported, and which */
	struct {
		struct leap_zone_report head;
		struct leap_zone_desc desc[LEAP__RELAY_ZONES];
	} report;		/* 4096 bytes, which every controller takes */
};

/* Of a compare-and-write: its write. */
struct leap__relay_fused {
	struct leap_req second;	/* first */
	struct leap__rbio *rbio;
	uint32_t out;		/* of the two */
};

/* Room for a command that cannot be sent as it came. */
union leap__relay_wide {
	struct leap__relay_fused fused;
	union leap__relay_wide *next;
	struct leap_piece pieces[LEAP__RELAY_PIECES];
	struct leap__relay_list list;
	struct leap__relay_zones zones;
};

/* The relay's scratch in a bio. */
struct leap__rbio {
	struct leap_req req;	/* first */
	struct leap_piece piece;	/* of a list */
	struct leap_bio *bio;
	struct leap__link *link;
	struct leap__rbio *next;	/* waits */
	union leap__relay_wide *wide;
	uint32_t lost;		/* link's, when it was sent */
	leap_status_t refused;	/* a write to a zone; it is compared now */
	uint8_t probe;		/* zones.c's: of a write in several parts */
	uint32_t blocks;	/* of the command under way */
	uint32_t done;		/* of those before it */
	uint64_t seq;		/* link's, when it came */
	bool let_go;		/* it ends with the command under way */
};

/* Of a channel. */
struct leap__link {
	struct leap_pollgroup *pg;
	struct leap__relay *relay;	/* NULL: the channel is closed */
	struct leap_host *host;	/* NULL: between two tries */
	struct leap__lease *lease;	/* host's */
	struct leap__ng *ng;	/* in place of a host */
	/* One command on its way: 1, 0 when there is no room, or an error of
	 * leap_host_submit. */
	int (*send)(struct leap__link *link, struct leap_req *req);
	/* Those on their way that leap__relay_has_to_go says so of end now, or
	 * when nothing of them can arrive any more. */
	void (*let_go)(struct leap__link *link);
	/* The same, of two that lie next to each other; NULL = none can. */
	int (*send_fused)(struct leap__link *link, struct leap_req *first,
			  struct leap_req *second);
	/* The same, of one with many addresses. */
	int (*send_lists)(struct leap__link *link, struct leap_req *req,
			  const struct leap_req_lists *lists);
	struct leap_timer timer;
	struct leap_msg work;
	bool work_sent;
	bool dead;		/* host has failed: close it */
	bool closing;		/* host is being closed */
	bool was_live;		/* this host */
	bool live;		/* counted in groups_live */
	bool refuses;		/* away for too long, or not what it was */
	bool unfit;
	uint32_t reconnect_ms;
	uint32_t last_queue;	/* that a command went to */
	uint32_t lost;		/* how often the connection was */
	uint64_t away_ns;	/* since when; 0 = it is there */
	struct leap__rbio *wait, **wait_tail;
	uint64_t seq;		/* of the bio that came last */
	/* Of those up to @go_upto, the ones in @go_buf (NULL = all) have to be
	 * back when the timer runs. */
	struct leap_timer go_timer;
	const struct leap_dmabuf *go_buf;
	uint64_t go_upto;	/* 0 = none */
	union leap__relay_wide *free_wides;
	union leap__relay_wide wides[LEAP__RELAY_WIDES];
};

/* What a geometry is asked with. */
struct leap__relay_ask {
	struct leap_req req;	/* first */
	struct leap_piece piece;
	struct leap__far *far;
	void (*done)(struct leap__relay_ask *ask);
};

/* A look under way. */
struct leap__relay_looking {
	struct leap_pollgroup *pg;
	struct leap_host *host;
	struct leap_msg work;
	struct leap__far far;
	struct leap__relay_ask ask;
	uint32_t nsid;
	int err;
	bool over;
	bool was_there;		/* but may have had no such namespace */
	void (*done)(struct leap__relay_looking *look);
};

/* look.c */
/* look->done follows; look->nsid and far are set then, or err. */
int leap__relay_look_start(struct leap__relay_looking *look,
			   struct leap_pollgroup *pg,
			   const struct leap__relay *relay);
/* Says what went wrong; look->err. */
int leap__relay_look_error(const struct leap__relay *relay,
			   const struct leap__relay_looking *look);
/* For stacks opened from text: in a poll group that lasts as long as that. */
int leap__relay_look_and_wait(const struct leap__relay *relay,
			      struct leap__far *far);
/* The far namespace as @host sees it. 0, -ENOENT */
int leap__relay_look(struct leap_host *host, uint32_t nsid,
		     struct leap__far *far);
void leap__relay_far(const struct leap_id_ctrl *id,
		     const struct leap_id_ctrl_nvm *nvm,
		     const struct leap_host_ns *ns, struct leap__far *far);
/* Can what was opened as @was be served by @now? */
bool leap__relay_fits(const struct leap__far *was, const struct leap__far *now);
void leap__relay_host_opts(const struct leap__relay *relay,
			   struct leap_host_opts *opts);

/* relay.c */
extern const struct leap_bdev_ops leap__relay_ops;
/* Of the options that every relay over a host end has. */
#define LEAP__RELAY_HELP \
	"nsid=N          which one there (1)\n" \
	"start=BLOCK     first block of the window (0)\n" \
	"blocks=N        blocks of the window (0: all)\n" \
	"queues=N        queue pairs of each thread (1)\n" \
	"depth=N         commands of each (128)\n" \
	"hostnqn=NQN     who we are there\n" \
	"loss_ms=N       how long commands wait for it (30000)\n" \
	"reconnect_ms=N  between two tries (1000)"
/* relay->far is known: can it be served, and what is the bdev then? */
int leap__relay_describe(struct leap_bdev *bdev, struct leap__relay *relay);
int leap__relay_opts(struct leap_bdev *bdev, struct leap__relay *relay);
int leap__relay_note_make(struct leap_bdev *bdev, struct leap__relay *relay);
void leap__relay_note_drop(struct leap__relay *relay);
int leap__relay_chan_open(struct leap_chan *chan);
void leap__relay_chan_close(struct leap_chan *chan);
void leap__relay_bio(struct leap_chan *chan, struct leap_bio *bio);
void leap__relay_chan_let_go(struct leap_chan *chan,
			     const struct leap_dmabuf *buf);

/* link.c */
struct leap__link *leap__relay_link_alloc(struct leap__relay *relay,
					  struct leap_pollgroup *pg);
int leap__relay_link_open(struct leap__relay *relay, struct leap_pollgroup *pg,
			  struct leap__link **out);
/* Takes the size in a note over, on its bdev's thread. */
void leap__relay_note_run(struct leap_msg *msg);
/* No bio is out. It goes in a later poll. */
void leap__relay_link_close(struct leap__link *link);

/* command.c */
void leap__relay_submit(struct leap__link *link, struct leap_bio *bio);
/* Round the queues; one that is full passes a command to the next. */
static inline uint32_t leap__relay_next_queue(struct leap__link *link,
					      uint32_t nr_queues)
{
	if (link->last_queue >= nr_queues)
		link->last_queue = 0;
	return ++link->last_queue;
}

int leap__relay_host_send(struct leap__link *link, struct leap_req *req);
int leap__relay_host_send_fused(struct leap__link *link, struct leap_req *first,
				struct leap_req *second);
/* What the answer of the far end is here. */
leap_status_t leap__relay_answer(const struct leap_req *req);
/* A bio ends, outside of submit: others may go. */
void leap__relay_end(struct leap__rbio *r, leap_status_t status);
/* Send what waits, as far as it goes; or fail it. */
void leap__relay_drive(struct leap__link *link);
void leap__relay_refuse(struct leap__link *link);
/* As leap_bdev_ops.let_go. */
void leap__relay_let_go(struct leap__link *link, const struct leap_dmabuf *buf);
bool leap__relay_has_to_go(struct leap_req *req, void *arg);
void leap__relay_host_let_go(struct leap__link *link);

/* list.c; r->wide is there */
static inline bool leap__relay_has_list(const struct leap_bio *bio)
{
	return bio->op == LEAP_BIO_RANGES || bio->op == LEAP_BIO_DISCARD ||
	       bio->op == LEAP_BIO_COPY;
}
/* The next command of r->bio, but for opcode and NSID, into r->req. */
leap_status_t leap__relay_list_make(struct leap__rbio *r);
/* It has ended well: true when nothing is left to do. */
bool leap__relay_list_next(struct leap__rbio *r);
/* It has failed: the range of the bio that the command means. */
uint32_t leap__relay_list_failed(const struct leap__rbio *r);

/* fused.c; r->wide is there. As leap__link.send */
int leap__relay_fused_send(struct leap__rbio *r);
/* Whose request it is, the second half's too. */
struct leap__rbio *leap__relay_rbio(struct leap_req *req);

/* vector.c: open channel; as leap__link.send */
int leap__relay_vector_send(struct leap__rbio *r);
int leap__relay_host_send_lists(struct leap__link *link, struct leap_req *req,
				const struct leap_req_lists *lists);
/* Geometry asked of a host that is live: 0, or -errno and @done does not run.
 * It may turn out that there is none. */
int leap__relay_ask_geometry(struct leap_host *host, uint32_t nsid,
			     struct leap__far *far,
			     struct leap__relay_ask *ask,
			     void (*done)(struct leap__relay_ask *ask));
leap_status_t leap__relay_admin(struct leap_bdev *bdev,
				struct leap_bdev_admin *a);

/* zones.c */
/* In open: what the zones of the window are. 0, -EINVAL, -EOPNOTSUPP */
int leap__relay_zones_open(struct leap_bdev *bdev,
			   const struct leap__relay *relay);
static inline bool leap__relay_is_zone(const struct leap_bio *bio)
{
	return bio->op >= LEAP_BIO_ZONE_APPEND &&
	       bio->op <= LEAP_BIO_ZONE_REPORT;
}
/* Does it need r->wide? */
bool leap__relay_zone_walks(const struct leap__rbio *r);
/* The next command of r->bio into r->req. */
void leap__relay_zone_make(struct leap__rbio *r);
/* It has ended with *@status: true when there is another one, else *@status is
 * that of the bio. */
bool leap__relay_zone_next(struct leap__rbio *r, leap_status_t *status);
/*
 * A write has ended. True: the zone has refused it, but it was sent again after
 * a lost connection, so r->refused has to be looked at: compare first.
 */
bool leap__relay_zone_compare(struct leap__rbio *r, leap_status_t *status);
/*
 * A write in several parts must not be done by half because its zone is too
 * short for the rest: before the first one the zone is looked at. Called with
 * r->wide: true when that is what the next command is; and when it has ended.
 */
bool leap__relay_zone_probe(struct leap__rbio *r);
bool leap__relay_zone_probed(struct leap__rbio *r, leap_status_t *status);

#endif
