/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/store_io.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

int store_open(struct store_io *io, const char *path, unsigned flags, struct store_file **ret)
{
	return io->ops->open(io, path, flags, ret);
}

ssize_t store_read(struct store_file *file, void *buf, size_t n, uint64_t offset)
{
	return file->ops->read(file, buf, n, offset);
}

int store_write(struct store_file *file, const void *buf, size_t n, uint64_t offset)
{
	return file->ops->write(file, buf, n, offset);
}

int store_sync(struct store_file *file)
{
	return file->ops->sync(file);
}

int store_truncate(struct store_file *file, uint64_t size_bytes)
{
	return file->ops->truncate(file, size_bytes);
}

int store_allocate(struct store_file *file, uint64_t offset, size_t n)
{
	return file->ops->allocate(file, offset, n);
}

int store_size(struct store_file *file, uint64_t *ret_size_bytes)
{
	return file->ops->size(file, ret_size_bytes);
}

int store_map(struct store_file *file, uint64_t offset, size_t n, bool writable, void **ret_addr)
{
	return file->ops->map(file, offset, n, writable, ret_addr);
}

int store_unmap(struct store_file *file, void *addr, size_t n)
{
	return file->ops->unmap(file, addr, n);
}

int store_remap(struct store_file *file, uint64_t offset, size_t n, void *addr)
{
	return file->ops->remap(file, offset, n, addr);
}

const struct map_faults *store_faults(struct store_file *file)
{
	static const struct map_faults none;

	return file->ops->faults ? file->ops->faults(file) : &none;
}

int store_lock(struct store_file *file, pid_t *ret_holder)
{
	return file->ops->lock(file, ret_holder);
}

int store_close(struct store_file *file)
{
	return file != NULL ? file->ops->close(file) : 0;
}

int store_rename(struct store_io *io, const char *from, const char *to)
{
	return io->ops->rename(io, from, to);
}

int store_unlink(struct store_io *io, const char *path)
{
	return io->ops->unlink(io, path);
}

int store_sync_dir(struct store_io *io, const char *path)
{
	return io->ops->sync_dir(io, path);
}

int store_sync_parent(struct store_io *io, const char *path)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;

	if (!slash)
		return store_sync_dir(io, ".");
	if (n >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, n);
	parent[n] = '\0';
	return store_sync_dir(io, parent);
}

/* Makes one directory, and its name durable in its parent. One that is there and is_own may have
 * been made by a process that was killed before it could do so. */
static int make_durable_dir(struct store_io *io, const char *path, bool is_own)
{
	int r = io->ops->make_dir(io, path);
	bool existed = r == -EEXIST;

	if (r < 0 && !existed)
		return r;
	if (existed && !is_own)
		return 0;
	r = store_sync_parent(io, path);
	return existed && r == -EACCES ? 0 : r; /* somebody else's parent, who made it */
}

int store_make_dirs(struct store_io *io, const char *path)
{
	char prefix[PATH_MAX];
	size_t n = strlen(path);

	if (n == 0)
		return -ENOENT;
	if (n >= sizeof(prefix))
		return -ENAMETOOLONG;
	memcpy(prefix, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if ((prefix[i] != '/' && prefix[i] != '\0') || prefix[i - 1] == '/')
			continue;
		prefix[i] = '\0';
		int r = make_durable_dir(io, prefix, i == n);

		if (r < 0)
			return r;
		prefix[i] = path[i];
	}
	return 0;
}

/* One directory that is being emptied. */
struct removal {
	struct store_io *io;
	const char *path;
	bool has_subdirs; /* whether directories in it are emptied too */
};

static int removal_entry(void *ctx, const char *name);

static int removal_run(struct removal *removal)
{
	int r = removal->io->ops->list(removal->io, removal->path, removal_entry, removal);

	return r < 0 ? r : removal->io->ops->remove_dir(removal->io, removal->path);
}

/* Unlinks first and asks later, so that a symbolic link is removed and never followed. */
static int removal_entry(void *ctx, const char *name)
{
	struct removal *removal = ctx;
	char path[PATH_MAX];

	int n = snprintf(path, sizeof(path), "%s/%s", removal->path, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	int r = store_unlink(removal->io, path);
	/* Linux says EISDIR of a directory, POSIX says EPERM. */
	if (removal->has_subdirs && (r == -EISDIR || r == -EPERM))
		return removal_run(&(struct removal){.io = removal->io, .path = path});
	return r;
}

int store_remove_tree(struct store_io *io, const char *path)
{
	int r = store_unlink(io, path);

	if (r == -EISDIR || r == -EPERM)
		r = removal_run(&(struct removal){.io = io, .path = path, .has_subdirs = true});
	/* One that is missing may have been removed just before a crash, and come back. */
	if (r == 0 || r == -ENOENT)
		r = store_sync_parent(io, path);
	return r == -ENOENT ? 0 : r;
}
