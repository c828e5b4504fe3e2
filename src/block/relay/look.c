/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a relay's far namespace is: its capabilities and limits, from what a
 * host end has read. Before a relay opens, somebody has to look: a look is a
 * host end that connects, reads what there is and closes. Whether what it finds
 * can be served is relay.c's.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "block/relay/relay.h"
#include "util/err.h"
#include "util/list.h"

#define MAX_BYTES	(1u << 20)
#define MAX_BLOCKS	65536u		/* of one command */

void leap__relay_host_opts(const struct leap__relay *relay,
			   struct leap_host_opts *opts)
{
	opts->url = relay->url;
	opts->hostnqn = relay->hostnqn;
	opts->target = relay->target;
	opts->nr_io_queues = relay->nr_queues;
	opts->depth = relay->depth;
	/* There 0 is a default. */
	opts->loss_ms = relay->loss_ms ? relay->loss_ms : 1;
	opts->reconnect_ms = relay->reconnect_ms;
}

static uint32_t far_caps(const struct leap_id_ctrl *id,
			 const struct leap_host_ns *ns)
{
	uint32_t oncs = leap_from_le16(id->oncs), caps = LEAP_BDEV_FUA;

	if (id->vwc & LEAP_VWC_PRESENT)
		caps |= LEAP_BDEV_FLUSH;
	if (oncs & LEAP_ONCS_COMPARE)
		caps |= LEAP_BDEV_COMPARE;
	if (leap_from_le16(id->fuses) & LEAP_FUSES_COMPARE_WRITE &&
	    !ns->zone_blocks)
		caps |= LEAP_BDEV_COMPARE_WRITE;
	if (oncs & LEAP_ONCS_DSM)
		caps |= LEAP_BDEV_DISCARD | LEAP_BDEV_RANGES;
	if (oncs & LEAP_ONCS_WRITE_ZEROES)
		caps |= LEAP_BDEV_WRITE_ZEROES;
	if (oncs & LEAP_ONCS_VERIFY)
		caps |= LEAP_BDEV_VERIFY;
	if (oncs & LEAP_ONCS_COPY && ns->mssrl && ns->mcl &&
	    leap_from_le16(id->ocfs) & LEAP_OCFS_FORMAT0)
		caps |= LEAP_BDEV_COPY;
	if ((ns->dlfeat & LEAP_DLFEAT_READ_MASK) == LEAP_DLFEAT_READ_ZEROES &&
	    ns->dlfeat & LEAP_DLFEAT_WZ_DEAC)
		caps |= LEAP_BDEV_ZERO_DISCARD;
	if (ns->nsattr & LEAP_NSATTR_WP)
		caps |= LEAP_BDEV_READONLY;
	return caps;
}

static uint32_t at_most(uint64_t n, uint32_t max)
{
	return n < max ? (uint32_t)n : max;
}

/* Where the controller has no limit, what the command's fields can say. */
static void far_limits(const struct leap_id_ctrl_nvm *id,
		       const struct leap_host_ns *ns, struct leap__far *far)
{
	uint32_t shift = (uint32_t)__builtin_ctz(ns->block_bytes);
	uint64_t dmsl = leap_from_le64(id->dmsl);
	uint32_t dmrsl = leap_from_le32(id->dmrsl);

	far->verify_blocks = MAX_BLOCKS;
	far->zeroes_blocks = MAX_BLOCKS;
	if (id->vsl && id->vsl < 32)
		far->verify_blocks = at_most((4096ull << id->vsl) >> shift,
					     MAX_BLOCKS);
	if (id->wzsl && id->wzsl < 32)
		far->zeroes_blocks = at_most((4096ull << id->wzsl) >> shift,
					     MAX_BLOCKS);
	far->dsm_ranges = id->dmrl ? id->dmrl : LEAP_DSM_MAX_RANGES;
	far->dsm_range_blocks = dmrsl ? dmrsl : UINT32_MAX;
	far->dsm_blocks = dmsl ? dmsl : UINT64_MAX;
	far->copy_ranges = ns->msrc + 1u;
	far->copy_range_blocks = ns->mssrl;
	far->copy_blocks = ns->mcl;
	far->metadata_bytes = ns->metadata_bytes;
	far->pi_type = ns->pi_type;
}

static void far_zones(const struct leap_host_ns *ns, struct leap__far *far)
{
	far->zone_blocks = ns->zone_blocks;
	far->max_active = ns->max_active;
	far->max_open = ns->max_open;
	far->append_bytes = ns->append_bytes;
	far->read_across = ns->read_across;
	if (ns->zone_blocks)
		far->caps |= LEAP_BDEV_ZONED;
}

bool leap__relay_fits(const struct leap__far *was, const struct leap__far *now)
{
	return now->block_bytes == was->block_bytes &&
	       now->open_channel == was->open_channel &&
	       now->zone_blocks == was->zone_blocks &&
	       (!now->zone_blocks || now->nr_blocks == was->nr_blocks) &&
	       now->read_across >= was->read_across &&
	       (!now->append_bytes || (was->append_bytes &&
		now->append_bytes >= was->append_bytes)) &&
	       now->metadata_bytes == was->metadata_bytes &&
	       now->max_bytes >= was->max_bytes &&
	       now->verify_blocks >= was->verify_blocks &&
	       now->zeroes_blocks >= was->zeroes_blocks &&
	       now->dsm_ranges >= was->dsm_ranges &&
	       now->dsm_range_blocks >= was->dsm_range_blocks &&
	       now->dsm_blocks >= was->dsm_blocks &&
	       now->copy_ranges >= was->copy_ranges &&
	       now->copy_range_blocks >= was->copy_range_blocks &&
	       now->copy_blocks >= was->copy_blocks;
}

void leap__relay_far(const struct leap_id_ctrl *id,
		     const struct leap_id_ctrl_nvm *nvm,
		     const struct leap_host_ns *ns, struct leap__far *far)
{
	far->nr_blocks = ns->nr_blocks;
	far->block_bytes = ns->block_bytes;
	far->max_bytes = MAX_BYTES;
	if (id->mdts && id->mdts < 8)
		far->max_bytes = 4096u << id->mdts;
	far->max_pieces = UINT32_MAX;
	far->caps = far_caps(id, ns);
	far_limits(nvm, ns, far);
	far_zones(ns, far);
	far->open_channel = ns->open_channel;
}

int leap__relay_look(struct leap_host *host, uint32_t nsid,
		     struct leap__far *far)
{
	const struct leap_id_ctrl *id = leap_host_identify(host);
	struct leap_host_ns ns = { .size = sizeof(ns) };

	if (!id || leap_host_ns_next(host, nsid - 1, &ns) || ns.nsid != nsid)
		return -ENOENT;
	leap__relay_far(id, leap_host_identify_nvm(host), &ns, far);
	return 0;
}

static void look_closed(void *arg)
{
	struct leap__relay_looking *look = arg;

	look->host = NULL;
	look->done(look);
}

static void look_work(struct leap_msg *msg)
{
	struct leap__relay_looking *look =
		leap__list_entry(msg, struct leap__relay_looking, work);

	leap_host_close(look->host, look_closed, look);
}

/* Not from the host's own callback. */
static void look_ends(struct leap__relay_looking *look)
{
	look->work.run = look_work;
	leap_pollgroup_send(look->pg, &look->work);
}

static void look_asked(struct leap__relay_ask *ask)
{
	look_ends(leap__list_entry(ask, struct leap__relay_looking, ask));
}

static void look_state(struct leap_host *host, enum leap_host_state state,
		       leap_status_t status, int sys_errno, void *arg)
{
	struct leap__relay_looking *look = arg;

	if (look->over)
		return;
	look->was_there = state == LEAP_HOST_LIVE;
	if (state == LEAP_HOST_LIVE)
		look->err = leap__relay_look(host, look->nsid, &look->far);
	else if (state == LEAP_HOST_FAILED)
		look->err = sys_errno < 0 ? sys_errno : -EIO;
	else
		return;
	look->over = true;
	(void)status;
	if (look->was_there && !look->err &&
	    !leap__relay_ask_geometry(host, look->nsid, &look->far, &look->ask,
				      look_asked))
		return;
	look_ends(look);
}

int leap__relay_look_start(struct leap__relay_looking *look,
			   struct leap_pollgroup *pg,
			   const struct leap__relay *relay)
{
	struct leap_host_opts opts = LEAP_HOST_OPTS_INIT;

	leap__relay_host_opts(relay, &opts);
	opts.nr_io_queues = 1;
	opts.depth = 2;
	opts.loss_ms = UINT32_MAX;
	opts.state = look_state;
	opts.arg = look;
	look->pg = pg;
	look->nsid = relay->nsid;
	return leap_host_connect(pg, &opts, &look->host);
}

int leap__relay_look_error(const struct leap__relay *relay,
			   const struct leap__relay_looking *look)
{
	int err = look->err;

	if (look->was_there && err == -ENOENT)
		return leap__err(err, "%s: %s has no namespace %u",
				 relay->name, relay->url, relay->nsid);
	return leap__err(err, "%s: cannot reach %s: %s", relay->name,
			 relay->url, strerror(-err));
}

static void look_is_over(struct leap__relay_looking *look)
{
	look->pg = NULL;
}

int leap__relay_look_and_wait(const struct leap__relay *relay,
			      struct leap__far *far)
{
	struct leap__relay_looking look = { .done = look_is_over };
	struct leap_pollgroup *pg;
	int err;

	err = leap_pollgroup_create(NULL, &pg);
	if (err)
		return err;
	err = leap__relay_look_start(&look, pg, relay);
	while (!err && look.pg)
		leap_pollgroup_wait(pg, -1);
	while (leap_pollgroup_poll(pg, 0) > 0)
		;
	leap_pollgroup_destroy(pg);
	if (err)
		return err;
	if (look.err)
		return leap__relay_look_error(relay, &look);
	*far = look.far;
	return 0;
}
