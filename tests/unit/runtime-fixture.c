/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime-fixture.c - see runtime-fixture.h
 */
#include "runtime-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct rf *rf_new(void)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_runtime_opts ro = LEAP_RUNTIME_OPTS_INIT;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct rf *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/leap-runtime-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->sock, sizeof(f->sock), "%s/agent", f->dir);
	strcpy(sa.sun_path, f->sock);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
			      SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&sa,
			      sizeof(sa)), 0);
	assert_int_equal(listen(f->listen_fd, 4), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &f->pg), 0);
	assert_int_equal(leap_target_create(f->pg, NULL, &f->target), 0);
	so.nqn = AF_NQN;
	assert_int_equal(leap_subsystem_create(f->target, &so, &f->ss), 0);
	ro.agent = f->sock;
	ro.retry_ms = 1;
	assert_int_equal(leap_runtime_create(f->target, &ro, &f->rt), 0);
	return f;
}

int rf_hear(struct rf *f, struct leap_link_msg *m)
{
	struct unit_lived lived = { 0 };
	int rc;

	while (!(rc = liar_hear(&f->l, m))) {
		leap_pollgroup_poll(f->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	return rc;
}

void rf_go(struct rf *f)
{
	struct unit_lived lived = { 0 };
	struct leap_link_msg m;
	int fd;

	while ((fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		leap_pollgroup_poll(f->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	liar_init(&f->l, fd);
	assert_int_equal(rf_hear(f, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_HELLO);
	m.u.hello.role = LEAP_LINK_AGENT;
	liar_reply(&f->l, &m, 0, -1);
	m = liar_say(LEAP_LINK_RESUME);
	m.id = 1;
	liar_send_msg(&f->l, &m, -1);
	assert_int_equal(rf_hear(f, &m), 1);
	assert_int_equal(m.type, LEAP_LINK_RESUME);
	assert_int_equal(m.err, 0);
}

int rf_ask(struct rf *f, struct leap_link_msg *m, int fd)
{
	struct leap_link_msg got;

	m->id = ++f->l.next_id + 1000;
	m->cntlid = RF_CNTLID;
	liar_send_msg(&f->l, m, fd);
	do
		assert_int_equal(rf_hear(f, &got), 1);
	while (!(got.flags & LEAP_LINK_REPLY) || got.id != m->id);
	assert_int_equal(got.type, m->type);
	return got.err;
}

void rf_free(struct rf *f)
{
	struct unit_lived lived = { 0 };
	int gone = 0, destroyed = 0;

	leap_runtime_destroy(f->rt, set_flag, &gone);
	while (!gone) {
		leap_pollgroup_poll(f->pg, 0);
		assert_true(af_lives(&lived, 5000));
	}
	leap_target_destroy(f->target, set_flag, &destroyed);
	while (!destroyed)
		leap_pollgroup_poll(f->pg, 0);
	while (leap_pollgroup_destroy(f->pg))
		leap_pollgroup_poll(f->pg, 0);
	close(f->listen_fd);
	unlink(f->sock);
	rmdir(f->dir);
	free(f);
}

struct leap_link_msg rf_ctrl_add(uint64_t bytes)
{
	struct leap_link_msg m = liar_say(LEAP_LINK_CTRL_ADD);

	strcpy(m.u.ctrl.nqn, AF_NQN);
	m.u.ctrl.state_bytes = bytes;
	m.u.ctrl.max_data_bytes = 1 << 17;
	return m;
}
