/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The layers of this build, in one table.
 *
 * The only file that names a layer. To add one: write its folder, add its table
 * and its name here.
 */
#include "config.h"

#include <string.h>

#include "block/bdev.h"

extern const struct leap_bdev_ops leap__delay_ops;
extern const struct leap_bdev_ops leap__error_ops;
extern const struct leap_bdev_ops leap__file_ops;
extern const struct leap_bdev_ops leap__memory_ops;
#ifdef LEAP_WITH_URING
extern const struct leap_bdev_ops leap__ng_ops;
#endif
extern const struct leap_bdev_ops leap__null_ops;
extern const struct leap_bdev_ops leap__nvme_ops;
extern const struct leap_bdev_ops leap__ocssd_ops;
extern const struct leap_bdev_ops leap__relay_ops;
extern const struct leap_bdev_ops leap__trace_ops;
extern const struct leap_bdev_ops leap__zoned_ops;

static const struct leap_bdev_ops *const layers[] = {
	&leap__delay_ops,
	&leap__error_ops,
	&leap__file_ops,
	&leap__memory_ops,
#ifdef LEAP_WITH_URING
	&leap__ng_ops,
#endif
	&leap__null_ops,
	&leap__nvme_ops,
	&leap__ocssd_ops,
	&leap__relay_ops,
	&leap__trace_ops,
	&leap__zoned_ops,
	NULL
};

/* The same, in the same order. */
static const char *const names[] = {
	"delay",
	"error",
	"file",
	"memory",
#ifdef LEAP_WITH_URING
	"ng",
#endif
	"null",
	"nvme",
	"ocssd",
	"relay",
	"trace",
	"zoned",
	NULL
};

_Static_assert(sizeof(names) / sizeof(*names) ==
	       sizeof(layers) / sizeof(*layers), "one name for each layer");

const struct leap_bdev_ops *const *leap__bdev_builtin(void)
{
	return layers;
}

const char *const *leap_bdev_types(void)
{
	return names;
}

const char *leap_bdev_help(const char *type)
{
	unsigned int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(names[i], type))
			return layers[i]->help;
	return NULL;
}
