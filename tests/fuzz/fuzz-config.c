/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-config.c - any bytes as a config file, or as the text of an option
 *
 * A file that is refused must say where and what was expected; one that is
 * taken must be complete: every section in it reads again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "examples/socp/config.h"

static void must_read(const json_t *array, const struct field *fields)
{
	union {
		struct config_subsystem subsystem;
		struct config_ns ns;
		struct config_listener listener;
	} out;
	struct field_error err;
	const json_t *one;
	size_t i;

	json_array_foreach(array, i, one) {
		if (fields_read(one, fields, &out, &err))
			abort();
	}
}

static void check(struct config *c, int rc)
{
	size_t i;

	if (rc) {
		if (!*c->error)
			abort();
		return;
	}
	if (config_finish(c))
		return;
	must_read(c->subsystems, config_subsystem_fields);
	must_read(c->listeners, config_listener_fields);
	for (i = 0; i < json_array_size(c->subsystems); i++) {
		must_read(json_object_get(json_array_get(c->subsystems, i),
					  "namespaces"), config_ns_fields);
		config_blame_ns(c, (int)i, -1, "text");
		config_blame_ns(c, (int)i, 0, "text");
	}
	config_blame_listener(c, 0, "text");
}

static void as_option(struct config *c, const char *text)
{
	static const char *const names[] = {
		"listen", "vfio-user", "subsystem", "host", "ns", "control",
		"threads", "spin-us", "log-level",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check(c, config_option(c, names[i], text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c;
	char *text;

	if (config_init(&c))
		return 0;
	if (size && data[0] == '-') {
		text = strndup((const char *)data + 1, size - 1);
		if (text)
			as_option(&c, text);
		free(text);
	} else {
		check(&c, config_parse(&c, "fuzz.json", (const char *)data,
				       size));
	}
	config_free(&c);
	return 0;
}
