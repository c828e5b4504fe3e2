/* SPDX-License-Identifier: BSD-3-Clause */
/* src/util/status.c: every code has a name; errno goes there and back. */
#include "unit.h"

#include <leapio/nvme.h>

static void every_name_is_found(void **state)
{
	static const struct {
		leap_status_t code;
		const char *text;
	} some[] = {
		{ 0x000, "Successful Completion" },
		{ 0x001, "Invalid Command Opcode" },
		{ 0x002, "Invalid Field in Command" },
		{ 0x080, "LBA Out of Range" },
		{ 0x089, "Key Exists" },
		{ 0x100, "Completion Queue Invalid" },
		{ 0x191, "Authentication Required" },
		{ 0x1b8, "Zoned Boundary Error" },
		{ 0x1bf, "Invalid Zone State Transition" },
		{ 0x281, "Unrecovered Read Error" },
		{ 0x285, "Compare Failure" },
		{ 0x302, "Asymmetric Access Inaccessible" },
		{ 0x371, "Command Aborted By Host" },
	};
	size_t i;

	for (i = 0; i < COUNT(some); i++)
		assert_string_equal(leap_status_str(some[i].code),
				    some[i].text);
}

static void known_codes_are_many_and_differ(void **state)
{
	const char *seen[2048];
	unsigned code, known = 0, i;

	for (code = 0; code < 2048; code++) {
		const char *text = leap_status_str((leap_status_t)code);

		assert_non_null(text);
		assert_true(strlen(text) > 5);
		if (strstr(text, ", reserved") || strstr(text, "endor "))
			continue;
		for (i = 0; i < known; i++)
			assert_string_not_equal(text, seen[i]);
		seen[known++] = text;
	}
	/* The codes of nvme.h, less the four with two meanings. */
	assert_in_range(known, 110, 140);
}

static void flags_do_not_matter(void **state)
{
	assert_string_equal(leap_status_str(0xf880), "LBA Out of Range");
	assert_string_equal(leap_status_str(LEAP_SC_LBA_RANGE |
					    LEAP_STATUS_DNR),
			    "LBA Out of Range");
}

static void unknown_codes_name_their_range(void **state)
{
	assert_string_equal(leap_status_str(0x017),
			    "Generic Command Status, reserved");
	assert_string_equal(leap_status_str(0x1c0),
			    "Command Specific Status, vendor specific");
	assert_string_equal(leap_status_str(0x7ff), "Vendor Specific Status");
	assert_string_equal(leap_status_str(0x430),
			    "Status Code Type 4h, reserved");
}

static void errno_goes_there_and_back(void **state)
{
	static const int errs[] = {
		-EINVAL, -EOPNOTSUPP, -ERANGE, -ENOSPC, -EROFS, -EACCES,
		-EPERM, -ECANCELED, -EFAULT, -EBADE, -EILSEQ, -ENODATA,
		-ENODEV, -EAGAIN, -ENOTCONN, -ENOLINK, -EIO,
	};
	size_t i;

	for (i = 0; i < COUNT(errs); i++)
		assert_int_equal(leap_status_to_errno(
					 leap_status_from_errno(errs[i])),
				 errs[i]);
	assert_int_equal(leap_status_from_errno(0), LEAP_SC_SUCCESS);
	assert_int_equal(leap_status_to_errno(LEAP_SC_SUCCESS), 0);
	assert_int_equal(leap_status_to_errno(LEAP_STATUS_DNR), 0);
}

static void statuses_of_the_contract(void **state)
{
	assert_int_equal(LEAP_STATUS_CODE(leap_status_from_errno(-ENOSPC)),
			 LEAP_SC_CAPACITY_EXCEEDED);
	assert_int_equal(leap_status_from_errno(-EIO), LEAP_SC_INTERNAL);
	assert_int_equal(leap_status_from_errno(-12345), LEAP_SC_INTERNAL);
	assert_int_equal(leap_status_from_errno(EINVAL), LEAP_SC_INTERNAL);
	assert_int_equal(leap_status_from_errno(-ETIMEDOUT),
			 LEAP_SC_TRANSIENT_TRANSPORT);
	assert_true(leap_status_from_errno(-EINVAL) & LEAP_STATUS_DNR);
	assert_false(leap_status_from_errno(-EAGAIN) & LEAP_STATUS_DNR);
}

static void every_status_has_an_errno(void **state)
{
	unsigned code;
	int err;

	for (code = 1; code < 2048; code++) {
		err = leap_status_to_errno((leap_status_t)code);
		assert_true(err < 0 && err > -4096);
	}
	assert_int_equal(leap_status_to_errno(LEAP_SC_ANA_TRANSITION),
			 -ENOLINK);
	assert_int_equal(leap_status_to_errno(LEAP_SC_WRITE_FAULT), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_is_found),
		cmocka_unit_test(known_codes_are_many_and_differ),
		cmocka_unit_test(flags_do_not_matter),
		cmocka_unit_test(unknown_codes_name_their_range),
		cmocka_unit_test(errno_goes_there_and_back),
		cmocka_unit_test(statuses_of_the_contract),
		cmocka_unit_test(every_status_has_an_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
