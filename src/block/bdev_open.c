/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Block layers outside of the data path: a stack is opened from its text, its
 * bios are laid out, it is closed, resized, printed, and a new size is passed
 * up. Sits beside bdev.c, which has the bios, and chan.c, which has a stack's
 * part of each thread; knows no layer by name.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/pollgroup.h>

#include "block/bdev.h"
#include "core/io/pollgroup.h"
#include "util/atomic.h"
#include "util/err.h"

static int open_nothing(struct leap_bdev *bdev)
{
	return 0;
}

static void close_nothing(struct leap_bdev *bdev)
{
}

static int chan_open_nothing(struct leap_chan *chan)
{
	return 0;
}

static void chan_close_nothing(struct leap_chan *chan)
{
}

static int resize_child(struct leap_bdev *bdev, uint64_t bytes)
{
	if (bdev->nr_children != 1)
		return leap__err(-EOPNOTSUPP, "leap_bdev_resize: %s cannot",
				 bdev->ops.name);
	return leap_bdev_resize(bdev->children[0], bytes);
}

static void follow_child(struct leap_bdev *bdev)
{
	if (bdev->nr_children == 1)
		leap_bdev_set(bdev, bdev->block_bytes,
			      bdev->children[0]->nr_blocks, bdev->caps);
}

static leap_status_t admin_child(struct leap_bdev *bdev,
				 struct leap_bdev_admin *a)
{
	if (bdev->nr_children != 1)
		return LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR;
	return leap_bdev_admin(bdev->children[0], a);
}

leap_status_t leap_bdev_admin(struct leap_bdev *bdev, struct leap_bdev_admin *a)
{
	if (!(leap__load_relaxed(&bdev->caps) & LEAP_BDEV_VECTOR))
		return LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR;
	return bdev->ops.admin(bdev, a);
}

static int ops_take(struct leap_bdev *bdev, const struct leap_bdev_ops *ops)
{
	size_t size = ops->size < sizeof(bdev->ops) ? ops->size :
		      sizeof(bdev->ops);

	if (size < offsetof(struct leap_bdev_ops, resize))
		return leap__err(-EINVAL, "leap_bdev_open: table of %zu bytes",
				 ops->size);
	memcpy(&bdev->ops, ops, size);
	if (!bdev->ops.submit)
		return leap__err(-EINVAL, "leap_bdev_open: %s has no submit",
				 ops->name);
	if (!bdev->ops.open)
		bdev->ops.open = open_nothing;
	if (!bdev->ops.close)
		bdev->ops.close = close_nothing;
	if (!bdev->ops.chan_open)
		bdev->ops.chan_open = chan_open_nothing;
	if (!bdev->ops.chan_close)
		bdev->ops.chan_close = chan_close_nothing;
	if (!bdev->ops.resize)
		bdev->ops.resize = resize_child;
	if (!bdev->ops.child_resized)
		bdev->ops.child_resized = follow_child;
	if (!bdev->ops.admin)
		bdev->ops.admin = admin_child;
	return 0;
}

static const struct leap_bdev_ops *
find_ops(const struct leap_bdev_ops *const *tables, const char *name)
{
	for (; tables && *tables; tables++)
		if (!strcmp((*tables)->name, name))
			return *tables;
	return NULL;
}

static void bdev_free(struct leap_bdev *bdev)
{
	uint32_t i;

	for (i = 0; bdev->children && i < bdev->nr_children; i++)
		if (bdev->children[i])
			bdev_free(bdev->children[i]);
	pthread_mutex_destroy(&bdev->lock);
	free(bdev->children);
	free(bdev->child_off);
	free(bdev->priv);
	free(bdev->stack);
	free(bdev);
}

static struct leap_bdev *bdev_alloc(struct leap_pollgroup *pg,
				    struct leap__layer *layer)
{
	struct leap_bdev *bdev = calloc(1, sizeof(*bdev));

	if (!bdev)
		return NULL;
	bdev->pg = pg;
	bdev->layer = layer;
	bdev->nr_children = layer->nr_children;
	leap__list_init(&bdev->chans);
	leap__list_init(&bdev->users);
	pthread_mutex_init(&bdev->lock, NULL);
	bdev->children = calloc(layer->nr_children + 1,
				sizeof(*bdev->children));
	bdev->child_off = calloc(layer->nr_children + 1,
				 sizeof(*bdev->child_off));
	if (bdev->children && bdev->child_off)
		return bdev;
	bdev_free(bdev);
	return NULL;
}

/* Find the tables of all layers before any of them is opened. */
static int build(struct leap_pollgroup *pg, struct leap__layer *layer,
		 const struct leap_bdev_ops *const *own, struct leap_bdev **out)
{
	const struct leap_bdev_ops *ops = find_ops(own, layer->name);
	struct leap__layer *below;
	struct leap_bdev *bdev;
	uint32_t i = 0;
	int err;

	if (!ops)
		ops = find_ops(leap__bdev_builtin(), layer->name);
	if (!ops)
		return leap__err(-ENOENT,
				 "leap_bdev_open: column %u: no layer \"%s\" "
				 "in this build",
				 layer->column, layer->name);
	if (layer->nr_children < ops->nr_children_min ||
	    layer->nr_children > ops->nr_children_max)
		return leap__err(-EINVAL,
				 "leap_bdev_open: column %u: %s has %u layers "
				 "below, takes %u to %u",
				 layer->column, layer->name, layer->nr_children,
				 ops->nr_children_min, ops->nr_children_max);
	bdev = bdev_alloc(pg, layer);
	if (!bdev)
		return leap__err(-ENOMEM, "leap_bdev_open: out of memory");
	/* Linked first, so that a failure frees it with the rest. */
	*out = bdev;
	bdev->table = ops;
	err = ops_take(bdev, ops);
	if (err)
		return err;
	bdev->priv = calloc(1, bdev->ops.bdev_bytes + 1);
	if (!bdev->priv)
		return leap__err(-ENOMEM, "leap_bdev_open: out of memory");
	for (below = layer->child; below && !err; below = below->next, i++) {
		err = build(pg, below, own, &bdev->children[i]);
		if (bdev->children[i])
			bdev->children[i]->parent = bdev;
	}
	return err;
}

static int layout(struct leap_bdev *bdev)
{
	uint64_t total = leap__bio_head_bytes() + (uint64_t)bdev->ops.bio_bytes;
	uint32_t i;

	total = (total + LEAP__BIO_ALIGN - 1) &
		~(uint64_t)(LEAP__BIO_ALIGN - 1);
	for (i = 0; i < bdev->nr_children && total <= LEAP__BIO_TOTAL_MAX;
	     i++) {
		bdev->child_off[i] = (uint32_t)total;
		total += (uint64_t)bdev->ops.bio_children *
			 bdev->children[i]->bio_total;
	}
	if (total > LEAP__BIO_TOTAL_MAX)
		return leap__err(-EINVAL,
			"leap_bdev_open: column %u: bios of %s exceed %u bytes",
			bdev->layer->column, bdev->ops.name,
			LEAP__BIO_TOTAL_MAX);
	bdev->bio_total = (uint32_t)total;
	return 0;
}

static void close_layers(struct leap_bdev *bdev)
{
	uint32_t i;

	if (bdev->opened)
		bdev->ops.close(bdev);
	bdev->opened = 0;
	for (i = 0; i < bdev->nr_children; i++)
		if (bdev->children[i])
			close_layers(bdev->children[i]);
}

static int open_layers(struct leap_bdev *bdev)
{
	struct leap_bdev *below;
	uint32_t i;
	int err = 0;

	for (i = 0; i < bdev->nr_children && !err; i++)
		err = open_layers(bdev->children[i]);
	if (!err)
		err = layout(bdev);
	if (err)
		return err;
	if (bdev->nr_children) {
		/* What a layer that changes nothing looks like. */
		below = bdev->children[0];
		leap_bdev_set(bdev, below->block_bytes, below->nr_blocks,
			      below->caps);
		bdev->optimal_blocks = below->optimal_blocks;
		bdev->zones = below->zones;
	}
	err = bdev->ops.open(bdev);
	if (err)
		return err;
	bdev->opened = 1;
	err = leap__bdev_opts_known(bdev);
	if (!err && !bdev->zones.zone_blocks != !(bdev->caps & LEAP_BDEV_ZONED))
		err = leap__err(-EINVAL,
				"leap_bdev_open: %s: zones of %u blocks",
				bdev->ops.name, bdev->zones.zone_blocks);
	if (!err && bdev->block_bytes != 512 && bdev->block_bytes != 4096)
		err = leap__err(-EINVAL,
			"leap_bdev_open: %s: block %u is not 512 or 4096",
			bdev->ops.name, bdev->block_bytes);
	return err;
}

int leap_bdev_open_with(struct leap_pollgroup *pg, const char *text,
			const struct leap_bdev_ops *const *own,
			struct leap_bdev **out)
{
	struct leap_bdev *bdev = NULL;
	struct leap__stack *stack;
	int err;

	if (!pg || !out)
		return leap__err(-EINVAL, "leap_bdev_open: pg or out is NULL");
	err = leap__stack_parse("leap_bdev_open", text, &stack);
	if (err)
		return err;
	err = build(pg, &stack->layers[0], own, &bdev);
	if (!err)
		err = open_layers(bdev);
	if (err) {
		if (bdev) {
			close_layers(bdev);
			bdev_free(bdev);
		}
		free(stack);
		return err;
	}
	bdev->stack = stack;
	leap__pollgroup_hold(pg);
	*out = bdev;
	return 0;
}

int leap_bdev_open(struct leap_pollgroup *pg, const char *stack,
		   struct leap_bdev **out)
{
	return leap_bdev_open_with(pg, stack, NULL, out);
}

static int busy(struct leap_bdev *bdev)
{
	uint32_t i;
	int used;

	pthread_mutex_lock(&bdev->lock);
	used = !leap__list_empty(&bdev->chans) ||
	       !leap__list_empty(&bdev->users);
	pthread_mutex_unlock(&bdev->lock);
	for (i = 0; i < bdev->nr_children && !used; i++)
		used = busy(bdev->children[i]);
	return used;
}

int leap_bdev_close(struct leap_bdev *bdev)
{
	if (!bdev)
		return 0;
	if (bdev->parent)
		return leap__err(-EINVAL,
			"leap_bdev_close: %s belongs to the layer above",
			bdev->ops.name);
	if (busy(bdev))
		return leap__err(-EBUSY, "leap_bdev_close: %s is in use",
				 bdev->ops.name);
	close_layers(bdev);
	leap__pollgroup_release(bdev->pg);
	bdev_free(bdev);
	return 0;
}

int leap_bdev_print(const struct leap_bdev *bdev, char *text, size_t max)
{
	return leap__stack_print(bdev->layer, text, max);
}

int leap_bdev_info(const struct leap_bdev *bdev, struct leap_bdev_info *info)
{
	struct leap_bdev_info all = { sizeof(all) };
	size_t size;

	if (!bdev || !info || info->size < sizeof(info->size))
		return leap__err(-EINVAL,
				 "leap_bdev_info: info.size is not set");
	all.name = bdev->table->name;
	all.block_bytes = bdev->block_bytes;
	all.caps = leap__load_relaxed(&bdev->caps);
	all.nr_blocks = leap__load_relaxed(&bdev->nr_blocks);
	all.optimal_blocks = bdev->optimal_blocks;
	all.nr_children = bdev->nr_children;
	size = info->size;
	memset(info, 0, size);
	all.size = size < sizeof(all) ? size : sizeof(all);
	memcpy(info, &all, all.size);
	return 0;
}

struct leap_bdev *leap_bdev_child(const struct leap_bdev *bdev, uint32_t i)
{
	return i < bdev->nr_children ? bdev->children[i] : NULL;
}

int leap_bdev_resize(struct leap_bdev *bdev, uint64_t bytes)
{
	if (!bdev)
		return leap__err(-EINVAL, "leap_bdev_resize: bdev is NULL");
	if (!bytes || bytes % bdev->block_bytes)
		return leap__err(-EINVAL,
			"leap_bdev_resize: %llu bytes are not blocks of %u",
			(unsigned long long)bytes, bdev->block_bytes);
	return bdev->ops.resize(bdev, bytes);
}

void leap_bdev_set(struct leap_bdev *bdev, uint32_t block_bytes,
		   uint64_t nr_blocks, uint32_t caps)
{
	struct leap__list *pos, *next;
	int changed = bdev->nr_blocks != nr_blocks;

	assert(!bdev->opened || bdev->block_bytes == block_bytes);
	/* Every thread that does I/O reads these two: once open, never again
	 * written, not even with the same. */
	if (!bdev->opened) {
		bdev->block_bytes = block_bytes;
		bdev->block_shift = block_bytes == 4096 ? 12 : 9;
	}
	leap__store_relaxed(&bdev->caps, caps);
	leap__store_relaxed(&bdev->nr_blocks, nr_blocks);
	if (!bdev->opened || !changed)
		return;
	if (bdev->parent && bdev->parent->opened)
		bdev->parent->ops.child_resized(bdev->parent);
	/* Users come and go on this thread, so the list needs no lock. */
	for (pos = bdev->users.next; pos != &bdev->users; pos = next) {
		struct leap__bdev_user *user = leap__list_entry(pos,
					struct leap__bdev_user, link);

		next = pos->next;
		if (user->resized)
			user->resized(user);
	}
}

void leap_bdev_set_zones(struct leap_bdev *bdev,
			 const struct leap_bdev_zones *zones)
{
	size_t size = zones->size < sizeof(bdev->zones) ? zones->size :
		      sizeof(bdev->zones);

	assert(!bdev->opened);
	memset(&bdev->zones, 0, sizeof(bdev->zones));
	memcpy(&bdev->zones, zones, size);
}

int leap_bdev_zones(const struct leap_bdev *bdev, struct leap_bdev_zones *zones)
{
	size_t size = zones->size;

	if (!bdev || size < sizeof(size))
		return leap__err(-EINVAL, "leap_bdev_zones: size is not set");
	if (!bdev->zones.zone_blocks)
		return -ENOENT;
	memset(zones, 0, size);
	size = size < sizeof(*zones) ? size : sizeof(*zones);
	memcpy(zones, &bdev->zones, size);
	zones->size = size;
	return 0;
}

void leap_bdev_zone_changed(struct leap_bdev *bdev, uint64_t block)
{
	struct leap__list *pos, *next;

	for (; bdev; bdev = bdev->parent) {
		for (pos = bdev->users.next; pos != &bdev->users; pos = next) {
			struct leap__bdev_user *user = leap__list_entry(pos,
						struct leap__bdev_user, link);

			next = pos->next;
			if (user->zone_changed)
				user->zone_changed(user, block);
		}
	}
}

void leap__bdev_use(struct leap_bdev *bdev, struct leap__bdev_user *user)
{
	pthread_mutex_lock(&bdev->lock);
	leap__list_push_back(&bdev->users, &user->link);
	pthread_mutex_unlock(&bdev->lock);
}

void leap__bdev_unuse(struct leap_bdev *bdev, struct leap__bdev_user *user)
{
	pthread_mutex_lock(&bdev->lock);
	leap__list_remove(&user->link);
	pthread_mutex_unlock(&bdev->lock);
}

void *leap_bdev_priv(const struct leap_bdev *bdev)
{
	return bdev->priv;
}

struct leap_pollgroup *leap_bdev_pollgroup(const struct leap_bdev *b)
{
	return b->pg;
}
