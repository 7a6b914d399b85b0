/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of the group `indexes`, but ensure: list, drop, optimize, jobs, cancel,
 * warm, evict. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/dispatch.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

static void refuse_no_index(struct request *request, struct wire_str name)
{
	request_finish_refusal(request, WIRE_ERROR_NO_INDEX, "index", "'%s' has no index '%.*s'",
	                       request->collection->entry.name,
	                       name.data ? (int)name.n : (int)strlen(INDEX_DEFAULT_NAME),
	                       name.data ? name.data : INDEX_DEFAULT_NAME);
}

/* list ----------------------------------------------------------------------------------------- */

static void add_curve(struct index_row *row, const struct recall_curve *curve)
{
	row->ef_95 = recall_curve_measured_ef(curve, 0.95);
	row->ef_99 = recall_curve_measured_ef(curve, 0.99);
	row->ef_999 = recall_curve_measured_ef(curve, 0.999);
}

static struct index_row row_of(const struct index *index)
{
	struct tally_cell by_graph = tally_sum(index->tally, TALLY_GRAPH);
	struct index_row row = {
	        .name = wire_text(index->name),
	        .kind = WIRE_index_kind_hnsw,
	        .m = index->params.m,
	        .ef_construction = index->params.ef_construction,
	        .ef_search = index->params.ef_search,
	        .quantization = index->params.quantization,
	        .state = index->state,
	        .pending = index_n_pending(index),
	        .coverage = index_coverage(index),
	        .searches = by_graph.searches,
	        .comparisons = by_graph.comparisons,
	        .builds = index->n_builds,
	        .rebuilds = index->n_rebuilds,
	        .hits = index->n_hits,
	        .misses = index->n_misses,
	        .loads = index->n_loads,
	        .evictions = index->n_evictions,
	        .error = wire_text(index->error),
	};

	if (index_generation(index))
		add_curve(&row, index->serving ? &index->serving->curve : &index->left.curve);
	if (index->serving) {
		uint64_t granted, spilled;

		hnsw_bytes(index->serving->hnsw, &granted, &spilled);
		row.generation = index->serving->number;
		row.nodes = hnsw_covered(index->serving->hnsw);
		row.dead = index_n_dead(index);
		row.size_bytes = granted + spilled;
		row.mapped = generation_is_mapped(index->serving);
		row.saved_nodes = index->serving->saved_nodes;
	} else if (index_generation(index)) {
		row.generation = index->left.number;
		row.nodes = row.saved_nodes = index->left.nodes;
		row.dead = index->left.dead;
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

/* After a failure the writer is begun anew: a sync that failed is not tried again. */
static int undeclare(struct undeclaring *undeclaring)
{
	struct collection *collection = undeclaring->collection;
	int r = collection_writer(collection);

	if (r == 0)
		r = record_writer_undeclare_index(collection->writer, undeclaring->name);
	if (r)
		collection->writer = record_writer_free(collection->writer);
	return r;
}

/* It gives room: the snapshot goes. */
static void undeclare_work(struct job *job, uint32_t worker)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(job, struct undeclaring, job);

	(void)worker;
	undeclaring->result = undeclare(undeclaring);
	if (reserve_helps(undeclaring->collection->daemon->reserve, undeclaring->result))
		undeclaring->result = undeclare(undeclaring);
}

static void undeclare_done(struct job *job)
{
	struct undeclaring *undeclaring = LIST_ELEMENT(job, struct undeclaring, job);
	struct collection *collection = undeclaring->collection;
	struct request *request = undeclaring->request;
	struct index *index = index_find(collection, wire_text(undeclaring->name));

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
	index_look_again(index);
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
		        .collection = wire_text(flight->collection->entry.name),
		        .index = wire_text(flight->index->name),
		        .phase = wire_text(flight_phase_name(flight)),
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
