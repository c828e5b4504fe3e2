/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target over its corpus without a fuzzer: each file, each of its
 * beginnings, and each file with one bit flipped at a time.
 *
 *	replay-X [FOLDER]	the folder is $top_srcdir/tests/fuzz/corpus/X
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX	65536
#define MUTATE_MAX	2048	/* larger files are run as they are */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long nr_runs;

/* A copy of its own, so that a sanitizer sees a read beyond the end. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	nr_runs++;
}

static void run_file(uint8_t *data, size_t size)
{
	size_t i;

	run(data, size);
	if (size > MUTATE_MAX)
		return;
	for (i = 0; i < size; i++)
		run(data, i);
	for (i = 0; i < size * 8; i++) {
		data[i / 8] ^= (uint8_t)(1u << i % 8);
		run(data, size);
		data[i / 8] ^= (uint8_t)(1u << i % 8);
	}
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	const char *top = getenv("top_srcdir");
	static uint8_t data[FILE_MAX];
	char dir[3000], path[4000];
	struct dirent *entry;
	int nr_files = 0;
	FILE *f;
	DIR *d;

	name = strstr(name ? name : argv[0], "replay-");
	if (argc > 1)
		snprintf(dir, sizeof(dir), "%s", argv[1]);
	else
		snprintf(dir, sizeof(dir), "%s/tests/fuzz/corpus/%s",
			 top ? top : ".", name ? name + 7 : "");
	d = opendir(dir);
	if (!d) {
		perror(dir);
		return 1;
	}
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		f = fopen(path, "rb");
		if (!f) {
			perror(path);
			return 1;
		}
		run_file(data, fread(data, 1, sizeof(data), f));
		fclose(f);
		nr_files++;
	}
	closedir(d);
	printf("%d files, %lu inputs\n", nr_files, nr_runs);
	return nr_files ? 0 : 1;
}
