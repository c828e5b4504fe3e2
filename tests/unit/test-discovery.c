/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The discovery service over TCP, as a host with a persistent connection uses
 * it: what is listed for whom and where, wildcards, parts of the log, and
 * being told that it has changed.
 */
#include "ctrl-fixture.h"
#include "ipv6.h"

#include <leapio/host.h>
#include <leapio/nvmf.h>

#include <stdio.h>

#define OTHER	"nqn.2026-01.org.example:private"
#define MAX	16

struct dx {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_subsystem *pub, *priv;
	struct leap_host *host;
	int up;
	int told;		/* events since it was last set to 0 */
	uint32_t dw0;		/* of the last */
	struct leap_disc_hdr hdr;
	struct leap_disc_entry e[MAX];
};

static void poll_for(struct dx *dx, const int *flag)
{
	struct unit_lived lived = { 0 };

	while (!*flag) {
		leap_pollgroup_wait(dx->pg, 10000000);
		assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(dx->pg)) < 10000000000u);
	}
}

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int sys_errno, void *arg)
{
	(void)host;
	(void)status;
	(void)sys_errno;
	if (state == LEAP_HOST_LIVE)
		((struct dx *)arg)->up = 1;
}

static void on_event(struct leap_host *host, uint32_t dw0, void *arg)
{
	struct dx *dx = arg;

	(void)host;
	dx->told++;
	dx->dw0 = dw0;
}

static struct leap_listener *listen_at(struct dx *dx, const char *url,
				       const char *advertise)
{
	struct leap_listener_opts o = LEAP_LISTENER_OPTS_INIT;
	struct leap_listener *l;

	o.url = url;
	o.advertise = advertise;
	assert_int_equal(leap_listener_create(dx->target, &o, &l), 0);
	return l;
}

static struct leap_subsystem *subsystem(struct dx *dx, const char *nqn,
					uint32_t any)
{
	struct leap_subsystem_opts o = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_subsystem *ss;

	o.nqn = nqn;
	o.allow_any_host = any;
	assert_int_equal(leap_subsystem_create(dx->target, &o, &ss), 0);
	return ss;
}

static int set_up(void **state)
{
	struct dx *dx = calloc(1, sizeof(*dx));

	assert_int_equal(leap_pollgroup_create(NULL, &dx->pg), 0);
	assert_int_equal(leap_target_create(dx->pg, NULL, &dx->target), 0);
	dx->pub = subsystem(dx, FX_NQN, 1);
	dx->priv = subsystem(dx, OTHER, 0);
	*state = dx;
	return 0;
}

static int tear_down(void **state)
{
	struct dx *dx = *state;
	int closed = !dx->host, gone = 0;

	if (dx->host)
		leap_host_close(dx->host, set_flag, &closed);
	poll_for(dx, &closed);
	leap_target_destroy(dx->target, set_flag, &gone);
	poll_for(dx, &gone);
	assert_int_equal(leap_pollgroup_destroy(dx->pg), 0);
	free(dx);
	return 0;
}

/* The discovery NQN at the port of @l, by way of @addr. */
static void connect_by(struct dx *dx, const struct leap_listener *l,
		       const char *addr)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;
	char url[300];

	snprintf(url, sizeof(url), "tcp://%s%s/%s", addr,
		 strrchr(leap_listener_url(l), ':'), LEAP_NQN_DISCOVERY);
	o.url = url;
	o.hostnqn = FX_HOST;
	o.state = on_state;
	o.event = on_event;
	o.arg = dx;
	assert_int_equal(leap_host_connect(dx->pg, &o, &dx->host), 0);
	poll_for(dx, &dx->up);
}

static leap_status_t run(struct dx *dx, struct leap_sqe *sqe, void *buf,
			 uint32_t len)
{
	struct leap_piece piece = { .addr = buf, .len_bytes = len };
	struct leap_req req = { .sqe = *sqe };

	if (len) {
		req.pieces = &piece;
		req.nr_pieces = 1;
	}
	assert_int_equal(leap_host_sync(dx->host, dx->pg, 0, &req), 0);
	return LEAP_STATUS_CODE(leap_req_status(&req));
}

static leap_status_t part(struct dx *dx, uint64_t from, void *buf,
			  uint32_t len)
{
	struct leap_sqe sqe = fx_log(LEAP_LID_DISCOVERY, len);

	sqe.nsid = leap_to_le32(0);
	sqe.cdw12 = leap_to_le32((uint32_t)from);
	sqe.cdw13 = leap_to_le32((uint32_t)(from >> 32));
	return run(dx, &sqe, buf, len);
}

static unsigned int get(struct dx *dx)
{
	uint64_t n;

	assert_int_equal(part(dx, 0, &dx->hdr, sizeof(dx->hdr)), 0);
	n = leap_from_le64(dx->hdr.numrec);
	assert_true(n <= MAX);
	if (n)
		assert_int_equal(part(dx, sizeof(dx->hdr), dx->e,
				      (uint32_t)(n * sizeof(dx->e[0]))), 0);
	return (unsigned int)n;
}

static void check(const struct leap_disc_entry *e, const char *nqn,
		  const char *addr, const char *port)
{
	char text[257];

	assert_int_equal(e->trtype, LEAP_TRTYPE_TCP);
	assert_int_equal(e->adrfam, strchr(addr, ':') ? LEAP_ADRFAM_IPV6 :
						       LEAP_ADRFAM_IPV4);
	assert_string_equal(e->subnqn, nqn);
	snprintf(text, sizeof(text), "%-256s", addr);
	assert_memory_equal(e->traddr, text, 256);
	snprintf(text, sizeof(text), "%-32s", port);
	assert_memory_equal(e->trsvcid, text, 32);
	assert_int_equal(leap_from_le16(e->cntlid), LEAP_CNTLID_DYNAMIC);
	assert_true(leap_from_le16(e->asqsz) >= 32);
}

static const char *port_of(const struct leap_listener *l)
{
	return strrchr(leap_listener_url(l), ':') + 1;
}

static void test_entries(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *a = listen_at(dx, "tcp://127.0.0.1:0", NULL);
	struct leap_listener *b = listen_at(dx, "tcp://127.0.0.1:0",
					    "storage.example.org:4420");

	/* Not for the log: nobody else gets there. */
	listen_at(dx, "loop://", NULL);
	connect_by(dx, a, "127.0.0.1");
	assert_int_equal(get(dx), 4);
	check(&dx->e[0], LEAP_NQN_DISCOVERY, "127.0.0.1", port_of(a));
	check(&dx->e[1], LEAP_NQN_DISCOVERY, "storage.example.org", "4420");
	check(&dx->e[2], FX_NQN, "127.0.0.1", port_of(a));
	check(&dx->e[3], FX_NQN, "storage.example.org", "4420");
	assert_int_equal(dx->e[1].subtype, LEAP_DISC_SUB_CURRENT);
	assert_int_equal(leap_from_le16(dx->e[1].eflags),
			 LEAP_DISC_EFLAG_DUPRETINFO | LEAP_DISC_EFLAG_EPCSD);
	assert_int_equal(dx->e[2].subtype, LEAP_DISC_SUB_NVM);
	assert_int_equal(leap_from_le16(dx->e[2].eflags), 0);
	assert_int_not_equal(leap_from_le16(dx->e[0].portid),
			     leap_from_le16(dx->e[1].portid));
	/* What this host may use appears, and goes. */
	assert_int_equal(leap_subsystem_allow(dx->priv, FX_HOST), 0);
	assert_int_equal(get(dx), 6);
	check(&dx->e[4], OTHER, "127.0.0.1", port_of(a));
	assert_int_equal(leap_subsystem_deny(dx->priv, FX_HOST), 0);
	assert_int_equal(leap_subsystem_allow(dx->priv, FX_HOST "2"), 0);
	assert_int_equal(get(dx), 4);
	leap_listener_destroy(b);
	assert_int_equal(get(dx), 2);
}

static void test_wildcard(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *l = listen_at(dx, "tcp://0.0.0.0:0", NULL);

	connect_by(dx, l, "127.0.0.2");
	assert_int_equal(get(dx), 2);
	check(&dx->e[1], FX_NQN, "127.0.0.2", port_of(l));
	/* An advertised name is not touched, wherever it listens. */
	listen_at(dx, "tcp://0.0.0.0:0", "[2001:db8::1]:4420");
	assert_int_equal(get(dx), 4);
	check(&dx->e[3], FX_NQN, "2001:db8::1", "4420");
}

static void test_wildcard6(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *six;

	need_ipv6(&in6addr_loopback);
	six = listen_at(dx, "tcp://[::]:0", NULL);
	/* One of the other family cannot be used by who has come by IPv6. */
	listen_at(dx, "tcp://0.0.0.0:0", NULL);
	connect_by(dx, six, "[::1]");
	assert_int_equal(get(dx), 2);
	check(&dx->e[1], FX_NQN, "::1", port_of(six));
}

/* An IPv4 host at a socket of both families. */
static void test_mapped(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *six;

	need_ipv6(&in6addr_any);
	six = listen_at(dx, "tcp://[::]:0", NULL);
	connect_by(dx, six, "127.0.0.1");
	assert_int_equal(get(dx), 2);
	check(&dx->e[1], FX_NQN, "127.0.0.1", port_of(six));
}

static void test_parts(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *l = listen_at(dx, "tcp://127.0.0.1:0", NULL);
	static uint8_t whole[4096], pieces[4096], buf[8192];
	uint64_t at, len = 1024 + 2 * 1024;
	uint32_t i;

	connect_by(dx, l, "127.0.0.1");
	assert_int_equal(get(dx), 2);
	assert_int_equal(part(dx, 0, whole, (uint32_t)len), 0);
	for (at = 0; at < len; at += 300)
		assert_int_equal(part(dx, at, pieces + at, 300), 0);
	assert_memory_equal(pieces, whole, len);
	/* What lies behind the log is zeroes, never memory. */
	memset(buf, 0xff, sizeof(buf));
	assert_int_equal(part(dx, 1024, buf, sizeof(buf)), 0);
	assert_memory_equal(buf, whole + 1024, len - 1024);
	for (i = 2048; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	memset(buf, 0xff, 64);
	assert_int_equal(part(dx, len, buf, 64), 0);
	assert_int_equal(buf[0] | buf[63], 0);
	/* Beyond its end, in no dword, and at the end of the world. */
	assert_int_equal(part(dx, len + 4, buf, 64), LEAP_SC_INVALID_FIELD);
	assert_int_equal(part(dx, 2, buf, 64), LEAP_SC_INVALID_FIELD);
	assert_int_equal(part(dx, ~3ull, buf, 64), LEAP_SC_INVALID_FIELD);
}

/* One event, and GENCTR has moved. */
static void told(struct dx *dx)
{
	uint64_t genctr = leap_from_le64(dx->hdr.genctr);

	poll_for(dx, &dx->told);
	assert_int_equal(dx->dw0, LEAP_AER_DW0(LEAP_AER_TYPE_NOTICE,
					       LEAP_AER_NOTICE_DISCOVERY,
					       LEAP_LID_DISCOVERY));
	assert_int_equal(dx->told, 1);
	get(dx);
	assert_true(leap_from_le64(dx->hdr.genctr) > genctr);
	dx->told = 0;
}

static void test_events(void **state)
{
	struct dx *dx = *state;
	struct leap_listener *l = listen_at(dx, "tcp://127.0.0.1:0", NULL);
	struct leap_listener *more;
	struct leap_subsystem *ss;
	int gone = 0;

	connect_by(dx, l, "127.0.0.1");
	get(dx);
	more = listen_at(dx, "tcp://127.0.0.1:0", NULL);
	told(dx);
	leap_listener_destroy(more);
	told(dx);
	ss = subsystem(dx, "nqn.2026-01.org.example:third", 1);
	told(dx);
	assert_int_equal(leap_subsystem_allow(dx->priv, FX_HOST), 0);
	told(dx);
	assert_int_equal(leap_subsystem_deny(dx->priv, FX_HOST), 0);
	told(dx);
	leap_subsystem_destroy(ss, set_flag, &gone);
	poll_for(dx, &gone);
	told(dx);
	assert_int_equal(get(dx), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_entries),
		T(test_wildcard),
		T(test_wildcard6),
		T(test_mapped),
		T(test_parts),
		T(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
