/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host process that attaches over shared memory and writes what it likes,
 * where it likes: messages with any descriptors, rings, doorbells, lists.
 *
 * Byte 0: 1 attach by the book first, 2 and Connect. Then operations: a byte of
 * kind, and what it needs. Offsets are in pieces of 4 bytes.
 */
#define _GNU_SOURCE
#include "fuzz-target.h"


#include "transport/shm/proto.h"
#include "transport/shm/shm.h"
#include "../unit/fds.h"

#define DEPTH 8u

static struct fuzz_target f;
static uint8_t *base;		/* the host's mapping of its memory */
static int mem = -1;
static int sock;

static void open_queue(void)
{
	struct leap__world *w = leap__pollgroup_world(f.pg);
	struct leap__wfd *wfd;
	int pair[2];

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	FUZZ_CHECK(!w->ops->adopt(w, pair[0], &wfd));
	FUZZ_CHECK(!leap__shm_target_start(f.listener, wfd));
	sock = pair[1];
}

static void hear(void)
{
	uint8_t bin[256];

	leap_pollgroup_poll(f.pg, 0);
	while (recv(sock, bin, sizeof(bin), MSG_DONTWAIT) > 0)
		;
}

static void say(const void *bytes, size_t n, const int *pass, uint32_t nr)
{
	(void)!fds_send(sock, bytes, n, pass, nr, MSG_DONTWAIT);
	hear();
}

static struct leap__shm_msg message(uint16_t type)
{
	return (struct leap__shm_msg){
		.magic = leap_to_le32(LEAP__SHM_MAGIC),
		.version = leap_to_le16(LEAP__SHM_VERSION),
		.type = leap_to_le16(type),
	};
}

static void kick(void)
{
	struct leap__shm_msg msg = message(LEAP__SHM_KICK);

	say(&msg, sizeof(msg), NULL, 0);
}

static void store32(uint32_t at, uint32_t v)
{
	__atomic_store_n((uint32_t *)(void *)(base + at), v, __ATOMIC_SEQ_CST);
}

static void attach(void)
{
	struct leap__shm_msg msg = message(LEAP__SHM_HELLO);

	msg.depth = leap_to_le32(DEPTH);
	msg.bytes = leap_to_le64(leap__shm_bytes(DEPTH));
	say(&msg, sizeof(msg), &mem, 1);
}

static void join(void)
{
	struct leap_connect_data *d;
	struct leap_fab_connect c;

	d = (struct leap_connect_data *)(void *)
		(base + leap__shm_chunk(DEPTH, 0));
	fuzz_connect(&c, d, 0, 0xffff, DEPTH);
	c.sgl1.addr = leap_to_le64(leap__shm_chunk(DEPTH, 0));
	c.sgl1.type = LEAP_SGL_ID(LEAP_SGL_TYPE_DATA, LEAP_SGL_SUB_ADDRESS);
	memcpy(base + LEAP__SHM_SQ, &c, sizeof(c));
	store32(LEAP__SHM_SQ_TAIL, leap_to_le32(1));
	kick();
}

/* A descriptor of a kind; those that are made here are closed by the caller. */
static int descriptor(uint8_t kind, int *made)
{
	*made = -1;
	switch (kind & 3) {
	case 0:
		return mem;
	case 1:
		return sock;
	case 2:
		*made = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case 3:
		*made = fds_memory(16384, kind & 4 ? F_SEAL_SHRINK : 0);
	}
	return *made;
}

static void send_message(const uint8_t *p)
{
	struct leap__shm_msg msg = message(p[1] & 7);
	uint32_t nr = p[0] & 3, i;
	int pass[3], made[3];

	/* Near the truth, or anything. */
	msg.region = leap_to_le32(p[3] & 31u);
	msg.bytes = leap_to_le64((uint64_t)p[4] << 10);
	msg.depth = leap_to_le32(p[5]);
	if (p[1] & 8)
		((uint8_t *)&msg)[p[6] & 63] ^= p[7];
	for (i = 0; i < nr; i++)
		pass[i] = descriptor((uint8_t)(p[2] >> i * 2 | (p[0] & 4)),
				     &made[i]);
	say(&msg, p[1] & 16 ? p[6] & 63 : sizeof(msg), pass, nr);
	for (i = 0; i < nr; i++)
		if (made[i] >= 0)
			close(made[i]);
}

/* One operation; returns the bytes that it took, 0 = no more. */
static size_t operate(const uint8_t *p, size_t n)
{
	uint32_t at, len;

	if (n < 9)
		return 0;
	at = (p[1] | (uint32_t)p[2] << 8) * 4u;
	switch (p[0] & 7) {
	case 0:
		send_message(p + 1);
		return 9;
	case 1:		/* bytes anywhere in the first 256 KiB */
		len = p[3];
		len = len < n - 4 ? len : (uint32_t)n - 4;
		memcpy(base + at, p + 4, len);
		return 4 + len;
	case 2:		/* an entry of the submission ring */
		len = n - 2 < 64 ? (uint32_t)n - 2 : 64;
		memcpy(base + LEAP__SHM_SQ + (p[1] % DEPTH) * 64, p + 2, len);
		return 2 + len;
	case 3:
		store32(LEAP__SHM_SQ_TAIL, leap_to_le32(p[1] & 15u));
		kick();
		return 2;
	case 4:
		store32(LEAP__SHM_CQ_HEAD, leap_to_le32(p[1] & 15u));
		kick();
		return 2;
	case 5:
		memcpy(&at, p + 2, 4);
		store32((p[1] % 5) * 64u, at);
		return 6;
	default:
		leap_pollgroup_poll(f.pg, 0);
		hear();
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char url[64];
	size_t bytes = (size_t)leap__shm_bytes(DEPTH), n;

	if (size < 2)
		return 0;
	snprintf(url, sizeof(url), "shm:/tmp/leap-fuzz-%d.sock", (int)getpid());
	fuzz_target_init(&f, url);
	unlink(url + 4);
	mem = fds_memory(bytes, F_SEAL_SHRINK);
	base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0);
	FUZZ_CHECK(base != MAP_FAILED);
	open_queue();
	if (data[0] & 1)
		attach();
	if (data[0] & 2)
		join();
	for (data++, size--; size; data += n, size -= n) {
		n = operate(data, size);
		if (!n)
			break;
	}
	hear();
	close(sock);
	fuzz_target_settle(&f);
	munmap(base, bytes);
	close(mem);
	return 0;
}
