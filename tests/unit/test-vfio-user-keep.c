/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vfio-user client whose server is replaced under it: what the server knew of
 * it is saved, the server ends, and another one goes on. First with a scripted
 * client, then with a whole drive that a host uses meanwhile.
 */
#define _GNU_SOURCE
#include "serve.h"
#include "vfu-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include <leapio/upgrade.h>

#include "core/io/saved.h"
#include "rand.h"

#define MB	(1u << 20)

/* ---- a scripted client ---- */

static void saved(struct leap__saved *s)
{
	int i, err = -EAGAIN;

	memset(s, 0, sizeof(*s));
	for (i = 0; i < 1000 && err == -EAGAIN; i++) {
		err = leap__vfu_server_save(vf.server, s);
		leap_pollgroup_poll(vf.pg, 0);
	}
	assert_int_equal(err, 0);
}

/* The function is restored by others: it has its ranges and descriptors. */
static void old_ends(struct fake_vdev *kept)
{
	int i, stopped = 0;

	*kept = vf.vdev;
	leap__vfu_server_stop(vf.server, vf_count, &stopped);
	vfu_settle(vf.pg);
	assert_int_equal(stopped, 1);
	for (i = 0; i < FAKE_MAPS; i++)
		if (kept->map_used[i] && kept->maps[i].source != LEAP_ATS_FD) {
			kept->map_used[i] = 0;
			kept->nr_maps--;
		}
}

static int new_starts(const struct leap__saved *s, const struct fake_vdev *kept)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct leap__world *w = leap__pollgroup_world(vf.pg);
	struct leap__wfd *wfd;

	vf.vdev = *kept;
	strcpy(addr.sun_path, vf.path);
	assert_int_equal(w->ops->listen(w, (struct sockaddr *)&addr,
					sizeof(addr), 1, 0600, &wfd), 0);
	assert_int_equal(leap__vfu_server_create(vf.pg, &fake_vdev_ops, "next",
						 &vf.server), 0);
	assert_int_equal(leap__vfu_server_start(vf.server, wfd,
			(struct leap_vdev *)&vf.vdev, VF_VECTORS, 0), 0);
	return leap__vfu_server_restore(vf.server, s);
}

static void replace(void)
{
	struct fake_vdev kept;
	struct leap__saved s;

	saved(&s);
	old_ends(&kept);
	assert_int_equal(new_starts(&s, &kept), 0);
	leap__saved_free(&s);
	assert_true(leap__vfu_server_busy(vf.server));
}

static void test_goes_on(void **state)
{
	int ram = fds_memory(4 * MB, F_SEAL_SHRINK), irq[3], i, turn;
	const uint32_t vector[3] = { 0, 3, VF_VECTORS - 1 };
	uint32_t v = 0x12345678, got;

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0, 2 * MB, ram, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 4 * MB, MB, ram, 2 * MB, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 8 * MB, MB, -1, 0, RW), 0);
	for (i = 0; i < 3; i++) {
		irq[i] = vf_event();
		assert_int_equal(vfu_set_irqs(&vf.c, E_FD, LEAP__VFU_IRQ_MSIX,
					      vector[i], 1, NULL, &irq[i], 1),
				 0);
	}
	for (turn = 0; turn < 3; turn++) {
		assert_int_equal(vfu_write(&vf.c, 0, 0x14, &v, 4, 0), 0);
		replace();
		assert_int_equal(vf.vdev.resets, 0);
		assert_int_equal(vf.vdev.nr_maps, 3);
		/* It is greeted, and has its registers. */
		assert_int_equal(vfu_read(&vf.c, 0, 0x14, &got, 4), 0);
		assert_int_equal(got, v);
		v++;
		/* Its ranges are known, and no others. */
		assert_int_equal(vfu_map(&vf.c, MB, MB, ram, 0, RW), EEXIST);
		assert_int_equal(vfu_map(&vf.c, 8 * MB, MB, -1, 0, RW), EEXIST);
		assert_int_equal(vfu_unmap(&vf.c, 5 * MB, MB, 0), ENOENT);
		assert_int_equal(vfu_unmap(&vf.c, 4 * MB, MB, 0), 0);
		assert_int_equal(vfu_map(&vf.c, 4 * MB, MB, ram, 2 * MB, RW),
				 0);
		/* And its eventfds. */
		for (i = 0; i < 3; i++) {
			assert_int_equal(vfu_set_irqs(&vf.c, E_NONE,
					 LEAP__VFU_IRQ_MSIX, vector[i], 1,
					 NULL, NULL, 0), 0);
			assert_int_equal(vf_fired(irq[i]), 1);
		}
	}
	/* A new client has nothing of this one's. */
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	assert_int_equal(vf.vdev.nr_maps, 0);
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	assert_int_equal(vfu_hello(&vf.c), 0);
	assert_int_equal(vfu_map(&vf.c, 0, 2 * MB, ram, 0, RW), 0);
	for (i = 0; i < 3; i++)
		close(irq[i]);
	close(ram);
}

/* The pin: what has fired and is not taken yet does not fire again. */
static void test_pin(void **state)
{
	const uint32_t unmask = LEAP__VFU_SET_NONE | LEAP__VFU_SET_UNMASK;
	int fd = vf_event();

	(void)state;
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, LEAP__VFU_IRQ_INTX, 0, 1,
				      NULL, &fd, 1), 0);
	vf.vdev.intx_level = 1;
	leap__vfu_intx(leap__vfu_server_dev(vf.server), 1);
	assert_int_equal(vf_fired(fd), 1);
	replace();
	assert_int_equal(vf_fired(fd), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, unmask, LEAP__VFU_IRQ_INTX, 0, 1,
				      NULL, NULL, 0), 0);
	assert_int_equal(vf_fired(fd), 1);
	/* Low while it was taken, high while nobody served. */
	vf.vdev.intx_level = 0;
	leap__vfu_intx(leap__vfu_server_dev(vf.server), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, unmask, LEAP__VFU_IRQ_INTX, 0, 1,
				      NULL, NULL, 0), 0);
	assert_int_equal(vf_fired(fd), 0);
	vf.vdev.intx_level = 1;
	replace();
	assert_int_equal(vf_fired(fd), 1);
	vf.vdev.intx_level = 0;
	close(fd);
}

static int try_save(void)
{
	struct leap__saved s = { 0 };
	int err = leap__vfu_server_save(vf.server, &s);

	leap__saved_free(&s);
	vfu_settle(vf.pg);
	return err;
}

/* Not in the middle of a message, or of what ends later. */
static void test_in_the_middle(void **state)
{
	struct leap__vfu_hdr h = {
		.id = 99, .cmd = LEAP__VFU_RESET, .size = sizeof(h),
	};
	int ram = fds_memory(MB, F_SEAL_SHRINK), i;
	uint32_t v;

	(void)state;
	vfu_raw(&vf.c, &h, 7, NULL, 0);
	vfu_settle(vf.pg);
	for (i = 0; i < 3; i++)
		assert_int_equal(try_save(), -EAGAIN);
	vfu_raw(&vf.c, (char *)&h + 7, sizeof(h) - 7, NULL, 0);
	vfu_settle(vf.pg);
	assert_int_equal(vfu_peek(&vf.c), 0);
	assert_int_equal(vf.vdev.resets, 1);
	replace();
	assert_int_equal(vfu_map(&vf.c, 0, MB, ram, 0, RW), 0);
	vf.vdev.hold = 1;
	vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
	vfu_settle(vf.pg);
	assert_int_equal(try_save(), -EAGAIN);
	vf.vdev.hold = 0;
	fake_vdev_end(&vf.vdev, 0);
	replace();
	/* The answer was out before. */
	assert_int_equal(vfu_peek(&vf.c), 0);
	assert_int_equal(vfu_read(&vf.c, 0, 0, &v, 4), 0);
	close(ram);
}

/* What the client says while nobody reads waits: for the next server, or for
 * this one if it is not to be. */
static void test_said_meanwhile(void **state)
{
	struct leap__saved s;
	struct fake_vdev kept;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		saved(&s);
		vfu_send(&vf.c, LEAP__VFU_RESET, 0, NULL, 0, NULL, 0);
		vfu_settle(vf.pg);
		assert_int_equal(vfu_peek(&vf.c), -1);
		if (i) {
			old_ends(&kept);
			assert_int_equal(new_starts(&s, &kept), 0);
		} else {
			leap__vfu_server_carry_on(vf.server);
		}
		leap__saved_free(&s);
		vfu_settle(vf.pg);
		assert_int_equal(vfu_peek(&vf.c), 0);
		assert_int_equal(vf.vdev.resets, i + 1);
	}
	/* Given up before the receive that was taken back has ended. */
	assert_int_equal(leap__vfu_server_save(vf.server, NULL), -EAGAIN);
	leap__vfu_server_carry_on(vf.server);
	assert_int_equal(vfu_ask(&vf.c, LEAP__VFU_RESET, NULL, 0, NULL, 0, &i),
			 0);
	/* Nobody there: nothing to keep. */
	vfu_close(&vf.c);
	vfu_settle(vf.pg);
	assert_int_equal(try_save(), -ENOENT);
	leap__vfu_server_carry_on(vf.server);
	assert_int_equal(vfu_connect(&vf.c, vf.pg, vf.path), 0);
	assert_int_equal(vfu_hello(&vf.c), 0);
}

/* Bytes of anybody: an error, or something that can be ended. */
static void test_noise(void **state)
{
	int ram = fds_memory(4 * MB, F_SEAL_SHRINK);
	int fd = vf_event(), i, err, good = 0;
	struct test_rand r = { 3 };
	struct leap__saved s, bad;
	struct fake_vdev kept, last;

	(void)state;
	assert_int_equal(vfu_map(&vf.c, 0, MB, ram, 0, RW), 0);
	assert_int_equal(vfu_map(&vf.c, 8 * MB, MB, -1, 0, RW), 0);
	assert_int_equal(vfu_set_irqs(&vf.c, E_FD, LEAP__VFU_IRQ_MSIX, 1, 1,
				      NULL, &fd, 1), 0);
	saved(&s);
	old_ends(&kept);
	for (i = 0; i < 300; i++) {
		uint32_t n = i ? 1 + test_rand_below(&r, 4) : 0;

		bad = s;
		bad.len = i % 3 == 2 ? test_rand_below(&r, (uint32_t)s.len) :
				       s.len;
		bad.bytes = exact_copy(s.bytes, bad.len);
		for (; n && bad.len; n--)
			bad.bytes[test_rand_below(&r, (uint32_t)bad.len)] =
				(uint8_t)test_rand_next(&r);
		err = new_starts(&bad, &kept);
		assert_true(i || !err);
		good += !err;
		vfu_settle(vf.pg);
		old_ends(&last);
		free(bad.bytes);
	}
	assert_true(good > 1 && good < 300);
	assert_int_equal(new_starts(&s, &kept), 0);
	leap__saved_free(&s);
	close(fd);
	close(ram);
}

/* ---- a drive, and a host that uses it ---- */

#define NQN	"nqn.2026-01.org.example:keep"
#define DEPTH	24u
#define BLOCKS	64u		/* of each request's own */

struct job {
	struct leap_req req;
	struct leap_piece piece;
	uint8_t data[BLOCKS * 512];
	uint32_t gen;
};

static struct {
	struct leap_pollgroup *pg, *guest;
	struct leap_target *target;
	struct leap_host *host;
	struct job job[DEPTH];
	char path[64], file[64];
	uint32_t done, changes;
	int stop;
} kp;

static void both(void)
{
	leap_pollgroup_poll(kp.pg, 0);
	leap_pollgroup_poll(kp.guest, 0);
}

static void until(const int *done)
{
	uint64_t from = leap_pollgroup_now_ns(kp.pg);

	while (!*done) {
		both();
		assert_true(leap_pollgroup_now_ns(kp.pg) - from <
			    120000000000ull);
	}
}

/* As a program starts, with what its predecessor left, or -1. */
static void process_starts(int saved_fd)
{
	struct leap_subsystem_opts so = LEAP_SUBSYSTEM_OPTS_INIT;
	struct leap_ns_opts no = LEAP_NS_OPTS_INIT;
	struct leap_subsystem *ss;
	char url[160], stack[160];
	int added = 0;

	assert_int_equal(leap_target_create(kp.pg, NULL, &kp.target), 0);
	so.nqn = NQN;
	so.serial = "KEEP0001";
	so.allow_any_host = 1;
	assert_int_equal(leap_subsystem_create(kp.target, &so, &ss), 0);
	snprintf(stack, sizeof(stack), "delay[write_us=3000,jitter_us=3000] "
		 "-> file:%s[create=4M]", kp.file);
	assert_int_equal(leap_bdev_open(kp.pg, stack, &no.bdev), 0);
	no.nsid = 1;
	assert_int_equal(leap_ns_add(ss, &no, ns_done, &added), 1);
	serve_await(kp.pg, &added);
	assert_int_equal(added, 1);
	if (saved_fd >= 0)
		assert_int_equal(leap_target_restore(kp.target, saved_fd), 0);
	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, kp.path);
	serve_at(kp.target, url);
	assert_int_equal(leap_target_restore(kp.target, -1), 0);
}

static void process_ends(void)
{
	/* The guest's side is not polled: it is to notice nothing. */
	serve_stop(kp.pg, kp.target);
}

static void on_state(struct leap_host *host, enum leap_host_state state,
		     leap_status_t status, int sys_errno, void *arg)
{
	(void)host;
	(void)state;
	(void)status;
	(void)sys_errno;
	(void)arg;
	kp.changes++;
}

static void next_step(struct job *j);

static void job_done(struct leap_req *req)
{
	struct job *j = (struct job *)req;
	uint32_t i;

	assert_int_equal(leap_req_status(req), 0);
	kp.done++;
	if (req->sqe.opc == LEAP_NVM_READ)
		for (i = 0; i < sizeof(j->data); i++)
			assert_int_equal(j->data[i],
					 (uint8_t)(j->gen * 7 + i / 512));
	if (!kp.stop || req->sqe.opc == LEAP_NVM_WRITE)
		next_step(j);
	else
		kp.stop++;
}

/* Write a new generation, read it back, and so on. */
static void next_step(struct job *j)
{
	struct leap_req *req = &j->req;
	uint32_t i;

	if (req->sqe.opc == LEAP_NVM_WRITE) {
		req->sqe.opc = LEAP_NVM_READ;
		memset(j->data, 0xee, sizeof(j->data));
	} else {
		req->sqe.opc = LEAP_NVM_WRITE;
		j->gen++;
		for (i = 0; i < sizeof(j->data); i++)
			j->data[i] = (uint8_t)(j->gen * 7 + i / 512);
	}
	assert_int_equal(leap_host_submit(kp.host, 1, &req, 1), 1);
}

static void host_starts(void)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	char url[160];
	uint32_t i;
	int live = 0;

	snprintf(url, sizeof(url), "vfio-user:%s/" NQN, kp.path);
	ho.url = url;
	ho.loss_ms = UINT32_MAX;
	ho.state = on_state;
	ho.depth = 2 * DEPTH;
	assert_int_equal(leap_host_connect(kp.guest, &ho, &kp.host), 0);
	while (!live) {
		both();
		live = leap_host_state(kp.host) == LEAP_HOST_LIVE;
	}
	for (i = 0; i < DEPTH; i++) {
		struct job *j = &kp.job[i];

		j->piece.addr = j->data;
		j->piece.len_bytes = sizeof(j->data);
		j->req.pieces = &j->piece;
		j->req.nr_pieces = 1;
		j->req.done = job_done;
		j->req.sqe.nsid = leap_to_le32(1);
		j->req.sqe.cdw10 = leap_to_le32(i * BLOCKS);
		j->req.sqe.cdw12 = leap_to_le32(BLOCKS - 1);
		next_step(j);
	}
}

static void host_ends(void)
{
	int closed = 0;

	kp.stop = 1;
	while (kp.stop < (int)DEPTH + 1)
		both();
	leap_host_close(kp.host, set_flag, &closed);
	until(&closed);
}

static int target_saved(void)
{
	int fd = -1, err = -EAGAIN;

	while (err == -EAGAIN) {
		err = leap_target_save(kp.target, &fd);
		if (err)
			leap_pollgroup_poll(kp.pg, 0);
	}
	assert_int_equal(err, 0);
	return fd;
}

static void test_drive(void **state)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	uint32_t turn, before;
	int fds, fd;

	(void)state;
	fds = fds_open();
	memset(&kp, 0, sizeof(kp));
	snprintf(kp.path, sizeof(kp.path), "/tmp/leap-keep-%d.sock",
		 (int)getpid());
	snprintf(kp.file, sizeof(kp.file), "/tmp/leap-keep-%d.img",
		 (int)getpid());
	/* Its blocking calls end before the file is another's. */
	po.world = LEAP_WORLD_EPOLL;
	assert_int_equal(leap_pollgroup_create(&po, &kp.pg), 0);
	assert_int_equal(leap_pollgroup_create(&po, &kp.guest), 0);
	process_starts(-1);
	host_starts();
	before = kp.changes;
	for (turn = 0; turn < 20; turn++) {
		uint32_t enough = kp.done + 3 * DEPTH + turn;

		while (kp.done < enough)
			both();
		fd = target_saved();
		/* Every fourth time it was for nothing. */
		if (turn % 4 == 3) {
			leap_target_carry_on(kp.target, fd);
			continue;
		}
		process_ends();
		process_starts(fd);
	}
	assert_int_equal(kp.changes, before);
	host_ends();
	process_ends();
	while (leap_pollgroup_destroy(kp.pg))
		leap_pollgroup_poll(kp.pg, 0);
	assert_int_equal(leap_pollgroup_destroy(kp.guest), 0);
	unlink(kp.file);
	assert_int_equal(fds_open(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		VF_LIVE(test_goes_on),
		VF_LIVE(test_pin),
		VF_LIVE(test_in_the_middle),
		VF_LIVE(test_said_meanwhile),
		VF_LIVE(test_noise),
		cmocka_unit_test(test_drive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
