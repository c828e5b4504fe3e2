/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drive URL VERB...: one errand at a drive by the library's own driver, for the
 * scripts that compare it with the kernel's.
 *
 *	id-ctrl			Identify Controller as it is, 4096 bytes
 *	id-ns NSID		Identify Namespace
 *	put NSID FILE		a file to the front of a namespace
 *	get NSID FILE BYTES	and back
 *	shapes NSID		every size up to MDTS, every alignment
 *	list			namespaces: nsid, blocks, bytes of a block
 *	zones NSID		first LBA, write pointer, state of each zone
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <leapio/leapio.h>

#define CHUNK	(256u << 10)
#define MEM	(4u << 20)
#define PAGE	4096u

static struct leap_pollgroup *pg;
static struct leap_host *host;
static struct leap_dmabuf *mem;
static uint8_t *buf;

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "drive: %s: %s\n", what, why);
	return 1;
}

static void log_line(void *arg, enum leap_log_level level, const char *text)
{
	fprintf(stderr, "drive: %s\n", text);
}

static void on_state(struct leap_host *h, enum leap_host_state state,
		     leap_status_t status, int err, void *arg)
{
	if (state == LEAP_HOST_FAILED)
		fail("the drive", err ? strerror(-err) :
		     leap_status_str(status));
}

static int open_drive(const char *url)
{
	struct leap_pollgroup_opts po = LEAP_POLLGROUP_OPTS_INIT;
	struct leap_dmabuf_opts mo = LEAP_DMABUF_OPTS_INIT;
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;

	po.log = log_line;
	mo.bytes = MEM;
	ho.url = url;
	ho.state = on_state;
	if (leap_pollgroup_create(&po, &pg) || leap_dmabuf_create(&mo, &mem) ||
	    leap_host_connect(pg, &ho, &host))
		return fail(url, leap_last_error());
	buf = leap_dmabuf_addr(mem);
	while (leap_host_state(host) == LEAP_HOST_CONNECTING)
		leap_pollgroup_wait(pg, 100000000);
	return leap_host_state(host) != LEAP_HOST_LIVE;
}

static void set_flag(void *arg)
{
	*(int *)arg = 1;
}

static void close_drive(void)
{
	int closed = 0;

	if (host)
		leap_host_close(host, set_flag, &closed);
	while (host && !closed)
		leap_pollgroup_wait(pg, -1);
	leap_dmabuf_put(mem);
	leap_pollgroup_destroy(pg);
}

static int command_at(uint32_t queue, struct leap_sqe *sqe, uint8_t *addr,
		      uint32_t bytes)
{
	struct leap_piece piece = {
		.addr = addr, .len_bytes = bytes, .buf = mem,
	};
	struct leap_req req = {
		.sqe = *sqe, .pieces = &piece, .nr_pieces = 1,
	};
	int err = leap_host_sync(host, pg, queue, &req);

	if (err)
		return fail("command", strerror(-err));
	return leap_req_status(&req) ?
		fail("command", leap_status_str(leap_req_status(&req))) : 0;
}

static int command(uint32_t queue, struct leap_sqe *sqe, uint32_t bytes)
{
	return command_at(queue, sqe, buf, bytes);
}

static int identify(uint32_t cns, uint32_t nsid)
{
	struct leap_sqe sqe = {
		.opc = LEAP_ADM_IDENTIFY, .nsid = leap_to_le32(nsid),
		.cdw10 = leap_to_le32(cns),
	};

	return command(0, &sqe, LEAP_IDENTIFY_SIZE) ||
	       fwrite(buf, 1, LEAP_IDENTIFY_SIZE, stdout) !=
	       LEAP_IDENTIFY_SIZE;
}

static int move(struct leap_host_ns *ns, uint64_t at, uint32_t bytes, int out)
{
	uint64_t lba = at / ns->block_bytes;
	uint32_t nr = (bytes + ns->block_bytes - 1) / ns->block_bytes;
	struct leap_sqe sqe = {
		.opc = out ? LEAP_NVM_READ : LEAP_NVM_WRITE,
		.nsid = leap_to_le32(ns->nsid),
		.cdw10 = leap_to_le32((uint32_t)lba),
		.cdw11 = leap_to_le32((uint32_t)(lba >> 32)),
		.cdw12 = leap_to_le32(nr - 1),
	};

	return command(1, &sqe, nr * ns->block_bytes);
}

static int flush(uint32_t nsid)
{
	struct leap_sqe sqe = {
		.opc = LEAP_NVM_FLUSH, .nsid = leap_to_le32(nsid),
	};

	return command(1, &sqe, 0);
}

static int copy(struct leap_host_ns *ns, int fd, uint64_t bytes, int out)
{
	uint64_t at;

	for (at = 0; at < bytes; at += CHUNK) {
		uint32_t n = bytes - at < CHUNK ? (uint32_t)(bytes - at) :
			     CHUNK;

		memset(buf, 0, CHUNK);
		if (!out && pread(fd, buf, n, (off_t)at) != (ssize_t)n)
			return fail("file", "cannot be read");
		if (move(ns, at, n, out))
			return 1;
		if (out && pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
			return fail("file", "cannot be written");
	}
	return out ? 0 : flush(ns->nsid);
}

static int transfer(uint32_t nsid, const char *path, uint64_t bytes, int out)
{
	struct leap_host_ns ns = { sizeof(ns) };
	int fd = open(path, out ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY, 0600);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st))
		return fail(path, strerror(errno));
	if (!out)
		bytes = (uint64_t)st.st_size;
	if (leap_host_ns_next(host, nsid - 1, &ns) || ns.nsid != nsid ||
	    bytes > ns.nr_blocks * ns.block_bytes)
		return fail("namespace", "not there, or too small");
	rc = copy(&ns, fd, bytes, out);
	close(fd);
	return rc;
}

static int rw(const struct leap_host_ns *ns, uint8_t opc, uint8_t *addr,
	      uint32_t nr)
{
	struct leap_sqe sqe = {
		.opc = opc, .nsid = leap_to_le32(ns->nsid),
		.cdw12 = leap_to_le32(nr - 1),
	};

	return command_at(1, &sqe, addr, nr * ns->block_bytes);
}

/* Nothing beside the payload may be touched. */
static int one_shape(const struct leap_host_ns *ns, uint32_t i, uint32_t most)
{
	uint32_t nr = i % most + 1, n = nr * ns->block_bytes, k;
	uint8_t *out = buf + i * 4 % PAGE;
	uint8_t *in = buf + MEM / 2 + PAGE + (PAGE - 4 - i * 4 % PAGE);

	for (k = 0; k < n; k++)
		out[k] = (uint8_t)(k * 31 + (k >> 8) * 7 + i);
	memset(in - 64, 0xee, n + 128);
	if (rw(ns, LEAP_NVM_WRITE, out, nr) || rw(ns, LEAP_NVM_READ, in, nr))
		return 1;
	for (k = 0; k < 64; k++)
		if (in[-1 - (int)k] != 0xee || in[n + k] != 0xee)
			return fail("shapes", "bytes beside the payload");
	if (memcmp(in, out, n)) {
		fprintf(stderr, "drive: %u blocks at %#x, %#x: wrong data\n",
			nr, i * 4 % PAGE, PAGE - 4 - i * 4 % PAGE);
		return 1;
	}
	return 0;
}

static int shapes(uint32_t nsid)
{
	uint32_t mdts = leap_host_identify(host)->mdts, most, i, nr;
	struct leap_host_ns ns = { sizeof(ns) };

	if (leap_host_ns_next(host, nsid - 1, &ns) || ns.nsid != nsid)
		return fail("namespace", "not there");
	most = (mdts && mdts < 9 ? PAGE << mdts : 1u << 20) / ns.block_bytes;
	nr = most > PAGE / 4 ? most : PAGE / 4;
	for (i = 0; i < nr; i++)
		if (one_shape(&ns, i, most))
			return 1;
	printf("%u shapes up to %u bytes\n", nr, most * ns.block_bytes);
	return 0;
}

static int list(void)
{
	struct leap_host_ns ns = { sizeof(ns) };
	uint32_t after = 0;

	while (!leap_host_ns_next(host, after, &ns)) {
		printf("%u %llu %u\n", ns.nsid,
		       (unsigned long long)ns.nr_blocks, ns.block_bytes);
		after = ns.nsid;
	}
	return 0;
}

/* As nvme-cli names them. */
static const char *zone_state(uint8_t zs)
{
	static const char *const names[] = {
		[1] = "EMPTY", [2] = "IMP_OPENED", [3] = "EXP_OPENED",
		[4] = "CLOSED", [13] = "RDONLY", [14] = "FULL",
		[15] = "OFFLINE",
	};
	const char *name = names[zs >> 4];

	return name ? name : "?";
}

static int zones(uint32_t nsid)
{
	struct leap_host_ns ns = { sizeof(ns) };
	struct leap_zone_desc *d =
		(void *)(buf + sizeof(struct leap_zone_report));
	uint64_t lba;

	if (leap_host_ns_next(host, nsid - 1, &ns) || ns.nsid != nsid ||
	    !ns.zone_blocks)
		return fail("namespace", "not there, or without zones");
	for (lba = 0; lba < ns.nr_blocks; lba += ns.zone_blocks) {
		struct leap_sqe sqe = {
			.opc = LEAP_NVM_ZONE_MGMT_RECV,
			.nsid = leap_to_le32(nsid),
			.cdw10 = leap_to_le32((uint32_t)lba),
			.cdw11 = leap_to_le32((uint32_t)(lba >> 32)),
			.cdw12 = leap_to_le32(PAGE / 4 - 1),
			.cdw13 = leap_to_le32(LEAP_ZMR_CDW13_PARTIAL),
		};

		if (command(1, &sqe, PAGE))
			return 1;
		printf("%llu %llu %s\n",
		       (unsigned long long)leap_from_le64(d->zslba),
		       (unsigned long long)leap_from_le64(d->wp),
		       zone_state(d->zs));
	}
	return 0;
}

static int errand(int argc, char **argv)
{
	const char *verb = argv[0];
	uint32_t nsid = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 0;

	if (!strcmp(verb, "id-ctrl"))
		return identify(LEAP_CNS_CTRL, 0);
	if (!strcmp(verb, "list"))
		return list();
	if (!strcmp(verb, "zones") && argc == 2)
		return zones(nsid);
	if (!strcmp(verb, "id-ns") && argc == 2)
		return identify(LEAP_CNS_NS, nsid);
	if (!strcmp(verb, "shapes") && argc == 2)
		return shapes(nsid);
	if (!strcmp(verb, "put") && argc == 3)
		return transfer(nsid, argv[2], 0, 0);
	if (!strcmp(verb, "get") && argc == 4)
		return transfer(nsid, argv[2], strtoull(argv[3], NULL, 0), 1);
	return fail(verb, "no such errand");
}

int main(int argc, char **argv)
{
	int rc;

	if (argc < 3) {
		fprintf(stderr, "usage: drive URL VERB...\n");
		return 2;
	}
	rc = open_drive(argv[1]);
	if (!rc)
		rc = errand(argc - 2, argv + 2);
	close_drive();
	return rc;
}
