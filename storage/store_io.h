/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The seam between Kith and the file system. Every file operation of ours goes through one of the
 * two tables below, SQLite's too (its VFS, see sqlite_vfs.h, opens its files through `adopt`), so
 * that a test can record, fail or tear any of them by swapping the table.
 *
 * Invariants: a write is whole or an error; a read is short only at the end of the file; nothing
 * here retries a failed sync. Offsets and sizes are bytes. Errors are -errno.
 *
 * Threads: a table and its files may be used from any thread; one file by one thread at a time,
 * except read() and map(), which may run beside anything.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "storage/map_guard.h"

struct store_io;
struct store_file;

enum store_open_flags {
	STORE_READ = 1 << 0,
	STORE_WRITE = 1 << 1,
	STORE_CREATE = 1 << 2,    /* create it with mode 0600 when it is missing */
	STORE_EXCLUSIVE = 1 << 3, /* with STORE_CREATE: -EEXIST when it is there */
	STORE_TRUNCATE = 1 << 4,
};

/* Outcomes. */
enum {
	STORE_LOCKED = 1, /* lock(): another process holds it */
};

struct store_file_ops {
	/* Reads up to n bytes at offset; returns how many, fewer than n only at the end of the
	 * file. */
	ssize_t (*read)(struct store_file *file, void *buf, size_t n, uint64_t offset);
	int (*write)(struct store_file *file, const void *buf, size_t n, uint64_t offset);
	/* Makes all writes before it durable (fdatasync). */
	int (*sync)(struct store_file *file);
	/* Sets the size; growth reads as zeros and takes no space until written. */
	int (*truncate)(struct store_file *file, uint64_t size_bytes);
	/* Makes sure that [offset, offset + n) is there and has its place on the disk, so that
	 * writing it through a mapping cannot fail for want of that. -ENOSPC. What was not there
	 * reads as zeros. */
	int (*allocate)(struct store_file *file, uint64_t offset, size_t n);
	int (*size)(struct store_file *file, uint64_t *ret_size_bytes);
	/* Maps [offset, offset + n), page-aligned, shared; beyond the end of the file is allowed
	 * but must not be touched before the file has grown. Writable only when asked. */
	int (*map)(struct store_file *file, uint64_t offset, size_t n, bool writable,
	           void **ret_addr);
	int (*unmap)(struct store_file *file, void *addr, size_t n);
	/* Maps what was mapped there again, over pages that were gone, while others read it. */
	int (*remap)(struct store_file *file, uint64_t offset, size_t n, void *addr);
	/* Counts the pages of its read-only mappings that were gone when they were touched and read
	 * as zeros (map_guard.h). Valid until close. NULL: nobody counts. */
	const struct map_faults *(*faults)(struct store_file *file);
	/* Takes an exclusive advisory lock for this process until close. STORE_LOCKED with the
	 * holder's pid (0 when unknown) when another process has it. It is a POSIX record lock:
	 * one process never conflicts with itself, and closing any file of its that is open on
	 * the same path drops the lock. */
	int (*lock)(struct store_file *file, pid_t *ret_holder);
	/* Closes and frees the file, also when it returns an error. */
	int (*close)(struct store_file *file);
};

/* Embedded first in each implementation's own struct. */
struct store_file {
	const struct store_file_ops *ops;
};

struct store_io_ops {
	/* -ELOOP when the last component is a symbolic link. */
	int (*open)(struct store_io *io, const char *path, unsigned flags, struct store_file **ret);
	/* Takes an open file of another implementation (SQLite's own) into this table: the result
	 * stands for it from now on. The POSIX form returns the file itself. */
	int (*adopt)(struct store_io *io, const char *path, struct store_file *file,
	             struct store_file **ret);
	int (*rename)(struct store_io *io, const char *from, const char *to);
	int (*unlink)(struct store_io *io, const char *path);
	/* Makes creations, renames and removals inside the directory durable. */
	int (*sync_dir)(struct store_io *io, const char *path);
	/* Creates one directory with mode 0700; -EEXIST when it is there. */
	int (*make_dir)(struct store_io *io, const char *path);
	int (*remove_dir)(struct store_io *io, const char *path);
	/* What the file takes on the disk, holes counted out; it is not opened, nor followed when
	 * it is a symbolic link. */
	int (*disk_bytes)(struct store_io *io, const char *path, uint64_t *ret_bytes);
	/* Calls each(ctx, name) for every entry but "." and ".."; stops at the first non-zero
	 * result and returns it. */
	int (*list)(struct store_io *io, const char *path, int (*each)(void *ctx, const char *name),
	            void *ctx);
};

struct store_io {
	const struct store_io_ops *ops;
};

/* The POSIX form. One for the process, needs no release. */
struct store_io *store_io_posix(void);
/* Room on the disk for those bytes of an open file, as store_allocate() of its own files. */
int store_io_posix_allocate(int fd, uint64_t offset, size_t n);

/* Shorthands over the tables. close accepts NULL. Who does not look at what one returned says why;
 * that of a close only matters for what was written since the last sync. */
int store_open(struct store_io *io, const char *path, unsigned flags, struct store_file **ret);
ssize_t store_read(struct store_file *file, void *buf, size_t n, uint64_t offset);
int store_write(struct store_file *file, const void *buf, size_t n, uint64_t offset);
int store_sync(struct store_file *file);
int store_truncate(struct store_file *file, uint64_t size_bytes);
int store_allocate(struct store_file *file, uint64_t offset, size_t n);
int store_size(struct store_file *file, uint64_t *ret_size_bytes);
int store_map(struct store_file *file, uint64_t offset, size_t n, bool writable, void **ret_addr);
int store_unmap(struct store_file *file, void *addr, size_t n);
int store_remap(struct store_file *file, uint64_t offset, size_t n, void *addr);
/* Never NULL. */
const struct map_faults *store_faults(struct store_file *file);
int store_lock(struct store_file *file, pid_t *ret_holder);
int store_close(struct store_file *file);
int store_rename(struct store_io *io, const char *from, const char *to);
int store_unlink(struct store_io *io, const char *path);
int store_sync_dir(struct store_io *io, const char *path);
/* sync_dir() of the directory that path stands in. */
int store_sync_parent(struct store_io *io, const char *path);

/* Creates the directory and its missing parents, mode 0700, durably. Fine when it is there. */
int store_make_dirs(struct store_io *io, const char *path);
/* Removes what is there, durably: a directory with everything in it (files and one level of
 * directories), a file, a link. Symbolic links are removed, not followed. Fine when it is missing.
 */
int store_remove_tree(struct store_io *io, const char *path);
