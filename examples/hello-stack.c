/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hello-stack - a block layer of your own, in a stack with the library's
 *
 *	cc -o hello-stack hello-stack.c $(pkg-config --cflags --libs libleapio)
 *	./hello-stack 'mirror(memory:1M, error[op=write] -> memory:1M)'
 */
#include <stdio.h>
#include <string.h>
#include <leapio/leapio.h>
#include <leapio/plugin/bdev_ops.h>

struct mirror_bio { int left; leap_status_t status; };	/* scratch in a bio */

static void mirror_done(struct leap_bio *child, leap_status_t status)
{
	struct mirror_bio *m = leap_bio_priv(child->arg);

	m->status = status ? status : m->status;
	if (!--m->left)
		leap_bio_done(child->arg, m->status);
}

/* Reads from the first child, everything else to both. */
static void mirror_submit(struct leap_chan *chan, struct leap_bio *bio)
{
	struct mirror_bio *m = leap_bio_priv(bio);
	uint32_t i, nr = bio->op == LEAP_BIO_READ ? 1 : 2;

	m->left = (int)nr;
	m->status = 0;
	for (i = 0; i < nr; i++)
		leap_bio_submit(leap_chan_child(chan, i),
				leap_bio_child(bio, i, 0, mirror_done));
}

static const struct leap_bdev_ops mirror = {
	.size = sizeof(mirror), .name = "mirror", .submit = mirror_submit,
	.nr_children_min = 2, .nr_children_max = 2, .bio_children = 1,
	.bio_bytes = sizeof(struct mirror_bio),
};
static const struct leap_bdev_ops *const own[] = { &mirror, NULL };

static void finished(struct leap_bio *bio, leap_status_t status)
{
	printf("op %d: %s\n", bio->op, leap_status_str(status));
	*(int *)bio->arg = status;
}

int main(int argc, char **argv)
{
	char out[512] = "hello, stack", in[512] = "";
	struct leap_piece pieces[] = { { .addr = in, .len_bytes = 512 },
		{ .addr = out, .len_bytes = 512 } };
	const char *stack = argc > 1 ? argv[1] : "mirror(memory:1M, null:1M)";
	struct leap_pollgroup *pg;
	struct leap_bdev *bdev;
	struct leap_chan *chan;
	struct leap_bio *bio;
	int op, status;

	if (leap_pollgroup_create(NULL, &pg) || leap_bdev_open_with(pg, stack,
	    own, &bdev) || leap_chan_open(bdev, pg, 16, &chan))
		return fprintf(stderr, "%s\n", leap_last_error()) > 0;
	bio = leap_bio_get(chan);
	bio->nr_blocks = bio->nr_pieces = 1;
	bio->arg = &status;
	bio->done = finished;
	for (op = LEAP_BIO_WRITE; op >= LEAP_BIO_READ; op--) {
		bio->op = (uint8_t)op;
		bio->pieces = &pieces[op];
		status = -1;
		leap_bio_submit(chan, bio);
		while (status < 0)
			leap_pollgroup_wait(pg, -1);
	}
	leap_bio_put(chan, bio);
	return leap_chan_close(chan) || leap_bdev_close(bdev) ||
		leap_pollgroup_destroy(pg) || status || strcmp(in, out);
}
