/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/scratch_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void scratch_require(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		abort();
	}
}

void scratch_dir_init(struct scratch_dir *dir)
{
	const char *parent = getenv("TMPDIR");

	int n = snprintf(dir->path, sizeof(dir->path), "%s/kith-test-XXXXXX",
	                 parent != NULL ? parent : "/tmp");
	scratch_require(n > 0 && (size_t)n < sizeof(dir->path), "TMPDIR");
	scratch_require(mkdtemp(dir->path) != NULL, dir->path);
}

static int scratch_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void scratch_dir_release(struct scratch_dir *dir)
{
	int r = nftw(dir->path, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);

	scratch_require(r == 0, dir->path);
}

char *scratch_dir_path(const struct scratch_dir *dir, const char *name,
                       char path[static SCRATCH_PATH_SIZE])
{
	int n = snprintf(path, SCRATCH_PATH_SIZE, "%s/%s", dir->path, name);

	scratch_require(n > 0 && n < SCRATCH_PATH_SIZE, name);
	return path;
}

unsigned char *scratch_file_load(const char *path, size_t *ret_n)
{
	struct stat st;
	FILE *file = fopen(path, "rb");

	scratch_require(file != NULL && fstat(fileno(file), &st) == 0, path);
	size_t n = (size_t)st.st_size;
	unsigned char *bytes = malloc(n + 1);
	scratch_require(bytes != NULL && fread(bytes, 1, n, file) == n, path);
	fclose(file);
	*ret_n = n;
	return bytes;
}

void scratch_file_save(const char *path, const void *bytes, size_t n)
{
	FILE *file = fopen(path, "wb");

	scratch_require(file != NULL, path);
	scratch_require(fwrite(bytes, 1, n, file) == n, path);
	scratch_require(fclose(file) == 0, path);
}

uint64_t scratch_file_size(const char *path)
{
	struct stat st;

	scratch_require(stat(path, &st) == 0, path);
	return (uint64_t)st.st_size;
}
