/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "index/exact_codes.h"

enum {
	MAX_QUERIES = 9,
	MAX_K = 100,
	MAX_DIM = 4096,
	N_CLUSTERS = 20,
};

enum data {
	DATA_RANDOM,
	DATA_CLUSTERS, /* far from each other and from the mean */
	DATA_EQUAL,
	DATA_DUPLICATES, /* of a few vectors */
	DATA_NEAR,       /* of a few vectors, off by less than codes can tell */
	DATA_TIES,       /* small integers: many distances are equal, of vectors that are not */
	DATA_OUTLIER,    /* an element near the largest that is let in */
	DATA_TINY,       /* squares vanish */
	N_DATA,
};

/* The rows of a collection, with codes of all, and queries. One budget is for all worlds. */
struct world {
	enum metric metric;
	enum dtype dtype;
	uint32_t dim;
	uint32_t n_rows;
	uint32_t n_queries;
	uint8_t *rows;
	float *queries;
	struct codes codes;
	uint64_t bad_row; /* cannot be read; UINT64_MAX: none */
};

static struct budget *budget;

static float uniform(void)
{
	return (float)(drand48() * 2 - 1);
}

/* Element i of a centre; never zero, which no vector may be in one dimension. */
static float centre(uint32_t cluster, uint32_t i)
{
	return sinf((float)(cluster * 131 + i * (cluster + 1) + 1));
}

static void fill(float *packed, uint32_t dim, enum data data)
{
	uint32_t cluster = (uint32_t)lrand48() % N_CLUSTERS;
	uint32_t outlier = (uint32_t)lrand48() % dim;

	for (uint32_t i = 0; i < dim; i++) {
		float x = uniform();

		switch (data) {
		case DATA_CLUSTERS:
			packed[i] = 100 * centre(cluster, i) + x;
			break;
		case DATA_EQUAL:
			packed[i] = centre(0, i);
			break;
		case DATA_DUPLICATES:
			packed[i] = centre(cluster, i);
			break;
		case DATA_NEAR:
			packed[i] = centre(cluster % 3, i) + x * 1e-5f;
			break;
		case DATA_TIES:
			packed[i] = (float)(lrand48() % 3);
			break;
		case DATA_OUTLIER:
			packed[i] = i == outlier ? copysignf(6e18f, x) : x;
			break;
		case DATA_TINY:
			packed[i] = x * 1e-22f;
			break;
		case DATA_RANDOM:
		case N_DATA:
		default:
			packed[i] = x;
			break;
		}
	}
	if (data == DATA_TIES)
		packed[outlier] += 1;
}

/* n prepared vectors; what f16 cannot hold is made again, and then random. */
static void *prepared(uint32_t n, uint32_t dim, enum metric metric, enum dtype dtype,
                      enum data data)
{
	uint32_t stride = vector_stride_bytes(dim, dtype);
	uint8_t *rows = aligned_alloc(64, (size_t)(n + 1) * stride);
	float packed[MAX_DIM];
	float converted[MAX_DIM];
	size_t bad;

	assert_non_null(rows);
	for (uint32_t i = 0; i < n; i++) {
		fill(packed, dim, data);
		if (vector_convert(packed, 1, dim, DTYPE_F32, metric, dtype, converted, &bad) !=
		    0) {
			fill(packed, dim, DATA_RANDOM);
			vector_convert(packed, 1, dim, DTYPE_F32, metric, dtype, converted, &bad);
		}
		vector_prepare(converted, 1, dim, dtype, metric, rows + (size_t)i * stride);
	}
	return rows;
}

static const void *row_at(const struct world *world, uint64_t row)
{
	return world->rows + row * vector_stride_bytes(world->dim, world->dtype);
}

static const void *row_of(void *ctx, uint64_t row)
{
	const struct world *world = ctx;

	assert_true(row < world->n_rows);
	return row == world->bad_row ? NULL : row_at(world, row);
}

/* The mean is that of the first rows. */
static void make_codes(struct world *world)
{
	uint32_t n = world->n_rows < 100 ? world->n_rows : 100;

	codes_init(&world->codes, world->metric, world->dim, world->dtype, budget);
	assert_int_equal(codes_set_mean(&world->codes, n, row_of, world), 0);
	assert_int_equal(codes_reserve(&world->codes, world->n_rows), world->n_rows);
	codes_encode(&world->codes, 0, world->n_rows, world->rows);
}

static void make_world(struct world *world, enum metric metric, enum dtype dtype, uint32_t dim,
                       uint32_t n_rows, uint32_t n_queries, enum data data)
{
	*world = (struct world){
	        .metric = metric,
	        .dtype = dtype,
	        .dim = dim,
	        .n_rows = n_rows,
	        .n_queries = n_queries,
	        .bad_row = UINT64_MAX,
	        .rows = prepared(n_rows, dim, metric, dtype, data),
	        .queries = prepared(n_queries, dim, metric, DTYPE_F32, data),
	};
	/* One query is a row itself. */
	if (n_rows > 0)
		dtype_convert(row_at(world, n_rows / 2), dtype, dim, DTYPE_F32, world->queries);
	make_codes(world);
}

static void free_world(struct world *world)
{
	codes_release(&world->codes);
	free(world->rows);
	free(world->queries);
}

/* Who takes part of a stretch: bit i is row first + i. */
struct part {
	uint32_t first;
	uint32_t n;
	uint64_t *mask;
};

/* Every row, or one of `holes`, or whole words of none. */
static struct part make_part(uint32_t first, uint32_t n, uint32_t holes)
{
	struct part part = {
	        .first = first,
	        .n = n,
	        .mask = calloc(n / 64 + 1, sizeof(uint64_t)),
	};

	assert_non_null(part.mask);
	for (uint32_t i = 0; i < n; i++) {
		if (holes > 0 && (lrand48() % holes != 0 || i / 64 % 5 == 3))
			continue;
		part.mask[i / 64] |= UINT64_C(1) << (i % 64);
	}
	return part;
}

struct answer {
	struct hit hits[MAX_QUERIES][MAX_K];
	struct topk best[MAX_QUERIES];
	struct exact_scan scan;
};

static void begin(const struct world *world, size_t k, const struct kernels *kernels,
                  struct answer *ret)
{
	ret->scan = (struct exact_scan){
	        .kernels = kernels,
	        .metric = world->metric,
	        .dim = world->dim,
	        .n_queries = world->n_queries,
	        .queries = world->queries,
	        .best = ret->best,
	};
	for (uint32_t q = 0; q < world->n_queries; q++)
		topk_init(&ret->best[q], ret->hits[q], k);
}

/* Rows [from, from + n) of the part, from a multiple of 64. */
static void scan_rows(const struct world *world, const struct part *part, uint32_t from, uint32_t n,
                      struct answer *answer)
{
	struct exact_rows rows = {
	        .rows = row_at(world, part->first + from),
	        .first = part->first + from,
	        .n = n,
	        .mask = part->mask + from / 64,
	};

	exact_scan_rows(&answer->scan, &rows);
}

static int scan_codes(struct world *world, const struct part *part, uint32_t from, uint32_t n,
                      struct answer *answer, uint64_t *ret_read)
{
	struct exact_codes by_codes = {
	        .scan = &answer->scan,
	        .codes = &world->codes,
	        .queries =
	                aligned_alloc(64, exact_codes_bytes(&world->codes, world->n_queries) + 64),
	        .row_of = row_of,
	        .ctx = world,
	};
	uint32_t middle = n / 128 * 64;

	assert_non_null(by_codes.queries);
	exact_codes_prepare(&by_codes);
	int r = exact_codes_scan(&by_codes, part->first + from, middle, part->mask + from / 64);
	if (r == 0)
		r = exact_codes_scan(&by_codes, part->first + from + middle, n - middle,
		                     part->mask + (from + middle) / 64);
	*ret_read = by_codes.n_read;
	free(by_codes.queries);
	return r;
}

static void assert_same(const struct world *world, struct answer *a, struct answer *b)
{
	assert_int_equal(a->scan.comparisons, b->scan.comparisons);
	for (uint32_t q = 0; q < world->n_queries; q++) {
		assert_int_equal(a->best[q].n, b->best[q].n);
		topk_sort(&a->best[q]);
		topk_sort(&b->best[q]);
		for (size_t i = 0; i < a->best[q].n; i++) {
			assert_int_equal(a->hits[q][i].row_idx, b->hits[q][i].row_idx);
			assert_memory_equal(&a->hits[q][i].distance, &b->hits[q][i].distance,
			                    sizeof(float));
		}
	}
}

/* By rows alone, by codes alone, and by rows as far as the middle and codes from there. */
static void check_part(struct world *world, const struct part *part, size_t k)
{
	static struct answer expected, by_codes, by_both;
	uint32_t middle = part->n / 128 * 64;
	uint64_t n_read;

	for (const struct kernels *const *set = kernels_all(world->dtype); *set; set++) {
		begin(world, k, *set, &expected);
		begin(world, k, *set, &by_codes);
		begin(world, k, *set, &by_both);
		scan_rows(world, part, 0, part->n, &expected);
		assert_int_equal(scan_codes(world, part, 0, part->n, &by_codes, &n_read), 0);
		assert_true(n_read <= by_codes.scan.comparisons);
		assert_same(world, &expected, &by_codes);
		begin(world, k, *set, &expected);
		scan_rows(world, part, 0, part->n, &expected);
		scan_rows(world, part, 0, middle, &by_both);
		assert_int_equal(
		        scan_codes(world, part, middle, part->n - middle, &by_both, &n_read), 0);
		assert_same(world, &expected, &by_both);
	}
}

/* A stretch that begins anywhere, dense or not; mostly for fewer than there are. */
static void check_world(struct world *world)
{
	static const uint32_t holes[] = {0, 2, 30};
	static const uint32_t firsts[] = {0, 1, 37, 64};
	long most = world->n_rows / 3 + 2 < MAX_K ? world->n_rows / 3 + 2 : MAX_K;

	for (size_t i = 0; i < 3; i++) {
		uint32_t first = firsts[lrand48() % 4];
		size_t k = i == 0 ? 1 : 1 + (size_t)(lrand48() % most);

		if (first > world->n_rows)
			first = world->n_rows;
		struct part part = make_part(first, world->n_rows - first, holes[i]);
		check_part(world, &part, k);
		free(part.mask);
	}
}

static void the_answer_is_that_of_the_exact_scan(void **state)
{
	static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 300, 1500};
	static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 384};

	(void)state;
	srand48(21);
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++)
			for (enum data data = 0; data < N_DATA; data++)
				for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
					uint32_t n_queries = 1 + (uint32_t)lrand48() % MAX_QUERIES;
					uint32_t dim = dims[lrand48() %
					                    (long)(sizeof(dims) / sizeof(dims[0]))];
					struct world world;

					make_world(&world, metric, dtype, dim, sizes[i], n_queries,
					           data);
					check_world(&world);
					free_world(&world);
				}
}

/* Of each dimension everything: metrics, dtypes, and data that is meant to deceive. */
static void every_dimension_is_exact(void **state)
{
	static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 1536, 4096};

	(void)state;
	srand48(25);
	for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++)
		for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
			for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++)
				for (enum data data = 0; data < N_DATA; data++) {
					struct world world;

					make_world(&world, metric, dtype, dims[i],
					           dims[i] > 1000 ? 9 : 70, 5, data);
					check_world(&world);
					free_world(&world);
				}
}

/* Another float next to it, or the same, of each element of a row. */
static void jiggle(void *row, uint32_t dim, enum dtype dtype)
{
	uint32_t *floats = row;
	uint16_t *halves = row;

	for (uint32_t i = 0; i < dim; i++) {
		if (dtype == DTYPE_F32)
			floats[i] ^= (uint32_t)lrand48() & 1;
		else
			halves[i] ^= (uint16_t)(lrand48() & 1);
	}
}

/* The k-th nearest and the next are as near to each other as floats can be, and so is every row to
 * the query: nothing but the distance itself can tell. */
static void rows_around_the_kth_are_told_apart(void **state)
{
	struct world world;

	(void)state;
	srand48(22);
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++) {
			make_world(&world, metric, dtype, 64, 1000, 5, DATA_EQUAL);
			for (uint32_t i = 0; i < world.n_rows; i++)
				jiggle(world.rows + i * vector_stride_bytes(64, dtype), 64, dtype);
			codes_encode(&world.codes, 0, world.n_rows, world.rows);
			check_world(&world);
			free_world(&world);
		}
}

static void a_row_that_cannot_be_read_ends_the_scan(void **state)
{
	static struct answer answer;
	struct world world;
	uint64_t n_read;

	(void)state;
	srand48(23);
	make_world(&world, METRIC_L2, DTYPE_F32, 20, 500, 6, DATA_RANDOM);
	struct part part = make_part(0, 500, 0);
	/* The heaps are not full before it, so it is asked for. */
	begin(&world, MAX_K, kernels_best(DTYPE_F32), &answer);
	world.bad_row = 77;
	assert_int_equal(scan_codes(&world, &part, 0, 500, &answer, &n_read), -EIO);
	/* One that takes no part is none that is read. */
	part.mask[1] &= ~(UINT64_C(1) << 13);
	begin(&world, MAX_K, kernels_best(DTYPE_F32), &answer);
	assert_int_equal(scan_codes(&world, &part, 0, 500, &answer, &n_read), 0);
	free(part.mask);
	free_world(&world);
}

static double share_read(enum metric metric, enum dtype dtype, uint32_t dim, enum data data)
{
	static struct answer answer;
	struct world world;
	uint64_t n_read;

	make_world(&world, metric, dtype, dim, 3000, 5, data);
	struct part part = make_part(0, 3000, 0);
	begin(&world, 10, kernels_best(dtype), &answer);
	assert_int_equal(scan_codes(&world, &part, 0, 3000, &answer, &n_read), 0);
	free(part.mask);
	free_world(&world);
	return (double)n_read / (3000 * 5);
}

/* Ten of 150 in a cluster, of which the first stand in the way of few. */
static void few_rows_are_read(void **state)
{
	(void)state;
	srand48(24);
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++) {
			assert_true(share_read(metric, dtype, 128, DATA_CLUSTERS) < 0.1);
			assert_true(share_read(metric, dtype, 384, DATA_RANDOM) < 0.1);
		}
}

static int open_budget(void **state)
{
	(void)state;
	return budget_new(16 * SLAB_BYTES, NULL, &budget);
}

static int close_budget(void **state)
{
	struct budget_figures figures;

	(void)state;
	budget_figures(budget, &figures);
	budget_free(budget);
	return figures.used_bytes == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_answer_is_that_of_the_exact_scan),
	        cmocka_unit_test(every_dimension_is_exact),
	        cmocka_unit_test(rows_around_the_kth_are_told_apart),
	        cmocka_unit_test(a_row_that_cannot_be_read_ends_the_scan),
	        cmocka_unit_test(few_rows_are_read),
	};
	return cmocka_run_group_tests(tests, open_budget, close_budget);
}
