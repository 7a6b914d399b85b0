/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/hnsw_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/exact.h"

enum {
	N_CLUSTERS = 40,
	N_DISTINCT = 50,
	NEAR_FAMILY = 24,
	MAX_THREADS = 8,
	MAX_K = 256,
	OUTLIERS = 8, /* elements that are ever large */
};

/* The budget of all fixtures that are not short of memory, made once: each budget takes an arena,
 * of which a process can have but few (index/slab.h). */
static struct {
	struct budget *budget;
	uint32_t n_users;
} plenty;

static struct budget *take_budget(uint64_t limit_bytes)
{
	struct budget *budget;

	if (limit_bytes == 0 && plenty.budget) {
		plenty.n_users++;
		return plenty.budget;
	}
	assert_int_equal(budget_new(limit_bytes ? limit_bytes : 64 * SLAB_BYTES, NULL, &budget), 0);
	if (limit_bytes == 0) {
		plenty.budget = budget;
		plenty.n_users = 1;
	}
	return budget;
}

static void give_budget(struct budget *budget)
{
	struct budget_figures figures;

	if (budget == plenty.budget && --plenty.n_users > 0)
		return;
	budget_figures(budget, &figures);
	assert_int_equal(figures.used_bytes, 0);
	if (budget != plenty.budget)
		budget_free(budget);
}

static float random_float(void)
{
	return (float)(drand48() * 2 - 1);
}

static uint32_t n_centres(const struct hnsw_fixture_spec *spec)
{
	switch (spec->data) {
	case HNSW_DATA_CLUSTERED:
		return N_CLUSTERS;
	case HNSW_DATA_DUPLICATES:
		return N_DISTINCT;
	case HNSW_DATA_EQUAL:
		return 1;
	case HNSW_DATA_NEAR:
		return spec->n_rows / NEAR_FAMILY + 1;
	case HNSW_DATA_UNIFORM:
	case HNSW_DATA_OUTLIERS:
	default:
		return 0;
	}
}

/* The centre of vector i; of near ones a tenth of the families has half of them. */
static uint32_t centre_of(const struct hnsw_fixture_spec *spec, uint32_t i)
{
	uint32_t n = n_centres(spec);

	return spec->data == HNSW_DATA_NEAR && i % 2 ? i % (n / 10 + 1) : i % n;
}

/* How far vectors are from their centres: near ones from nothing that a code can tell on. */
static float spread_of(enum hnsw_data data, bool is_query)
{
	switch (data) {
	case HNSW_DATA_EQUAL:
	case HNSW_DATA_DUPLICATES:
		return is_query ? 0.2f : 0;
	case HNSW_DATA_CLUSTERED:
		return 0.1f;
	case HNSW_DATA_NEAR:
		return powf(10, (float)(-3 + 2 * drand48()));
	case HNSW_DATA_UNIFORM:
	case HNSW_DATA_OUTLIERS:
	default:
		return 1;
	}
}

static float *make_centres(const struct hnsw_fixture_spec *spec)
{
	size_t n = (size_t)n_centres(spec) * spec->dim;
	float *centres = calloc(n + 1, sizeof(float));

	assert_non_null(centres);
	for (size_t i = 0; i < n; i++)
		centres[i] = random_float();
	return centres;
}

/* n prepared vectors of that dtype around the centres. */
static void *make_rows(const struct hnsw_fixture_spec *spec, const float *centres, uint32_t n,
                       enum dtype dtype, bool are_queries)
{
	bool is_around = n_centres(spec) > 0;
	float scale = spec->scale != 0 ? spec->scale : 1;
	float *packed = calloc((size_t)n * spec->dim + 1, sizeof(float));
	float *converted = calloc((size_t)n * spec->dim + 1, sizeof(float));
	uint8_t *rows = aligned_alloc(64, (size_t)(n + 1) * vector_stride_bytes(spec->dim, dtype));
	size_t bad;

	assert_non_null(packed);
	assert_non_null(converted);
	assert_non_null(rows);
	for (uint32_t i = 0; i < n; i++) {
		float *vector = packed + (size_t)i * spec->dim;
		float spread = spread_of(spec->data, are_queries);
		const float *centre =
		        is_around ? centres + (size_t)centre_of(spec, i) * spec->dim : NULL;
		for (uint32_t d = 0; d < spec->dim; d++)
			vector[d] = scale * (spread * random_float() + (centre ? centre[d] : 0));
		if (spec->data == HNSW_DATA_OUTLIERS)
			vector[i % OUTLIERS % spec->dim] = copysignf(20 * scale, vector[0]);
	}
	assert_int_equal(vector_convert(packed, n, spec->dim, DTYPE_F32, spec->metric, dtype,
	                                converted, &bad),
	                 0);
	vector_prepare(converted, n, spec->dim, dtype, spec->metric, rows);
	free(packed);
	free(converted);
	return rows;
}

const void *hnsw_fixture_row(const struct hnsw_fixture *fixture, uint32_t row)
{
	assert_true(row < fixture->n_rows);
	return fixture->rows + (size_t)row * vector_stride_bytes(fixture->dim, fixture->dtype);
}

static const void *row_of(void *ctx, uint32_t row)
{
	return hnsw_fixture_row(ctx, row);
}

static const void *row_for_codes(void *ctx, uint64_t row)
{
	return hnsw_fixture_row(ctx, (uint32_t)row);
}

/* The codes of all rows, around their mean. */
static void make_codes(struct hnsw_fixture *fixture)
{
	uint32_t n = fixture->n_rows;

	codes_init(&fixture->codes, fixture->metric, fixture->dim, fixture->dtype, fixture->budget);
	assert_int_equal(codes_set_mean(&fixture->codes, n, row_for_codes, fixture), 0);
	assert_int_equal(codes_reserve(&fixture->codes, n), n);
	codes_encode(&fixture->codes, 0, n, fixture->rows);
}

static bool is_f16(enum hnsw_fixture_space space)
{
	return space == HNSW_FIXTURE_ROWS_F16 || space == HNSW_FIXTURE_PARTLY_F16;
}

static bool is_partly(enum hnsw_fixture_space space)
{
	return space == HNSW_FIXTURE_PARTLY || space == HNSW_FIXTURE_PARTLY_F16;
}

static void make_space(struct hnsw_fixture *fixture, enum hnsw_fixture_space space)
{
	uint32_t n = fixture->n_rows;

	hnsw_space_rows_init(&fixture->exact, fixture->metric, fixture->dim, fixture->dtype, row_of,
	                     fixture);
	fixture->space = &fixture->exact.space;
	if (space == HNSW_FIXTURE_ROWS || space == HNSW_FIXTURE_ROWS_F16)
		return;
	make_codes(fixture);
	hnsw_space_sq8_init(&fixture->sq8, &fixture->codes, is_partly(space) ? n / 2 : n, n, row_of,
	                    fixture);
	fixture->space = &fixture->sq8.space;
	if (space != HNSW_FIXTURE_WITHOUT)
		return;
	hnsw_space_without_init(&fixture->without, &fixture->sq8.space, n);
	fixture->space = &fixture->without.space;
}

void hnsw_fixture_open(struct hnsw_fixture *fixture, const struct hnsw_fixture_spec *spec)
{
	srand48(7);
	float *centres = make_centres(spec);

	*fixture = (struct hnsw_fixture){
	        .metric = spec->metric,
	        .dtype = is_f16(spec->space) ? DTYPE_F16 : DTYPE_F32,
	        .dim = spec->dim,
	        .n_rows = spec->n_rows,
	        .n_queries = spec->n_queries,
	};
	fixture->rows = make_rows(spec, centres, spec->n_rows, fixture->dtype, false);
	fixture->queries = make_rows(spec, centres, spec->n_queries, DTYPE_F32, true);
	free(centres);
	fixture->budget = take_budget(spec->limit_bytes);
	assert_int_equal(hnsw_new(&spec->params, fixture->budget, &fixture->hnsw), 0);
	make_space(fixture, spec->space);
}

void hnsw_fixture_close(struct hnsw_fixture *fixture)
{
	fixture->hnsw = hnsw_free(fixture->hnsw);
	if (fixture->space != &fixture->exact.space)
		codes_release(&fixture->codes);
	give_budget(fixture->budget);
	hnsw_scratch_release(&fixture->scratch);
	hnsw_scratch_release(&fixture->scratch);
	free(fixture->rows);
	free(fixture->queries);
}

const float *hnsw_fixture_query(const struct hnsw_fixture *fixture, uint32_t idx)
{
	return (const void *)((const uint8_t *)fixture->queries +
	                      (size_t)idx * vector_stride_bytes(fixture->dim, DTYPE_F32));
}

void hnsw_fixture_copy_row(struct hnsw_fixture *fixture, uint32_t from, uint32_t to)
{
	size_t stride = vector_stride_bytes(fixture->dim, fixture->dtype);
	uint8_t *row = fixture->rows + to * stride;

	memcpy(row, hnsw_fixture_row(fixture, from), stride);
	if (fixture->space != &fixture->exact.space)
		codes_encode(&fixture->codes, to, 1, row);
}

void hnsw_fixture_append(struct hnsw_fixture *fixture, uint32_t first, uint32_t n)
{
	uint64_t *slots = calloc(n + 1, sizeof(*slots));
	uint32_t *rows = calloc(n + 1, sizeof(*rows));

	assert_non_null(slots);
	assert_non_null(rows);
	for (uint32_t i = 0; i < n; i++) {
		rows[i] = first + i;
		slots[i] = 3 * (uint64_t)rows[i] + 1;
	}
	assert_int_equal(hnsw_reserve(fixture->hnsw, n, false), 0);
	assert_int_equal(hnsw_append(fixture->hnsw, n, slots, rows), 0);
	free(slots);
	free(rows);
}

static void *run_build(void *ctx)
{
	struct hnsw_scratch scratch = {0};

	assert_int_equal(hnsw_build_run(ctx, &scratch), 0);
	hnsw_scratch_release(&scratch);
	return NULL;
}

void hnsw_fixture_build(struct hnsw_fixture *fixture, uint32_t n_threads)
{
	struct hnsw_build build;
	pthread_t threads[MAX_THREADS];
	uint32_t n_done, n_total;

	hnsw_build_init(&build, fixture->hnsw, fixture->space);
	for (uint32_t i = 1; i < n_threads; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_build, &build), 0);
	run_build(&build);
	for (uint32_t i = 1; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	hnsw_build_progress(&build, &n_done, &n_total);
	assert_int_equal(n_done, n_total);
	assert_int_equal(hnsw_build_end(&build), hnsw_n_nodes(fixture->hnsw));
	assert_int_equal(hnsw_covered(fixture->hnsw), hnsw_n_nodes(fixture->hnsw));
}

void hnsw_fixture_fill(struct hnsw_fixture *fixture, uint32_t n_threads)
{
	hnsw_fixture_append(fixture, 0, fixture->n_rows);
	hnsw_fixture_build(fixture, n_threads);
}

uint32_t hnsw_fixture_search(struct hnsw_fixture *fixture, uint32_t idx, uint32_t k, uint32_t ef,
                             struct hit *ret_hits)
{
	struct hnsw_search search = {
	        .space = fixture->space,
	        .query = hnsw_fixture_query(fixture, idx),
	        .k = k,
	        .ef = ef,
	        .below = hnsw_covered(fixture->hnsw),
	};
	struct hnsw_search_stats stats;

	assert_int_equal(hnsw_scratch_reserve(&fixture->scratch, fixture->hnsw, fixture->space,
	                                      ef > k ? ef : k),
	                 0);
	uint32_t n = hnsw_search(fixture->hnsw, &search, &fixture->scratch, ret_hits, &stats);
	assert_true(stats.comparisons > 0 || hnsw_n_nodes(fixture->hnsw) == 0);
	assert_false(stats.is_cut);
	return n;
}

uint32_t hnsw_fixture_exact(const struct hnsw_fixture *fixture, uint32_t idx, uint32_t n,
                            uint32_t k, struct hit *ret_hits)
{
	struct topk best;
	uint64_t *mask = malloc((n / 64 + 1) * sizeof(*mask));
	struct exact_scan scan = {
	        .kernels = kernels_best(fixture->dtype),
	        .metric = fixture->metric,
	        .dim = fixture->dim,
	        .n_queries = 1,
	        .queries = hnsw_fixture_query(fixture, idx),
	        .best = &best,
	};
	struct exact_rows rows = {.rows = fixture->rows, .n = n, .mask = mask};

	assert_non_null(mask);
	memset(mask, 0, (n / 64 + 1) * sizeof(*mask));
	for (uint32_t i = 0; i < n; i++) {
		if (i >= hnsw_n_nodes(fixture->hnsw) || !hnsw_is_dead(fixture->hnsw, i))
			mask[i / 64] |= UINT64_C(1) << (i % 64);
	}
	topk_init(&best, ret_hits, k);
	exact_scan_rows(&scan, &rows);
	topk_sort(&best);
	free(mask);
	return (uint32_t)best.n;
}

static void assert_answer(const struct hnsw_fixture *fixture, const float *query,
                          const struct hit *hits, uint32_t n)
{
	const struct hnsw_space *space = &fixture->exact.space;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = (uint32_t)hits[i].row_idx;
		float distance;
		space->distances(space, query, &row, 1, INFINITY, &distance);
		assert_memory_equal(&distance, &hits[i].distance, sizeof(distance));
		if (i == 0)
			continue;
		assert_true(hits[i - 1].distance < hits[i].distance ||
		            (hits[i - 1].distance == hits[i].distance &&
		             hits[i - 1].row_idx < hits[i].row_idx));
	}
}

double hnsw_fixture_recall(struct hnsw_fixture *fixture, uint32_t k, uint32_t ef)
{
	struct hit hits[MAX_K], exact[MAX_K];
	uint64_t n_found = 0, n_asked = 0;

	assert_true(k <= MAX_K);
	for (uint32_t q = 0; q < fixture->n_queries; q++) {
		uint32_t n_exact =
		        hnsw_fixture_exact(fixture, q, hnsw_covered(fixture->hnsw), k, exact);
		uint32_t n = hnsw_fixture_search(fixture, q, k, ef, hits);
		assert_answer(fixture, hnsw_fixture_query(fixture, q), hits, n);
		for (uint32_t i = 0; i < n; i++)
			n_found += hits[i].distance <= exact[n_exact - 1].distance;
		n_asked += n_exact;
	}
	return n_asked ? (double)n_found / (double)n_asked : 1;
}

uint32_t hnsw_fixture_n_dead(const struct hnsw_fixture *fixture)
{
	uint32_t n = 0;

	for (uint32_t node = 0; node < hnsw_n_nodes(fixture->hnsw); node++)
		n += hnsw_is_dead(fixture->hnsw, node);
	return n;
}

void hnsw_fixture_assert_sound(const struct hnsw_fixture *fixture)
{
	struct hnsw_check_report report;

	int r = hnsw_check(fixture->hnsw, &report);
	assert_null(report.fault);
	assert_int_equal(r, 0);
	assert_int_equal(report.n_nodes, hnsw_covered(fixture->hnsw));
	assert_int_equal(report.n_reachable, report.n_nodes);
}

void hnsw_fixture_assert_recall(const struct hnsw_fixture_spec *spec, uint32_t k, uint32_t ef,
                                double least)
{
	struct hnsw_fixture fixture;

	hnsw_fixture_open(&fixture, spec);
	hnsw_fixture_fill(&fixture, 1);
	hnsw_fixture_assert_sound(&fixture);
	double recall = hnsw_fixture_recall(&fixture, k, ef);
	if (recall < least)
		fail_msg("space %d, metric %d, data %d, dim %u: recall %.4f is below %.4f",
		         (int)spec->space, (int)spec->metric, (int)spec->data, spec->dim, recall,
		         least);
	hnsw_fixture_close(&fixture);
}
