/* SPDX-License-Identifier: BSD-3-Clause */
#include "ctrl-fixture.h"

#include <stdio.h>

#include <leapio/nvmf.h>

struct wait {
	int done;
	leap_status_t status;
	int err;
};

static void on_connected(struct leap_qp *qp, leap_status_t status,
			 int sys_errno, void *arg)
{
	struct wait *w = arg;

	(void)qp;
	w->done = 1;
	w->status = status;
	w->err = sys_errno;
}

static void on_lost(struct leap_qp *qp, int sys_errno, void *arg)
{
	(void)qp;
	(void)sys_errno;
	(void)arg;
}

void fx_wait(struct fx *fx, const int *flag)
{
	struct unit_lived lived = { 0 };

	while (!*flag) {
		fx->poll(fx);
		assert_true(unit_lived_ns(&lived,
				leap_pollgroup_now_ns(fx->pg)) < 10000000000u);
	}
}

void fx_settle(struct fx *fx)
{
	int idle = 0;

	while (idle < 20)
		idle = fx->poll(fx) > 0 ? 0 : idle + 1;
}

void fx_add_ns(struct fx *fx, const char *stack, uint32_t nsid,
	       uint32_t block_bytes, int read_only)
{
	struct leap_ns_opts opts = LEAP_NS_OPTS_INIT;
	int added = 0;

	opts.nsid = nsid;
	opts.block_bytes = block_bytes;
	opts.read_only = (uint32_t)read_only;
	assert_int_equal(leap_bdev_open(fx->pg, stack, &opts.bdev), 0);
	assert_int_equal(leap_ns_add(fx->ss, &opts, ns_done, &added),
			 (int)nsid);
	fx_wait(fx, &added);
	assert_int_equal(added, 1);
}

static int poll_once(struct fx *fx)
{
	return leap_pollgroup_poll(fx->pg, 0);
}

int fx_setup(void **state)
{
	return fx_setup_in(state, NULL, poll_once);
}

int fx_setup_in(void **state, const struct leap_pollgroup_opts *opts,
		int (*poll)(struct fx *fx))
{
	struct leap_subsystem_opts ss = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts l = LEAP_LISTENER_OPTS_INIT;
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_int_equal(leap_pollgroup_create(opts, &fx->pg), 0);
	fx->poll = poll;
	assert_int_equal(leap_target_create(fx->pg, NULL, &fx->target), 0);
	ss.nqn = FX_NQN;
	ss.allow_any_host = 1;
	ss.max_nsid = 64;
	assert_int_equal(leap_subsystem_create(fx->target, &ss, &fx->ss), 0);
	fx_add_ns(fx, "memory:16M", 1, 0, 0);
	fx_add_ns(fx, "memory:16M", 2, 4096, 0);
	fx_add_ns(fx, "memory:16M", 3, 0, 1);
	l.url = "loop://";
	assert_int_equal(leap_listener_create(fx->target, &l, &fx->listener),
			 0);
	*state = fx;
	return 0;
}

int fx_setup_live(void **state)
{
	struct fx_connect how = { 0 };
	struct fx *fx;

	fx_setup(state);
	fx = *state;
	assert_int_equal(fx_connect(fx, &how, &fx->admin), 0);
	fx_enable(fx);
	return 0;
}

int fx_teardown(void **state)
{
	struct fx *fx = *state;
	int gone = 0;

	if (fx->admin)
		fx_close(fx, fx->admin);
	leap_target_destroy(fx->target, set_flag, &gone);
	fx_wait(fx, &gone);
	assert_int_equal(leap_pollgroup_destroy(fx->pg), 0);
	free(fx);
	return 0;
}

leap_status_t fx_connect(struct fx *fx, const struct fx_connect *how,
			 struct leap_qp **qp)
{
	struct leap_qp_opts o = LEAP_QP_OPTS_INIT;
	struct leap_qp_info info = { .size = sizeof(info) };
	struct wait w = { 0 };
	char url[300];

	snprintf(url, sizeof(url), "loop://leapio/%s",
		 how->nqn ? how->nqn : FX_NQN);
	o.url = url;
	o.hostnqn = how->hostnqn ? how->hostnqn : FX_HOST;
	memset(o.hostid, how->hostid ? how->hostid : 1, sizeof(o.hostid));
	o.qid = how->qid;
	o.cntlid = how->cntlid;
	o.depth = how->depth;
	o.kato_ms = how->kato_ms;
	o.target = fx->target;
	o.connected = on_connected;
	o.lost = on_lost;
	o.arg = &w;
	assert_int_equal(leap_qp_connect(fx->pg, &o, qp), 0);
	fx_wait(fx, &w.done);
	if (w.status) {
		fx_close(fx, *qp);
		*qp = NULL;
		return LEAP_STATUS_CODE(w.status);
	}
	assert_int_equal(leap_qp_info(*qp, &info), 0);
	if (!how->qid)
		fx->cntlid = info.cntlid;
	return 0;
}

struct leap_qp *fx_io(struct fx *fx, uint16_t qid)
{
	struct fx_connect how = { .qid = qid, .cntlid = fx->cntlid };
	struct leap_qp *qp;

	assert_int_equal(fx_connect(fx, &how, &qp), 0);
	return qp;
}

void fx_close(struct fx *fx, struct leap_qp *qp)
{
	int closed = 0;

	leap_qp_close(qp, set_flag, &closed);
	fx_wait(fx, &closed);
	if (qp == fx->admin)
		fx->admin = NULL;
}

int fx_is_lost(struct leap_qp *qp)
{
	static struct leap_req req;
	struct leap_req *r = &req;

	return leap_qp_submit(qp, &r, 1) == -ENOTCONN;
}

static void on_done(struct leap_req *req)
{
	struct fx_req *r = (struct fx_req *)req;

	r->done++;
	r->status = leap_req_status(req);
}

void fx_submit(struct fx *fx, struct leap_qp *qp, struct fx_req *r,
	       const struct leap_sqe *sqe, void *buf, uint32_t len)
{
	struct leap_req *req = &r->req;

	(void)fx;
	memset(r, 0, sizeof(*r));
	r->req.sqe = *sqe;
	r->req.done = on_done;
	r->piece.addr = buf;
	r->piece.len_bytes = len;
	r->req.pieces = &r->piece;
	r->req.nr_pieces = len ? 1 : 0;
	assert_int_equal(leap_qp_submit(qp, &req, 1), 1);
	leap_qp_kick(qp);
}

leap_status_t fx_cmd_raw(struct fx *fx, struct leap_qp *qp,
			 struct leap_sqe *sqe, void *buf, uint32_t len)
{
	struct fx_req r;

	fx_submit(fx, qp, &r, sqe, buf, len);
	fx_wait(fx, &r.done);
	fx->result = leap_req_result(&r.req);
	return r.status;
}

leap_status_t fx_cmd(struct fx *fx, struct leap_qp *qp, struct leap_sqe *sqe,
		     void *buf, uint32_t len)
{
	return LEAP_STATUS_CODE(fx_cmd_raw(fx, qp, sqe, buf, len));
}

leap_status_t fx_prop_get(struct fx *fx, uint32_t offset, int size8,
			  uint64_t *v)
{
	struct leap_fab_prop_get p = { 0 };
	struct leap_sqe sqe;
	leap_status_t status;

	p.opc = LEAP_ADM_FABRICS;
	p.fctype = LEAP_FCTYPE_PROP_GET;
	p.attrib = (uint8_t)size8;
	p.ofst = leap_to_le32(offset);
	memcpy(&sqe, &p, sizeof(sqe));
	status = fx_cmd(fx, fx->admin, &sqe, NULL, 0);
	*v = fx->result;
	return status;
}

leap_status_t fx_prop_set(struct fx *fx, uint32_t offset, uint64_t v)
{
	struct leap_fab_prop_set p = { 0 };
	struct leap_sqe sqe;

	p.opc = LEAP_ADM_FABRICS;
	p.fctype = LEAP_FCTYPE_PROP_SET;
	p.ofst = leap_to_le32(offset);
	p.value = leap_to_le64(v);
	memcpy(&sqe, &p, sizeof(sqe));
	return fx_cmd(fx, fx->admin, &sqe, NULL, 0);
}

void fx_enable(struct fx *fx)
{
	uint64_t v;

	assert_int_equal(fx_prop_set(fx, LEAP_REG_CC, 0x00460001), 0);
	assert_int_equal(fx_prop_get(fx, LEAP_REG_CSTS, 0, &v), 0);
	assert_int_equal(v, LEAP_CSTS_RDY);
}

struct leap_sqe fx_rw(uint8_t opc, uint32_t nsid, uint64_t slba, uint32_t nr)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = opc;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32((uint32_t)slba);
	sqe.cdw11 = leap_to_le32((uint32_t)(slba >> 32));
	sqe.cdw12 = leap_to_le32(nr - 1);
	return sqe;
}

struct leap_sqe fx_identify(uint8_t cns, uint32_t nsid)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = LEAP_ADM_IDENTIFY;
	sqe.nsid = leap_to_le32(nsid);
	sqe.cdw10 = leap_to_le32(cns);
	return sqe;
}

struct leap_sqe fx_log(uint8_t lid, uint32_t bytes)
{
	struct leap_sqe sqe = { 0 };
	uint32_t numd = bytes / 4 - 1;

	sqe.opc = LEAP_ADM_GET_LOG;
	sqe.nsid = leap_to_le32(LEAP_NSID_ALL);
	sqe.cdw10 = leap_to_le32(lid | (numd & 0xffff) << 16);
	sqe.cdw11 = leap_to_le32(numd >> 16);
	return sqe;
}

struct leap_sqe fx_feature(uint8_t opc, uint8_t fid, uint32_t sel_or_sv,
			   uint32_t v)
{
	struct leap_sqe sqe = { 0 };

	sqe.opc = opc;
	sqe.cdw10 = leap_to_le32(fid | (opc == LEAP_ADM_SET_FEATURES ?
					sel_or_sv << 31 : sel_or_sv << 8));
	sqe.cdw11 = leap_to_le32(v);
	return sqe;
}
