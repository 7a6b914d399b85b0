/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/store_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct posix_file {
	struct store_file file;
	int fd;
	struct map_faults faults;
};

static int posix_fd(struct store_file *file)
{
	return ((struct posix_file *)file)->fd;
}

static ssize_t posix_read(struct store_file *file, void *buf, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k =
		        pread(posix_fd(file), (char *)buf + done, n - done, (off_t)(offset + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

static int posix_write(struct store_file *file, const void *buf, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t k = pwrite(posix_fd(file), (const char *)buf + done, n - done,
		                   (off_t)(offset + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		done += (size_t)k;
	}
	return 0;
}

static int posix_sync(struct store_file *file)
{
	int r;

	/* An interrupted sync has not failed: it has not reported anything yet. */
	do {
		r = fdatasync(posix_fd(file));
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int posix_truncate(struct store_file *file, uint64_t size_bytes)
{
	int r;

	do {
		r = ftruncate(posix_fd(file), (off_t)size_bytes);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int store_io_posix_allocate(int fd, uint64_t offset, size_t n)
{
	int r;

	do {
		r = posix_fallocate(fd, (off_t)offset, (off_t)n);
	} while (r == EINTR);
	return -r;
}

static int posix_allocate(struct store_file *file, uint64_t offset, size_t n)
{
	return store_io_posix_allocate(posix_fd(file), offset, n);
}

static int posix_size(struct store_file *file, uint64_t *ret_size_bytes)
{
	struct stat st;

	if (fstat(posix_fd(file), &st) < 0)
		return -errno;
	*ret_size_bytes = (uint64_t)st.st_size;
	return 0;
}

static int posix_map(struct store_file *file, uint64_t offset, size_t n, bool writable,
                     void **ret_addr)
{
	int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *addr = mmap(NULL, n, protection, MAP_SHARED, posix_fd(file), (off_t)offset);

	if (addr == MAP_FAILED)
		return -errno;
	/* What is written through a mapping is nowhere else: no zeros in its place. */
	if (!writable && map_guard_add(addr, n, &((struct posix_file *)file)->faults) < 0) {
		munmap(addr, n);
		return -ENOMEM;
	}
	*ret_addr = addr;
	return 0;
}

static int posix_unmap(struct store_file *file, void *addr, size_t n)
{
	(void)file;
	map_guard_remove(addr);
	return munmap(addr, n) < 0 ? -errno : 0;
}

static int posix_remap(struct store_file *file, uint64_t offset, size_t n, void *addr)
{
	return map_over(addr, n, MAP_SHARED, posix_fd(file), offset);
}

static const struct map_faults *posix_faults(struct store_file *file)
{
	return &((struct posix_file *)file)->faults;
}

static int posix_lock(struct store_file *file, pid_t *ret_holder)
{
	for (;;) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

		if (fcntl(posix_fd(file), F_SETLK, &lock) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EACCES && errno != EAGAIN)
			return -errno;
		if (fcntl(posix_fd(file), F_GETLK, &lock) < 0)
			return -errno;
		if (lock.l_type == F_UNLCK)
			continue; /* the holder let go between the two calls */
		/* A holder in another pid namespace or on another machine has no pid here. */
		*ret_holder = lock.l_pid > 0 ? lock.l_pid : 0;
		return STORE_LOCKED;
	}
}

static int posix_close(struct store_file *file)
{
	int r = close(posix_fd(file));

	/* The descriptor is gone in either case; trying again could close someone else's. */
	free(file);
	return r < 0 && errno != EINTR ? -errno : 0;
}

static const struct store_file_ops posix_file_ops = {
        .read = posix_read,
        .write = posix_write,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .size = posix_size,
        .map = posix_map,
        .unmap = posix_unmap,
        .remap = posix_remap,
        .faults = posix_faults,
        .lock = posix_lock,
        .close = posix_close,
};

static int open_retry(const char *path, int flags)
{
	int fd;

	/* A FIFO that lies in a file's place must not hold the thread up; files do not care. */
	do {
		fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

static int posix_open(struct store_io *io, const char *path, unsigned flags,
                      struct store_file **ret)
{
	struct posix_file *file;
	int how = O_NOFOLLOW;

	(void)io;
	if (flags & STORE_WRITE)
		how |= flags & STORE_READ ? O_RDWR : O_WRONLY;
	if (flags & STORE_CREATE)
		how |= O_CREAT;
	if (flags & STORE_EXCLUSIVE)
		how |= O_EXCL;
	if (flags & STORE_TRUNCATE)
		how |= O_TRUNC;
	/* Before the file is touched: running out of memory must not leave an empty file. */
	file = malloc(sizeof(*file));
	if (file == NULL)
		return -ENOMEM;
	int fd = open_retry(path, how);
	if (fd < 0) {
		free(file);
		return fd;
	}
	*file = (struct posix_file){.file.ops = &posix_file_ops, .fd = fd};
	*ret = &file->file;
	return 0;
}

static int posix_adopt(struct store_io *io, const char *path, struct store_file *file,
                       struct store_file **ret)
{
	(void)io;
	(void)path;
	*ret = file;
	return 0;
}

static int posix_rename(struct store_io *io, const char *from, const char *to)
{
	(void)io;
	return rename(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(struct store_io *io, const char *path)
{
	(void)io;
	return unlink(path) < 0 ? -errno : 0;
}

static int posix_sync_dir(struct store_io *io, const char *path)
{
	int r;

	(void)io;
	int fd = open_retry(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	do {
		r = fsync(fd);
	} while (r < 0 && errno == EINTR);
	/* Some file systems (9p, CIFS) have no sync for directories; there is nothing to wait for.
	 */
	r = r < 0 && errno != EINVAL ? -errno : 0;
	(void)close(fd); /* nothing was written through it */
	return r;
}

static int posix_make_dir(struct store_io *io, const char *path)
{
	(void)io;
	return mkdir(path, 0700) < 0 ? -errno : 0;
}

static int posix_remove_dir(struct store_io *io, const char *path)
{
	(void)io;
	return rmdir(path) < 0 ? -errno : 0;
}

static int posix_disk_bytes(struct store_io *io, const char *path, uint64_t *ret_bytes)
{
	struct stat st;

	(void)io;
	if (lstat(path, &st) < 0)
		return -errno;
	*ret_bytes = (uint64_t)st.st_blocks * 512; /* the unit of st_blocks */
	return 0;
}

static int posix_list(struct store_io *io, const char *path,
                      int (*each)(void *ctx, const char *name), void *ctx)
{
	int r = 0;

	(void)io;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *dir = fdopendir(fd);
	if (dir == NULL) {
		r = -errno;
		(void)close(fd); /* nothing was read yet */
		return r;
	}
	while (r == 0) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (entry == NULL) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = each(ctx, entry->d_name);
	}
	(void)closedir(dir); /* it was only read */
	return r;
}

static const struct store_io_ops posix_ops = {
        .open = posix_open,
        .adopt = posix_adopt,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .sync_dir = posix_sync_dir,
        .make_dir = posix_make_dir,
        .remove_dir = posix_remove_dir,
        .disk_bytes = posix_disk_bytes,
        .list = posix_list,
};

struct store_io *store_io_posix(void)
{
	static struct store_io io = {.ops = &posix_ops};

	return &io;
}
