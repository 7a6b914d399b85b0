/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the group `indexes`: ensure, list, drop, optimize, jobs, cancel, warm, evict. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

static struct wire_str str(const char *text)
{
	return (struct wire_str){text, (uint32_t)strlen(text)};
}

static void refuse_no_index(struct request *request, struct wire_str name)
{
	request_finish_refusal(request, WIRE_ERROR_NO_INDEX, "index", "'%s' has no index '%.*s'",
	                       request->collection->entry.name,
	                       name.data ? (int)name.n : (int)strlen(INDEX_DEFAULT_NAME),
	                       name.data ? name.data : INDEX_DEFAULT_NAME);
}

/* ensure --------------------------------------------------------------------------------------- */

static void ensure(struct request *request);

static int params_of(const struct ensure_index_params *params, struct index_params *ret)
{
	struct uuid uuid;
	int r = uuid_new(&uuid);

	*ret = (struct index_params){
	        .m = params->m,
	        .ef_construction = params->ef_construction,
	        .ef_search = params->ef_search,
	};
	memcpy(&ret->identity, uuid.bytes, sizeof(ret->identity));
	return r;
}

static void answer_existing(struct request *request, const struct index *index)
{
	char title[256];

	log_info("index '%s': already exists, skipping creation", index_title(index, title));
	request_finish_result(request, &(struct ensure_index_result){
	                                       .outcome = WIRE_ensured_existing,
	                                       .generation = index_generation(index),
	                                       .coverage = index_coverage(index),
	                               });
}

static void answer_started(struct request *request, const struct index *index,
                           enum wire_ensured outcome)
{
	request_finish_result(request, &(struct ensure_index_result){
	                                       .outcome = outcome,
	                                       .job = index->flight ? index->flight->number : 0,
	                                       .generation = index_generation(index),
	                                       .coverage = index_coverage(index),
	                               });
}

/* Begins the build, now or, with a flight under way, after it. */
static void begin_build(struct request *request, struct index *index,
                        const struct index_params *params)
{
	bool wait = request_params(request, ensure_index)->wait;

	request->is_leader = true;
	if (index->flight || index->state == WIRE_index_state_evicted) {
		index->has_successor = true;
		index->successor = *params;
		/* An evicted one is loaded, to serve meanwhile. */
		if (!index->flight)
			index_look(index);
		if (wait)
			list_append(&index->successor_waiters, &request->wait_link);
		else
			answer_started(request, index, WIRE_ensured_started);
		return;
	}
	if (wait) {
		index_begin_build(index, params, request);
		return;
	}
	/* Answered first: the build may end at once, and the index with it. */
	index_begin_build(index, params, NULL);
	index = index_find(request->collection, request_params(request, ensure_index)->index);
	if (index)
		answer_started(request, index, WIRE_ensured_started);
	else
		request_finish_refusal(request, WIRE_ERROR_BUILD_FAILED, "index",
		                       "the build could not begin");
}

static void refuse_in_flight(struct request *request, const struct flight *flight)
{
	request_finish_refusal(request, WIRE_ERROR_BUILD_IN_FLIGHT, "index",
	                       "job %llu builds it with other parameters (m=%u, "
	                       "ef_construction=%u)",
	                       (unsigned long long)flight->number, flight->params.m,
	                       flight->params.ef_construction);
}

/* Behind an insert or a save. */
static void refuse_successor(struct request *request, const struct index *index)
{
	request_finish_refusal(request, WIRE_ERROR_BUILD_IN_FLIGHT, "index",
	                       "a build with other parameters (m=%u, ef_construction=%u) waits "
	                       "for job %llu",
	                       index->successor.m, index->successor.ef_construction,
	                       (unsigned long long)index->flight->number);
}

/* The build that comes after the flight is of the same. */
static void join_successor(struct request *request, struct index *index)
{
	if (request_params(request, ensure_index)->wait)
		list_append(&index->successor_waiters, &request->wait_link);
	else
		answer_started(request, index, WIRE_ensured_joined);
}

/* A build is under way: of the same, or of something else. */
static void ensure_beside_build(struct request *request, struct index *index,
                                const struct index_params *params)
{
	const struct ensure_index_params *asked = request_params(request, ensure_index);

	if (index_same_graph(&index->flight->params, params)) {
		if (asked->wait)
			flight_join(index->flight, request);
		else
			answer_started(request, index, WIRE_ensured_joined);
	} else if (asked->replace && !index->has_successor) {
		begin_build(request, index, params);
	} else if (asked->replace && index_same_graph(&index->successor, params)) {
		join_successor(request, index);
	} else {
		refuse_in_flight(request, index->flight);
	}
}

static void ensure_existing(struct request *request, struct index *index,
                            const struct index_params *params)
{
	const struct ensure_index_params *asked = request_params(request, ensure_index);

	/* What may be on the disk is looked at before anything is built. */
	if (index->may_have_snapshot)
		index_look(index);
	/* A snapshot that nobody has looked for yet is loaded next. */
	if (index->state == WIRE_index_state_loading || index->may_have_snapshot) {
		request->next = ensure;
		list_append(&index->waiting, &request->wait_link);
	} else if (index->flight && index->flight->kind == FLIGHT_BUILD &&
	           !index->flight->cancelled) {
		ensure_beside_build(request, index, params);
	} else if (index->has_successor && index_same_graph(&index->successor, params)) {
		join_successor(request, index);
	} else if (!index_same_graph(&index->params, params) && !asked->replace) {
		request_finish_refusal(request, WIRE_ERROR_INDEX_EXISTS, "index",
		                       "there is one with m=%u, ef_construction=%u; say replace "
		                       "to build another in its place",
		                       index->params.m, index->params.ef_construction);
	} else if (index_generation(index) && index_same_graph(&index->params, params)) {
		answer_existing(request, index);
	} else if (index_same_graph(&index->params, params)) {
		/* Declared, and not there: the last build failed or was cancelled. */
		struct index_params again = index->params;

		begin_build(request, index, &again);
	} else if (index->has_successor) {
		refuse_successor(request, index);
	} else {
		begin_build(request, index, params);
	}
}

static void ensure_new(struct request *request, const struct index_params *params)
{
	struct wire_str name = request_params(request, ensure_index)->index;
	struct collection *collection = request->collection;
	char text[RECORD_INDEX_NAME_SIZE] = INDEX_DEFAULT_NAME;
	struct index *index;

	if (index_count(collection) >= LIMIT_INDEXES) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, "index",
		                       "the collection has %u indexes; the limit is %u",
		                       index_count(collection), (unsigned)LIMIT_INDEXES);
		return;
	}
	if (name.data) {
		memcpy(text, name.data, name.n);
		text[name.n] = '\0';
	}
	if (index_new(collection, text, params, false, &index) < 0) {
		request_refuse_errno(request, -ENOMEM, "making the index");
		request_finish(request);
		return;
	}
	begin_build(request, index, params);
}

static void ensure(struct request *request)
{
	struct collection *collection = request->collection;
	struct index_params params;
	struct index *index;
	int r;

	if (!request->session) {
		request_refuse_errno(request, -ECANCELED, "waiting for the index");
		request_finish(request);
		return;
	}
	index = index_find(collection, request_params(request, ensure_index)->index);
	r = params_of(request_params(request, ensure_index), &params);
	if (r < 0) {
		request_refuse_errno(request, r, "making the index");
		request_finish(request);
	} else if (index) {
		ensure_existing(request, index, &params);
	} else {
		ensure_new(request, &params);
	}
}

void handle_ensure_index(struct request *request)
{
	collection_enter(request, request_params(request, ensure_index)->collection, ensure);
}

/* list ----------------------------------------------------------------------------------------- */

static struct index_row row_of(const struct index *index)
{
	struct index_row row = {
	        .name = str(index->name),
	        .kind = WIRE_index_kind_hnsw,
	        .m = index->params.m,
	        .ef_construction = index->params.ef_construction,
	        .ef_search = index->params.ef_search,
	        .state = index->state,
	        .pending = index_n_pending(index),
	        .coverage = index_coverage(index),
	        .builds = index->n_builds,
	        .hits = index->n_hits,
	        .misses = index->n_misses,
	        .loads = index->n_loads,
	        .evictions = index->n_evictions,
	        .error = str(index->error),
	};

	if (index->serving) {
		uint64_t granted, spilled;

		hnsw_bytes(index->serving->hnsw, &granted, &spilled);
		row.generation = index->serving->number;
		row.nodes = hnsw_covered(index->serving->hnsw);
		row.dead = hnsw_n_dead(index->serving->hnsw);
		row.size_bytes = granted + spilled;
		row.mapped = generation_is_mapped(index->serving);
		row.saved_nodes = index->serving->saved_nodes;
		row.searches = index->serving->n_searches;
		row.comparisons = index->serving->n_comparisons;
	} else if (index_generation(index)) {
		row.generation = index->left.number;
		row.nodes = row.saved_nodes = index->left.nodes;
		row.dead = index->left.dead;
		row.searches = index->left.n_searches;
		row.comparisons = index->left.n_comparisons;
	}
	return row;
}

static void list_indexes(struct request *request)
{
	struct collection *collection = request->collection;
	struct index_row *rows =
	        wire_arena_alloc(&request->arena, (index_count(collection) + 1) * sizeof(*rows));
	struct list_indexes_result result = {.indexes = {.v = rows}};

	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "listing the indexes");
		request_finish(request);
		return;
	}
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next)
		rows[result.indexes.n++] = row_of(LIST_ELEMENT(link, struct index, link));
	request_finish_result(request, &result);
}

void handle_list_indexes(struct request *request)
{
	collection_enter(request, request_params(request, list_indexes)->collection, list_indexes);
}

/* drop ----------------------------------------------------------------------------------------- */

/* Taking the declaration back: a turn in the collection's write queue. */
struct undeclaring {
	struct write_task task;
	struct job job;
	struct request *request;
	struct collection *collection; /* a reference */
	char name[RECORD_INDEX_NAME_SIZE];
	int result;
};

static void undeclare_work(struct job *job, uint32_t worker)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(job, struct undeclaring, job);
	struct collection *collection = undeclaring->collection;

	(void)worker;
	undeclaring->result = collection_writer(collection);
	if (undeclaring->result == 0)
		undeclaring->result =
		        record_writer_undeclare_index(collection->writer, undeclaring->name);
}

static void undeclare_done(struct job *job)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(job, struct undeclaring, job);
	struct collection *collection = undeclaring->collection;
	struct request *request = undeclaring->request;
	struct index *index = index_find(collection, str(undeclaring->name));

	collection_turn_done(collection);
	if (!job->ran)
		undeclaring->result = -ECANCELED;
	if (undeclaring->result) {
		request_refuse_errno(request, undeclaring->result, "dropping the index");
		request_finish(request);
	} else {
		char title[256];

		if (index) {
			log_info("index '%s': dropped", index_title(index, title));
			index_forget_file(collection, &index->params);
			index_drop(index, WIRE_ERROR_DROPPED, "the index was dropped");
		}
		request_finish_result(request,
		                      &(struct drop_index_result){.dropped = index != NULL});
	}
	free(undeclaring);
	collection_kick(collection);
	collection_unref(collection);
}

static void undeclare_turn(struct write_task *task)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(task, struct undeclaring, task);

	undeclaring->job.what = "undeclare";
	undeclaring->job.work = undeclare_work;
	undeclaring->job.done = undeclare_done;
	lanes_submit(undeclaring->collection->daemon->lanes, LANE_WRITE, &undeclaring->job);
}

static void undeclare_cancelled(struct write_task *task)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(task, struct undeclaring, task);

	request_refuse_errno(undeclaring->request, -ECANCELED, "dropping the index");
	request_finish(undeclaring->request);
	collection_unref(undeclaring->collection);
	free(undeclaring);
}

static void drop_index(struct request *request)
{
	const struct drop_index_params *params = request_params(request, drop_index);
	struct collection *collection = request->collection;
	struct index *index = index_find(collection, params->index);
	struct undeclaring *undeclaring;

	if (!index && params->missing_ok) {
		request_finish_result(request, &(struct drop_index_result){0});
		return;
	}
	if (!index) {
		refuse_no_index(request, params->index);
		return;
	}
	undeclaring = calloc(1, sizeof(*undeclaring));
	if (!undeclaring) {
		request_refuse_errno(request, -ENOMEM, "dropping the index");
		request_finish(request);
		return;
	}
	undeclaring->request = request;
	undeclaring->collection = collection_ref(collection);
	undeclaring->task.start = undeclare_turn;
	undeclaring->task.cancelled = undeclare_cancelled;
	strcpy(undeclaring->name, index->name);
	list_init(&undeclaring->task.link);
	write_queue_push_task(&collection->writes, &undeclaring->task);
	collection_kick(collection);
}

void handle_drop_index(struct request *request)
{
	collection_enter(request, request_params(request, drop_index)->collection, drop_index);
}

/* optimize ------------------------------------------------------------------------------------- */

static void optimize(struct request *request)
{
	struct wire_str name = request_params(request, optimize)->index;
	struct index *index = index_find(request->collection, name);

	if (!index) {
		refuse_no_index(request, name);
		return;
	}
	if (!index_will_serve(index)) {
		request_finish_refusal(request, WIRE_ERROR_NO_INDEX, "index",
		                       "the index has not been built: %s",
		                       index->error[0] ? index->error : "ensure it first");
		return;
	}
	request->mark = index->n_inserted;
	request->target_rows = request->collection->n_rows;
	list_append(&index->optimizing, &request->wait_link);
	index_look(index);
}

void handle_optimize(struct request *request)
{
	collection_enter(request, request_params(request, optimize)->collection, optimize);
}

/* warm, evict ---------------------------------------------------------------------------------- */

static void warm(struct request *request)
{
	struct wire_str name = request_params(request, warm)->index;
	struct index *index = index_find(request->collection, name);

	if (index)
		index_warm(index, request);
	else
		refuse_no_index(request, name);
}

void handle_warm(struct request *request)
{
	collection_enter(request, request_params(request, warm)->collection, warm);
}

static void evict(struct request *request)
{
	struct wire_str name = request_params(request, evict)->index;
	struct index *index = index_find(request->collection, name);

	if (index)
		index_evict(index, request);
	else
		refuse_no_index(request, name);
}

void handle_evict(struct request *request)
{
	collection_enter(request, request_params(request, evict)->collection, evict);
}

/* jobs ----------------------------------------------------------------------------------------- */

void handle_jobs(struct request *request)
{
	struct daemon *daemon = request->daemon;
	struct jobs_result result = {0};
	struct work_row *rows;
	struct list *link;
	size_t n = 0;

	for (link = daemon->flights.next; link != &daemon->flights; link = link->next)
		n++;
	rows = wire_arena_alloc(&request->arena, (n + 1) * sizeof(*rows));
	if (!rows) {
		request_refuse_errno(request, -ENOMEM, "listing the jobs");
		request_finish(request);
		return;
	}
	result.jobs.v = rows;
	for (link = daemon->flights.next; link != &daemon->flights; link = link->next) {
		const struct flight *flight = LIST_ELEMENT(link, struct flight, link);

		rows[result.jobs.n++] = (struct work_row){
		        .job = flight->number,
		        .collection = str(flight->collection->entry.name),
		        .index = str(flight->index->name),
		        .phase = str(flight->phase),
		        .done = flight_done(flight),
		        .total = flight->total,
		        .eta_s = flight_eta_s(flight),
		        .waiting = flight->n_waiters,
		};
	}
	request_finish_result(request, &result);
}

void handle_cancel_job(struct request *request)
{
	struct daemon *daemon = request->daemon;
	uint64_t number = request_params(request, cancel_job)->job;

	for (struct list *link = daemon->flights.next; link != &daemon->flights;
	     link = link->next) {
		struct flight *flight = LIST_ELEMENT(link, struct flight, link);

		if (flight->number != number)
			continue;
		request_finish_result(
		        request, &(struct cancel_job_result){.cancelled = flight_cancel(flight)});
		return;
	}
	request_finish_refusal(request, WIRE_ERROR_NO_JOB, "job", "no job %llu is under way",
	                       (unsigned long long)number);
}
