/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lending, with one side that says what it likes: a borrower against a lender
 * with a real drive, or (byte 0, bit 7) a lender against a host end.
 *
 * Byte 0: 1 HELLO by the book first, 2 and memory and a queue (borrower); the
 * host end's first questions are answered, 1 by the book (lender). Then
 * operations: a byte of kind, and what it needs.
 *
 * What is left over when a borrower is gone fails the input: queues, memory, a
 * lender that does not come back.
 */
#define _GNU_SOURCE
#include "fuzz-target.h"

#include <sys/eventfd.h>
#include <sys/un.h>

#include <leapio/dmabuf.h>
#include <leapio/host.h>
#include <leapio/lend.h>
#include <leapio/vdev.h>

#include "transport/lend/proto.h"
#include "../unit/fds.h"

#define BYTES	65536u

static struct fuzz_target f;
static struct leap_vdev *vdev;
static struct leap_lender *lender;
static struct leap_vdev_info before;
static struct leap_dmabuf *mem;
static uint8_t *base;
static uint64_t iova;
static uint32_t last_id;
static uint16_t last_type, qid;
static int sock, listening, state;

static void set_state(struct leap_lender *l, enum leap_lender_state s, int err,
		      void *arg)
{
	state = (int)s;
}

static void wait_live(void)
{
	while (state != LEAP_LENDER_LIVE)
		leap_pollgroup_wait(f.pg, 1000000);
}

static void init(void)
{
	struct leap_lender_opts lo = LEAP_LENDER_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (f.pg)
		return;
	fuzz_target_init(&f, "loop://");
	FUZZ_CHECK(!leap_vdev_create(leap_subsystem_find(f.target, FUZZ_NQN),
				     NULL, &vdev));
	lo.url = "vdev://here/" FUZZ_NQN;
	lo.vdev = vdev;
	lo.max_queues = 4;
	lo.reconnect_ms = 1;
	lo.changed = set_state;
	FUZZ_CHECK(!leap_lender_create(f.pg, &lo, &lender));
	wait_live();
	before.size = sizeof(before);
	FUZZ_CHECK(!leap_vdev_info(vdev, &before));
	mo.bytes = BYTES;
	mo.huge = LEAP_HUGE_NEVER;
	FUZZ_CHECK(!leap_dmabuf_create(&mo, &mem));
	base = leap_dmabuf_addr(mem);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			   0);
	snprintf(addr.sun_path, sizeof(addr.sun_path),
		 "/tmp/leap-fuzz-lend-%d.sock", (int)getpid());
	unlink(addr.sun_path);
	FUZZ_CHECK(!bind(listening, (struct sockaddr *)&addr, sizeof(addr)));
	FUZZ_CHECK(!listen(listening, 1));
}

/* ---- messages ------------------------------------------------------- */

static void hear(void)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} ctl;
	struct leap__lend_msg msg;
	struct cmsghdr *cm;
	uint32_t i;
	int fd;

	for (i = 0; i < 3; i++)
		leap_pollgroup_poll(f.pg, 0);
	for (;;) {
		struct iovec iov = { &msg, sizeof(msg) };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = ctl.buf,
			.msg_controllen = sizeof(ctl.buf) };

		if (recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) !=
		    (ssize_t)sizeof(msg))
			return;
		for (cm = CMSG_FIRSTHDR(&mh); cm; cm = CMSG_NXTHDR(&mh, cm)) {
			memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
			close(fd);
		}
		last_id = leap_from_le32(msg.id);
		last_type = leap_from_le16(msg.type);
		if (last_type == LEAP__LEND_REPLY && !iova)
			iova = leap_from_le64(msg.reply.value);
		if (last_type == LEAP__LEND_DONE && msg.done.qid)
			qid = leap_from_le16(msg.done.qid);
	}
}

static void say(const void *bytes, size_t n, const int *pass, uint32_t nr)
{
	(void)!fds_send(sock, bytes, n, pass, nr, MSG_DONTWAIT);
	hear();
}

static void say_msg(const struct leap__lend_msg *msg, int fd)
{
	say(msg, sizeof(*msg), &fd, fd >= 0);
}

static int descriptor(uint8_t kind, int *made)
{
	*made = -1;
	switch (kind & 3) {
	case 0:
		return leap_dmabuf_fd(mem);
	case 1:
		return sock;
	case 2:
		*made = eventfd(0, EFD_CLOEXEC);
		break;
	case 3:
		*made = fds_memory(16384, kind & 4 ? F_SEAL_SHRINK : 0);
	}
	return *made;
}

/* 12 bytes: near the truth, or anything. */
static void any_message(const uint8_t *p, int from_borrower)
{
	struct leap__lend_msg msg =
		leap__lend_msg((enum leap__lend_type)(p[0] & 15), last_id);
	uint32_t nr = p[1] & 3, i;
	int pass[3], made[3];

	if (msg.type == leap_to_le16(LEAP__LEND_MEM_ADD)) {
		msg.mem.offset = leap_to_le64((uint64_t)p[2] << 12);
		msg.mem.bytes = leap_to_le64((uint64_t)p[3] << 10);
	} else if (msg.type == leap_to_le16(LEAP__LEND_MEM_DEL)) {
		msg.mem.iova = leap_to_le64(iova + p[2]);
	} else if (msg.type == leap_to_le16(LEAP__LEND_RING)) {
		msg.doorbells.nr = leap_to_le32(p[2] & 7);
		msg.doorbells.flags = leap_to_le32(p[3] & 1);
		msg.doorbells.db[0].offset = leap_to_le32(0x1000 + 4u * p[4]);
		msg.doorbells.db[0].value = leap_to_le32(p[5]);
	} else if (msg.type == leap_to_le16(LEAP__LEND_WELCOME)) {
		msg.welcome.cap = leap_to_le64(0x0000002018013fffull);
		msg.welcome.flags = leap_to_le32(p[2] & 3);
		if (p[2] & 2)
			msg.welcome.page_bytes = leap_to_le32(4096);
	} else if (!from_borrower) {
		msg.id = leap_to_le32(p[2] & 1 ? last_id : p[3]);
		memcpy(msg.bytes, p + 4, 8);
	}
	if (p[1] & 8)
		((uint8_t *)&msg)[p[6] % sizeof(msg)] ^= p[7];
	for (i = 0; i < nr; i++)
		pass[i] = descriptor((uint8_t)(p[8] >> i * 2 | (p[1] & 4)),
				     &made[i]);
	say(&msg, p[1] & 16 ? p[9] % sizeof(msg) : sizeof(msg), pass, nr);
	for (i = 0; i < nr; i++)
		if (made[i] >= 0)
			close(made[i]);
}

/* ---- a hostile borrower --------------------------------------------- */

static struct leap_sqe sqe_of(const uint8_t *p)
{
	struct leap_sqe sqe = { .opc = p[0] };

	sqe.cid = leap_to_le16(p[1] & 7);
	sqe.nsid = leap_to_le32(p[2] & 3);
	sqe.prp1 = leap_to_le64(iova + ((uint64_t)p[3] << 8));
	if (p[4])
		sqe.prp2 = leap_to_le64(iova + ((uint64_t)p[4] << 12));
	sqe.cdw10 = leap_to_le32(p[5] | (uint32_t)p[6] << 16);
	sqe.cdw11 = leap_to_le32(p[7] | (uint32_t)p[8] << 16);
	sqe.cdw12 = leap_to_le32(p[9]);
	return sqe;
}

static void admin(struct leap_sqe sqe)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_ADMIN, 1);

	msg.sqe = sqe;
	say_msg(&msg, -1);
}

static void make_queue(void)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_MEM_ADD, 1);
	struct leap_sqe sqe = { .opc = LEAP_ADM_CREATE_CQ };
	uint32_t i;

	msg.mem.bytes = leap_to_le64(BYTES);
	say_msg(&msg, leap_dmabuf_fd(mem));
	for (i = 0; i < 100 && !iova; i++)
		hear();
	sqe.prp1 = leap_to_le64(iova);
	sqe.cdw10 = leap_to_le32(1 | 7 << 16);
	sqe.cdw11 = leap_to_le32(1);
	admin(sqe);
	for (i = 0; i < 100 && !qid; i++)
		hear();
	sqe.opc = LEAP_ADM_CREATE_SQ;
	sqe.prp1 = leap_to_le64(iova + 4096);
	sqe.cdw11 = leap_to_le32(1 | 1 << 16);
	admin(sqe);
}

static void ring(uint32_t tail)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_RING, 0);

	msg.doorbells.nr = leap_to_le32(1);
	msg.doorbells.flags = leap_to_le32(LEAP__LEND_STORE);
	msg.doorbells.db[0].offset = leap_to_le32(0x1000 + 8u * qid);
	msg.doorbells.db[0].value = leap_to_le32(tail);
	say_msg(&msg, -1);
}

/* One operation; returns the bytes that it took, 0 = no more. */
static size_t operate(const uint8_t *p, size_t n)
{
	struct leap_sqe sqe;

	if (n < 13)
		return 0;
	switch (p[0] & 7) {
	case 0:
		any_message(p + 1, 1);
		return 13;
	case 1:
		admin(sqe_of(p + 1));
		return 11;
	case 2:		/* an entry of the queue */
		sqe = sqe_of(p + 1);
		memcpy(base + 4096 + (p[11] & 7) * 64, &sqe, sizeof(sqe));
		return 12;
	case 3:
		ring(p[1] & 15);
		return 2;
	default:
		hear();
		return 1;
	}
}

static void settle(void)
{
	struct leap_lender_info li = { sizeof(li) };
	struct leap_vdev_info vi = { sizeof(vi) };
	uint32_t i = 0;

	close(sock);
	do {
		leap_pollgroup_wait(f.pg, 1000000);
		FUZZ_CHECK(!leap_lender_info(lender, &li));
		FUZZ_CHECK(i++ < 4000);
	} while (li.nr_borrowers);
	/* It has all of the device: it may have ended that. */
	wait_live();
	FUZZ_CHECK(!leap_lender_info(lender, &li));
	FUZZ_CHECK(!leap_vdev_info(vdev, &vi));
	FUZZ_CHECK(!li.nr_queues && !li.nr_maps && !li.nr_fencing);
	FUZZ_CHECK(!vi.nr_sqs && !vi.nr_cqs);
	FUZZ_CHECK(vi.nr_ranges == before.nr_ranges);
}

static void borrower(const uint8_t *data, size_t size)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_HELLO, 0);
	size_t n;

	sock = leap_lender_connect(lender);
	FUZZ_CHECK(sock >= 0);
	hear();
	if (data[0] & 1)
		say_msg(&msg, -1);
	if (data[0] & 2)
		make_queue();
	for (data++, size--; size; data += n, size -= n) {
		n = operate(data, size);
		if (!n)
			break;
	}
	settle();
}

/* ---- a hostile lender ----------------------------------------------- */

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void answer(const uint8_t *p)
{
	struct leap__lend_msg msg = leap__lend_msg(LEAP__LEND_REPLY, last_id);

	switch (last_type) {
	case LEAP__LEND_HELLO:
		msg = leap__lend_msg(LEAP__LEND_WELCOME, 0);
		msg.welcome.cap = leap_to_le64(0x0000002018013fffull);
		break;
	case LEAP__LEND_ADMIN:
		msg = leap__lend_msg(LEAP__LEND_DONE, last_id);
		msg.done.result = leap_to_le64(p[0]);
		msg.done.qid = leap_to_le16(p[1]);
		msg.done.status = leap_to_le16(p[2] & 3 ? 0 : p[3]);
		break;
	default:
		msg.reply.value = leap_to_le64((uint64_t)p[0] << 32);
		msg.err = leap_to_le32(p[1] & 7 ? 0 : p[2]);
	}
	last_type = 0;
	say_msg(&msg, -1);
}

static void lender_side(const uint8_t *data, size_t size)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;
	struct leap_host *host;
	uint32_t i, good = data[0] & 31;
	int closed = 0;
	char url[128];

	snprintf(url, sizeof(url), "lent:/tmp/leap-fuzz-lend-%d.sock/" FUZZ_NQN,
		 (int)getpid());
	o.url = url;
	o.loss_ms = UINT32_MAX;
	FUZZ_CHECK(!leap_host_connect(f.pg, &o, &host));
	for (i = 0, sock = -1; i < 1000 && sock < 0; i++) {
		leap_pollgroup_poll(f.pg, 0);
		sock = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	}
	FUZZ_CHECK(sock >= 0);
	hear();
	for (data++, size--; size >= 13; data += 13, size -= 13) {
		for (i = 0; i < good; i++) {
			answer(data);
			leap_pollgroup_wait(f.pg, 10000);
		}
		if (data[0] & 1)
			any_message(data + 1, 0);
		else
			answer(data + 1);
	}
	leap_host_close(host, set_flag, &closed);
	for (i = 0; i < 50 && !closed; i++)
		hear();
	close(sock);
	for (i = 0; i < 20000 && !closed; i++)
		leap_pollgroup_wait(f.pg, 1000000);
	FUZZ_CHECK(closed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	init();
	memset(base, 0, BYTES);
	iova = 0;
	last_id = 0;
	last_type = qid = 0;
	if (data[0] & 128)
		lender_side(data, size);
	else
		borrower(data, size);
	return 0;
}
