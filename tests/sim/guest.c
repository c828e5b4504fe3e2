/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that is against us: it unmaps memory that commands use, asks for what
 * cannot be had, and changes its lists at the moment after they were copied.
 */
#include "sim-test.h"

#include "util/plant.h"

#include <leapio/ats.h>
#include <leapio/dmabuf.h>
#include <leapio/endian.h>
#include <leapio/nvme.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE 4096u
#define PAGES 64u
#define LOW 0x100000ull
#define HIGH 0x40000000ull

struct guest {
	struct leap_sim *sim;
	struct leap_pollgroup *pg;
	struct leap_dmabuf *ram[2];
	struct leap_ats *ats;
	struct leap_ats_view *view;
	struct leap_pins pins;
	struct leap_piece piece[16];
	uint32_t gone;
	char failed[128];
};

static void fail(struct guest *g, const char *why)
{
	if (!g->failed[0])
		snprintf(g->failed, sizeof(g->failed), "%s", why);
}

static void map(struct guest *g, int i)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = i ? HIGH : LOW;
	r.bytes = PAGES * PAGE;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_DMABUF;
	r.buf = g->ram[i];
	if (leap_ats_map(g->ats, &r))
		fail(g, leap_last_error());
}

static void begin(struct guest *g, uint64_t seed)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	int i;

	memset(g, 0, sizeof(*g));
	g->sim = leap_sim_create(&(struct leap_sim_opts){ .seed = seed });
	po.world = LEAP_WORLD_SIM;
	po.sim = g->sim;
	opts.bytes = PAGES * PAGE;
	if (leap_pollgroup_create(&po, &g->pg) ||
	    leap_ats_create(NULL, &g->ats) ||
	    leap_ats_attach(g->ats, g->pg, &g->view))
		fail(g, leap_last_error());
	leap_sim_add(g->sim, g->pg);
	for (i = 0; i < 2 && !g->failed[0]; i++) {
		if (leap_dmabuf_create(&opts, &g->ram[i]))
			fail(g, leap_last_error());
		map(g, i);
	}
}

static uint64_t end(struct guest *g)
{
	struct leap_ats_stats st = { sizeof(st) };
	uint64_t hash = leap_sim_trace_hash(g->sim) | 1;

	leap_ats_view_stats(g->view, &st);
	if (st.pins)
		fail(g, "leak: pins are held at the end");
	if (!g->failed[0] && leap_ats_detach(g->view))
		fail(g, "leak: the view is in use");
	if (!g->failed[0] && leap_ats_destroy(g->ats))
		fail(g, "leak: the address space is in use");
	snprintf(sim_why, sizeof(sim_why), "%s", g->failed);
	if (g->failed[0]) {
		keep(g->view);
		keep(g->ats);
		return 0;
	}
	leap_dmabuf_put(g->ram[0]);
	leap_dmabuf_put(g->ram[1]);
	if (leap_pollgroup_destroy(g->pg))
		return 0;
	leap_sim_destroy(g->sim);
	return hash;
}

static uint64_t some_page(struct guest *g, int i)
{
	return (i ? HIGH : LOW) + leap_sim_below(g->sim, PAGES) * PAGE;
}

static int translate(struct guest *g, uint64_t gpa, uint64_t len,
		     struct leap_pins *pins, uint32_t max)
{
	return leap_ats_translate(g->view, (leap_gpa_t){ gpa }, len,
				  LEAP_PERM_READ, g->piece, max, pins);
}

static void unmapped(void *arg)
{
	((struct guest *)arg)->gone++;
}

/* While one command still has its pin, nobody else gets in. */
static uint64_t unmap(uint64_t seed)
{
	struct leap_pins more = { 0 };
	struct guest g;
	uint64_t at;

	begin(&g, seed);
	at = some_page(&g, 0);
	if (translate(&g, at, PAGE, &g.pins, 4) != 1)
		fail(&g, "a mapped page does not translate");
	if (leap_ats_unmap(g.ats, (leap_gpa_t){ LOW }, PAGES * PAGE, unmapped,
			   &g))
		fail(&g, "unmap is refused");
	leap_sim_run(g.sim, NULL, NULL, MS);
	if (g.gone)
		fail(&g, "unmap ended while a command had the memory");
	if (translate(&g, at, 512, &more, 4) != -EFAULT)
		fail(&g, "an unmapped page still translates");
	if (translate(&g, some_page(&g, 1), PAGE, &more, 4) != 1)
		fail(&g, "another range went with it");
	leap_ats_release(g.view, &more);
	leap_ats_release(g.view, &g.pins);
	leap_sim_run(g.sim, NULL, NULL, MS);
	if (!g.gone)
		fail(&g, "unmap never ended");
	return end(&g);
}

static void sgl(struct guest *g, uint64_t at, uint64_t addr, uint32_t len,
		uint8_t type)
{
	struct leap_sgl_desc *d = (struct leap_sgl_desc *)(void *)
		((uint8_t *)leap_dmabuf_addr(g->ram[0]) + (at - LOW));

	memset(d, 0, sizeof(*d));
	d->addr = leap_to_le64(addr);
	d->len = leap_to_le32(len);
	d->type = type;
}

/* Lists with more pieces than fit, and holes: what was pinned is let go. */
static uint64_t refused(uint64_t seed)
{
	struct leap_sgl_desc first;
	leap_status_t status;
	struct guest g;
	uint32_t i, nr, n;

	begin(&g, seed);
	for (n = 0; n < 20; n++) {
		uint32_t max = 1 + leap_sim_below(g.sim, 4);
		uint32_t hole = leap_sim_below(g.sim, 8);

		for (i = 0; i < 8; i++)
			sgl(&g, LOW + i * 16, i == hole && n & 1 ?
			    HIGH + PAGES * PAGE : some_page(&g, i & 1), 512,
			    LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					LEAP_SGL_SUB_ADDRESS));
		memset(&first, 0, sizeof(first));
		first.addr = leap_to_le64(LOW);
		first.len = leap_to_le32(8 * 16);
		first.type = LEAP_SGL_ID(LEAP_SGL_TYPE_LAST,
					 LEAP_SGL_SUB_ADDRESS);
		if (!leap_ats_sgl(g.view, &first, 8 * 512, 0, LEAP_PERM_READ,
				  g.piece, max, &nr, &g.pins, &status))
			fail(&g, "a list with too many pieces was taken");
		leap_ats_release(g.view, &g.pins);
	}
	return end(&g);
}

#ifdef LEAP_PLANTED
static struct guest *attacker;

/* The guest's other processor: after the copy of the first segment, its link
 * becomes something that the check would have refused. */
static void attack(const void *src, size_t n)
{
	struct guest *g = attacker;

	(void)src;
	(void)n;
	sgl(g, LOW + 16, LOW + PAGE, 16 * 1000 + 8,
	    LEAP_SGL_ID(LEAP_SGL_TYPE_SEGMENT, LEAP_SGL_SUB_ADDRESS));
}

static uint64_t fetched(uint64_t seed)
{
	struct leap_sgl_desc first;
	leap_status_t status;
	uint64_t data;
	struct guest g;
	uint32_t nr = 0;
	int err;

	begin(&g, seed);
	data = some_page(&g, 1);
	sgl(&g, LOW, data, 512, LEAP_SGL_ID(LEAP_SGL_TYPE_DATA,
					    LEAP_SGL_SUB_ADDRESS));
	sgl(&g, LOW + 16, LOW + PAGE, 16, LEAP_SGL_ID(LEAP_SGL_TYPE_LAST,
						      LEAP_SGL_SUB_ADDRESS));
	sgl(&g, LOW + PAGE, data + 512, 512,
	    LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_ADDRESS));
	memset(&first, 0, sizeof(first));
	first.addr = leap_to_le64(LOW);
	first.len = leap_to_le32(32);
	first.type = LEAP_SGL_ID(LEAP_SGL_TYPE_SEGMENT, LEAP_SGL_SUB_ADDRESS);
	attacker = &g;
	leap__plant_copied = attack;
	err = leap_ats_sgl(g.view, &first, 1024, 0, LEAP_PERM_READ, g.piece, 16,
			   &nr, &g.pins, &status);
	leap__plant_copied = NULL;
	if (err || nr != 1 || g.piece[0].len_bytes != 1024)
		fail(&g, "what was checked is not what was used");
	leap_ats_release(g.view, &g.pins);
	return end(&g);
}
#endif

const struct sim_case guest_cases[] = {
	{ "unmap under a command", unmap, 20, { "STALE_TRANSLATION" } },
	{ "refused lists", refused, 20, { "PIN_LEAK" } },
#ifdef LEAP_PLANTED
	{ "list changed after the copy", fetched, 20, { "DOUBLE_FETCH" } },
#endif
	{ NULL, NULL, 0, { NULL } },
};
