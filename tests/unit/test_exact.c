/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/exact.h"

enum {
	MAX_QUERIES = 18,
	MAX_K = 50,
	FIRST_ROW = 1000
};

/* Rows and queries of one collection, as the scan wants them, and who takes part. */
struct world {
	enum metric metric;
	uint32_t dim;
	uint32_t n_rows;
	uint32_t n_queries;
	float *rows;
	uint16_t *halves; /* rows of f16 with the values of `rows`; may be NULL */
	float *queries;
	uint64_t *mask;
};

static float *prepared(uint32_t n, uint32_t dim, enum metric metric)
{
	float *packed = calloc((size_t)n * dim, sizeof(float));
	float *rows = aligned_alloc(64, (size_t)n * vector_stride_bytes(dim, DTYPE_F32));

	assert_non_null(packed);
	assert_non_null(rows);
	for (size_t i = 0; i < (size_t)n * dim; i++)
		packed[i] = (float)(drand48() * 2 - 0.8);
	vector_prepare(packed, n, dim, DTYPE_F32, metric, rows);
	free(packed);
	return rows;
}

static struct world make_world(enum metric metric, uint32_t dim, uint32_t n_rows,
                               uint32_t n_queries)
{
	struct world world = {
	        .metric = metric,
	        .dim = dim,
	        .n_rows = n_rows,
	        .n_queries = n_queries,
	        .rows = prepared(n_rows, dim, metric),
	        .queries = prepared(n_queries, dim, metric),
	        .mask = calloc(n_rows / 64 + 1, sizeof(uint64_t)),
	};
	for (uint32_t i = 0; i < n_rows; i++)
		world.mask[i / 64] |= UINT64_C(1) << (i % 64);
	return world;
}

static void free_world(struct world *world)
{
	free(world->rows);
	free(world->halves);
	free(world->queries);
	free(world->mask);
}

static size_t n_floats(const struct world *world)
{
	return vector_stride_bytes(world->dim, DTYPE_F32) / sizeof(float);
}

static const float *row_at(const struct world *world, uint32_t i)
{
	return world->rows + i * n_floats(world);
}

/* Rounds the rows to f16. */
static void make_halves(struct world *world)
{
	size_t stride = vector_stride_bytes(world->dim, DTYPE_F16);

	world->halves = aligned_alloc(64, world->n_rows * stride);
	assert_non_null(world->halves);
	memset(world->halves, 0, world->n_rows * stride);
	for (uint32_t i = 0; i < world->n_rows; i++) {
		float *row = world->rows + i * n_floats(world);
		uint16_t *half = world->halves + i * stride / 2;

		dtype_convert(row, DTYPE_F32, world->dim, DTYPE_F16, half);
		dtype_convert(half, DTYPE_F16, world->dim, DTYPE_F32, row);
	}
}

static const void *stored_at(const struct world *world, uint32_t i, enum dtype dtype)
{
	if (dtype == DTYPE_F32)
		return row_at(world, i);
	return world->halves + i * (size_t)vector_stride_bytes(world->dim, DTYPE_F16) / 2;
}

struct answer {
	struct hit hits[MAX_QUERIES][MAX_K];
	struct topk best[MAX_QUERIES];
	uint64_t comparisons;
};

/* Scans in stretches of `stretch` rows (a multiple of 64), queries [first, first + n). */
static void scan(const struct world *world, const struct kernels *kernels, size_t k,
                 uint32_t first_query, uint32_t n, uint32_t stretch, struct answer *ret)
{
	struct exact_scan scan = {
	        .kernels = kernels,
	        .metric = world->metric,
	        .dim = world->dim,
	        .n_queries = n,
	        .queries = world->queries + first_query * n_floats(world),
	        .best = ret->best,
	};

	for (uint32_t q = 0; q < n; q++)
		topk_init(&ret->best[q], ret->hits[q], k);
	for (uint32_t at = 0; at < world->n_rows; at += stretch) {
		struct exact_rows rows = {
		        .rows = stored_at(world, at, kernels->dtype),
		        .first = FIRST_ROW + at,
		        .n = world->n_rows - at < stretch ? world->n_rows - at : stretch,
		        .mask = world->mask + at / 64,
		};
		exact_scan_rows(&scan, &rows);
	}
	for (uint32_t q = 0; q < n; q++)
		topk_sort(&ret->best[q]);
	ret->comparisons = scan.comparisons;
}

static double exact_distance(const struct world *world, const float *a, const float *b)
{
	double l2 = 0, dot = 0;

	for (uint32_t i = 0; i < world->dim; i++) {
		double d = (double)a[i] - b[i];
		l2 += d * d;
		dot += (double)a[i] * b[i];
	}
	return world->metric == METRIC_L2 ? l2 : 1 - dot;
}

static int smaller_first(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The answer to one query against distances in f64: right to rounding, and nobody nearer left
 * out by more than that. */
static void check_query(const struct world *world, const struct topk *best, uint32_t query)
{
	const float *q = world->queries + query * n_floats(world);
	double *all = calloc(world->n_rows, sizeof(*all));
	uint32_t n = 0;

	for (uint32_t i = 0; i < world->n_rows; i++)
		if (world->mask[i / 64] >> (i % 64) & 1)
			all[n++] = exact_distance(world, row_at(world, i), q);
	qsort(all, n, sizeof(*all), smaller_first);
	assert_int_equal(best->n, n < best->k ? n : best->k);
	for (size_t i = 0; i < best->n; i++) {
		uint32_t row = (uint32_t)(best->hits[i].row_idx - FIRST_ROW);
		double exact = exact_distance(world, row_at(world, row), q);
		double slack = 1e-5 * (1 + fabs(exact) + world->dim);
		assert_true(world->mask[row / 64] >> (row % 64) & 1);
		assert_true(fabs(best->hits[i].distance - exact) < slack);
		assert_true(fabs(best->hits[i].distance - all[i]) < slack);
		if (i > 0)
			assert_true(best->hits[i - 1].distance < best->hits[i].distance ||
			            (best->hits[i - 1].distance == best->hits[i].distance &&
			             best->hits[i - 1].row_idx < best->hits[i].row_idx));
	}
	free(all);
}

static void check_sets(const struct world *world, enum dtype dtype)
{
	static struct answer answer;

	for (const struct kernels *const *set = kernels_all(dtype); *set; set++) {
		scan(world, *set, 10, 0, 6, 576, &answer);
		for (uint32_t q = 0; q < 6; q++)
			check_query(world, &answer.best[q], q);
		assert_int_equal(answer.comparisons, 517 * 6);
	}
}

static void every_metric_dtype_and_set_finds_the_nearest(void **state)
{
	static const uint32_t dims[] = {1, 3, 16, 33, 100, 784};

	(void)state;
	srand48(1);
	for (enum metric metric = 0; metric < 3; metric++)
		for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++) {
			struct world world = make_world(metric, dims[d], 517, 6);

			check_sets(&world, DTYPE_F32);
			make_halves(&world);
			check_sets(&world, DTYPE_F16);
			free_world(&world);
		}
}

static void only_rows_of_the_mask_take_part(void **state)
{
	static struct answer answer;

	(void)state;
	srand48(2);
	for (int keep = 1; keep < 100; keep += 14) {
		struct world world = make_world(METRIC_L2, 20, 300, 5);
		uint64_t n = 0;
		for (uint32_t i = 0; i < world.n_rows; i++)
			if (lrand48() % keep)
				world.mask[i / 64] &= ~(UINT64_C(1) << (i % 64));
			else
				n++;
		scan(&world, kernels_best(DTYPE_F32), MAX_K, 0, 5, 320, &answer);
		for (uint32_t q = 0; q < 5; q++)
			check_query(&world, &answer.best[q], q);
		assert_int_equal(answer.comparisons, n * 5);
		free_world(&world);
	}
}

static void check_same(const struct topk *a, const struct topk *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_memory_equal(&a->hits[i].distance, &b->hits[i].distance, sizeof(float));
		assert_int_equal(a->hits[i].row_idx, b->hits[i].row_idx);
	}
}

static void many_queries_get_the_bits_of_each_alone(void **state)
{
	static struct answer together, alone;

	(void)state;
	srand48(3);
	for (enum metric metric = 0; metric < 3; metric++)
		for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
			for (uint32_t n = 1; n <= MAX_QUERIES; n++) {
				struct world world = make_world(metric, 65, 200, n);
				scan(&world, *set, 7, 0, n, 256, &together);
				for (uint32_t q = 0; q < n; q++) {
					scan(&world, *set, 7, q, 1, 256, &alone);
					check_same(&together.best[q], &alone.best[0]);
				}
				free_world(&world);
			}
}

static void stretches_do_not_change_the_answer(void **state)
{
	static struct answer whole, pieces;

	(void)state;
	srand48(4);
	struct world world = make_world(METRIC_COSINE, 48, 1000, 5);
	world.mask[3] = 0;
	world.mask[4] = UINT64_C(1) << 63;
	scan(&world, kernels_best(DTYPE_F32), 20, 0, 5, 1024, &whole);
	for (uint32_t stretch = 64; stretch < 1024; stretch += 64) {
		scan(&world, kernels_best(DTYPE_F32), 20, 0, 5, stretch, &pieces);
		for (uint32_t q = 0; q < 5; q++)
			check_same(&whole.best[q], &pieces.best[q]);
		assert_int_equal(pieces.comparisons, whole.comparisons);
	}
	free_world(&world);
}

static void equal_rows_come_in_the_order_of_rows(void **state)
{
	static struct answer answer;

	(void)state;
	srand48(5);
	struct world world = make_world(METRIC_L2, 10, 200, 5);
	for (uint32_t i = 1; i < world.n_rows; i++)
		memcpy(world.rows + i * n_floats(&world), world.rows,
		       vector_stride_bytes(10, DTYPE_F32));
	scan(&world, kernels_best(DTYPE_F32), 30, 0, 5, 256, &answer);
	for (uint32_t q = 0; q < 5; q++)
		for (uint32_t i = 0; i < 30; i++)
			assert_int_equal(answer.best[q].hits[i].row_idx, FIRST_ROW + i);
	free_world(&world);
}

static void a_cosine_distance_is_never_negative(void **state)
{
	static const uint32_t dims[] = {2, 3, 17, 100, 1536};
	static struct answer answer;

	(void)state;
	srand48(6);
	for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
		for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++) {
			struct world world = make_world(METRIC_COSINE, dims[d], 200, MAX_QUERIES);
			memcpy(world.queries, world.rows,
			       (size_t)MAX_QUERIES * vector_stride_bytes(dims[d], DTYPE_F32));
			scan(&world, *set, 1, 0, MAX_QUERIES, 256, &answer);
			for (uint32_t q = 0; q < MAX_QUERIES; q++) {
				assert_true(answer.best[q].hits[0].distance >= 0);
				assert_true(answer.best[q].hits[0].distance < 1e-6f);
			}
			free_world(&world);
		}
}

static void no_rows_and_no_queries_are_no_work(void **state)
{
	static struct answer answer;

	(void)state;
	srand48(7);
	struct world world = make_world(METRIC_IP, 8, 100, 2);
	scan(&world, kernels_best(DTYPE_F32), 3, 0, 0, 128, &answer);
	assert_int_equal(answer.comparisons, 0);
	world.mask[0] = world.mask[1] = 0;
	scan(&world, kernels_best(DTYPE_F32), 3, 0, 2, 128, &answer);
	assert_int_equal(answer.comparisons, 0);
	assert_int_equal(answer.best[0].n, 0);
	free_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_metric_dtype_and_set_finds_the_nearest),
	        cmocka_unit_test(only_rows_of_the_mask_take_part),
	        cmocka_unit_test(many_queries_get_the_bits_of_each_alone),
	        cmocka_unit_test(stretches_do_not_change_the_answer),
	        cmocka_unit_test(equal_rows_come_in_the_order_of_rows),
	        cmocka_unit_test(a_cosine_distance_is_never_negative),
	        cmocka_unit_test(no_rows_and_no_queries_are_no_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
