/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the bytes of a range come from: an fd, a function, messages that are
 * answered later and by another thread.
 */
#include "fds.h"
#include "unit.h"

#include <pthread.h>

#include <leapio/ats.h>
#include <leapio/endian.h>
#include <leapio/pollgroup.h>

#define PAGE 4096u
#define NR_ASKED 8u

struct asked {
	struct leap_ats_io *io;
	uint64_t gpa;
	void *buf;
	uint32_t bytes;
	int is_write;
};

struct world {
	struct leap_pollgroup *pg;
	struct leap_ats *ats;
	struct leap_ats_view *view;
	/* Somebody else's memory: two halves that do not lie together. */
	uint8_t half[2][5 * PAGE];
	uint8_t far[4 * PAGE];		/* behind messages */
	struct asked asked[NR_ASKED];
	uint32_t nr_asked;
	int refuse;
	int done, err, unmapped;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(leap_pollgroup_create(NULL, &w->pg), 0);
	assert_int_equal(leap_ats_create(NULL, &w->ats), 0);
	assert_int_equal(leap_ats_attach(w->ats, w->pg, &w->view), 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	assert_int_equal(leap_ats_detach(w->view), 0);
	assert_int_equal(leap_ats_destroy(w->ats), 0);
	assert_int_equal(leap_pollgroup_destroy(w->pg), 0);
	free(w);
	return 0;
}

static int64_t addr_of(void *arg, uint64_t offset, uint64_t bytes,
		       uint32_t perm, void **addr)
{
	struct world *w = arg;
	uint64_t in = offset % (4 * PAGE);

	assert_true(offset + bytes <= 8 * PAGE);
	assert_int_not_equal(perm, 0);
	if (w->refuse)
		return -1;
	*addr = &w->half[offset / (4 * PAGE)][in];
	return (int64_t)(4 * PAGE - in);
}

static void map_callback(struct world *w, uint64_t gpa)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_ats_ops ops = LEAP_ATS_OPS_INIT;

	r.gpa.addr = gpa;
	r.bytes = 8 * PAGE;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_CALLBACK;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.ops = &ops;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	assert_last_error("leap_ats_map: a callback range");
	ops.addr = addr_of;
	r.arg = w;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
}

static void test_callback(void **state)
{
	struct world *w = *state;
	struct leap_piece piece[4];
	struct leap_pins pins = { 0 };
	uint8_t buf[2 * PAGE];

	map_callback(w, 0x10000);
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ 0x10010 },
			 6 * PAGE, LEAP_PERM_READ, piece, 4, &pins), 2);
	assert_ptr_equal(piece[0].addr, &w->half[0][16]);
	assert_int_equal(piece[0].len_bytes, 4 * PAGE - 16);
	assert_ptr_equal(piece[1].addr, w->half[1]);
	assert_int_equal(piece[1].len_bytes, 2 * PAGE + 16);
	leap_ats_release(w->view, &pins);
	memset(&w->half[0][3 * PAGE], 1, PAGE);
	memset(w->half[1], 2, PAGE);
	assert_int_equal(leap_ats_copy_in(w->view, buf, (leap_gpa_t){ 0x10000 +
					  3 * PAGE }, sizeof(buf)), 0);
	assert_int_equal(buf[PAGE - 1], 1);
	assert_int_equal(buf[PAGE], 2);
	w->refuse = 1;
	assert_int_equal(leap_ats_translate(w->view, (leap_gpa_t){ 0x10010 },
			 PAGE, LEAP_PERM_READ, piece, 4, &pins), -EFAULT);
	assert_int_equal(leap_ats_copy_in(w->view, buf, (leap_gpa_t){ 0x10000 },
					  4), -EFAULT);
	leap_ats_release(w->view, &pins);
}

static void test_fd(void **state)
{
	struct world *w = *state;
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	uint8_t buf[8];
	int fd;

	r.gpa.addr = 0x1234;
	r.bytes = PAGE;
	r.perm = LEAP_PERM_READ;
	r.fd = fd = fds_memory(2 * PAGE, 0);
	assert_int_equal(leap_ats_map(w->ats, &r), -EACCES);
	close(fd);
	r.fd = fd = fds_memory(2 * PAGE, F_SEAL_SHRINK);
	r.offset = 2 * PAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
	r.offset = PAGE;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
	assert_int_equal(pwrite(fd, "abcdefgh", 8, PAGE), 8);
	/* The range keeps the memory. */
	close(fd);
	assert_int_equal(leap_ats_copy_in(w->view, buf, r.gpa, 8), 0);
	assert_memory_equal(buf, "abcdefgh", 8);
	assert_int_equal(leap_ats_copy_out(w->view, r.gpa, buf, 8), -EACCES);
}

static int ask(struct world *w, uint64_t gpa, void *buf, uint32_t bytes,
	       struct leap_ats_io *io, int is_write)
{
	if (w->refuse)
		return -ENOTCONN;
	assert_true(w->nr_asked < NR_ASKED);
	w->asked[w->nr_asked++] = (struct asked){ .io = io, .gpa = gpa,
		.buf = buf, .bytes = bytes, .is_write = is_write };
	return 0;
}

static int ask_read(void *arg, leap_gpa_t gpa, void *buf, uint32_t bytes,
		    struct leap_ats_io *io)
{
	return ask(arg, gpa.addr, buf, bytes, io, 0);
}

static int ask_write(void *arg, leap_gpa_t gpa, const void *buf,
		     uint32_t bytes, struct leap_ats_io *io)
{
	return ask(arg, gpa.addr, (void *)buf, bytes, io, 1);
}

#define FAR 0x20000u

static void map_messages(struct world *w, int with_ops)
{
	struct leap_ats_range r = LEAP_ATS_RANGE_INIT;
	struct leap_ats_ops ops = LEAP_ATS_OPS_INIT;

	r.gpa.addr = FAR;
	r.bytes = 4 * PAGE;
	r.perm = LEAP_PERM_READ | LEAP_PERM_WRITE;
	r.source = LEAP_ATS_MESSAGE;
	ops.read = ask_read;
	if (with_ops) {
		r.ops = &ops;
		assert_int_equal(leap_ats_map(w->ats, &r), -EINVAL);
		assert_last_error("leap_ats_map: a message range");
	}
	ops.write = ask_write;
	ops.max_bytes = 3000;
	r.arg = w;
	assert_int_equal(leap_ats_map(w->ats, &r), 0);
}

/* The owner of the memory, in a thread of its own. */
static void *answer(void *arg)
{
	struct world *w = arg;
	struct asked *a = &w->asked[w->nr_asked - 1];
	uint8_t *at = &w->far[a->gpa - FAR];

	if (a->is_write)
		memcpy(at, a->buf, a->bytes);
	else
		memcpy(a->buf, at, a->bytes);
	leap_ats_io_done(a->io, w->err);
	return NULL;
}

static void answer_elsewhere(struct world *w)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, answer, w), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	leap_pollgroup_poll(w->pg, 0);
}

static void io_done(struct leap_ats_io *io, int err)
{
	struct world *w = io->arg;

	w->done++;
	w->err = err;
}

static void set_unmapped(void *arg)
{
	((struct world *)arg)->unmapped++;
}

static void test_messages(void **state)
{
	struct world *w = *state;
	uint8_t buf[6 * PAGE], back[6 * PAGE];
	struct leap_ats_io io = { .buf = buf, .bytes = sizeof(buf),
		.done = io_done, .arg = w };
	uint32_t i;

	/* Two pages behind a callback, four behind messages of 3000 bytes. */
	map_callback(w, FAR - 8 * PAGE);
	map_messages(w, 1);
	for (i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 13 + i / 256);
	io.gpa.addr = FAR - 2 * PAGE;
	assert_int_equal(leap_ats_write(w->view, &io), 0);
	for (i = 0; i < 6; i++) {
		assert_int_equal(w->done, 0);
		assert_int_equal(w->nr_asked, i + 1);
		assert_int_equal(leap_ats_detach(w->view), -EBUSY);
		answer_elsewhere(w);
	}
	assert_int_equal(w->done, 1);
	assert_int_equal(w->err, 0);
	assert_memory_equal(&w->half[1][2 * PAGE], buf, 2 * PAGE);
	assert_memory_equal(w->far, buf + 2 * PAGE, 4 * PAGE);
	io.buf = back;
	w->nr_asked = 0;
	assert_int_equal(leap_ats_read(w->view, &io), 0);
	while (w->done < 2)
		answer_elsewhere(w);
	assert_memory_equal(back, buf, sizeof(buf));
	/* What needs no message needs no callback. */
	io.bytes = 2 * PAGE;
	assert_int_equal(leap_ats_read(w->view, &io), 1);
	assert_int_equal(w->done, 2);
}

static void test_messages_fail(void **state)
{
	struct world *w = *state;
	uint8_t buf[PAGE];
	struct leap_ats_io io = { .gpa = { FAR + 3 * PAGE + 8 }, .buf = buf,
		.bytes = PAGE, .done = io_done, .arg = w };

	map_messages(w, 1);
	w->refuse = 1;
	assert_int_equal(leap_ats_read(w->view, &io), -ENOTCONN);
	w->refuse = 0;
	/* Runs out of the range after its messages. */
	assert_int_equal(leap_ats_read(w->view, &io), 0);
	answer_elsewhere(w);
	answer_elsewhere(w);
	assert_int_equal(w->done, 1);
	assert_int_equal(w->err, -EFAULT);
	/* The other side answers with an error; the range goes meanwhile. */
	io.gpa.addr = FAR;
	assert_int_equal(leap_ats_read(w->view, &io), 0);
	assert_int_equal(leap_ats_unmap(w->ats, (leap_gpa_t){ FAR }, 4 * PAGE,
					set_unmapped, w), 0);
	assert_int_equal(w->unmapped, 0);
	w->err = -EIO;
	answer_elsewhere(w);
	assert_int_equal(w->done, 2);
	assert_int_equal(w->err, -EIO);
	assert_int_equal(w->unmapped, 1);
	assert_int_equal(leap_ats_read(w->view, &io), -EFAULT);
}

static void test_nobody_reaches(void **state)
{
	struct world *w = *state;
	uint8_t buf[8];
	struct leap_ats_io io = { .gpa = { FAR }, .buf = buf, .bytes = 8,
		.done = io_done, .arg = w };
	struct leap_piece piece;
	struct leap_pins pins = { 0 };
	uint16_t status;
	uint32_t nr;

	map_messages(w, 0);
	assert_int_equal(leap_ats_read(w->view, &io), -EAGAIN);
	assert_int_equal(leap_ats_copy_in(w->view, buf, io.gpa, 8), -EAGAIN);
	/* A list there is a transfer error, data there is a message. */
	assert_int_equal(leap_ats_prp(w->view, io.gpa, (leap_gpa_t){ FAR + 8 },
			 3 * PAGE, PAGE, LEAP_PERM_READ, &piece, 1, &nr, &pins,
			 &status), -EIO);
	assert_int_equal(LEAP_STATUS_CODE(status), LEAP_SC_DATA_TRANSFER);
	leap_ats_release(w->view, &pins);
	assert_int_equal(leap_ats_prp(w->view, io.gpa, (leap_gpa_t){ 0 }, PAGE,
			 PAGE, LEAP_PERM_READ, &piece, 1, &nr, &pins, &status),
			 0);
	assert_int_equal(piece.reach, LEAP_REACH_MESSAGE);
	leap_ats_release(w->view, &pins);
}

#define t(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		t(test_callback),
		t(test_fd),
		t(test_messages),
		t(test_messages_fail),
		t(test_nobody_reaches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
