/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each file that SQLite opens by name becomes a chain of three:
 *
 *   struct vfs_file (what SQLite holds)
 *     -> the store_file that io->ops->adopt() gave for `inner` (in the tests the twin's wrapper)
 *     -> inner: a store_file whose table forwards to the unix file in the tail of vfs_file
 *
 * so that reads, writes, syncs, truncations and sizes pass the seam and still end in the one
 * descriptor that SQLite opened. Locks, shared memory and file controls go straight to the unix
 * file: they are about other processes, not about what is on the disk. Temporary files have no
 * name and nothing durable in them, so they are the unix VFS's own.
 *
 * A file that is a symbolic link is not opened, as nowhere at the seam; the directories above it
 * may be. (SQLITE_OPEN_NOFOLLOW refuses these too: a home directory behind a link.)
 *
 * SQLite writes a commit to the WAL as two small writes a frame, one behind the other. They are
 * gathered and passed on as few large ones (measured: bulk inserts gain a third, a single upsert
 * 20 us), at the latest when SQLite syncs, reads or asks for the size. Nobody can miss what is
 * still being gathered: other connections look at frames only after they were published in the
 * shared memory, and with synchronous=FULL, which all of ours have, SQLite syncs the WAL before.
 * Rejected: the same for the pages that a checkpoint writes to the database. One that a reader, or
 * a commit beside it, keeps from copying all frames publishes what it copied without a sync; others
 * then read pages that are still being gathered, and find the old ones.
 *
 * Memory mapping (xFetch) is not offered: a mapped read would not be seen by the seam, and a
 * failing disk would kill the process instead of giving an error.
 */
#include "storage/sqlite_vfs.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

/* How much is passed on in one write. Of a write of 128 KiB the unix VFS of SQLite writes nothing
 * (it keeps the lower 17 bits of a size) and calls the disk full: whole pages, below that. */
#define GATHER_BYTES (124 << 10)

/* A file's size is a multiple of this anyway: no page is smaller than that. */
#define CHUNK_BYTES 512

struct vfs {
	sqlite3_vfs base;
	struct store_io *io;
	sqlite3_vfs *unix_vfs;
	struct vfs *next;
	char name[24];
};

struct vfs_file {
	sqlite3_file base;
	struct store_file inner;
	struct store_file *outer;
	/* WAL only: writes not passed on yet, pending_n bytes from pending_offset on. */
	uint8_t *pending;
	size_t pending_n;
	uint64_t pending_offset;
	bool is_wal;
	int fd; /* of the unix file, which owns it; -1: one that SQLite had kept open is used again
	         */
	/* The unix VFS's file, of its szOsFile bytes. SQLite aligns files to 8 bytes. */
	uint64_t unix_file[];
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vfs *registry;
static unsigned n_registered;

static sqlite3_file *unix_file_of(struct vfs_file *file)
{
	return (sqlite3_file *)file->unix_file;
}

static sqlite3_file *unix_of_base(sqlite3_file *base)
{
	return unix_file_of((struct vfs_file *)base);
}

/* Result codes <-> -errno --------------------------------------------------------------------- */

static int errno_of(int rc)
{
	switch (rc) {
	case SQLITE_OK:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR_NOMEM:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* errno is where the unix VFS's xGetLastError looks. */
static int rc_of(int error, int otherwise)
{
	if (error < 0)
		errno = -error;
	switch (error) {
	case 0:
		return SQLITE_OK;
	case -ENOSPC:
	case -EDQUOT:
		return SQLITE_FULL;
	case -ENOMEM:
		return SQLITE_IOERR_NOMEM;
	default:
		return otherwise;
	}
}

/* The unix file as a store_file --------------------------------------------------------------- */

static struct vfs_file *file_of_inner(struct store_file *inner)
{
	return (struct vfs_file *)((char *)inner - offsetof(struct vfs_file, inner));
}

/* SQLite's way of allocating, where it was built without posix_fallocate() as Debian's is, writes
 * a byte into each block: 60,000 writes for 188 MB of vectors, and a checkpoint beside it may have
 * written such a block first. So the descriptor is asked itself. Only where it is not known, the
 * unix file allocates for a hint of its size, when it grows in chunks; it does not tell why it
 * could not. */
static int inner_allocate(struct store_file *inner, uint64_t offset, size_t n)
{
	int fd = file_of_inner(inner)->fd;

	if (fd >= 0)
		return store_io_posix_allocate(fd, offset, n);

	sqlite3_file *file = unix_file_of(file_of_inner(inner));
	sqlite3_int64 size = (sqlite3_int64)(offset + n);
	int chunk = CHUNK_BYTES;
	int rc = file->pMethods->xFileControl(file, SQLITE_FCNTL_CHUNK_SIZE, &chunk);

	if (rc == SQLITE_OK)
		rc = file->pMethods->xFileControl(file, SQLITE_FCNTL_SIZE_HINT, &size);
	return rc == SQLITE_OK ? 0 : -ENOSPC;
}

static int inner_size(struct store_file *inner, uint64_t *ret_size_bytes)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));
	sqlite3_int64 size;
	int rc = file->pMethods->xFileSize(file, &size);

	if (rc != SQLITE_OK)
		return errno_of(rc);
	*ret_size_bytes = (uint64_t)size;
	return 0;
}

static ssize_t inner_read(struct store_file *inner, void *buf, size_t n, uint64_t offset)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));
	uint64_t size;
	int r;

	assert(n <= INT_MAX);
	r = file->pMethods->xRead(file, buf, (int)n, (sqlite3_int64)offset);
	if (r == SQLITE_OK)
		return (ssize_t)n;
	if (r != SQLITE_IOERR_SHORT_READ)
		return errno_of(r);
	/* SQLite fills with zeros and does not tell how much was there. */
	r = inner_size(inner, &size);
	if (r < 0)
		return r;
	if (size <= offset)
		return 0;
	return (ssize_t)(size - offset < n ? size - offset : n);
}

static int inner_write(struct store_file *inner, const void *buf, size_t n, uint64_t offset)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));

	assert(n <= INT_MAX);
	return errno_of(file->pMethods->xWrite(file, buf, (int)n, (sqlite3_int64)offset));
}

static int inner_sync(struct store_file *inner)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));

	/* The unix file also syncs the directory after it created a WAL or a journal. */
	return errno_of(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL));
}

static int inner_truncate(struct store_file *inner, uint64_t size_bytes)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));

	return errno_of(file->pMethods->xTruncate(file, (sqlite3_int64)size_bytes));
}

static int inner_map(struct store_file *inner, uint64_t offset, size_t n, bool writable,
                     void **ret_addr)
{
	(void)inner;
	(void)offset;
	(void)n;
	(void)writable;
	(void)ret_addr;
	return -EOPNOTSUPP;
}

static int inner_unmap(struct store_file *inner, void *addr, size_t n)
{
	(void)inner;
	(void)addr;
	(void)n;
	return -EOPNOTSUPP;
}

static int inner_lock(struct store_file *inner, pid_t *ret_holder)
{
	(void)inner;
	(void)ret_holder;
	return -EOPNOTSUPP;
}

static int inner_close(struct store_file *inner)
{
	sqlite3_file *file = unix_file_of(file_of_inner(inner));

	return errno_of(file->pMethods->xClose(file));
}

static const struct store_file_ops inner_ops = {
        .read = inner_read,
        .write = inner_write,
        .sync = inner_sync,
        .truncate = inner_truncate,
        .allocate = inner_allocate,
        .size = inner_size,
        .map = inner_map,
        .unmap = inner_unmap,
        .lock = inner_lock,
        .close = inner_close,
};

/* What SQLite calls: through the seam --------------------------------------------------------- */

/* Passes on what was gathered. After a failure it is gone, so SQLite must give up the transaction:
 * it does when a write or a sync fails, and for any SQLITE_IOERR, but not always for SQLITE_FULL
 * or SQLITE_NOMEM, so those are not what a read, truncation or size may give for it. */
static int flush(struct vfs_file *file)
{
	size_t n = file->pending_n;

	file->pending_n = 0;
	return n == 0 ? 0 : store_write(file->outer, file->pending, n, file->pending_offset);
}

static int gather(struct vfs_file *file, const void *buf, size_t n, uint64_t offset)
{
	int r;

	if (file->pending_n > 0 && (offset != file->pending_offset + file->pending_n ||
	                            n > GATHER_BYTES - file->pending_n)) {
		r = flush(file);
		if (r < 0)
			return r;
	}
	if (!file->pending && n < GATHER_BYTES)
		file->pending = malloc(GATHER_BYTES);
	if (!file->pending || n > GATHER_BYTES)
		return store_write(file->outer, buf, n, offset);
	if (file->pending_n == 0)
		file->pending_offset = offset;
	memcpy(file->pending + file->pending_n, buf, n);
	file->pending_n += n;
	return 0;
}

static int file_close(sqlite3_file *base)
{
	struct vfs_file *file = (struct vfs_file *)base;
	int r = flush(file);
	int r_close = store_close(file->outer);

	free(file->pending);
	return rc_of(r < 0 ? r : r_close, SQLITE_IOERR_CLOSE);
}

static int file_read(sqlite3_file *base, void *buf, int n, sqlite3_int64 offset)
{
	struct vfs_file *file = (struct vfs_file *)base;
	ssize_t got;

	if (flush(file) < 0)
		return SQLITE_IOERR_READ;
	got = store_read(file->outer, buf, (size_t)n, (uint64_t)offset);
	if (got < 0)
		return rc_of((int)got, SQLITE_IOERR_READ);
	if (got == n)
		return SQLITE_OK;
	memset((char *)buf + got, 0, (size_t)(n - got));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *buf, int n, sqlite3_int64 offset)
{
	struct vfs_file *file = (struct vfs_file *)base;
	int r = file->is_wal ? gather(file, buf, (size_t)n, (uint64_t)offset)
	                     : store_write(file->outer, buf, (size_t)n, (uint64_t)offset);

	return rc_of(r, SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct vfs_file *file = (struct vfs_file *)base;

	if (flush(file) < 0)
		return SQLITE_IOERR_TRUNCATE;
	return rc_of(store_truncate(file->outer, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *base, int flags)
{
	struct vfs_file *file = (struct vfs_file *)base;
	int r = flush(file);

	(void)flags; /* the seam knows one kind, fdatasync */
	if (r == 0)
		r = store_sync(file->outer);
	return rc_of(r, SQLITE_IOERR_FSYNC);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
	struct vfs_file *file = (struct vfs_file *)base;
	uint64_t size;
	int r;

	if (flush(file) < 0)
		return SQLITE_IOERR_FSTAT;
	r = store_size(file->outer, &size);
	if (r < 0)
		return rc_of(r, SQLITE_IOERR_FSTAT);
	*ret_size = (sqlite3_int64)size;
	return SQLITE_OK;
}

/* What SQLite calls: straight to the unix file, but for one file control
 * ------------------------------------------------ */

static int file_lock(sqlite3_file *base, int level)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xLock(file, level);
}

static int file_unlock(sqlite3_file *base, int level)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xUnlock(file, level);
}

static int file_check_reserved_lock(sqlite3_file *base, int *ret)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xCheckReservedLock(file, ret);
}

/* Room for what will be written up to there. It only ever gets longer here: who finds the disk full
 * must not cut off what somebody else made of it meanwhile. */
static int file_grow(sqlite3_file *base, uint64_t to)
{
	struct vfs_file *file = (struct vfs_file *)base;
	uint64_t size;
	int r = store_size(file->outer, &size);

	if (r == 0 && to > size)
		r = store_allocate(file->outer, size, (size_t)(to - size));
	return rc_of(r, SQLITE_IOERR_WRITE);
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
	sqlite3_file *file = unix_of_base(base);

	if (op == SQLITE_FCNTL_SIZE_HINT && !((struct vfs_file *)base)->is_wal)
		return file_grow(base, (uint64_t) * (sqlite3_int64 *)arg);

	return file->pMethods->xFileControl(file, op, arg);
}

static int file_sector_size(sqlite3_file *base)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xSectorSize(file);
}

static int file_device_characteristics(sqlite3_file *base)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xDeviceCharacteristics(file);
}

static int file_shm_map(sqlite3_file *base, int region, int n, int extend, void volatile **ret)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xShmMap(file, region, n, extend, ret);
}

static int file_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xShmLock(file, offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *base)
{
	sqlite3_file *file = unix_of_base(base);

	file->pMethods->xShmBarrier(file);
}

static int file_shm_unmap(sqlite3_file *base, int delete)
{
	sqlite3_file *file = unix_of_base(base);

	return file->pMethods->xShmUnmap(file, delete);
}

static const sqlite3_io_methods file_methods = {
        .iVersion = 2,
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = file_lock,
        .xUnlock = file_unlock,
        .xCheckReservedLock = file_check_reserved_lock,
        .xFileControl = file_control,
        .xSectorSize = file_sector_size,
        .xDeviceCharacteristics = file_device_characteristics,
        .xShmMap = file_shm_map,
        .xShmLock = file_shm_lock,
        .xShmBarrier = file_shm_barrier,
        .xShmUnmap = file_shm_unmap,
};

/* The VFS ------------------------------------------------------------------------------------- */

/* What the unix VFS calls to open a file; it tells nobody the descriptor. Another one cannot be
 * opened beside it, because to close that would drop SQLite's locks. */
typedef int (*open_call)(const char *path, int flags, int mode);
static open_call unix_open;
static _Thread_local int last_opened;

static int note_open(const char *path, int flags, int mode)
{
	last_opened = unix_open(path, flags, mode);
	return last_opened;
}

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *base_file, int flags,
                    int *ret_flags)
{
	struct vfs *vfs = (struct vfs *)base;
	struct vfs_file *file = (struct vfs_file *)base_file;
	sqlite3_file *unix_file = unix_file_of(file);
	int rc;

	if (!path)
		return vfs->unix_vfs->xOpen(vfs->unix_vfs, path, base_file, flags, ret_flags);

	file->base.pMethods = NULL;
	last_opened = -1;
	rc = vfs->unix_vfs->xOpen(vfs->unix_vfs, path, unix_file, flags, ret_flags);
	if (rc != SQLITE_OK)
		return rc;
	file->inner.ops = &inner_ops;
	file->pending = NULL;
	file->pending_n = 0;
	file->is_wal = flags & SQLITE_OPEN_WAL;
	file->fd = last_opened;
	rc = vfs->io->ops->adopt(vfs->io, path, &file->inner, &file->outer);
	if (rc < 0) {
		(void)unix_file->pMethods->xClose(unix_file); /* nothing was written yet */
		return rc_of(rc, SQLITE_CANTOPEN);
	}
	file->base.pMethods = &file_methods;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_dir)
{
	struct vfs *vfs = (struct vfs *)base;
	int r = store_unlink(vfs->io, path);

	if (r == -ENOENT)
		return SQLITE_IOERR_DELETE_NOENT;
	if (r < 0)
		return rc_of(r, SQLITE_IOERR_DELETE);
	return sync_dir ? rc_of(store_sync_parent(vfs->io, path), SQLITE_IOERR_DIR_FSYNC)
	                : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xAccess(unix_vfs, path, flags, ret);
}

/* Whether a path that leads to `full` does so by its last name too, and not only by the directories
 * above it. */
static bool ends_in_link(sqlite3_vfs *unix_vfs, const char *path, const char *full)
{
	const char *slash = strrchr(path, '/');
	const char *full_slash = strrchr(full, '/');
	char parent[PATH_MAX], full_parent[PATH_MAX];
	int rc;

	if (!slash)
		return true;
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	rc = unix_vfs->xFullPathname(unix_vfs, parent, sizeof(full_parent), full_parent);
	if ((rc & 0xff) != SQLITE_OK || !full_slash || strcmp(full_slash, slash) != 0)
		return true;
	return strncmp(full, full_parent, (size_t)(full_slash - full)) != 0 ||
	       strlen(full_parent) != (size_t)(full_slash - full);
}

/* SQLite resolves links here, and opens what this gives without following any. */
static int vfs_full_pathname(sqlite3_vfs *base, const char *path, int n, char *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;
	int rc = unix_vfs->xFullPathname(unix_vfs, path, n, ret);

	if (rc != SQLITE_OK_SYMLINK)
		return rc;
	return ends_in_link(unix_vfs, path, ret) ? SQLITE_CANTOPEN_SYMLINK : SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *base, int n, char *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xRandomness(unix_vfs, n, ret);
}

static int vfs_sleep(sqlite3_vfs *base, int microseconds)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xSleep(unix_vfs, microseconds);
}

static int vfs_current_time(sqlite3_vfs *base, double *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xCurrentTime(unix_vfs, ret);
}

static int vfs_current_time_ms(sqlite3_vfs *base, sqlite3_int64 *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xCurrentTimeInt64(unix_vfs, ret);
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *ret)
{
	sqlite3_vfs *unix_vfs = ((struct vfs *)base)->unix_vfs;

	return unix_vfs->xGetLastError(unix_vfs, n, ret);
}

/* The registry -------------------------------------------------------------------------------- */

static int vfs_new(struct store_io *io, struct vfs **ret)
{
	sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
	struct vfs *vfs;
	int rc;

	if (!unix_vfs)
		return -ENOSYS;
	vfs = calloc(1, sizeof(*vfs));
	if (!vfs)
		return -ENOMEM;
	if (!unix_open) {
		unix_open = (open_call)unix_vfs->xGetSystemCall(unix_vfs, "open");
		unix_vfs->xSetSystemCall(unix_vfs, "open", (sqlite3_syscall_ptr)note_open);
	}
	vfs->io = io;
	vfs->unix_vfs = unix_vfs;
	snprintf(vfs->name, sizeof(vfs->name), "kith-%u", n_registered);
	vfs->base = (sqlite3_vfs){
	        .iVersion = 2,
	        .szOsFile = (int)sizeof(struct vfs_file) + unix_vfs->szOsFile,
	        .mxPathname = unix_vfs->mxPathname,
	        .zName = vfs->name,
	        .xOpen = vfs_open,
	        .xDelete = vfs_delete,
	        .xAccess = vfs_access,
	        .xFullPathname = vfs_full_pathname,
	        .xRandomness = vfs_randomness,
	        .xSleep = vfs_sleep,
	        .xCurrentTime = vfs_current_time,
	        .xCurrentTimeInt64 = vfs_current_time_ms,
	        .xGetLastError = vfs_last_error,
	};
	rc = sqlite3_vfs_register(&vfs->base, 0);
	if (rc != SQLITE_OK) {
		free(vfs);
		return -ENOMEM;
	}
	*ret = vfs;
	return 0;
}

int sqlite_vfs_for(struct store_io *io, const char **ret_name)
{
	struct vfs *vfs;
	int r = 0;

	pthread_mutex_lock(&registry_lock);
	for (vfs = registry; vfs && vfs->io != io; vfs = vfs->next)
		;
	if (!vfs) {
		r = vfs_new(io, &vfs);
		if (r == 0) {
			n_registered++;
			vfs->next = registry;
			registry = vfs;
		}
	}
	if (r == 0)
		*ret_name = vfs->name;
	pthread_mutex_unlock(&registry_lock);
	return r;
}

void sqlite_vfs_drop(struct store_io *io)
{
	struct vfs **at;

	pthread_mutex_lock(&registry_lock);
	for (at = &registry; *at && (*at)->io != io; at = &(*at)->next)
		;
	if (*at) {
		struct vfs *vfs = *at;

		*at = vfs->next;
		sqlite3_vfs_unregister(&vfs->base);
		free(vfs);
	}
	pthread_mutex_unlock(&registry_lock);
}

static int setup_result;

/* SQLite takes these once in a process, before its first use. */
static void setup_once(void)
{
	/* Each connection has one owner at a time, so none needs a mutex. */
	if (sqlite3_config(SQLITE_CONFIG_MULTITHREAD) != SQLITE_OK)
		setup_result = -EBUSY;
	/* What a savepoint needs for its undoing stays in memory; a request's size bounds it. */
	else if (sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1) != SQLITE_OK)
		setup_result = -EBUSY;
	else if (sqlite3_initialize() != SQLITE_OK)
		setup_result = -ENOMEM;
}

int sqlite_setup(size_t soft_heap_limit_bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, setup_once);
	if (setup_result == 0)
		sqlite3_soft_heap_limit64((sqlite3_int64)soft_heap_limit_bytes);
	return setup_result;
}
