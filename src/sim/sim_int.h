/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_int.h - what the parts of the simulator share
 */
#ifndef LEAP_SIM_INT_H
#define LEAP_SIM_INT_H

#include "core/io/world.h"
#include "sim/sim.h"

#include <stdbool.h>
#include <stdint.h>

#define SIM_SECTOR 512u

/* Something that will happen; embedded in what it happens to. */
struct sim_event {
	uint64_t at_ns;
	uint64_t seq;
	size_t pos;		/* in the heap, one-based; 0 = not queued */
	void (*run)(struct leap_sim *sim, struct sim_event *ev);
};

struct sim_queue {
	struct leap__io *head, **tail;
};

struct sim_world {
	struct leap__world w;
	struct leap_sim *sim;
	struct leap_pollgroup *pg;	/* polled by the simulator; or NULL */
	int process;
	uint32_t id;
	bool dead;
	bool awake;
	bool waiting;		/* inside leap_pollgroup_wait */
	uint64_t deadline_ns;	/* wakes up at, while asleep */
	struct sim_queue done;
	uint32_t nr_done;
	struct sim_fd *fds;	/* newest first */
	struct sim_world *next;	/* of the simulator, newest first */
};

enum sim_fd_kind { SIM_STREAM, SIM_LISTENER, SIM_FILE };

struct sim_fd {
	struct leap__wfd wfd;
	enum sim_fd_kind kind;
	uint32_t id;
	struct sim_fd *next, **prev;	/* of the world */
	struct sim_queue rx, tx;
	/* stream */
	struct sim_conn *conn;
	int side;
	struct sim_syn *syn;		/* connecting */
	struct sim_fd *backlog;		/* next in an accept queue */
	/* listener */
	int family;
	uint16_t port;
	char path[108];
	struct sim_fd *accepts, **accepts_tail;
	struct sim_fd *next_listener;
	/* file */
	struct sim_disk *disk;
	bool locked;
	bool writable;
	struct sim_dio *dios;
};

struct leap_sim {
	struct leap__sim_head head;	/* first: the library calls it */
	struct leap_sim_opts opts;
	uint64_t now_ns;
	uint64_t rng;
	uint64_t hash;
	uint64_t seq;
	uint32_t next_id;
	uint16_t next_port;
	int process;
	bool stopped[LEAP_SIM_PROCESSES];
	bool held[LEAP_SIM_PROCESSES][LEAP_SIM_PROCESSES];
	uint32_t corrupt[LEAP_SIM_PROCESSES];	/* of 1000 */
	size_t corrupt_bytes;
	uint64_t cut_after[LEAP_SIM_PROCESSES];	/* bytes + 1; 0 = never */
	struct sim_event **heap;
	size_t nr_events, max_events;
	struct sim_world *worlds;
	struct sim_world *polled;	/* whose callbacks run now */
	struct sim_fd *listeners;
	struct sim_conn *conns;
	struct sim_syn *syns;
	struct sim_disk *disks;
};

/* sim.c */
void sim_schedule(struct leap_sim *sim, struct sim_event *ev, uint64_t delay_ns,
		  void (*run)(struct leap_sim *sim, struct sim_event *ev));
void sim_unschedule(struct leap_sim *sim, struct sim_event *ev);
uint64_t sim_between(struct leap_sim *sim, uint64_t min, uint64_t max);
bool sim_chance(struct leap_sim *sim, uint32_t of_1000);
void sim_trace(struct leap_sim *sim, const char *what, uint64_t a, uint64_t b,
	       const void *data, size_t bytes);
/* One thing: a poll, or the step to the next event. False: all is quiet. */
bool sim_step(struct leap_sim *sim, uint64_t until_ns);
/* Memory cannot run out in a simulated world: the test ends. */
void *sim_alloc(size_t bytes);
void *sim_realloc(void *p, size_t bytes);

/* world_sim.c */
int sim_world_create(struct leap_sim *sim, struct leap__world **out);
void sim_world_kill(struct sim_world *w);
void sim_done(struct sim_world *w, struct leap__io *io, int64_t res);
struct sim_fd *sim_fd_new(struct sim_world *w, enum sim_fd_kind kind);
void sim_fd_move(struct sim_fd *f, struct sim_world *w);
void sim_fd_free(struct sim_fd *f);
void simq_init(struct sim_queue *q);
void simq_push(struct sim_queue *q, struct leap__io *io);
struct leap__io *simq_pop(struct sim_queue *q);
bool simq_del(struct sim_queue *q, struct leap__io *io);

static inline struct sim_world *sim_world(struct leap__world *w)
{
	return (struct sim_world *)w;
}

static inline struct sim_fd *sim_fd(struct leap__wfd *f)
{
	return (struct sim_fd *)f;
}

static inline struct sim_world *sim_fd_world(struct sim_fd *f)
{
	return (struct sim_world *)f->wfd.world;
}

/* sim_net.c */
void sim_net_try(struct sim_world *w, struct sim_fd *f);
void sim_net_close(struct sim_fd *f);
void sim_net_free(struct leap_sim *sim);
int sim_net_peer_closed(struct sim_fd *f);
int sim_net_peer(struct sim_fd *f);

/* sim_connect.c */
int sim_net_listen(struct sim_world *w, const struct sockaddr *addr,
		   socklen_t len, struct sim_fd **out);

/* sim_disk.c */
int sim_disk_open(struct sim_world *w, const char *path, uint32_t flags,
		  uint64_t create_bytes, struct sim_fd **out);
void sim_disk_submit(struct sim_world *w, struct leap__io *io);
void sim_disk_cancel(struct sim_world *w, struct leap__io *io);
void sim_disk_close(struct sim_fd *f);
void sim_disk_free(struct leap_sim *sim);
uint64_t sim_disk_bytes(const struct sim_disk *d);
int sim_disk_resize(struct sim_disk *d, uint64_t bytes);
struct sim_fd *sim_disk_share(struct sim_world *w, struct sim_fd *f);

#endif
