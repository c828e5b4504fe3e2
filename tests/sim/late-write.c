/* SPDX-License-Identifier: BSD-3-Clause */
/* What is left of lost connections; the cases are in late.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, late_cases);
}
