/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pagemap.c - physical addresses from /proc/self/pagemap
 *
 * One 64-bit word a page: bit 63 says that it is in memory, bits 54:0 are its
 * frame number, which reads as 0 without CAP_SYS_ADMIN. Used by drivers only;
 * knows nothing of address spaces of guests.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ats/pagemap.h"
#include "util/err.h"

#define PRESENT	(UINT64_C(1) << 63)
#define FRAME	((UINT64_C(1) << 55) - 1)
#define CHUNK	64	/* words read at a time */

struct leap__pagemap {
	int fd;
	uint64_t page_bytes;
};

static int words(struct leap__pagemap *map, uint64_t page, uint64_t *word,
		 uint64_t nr)
{
	ssize_t n = pread(map->fd, word, nr * 8, (off_t)(page * 8));

	if (n < 0)
		return leap__err(-errno, "leap__pagemap_run: cannot read "
				 "/proc/self/pagemap");
	/* Beyond the address space there is nothing to read. */
	return n / 8 ? (int)(n / 8) :
		leap__err(-EFAULT, "leap__pagemap_run: no page %#llx",
			  (unsigned long long)page);
}

static int frame_of(uint64_t word, uint64_t *frame)
{
	if (!(word & PRESENT))
		return leap__err(-EFAULT, "leap__pagemap_run: the page is not "
				 "in memory; lock it first");
	*frame = word & FRAME;
	if (!*frame)
		return leap__err(-EPERM, "leap__pagemap_run: the kernel hides "
				 "frame numbers; CAP_SYS_ADMIN is needed");
	return 0;
}

/* A page of our own that is surely there tells whether numbers are shown. */
static int probe(struct leap__pagemap *map)
{
	volatile uint8_t here = 1;
	uint64_t phys, run;

	(void)here;
	return leap__pagemap_run(map, (const void *)&here, 1, &phys, &run);
}

int leap__pagemap_open(struct leap__pagemap **out)
{
	struct leap__pagemap *map = calloc(1, sizeof(*map));
	int err;

	*out = NULL;
	if (!map)
		return leap__err(-ENOMEM, "leap__pagemap_open: out of memory");
	map->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	map->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (map->fd < 0) {
		err = leap__err(-errno, "leap__pagemap_open: cannot open "
				"/proc/self/pagemap");
		free(map);
		return err;
	}
	err = probe(map);
	if (err) {
		leap__pagemap_close(map);
		return err;
	}
	*out = map;
	return 0;
}

void leap__pagemap_close(struct leap__pagemap *map)
{
	if (!map)
		return;
	close(map->fd);
	free(map);
}

int leap__pagemap_run(struct leap__pagemap *map, const void *addr,
		      uint64_t bytes, uint64_t *phys, uint64_t *run)
{
	uint64_t at = (uintptr_t)addr, page = at / map->page_bytes;
	uint64_t off = at % map->page_bytes, have = 0, first = 0;
	uint64_t word[CHUNK], want, frame = 0;
	int n, i, err;

	if (!bytes || at + (bytes - 1) < at)
		return leap__err(-EINVAL, "leap__pagemap_run: no bytes");
	want = (off + bytes - 1) / map->page_bytes + 1;
	while (have < want) {
		n = words(map, page + have, word,
			  want - have < CHUNK ? want - have : CHUNK);
		err = n < 0 ? n : 0;
		for (i = 0; i < n; i++, have++) {
			err = frame_of(word[i], &frame);
			if (!err && !have)
				first = frame;
			if (err || frame != first + have)
				break;
		}
		if (!have)
			return err;
		if (err || i < n)
			break;
	}
	*phys = first * map->page_bytes + off;
	want = have * map->page_bytes - off;
	*run = want < bytes ? want : bytes;
	return 0;
}
