/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * values.c - texts of the configuration as the library wants them
 *
 * Permissions, users and kinds of interrupts are words to people and numbers
 * to libleapio. config.c checks that they are texts and knows no more of them.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/vdev.h>

#include "config.h"

int config_mode(const char *text, uint32_t *mode, const char **why)
{
	char *end;
	long n = strtol(text, &end, 8);

	*why = "\"mode\": expected permissions in octal, as 0660";
	if (!*text || *end || n <= 0 || n > 0777)
		return -EINVAL;
	*mode = (uint32_t)n;
	return 0;
}

static int read_id(const char *text, uint32_t *id)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || n >= UINT32_MAX)
		return -EINVAL;
	*id = (uint32_t)n;
	return 0;
}

int config_owner(const char *text, uint32_t *uid, uint32_t *gid,
		 const char **why)
{
	char user[65];
	char *group;
	struct passwd *pw;
	struct group *gr;

	*why = "\"owner\": expected USER or USER:GROUP, names or numbers";
	*gid = UINT32_MAX;
	snprintf(user, sizeof(user), "%s", text);
	group = strchr(user, ':');
	if (group)
		*group++ = 0;
	if (read_id(user, uid)) {
		pw = getpwnam(user);
		if (!pw)
			return -EINVAL;
		*uid = pw->pw_uid;
	}
	if (group && read_id(group, gid)) {
		gr = getgrnam(group);
		if (!gr)
			return -EINVAL;
		*gid = gr->gr_gid;
	}
	return 0;
}

static int config_irqs(const char *text, uint32_t *irqs, const char **why)
{
	static const char *const names[] = {
		[LEAP_VDEV_HAS_MSIX] = "msix", [LEAP_VDEV_HAS_MSI] = "msi",
		[LEAP_VDEV_HAS_PIN] = "intx",
	};
	uint32_t i;

	*why = "\"irq\": expected msix, msi or intx";
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*irqs = i;
		if (!strcmp(text, names[i]))
			return 0;
	}
	return -EINVAL;
}

int config_listener_opts(const struct config_listener *l,
			 struct leap_listener_opts *opts, const char **why)
{
	int drive = !strncmp(l->url, "vfio-user:", 10);
	int rc = 0;

	if ((l->irq || l->trust_memory) && !drive) {
		*why = l->irq ? "\"irq\": only vfio-user has interrupts" :
		       "\"trust_memory\": only vfio-user maps memory";
		return -EINVAL;
	}
	if ((l->mode || l->owner) && !drive && strncmp(l->url, "shm:", 4)) {
		*why = "\"mode\" and \"owner\": only shm and vfio-user have "
		       "a socket with them";
		return -EINVAL;
	}
	opts->url = l->url;
	opts->advertise = l->advertise;
	opts->trust_memory = l->trust_memory;
	opts->srq = l->srq;
	if (l->srq && strncmp(l->url, "rdma:", 5)) {
		*why = "\"srq\": only rdma has receives to share";
		return -EINVAL;
	}
	opts->set_owner = !!l->owner;
	if (l->mode)
		rc = config_mode(l->mode, &opts->mode, why);
	if (!rc && l->owner)
		rc = config_owner(l->owner, &opts->uid, &opts->gid, why);
	if (!rc && l->irq)
		rc = config_irqs(l->irq, &opts->irqs, why);
	return rc;
}
