/* SPDX-License-Identifier: BSD-3-Clause */
#include "config.h"

#include "fake-ng.h"

#include "block/bdev.h"
#include "block/copy.h"

struct fake_ng ngk;

static int fake_open(const char *path, bool *read_only, void **dev)
{
	if (ngk.open_err)
		return ngk.open_err;
	assert_string_equal(path, "/dev/ng7n3");
	*read_only = ngk.read_only;
	*dev = &ngk;
	ngk.opened++;
	return 0;
}

static void fake_close(void *dev)
{
	ngk.opened--;
}

static int fake_hold(void *dev, const char *path)
{
	return ngk.hold_err;
}

static int fake_nsid(void *dev)
{
	return ngk.nsid;
}

static void fake_limits(const char *path, uint32_t *bytes, uint32_t *segments)
{
	if (ngk.max_bytes)
		*bytes = ngk.max_bytes;
	if (ngk.max_segments)
		*segments = ngk.max_segments;
}

static int fake_size(const char *path, uint64_t *blocks_512)
{
	*blocks_512 = ngk.size;
	return ngk.size ? 0 : -ENOENT;
}

static int zns_page(uint32_t cns, void *data)
{
	struct leap_id_ns_zns *ns = data;
	struct leap_id_ctrl_zns *ctrl = data;

	if (!ngk.zoned.chan)
		return LEAP_SC_INVALID_FIELD | DNR;
	memset(data, 0, 4096);
	if (cns == LEAP_CNS_CSI_CTRL) {
		ctrl->zasl = 1;		/* 8 KiB */
		return 0;
	}
	ns->mar = leap_to_le32(LEAP_ZNS_NO_LIMIT);
	ns->mor = leap_to_le32(LEAP_ZNS_NO_LIMIT);
	ns->lbafe[0].zsze = leap_to_le64(ZONE);
	return 0;
}

static int fake_admin(void *dev, const struct leap_sqe *sqe, void *data,
		      uint32_t bytes)
{
	uint32_t cns = leap_from_le32(sqe->cdw10);

	assert_int_equal(sqe->opc, LEAP_ADM_IDENTIFY);
	assert_int_equal(bytes, 4096);
	if (leap_from_le32(sqe->cdw11) >> 24 == LEAP_CSI_ZNS)
		return zns_page(cns, data);
	if (cns == LEAP_CNS_CTRL)
		memcpy(data, &ngk.id, 4096);
	else if (cns == LEAP_CNS_NS &&
		 (int)leap_from_le32(sqe->nsid) == ngk.nsid)
		memcpy(data, &ngk.ns, 4096);
	else if (cns == LEAP_CNS_CSI_CTRL)
		memcpy(data, &ngk.nvm, 4096);
	else if (cns == LEAP_CNS_NS_DESC)
		memcpy(data, ngk.desc, sizeof(ngk.desc));
	else
		return LEAP_SC_INVALID_FIELD | DNR;
	return 0;
}

static int fake_ring_open(void *dev, uint32_t depth, int event_fd, void **ring)
{
	assert_true(depth <= TAGS);
	ngk.event_fd = event_fd;
	ngk.rings++;
	*ring = &ngk;
	return 0;
}

static void fake_ring_close(void *ring)
{
	ngk.rings--;
}

static int fake_submit(void *ring, uint32_t tag, const struct leap_sqe *sqe,
		       struct iovec *iov, uint32_t nr_iov, uint32_t bytes)
{
	assert_true(tag < TAGS && !ngk.out[tag].busy);
	ngk.out[tag] = (struct fake_ng_out){ *sqe, iov, nr_iov, bytes, 1 };
	ngk.fifo[ngk.nr++] = tag;
	if (ngk.nr > ngk.most)
		ngk.most = ngk.nr;
	if (nr_iov > ngk.most_iov)
		ngk.most_iov = nr_iov;
	if (bytes > ngk.most_bytes)
		ngk.most_bytes = bytes;
	ngk.nr_sent++;
	ngk.last = *sqe;
	return 0;
}

static void fake_push(void *ring)
{
}

static int32_t move(struct fake_ng_out *o, uint8_t *at)
{
	uint32_t i;

	for (i = 0; i < o->nr_iov; i++) {
		if (o->sqe.opc == LEAP_NVM_READ)
			memcpy(o->iov[i].iov_base, at, o->iov[i].iov_len);
		else if (o->sqe.opc == LEAP_NVM_WRITE)
			memcpy(at, o->iov[i].iov_base, o->iov[i].iov_len);
		else if (memcmp(at, o->iov[i].iov_base, o->iov[i].iov_len))
			return LEAP_SC_COMPARE_FAILED | DNR;
		at += o->iov[i].iov_len;
	}
	return 0;
}

static int32_t discard(struct fake_ng_out *o)
{
	struct leap_dsm_range r;
	uint32_t i, nr = (leap_from_le32(o->sqe.cdw10) & 0xff) + 1;

	assert_int_equal(o->bytes, nr * sizeof(r));
	for (i = 0; i < nr; i++) {
		memcpy(&r, (uint8_t *)o->iov[0].iov_base + i * sizeof(r),
		       sizeof(r));
		assert_true(leap_from_le64(r.slba) + leap_from_le32(r.nlb) <=
			    FAR_BLOCKS);
		memset(ngk.media + leap_from_le64(r.slba) * 512, 0,
		       leap_from_le32(r.nlb) * 512);
	}
	return 0;
}

static int32_t copy(struct fake_ng_out *o)
{
	struct leap_piece piece = { .addr = o->iov[0].iov_base,
		.len_bytes = o->bytes };
	uint64_t to = leap_sqe_slba(&o->sqe);
	struct leap__copy_list list;
	uint32_t bad, i;

	assert_int_equal(leap__copy_list_read(&o->sqe, &piece, 1, FAR_BLOCKS,
					      &list, &bad), 0);
	assert_true(to + list.nr_blocks <= FAR_BLOCKS);
	for (i = 0; i < list.nr; to += list.range[i++].nr_blocks)
		memmove(ngk.media + to * 512, ngk.media +
			list.range[i].block * 512,
			list.range[i].nr_blocks * 512);
	return 0;
}

/* A leaf with zones, which ends everything at once. */
static int32_t zone_command(struct fake_ng_out *o, uint64_t *result)
{
	static const struct {
		uint8_t opc, op;
	} ops[] = {
		{ LEAP_NVM_READ, LEAP_BIO_READ },
		{ LEAP_NVM_WRITE, LEAP_BIO_WRITE },
		{ LEAP_NVM_COMPARE, LEAP_BIO_COMPARE },
		{ LEAP_NVM_ZONE_APPEND, LEAP_BIO_ZONE_APPEND },
		{ LEAP_NVM_ZONE_MGMT_SEND, LEAP_BIO_ZONE_SEND },
		{ LEAP_NVM_ZONE_MGMT_RECV, LEAP_BIO_ZONE_REPORT },
	};
	struct leap_piece pieces[TAGS] = { 0 };
	uint32_t i, nr = leap_sqe_nlb(&o->sqe);
	struct blk_wait wait;
	struct leap_bio *bio;

	assert_true(o->nr_iov <= TAGS);
	for (i = 0; i < o->nr_iov; i++) {
		pieces[i].addr = o->iov[i].iov_base;
		pieces[i].len_bytes = (uint32_t)o->iov[i].iov_len;
	}
	for (i = 0; ops[i].opc != o->sqe.opc; i++)
		assert_true(i + 1 < sizeof(ops) / sizeof(ops[0]));
	if (ops[i].op >= LEAP_BIO_ZONE_SEND)
		nr = 0;
	bio = blk_bio(&ngk.zoned, ops[i].op, leap_sqe_slba(&o->sqe), nr, pieces,
		      (uint16_t)o->nr_iov, &wait);
	bio->result = leap_from_le32(o->sqe.cdw13);
	leap_bio_submit(ngk.zoned.chan, bio);
	assert_int_equal(wait.nr_done, 1);
	*result = bio->result;
	leap_bio_put(ngk.zoned.chan, bio);
	if (ngk.forget && !wait.status && o->sqe.opc == LEAP_NVM_WRITE) {
		wait.status = (leap_status_t)ngk.forget;
		ngk.forget = 0;
	}
	return wait.status;
}

static int32_t execute(struct fake_ng_out *o, uint64_t *result)
{
	uint64_t lba = leap_sqe_slba(&o->sqe);
	uint32_t nlb = leap_sqe_nlb(&o->sqe);

	assert_int_equal((int)leap_from_le32(o->sqe.nsid), ngk.nsid);
	if (ngk.nr_fail) {
		ngk.nr_fail--;
		*result = 0;
		return ngk.fail;
	}
	if (ngk.zoned.chan)
		return zone_command(o, result);
	switch (o->sqe.opc) {
	case LEAP_NVM_FLUSH:
		return 0;
	case LEAP_NVM_DSM:
		return discard(o);
	case LEAP_NVM_COPY:
		return copy(o);
	}
	assert_true(lba < FAR_BLOCKS && nlb <= FAR_BLOCKS - lba);
	switch (o->sqe.opc) {
	case LEAP_NVM_VERIFY:
		return 0;
	case LEAP_NVM_WRITE_ZEROES:
		memset(ngk.media + lba * 512, 0, nlb * 512);
		return 0;
	}
	assert_int_equal(o->bytes, nlb * 512);
	return move(o, ngk.media + lba * 512);
}

/* Not in the order in which they came. */
static uint32_t fake_reap(void *ring, struct leap__ng_event *e, uint32_t max)
{
	uint32_t n = 0, at;

	while (!__atomic_load_n(&ngk.held, __ATOMIC_ACQUIRE) && ngk.nr &&
	       n < max) {
		at = (ngk.nr_sent * 7 + n) % ngk.nr;
		e[n].tag = ngk.fifo[at];
		ngk.fifo[at] = ngk.fifo[--ngk.nr];
		e[n].result = 0;
		e[n].res = execute(&ngk.out[e[n].tag], &e[n].result);
		ngk.out[e[n++].tag].busy = 0;
	}
	return n;
}

static int fake_arm(void *ring, bool on)
{
	ngk.armed += on;
	return on && ngk.nr && !__atomic_load_n(&ngk.held, __ATOMIC_ACQUIRE);
}

static const struct leap__ng_kernel fake = {
	fake_open, fake_close, fake_hold, fake_nsid, fake_limits, fake_size,
	fake_admin, fake_ring_open, fake_ring_close, fake_submit, fake_push,
	fake_reap, fake_arm,
};

static struct leap__ng_layer layer;
const struct leap_bdev_ops *const fake_ng_own[] = { &layer.ops, NULL };

int fake_ng_set_up(void **state)
{
	memset(&ngk, 0, sizeof(ngk));
	layer.ops = leap__ng_ops;
	layer.kernel = &fake;
	ngk.nsid = 3;
	ngk.id.mdts = 5;		/* 128 KiB */
	ngk.id.vwc = LEAP_VWC_PRESENT;
	ngk.id.oncs = leap_to_le16(LEAP_ONCS_COMPARE | LEAP_ONCS_DSM |
				 LEAP_ONCS_WRITE_ZEROES | LEAP_ONCS_VERIFY |
				 LEAP_ONCS_COPY);
	ngk.id.ocfs = leap_to_le16(LEAP_OCFS_FORMAT0);
	ngk.ns.nsze = leap_to_le64(FAR_BLOCKS);
	ngk.ns.lbaf[0].lbads = 9;
	ngk.ns.dlfeat = LEAP_DLFEAT_READ_ZEROES | LEAP_DLFEAT_WZ_DEAC;
	ngk.ns.mssrl = leap_to_le16(128);
	ngk.ns.mcl = leap_to_le32(128);
	ngk.ns.msrc = 3;
	return 0;
}

void open_ng(struct blk *b, const char *stack)
{
	blk_open_with(b, LEAP_WORLD_EPOLL, stack, fake_ng_own);
}

/* The event fd is given back in a later poll. */
void close_ng(struct blk *b)
{
	int i;

	assert_int_equal(leap_chan_close(b->chan), 0);
	assert_int_equal(leap_bdev_close(b->bdev), 0);
	for (i = 0; leap_pollgroup_destroy(b->pg); i++) {
		assert_true(i < 1000);
		leap_pollgroup_wait(b->pg, 1000000);
	}
	assert_int_equal(ngk.rings, 0);
	assert_int_equal(ngk.opened, 0);
}
