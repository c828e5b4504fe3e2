/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything is polled by hand: the group, then the controller.
 */
#include "reghost-fixture.h"

struct rh rh;

static void on_connected(struct leap_qp *qp, leap_status_t status, int err,
			 void *arg)
{
	struct rh_side *s = arg;

	s->state = status ? -1 : 1;
	s->status = status;
	s->err = err;
}

static void on_lost(struct leap_qp *qp, int err, void *arg)
{
	struct rh_side *s = arg;

	s->lost++;
	s->lost_err = err;
}

void rh_on_closed(void *arg)
{
	((struct rh_side *)arg)->closed++;
}

void rh_on_done(struct leap_req *req)
{
	((struct rh_cmd *)req)->done++;
}

int rh_turn(const int *flag)
{
	uint64_t from = leap_pollgroup_now_ns(rh.pg);

	while (!*flag && leap_pollgroup_now_ns(rh.pg) - from < 60000000000ull) {
		leap_pollgroup_poll(rh.pg, 0);
		fake_poll();
	}
	return *flag;
}

void rh_turns(int n)
{
	while (n--) {
		leap_pollgroup_poll(rh.pg, 0);
		fake_poll();
	}
}

struct leap_qp_opts rh_opts_of(struct rh_side *s, uint16_t qid)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;

	memset(s, 0, sizeof(*s));
	o.url = RH_URL;
	o.qid = qid;
	o.cntlid = qid ? 3 : 0;
	o.depth = qid ? 16 : 0;
	o.connected = on_connected;
	o.lost = on_lost;
	o.arg = s;
	return o;
}

int rh_begin(struct rh_side *s, const struct leap_qp_opts *o)
{
	return leap_qp_connect(rh.pg, o, &s->qp);
}

void rh_finish(struct rh_side *s)
{
	if (!s->qp)
		return;
	leap_qp_close(s->qp, rh_on_closed, s);
	assert_int_equal(rh_turn(&s->closed), 1);
	s->qp = NULL;
}

void rh_connect_admin(void)
{
	struct leap_qp_opts o = rh_opts_of(&rh.admin, 0);

	assert_int_equal(rh_begin(&rh.admin, &o), 0);
	assert_int_equal(rh_turn(&rh.admin.state), 1);
}

void rh_run(struct rh_side *s, struct rh_cmd *c)
{
	struct leap_req *req = &c->req;

	c->done = 0;
	c->req.done = rh_on_done;
	assert_int_equal(leap_qp_submit(s->qp, &req, 1), 1);
	leap_qp_kick(s->qp);
	assert_int_equal(rh_turn(&c->done), 1);
}

leap_status_t rh_set_cc(uint32_t cc)
{
	struct leap_fab_prop_set p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_SET,
		.ofst = leap_to_le32(LEAP_REG_CC), .value = leap_to_le64(cc),
	};
	struct rh_cmd c = { 0 };

	memcpy(&c.req.sqe, &p, sizeof(p));
	rh_run(&rh.admin, &c);
	return leap_req_status(&c.req);
}

uint32_t rh_get(uint32_t reg)
{
	struct leap_fab_prop_get p = {
		.opc = LEAP_ADM_FABRICS, .fctype = LEAP_FCTYPE_PROP_GET,
		.ofst = leap_to_le32(reg),
	};
	struct rh_cmd c = { 0 };

	memcpy(&c.req.sqe, &p, sizeof(p));
	rh_run(&rh.admin, &c);
	assert_int_equal(leap_req_status(&c.req), 0);
	return (uint32_t)leap_req_result(&c.req);
}

void rh_up(void)
{
	rh_connect_admin();
	assert_int_equal(rh_set_cc(RH_ON), 0);
	assert_int_equal(rh_get(LEAP_REG_CSTS), LEAP_CSTS_RDY);
}

void rh_connect_io(struct rh_side *s, uint32_t flags)
{
	struct leap_qp_opts o = rh_opts_of(s, 1);

	o.flags = flags;
	assert_int_equal(rh_begin(s, &o), 0);
	assert_int_equal(rh_turn(&s->state), 1);
}

void rh_transfer(struct rh_cmd *c, uint8_t opc, uint32_t nr)
{
	uint32_t i, len = 0;

	for (i = 0; i < nr; i++)
		len += c->piece[i].len_bytes;
	c->req.pieces = c->piece;
	c->req.nr_pieces = nr;
	c->req.sqe.opc = opc;
	c->req.sqe.nsid = leap_to_le32(1);
	c->req.sqe.cdw12 = leap_to_le32(len / 512 - 1);
	rh_run(&rh.io1, c);
	assert_int_equal(leap_req_status(&c->req), 0);
}

void rh_piece(struct rh_cmd *c, uint32_t i, uint8_t *addr, uint32_t len)
{
	c->piece[i].addr = addr;
	c->piece[i].len_bytes = len;
	c->piece[i].buf = addr >= rh.base && addr < rh.base + 4 * RH_MB ?
			  rh.mem : NULL;
}

void rh_both_ways(struct rh_cmd *c, uint32_t nr)
{
	uint32_t i, k, pos = 0;

	for (i = 0; i < nr; i++)
		memset(c->piece[i].addr, 0xee, c->piece[i].len_bytes);
	rh_transfer(c, LEAP_NVM_READ, nr);
	for (i = 0; i < nr; i++)
		for (k = 0; k < c->piece[i].len_bytes; k++, pos++)
			assert_int_equal(((uint8_t *)c->piece[i].addr)[k],
					 (uint8_t)(pos * 7 + (pos >> 8)));
	rh_transfer(c, LEAP_NVM_WRITE, nr);
}

int rh_set_up(void **state)
{
	struct leap_dmabuf_opts o = LEAP_DMABUF_OPTS_INIT;

	fake_init();
	memset(&rh.admin, 0, sizeof(rh.admin));
	memset(&rh.io1, 0, sizeof(rh.io1));
	assert_int_equal(leap_pollgroup_create(NULL, &rh.pg), 0);
	o.bytes = 4 * RH_MB;
	o.huge = LEAP_HUGE_NEVER;
	assert_int_equal(leap_dmabuf_create(&o, &rh.mem), 0);
	rh.base = leap_dmabuf_addr(rh.mem);
	return 0;
}

int rh_tear_down(void **state)
{
	rh_finish(&rh.io1);
	rh_finish(&rh.admin);
	leap_dmabuf_put(rh.mem);
	assert_int_equal(fake.maps, 0);
	if (leap_pollgroup_destroy(rh.pg))
		fail_msg("%s", leap_last_error());
	return 0;
}
