/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * liar.h - one end of a link by hand: says what it likes, and sends whatever
 * descriptors it likes beside it
 */
#ifndef LEAP_TESTS_LIAR_H
#define LEAP_TESTS_LIAR_H

#include "agent-fixture.h"
#include "rand.h"

#include <leapio/link.h>

struct liar {
	int fd;
	uint8_t in[65536];
	size_t len;
	int got_fd;		/* with the last message, or -1 */
	uint32_t next_id;
	uint16_t cntlid;	/* of the first CTRL_ADD heard */
	int mute;		/* answers KEEPALIVE and nothing else */
};

/* A message of @type, empty. */
struct leap_link_msg liar_say(uint16_t type);
/* Any that the decoder lets through; a descriptor of any kind, or -1. */
struct leap_link_msg liar_anything(struct test_rand *r, uint16_t cntlid);
int liar_any_fd(struct test_rand *r);
void liar_send_bytes(struct liar *l, const void *bytes, size_t n,
		     const int *fds, uint32_t nr_fds);
/* @fd: -1, or goes along. */
void liar_send_msg(struct liar *l, const struct leap_link_msg *m, int fd);
void liar_reply(struct liar *l, const struct leap_link_msg *q, int err,
		int fd);
/* 1 a message, 0 none yet, -1 the link has ended. */
int liar_hear(struct liar *l, struct leap_link_msg *m);
void liar_init(struct liar *l, int fd);
void liar_end(struct liar *l);

/* A runtime of f's agent that has said nothing; its end, and the fence's. */
struct liar *liar_attach(struct af *f);
void liar_detach(struct af *f, struct liar *l);
/* Poll until something is heard: as liar_hear. */
int liar_wait_msg(struct af *f, struct liar *l, struct leap_link_msg *m);
void liar_say_hello(struct liar *l, uint32_t version, uint32_t role);
struct leap_ns_desc liar_good_ns(void);
void liar_say_ns(struct liar *l, const struct leap_ns_desc *d,
		 const char *nqn);
/* Answer as an honest one would that has nothing to do. */
void liar_answer(struct liar *l, const struct leap_link_msg *m);
/* Until the link ends (-1) or, after @ms, nothing more is asked (0). */
int liar_serve(struct af *f, struct liar *l, uint64_t ms);
/* One that serves. */
struct liar *liar_active(struct af *f);
/* The agent ends the link as bad, and fences. */
void liar_must_end(struct af *f, struct liar *l);
/* A Create that waits for the liar. */
void liar_start_create(struct af *f, struct liar *l);
/* Answer what comes until it is of @type, which is not answered. */
int liar_hear_type(struct af *f, struct liar *l, uint16_t type,
		   struct leap_link_msg *m);

#endif
