/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - one PCI function as its vfio-user client sees it
 *
 * device.c answers messages, dma.c keeps what the client mapped, dma_msg.c
 * asks it for what only it can reach, irqs.c has its interrupts, server.c the
 * socket that it comes from. All on the thread of the poll group.
 */
#ifndef LEAP_VFIO_USER_DEVICE_H
#define LEAP_VFIO_USER_DEVICE_H

#include <leapio/vdev.h>

#include "core/io/fdchan.h"
#include "core/io/saved.h"
#include "transport/vfio-user/parse.h"
#include "util/list.h"

#define LEAP__VFU_MAX_VECTORS	128u
#define LEAP__VFU_MAX_ANSWER	(16u + LEAP_VDEV_BAR_BYTES)

LEAP_STATIC_ASSERT(LEAP__VFU_MAX_FDS <= LEAP__FDCHAN_FDS);

/*
 * The function behind the messages: the calls of leapio/vdev.h, so that tests
 * can be one that holds its answers back.
 */
struct leap__vfu_vdev_ops {
	void (*destroy)(struct leap_vdev *vdev, void (*done)(void *arg),
			void *arg);
	int (*mem_add)(struct leap_vdev *vdev,
		       const struct leap_ats_range *range);
	void (*mem_sync)(struct leap_vdev *vdev,
			 void (*done)(void *arg, int err), void *arg);
	int (*mem_del)(struct leap_vdev *vdev, leap_gpa_t gpa, uint64_t bytes,
		       void (*done)(void *arg, int err), void *arg);
	void (*config_read)(struct leap_vdev *vdev, uint64_t offset, void *buf,
			    uint32_t bytes);
	void (*config_write)(struct leap_vdev *vdev, uint64_t offset,
			     const void *buf, uint32_t bytes);
	void (*bar_read)(struct leap_vdev *vdev, uint64_t offset, void *buf,
			 uint32_t bytes);
	void (*bar_write)(struct leap_vdev *vdev, uint64_t offset,
			  const void *buf, uint32_t bytes);
	void (*reset)(struct leap_vdev *vdev, void (*done)(void *arg, int err),
		      void *arg);
	int (*irq_fd)(struct leap_vdev *vdev, uint32_t irq, uint32_t vector,
		      int fd);
	int (*intx_level)(const struct leap_vdev *vdev);
};

struct leap__vfu_map {
	uint64_t addr;
	uint64_t bytes;
	uint32_t perm;
	bool by_message;		/* it has no descriptor */
};

struct leap__vfu_dev {
	struct leap__fdchan chan;	/* first */
	const struct leap__vfu_vdev_ops *ops;
	struct leap_vdev *vdev;
	struct leap_pollgroup *pg;
	const char *name;		/* for logs */
	uint32_t nr_vectors;
	uint32_t irqs;			/* enum leap_vdev_irqs */
	bool trust_memory;		/* without F_SEAL_SHRINK as well */
	bool greeted;			/* VERSION was answered */
	bool warned;			/* of memory without a good fd */
	struct leap__vfu_caps caps;	/* the client's */

	/* Work that ends later, of a message or of drop. */
	uint32_t pending;
	int err;			/* of its last part that failed */
	void (*finish)(struct leap__vfu_dev *dev);
	void (*dropped)(struct leap__vfu_dev *dev);

	struct leap__vfu_map *maps;	/* ascending */
	uint32_t nr_maps;
	uint32_t max_maps;
	uint64_t mapped;		/* bytes of them, here */

	/* What the client is asked for. */
	struct leap__list dma_wait;	/* for the channel */
	struct leap__list dma_sent;	/* for an answer */
	struct leap__vfu_dma_op *dma_sending;
	uint16_t dma_id;
	bool dma_given_up;		/* late answers may come */
	bool bad_dma;			/* it cannot do this right */

	/* Eventfds, -1 = none; message vectors are the vdev's as well. */
	int intx_fd;
	int other_fd[2];		/* ERR, REQ: kept, for loop-back */
	int message_fd[LEAP__VFU_MAX_VECTORS];
	bool intx_masked;

	struct leap__vfu_req req;	/* being answered */
	bool answer_waits;		/* for the channel */
	struct leap__vfu_hdr out_hdr;
	uint8_t out[LEAP__VFU_MAX_ANSWER];
	struct {
		struct leap__vfu_hdr hdr;
		uint8_t data[LEAP__VFU_MAX_PAYLOAD];
	} in;				/* a message */
};

/* device.c */

void leap__vfu_dev_init(struct leap__vfu_dev *dev, struct leap_pollgroup *pg,
			const struct leap__vfu_vdev_ops *ops, const char *name);
/* A client is there. Context: owner */
void leap__vfu_dev_start(struct leap__vfu_dev *dev,
			 const struct leap__fdchan_end *end,
			 struct leap__wfd *wfd);
/* What came: @bytes in dev->in. Context: owner */
void leap__vfu_dev_message(struct leap__vfu_dev *dev, uint32_t bytes);
/* An answer has left. Context: owner */
void leap__vfu_dev_sent(struct leap__vfu_dev *dev);
/*
 * The client is gone: reset the function, forget memory and interrupts.
 * @dropped: runs once, perhaps before this returns
 * Context: owner
 */
void leap__vfu_dev_drop(struct leap__vfu_dev *dev,
			void (*dropped)(struct leap__vfu_dev *dev));

/* No client, no work under way: free what it holds. */
void leap__vfu_dev_fini(struct leap__vfu_dev *dev);

/* Parts of work that ends later: one begin, one end for it, and a pair for each
 * part; finish runs with the last end. */
void leap__vfu_dev_begin(struct leap__vfu_dev *dev,
			 void (*finish)(struct leap__vfu_dev *dev));
void leap__vfu_dev_part(struct leap__vfu_dev *dev);
void leap__vfu_dev_end(void *dev, int err);

/* Send what waits for the channel, if that is free. */
void leap__vfu_dev_pump(struct leap__vfu_dev *dev);

/* keep.c */

/*
 * Take no more messages, and when none is half done, add to @s what a successor
 * must know of the client (NULL: do that later). 0; -EAGAIN poll and ask again;
 * -errno
 */
int leap__vfu_dev_save(struct leap__vfu_dev *dev, struct leap__saved *s);
/* Before the client is served: the vdev is restored already. @sock: the
 * connection, the caller's whatever is returned; -1. */
int leap__vfu_dev_restore(struct leap__vfu_dev *dev,
			  const struct leap__saved *s, int *sock);

/* dma_msg.c */

/* For memory that came without a descriptor; dev is the argument. */
void leap__vfu_dma_ops(const struct leap__vfu_dev *dev,
		       struct leap_ats_ops *ops);
/* Send the next request, if there is one; the channel is free. */
bool leap__vfu_dma_send(struct leap__vfu_dev *dev);
void leap__vfu_dma_was_sent(struct leap__vfu_dev *dev);
/* A reply has come. false: to nothing that was asked */
bool leap__vfu_dma_reply(struct leap__vfu_dev *dev, uint32_t bytes);
/* All that was asked ends with @err. */
void leap__vfu_dma_give_up(struct leap__vfu_dev *dev, int err);

/* dma.c */

/* DMA_MAP. @fd: -1 = none; borrowed. 0, negative errno for the client */
int leap__vfu_map(struct leap__vfu_dev *dev,
		  const struct leap__vfu_dma_map *map, int fd);
/* One that a predecessor had. 0, -errno */
int leap__vfu_remap(struct leap__vfu_dev *dev, const struct leap__vfu_map *m);
/* DMA_UNMAP: parts of the work that has begun. 0, negative errno */
int leap__vfu_unmap(struct leap__vfu_dev *dev,
		    const struct leap__vfu_dma_unmap *unmap);
/* The one of @unmap is no longer mapped: forget it. */
void leap__vfu_unmapped(struct leap__vfu_dev *dev,
			const struct leap__vfu_dma_unmap *unmap);
/* All of them, as parts of the work that has begun. */
void leap__vfu_unmap_all(struct leap__vfu_dev *dev);

/* irqs.c */

void leap__vfu_irqs_init(struct leap__vfu_dev *dev);
/* 0 and flags and count of an index; -EINVAL */
int leap__vfu_irq_info(const struct leap__vfu_dev *dev,
		       struct leap__vfu_irq_info *info);
/* SET_IRQS; takes descriptors over where it wants them. 0, negative errno */
int leap__vfu_irqs_set(struct leap__vfu_dev *dev,
		       const struct leap__vfu_set_irqs *set,
		       const uint8_t *bools, int *fds, uint32_t nr_fds);
/* Forget every eventfd. */
void leap__vfu_irqs_drop(struct leap__vfu_dev *dev);
/* leap_vdev_opts.intx: @dev is the argument. */
void leap__vfu_intx(void *dev, int level);

#endif
