/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's NVMe pass-through: Identify by ioctl, commands by io_uring
 * (IORING_OP_URING_CMD, Linux 5.19), on a ring of the channel's own because
 * its entries are twice as large. Below everything of the leaf ng; knows
 * commands as bytes.
 */
#include "config.h"

#include "block/relay/ng.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/atomic.h"
#include "util/err.h"

/* linux/nvme_ioctl.h, which older headers have in part. */
struct passthru {
	uint8_t opcode, flags;
	uint16_t rsvd1;
	uint32_t nsid, cdw2, cdw3;
	uint64_t metadata, addr;
	uint32_t metadata_len, data_len;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
	uint32_t timeout_ms;
	uint32_t result;	/* of an ioctl */
};
LEAP_STATIC_ASSERT(sizeof(struct passthru) == 72);

#define IOC_ID		_IO('N', 0x40)
#define IOC_ADMIN	_IOWR('N', 0x41, struct passthru)
#define URING_IO	_IOWR('N', 0x80, struct passthru)
#define URING_IO_VEC	_IOWR('N', 0x81, struct passthru)
#define CMD_AT		48u	/* in an entry of 128 bytes: the command */

struct dev {
	int fd;
	int block_fd;	/* of the same namespace, held; or -1 */
};

struct ring {
	struct io_uring uring;
	int fd;
};

static void fill(struct passthru *c, const struct leap_sqe *sqe)
{
	memset(c, 0, sizeof(*c));
	c->opcode = sqe->opc;
	c->nsid = leap_from_le32(sqe->nsid);
	c->cdw2 = leap_from_le32(sqe->cdw2);
	c->cdw3 = leap_from_le32(sqe->cdw3);
	c->cdw10 = leap_from_le32(sqe->cdw10);
	c->cdw11 = leap_from_le32(sqe->cdw11);
	c->cdw12 = leap_from_le32(sqe->cdw12);
	c->cdw13 = leap_from_le32(sqe->cdw13);
	c->cdw14 = leap_from_le32(sqe->cdw14);
	c->cdw15 = leap_from_le32(sqe->cdw15);
}

/* ---- control ---- */

static int kernel_open(const char *path, bool *read_only, void **out)
{
	struct dev *dev = calloc(1, sizeof(*dev));
	struct stat st;
	int err;

	if (!dev)
		return -ENOMEM;
	dev->block_fd = -1;
	dev->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (dev->fd < 0 && (errno == EACCES || errno == EROFS)) {
		dev->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		*read_only = true;
	}
	err = dev->fd < 0 ? -errno : 0;
	if (!err && (fstat(dev->fd, &st) || !S_ISCHR(st.st_mode)))
		err = -ENOTTY;
	if (err) {
		if (dev->fd >= 0)
			close(dev->fd);
		free(dev);
		return err;
	}
	*out = dev;
	return 0;
}

static void kernel_close(void *p)
{
	struct dev *dev = p;

	close(dev->fd);
	if (dev->block_fd >= 0)
		close(dev->block_fd);
	free(dev);
}

/* Who opens the block device alone keeps mounts away, and sees them. */
static int kernel_hold(void *p, const char *path)
{
	const char *name = strrchr(path, '/');
	struct dev *dev = p;
	char block[64];

	name = name ? name + 1 : path;
	if (strncmp(name, "ng", 2) ||
	    snprintf(block, sizeof(block), "/dev/nvme%s", name + 2) >=
	    (int)sizeof(block))
		return -ENOENT;
	dev->block_fd = open(block, O_RDONLY | O_EXCL | O_CLOEXEC);
	return dev->block_fd < 0 ? -errno : 0;
}

static void read_limit(const char *name, const char *what, uint32_t *value)
{
	char path[96];
	unsigned int v;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/nvme%.32s/queue/%s", name,
		 what);
	f = fopen(path, "re");
	if (f && fscanf(f, "%u", &v) == 1 && v && v < 1u << 20)
		*value = v;
	if (f)
		fclose(f);
}

/* Of the block device beside it, which has the same limits. */
static void kernel_limits(const char *path, uint32_t *bytes, uint32_t *segments)
{
	const char *name = strrchr(path, '/');
	uint32_t kib = *bytes >> 10;

	name = name ? name + 1 : path;
	if (strncmp(name, "ng", 2))
		return;
	read_limit(name + 2, "max_hw_sectors_kb", &kib);
	read_limit(name + 2, "max_segments", segments);
	*bytes = kib << 10;
}

/* The kernel hears of a new size from the drive. */
static int kernel_size(const char *path, uint64_t *blocks_512)
{
	const char *name = strrchr(path, '/');
	unsigned long long v = 0;
	char size[96];
	int got;
	FILE *f;

	name = name ? name + 1 : path;
	if (strncmp(name, "ng", 2))
		return -ENOENT;
	snprintf(size, sizeof(size), "/sys/block/nvme%.32s/size", name + 2);
	f = fopen(size, "re");
	if (!f)
		return -errno;
	got = fscanf(f, "%llu", &v);
	fclose(f);
	*blocks_512 = v;
	return got == 1 && v ? 0 : -ENOENT;
}

static int kernel_nsid(void *p)
{
	int nsid = ioctl(((struct dev *)p)->fd, IOC_ID);

	return nsid < 0 ? -errno : nsid;
}

static int kernel_admin(void *p, const struct leap_sqe *sqe, void *data,
			uint32_t bytes)
{
	struct passthru c;
	int rc;

	fill(&c, sqe);
	c.addr = (uint64_t)(uintptr_t)data;
	c.data_len = bytes;
	rc = ioctl(((struct dev *)p)->fd, IOC_ADMIN, &c);
	return rc < 0 ? -errno : rc;
}

/* ---- a ring ---- */

static int check_opcode(struct io_uring *uring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
	int has = probe && io_uring_opcode_supported(probe,
						     IORING_OP_URING_CMD);

	if (probe)
		io_uring_free_probe(probe);
	return has ? 0 : leap__err(-EOPNOTSUPP, "ng: io_uring of this kernel "
				   "passes no commands to devices");
}

static int kernel_ring_open(void *p, uint32_t depth, int event_fd, void **out)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32 |
			 IORING_SETUP_CQSIZE,
		.cq_entries = depth * 2,
	};
	struct ring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return leap__err(-ENOMEM, "ng: out of memory");
	err = io_uring_queue_init_params(depth, &ring->uring, &params);
	if (err) {
		free(ring);
		return leap__err(err, "ng: io_uring with entries of 128 bytes: "
				 "%s", strerror(-err));
	}
	err = check_opcode(&ring->uring);
	if (!err) {
		err = io_uring_register_eventfd(&ring->uring, event_fd);
		if (err)
			leap__err(err, "ng: io_uring takes no event fd: %s",
				  strerror(-err));
	}
	if (err) {
		io_uring_queue_exit(&ring->uring);
		free(ring);
		return err;
	}
	io_uring_cq_eventfd_toggle(&ring->uring, false);
	ring->fd = ((struct dev *)p)->fd;
	*out = ring;
	return 0;
}

static void kernel_ring_close(void *p)
{
	struct ring *ring = p;

	io_uring_queue_exit(&ring->uring);
	free(ring);
}

static int kernel_submit(void *p, uint32_t tag, const struct leap_sqe *sqe,
			 struct iovec *iov, uint32_t nr_iov, uint32_t bytes)
{
	struct ring *ring = p;
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
	struct passthru c;

	if (!entry)
		return -EAGAIN;
	memset(entry, 0, 128);
	fill(&c, sqe);
	entry->opcode = IORING_OP_URING_CMD;
	entry->fd = ring->fd;
	entry->user_data = tag;
	entry->off = nr_iov > 1 ? URING_IO_VEC : URING_IO;	/* cmd_op */
	if (nr_iov > 1) {
		c.addr = (uint64_t)(uintptr_t)iov;
		c.data_len = nr_iov;
	} else if (nr_iov) {
		c.addr = (uint64_t)(uintptr_t)iov->iov_base;
		c.data_len = bytes;
	}
	memcpy((uint8_t *)entry + CMD_AT, &c, sizeof(c));
	return 0;
}

static void kernel_push(void *p)
{
	struct ring *ring = p;

	/* What does not go now goes with the next poll. */
	while (io_uring_sq_ready(&ring->uring) &&
	       io_uring_submit(&ring->uring) == -EINTR)
		;
}

static uint32_t kernel_reap(void *p, struct leap__ng_event *events,
			    uint32_t max)
{
	struct ring *ring = p;
	struct io_uring_cqe *cqe;
	unsigned int head;
	uint32_t n = 0;

	io_uring_for_each_cqe(&ring->uring, head, cqe) {
		if (n == max)
			break;
		events[n].tag = (uint32_t)cqe->user_data;
		events[n].res = cqe->res;
		events[n++].result = cqe->big_cqe[0];
	}
	if (n)
		io_uring_cq_advance(&ring->uring, n);
	return n;
}

static int kernel_arm(void *p, bool on)
{
	struct ring *ring = p;

	io_uring_cq_eventfd_toggle(&ring->uring, on);
	if (!on)
		return 0;
	/* The kernel stores a completion and then looks at the flag; we store
	 * the flag and then look for a completion. */
	leap__full_fence();
	/* What could not be pushed is signalled by nobody. */
	return io_uring_cq_ready(&ring->uring) ||
	       io_uring_sq_ready(&ring->uring);
}

const struct leap__ng_kernel leap__ng_kernel = {
	.open = kernel_open,
	.close = kernel_close,
	.hold = kernel_hold,
	.nsid = kernel_nsid,
	.limits = kernel_limits,
	.size = kernel_size,
	.admin = kernel_admin,
	.ring_open = kernel_ring_open,
	.ring_close = kernel_ring_close,
	.submit = kernel_submit,
	.push = kernel_push,
	.reap = kernel_reap,
	.arm = kernel_arm,
};
