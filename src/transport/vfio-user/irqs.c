/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irqs.c - the interrupts of a vfio-user client
 *
 * Vectors of MSI-X or MSI are handed to the vdev, which signals them from
 * whichever thread completes. INTx is a level: its eventfd is written here when
 * the level rises, is masked by that, and is looked at again when the client
 * unmasks it. ERR and REQ are kept so that the client can try them.
 */
#include "transport/vfio-user/device.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/io/fdchan.h"
#include "core/io/wake.h"

void leap__vfu_irqs_init(struct leap__vfu_dev *dev)
{
	uint32_t i;

	dev->intx_fd = -1;
	dev->other_fd[0] = -1;
	dev->other_fd[1] = -1;
	for (i = 0; i < LEAP__VFU_MAX_VECTORS; i++)
		dev->message_fd[i] = -1;
}

/* Vectors of messages, of whichever of the two kinds the function has. */
static uint32_t count_of(const struct leap__vfu_dev *dev, uint32_t index)
{
	switch (index) {
	case LEAP__VFU_IRQ_MSI:
		return dev->irqs == LEAP_VDEV_HAS_MSI ? dev->nr_vectors : 0;
	case LEAP__VFU_IRQ_MSIX:
		return dev->irqs == LEAP_VDEV_HAS_MSIX ? dev->nr_vectors : 0;
	case LEAP__VFU_IRQ_INTX:
	case LEAP__VFU_IRQ_ERR:
	case LEAP__VFU_IRQ_REQ:
		return 1;
	default:
		return 0;
	}
}

int leap__vfu_irq_info(const struct leap__vfu_dev *dev,
		       struct leap__vfu_irq_info *info)
{
	if (info->index >= LEAP__VFU_NR_IRQS)
		return -EINVAL;
	info->argsz = sizeof(*info);
	info->count = count_of(dev, info->index);
	info->flags = info->count ? LEAP__VFU_IRQ_EVENTFD : 0;
	if (info->index == LEAP__VFU_IRQ_INTX)
		info->flags |= LEAP__VFU_IRQ_MASKABLE |
			LEAP__VFU_IRQ_AUTOMASKED;
	else if (info->count)
		info->flags |= LEAP__VFU_IRQ_NORESIZE;
	return 0;
}

static int *slot(struct leap__vfu_dev *dev, uint32_t index, uint32_t i)
{
	switch (index) {
	case LEAP__VFU_IRQ_INTX:
		return &dev->intx_fd;
	case LEAP__VFU_IRQ_MSI:
	case LEAP__VFU_IRQ_MSIX:
		return &dev->message_fd[i];
	default:
		return &dev->other_fd[index - LEAP__VFU_IRQ_ERR];
	}
}

/* An eventfd that nobody has to wait for. */
static int check_fd(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || !leap__is_eventfd(fd))
		return -EINVAL;
	if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	return 0;
}

/* Level and mask say whether the client has to hear. */
static void intx_look(struct leap__vfu_dev *dev, int level)
{
	if (!level || dev->intx_masked || dev->intx_fd < 0)
		return;
	dev->intx_masked = true;
	leap__wake_signal(dev->intx_fd);
}

void leap__vfu_intx(void *arg, int level)
{
	intx_look(arg, level);
}

/* @fd: taken over; -1 = none any more. */
static int assign(struct leap__vfu_dev *dev, uint32_t index, uint32_t i,
		  int *fd)
{
	int *at = slot(dev, index, i);
	int err = 0;

	if (*fd < 0 && *at < 0)
		return 0;
	if (*fd >= 0)
		err = check_fd(*fd);
	if (!err && (index == LEAP__VFU_IRQ_MSI || index == LEAP__VFU_IRQ_MSIX))
		err = dev->ops->irq_fd(dev->vdev, LEAP_VDEV_MSIX, i, *fd);
	if (err)
		return err;
	if (*at >= 0)
		close(*at);
	*at = *fd;
	*fd = -1;
	if (index == LEAP__VFU_IRQ_INTX) {
		dev->intx_masked = false;
		intx_look(dev, dev->ops->intx_level(dev->vdev));
	}
	return 0;
}

static int assign_all(struct leap__vfu_dev *dev,
		      const struct leap__vfu_set_irqs *set, int *fds,
		      uint32_t nr_fds)
{
	int none, err = 0;
	uint32_t i;

	for (i = 0; !err && i < set->count; i++) {
		none = -1;
		err = assign(dev, set->index, set->start + i,
			     nr_fds ? &fds[i] : &none);
	}
	return err;
}

static void disable(struct leap__vfu_dev *dev, uint32_t index)
{
	uint32_t i, n = count_of(dev, index);
	int none;

	for (i = 0; i < n; i++) {
		none = -1;
		assign(dev, index, i, &none);
	}
}

static void act(struct leap__vfu_dev *dev, uint32_t index, uint32_t i,
		uint32_t action)
{
	int fd = *slot(dev, index, i);

	if (action == LEAP__VFU_SET_TRIGGER) {
		if (fd >= 0)
			leap__wake_signal(fd);
		return;
	}
	dev->intx_masked = action == LEAP__VFU_SET_MASK;
	intx_look(dev, dev->ops->intx_level(dev->vdev));
}

int leap__vfu_irqs_set(struct leap__vfu_dev *dev,
		       const struct leap__vfu_set_irqs *set,
		       const uint8_t *bools, int *fds, uint32_t nr_fds)
{
	uint32_t action = set->flags & LEAP__VFU_SET_ACTION;
	uint32_t data = set->flags & LEAP__VFU_SET_DATA;
	uint32_t n, i;

	if (set->index >= LEAP__VFU_NR_IRQS)
		return -EINVAL;
	n = count_of(dev, set->index);
	if (set->start > n || set->count > n - set->start)
		return -EINVAL;
	if (!set->count) {
		disable(dev, set->index);
		return 0;
	}
	/* What cannot be masked; and unmasking by eventfd, which is not had. */
	if (action != LEAP__VFU_SET_TRIGGER &&
	    (set->index != LEAP__VFU_IRQ_INTX || data == LEAP__VFU_SET_EVENTFD))
		return -ENOTSUP;
	if (data == LEAP__VFU_SET_EVENTFD)
		return assign_all(dev, set, fds, nr_fds);
	for (i = 0; i < set->count; i++)
		if (data == LEAP__VFU_SET_NONE || bools[i])
			act(dev, set->index, set->start + i, action);
	return 0;
}

void leap__vfu_irqs_drop(struct leap__vfu_dev *dev)
{
	uint32_t index;

	for (index = 0; index < LEAP__VFU_NR_IRQS; index++)
		disable(dev, index);
	dev->intx_masked = false;
}
