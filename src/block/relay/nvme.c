/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * nvme: a namespace of a drive that this process drives by itself. A leaf.
 *
 *	nvme:DDDD:BB:DD.F[nsid=N,start=BLOCK,blocks=N,queues=N,depth=N,...]
 *	nvme:lent:/run/ssd.sock[...]
 *
 * A relay (its data path, windows and lists) whose far end is a controller
 * behind registers. The drive belongs to a lender (leapio/lend.h) in the poll
 * group of the bdev, and each channel borrows queue pairs of it. A lender that
 * has given the drive up is replaced, again and again, until it is back; the
 * old one goes when the last connection to it is closed. With "lent:" somebody
 * else has the drive.
 *
 * Any other URL of a device behind registers may stand for the address.
 */
#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/lend.h>

#include "block/relay/nvme.h"
#include "block/relay/relay.h"
#include "core/io/regctrl.h"
#include "util/atomic.h"
#include "util/err.h"
#include "util/list.h"

#define MS	1000000ull
#define URL_MAX	512u

/* A lender, for as long as somebody may connect to it. */
struct leap__lease {
	struct leap_msg msg;
	struct leap_lender *lender;
	struct leap__nvme *nvme;
	uint32_t refs;		/* atomic */
};

/* Freed when bdev and leases are gone; all but get and put is for the owner of
 * the bdev's poll group. */
struct leap__nvme {
	struct leap_pollgroup *pg;
	struct leap_timer timer;
	char url[URL_MAX];
	char *hostnqn;
	uint32_t loss_ms, reconnect_ms;
	uint32_t refs;
	bool closed;
	pthread_mutex_t lock;	/* of current; control path only */
	struct leap__lease *current;
};

static void nvme_drop(struct leap__nvme *nvme)
{
	if (--nvme->refs)
		return;
	pthread_mutex_destroy(&nvme->lock);
	free(nvme->hostnqn);
	free(nvme);
}

/* ---- leases ---- */

static void lender_destroyed(void *arg)
{
	struct leap__lease *lease = arg;
	struct leap__nvme *nvme = lease->nvme;

	free(lease);
	nvme_drop(nvme);
}

static void lease_over(struct leap_msg *msg)
{
	struct leap__lease *lease = leap__list_entry(msg, struct leap__lease,
						     msg);

	leap_lender_destroy(lease->lender, lender_destroyed, lease);
}

void leap__nvme_put(struct leap__lease *lease)
{
	if (leap__fetch_add(&lease->refs, (uint32_t)-1) != 1)
		return;
	/* Its lender keeps the poll group. */
	lease->msg.run = lease_over;
	leap_pollgroup_send(lease->nvme->pg, &lease->msg);
}

struct leap__lease *leap__nvme_get(struct leap__nvme *nvme)
{
	struct leap__lease *lease;

	pthread_mutex_lock(&nvme->lock);
	lease = nvme->current;
	if (lease)
		leap__fetch_add(&lease->refs, 1u);
	pthread_mutex_unlock(&nvme->lock);
	return lease;
}

struct leap_lender *leap__lease_lender(const struct leap__lease *lease)
{
	return lease->lender;
}

static struct leap__lease *replace(struct leap__nvme *nvme,
				   struct leap__lease *lease)
{
	struct leap__lease *old;

	pthread_mutex_lock(&nvme->lock);
	old = nvme->current;
	nvme->current = lease;
	pthread_mutex_unlock(&nvme->lock);
	return old;
}

static void try_again(struct leap_timer *timer);

static void retry_later(struct leap__nvme *nvme)
{
	nvme->timer.run = try_again;
	leap_timer_start(nvme->pg, &nvme->timer, nvme->reconnect_ms * MS);
}

static void lender_changed(struct leap_lender *lender,
			   enum leap_lender_state state, int sys_errno,
			   void *arg)
{
	struct leap__lease *lease = arg;
	struct leap__nvme *nvme = lease->nvme;

	if (state != LEAP_LENDER_FAILED || nvme->current != lease)
		return;
	replace(nvme, NULL);
	leap__nvme_put(lease);
	if (!nvme->closed)
		retry_later(nvme);
}

static int take_device(struct leap__nvme *nvme)
{
	struct leap_lender_opts opts = LEAP_LENDER_OPTS_INIT;
	struct leap__lease *lease = calloc(1, sizeof(*lease));
	int err;

	if (!lease)
		return leap__err(-ENOMEM, "nvme: out of memory");
	lease->nvme = nvme;
	lease->refs = 1;
	opts.url = nvme->url;
	opts.hostnqn = nvme->hostnqn;
	opts.loss_ms = nvme->loss_ms;
	opts.changed = lender_changed;
	opts.arg = lease;
	err = leap_lender_create(nvme->pg, &opts, &lease->lender);
	if (err) {
		free(lease);
		return err;
	}
	nvme->refs++;
	replace(nvme, lease);
	return 0;
}

static void try_again(struct leap_timer *timer)
{
	struct leap__nvme *nvme = leap__list_entry(timer, struct leap__nvme,
						   timer);

	if (take_device(nvme))
		retry_later(nvme);
}

/* ---- the layer ---- */

/* "0000:01:00.0", with the name behind it or without. */
static bool is_pci(const char *arg)
{
	size_t n = strspn(arg, "0123456789abcdefABCDEF:.");

	return n && (!arg[n] || arg[n] == '/') && memchr(arg, ':', n) &&
	       memchr(arg, '.', n);
}

static int make_url(const char *arg, char *url)
{
	const char *nqn = strstr(arg, "/nqn.");
	int n;

	n = snprintf(url, URL_MAX, "%s%s%s", is_pci(arg) ? "pcie:" : "", arg,
		     nqn ? "" : "/" LEAP__NQN_ANY);
	if (n < 0 || n >= (int)URL_MAX)
		return leap__err(-EINVAL, "nvme: an address of more than %u "
				 "bytes", URL_MAX);
	return 0;
}

static struct leap__nvme *nvme_alloc(const struct leap__relay *relay,
				     struct leap_pollgroup *pg,
				     const char *url)
{
	struct leap__nvme *nvme = calloc(1, sizeof(*nvme));

	if (!nvme)
		return NULL;
	pthread_mutex_init(&nvme->lock, NULL);
	nvme->pg = pg;
	nvme->refs = 1;
	nvme->loss_ms = relay->loss_ms ? relay->loss_ms : 1;
	nvme->reconnect_ms = relay->reconnect_ms;
	strcpy(nvme->url, url);
	if (relay->hostnqn) {
		nvme->hostnqn = strdup(relay->hostnqn);
		if (!nvme->hostnqn) {
			nvme_drop(nvme);
			return NULL;
		}
	}
	return nvme;
}

static void nvme_close(struct leap_bdev *bdev)
{
	struct leap__relay *relay = leap_bdev_priv(bdev);
	struct leap__nvme *nvme = relay->nvme;
	struct leap__lease *lease;

	leap__relay_note_drop(relay);
	free(relay->own_url);
	relay->own_url = NULL;
	relay->nvme = NULL;
	if (!nvme)
		return;
	nvme->closed = true;
	leap_timer_stop(nvme->pg, &nvme->timer);
	lease = replace(nvme, NULL);
	if (lease)
		leap__nvme_put(lease);
	nvme_drop(nvme);
}

static int lend(struct leap_bdev *bdev, struct leap__relay *relay)
{
	relay->nvme = nvme_alloc(relay, leap_bdev_pollgroup(bdev), relay->url);
	if (!relay->nvme)
		return leap__err(-ENOMEM, "nvme: out of memory");
	relay->url = "lent://nvme/" LEAP__NQN_ANY;
	return take_device(relay->nvme);
}

static int nvme_open(struct leap_bdev *bdev)
{
	struct leap__relay *relay = leap_bdev_priv(bdev);
	char url[URL_MAX];
	int err;

	relay->name = "nvme";
	err = leap__relay_opts(bdev, relay);
	if (!err)
		err = make_url(relay->url, url);
	if (err)
		return err;
	relay->own_url = strdup(url);
	if (!relay->own_url)
		return leap__err(-ENOMEM, "nvme: out of memory");
	relay->url = relay->own_url;
	err = leap__relay_look_and_wait(relay, &relay->far);
	if (!err)
		err = leap__relay_describe(bdev, relay);
	if (!err)
		err = leap__relay_note_make(bdev, relay);
	if (!err && strncmp(url, "lent:", 5))
		err = lend(bdev, relay);
	if (err)
		nvme_close(bdev);
	return err;
}

/* A drive may still be writing for a process that was killed. */
static int nvme_lock_path(const struct leap_bdev *bdev, char *path, size_t max)
{
	return -ENOLCK;
}

const struct leap_bdev_ops leap__nvme_ops = {
	.size = sizeof(struct leap_bdev_ops),
	.name = "nvme",
	.help = "nvme:0000:01:00.0  a drive bound to vfio-pci\n"
		"nvme:lent:PATH  one that is lent there\n"
		LEAP__RELAY_HELP,
	.bdev_bytes = sizeof(struct leap__relay),
	.chan_bytes = sizeof(struct leap__link *),
	.bio_bytes = sizeof(struct leap__rbio),
	.open = nvme_open,
	.close = nvme_close,
	.chan_open = leap__relay_chan_open,
	.chan_close = leap__relay_chan_close,
	.submit = leap__relay_bio,
	.lock_path = nvme_lock_path,
	.admin = leap__relay_admin,
	.let_go = leap__relay_chan_let_go,
};
