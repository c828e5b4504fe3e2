/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conformance KIND... - the table of cases over transports, as TAP
 *
 * Runs every case over each KIND (loop, tcp, rdma, rdma-srq, shm, vfio-user,
 * vdev, lent, relay; "all" is these) at 1, 2 and 64 I/O queue pairs: cases for
 * I/O queues on every one of them. Each run leaves a transcript, and that of
 * every transport has to be what loopback's is; behind registers, but for the
 * listed answers that the standard makes differ. An emulated run leaves 64 to
 * long ones: those queue pairs run the code of the first two again. A transport
 * that is not in this build is one skipped line and counts as nothing.
 *
 * With --transcripts DIR the transcripts are kept as DIR/KIND-QPS.txt.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/leapio.h>

#include "cases.h"
#include "rig.h"
#include "util/crc32c.h"

static const unsigned int qps[] = { 1, 2, 64 };
#define NR_QPS (sizeof(qps) / sizeof(qps[0]))

struct text {
	char *s;
	size_t len, max;
};

static struct text oracle[NR_QPS];
static unsigned int nr_tests, nr_failed, nr_passed, nr_absent;
static const char *keep_dir;

static void append(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->max - t->len < 512) {
		t->max = t->max * 2 + 4096;
		t->s = realloc(t->s, t->max);
		if (!t->s)
			abort();
	}
	va_start(ap, fmt);
	n = vsnprintf(t->s + t->len, 512, fmt, ap);
	va_end(ap);
	t->len += n < 512 ? (size_t)n : 511;
}

static void tap(int ok, const char *fmt, ...)
{
	va_list ap;

	nr_tests++;
	if (ok)
		nr_passed++;
	else
		nr_failed++;
	printf("%sok %u - ", ok ? "" : "not ", nr_tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static uint8_t seeded(uint32_t seed, uint32_t i)
{
	return seed ? (uint8_t)(seed * 31 + i + (i >> 9) * 7) : 0;
}

static void put_range(uint8_t *buf, uint32_t i, uint64_t slba, uint32_t nlb)
{
	struct leap_dsm_range r = { 0 };

	r.nlb = leap_to_le32(nlb);
	r.slba = leap_to_le64(slba);
	memcpy(buf + i * sizeof(r), &r, sizeof(r));
}

/* Both formats begin alike. */
static void put_source(uint8_t *entry, uint64_t slba, uint32_t nlb)
{
	struct leap_copy_range0 r = { 0 };

	r.slba = leap_to_le64(slba);
	r.nlb = leap_to_le16((uint16_t)(nlb - 1));
	memcpy(entry, &r, sizeof(r));
}

static void fill_copy(const struct testcase *c, uint8_t *buf)
{
	uint32_t i, bytes = (c->cdw[2] >> 8 & 1) ? 40 : 32, nr = c->len / bytes;

	memset(buf, 0, c->len);
	for (i = 0; i < nr; i++)
		put_source(buf + i * bytes, c->seed + (uint64_t)i * c->arg,
			   c->arg);
	if (c->fill == FILL_COPY_BAD_LAST)
		put_source(buf + (nr - 1) * bytes, NS1_LBAS, 1);
	if (c->fill == FILL_COPY_OVERFLOW)
		put_source(buf + (nr - 1) * bytes, UINT64_MAX - 3, 8);
}

static void fill(const struct testcase *c, uint8_t *buf)
{
	uint32_t i, nr = c->len / 16;

	if (c->fill >= FILL_COPY) {
		fill_copy(c, buf);
		return;
	}
	if (c->fill == FILL_SEED) {
		for (i = 0; i < c->len; i++)
			buf[i] = seeded(c->seed, i);
		return;
	}
	for (i = 0; i < nr; i++)
		put_range(buf, i, c->seed + i, c->arg);
	if (c->fill == FILL_DSM_BAD_LAST)
		put_range(buf, nr - 1, NS1_LBAS, 1);
	if (c->fill == FILL_DSM_OVERFLOW)
		put_range(buf, nr - 1, UINT64_MAX - 3, 8);
}

static int to_host(const struct testcase *c)
{
	uint32_t op = c->opc == LEAP_ADM_FABRICS ? c->nsid : c->opc;

	return LEAP_OPC_DIR(op) == LEAP_DIR_TO_HOST;
}

static void build(const struct testcase *c, struct leap_sqe *sqe)
{
	sqe->opc = c->opc;
	sqe->flags = c->fuse & LEAP_SQE_FUSE_MASK;
	sqe->nsid = leap_to_le32(c->nsid);
	sqe->cdw10 = leap_to_le32(c->cdw[0]);
	sqe->cdw11 = leap_to_le32(c->cdw[1]);
	sqe->cdw12 = leap_to_le32(c->cdw[2]);
	sqe->cdw13 = leap_to_le32(c->cdw[3]);
	sqe->cdw14 = leap_to_le32(c->cdw[4]);
	sqe->cdw15 = leap_to_le32(c->cdw[5]);
}

/* The discovery cases are left out as a whole. */
static const struct difference *difference(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_differences; i++)
		if (!strcmp(differences[i].name, name))
			return &differences[i];
	return NULL;
}

/* As it is asked of @rig. */
static struct testcase as_asked(const struct rig *rig,
				const struct testcase *c)
{
	const struct difference *d = difference(c->name);
	struct testcase t = *c;

	if (rig->registers && d) {
		t.status = d->status;
		t.check = d->check;
	}
	return t;
}

/* What is wrong with an answer, or NULL. */
static const char *judge(const struct testcase *c, const struct rig_req *r,
			 const uint8_t *buf)
{
	leap_status_t status = leap_req_status(&r->req);
	static char why[120];
	uint32_t i;

	if (LEAP_STATUS_CODE(status) != c->status) {
		snprintf(why, sizeof(why), "status %x/%02x, not %x/%02x",
			 LEAP_STATUS_SCT(status), LEAP_STATUS_SC(status),
			 LEAP_STATUS_SCT(c->status), LEAP_STATUS_SC(c->status));
		return why;
	}
	/* None of the errors here goes away by itself. */
	if (status && !(status & LEAP_STATUS_DNR))
		return "DNR is not set";
	if (c->check_result && leap_req_result(&r->req) != c->result) {
		snprintf(why, sizeof(why), "result %llx, not %llx",
			 (unsigned long long)leap_req_result(&r->req),
			 (unsigned long long)c->result);
		return why;
	}
	if (status || !to_host(c) || !c->len)
		return NULL;
	for (i = 0; c->seed && i < c->len; i++)
		if (buf[i] != seeded(c->seed, i))
			return "payload is not what was written";
	return c->check ? c->check(buf, c->len) : NULL;
}

/* How payload is described differs by transport: SGLS is no part of it. */
static void blank(const struct testcase *c, uint8_t *buf)
{
	if (c->opc == LEAP_ADM_IDENTIFY && c->queue != Q_IO &&
	    (c->cdw[0] & 0xff) == LEAP_CNS_CTRL && c->len == 4096)
		memset(buf + offsetof(struct leap_id_ctrl, sgls), 0, 4);
}

/* A case under way on a queue pair. */
struct run {
	struct rig_req r;	/* first */
	const struct testcase *c;
	uint8_t *buf;
	char why[120];
};

static void prepare(struct run *run, const struct testcase *c)
{
	memset(run, 0, sizeof(*run));
	run->c = c;
	run->buf = malloc(c->len ? c->len : 1);
	memset(run->buf, 0xee, c->len);
	if (!to_host(c))
		fill(c, run->buf);
	build(c, &run->r.req.sqe);
	rig_prepare(&run->r, run->buf, c->len);
}

/* What is wrong, and a line of the transcript. */
static const char *conclude(struct run *run, int err, struct text *t)
{
	const struct testcase *c = run->c;
	const struct leap_req *req = &run->r.req;
	const char *why;

	if (err) {
		why = err == -ETIMEDOUT ? "no answer" : "not accepted";
		append(t, "%s: %s\n", c->name, why);
	} else {
		why = judge(c, &run->r, run->buf);
		if (why)
			snprintf(run->why, sizeof(run->why), "%s", why);
		blank(c, run->buf);
		/* M: the error log had room, which is a matter of time. */
		append(t, "%s: %04x %llx %08x\n", c->name,
		       leap_req_status(req) & ~LEAP_STATUS_MORE,
		       c->no_data ? 0 : (unsigned long long)
					leap_req_result(req),
		       c->no_data || !to_host(c) || leap_req_status(req) ?
		       0 : leap__crc32c(0, run->buf, c->len));
	}
	free(run->buf);
	return !err && why ? run->why : why;
}

/* A case, or two that go together, on one queue pair. */
static void run_on(struct rig *rig, struct leap_qp *qp,
		   const struct testcase *c, unsigned int n, struct text *t,
		   const char **why)
{
	static struct run run[2];
	struct rig_req *const r[] = { &run[0].r, &run[1].r };
	unsigned int i;
	int err;

	for (i = 0; i < n; i++)
		prepare(&run[i], &c[i]);
	err = rig_run_all(rig, qp, r, n);
	for (i = 0; i < n; i++) {
		const char *one = conclude(&run[i], err, t);

		if (one)
			why[i] = one;
	}
}

static void say(const char *kind, unsigned int n, const struct testcase *c,
		const char *why)
{
	tap(!why, "%s/%u %s: %s [%s]%s%s", kind, n,
	    c->queue == Q_IO || c->queue == Q_ONE ? "io" :
	    c->queue == Q_DISC ? "disc" : "admin",
	    c->name, c->spec, why ? ": " : "", why ? why : "");
	fflush(stdout);
}

/* How many cases of the table that was. */
static unsigned int run_case(struct rig *rig, const char *kind, unsigned int n,
			     const struct testcase *from, struct text *t)
{
	unsigned int nr = from->fuse & FUSE_PAIR ? 2 : 1, i;
	struct testcase c[2] = { as_asked(rig, from) };
	const char *why[2] = { NULL, NULL };

	if (nr == 2)
		c[1] = as_asked(rig, from + 1);
	if (c->queue == Q_IO)
		for (i = 0; !why[0] && !why[1] && i < rig->nr_io; i++)
			run_on(rig, rig->io[i], c, nr, t, why);
	else
		run_on(rig, c->queue == Q_DISC ? rig->disc :
		       c->queue == Q_ONE ? rig->io[rig->nr_io - 1] :
		       rig->admin, c, nr, t, why);
	for (i = 0; i < nr; i++)
		say(kind, n, &c[i], why[i]);
	return nr;
}

static void keep(const char *kind, unsigned int n, const struct text *t)
{
	char path[400];
	FILE *f;

	if (!keep_dir)
		return;
	snprintf(path, sizeof(path), "%s/%s-%u.txt", keep_dir, kind, n);
	f = fopen(path, "w");
	if (!f || fwrite(t->s, 1, t->len, f) != t->len)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	if (f)
		fclose(f);
}

/* What a borrower may not do, or would see if it might: the drive is others' as
 * well. */
static int changes(const char *name)
{
	if (!strncmp(name, "set feature: ", 13) ||
	    !strncmp(name, "zones: set profile", 18))
		return 1;
	return !strncmp(name, "get feature: ", 13) &&
	       (strstr(name, ", as set") || strstr(name, ", under") ||
		strstr(name, "keep alive"));
}

/* A transcript without the lines that differ by the standard. */
static struct text common(const struct text *t, int lent)
{
	struct text out = { 0 };
	const char *line = t->s, *end, *colon;
	unsigned int i;
	char name[200];

	for (; (end = strchr(line, '\n')); line = end + 1) {
		colon = end;
		/* "name: status result crc": names have colons, too. */
		for (i = 0; i < 1 && colon > line; colon--)
			i += *colon == ':';
		snprintf(name, sizeof(name), "%.*s",
			 (int)(colon + 1 - line), line);
		if (!difference(name) && strncmp(line, "discovery: ", 11) &&
		    !(lent && changes(name)))
			append(&out, "%.*s", (int)(end + 1 - line), line);
	}
	return out;
}

/* Behind registers: everything else has to be the same. */
static void compare_common(const char *kind, unsigned int i, struct text *t)
{
	int lent = !strcmp(kind, "lent");
	struct text a = common(&oracle[i], lent), b = common(t, lent);

	tap(a.len == b.len && a.len && !memcmp(a.s, b.s, a.len),
	    "%s/%u transcript equals loopback's, but for what the standard "
	    "makes differ", kind, qps[i]);
	free(a.s);
	free(b.s);
	free(t->s);
}

static void say_differences(void)
{
	unsigned int i;

	printf("# behind registers, by the standard:\n");
	for (i = 0; i < nr_differences; i++)
		printf("#   %s: %s\n", differences[i].name,
		       differences[i].why);
	printf("#   discovery: a drive behind registers is found by its bus "
	       "(%u cases not asked)\n", nr_disc_cases);
	printf("#   set feature, lent: a borrower does not change the drive "
	       "for others\n");
}

static void compare(const char *kind, unsigned int i, struct text *t)
{
	if (!oracle[i].s) {
		oracle[i] = *t;
		return;
	}
	tap(t->len == oracle[i].len && !memcmp(t->s, oracle[i].s, t->len),
	    "%s/%u transcript equals loopback's", kind, qps[i]);
	free(t->s);
}

/* 0, or -EPROTONOSUPPORT. */
static int run_kind(const char *kind, unsigned int i)
{
	struct text t = { 0 };
	struct rig rig;
	unsigned int k;
	int err;

	/* More than one queue pair: spread over two I/O groups. */
	err = rig_start(&rig, kind, qps[i], qps[i] > 1 ? 2 : 0, MDTS);
	if (err == -EPROTONOSUPPORT) {
		rig_stop(&rig);
		return err;
	}
	if (err) {
		tap(0, "%s/%u starts: %s", kind, qps[i], strerror(-err));
		rig_stop(&rig);
		return 0;
	}
	for (k = 0; k < nr_io_cases; )
		k += run_case(&rig, kind, qps[i], &io_cases[k], &t);
	for (k = 0; k < nr_zns_cases; k++)
		if (!rig.lent || !changes(zns_cases[k].name))
			run_case(&rig, kind, qps[i], &zns_cases[k], &t);
	for (k = 0; k < nr_admin_cases; k++)
		if (!rig.lent || !changes(admin_cases[k].name))
			run_case(&rig, kind, qps[i], &admin_cases[k], &t);
	for (k = 0; rig.disc && k < nr_disc_cases; k++)
		run_case(&rig, kind, qps[i], &disc_cases[k], &t);
	err = rig_stop(&rig);
	tap(!err, "%s/%u ends, nothing left", kind, qps[i]);
	keep(kind, qps[i], &t);
	if (rig.registers)
		compare_common(kind, i, &t);
	else
		compare(kind, i, &t);
	return 0;
}

static unsigned int nr_qps(void)
{
	const char *cross = getenv("LEAP_CROSS"), *all = getenv("LEAP_LONG");

	return cross && *cross && !(all && *all) ? NR_QPS - 1 : NR_QPS;
}

static void run_all(const char *kind)
{
	unsigned int i;

	for (i = 0; i < nr_qps(); i++) {
		if (run_kind(kind, i) != -EPROTONOSUPPORT)
			continue;
		nr_tests++;
		nr_absent++;
		printf("ok %u - %s # SKIP transport is not in this build\n",
		       nr_tests, kind);
		return;
	}
}

int main(int argc, char **argv)
{
	static const char *const kinds[] = { "loop", "tcp", "rdma",
					     "rdma-srq", "shm",
					     "vfio-user", "vdev", "lent",
					     "relay" };
	int i, first = 1, all;
	unsigned int k;

	if (argc > 2 && !strcmp(argv[1], "--transcripts")) {
		keep_dir = argv[2];
		first = 3;
	}
	all = first >= argc || !strcmp(argv[first], "all");
	printf("# %u cases: %u I/O, %u of zones, %u admin, %u discovery\n",
	       nr_io_cases + nr_zns_cases + nr_admin_cases + nr_disc_cases,
	       nr_io_cases, nr_zns_cases, nr_admin_cases, nr_disc_cases);
	say_differences();
	/* Loopback first, always: it is what the others are held to. */
	run_all("loop");
	for (k = 1; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		int wanted = all;

		for (i = first; i < argc; i++)
			wanted |= !strcmp(argv[i], kinds[k]);
		if (wanted)
			run_all(kinds[k]);
	}
	printf("1..%u\n# passed %u, failed %u, transports absent %u\n",
	       nr_tests, nr_passed, nr_failed, nr_absent);
	for (k = 0; k < NR_QPS; k++)
		free(oracle[k].s);
	return nr_failed ? 1 : 0;
}
