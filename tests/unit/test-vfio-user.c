/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device end of vfio-user with a scripted client: every message but those
 * about memory and interrupts, right and wrong.
 */
#include "vfu-fixture.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- capabilities -------------------------------------------------------- */

static int caps(const char *text, struct leap__vfu_caps *out)
{
	char *exact = exact_string(text);
	int rc = leap__vfu_caps_parse(exact, strlen(exact) + 1, out);

	free(exact);
	return rc;
}

static void test_caps(void **state)
{
	struct leap__vfu_caps c;
	char text[256];

	(void)state;
	assert_int_equal(leap__vfu_caps_parse("", 0, &c), 0);
	assert_int_equal(c.max_msg_fds, 1);
	assert_int_equal(c.max_data_xfer_size, 1 << 20);
	assert_false(c.write_multiple);
	assert_int_equal(caps("{\"capabilities\":{\"max_msg_fds\": 16 , "
			      "\"max_data_xfer_size\":65536,\"x\":[1,{\"a\":"
			      "null}],\"write_multiple\":true}}", &c), 0);
	assert_int_equal(c.max_msg_fds, 16);
	assert_int_equal(c.max_data_xfer_size, 65536);
	assert_true(c.write_multiple);
	/* Only what stands in the right place counts. */
	assert_int_equal(caps("{\"max_msg_fds\":3,\"a\":{\"max_msg_fds\":4},"
			      "\"capabilities\":{\"b\":{\"max_msg_fds\":5}}}",
			      &c), 0);
	assert_int_equal(c.max_msg_fds, 1);
	assert_int_equal(caps("{}", &c), 0);
	assert_int_equal(caps(" { \"\\u00e9\\n\" : -1.5e+3 } \n", &c), 0);
	c.max_msg_fds = 7;
	c.write_multiple = true;
	assert_true(leap__vfu_caps_print(text, sizeof(text), &c) > 0);
	assert_int_equal(caps(text, &c), 0);
	assert_int_equal(c.max_msg_fds, 7);
	assert_int_equal(leap__vfu_caps_print(text, 20, &c), -ENOSPC);
}

static void test_bad_caps(void **state)
{
	static const char *const bad[] = {
		"", "x", "{", "}", "[]", "1", "{\"a\"}", "{\"a\":}", "{a:1}",
		"{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\":01}", "{\"a\":1.}",
		"{\"a\":1e}", "{\"a\":-}", "{\"a\":tru}", "{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}", "{\"a\":\"", "{\"a\":\"\n\"}",
		"{\"a\":[1,]}", "{\"a\":[", "{} {}", "{}x",
		"{\"a\":99999999999999999999}",
		"{\"capabilities\":1}", "{\"capabilities\":[]}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":true}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}",
	};
	struct leap__vfu_caps c;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(caps(bad[i], &c), -EINVAL);
	/* A NUL in the middle, none at the end. */
	assert_int_equal(leap__vfu_caps_parse("{}\0\0", 4, &c), -EINVAL);
	assert_int_equal(leap__vfu_caps_parse("{}", 2, &c), -EINVAL);
}

/* ---- VERSION ------------------------------------------------------------- */

static void test_version(void **state)
{
	struct leap__vfu_caps c;
	struct leap__vfu_version v;
	int n = 0;

	(void)state;
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	v = (struct leap__vfu_version){ 0, 9 };
	assert_int_equal(vfu_ask(&vf.c, LEAP__VFU_VERSION, &v, sizeof(v), NULL,
				 0, &n), 0);
	memcpy(&v, vf.c.in, sizeof(v));
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 1);
	assert_int_equal(leap__vfu_caps_parse((char *)vf.c.in + 4,
					      (size_t)n - 4, &c), 0);
	/* What QEMU checks in an answer. */
	assert_true(c.max_msg_fds >= 1 && c.max_msg_fds <= 16);
	assert_true(c.max_data_xfer_size >= 4096 &&
		    c.max_data_xfer_size <= 64 << 20);
	assert_int_equal(c.pgsizes % 4096, 0);
	assert_true(c.max_dma_maps <= 65535);
	/* Once is enough. */
	assert_int_equal(vf_ask(LEAP__VFU_VERSION, &v, sizeof(v)), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_RESET, NULL, 0), 0);
}

static void test_bad_hello(void **state)
{
	struct leap__vfu_version major = { 1, 0 };
	uint32_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
		switch (i) {
		case 0:		/* not VERSION */
			vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
			break;
		case 1:
			vfu_send(&vf.c, LEAP__VFU_VERSION, 0, &major, 4, NULL,
				 0);
			break;
		case 2:		/* JSON without its NUL */
			vfu_send(&vf.c, LEAP__VFU_VERSION, 0, "\0\0\0\0{}", 6,
				 NULL, 0);
			break;
		case 3:
			vfu_send(&vf.c, LEAP__VFU_VERSION, 0, "\0\0", 2, NULL,
				 0);
			break;
		default:	/* a reply to nothing */
			vfu_send(&vf.c, LEAP__VFU_VERSION, LEAP__VFU_REPLY,
				 "\0\0\0", 4, NULL, 0);
		}
		assert_true(vf_hung_up());
		vfu_close(&vf.c);
		vfu_settle(vf.pg);
	}
	assert_non_null(strstr(vf.log, "VERSION"));
}

static void test_bad_headers(void **state)
{
	static const struct leap__vfu_hdr bad[] = {
		{ 1, 13, 15, 0, 0 },
		{ 1, 13, 0, 0, 0 },
		{ 1, 9, 16 + LEAP__VFU_MAX_PAYLOAD + 1, 0, 0 },
		{ 1, 9, UINT32_MAX, 0, 0 },
		{ 1, 13, 16, 2, 0 },		/* neither command nor reply */
		{ 1, 13, 16, 0x20, 0 },		/* a command that failed */
		{ 1, 11, 16, 0x21, 5 },		/* a reply to nothing */
		{ 1, 11, 20, 0x21, 5 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
		assert_int_equal(vfu_hello(&vf.c), 0);
		vfu_raw(&vf.c, &bad[i], sizeof(bad[i]), NULL, 0);
		assert_true(vf_hung_up());
		vfu_close(&vf.c);
		vfu_settle(vf.pg);
	}
	assert_int_equal(vf.vdev.resets, COUNT(bad));
}

/* ---- what there is ------------------------------------------------------- */

static void test_info(void **state)
{
	struct leap__vfu_device_info d = { .argsz = 20 };
	struct leap__vfu_region_info r = { .argsz = 32 };
	struct leap__vfu_irq_info q = { .argsz = 16 };
	uint32_t i;

	(void)state;
	assert_int_equal(vf_ask(LEAP__VFU_GET_INFO, &d, sizeof(d)), 0);
	memcpy(&d, vf.c.in, sizeof(d));
	assert_int_equal(d.flags, 3);
	assert_int_equal(d.nr_regions, 9);
	assert_int_equal(d.nr_irqs, 5);
	for (i = 0; i < 9; i++) {
		r.argsz = 32;
		r.index = i;
		assert_int_equal(vf_ask(LEAP__VFU_REGION_INFO, &r, sizeof(r)),
				 0);
		memcpy(&r, vf.c.in, sizeof(r));
		assert_int_equal(r.index, i);
		assert_int_equal(r.bytes, i == 0 ? 16384 : i == 7 ? 4096 : 0);
		assert_int_equal(r.flags, r.bytes ? 3 : 0);
	}
	for (i = 0; i < 5; i++) {
		q = (struct leap__vfu_irq_info){ .argsz = 16, .index = i };
		assert_int_equal(vf_ask(LEAP__VFU_IRQ_INFO, &q, sizeof(q)), 0);
		memcpy(&q, vf.c.in, sizeof(q));
		assert_int_equal(q.count, i == 2 ? VF_VECTORS : i == 1 ? 0 : 1);
		assert_int_equal(!!(q.flags & 1), i != 1);
	}
}

/* Messages are of one kind, the other's index is empty. */
static void test_kinds(void **state)
{
	static const uint32_t counts[][2] = {	/* MSI, MSI-X */
		[LEAP_VDEV_HAS_MSIX] = { 0, VF_VECTORS },
		[LEAP_VDEV_HAS_MSI] = { VF_VECTORS, 0 },
		[LEAP_VDEV_HAS_PIN] = { 0, 0 },
	};
	struct leap__vfu_irq_info q = { .argsz = 16 };
	int fd = vf_event(), none = -1;
	uint32_t kind, i;

	(void)state;
	for (kind = 0; kind < COUNT(counts); kind++) {
		leap__vfu_server_dev(vf.server)->irqs = kind;
		for (i = 0; i < 2; i++) {
			uint32_t index = LEAP__VFU_IRQ_MSI + i;
			int ok = counts[kind][i] != 0;

			q = (struct leap__vfu_irq_info){ 16, .index = index };
			assert_int_equal(vf_ask(LEAP__VFU_IRQ_INFO, &q,
						sizeof(q)), 0);
			memcpy(&q, vf.c.in, sizeof(q));
			assert_int_equal(q.count, counts[kind][i]);
			assert_int_equal(vfu_set_irqs(&vf.c, E_FD, index, 2, 1,
						      NULL, &fd, 1),
					 ok ? 0 : EINVAL);
			assert_int_equal(vf.vdev.irq[2] >= 0, ok);
			assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, index, 2,
						      1, NULL, &none, 0),
					 ok ? 0 : EINVAL);
			assert_int_equal(vf_fired(fd), ok);
			assert_int_equal(vfu_set_irqs(&vf.c, E_NONE, index, 0,
						      0, NULL, &none, 0), 0);
			assert_int_equal(vf.vdev.irq[2], -1);
		}
	}
	close(fd);
}

static void test_bad_info(void **state)
{
	static const uint16_t cmds[] = {
		LEAP__VFU_GET_INFO, LEAP__VFU_REGION_INFO,
		LEAP__VFU_REGION_IO_FDS, LEAP__VFU_IRQ_INFO,
	};
	uint32_t p[16] = { 0 };
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(cmds); i++) {
		n = cmds[i] == LEAP__VFU_REGION_INFO ? 32 : 16;
		p[0] = (uint32_t)n;
		assert_int_equal(vf_ask(cmds[i], p, n), 0);
		assert_int_equal(vf_ask(cmds[i], p, n - 4), EINVAL);
		assert_int_equal(vf_ask(cmds[i], p, n + 4), EINVAL);
		assert_int_equal(vf_ask(cmds[i], p, 0), EINVAL);
		p[0] = (uint32_t)n - 1;
		assert_int_equal(vf_ask(cmds[i], p, n), EINVAL);
		p[0] = (uint32_t)n;
		p[2] = 99;
		assert_int_equal(vf_ask(cmds[i], p, n),
				 cmds[i] == LEAP__VFU_GET_INFO ? 0 : EINVAL);
		p[2] = 0;
	}
	/* No descriptors to be had; no such region. */
	p[0] = 16;
	p[2] = 0;
	assert_int_equal(vf_ask(LEAP__VFU_REGION_IO_FDS, p, 16), 0);
	memcpy(p, vf.c.in, 16);
	assert_int_equal(p[3], 0);
	p[2] = 3;
	assert_int_equal(vf_ask(LEAP__VFU_REGION_IO_FDS, p, 16), EINVAL);
}

static void test_unknown(void **state)
{
	static const uint16_t cmds[] = { 0, 11, 12, 14, 16, 17, 18, 19, 99,
					 65535 };
	uint8_t p[32] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cmds); i++)
		assert_int_equal(vf_ask(cmds[i], p, sizeof(p)), EOPNOTSUPP);
	/* And not a word when none is wanted. */
	vfu_send(&vf.c, 99, LEAP__VFU_NO_REPLY, p, 3, NULL, 0);
	assert_int_equal(vfu_peek(&vf.c), -1);
	assert_int_equal(vf_ask(LEAP__VFU_RESET, p, 1), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_RESET, NULL, 0), 0);
}

/* ---- regions ------------------------------------------------------------- */

static void test_regions(void **state)
{
	uint8_t buf[16384], v[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	assert_int_equal(vfu_read(&vf.c, 7, 0, buf, 4096), 0);
	assert_memory_equal(buf, vf.vdev.config, 4096);
	assert_int_equal(vfu_write(&vf.c, 0, 0x1000, v, 4, 0), 0);
	assert_int_equal(vfu_write(&vf.c, 0, 16376, v, 8, 0), 0);
	assert_int_equal(vfu_read(&vf.c, 0, 0, buf, 16384), 0);
	assert_memory_equal(buf + 0x1000, v, 4);
	assert_memory_equal(buf + 16376, v, 8);
	assert_int_equal(vfu_write(&vf.c, 7, 4, v, 2, 0), 0);
	assert_memory_equal(vf.vdev.config + 4, v, 2);
	assert_int_equal(vfu_write(&vf.c, 7, 4094, v, 2, 0), 0);
}

static void test_bad_regions(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t region, count;
	} bad[] = {
		{ 0, 0, 0 }, { 0, 1, 4 }, { 0, 6, 4 }, { 0, 8, 4 },
		{ 0, 9, 4 }, { 0, UINT32_MAX, 4 }, { 16384, 0, 1 },
		{ 16381, 0, 4 }, { 4095, 7, 2 }, { 4096, 7, 1 },
		{ UINT64_MAX, 0, 1 }, { UINT64_MAX - 3, 0, 4 },
		{ UINT64_MAX - 2, 7, 8 }, { 0, 0, 16385 },
		{ 1ull << 32, 0, 4 }, { 0, 0, 65536 }, { 0, 0, 65537 },
		{ 0, 0, UINT32_MAX },
	};
	struct leap__vfu_access a = { 0, 0, 4 };
	static uint8_t buf[65536 + 32];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(vfu_read(&vf.c, bad[i].region, bad[i].offset,
					  buf, bad[i].count), EINVAL);
		if (bad[i].count <= 65536)
			assert_int_equal(vfu_write(&vf.c, bad[i].region,
						   bad[i].offset, buf,
						   bad[i].count, 0), EINVAL);
	}
	/* Lengths that do not agree. */
	memcpy(buf, &a, sizeof(a));
	assert_int_equal(vf_ask(LEAP__VFU_REGION_READ, buf, 15), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_REGION_READ, buf, 20), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_REGION_WRITE, buf, 16), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_REGION_WRITE, buf, 19), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_REGION_WRITE, buf, 21), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_REGION_WRITE, buf, 0), EINVAL);
	assert_int_equal(vf.vdev.writes, 0);
}

static void test_posted(void **state)
{
	uint32_t i, v;

	(void)state;
	/* Many at once, with a read behind them that sees them all. */
	for (i = 0; i < 200; i++)
		vfu_write(&vf.c, 0, 0x1000 + i % 64 * 4, &i, 4,
			  LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_read(&vf.c, 0, 0x1000 + 199 % 64 * 4, &v, 4), 0);
	assert_int_equal(v, 199);
	assert_int_equal(vf.vdev.writes, 200);
	/* Not even a wrong one is answered. */
	vfu_write(&vf.c, 5, 0, &i, 4, LEAP__VFU_NO_REPLY);
	assert_int_equal(vfu_peek(&vf.c), -1);
}

static size_t multi(uint8_t *p, uint64_t n, const struct leap__vfu_write1 *w)
{
	memcpy(p, &n, 8);
	memcpy(p + 8, w, n * sizeof(*w));
	return 8 + n * sizeof(*w);
}

static void test_multi(void **state)
{
	struct leap__vfu_write1 w[3] = {
		{ 0x1000, 0, 4, { 1, 2, 3, 4 } },
		{ 0x1008, 0, 8, { 5, 6, 7, 8, 9, 10, 11, 12 } },
		{ 4, 7, 2, { 13, 14 } },
	};
	uint8_t p[128];
	uint64_t n = 0;
	size_t len;

	(void)state;
	len = multi(p, 3, w);
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, len), 0);
	memcpy(&n, vf.c.in, 8);
	assert_int_equal(n, 3);
	assert_memory_equal(vf.vdev.bar + 0x1008, w[1].data, 8);
	assert_memory_equal(vf.vdev.config + 4, w[2].data, 2);
	assert_int_equal(vf.vdev.writes, 3);
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, len - 1), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, len + 1), EINVAL);
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, 7), EINVAL);
	n = 0;
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, &n, 8), EINVAL);
	n = UINT64_MAX / 24 + 2;	/* times 24 wraps */
	memcpy(p, &n, 8);
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, len), EINVAL);
	w[2].count = 9;
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)),
			 EINVAL);
	w[2].count = 0;
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)),
			 EINVAL);
	w[2].count = 2;
	w[2].offset = 4095;
	assert_int_equal(vf_ask(LEAP__VFU_WRITE_MULTI, p, multi(p, 3, w)),
			 EINVAL);
	/* All or none. */
	assert_int_equal(vf.vdev.writes, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_bad_caps),
		cmocka_unit_test_setup_teardown(test_version,
			vf_set_up, vf_tear_down),
		cmocka_unit_test_setup_teardown(test_bad_hello,
			vf_set_up, vf_tear_down),
		cmocka_unit_test_setup_teardown(test_bad_headers,
			vf_set_up, vf_tear_down),
		VF_LIVE(test_info), VF_LIVE(test_kinds),
		VF_LIVE(test_bad_info),
		VF_LIVE(test_unknown),
		VF_LIVE(test_regions),
		VF_LIVE(test_bad_regions),
		VF_LIVE(test_posted),
		VF_LIVE(test_multi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
