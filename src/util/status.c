/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a command status is called, and which errno it is nearest to.
 *
 * Low layer: a table and three lookups. Leaves and transports turn errno into
 * status here and nowhere else, so that the same failure looks the same to a
 * host whichever way its drive is made. Knows the codes of nvme.h, not who
 * produces them.
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>

#include <leapio/nvme.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct name {
	leap_status_t code;
	const char *text;
};

/* Ascending. Base 2.0, "Status Code - Generic Command Status Values" etc. */
static const struct name names[] = {
	{ LEAP_SC_SUCCESS, "Successful Completion" },
	{ LEAP_SC_INVALID_OPCODE, "Invalid Command Opcode" },
	{ LEAP_SC_INVALID_FIELD, "Invalid Field in Command" },
	{ LEAP_SC_CID_CONFLICT, "Command ID Conflict" },
	{ LEAP_SC_DATA_TRANSFER, "Data Transfer Error" },
	{ LEAP_SC_POWER_LOSS,
	  "Commands Aborted due to Power Loss Notification" },
	{ LEAP_SC_INTERNAL, "Internal Error" },
	{ LEAP_SC_ABORT_REQUESTED, "Command Abort Requested" },
	{ LEAP_SC_ABORT_SQ_DELETED, "Command Aborted due to SQ Deletion" },
	{ LEAP_SC_ABORT_FUSED_FAILED,
	  "Command Aborted due to Failed Fused Command" },
	{ LEAP_SC_ABORT_FUSED_MISSING,
	  "Command Aborted due to Missing Fused Command" },
	{ LEAP_SC_INVALID_NS, "Invalid Namespace or Format" },
	{ LEAP_SC_CMD_SEQUENCE, "Command Sequence Error" },
	{ LEAP_SC_SGL_SEGMENT, "Invalid SGL Segment Descriptor" },
	{ LEAP_SC_SGL_COUNT, "Invalid Number of SGL Descriptors" },
	{ LEAP_SC_SGL_DATA_LEN, "Data SGL Length Invalid" },
	{ LEAP_SC_SGL_META_LEN, "Metadata SGL Length Invalid" },
	{ LEAP_SC_SGL_TYPE, "SGL Descriptor Type Invalid" },
	{ LEAP_SC_CMB_USE, "Invalid Use of Controller Memory Buffer" },
	{ LEAP_SC_PRP_OFFSET, "PRP Offset Invalid" },
	{ LEAP_SC_ATOMIC_UNIT, "Atomic Write Unit Exceeded" },
	{ LEAP_SC_OP_DENIED, "Operation Denied" },
	{ LEAP_SC_SGL_OFFSET, "SGL Offset Invalid" },
	{ LEAP_SC_HOSTID_INCONSISTENT, "Host Identifier Inconsistent Format" },
	{ LEAP_SC_KATO_EXPIRED, "Keep Alive Timer Expired" },
	{ LEAP_SC_KATO_INVALID, "Keep Alive Timeout Invalid" },
	{ LEAP_SC_ABORT_PREEMPTED, "Command Aborted due to Preempt and Abort" },
	{ LEAP_SC_SANITIZE_FAILED, "Sanitize Failed" },
	{ LEAP_SC_SANITIZE_IN_PROGRESS, "Sanitize In Progress" },
	{ LEAP_SC_SGL_GRANULARITY, "SGL Data Block Granularity Invalid" },
	{ LEAP_SC_CMB_UNSUPPORTED, "Command Not Supported for Queue in CMB" },
	{ LEAP_SC_NS_WRITE_PROTECTED, "Namespace is Write Protected" },
	{ LEAP_SC_INTERRUPTED, "Command Interrupted" },
	{ LEAP_SC_TRANSIENT_TRANSPORT, "Transient Transport Error" },
	{ LEAP_SC_LOCKDOWN,
	  "Command Prohibited by Command and Feature Lockdown" },
	{ LEAP_SC_MEDIA_NOT_READY, "Admin Command Media Not Ready" },
	{ LEAP_SC_FDP_DISABLED, "FDP Disabled" },
	{ LEAP_SC_PLACEMENT_LIST, "Invalid Placement Handle List" },
	{ LEAP_SC_LBA_RANGE, "LBA Out of Range" },
	{ LEAP_SC_CAPACITY_EXCEEDED, "Capacity Exceeded" },
	{ LEAP_SC_NS_NOT_READY, "Namespace Not Ready" },
	{ LEAP_SC_RESV_CONFLICT, "Reservation Conflict" },
	{ LEAP_SC_FORMAT_IN_PROGRESS, "Format In Progress" },
	{ LEAP_SC_KV_VALUE_SIZE, "Invalid Value Size" },
	{ LEAP_SC_KV_KEY_SIZE, "Invalid Key Size" },
	{ LEAP_SC_KV_NO_KEY, "KV Key Does Not Exist" },
	{ LEAP_SC_KV_UNRECOVERED, "Unrecovered Error" },
	{ LEAP_SC_KV_KEY_EXISTS, "Key Exists" },
	{ LEAP_SC_CQ_INVALID, "Completion Queue Invalid" },
	{ LEAP_SC_QID_INVALID, "Invalid Queue Identifier" },
	{ LEAP_SC_QSIZE_INVALID, "Invalid Queue Size" },
	{ LEAP_SC_ABORT_LIMIT, "Abort Command Limit Exceeded" },
	{ LEAP_SC_AER_LIMIT, "Asynchronous Event Request Limit Exceeded" },
	{ LEAP_SC_FW_SLOT, "Invalid Firmware Slot" },
	{ LEAP_SC_FW_IMAGE, "Invalid Firmware Image" },
	{ LEAP_SC_INT_VECTOR, "Invalid Interrupt Vector" },
	{ LEAP_SC_LOG_PAGE, "Invalid Log Page" },
	{ LEAP_SC_FORMAT_INVALID, "Invalid Format" },
	{ LEAP_SC_FW_CONV_RESET,
	  "Firmware Activation Requires Conventional Reset" },
	{ LEAP_SC_QUEUE_DELETION, "Invalid Queue Deletion" },
	{ LEAP_SC_FEAT_NOT_SAVEABLE, "Feature Identifier Not Saveable" },
	{ LEAP_SC_FEAT_NOT_CHANGEABLE, "Feature Not Changeable" },
	{ LEAP_SC_FEAT_NOT_NS, "Feature Not Namespace Specific" },
	{ LEAP_SC_FW_SUBSYS_RESET,
	  "Firmware Activation Requires NVM Subsystem Reset" },
	{ LEAP_SC_FW_CTRL_RESET,
	  "Firmware Activation Requires Controller Level Reset" },
	{ LEAP_SC_FW_MAX_TIME,
	  "Firmware Activation Requires Maximum Time Violation" },
	{ LEAP_SC_FW_PROHIBITED, "Firmware Activation Prohibited" },
	{ LEAP_SC_OVERLAPPING_RANGE, "Overlapping Range" },
	{ LEAP_SC_NS_NO_CAPACITY, "Namespace Insufficient Capacity" },
	{ LEAP_SC_NSID_UNAVAILABLE, "Namespace Identifier Unavailable" },
	{ LEAP_SC_NS_ATTACHED, "Namespace Already Attached" },
	{ LEAP_SC_NS_PRIVATE, "Namespace Is Private" },
	{ LEAP_SC_NS_NOT_ATTACHED, "Namespace Not Attached" },
	{ LEAP_SC_NS_THIN_UNSUPPORTED, "Thin Provisioning Not Supported" },
	{ LEAP_SC_CTRL_LIST, "Controller List Invalid" },
	{ LEAP_SC_SELF_TEST_RUNNING, "Device Self-test In Progress" },
	{ LEAP_SC_BOOT_PARTITION, "Boot Partition Write Prohibited" },
	{ LEAP_SC_CTRL_ID, "Invalid Controller Identifier" },
	{ LEAP_SC_SECONDARY_STATE, "Invalid Secondary Controller State" },
	{ LEAP_SC_NUM_RESOURCES, "Invalid Number of Controller Resources" },
	{ LEAP_SC_RESOURCE_ID, "Invalid Resource Identifier" },
	{ LEAP_SC_SANITIZE_PMR,
	  "Sanitize Prohibited While Persistent Memory Region is Enabled" },
	{ LEAP_SC_ANA_GROUP_ID, "ANA Group Identifier Invalid" },
	{ LEAP_SC_ANA_ATTACH, "ANA Attach Failed" },
	{ LEAP_SC_POOL_NO_CAPACITY, "Insufficient Capacity" },
	{ LEAP_SC_NS_ATTACH_LIMIT, "Namespace Attachment Limit Exceeded" },
	{ LEAP_SC_PROHIBIT_UNSUPPORTED,
	  "Prohibition of Command Execution Not Supported" },
	{ LEAP_SC_IOCS_UNSUPPORTED, "I/O Command Set Not Supported" },
	{ LEAP_SC_IOCS_NOT_ENABLED, "I/O Command Set Not Enabled" },
	{ LEAP_SC_IOCS_COMBINATION, "I/O Command Set Combination Rejected" },
	{ LEAP_SC_IOCS_INVALID, "Invalid I/O Command Set" },
	{ LEAP_SC_ID_UNAVAILABLE, "Identifier Unavailable" },
	{ LEAP_SC_STREAM_RESOURCE, "Stream Resource Allocation Failed" },
	{ LEAP_SC_CONFLICTING_ATTR,
	  "Conflicting Attributes, or Connect Incompatible Format" },
	{ LEAP_SC_PI_INVALID,
	  "Invalid Protection Information, or Connect Controller Busy" },
	{ LEAP_SC_READ_ONLY_RANGE,
	  "Attempted Write to Read Only Range, or Connect Invalid Parameters" },
	{ LEAP_SC_SIZE_LIMIT,
	  "Command Size Limit Exceeded, or Connect Restart Discovery" },
	{ LEAP_SC_FAB_HOST, "Connect Invalid Host" },
	{ LEAP_SC_FAB_QTYPE, "Invalid Queue Type" },
	{ LEAP_SC_FAB_DISC_RESTART, "Discover Restart" },
	{ LEAP_SC_FAB_AUTH_REQUIRED, "Authentication Required" },
	{ LEAP_SC_ZONE_BOUNDARY, "Zoned Boundary Error" },
	{ LEAP_SC_ZONE_FULL, "Zone Is Full" },
	{ LEAP_SC_ZONE_READ_ONLY, "Zone Is Read Only" },
	{ LEAP_SC_ZONE_OFFLINE, "Zone Is Offline" },
	{ LEAP_SC_ZONE_INVALID_WRITE, "Zone Invalid Write" },
	{ LEAP_SC_ZONE_TOO_MANY_ACTIVE, "Too Many Active Zones" },
	{ LEAP_SC_ZONE_TOO_MANY_OPEN, "Too Many Open Zones" },
	{ LEAP_SC_ZONE_TRANSITION, "Invalid Zone State Transition" },
	{ LEAP_SC_WRITE_FAULT, "Write Fault" },
	{ LEAP_SC_UNRECOVERED_READ, "Unrecovered Read Error" },
	{ LEAP_SC_GUARD_CHECK, "End-to-end Guard Check Error" },
	{ LEAP_SC_APPTAG_CHECK, "End-to-end Application Tag Check Error" },
	{ LEAP_SC_REFTAG_CHECK, "End-to-end Reference Tag Check Error" },
	{ LEAP_SC_COMPARE_FAILED, "Compare Failure" },
	{ LEAP_SC_ACCESS_DENIED, "Access Denied" },
	{ LEAP_SC_DEALLOCATED, "Deallocated or Unwritten Logical Block" },
	{ LEAP_SC_STORAGE_TAG_CHECK, "End-to-end Storage Tag Check Error" },
	{ LEAP_SC_PATH_INTERNAL, "Internal Path Error" },
	{ LEAP_SC_ANA_LOSS, "Asymmetric Access Persistent Loss" },
	{ LEAP_SC_ANA_INACCESSIBLE, "Asymmetric Access Inaccessible" },
	{ LEAP_SC_ANA_TRANSITION, "Asymmetric Access Transition" },
	{ LEAP_SC_PATH_CTRL, "Controller Pathing Error" },
	{ LEAP_SC_PATH_HOST, "Host Pathing Error" },
	{ LEAP_SC_PATH_HOST_ABORTED, "Command Aborted By Host" },
};

/* [SCT][0] reserved, [SCT][1] vendor specific (SC C0h and up). */
static const char *const ranges[8][2] = {
	{ "Generic Command Status, reserved",
	  "Generic Command Status, vendor specific" },
	{ "Command Specific Status, reserved",
	  "Command Specific Status, vendor specific" },
	{ "Media and Data Integrity Error, reserved",
	  "Media and Data Integrity Error, vendor specific" },
	{ "Path Related Status, reserved",
	  "Path Related Status, vendor specific" },
	{ "Status Code Type 4h, reserved", "Status Code Type 4h, reserved" },
	{ "Status Code Type 5h, reserved", "Status Code Type 5h, reserved" },
	{ "Status Code Type 6h, reserved", "Status Code Type 6h, reserved" },
	{ "Vendor Specific Status", "Vendor Specific Status" },
};

const char *leap_status_str(leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);
	size_t low = 0, high = COUNT(names), mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (names[mid].code == code)
			return names[mid].text;
		if (names[mid].code < code)
			low = mid + 1;
		else
			high = mid;
	}
	return ranges[LEAP_STATUS_SCT(code)][LEAP_STATUS_SC(code) >= 0xc0];
}

struct pair {
	int err;
	leap_status_t status;
};

/*
 * The first pair of an errno is what it becomes, the first pair of a code is
 * what that becomes; the rest say which other values join them. DNR stands
 * where the same command would fail the same way again.
 */
static const struct pair pairs[] = {
	{ -EINVAL, LEAP_SC_INVALID_FIELD | LEAP_STATUS_DNR },
	{ -EOPNOTSUPP, LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR },
	{ -ENOSYS, LEAP_SC_INVALID_OPCODE | LEAP_STATUS_DNR },
	{ -ERANGE, LEAP_SC_LBA_RANGE | LEAP_STATUS_DNR },
	{ -ENOSPC, LEAP_SC_CAPACITY_EXCEEDED | LEAP_STATUS_DNR },
	{ -EDQUOT, LEAP_SC_CAPACITY_EXCEEDED | LEAP_STATUS_DNR },
	{ -EFBIG, LEAP_SC_CAPACITY_EXCEEDED | LEAP_STATUS_DNR },
	{ -EROFS, LEAP_SC_NS_WRITE_PROTECTED | LEAP_STATUS_DNR },
	{ -EACCES, LEAP_SC_ACCESS_DENIED | LEAP_STATUS_DNR },
	{ -EPERM, LEAP_SC_OP_DENIED | LEAP_STATUS_DNR },
	{ -ECANCELED, LEAP_SC_ABORT_REQUESTED },
	{ -EFAULT, LEAP_SC_DATA_TRANSFER | LEAP_STATUS_DNR },
	{ -EBADE, LEAP_SC_RESV_CONFLICT | LEAP_STATUS_DNR },
	{ -EILSEQ, LEAP_SC_GUARD_CHECK | LEAP_STATUS_DNR },
	{ -ENODATA, LEAP_SC_UNRECOVERED_READ },
	{ -ENODEV, LEAP_SC_INVALID_NS | LEAP_STATUS_DNR },
	{ -ENXIO, LEAP_SC_INVALID_NS | LEAP_STATUS_DNR },
	{ -EAGAIN, LEAP_SC_INTERRUPTED },
	{ -EBUSY, LEAP_SC_INTERRUPTED },
	{ -EINTR, LEAP_SC_INTERRUPTED },
	{ -ENOMEM, LEAP_SC_INTERRUPTED },
	{ -ENOBUFS, LEAP_SC_INTERRUPTED },
	{ -ENOTCONN, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -ECONNRESET, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -ECONNABORTED, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -ECONNREFUSED, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -EHOSTUNREACH, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -ENETUNREACH, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -ETIMEDOUT, LEAP_SC_TRANSIENT_TRANSPORT },
	{ -EPIPE, LEAP_SC_TRANSIENT_TRANSPORT },
	/* Only in this direction: -EIO is any Internal Error. */
	{ -ECANCELED, LEAP_SC_ABORT_SQ_DELETED },
	{ -ECANCELED, LEAP_SC_ABORT_PREEMPTED },
	{ -ECANCELED, LEAP_SC_PATH_HOST_ABORTED },
	{ -EINVAL, LEAP_SC_SIZE_LIMIT },
	{ -EROFS, LEAP_SC_READ_ONLY_RANGE },
	{ -EILSEQ, LEAP_SC_APPTAG_CHECK },
	{ -EILSEQ, LEAP_SC_REFTAG_CHECK },
	{ -EILSEQ, LEAP_SC_STORAGE_TAG_CHECK },
	{ -EAGAIN, LEAP_SC_NS_NOT_READY },
	{ -EBUSY, LEAP_SC_FORMAT_IN_PROGRESS },
	{ -EBUSY, LEAP_SC_SANITIZE_IN_PROGRESS },
};

int leap_status_to_errno(leap_status_t status)
{
	leap_status_t code = LEAP_STATUS_CODE(status);
	size_t i;

	if (code == LEAP_SC_SUCCESS)
		return 0;
	for (i = 0; i < COUNT(pairs); i++)
		if (LEAP_STATUS_CODE(pairs[i].status) == code)
			return pairs[i].err;
	/* Another path may serve it: what block layers call a lost link. */
	if (LEAP_STATUS_SCT(code) == LEAP_SCT_PATH)
		return -ENOLINK;
	return -EIO;
}

leap_status_t leap_status_from_errno(int err)
{
	size_t i;

	if (!err)
		return LEAP_SC_SUCCESS;
	if (err == -ENOLINK)
		return LEAP_SC_PATH_INTERNAL;
	for (i = 0; i < COUNT(pairs); i++)
		if (pairs[i].err == err)
			return pairs[i].status;
	return LEAP_SC_INTERNAL;
}
