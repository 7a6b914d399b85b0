/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A temporary directory of a test's own, under $TMPDIR or /tmp. Failures abort: a test cannot go
 * on without it.
 */

#include <stddef.h>
#include <stdint.h>

#define SCRATCH_PATH_SIZE 512

struct scratch_dir {
	char path[SCRATCH_PATH_SIZE - 128];
};

void scratch_dir_init(struct scratch_dir *dir);
/* Removes it with everything in it, however deep. */
void scratch_dir_release(struct scratch_dir *dir);
/* Writes "<dir>/<name>" and returns it. */
char *scratch_dir_path(const struct scratch_dir *dir, const char *name,
                       char path[static SCRATCH_PATH_SIZE]);

/* Whole files, for damage and comparison. The bytes are the caller's to free. */
unsigned char *scratch_file_load(const char *path, size_t *ret_n);
void scratch_file_save(const char *path, const void *bytes, size_t n);
/* Without opening it: closing a database beside SQLite would drop SQLite's locks. */
uint64_t scratch_file_size(const char *path);
