/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * far share URL | far use URL: both ends of far memory, for two machines.
 *
 * The owner fills its memory, says its URL and waits for SIGTERM; then every
 * byte has to be inverted. The other end reads the memory by RDMA, looks
 * whether it is as the owner filled it, inverts it and writes it back: half of
 * it, then "half" and a line on stdin, then the rest.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <leapio/leapio.h>
#include <leapio/plugin/transport_ops.h>

#define BYTES	(4u << 20)
#define GPA	0x100000000ull

static struct leap_pollgroup *pg;
static volatile sig_atomic_t ends;

static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i * 31 + i / 4096);
}

static void on_signal(int sig)
{
	(void)sig;
	ends = 1;
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static int fail(const char *what)
{
	fprintf(stderr, "far: %s: %s\n", what, leap_last_error());
	return 1;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "far: %s\n", text);
}

/* ---- the owner ---- */

static int share(const char *url)
{
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_share_opts so = LEAP_SHARE_OPTS_INIT;
	struct leap_share *s;
	uint32_t i, bad = 0;
	uint8_t *mem;
	int done = 0;

	mo.bytes = BYTES;
	if (leap_dmabuf_create(&mo, &so.buf))
		return fail("memory");
	mem = leap_dmabuf_addr(so.buf);
	for (i = 0; i < BYTES; i++)
		mem[i] = pattern(i);
	so.url = url;
	so.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	if (leap_share_create(pg, &so, &s))
		return fail(url);
	printf("sharing %s\n", leap_share_url(s));
	fflush(stdout);
	while (!ends)
		leap_pollgroup_wait(pg, 100000000);
	leap_share_destroy(s, set_flag, &done);
	while (!done)
		leap_pollgroup_wait(pg, -1);
	for (i = 0; i < BYTES; i++)
		bad += mem[i] != 255 - pattern(i);
	printf("%u of %u bytes are not inverted\n", bad, BYTES);
	leap_dmabuf_put(so.buf);
	return bad != 0;
}

/* ---- the other end ---- */

static struct leap_farmem *far_memory;
static struct leap_ats *ats;
static struct leap_ats_view *view;

static void on_opened(struct leap_farmem *far, int err, void *arg)
{
	(void)far;
	*(int *)arg = err ? err : 1;
}

static void on_moved(struct leap_ats_io *io, int err)
{
	*(int *)io->arg = err ? err : 1;
}

static int move(uint32_t at, uint8_t *buf, uint32_t bytes, int out)
{
	int moved = 0, rc;
	struct leap_ats_io io = {
		.gpa = { GPA + at }, .buf = buf, .bytes = bytes,
		.done = on_moved, .arg = &moved,
	};

	rc = out ? leap_ats_write(view, &io) : leap_ats_read(view, &io);
	while (!rc && !moved)
		leap_pollgroup_wait(pg, -1);
	return rc ? rc : moved == 1 ? 0 : moved;
}

static int invert(uint32_t at, uint8_t *buf, uint32_t bytes)
{
	uint32_t i;
	int err = move(at, buf, bytes, 0);

	for (i = 0; !err && i < bytes; i++) {
		if (buf[i] != pattern(at + i))
			err = -EIO;
		buf[i] = (uint8_t)(255 - buf[i]);
	}
	if (!err)
		err = move(at, buf, bytes, 1);
	if (err)
		fprintf(stderr, "far: %u bytes at %#x: %s\n", bytes, at,
			strerror(-err));
	return err;
}

/* Sizes from one byte to a whole buffer, at every alignment. */
static int some(uint32_t from, uint32_t to, uint8_t *buf, uint32_t most)
{
	uint32_t n = 1, left;
	int err = 0;

	for (; from < to && !err; from += n) {
		n = n * 3 % most + 1;
		left = to - from;
		n = n < left ? n : left;
		err = invert(from, buf, n);
	}
	return err;
}

static int map(void)
{
	struct leap_ats_range range = LEAP_ATS_RANGE_INIT;

	range.gpa.addr = GPA;
	if (leap_farmem_bytes(far_memory) != BYTES ||
	    leap_farmem_range(far_memory, 0, BYTES,
			      LEAP_PERM_READ | LEAP_PERM_WRITE, &range) ||
	    leap_ats_create(NULL, &ats) || leap_ats_map(ats, &range) ||
	    leap_ats_attach(ats, pg, &view))
		return fail("map");
	return 0;
}

static int unmap(void)
{
	int done = 0;

	if (leap_ats_unmap(ats, (leap_gpa_t){ GPA }, BYTES, set_flag, &done))
		return fail("unmap");
	while (!done)
		leap_pollgroup_wait(pg, -1);
	return leap_ats_detach(view) || leap_ats_destroy(ats);
}

static int use(const char *url)
{
	struct leap_farmem_opts fo = LEAP_FARMEM_OPTS_INIT;
	uint32_t most = leap_pollgroup_buf_bytes(pg);
	uint8_t *buf = leap_pollgroup_buf_get(pg);
	int opened = 0, done = 0, rc;

	fo.url = url;
	fo.opened = on_opened;
	fo.arg = &opened;
	if (leap_farmem_open(pg, &fo, &far_memory))
		return fail(url);
	while (!opened)
		leap_pollgroup_wait(pg, -1);
	rc = opened != 1 ? fail("open") : map();
	if (rc)
		return rc;
	rc = some(0, BYTES / 2, buf, most);
	if (!rc) {
		printf("half\n");
		fflush(stdout);
		getchar();
		rc = some(BYTES / 2, BYTES, buf, most);
	}
	rc |= unmap();
	leap_pollgroup_buf_put(pg, buf);
	leap_farmem_close(far_memory, set_flag, &done);
	while (!done)
		leap_pollgroup_wait(pg, -1);
	return rc != 0;
}

int main(int argc, char **argv)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct sigaction sa = { .sa_handler = on_signal };
	int rc;

	if (argc != 3 || (strcmp(argv[1], "share") && strcmp(argv[1], "use"))) {
		fprintf(stderr, "usage: far share URL | far use URL\n");
		return 2;
	}
	sigaction(SIGTERM, &sa, NULL);
	po.log = log_line;
	if (leap_pollgroup_create(&po, &pg))
		return fail("poll group");
	rc = strcmp(argv[1], "share") ? use(argv[2]) : share(argv[2]);
	if (!rc && leap_pollgroup_destroy(pg))
		rc = fail("something is left");
	return rc;
}
