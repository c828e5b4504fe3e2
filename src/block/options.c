/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Options of a layer: what stands in its [] in the text of the stack.
 *
 * Used by a layer's open and by nobody else. Values are text until a layer asks
 * for them; asking marks them, so that a misspelt option is refused instead of
 * ignored.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "block/bdev.h"
#include "util/err.h"
#include "util/text.h"

static const char *take(struct leap_bdev *bdev, const char *key)
{
	struct leap__option *opt;

	if (!key)
		return bdev->layer->arg;
	for (opt = bdev->layer->options; opt; opt = opt->next) {
		if (!strcmp(opt->key, key)) {
			opt->known = 1;
			return opt->value;
		}
	}
	return NULL;
}

static const char *name_of(const char *key)
{
	return key ? key : "argument";
}

const char *leap_bdev_arg(const struct leap_bdev *bdev)
{
	return bdev->layer->arg;
}

int leap_bdev_opt_u64(struct leap_bdev *bdev, const char *key,
		      uint64_t fallback, uint64_t max, uint64_t *out)
{
	const char *text = take(bdev, key);

	*out = fallback;
	if (!text)
		return 0;
	if (leap__text_size(text, out))
		return leap__err(-EINVAL, "%s: %s \"%s\" is not a number",
				 bdev->ops.name, name_of(key), text);
	if (*out > max)
		return leap__err(-EINVAL, "%s: %s %s exceeds %llu",
				 bdev->ops.name, name_of(key), text,
				 (unsigned long long)max);
	return 0;
}

int leap_bdev_opt_bool(struct leap_bdev *bdev, const char *key, int fallback,
		       int *out)
{
	static const char *const yes[] = { "on", "yes", "true", "1" };
	static const char *const no[] = { "off", "no", "false", "0" };
	const char *text = take(bdev, key);
	unsigned int i;

	*out = fallback;
	if (!text)
		return 0;
	for (i = 0; i < 4; i++) {
		if (!strcmp(text, yes[i])) {
			*out = 1;
			return 0;
		}
		if (!strcmp(text, no[i])) {
			*out = 0;
			return 0;
		}
	}
	return leap__err(-EINVAL, "%s: %s \"%s\" is not on or off",
			 bdev->ops.name, name_of(key), text);
}

int leap_bdev_opt_str(struct leap_bdev *bdev, const char *key,
		      const char *fallback, const char **out)
{
	const char *text = take(bdev, key);

	*out = text ? text : fallback;
	return 0;
}

int leap__bdev_opts_known(const struct leap_bdev *bdev)
{
	const struct leap__option *opt;

	for (opt = bdev->layer->options; opt; opt = opt->next)
		if (!opt->known)
			return leap__err(-EINVAL,
					 "leap_bdev_open: column %u: %s has no "
					 "option \"%s\"",
					 opt->column, bdev->ops.name, opt->key);
	return 0;
}
