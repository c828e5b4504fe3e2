/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest of an open-channel drive; see the header. */
#include "ocssd-fixture.h"

void bring_up(struct vx *w, const char *stack)
{
	struct leap_vdev_opts o = vx_opts(w);

	serve_ns(w->pg, w->ss, stack, NSID);
	vx_make(w, &o);
	gd_up(w->g, &w->cq, &w->sq, 16);
}

leap_status_t vec(struct vx *w, uint8_t opc, const uint64_t *at,
		  const uint64_t *to, uint32_t nr, void *data, uint64_t *bad)
{
	struct leap_sqe sqe = { .opc = opc };
	uint64_t used = w->g->used, buf = 0, list = gd_alloc(w->g, B);
	leap_le64 *l = gd_at(w->g, list);
	leap_status_t status;
	uint32_t i;

	for (i = 0; i < nr; i++) {
		l[i] = leap_to_le64(at[i]);
		if (to)
			l[64 + i] = leap_to_le64(to[i]);
	}
	if (data) {
		buf = gd_alloc(w->g, nr * B);
		if (opc == LEAP_OCSSD_WRITE)
			memcpy(gd_at(w->g, buf), data, nr * B);
		gd_prp(w->g, &sqe, buf, nr * B);
	}
	if (nr == 1)
		list = at[0];
	sqe.nsid = leap_to_le32(NSID);
	sqe.cdw10 = leap_to_le32((uint32_t)list);
	sqe.cdw11 = leap_to_le32((uint32_t)(list >> 32));
	sqe.cdw12 = leap_to_le32(nr - 1);
	list = !to ? 0 : nr == 1 ? to[0] : list + 64 * 8;
	sqe.cdw14 = leap_to_le32((uint32_t)list);
	sqe.cdw15 = leap_to_le32((uint32_t)(list >> 32));
	status = gd_cmd(w->g, &w->sq, &sqe);
	if (data && opc == LEAP_OCSSD_READ)
		memcpy(data, gd_at(w->g, buf), nr * B);
	w->g->used = used;
	*bad = w->g->result;
	return status;
}

leap_status_t adm(struct vx *w, uint8_t opc, uint64_t dw10, uint32_t dw12,
		  uint32_t dw13, void *buf, uint32_t bytes)
{
	struct leap_sqe sqe = { .opc = opc };
	uint64_t used = w->g->used, at = gd_alloc(w->g, bytes ? bytes : B);
	leap_status_t status;

	sqe.nsid = leap_to_le32(NSID);
	sqe.cdw10 = leap_to_le32((uint32_t)dw10);
	sqe.cdw11 = leap_to_le32((uint32_t)(dw10 >> 32));
	sqe.cdw12 = leap_to_le32(dw12);
	sqe.cdw13 = leap_to_le32(dw13);
	if (bytes)
		gd_prp(w->g, &sqe, at, bytes);
	status = gd_cmd(w->g, &w->g->asq, &sqe);
	if (bytes)
		memcpy(buf, gd_at(w->g, at), bytes);
	w->g->used = used;
	return status;
}

/* ---- the translation layer ---- */

static leap_status_t p_write(void *arg, const uint64_t *at, uint32_t nr,
			     const void *data, uint64_t *bad)
{
	return vec(arg, LEAP_OCSSD_WRITE, at, NULL, nr,
		   (void *)(uintptr_t)data, bad);
}

static leap_status_t p_read(void *arg, const uint64_t *at, uint32_t nr,
			    void *data, uint64_t *bad)
{
	return vec(arg, LEAP_OCSSD_READ, at, NULL, nr, data, bad);
}

static leap_status_t p_copy(void *arg, const uint64_t *from,
			    const uint64_t *to, uint32_t nr, uint64_t *bad)
{
	return vec(arg, LEAP_OCSSD_COPY, from, to, nr, NULL, bad);
}

static leap_status_t p_reset(void *arg, const uint64_t *at, uint32_t nr,
			     uint64_t *bad)
{
	return vec(arg, LEAP_OCSSD_RESET, at, NULL, nr, NULL, bad);
}

static const struct pblk_ops p_ops = { p_write, p_read, p_copy, p_reset };

static void stamp(uint8_t *block, uint64_t lba, uint32_t version)
{
	uint64_t x = lba << 32 | version;
	uint32_t i;

	for (i = 0; i < B; i += 8, x = x * 6364136223846793005ull + 1)
		memcpy(block + i, &x, 8);
}

struct pblk *pblk_run(struct vx *w, uint32_t writes)
{
	enum { USER = 900 };
	static uint32_t version[USER];
	static uint8_t want[B], got[B];
	struct leap_ocssd_geometry g;
	struct test_rand r = { .s = 9 };
	struct pblk *p;
	uint32_t i, lba;

	memset(version, 0, sizeof(version));
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GEOMETRY, 0, 0, 0, &g,
			     sizeof(g)), 0);
	p = pblk_new(&g, B, USER, &p_ops, w);
	for (i = 0; i < writes; i++) {
		/* Some are hot. */
		lba = test_rand_below(&r, test_rand_below(&r, 2) ? 60 : USER);
		stamp(want, lba, ++version[lba]);
		assert_int_equal(pblk_write(p, lba, want), 0);
		lba = test_rand_below(&r, USER);
		if (version[lba])
			stamp(want, lba, version[lba]);
		else
			memset(want, 0, B);
		assert_int_equal(pblk_read(p, lba, got), 0);
		assert_memory_equal(got, want, B);
	}
	for (lba = 0; lba < USER; lba++) {
		if (!version[lba])
			continue;
		stamp(want, lba, version[lba]);
		assert_int_equal(pblk_read(p, lba, got), 0);
		assert_memory_equal(got, want, B);
	}
	return p;
}
