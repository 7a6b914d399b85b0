/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/backup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/long_job.h"
#include "storage/record_copy.h"

#define TMP_SUFFIX ".kith-tmp"
#define BACKUP_PATH_SIZE (LIMIT_PATH_BYTES + sizeof(TMP_SUFFIX))

/* Outcomes. */
enum {
	BACKUP_FAILED = 1, /* backup.error says why */
};

/* One collection of a backup. */
struct backup_item {
	struct catalog_entry entry;
	struct collection *collection; /* backup: a reference until it is copied */
	struct record_copy copy;
};

struct backup {
	struct long_job job;
	char path[BACKUP_PATH_SIZE];
	char tmp[BACKUP_PATH_SIZE]; /* backup: what is written */
	struct backup_item *items;
	uint32_t n, at;
	bool began;    /* the first step is done */
	bool ended;    /* the last one is */
	bool clearing; /* it failed: what was written is removed */
	int clear_error;
	int result;
	struct wire_error error;
};

/* Paths --------------------------------------------------------------------------------------- */

/* A path that the daemon may use: absolute, with a name at its end, nothing to be resolved. */
static bool take_path(struct request *request, struct wire_str given, struct backup *backup)
{
	const char *why = NULL;

	snprintf(backup->path, sizeof(backup->path), "%.*s", (int)given.n, given.data);
	if (given.data[0] != '/')
		why = "is not absolute";
	else if (given.n < 2 || given.data[given.n - 1] == '/')
		why = "has no name at its end";
	else if (strstr(backup->path, "//") || strstr(backup->path, "/./") ||
	         strstr(backup->path, "/../") || strcmp(strrchr(backup->path, '/'), "/..") == 0 ||
	         strcmp(strrchr(backup->path, '/'), "/.") == 0)
		why = "has parts that lead elsewhere ('.', '..', '//')";
	if (why)
		request_finish_refusal(request, WIRE_ERROR_BAD_VALUE, "directory", "'%.200s' %s",
		                       backup->path, why);
	else
		snprintf(backup->tmp, sizeof(backup->tmp), "%.*s" TMP_SUFFIX, (int)LIMIT_PATH_BYTES,
		         backup->path);
	return !why;
}

static int fail(struct backup *backup, enum wire_error_code code, const char *field,
                const char *what, const char *why)
{
	wire_error_set(&backup->error, code, field, "%s '%.120s': %s", what, backup->path, why);
	return BACKUP_FAILED;
}

static int nothing(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 1;
}

/* A file is not opened, not even to see that it is none: it may be one that we hold a lock on, and
 * closing it would let go of that. [worker] */
static int check_directory(struct store_io *io, const char *path)
{
	struct store_file *file;
	int r = io->ops->list(io, path, nothing, NULL);

	if (r >= 0)
		r = store_open(io, path, STORE_READ, &file);
	return r < 0 ? r : store_close(file);
}

/* None of the directories above it may be a symbolic link. [worker] */
static int check_parents(struct backup *backup, struct store_io *io)
{
	char prefix[BACKUP_PATH_SIZE];

	for (const char *slash = strchr(backup->path + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		int r;

		snprintf(prefix, sizeof(prefix), "%.*s", (int)(slash - backup->path), backup->path);
		r = check_directory(io, prefix);
		if (r == -ELOOP)
			return fail(backup, WIRE_ERROR_BAD_VALUE, "directory", "directory",
			            "a part of the path is a symbolic link");
		if (r < 0)
			return fail(backup, WIRE_ERROR_BAD_VALUE, "directory", "directory",
			            strerror(-r));
	}
	return 0;
}

/* Ending -------------------------------------------------------------------------------------- */

static void backup_free(struct backup *backup)
{
	for (uint32_t i = backup->at; i < backup->n; i++) {
		if (backup->items[i].collection)
			collection_unref(backup->items[i].collection);
	}
	free(backup->items);
	free(backup);
}

static void answer(struct backup *backup)
{
	struct request *request = backup->job.request;
	struct copy_row *rows =
	        wire_arena_alloc(&request->arena, (backup->n + 1) * sizeof(struct copy_row));
	struct wire_rows result = {rows, backup->n};

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "answering");
		return;
	}
	for (uint32_t i = 0; i < backup->n; i++) {
		const struct backup_item *item = &backup->items[i];

		rows[i] = (struct copy_row){
		        .name = wire_text(item->entry.name),
		        .records = item->copy.n_records,
		        .seq = item->copy.seq,
		        .size_bytes = item->copy.size_bytes,
		};
	}
	if (request->wire.method == WIRE_METHOD_backup)
		request_result(request, &(struct backup_result){.collections = result});
	else
		request_result(request, &(struct restore_result){.collections = result});
}

/* The answer's words were copied when it is finished. */
static void backup_end(struct backup *backup)
{
	struct request *request = backup->job.request;

	long_job_end(&backup->job);
	if (backup->clear_error)
		log_error("backup: cannot remove '%s', which is of no use: %s", backup->tmp,
		          strerror(-backup->clear_error));
	if (backup->result == 0) {
		answer(backup);
		log_info("%s '%s': %u collections", backup->job.kind->what, backup->path,
		         backup->n);
	} else if (backup->result == BACKUP_FAILED) {
		request_refuse_with(request, &backup->error);
		if (backup->error.code == WIRE_ERROR_DAMAGED ||
		    backup->error.code == WIRE_ERROR_STORAGE_FAILED)
			log_error("%s: %s", backup->job.kind->what, backup->error.message);
	} else {
		request_refuse_errno(request, backup->result, backup->job.kind->what);
	}
	backup_free(backup);
	request_finish(request);
}

/* Copying ------------------------------------------------------------------------------------- */

/* Why a collection could not be copied. [worker] */
static int explain(struct backup *backup, const struct backup_item *item, int r)
{
	bool is_damaged = r == -EBADMSG || r == -ELOOP || r > 0;

	if (r == -ECANCELED || r == -ENOSPC || r == -ENOMEM)
		return r;
	wire_error_set(&backup->error, is_damaged ? WIRE_ERROR_DAMAGED : WIRE_ERROR_STORAGE_FAILED,
	               "collection", "'%s': %s (%s)", item->entry.name,
	               r == RECORD_STORE_NEWER     ? "written by a newer Kith"
	               : r == RECORD_STORE_MISSING ? "its database is missing"
	               : r == RECORD_STORE_FOREIGN ? "its database is not its own"
	               : r == -ELOOP               ? "its database is behind a symbolic link"
	               : is_damaged                ? "its database is damaged; see 'kith verify'"
	                                           : strerror(-r),
	               r < 0 && r != -ELOOP ? record_store_last_error() : "-");
	return BACKUP_FAILED;
}

/* [worker] */
static int begin_directory(struct backup *backup, struct store_io *io)
{
	int r = check_parents(backup, io);

	if (r != 0)
		return r;
	if (reserve_lacks_room(backup->job.request->daemon->reserve))
		return -ENOSPC;
	r = io->ops->list(io, backup->path, nothing, NULL);
	if (r != -ENOENT)
		return fail(backup, WIRE_ERROR_BAD_VALUE, "directory", "directory",
		            r >= 0 || r == -ENOTDIR ? "it is there already" : strerror(-r));
	/* What an earlier backup to the same place left when its daemon was killed. */
	r = store_remove_tree(io, backup->tmp);
	return r == 0 ? io->ops->make_dir(io, backup->tmp) : r;
}

/* [worker] */
static int copy_item(struct backup *backup, struct backup_item *item, struct store_io *io)
{
	char uuid[UUID_TEXT_SIZE], path[COLLECTION_PATH_SIZE];
	int r;

	uuid_format(&item->entry.spec.uuid, uuid);
	snprintf(path, sizeof(path), "%s/%s", backup->tmp, uuid);
	r = io->ops->make_dir(io, path);
	if (r == 0)
		r = record_copy(io, item->collection->data_dir, path, &item->entry.spec,
		                &backup->job.job.cancelled, backup->job.request->daemon->reserve,
		                &item->copy);
	return r == 0 ? 0 : explain(backup, item, r);
}

/* [worker] */
static int write_catalog(struct backup *backup, struct store_io *io)
{
	struct catalog *catalog;
	int r = catalog_open(io, backup->tmp, &catalog);

	if (r != 0)
		return r < 0 ? r : -EBADMSG;
	for (uint32_t i = 0; r == 0 && i < backup->n; i++) {
		r = catalog_add(catalog, &backup->items[i].entry);
		if (r == 0)
			r = catalog_set_state(catalog, &backup->items[i].entry.spec.uuid,
			                      CATALOG_LIVE);
	}
	catalog_close(catalog);
	return r > 0 ? -EBADMSG : r;
}

/* [worker] */
static int end_directory(struct backup *backup, struct store_io *io)
{
	int r = write_catalog(backup, io);

	if (r == 0)
		r = store_sync_dir(io, backup->tmp);
	if (r == 0)
		r = store_rename(io, backup->tmp, backup->path);
	if (r == 0)
		r = store_sync_parent(io, backup->path);
	return r;
}

static void backup_work(struct long_job *job, uint32_t worker)
{
	struct backup *backup = LIST_ELEMENT(job, struct backup, job);
	struct store_io *io = job->request->daemon->io;

	(void)worker;
	if (backup->clearing)
		backup->clear_error = store_remove_tree(io, backup->tmp);
	else if (!backup->began)
		backup->result = begin_directory(backup, io);
	else if (backup->at < backup->n)
		backup->result = copy_item(backup, &backup->items[backup->at], io);
	else
		backup->result = end_directory(backup, io);
}

static void let_go(struct backup *backup)
{
	struct collection *collection = backup->items[backup->at].collection;

	collection_end_copy(collection);
	backup->items[backup->at].collection = NULL;
	collection_unref(collection);
}

static void backup_stepped(struct long_job *job)
{
	struct backup *backup = LIST_ELEMENT(job, struct backup, job);
	bool has_written = backup->began;

	if (backup->clearing || (!has_written && backup->result != 0)) {
		backup_end(backup);
		return;
	}
	if (has_written && backup->at < backup->n) {
		let_go(backup);
		backup->at++;
	} else {
		backup->ended = has_written;
	}
	backup->began = true;
	if (!job->job.ran || (!backup->ended && long_job_is_unwanted(job)))
		backup->result = -ECANCELED;
	if (backup->result == 0 && backup->ended) {
		backup_end(backup);
		return;
	}
	backup->clearing = backup->result != 0;
	if (!backup->clearing && backup->at < backup->n)
		collection_begin_copy(backup->items[backup->at].collection);
	long_job_step(job);
}

static const struct long_job_kind backup_kind = {"backup", backup_work, backup_stepped};

static struct backup *backup_new(struct request *request, struct wire_str directory, uint32_t room)
{
	struct backup *backup = calloc(1, sizeof(*backup));

	if (backup)
		backup->items = calloc(room, sizeof(*backup->items));
	if (!backup || !backup->items) {
		free(backup);
		request_refuse_errno(request, -ENOMEM, "beginning");
		request_finish(request);
		return NULL;
	}
	if (!take_path(request, directory, backup)) {
		backup_free(backup);
		return NULL;
	}
	return backup;
}

static bool is_wanted(struct wire_str wanted, const char *name)
{
	return !wanted.data ||
	       (strlen(name) == wanted.n && memcmp(name, wanted.data, wanted.n) == 0);
}

void backup(struct request *request)
{
	const struct backup_params *params = request_params(request, backup);
	struct collections *collections = request->daemon->collections;
	struct collection *collection = NULL;
	struct backup *backup =
	        backup_new(request, params->directory, collections_count(collections) + 1);

	if (!backup)
		return;
	while ((collection = collections_next(collections, collection))) {
		if (collection->state != COLLECTION_CREATING &&
		    is_wanted(params->collection, collection->entry.name))
			backup->items[backup->n++] =
			        (struct backup_item){.entry = collection->entry,
			                             .collection = collection_ref(collection)};
	}
	if (params->collection.data && backup->n == 0) {
		request_finish_refusal(request, WIRE_ERROR_NO_COLLECTION, "collection",
		                       "there is no collection '%.*s'", (int)params->collection.n,
		                       params->collection.data);
		backup_free(backup);
	} else if (!long_job_begin(&backup->job, &backup_kind, request)) {
		backup_free(backup);
	} else {
		long_job_step(&backup->job);
	}
}

/* Taking back --------------------------------------------------------------------------------- */

/* What create_collection would have refused: others rely on it. */
static bool is_sane(const struct catalog_entry *entry)
{
	const struct record_spec *spec = &entry->spec;

	return entry->name[0] && spec->dim >= 1 && spec->dim <= LIMIT_DIM &&
	       spec->metric < WIRE_N_metric && spec->dtype < WIRE_N_dtype;
}

static int take_entry(void *ctx, const struct catalog_entry *entry)
{
	struct backup *backup = ctx;
	const struct restore_params *params = request_params(backup->job.request, restore);

	if (backup->n == LIMIT_COLLECTIONS || entry->state != CATALOG_LIVE ||
	    !is_wanted(params->collection, entry->name))
		return 0;
	if (!is_sane(entry))
		return fail(backup, WIRE_ERROR_DAMAGED, "directory", "backup",
		            "a collection's row in its catalog makes no sense");
	backup->items[backup->n++].entry = *entry;
	return 0;
}

static int is_catalog(void *ctx, const char *name)
{
	(void)ctx;
	return strcmp(name, "catalog.db") == 0;
}

/* The catalog of the backup. One that is not there must not be made. [worker] */
static int read_backup(struct backup *backup, struct store_io *io)
{
	struct catalog *catalog;
	int r = check_parents(backup, io);

	if (r != 0)
		return r;
	r = check_directory(io, backup->path);
	if (r == 0)
		r = io->ops->list(io, backup->path, is_catalog, NULL);
	if (r == 0)
		r = -ENOENT;
	if (r < 0)
		return fail(backup, WIRE_ERROR_BAD_VALUE, "directory", "backup",
		            r == -ENOENT ? "there is none" : strerror(-r));
	r = catalog_open(io, backup->path, &catalog);
	if (r != 0)
		return fail(backup, WIRE_ERROR_DAMAGED, "directory", "backup",
		            r == CATALOG_NEWER     ? "written by a newer Kith"
		            : r == CATALOG_FOREIGN ? "it is none"
		            : r == -ELOOP          ? "its catalog is a symbolic link"
		                                   : catalog_last_error());
	r = catalog_each(catalog, take_entry, backup);
	catalog_close(catalog);
	if (r == 0 && backup->n == 0)
		return fail(backup, WIRE_ERROR_NO_COLLECTION, "collection", "backup",
		            "it has no such collection");
	return r;
}

static void restore_work(struct long_job *job, uint32_t worker)
{
	struct backup *backup = LIST_ELEMENT(job, struct backup, job);

	(void)worker;
	backup->result = read_backup(backup, job->request->daemon->io);
}

/* Nothing is overwritten, and all is looked at before anything is made. */
static int expect_room(struct backup *backup)
{
	struct collections *collections = backup->job.request->daemon->collections;
	struct collection *collection = NULL;

	while ((collection = collections_next(collections, collection))) {
		for (uint32_t i = 0; i < backup->n; i++) {
			const struct catalog_entry *entry = &backup->items[i].entry;
			bool same_name = strcmp(entry->name, collection->entry.name) == 0;

			if (!same_name &&
			    !uuid_equal(&entry->spec.uuid, &collection->entry.spec.uuid))
				continue;
			wire_error_set(&backup->error, WIRE_ERROR_COLLECTION_EXISTS, "collection",
			               "there is a collection '%s' already%s; nothing is "
			               "overwritten: drop it, or restore others by name",
			               collection->entry.name,
			               same_name ? "" : ", which is the same one");
			return BACKUP_FAILED;
		}
	}
	if (collections_count(collections) + backup->n > LIMIT_COLLECTIONS)
		return fail(backup, WIRE_ERROR_OVER_LIMIT, "directory", "backup",
		            "with it there were more collections than there may be");
	return 0;
}

/* A stop of the daemon cancels it; its client's going does not. [worker] */
static int restore_files(void *ctx, struct collection *collection, struct job *work)
{
	struct backup *backup = ctx;
	struct backup_item *item = &backup->items[backup->at];
	char uuid[UUID_TEXT_SIZE], path[COLLECTION_PATH_SIZE];
	int r;

	(void)work;
	uuid_format(&item->entry.spec.uuid, uuid);
	snprintf(path, sizeof(path), "%s/%s", backup->path, uuid);
	r = check_directory(collection->daemon->io, path);
	if (r == -ENOENT)
		r = RECORD_STORE_MISSING;
	if (r == 0)
		r = record_copy(collection->daemon->io, path, collection->data_dir,
		                &item->entry.spec, &backup->job.job.cancelled,
		                collection->daemon->reserve, &item->copy);
	return r == 0 ? 0 : explain(backup, item, r);
}

static void restore_next(struct backup *backup);

static void restored(void *ctx, int result)
{
	struct backup *backup = ctx;

	if (result != 0) {
		backup->result = result == BACKUP_FAILED || result < 0 ? result : -EIO;
		if (result == -EBUSY || result == CATALOG_EXISTS) {
			wire_error_set(&backup->error, WIRE_ERROR_COLLECTION_EXISTS, "collection",
			               result == -EBUSY
			                       ? "'%s' was dropped, and its files cannot be "
			                         "removed: see 'kith errors'"
			                       : "another collection was named '%s' meanwhile",
			               backup->items[backup->at].entry.name);
			backup->result = BACKUP_FAILED;
		}
	}
	backup->at++;
	restore_next(backup);
}

static void restore_next(struct backup *backup)
{
	struct request *request = backup->job.request;
	int r = backup->result;

	if (r == 0 && long_job_is_unwanted(&backup->job))
		r = -ECANCELED;
	if (r == 0 && backup->at < backup->n)
		r = collections_restore(request->daemon->collections,
		                        &backup->items[backup->at].entry, restore_files, restored,
		                        backup);
	else if (r == 0)
		backup->ended = true;
	backup->result = r;
	if (r != 0 || backup->ended)
		backup_end(backup);
}

static void restore_stepped(struct long_job *job)
{
	struct backup *backup = LIST_ELEMENT(job, struct backup, job);

	if (!job->job.ran)
		backup->result = -ECANCELED;
	if (backup->result == 0)
		backup->result = expect_room(backup);
	restore_next(backup);
}

static const struct long_job_kind restore_kind = {"restore", restore_work, restore_stepped};

void restore(struct request *request)
{
	const struct restore_params *params = request_params(request, restore);
	struct backup *backup = backup_new(request, params->directory, LIMIT_COLLECTIONS);

	if (!backup)
		return;
	if (!long_job_begin(&backup->job, &restore_kind, request))
		backup_free(backup);
	else
		long_job_step(&backup->job);
}
