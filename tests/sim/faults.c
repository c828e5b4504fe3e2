/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults in order; the cases are in fault.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, fault_cases);
}
