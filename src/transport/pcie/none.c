/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leapio/pci.h in a build without the pcie transport: says so.
 */
#include "config.h"

#include <errno.h>

#include <leapio/pci.h>

#include "util/err.h"

static int absent(const char *call)
{
	return leap__err(-EOPNOTSUPP, "%s: this build has no pcie transport",
			 call);
}

int leap_pci_next(const struct leap_pci_opts *opts, const char *after,
		  struct leap_pci_info *info)
{
	return absent("leap_pci_next");
}

int leap_pci_bind(const char *address, const struct leap_pci_opts *opts)
{
	return absent("leap_pci_bind");
}

int leap_pci_release(const char *address, const struct leap_pci_opts *opts)
{
	return absent("leap_pci_release");
}
