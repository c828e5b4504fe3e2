/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The need-wake word and the eventfd behind it; wake.h holds the argument why
 * nothing is lost.  Knows no ring and no queue: who sleeps brings his own look.
 */
#include "core/io/wake.h"
#include "util/plant.h"

#include <errno.h>
#include <unistd.h>

void leap__wake_arm(leap_le32 *word)
{
	leap__store_relaxed(word, leap__cpu_to_le32(1));
	/* Partner: the fence in leap__wake_wanted(). */
	if (!LEAP_PLANT(LOST_WAKE))
		leap__full_fence();
}

void leap__wake_disarm(leap_le32 *word)
{
	leap__store_relaxed(word, 0);
}

bool leap__wake_wanted(leap_le32 *word)
{
	/* Partner: the fence in leap__wake_arm(). */
	if (!LEAP_PLANT(LOST_KICK))
		leap__full_fence();
	/* Look before the exchange: awake is the case that must be cheap. */
	if (!leap__load_relaxed(word))
		return false;
	return leap__exchange(word, 0) != 0;
}

int leap__wake_signal(int fd)
{
	ssize_t n;

	do
		n = leap__eventfd_signal(fd);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(uint64_t) || (n < 0 && errno == EAGAIN))
		return 0;
	return n < 0 ? -errno : -EIO;
}
