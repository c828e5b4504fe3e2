/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host at the limits: its completion ring is full, while it has more commands
 * under way than the ring has entries, and at the other end none gets lost,
 * whatever else has run out there; it gives more memory than there is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/nvmf.h>

#include "core/io/ring.h"
#include "serve.h"
#include "transport/shm/proto.h"
#include "util/maplimit.h"

#define NQN	"nqn.2026-01.org.example:limits"
#define DEPTH	4u
#define CMDS	4u	/* of the poll group: fewer than are under way */

struct w {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	char path[64];
	int fd;
	uint8_t *base;
	struct leap__sqp sqp;
	struct leap__cqc cqc;
	uint32_t sent, answered;
	int quiet;		/* nothing is said on the socket */
};

static void polls(struct w *w)
{
	int i;

	for (i = 0; i < 50; i++)
		leap_pollgroup_poll(w->pg, 0);
}

static struct leap__shm_msg message(enum leap__shm_type type)
{
	return (struct leap__shm_msg){
		.magic = leap_to_le32(LEAP__SHM_MAGIC),
		.version = leap_to_le16(LEAP__SHM_VERSION),
		.type = leap_to_le16((uint16_t)type),
	};
}

/* @pass: a descriptor, or -1. */
static void say(struct w *w, const struct leap__shm_msg *msg, int pass)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = { { 0 } };
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (pass >= 0) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = sizeof(ctl.buf);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &pass, sizeof(int));
	}
	assert_int_equal(sendmsg(w->fd, &mh, MSG_NOSIGNAL), sizeof(*msg));
}

static void kick(struct w *w)
{
	struct leap__shm_msg msg = message(LEAP__SHM_KICK);

	say(w, &msg, -1);
}

/* The error of its answer. */
static uint32_t ask(struct w *w, const struct leap__shm_msg *msg, int pass)
{
	struct leap__shm_msg got;

	say(w, msg, pass);
	polls(w);
	assert_int_equal(recv(w->fd, &got, sizeof(got), MSG_WAITALL),
			 sizeof(got));
	assert_int_equal(leap_from_le16(got.type),
			 leap_from_le16(msg->type) + 1);
	return leap_from_le32(got.err);
}

static int memory(uint64_t bytes)
{
	int fd = memfd_create("limits", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	return fd;
}

static void set_up_rings(struct w *w)
{
	struct leap__ring_opts sq = {
		.entries = w->base + LEAP__SHM_SQ, .size = DEPTH,
		.doorbell = (leap_le32 *)(void *)(w->base + LEAP__SHM_SQ_TAIL),
		.eventidx = (leap_le32 *)(void *)(w->base +
						  LEAP__SHM_SQ_EVENTIDX),
	};
	struct leap__ring_opts cq = {
		.entries = w->base + leap__shm_cq(DEPTH), .size = DEPTH,
		.doorbell = (leap_le32 *)(void *)(w->base + LEAP__SHM_CQ_HEAD),
		.eventidx = (leap_le32 *)(void *)(w->base +
						  LEAP__SHM_CQ_EVENTIDX),
	};

	assert_int_equal(leap__sqp_init(&w->sqp, &sq), 0);
	assert_int_equal(leap__cqc_init(&w->cqc, &cq), 0);
}

static void attach(struct w *w)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	uint64_t bytes = leap__shm_bytes(DEPTH);
	struct leap__shm_msg hello = message(LEAP__SHM_HELLO);
	int mem = memory(bytes);

	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, w->path);
	assert_int_equal(connect(w->fd, (struct sockaddr *)&addr,
				 sizeof(addr)), 0);
	w->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	assert_true(w->base != MAP_FAILED);
	set_up_rings(w);
	hello.depth = leap_to_le32(DEPTH);
	hello.bytes = leap_to_le64(bytes);
	assert_int_equal(ask(w, &hello, mem), 0);
	close(mem);
}

/* Takes what is there; is the other end to be kicked for it? */
static int reap(struct w *w)
{
	struct leap__cqe cqe;

	while (leap__cqc_next(&w->cqc, &cqe)) {
		assert_int_equal(cqe.status, 0);
		w->answered++;
	}
	return leap__cqc_ring(&w->cqc);
}

/* Every entry is taken before the next one is there, whether it is answered or
 * not: SQHD, which comes with the answers, is too late. */
static void push(struct w *w, const void *sqe)
{
	w->sqp.head = w->sqp.tail;
	assert_int_equal(leap__sqp_push(&w->sqp, sqe), 0);
	if (leap__sqp_ring(&w->sqp) && !w->quiet)
		kick(w);
	w->sent++;
	polls(w);
}

static void send_connect(struct w *w)
{
	uint64_t at = leap__shm_chunk(DEPTH, 0);
	struct leap_connect_data *data =
		(struct leap_connect_data *)(void *)(w->base + at);
	struct leap_fab_connect c = {
		.opc = LEAP_ADM_FABRICS, .flags = LEAP_SQE_PSDT_SGL,
		.fctype = LEAP_FCTYPE_CONNECT,
		.sqsize = leap_to_le16(DEPTH - 1),
	};

	c.sgl1.addr = leap_to_le64(at);
	c.sgl1.len = leap_to_le32(sizeof(*data));
	c.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_ADDRESS);
	data->hostid[0] = 1;
	data->cntlid = leap_to_le16(0xffff);
	strcpy(data->subnqn, NQN);
	strcpy(data->hostnqn, "nqn.2026-01.org.example:host");
	push(w, &c);
}

static void connect_queue(struct w *w)
{
	send_connect(w);
	while (!w->answered) {
		polls(w);
		if (reap(w))
			kick(w);
	}
}

/* One that is answered at once: Property Get of CSTS. */
static void send_one(struct w *w)
{
	struct leap_fab_sqe sqe = {
		.opc = LEAP_ADM_FABRICS, .flags = LEAP_SQE_PSDT_SGL,
		.fctype = LEAP_FCTYPE_PROP_GET,
	};
	const uint32_t csts = LEAP_REG_CSTS;
	uint8_t raw[64];

	memcpy(raw, &sqe, sizeof(raw));
	memcpy(raw + 44, &csts, sizeof(csts));
	push(w, raw);
}

static int set_up_attached(void **state)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct w *w = calloc(1, sizeof(*w));
	char url[80];

	po.nr_cmds = CMDS;
	assert_int_equal(leap_pollgroup_create(&po, &w->pg), 0);
	assert_int_equal(leap_target_create(w->pg, NULL, &w->target), 0);
	serve_subsystem(w->target, NQN);
	snprintf(w->path, sizeof(w->path), "/tmp/leap-shm-limits-%d.sock",
		 (int)getpid());
	snprintf(url, sizeof(url), "shm:%s", w->path);
	serve_at(w->target, url);
	attach(w);
	*state = w;
	return 0;
}

static int set_up(void **state)
{
	set_up_attached(state);
	connect_queue(*state);
	return 0;
}

static int tear_down(void **state)
{
	struct w *w = *state;

	close(w->fd);
	munmap(w->base, leap__shm_bytes(DEPTH));
	if (w->target)
		serve_stop(w->pg, w->target);
	while (leap_pollgroup_destroy(w->pg))
		leap_pollgroup_poll(w->pg, 0);
	unlink(w->path);
	free(w);
	return 0;
}

static void send_many(struct w *w, uint32_t n)
{
	while (n--)
		send_one(w);
}

static void test_full(void **state)
{
	struct w *w = *state;
	uint32_t i;

	/* The ring, and one that finds it full. */
	send_many(w, DEPTH);
	assert_int_equal(w->answered, 1);
	for (i = 0; i < 10 && w->answered < w->sent; i++) {
		if (reap(w))
			kick(w);
		polls(w);
	}
	assert_int_equal(w->answered, w->sent);
}

/* All that the poll group has waits for room in the ring. */
static void test_full_and_starved(void **state)
{
	struct w *w = *state;
	uint32_t i;

	send_many(w, DEPTH - 1 + CMDS + 2);
	for (i = 0; i < 10 && w->answered < w->sent; i++) {
		if (reap(w))
			kick(w);
		polls(w);
	}
	assert_int_equal(w->answered, w->sent);
}

/* The same, and the other end has gone to sleep over it. */
static void test_full_and_asleep(void **state)
{
	struct w *w = *state;
	uint32_t before;

	send_many(w, DEPTH - 1 + CMDS + 2);
	while (leap_pollgroup_arm(w->pg))
		polls(w);
	assert_true(reap(w));
	kick(w);
	polls(w);
	before = w->answered;
	reap(w);
	assert_true(w->answered > before);
}

static uint32_t add(struct w *w, uint32_t region, uint64_t bytes)
{
	struct leap__shm_msg msg = message(LEAP__SHM_MEM_ADD);
	int mem = memory(bytes);
	uint32_t err;

	msg.region = leap_to_le32(region);
	msg.bytes = leap_to_le64(bytes);
	err = ask(w, &msg, mem);
	close(mem);
	return err;
}

/* Files have any length; addresses of that process are for others too. */
static void test_more_than_there_is(void **state)
{
	struct w *w = *state;
	uint64_t most = leap__map_limit() & ~4095ull;

	/* Its ring is there already, and then a megabyte more. */
	assert_int_equal(add(w, 1, most), ENOSPC);
	assert_int_equal(add(w, 1, 1 << 20), 0);
	assert_int_equal(add(w, 2, most - (1 << 20)), ENOSPC);
	assert_int_equal(add(w, 2, 1 << 20), 0);
	send_one(w);
	reap(w);
	assert_int_equal(w->answered, w->sent);
}

/* Polls until it would sleep, if it ever would. */
static uint32_t polls_to_sleep(struct w *w)
{
	uint32_t n;

	for (n = 0; n < 100 && leap_pollgroup_arm(w->pg); n++)
		leap_pollgroup_poll(w->pg, 0);
	return n;
}

/*
 * Connect, while the socket has half a message: the queue cannot be moved to
 * another poll group before the rest is there. Nobody polls for that.
 */
static void test_half_a_message(void **state)
{
	const struct leap__shm_msg msg = message(LEAP__SHM_KICK);
	struct w *w = *state;
	const char *bytes = (const char *)&msg;
	uint32_t i;

	assert_int_equal(send(w->fd, bytes, 20, MSG_NOSIGNAL), 20);
	polls(w);
	w->quiet = 1;	/* or it would be the rest */
	send_connect(w);
	assert_true(polls_to_sleep(w) < 10);
	/* One wake-up for more of it, and no end yet. */
	assert_int_equal(send(w->fd, bytes + 20, 20, MSG_NOSIGNAL), 20);
	assert_true(polls_to_sleep(w) < 10);
	reap(w);
	assert_int_equal(w->answered, 0);
	assert_int_equal(send(w->fd, bytes + 40, 24, MSG_NOSIGNAL), 24);
	/* It is woken by that alone: no entry is announced again. */
	for (i = 0; i < 100 && !w->answered; i++) {
		leap_pollgroup_wait(w->pg, 100000000);
		reap(w);
	}
	assert_int_equal(w->answered, 1);
}

/* The target goes; the ring of this host is full, and stays so. */
static void test_end_while_full(void **state)
{
	struct w *w = *state;
	int gone = 0;
	char byte;

	send_many(w, DEPTH - 1 + 2);
	leap_target_destroy(w->target, set_flag, &gone);
	serve_await(w->pg, &gone);
	while (recv(w->fd, &byte, 1, MSG_DONTWAIT) == 1)
		;
	assert_int_equal(recv(w->fd, &byte, 1, 0), 0);
	w->target = NULL;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_full), T(test_full_and_starved),
		T(test_full_and_asleep), T(test_more_than_there_is),
		T(test_end_while_full),
		cmocka_unit_test_setup_teardown(test_half_a_message,
						set_up_attached, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
