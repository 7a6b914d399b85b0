/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first step needs no open collection: one whose truth is damaged cannot be opened. The second
 * does, for only an open one knows its vector file and its snapshots; a pin keeps the rows that are
 * read, and no renewal begins until it has ended, since that would hold all others until it gave
 * up.
 */

#include "daemon/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/index.h"
#include "daemon/log.h"
#include "daemon/long_job.h"
#include "storage/record_check.h"
#include "storage/snapshot.h"

/* A file that is bad in more ways is bad enough. */
#define VERIFY_FINDINGS 64u
#define VERIFY_TEXT_SIZE 200

struct finding {
	char file[INDEX_FILE_SIZE];
	bool derived;
	char what[VERIFY_TEXT_SIZE];
};

struct verifying {
	struct long_job job;
	struct collection *collection; /* the request holds it */
	bool is_second;                /* the truth was looked through */
	struct pin pin;
	bool pinned;
	uint64_t n_records;
	struct index_params indexes[LIMIT_INDEXES];
	uint64_t saved_nodes[LIMIT_INDEXES]; /* 0: nothing was saved, so that there is no file */
	uint32_t n_indexes;
	struct finding findings[VERIFY_FINDINGS];
	uint32_t n_findings;
	uint64_t bad_row; /* the first that the vector file does not have as it was written */
	int result;
};

static void find(struct verifying *verifying, const char *file, bool derived, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void find(struct verifying *verifying, const char *file, bool derived, const char *format,
                 ...)
{
	struct finding *finding;
	va_list args;

	if (verifying->n_findings == VERIFY_FINDINGS)
		return;
	finding = &verifying->findings[verifying->n_findings++];
	snprintf(finding->file, sizeof(finding->file), "%s", file);
	finding->derived = derived;
	va_start(args, format);
	vsnprintf(finding->what, sizeof(finding->what), format, args);
	va_end(args);
}

/* On the worker ------------------------------------------------------------------------------- */

static void tell(void *ctx, const char *problem)
{
	find(ctx, "records.db", false, "%s", problem);
}

static int check_truth(struct verifying *verifying)
{
	struct collection *collection = verifying->collection;
	struct record_check check;
	int r = record_check(collection->daemon->io, collection->data_dir,
	                     &collection->entry.spec.uuid, &verifying->job.job.cancelled, tell,
	                     verifying, &check);

	if (r == 0)
		verifying->n_records = check.n_records;
	return r;
}

static int check_vectors(struct verifying *verifying)
{
	struct collection *collection = verifying->collection;
	const struct pin *pin = &verifying->pin;
	uint64_t extent_rows;

	if (!collection->vectors) {
		find(verifying, "vectors", true, "it could not be made");
		return 0;
	}
	/* Rows behind these are on their way, as after any write: nothing is wrong with that. */
	extent_rows = vector_file_extent_rows(collection->vectors);
	for (uint64_t i = 0; i * extent_rows < pin->mapped_rows; i++) {
		const void *rows;
		int r = vector_file_extent(collection->vectors, i, &rows);

		if (r == -EBADMSG) {
			find(verifying, "vectors", true,
			     "rows from %llu on are not what was written",
			     (unsigned long long)(i * extent_rows));
			if (verifying->bad_row == UINT64_MAX)
				verifying->bad_row = i * extent_rows;
		} else if (r < 0) {
			return r;
		}
		if (job_is_cancelled(&verifying->job.job))
			return -ECANCELED;
	}
	return 0;
}

static int check_snapshot(struct verifying *verifying, uint32_t i)
{
	struct collection *collection = verifying->collection;
	char path[COLLECTION_PATH_SIZE + INDEX_FILE_SIZE], file[INDEX_FILE_SIZE];
	struct snapshot *snapshot;
	const char *why = "";
	int r;

	index_file(&verifying->indexes[i], file);
	snprintf(path, sizeof(path), "%s/%s", collection->cache_dir, file);
	r = snapshot_open(collection->daemon->io, path, &snapshot, &why);
	if (r == SNAPSHOT_MISSING) {
		if (verifying->saved_nodes[i] > 0)
			find(verifying, file, true, "it is missing");
		return 0;
	}
	if (r > 0)
		find(verifying, file, true, "%s", why);
	if (r != 0)
		return r < 0 ? r : 0;
	r = snapshot_check(snapshot, &verifying->job.job.cancelled);
	if (r == -EBADMSG)
		find(verifying, file, true, "a part of it is not what was written");
	snapshot_close(snapshot);
	return r == -EBADMSG ? 0 : r;
}

static void verify_work(struct long_job *job, uint32_t worker)
{
	struct verifying *verifying = LIST_ELEMENT(job, struct verifying, job);

	(void)worker;
	if (!verifying->is_second) {
		verifying->result = check_truth(verifying);
		return;
	}
	verifying->result = check_vectors(verifying);
	for (uint32_t i = 0; verifying->result == 0 && i < verifying->n_indexes; i++)
		verifying->result = check_snapshot(verifying, i);
}

/* On the loop --------------------------------------------------------------------------------- */

/* One line for the journal, however much was found. */
static void note(const struct verifying *verifying)
{
	const struct finding *first = &verifying->findings[0];
	char more[32] = "";

	if (verifying->n_findings == 0)
		return;
	if (verifying->n_findings > 1)
		snprintf(more, sizeof(more), ", and %u more", verifying->n_findings - 1);
	if (first->derived)
		log_warning("collection '%s': verify: %s: %s%s; it is made anew by itself",
		            verifying->collection->entry.name, first->file, first->what, more);
	else
		log_error("collection '%s': verify: %s: %s%s; restore a backup, or 'kith repair'",
		          verifying->collection->entry.name, first->file, first->what, more);
}

static void answer(struct verifying *verifying)
{
	struct request *request = verifying->job.request;
	struct finding_row *rows =
	        wire_arena_alloc(&request->arena, (verifying->n_findings + 1) * sizeof(*rows));

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "verify");
		return;
	}
	for (uint32_t i = 0; i < verifying->n_findings; i++) {
		const struct finding *finding = &verifying->findings[i];

		rows[i] = (struct finding_row){.file = wire_text(finding->file),
		                               .derived = finding->derived,
		                               .what = wire_text(finding->what)};
	}
	request_result(request, &(struct verify_result){
	                                .records = verifying->n_records,
	                                .findings = {rows, verifying->n_findings},
	                        });
}

static void verify_end(struct verifying *verifying)
{
	struct request *request = verifying->job.request;
	struct collection *collection = verifying->collection;

	long_job_end(&verifying->job);
	collection->n_row_surveys--;
	if (verifying->bad_row != UINT64_MAX)
		upkeep_lost_vectors(collection, verifying->bad_row);
	if (verifying->pinned)
		collection_unpin(collection, &verifying->pin);
	if (verifying->result == 0) {
		note(verifying);
		answer(verifying);
	} else {
		request_refuse_errno(request, verifying->result, "verify");
	}
	free(verifying);
	request_finish(request);
}

static void verify_stepped(struct long_job *job)
{
	struct verifying *verifying = LIST_ELEMENT(job, struct verifying, job);

	if (!verifying->is_second)
		collection_end_copy(verifying->collection);
	if (!job->job.ran || long_job_is_unwanted(job))
		verifying->result = -ECANCELED;
	verifying->is_second = true;
	if (verifying->result != 0 || verifying->pinned || verifying->n_findings > 0 ||
	    verifying->collection->state != COLLECTION_OPEN || verifying->collection->dropped) {
		verify_end(verifying);
		return;
	}
	for (struct list *link = verifying->collection->indexes.next;
	     link != &verifying->collection->indexes; link = link->next) {
		const struct index *index = LIST_ELEMENT(link, struct index, link);

		verifying->indexes[verifying->n_indexes] = index->params;
		verifying->saved_nodes[verifying->n_indexes++] =
		        index->serving ? index->serving->saved_nodes : 0;
	}
	collection_pin(verifying->collection, PIN_ROWS, &verifying->pin);
	verifying->pinned = true;
	long_job_step(job);
}

static const struct long_job_kind verify_kind = {"verify", verify_work, verify_stepped};

void verify(struct request *request)
{
	struct verifying *verifying = calloc(1, sizeof(*verifying));

	if (!verifying) {
		request_refuse_errno(request, -ENOMEM, "verify");
		request_finish(request);
		return;
	}
	if (!long_job_begin(&verifying->job, &verify_kind, request)) {
		free(verifying);
		return;
	}
	verifying->collection = request->collection;
	verifying->bad_row = UINT64_MAX;
	verifying->collection->n_row_surveys++;
	collection_begin_copy(verifying->collection);
	long_job_step(&verifying->job);
}
