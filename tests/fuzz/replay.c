/* SPDX-License-Identifier: Apache-2.0 */

/* Gives a fuzz target the files named as arguments, and those in the directories named. */

#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static int replay_file(const char *path, size_t n)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(n + 1);
	int r = 0;

	if (file == NULL || data == NULL || fread(data, 1, n, file) != n) {
		fprintf(stderr, "cannot read '%s': %s\n", path, strerror(errno));
		r = 1;
	} else {
		/* A copy of just the size, so that a sanitizer sees a read past the end. */
		uint8_t *exact = realloc(data, n > 0 ? n : 1);

		if (exact != NULL)
			data = exact;
		LLVMFuzzerTestOneInput(data, n);
	}
	free(data);
	if (file != NULL)
		fclose(file);
	return r;
}

static int replay(const char *path, unsigned *n_replayed)
{
	struct stat info;
	struct dirent *entry;
	DIR *directory;
	int r = 0;

	if (stat(path, &info) < 0) {
		fprintf(stderr, "cannot find '%s': %s\n", path, strerror(errno));
		return 1;
	}
	if (!S_ISDIR(info.st_mode)) {
		++*n_replayed;
		return replay_file(path, (size_t)info.st_size);
	}
	directory = opendir(path);
	if (directory == NULL) {
		fprintf(stderr, "cannot open '%s': %s\n", path, strerror(errno));
		return 1;
	}
	while (r == 0 && (entry = readdir(directory)) != NULL) {
		char inside[PATH_MAX];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
		r = replay(inside, n_replayed);
	}
	closedir(directory);
	return r;
}

int main(int argc, char **argv)
{
	unsigned n_replayed = 0;

	for (int i = 1; i < argc; i++) {
		if (replay(argv[i], &n_replayed) != 0)
			return 1;
	}
	printf("%u inputs replayed\n", n_replayed);
	return n_replayed > 0 ? 0 : 1;
}
