/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client end of vfio-user against a server that is a script: what it says
 * while opening and afterwards, right, wrong, cut short and not at all. The
 * server is plain system calls; what lies behind a good one is for the
 * conformance table.
 */
#include "fds.h"
#include "unit.h"

#include <stdio.h>
#include <sys/un.h>

#include <leapio/pollgroup.h>
#include <leapio/qp.h>

#include "transport/vfio-user/proto.h"

#define NQN "nqn.2026-01.org.example:socket"

enum wrong {
	NOTHING,
	BAD_MAJOR,		/* of VERSION */
	SHORT_VERSION,
	NO_PCI,
	NO_CONFIG,		/* regions: seven */
	SMALL_BAR,
	READ_ONLY_BAR,
	SMALL_CONFIG,
	ERROR_REPLY,
	BAD_ID,
	TWICE,			/* the same answer again */
	LONG_READ,
	SHORT_READ,
	HUGE_MESSAGE,
	TINY_MESSAGE,
	HANG_UP,
	WITH_FDS,
	DMA_FIRST,		/* asks for bytes before it answers */
	DMA_STORM,
	SILENT,
	NO_SUCH_CLASS,		/* not an NVMe function */
};

struct msg {
	struct leap__vfu_hdr hdr;
	uint8_t payload[5000];
};

static struct {
	struct leap_pollgroup *pg;
	struct leap_qp *qp;
	int listener, conn;
	char path[64], url[160];
	enum wrong wrong;
	uint16_t at;		/* the command that it goes wrong at */
	struct msg in;
	size_t got;
	unsigned int nr_in, nr_fds, refused, posted;
	int state, err, lost, closed;
} t;

/* ---- the server ---- */

static void say(const void *p, size_t n)
{
	if (send(t.conn, p, n, MSG_NOSIGNAL) < 0)
		assert_true(errno == EPIPE || errno == ECONNRESET);
}

static void reply(const void *payload, size_t n)
{
	struct msg m = { .hdr = t.in.hdr };

	m.hdr.flags = LEAP__VFU_REPLY;
	m.hdr.size = (uint32_t)(sizeof(m.hdr) + n);
	memcpy(m.payload, payload, n);
	say(&m, m.hdr.size);
}

static void good(void)
{
	struct leap__vfu_access *a = (void *)t.in.payload;
	struct leap__vfu_region_info *r = (void *)t.in.payload;
	struct leap__vfu_device_info *d = (void *)t.in.payload;
	uint8_t *data = t.in.payload + sizeof(*a);
	uint32_t value = 0;

	switch (t.in.hdr.cmd) {
	case LEAP__VFU_VERSION:
		if (t.wrong == BAD_MAJOR)
			t.in.payload[0] = 1;
		reply(t.in.payload, t.wrong == SHORT_VERSION ? 2 : 4);
		return;
	case LEAP__VFU_GET_INFO:
		d->flags = t.wrong == NO_PCI ? 1 : 3;
		d->nr_regions = t.wrong == NO_CONFIG ? 7 : 9;
		d->nr_irqs = 5;
		reply(d, sizeof(*d));
		return;
	case LEAP__VFU_REGION_INFO:
		r->bytes = r->index == LEAP__VFU_BAR0 ? 16384 : 4096;
		if (t.wrong == SMALL_BAR && r->index == LEAP__VFU_BAR0)
			r->bytes = 4096;
		if (t.wrong == SMALL_CONFIG && r->index == LEAP__VFU_CONFIG)
			r->bytes = 64;
		r->flags = t.wrong == READ_ONLY_BAR ? 1 : 3;
		reply(r, sizeof(*r));
		return;
	case LEAP__VFU_REGION_READ:
		/* All that is asked here is the class, and then CAP, whose
		 * ones say that nobody is there. */
		if (a->region == LEAP__VFU_CONFIG && a->offset == 8)
			value = t.wrong == NO_SUCH_CLASS ? 0x02000000 :
				0x01080200;
		else if (a->region == LEAP__VFU_BAR0)
			value = UINT32_MAX;
		memcpy(data, &value, 4);
		memcpy(data + 4, &value, 4);
		reply(a, sizeof(*a) + a->count + (t.wrong == LONG_READ) -
		      (t.wrong == SHORT_READ ? a->count : 0));
		return;
	default:
		reply(t.in.payload, 16);
	}
}

static void error_reply(void)
{
	struct leap__vfu_hdr h = t.in.hdr;

	h.flags = LEAP__VFU_REPLY | LEAP__VFU_ERROR;
	h.size = sizeof(h);
	h.err = EPERM;
	say(&h, sizeof(h));
}

static void ask_for_bytes(void)
{
	struct msg m = { .hdr = {
		.id = 77, .cmd = LEAP__VFU_DMA_READ, .size = 32,
	} };

	say(&m, m.hdr.size);
}

static void with_fds(void)
{
	struct leap__vfu_hdr h = t.in.hdr;
	int fd = open("/dev/null", O_RDONLY);

	h.flags = LEAP__VFU_REPLY;
	h.size = sizeof(h) + 16;
	assert_int_equal(fds_send(t.conn, &h, sizeof(h), &fd, 1, 0),
			 sizeof(h));
	close(fd);
	say(t.in.payload, 16);
}

static void wrong(void)
{
	struct leap__vfu_hdr h = t.in.hdr;
	unsigned int i;

	h.flags = LEAP__VFU_REPLY;
	switch (t.wrong) {
	case ERROR_REPLY:
		error_reply();
		return;
	case BAD_ID:
		t.in.hdr.id++;
		good();
		return;
	case TWICE:
		good();
		good();
		return;
	case HUGE_MESSAGE:
		h.size = 1u << 30;
		say(&h, sizeof(h));
		return;
	case TINY_MESSAGE:
		h.size = 3;
		say(&h, sizeof(h));
		return;
	case HANG_UP:
		say(&h, 7);
		close(t.conn);
		t.conn = -1;
		return;
	case WITH_FDS:
		with_fds();
		return;
	case DMA_STORM:
		for (i = 0; i < 100; i++)
			ask_for_bytes();
		return;
	case DMA_FIRST:
		ask_for_bytes();
		good();
		return;
	case SILENT:
		return;
	default:
		good();
	}
}

static void message(void)
{
	t.nr_in++;
	if (t.in.hdr.flags & LEAP__VFU_REPLY) {
		assert_int_equal(t.in.hdr.id, 77);
		assert_true(t.in.hdr.flags & LEAP__VFU_ERROR);
		t.refused++;
	} else if (t.in.hdr.flags & LEAP__VFU_NO_REPLY) {
		t.posted++;
	} else if (t.in.hdr.cmd == t.at) {
		wrong();
	} else {
		good();
	}
}

/* What has come, a message at a time. */
static void serve(void)
{
	size_t want;
	ssize_t n;

	if (t.conn < 0 && t.listener >= 0)
		t.conn = accept4(t.listener, NULL, NULL, SOCK_NONBLOCK);
	while (t.conn >= 0) {
		want = t.got < 16 ? 16 : t.in.hdr.size;
		assert_in_range(want, 16, sizeof(t.in));
		if (t.got < want) {
			n = recv(t.conn, (char *)&t.in + t.got, want - t.got,
				 0);
			if (n <= 0)
				return;
			t.got += (size_t)n;
		}
		if (t.got < 16 || t.got < t.in.hdr.size)
			continue;
		t.got = 0;
		message();
	}
}

/* ---- the client ---- */

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	t.state = status ? -1 : 1;
	t.err = err;
}

static void on_lost(struct leap_qp *qp, int err, void *arg)
{
	t.lost++;
}

static void on_closed(void *arg)
{
	t.closed = 1;
}

static void turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(t.pg);

	while (!*flag && leap_pollgroup_now_ns(t.pg) - from < 60000000000ull) {
		leap_pollgroup_poll(t.pg, 0);
		serve();
	}
	assert_true(*flag);
}

static void start(enum wrong what, uint16_t at)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;

	t.wrong = what;
	t.at = at;
	t.got = 0;
	t.state = t.err = t.lost = t.closed = 0;
	t.nr_in = t.refused = t.posted = 0;
	o.url = t.url;
	o.connect_timeout_ms = 100;
	o.connected = on_connected;
	o.lost = on_lost;
	assert_int_equal(leap_qp_connect(t.pg, &o, &t.qp), 0);
}

static void finish(void)
{
	leap_qp_close(t.qp, on_closed, NULL);
	turn(&t.closed);
	if (t.conn >= 0)
		close(t.conn);
	t.conn = -1;
}

static void expect(enum wrong what, uint16_t at, int err)
{
	start(what, at);
	turn(&t.state);
	assert_int_equal(t.state, -1);
	assert_int_equal(t.err, err);
	assert_int_equal(t.lost, 0);
	finish();
}

static int listen_on(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, t.path);
	unlink(t.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "/tmp/leap-vfu-host-%d.sock",
		 (int)getpid());
	snprintf(t.url, sizeof(t.url), "vfio-user:%s/%s", t.path, NQN);
	t.conn = -1;
	t.listener = listen_on();
	assert_int_equal(leap_pollgroup_create(NULL, &t.pg), 0);
	return 0;
}

static int teardown(void **state)
{
	close(t.listener);
	unlink(t.path);
	assert_int_equal(leap_pollgroup_destroy(t.pg), 0);
	return 0;
}

/* The script's drive says that it is not there any more, when asked for CAP:
 * so far everything was right. */
static void test_good(void **state)
{
	expect(NOTHING, 0, -ENODEV);
	assert_true(t.nr_in > 8);
}

static void test_opening(void **state)
{
	static const struct {
		enum wrong what;
		int err;
	} rows[] = {
		{ BAD_MAJOR, -EPROTONOSUPPORT }, { SHORT_VERSION, -EPROTO },
		{ NO_PCI, -EPROTONOSUPPORT }, { NO_CONFIG, -EPROTONOSUPPORT },
		{ SMALL_BAR, -EPROTONOSUPPORT },
		{ READ_ONLY_BAR, -EPROTONOSUPPORT },
		{ SMALL_CONFIG, -EPROTONOSUPPORT },
		{ NO_SUCH_CLASS, -EPROTONOSUPPORT },
		{ LONG_READ, -EPROTO }, { SHORT_READ, -EPROTO },
	};
	unsigned int i;

	for (i = 0; i < COUNT(rows); i++)
		expect(rows[i].what, 0, rows[i].err);
}

static const uint16_t commands[] = {
	LEAP__VFU_VERSION, LEAP__VFU_GET_INFO, LEAP__VFU_REGION_INFO,
	LEAP__VFU_IRQ_INFO, LEAP__VFU_REGION_READ, LEAP__VFU_REGION_WRITE,
};

static void everywhere(enum wrong what, int err)
{
	unsigned int i;

	for (i = 0; i < COUNT(commands); i++)
		expect(what, commands[i], err);
}

static void test_errors(void **state)
{
	everywhere(ERROR_REPLY, -EPERM);
}

static void test_wrong_id(void **state)
{
	everywhere(BAD_ID, -EPROTO);
}

static void test_two_answers(void **state)
{
	everywhere(TWICE, -EPROTO);
}

static void test_lengths(void **state)
{
	everywhere(HUGE_MESSAGE, -EPROTO);
	everywhere(TINY_MESSAGE, -EPROTO);
}

static void test_hang_up(void **state)
{
	everywhere(HANG_UP, -ECONNRESET);
}

static void test_silent(void **state)
{
	everywhere(SILENT, -ETIMEDOUT);
}

/* Descriptors that nobody asked for are not kept. */
static void test_fds(void **state)
{
	unsigned int before = fds_open(), i;

	for (i = 0; i < COUNT(commands); i++) {
		start(WITH_FDS, commands[i]);
		turn(&t.state);
		finish();
	}
	assert_int_equal(fds_open(), before);
}

/* Bytes of ours are not to be had by message. */
static void test_dma_messages(void **state)
{
	expect(DMA_FIRST, LEAP__VFU_REGION_WRITE, -ENODEV);
	assert_true(t.refused > 0);
	start(DMA_STORM, LEAP__VFU_REGION_WRITE);
	turn(&t.state);
	assert_int_equal(t.state, -1);
	finish();
}

static void test_nobody_listens(void **state)
{
	close(t.listener);
	expect(NOTHING, 0, -ECONNREFUSED);
	unlink(t.path);
	expect(NOTHING, 0, -ENOENT);
	t.listener = listen_on();
	expect(NOTHING, 0, -ENODEV);
}

/* Two wait already: the third asks again until its time is over. */
static void test_full_backlog(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd[2], i, listener = t.listener;

	strcpy(addr.sun_path, t.path);
	for (i = 0; i < 2; i++) {
		fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		assert_int_equal(connect(fd[i], (struct sockaddr *)&addr,
					 sizeof(addr)), 0);
	}
	t.listener = -1;
	expect(NOTHING, 0, -ETIMEDOUT);
	start(NOTHING, 0);
	for (i = 0; i < 50; i++)
		leap_pollgroup_poll(t.pg, 0);
	for (i = 0; i < 2; i++) {
		close(accept(listener, NULL, NULL));
		close(fd[i]);
	}
	t.listener = listener;
	turn(&t.state);
	assert_int_equal(t.err, -ENODEV);
	finish();
}

static void test_bad_paths(void **state)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	char url[300];

	memset(url, 'x', sizeof(url));
	memcpy(url, "vfio-user:/", 11);
	strcpy(url + 200, "/" NQN);
	o.url = url;
	assert_int_equal(leap_qp_connect(t.pg, &o, &t.qp), -EINVAL);
	assert_last_error("socket path of 190 bytes");
	o.url = "vfio-user:/" NQN;
	assert_int_equal(leap_qp_connect(t.pg, &o, &t.qp), -EINVAL);
}

static void test_close_any_time(void **state)
{
	int n, i;

	for (n = 0; n < 60; n++) {
		start(NOTHING, 0);
		for (i = 0; i < n && !t.state; i++) {
			leap_pollgroup_poll(t.pg, 0);
			serve();
		}
		finish();
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good), T(test_opening), T(test_errors),
		T(test_wrong_id), T(test_two_answers), T(test_lengths),
		T(test_hang_up), T(test_silent), T(test_fds),
		T(test_dma_messages), T(test_nobody_listens),
		T(test_full_backlog), T(test_bad_paths),
		T(test_close_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
