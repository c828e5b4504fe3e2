/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory; the cases are in guest.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, guest_cases);
}
