/* SPDX-License-Identifier: BSD-3-Clause */
/* Compare-and-write of several hosts; the cases are in fused.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, fused_cases);
}
