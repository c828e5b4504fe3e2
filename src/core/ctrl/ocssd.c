/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The admin half of open-channel namespaces: geometry or identity, logs of
 * chunks and notices, media feedback, bad blocks. The drive answers
 * (leap_bdev_admin); here are the commands around it. Nothing of it is there
 * for other namespaces, nor for those of another process.
 */
#include "core/ctrl/admin.h"

#include <string.h>

#include <leapio/ocssd.h>

static struct leap_bdev *drive(const struct leap__ctrl *c,
			       const struct leap_cmd *cmd)
{
	struct leap__ns *ns = leap__ns_active(c->ss,
					      leap_from_le32(cmd->sqe.nsid));

	return ns && (ns->desc.caps & LEAP_BDEV_VECTOR) ? ns->bdev : NULL;
}

static uint64_t lba_of(const struct leap_cmd *cmd)
{
	return leap_sqe_slba(&cmd->sqe);
}

static uint32_t lid_of(const struct leap_cmd *cmd)
{
	return LEAP_GET(leap_from_le32(cmd->sqe.cdw10), LEAP_LOG_CDW10_LID);
}

static leap_status_t fill(struct leap__ctrl *c, struct leap_cmd *cmd,
			  uint8_t *buf)
{
	struct leap_bdev_admin a = { .buf = buf, .bytes = cmd->data_bytes };
	struct leap_bdev *bdev = drive(c, cmd);

	/* It may have gone while there was no room for the answer. */
	if (!bdev)
		return LEAP__DNR(LEAP_SC_INVALID_NS);
	a.offset = lba_of(cmd);
	switch (cmd->sqe.opc) {
	case LEAP_OCSSD_ADM_GEOMETRY:
		a.op = LEAP_BDEV_GEOMETRY;
		break;
	case LEAP_OCSSD_ADM_L2P:
		a.op = LEAP_BDEV_L2P;
		break;
	case LEAP_OCSSD_ADM_GET_BAD:
		a.op = LEAP_BDEV_GET_BAD;
		break;
	default:	/* Get Log Page */
		a.op = lid_of(cmd) == LEAP_OCSSD_LID_CHUNKS ?
		       LEAP_BDEV_CHUNKS : LEAP_BDEV_NOTICES;
		a.offset = (uint64_t)leap_from_le32(cmd->sqe.cdw13) << 32 |
			   leap_from_le32(cmd->sqe.cdw12);
	}
	return leap_bdev_admin(bdev, &a);
}

static leap_status_t set_bad(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t cdw12 = leap_from_le32(cmd->sqe.cdw12);
	uint32_t nr = (cdw12 & 0xffff) + 1, i;
	leap_le64 list[LEAP_OCSSD_MAX_ADDRS];
	struct leap_bdev_admin a = { .op = LEAP_BDEV_SET_BAD };
	leap_status_t status = 0;

	if (nr > LEAP_OCSSD_MAX_ADDRS)
		return LEAP__DNR(LEAP_SC_INVALID_FIELD);
	list[0] = leap_to_le64(lba_of(cmd));
	if (nr > 1 && (!c->front || leap__guest_copy_in(cmd->vqp, list,
				(leap_gpa_t){ lba_of(cmd) }, nr * 8)))
		return LEAP__DNR(LEAP_SC_DATA_TRANSFER);
	for (i = 0; i < nr && !status; i++) {
		a.offset = leap_from_le64(list[i]);
		a.value = cdw12 >> 16 & 0xff;
		status = leap_bdev_admin(drive(c, cmd), &a);
	}
	return status;
}

int leap__ocssd_admin(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	uint32_t nlb = leap_from_le32(cmd->sqe.cdw12);
	leap_status_t status;

	if (!drive(c, cmd))
		return 0;
	switch (cmd->sqe.opc) {
	case LEAP_OCSSD_ADM_GEOMETRY:
		leap__admin_data(cmd, 4096, fill);
		return 1;
	case LEAP_OCSSD_ADM_GET_BAD:
		/* Its length is what the unit's blocks take: one page. */
		leap__admin_data(cmd, 4096, fill);
		return 1;
	case LEAP_OCSSD_ADM_L2P:
		if (!nlb || nlb > 4096) {
			leap__admin_fail(c, cmd,
					 LEAP__DNR(LEAP_SC_INVALID_FIELD));
			return 1;
		}
		leap__admin_data(cmd, nlb * 8, fill);
		return 1;
	case LEAP_OCSSD_ADM_SET_BAD:
		status = set_bad(c, cmd);
		if (status)
			leap__admin_fail(c, cmd, status);
		else
			leap_cmd_complete(cmd, 0);
		return 1;
	default:
		return 0;
	}
}

int leap__ocssd_log(struct leap__ctrl *c, struct leap_cmd *cmd, uint32_t len)
{
	if (!drive(c, cmd) || (lid_of(cmd) != LEAP_OCSSD_LID_CHUNKS &&
			       lid_of(cmd) != LEAP_OCSSD_LID_NOTICES))
		return 0;
	leap__admin_data(cmd, len, fill);
	return 1;
}

int leap__ocssd_feature(struct leap__ctrl *c, struct leap_cmd *cmd)
{
	struct leap_bdev_admin a = {
		.op = cmd->sqe.opc == LEAP_ADM_SET_FEATURES ?
		      LEAP_BDEV_SET_FEEDBACK : LEAP_BDEV_GET_FEEDBACK,
		.value = leap_from_le32(cmd->sqe.cdw11),
	};
	leap_status_t status;

	if (!drive(c, cmd) ||
	    (leap_from_le32(cmd->sqe.cdw10) & 0xff) != LEAP_OCSSD_FID_FEEDBACK)
		return 0;
	status = leap_bdev_admin(drive(c, cmd), &a);
	if (a.op == LEAP_BDEV_GET_FEEDBACK)
		cmd->result = a.value;
	if (status)
		leap__admin_fail(c, cmd, status);
	else
		leap_cmd_complete(cmd, 0);
	return 1;
}
