/* SPDX-License-Identifier: BSD-3-Clause */
/* FLUSH and FUA; the cases are in durable.c. */
#include "sim-test.h"

int main(int argc, char **argv)
{
	return sim_main(argc, argv, durable_cases);
}
