/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vfio-user client that says what it likes to a real drive, and a guest
 * behind it that writes what it likes into its memory and its doorbells.
 *
 * Byte 0: bit 0 clear: the rest is what the socket gets. Set: operations, after
 * bit 1 VERSION, bit 2 memory and bus mastering, bit 3 a controller that is
 * enabled. Each operation is a byte of kind and what it needs; messages are
 * right but for what the input says is not.
 */
#define _GNU_SOURCE
#include "fuzz-target.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/un.h>

#include <leapio/plugin/transport_ops.h>

#include "transport/vfio-user/server.h"
#include "../unit/fds.h"

#define RAM_BYTES	(1u << 20)
#define ASQ		0x1000u
#define ACQ		0x2000u
#define SQ1		0x3000u
#define CQ1		0x4000u

static struct fuzz_target f;
static uint8_t *ram;
static int mem = -1, unsealed = -1, event = -1, null = -1;
static int sock = -1;
static char path[64];

/* What is left to read of the input. */
static const uint8_t *in;
static size_t left;

static uint8_t take(void)
{
	if (!left)
		return 0;
	left--;
	return *in++;
}

static uint32_t take32(void)
{
	uint32_t v = take();

	v |= (uint32_t)take() << 8;
	v |= (uint32_t)take() << 16;
	return v | (uint32_t)take() << 24;
}

static struct leap__vfu_server *server(void)
{
	struct leap__vfu_listener *l = leap_listener_priv(f.listener);

	return l->server;
}

static void hear(void)
{
	static uint8_t bin[1 << 16];
	int idle = 0;

	while (idle < 4) {
		idle = leap_pollgroup_poll(f.pg, 0) ? 0 : idle + 1;
		while (recv(sock, bin, sizeof(bin), MSG_DONTWAIT) > 0)
			idle = 0;
	}
}

static void say(const void *bytes, size_t n, const int *pass, uint32_t nr)
{
	(void)!fds_send(sock, bytes, n, pass, nr, MSG_DONTWAIT);
}

/* @spoil: bit 0: change a byte of it; bit 1: no reply; bit 2: cut it short */
static void message(uint16_t cmd, const void *payload, size_t n, uint8_t spoil,
		    const int *pass, uint32_t nr)
{
	static uint8_t msg[16 + 1024];
	struct leap__vfu_hdr hdr = {
		.id = 1, .cmd = cmd, .size = (uint32_t)(sizeof(hdr) + n),
		.flags = spoil & 2 ? LEAP__VFU_NO_REPLY : 0,
	};

	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + sizeof(hdr), payload, n);
	n += sizeof(hdr);
	if (spoil & 1)
		msg[take() % n] ^= take();
	if (spoil & 4)
		n -= take() % n;
	say(msg, n, pass, nr);
	hear();
}

static int descriptor(uint8_t kind)
{
	const int all[] = { mem, event, unsealed, null, sock };

	return all[kind % 5];
}

/* ---- by the book --------------------------------------------------------- */

static void map(uint64_t addr, uint64_t bytes, uint64_t offset, uint32_t flags,
		int fd, uint8_t spoil)
{
	struct leap__vfu_dma_map m = {
		.argsz = sizeof(m), .flags = flags, .offset = offset,
		.addr = addr, .bytes = bytes,
	};

	message(LEAP__VFU_DMA_MAP, &m, sizeof(m), spoil, &fd, fd >= 0);
}

static void write_region(uint32_t region, uint64_t offset, const void *data,
			 uint32_t n, uint8_t spoil)
{
	uint8_t p[sizeof(struct leap__vfu_access) + 256];
	struct leap__vfu_access a = { offset, region, n };

	memcpy(p, &a, sizeof(a));
	memcpy(p + sizeof(a), data, n);
	message(LEAP__VFU_REGION_WRITE, p, sizeof(a) + n, spoil, NULL, 0);
}

static void write32(uint32_t region, uint64_t offset, uint32_t v)
{
	write_region(region, offset, &v, sizeof(v), 2);
}

static void hello(void)
{
	static const char v[] =
		"\0\0\1\0{\"capabilities\":{\"max_msg_fds\":8}}";

	message(LEAP__VFU_VERSION, v, sizeof(v), 0, NULL, 0);
}

static void memory(void)
{
	map(0, RAM_BYTES, 0, 3, mem, 0);
	write32(LEAP__VFU_CONFIG, 4, 0x0106);
}

static void enable(void)
{
	write32(LEAP__VFU_BAR0, LEAP_REG_AQA, 15u << 16 | 15);
	write32(LEAP__VFU_BAR0, LEAP_REG_ASQ, ASQ);
	write32(LEAP__VFU_BAR0, LEAP_REG_ASQ + 4, 0);
	write32(LEAP__VFU_BAR0, LEAP_REG_ACQ, ACQ);
	write32(LEAP__VFU_BAR0, LEAP_REG_ACQ + 4, 0);
	write32(LEAP__VFU_BAR0, LEAP_REG_CC, 0x00460001);
	hear();
}

static void connect_client(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	strcpy(addr.sun_path, path);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(sock >= 0);
	FUZZ_CHECK(!connect(sock, (struct sockaddr *)&addr, sizeof(addr)));
	hear();
}

/* The client is gone, and leaves nothing: another could come. */
static void leave(void)
{
	uint32_t i = 0;

	close(sock);
	do {
		leap_pollgroup_poll(f.pg, 0);
		FUZZ_CHECK(i++ < 1000000);
	} while (i < 4 || leap__vfu_server_busy(server()));
}

/* ---- operations ---------------------------------------------------------- */

static void op_map(uint8_t spoil)
{
	static const uint64_t at[] = { 0, 0x1000, 0x80000, RAM_BYTES,
				       1ull << 40, UINT64_MAX - 4095 };
	static const uint64_t bytes[] = { 0x1000, 0x80000, RAM_BYTES, 1, 0,
					  UINT64_MAX };
	uint64_t addr = at[take() % 6], n = bytes[take() % 6];
	uint8_t how = take();
	struct leap__vfu_dma_unmap u = {
		.argsz = sizeof(u), .addr = addr, .bytes = n,
	};

	if (how & 1) {
		u.flags = how >> 1 & 2;
		if (u.flags)
			u.addr = u.bytes = 0;
		message(LEAP__VFU_DMA_UNMAP, &u, sizeof(u), spoil, NULL, 0);
		return;
	}
	map(addr, n, how & 0x80 ? take32() : 0, how >> 1 & 3,
	    how & 8 ? -1 : descriptor(how >> 4), spoil);
}

static void op_access(uint8_t spoil)
{
	static const uint32_t regions[] = { 0, 7, 0, 9, 1 };
	uint32_t region = regions[take() % 5], i, n;
	uint64_t offset = take() | (uint64_t)take() << 8;
	struct leap__vfu_access a = { offset, region, take() };
	uint8_t data[64];

	if (a.count & 0x80) {
		a.count &= 0x7f;
		message(LEAP__VFU_REGION_READ, &a, sizeof(a), spoil, NULL, 0);
		return;
	}
	n = a.count & 15;
	for (i = 0; i < n; i++)
		data[i] = take();
	write_region(region, offset, data, n, spoil);
}

static void op_multi(uint8_t spoil)
{
	uint8_t p[8 + 8 * sizeof(struct leap__vfu_write1)] = { 0 };
	struct leap__vfu_write1 w = { 0 };
	uint64_t n = take() % 9, i;

	memcpy(p, &n, 8);
	for (i = 0; i < n; i++) {
		w.offset = take() * 64u;
		w.region = take() & 7;
		w.count = take() & 15;
		memset(w.data, take(), 8);
		memcpy(p + 8 + i * sizeof(w), &w, sizeof(w));
	}
	message(LEAP__VFU_WRITE_MULTI, p, 8 + n * sizeof(w), spoil, NULL, 0);
}

static void op_irqs(uint8_t spoil)
{
	uint8_t p[sizeof(struct leap__vfu_set_irqs) + 16] = { 0 };
	struct leap__vfu_set_irqs set = { .argsz = sizeof(set) };
	int pass[16];
	uint32_t i, nr = 0;

	set.flags = take();
	set.index = take() % 6;
	set.start = take() % 80;
	set.count = take() % 17;
	if (set.flags & LEAP__VFU_SET_EVENTFD)
		nr = take() & 1 ? 0 : set.count;
	for (i = 0; i < nr && i < 16; i++)
		pass[i] = take() & 15 ? event : descriptor(take());
	memcpy(p, &set, sizeof(set));
	message(LEAP__VFU_SET_IRQS, p,
		sizeof(set) + (set.flags & 2 ? set.count : 0), spoil, pass,
		nr < 16 ? nr : 16);
}

static void op_ask(uint8_t spoil)
{
	static const uint16_t cmds[] = {
		LEAP__VFU_GET_INFO, LEAP__VFU_REGION_INFO,
		LEAP__VFU_REGION_IO_FDS, LEAP__VFU_IRQ_INFO, LEAP__VFU_RESET,
		LEAP__VFU_VERSION, LEAP__VFU_DMA_READ, 14,
	};
	uint16_t cmd = cmds[take() % 8];
	uint32_t p[8] = { 32 };

	p[2] = take() % 10;
	message(cmd, p, cmd == LEAP__VFU_REGION_INFO ? 32 :
		cmd == LEAP__VFU_RESET ? 0 : 16, spoil, NULL, 0);
}

/* The guest writes its memory, and sometimes tells. */
static void op_ram(void)
{
	uint32_t at = take32() % RAM_BYTES, n = take(), i;

	for (i = 0; i < n && at + i < RAM_BYTES; i++)
		ram[at + i] = take();
}

/* An entry of the admin (or first I/O) ring, and its doorbell. */
static void op_command(void)
{
	uint32_t q = take() & 1, slot = take() & 15, i;
	uint8_t *sqe = ram + (q ? SQ1 : ASQ) + slot * 64;

	memset(sqe, 0, 64);
	sqe[0] = take();
	sqe[2] = (uint8_t)slot;
	sqe[4] = take() & 7;
	/* PRP1 in memory, mostly; and the last four dwords from the input. */
	sqe[25] = take();
	sqe[26] = take() & 0x1f;
	sqe[33] = take();
	for (i = 40; i < 52; i++)
		sqe[i] = take();
	write32(LEAP__VFU_BAR0, 0x1000 + q * 8, (slot + 1) & 15);
	hear();
}

static void op_queues(void)
{
	static const uint8_t cq[] = { 5, 0, 7, 0 }, sq[] = { 1, 0, 8, 0 };
	uint32_t i;

	for (i = 0; i < 2; i++) {
		uint8_t *sqe = ram + ASQ + i * 64;

		memset(sqe, 0, 64);
		memcpy(sqe, i ? sq : cq, 4);
		sqe[25] = i ? SQ1 >> 8 : CQ1 >> 8;
		sqe[40] = 1;
		sqe[42] = 15;
		sqe[44] = i ? 1 : 3;
		sqe[46] = i ? 1 : 0;
	}
	write32(LEAP__VFU_BAR0, 0x1000, 2);
	hear();
}

static void operate(void)
{
	uint8_t kind = take(), spoil = kind >> 4 & 1 ? take() & 7 : 0;

	switch (kind & 15) {
	case 0:
		op_map(spoil);
		break;
	case 1:
		op_access(spoil);
		break;
	case 2:
		op_multi(spoil);
		break;
	case 3:
		op_irqs(spoil);
		break;
	case 4:
		op_ask(spoil);
		break;
	case 5:
		op_ram();
		break;
	case 6:
	case 7:
		op_command();
		break;
	case 8:
		op_queues();
		break;
	case 9:
		enable();
		break;
	case 10:
		write32(LEAP__VFU_BAR0, LEAP_REG_CC, take() & 1 ? 0x464001 : 0);
		hear();
		break;
	case 11:
		leave();
		connect_client();
		hello();
		break;
	case 12:
		memory();
		break;
	case 13:
		write32(LEAP__VFU_BAR0, 0x1000 + (take() & 63) * 4, take());
		hear();
		break;
	default:
		hear();
	}
}

static void init(void)
{
	char url[160];

	if (f.pg)
		return;
	snprintf(path, sizeof(path), "/tmp/leap-fuzz-vfu-%d.sock",
		 (int)getpid());
	snprintf(url, sizeof(url), "vfio-user:%s/%s", path, FUZZ_NQN);
	fuzz_target_init(&f, url);
	mem = fds_memory(RAM_BYTES, F_SEAL_SHRINK);
	unsealed = fds_memory(65536, F_SEAL_SEAL);
	event = eventfd(0, EFD_CLOEXEC);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	FUZZ_CHECK(event >= 0 && null >= 0);
	ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	FUZZ_CHECK(ram != MAP_FAILED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct leap_pollgroup_stats st = { sizeof(st) };
	uint32_t i, n;

	if (size < 1 || size > 1 << 16)
		return 0;
	init();
	memset(ram, 0, RAM_BYTES);
	in = data + 1;
	left = size - 1;
	connect_client();
	if (!(data[0] & 1)) {
		say(in, left, NULL, 0);
		hear();
		left = 0;
	} else {
		if (data[0] & 2)
			hello();
		if (data[0] & 4)
			memory();
		if (data[0] & 8)
			enable();
	}
	for (i = 0; left && i < 256; i++)
		operate();
	leave();
	for (n = 0; leap_pollgroup_poll(f.pg, 0); n++)
		FUZZ_CHECK(n < 100000);
	FUZZ_CHECK(!leap_pollgroup_stats(f.pg, &st));
	FUZZ_CHECK(!st.cmds_in_use && !st.bufs_in_use);
	return 0;
}
