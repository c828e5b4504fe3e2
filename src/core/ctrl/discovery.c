/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The discovery log: which subsystems the asking host may use, and where. One
 * entry per subsystem and listener; a listener on a wildcard address is given
 * as the address that the host itself came in by. Entries of the discovery
 * service itself come first. GENCTR counts every change of subsystems, hosts
 * allowed and listeners.
 *
 * Spec: NVMe Base 2.0 s5.16.1.23 (Discovery Log Page)
 */
#include "core/ctrl/admin.h"

#include <errno.h>
#include <string.h>

void leap__target_changed(struct leap_target *t)
{
	struct leap__list *pos, *tmp;

	t->genctr++;
	if (!t->disc)
		return;
	leap__list_for_each_safe(pos, tmp, &t->disc->ctrls)
		leap__aer_event(leap__list_entry(pos, struct leap__ctrl, link),
				LEAP__EVENT_DISCOVERY);
}

/* "[::1]:4420" or "10.0.0.1:4420" into its parts; 0, or -EINVAL. */
static int split(const char *text, char *host, size_t max, char *port,
		 size_t port_max)
{
	const char *colon = strrchr(text, ':'), *end = colon;

	if (!colon || strlen(colon + 1) >= port_max)
		return -EINVAL;
	strcpy(port, colon + 1);
	if (*text == '[' && end > text && end[-1] == ']') {
		text++;
		end--;
	}
	if ((size_t)(end - text) >= max)
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = 0;
	return 0;
}

static int is_wildcard(const char *host)
{
	return !*host || !strcmp(host, "0.0.0.0") || !strcmp(host, "::") ||
	       !strcmp(host, "*");
}

static void pad(char *dst, size_t len, const char *text)
{
	size_t n = strlen(text);

	memset(dst, ' ', len);
	memcpy(dst, text, n < len ? n : len);
}

#define V4_MAPPED "::ffff:"

/*
 * A wildcard becomes the address by which the host has come; one of the other
 * family, or of another transport, leads it nowhere: -EINVAL.
 */
static int expand(char *host, size_t max, const struct leap__ctrl *c,
		  const struct leap_listener *l)
{
	struct leap_vqp *vqp = c->conn ? c->conn->vqp : NULL;
	char text[LEAP_DISC_TRADDR_LEN], local[LEAP_DISC_TRADDR_LEN];
	char port[LEAP_DISC_TRSVCID_LEN];
	const char *at;

	if (!vqp || vqp->ops != l->ops || !vqp->ops->vqp_local ||
	    vqp->ops->vqp_local(vqp, text, sizeof(text)) ||
	    split(text, local, sizeof(local), port, sizeof(port)))
		return -EINVAL;
	/* An IPv4 host at an IPv6 socket. */
	at = !strncmp(local, V4_MAPPED, strlen(V4_MAPPED)) &&
	     strchr(local, '.') ? local + strlen(V4_MAPPED) : local;
	if ((!strcmp(host, "0.0.0.0") && strchr(at, ':')) ||
	    strlen(at) >= max)
		return -EINVAL;
	strcpy(host, at);
	return 0;
}

static int fill_entry(struct leap_disc_entry *e, const struct leap__ctrl *c,
		      const struct leap_subsystem *ss,
		      const struct leap_listener *l)
{
	char host[LEAP_DISC_TRADDR_LEN], port[LEAP_DISC_TRSVCID_LEN];

	if (split(l->advertise ? l->advertise : l->bound, host, sizeof(host),
		  port, sizeof(port)) ||
	    (is_wildcard(host) && expand(host, sizeof(host), c, l)))
		return -EINVAL;
	e->trtype = l->ops->trtype;
	if (e->trtype == LEAP_TRTYPE_RDMA) {
		const struct leap_tsas_rdma tsas = {
			.qptype = LEAP_RDMA_QPTYPE_RC,
			.prtype = LEAP_RDMA_PRTYPE_NONE,
			.cms = LEAP_RDMA_CMS_RDMA_CM,
		};

		memcpy(e->tsas, &tsas, sizeof(tsas));
	}
	e->adrfam = strchr(host, ':') ? LEAP_ADRFAM_IPV6 : LEAP_ADRFAM_IPV4;
	e->subtype = LEAP_DISC_SUB_NVM;
	if (ss->discovery) {
		/* This service at each of its doors, where it says the same
		 * and may be asked to stay connected. */
		e->subtype = LEAP_DISC_SUB_CURRENT;
		e->eflags = leap_to_le16(LEAP_DISC_EFLAG_DUPRETINFO |
					 LEAP_DISC_EFLAG_EPCSD);
	}
	e->treq = LEAP_TREQ_SECURE_NO | LEAP_TREQ_NO_SQFLOW;
	e->portid = leap_to_le16(l->portid);
	e->cntlid = leap_to_le16(LEAP_CNTLID_DYNAMIC);
	e->asqsz = leap_to_le16(LEAP_DISC_MIN_ASQSZ);
	pad(e->trsvcid, sizeof(e->trsvcid), port);
	memcpy(e->subnqn, ss->nqn, strlen(ss->nqn));
	pad(e->traddr, sizeof(e->traddr), host);
	return 0;
}

static int listed(const struct leap__ctrl *c, const struct leap_subsystem *ss,
		  const struct leap_listener *l)
{
	return l->ops && l->ops->trtype && !ss->dying &&
	       leap__subsystem_allows(ss, c->hostnqn);
}

/* The discovery service itself first. */
static struct leap_subsystem *next(const struct leap__ctrl *c,
				   struct leap_subsystem *ss)
{
	return ss ? leap_subsystem_next(c->target,
					ss == c->ss ? NULL : ss) : c->ss;
}

static size_t count(const struct leap__ctrl *c)
{
	struct leap_subsystem *ss = NULL;
	struct leap_listener *l;
	size_t n = 0;

	while ((ss = next(c, ss)))
		for (l = NULL; (l = leap_listener_next(c->target, l));)
			n += (size_t)listed(c, ss, l);
	return n;
}

int leap__discovery_log(struct leap__ctrl *c, uint8_t **log, size_t *bytes)
{
	struct leap_subsystem *ss = NULL;
	struct leap_disc_entry *e;
	struct leap_disc_hdr *hdr;
	struct leap_listener *l;
	uint64_t n = 0;

	*bytes = sizeof(*hdr) + count(c) * sizeof(*e);
	*log = leap__target_scratch(c->target, *bytes);
	if (!*log)
		return -ENOMEM;
	hdr = (struct leap_disc_hdr *)(void *)*log;
	e = (struct leap_disc_entry *)(void *)(*log + sizeof(*hdr));
	while ((ss = next(c, ss)))
		for (l = NULL; (l = leap_listener_next(c->target, l));)
			if (listed(c, ss, l) && !fill_entry(&e[n], c, ss, l))
				n++;
	*bytes = sizeof(*hdr) + n * sizeof(*e);
	hdr->genctr = leap_to_le64(c->target->genctr);
	hdr->numrec = leap_to_le64(n);
	return 0;
}
