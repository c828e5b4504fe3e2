/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An address space that a guest maps, unmaps, and points into with PRPs and
 * SGLs that lie in its own memory. Every piece lies in memory that was mapped
 * with the right permission and still is pinned; an unmap is over when its pins
 * are gone and not before. Ranges are mapped memory, places that a function
 * names a few hundred bytes at a time, or bytes behind messages that are
 * answered late, wrongly or by an error. One page is held for long, as a ring
 * is.
 *
 * The first 4 KiB of an input that long fill the guest's memory; operations of
 * 16 bytes follow. Addresses are in pieces of 4 bytes, lengths too.
 */
#include "fuzz-target.h"

#include <errno.h>

#include <leapio/ats.h>
#include <leapio/dmabuf.h>

#include "ats/ats.h"

#define PAGES 16u
#define BYTES (PAGES * 4096u)
#define NR_RANGES 6u
#define NR_HELD 4u
#define MAX_PIECES 64u

struct range {
	uint64_t gpa, bytes, offset;
	uint32_t perm, source;
	uint32_t pins;		/* of held commands */
	int mapped, leaving;
};

struct held {
	struct leap_pins pins;
	uint32_t ranges;	/* bits: those that its pieces lie in */
	int used;
};

static struct leap_pollgroup *pg;
static struct leap_dmabuf *mem;
static struct leap_ats *ats;
static struct leap_ats_view *view;
static struct range ranges[NR_RANGES];
static struct held held[NR_HELD];

static void gone(void *arg)
{
	struct range *r = arg;

	FUZZ_CHECK(r->leaving && !r->pins);
	r->leaving = 0;
}

/* A ring: lets go when its range goes. */
static struct leap__ats_hook hook;
static struct leap_pins ring;

/* A copy through messages, and what was asked of their sender last. */
static struct leap_ats_io io;
static uint8_t io_buf[4096];
static int io_busy, io_asked;

static void ring_going(struct leap__ats_hook *h, leap_gpa_t gpa, uint64_t bytes)
{
	(void)h;
	(void)gpa;
	FUZZ_CHECK(bytes);
	leap_ats_release(view, &ring);
}

static void ring_came(struct leap__ats_hook *h)
{
	struct leap_piece piece;
	leap_gpa_t zero = { 0 };

	(void)h;
	if (!ring.nr && leap_ats_translate(view, zero, 64, LEAP_PERM_READ,
					   &piece, 1, &ring) != 1)
		leap_ats_release(view, &ring);
}

static int64_t addr_of(void *arg, uint64_t offset, uint64_t bytes,
		       uint32_t perm, void **addr)
{
	const struct range *r = arg;
	uint64_t run = 300 - offset % 300;

	FUZZ_CHECK(offset + bytes <= r->bytes && (perm & r->perm) == perm);
	if (offset % 7000 > 6900)
		return -1;
	*addr = (uint8_t *)leap_dmabuf_addr(mem) + r->offset + offset;
	return (int64_t)(run < bytes ? run : bytes + 1);
}

static int ask(const struct range *r, leap_gpa_t gpa, uint32_t bytes,
	       struct leap_ats_io *asked)
{
	FUZZ_CHECK(asked == &io && !io_asked && bytes && bytes <= 100);
	FUZZ_CHECK(gpa.addr >= r->gpa &&
		   gpa.addr + bytes <= r->gpa + r->bytes);
	if (bytes == 13)
		return -EIO;
	io_asked = 1;
	return 0;
}

static int ask_read(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *asked)
{
	int err = ask(arg, gpa, bytes, asked);

	if (!err)
		memset(buf, 0x5a, bytes);
	return err;
}

static int ask_write(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *asked)
{
	(void)buf;
	return ask(arg, gpa, bytes, asked);
}

static void io_done(struct leap_ats_io *done, int err)
{
	FUZZ_CHECK(done == &io && io_busy && err <= 0);
	io_busy = 0;
}

static void settle(void)
{
	while (leap_pollgroup_poll(pg, 0))
		;
}

static void map(const uint8_t *p)
{
	struct leap_ats_range o = LEAP_ATS_RANGE_INIT;
	struct leap_ats_ops ops = LEAP_ATS_OPS_INIT;
	struct range *r = &ranges[p[1] % NR_RANGES];
	uint32_t i;
	int err;

	if (r->mapped || r->leaving)
		return;
	o.gpa.addr = (p[2] | (uint64_t)p[3] << 8) * 4u;
	o.bytes = (p[4] | (uint64_t)p[5] << 8) * 4u;
	o.offset = p[6] * 256u;
	o.perm = p[7] & 3;
	o.source = p[8] & 3 ? LEAP_ATS_DMABUF :
		p[8] & 4 ? LEAP_ATS_CALLBACK : LEAP_ATS_MESSAGE;
	o.buf = mem;
	ops.addr = addr_of;
	ops.read = ask_read;
	ops.write = ask_write;
	ops.max_bytes = 100;
	o.ops = p[8] == 8 ? NULL : &ops;
	o.arg = r;
	if (o.offset + o.bytes > BYTES && o.source != LEAP_ATS_DMABUF)
		return;
	err = leap_ats_map(ats, &o);
	if (err)
		return;
	FUZZ_CHECK(o.ops || o.source != LEAP_ATS_CALLBACK);
	FUZZ_CHECK(o.bytes && o.offset + o.bytes <= BYTES);
	for (i = 0; i < NR_RANGES; i++)
		FUZZ_CHECK(!ranges[i].mapped ||
			   ranges[i].gpa >= o.gpa.addr + o.bytes ||
			   o.gpa.addr >= ranges[i].gpa + ranges[i].bytes);
	*r = (struct range){ .gpa = o.gpa.addr, .bytes = o.bytes,
		.offset = o.offset, .perm = o.perm, .source = o.source,
		.mapped = 1 };
}

static void unmap(const uint8_t *p)
{
	struct range *r = &ranges[p[1] % NR_RANGES];
	leap_gpa_t gpa = { r->gpa };

	if (!r->mapped)
		return;
	FUZZ_CHECK(leap_ats_unmap(ats, gpa, r->bytes + 1, gone, r) == -ENOENT);
	r->mapped = 0;
	r->leaving = 1;
	FUZZ_CHECK(!leap_ats_unmap(ats, gpa, r->bytes, gone, r));
	settle();
	/* Without the pin of a message under way as well. */
	FUZZ_CHECK(r->leaving || !r->pins);
}

static void release(struct held *h)
{
	uint32_t i;

	if (!h->used)
		return;
	for (i = 0; i < NR_RANGES; i++)
		ranges[i].pins -= h->ranges >> i & 1;
	leap_ats_release(view, &h->pins);
	FUZZ_CHECK(!h->pins.nr);
	memset(h, 0, sizeof(*h));
	settle();
}

static void check_message(const struct leap_piece *piece, uint32_t perm)
{
	uint64_t at = piece->remote, end = at + piece->len_bytes;
	uint32_t i;

	FUZZ_CHECK(!piece->addr);
	for (i = 0; i < NR_RANGES && at < end; i++) {
		const struct range *r = &ranges[i];

		if (!r->mapped || r->source != LEAP_ATS_MESSAGE ||
		    (r->perm & perm) != perm || at < r->gpa ||
		    at >= r->gpa + r->bytes)
			continue;
		/* Neighbours are one piece. */
		at = r->gpa + r->bytes;
		i = UINT32_MAX;
	}
	FUZZ_CHECK(at >= end);
}

/* Which mapped range with @perm @piece lies in; bit buckets go elsewhere. */
static void check_piece(struct held *h, const struct leap_piece *piece,
			uint32_t perm, int sink)
{
	uint8_t *base = leap_dmabuf_addr(mem), *at = piece->addr;
	uint64_t off = (uint64_t)(at - base), at_off, end;
	uint32_t i, found = 0;

	FUZZ_CHECK(piece->len_bytes);
	if (piece->reach == LEAP_REACH_MESSAGE) {
		check_message(piece, perm);
		return;
	}
	FUZZ_CHECK(piece->reach == LEAP_REACH_DIRECT);
	if (sink && (at < base || at >= base + BYTES)) {
		memset(at, 0, piece->len_bytes);
		return;
	}
	/* Neighbours in memory are one piece, whatever their ranges. */
	for (at_off = off; at_off < off + piece->len_bytes; at_off = end) {
		end = UINT64_MAX;
		found = 0;
		for (i = 0; i < NR_RANGES; i++) {
			const struct range *r = &ranges[i];

			if (!r->mapped || (r->perm & perm) != perm ||
			    r->source == LEAP_ATS_MESSAGE ||
			    at_off < r->offset ||
			    at_off >= r->offset + r->bytes)
				continue;
			found |= 1u << i;
			if (end > r->offset + r->bytes)
				end = r->offset + r->bytes;
		}
		FUZZ_CHECK(found);
	}
	/* Only when there is no doubt do we know whose pin it is. */
	if (!(found & (found - 1)) &&
	    off >= ranges[__builtin_ctz(found)].offset)
		h->ranges |= found;
}

static void walk(const uint8_t *p)
{
	struct leap_piece pieces[MAX_PIECES];
	struct held *h = &held[p[1] % NR_HELD];
	uint32_t perm = 1 + (p[2] & 1u), nr = 0, i, max;
	uint64_t len = 1 + (p[3] | (uint64_t)(p[4] & 63) << 8) * 4u;
	uint64_t a, b;
	struct leap_sgl_desc sgl;
	uint16_t status = 0;
	leap_gpa_t one, two;
	int err;

	release(h);
	h->used = 1;
	max = 1 + p[5] % MAX_PIECES;
	a = (p[6] | (uint64_t)p[7] << 8 | (uint64_t)(p[8] & 1) << 16) * 4u;
	b = (p[9] | (uint64_t)p[10] << 8 | (uint64_t)(p[11] & 1) << 16) * 4u;
	one.addr = a;
	two.addr = b;
	switch (p[2] >> 1 & 3) {
	case 0:
		err = leap_ats_translate(view, one, len, perm, pieces, max,
					 &h->pins);
		nr = err > 0 ? (uint32_t)err : 0;
		err = err > 0 ? 0 : err;
		break;
	case 1:
		err = leap_ats_prp(view, one, two, len & ~3ull, 4096, perm,
				   pieces, max, &nr, &h->pins, &status);
		len &= ~3ull;
		FUZZ_CHECK(!err || err == -ENOBUFS || status);
		break;
	default:
		memset(&sgl, 0, sizeof(sgl));
		sgl.addr = leap_to_le64(a);
		sgl.len = leap_to_le32((uint32_t)b);
		sgl.type = p[12];
		err = leap_ats_sgl(view, &sgl, len, p[13] & 7, perm, pieces,
				   max, &nr, &h->pins, &status);
		FUZZ_CHECK(!err || err == -ENOBUFS || status);
	}
	if (err)
		return;
	FUZZ_CHECK(nr <= max && leap_pieces_bytes(pieces, nr) == len);
	for (i = 0; i < nr; i++)
		check_piece(h, &pieces[i], perm, p[2] & 4);
	for (i = 0; i < NR_RANGES; i++)
		ranges[i].pins += h->ranges >> i & 1;
}

static void answer(int err)
{
	if (!io_asked)
		return;
	io_asked = 0;
	leap_ats_io_done(&io, err);
	settle();
}

static void message(const uint8_t *p, leap_gpa_t at)
{
	int ret;

	if (io_busy) {
		answer(p[5] & 15 ? 0 : -EIO);
		return;
	}
	io = (struct leap_ats_io){ .gpa = at, .buf = io_buf,
		.bytes = p[4] * 16u, .done = io_done };
	io_busy = 1;
	ret = p[1] & 1 ? leap_ats_write(view, &io) : leap_ats_read(view, &io);
	FUZZ_CHECK(ret <= 1 && (ret || io_asked));
	io_busy = !ret;
}

static void copy(const uint8_t *p)
{
	leap_gpa_t at = { (p[2] | (uint64_t)p[3] << 8) * 4u };
	uint8_t buf[2048];
	uint32_t n = p[4] * 8u;

	if (p[1] & 2) {
		message(p, at);
	} else if (p[1] & 1) {
		memset(buf, p[5], sizeof(buf));
		leap_ats_copy_out(view, at, buf, n);
	} else {
		leap_ats_copy_in(view, buf, at, n);
	}
}

static void init(void)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;

	po.world = LEAP_WORLD_EPOLL;
	po.nr_bufs = 1;
	po.buf_bytes = 4096;
	FUZZ_CHECK(!leap_pollgroup_create(&po, &pg));
	mo.bytes = BYTES;
	mo.huge = LEAP_HUGE_NEVER;
	FUZZ_CHECK(!leap_dmabuf_create(&mo, &mem));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_ats_opts ao = LEAP_ATS_OPTS_INIT;
	struct leap_ats_stats st = { sizeof(st) };
	uint32_t i;

	if (!pg)
		init();
	memset(ranges, 0, sizeof(ranges));
	memset(leap_dmabuf_addr(mem), 0, BYTES);
	if (size > 4096) {
		for (i = 0; i < PAGES; i++)
			memcpy((uint8_t *)leap_dmabuf_addr(mem) + i * 4096,
			       data, 4096);
		data += 4096;
		size -= 4096;
	}
	ao.max_ranges = NR_RANGES;
	ao.iotlb_entries = 4;
	FUZZ_CHECK(!leap_ats_create(&ao, &ats));
	FUZZ_CHECK(!leap_ats_attach(ats, pg, &view));
	hook.going = ring_going;
	hook.came = ring_came;
	leap__ats_hook_add(view, &hook);
	for (; size >= 16; data += 16, size -= 16) {
		switch (data[0] & 7) {
		case 0: case 1: map(data); break;
		case 2: unmap(data); break;
		case 3: release(&held[data[1] % NR_HELD]); break;
		case 4: copy(data); break;
		default: walk(data); break;
		}
	}
	while (io_busy)
		answer(0);
	for (i = 0; i < NR_HELD; i++)
		release(&held[i]);
	settle();
	leap__ats_hook_del(view, &hook);
	leap_ats_release(view, &ring);
	FUZZ_CHECK(!leap_ats_view_stats(view, &st) && !st.pins);
	for (i = 0; i < NR_RANGES; i++) {
		unmap((uint8_t[16]){ 0, (uint8_t)i });
		FUZZ_CHECK(!ranges[i].leaving);
	}
	FUZZ_CHECK(!leap_ats_detach(view));
	FUZZ_CHECK(!leap_ats_destroy(ats));
	return 0;
}
