/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/long_job.h"
#include "storage/record_salvage.h"

struct repairing {
	struct long_job job; /* its request holds the damaged collection */
	struct record_salvage_watch watch;
	struct job *work; /* the catalog's, that the rows are saved in */
	struct record_salvage found;
};

static const struct long_job_kind repair_kind = {.what = "repair"};

/* A client that goes, a deadline and a stop cancel it, and a full disk ends it: what was made of it
 * goes again. [worker] */
static int why_stop(struct record_salvage_watch *watch)
{
	struct repairing *repairing = LIST_ELEMENT(watch, struct repairing, watch);

	job_phase(repairing->work, "row");
	return reserve_why_stop(repairing->job.request->daemon->reserve,
	                        &repairing->job.job.cancelled);
}

static int salvage(void *ctx, struct collection *collection, struct job *work)
{
	struct repairing *repairing = ctx;
	int r;

	repairing->work = work;
	repairing->watch.why_stop = why_stop;
	r = record_salvage(collection->daemon->io, repairing->job.request->collection->data_dir,
	                   collection->data_dir, &collection->entry.spec, &repairing->watch,
	                   &repairing->found);
	return r > 0 ? -EBADMSG : r;
}

static void refuse_name(struct request *request)
{
	request_refuse(request, WIRE_ERROR_COLLECTION_EXISTS, "name",
	               "there is a collection of that name already");
}

static void repaired(void *ctx, int result)
{
	struct repairing *repairing = ctx;
	struct request *request = repairing->job.request;
	struct collection *collection = request->collection;
	const struct record_salvage *found = &repairing->found;

	long_job_end(&repairing->job);
	request->job = NULL;
	collection_end_copy(collection);
	if (result == 0) {
		log_info("collection '%s': %llu records saved, %llu lost", collection->entry.name,
		         (unsigned long long)found->n_records, (unsigned long long)found->n_lost);
		request_result(request, &(struct repair_result){.records = found->n_records,
		                                                .partial = found->n_partial,
		                                                .lost = found->n_lost});
	} else if (result == CATALOG_EXISTS) {
		refuse_name(request);
	} else {
		request_refuse_errno(request, result < 0 ? result : -EIO, "repair");
	}
	free(repairing);
	request_finish(request);
}

static int begin(struct request *request, struct repairing *repairing)
{
	struct wire_str name = request_params(request, repair)->name;
	struct catalog_entry entry = request->collection->entry;
	int r;

	memset(entry.name, 0, sizeof(entry.name));
	memcpy(entry.name, name.data, name.n);
	entry.created_ms = clock_wall_ms(request->daemon->clock);
	r = uuid_new(&entry.spec.uuid);
	if (r == 0)
		r = collections_restore(request->daemon->collections, &entry, salvage, repaired,
		                        repairing);
	if (r == 0) {
		collection_begin_copy(request->collection);
		request->job = &repairing->job.job;
	}
	return r;
}

void repair(struct request *request)
{
	struct collections *collections = request->daemon->collections;
	struct repairing *repairing = NULL;
	int r = -ENOMEM;

	if (collections_count(collections) >= LIMIT_COLLECTIONS) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "name",
		                       "there are %u collections; the limit is %u",
		                       collections_count(collections), (unsigned)LIMIT_COLLECTIONS);
		return;
	}
	repairing = calloc(1, sizeof(*repairing));
	if (repairing) {
		if (!long_job_begin(&repairing->job, &repair_kind, request)) {
			free(repairing);
			return;
		}
		r = begin(request, repairing);
		if (r == 0)
			return;
		long_job_end(&repairing->job);
	}
	free(repairing);
	if (r == -EEXIST)
		refuse_name(request);
	else
		request_refuse_errno(request, r, "repair");
	request_finish(request);
}
