/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An open-channel drive that is somebody else's, passed through: a guest's
 * lists go through controller, relay and driver to a drive behind registers,
 * which a thread of its own serves. What it says of an address is what the
 * guest hears.
 */
#include "drive-fixture.h"
#include "ocssd-fixture.h"

#define REGULAR	"ocssd[groups=2,pus=3,chunks=12,blocks=24,ws_min=4,cunits=8]"

static struct drive drive;

/* After the drive's user has gone. */
static int tear_down(void **state)
{
	int err = vx_tear_down(state);

	drive_stop(&drive);
	return err;
}

static void bring_up_far(struct vx *w, const char *stack)
{
	char text[200];

	drive_start(&drive, stack);
	snprintf(text, sizeof(text), "nvme:%s", drive.url);
	bring_up(w, text);
}

/* ---- cases ---- */

static void check_geometry(struct vx *w)
{
	struct leap_ocssd_geometry g;
	struct leap_id_ns id;

	assert_int_equal(adm(w, LEAP_ADM_IDENTIFY, LEAP_CNS_NS, 0, 0, &id,
			     4096), 0);
	assert_int_equal(id.vs[0], 1);
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GEOMETRY, 0, 0, 0, &g,
			     sizeof(g)), 0);
	assert_int_equal(g.major, 2);
	assert_int_equal(leap_from_le16(g.num_pu), 3);
	/* Its chunks are not known here at once. */
	assert_int_equal(adm(w, LEAP_OCSSD_ADM_GET_BAD, 0, 0, 0, &g, 4096),
			 LEAP_SC_INVALID_OPCODE);
}

static void lists(void **state)
{
	static uint8_t out[24 * B], in[24 * B];
	struct vx *w = *state;
	uint64_t at[64], to[64], bad;
	uint32_t i;

	bring_up_far(w, REGULAR);
	check_geometry(w);
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + i / B);
	/* Two chunks at once, in turns; then the rest of one. */
	for (i = 0; i < 16; i++)
		at[i] = ppa(i % 2, 1, 3, i / 2);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 16, out, &bad), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 16, in, &bad),
			 LEAP_SC_UNRECOVERED_READ);
	assert_int_equal(bad, 0xffff);
	for (i = 0; i < 16; i++)
		at[i] = ppa(0, 1, 3, 8 + i);
	assert_int_equal(vec(w, LEAP_OCSSD_WRITE, at, NULL, 16, out + 8 * B,
			     &bad), 0);
	for (i = 0; i < 24; i++)
		at[i] = ppa(0, 1, 3, i);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 24, in, &bad), 0);
	for (i = 0; i < 24; i++)
		assert_memory_equal(in + i * B, out + (i < 8 ? 2 * i : i) * B,
				    B);
	/* Copied by the drive; one address lies in the command itself. */
	for (i = 0; i < 24; i++)
		to[i] = ppa(1, 0, 7, i);
	assert_int_equal(vec(w, LEAP_OCSSD_COPY, at, to, 24, NULL, &bad), 0);
	for (i = 0; i < 24; i++) {
		assert_int_equal(vec(w, LEAP_OCSSD_READ, &to[i], NULL, 1,
				     out, &bad), 0);
		assert_memory_equal(out, in + i * B, B);
	}
	/* What the drive refuses, address by address. */
	at[1] = ppa(0, 1, 4, 0);
	assert_int_equal(vec(w, LEAP_OCSSD_RESET, at, NULL, 2, NULL, &bad),
			 LEAP_SC_OCSSD_RESET);
	assert_int_equal(bad, 2);
	at[0] = ppa(0, 3, 0, 0);
	at[1] = ppa(0, 0, 0, 24);
	assert_int_equal(vec(w, LEAP_OCSSD_READ, at, NULL, 2, in, &bad),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(bad, 3);
	/* And what never gets to it. */
	at[1] = 1ull << 40;
	assert_int_equal(vec(w, LEAP_OCSSD_RESET, at, NULL, 2, NULL, &bad),
			 LEAP_SC_LBA_RANGE);
	assert_int_equal(bad, 2);
}

static void translation_layer(void **state)
{
	struct vx *w = *state;
	struct pblk *p;

	bring_up_far(w, DRIVE ",wear=9]");
	p = pblk_run(w, unit_is_slow() ? 2500 : 6000);
	assert_true(pblk_stats(p)->resets > 30);
	assert_true(pblk_stats(p)->copied > 30);
	assert_true(pblk_stats(p)->moved > 30);
	pblk_free(p);
}

static void no_window(void **state)
{
	struct leap_bdev *bdev;
	struct vx *w = *state;
	char text[200];

	drive_start(&drive, REGULAR);
	snprintf(text, sizeof(text), "nvme:%s[start=0,blocks=64]", drive.url);
	assert_int_equal(leap_bdev_open(w->pg, text, &bdev), -EINVAL);
	assert_last_error("no window");
}

#define FAR(f) cmocka_unit_test_setup_teardown(f, vx_set_up_bare, \
							tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAR(lists),
		FAR(translation_layer),
		FAR(no_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
