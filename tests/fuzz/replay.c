/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main of a fuzz target in a build without libFuzzer: runs it over files and
 * folders, by default its own corpus in the source tree.
 *
 *	fuzz-x [FILE | FOLDER]...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned int nr_inputs;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL, *exact;
	size_t size = 0, n;

	if (!f) {
		perror(path);
		return 1;
	}
	do {
		data = realloc(data, size + 65536);
		n = fread(data + size, 1, 65536, f);
		size += n;
	} while (n);
	fclose(f);
	/* Exactly as long as it is: tools see a read behind the end. */
	exact = malloc(size ? size : 1);
	memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	nr_inputs++;
	return 0;
}

static int run_path(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char name[4096];
	int bad = 0;

	if (!dir)
		return run_file(path);
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		bad |= run_path(name);
	}
	closedir(dir);
	return bad;
}

int main(int argc, char **argv)
{
	const char *src = getenv("top_srcdir"), *name = strrchr(argv[0], '/');
	char path[4096];
	int i, bad = 0;

	name = name ? name + 1 : argv[0];
	if (!strncmp(name, "lt-", 3))
		name += 3;
	if (argc == 1 && !strncmp(name, "fuzz-", 5)) {
		snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s",
			 src ? src : ".", name + 5);
		bad = run_path(path);
	}
	for (i = 1; i < argc; i++)
		bad |= run_path(argv[i]);
	printf("%s: %u inputs\n", name, nr_inputs);
	return bad || !nr_inputs;
}
