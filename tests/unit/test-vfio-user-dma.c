/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device end of vfio-user: memory that only the client can reach, message
 * by message, and a real drive whose payload lies there.
 */
#define _GNU_SOURCE
#include "serve.h"
#include "vfu-fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- what only the client can reach -------------------------------------- */

/* The address space that a real function has over the fake one's map. */
static struct leap_ats *far;
static struct leap_ats_view *view;

static void far_open(void)
{
	struct leap_ats_range r;

	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x10000, -1, 0, RW), 0);
	r = vf.vdev.maps[0];
	r.ops = &vf.vdev.map_ops[0];
	assert_int_equal(leap_ats_create(NULL, &far), 0);
	assert_int_equal(leap_ats_map(far, &r), 0);
	assert_int_equal(leap_ats_attach(far, vf.pg, &view), 0);
}

static void far_close(void)
{
	vfu_settle(vf.pg);
	assert_int_equal(leap_ats_detach(view), 0);
	assert_int_equal(leap_ats_destroy(far), 0);
}

struct far_io {
	struct leap_ats_io io;
	int done, err;
	char buf[32];
};

static void far_done(struct leap_ats_io *io, int err)
{
	struct far_io *f = io->arg;

	f->done++;
	f->err = err;
}

static void far_start(struct far_io *f, uint64_t gpa, uint32_t n, bool write)
{
	memset(f, 0, sizeof(*f));
	memset(f->buf, 'w', sizeof(f->buf));
	f->io.gpa.addr = gpa;
	f->io.buf = f->buf;
	f->io.bytes = n;
	f->io.done = far_done;
	f->io.arg = f;
	assert_int_equal(write ? leap_ats_write(view, &f->io) :
			 leap_ats_read(view, &f->io), 0);
}

/* The client's answer to what it was asked last. */
static void far_reply(uint32_t flags, uint32_t err, const void *p, size_t n)
{
	uint8_t msg[128];
	struct leap__vfu_hdr h = vf.c.hdr;

	h.flags = flags;
	h.err = err;
	h.size = (uint32_t)(sizeof(h) + n);
	memcpy(msg, &h, sizeof(h));
	memcpy(msg + sizeof(h), p, n);
	vfu_raw(&vf.c, msg, sizeof(h) + n, NULL, 0);
	vfu_settle(vf.pg);
}

static void test_dma(void **state)
{
	struct leap__vfu_hdr ask_hdr;
	struct leap__vfu_dma dma;
	struct far_io f, g;
	uint8_t p[48];
	uint32_t v;

	(void)state;
	far_open();
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&vf.c), 16);
	assert_int_equal(vf.c.hdr.cmd, LEAP__VFU_DMA_READ);
	assert_int_equal(vf.c.hdr.flags, LEAP__VFU_COMMAND);
	memcpy(&dma, vf.c.in, sizeof(dma));
	assert_int_equal(dma.addr, 0x10100);
	assert_int_equal(dma.count, 8);
	/* The client goes on with its own business meanwhile. */
	memcpy(p, vf.c.in, 16);
	memcpy(p + 16, "ABCDEFGH", 8);
	ask_hdr = vf.c.hdr;
	assert_int_equal(vfu_read(&vf.c, 7, 0, &v, 4), 0);
	vf.c.hdr = ask_hdr;
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.err, 0);
	assert_memory_equal(f.buf, "ABCDEFGHw", 9);
	/* A write, behind a read: in order, each with its own answer. */
	far_start(&f, 0x10100, 8, false);
	far_start(&g, 0x10200, 16, true);
	assert_int_equal(vfu_peek(&vf.c), 16);
	far_reply(LEAP__VFU_REPLY | LEAP__VFU_ERROR, EFAULT, p, 0);
	assert_int_equal(f.err, -EFAULT);
	assert_int_equal(vfu_peek(&vf.c), 32);
	assert_int_equal(vf.c.hdr.cmd, LEAP__VFU_DMA_WRITE);
	assert_memory_equal(vf.c.in + 16, "wwwwwwwwwwwwwwww", 16);
	far_reply(LEAP__VFU_REPLY, 0, vf.c.in, 16);
	assert_int_equal(g.done, 1);
	assert_int_equal(g.err, 0);
	/* The short form of the standard's text. */
	far_start(&g, 0x10200, 16, true);
	assert_int_equal(vfu_peek(&vf.c), 32);
	far_reply(LEAP__VFU_REPLY, 0, vf.c.in, 12);
	assert_int_equal(g.err, 0);
	far_close();
}

static void test_bad_dma(void **state)
{
	struct far_io f;
	uint8_t p[48];

	(void)state;
	far_open();
	/* Too short, too long, of another address. */
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&vf.c), 16);
	memcpy(p, vf.c.in, 16);
	far_reply(LEAP__VFU_REPLY, 0, p, 23);
	assert_int_equal(f.err, -EPROTO);
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&vf.c), 16);
	far_reply(LEAP__VFU_REPLY, 0, p, 25);
	assert_int_equal(f.err, -EPROTO);
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&vf.c), 16);
	p[0]++;
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.err, -EPROTO);
	assert_null(strstr(vf.log, "10.1"));
	/* An answer to nothing is the end. */
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_true(vf_hung_up());
	far_close();
}

/* The message that QEMU 10.1.0 would send, byte for byte. */
static void test_old_qemu(void **state)
{
	struct far_io f;
	uint8_t p[24] = { 0 };

	(void)state;
	far_open();
	far_start(&f, 0x10100, 8, false);
	assert_int_equal(vfu_peek(&vf.c), 16);
	memcpy(p, vf.c.in, 12);
	memcpy(p + 12, "ABCDEFGH", 8);
	far_reply(LEAP__VFU_REPLY, 0, p, 24);
	assert_int_equal(f.err, -EPROTO);
	assert_non_null(strstr(vf.log, "QEMU 10.1.0"));
	assert_non_null(strstr(vf.log, "share=on"));
	/* It is not asked again: a write would land in the wrong place. */
	far_start(&f, 0x10100, 8, true);
	vfu_settle(vf.pg);
	assert_int_equal(f.err, -ENOTCONN);
	assert_int_equal(vfu_peek(&vf.c), -1);
	far_close();
}

static void test_dma_ends(void **state)
{
	struct leap__vfu_hdr ask_hdr;
	struct far_io f, g;

	(void)state;
	/* A client that waits for an unmap answers nothing. */
	far_open();
	far_start(&f, 0x10100, 8, false);
	far_start(&g, 0x10100, 8, true);
	assert_int_equal(vfu_peek(&vf.c), 16);
	ask_hdr = vf.c.hdr;
	assert_int_equal(vfu_peek(&vf.c), 24);
	assert_int_equal(vfu_unmap(&vf.c, 0x10000, 0x10000, 0), 0);
	vfu_settle(vf.pg);
	assert_int_equal(f.err, -ECANCELED);
	assert_int_equal(g.err, -ECANCELED);
	/* And says it when it is too late. */
	vf.c.hdr = ask_hdr;
	far_reply(LEAP__VFU_REPLY | LEAP__VFU_ERROR, EFAULT, "", 0);
	assert_int_equal(vfu_map(&vf.c, 0x10000, 0x10000, -1, 0, RW), 0);
	/* One that goes away answers nothing either. */
	far_start(&f, 0x10100, 8, true);
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	assert_int_equal(f.done, 1);
	assert_int_equal(f.err, -ENOTCONN);
	far_start(&f, 0x10100, 8, false);
	vfu_settle(vf.pg);
	assert_int_equal(f.err, -ENOTCONN);
	far_close();
}

/* ---- a drive whose payload only the client can reach --------------------- */

#define NQN	"nqn.2026-01.org.example:far"
#define RAM	(1u << 20)
#define FAR	0x40000000u		/* without a descriptor */
#define FAR_MAX	(64u << 10)
#define BAR	0u
#define CONFIG	7u

static struct {
	struct leap_pollgroup *pg;
	struct leap_target *target;
	struct leap_listener *listener;
	struct vfu_client c;
	uint8_t *ram;
	int fd;
	uint8_t far[FAR_MAX];
	uint32_t tail[2], head[2];
	uint32_t reads, writes;		/* that the client was asked for */
	uint32_t fail;			/* its answer to the next */
	struct leap_pollgroup *other;	/* serves the I/O queues, or NULL */
	pthread_t thread;
	uint32_t stop;
} dr;

static void await(const int *done)
{
	int turns = 0;

	while (!*done) {
		assert_true(turns++ < 100000000);
		leap_pollgroup_poll(dr.pg, 0);
	}
}

static void drive_memory(void)
{
	dr.fd = fds_memory(RAM, F_SEAL_SHRINK);
	dr.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, dr.fd, 0);
	assert_true(dr.ram != MAP_FAILED);
	assert_int_equal(vfu_map(&dr.c, 0, RAM, dr.fd, 0, RW), 0);
	assert_int_equal(vfu_map(&dr.c, FAR, FAR_MAX, -1, 0, RW), 0);
}

static void reg(uint64_t at, uint64_t v, uint32_t n)
{
	assert_int_equal(vfu_write(&dr.c, BAR, at, &v, n, 0), 0);
}

/* Rings: admin at 1000h and 2000h, I/O at 3000h and 4000h, 32 deep. */
static void drive_on(void)
{
	uint32_t csts = 0, master = 6;
	int turns = 0;

	memset(dr.ram, 0, 0x5000);
	memset(dr.tail, 0, sizeof(dr.tail));
	memset(dr.head, 0, sizeof(dr.head));
	assert_int_equal(vfu_write(&dr.c, CONFIG, 4, &master, 2, 0), 0);
	reg(LEAP_REG_AQA, 31 << 16 | 31, 4);
	reg(LEAP_REG_ASQ, 0x1000, 8);
	reg(LEAP_REG_ACQ, 0x2000, 8);
	reg(LEAP_REG_CC, 0x00460001, 4);
	while (!(csts & LEAP_CSTS_RDY)) {
		assert_true(turns++ < 1000);
		assert_int_equal(vfu_read(&dr.c, BAR, LEAP_REG_CSTS, &csts, 4),
				 0);
	}
}

static void *run_other(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&dr.stop, __ATOMIC_ACQUIRE)) {
		leap_pollgroup_poll(dr.other, 0);
		leap_pollgroup_wait(dr.other, 1000000);
	}
	return NULL;
}

static void other_start(void)
{
	assert_int_equal(leap_pollgroup_create(NULL, &dr.other), 0);
	assert_int_equal(leap_target_add_group(dr.target, dr.other), 0);
	assert_int_equal(pthread_create(&dr.thread, NULL, run_other, NULL), 0);
}

static void other_stop(void)
{
	__atomic_store_n(&dr.stop, 1, __ATOMIC_RELEASE);
	pthread_join(dr.thread, NULL);
	assert_int_equal(leap_pollgroup_destroy(dr.other), 0);
}

static int drive_open_on(bool other)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_listener_opts lo = LEAP_LISTENER_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	char path[64], url[160];
	int added = 0;

	memset(&dr, 0, sizeof(dr));
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &dr.pg), 0);
	assert_int_equal(leap_target_create(dr.pg, NULL, &dr.target), 0);
	if (other)
		other_start();
	so.nqn = NQN;
	so.serial = "FAR0001";
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(dr.target, &so, &ss), 0);
	no.nsid = 1;
	no.block_bytes = 512;
	assert_int_equal(leap_bdev_open(dr.pg, "memory:4M", &no.bdev), 0);
	assert_int_equal(leap_ns_add(ss, &no, ns_done, &added), 1);
	await(&added);
	assert_int_equal(added, 1);
	snprintf(path, sizeof(path), "/tmp/leap-far-%d.sock", (int)getpid());
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, path);
	lo.url = url;
	assert_int_equal(leap_listener_create(dr.target, &lo, &dr.listener), 0);
	assert_int_equal(vfu_connect(&dr.c, dr.pg, path), 0);
	assert_int_equal(vfu_hello(&dr.c), 0);
	drive_memory();
	drive_on();
	return 0;
}

static int drive_open(void **state)
{
	(void)state;
	return drive_open_on(false);
}

static int drive_open_threaded(void **state)
{
	(void)state;
	return drive_open_on(true);
}

static int drive_close(void **state)
{
	struct leap_pollgroup_stats s = { sizeof(s) };
	int gone = 0, turns = 0;

	(void)state;
	vfu_close(&dr.c);
	vfu_settle(dr.pg);
	assert_int_equal(leap_pollgroup_stats(dr.pg, &s), 0);
	assert_int_equal(s.bufs_in_use, 0);
	assert_int_equal(s.cmds_in_use, 0);
	leap_target_destroy(dr.target, set_flag, &gone);
	await(&gone);
	/* The server's last work ends a little after the target. */
	while (leap_pollgroup_destroy(dr.pg)) {
		assert_true(turns++ < 1000000);
		leap_pollgroup_poll(dr.pg, 0);
	}
	if (dr.other)
		other_stop();
	munmap(dr.ram, RAM);
	close(dr.fd);
	return 0;
}

/* Answer what the client was asked, @n bytes of it. */
static void drive_serve(int n)
{
	struct leap__vfu_hdr h = dr.c.hdr;
	uint8_t msg[sizeof(h) + sizeof(struct leap__vfu_dma) + FAR_MAX];
	struct leap__vfu_dma dma;
	size_t size = sizeof(h) + sizeof(dma);

	assert_true(n >= (int)sizeof(dma));
	assert_int_equal(h.flags, LEAP__VFU_COMMAND);
	memcpy(&dma, dr.c.in, sizeof(dma));
	assert_true(dma.addr >= FAR && dma.addr + dma.count <= FAR + FAR_MAX);
	memcpy(msg + sizeof(h), &dma, sizeof(dma));
	if (h.cmd == LEAP__VFU_DMA_READ) {
		dr.reads++;
		memcpy(msg + size, dr.far + (dma.addr - FAR), dma.count);
		size += dma.count;
	} else {
		assert_int_equal(h.cmd, LEAP__VFU_DMA_WRITE);
		assert_int_equal(n, sizeof(dma) + dma.count);
		dr.writes++;
		memcpy(dr.far + (dma.addr - FAR), dr.c.in + sizeof(dma),
		       dma.count);
	}
	h.flags = LEAP__VFU_REPLY | (dr.fail ? LEAP__VFU_ERROR : 0);
	h.err = dr.fail;
	h.size = dr.fail ? sizeof(h) : (uint32_t)size;
	dr.fail = 0;
	memcpy(msg, &h, sizeof(h));
	vfu_raw(&dr.c, msg, h.size, NULL, 0);
}

static void drive_push(uint32_t q, struct leap_sqe sqe)
{
	sqe.cid = leap_to_le16((uint16_t)(dr.tail[q] + 1));
	memcpy(dr.ram + 0x1000 + q * 0x2000 + dr.tail[q] * 64, &sqe, 64);
	dr.tail[q] = (dr.tail[q] + 1) % 32;
	reg(LEAP_REG_DBL + 8 * q, dr.tail[q], 4);
}

/* The completion's status; of fewer commands than the ring has entries. */
static leap_status_t drive_do(uint32_t q, struct leap_sqe sqe)
{
	const uint8_t *cqe = dr.ram + 0x2000 + q * 0x2000 + dr.head[q] * 16;
	int turns = 0, n;

	drive_push(q, sqe);
	while (!(cqe[14] & 1)) {
		assert_true(turns++ < 100000);
		n = vfu_peek(&dr.c);
		assert_int_not_equal(n, -2);
		if (n >= 0)
			drive_serve(n);
	}
	dr.head[q]++;
	assert_true(dr.head[q] < 31);
	reg(LEAP_REG_DBL + 8 * q + 4, dr.head[q], 4);
	return (leap_status_t)((cqe[14] | cqe[15] << 8) >> 1);
}

static void drive_queue(void)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_CREATE_CQ };

	sqe.cdw10 = leap_to_le32(31 << 16 | 1);
	sqe.cdw11 = leap_to_le32(1);
	sqe.prp1 = leap_to_le64(0x4000);
	assert_int_equal(drive_do(0, sqe), 0);
	sqe.opc = LEAP_ADM_CREATE_SQ;
	sqe.cdw11 = leap_to_le32(1 << 16 | 1);
	sqe.prp1 = leap_to_le64(0x3000);
	assert_int_equal(drive_do(0, sqe), 0);
}

static struct leap_sqe drive_rw(uint8_t opc, uint32_t slba, uint32_t nr,
				uint64_t prp1, uint64_t prp2)
{
	struct leap_sqe sqe = { .opc = opc };

	sqe.nsid = leap_to_le32(1);
	sqe.cdw10 = leap_to_le32(slba);
	sqe.cdw12 = leap_to_le32(nr - 1);
	sqe.prp1 = leap_to_le64(prp1);
	sqe.prp2 = leap_to_le64(prp2);
	return sqe;
}

static void test_far_payload(void **state)
{
	struct leap_sqe sqe = { .opc = LEAP_ADM_IDENTIFY };
	uint8_t want[8192];
	uint32_t i;

	(void)state;
	/* Identify Controller, into memory that the client has to store. */
	sqe.cdw10 = leap_to_le32(1);
	sqe.prp1 = leap_to_le64(FAR + 0x8000);
	assert_int_equal(drive_do(0, sqe), 0);
	assert_int_equal(dr.writes, 1);
	assert_memory_equal(dr.far + 0x8004, "FAR0001 ", 8);
	drive_queue();
	for (i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 256);
	/* A write from far memory, a read to it, and one to RAM. */
	memcpy(dr.far + 0x200, want, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 8, 8,
					      FAR + 0x200, FAR + 0x1000)), 0);
	assert_int_equal(dr.reads, 1);	/* one piece */
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      0x10000, 0)), 0);
	assert_memory_equal(dr.ram + 0x10000, want, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      FAR + 0x5c04, FAR + 0x6000)), 0);
	assert_int_equal(dr.writes, 2);
	assert_memory_equal(dr.far + 0x5c04, want, 4096);
	/* Half of it here and half of it there, both ways. */
	memcpy(dr.ram + 0x11000, want, 4096);
	memcpy(dr.far + 0x3000, want + 4096, 4096);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 64, 16, 0x11000,
					      FAR + 0x3000)), 0);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 64, 16,
					      FAR + 0x4000, 0x12000)), 0);
	assert_memory_equal(dr.far + 0x4000, want, 4096);
	assert_memory_equal(dr.ram + 0x12000, want + 4096, 4096);
	/* What the client refuses fails, and nothing else does. */
	dr.fail = EFAULT;
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_WRITE, 8, 8, FAR, 0)) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	dr.fail = EFAULT;
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8, FAR, 0)) &
			 ~LEAP_STATUS_MORE,
			 LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR);
	assert_int_equal(drive_do(1, drive_rw(LEAP_NVM_READ, 8, 8,
					      0x10000, 0)), 0);
	assert_memory_equal(dr.ram + 0x10000, want, 4096);
}

/* A client that was asked resets the drive, takes the memory back, or dies. */
static void test_far_ends(void **state)
{
	struct leap__vfu_hdr asked;
	int n;

	(void)state;
	drive_queue();
	drive_push(1, drive_rw(LEAP_NVM_WRITE, 0, 8, FAR, 0));
	n = vfu_peek(&dr.c);
	assert_int_equal(n, sizeof(struct leap__vfu_dma));
	asked = dr.c.hdr;
	assert_int_equal(vfu_ask(&dr.c, LEAP__VFU_RESET, NULL, 0, NULL, 0,
				 NULL), 0);
	assert_int_equal(dr.ram[0x4000 + 14], 0);	/* nothing posted */
	/* It answers after all: too late, and no harm. */
	dr.c.hdr = asked;
	drive_serve(n);
	drive_on();
	drive_queue();
	drive_push(1, drive_rw(LEAP_NVM_READ, 0, 8, FAR, 0));
	assert_int_equal(vfu_peek(&dr.c), sizeof(struct leap__vfu_dma) + 4096);
	assert_int_equal(vfu_unmap(&dr.c, FAR, FAR_MAX, 0), 0);
	vfu_settle(dr.pg);
	assert_int_equal((dr.ram[0x4000 + 14] | dr.ram[0x4000 + 15] << 8) >> 1 &
			 0x7ff, LEAP_SC_DATA_TRANSFER);
	assert_int_equal(vfu_map(&dr.c, FAR, FAR_MAX, -1, 0, RW), 0);
	drive_push(1, drive_rw(LEAP_NVM_WRITE, 0, 8, FAR, 0));
	assert_true(vfu_peek(&dr.c) > 0);
	drive_push(1, drive_rw(LEAP_NVM_READ, 0, 8, FAR + 4096, 0));
	/* drive_close: it goes away. */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VF_LIVE(test_dma),
		VF_LIVE(test_bad_dma),
		VF_LIVE(test_old_qemu),
		VF_LIVE(test_dma_ends),
		cmocka_unit_test_setup_teardown(test_far_payload,
			drive_open, drive_close),
		cmocka_unit_test_setup_teardown(test_far_payload,
			drive_open_threaded, drive_close),
		cmocka_unit_test_setup_teardown(test_far_ends,
			drive_open, drive_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
