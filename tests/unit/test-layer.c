/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a layer of a program's own may ask of the library: its argument and
 * options, its poll group, those of its channels; and which locks a stack
 * holds.
 */
#include "serve.h"

#include <limits.h>
#include <stdio.h>

#include <leapio/plugin/bdev_ops.h>

struct probe {
	uint64_t size, n;
	int flag, bare, has_arg;
	char name[16];
	struct leap_pollgroup *pg;
	int err;
};

static struct probe seen;	/* what the last open was told */

static int probe_open(struct leap_bdev *bdev)
{
	struct probe *p = leap_bdev_priv(bdev);
	const char *name;
	int err = leap_bdev_opt_u64(bdev, NULL, 1 << 20, 1 << 30, &p->size);

	if (!err)
		err = leap_bdev_opt_u64(bdev, "n", 7, 100, &p->n);
	if (!err)
		err = leap_bdev_opt_bool(bdev, "flag", 1, &p->flag);
	if (!err)
		err = leap_bdev_opt_str(bdev, "name", "nobody", &name);
	if (!err)
		snprintf(p->name, sizeof(p->name), "%s", name);
	p->has_arg = leap_bdev_arg(bdev) != NULL;
	p->pg = leap_bdev_pollgroup(bdev);
	leap_bdev_set(bdev, 512, p->size / 512, LEAP_BDEV_FUA);
	seen = *p;
	return err;
}

/* Opened with "switch:on" or "switch:off". */
static int switch_open(struct leap_bdev *bdev)
{
	int err = leap_bdev_opt_bool(bdev, NULL, 1, &seen.bare);

	leap_bdev_set(bdev, 512, 8, LEAP_BDEV_FUA);
	return err;
}

static int probe_chan_open(struct leap_chan *chan)
{
	uint64_t *priv = leap_chan_priv(chan);

	assert_int_equal(*priv, 0);
	*priv = 0xa5a5;
	assert_ptr_equal(leap_chan_pollgroup(chan), seen.pg);
	assert_non_null(leap_bdev_priv(leap_chan_bdev(chan)));
	return seen.err;
}

static void probe_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	assert_int_equal(*(uint64_t *)leap_chan_priv(chan), 0xa5a5);
	leap_bio_done(bio, 0);
}

static const struct leap_bdev_ops probe_ops = {
	.size = sizeof(probe_ops),
	.name = "probe",
	.bdev_bytes = sizeof(struct probe),
	.chan_bytes = sizeof(uint64_t),
	.open = probe_open,
	.chan_open = probe_chan_open,
	.submit = probe_submit,
};

static const struct leap_bdev_ops switch_ops = {
	.size = sizeof(switch_ops),
	.name = "switch",
	.open = switch_open,
	.submit = probe_submit,
};

static const struct leap_bdev_ops *const own[] = {
	&probe_ops, &switch_ops, NULL
};

static int set_up(void **state)
{
	struct leap_pollgroup *pg;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(leap_pollgroup_create(NULL, &pg), 0);
	*state = pg;
	return 0;
}

static int tear_down(void **state)
{
	return leap_pollgroup_destroy(*state);
}

static void open_and_close(struct leap_pollgroup *pg, const char *stack)
{
	struct leap_bdev *bdev;

	assert_int_equal(leap_bdev_open_with(pg, stack, own, &bdev), 0);
	assert_int_equal(leap_bdev_close(bdev), 0);
}

static void test_options(void **state)
{
	open_and_close(*state, "probe");
	assert_int_equal(seen.size, 1 << 20);
	assert_int_equal(seen.n, 7);
	assert_int_equal(seen.flag, 1);
	assert_string_equal(seen.name, "nobody");
	assert_int_equal(seen.has_arg, 0);
	assert_ptr_equal(seen.pg, *state);
	open_and_close(*state, "trace -> probe:64k[n=0,flag=off,name=\"\"]");
	assert_int_equal(seen.has_arg, 1);
	assert_int_equal(seen.size, 65536);
	assert_int_equal(seen.n, 0);
	assert_int_equal(seen.flag, 0);
	assert_string_equal(seen.name, "");
	open_and_close(*state, "probe[flag=true,n=100]");
	assert_int_equal(seen.flag, 1);
	assert_int_equal(seen.n, 100);
	open_and_close(*state, "switch");
	assert_int_equal(seen.bare, 1);
	open_and_close(*state, "switch:no");
	assert_int_equal(seen.bare, 0);
}

static void test_bad_options(void **state)
{
	static const struct {
		const char *stack, *text;
	} bad[] = {
		{ "probe:much", "probe: argument \"much\" is not a number" },
		{ "probe:2G", "probe: argument 2G exceeds 1073741824" },
		{ "probe[n=-1]", "probe: n \"-1\" is not a number" },
		{ "probe[n=101]", "probe: n 101 exceeds 100" },
		{ "probe[flag=maybe]",
		  "probe: flag \"maybe\" is not on or off" },
		{ "probe[nn=1]", "probe has no option \"nn\"" },
		{ "switch:maybe",
		  "switch: argument \"maybe\" is not on or off" },
	};
	struct leap_bdev *bdev;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(leap_bdev_open_with(*state, bad[i].stack, own,
						     &bdev), -EINVAL);
		assert_last_error(bad[i].text);
	}
}

static void count(struct leap_bio *bio, leap_status_t status)
{
	++*(int *)bio->arg;
	assert_int_equal(status, 0);
}

static void test_channels(void **state)
{
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	struct leap_bio *bio;
	int done = 0;

	assert_int_equal(leap_bdev_open_with(*state, "trace -> probe", own,
					     &bdev), 0);
	seen.err = -ENODEV;
	assert_int_equal(leap_chan_open(bdev, *state, 1, &chan), -ENODEV);
	seen.err = 0;
	assert_int_equal(leap_chan_open(bdev, *state, 1, &chan), 0);
	bio = leap_bio_get(chan);
	bio->op = LEAP_BIO_FLUSH;
	bio->done = count;
	bio->arg = &done;
	leap_bio_submit(chan, bio);
	assert_int_equal(done, 1);
	leap_bio_put(chan, bio);
	/* That of a layer below belongs to the one above. */
	assert_int_equal(leap_chan_close(leap_chan_child(chan, 0)), -EINVAL);
	assert_last_error("belongs to the layer above");
	assert_int_equal(leap_chan_close(chan), 0);
	assert_int_equal(leap_bdev_close(bdev), 0);
}

struct locks {
	char path[PATH_MAX];
	int nr;
};

static void tell(void *arg, const char *path)
{
	struct locks *l = arg;

	l->nr++;
	snprintf(l->path, sizeof(l->path), "%s", path);
}

static int locks_of(struct leap_pollgroup *pg, struct locks *l,
		    const char *stack)
{
	struct leap_bdev *bdev;
	int rc;

	memset(l, 0, sizeof(*l));
	assert_int_equal(leap_bdev_open_with(pg, stack, own, &bdev), 0);
	rc = leap_bdev_locks(bdev, tell, l);
	assert_int_equal(leap_bdev_close(bdev), 0);
	return rc;
}

static void test_locks(void **state)
{
	char path[] = "/tmp/leap-layer-XXXXXX", stack[128];
	int fd = mkstemp(path);
	struct locks l;

	assert_true(fd >= 0);
	close(fd);
	/* Nothing of it outlives this process. */
	assert_int_equal(locks_of(*state, &l, "trace -> probe"), 0);
	assert_int_equal(l.nr, 0);
	snprintf(stack, sizeof(stack), "trace -> file:%s[create=1M]", path);
	assert_int_equal(locks_of(*state, &l, stack), 1);
	assert_int_equal(l.nr, 1);
	assert_string_equal(l.path, path);
	snprintf(stack, sizeof(stack), "file:%s[lock=off]", path);
	assert_int_equal(locks_of(*state, &l, stack), -ENOLCK);
	assert_last_error("leap_bdev_locks: file");
	assert_int_equal(l.nr, 0);
	unlink(path);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_options), T(test_bad_options), T(test_channels),
		T(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
