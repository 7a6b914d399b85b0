/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/local_graph.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "index/codes.h"
#include "index/hnsw.h"
#include "index/hnsw_space_sq8.h"

#define LEVEL_SEED 1

struct local_graph {
	const struct row_set *rows;
	struct hnsw *hnsw;
	struct codes codes;
	struct hnsw_space_sq8 space;
	struct hnsw_scratch scratch;
	char *queries; /* prepared, in rows of the row set's stride */
};

/* Rows that the codes' mean is taken of. */
#define MEAN_ROWS 4096

static const void *row_of(void *ctx, uint32_t row)
{
	const struct row_set *rows = ctx;
	const char *extent = rows->extents[row / rows->extent_rows];

	return (const void *)(extent + (size_t)(row % rows->extent_rows) * rows->stride_bytes);
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

static int encode_rows(struct local_graph *graph)
{
	const struct row_set *rows = graph->rows;
	size_t n = rows->dataset->n_base;
	size_t n_mean = n < MEAN_ROWS ? n : MEAN_ROWS;
	const void *of_mean[MEAN_ROWS] = {0};
	int r;

	for (size_t i = 0; i < n_mean; i++)
		of_mean[i] = row_of((void *)rows, (uint32_t)(i * n / n_mean));
	r = codes_set_mean(&graph->codes, of_mean, n_mean);
	if (r == 0 && codes_reserve(&graph->codes, n) < n)
		r = -ENOMEM;
	for (uint32_t first = 0; first < n && !r; first += rows->extent_rows) {
		size_t left = n - first;

		codes_encode(&graph->codes, first,
		             left < rows->extent_rows ? left : rows->extent_rows,
		             row_of((void *)rows, first));
	}
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

	hnsw_build_init(&build, graph->hnsw, &graph->space.space);
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

int local_graph_build(const struct row_set *rows, const struct graph_spec *spec,
                      struct local_graph **ret)
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
	graph->rows = rows;
	codes_init(&graph->codes, rows->metric, rows->dataset->dim, DTYPE_F32, rows->budget);
	r = hnsw_new(&params, rows->budget, &graph->hnsw);
	if (!r) {
		r = encode_rows(graph);
		hnsw_space_sq8_init(&graph->space, &graph->codes, rows->dataset->n_base,
		                    rows->dataset->n_base, row_of, (void *)rows);
		r = r ? r : append_rows(graph);
	}
	r = r ? r : insert_rows(graph, spec->n_threads);
	r = r ? r : prepare_queries(graph);
	if (r) {
		local_graph_free(graph);
		return r > 0 ? -ENOMEM : r;
	}
	*ret = graph;
	return 0;
}

struct local_graph *local_graph_free(struct local_graph *graph)
{
	if (!graph)
		return NULL;
	hnsw_free(graph->hnsw);
	codes_release(&graph->codes);
	hnsw_scratch_release(&graph->scratch);
	free(graph->queries);
	free(graph);
	return NULL;
}

uint64_t local_graph_bytes(const struct local_graph *graph)
{
	uint64_t granted;
	uint64_t spilled;

	hnsw_bytes(graph->hnsw, &granted, &spilled);
	return granted + spilled + codes_bytes(&graph->codes);
}

int local_graph_search(struct local_graph *graph, size_t query_idx, uint32_t k, uint32_t ef,
                       uint64_t *ret_rows, uint64_t *ret_comparisons)
{
	struct hit hits[ROW_SET_MAX_K];
	struct hnsw_search_stats stats;
	struct hnsw_search search = {
	        .space = &graph->space.space,
	        .query = (const void *)(graph->queries + query_idx * graph->rows->stride_bytes),
	        .k = k,
	        .ef = ef,
	        .below = hnsw_covered(graph->hnsw),
	};
	int r = hnsw_scratch_reserve(&graph->scratch, graph->hnsw, &graph->space.space, ef);

	if (r)
		return r;
	if (hnsw_search(graph->hnsw, &search, &graph->scratch, hits, &stats) != k)
		return -EBADMSG;
	for (uint32_t i = 0; i < k; i++)
		ret_rows[i] = hits[i].row_idx;
	if (ret_comparisons)
		*ret_comparisons = stats.comparisons;
	return 0;
}
