/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measuring how much a graph finds for how much effort (recall_curve.h): after its build, before it
 * serves, and again when inserts have made it larger by much.
 *
 * It is one job that takes turns like a build's. Its steps are short, so that a cancel is seen
 * within some tens of milliseconds: a stretch of rows compared with the whole sample, then a search
 * each. What it takes is bounded: a sample of RECALL_SAMPLE_MAX vectors in plain memory, one pass
 * over the rows, and searches for a small part of what the build took.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/log.h"
#include "index/exact_codes.h"
#include "index/recall_sample.h"

/* Rows that are compared with the sample in one step. */
#define STEP_ROWS 128u
static_assert(RECORD_TABLE_CHUNK_ROWS % STEP_ROWS == 0, "a step lies in one chunk of the table");
/* Searches take so many distances at most: of what the build took, a part in some thirty. */
#define COMPARISONS_DEN 2u
#define COMPARISONS_MIN (1u << 18)
#define MORE 1

struct measure {
	int (*step)(struct flight *flight, struct hnsw_scratch *scratch); /* the next one */
	struct recall_sample sample;
	struct exact_codes by_codes;
	uint64_t at; /* the next row to compare with */
	uint32_t n_nodes;
	struct record_view view;
	int result; /* MORE: its turn ended before its work did */
	bool waits; /* memory is short: its next turn comes later */
	void (*then)(struct flight *flight);
};

/* The rows themselves. */
static const struct hnsw_space_rows *rows_of(const struct flight *flight)
{
	const struct row_source *source = &flight->source;

	return source->space == &source->rows.space ? &source->rows : &source->codes.exact;
}

static const void *row_of(void *ctx, uint64_t row)
{
	const struct hnsw_space_rows *rows = rows_of(ctx);

	return rows->row_of(rows->ctx, (uint32_t)row);
}

static uint64_t visible_rows(void *ctx, const uint32_t *rows, uint32_t n)
{
	const struct flight *flight = ctx;
	uint64_t visible = 0, one;

	for (uint32_t i = 0; i < n; i++)
		visible |= (uint64_t)record_table_visible(&flight->collection->table,
		                                          &flight->measure->view, rows[i], 1, &one)
		           << i;
	return visible;
}

/* Search --------------------------------------------------------------------------------------- */

static int search(struct flight *flight, struct hnsw_scratch *scratch)
{
	struct measure *measure = flight->measure;
	uint64_t max_comparisons =
	        (uint64_t)measure->n_nodes * flight->params.ef_construction / COMPARISONS_DEN;
	struct recall_graph graph = {
	        .hnsw = flight->generation->hnsw,
	        .space = flight->source.space,
	        .below = measure->n_nodes,
	        .visible = visible_rows,
	        .visible_ctx = flight,
	        .max_comparisons =
	                max_comparisons > COMPARISONS_MIN ? max_comparisons : COMPARISONS_MIN,
	};

	return recall_sample_search(&measure->sample, &graph, scratch) == RECALL_SAMPLE_MORE ? MORE
	                                                                                     : 0;
}

/* Compare -------------------------------------------------------------------------------------- */

/* Row by row: there are no codes of them. */
static void compare_rows(struct flight *flight, uint64_t first, uint32_t n, const uint64_t *mask)
{
	static const uint64_t one = 1;

	for (uint32_t i = 0; i < n; i++) {
		if (!(mask[i / 64] >> (i % 64) & 1))
			continue;
		exact_scan_rows(&flight->measure->sample.scan,
		                &(struct exact_rows){.rows = row_of(flight, first + i),
		                                     .first = first + i,
		                                     .n = 1,
		                                     .mask = &one});
	}
}

static int compare(struct flight *flight, struct hnsw_scratch *scratch)
{
	struct measure *measure = flight->measure;
	uint64_t n_coded = flight->pin.resident_rows;
	uint64_t end = (measure->at / STEP_ROWS + 1) * STEP_ROWS;
	uint64_t mask[STEP_ROWS / 64];
	uint32_t n;

	(void)scratch;
	end = end < flight->pin.n_rows ? end : flight->pin.n_rows;
	if (measure->at < n_coded && n_coded < end)
		end = n_coded;
	n = (uint32_t)(end - measure->at);
	if (record_table_visible(&flight->collection->table, &measure->view, measure->at, n, mask) >
	    0) {
		if (measure->at < n_coded)
			(void)exact_codes_scan(&measure->by_codes, measure->at, n, mask);
		else
			compare_rows(flight, measure->at, n, mask);
	}
	measure->at = end;
	if (end == flight->pin.n_rows) {
		recall_sample_know(&measure->sample);
		measure->step = search;
	}
	return MORE;
}

/* Choose --------------------------------------------------------------------------------------- */

/* Of a row: SplitMix64, so that those taken are spread over all, and the same each time. */
static uint64_t hash(uint64_t row)
{
	uint64_t z = (row + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Takes each visible row whose hash is small enough for n_wanted of them to be expected. */
static void take_rows(struct flight *flight, uint32_t n_wanted)
{
	const struct hnsw_space *rows = &rows_of(flight)->space;
	struct measure *measure = flight->measure;
	uint64_t below = n_wanted < flight->pin.n_live ? UINT64_MAX / flight->pin.n_live * n_wanted
	                                               : UINT64_MAX;
	float buf[LIMIT_DIM] __attribute__((aligned(64)));
	uint64_t one;

	for (uint64_t row = 0; row < flight->pin.n_rows; row++) {
		if (hash(row) <= below && record_table_visible(&flight->collection->table,
		                                               &measure->view, row, 1, &one) > 0)
			recall_sample_add(&measure->sample, (uint32_t)row,
			                  rows->query_of(rows, (uint32_t)row, buf));
	}
}

static int choose(struct flight *flight, struct hnsw_scratch *scratch)
{
	const struct collection *collection = flight->collection;
	struct measure *measure = flight->measure;
	struct exact_codes *by_codes = &measure->by_codes;

	(void)scratch;
	take_rows(flight, measure->sample.n_max);
	*by_codes = (struct exact_codes){
	        .scan = recall_sample_scan(&measure->sample),
	        .codes = &collection->resident.codes,
	        .row_of = row_of,
	        .ctx = flight,
	};
	if (flight->pin.resident_rows > 0 && measure->sample.n > 0) {
		by_codes->queries =
		        aligned_alloc(64, exact_codes_bytes(by_codes->codes, measure->sample.n));
		if (!by_codes->queries)
			return -ENOMEM;
		exact_codes_prepare(by_codes);
	}
	measure->step = compare;
	return measure->sample.n > 0 ? MORE : 0;
}

/* The job -------------------------------------------------------------------------------------- */

static void measure_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct measure *measure = flight->measure;
	struct hnsw_scratch *scratch = &flight->collection->daemon->scratches.of_worker[worker];

	do
		measure->result = measure->step(flight, scratch);
	while (measure->result == MORE && !job_is_cancelled(job) && !job_is_waited_for(job) &&
	       !pressure_pauses(&flight->collection->daemon->pressure));
}

static void free_measure(struct flight *flight)
{
	recall_sample_release(&flight->measure->sample);
	free(flight->measure->by_codes.queries);
	free(flight->measure);
	flight->measure = NULL;
}

/* What was found is the generation's, unless some of the vectors could not be read. */
static void keep_curve(struct flight *flight)
{
	struct collection *collection = flight->collection;
	uint64_t bad_extent = row_source_bad_extent(&flight->source);
	char title[256];

	if (bad_extent != UINT64_MAX)
		upkeep_lost_vectors(collection,
		                    bad_extent * vector_file_extent_rows(collection->vectors));
	else if (flight->measure->result)
		log_error("index '%s': its recall cannot be measured: %s",
		          index_title(flight->index, title), strerror(-flight->measure->result));
	else
		recall_sample_curve(&flight->measure->sample, &flight->generation->curve);
}

static void submit(struct flight *flight);

static void measure_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	void (*then)(struct flight * flight) = flight->measure->then;

	if (job->ran && !flight->cancelled) {
		if (flight->measure->result == MORE) {
			submit(flight); /* behind those that wait */
			return;
		}
		keep_curve(flight);
	}
	free_measure(flight);
	then(flight);
}

static void submit(struct flight *flight)
{
	struct daemon *daemon = flight->collection->daemon;

	flight->measure->waits = !flight->cancelled && pressure_pauses(&daemon->pressure);
	if (flight->measure->waits)
		return; /* flight_resume() comes back */
	flight_submit(flight, LANE_BACKGROUND, "measure", measure_work, measure_done);
}

void flight_measure_resume(struct flight *flight)
{
	if (flight->measure && flight->measure->waits)
		submit(flight);
}

void flight_measure(struct flight *flight, void (*then)(struct flight *flight))
{
	const struct collection *collection = flight->collection;
	const struct record_spec *spec = &collection->entry.spec;
	uint32_t n_wanted = recall_sample_wanted(flight->pin.n_live);
	struct measure *measure = calloc(1, sizeof(*measure));

	flight->measure = measure;
	if (!measure || n_wanted == 0 ||
	    recall_sample_init(&measure->sample, n_wanted, (enum metric)spec->metric, spec->dim,
	                       (enum dtype)spec->dtype) < 0) {
		if (measure)
			free_measure(flight);
		then(flight);
		return;
	}
	measure->step = choose;
	measure->n_nodes = hnsw_covered(flight->generation->hnsw);
	measure->view = flight_view(flight);
	measure->then = then;
	row_source_init(&flight->source, collection, &flight->params, &flight->pin);
	flight_enter(flight, PHASE_MEASURE, 0);
	submit(flight);
}
