/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a host says to a controller: enable, identify, features, namespaces,
 * events, keep alive, shutdown. Each step is one admin command whose answer
 * starts the next one; a step that fails ends the connection (host.c).
 *
 *	CAP, VS -> CC.EN -> CSTS.RDY -> Identify -> events on -> queues
 *		-> namespaces -> I/O connections -> live
 *
 * Everything that a controller answers is checked before it is believed.
 */
#include "core/io/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/pollgroup.h"

#define MS		1000000ull
#define CSTS_POLL_MS	10u
#define SHUTDOWN_MS	2000u
#define SHUTDOWN_MAX_MS	60000u
#define PAGE		4096u
/* Critical warnings of the health log, all that are defined in Base 1.3. */
#define SMART_WARNINGS	0x1fu
/* CC: 64 B and 16 B entries, 4 KiB pages. */
#define CC_VALUE (LEAP_PUT(6u, LEAP_CC_IOSQES) | LEAP_PUT(4u, LEAP_CC_IOCQES))

/* All command sets, of a controller that has more than one. */
static uint32_t cc_value(const struct leap_host *h)
{
	return CC_VALUE | LEAP_PUT(h->cap & LEAP_CAP_CSS_IOCS ?
				   LEAP_CC_CSS_ALL : LEAP_CC_CSS_NVM,
				   LEAP_CC_CSS);
}

/* ---- one admin command -------------------------------------------------- */

static void adm_done(struct leap_req *req)
{
	struct leap__hadm *a = (struct leap__hadm *)req;

	a->busy = 0;
	if (!req->sys_errno && !a->host->tear_asked && !a->host->tearing)
		a->done(a->host, a, leap_req_status(req));
}

static struct leap_sqe *adm_prep(struct leap__hadm *a, uint8_t opc)
{
	memset(&a->req.sqe, 0, sizeof(a->req.sqe));
	a->req.sqe.opc = opc;
	a->req.nr_pieces = 0;
	return &a->req.sqe;
}

static void adm_data(struct leap__hadm *a, void *data, uint32_t bytes)
{
	memset(data, 0, bytes);
	a->piece.addr = data;
	a->piece.len_bytes = bytes;
	a->req.pieces = &a->piece;
	a->req.nr_pieces = 1;
}

static void adm_send(struct leap__hadm *a, leap__hadm_done done)
{
	struct leap_host *h = a->host;
	struct leap_req *req = &a->req;

	a->done = done;
	a->busy = 1;
	if (leap_qp_submit(h->q[0].qp, &req, 1) == 1) {
		leap_qp_kick(h->q[0].qp);
		return;
	}
	a->busy = 0;
	leap__host_fail(h, LEAP_SC_PATH_HOST, -EIO);
}

static void prop_get(struct leap_host *h, uint32_t ofst, uint8_t size,
		     leap__hadm_done done)
{
	struct leap_fab_prop_get *p = (struct leap_fab_prop_get *)
		adm_prep(&h->adm, LEAP_ADM_FABRICS);

	p->fctype = LEAP_FCTYPE_PROP_GET;
	p->attrib = size;
	p->ofst = leap_to_le32(ofst);
	adm_send(&h->adm, done);
}

static void prop_set(struct leap_host *h, uint32_t ofst, uint64_t value,
		     leap__hadm_done done)
{
	struct leap_fab_prop_set *p = (struct leap_fab_prop_set *)
		adm_prep(&h->adm, LEAP_ADM_FABRICS);

	p->fctype = LEAP_FCTYPE_PROP_SET;
	p->attrib = LEAP_PROP_SIZE_4;
	p->ofst = leap_to_le32(ofst);
	p->value = leap_to_le64(value);
	adm_send(&h->adm, done);
}

void leap__host_identify(struct leap_host *h, uint32_t cns, uint8_t csi,
			 uint32_t nsid, void *data, leap__hadm_done done)
{
	struct leap_sqe *sqe = adm_prep(&h->adm, LEAP_ADM_IDENTIFY);

	sqe->nsid = leap_to_le32(nsid);
	sqe->cdw10 = leap_to_le32(cns);
	sqe->cdw11 = leap_to_le32(LEAP_PUT((uint32_t)csi,
					   LEAP_IDENTIFY_CDW11_CSI));
	adm_data(&h->adm, data, LEAP_IDENTIFY_SIZE);
	adm_send(&h->adm, done);
}

static int failed(struct leap_host *h, leap_status_t status)
{
	if (status)
		leap__host_fail(h, status, 0);
	return status != 0;
}

/* ---- bringing it up ----------------------------------------------------- */

/*
 * The most that one command may move: MDTS, in pages of CAP.MPSMIN, which is 0
 * here. What makes no sense is no limit.
 */
static uint32_t mdts_bytes(const struct leap_host *h)
{
	uint8_t mdts = h->id->mdts;

	return mdts && mdts < 20 ? PAGE << mdts : UINT32_MAX;
}

static void get_csts(struct leap_host *h);

static void connect_io(struct leap_host *h)
{
	if (h->nr_up < h->nr_now && !h->no_io)
		leap__host_connect_queue(h, h->nr_up + 1);
	else
		leap__host_live(h);
}

static void queues_set(struct leap_host *h, struct leap__hadm *a,
		       leap_status_t status)
{
	uint32_t dw0 = (uint32_t)leap_req_result(&a->req);
	uint32_t nsq = LEAP_GET(dw0, LEAP_FEAT_NQ_NSQ) + 1;
	uint32_t ncq = LEAP_GET(dw0, LEAP_FEAT_NQ_NCQ) + 1;
	uint32_t n = nsq < ncq ? nsq : ncq;

	if (failed(h, status))
		return;
	if (n > h->nr_q)
		n = h->nr_q;
	if (!h->was_live)
		h->nr_granted = n;
	/* Callers know the queues of the first time, and requests may wait on
	 * them: fewer connections carry them all. */
	h->nr_now = n < h->nr_granted ? n : h->nr_granted;
	leap__host_scan(h, connect_io);
}

static void set_queues(struct leap_host *h)
{
	struct leap_sqe *sqe;
	uint32_t n = h->nr_q - 1;

	if (h->discovery) {
		leap__host_live(h);
		return;
	}
	sqe = adm_prep(&h->adm, LEAP_ADM_SET_FEATURES);
	sqe->cdw10 = leap_to_le32(LEAP_FID_NUM_QUEUES);
	sqe->cdw11 = leap_to_le32(LEAP_PUT(n, LEAP_FEAT_NQ_NSQ) |
				  LEAP_PUT(n, LEAP_FEAT_NQ_NCQ));
	adm_send(&h->adm, queues_set);
}

static void events_on(struct leap_host *h, struct leap__hadm *a,
		      leap_status_t status)
{
	/* A controller without events is one without news. */
	set_queues(h);
}

static void set_events(struct leap_host *h)
{
	uint32_t oaes = leap_from_le32(h->id->oaes);
	struct leap_sqe *sqe;

	if (!oaes) {
		set_queues(h);
		return;
	}
	sqe = adm_prep(&h->adm, LEAP_ADM_SET_FEATURES);
	sqe->cdw10 = leap_to_le32(LEAP_FID_ASYNC_EVENT);
	oaes &= LEAP_AEC_NS_ATTR | LEAP_AEC_SHUTDOWN | LEAP_AEC_ZONE_DESC |
		LEAP_AEC_DISCOVERY;
	/* Whoever has a health log warns of it; OAES has no bits for that. */
	if (!h->discovery)
		oaes |= SMART_WARNINGS;
	sqe->cdw11 = leap_to_le32(oaes);
	adm_send(&h->adm, events_on);
}

static void limits_read(struct leap_host *h, struct leap__hadm *a,
			leap_status_t status)
{
	/* One that does not know the page has no limits to tell. */
	if (status)
		memset(h->id_nvm, 0, sizeof(*h->id_nvm));
	set_events(h);
}

static void identified(struct leap_host *h, struct leap__hadm *a,
		       leap_status_t status)
{
	if (failed(h, status))
		return;
	leap__qp_limit(h->q[0].qp, mdts_bytes(h));
	memset(h->id_nvm, 0, sizeof(*h->id_nvm));
	if (h->id->cntrltype == LEAP_CNTRLTYPE_DISCOVERY)
		h->discovery = 1;
	/* Old ones may answer an unknown CNS with anything. */
	if (h->discovery || leap_from_le32(h->id->ver) < LEAP_VS_1_4)
		set_events(h);
	else
		leap__host_identify(h, LEAP_CNS_CSI_CTRL, LEAP_CSI_NVM, 0,
				    h->id_nvm, limits_read);
}

static void csts_again(struct leap_timer *timer)
{
	get_csts((struct leap_host *)
		 ((char *)timer - offsetof(struct leap_host, timer)));
}

/* Not there yet: ask again soon, or see that it takes too long. */
static int csts_wait(struct leap_host *h)
{
	if (leap_pollgroup_now_ns(h->pg) >= h->deadline_ns)
		return -ETIMEDOUT;
	h->timer.run = csts_again;
	leap_timer_start(h->pg, &h->timer, CSTS_POLL_MS * MS);
	return 0;
}

static void csts_read(struct leap_host *h, struct leap__hadm *a,
		      leap_status_t status)
{
	uint32_t csts = (uint32_t)leap_req_result(&a->req);

	if (h->closing) {
		if (status || LEAP_GET(csts, LEAP_CSTS_SHST) ==
			      LEAP_CSTS_SHST_DONE || csts_wait(h))
			leap__host_tear_down(h);
		return;
	}
	if (failed(h, status))
		return;
	if (csts & LEAP_CSTS_CFS)
		leap__host_fail(h, LEAP_SC_INTERNAL, -EIO);
	else if (csts & LEAP_CSTS_RDY)
		leap__host_identify(h, LEAP_CNS_CTRL, LEAP_CSI_NVM, 0, h->id,
				    identified);
	else if (csts_wait(h))
		leap__host_fail(h, LEAP_SC_PATH_HOST, -ETIMEDOUT);
}

static void get_csts(struct leap_host *h)
{
	prop_get(h, LEAP_REG_CSTS, LEAP_PROP_SIZE_4, csts_read);
}

static void enabled(struct leap_host *h, struct leap__hadm *a,
		    leap_status_t status)
{
	if (!failed(h, status))
		get_csts(h);
}

static void vs_read(struct leap_host *h, struct leap__hadm *a,
		    leap_status_t status)
{
	uint64_t to_ms = (LEAP_GET(h->cap, LEAP_CAP_TO) + 1) * 500;

	if (failed(h, status))
		return;
	h->deadline_ns = leap_pollgroup_now_ns(h->pg) + to_ms * MS;
	prop_set(h, LEAP_REG_CC, cc_value(h) | LEAP_CC_EN, enabled);
}

static void cap_read(struct leap_host *h, struct leap__hadm *a,
		     leap_status_t status)
{
	if (failed(h, status))
		return;
	h->cap = leap_req_result(&a->req);
	if (LEAP_GET(h->cap, LEAP_CAP_MPSMIN)) {
		leap__host_fail(h, LEAP_SC_PATH_HOST, -EOPNOTSUPP);
		return;
	}
	prop_get(h, LEAP_REG_VS, LEAP_PROP_SIZE_4, vs_read);
}

void leap__host_queue_up(struct leap_host *h, uint32_t i)
{
	if (h->closing || h->tear_asked)
		return;
	if (!i) {
		prop_get(h, LEAP_REG_CAP, LEAP_PROP_SIZE_8, cap_read);
		return;
	}
	leap__qp_limit(h->q[i].qp, mdts_bytes(h));
	h->nr_up = i;
	connect_io(h);
}

/* ---- events ------------------------------------------------------------- */

static void send_aer(struct leap__hadm *a);
static void next_event(struct leap_host *h);

static void event_done(struct leap_host *h)
{
	uint64_t event = h->events[0];

	h->in_event = 0;
	h->nr_events--;
	memmove(h->events, h->events + 1, h->nr_events * sizeof(h->events[0]));
	h->stats.events++;
	next_event(h);
	/* Last: the caller may close us. */
	h->event = event;
	if (h->opts.event)
		h->opts.event(h, (uint32_t)event, h->opts.arg);
}

static void log_read(struct leap_host *h, struct leap__hadm *a,
		     leap_status_t status)
{
	if (LEAP_AER_LID(h->events[0]) == LEAP_LID_CHANGED_NS)
		leap__host_scan(h, event_done);
	else
		event_done(h);
}

/* Reading the page is what lets the controller report the next one. */
static void next_event(struct leap_host *h)
{
	struct leap_sqe *sqe;
	uint32_t lid, bytes;

	if (h->in_event || !h->nr_events || h->closing || h->adm.busy)
		return;
	h->in_event = 1;
	lid = LEAP_AER_LID(h->events[0]);
	bytes = lid == LEAP_LID_CHANGED_NS || lid == LEAP_LID_CHANGED_ZONES ?
		4096 :
		lid == LEAP_LID_DISCOVERY ? 1024 :
		lid == LEAP_LID_ERROR ? 64 : 512;
	if (!lid) {
		event_done(h);
		return;
	}
	sqe = adm_prep(&h->adm, LEAP_ADM_GET_LOG);
	sqe->nsid = leap_to_le32(lid == LEAP_LID_DISCOVERY ? 0 :
				 lid == LEAP_LID_CHANGED_ZONES ?
				 (uint32_t)(h->events[0] >> 32) :
				 LEAP_NSID_ALL);
	sqe->cdw10 = leap_to_le32(LEAP_PUT(lid, LEAP_LOG_CDW10_LID) |
			LEAP_PUT(bytes / 4 - 1, LEAP_LOG_CDW10_NUMDL));
	adm_data(&h->adm, h->adm.data, bytes);
	adm_send(&h->adm, log_read);
}

static void aer_done(struct leap_host *h, struct leap__hadm *a,
		     leap_status_t status)
{
	/* Aborted, or one more than it takes: leave it. */
	if (status || h->state != LEAP_HOST_LIVE || h->closing)
		return;
	if (h->nr_events < LEAP__HOST_AERS)
		h->events[h->nr_events++] = leap_req_result(&a->req);
	send_aer(a);
	next_event(h);
}

static void send_aer(struct leap__hadm *a)
{
	adm_prep(a, LEAP_ADM_AER);
	adm_send(a, aer_done);
}

/* ---- upkeep and shutdown ------------------------------------------------ */

static void ka_done(struct leap_host *h, struct leap__hadm *a,
		    leap_status_t status)
{
	failed(h, status);
}

static void keep_alive(struct leap_timer *timer)
{
	struct leap_host *h = (struct leap_host *)
		((char *)timer - offsetof(struct leap_host, keep_alive));

	/* The last one is still out after half of the controller's patience. */
	if (h->ka.busy) {
		leap__host_fail(h, LEAP_SC_PATH_HOST, -ETIMEDOUT);
		return;
	}
	leap_timer_start(h->pg, &h->keep_alive, h->opts.kato_ms * MS / 2);
	adm_prep(&h->ka, LEAP_ADM_KEEP_ALIVE);
	adm_send(&h->ka, ka_done);
}

void leap__host_start_upkeep(struct leap_host *h)
{
	uint32_t i, n = h->id->aerl + 1u;

	h->keep_alive.run = keep_alive;
	if (h->opts.kato_ms)
		leap_timer_start(h->pg, &h->keep_alive,
				 h->opts.kato_ms * MS / 2);
	for (i = 0; i < n && i < LEAP__HOST_AERS; i++)
		send_aer(&h->aer[i]);
}

void leap__host_stop_upkeep(struct leap_host *h)
{
	leap_timer_stop(h->pg, &h->keep_alive);
}

static void shn_set(struct leap_host *h, struct leap__hadm *a,
		    leap_status_t status)
{
	if (status)
		leap__host_tear_down(h);
	else
		get_csts(h);
}

/* RTD3E, in microseconds; not for ever, whatever it says. */
static uint64_t shutdown_ns(const struct leap_host *h)
{
	uint64_t ns = (uint64_t)leap_from_le32(h->id->rtd3e) * 1000;

	if (ns < SHUTDOWN_MS * MS)
		ns = SHUTDOWN_MS * MS;
	return ns < SHUTDOWN_MAX_MS * MS ? ns : SHUTDOWN_MAX_MS * MS;
}

void leap__host_shut_down(struct leap_host *h)
{
	/* A step is out, such as a log page: no time for manners. */
	if (h->adm.busy) {
		leap__host_tear_down(h);
		return;
	}
	/* Its timer stops with CC.SHN, and there is the deadline. */
	leap__host_stop_upkeep(h);
	h->deadline_ns = leap_pollgroup_now_ns(h->pg) + shutdown_ns(h);
	prop_set(h, LEAP_REG_CC, cc_value(h) | LEAP_CC_EN |
		 LEAP_PUT(LEAP_CC_SHN_NORMAL, LEAP_CC_SHN), shn_set);
}

static void adm_init(struct leap_host *h, struct leap__hadm *a)
{
	a->host = h;
	a->req.done = adm_done;
}

int leap__host_init_alloc(struct leap_host *h)
{
	uint32_t i;

	adm_init(h, &h->adm);
	adm_init(h, &h->ka);
	for (i = 0; i < LEAP__HOST_AERS; i++)
		adm_init(h, &h->aer[i]);
	h->adm.data = aligned_alloc(PAGE, PAGE);
	h->id = aligned_alloc(PAGE, PAGE);
	h->id_nvm = aligned_alloc(PAGE, PAGE);
	h->list = aligned_alloc(PAGE, PAGE);
	if (!h->adm.data || !h->id || !h->id_nvm || !h->list)
		return -ENOMEM;
	memset(h->id, 0, PAGE);
	memset(h->id_nvm, 0, PAGE);
	return 0;
}

void leap__host_init_free(struct leap_host *h)
{
	free(h->adm.data);
	free(h->id);
	free(h->id_nvm);
	free(h->list);
	free(h->ns);
	free(h->scan);
}
