/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Building a graph, and inserting into one that serves.
 *
 * Both pin what is published, walk the record table for the rows to take, append a node for each,
 * and lend workers to hnsw_build_run(). A build does so on a new generation, measures it and swaps
 * it in; an insert on the serving one, and then raises what it covers. Nothing here waits: records
 * may come and go meanwhile, since visibility is the record table's, and later rows are pending.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

/* graph ---------------------------------------------------------------------------------------- */

static void graph_ended(struct flight *flight);

/* Nodes between two looks at whether another wants the worker, or memory is short: some tens of
 * milliseconds. */
#define TURN_NODES 64

static void graph_work(struct job *job, uint32_t worker)
{
	struct flight_share *share = LIST_ELEMENT(job, struct flight_share, job);
	struct flight *flight = share->flight;
	struct daemon *daemon = flight->collection->daemon;
	struct hnsw_scratch *scratch = &daemon->scratches.of_worker[worker];
	int r;

	/* A worker without memory leaves its share to the others; none at all shows at the end. */
	do
		r = hnsw_build_some(&flight->build, scratch, TURN_NODES);
	while (r == HNSW_BUILD_MORE && !job_is_waited_for(job) &&
	       !pressure_pauses(&daemon->pressure));
	share->has_more = r == HNSW_BUILD_MORE;
}

static void graph_done(struct job *job);

static void share_submit(struct flight_share *share)
{
	struct flight *flight = share->flight;

	share->has_more = false;
	share->waits = !flight->cancelled && pressure_pauses(&flight->collection->daemon->pressure);
	if (share->waits)
		return; /* flight_resume() comes back */
	share->job.what = flight->kind == FLIGHT_BUILD ? "build" : "insert";
	share->job.work = graph_work;
	share->job.done = graph_done;
	lanes_submit(flight->collection->daemon->lanes, LANE_BACKGROUND, &share->job);
}

static void graph_done(struct job *job)
{
	struct flight_share *share = LIST_ELEMENT(job, struct flight_share, job);

	if (share->has_more)
		share_submit(share); /* behind those that wait */
	else if (--share->flight->n_sharing == 0)
		graph_ended(share->flight);
}

void flight_resume(struct flight *flight)
{
	uint32_t n_waiting = 0;

	flight_measure_resume(flight);
	/* Marked anew when they still have to wait. The last one may end the flight. */
	for (uint32_t i = 0; i < FLIGHT_JOBS_MAX; i++)
		n_waiting += flight->shares[i].waits;
	for (uint32_t i = 0; n_waiting > 0; i++) {
		if (!flight->shares[i].waits)
			continue;
		n_waiting--;
		share_submit(&flight->shares[i]);
	}
}

static void graph_begin(struct flight *flight)
{
	struct collection *collection = flight->collection;
	struct hnsw *hnsw = flight->generation->hnsw;
	int r = scratch_lend(collection->daemon, LANE_BACKGROUND, hnsw);

	if (r) {
		flight_end(flight, r < 0 ? r : -ENOMEM, "no memory for the workers");
		return;
	}
	flight->has_scratch = true;
	row_source_init(&flight->source, collection, &flight->params, &flight->pin);
	hnsw_build_init(&flight->build, hnsw, flight->source.space);
	flight_enter(flight, flight->kind == FLIGHT_BUILD ? PHASE_GRAPH : PHASE_INSERT,
	             hnsw_n_nodes(hnsw) - hnsw_covered(hnsw));
	flight->n_sharing = flight->kind == FLIGHT_BUILD ? collection->daemon->build_workers : 1;
	for (uint32_t i = 0; i < flight->n_sharing; i++) {
		flight->shares[i].flight = flight;
		share_submit(&flight->shares[i]);
	}
}

/* swap ----------------------------------------------------------------------------------------- */

static void swap(struct flight *flight)
{
	struct index *index = flight->index;
	int r = 0;

	if (!index->dropped) {
		flight->generation->number = ++index->generations;
		if (index->serving && index->serving->params.identity != flight->params.identity)
			index_forget_file(flight->collection, &index->serving->params);
		else if (index->serving)
			index->n_rebuilds++;
		index_keep_snapshot(index, NULL, NULL);
		index->params = flight->params;
		index->wants_build = false;
		index->n_builds++;
		r = index_serve(index, flight->generation, flight->pin.n_rows);
	}
	flight_end(flight, r, "the cache has no place for it");
}

static void inserted(struct flight *flight)
{
	flight_end(flight, 0, NULL);
}

static void cover(struct flight *flight)
{
	struct generation *generation = flight->generation;
	uint32_t n_nodes = hnsw_n_nodes(generation->hnsw);
	uint32_t covered = hnsw_covered(generation->hnsw);

	flight->index->n_inserted += flight_done(flight);
	/* After a cancel the rest of the nodes stands there without links: pending, as before. */
	index_cover(flight->index, generation,
	            covered == n_nodes ? flight->pin.n_rows : hnsw_row(generation->hnsw, covered));
	if (covered == n_nodes && recall_curve_is_outgrown(&generation->curve, covered))
		flight_measure(flight, inserted);
	else if (covered == n_nodes)
		inserted(flight);
	else if (flight->cancelled)
		flight_end(flight, -ECANCELED, "cancelled");
	else
		flight_end(flight, -ENOMEM, "no memory for a worker");
}

/* declare -------------------------------------------------------------------------------------- */

static void declare_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct collection *collection = flight->collection;
	struct record_index record;

	(void)worker;
	index_params_encode(&flight->params, &record);
	strcpy(record.name, flight->index->name);
	flight->result = collection_writer(collection);
	if (flight->result == 0)
		flight->result = record_writer_declare_index(collection->writer, &record);
	/* A sync that failed is not tried again. */
	if (flight->result)
		collection->writer = record_writer_free(collection->writer);
}

/* The truth has the parameters; the graph comes next. */
static void declared_first(struct flight *flight)
{
	struct index *index = flight->index;

	if (index->declared)
		index_forget_file(flight->collection, &index->params);
	index->declared = true;
	index->params = flight->params;
	if (flight->cancelled || index->dropped)
		flight_end(flight, -ECANCELED, "cancelled");
	else
		flight_build_vectors(flight);
}

static void declare_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct collection *collection = flight->collection;
	int result = job->ran ? flight->result : -ECANCELED;

	collection_ref(collection);
	collection_turn_done(collection);
	if (result)
		flight_end(flight, result, "cannot declare the index in the database");
	else if (flight->generation)
		swap(flight); /* a replacement: it was declared last */
	else
		declared_first(flight);
	collection_kick(collection);
	collection_unref(collection);
}

static void declare_turn(struct write_task *task)
{
	struct flight *flight = LIST_ELEMENT(task, struct flight, task);

	flight->is_committing = flight->generation != NULL;
	flight_submit(flight, LANE_WRITE, "declare", declare_work, declare_done);
}

static void declare_cancelled(struct write_task *task)
{
	flight_end(LIST_ELEMENT(task, struct flight, task), -ECANCELED, "cancelled");
}

static void declare(struct flight *flight)
{
	flight_enter(flight, PHASE_DECLARE, 0);
	flight->task.start = declare_turn;
	flight->task.cancelled = declare_cancelled;
	write_queue_push_task(&flight->collection->writes, &flight->task);
	collection_kick(flight->collection);
}

/* Links that were made with distances from vectors that cannot be read are of no use, and an insert
 * has put some into the graph that serves. The snapshot has it as it was before. */
static void give_up_serving(struct index *index)
{
	index_unserve(index);
	index_keep_snapshot(index, NULL, NULL);
	index->may_have_snapshot = true;
}

/* A build's last step but the truth's. */
static void measured(struct flight *flight)
{
	if (flight->cancelled || flight->index->dropped)
		flight_end(flight, -ECANCELED, "cancelled");
	else if (flight->index->serving)
		declare(flight);
	else
		swap(flight);
}

static void graph_ended(struct flight *flight)
{
	struct collection *collection = flight->collection;
	uint64_t bad_extent = row_source_bad_extent(&flight->source);
	uint32_t n_nodes = hnsw_n_nodes(flight->generation->hnsw);
	uint32_t covered = hnsw_build_end(&flight->build);

	if (bad_extent != UINT64_MAX) {
		upkeep_lost_vectors(collection,
		                    bad_extent * vector_file_extent_rows(collection->vectors));
		if (flight->kind == FLIGHT_INSERT)
			give_up_serving(flight->index);
		flight_end(flight, -EBADMSG, "the vector file is damaged and being restored");
	} else if (flight->kind == FLIGHT_INSERT) {
		cover(flight);
	} else if (flight->cancelled || flight->index->dropped) {
		flight_end(flight, -ECANCELED, "cancelled");
	} else if (covered < n_nodes) {
		flight_end(flight, -ENOMEM, "no memory for a worker");
	} else {
		flight_measure(flight, measured);
	}
}

/* collect -------------------------------------------------------------------------------------- */

/* Appends a node for each visible row of [first, first + n). */
static int collect_chunk(struct flight *flight, uint64_t first, uint32_t n)
{
	const struct record_table *table = &flight->collection->table;
	struct record_view view = flight_view(flight);
	uint64_t mask[RECORD_TABLE_CHUNK_ROWS / 64];
	uint64_t slots[RECORD_TABLE_CHUNK_ROWS];
	uint32_t rows[RECORD_TABLE_CHUNK_ROWS];
	uint32_t n_taken = 0;

	if (record_table_visible(table, &view, first, n, mask) == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		struct record_table_row row;

		if (!(mask[i / 64] >> (i % 64) & 1))
			continue;
		record_table_get(table, first + i, &row);
		slots[n_taken] = row.slot;
		rows[n_taken++] = (uint32_t)(first + i);
	}
	return hnsw_append(flight->generation->hnsw, n_taken, slots, rows);
}

/* Nodes that no plan can see any more need not be looked at again; later ones the predicate sorts
 * out. */
static void retire_nodes(struct flight *flight)
{
	struct hnsw *hnsw = flight->generation->hnsw;
	uint32_t n_nodes = hnsw_n_nodes(hnsw);

	for (uint32_t node = 0; node < n_nodes; node++) {
		struct record_table_row row;
		uint32_t at = hnsw_row(hnsw, node);

		if (at == HNSW_NO_ROW || hnsw_is_dead(hnsw, node))
			continue;
		record_table_get(&flight->collection->table, at, &row);
		if (row.retired_seq <= flight->oldest_seq)
			hnsw_retire(hnsw, node);
	}
}

static void collect_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	uint64_t at = flight->from_row;

	(void)worker;
	retire_nodes(flight);
	flight->result = 0;
	while (flight->result == 0 && at < flight->pin.n_rows) {
		uint64_t end = (at / RECORD_TABLE_CHUNK_ROWS + 1) * RECORD_TABLE_CHUNK_ROWS;

		if (end > flight->pin.n_rows)
			end = flight->pin.n_rows;
		flight->result = collect_chunk(flight, at, (uint32_t)(end - at));
		at = end;
	}
}

static void collect_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);

	if (!job->ran || flight->cancelled)
		flight_end(flight, -ECANCELED, "cancelled");
	else if (flight->result)
		flight_end(flight, flight->result, "cannot take the records into the graph");
	else
		graph_begin(flight);
}

/* How many nodes the rows [from_row, n_rows) of the pin take. Bounded by what was published. */
static uint32_t count_rows(const struct flight *flight)
{
	struct record_view view = flight_view(flight);

	/* A new build takes all that are live, which is counted already. */
	if (flight->from_row == 0)
		return (uint32_t)flight->collection->n_live;
	return (uint32_t)record_table_count(&flight->collection->table, &view, flight->from_row,
	                                    flight->pin.n_rows);
}

static void collect_begin(struct flight *flight)
{
	struct hnsw *hnsw = flight->generation->hnsw;
	int r;

	flight->oldest_seq = collection_reap_seq(flight->collection);
	collection_pin(flight->collection, PIN_ROWS, &flight->pin);
	flight->pinned = true;
	r = hnsw_reserve(hnsw, count_rows(flight), true);
	if (r) {
		flight_end(flight, r < 0 ? r : -ENOMEM, "no memory for the graph");
		return;
	}
	flight_enter(flight, PHASE_COLLECT, 0);
	flight_submit(flight, LANE_BACKGROUND, "collect", collect_work, collect_done);
}

/* The starts ----------------------------------------------------------------------------------- */

/* Whether the codes are there, as far as there is room for them: a build without goes by the
 * vectors, and takes several times as long. */
static bool has_codes(const struct flight *flight)
{
	if (flight->params.quantization != WIRE_quantization_sq8)
		return true;
	return upkeep_has_codes(flight->collection, flight->coded_rows);
}

void flight_build_vectors(struct flight *flight)
{
	int r;

	/* What comes while it waits it does not wait for: a writer would keep it for ever. */
	if (flight->phase != PHASE_VECTORS) {
		flight_enter(flight, PHASE_VECTORS, 0);
		flight->coded_rows = flight->collection->n_rows;
	}
	if (!collection_has_vectors(flight->collection) ||
	    pressure_pauses(&flight->collection->daemon->pressure) || !has_codes(flight))
		return; /* index_look() comes back */
	r = generation_new(flight->collection, &flight->params, flight->index->tally, NULL,
	                   &flight->generation);
	if (r)
		flight_end(flight, r, "no memory for the graph");
	else
		collect_begin(flight);
}

void flight_build_start(struct flight *flight)
{
	const struct index *index = flight->index;

	/* What replaces a serving generation is declared when it is there. */
	if (index->serving ||
	    (index->declared && index->params.identity == flight->params.identity))
		flight_build_vectors(flight);
	else
		declare(flight);
}

void flight_insert_start(struct flight *flight)
{
	struct generation *generation = flight->index->serving;
	uint32_t n_nodes = hnsw_n_nodes(generation->hnsw);

	flight->generation = generation_ref(generation);
	flight->from_row = generation->covered_rows;
	/* Nodes that a cancelled insert left without links are taken up again, not appended. These
	 * have rows; of those that came out of a file, the last may have lost its own. */
	if (n_nodes > hnsw_covered(generation->hnsw))
		flight->from_row = (uint64_t)hnsw_row(generation->hnsw, n_nodes - 1) + 1;
	collect_begin(flight);
}
