/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * no-touch.so: preloaded into a host agent, takes its access to payload away.
 *
 * What is registered with an RDMA device and lies in memory of leap-perf's (its
 * memfd is named so) is made PROT_NONE in this process: the device still
 * reaches the pages, and whoever loads or stores a byte of payload dies of
 * SIGSEGV. Each registration is a line of the file that NO_TOUCH_LOG names.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct ibv_mr;
struct ibv_pd;

static int is_payload(const void *addr)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512];
	int is = 0;

	while (maps && !is && fgets(line, sizeof(line), maps))
		is = sscanf(line, "%lx-%lx", &from, &to) == 2 &&
		     (uintptr_t)addr >= from && (uintptr_t)addr < to &&
		     strstr(line, "memfd:leap-perf");
	if (maps)
		fclose(maps);
	return is;
}

static void say(const char *what, const void *addr, size_t bytes)
{
	const char *path = getenv("NO_TOUCH_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			     0600) : -1;

	if (fd < 0)
		abort();
	dprintf(fd, "%s %p %zu\n", what, addr, bytes);
	close(fd);
}

static void protect(void *addr, size_t bytes, int prot)
{
	if (mprotect(addr, bytes, prot))
		abort();
}

/* @reg is the library's own, bound to its arguments by the two below. */
#define REGISTER(reg) do { \
	int payload_ = is_payload(addr); \
	struct ibv_mr *mr_; \
	if (payload_) \
		protect(addr, bytes, PROT_READ | PROT_WRITE); \
	mr_ = reg; \
	if (payload_) \
		protect(addr, bytes, PROT_NONE); \
	if (payload_) \
		say(mr_ ? "registered" : "refused", addr, bytes); \
	return mr_; \
} while (0)

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t bytes,
				uint64_t iova, unsigned int access)
{
	struct ibv_mr *(*next)(struct ibv_pd *, void *, size_t, uint64_t,
			       unsigned int);

	*(void **)&next = dlsym(RTLD_NEXT, "ibv_reg_mr_iova2");
	REGISTER(next(pd, addr, bytes, iova, access));
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t bytes,
			  int access)
{
	struct ibv_mr *(*next)(struct ibv_pd *, void *, size_t, int);

	*(void **)&next = dlsym(RTLD_NEXT, "ibv_reg_mr");
	REGISTER(next(pd, addr, bytes, access));
}
