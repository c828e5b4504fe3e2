/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liar.c - see liar.h
 */
#include "fds.h"
#include "liar.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a link by hand ---- */

struct leap_link_msg liar_say(uint16_t type)
{
	struct leap_link_msg m = { .type = type };

	return m;
}

void liar_send_bytes(struct liar *l, const void *bytes, size_t n,
		     const int *fds, uint32_t nr_fds)
{
	/* The other end may have ended it: that is the point. */
	if (fds_send(l->fd, bytes, n, fds, nr_fds, MSG_DONTWAIT) < 0)
		return;
}

void liar_send_msg(struct liar *l, const struct leap_link_msg *m, int fd)
{
	uint8_t buf[1024];
	int n = leap_link_encode(m, buf, sizeof(buf));

	assert_true(n > 0);
	liar_send_bytes(l, buf, (size_t)n, &fd, fd >= 0);
}

void liar_reply(struct liar *l, const struct leap_link_msg *q, int err,
		  int fd)
{
	struct leap_link_msg m = *q;

	m.flags = LEAP_LINK_REPLY;
	m.err = err;
	liar_send_msg(l, &m, fd);
}

static void take_fd(struct liar *l, struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd;

	if (!c || c->cmsg_type != SCM_RIGHTS)
		return;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (l->got_fd >= 0)
		close(l->got_fd);
	l->got_fd = fd;
}

/* 1 a message, 0 none yet, -1 the link has ended. */
int liar_hear(struct liar *l, struct leap_link_msg *m)
{
	char ctl[CMSG_SPACE(4 * sizeof(int))];
	struct iovec iov = { l->in + l->len, sizeof(l->in) - l->len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = ctl,
			      .msg_controllen = sizeof(ctl) };
	ssize_t n;
	int used;

	n = iov.iov_len ? recvmsg(l->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
			: 0;
	if (!n && iov.iov_len && !l->len)
		return -1;
	if (n < 0 && errno != EAGAIN && !l->len)
		return -1;
	if (n > 0) {
		l->len += (size_t)n;
		take_fd(l, &msg);
	}
	used = leap_link_decode(l->in, l->len, m);
	assert_true(used >= 0);
	if (!used)
		return 0;
	l->len -= (size_t)used;
	memmove(l->in, l->in + used, l->len);
	return 1;
}

void liar_init(struct liar *l, int fd)
{
	memset(l, 0, sizeof(*l));
	l->fd = fd;
	l->got_fd = -1;
}

void liar_end(struct liar *l)
{
	if (l->got_fd >= 0)
		close(l->got_fd);
	close(l->fd);
}

/* ---- runtimes that lie ---- */

struct liar *liar_attach(struct af *f)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct liar *l = malloc(sizeof(*l));

	liar_init(l, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	strcpy(sa.sun_path, f->sock);
	assert_int_equal(connect(l->fd, (struct sockaddr *)&sa, sizeof(sa)),
			 0);
	return l;
}

void liar_detach(struct af *f, struct liar *l)
{
	liar_end(l);
	free(l);
	af_until(f, af_none, 5000);
}

int liar_wait_msg(struct af *f, struct liar *l, struct leap_link_msg *m)
{
	struct unit_lived lived = { 0 };
	int rc;

	while (!(rc = liar_hear(l, m))) {
		af_poll(f);
		assert_true(af_lives(&lived, 5000));
	}
	return rc;
}

void liar_say_hello(struct liar *l, uint32_t version, uint32_t role)
{
	struct leap_link_msg m = liar_say(LEAP_LINK_HELLO);

	m.id = 77;
	m.u.hello.version = version;
	m.u.hello.role = role;
	liar_send_msg(l, &m, -1);
}

struct leap_ns_desc liar_good_ns(void)
{
	struct leap_ns_desc d = {
		.nsid = 1, .block_bytes = 512, .nr_blocks = 1000,
	};

	return d;
}

void liar_say_ns(struct liar *l, const struct leap_ns_desc *d,
		   const char *nqn)
{
	struct leap_link_msg m = liar_say(LEAP_LINK_NS_ADD);

	m.u.ns_of.desc = *d;
	strcpy(m.u.ns_of.nqn, nqn);
	liar_send_msg(l, &m, -1);
}

/* Answer as an honest one would that has nothing to do. */
void liar_answer(struct liar *l, const struct leap_link_msg *m)
{
	int kick;

	if (m->flags & LEAP_LINK_REPLY)
		return;
	if (m->type == LEAP_LINK_CTRL_ADD)
		l->cntlid = m->cntlid;
	if (l->mute && m->type != LEAP_LINK_KEEPALIVE)
		return;
	if (m->type != LEAP_LINK_QP_ADD) {
		liar_reply(l, m, 0, -1);
		return;
	}
	kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	liar_reply(l, m, 0, kick);
	close(kick);
}

/*
 * Until the link ends (-1) or, after @ms, nothing more is asked (0). That is a
 * look for each of them, or more: who stands still meanwhile serves nobody.
 */
int liar_serve(struct af *f, struct liar *l, uint64_t ms)
{
	uint64_t from = af_ms(), looks = 0;
	struct leap_link_msg m;
	int rc;

	while (af_ms() - from < ms || looks++ < ms) {
		af_poll(f);
		while ((rc = liar_hear(l, &m)) > 0)
			liar_answer(l, &m);
		if (rc < 0)
			return -1;
	}
	return 0;
}

struct liar *liar_active(struct af *f)
{
	struct liar *l = liar_attach(f);
	struct leap_link_msg m;
	struct leap_ns_desc d = liar_good_ns();

	liar_say_hello(l, LEAP_LINK_VERSION, LEAP_LINK_RUNTIME);
	assert_int_equal(liar_wait_msg(f, l, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_HELLO);
	assert_int_equal(m.err, 0);
	assert_int_equal(liar_wait_msg(f, l, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_RESUME);
	liar_say_ns(l, &d, AF_NQN);
	liar_reply(l, &m, 0, -1);
	liar_serve(f, l, 50);
	assert_true(af_served(f));
	return l;
}

void liar_must_end(struct af *f, struct liar *l)
{
	uint64_t bad = af_info(f).bad_messages;
	int fences = f->fences;

	assert_int_equal(liar_serve(f, l, 3000), -1);
	liar_detach(f, l);
	assert_true(af_info(f).bad_messages == bad + 1);
	assert_int_equal(f->fences, fences + 1);
}

/* A Create that waits for the liar. */
void liar_start_create(struct af *f, struct liar *l)
{
	struct leap_sqe sqe;
	int i;

	assert_int_equal(gd_enable(f->g, 32, 32), LEAP_CSTS_RDY);
	gd_cq_init(f->g, &f->cq, 1, 16);
	gd_sq_init(f->g, &f->sq, 1, 16, &f->cq);
	sqe = gd_sqe_create_cq(&f->cq, 0, 1);
	gd_submit(f->g, &f->g->asq, &sqe);
	for (i = 0; !gd_reap(f->g, &f->g->acq, &f->g->asq); i++) {
		assert_true(i < 100);
		assert_int_equal(liar_serve(f, l, 30), 0);
	}
	sqe = gd_sqe_create_sq(&f->sq);
	gd_submit(f->g, &f->g->asq, &sqe);
}

int liar_hear_type(struct af *f, struct liar *l, uint16_t type,
		     struct leap_link_msg *m)
{
	int rc;

	while ((rc = liar_wait_msg(f, l, m)) > 0 && m->type != type)
		liar_answer(l, m);
	return rc;
}

struct leap_link_msg liar_anything(struct test_rand *r, uint16_t cntlid)
{
	struct leap_link_msg m = { 0 };
	uint8_t *u = (uint8_t *)&m.u;
	size_t i;

	m.type = (uint16_t)(1 + test_rand_below(r, LEAP_LINK_FATAL));
	m.flags = test_rand_below(r, 4) ? 0 : LEAP_LINK_REPLY;
	m.id = test_rand_below(r, 64);
	m.err = -(int)test_rand_below(r, 200);
	m.cntlid = test_rand_below(r, 8) ? cntlid :
		   (uint16_t)test_rand_next(r);
	for (i = 0; i < sizeof(m.u); i++)
		u[i] = test_rand_below(r, 3) ? 0 :
		       (uint8_t)test_rand_next(r);
	return m;
}

int liar_any_fd(struct test_rand *r)
{
	int fd = -1;

	switch (test_rand_below(r, 12)) {
	case 0:
		fd = eventfd(0, EFD_CLOEXEC);
		break;
	case 1:
		fd = fds_memory(1 << 20, test_rand_below(r, 2) ?
				F_SEAL_SHRINK : 0);
		break;
	case 2:
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	}
	return fd;
}
