/* SPDX-License-Identifier: BSD-3-Clause */
#include "relay-fixture.h"

#include <leapio/plugin/bdev_ops.h>

void rx_set_flag(void *arg)
{
	((struct world *)arg)->flag = 1;
}

void rx_set_err(int err, void *arg)
{
	((struct world *)arg)->err = err;
	rx_set_flag(arg);
}

void rx_wait_flag(struct world *w)
{
	uint64_t end = leap_pollgroup_now_ns(w->pg) + 120000000000u;

	while (!w->flag) {
		leap_pollgroup_wait(w->pg, 10000000);
		assert_true(leap_pollgroup_now_ns(w->pg) < end);
	}
	w->flag = 0;
}

void rx_run_for(struct world *w, uint32_t ms)
{
	uint64_t end = leap_pollgroup_now_ns(w->pg) + ms * 1000000ull;

	while (leap_pollgroup_now_ns(w->pg) < end)
		leap_pollgroup_wait(w->pg, 1000000);
}

static struct leap_target *target(struct world *w, const char *name,
				  uint32_t mdts)
{
	struct leap_target_opts opts = LEAP_TARGET_OPTS_INIT;
	struct leap_target *t;

	opts.name = name;
	opts.mdts_bytes = mdts;
	assert_int_equal(leap_target_create(w->pg, &opts, &t), 0);
	return t;
}

int rx_set_up(void **state)
{
	*state = calloc(1, sizeof(struct world));
	assert_non_null(*state);
	return 0;
}

void rx_start(struct world *w, uint32_t far_mdts)
{
	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	w->far = target(w, "far", far_mdts);
	w->near = target(w, "near", 0);
	w->far_ss = serve_subsystem(w->far, FAR_NQN);
	w->near_ss = serve_subsystem(w->near, NEAR_NQN);
	w->buf = malloc(1 << 20);
	w->back = malloc(1 << 20);
	assert_non_null(w->buf);
	assert_non_null(w->back);
}

static void close_host(struct world *w, struct leap_host *host)
{
	if (!host)
		return;
	leap_host_close(host, rx_set_flag, w);
	rx_wait_flag(w);
}

int rx_tear_down(void **state)
{
	struct world *w = *state;
	int i;

	if (w->chan)
		assert_int_equal(leap_chan_close(w->chan), 0);
	close_host(w, w->host);
	close_host(w, w->direct);
	leap_target_destroy(w->near, rx_set_flag, w);
	rx_wait_flag(w);
	/* The relay says goodbye to the far end by itself. */
	leap_target_destroy(w->far, rx_set_flag, w);
	rx_wait_flag(w);
	for (i = 0; leap_pollgroup_destroy(w->pg); i++) {
		assert_true(i < 500);
		rx_run_for(w, 10);
	}
	free(w->buf);
	free(w->back);
	free(w);
	return 0;
}

void rx_add_ns(struct world *w, struct leap_subsystem *ss,
	       struct leap_bdev *bdev)
{
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;

	no.bdev = bdev;
	assert_true(leap_ns_add(ss, &no, rx_set_err, w) > 0);
	rx_wait_flag(w);
	assert_int_equal(w->err, 0);
}

static void opened(int err, struct leap_bdev *bdev, void *arg)
{
	((struct world *)arg)->bdev = bdev;
	rx_set_err(err, arg);
}

int rx_open(struct world *w, const struct leap_relay_opts *opts)
{
	assert_int_equal(leap_relay_open(w->pg, opts, opened, w), 0);
	rx_wait_flag(w);
	return w->err;
}

struct leap_host *rx_connect(struct world *w, struct leap_target *t,
			     const char *url, uint32_t queues)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_host *host;

	ho.url = url;
	ho.target = t;
	ho.nr_io_queues = queues;
	ho.depth = 64;
	assert_int_equal(leap_host_connect(w->pg, &ho, &host), 0);
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(w->pg, 10000000);
	assert_int_equal(leap_host_state(host), LEAP_HOST_LIVE);
	return host;
}

leap_status_t rx_run(struct world *w, struct leap_host *host,
		     const struct leap_sqe *sqe, void *buf, uint32_t bytes)
{
	struct leap_piece piece = { .addr = buf, .len_bytes = bytes };
	struct leap_req req = { .pieces = &piece, .nr_pieces = bytes ? 1 : 0 };

	req.sqe = *sqe;
	assert_int_equal(leap_host_sync(host, w->pg, 1, &req), 0);
	return leap_req_status(&req) & (leap_status_t)~LEAP_STATUS_MORE;
}
