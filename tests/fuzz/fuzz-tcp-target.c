/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The controller end of NVMe/TCP against any stream of bytes. The handler asks
 * for what CDW12 says and completes; nothing may stay behind.
 */
#include "fuzz-tcp.h"

#include <leapio/nvmf.h>

#include "../unit/fake-target.h"

static struct leap_pollgroup *pg;
static struct leap_target target;
static struct leap_cmd *later[512];
static unsigned int nr_later;
static int defer;

static void finish(struct leap_cmd *cmd)
{
	uint32_t i;

	/* All of it may be read and written. */
	for (i = 0; i < cmd->nr_pieces; i++)
		memset(cmd->pieces[i].addr, 0x5a, cmd->pieces[i].len_bytes);
	leap_cmd_complete(cmd, 0);
}

static void ready(struct leap_cmd *cmd, leap_status_t status)
{
	if (status)
		leap_cmd_complete(cmd, status);
	else if (defer && nr_later < 512)
		later[nr_later++] = cmd;
	else
		finish(cmd);
}

static void execute(struct leap_target *t, struct leap_cmd *cmd)
{
	leap_cmd_pull(cmd, leap_from_le32(cmd->sqe.cdw12), ready);
}

static void step(void)
{
	while (nr_later)
		finish(later[--nr_later]);
}

static void init(void)
{
	struct leap_pollgroup_opts opts = LEAP_POLLGROUP_OPTS_INIT;

	if (pg)
		return;
	opts.world = LEAP_WORLD_EPOLL;
	opts.nr_cmds = 6;
	opts.nr_bufs = 9;
	opts.buf_bytes = 4096;
	FUZZ_CHECK(!leap_pollgroup_create(&opts, &pg));
}

static void handshake(int fd, uint8_t how, uint8_t more)
{
	struct leap_fab_connect *sqe;
	uint8_t out[2048], cd[1024];
	union leap__tcp_pdu pdu;
	uint32_t n;

	memset(&pdu, 0, sizeof(pdu));
	pdu.hdr.type = LEAP_TCP_IC_REQ;
	pdu.hdr.hlen = 128;
	pdu.ic_req.maxr2t = leap_to_le32(more >> 4);
	pdu.ic_req.dgst = how >> 1 & 3;
	n = fuzz_pdu(out, 0, &pdu, NULL, 0);
	fuzz_feed(fd, pg, 0, out, n, step);
	memset(&pdu, 0, sizeof(pdu));
	memset(cd, 1, sizeof(cd));
	pdu.hdr.type = LEAP_TCP_CMD;
	pdu.hdr.hlen = 72;
	sqe = (struct leap_fab_connect *)&pdu.cmd.sqe;
	sqe->opc = LEAP_ADM_FABRICS;
	sqe->flags = LEAP_SQE_PSDT_SGL;
	sqe->fctype = LEAP_FCTYPE_CONNECT;
	sqe->sgl1.len = leap_to_le32(sizeof(cd));
	sqe->sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_OFFSET);
	sqe->qid = leap_to_le16(1);
	sqe->sqsize = leap_to_le16(7);
	sqe->cattr = more & FUZZ_NO_FLOW ? LEAP_CATTR_NO_SQFLOW : 0;
	n = fuzz_pdu(out, how, &pdu, cd, sizeof(cd));
	fuzz_feed(fd, pg, 0, out, n, step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct leap__tcp_limits limits = { 65536, 512, 8 };
	struct leap__world *w;
	struct leap__wfd *wfd;
	struct leap_vqp *vqp;
	int fds[2];

	if (size < 2)
		return 0;
	init();
	fake_target_init(&target, pg);
	target.execute = execute;
	defer = data[1] & FUZZ_LATER;
	w = leap__pollgroup_world(pg);
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	FUZZ_CHECK(!w->ops->adopt(w, fds[0], &wfd));
	FUZZ_CHECK(!leap__tcp_target_start(pg, &limits, &target.listener, wfd,
					   &vqp));
	leap_pollgroup_poll(pg, 0);
	if (data[0] & FUZZ_HANDSHAKE)
		handshake(fds[1], data[0], data[1]);
	fuzz_feed(fds[1], pg, data[0], data + 2, size - 2, step);
	close(fds[1]);
	while (!target.gone) {
		leap_pollgroup_poll(pg, 0);
		step();
	}
	FUZZ_CHECK(target.lost == 1);
	fuzz_no_leak(pg);
	return 0;
}
