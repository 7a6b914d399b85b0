/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is of use in a file: in the truth the pages of live records; of the vector file and of a
 * snapshot the share of rows and nodes that are live; of the WAL what a checkpoint has not moved.
 * Of a collection that is not open, derived files count as of use: nobody knows better. So does
 * what is the daemon's own, the reserve too: it is as long as it is held.
 */

#include "daemon/disk_usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/index.h"

/* A share of a file that is of use. */
struct share {
	char file[INDEX_FILE_SIZE];
	double live;
};

/* Of the data directory, beside the collections' directories. */
static const char *const own_files[] = {"catalog.db", "catalog.db-wal", "catalog.db-shm",
                                        "errors.log", "errors.log.1",   "reserve"};

struct surveyed {
	struct collection *collection; /* a reference */
	char name[CATALOG_NAME_BYTES_MAX + 1];
	bool is_open;
	uint64_t wal_bytes;
	struct share shares[LIMIT_INDEXES + 1];
	uint32_t n_shares;
};

struct used_file {
	char *path;
	uint32_t surveyed_idx;
	uint64_t size_bytes, live_bytes;
};

struct survey {
	struct job job;
	struct request *request;
	struct surveyed *v; /* one more than n: the daemon itself, without a collection */
	uint32_t n, at;
	const char *dir; /* that is listed */
	struct used_file *files;
	uint32_t n_files, max_files;
	int result;
};

/* On the worker ------------------------------------------------------------------------------- */

static uint64_t live_of(struct survey *survey, const char *name, uint64_t size_bytes)
{
	const struct surveyed *surveyed = &survey->v[survey->at];
	struct store_io *io = survey->request->daemon->io;
	uint64_t live;

	if (strcmp(name, "records.db") == 0)
		return record_store_live_bytes(io, survey->dir, &live) == 0 && live < size_bytes
		               ? live
		               : size_bytes;
	if (strcmp(name, "records.db-wal") == 0 && surveyed->is_open)
		return surveyed->wal_bytes < size_bytes ? surveyed->wal_bytes : size_bytes;
	if (strcmp(name, "records.db-shm") == 0 || strcmp(name, "catalog.db-shm") == 0)
		return 0;
	for (uint32_t i = 0; i < surveyed->n_shares; i++) {
		if (strcmp(name, surveyed->shares[i].file) == 0)
			return (uint64_t)((double)size_bytes * surveyed->shares[i].live);
	}
	return surveyed->is_open ? 0 : size_bytes;
}

static int take_file(void *ctx, const char *name)
{
	struct survey *survey = ctx;
	struct used_file *file;
	int r;

	if (survey->n_files == survey->max_files) {
		uint32_t more = survey->max_files ? 2 * survey->max_files : 64;
		struct used_file *files = realloc(survey->files, more * sizeof(*files));

		if (!files)
			return -ENOMEM;
		survey->files = files;
		survey->max_files = more;
	}
	file = &survey->files[survey->n_files];
	*file = (struct used_file){.surveyed_idx = survey->at};
	if (asprintf(&file->path, "%s/%s", survey->dir, name) < 0)
		return -ENOMEM;
	survey->n_files++;
	r = survey->request->daemon->io->ops->disk_bytes(survey->request->daemon->io, file->path,
	                                                 &file->size_bytes);
	if (r == 0)
		file->live_bytes = live_of(survey, name, file->size_bytes);
	else /* it went meanwhile */
		free(survey->files[--survey->n_files].path);
	return r == -ENOENT ? 0 : r;
}

static int survey_dir(struct survey *survey, const char *dir)
{
	struct store_io *io = survey->request->daemon->io;
	int r;

	survey->dir = dir;
	r = io->ops->list(io, dir, take_file, survey);
	return r == -ENOENT ? 0 : r;
}

static int survey_own(struct survey *survey)
{
	int r = 0;

	survey->dir = survey->request->daemon->config.data_dir;
	for (size_t i = 0; r == 0 && i < sizeof(own_files) / sizeof(*own_files); i++)
		r = take_file(survey, own_files[i]);
	return r;
}

static void survey_work(struct job *job, uint32_t worker)
{
	struct survey *survey = LIST_ELEMENT(job, struct survey, job);

	(void)worker;
	for (; survey->result == 0 && survey->at < survey->n; survey->at++) {
		struct collection *collection = survey->v[survey->at].collection;

		survey->result = survey_dir(survey, collection->data_dir);
		if (survey->result == 0)
			survey->result = survey_dir(survey, collection->cache_dir);
		if (survey->result == 0 && job_is_cancelled(job))
			survey->result = -ECANCELED;
	}
	if (survey->result == 0)
		survey->result = survey_own(survey);
}

/* On the loop --------------------------------------------------------------------------------- */

static void answer(struct survey *survey)
{
	struct request *request = survey->request;
	struct file_row *rows =
	        wire_arena_alloc(&request->arena, (survey->n_files + 1) * sizeof(*rows));

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "disk usage");
		return;
	}
	for (uint32_t i = 0; i < survey->n_files; i++) {
		const struct used_file *file = &survey->files[i];
		const char *name = survey->v[file->surveyed_idx].name;

		rows[i] = (struct file_row){
		        .collection = {name, (uint32_t)strlen(name)},
		        .path = {file->path, (uint32_t)strlen(file->path)},
		        .size_bytes = file->size_bytes,
		        .live_bytes = file->live_bytes,
		};
	}
	request_result(request, &(struct disk_usage_result){.files = {rows, survey->n_files}});
}

static void survey_done(struct job *job)
{
	struct survey *survey = LIST_ELEMENT(job, struct survey, job);
	struct request *request = survey->request;

	request->job = NULL;
	if (!job->ran)
		survey->result = -ECANCELED;
	if (survey->result == 0)
		answer(survey);
	else
		request_refuse_errno(request, survey->result, "disk usage");
	for (uint32_t i = 0; i < survey->n_files; i++)
		free(survey->files[i].path);
	for (uint32_t i = 0; i < survey->n; i++) {
		collection_end_copy(survey->v[i].collection);
		collection_unref(survey->v[i].collection);
	}
	free(survey->files);
	free(survey->v);
	free(survey);
	request_finish(request);
}

static struct surveyed survey_collection(struct collection *collection)
{
	struct surveyed surveyed = {.collection = collection_ref(collection),
	                            .is_open = collection_is_open(collection)};

	collection_begin_copy(collection); /* how much of it is live is asked of the database */
	strcpy(surveyed.name, collection->entry.name);
	if (!surveyed.is_open)
		return surveyed;
	surveyed.wal_bytes = record_store_wal_bytes(collection->store);
	surveyed.shares[surveyed.n_shares++] = (struct share){
	        "vectors", collection->n_rows > 0
	                           ? (double)collection->n_live / (double)collection->n_rows
	                           : 1};
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		const struct index *index = LIST_ELEMENT(link, struct index, link);
		struct share *share = &surveyed.shares[surveyed.n_shares++];
		uint32_t n_nodes = index->serving ? index->serving->saved_nodes : 0;
		uint32_t n_dead = index->serving ? index_n_dead(index) : 0;

		index_file(&index->params, share->file);
		share->live = n_nodes > n_dead ? 1 - (double)n_dead / n_nodes : n_nodes == 0;
	}
	return surveyed;
}

void disk_usage(struct request *request)
{
	struct collections *collections = request->daemon->collections;
	struct collection *collection = NULL;
	struct survey *survey = calloc(1, sizeof(*survey));

	if (survey)
		survey->v = calloc(collections_count(collections) + 1, sizeof(*survey->v));
	if (!survey || !survey->v) {
		free(survey);
		request_refuse_errno(request, -ENOMEM, "disk usage");
		request_finish(request);
		return;
	}
	while ((collection = collections_next(collections, collection))) {
		if (collection->state != COLLECTION_CREATING)
			survey->v[survey->n++] = survey_collection(collection);
	}
	survey->request = request;
	survey->job.what = "disk usage";
	survey->job.work = survey_work;
	survey->job.done = survey_done;
	request->job = &survey->job;
	lanes_submit(request->daemon->lanes, LANE_BACKGROUND, &survey->job);
}
