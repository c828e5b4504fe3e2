/* SPDX-License-Identifier: BSD-3-Clause */
/* Whole worlds by chance; the cases are in random.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, world_cases);
}
