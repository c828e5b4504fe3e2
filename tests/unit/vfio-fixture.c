/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio-fixture.h"

#include <stdio.h>

#include "core/io/regctrl.h"
#include "core/io/transport.h"

struct fake_vfio fake;
static struct leap__regdev_ops fake_dev_ops;

struct vf_world vf;

/* ---- the transport, over the fake ---- */

static int fake_dev_open(struct leap__regdev *dev,
			 const struct leap_qp_opts *opts, const char *address)
{
	return leap__vfio_open(dev, address, &fake_vfio_calls, &fake);
}

static int fake_connect(struct leap_qp *qp, const char *address)
{
	fake_dev_ops = leap__vfio_dev_ops;
	fake_dev_ops.open = fake_dev_open;
	return leap__regqp_connect(qp, address, &fake_dev_ops);
}

const struct leap_transport_ops *const *leap__transports(void)
{
	static struct leap_transport_ops ops;
	static const struct leap_transport_ops *const all[] = { &ops, NULL };

	ops = leap__pcie_transport;
	ops.qp_connect = fake_connect;
	return all;
}

struct leap__vfio_link vf_link_of(void)
{
	struct leap__vfio_link l = { .calls = &fake_vfio_calls, .arg = &fake };

	memcpy(l.address, FAKE_ADDRESS, sizeof(l.address));
	return l;
}

void vf_refuse(int err, const char *text)
{
	struct leap__vfio_link l = vf_link_of();

	assert_int_equal(leap__vfio_link_open(&l), err);
	assert_last_error(text);
	fake_vfio_check_closed(&fake);
	fake_vfio_init(&fake);
}

/* ---- a host over it ---- */

uint32_t vf_below(uint32_t n)
{
	return test_rand_below(&vf.rnd, n);
}

uint64_t vf_bounced(void)
{
	struct leap_pollgroup_stats s = { .size = sizeof(s) };

	assert_int_equal(leap_pollgroup_stats(vf.pg, &s), 0);
	return s.bounced;
}

void vf_turn(const int *flag)
{
	while (!*flag)
		leap_pollgroup_wait(vf.pg, 100000000);
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	if (level > LEAP_LOG_WARN)
		return;
	vf.warned++;
	snprintf(vf.log, sizeof(vf.log), "%s", text);
}

int vf_setup(void **state)
{
	struct leap_pollgroup_opts popts = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mopts = LEAP_DMABUF_OPTS_INIT;

	memset(&vf, 0, sizeof(vf));
	fake_vfio_init(&fake);
	vf.rnd.s = 1;
	vf.url = URL;
	vf.depth = 32;
	popts.spin_ns = -1;	/* sleep whenever there is nothing to do */
	popts.log = log_line;
	assert_int_equal(leap_pollgroup_create(&popts, &vf.pg), 0);
	vf.target = serve_target(vf.pg, NQN, &vf.ss);
	serve_ns(vf.pg, vf.ss, "memory:4M", 1);
	assert_int_equal(leap_vdev_create(vf.ss, NULL, &fake.vdev), 0);
	mopts.bytes = MEM;
	mopts.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&mopts, &vf.mem), 0);
	vf.base = leap_dmabuf_addr(vf.mem);
	vf.copy = calloc(BLOCKS, BLOCK);
	return 0;
}

int vf_teardown(void **state)
{
	int done = 0;

	leap_vdev_destroy(fake.vdev, set_flag, &done);
	if (fake.vdev)
		vf_turn(&done);
	serve_stop(vf.pg, vf.target);
	leap_dmabuf_put(vf.mem);
	free(vf.copy);
	assert_int_equal(leap_pollgroup_destroy(vf.pg), 0);
	return 0;
}

int vf_start(uint32_t flags)
{
	struct leap_host_opts o = LEAP_HOST_OPTS_INIT;

	o.url = vf.url;
	o.nr_io_queues = 2;
	o.depth = vf.depth;
	o.flags = flags;
	o.reconnect_ms = 1;
	vf.host = NULL;
	return leap_host_connect(vf.pg, &o, &vf.host);
}

void vf_open_host(uint32_t flags)
{
	assert_int_equal(vf_start(flags), 0);
	while (leap_host_state(vf.host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(vf.pg, 100000000);
	assert_int_equal(leap_host_state(vf.host), LEAP_HOST_LIVE);
}

/* The drive hears of memory that is gone in its own time. */
void vf_close_host(void)
{
	size_t i;
	int done = 0;

	leap_host_close(vf.host, set_flag, &done);
	vf_turn(&done);
	fake_vfio_check_closed(&fake);
	for (i = 0; i < FAKE_DMA; i++)
		while (fake.dma[i].bytes)
			leap_pollgroup_poll(vf.pg, 0);
}

static void one(uint32_t queue)
{
	uint32_t nr = 1 + vf_below(vf_below(4) ? 16 : MOST / BLOCK), i;
	uint32_t lba = vf_below(BLOCKS - nr), n = nr * BLOCK;
	int is_write = vf_below(2) == 0;
	uint8_t *here = vf.copy + (size_t)lba * BLOCK;
	struct leap_piece piece = {
		.addr = vf.base + vf_below(1024) * 4, .len_bytes = n,
		.buf = vf.elsewhere ? NULL : vf.mem,
	};
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };
	uint8_t *p = piece.addr;

	req.sqe.opc = is_write ? LEAP_NVM_WRITE : LEAP_NVM_READ;
	req.sqe.nsid = leap_to_le32(1);
	req.sqe.cdw10 = leap_to_le32(lba);
	req.sqe.cdw12 = leap_to_le32(nr - 1);
	for (i = 0; i < n; i++) {
		p[i] = is_write ? (uint8_t)vf_below(256) : 0x5a;
		if (is_write)
			here[i] = p[i];
	}
	assert_int_equal(leap_host_sync(vf.host, vf.pg, queue, &req), 0);
	assert_int_equal(leap_req_status(&req), 0);
	assert_memory_equal(p, here, n);
}

void vf_some(int n)
{
	while (n--)
		one(1 + vf_below(2));
}

void vf_any_call(void)
{
	int n, calls, live = 0, failed = 0;

	vf_open_host(0);
	calls = fake.calls;
	vf_close_host();
	for (n = 1; n <= calls; n++) {
		fake.calls = 0;
		fake.fail_at = n;
		fake.fail_err = -EIO;
		if (vf_start(0)) {
			failed++;
			fake_vfio_check_closed(&fake);
			continue;
		}
		while (leap_host_state(vf.host) == LEAP_HOST_CONNECTING)
			leap_pollgroup_wait(vf.pg, 100000000);
		if (leap_host_state(vf.host) == LEAP_HOST_LIVE) {
			vf_some(2);
			live++;
		} else {
			failed++;
		}
		fake.fail_at = 0;
		vf_close_host();
	}
	assert_true(failed > 30);
	assert_true(live > 0);
}
