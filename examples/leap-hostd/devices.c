/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * devices.c - leap-hostd devices list, bind, release: PCI drives given to this
 * library and back to the kernel
 *
 * The only place where a device changes hands, one command each: nothing else
 * of the programs calls leap_pci_bind.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <leapio/pci.h>
#include <leapio/status.h>

#include <jansson.h>

#include "examples/leap-hostd/hostd.h"
#include "examples/common/table.h"

static const char help[] =
"usage: leap-hostd devices list [--all] [--json] [--numa N] [--driver NAME]\n"
"                               [ADDRESS]\n"
"       leap-hostd devices bind [--owner USER[:GROUP]] ADDRESS...\n"
"       leap-hostd devices release ADDRESS...\n"
"PCI drives, for pcie: URLs. Nothing is bound or released but by these.\n"
"\n"
"  list                  NVMe drives, who has them, what uses them\n"
"    --all               every PCI function\n"
"    --numa N            of that node\n"
"    --driver NAME       that NAME has; \"\" for none\n"
"    --json              as a JSON array\n"
"  bind                  to vfio-pci; refused while it is in use, or another\n"
"                        device of its IOMMU group is\n"
"    --owner USER[:GROUP]  who may drive it without root\n"
"  release               to the driver that had it\n"
"  --state-dir DIR       where bind writes what was (/run/leapio/pci)\n"
"  --root DIR            look there instead of at /\n"
"  --help\n"
"\n"
"Exit: 0 done, 1 a device was refused or is not there, 2 usage.\n";

enum {
	OPT_ALL = 256, OPT_JSON, OPT_NUMA, OPT_DRIVER, OPT_OWNER, OPT_STATE,
	OPT_ROOT, OPT_HELP,
};

static const struct option options[] = {
	{ "all", no_argument, NULL, OPT_ALL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "numa", required_argument, NULL, OPT_NUMA },
	{ "driver", required_argument, NULL, OPT_DRIVER },
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "state-dir", required_argument, NULL, OPT_STATE },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

struct ask {
	struct leap_pci_opts pci;
	int json;
};

static int complain(const char *what)
{
	fprintf(stderr, "leap-hostd: %s\n", what);
	return 2;
}

/* 0, 2 usage; exits for --help. */
static int read_options(struct ask *ask, int argc, char **argv)
{
	const char *why;
	char *end;
	unsigned long node;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case OPT_ALL:
			ask->pci.any_class = 1;
			break;
		case OPT_JSON:
			ask->json = 1;
			break;
		case OPT_NUMA:
			node = strtoul(optarg, &end, 10);
			if (!*optarg || *end || node > 63)
				return complain("--numa: expected 0 to 63");
			ask->pci.numa_mask = 1ull << node;
			break;
		case OPT_DRIVER:
			ask->pci.driver = optarg;
			break;
		case OPT_OWNER:
			ask->pci.set_owner = 1;
			if (config_owner(optarg, &ask->pci.uid, &ask->pci.gid,
					 &why))
				return complain(why);
			break;
		case OPT_STATE:
			ask->pci.state_dir = optarg;
			break;
		case OPT_ROOT:
			ask->pci.root = optarg;
			break;
		case OPT_HELP:
			fputs(help, stdout);
			exit(0);
		default:
			return 2;	/* getopt has said why */
		}
	}
	return 0;
}

/* ---- list ---- */

static void print_row(struct table *t, const struct leap_pci_info *i)
{
	const char *use = i->use;

	if (!*use && !strcmp(i->driver, "vfio-pci") && !i->group_ready)
		use = "its group has other drivers";
	table_cell(t, "%s", i->address);
	table_cell(t, "%04x:%04x", i->vendor, i->device);
	table_cell(t, i->numa_node < 0 ? "-" : "%d", i->numa_node);
	table_cell(t, i->iommu_group < 0 ? "-" : "%d", i->iommu_group);
	table_cell(t, "%s", *i->driver ? i->driver : "-");
	table_cell(t, "%s", *i->previous ? i->previous : "-");
	table_cell(t, "%s", *use ? use : "-");
	table_cell(t, "%s", *i->subnqn ? i->subnqn : i->name);
}

/* A drive says what it likes; JSON is UTF-8. */
static json_t *words(const char *text)
{
	json_t *s = json_string(text);

	return s ? s : json_string("(not UTF-8)");
}

static json_t *object_of(const struct leap_pci_info *i)
{
	return json_pack("{s:s,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:s,s:s,s:b,s:b,"
			 "s:o,s:o,s:o}",
			 "address", i->address, "vendor", i->vendor,
			 "device", i->device, "subvendor", i->subvendor,
			 "subdevice", i->subdevice,
			 "class", (int)i->class_code,
			 "numa_node", (int)i->numa_node,
			 "iommu_group", (int)i->iommu_group,
			 "driver", i->driver, "previous", i->previous,
			 "group_ready", i->group_ready, "in_use", i->in_use,
			 "use", words(i->use), "subnqn", words(i->subnqn),
			 "name", words(i->name));
}

static int list(struct ask *ask)
{
	static const char *const heads[] = {
		"ADDRESS", "ID", "NUMA", "GROUP", "DRIVER", "WAS", "IN USE",
		"SUBSYSTEM",
	};
	struct leap_pci_info info = { .size = sizeof(info) };
	json_t *array = json_array();
	const char *after = NULL;
	struct table t;
	int err, wanted = !!ask->pci.address;

	table_begin(&t, "llrrllll", heads);
	while (!(err = leap_pci_next(&ask->pci, after, &info))) {
		if (ask->json)
			json_array_append_new(array, object_of(&info));
		else
			print_row(&t, &info);
		after = info.address;
	}
	if (err != -ENOENT || (wanted && !after)) {
		if (err != -ENOENT)
			fprintf(stderr, "leap-hostd: %s\n", leap_last_error());
		else
			fprintf(stderr, "leap-hostd: %s: no such %s\n",
				ask->pci.address, ask->pci.any_class ?
				"PCI function" : "NVMe drive (--all has every "
				"PCI function)");
		free(t.cells);
		err = -ENODEV;
	} else if (ask->json) {
		json_dumpf(array, stdout, JSON_INDENT(2));
		printf("\n");
		free(t.cells);
	} else {
		table_end(&t);
	}
	json_decref(array);
	return err == -ENOENT ? 0 : 1;
}

/* ---- bind, release ---- */

static void say_url(const struct ask *ask, const char *address)
{
	struct leap_pci_opts opts = ask->pci;
	struct leap_pci_info info = { .size = sizeof(info) };

	opts.address = address;
	opts.any_class = 1;
	if (leap_pci_next(&opts, NULL, &info))
		return;
	if (*info.subnqn)
		printf("pcie:%s/%s\n", address, info.subnqn);
	if (!info.group_ready)
		printf("%s cannot be used yet: other devices of IOMMU group %d "
		       "have drivers (bind them, too)\n", address,
		       info.iommu_group);
}

static int each(const struct ask *ask, int nr, char **addresses, int bind)
{
	int i, rc = 0;

	if (!nr)
		return complain("expected an address, as 0000:01:00.0");
	for (i = 0; i < nr; i++) {
		if (bind ? leap_pci_bind(addresses[i], &ask->pci) :
			   leap_pci_release(addresses[i], &ask->pci)) {
			fprintf(stderr, "leap-hostd: %s\n", leap_last_error());
			rc = 1;
		} else if (bind) {
			say_url(ask, addresses[i]);
		}
	}
	return rc;
}

int hostd_devices(int argc, char **argv)
{
	struct ask ask = { .pci = LEAP_PCI_OPTS_INIT };
	const char *verb = argc > 1 ? argv[1] : "";
	int rc;

	if (!strcmp(verb, "--help")) {
		fputs(help, stdout);
		return 0;
	}
	if (strcmp(verb, "list") && strcmp(verb, "bind") &&
	    strcmp(verb, "release"))
		return complain("devices: expected list, bind or release");
	rc = read_options(&ask, argc - 1, argv + 1);
	if (rc)
		return rc;
	argc -= 1 + optind;
	argv += 1 + optind;
	if (strcmp(verb, "list"))
		return each(&ask, argc, argv, !strcmp(verb, "bind"));
	if (argc > 1)
		return complain("devices list: expected at most one address");
	ask.pci.address = argc ? argv[0] : NULL;
	return list(&ask);
}
