/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/local_graph.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "index/codes.h"
#include "index/hnsw_space_rows.h"
#include "index/hnsw_space_sq8.h"
#include "tests/bench/sample.h"

#define LEVEL_SEED 1

#define CUTS 10
#define CUT_ROWS 1000 /* more are inserted before each cut */
#define WATCH_US 100
#define STUCK_MS 10e3 /* as long as nobody waits who is told of progress */

struct local_graph {
	const struct row_set *rows;
	struct hnsw *hnsw;
	struct codes codes; /* empty over rows */
	struct hnsw_space_sq8 over_codes;
	struct hnsw_space_rows over_rows;
	const struct hnsw_space *space; /* one of the two */
	char *queries;                  /* prepared, in rows of the row set's stride */
};

static const void *row_of(void *ctx, uint32_t row)
{
	return row_set_row(ctx, row);
}

static int append_rows(struct local_graph *graph)
{
	uint32_t n = (uint32_t)graph->rows->dataset->n_base;
	uint64_t *slots = calloc(n, sizeof(*slots));
	uint32_t *rows = calloc(n, sizeof(*rows));
	int r = slots && rows ? hnsw_reserve(graph->hnsw, n, false) : -ENOMEM;

	for (uint32_t i = 0; i < n && !r; i++) {
		slots[i] = i + 1;
		rows[i] = i;
	}
	r = r ? r : hnsw_append(graph->hnsw, n, slots, rows);
	free(slots);
	free(rows);
	return r;
}

static void *run_build(void *ctx)
{
	struct hnsw_scratch scratch = {0};

	/* One without memory leaves its share to the others; none at all shows at the end. */
	(void)hnsw_build_run(ctx, &scratch);
	hnsw_scratch_release(&scratch);
	return NULL;
}

static int insert_rows(struct local_graph *graph, uint32_t n_threads)
{
	struct hnsw_build build;
	pthread_t threads[GRAPH_SPEC_MAX_THREADS];
	uint32_t n_started = 1;

	hnsw_build_init(&build, graph->hnsw, graph->space);
	while (n_started < n_threads &&
	       pthread_create(&threads[n_started], NULL, run_build, &build) == 0)
		n_started++;
	run_build(&build);
	for (uint32_t i = 1; i < n_started; i++)
		pthread_join(threads[i], NULL);
	return hnsw_build_end(&build) == graph->rows->dataset->n_base ? 0 : -ENOMEM;
}

static int prepare_queries(struct local_graph *graph)
{
	const struct row_set *rows = graph->rows;
	const struct dataset *dataset = rows->dataset;

	graph->queries = aligned_alloc(64, dataset->n_queries * rows->stride_bytes);
	if (!graph->queries)
		return -ENOMEM;
	vector_prepare(dataset->queries, dataset->n_queries, dataset->dim, DTYPE_F32, rows->metric,
	               graph->queries);
	return 0;
}

static int make_space(struct local_graph *graph, enum local_graph_over over)
{
	const struct row_set *rows = graph->rows;
	const struct dataset *dataset = rows->dataset;
	int r;

	if (over == LOCAL_GRAPH_OVER_ROWS) {
		hnsw_space_rows_init(&graph->over_rows, rows->metric, dataset->dim, rows->dtype,
		                     row_of, (void *)rows);
		graph->space = &graph->over_rows.space;
		return 0;
	}
	r = row_set_encode(rows, &graph->codes);
	if (r)
		return r;
	hnsw_space_sq8_init(&graph->over_codes, &graph->codes, dataset->n_base, dataset->n_base,
	                    row_of, (void *)rows);
	graph->space = &graph->over_codes.space;
	return 0;
}

/* Empty, with all rows appended. */
static int prepare(const struct row_set *rows, enum local_graph_over over,
                   const struct graph_spec *spec, struct local_graph **ret)
{
	struct hnsw_params params = {
	        .M = spec->M,
	        .ef_construction = spec->ef_construction,
	        .seed = LEVEL_SEED,
	};
	struct local_graph *graph = calloc(1, sizeof(*graph));
	int r;

	if (!graph)
		return -ENOMEM;
	*ret = graph;
	graph->rows = rows;
	codes_init(&graph->codes, rows->metric, rows->dataset->dim, rows->dtype, rows->budget);
	r = hnsw_new(&params, rows->budget, &graph->hnsw);
	r = r ? r : make_space(graph, over);
	return r ? r : append_rows(graph);
}

int local_graph_build(const struct row_set *rows, enum local_graph_over over,
                      const struct graph_spec *spec, struct local_graph **ret)
{
	struct local_graph *graph = NULL;
	int r = prepare(rows, over, spec, &graph);

	r = r ? r : insert_rows(graph, spec->n_threads);
	r = r ? r : prepare_queries(graph);
	if (r) {
		local_graph_free(graph);
		return r > 0 ? -ENOMEM : r;
	}
	*ret = graph;
	return 0;
}

/* Returns when n nodes are inserted, or all, or nothing happens any more. */
static void watch(const struct hnsw_build *build, uint32_t n, struct local_graph_cuts *cuts)
{
	uint64_t since = clock_ns();
	uint32_t before = 0, done, total;
	double still_ms;

	do {
		usleep(WATCH_US);
		hnsw_build_progress(build, &done, &total);
		still_ms = elapsed_us(since) * 1e-3;
		if (still_ms > cuts->progress_ms)
			cuts->progress_ms = still_ms;
		if (done != before)
			since = clock_ns();
		before = done;
	} while (done < n && done < total && still_ms < STUCK_MS);
}

/* One build, cancelled when n nodes are inserted. */
static int cut_at(struct local_graph *graph, uint32_t n_threads, uint32_t n,
                  struct local_graph_cuts *cuts)
{
	struct hnsw_build build;
	pthread_t threads[GRAPH_SPEC_MAX_THREADS];
	uint32_t n_started = 0;
	uint64_t start;
	double ms;

	hnsw_build_init(&build, graph->hnsw, graph->space);
	while (n_started < n_threads &&
	       pthread_create(&threads[n_started], NULL, run_build, &build) == 0)
		n_started++;
	watch(&build, n, cuts);
	start = clock_ns();
	hnsw_build_cancel(&build);
	for (uint32_t i = 0; i < n_started; i++)
		pthread_join(threads[i], NULL);
	ms = elapsed_us(start) * 1e-3;
	cuts->cancel_ms = ms > cuts->cancel_ms ? ms : cuts->cancel_ms;
	return hnsw_build_end(&build) >= n ? 0 : -ENOMEM;
}

int local_graph_cut(const struct row_set *rows, const struct graph_spec *spec,
                    struct local_graph_cuts *ret)
{
	uint32_t n_rows = (uint32_t)rows->dataset->n_base;
	int r = 0;

	*ret = (struct local_graph_cuts){0};
	for (uint32_t i = 1; i <= CUTS && !r; i++) {
		uint32_t n = i * CUT_ROWS < n_rows / 2 ? i * CUT_ROWS : n_rows / 2;
		struct local_graph *graph = NULL;

		r = prepare(rows, LOCAL_GRAPH_OVER_CODES, spec, &graph);
		r = r ? r : cut_at(graph, spec->n_threads, n, ret);
		local_graph_free(graph);
	}
	return r > 0 ? -ENOMEM : r;
}

struct local_graph *local_graph_free(struct local_graph *graph)
{
	if (!graph)
		return NULL;
	hnsw_free(graph->hnsw);
	codes_release(&graph->codes);
	free(graph->queries);
	free(graph);
	return NULL;
}

uint64_t local_graph_bytes(const struct local_graph *graph)
{
	const struct row_set *rows = graph->rows;
	uint64_t granted;
	uint64_t spilled;

	hnsw_bytes(graph->hnsw, &granted, &spilled);
	if (graph->space == &graph->over_codes.space)
		return granted + spilled + codes_bytes(&graph->codes);
	return granted + spilled + rows->dataset->n_base * rows->stride_bytes;
}

int local_graph_search(const struct local_graph *graph, struct hnsw_scratch *scratch,
                       size_t query_idx, uint32_t k, uint32_t ef, uint64_t *ret_rows,
                       struct hnsw_search_stats *ret_stats)
{
	struct hit hits[ROW_SET_MAX_K];
	struct hnsw_search_stats stats;
	struct hnsw_search search = {
	        .space = graph->space,
	        .query = (const void *)(graph->queries + query_idx * graph->rows->stride_bytes),
	        .k = k,
	        .ef = ef,
	        .below = hnsw_covered(graph->hnsw),
	};
	int r = hnsw_scratch_reserve(scratch, graph->hnsw, graph->space, ef);

	if (r)
		return r;
	if (hnsw_search(graph->hnsw, &search, scratch, hits, &stats) != k)
		return -EBADMSG;
	for (uint32_t i = 0; i < k; i++)
		ret_rows[i] = hits[i].row_idx;
	if (ret_stats)
		*ret_stats = stats;
	return 0;
}
