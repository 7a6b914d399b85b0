/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One daemon a directory: a lock file (".lock") in it, held until release. The lock goes with the
 * process, so a crash leaves nothing to clean up. It is between processes only: one process takes
 * it once a directory (see lock() in store_io.h).
 */

#include <sys/types.h>

#include "storage/store_io.h"

struct dir_lock {
	struct store_file *file;
};

/* Outcome: the directory is in use by *ret_holder (0 when its pid cannot be told). */
enum {
	DIR_LOCK_HELD = 1
};

int dir_lock_take(struct dir_lock *lock, struct store_io *io, const char *dir, pid_t *ret_holder);
/* Accepts a zeroed lock. */
void dir_lock_release(struct dir_lock *lock);
