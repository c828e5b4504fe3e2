/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * acceptor.h - the accept loop that every listening transport has
 */
#ifndef LEAP_CORE_IO_ACCEPTOR_H
#define LEAP_CORE_IO_ACCEPTOR_H

#include "core/io/world.h"

struct leap__acceptor;
struct leap_listener_opts;

/*
 * leap__acceptor_start - have @accepted called for every connection
 *
 * One accept is pending at a time. When accepting fails for want of
 * descriptors or memory, it is tried again a little later: the connections
 * that there are go on.
 * @wfd:      a listening socket, taken over
 * @accepted: takes @conn over and answers 0, or refuses it: it is closed then
 * Context: owner of @pg
 * Returns: 0; -ENOMEM (@wfd is closed)
 */
int leap__acceptor_start(struct leap_pollgroup *pg, struct leap__wfd *wfd,
			 int (*accepted)(void *arg, struct leap__wfd *conn),
			 void *arg, struct leap__acceptor **out);

/*
 * leap__acceptor_listen - listen at a Unix socket
 *
 * @opts: its mode, 0 = 0600, and the user that it is given to; until then
 *        nobody but us could connect to it
 * Returns: 0; negative errno with last error text that begins with @call
 */
int leap__acceptor_listen(const char *call, struct leap__world *w,
			  const char *path,
			  const struct leap_listener_opts *opts, int backlog,
			  struct leap__wfd **out);

/* leap__acceptor_stop - close the socket; @accepted is not called any more.
 * NULL is a no-op. Context: owner */
void leap__acceptor_stop(struct leap__acceptor *acceptor);

#endif
