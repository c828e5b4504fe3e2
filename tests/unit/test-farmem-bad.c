/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Another machine's memory with keys, ranges, rights and tokens that are wrong,
 * and ends that are of another kind: what is refused on which side, and that
 * the rest goes on.
 */
#include "farmem-fixture.h"

#include <stdio.h>

#include "transport/rdma/farmem.h"

/* The device forgets what the key of the memory opens. */
static void invalidate(void)
{
	uint64_t at = (uintptr_t)leap_dmabuf_addr(fm.pay.buf);
	uint32_t i, n = 0;

	fake_lock(fm.fabric);
	for (i = 0; i < FAKE_MRS; i++)
		if (fm.fabric->mrs[i] && fm.fabric->mrs[i]->addr == at)
			n += fm.fabric->mrs[i]->invalid = 1;
	fake_unlock(fm.fabric);
	assert_int_equal(n, 1);
}

/* Both ends do, the owner before it is connected to again: while it has one on
 * the device, it keeps the key that opens nothing. */
static void let_go(uint64_t failures)
{
	struct leap_share_info si = { sizeof(si) };
	uint64_t from = fm_lived_ns();

	while (fm_info().failed < failures) {
		leap_pollgroup_poll(fm.pg, 0);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	}
	do {
		leap_pollgroup_poll(fm.owner, 0);
		assert_int_equal(leap_share_info(fm.share, &si), 0);
		assert_true(fm_lived_ns() - from < SECONDS(20));
	} while (si.peers);
}

/* A key that opens nothing: the queue pair breaks, and the one command that was
 * refused fails; what was out beside it goes on. */
static void test_wrong_key(void **state)
{
	struct leap_ats_range r;
	uint16_t cids[OUT];
	uint32_t k, i;

	(void)state;
	for (k = 0; k < 10; k++) {
		fm.fabric->paused = 1;
		pay_load(&fm.pay, cids, (uint8_t)k);
		fm_posted(OUT);
		invalidate();
		fake_resume(fm.fabric);
		let_go(k + 1);
		for (i = 0; i < OUT; i++) {
			fm_ended(cids[i]);
			assert_int_equal(fm.g->raw & ~LEAP_STATUS_MORE,
					 i ? 0 : FAULT);
		}
		pay_one(&fm.pay, (int)k, fm_run_sqe);
	}
	assert_int_equal(fm_info().failed, 10);
	assert_int_equal(fm_info().connections, 11);
	/* A range of another key is refused here. */
	fm_mem_del(BYTES);
	r = fm_range(FM_RW);
	r.key ^= 0x10000;
	assert_int_equal(leap_vdev_mem_add(fm.vdev, &r), 0);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm.g->raw & ~LEAP_STATUS_MORE, FAULT);
	assert_int_equal(fm_info().connections, 11);
}

/* A range that leaves the share is refused here, the connection stays. */
static void test_bounds(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	(void)state;
	assert_int_equal(leap_farmem_range(fm.far, 1, BYTES, LEAP_PERM_READ,
					   &r), -EINVAL);
	assert_int_equal(leap_farmem_range(fm.far, BYTES, 1, LEAP_PERM_READ,
					   &r), -EINVAL);
	assert_int_equal(leap_farmem_range(fm.far, 0, 0, LEAP_PERM_READ, &r),
			 -EINVAL);
	fm_mem_del(BYTES);
	r = fm_range(FM_RW);
	r.bytes += 65536;
	r.offset += BYTES / 2;
	assert_int_equal(leap_vdev_mem_add(fm.vdev, &r), 0);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, BYTES / 2 - 4096), 0);
	/* One byte behind it. */
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, BYTES / 2 - 4092),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm.g->raw & ~LEAP_STATUS_MORE, FAULT);
	/* Beyond the range itself. */
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, BYTES + 65536),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm_info().connections, 1);
	fm_mem_del(BYTES + 65536);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

/* Who is connected to one share has no way to another, or to what others are
 * given: not even with the right key. */
static void test_other_share(void **state)
{
	uint64_t at = (uintptr_t)leap_dmabuf_addr(fm.pay.buf);
	struct leap_share *share = fm.share;
	struct leap_farmem *far = fm.far;
	const struct leap__v_mr *mr;
	struct leap__v_pd *pd[2];
	uint32_t i, k, n = 0;

	(void)state;
	snprintf(fm.url, sizeof(fm.url), "rdma://127.0.0.1:0");
	fm_share(FM_RW);
	fm_open(TOKEN, 1);
	for (k = 0; k < 2; k++)
		pd[k] = fake_id(fm.fabric, 1, k)->qp->pd;
	fake_lock(fm.fabric);
	for (i = 0; i < FAKE_MRS; i++) {
		mr = fm.fabric->mrs[i];
		if (!mr || mr->addr != at)
			continue;
		for (k = 0; k < 2; k++)
			n += fake_reach(fm.fabric, pd[k], mr->key, at, 4096,
					LEAP__V_REMOTE_READ) != NULL;
	}
	fake_unlock(fm.fabric);
	fm_close();
	fm_unshare();
	fm.far = far;
	fm.share = share;
	/* Each its own. */
	assert_int_equal(n, 2);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

/* What is given for reading is read; the rest is refused on this side. */
static void test_permission(void **state)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;

	(void)state;
	fm_mem_del(BYTES);
	fm_close();
	fm_unshare();
	fm_share(LEAP_PERM_READ);
	fm_open(TOKEN, 1);
	assert_int_equal(leap_farmem_range(fm.far, 0, BYTES, LEAP_PERM_WRITE,
					   &r), -EACCES);
	r = fm_range(LEAP_PERM_READ);
	assert_int_equal(leap_vdev_mem_add(fm.vdev, &r), 0);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, 0), 0);
	assert_int_equal(fm_run(LEAP_NVM_READ, 0, 8, 0), LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm_info().connections, 1);
	fm_mem_del(BYTES);
	/* And by the device, for one who says that he may. */
	r.perm = FM_RW;
	assert_int_equal(leap_vdev_mem_add(fm.vdev, &r), 0);
	memset(fm.pay.own, 0x3c, 4096);
	assert_int_equal(fm_run(LEAP_NVM_READ, 100, 8, 0),
			 LEAP_SC_DATA_TRANSFER);
	assert_int_equal(fm.pay.own[0], 0x3c);
	assert_int_equal(fm_run(LEAP_NVM_WRITE, 0, 8, 0), 0);
	assert_true(fm_info().connections > 1);
	fm_mem_del(BYTES);
}

/* Lists in far memory are not read: the guest is told so. */
static void test_lists(void **state)
{
	struct leap_sqe sqe = gd_sqe_rw(LEAP_NVM_WRITE, 1, 0, 64);

	(void)state;
	sqe.prp1 = leap_to_le64(PAYLOAD);
	sqe.prp2 = leap_to_le64(PAYLOAD + 65536);
	assert_int_equal(gd_cmd(fm.g, &fm.sq, &sqe), LEAP_SC_DATA_TRANSFER);
	pay_one(&fm.pay, 1, fm_run_sqe);
}

static uint64_t nr_peers(void)
{
	struct leap_share_info si = { sizeof(si) };

	assert_int_equal(leap_share_info(fm.share, &si), 0);
	return si.peers;
}

/* A share for one peer, whose machine goes without a word: the next one finds
 * it full, which is when the owner looks who is still there. */
static void test_vanished(void **state)
{
	struct leap_share_opts o = LEAP_SHARE_OPTS_INIT;
	struct leap_farmem *far;
	uint64_t from;

	(void)state;
	fm_mem_del(BYTES);
	fm_close();
	fm_unshare();
	o.url = fm.url;
	o.buf = fm.pay.buf;
	o.perm = FM_RW;
	o.max_peers = 1;
	memset(o.token, TOKEN, sizeof(o.token));
	assert_int_equal(leap_share_create(fm.owner, &o, &fm.share), 0);
	fm_open(TOKEN, 1);
	fm_mem_add(FM_RW);
	/* One who is there does not notice. */
	far = fm.far;
	fm_open(TOKEN, -ECONNREFUSED);
	fm_close();
	fm.far = far;
	pay_one(&fm.pay, 1, fm_run_sqe);
	assert_int_equal(fm_info().connections, 1);
	fm_mem_del(BYTES);
	fm.fabric->mute = 1;
	fm_close();
	fm.fabric->mute = 0;
	fm_poll(NULL);
	assert_int_equal(nr_peers(), 1);
	fm_open(TOKEN, -ECONNREFUSED);
	fm_close();
	from = fm_lived_ns();
	while (nr_peers() && fm_lived_ns() - from < SECONDS(20))
		fm_poll(NULL);
	assert_int_equal(nr_peers(), 0);
	fm_open(TOKEN, 1);
	fm_mem_add(FM_RW);
	pay_one(&fm.pay, 2, fm_run_sqe);
}

/* Those who do not know the token, and those who are no share. */
static void test_strangers(void **state)
{
	struct leap_share_info si = { sizeof(si) };
	struct leap_farmem *far = fm.far;

	(void)state;
	fm_open(0x78, -ECONNREFUSED);
	fm_close();
	assert_int_equal(leap_share_info(fm.share, &si), 0);
	assert_int_equal(si.refused, 1);
	assert_int_equal(si.peers, 1);
	fm.far = far;
	pay_one(&fm.pay, 1, fm_run_sqe);
}

static void on_host(struct leap_host *h, enum leap_host_state state,
		    leap_status_t status, int err, void *arg)
{
	(void)h;
	(void)status;
	(void)err;
	if (state == LEAP_HOST_FAILED)
		*(int *)arg = 1;
}

/* Far memory of an NVMe target, and a host of a share: neither is had. */
static void test_other_kind(void **state)
{
	struct leap_share_info si = { sizeof(si) };
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_farmem *far = fm.far;
	int failed = 0, closed = 0;
	struct leap_host *host;
	char url[200];

	(void)state;
	snprintf(url, sizeof(url), "%s/" FM_NQN, fm.url);
	ho.url = url;
	ho.state = on_host;
	ho.arg = &failed;
	assert_int_equal(leap_host_connect(fm.pg, &ho, &host), 0);
	fm_turn(&failed);
	leap_host_close(host, set_flag, &closed);
	fm_turn(&closed);
	assert_int_equal(leap_share_info(fm.share, &si), 0);
	assert_true(si.refused >= 1);
	snprintf(fm.url, sizeof(fm.url), "%s",
		 serve_at(fm.target, "rdma://127.0.0.1:0"));
	fm_open(TOKEN, -ECONNREFUSED);
	fm_close();
	fm.far = far;
	pay_one(&fm.pay, 1, fm_run_sqe);
}

static void refused(const struct leap_farmem_opts *o, const char *why)
{
	struct leap_farmem *far;

	assert_int_equal(leap_farmem_open(fm.pg, o, &far), -EINVAL);
	assert_null(far);
	assert_string_equal(leap_last_error(), why);
}

static void never_opened(struct leap_farmem *far, int err, void *arg)
{
	(void)far;
	(void)err;
	(void)arg;
	fail();
}

/* Options that there are not, and why they are refused. */
static void test_options(void **state)
{
	struct leap_farmem_opts o = LEAP_FARMEM_OPTS_INIT;

	(void)state;
	o.url = fm.url;
	refused(&o, "leap_farmem_open: opened is not set");
	o.opened = never_opened;
	o.depth = 4097;
	refused(&o, "leap_farmem_open: depth 4097 exceeds 4096");
	o.depth = 4096;
	o.url = NULL;
	refused(&o, "leap_farmem_open: url is empty");
}

/* Private data cut short, damaged, or impossible. */
static void test_private_data(void **state)
{
	static const uint8_t token[LEAP_SHARE_TOKEN] = { 1, 2, 3 };
	static const struct leap__farmem_mem bad[] = {
		{ 4096, 0, 1, 3 }, { UINT64_MAX - 4094, 4096, 1, 3 },
		{ 4096, 4096, 1, 0 }, { 4096, 4096, 1, 4 },
		{ 4096, 4096, 1, 7 }, { 2, UINT64_MAX, 1, 1 },
	};
	struct leap__farmem_mem mem = { 0xfffffffffffff000ull, 4096, 9, 3 };
	struct leap__farmem_req req;
	struct leap__farmem_rep rep;
	uint8_t raw[64] = { 0 };
	uint32_t i;

	(void)state;
	leap__farmem_req_make(&req, token);
	for (i = 0; i < sizeof(raw); i++) {
		memcpy(raw, &req, sizeof(req));
		assert_int_equal(leap__farmem_req_parse(raw, i, token),
				 i < sizeof(req) ? -EPROTO : 0);
		raw[i] ^= 0x40;
		assert_int_equal(leap__farmem_req_parse(raw, sizeof(raw),
							token),
				 i < 8 ? -EPROTO : i < sizeof(req) ?
				 -EACCES : 0);
		raw[i] ^= 0x40;
	}
	leap__farmem_rep_make(&rep, &mem);
	memset(raw, 0, sizeof(raw));
	memcpy(raw, &rep, sizeof(rep));
	for (i = 0; i < sizeof(raw); i++)
		assert_int_equal(leap__farmem_rep_parse(raw, i, &mem),
				 i < sizeof(rep) ? -EPROTO : 0);
	assert_true(mem.addr == 0xfffffffffffff000ull && mem.bytes == 4096 &&
		    mem.key == 9 && mem.perm == 3);
	raw[0] ^= 1;
	assert_int_equal(leap__farmem_rep_parse(raw, sizeof(raw), &mem),
			 -EPROTO);
	for (i = 0; i < COUNT(bad); i++) {
		leap__farmem_rep_make(&rep, &bad[i]);
		assert_int_equal(leap__farmem_rep_parse(&rep, sizeof(rep),
							&mem), -EPROTO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FM_TEST(test_wrong_key),
		FM_TEST(test_bounds),
		FM_TEST(test_other_share),
		FM_TEST(test_permission),
		FM_TEST(test_lists),
		FM_TEST(test_vanished),
		FM_TEST(test_strangers),
		FM_TEST(test_other_kind),
		FM_TEST(test_options),
		cmocka_unit_test(test_private_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
