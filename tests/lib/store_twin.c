/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every operation goes through the same three steps: twin_begin() writes it down and decides its
 * fate, the inner table does it unless it is to fail, twin_end() writes down the result. The
 * mutex is held in the first and the last only, so that operations run beside each other as they
 * would without the twin.
 */

#include "tests/lib/store_twin.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/disk_image.h"
#include "tests/lib/scratch_dir.h"

#define PAGE_BYTES UINT64_C(4096)

struct armed_fault {
	struct store_twin_fault fault;
	uint64_t n_seen; /* matching operations since it was set */
};

struct store_twin {
	struct store_io io;
	struct store_io *inner;
	pthread_mutex_t mutex; /* over all below */
	pthread_cond_t all_ended;
	size_t n_under_way;
	struct store_twin_op **ops;
	size_t n_ops;
	size_t max_ops;
	bool keep_bytes;
	struct armed_fault faults[STORE_TWIN_FAULTS_MAX];
	size_t n_faults;
	uint64_t n_failed;
	uint64_t full_from;   /* which growth finds the disk full; 0: none */
	uint64_t n_growths;   /* since that was set */
	uint64_t given_bytes; /* since it was full */
	size_t n_files;
};

struct twin_file {
	struct store_file file;
	struct store_twin *twin;
	struct store_file *inner;
	char *path;
};

/* An operation under way. */
struct twin_call {
	struct store_twin *twin;
	struct store_twin_op *op;
	int err; /* of the fault that hit it, 0: none */
	size_t torn_bytes;
};

static void *twin_alloc(void *block, size_t n)
{
	block = realloc(block, n);
	if (block == NULL)
		abort();
	return block;
}

static char *twin_strdup(const char *text)
{
	return text != NULL ? strcpy(twin_alloc(NULL, strlen(text) + 1), text) : NULL;
}

static bool twin_matches(const struct store_twin_op *op, enum store_twin_kind kind,
                         const char *path_part)
{
	if (kind != STORE_TWIN_ANY && kind != op->kind)
		return false;
	return path_part == NULL || strstr(op->path, path_part) != NULL ||
	       (op->to != NULL && strstr(op->to, path_part) != NULL);
}

static void twin_decide(struct twin_call *call)
{
	for (size_t i = 0; i < call->twin->n_faults; i++) {
		struct armed_fault *armed = &call->twin->faults[i];
		const struct store_twin_fault *fault = &armed->fault;

		if (!twin_matches(call->op, fault->kind, fault->path_part))
			continue;
		armed->n_seen++;
		if (call->err != 0 || armed->n_seen < fault->nth ||
		    (armed->n_seen > fault->nth && !fault->lasting))
			continue;
		call->err = fault->err;
		call->torn_bytes = armed->n_seen == fault->nth ? fault->torn_bytes : 0;
		call->twin->n_failed++;
	}
}

static struct twin_call twin_begin(struct store_twin *twin, struct store_twin_op op)
{
	struct twin_call call = {.twin = twin, .op = twin_alloc(NULL, sizeof(op))};

	op.path = twin_strdup(op.path);
	op.to = twin_strdup(op.to);
	*call.op = op;
	pthread_mutex_lock(&twin->mutex);
	if (twin->n_ops == twin->max_ops) {
		twin->max_ops = twin->max_ops > 0 ? 2 * twin->max_ops : 64;
		twin->ops = twin_alloc(twin->ops, twin->max_ops * sizeof(*twin->ops));
	}
	twin->ops[twin->n_ops++] = call.op;
	twin->n_under_way++;
	twin_decide(&call);
	pthread_mutex_unlock(&twin->mutex);
	return call;
}

/* Returns what the caller is told: the fault's errno before the inner table's result. */
static int64_t twin_end(const struct twin_call *call, int64_t result)
{
	if (call->err != 0)
		result = -call->err;
	pthread_mutex_lock(&call->twin->mutex);
	call->op->result = result;
	if (--call->twin->n_under_way == 0)
		pthread_cond_broadcast(&call->twin->all_ended);
	pthread_mutex_unlock(&call->twin->mutex);
	return result;
}

static struct twin_call file_begin(struct store_file *file, struct store_twin_op op)
{
	struct twin_file *twin_file = (struct twin_file *)file;

	op.path = twin_file->path;
	return twin_begin(twin_file->twin, op);
}

static struct store_file *file_inner(struct store_file *file)
{
	return ((struct twin_file *)file)->inner;
}

static ssize_t twin_read(struct store_file *file, void *buf, size_t n, uint64_t offset)
{
	struct twin_call call = file_begin(
	        file,
	        (struct store_twin_op){.kind = STORE_TWIN_READ, .offset = offset, .n_bytes = n});

	return twin_end(&call, call.err ? 0 : store_read(file_inner(file), buf, n, offset));
}

static bool is_full(const struct store_twin *twin)
{
	return twin->full_from > 0 && twin->n_growths >= twin->full_from;
}

/* Takes room, unless there is none: then the call fails. */
static void take_room(struct twin_call *call, uint64_t bytes)
{
	struct store_twin *twin = call->twin;

	pthread_mutex_lock(&twin->mutex);
	if (twin->full_from > 0 && bytes > 0) {
		twin->n_growths += !is_full(twin);
		if (is_full(twin) && twin->given_bytes < bytes) {
			call->err = ENOSPC;
			call->torn_bytes = 0;
			twin->n_failed++;
		} else if (is_full(twin)) {
			twin->given_bytes -= bytes;
		}
	}
	pthread_mutex_unlock(&twin->mutex);
}

static void give_room(struct twin_call *call, uint64_t bytes)
{
	pthread_mutex_lock(&call->twin->mutex);
	if (is_full(call->twin))
		call->twin->given_bytes += bytes;
	pthread_mutex_unlock(&call->twin->mutex);
}

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* The file is to reach to `end`; gives what is cut off. */
static void account(struct twin_call *call, struct store_file *file, uint64_t end, bool cuts)
{
	uint64_t size;

	if (call->err != 0 || call->twin->full_from == 0 || store_size(file, &size) < 0)
		return;
	if (end > size)
		take_room(call, whole_pages(end) - whole_pages(size));
	else if (cuts)
		give_room(call, whole_pages(size) - whole_pages(end));
}

/* The name goes, and what it stands for. */
static void account_path(struct twin_call *call, struct store_io *io, const char *path)
{
	uint64_t bytes;

	if (call->err == 0 && call->twin->full_from > 0 &&
	    io->ops->disk_bytes(io, path, &bytes) == 0)
		give_room(call, bytes);
}

static int twin_write(struct store_file *file, const void *buf, size_t n, uint64_t offset)
{
	struct twin_call call = file_begin(
	        file,
	        (struct store_twin_op){.kind = STORE_TWIN_WRITE, .offset = offset, .n_bytes = n});
	size_t n_done = n;
	int r = 0;

	account(&call, file_inner(file), offset + n, false);
	if (call.err != 0)
		n_done = call.torn_bytes < n ? call.torn_bytes : n;
	if (call.err == 0 || n_done > 0)
		r = store_write(file_inner(file), buf, n_done, offset);
	if (r == 0) {
		uint8_t *bytes = NULL;

		pthread_mutex_lock(&call.twin->mutex);
		if (call.twin->keep_bytes)
			bytes = memcpy(twin_alloc(NULL, n_done + 1), buf, n_done);
		call.op->bytes = bytes;
		call.op->n_done = n_done;
		pthread_mutex_unlock(&call.twin->mutex);
	}
	return (int)twin_end(&call, r);
}

static int twin_sync(struct store_file *file)
{
	struct twin_call call = file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_SYNC});

	return (int)twin_end(&call, call.err ? 0 : store_sync(file_inner(file)));
}

static int twin_truncate(struct store_file *file, uint64_t size_bytes)
{
	struct twin_call call = file_begin(
	        file, (struct store_twin_op){.kind = STORE_TWIN_TRUNCATE, .offset = size_bytes});

	account(&call, file_inner(file), size_bytes, true);
	return (int)twin_end(&call, call.err ? 0 : store_truncate(file_inner(file), size_bytes));
}

static int twin_allocate(struct store_file *file, uint64_t offset, size_t n)
{
	struct twin_call call = file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_ALLOCATE,
	                                                                .offset = offset,
	                                                                .n_bytes = n});

	account(&call, file_inner(file), offset + n, false);
	return (int)twin_end(&call, call.err ? 0 : store_allocate(file_inner(file), offset, n));
}

static int twin_size(struct store_file *file, uint64_t *ret_size_bytes)
{
	struct twin_call call = file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_SIZE});

	return (int)twin_end(&call, call.err ? 0 : store_size(file_inner(file), ret_size_bytes));
}

static int twin_map(struct store_file *file, uint64_t offset, size_t n, bool writable,
                    void **ret_addr)
{
	struct twin_call call = file_begin(
	        file,
	        (struct store_twin_op){.kind = STORE_TWIN_MAP, .offset = offset, .n_bytes = n});

	return (int)twin_end(
	        &call, call.err ? 0 : store_map(file_inner(file), offset, n, writable, ret_addr));
}

static int twin_unmap(struct store_file *file, void *addr, size_t n)
{
	struct twin_call call =
	        file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_UNMAP, .n_bytes = n});

	return (int)twin_end(&call, store_unmap(file_inner(file), addr, n));
}

static int twin_remap(struct store_file *file, uint64_t offset, size_t n, void *addr)
{
	struct twin_call call = file_begin(
	        file,
	        (struct store_twin_op){.kind = STORE_TWIN_MAP, .offset = offset, .n_bytes = n});

	return (int)twin_end(&call, call.err ? 0 : store_remap(file_inner(file), offset, n, addr));
}

static const struct map_faults *twin_faults(struct store_file *file)
{
	return store_faults(file_inner(file));
}

static int twin_lock(struct store_file *file, pid_t *ret_holder)
{
	struct twin_call call = file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_LOCK});

	return (int)twin_end(&call, call.err ? 0 : store_lock(file_inner(file), ret_holder));
}

static int twin_close(struct store_file *file)
{
	struct twin_call call = file_begin(file, (struct store_twin_op){.kind = STORE_TWIN_CLOSE});
	struct twin_file *twin_file = (struct twin_file *)file;
	int r = store_close(twin_file->inner);

	pthread_mutex_lock(&call.twin->mutex);
	call.twin->n_files--;
	pthread_mutex_unlock(&call.twin->mutex);
	free(twin_file->path);
	free(twin_file);
	return (int)twin_end(&call, r);
}

static const struct store_file_ops twin_file_ops = {
        .read = twin_read,
        .write = twin_write,
        .sync = twin_sync,
        .truncate = twin_truncate,
        .allocate = twin_allocate,
        .size = twin_size,
        .map = twin_map,
        .unmap = twin_unmap,
        .remap = twin_remap,
        .faults = twin_faults,
        .lock = twin_lock,
        .close = twin_close,
};

static struct store_io *io_inner(struct store_io *io)
{
	return ((struct store_twin *)io)->inner;
}

static struct twin_call io_begin(struct store_io *io, enum store_twin_kind kind, const char *path)
{
	return twin_begin((struct store_twin *)io,
	                  (struct store_twin_op){.kind = kind, .path = path});
}

static struct store_file *twin_wrap(struct store_twin *twin, const char *path,
                                    struct store_file *inner)
{
	struct twin_file *file = twin_alloc(NULL, sizeof(*file));

	*file = (struct twin_file){
	        .file.ops = &twin_file_ops,
	        .twin = twin,
	        .inner = inner,
	        .path = twin_strdup(path),
	};
	pthread_mutex_lock(&twin->mutex);
	twin->n_files++;
	pthread_mutex_unlock(&twin->mutex);
	return &file->file;
}

static int twin_open(struct store_io *io, const char *path, unsigned flags, struct store_file **ret)
{
	struct twin_call call = twin_begin(
	        (struct store_twin *)io,
	        (struct store_twin_op){.kind = STORE_TWIN_OPEN, .path = path, .flags = flags});
	struct store_file *inner;

	if (flags & STORE_TRUNCATE)
		account_path(&call, io_inner(io), path);
	int r = (int)twin_end(&call, call.err ? 0 : store_open(io_inner(io), path, flags, &inner));
	if (r == 0)
		*ret = twin_wrap(call.twin, path, inner);
	return r;
}

static int twin_adopt(struct store_io *io, const char *path, struct store_file *file,
                      struct store_file **ret)
{
	struct twin_call call = io_begin(io, STORE_TWIN_ADOPT, path);
	struct store_io *next = io_inner(io);
	struct store_file *inner;

	int r = (int)twin_end(&call, call.err ? 0 : next->ops->adopt(next, path, file, &inner));
	if (r == 0)
		*ret = twin_wrap(call.twin, path, inner);
	return r;
}

static int twin_rename(struct store_io *io, const char *from, const char *to)
{
	struct twin_call call = twin_begin(
	        (struct store_twin *)io,
	        (struct store_twin_op){.kind = STORE_TWIN_RENAME, .path = from, .to = to});

	account_path(&call, io_inner(io), to);
	return (int)twin_end(&call, call.err ? 0 : store_rename(io_inner(io), from, to));
}

static int twin_unlink(struct store_io *io, const char *path)
{
	struct twin_call call = io_begin(io, STORE_TWIN_UNLINK, path);

	account_path(&call, io_inner(io), path);
	return (int)twin_end(&call, call.err ? 0 : store_unlink(io_inner(io), path));
}

static int twin_sync_dir(struct store_io *io, const char *path)
{
	struct twin_call call = io_begin(io, STORE_TWIN_SYNC_DIR, path);

	return (int)twin_end(&call, call.err ? 0 : store_sync_dir(io_inner(io), path));
}

static int twin_make_dir(struct store_io *io, const char *path)
{
	struct twin_call call = io_begin(io, STORE_TWIN_MAKE_DIR, path);
	struct store_io *inner = io_inner(io);

	return (int)twin_end(&call, call.err ? 0 : inner->ops->make_dir(inner, path));
}

static int twin_remove_dir(struct store_io *io, const char *path)
{
	struct twin_call call = io_begin(io, STORE_TWIN_REMOVE_DIR, path);
	struct store_io *inner = io_inner(io);

	return (int)twin_end(&call, call.err ? 0 : inner->ops->remove_dir(inner, path));
}

/* It changes nothing and fails nothing: no operation. */
static int twin_disk_bytes(struct store_io *io, const char *path, uint64_t *ret_bytes)
{
	struct store_io *inner = io_inner(io);

	return inner->ops->disk_bytes(inner, path, ret_bytes);
}

static int twin_list(struct store_io *io, const char *path,
                     int (*each)(void *ctx, const char *name), void *ctx)
{
	struct twin_call call = io_begin(io, STORE_TWIN_LIST, path);
	struct store_io *inner = io_inner(io);

	return (int)twin_end(&call, call.err ? 0 : inner->ops->list(inner, path, each, ctx));
}

static const struct store_io_ops twin_io_ops = {
        .open = twin_open,
        .adopt = twin_adopt,
        .rename = twin_rename,
        .unlink = twin_unlink,
        .sync_dir = twin_sync_dir,
        .make_dir = twin_make_dir,
        .remove_dir = twin_remove_dir,
        .disk_bytes = twin_disk_bytes,
        .list = twin_list,
};

struct store_twin *store_twin_new(struct store_io *inner)
{
	struct store_twin *twin = twin_alloc(NULL, sizeof(*twin));

	*twin = (struct store_twin){.io.ops = &twin_io_ops, .inner = inner};
	pthread_mutex_init(&twin->mutex, NULL);
	pthread_cond_init(&twin->all_ended, NULL);
	return twin;
}

struct store_twin *store_twin_free(struct store_twin *twin)
{
	if (twin == NULL)
		return NULL;
	assert(twin->n_files == 0);
	store_twin_forget(twin);
	free(twin->ops);
	pthread_cond_destroy(&twin->all_ended);
	pthread_mutex_destroy(&twin->mutex);
	free(twin);
	return NULL;
}

struct store_io *store_twin_io(struct store_twin *twin)
{
	return &twin->io;
}

void store_twin_fail(struct store_twin *twin, struct store_twin_fault fault)
{
	assert(fault.nth > 0 && fault.err > 0);
	pthread_mutex_lock(&twin->mutex);
	assert(twin->n_faults < STORE_TWIN_FAULTS_MAX);
	twin->faults[twin->n_faults++] = (struct armed_fault){.fault = fault};
	pthread_mutex_unlock(&twin->mutex);
}

void store_twin_cut(struct store_twin *twin, uint64_t nth, size_t torn_bytes)
{
	store_twin_fail(twin,
	                (struct store_twin_fault){
	                        .nth = nth, .err = EIO, .lasting = true, .torn_bytes = torn_bytes});
}

void store_twin_fill(struct store_twin *twin, uint64_t nth)
{
	assert(nth > 0);
	pthread_mutex_lock(&twin->mutex);
	twin->full_from = nth;
	twin->n_growths = twin->given_bytes = 0;
	pthread_mutex_unlock(&twin->mutex);
}

bool store_twin_is_full(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	bool full = is_full(twin);
	pthread_mutex_unlock(&twin->mutex);
	return full;
}

uint64_t store_twin_n_growths(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	uint64_t n = twin->n_growths;
	pthread_mutex_unlock(&twin->mutex);
	return n;
}

void store_twin_heal(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	twin->full_from = 0;
	twin->n_faults = 0;
	twin->n_failed = 0;
	pthread_mutex_unlock(&twin->mutex);
}

uint64_t store_twin_n_failed(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	uint64_t n = twin->n_failed;
	pthread_mutex_unlock(&twin->mutex);
	return n;
}

void store_twin_keep_bytes(struct store_twin *twin, bool keep)
{
	pthread_mutex_lock(&twin->mutex);
	twin->keep_bytes = keep;
	pthread_mutex_unlock(&twin->mutex);
}

size_t store_twin_n_ops(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	size_t n = twin->n_ops;
	pthread_mutex_unlock(&twin->mutex);
	return n;
}

const struct store_twin_op *store_twin_op(struct store_twin *twin, size_t idx)
{
	pthread_mutex_lock(&twin->mutex);
	assert(idx < twin->n_ops);
	const struct store_twin_op *op = twin->ops[idx];
	pthread_mutex_unlock(&twin->mutex);
	return op;
}

size_t store_twin_count(struct store_twin *twin, enum store_twin_kind kind, const char *path_part)
{
	size_t n = 0;

	pthread_mutex_lock(&twin->mutex);
	for (size_t i = 0; i < twin->n_ops; i++)
		n += twin_matches(twin->ops[i], kind, path_part);
	pthread_mutex_unlock(&twin->mutex);
	return n;
}

void store_twin_forget(struct store_twin *twin)
{
	pthread_mutex_lock(&twin->mutex);
	while (twin->n_under_way > 0)
		pthread_cond_wait(&twin->all_ended, &twin->mutex);
	for (size_t i = 0; i < twin->n_ops; i++) {
		free((void *)twin->ops[i]->path);
		free((void *)twin->ops[i]->to);
		free((void *)twin->ops[i]->bytes);
		free(twin->ops[i]);
	}
	twin->n_ops = 0;
	pthread_mutex_unlock(&twin->mutex);
}

/* Plays ops [from, to) on path; stops behind a shrinking truncation that did not get there. */
static void disk_play(struct disk_image *disk, struct store_twin *twin, const char *path,
                      size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		const struct store_twin_op *op = twin->ops[i];

		if (strcmp(op->path, path) != 0)
			continue;
		if (op->kind == STORE_TWIN_WRITE) {
			assert(op->bytes != NULL || op->n_done == 0);
			disk_image_write(disk, op->bytes, op->n_done, op->offset);
		} else if (op->kind == STORE_TWIN_TRUNCATE && op->result == 0) {
			if (disk_image_draw(disk))
				disk_image_resize(disk, op->offset);
			else if (op->offset < disk->n)
				return;
		}
	}
}

void store_twin_power_cut(struct store_twin *twin, size_t n_ops, const char *path, const char *to,
                          uint64_t seed)
{
	struct disk_image disk = {0};
	size_t synced = 0;

	pthread_mutex_lock(&twin->mutex);
	assert(n_ops <= twin->n_ops);
	for (size_t i = 0; i < n_ops; i++) {
		const struct store_twin_op *op = twin->ops[i];

		if (op->kind == STORE_TWIN_SYNC && op->result == 0 && strcmp(op->path, path) == 0)
			synced = i;
	}
	disk_play(&disk, twin, path, 0, synced);
	disk.seed = seed | 1;
	disk_play(&disk, twin, path, synced, n_ops);
	pthread_mutex_unlock(&twin->mutex);
	scratch_file_save(to, disk.bytes, disk.n);
	disk_image_release(&disk);
}
