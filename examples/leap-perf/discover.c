/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leap-perf --discover URL: the discovery log as a table, or as JSON.
 */
#include "perf.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ENTRIES	1024u
#define TRIES		4

static void stop_poll(void *arg)
{
	*(int *)arg = 1;
}

/* 0, or -1 with a line on stderr. */
static int get_log(struct leap_pollgroup *pg, struct leap_host *host,
		   uint64_t at, void *buf, uint32_t bytes)
{
	struct leap_piece piece = { .addr = buf, .len_bytes = bytes };
	struct leap_req req = { .pieces = &piece, .nr_pieces = 1 };
	uint32_t numd = bytes / 4 - 1;
	int err;

	req.sqe.opc = LEAP_ADM_GET_LOG;
	req.sqe.cdw10 = leap_to_le32(LEAP_LID_DISCOVERY |
				     (numd & 0xffff) << 16);
	req.sqe.cdw11 = leap_to_le32(numd >> 16);
	req.sqe.cdw12 = leap_to_le32((uint32_t)at);
	req.sqe.cdw13 = leap_to_le32((uint32_t)(at >> 32));
	err = leap_host_sync(host, pg, 0, &req);
	if (!err && !leap_req_status(&req))
		return 0;
	fprintf(stderr, "leap-perf: discovery log: %s\n", err ?
		leap_last_error() : leap_status_str(leap_req_status(&req)));
	return -1;
}

struct entry {
	const char *type, *subtype;
	char address[LEAP_NQN_FIELD + 1], port[LEAP_NQN_FIELD + 1];
	char subsystem[LEAP_NQN_FIELD + 1];
};

/* Fields from the wire are padded by spaces or NULs, and not trusted. */
static void get_field(char *text, const char *field, size_t max)
{
	size_t i, n = 0;

	for (i = 0; i < max && i < LEAP_NQN_FIELD && field[i]; i++)
		text[n++] = field[i] >= ' ' && field[i] < 127 ? field[i] : '?';
	while (n && text[n - 1] == ' ')
		n--;
	text[n] = 0;
}

static void get_entry(struct entry *out, const struct leap_disc_entry *e)
{
	out->type = e->trtype == LEAP_TRTYPE_TCP ? "tcp" :
		    e->trtype == LEAP_TRTYPE_RDMA ? "rdma" :
		    e->trtype == LEAP_TRTYPE_FC ? "fc" :
		    e->trtype == LEAP_TRTYPE_LOOP ? "loop" : "?";
	out->subtype = e->subtype == LEAP_DISC_SUB_NVM ? "nvme" :
		       e->subtype == LEAP_DISC_SUB_REFERRAL ? "referral" :
		       e->subtype == LEAP_DISC_SUB_CURRENT ? "current" : "?";
	get_field(out->address, e->traddr, sizeof(e->traddr));
	get_field(out->port, e->trsvcid, sizeof(e->trsvcid));
	get_field(out->subsystem, e->subnqn, sizeof(e->subnqn));
}

static void put_json(const struct entry *e)
{
	printf("{\"type\":\"%s\",\"subtype\":\"%s\",\"address\":", e->type,
	       e->subtype);
	report_string(e->address);
	printf(",\"port\":");
	report_string(e->port);
	printf(",\"subsystem\":");
	report_string(e->subsystem);
	putchar('}');
}

static void put_entries(const struct leap_disc_entry *entries, uint64_t nr,
			int json)
{
	struct entry e;
	uint64_t i;

	if (json)
		putchar('[');
	else
		printf("%-5s %-9s %-24s %-6s %s\n", "type", "subtype",
		       "address", "port", "subsystem");
	for (i = 0; i < nr; i++) {
		get_entry(&e, &entries[i]);
		if (!json)
			printf("%-5s %-9s %-24s %-6s %s\n", e.type, e.subtype,
			       e.address, e.port, e.subsystem);
		else if (i)
			putchar(',');
		if (json)
			put_json(&e);
	}
	if (json)
		puts("]");
}

/* 1 = the log changed while it was read. */
static int read_log(struct leap_pollgroup *pg, struct leap_host *host,
		    struct leap_disc_entry *entries, uint64_t *nr)
{
	struct leap_disc_hdr hdr, again;
	uint64_t i;

	if (get_log(pg, host, 0, &hdr, sizeof(hdr)))
		return -1;
	*nr = leap_from_le64(hdr.numrec);
	if (*nr > MAX_ENTRIES)
		*nr = MAX_ENTRIES;
	for (i = 0; i < *nr; i++)
		if (get_log(pg, host, 1024 * (i + 1), &entries[i],
			    sizeof(entries[i])))
			return -1;
	if (get_log(pg, host, 0, &again, sizeof(again)))
		return -1;
	return leap_from_le64(again.genctr) != leap_from_le64(hdr.genctr);
}

static int print_log(struct leap_pollgroup *pg, struct leap_host *host,
		     int json)
{
	struct leap_disc_entry *entries = calloc(MAX_ENTRIES, sizeof(*entries));
	int tries, rc = 1;
	uint64_t nr = 0;

	for (tries = 0; entries && rc == 1 && tries < TRIES; tries++)
		rc = read_log(pg, host, entries, &nr);
	if (!rc)
		put_entries(entries, nr, json);
	free(entries);
	return rc ? PERF_IO_ERROR : PERF_OK;
}

int discover_run(const struct opts *o)
{
	struct leap_host_opts ho = LEAP_HOST_OPTS_INIT;
	struct leap_pollgroup *pg;
	struct leap_host *host;
	int rc, closed = 0;
	char url[512];

	snprintf(url, sizeof(url), "%s/%s", o->discover, LEAP_NQN_DISCOVERY);
	ho.url = url;
	ho.hostnqn = o->hostnqn;
	ho.flags = o->qp_flags;
	ho.loss_ms = UINT32_MAX;
	ho.state = say_state;
	ho.arg = (void *)o;
	if (leap_pollgroup_create(NULL, &pg) ||
	    leap_host_connect(pg, &ho, &host)) {
		fprintf(stderr, "leap-perf: %s\n", leap_last_error());
		return PERF_USAGE;
	}
	rc = wait_live(pg, host) ? PERF_NO_CONNECTION :
				   print_log(pg, host, o->json);
	leap_host_close(host, stop_poll, &closed);
	while (!closed)
		leap_pollgroup_wait(pg, -1);
	while (leap_pollgroup_poll(pg, 0))
		;
	leap_pollgroup_destroy(pg);
	return rc;
}
