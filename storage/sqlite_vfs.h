/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * SQLite on the I/O seam: a VFS for one store_io. Reads, writes, syncs, truncations and removals
 * of database and WAL files go through the table, so that tests see and fail them like any other
 * file's. Locks and shared memory stay with SQLite's own unix VFS, so that the sqlite3 shell can
 * read the same files beside the daemon; for the same reason each file has just the descriptor
 * that the unix VFS opened (closing a second one would drop the process's POSIX locks). A file that
 * is a symbolic link is not opened: SQLITE_CANTOPEN_SYMLINK.
 *
 * Nothing above storage/ includes this.
 */

#include "storage/store_io.h"

/* Registers (once for each io) and returns the VFS's name for sqlite3_open_v2(). The name lives
 * as long as the io. [any, but first call for an io before threads use it] */
int sqlite_vfs_for(struct store_io *io, const char **ret_name);
/* Unregisters, after the last connection over this io was closed. */
void sqlite_vfs_drop(struct store_io *io);

/* Sets the process-wide SQLite configuration: multi-thread mode (the first time, before the first
 * connection) and the soft heap limit. [any] */
int sqlite_setup(size_t soft_heap_limit_bytes);
