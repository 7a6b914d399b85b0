/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating, opening and checkpointing. The WAL: commits append frames to it, a passive checkpoint
 * copies them into the database, and once all are there and no reader needs them the next commit
 * begins the WAL anew from its start. The file keeps its size then (overwriting is cheaper than
 * growing) unless its room is needed, so its size says little; what counts for the bound is how far
 * the frames reach, and SQLite tells that after each commit (sqlite3_wal_hook).
 */
#include "storage/record_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/record_schema.h"
#include "storage/record_state.h"
#include "storage/record_store_private.h"
#include "storage/sql.h"

#define FILE_NAME "records.db"
/* Measured with 784 dimensions: a single upsert writes 25 KB of WAL (98 KB with pages of 16384);
 * larger pages make bulk inserts up to a third faster, but these are fast enough. */
#define PAGE_BYTES 4096
/* What the pragma calls it. */
#define AUTO_VACUUM_INCREMENTAL 2
/* A checkpoint copies from file to file and needs no page cache worth the name. */
#define MAINTENANCE_CACHE_BYTES (64 << 10)

/* 0: of a dtype that this version does not know. */
static size_t element_bytes(uint32_t dtype)
{
	switch (dtype) {
	case RECORD_DTYPE_F32:
		return 4;
	case RECORD_DTYPE_F16:
		return 2;
	default:
		return 0;
	}
}

static int path_in(const char *dir, char **ret)
{
	return asprintf(ret, "%s/" FILE_NAME, dir) < 0 ? -ENOMEM : 0;
}

/* Creating ------------------------------------------------------------------------------------ */

static int fill(sqlite3 *db, const struct record_spec *spec)
{
	char pragmas[128];
	int r;

	snprintf(pragmas, sizeof(pragmas),
	         "PRAGMA page_size = %d; PRAGMA auto_vacuum = INCREMENTAL;"
	         "PRAGMA journal_mode = WAL;",
	         PAGE_BYTES);
	r = sql_exec(db, pragmas);
	if (r == 0)
		r = sql_configure(db, MAINTENANCE_CACHE_BYTES);
	if (r == 0)
		r = record_schema_migrate(db, 0);
	if (r == 0)
		r = record_schema_write_spec(db, spec);
	if (r == 0)
		r = sql_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	return r;
}

int record_store_create(struct store_io *io, const char *dir, const struct record_spec *spec)
{
	sqlite3 *db;
	char *path;
	int r;

	r = path_in(dir, &path);
	if (r < 0)
		return r;
	r = sql_open(io, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db);
	free(path);
	if (r < 0)
		return r;
	r = fill(db, spec);
	sql_close(db);
	if (r == 0)
		r = store_sync_dir(io, dir);
	return r;
}

/* Opening ------------------------------------------------------------------------------------- */

int record_store_connect(struct record_store *store, int flags, sqlite3 **ret)
{
	sqlite3 *db;
	int r;

	r = sql_open(store->io, store->path, flags, &db);
	if (r < 0)
		return r;
	r = sql_configure(db, store->cache_bytes);
	if (r < 0) {
		sql_close(db);
		return r;
	}
	*ret = db;
	return 0;
}

static int measure_wal_file(struct record_store *store)
{
	sqlite3_file *wal = NULL;
	sqlite3_int64 size = 0;
	int rc;

	rc = sqlite3_file_control(store->maintenance, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
	if (rc == SQLITE_OK && wal && wal->pMethods)
		rc = wal->pMethods->xFileSize(wal, &size);
	if (rc != SQLITE_OK)
		return sql_fail(store->maintenance, rc);
	atomic_store_explicit(&store->wal_file_bytes, (uint64_t)size, memory_order_relaxed);
	return 0;
}

/* What a WAL left by a killed process may hold: the next commit's number replaces it. */
static int measure_wal(struct record_store *store)
{
	int r = measure_wal_file(store);

	if (r == 0)
		atomic_store_explicit(&store->wal_bytes, record_store_wal_file_bytes(store),
		                      memory_order_relaxed);
	return r;
}

int record_store_count_pages(struct record_store *store, sqlite3 *db)
{
	int64_t n_pages, n_free;
	int r = sql_query_int(db, "PRAGMA page_count", &n_pages);

	if (r == 0)
		r = sql_query_int(db, "PRAGMA freelist_count", &n_free);
	if (r < 0)
		return r;
	atomic_store_explicit(&store->used_bytes, (uint64_t)(n_pages - n_free) * store->page_bytes,
	                      memory_order_relaxed);
	atomic_store_explicit(&store->free_bytes, (uint64_t)n_free * store->page_bytes,
	                      memory_order_relaxed);
	return 0;
}

int record_store_take_room(struct record_store *store, sqlite3 *db, int64_t n_pages,
                           uint64_t chunk_bytes)
{
	uint64_t bytes = (uint64_t)n_pages * store->page_bytes;
	sqlite3_int64 size = (sqlite3_int64)((bytes + chunk_bytes - 1) / chunk_bytes * chunk_bytes);
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_SIZE_HINT, &size);

	return rc == SQLITE_OK ? 0 : sql_fail(NULL, rc);
}

static int measure(struct record_store *store)
{
	int64_t mode;
	int r = sql_query_int(store->maintenance, "PRAGMA auto_vacuum", &mode);

	if (r < 0)
		return r;
	store->is_compactable = mode == AUTO_VACUUM_INCREMENTAL;
	r = record_store_count_pages(store, store->maintenance);
	return r == 0 ? measure_wal(store) : r;
}

static int read_layout(struct record_store *store, const struct uuid *uuid)
{
	int64_t page_bytes;
	int r;

	r = record_schema_read_spec(store->maintenance, &store->spec);
	if (r < 0)
		return r;
	if (!uuid_equal(&store->spec.uuid, uuid))
		return RECORD_STORE_FOREIGN;
	if (element_bytes(store->spec.dtype) == 0)
		return sql_fail_because(-EBADMSG, "the collection's dtype is unknown");
	r = sql_query_int(store->maintenance, "PRAGMA page_size", &page_bytes);
	if (r < 0)
		return r;
	store->page_bytes = (uint32_t)page_bytes;
	store->vector_bytes = store->spec.dim * element_bytes(store->spec.dtype);
	return measure(store);
}

static int open_checked(struct record_store *store, const struct uuid *uuid)
{
	int version;
	int r;

	r = sql_open(store->io, store->path, SQLITE_OPEN_READWRITE, &store->maintenance);
	if (r == -ENOENT)
		return RECORD_STORE_MISSING;
	if (r < 0)
		return r;
	r = record_schema_check(store->maintenance, &version);
	if (r != 0)
		return r;
	r = sql_configure(store->maintenance, MAINTENANCE_CACHE_BYTES);
	if (r == 0)
		r = record_schema_migrate(store->maintenance, version);
	if (r == 0)
		r = read_layout(store, uuid);
	return r;
}

int record_store_open(struct store_io *io, const char *dir, const struct uuid *uuid,
                      size_t cache_bytes, struct record_store **ret)
{
	struct record_store *store;
	int r;

	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	store->io = io;
	store->cache_bytes = cache_bytes;
	r = path_in(dir, &store->path);
	if (r == 0 && asprintf(&store->wal_path, "%s-wal", store->path) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = open_checked(store, uuid);
	if (r != 0) {
		record_store_free(store);
		return r;
	}
	*ret = store;
	return 0;
}

struct record_store *record_store_free(struct record_store *store)
{
	if (!store)
		return NULL;
	sql_close(store->maintenance);
	free(store->path);
	free(store->wal_path);
	free(store);
	return NULL;
}

const struct record_spec *record_store_spec(const struct record_store *store)
{
	return &store->spec;
}

const char *record_store_last_error(void)
{
	return sql_last_error();
}

/* Maintenance --------------------------------------------------------------------------------- */

uint64_t record_store_wal_bytes(struct record_store *store)
{
	return atomic_load_explicit(&store->wal_bytes, memory_order_relaxed);
}

uint64_t record_store_wal_file_bytes(struct record_store *store)
{
	return atomic_load_explicit(&store->wal_file_bytes, memory_order_relaxed);
}

void record_store_note_frames(struct record_store *store, uint64_t bytes)
{
	atomic_store_explicit(&store->wal_bytes, bytes, memory_order_relaxed);
	if (bytes > record_store_wal_file_bytes(store))
		atomic_store_explicit(&store->wal_file_bytes, bytes, memory_order_relaxed);
}

/* By its name: the connection that failed would pass on what it still gathers. */
void record_store_look_at_wal(struct record_store *store)
{
	uint64_t bytes;

	if (store->io->ops->disk_bytes(store->io, store->wal_path, &bytes) == 0)
		atomic_store_explicit(&store->wal_file_bytes, bytes, memory_order_relaxed);
}

struct record_space record_store_space(struct record_store *store)
{
	return (struct record_space){
	        .used_bytes = atomic_load_explicit(&store->used_bytes, memory_order_relaxed),
	        .free_bytes = atomic_load_explicit(&store->free_bytes, memory_order_relaxed),
	        .is_compactable = store->is_compactable,
	};
}

static int checkpoint(struct record_store *store, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(store->maintenance, "main", mode, NULL, NULL);

	if (rc == SQLITE_OK)
		return 0;
	if ((rc & 0xff) == SQLITE_BUSY)
		return RECORD_STORE_BUSY;
	return sql_fail(store->maintenance, rc);
}

static int move_wal(struct record_store *store)
{
	int64_t n_pages;
	int r = sql_query_int(store->maintenance, "PRAGMA page_count", &n_pages);

	/* One that stops half-way for want of room would have taken what there was, for nothing. */
	if (r == 0)
		r = record_store_take_room(store, store->maintenance, n_pages, 1);
	return r == 0 ? checkpoint(store, SQLITE_CHECKPOINT_PASSIVE) : r;
}

static int begin_wal_anew(struct record_store *store)
{
	uint64_t before = record_store_wal_bytes(store);
	char pragma[40];
	/* It keeps writers out while it runs, so the passive one does most of its work before. */
	int r = move_wal(store);

	if (r != 0)
		return r;
	sqlite3_busy_timeout(store->maintenance, 0);
	r = checkpoint(store, SQLITE_CHECKPOINT_RESTART);
	/* Unless a commit got in between, whose own number is the newer one. */
	if (r != 0)
		return r;
	atomic_compare_exchange_strong_explicit(&store->wal_bytes, &before, 0, memory_order_relaxed,
	                                        memory_order_relaxed);
	/* The old frames stay valid, and a start after a kill would read them all, until a commit
	 * has begun the WAL anew: make that commit, of nothing new. SQLite writes no row that is
	 * what it was, but it does write this. */
	snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %d", RECORD_STORE_SCHEMA_VERSION);
	return sql_exec(store->maintenance, pragma);
}

int record_store_checkpoint(struct record_store *store, bool restart)
{
	int r = restart ? begin_wal_anew(store) : move_wal(store);

	/* A writer that is at it already begins the WAL anew itself. */
	return r == -EBUSY ? 0 : r;
}

/* To how many bytes this connection's commits cut the file, when they begin the WAL anew. */
static int limit_wal(struct record_store *store, uint64_t bytes)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA journal_size_limit = %llu",
	         (unsigned long long)bytes);
	return sql_exec(store->maintenance, pragma);
}

int record_store_cut_wal(struct record_store *store, uint64_t keep_bytes)
{
	int r = limit_wal(store, keep_bytes);
	int r_limit;

	if (r < 0)
		return r;
	r = begin_wal_anew(store);
	r_limit = limit_wal(store, SQL_WAL_KEEP_BYTES);
	if (r == -EBUSY)
		return RECORD_STORE_BUSY;
	if (r == 0)
		r = r_limit;
	if (r == 0)
		r = measure_wal_file(store);
	/* SQLite goes on when it could not be cut. */
	if (r == 0 && record_store_wal_file_bytes(store) > keep_bytes)
		r = sql_fail_because(-EIO, "the write-ahead log could not be cut");
	return r;
}

void record_store_keep_wal(struct record_store *store)
{
	sqlite3_db_config(store->maintenance, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static int count_live(sqlite3 *db, uint64_t *ret_bytes)
{
	struct record_store_state state;
	int64_t n_pages, n_free, page_bytes;
	uint64_t n_rows;
	int version;
	int r = record_schema_check(db, &version);

	if (r == 0)
		r = record_state_read(db, &state);
	if (r == 0)
		r = sql_query_int(db, "PRAGMA page_count", &n_pages);
	if (r == 0)
		r = sql_query_int(db, "PRAGMA freelist_count", &n_free);
	if (r == 0)
		r = sql_query_int(db, "PRAGMA page_size", &page_bytes);
	if (r != 0)
		return r;
	n_rows = state.n_live + state.n_retired;
	*ret_bytes = (uint64_t)((n_pages - n_free) * page_bytes);
	if (n_rows > 0)
		*ret_bytes = (uint64_t)((double)*ret_bytes * (double)state.n_live / (double)n_rows);
	return 0;
}

int record_store_live_bytes(struct store_io *io, const char *dir, uint64_t *ret_bytes)
{
	sqlite3 *db;
	char *path;
	int r = path_in(dir, &path);

	if (r < 0)
		return r;
	r = sql_open(io, path, SQLITE_OPEN_READWRITE, &db);
	free(path);
	if (r < 0)
		return r == -ENOENT ? RECORD_STORE_MISSING : r;
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	r = count_live(db, ret_bytes);
	sql_close(db);
	return r;
}
