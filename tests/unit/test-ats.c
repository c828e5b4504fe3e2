/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address spaces: ranges, pins and unmapping, PRP and SGL against a model that
 * walks the same memory byte by byte, hostile lists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <leapio/ats.h>
#include <leapio/dmabuf.h>
#include <leapio/endian.h>
#include <leapio/pollgroup.h>

#include "ats/ats.h"
#include "unit.h"

#define PAGE 4096u
#define RAM_PAGES 256u
#define LOW 0x10000ull		/* guest address of the first range */
#define HIGH 0x100000000ull	/* of the second */
#define MAX_PIECES 600

struct world {
	struct leap_pollgroup *pg;
	struct leap_dmabuf *ram[2];
	struct leap_ats *ats;
	struct leap_ats_view *view;
	struct leap_piece pieces[MAX_PIECES];
	struct leap_pins pins;
	uint32_t nr;
	uint16_t status;
	int unmapped;
};

static uint64_t rnd_state = 1;

static uint32_t rnd(uint32_t n)
{
	rnd_state = rnd_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rnd_state >> 33) % n;
}

static void map(struct world *w, int i, uint64_t gpa, uint32_t perm)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = gpa;
	r.bytes = RAM_PAGES * PAGE;
	r.perm = perm;
	r.source = LEAP_ATS_DMABUF;
	r.buf = w->ram[i];
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
}

static int set_up(void **state)
{
	struct leap_dmabuf_opts opts = LEAP_DMABUF_OPTS_INIT;
	struct world *w = calloc(1, sizeof(*w));
	int i;

	assert_non_null(w);
	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	opts.bytes = RAM_PAGES * PAGE;
	for (i = 0; i < 2; i++)
		assert_int_equal(leap_dmabuf_create(&opts, &w->ram[i]), 0);
	assert_int_equal(leap_ats_create(NULL, &w->ats), 0);
	assert_int_equal(leap_ats_attach(w->ats, w->pg, &w->view), 0);
	map(w, 0, LOW, LEAP_PERM_READ | LEAP_PERM_WRITE);
	map(w, 1, HIGH, LEAP_PERM_READ | LEAP_PERM_WRITE);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	leap_ats_release(w->view, &w->pins);
	assert_int_equal(leap_ats_detach(w->view), 0);
	assert_int_equal(leap_ats_destroy(w->ats), 0);
	leap_dmabuf_put(w->ram[0]);
	leap_dmabuf_put(w->ram[1]);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

/* Where a guest address is in this process, by the model. */
static uint8_t *host_of(struct world *w, uint64_t gpa)
{
	if (gpa >= LOW && gpa < LOW + RAM_PAGES * PAGE)
		return (uint8_t *)leap_dmabuf_addr(w->ram[0]) + (gpa - LOW);
	if (gpa >= HIGH && gpa < HIGH + RAM_PAGES * PAGE)
		return (uint8_t *)leap_dmabuf_addr(w->ram[1]) + (gpa - HIGH);
	return NULL;
}

static uint64_t page_at(uint32_t i)
{
	return i < RAM_PAGES ? LOW + (uint64_t)i * PAGE :
		HIGH + (uint64_t)(i - RAM_PAGES) * PAGE;
}

static void put64(struct world *w, uint64_t gpa, uint64_t v)
{
	leap_le64 le = leap_to_le64(v);

	memcpy(host_of(w, gpa), &le, 8);
}

static void test_translate_spans_and_merges(void **state)
{
	struct world *w = *state;
	int n;

	n = leap_ats_translate(w->view, (leap_gpa_t){ LOW + 100 }, 3 * PAGE,
			       LEAP_PERM_WRITE, w->pieces, 1, &w->pins);
	assert_int_equal(n, 1);
	assert_ptr_equal(w->pieces[0].addr, host_of(w, LOW + 100));
	assert_int_equal(w->pieces[0].len_bytes, 3 * PAGE);
	assert_ptr_equal(w->pieces[0].buf, w->ram[0]);
	assert_int_equal(w->pins.nr, 1);
	/* A hole behind the range. */
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ LOW +
			 RAM_PAGES * PAGE - 1 }, 2, LEAP_PERM_READ, w->pieces,
			 4, &w->pins), -EFAULT);
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){
			 UINT64_MAX - 1 }, 16, LEAP_PERM_READ, w->pieces, 4,
			 &w->pins), -EFAULT);
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ LOW }, 0,
			 LEAP_PERM_READ, w->pieces, 4, &w->pins), -EINVAL);
}

static void test_map_refuses(void **state)
{
	struct world *w = *state;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	r.gpa.addr = LOW + PAGE;
	r.bytes = PAGE;
	r.perm = LEAP_PERM_READ;
	r.source = LEAP_ATS_MESSAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), -EEXIST);
	assert_last_error("leap_ats_map: ");
	r.gpa.addr = LOW - PAGE;
	r.bytes = PAGE + 1;
	assert_int_equal(leap_ats_map(w->ats, &r), -EEXIST);
	r.gpa.addr = UINT64_MAX - 10;
	r.bytes = 100;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.bytes = 0;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.gpa.addr = 0;
	r.bytes = 16;
	r.perm = 8;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.perm = LEAP_PERM_READ;
	r.source = 77;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	/* The very last bytes of the address space are a range like others. */
	r.source = LEAP_ATS_MESSAGE;
	r.gpa.addr = UINT64_MAX - 15;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_translate(w->view, r.gpa, 16, LEAP_PERM_READ,
					    w->pieces, 1, &w->pins), 1);
	assert_int_equal(w->pieces[0].reach, LEAP_REACH_MESSAGE);
	assert_int_equal(leap_ats_translate(w->view, r.gpa, 16,
			 LEAP_PERM_WRITE, w->pieces, 1, &w->pins), -EACCES);
}

static int file(unsigned int seals, uint32_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, bytes), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* From anywhere in a file; from one that may shrink only if that is trusted. */
static void test_map_files(void **state)
{
	struct world *w = *state;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	char text[8] = { 0 };

	r.fd = file(F_SEAL_SHRINK, 3 * PAGE);
	assert_int_equal(pwrite(r.fd, "here", 4, PAGE + 100), 4);
	r.gpa.addr = 0x100;
	r.bytes = 2 * PAGE - 100;
	r.offset = PAGE + 100;
	r.perm = LEAP_PERM_READ;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_copy_in(w->view, text, r.gpa, 4), 0);
	assert_string_equal(text, "here");
	r.gpa.addr = 0x10000000;
	r.bytes++;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	close(r.fd);
	r.fd = file(0, PAGE);
	assert_int_equal(pwrite(r.fd, "there", 5, 0), 5);
	r.offset = 0;
	r.bytes = PAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), -EACCES);
	assert_last_error("F_SEAL_SHRINK");
	r.perm |= LEAP_PERM_UNSEALED;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(leap_ats_copy_in(w->view, text, r.gpa, 5), 0);
	assert_string_equal(text, "there");
	assert_int_equal(leap_ats_copy_out(w->view, r.gpa, text, 1), -EACCES);
	r.gpa.addr += PAGE;
	r.bytes++;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	close(r.fd);
}

static void count(void *arg)
{
	((struct world *)arg)->unmapped++;
}

static void test_unmap_waits_for_pins(void **state)
{
	struct world *w = *state;
	leap_gpa_t low = { LOW };

	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
					    w->pieces, 1, &w->pins), 1);
	assert_int_equal(leap_ats_unmap(w->ats, low, PAGE, count, w), -ENOENT);
	assert_int_equal(leap_ats_unmap(w->ats, low, RAM_PAGES * PAGE, count,
					w), 0);
	assert_int_equal(w->unmapped, 0);
	assert_int_equal(leap_ats_detach(w->view), -EBUSY);
	/* Nothing new, not even from the cache; the old pin still holds. */
	struct leap_pins other = { 0 };

	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
			 w->pieces, 1, &other), -EFAULT);
	*(volatile uint8_t *)host_of(w, LOW) = 1;
	/* The same address may be mapped anew while the old range drains. */
	map(w, 0, LOW, LEAP_PERM_READ);
	assert_int_equal(leap_ats_translate(w->view, low, PAGE, LEAP_PERM_READ,
					    w->pieces, 1, &other), 1);
	leap_ats_release(w->view, &w->pins);
	assert_int_equal(w->unmapped, 1);
	leap_ats_release(w->view, &other);
	assert_int_equal(w->unmapped, 1);
}

static void test_unmap_without_pins(void **state)
{
	struct world *w = *state;

	assert_int_equal(leap_ats_unmap(w->ats, (leap_gpa_t){ LOW },
					RAM_PAGES * PAGE, count, w), 0);
	assert_int_equal(w->unmapped, 1);
}

/* A queue: holds its ring for as long as the range is there. */
struct ring {
	struct leap__ats_hook hook;
	struct leap_ats_view *view;
	struct leap_pins pins;
	struct ring *other;	/* taken out when this one is told, or NULL */
	leap_gpa_t gpa;
	int going, came;
	int later;		/* does not let go at once */
	int renewed;		/* another range is there already */
};

static void ring_take(struct ring *r)
{
	struct leap_piece piece;

	if (leap_ats_translate(r->view, r->gpa, PAGE, LEAP_PERM_READ, &piece, 1,
			       &r->pins) < 0)
		leap_ats_release(r->view, &r->pins);
}

static void ring_going(struct leap__ats_hook *hook, leap_gpa_t gpa,
		       uint64_t bytes)
{
	struct ring *r = (struct ring *)hook;
	struct leap_pins none = { 0 };
	struct leap_piece piece;

	if (r->gpa.addr - gpa.addr >= bytes)
		return;
	r->going++;
	assert_int_equal(leap_ats_translate(r->view, r->gpa, PAGE,
			 LEAP_PERM_READ, &piece, 1, &none), r->renewed ? 1 :
			 -EFAULT);
	leap_ats_release(r->view, &none);
	if (r->other)
		leap__ats_hook_del(r->view, &r->other->hook);
	r->other = NULL;
	if (!r->later)
		leap_ats_release(r->view, &r->pins);
}

static void ring_came(struct leap__ats_hook *hook)
{
	struct ring *r = (struct ring *)hook;

	r->came++;
	if (!r->pins.nr)
		ring_take(r);
}

static void ring_init(struct world *w, struct ring *r, uint64_t gpa)
{
	*r = (struct ring){ .view = w->view, .gpa = { gpa } };
	r->hook.going = ring_going;
	r->hook.came = ring_came;
	leap__ats_hook_add(w->view, &r->hook);
	ring_take(r);
}

static void test_hooks_let_go_and_take(void **state)
{
	struct world *w = *state;
	struct ring low, high;

	ring_init(w, &low, LOW);
	ring_init(w, &high, HIGH);
	assert_int_equal(low.pins.nr, 1);
	assert_int_equal(leap_ats_unmap(w->ats, low.gpa, RAM_PAGES * PAGE,
					count, w), 0);
	assert_int_equal(w->unmapped, 1);
	assert_int_equal(low.going, 1);
	assert_int_equal(high.going, 0);
	assert_int_equal(low.pins.nr, 0);
	/* One message for several maps, at the next poll. */
	map(w, 0, LOW, LEAP_PERM_READ);
	map(w, 1, HIGH + RAM_PAGES * PAGE, LEAP_PERM_READ);
	assert_int_equal(low.came, 0);
	leap_pollgroup_poll(w->pg, 0);
	assert_int_equal(low.came, 1);
	assert_int_equal(high.came, 1);
	assert_int_equal(low.pins.nr, 1);
	/* Who cannot let go at once does it later. */
	low.later = 1;
	assert_int_equal(leap_ats_unmap(w->ats, low.gpa, RAM_PAGES * PAGE,
					count, w), 0);
	assert_int_equal(low.going, 2);
	assert_int_equal(w->unmapped, 1);
	leap_ats_release(w->view, &low.pins);
	assert_int_equal(w->unmapped, 2);
	leap__ats_hook_del(w->view, &low.hook);
	leap__ats_hook_del(w->view, &high.hook);
	leap_ats_release(w->view, &high.pins);
	map(w, 0, LOW, LEAP_PERM_READ);
	leap_pollgroup_poll(w->pg, 0);
	assert_int_equal(low.came, 1);
}

static void test_hook_takes_out_its_neighbour(void **state)
{
	struct world *w = *state;
	struct ring a, b, c;

	ring_init(w, &a, LOW);
	ring_init(w, &b, LOW);
	ring_init(w, &c, LOW);
	leap_ats_release(w->view, &b.pins);
	a.other = &b;
	assert_int_equal(leap_ats_unmap(w->ats, a.gpa, RAM_PAGES * PAGE, count,
					w), 0);
	assert_int_equal(a.going, 1);
	assert_int_equal(b.going, 0);
	assert_int_equal(c.going, 1);
	assert_int_equal(w->unmapped, 1);
	leap__ats_hook_del(w->view, &a.hook);
	leap__ats_hook_del(w->view, &c.hook);
}

struct elsewhere {
	struct world *w;
	sem_t ready, go;
	struct ring ring;
	int polls_first;
};

static void *elsewhere(void *arg)
{
	struct elsewhere *e = arg;
	struct leap_pollgroup *pg;
	struct leap_ats_view *view;

	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	assert_int_equal(leap_ats_attach(e->w->ats, pg, &view), 0);
	e->ring = (struct ring){ .view = view, .gpa = { LOW },
				 .renewed = 1 };
	e->ring.hook.going = ring_going;
	e->ring.hook.came = ring_came;
	leap__ats_hook_add(view, &e->ring.hook);
	ring_take(&e->ring);
	sem_post(&e->ready);
	sem_wait(&e->go);
	if (e->polls_first)
		leap_pollgroup_poll(pg, 0);
	leap__ats_hook_del(view, &e->ring.hook);
	leap_ats_release(view, &e->ring.pins);
	/* Its messages may still be on their way. */
	assert_int_equal(leap_ats_detach(view), 0);
	leap_pollgroup_poll(pg, 0);
	assert_int_equal(leap_pollgroup_destroy(pg), 0);
	return NULL;
}

static void test_messages_to_another_thread(void **state)
{
	struct world *w = *state;
	struct elsewhere e = { .w = w };
	pthread_t thread;

	for (e.polls_first = 0; e.polls_first < 2; e.polls_first++) {
		w->unmapped = 0;
		sem_init(&e.ready, 0, 0);
		sem_init(&e.go, 0, 0);
		assert_int_equal(pthread_create(&thread, NULL, elsewhere, &e),
				 0);
		sem_wait(&e.ready);
		assert_int_equal(e.ring.pins.nr, 1);
		assert_int_equal(leap_ats_unmap(w->ats, (leap_gpa_t){ LOW },
						RAM_PAGES * PAGE, count, w), 0);
		map(w, 0, LOW, LEAP_PERM_READ);
		assert_int_equal(w->unmapped, 0);
		sem_post(&e.go);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(w->unmapped, 1);
		assert_int_equal(e.ring.going, e.polls_first);
		assert_int_equal(e.ring.came, e.polls_first);
		sem_destroy(&e.ready);
		sem_destroy(&e.go);
	}
}

/* PRPs of random pages for @len bytes from @off; fills @order with the pages. */
static void make_prps(struct world *w, uint32_t off, uint32_t len,
		      uint64_t *prp1, uint64_t *prp2, uint64_t *order)
{
	uint32_t pages = (off + len + PAGE - 1) / PAGE, i;
	uint64_t list = HIGH + (RAM_PAGES - 8) * (uint64_t)PAGE, slot;

	for (i = 0; i < pages; i++)
		order[i] = page_at(rnd(2 * RAM_PAGES - 16));
	*prp1 = order[0] + off;
	*prp2 = pages == 2 ? order[1] : 0;
	if (pages <= 2)
		return;
	slot = list + 8 * rnd(512);
	*prp2 = slot;
	for (i = 1; i < pages; i++) {
		if (slot % PAGE == PAGE - 8 && i != pages - 1) {
			list += PAGE;
			put64(w, slot, list);
			slot = list;
		}
		put64(w, slot, order[i]);
		slot += 8;
	}
}

static void check_pieces(struct world *w, uint32_t off, uint32_t len,
			 const uint64_t *order)
{
	uint32_t at = 0, p = 0, in = 0;

	assert_int_equal(leap_pieces_bytes(w->pieces, w->nr), len);
	while (at < len) {
		uint64_t gpa = order[(off + at) / PAGE] + (off + at) % PAGE;

		assert_ptr_equal((uint8_t *)w->pieces[p].addr + in,
				 host_of(w, gpa));
		/* One step a run is enough: pieces are contiguous. */
		uint32_t step = PAGE - (off + at) % PAGE;

		at += step;
		in += step;
		while (p < w->nr && in >= w->pieces[p].len_bytes)
			in -= w->pieces[p++].len_bytes;
	}
}

static void test_prp_random(void **state)
{
	struct world *w = *state;
	uint64_t order[600], prp1, prp2;
	uint32_t i, off, len;

	for (i = 0; i < 20000; i++) {
		off = 4 * rnd(1024);
		len = 1 + rnd(i % 2 ? 8 * PAGE : 500 * PAGE);
		make_prps(w, off, len, &prp1, &prp2, order);
		assert_int_equal(leap_ats_prp(w->view, (leap_gpa_t){ prp1 },
				 (leap_gpa_t){ prp2 }, len, PAGE,
				 LEAP_PERM_READ, w->pieces, MAX_PIECES, &w->nr,
				 &w->pins, &w->status), 0);
		check_pieces(w, off, len, order);
		leap_ats_release(w->view, &w->pins);
	}
}

static leap_status_t prp(struct world *w, uint64_t prp1, uint64_t prp2,
			 uint32_t len)
{
	int err = leap_ats_prp(w->view, (leap_gpa_t){ prp1 },
			       (leap_gpa_t){ prp2 }, len, PAGE,
			       LEAP_PERM_WRITE, w->pieces, MAX_PIECES, &w->nr,
			       &w->pins, &w->status);

	assert_int_equal(err, w->status ? -EIO : 0);
	leap_ats_release(w->view, &w->pins);
	return LEAP_STATUS_CODE(w->status);
}

static void test_prp_bad(void **state)
{
	struct world *w = *state;
	uint64_t list = LOW + 100 * PAGE;

	assert_int_equal(prp(w, LOW + 2, 0, 512), LEAP_SC_PRP_OFFSET);
	assert_int_equal(prp(w, LOW, LOW + 8, PAGE + 512), LEAP_SC_PRP_OFFSET);
	assert_int_equal(prp(w, LOW, list + 4, 3 * PAGE), LEAP_SC_PRP_OFFSET);
	/* PRP2 is not looked at when PRP1 is enough. */
	assert_int_equal(prp(w, LOW, 0xdeadbeef, PAGE), LEAP_SC_SUCCESS);
	assert_int_equal(prp(w, 0, 0, 512), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(prp(w, LOW, 0, 2 * PAGE), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(prp(w, LOW, 0, 3 * PAGE), LEAP_SC_DATA_TRANSFER);
	put64(w, list, LOW);
	put64(w, list + 8, LOW + 512);
	assert_int_equal(prp(w, LOW, list, 3 * PAGE), LEAP_SC_PRP_OFFSET);
	put64(w, list + 8, 0x7000);
	assert_int_equal(prp(w, LOW, list, 3 * PAGE), LEAP_SC_DATA_TRANSFER);
	/* A list that links to itself ends with the length. */
	put64(w, list + PAGE - 8, list + PAGE - 8);
	assert_int_equal(prp(w, LOW, list + PAGE - 8, 9 * PAGE),
			 LEAP_SC_PRP_OFFSET);
	put64(w, list + PAGE - 8, list);
	put64(w, list + 8, LOW);
	put64(w, list + 16, list);
	assert_int_equal(prp(w, LOW, list + PAGE - 8, 4 * PAGE),
			 LEAP_SC_SUCCESS);
}

static void desc(struct world *w, uint64_t at, uint8_t id, uint64_t addr,
		 uint32_t len)
{
	struct leap_sgl_desc d = { 0 };

	d.addr = leap_to_le64(addr);
	d.len = leap_to_le32(len);
	d.type = id;
	memcpy(host_of(w, at), &d, sizeof(d));
}

static leap_status_t sgl(struct world *w, uint8_t id, uint64_t addr,
			 uint32_t seg_len, uint32_t len, uint32_t flags)
{
	struct leap_sgl_desc d = { 0 };
	int err;

	d.addr = leap_to_le64(addr);
	d.len = leap_to_le32(seg_len);
	d.type = id;
	err = leap_ats_sgl(w->view, &d, len, flags, LEAP_PERM_WRITE, w->pieces,
			   MAX_PIECES, &w->nr, &w->pins, &w->status);
	assert_int_equal(err, w->status ? -EIO : 0);
	leap_ats_release(w->view, &w->pins);
	return LEAP_STATUS_CODE(w->status);
}

#define DATA 0x00
#define BUCKET 0x10
#define SEG 0x20
#define LAST 0x30

static void test_sgl_good(void **state)
{
	struct world *w = *state;
	uint64_t s1 = LOW + 50 * PAGE, s2 = HIGH + 60 * PAGE;

	assert_int_equal(sgl(w, DATA, LOW + 1, 777, 777, 0), 0);
	assert_int_equal(w->nr, 1);
	assert_ptr_equal(w->pieces[0].addr, host_of(w, LOW + 1));
	/* Segment of two and a link to a last one of two. */
	desc(w, s1, DATA, LOW, 100);
	desc(w, s1 + 16, DATA, LOW + 100, 28);	/* merges */
	desc(w, s1 + 32, LAST, s2, 32);
	desc(w, s2, DATA, HIGH, 0);
	desc(w, s2 + 16, DATA, HIGH + 5, 50);
	assert_int_equal(sgl(w, SEG, s1, 48, 178, 0), 0);
	assert_int_equal(w->nr, 2);
	assert_int_equal(w->pieces[0].len_bytes, 128);
	assert_ptr_equal(w->pieces[1].addr, host_of(w, HIGH + 5));
	/* Bit bucket of a read: its bytes go nowhere. */
	desc(w, s2, BUCKET, 0, 100000);
	desc(w, s2 + 16, DATA, HIGH, 10);
	assert_int_equal(sgl(w, LAST, s2, 32, 100010, LEAP_SGL_BIT_BUCKET), 0);
	assert_int_equal(leap_pieces_bytes(w->pieces, w->nr), 100010);
	assert_int_equal(sgl(w, LAST, s2, 32, 100010, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, DATA, LOW, 600, 512, LEAP_SGL_OVERSIZED), 0);
	assert_int_equal(w->pieces[0].len_bytes, 512);
}

static void test_sgl_bad(void **state)
{
	struct world *w = *state;
	uint64_t s1 = LOW + 50 * PAGE;
	uint32_t i;

	assert_int_equal(sgl(w, DATA, LOW, 511, 512, 0), LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(sgl(w, DATA, LOW, 513, 512, 0), LEAP_SC_SGL_DATA_LEN);
	assert_int_equal(sgl(w, 0x01, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, 0x5a, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, 0xf0, 0, 512, 512, 0), LEAP_SC_SGL_TYPE);
	assert_int_equal(sgl(w, SEG, s1, 0, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, SEG, s1, 17, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, SEG, 0x10, 16, 512, 0), LEAP_SC_DATA_TRANSFER);
	/* A segment that is not the last names no successor. */
	desc(w, s1, DATA, LOW, 512);
	assert_int_equal(sgl(w, SEG, s1, 16, 512, 0), LEAP_SC_SGL_SEGMENT);
	/* A segment descriptor before the end, or in a last segment. */
	desc(w, s1, LAST, s1, 16);
	desc(w, s1 + 16, DATA, LOW, 512);
	assert_int_equal(sgl(w, SEG, s1, 32, 512, 0), LEAP_SC_SGL_SEGMENT);
	assert_int_equal(sgl(w, LAST, s1, 32, 512, 0), LEAP_SC_SGL_SEGMENT);
	/* A circle of segments, and one that claims to be endless. */
	desc(w, s1, SEG, s1, 16);
	assert_int_equal(sgl(w, SEG, s1, 16, 512, 0), LEAP_SC_SGL_COUNT);
	for (i = 0; i < 100 * PAGE / 16; i++)
		desc(w, s1 + i * 16, DATA, LOW, 0);
	assert_int_equal(sgl(w, LAST, s1, 0xfffffff0, 512, 0),
			 LEAP_SC_SGL_COUNT);
	assert_int_equal(sgl(w, DATA, LOW + 2, 512, 512, LEAP_SGL_DWORD),
			 LEAP_SC_INVALID_FIELD);
}

static void test_copies(void **state)
{
	struct world *w = *state;
	uint8_t out[300], in[300];
	uint32_t i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(leap_ats_copy_out(w->view, (leap_gpa_t){ HIGH + 3 },
					   out, sizeof(out)), 0);
	assert_int_equal(leap_ats_copy_in(w->view, in, (leap_gpa_t){ HIGH + 3 },
					  sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(leap_ats_copy_in(w->view, in, (leap_gpa_t){ 4 }, 4),
			 -EFAULT);
}

#define t(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(test_translate_spans_and_merges),
		t(test_map_refuses),
		t(test_map_files),
		t(test_unmap_waits_for_pins),
		t(test_unmap_without_pins),
		t(test_hooks_let_go_and_take),
		t(test_hook_takes_out_its_neighbour),
		t(test_messages_to_another_thread),
		t(test_prp_random),
		t(test_prp_bad),
		t(test_sgl_good),
		t(test_sgl_bad),
		t(test_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
