/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leapio/lend.h>
#include <leapio/nvmf.h>
#include <leapio/vdev.h>

#include "../unit/fake-verbs.h"
#include "transport/rdma/group.h"
#include "util/atomic.h"

#define MAX_THREADS 4
#define SHARED 48	/* receives of all queues, under rdma-srq */

struct thread {
	struct rig_server *s;
	pthread_t id;
	struct leap_pollgroup *pg;
	struct leap_msg msg;
	unsigned int index;
	uint32_t ready;		/* shared */
	uint32_t stop;		/* shared */
	uint32_t idle;		/* shared */
	uint32_t die;		/* shared */
};

struct rig_server {
	struct thread thread[MAX_THREADS];	/* [0] is home */
	unsigned int nr_threads;
	/* "vdev": home is the hosts' group, on the caller's thread. */
	struct leap_pollgroup *here;
	struct leap_vdev *vdev;
	struct leap_lender *lender;	/* "lent": queue pairs of vdev */
	int is_lent;
	const char *kind;
	uint32_t mdts_bytes;
	struct leap_target *target;
	struct leap_listener *listener;
	char url[200];
	char path[64];
	struct fake_fabric *fabric;	/* on_rdma */
	int is_far;
	struct rig_server *far;		/* "relay": what stands behind it */
	int pending;
	int err;
	uint32_t up;		/* shared */
	uint32_t gone;		/* shared */
};

static void fail(struct rig_server *s, int err, const char *what)
{
	if (err == -EPROTONOSUPPORT || s->err)
		return;
	fprintf(stderr, "%s: %s: %s\n", s->kind, what, leap_last_error());
}

static void *run(void *arg)
{
	struct thread *t = arg;
	int i;

	if (leap_pollgroup_create(NULL, &t->pg))
		t->pg = NULL;
	if (t->pg && t->s->fabric)
		leap__rdma_use(t->pg, &t->s->fabric->v);
	leap__store_release(&t->ready, 1u);
	while (t->pg && !leap__load_acquire(&t->stop))
		leap_pollgroup_wait(t->pg, 10000000);
	/* Nobody may still be sending to a group that goes. */
	leap__store_release(&t->idle, 1u);
	while (!leap__load_acquire(&t->die))
		usleep(1000);
	/* A relay takes its leave of the far end. */
	for (i = 0; i < 500 && leap_pollgroup_destroy(t->pg) == -EBUSY; i++)
		leap_pollgroup_wait(t->pg, 10000000);
	if (i == 500)
		fprintf(stderr, "thread %u: poll group still in use\n",
			t->index);
	return NULL;
}

static void added(int err, void *arg)
{
	struct rig_server *s = arg;

	if (err) {
		s->err = err;
		fprintf(stderr, "namespace: %s\n", strerror(-err));
	}
	if (!--s->pending)
		leap__store_release(&s->up, 1u);
}

static int add_ns(struct rig_server *s, struct leap_subsystem *ss,
		  uint32_t nsid, uint32_t lba_bytes, uint32_t read_only)
{
	struct leap_ns_opts o = LEAP_NS_OPTS_INIT;
	char stack[512] = "memory:16M";
	int err;

	if (nsid == 4)
		snprintf(stack, sizeof(stack), "zoned:1M[zone=64K,cap=48K,"
			 "max_active=5,max_open=3,append=16K,across=off,"
			 "readonly=14,offline=15]");

	if (s->far)
		snprintf(stack, sizeof(stack), "relay:\"%s/%s\"[nsid=%u,"
			 "queues=2]", s->far->url, RIG_NQN, nsid);
	o.nsid = nsid;
	/* The far end's as well: a pair is atomic for a block of its own. */
	o.block_bytes = lba_bytes;
	o.read_only = !s->is_far && read_only;
	err = leap_bdev_open(s->thread[0].pg, stack, &o.bdev);
	if (!err)
		err = leap_ns_add(ss, &o, added, s);
	if (err > 0)
		s->pending++;
	return err > 0 ? 0 : err;
}

static int on_vdev(const struct rig_server *s)
{
	return !strcmp(s->kind, "vdev");
}

/* A drive behind registers: one controller, and nothing that discovers it. */
static int registers(const struct rig_server *s)
{
	return !strcmp(s->kind, "vfio-user") || !strcmp(s->kind, "lent") ||
	       on_vdev(s);
}

static void on_lender(struct leap_lender *lender, enum leap_lender_state state,
		      int err, void *arg)
{
	struct rig_server *s = arg;

	(void)lender;
	if (s->is_lent)
		return;
	s->is_lent = 1;
	added(state == LEAP_LENDER_LIVE ? 0 : err ? err : -EIO, s);
}

/* The drive is the home thread's; the host borrows from it. */
static int lend(struct rig_server *s, struct leap_subsystem *ss)
{
	struct leap_lender_opts o = LEAP_LENDER_OPTS_INIT;
	int err = leap_vdev_create(ss, NULL, &s->vdev);

	o.url = "vdev://rig/" RIG_NQN;
	o.vdev = s->vdev;
	o.path = s->path;
	o.changed = on_lender;
	o.arg = s;
	snprintf(s->url, sizeof(s->url), "lent:%s", s->path);
	if (!err)
		err = leap_lender_create(s->thread[0].pg, &o, &s->lender);
	if (!err)
		s->pending++;
	return err;
}

static int on_loop(const struct rig_server *s)
{
	return !strcmp(s->kind, "loop") || !strcmp(s->kind, "relay");
}

static int on_rdma(const char *kind)
{
	return !strcmp(kind, "rdma") || !strcmp(kind, "rdma-srq");
}

static int listen_on(struct rig_server *s, struct leap_subsystem *ss)
{
	struct leap_listener_opts o = LEAP_LISTENER_OPTS_INIT;
	int err;

	if (on_vdev(s)) {
		snprintf(s->url, sizeof(s->url), "vdev://rig");
		return leap_vdev_create(ss, NULL, &s->vdev);
	}
	if (!strcmp(s->kind, "lent"))
		return lend(s, ss);
	o.url = s->url;
	o.srq = strcmp(s->kind, "rdma-srq") ? 0 : SHARED;
	if (on_loop(s))
		snprintf(s->url, sizeof(s->url), "loop://");
	else if (!strcmp(s->kind, "tcp"))
		snprintf(s->url, sizeof(s->url), "tcp://127.0.0.1:0");
	else if (on_rdma(s->kind))
		snprintf(s->url, sizeof(s->url), "rdma://127.0.0.1:0");
	else if (!strcmp(s->kind, "shm"))
		snprintf(s->url, sizeof(s->url), "shm:%s", s->path);
	else
		snprintf(s->url, sizeof(s->url), "%s:%s/" RIG_NQN, s->kind,
			 s->path);
	err = leap_listener_create(s->target, &o, &s->listener);
	if (err)
		return err;
	if (on_loop(s))
		snprintf(s->url, sizeof(s->url), "loop://leapio");
	else if (!registers(s))
		snprintf(s->url, sizeof(s->url), "%s",
			 leap_listener_url(s->listener));
	else
		snprintf(s->url, sizeof(s->url), "%s:%s", s->kind, s->path);
	return 0;
}

/* On the home thread. */
static int serve(struct rig_server *s)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_target_opts to = LEAP_TARGET_OPTS_INIT;
	struct leap_subsystem *ss;
	unsigned int i;
	int err;

	to.mdts_bytes = s->mdts_bytes;
	err = leap_target_create(s->thread[0].pg, &to, &s->target);
	for (i = 1; !err && i < s->nr_threads; i++)
		err = leap_target_add_group(s->target, s->thread[i].pg);
	so.nqn = RIG_NQN;
	so.allow_any_host = 1;
	so.max_nsid = 64;
	if (!err)
		err = leap_subsystem_create(s->target, &so, &ss);
	s->pending = 1;
	if (!err)
		err = add_ns(s, ss, 1, 512, 0);
	if (!err)
		err = add_ns(s, ss, 2, 4096, 0);
	if (!err)
		err = add_ns(s, ss, 3, 512, 1);
	if (!err)
		err = add_ns(s, ss, 4, 4096, 0);
	return err ? err : listen_on(s, ss);
}

static void serve_msg(struct leap_msg *msg)
{
	struct thread *t = (struct thread *)(void *)
		((char *)msg - offsetof(struct thread, msg));
	int err = serve(t->s);

	if (err) {
		fail(t->s, err, "target");
		t->s->err = err;
	}
	added(0, t->s);
}

static void target_gone(void *arg)
{
	struct rig_server *s = arg;

	leap__store_release(&s->gone, 1u);
}

static void vdev_gone(void *arg)
{
	struct rig_server *s = arg;

	if (s->target)
		leap_target_destroy(s->target, target_gone, s);
	else
		target_gone(s);
}

static void lender_gone(void *arg)
{
	struct rig_server *s = arg;

	if (s->vdev)
		leap_vdev_destroy(s->vdev, vdev_gone, s);
	else
		vdev_gone(s);
}

static void end_msg(struct leap_msg *msg)
{
	struct thread *t = (struct thread *)(void *)
		((char *)msg - offsetof(struct thread, msg));

	if (t->s->lender)
		leap_lender_destroy(t->s->lender, lender_gone, t->s);
	else
		lender_gone(t->s);
}

/* A millisecond, in which a target on this thread goes on. */
static void pass(struct rig_server *s)
{
	if (s->here)
		leap_pollgroup_wait(s->here, 1000000);
	else
		usleep(1000);
}

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
{
	int *state = arg;

	(void)qp;
	*state = !status ? 1 : -1;
	if (status)
		fprintf(stderr, "connect: %s (%d)\n", leap_status_str(status),
			sys_errno);
}

static int wait_flag(struct rig *rig, const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(rig->pg);

	while (!*flag) {
		leap_pollgroup_wait(rig->pg, 1000000);
		if (leap_pollgroup_now_ns(rig->pg) - from > 120000000000ull)
			return -ETIMEDOUT;
	}
	return 0;
}

static int connect_qp(struct rig *rig, const char *nqn, uint16_t qid,
		      uint16_t cntlid, struct leap_qp **qp)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	char url[400];
	int state = 0, err;

	snprintf(url, sizeof(url), "%s/%s", rig->server->url, nqn);
	o.url = url;
	o.hostnqn = RIG_HOST;
	memset(o.hostid, 1, sizeof(o.hostid));
	o.qid = qid;
	o.cntlid = cntlid;
	o.target = rig->server->target;
	o.vdev = rig->server->vdev;
	o.inline_bytes = 8192;
	o.connected = on_connected;
	o.arg = &state;
	err = leap_qp_connect(rig->pg, &o, qp);
	if (err) {
		fprintf(stderr, "%s\n", leap_last_error());
		return err;
	}
	err = wait_flag(rig, &state);
	return err ? err : state < 0 ? -ECONNREFUSED : 0;
}

static int enable(struct rig *rig, struct leap_qp *qp)
{
	struct leap_fab_prop_set set = { 0 };
	struct rig_req r = { 0 };

	set.opc = LEAP_ADM_FABRICS;
	set.fctype = LEAP_FCTYPE_PROP_SET;
	set.ofst = leap_to_le32(LEAP_REG_CC);
	set.value = leap_to_le64(0x00460061);
	memcpy(&r.req.sqe, &set, sizeof(set));
	return rig_run(rig, qp, &r, NULL, 0);
}

static int connect_all(struct rig *rig, unsigned int nr_io)
{
	struct leap_qp_info info = { .size = sizeof(info) };
	unsigned int i;
	int err = 0;

	if (!registers(rig->server))
		err = connect_qp(rig, LEAP_NQN_DISCOVERY, 0, 0, &rig->disc);
	if (!err && rig->disc)
		err = enable(rig, rig->disc);
	if (!err)
		err = connect_qp(rig, RIG_NQN, 0, 0, &rig->admin);
	if (!err)
		err = enable(rig, rig->admin);
	if (err)
		return err;
	leap_qp_info(rig->admin, &info);
	for (i = 0; i < nr_io && !err; i++) {
		err = connect_qp(rig, RIG_NQN, (uint16_t)(i + 1), info.cntlid,
				 &rig->io[i]);
		rig->nr_io = i + 1;
	}
	return err;
}

static int start_threads(struct rig_server *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_threads; i++) {
		s->thread[i].s = s;
		s->thread[i].index = i;
		if (!i && s->here) {
			s->thread[i].pg = s->here;
			continue;
		}
		if (pthread_create(&s->thread[i].id, NULL, run, &s->thread[i]))
			return -EAGAIN;
		while (!leap__load_acquire(&s->thread[i].ready))
			usleep(1000);
		if (!s->thread[i].pg)
			return -ENOMEM;
	}
	return 0;
}

static int start_server(const char *kind, unsigned int nr_groups,
			uint32_t mdts_bytes, struct rig_server *far,
			struct leap_pollgroup *pg, struct rig_server **out)
{
	struct rig_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	*out = s;
	s->kind = kind;
	s->far = far;
	if (on_vdev(s))
		s->here = pg;
	s->nr_threads = 1 + nr_groups;
	s->mdts_bytes = mdts_bytes;
	if (on_rdma(kind))
		s->fabric = fake_fabric_create();
	snprintf(s->path, sizeof(s->path), "/tmp/leap-conf-%d.sock",
		 (int)getpid());
	err = start_threads(s);
	return err;
}

static int run_server(struct rig_server *s)
{
	s->thread[0].msg.run = serve_msg;
	leap_pollgroup_send(s->thread[0].pg, &s->thread[0].msg);
	while (!leap__load_acquire(&s->up))
		pass(s);
	return s->err;
}

int rig_start(struct rig *rig, const char *kind, unsigned int nr_io,
	      unsigned int nr_groups, uint32_t mdts_bytes)
{
	struct rig_server *far = NULL;
	int err = 0;

	memset(rig, 0, sizeof(*rig));
	if (!strcmp(kind, "relay")) {
		/* Smaller commands than the near end takes. */
		err = start_server("tcp", 0, mdts_bytes / 4, NULL, NULL,
				   &far);
		if (!err) {
			far->is_far = 1;
			err = run_server(far);
		}
	}
	rig->far = far;
	if (!err)
		err = leap_pollgroup_create(NULL, &rig->pg);
	if (!err)
		err = start_server(kind, nr_groups, mdts_bytes, far, rig->pg,
				   &rig->server);
	if (!err && rig->server->fabric)
		err = leap__rdma_use(rig->pg, &rig->server->fabric->v);
	if (!err)
		err = run_server(rig->server);
	if (!err)
		rig->registers = registers(rig->server);
	rig->lent = !strcmp(kind, "lent");
	return err ? err : connect_all(rig, nr_io);
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static int close_qp(struct rig *rig, struct leap_qp *qp)
{
	int closed = 0;

	if (!qp)
		return 0;
	leap_qp_close(qp, set_flag, &closed);
	return wait_flag(rig, &closed);
}

static unsigned int stop_server(struct rig_server *s)
{
	unsigned int i, bad, first;

	if (!s)
		return 0;
	first = s->here ? 1 : 0;
	s->thread[0].msg.run = end_msg;
	leap_pollgroup_send(s->thread[0].pg, &s->thread[0].msg);
	for (i = 0; i < 10000 && !leap__load_acquire(&s->gone); i++)
		pass(s);
	bad = i == 10000;
	for (i = first; i < s->nr_threads; i++)
		leap__store_release(&s->thread[i].stop, 1u);
	for (i = first; i < s->nr_threads; i++)
		while (!leap__load_acquire(&s->thread[i].idle))
			usleep(1000);
	for (i = first; i < s->nr_threads; i++) {
		leap__store_release(&s->thread[i].die, 1u);
		pthread_join(s->thread[i].id, NULL);
	}
	unlink(s->path);
	return bad;
}

/* When nobody uses them any more. */
static unsigned int free_server(struct rig_server *s)
{
	unsigned int bad = s && s->fabric ? fake_fabric_destroy(s->fabric) : 0;

	free(s);
	return bad;
}

int rig_stop(struct rig *rig)
{
	unsigned int i, bad = 0;

	for (i = 0; i < rig->nr_io; i++)
		bad += close_qp(rig, rig->io[i]) != 0;
	bad += close_qp(rig, rig->admin) != 0;
	bad += close_qp(rig, rig->disc) != 0;
	bad += stop_server(rig->server);
	bad += stop_server(rig->far);
	bad += rig->pg && leap_pollgroup_destroy(rig->pg) != 0;
	bad += free_server(rig->server);
	bad += free_server(rig->far);
	return (int)bad;
}

static void on_done(struct leap_req *req)
{
	((struct rig_req *)req)->done = 1;
}

void rig_prepare(struct rig_req *r, void *buf, uint32_t len)
{
	r->req.done = on_done;
	r->piece.addr = buf;
	r->piece.len_bytes = len;
	r->req.pieces = &r->piece;
	r->req.nr_pieces = len ? 1 : 0;
	r->done = 0;
}

int rig_run_all(struct rig *rig, struct leap_qp *qp, struct rig_req *const *r,
		unsigned int n)
{
	struct leap_req *reqs[2] = { NULL };
	unsigned int i;
	int taken, err = 0;

	for (i = 0; i < n; i++)
		reqs[i] = &r[i]->req;
	taken = leap_qp_submit(qp, reqs, n);
	if (taken != (int)n)
		return taken < 0 ? taken : -EAGAIN;
	leap_qp_kick(qp);
	for (i = 0; i < n && !err; i++)
		err = wait_flag(rig, &r[i]->done);
	return err;
}

int rig_run(struct rig *rig, struct leap_qp *qp, struct rig_req *r, void *buf,
	    uint32_t len)
{
	rig_prepare(r, buf, len);
	return rig_run_all(rig, qp, &r, 1);
}
