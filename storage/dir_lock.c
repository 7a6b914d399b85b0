/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/dir_lock.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

int dir_lock_take(struct dir_lock *lock, struct store_io *io, const char *dir, pid_t *ret_holder)
{
	struct store_file *file;
	char path[PATH_MAX];

	int n = snprintf(path, sizeof(path), "%s/.lock", dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	int r = store_open(io, path, STORE_READ | STORE_WRITE | STORE_CREATE, &file);
	if (r < 0)
		return r;
	r = store_lock(file, ret_holder);
	if (r != 0) {
		(void)store_close(file); /* nothing is ever written to it */
		return r == STORE_LOCKED ? DIR_LOCK_HELD : r;
	}
	lock->file = file;
	return 0;
}

void dir_lock_release(struct dir_lock *lock)
{
	/* The file stays: removing it would let two daemons lock two files of one name. The lock
	 * goes with the descriptor, whatever close says. */
	(void)store_close(lock->file);
	lock->file = NULL;
}
