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

#include "index/kernels.h"
#include "index/sq8.h"

/* Of 4092 equal elements each is 1.00049 / 64, whose rounding to f16 is the worst that there is. */
static const uint32_t dims[] = {1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 784, 1536, 4092, 4096};
enum {
	N_DIMS = sizeof(dims) / sizeof(dims[0]),
	DIM_MAX = 4096,
	N_ROWS = 12,
	N_QUERIES = 10,
};

/* What rows hold: each is awkward for codes in a way of its own. */
enum shape {
	SHAPE_RANDOM,
	SHAPE_CLUSTERS, /* two, far from the mean, each small */
	SHAPE_CONSTANT, /* one vector, again and again */
	SHAPE_SIGNS,    /* elements of one magnitude: nothing is lost by a code */
	SHAPE_OUTLIER,  /* one element is far larger than all others */
	SHAPE_EXTREME,  /* one element as large as may be, else zeros, but a mean the other way */
	SHAPE_SPARSE,
	SHAPE_SMALL, /* squares are too small for f32 */
	SHAPE_TINY,  /* 1e-38 */
	SHAPE_DENORMAL,
	SHAPE_HUGE, /* squared length near the largest that is let in */
	SHAPE_MIXED,
	N_SHAPES,
};

struct world {
	enum metric metric;
	enum dtype dtype;
	uint32_t dim;
	uint32_t n_floats;
	struct sq8 sq8;
	float *mean;
	float *values; /* rows in f32, which they are stored as under f32 */
	void *stored;
	float *queries;
	uint8_t *coarse, *fine; /* parts of the codes */
	struct sq8_query *query;
};

static float uniform(void)
{
	return (float)(drand48() * 2 - 1);
}

/* The largest element of a vector of n equal ones. */
static float most(uint32_t n, enum dtype dtype)
{
	return dtype == DTYPE_F16 ? 60000 : sqrtf(VECTOR_MAX_SQUARED_LENGTH / (float)n) * 0.99f;
}

static void fill(float *packed, uint32_t dim, enum dtype dtype, enum shape shape, uint32_t idx)
{
	uint32_t outlier = (uint32_t)lrand48() % dim;

	for (uint32_t i = 0; i < dim; i++) {
		float x = uniform();

		switch (shape) {
		case SHAPE_CLUSTERS:
			packed[i] = (idx % 2 ? -1000 : 1000) + x;
			break;
		case SHAPE_CONSTANT:
			packed[i] = 0.3f;
			break;
		case SHAPE_SIGNS:
			packed[i] = copysignf(1, x);
			break;
		case SHAPE_OUTLIER:
			packed[i] = i == outlier ? copysignf(1000, x) : x;
			break;
		case SHAPE_EXTREME:
			packed[i] = i > 0 ? 0 : idx == 0 ? most(1, dtype) : -most(1, dtype);
			break;
		case SHAPE_SPARSE:
			packed[i] = i == outlier || drand48() < 0.02 ? x : 0;
			break;
		case SHAPE_SMALL:
			packed[i] = copysignf(dtype == DTYPE_F16 ? 1e-6f : 0x1p-76f, x);
			break;
		case SHAPE_TINY:
			packed[i] = x * (dtype == DTYPE_F16 ? 1e-5f : 1e-38f);
			break;
		case SHAPE_DENORMAL:
			packed[i] = x * (dtype == DTYPE_F16 ? 4e-7f : 1e-44f);
			break;
		case SHAPE_HUGE:
			packed[i] = copysignf(most(dim, dtype), x);
			break;
		case SHAPE_MIXED:
			packed[i] = x * powf(10, (float)(drand48() * 8 - 4));
			break;
		case SHAPE_RANDOM:
		case N_SHAPES:
		default:
			packed[i] = x;
			break;
		}
	}
	/* All of it may have been rounded to nothing. */
	packed[outlier] += packed[outlier] == 0 ? (shape == SHAPE_DENORMAL ? 1e-44f : 0) : 0;
}

/* Prepares one vector, made again until it is good; of f16, as values too. */
static void make_row(const struct world *world, enum dtype dtype, enum shape shape, uint32_t idx,
                     void *ret_stored, float *ret_values)
{
	float packed[DIM_MAX];
	uint16_t halves[DIM_MAX];
	size_t bad;

	if (dtype == DTYPE_F32) {
		do
			fill(packed, world->dim, dtype, shape, idx);
		while (vector_check(packed, 1, world->dim, dtype, world->metric, &bad) != 0);
		vector_prepare(packed, 1, world->dim, dtype, world->metric, ret_values);
		return;
	}
	do
		fill(packed, world->dim, dtype, shape, idx);
	while (vector_convert(packed, 1, world->dim, DTYPE_F32, world->metric, dtype, halves,
	                      &bad) != 0);
	vector_prepare(halves, 1, world->dim, dtype, world->metric, ret_stored);
	memset(ret_values, 0, world->n_floats * sizeof(float));
	dtype_convert(ret_stored, dtype, world->dim, DTYPE_F32, ret_values);
}

static float *row_at(const struct world *world, uint32_t i)
{
	return world->values + (size_t)i * world->n_floats;
}

static void *stored_at(const struct world *world, uint32_t i)
{
	return (uint8_t *)world->stored + (size_t)i * vector_stride_bytes(world->dim, world->dtype);
}

static float *query_at(const struct world *world, uint32_t i)
{
	return world->queries + (size_t)i * world->n_floats;
}

static struct sq8_code code_at(const struct world *world, uint32_t i)
{
	return (struct sq8_code){
	        .coarse = world->coarse + (size_t)i * world->sq8.coarse_bytes,
	        .fine = world->fine + (size_t)i * world->sq8.fine_bytes,
	};
}

static void *aligned(size_t bytes)
{
	void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);

	assert_non_null(memory);
	return memory;
}

/* The first queries are rows, and one its opposite; then there are others like the rows, and of
 * shapes of their own. */
static void make_queries(struct world *world, enum shape shape)
{
	static const enum shape others[] = {SHAPE_RANDOM, SHAPE_SMALL, SHAPE_HUGE};
	size_t bytes = world->n_floats * sizeof(float);

	world->queries = aligned(N_QUERIES * bytes);
	for (uint32_t q = 0; q < N_QUERIES; q++) {
		if (q < 2)
			memcpy(query_at(world, q), row_at(world, q * 3), bytes);
		else if (q < 7)
			make_row(world, DTYPE_F32, shape, q, NULL, query_at(world, q));
		else
			make_row(world, DTYPE_F32, others[q - 7], q, NULL, query_at(world, q));
	}
	for (uint32_t i = 0; i < world->dim; i++)
		query_at(world, 1)[i] *= -1;
}

/* The mean is that of the rows but the last ones; or zero. */
static void make_world(struct world *world, enum metric metric, enum dtype dtype, uint32_t dim,
                       enum shape shape, bool is_centred)
{
	size_t stride = vector_stride_bytes(dim, DTYPE_F32);
	size_t stored_bytes = (size_t)N_ROWS * vector_stride_bytes(dim, dtype);

	*world = (struct world){.metric = metric, .dtype = dtype, .dim = dim};
	world->n_floats = (uint32_t)(stride / sizeof(float));
	world->values = aligned(N_ROWS * stride);
	world->stored = dtype == DTYPE_F32 ? world->values : aligned(stored_bytes);
	world->mean = aligned(stride);
	memset(world->mean, 0, stride);
	for (uint32_t i = 0; i < N_ROWS; i++)
		make_row(world, dtype, shape, i, stored_at(world, i), row_at(world, i));
	for (uint32_t j = 0; j < dim && is_centred; j++) {
		double sum = 0;
		uint32_t n = shape == SHAPE_EXTREME ? 1 : N_ROWS - 3;
		for (uint32_t i = 0; i < n; i++)
			sum += (double)row_at(world, i)[j];
		world->mean[j] = (float)(sum / n);
	}
	make_queries(world, shape);
	sq8_init(&world->sq8, metric, dim, dtype, world->mean);
	world->coarse = aligned((size_t)N_ROWS * world->sq8.coarse_bytes);
	world->fine = aligned((size_t)N_ROWS * world->sq8.fine_bytes);
	world->query = aligned(sq8_query_bytes(&world->sq8));
	for (uint32_t i = 0; i < N_ROWS; i++)
		sq8_encode(&world->sq8, row_at(world, i),
		           world->coarse + (size_t)i * world->sq8.coarse_bytes,
		           world->fine + (size_t)i * world->sq8.fine_bytes);
}

static void free_world(struct world *world)
{
	if (world->dtype != DTYPE_F32)
		free(world->stored);
	free(world->values);
	free(world->mean);
	free(world->queries);
	free(world->coarse);
	free(world->fine);
	free(world->query);
}

static void for_all_worlds(void (*check)(const struct world *world, enum shape shape))
{
	srand48(11);
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++)
		for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++)
			for (size_t d = 0; d < N_DIMS; d++)
				for (enum shape shape = 0; shape < N_SHAPES; shape++) {
					struct world world;
					make_world(&world, metric, dtype, dims[d], shape,
					           shape != SHAPE_SIGNS);
					check(&world, shape);
					free_world(&world);
				}
}

/* What is rounded on the way to a figure in f32 that is meant to be a bound. */
static double at_least(float bound)
{
	return (double)bound * (1 + 1e-12);
}

static void assert_near(double got, double expected, double slack)
{
	if (!(fabs(got - expected) <= slack))
		fail_msg("%g is not %g to within %g", got, expected, slack);
}

/* Codes */

/* What a code says of its row against sums in f64. */
static void check_code(const struct world *world, uint32_t idx)
{
	const struct sq8 *sq8 = &world->sq8;
	struct sq8_code code = code_at(world, idx);
	const struct sq8_constants *constants = sq8_constants(sq8, code);
	const float *row = row_at(world, idx);
	double step = (double)constants->step;
	double self = 0, error = 0, coarse_self = 0, coarse_error = 0, inner = 0, largest = 0;
	int32_t sum = 0;

	sq8_query_of(sq8, code, world->query);
	for (uint32_t i = 0; i < sq8->n_integers; i++) {
		int c = world->query->integers[i];
		if (i >= world->dim) {
			assert_int_equal(c, 0);
			continue;
		}
		double y = (double)row[i] - (double)world->mean[i];
		double coarse = 16 * ((c + 128) >> 4) - 120.5;
		assert_in_range(c + SQ8_MAX, 0, 2 * SQ8_MAX);
		sum += c;
		self += step * c * step * c;
		error += (y - step * c) * (y - step * c);
		coarse_self += step * coarse * step * coarse;
		coarse_error += (y - step * coarse) * (y - step * coarse);
		inner += (double)row[i] * (double)world->mean[i];
		largest = fmax(largest, fabs(y));
	}
	assert_int_equal(constants->sum, sum);
	assert_true(sqrt(error) <= at_least(constants->error));
	assert_true(sqrt(coarse_error) <= at_least(constants->coarse_error));
	assert_true(sqrt(self) <= at_least(constants->norm));
	assert_true((double)constants->norm <= sqrt(self) * 1.002);
	/* Half a step each, and nothing like it more. */
	if (step > 0)
		assert_true((double)constants->error <= step * 0.51 * sqrt(world->dim));
	assert_near(127 * step, step > 0 ? largest : 0, largest * 1e-6);
	if (world->metric == METRIC_IP)
		assert_near((double)constants->self, inner,
		            1e-4 * (double)sq8->mean_squared + 1e-4 * fabs(inner) + 1e-4 * self +
		                    1e-30);
	else
		assert_near((double)constants->self, self, 1e-7 * self + 1e-44);
	assert_true(isfinite(constants->coarse_self) && isfinite(constants->coarse_error));
	if (coarse_self < (double)FLT_MAX)
		assert_near((double)constants->coarse_self, coarse_self,
		            1e-7 * coarse_self + 1e-44);
}

static void check_codes(const struct world *world, enum shape shape)
{
	(void)shape;
	for (uint32_t i = 0; i < N_ROWS; i++)
		check_code(world, i);
}

static void a_code_knows_how_far_it_is_from_its_row(void **state)
{
	(void)state;
	for_all_worlds(check_codes);
}

static void check_query_forms(const struct world *world, enum shape shape)
{
	const struct sq8 *sq8 = &world->sq8;
	struct sq8_query *of_row = aligned(sq8_query_bytes(sq8));
	size_t common = offsetof(struct sq8_constants, coarse_self);

	(void)shape;
	for (uint32_t i = 0; i < N_ROWS; i++) {
		const struct sq8_constants *constants = sq8_constants(sq8, code_at(world, i));

		sq8_query_of(sq8, code_at(world, i), world->query);
		sq8_query(sq8, row_at(world, i), of_row);
		assert_memory_equal(&world->query->constants, constants, sizeof(*constants));
		assert_memory_equal(&of_row->constants, constants, common);
		assert_int_equal(of_row->constants.sum, constants->sum);
		assert_memory_equal(of_row->integers, world->query->integers, sq8->n_integers);
	}
	free(of_row);
}

static void the_query_form_of_a_code_is_that_of_its_row(void **state)
{
	(void)state;
	for_all_worlds(check_query_forms);
}

/* Distances between codes */

struct pair {
	const struct sq8_constants *other;
	int32_t coarse_dot;
	int32_t product;
	int32_t halves;
};

static struct pair make_pair(const struct world *world, struct sq8_code code)
{
	const struct sq8 *sq8 = &world->sq8;
	const int8_t *integers = world->query->integers;
	int32_t coarse, fine;

	sq8->kernels->dots(integers, &code.coarse, 1, sq8->n_integers, &coarse);
	sq8->kernels->dots(integers, &code.fine, 1, sq8->n_integers, &fine);
	return (struct pair){
	        .other = sq8_constants(sq8, code),
	        .coarse_dot = coarse,
	        .product = sq8_product(world->query, coarse, fine),
	        .halves = sq8_coarse_halves(world->query, coarse),
	};
}

static void check_integers(const struct world *world, struct sq8_code code, const struct pair *pair)
{
	struct sq8_query *of_code = aligned(sq8_query_bytes(&world->sq8));
	int32_t product = 0, halves = 0;

	sq8_query_of(&world->sq8, code, of_code);
	for (uint32_t i = 0; i < world->dim; i++) {
		int32_t q = world->query->integers[i], c = of_code->integers[i];
		product += q * c;
		halves += q * (32 * ((c + 128) >> 4) - SQ8_COARSE_OFFSET);
	}
	assert_int_equal(pair->product, product);
	assert_int_equal(pair->halves, halves);
	free(of_code);
}

static double square(double x)
{
	return x * x;
}

static double length(const float *a, uint32_t dim)
{
	double sum = 0;

	for (uint32_t i = 0; i < dim; i++)
		sum += square((double)a[i]);
	return sqrt(sum);
}

/* Whether the distance that codes mean is that of the rows, to within what the codes say that they
 * err by. */
static void check_distance(const struct world *world, const float *query, const float *row,
                           const struct pair *pair)
{
	const struct sq8_constants *own = &world->query->constants, *other = pair->other;
	float distance = sq8_distance(&world->sq8, world->metric, own, other, pair->product);
	double error = (double)own->error + (double)other->error;
	double norms = (double)own->norm * (double)other->norm;
	double mean = length(world->mean, world->dim);
	double l2 = 0, inner = 0;

	assert_true(!isnan(distance));
	for (uint32_t i = 0; i < world->dim; i++) {
		l2 += square((double)query[i] - (double)row[i]);
		inner += (double)query[i] * (double)row[i];
	}
	if (world->metric == METRIC_IP) {
		double lengths =
		        (length(query, world->dim) + mean) * (length(row, world->dim) + mean);
		double slack = (double)own->error * ((double)other->norm + (double)other->error) +
		               (double)other->error * (double)own->norm;
		assert_near((double)distance, 1 - inner,
		            slack + 1e-6 * (1 + norms) + world->dim * 1e-7 * lengths + 1e-6);
		return;
	}
	double unit = world->metric == METRIC_COSINE ? 2 : 1;
	double slack = 1e-6 * ((double)own->self + (double)other->self) + 1e-43;
	assert_true(distance >= 0);
	assert_true(unit * (double)distance <= square(sqrt(l2) + error) + slack);
	assert_true(unit * (double)distance >= square(fmax(sqrt(l2) - error, 0)) - slack);
}

/* What is called beyond a bound is told as beyond it. */
static void check_beyond(const struct world *world, const struct pair *pair)
{
	float fine = sq8_distance(&world->sq8, world->metric, &world->query->constants, pair->other,
	                          pair->product);
	const float bounds[] = {0, fine / 2, fine, fine * 2, INFINITY};

	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		float told = NAN;
		bool is_beyond =
		        sq8_coarse_is_beyond(&world->sq8, world->metric, world->query, pair->other,
		                             pair->coarse_dot, bounds[i], &told);
		assert_true(!is_beyond || told > bounds[i]);
	}
	assert_true(!isnan(sq8_spread(&world->sq8, world->query, pair->other, fine)));
}

static void check_distances(const struct world *world, enum shape shape)
{
	(void)shape;
	for (uint32_t q = 0; q < N_QUERIES; q++) {
		sq8_query(&world->sq8, query_at(world, q), world->query);
		for (uint32_t i = 0; i < N_ROWS; i++) {
			struct pair pair = make_pair(world, code_at(world, i));

			check_integers(world, code_at(world, i), &pair);
			check_distance(world, query_at(world, q), row_at(world, i), &pair);
			check_beyond(world, &pair);
		}
	}
}

static void distances_of_codes_are_those_of_the_rows_but_for_their_errors(void **state)
{
	(void)state;
	for_all_worlds(check_distances);
}

/* Bounds */

/* Queries that lie near the rows: q is row q, and something that is a third as long. */
static void make_near_world(struct world *world, enum metric metric, uint32_t dim, float scale)
{
	make_world(world, metric, DTYPE_F32, dim, SHAPE_RANDOM, false);
	for (uint32_t i = 0; i < N_ROWS; i++) {
		for (uint32_t j = 0; j < dim; j++)
			row_at(world, i)[j] *= scale;
		sq8_encode(&world->sq8, row_at(world, i),
		           world->coarse + (size_t)i * world->sq8.coarse_bytes,
		           world->fine + (size_t)i * world->sq8.fine_bytes);
	}
	for (uint32_t q = 0; q < N_QUERIES; q++)
		for (uint32_t j = 0; j < dim; j++)
			query_at(world, q)[j] = row_at(world, q)[j] + scale * uniform() / 3;
}

/* How many of the pairs, those of like ones or the others, are called beyond a bound that is a
 * share of their own distance. */
static uint32_t n_beyond(struct world *world, float share, bool near)
{
	uint32_t n = 0;

	for (uint32_t q = 0; q < N_QUERIES; q++) {
		sq8_query(&world->sq8, query_at(world, q), world->query);
		for (uint32_t i = 0; i < N_ROWS; i++) {
			struct pair pair = make_pair(world, code_at(world, i));
			float told, fine = sq8_distance(&world->sq8, world->metric,
			                                &world->query->constants, pair.other,
			                                pair.product);

			if ((q == i) == near)
				n += sq8_coarse_is_beyond(&world->sq8, world->metric, world->query,
				                          pair.other, pair.coarse_dot, share * fine,
				                          &told);
		}
	}
	return n;
}

static void hardly_anything_is_called_beyond_a_bound_that_it_is_within(void **state)
{
	(void)state;
	for (enum metric metric = METRIC_L2; metric <= METRIC_IP; metric++) {
		uint32_t n = 0;

		for (uint32_t i = 0; i < 30; i++) {
			struct world world;

			make_near_world(&world, metric, 1536, 1);
			n += n_beyond(&world, 1, true);
			free_world(&world);
		}
		/* One in a hundred. */
		assert_true(n <= 30 * N_QUERIES / 100);
	}
}

/* Squares of the distances do not fit an f32. */
static void what_is_far_is_called_beyond_at_any_scale(void **state)
{
	static const float scales[] = {1, 1e16f, 1e-16f};

	(void)state;
	for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
		struct world world;

		make_near_world(&world, METRIC_L2, 100, scales[i]);
		assert_int_equal(n_beyond(&world, 0.25f, false), N_QUERIES * (N_ROWS - 1));
		free_world(&world);
	}
}

static void assert_open(struct sq8_bound *bound, const struct pair *pair, float limit)
{
	sq8_bound_limit(bound, limit);
	assert_false(sq8_bound_excludes(bound, pair->other, pair->product));
	assert_false(sq8_bound_excludes_coarse(bound, pair->other, pair->halves));
}

static void check_bounds(const struct world *world, enum shape shape)
{
	struct sq8_bound bound;

	(void)shape;
	for (uint32_t q = 0; q < N_QUERIES; q++) {
		const float *query = query_at(world, q);

		sq8_query(&world->sq8, query, world->query);
		sq8_bound_init(&bound, &world->sq8, world->query);
		for (uint32_t i = 0; i < N_ROWS; i++) {
			struct pair pair = make_pair(world, code_at(world, i));

			assert_open(&bound, &pair, INFINITY);
			for (const struct kernels *const *set = kernels_all(world->dtype); *set;
			     set++) {
				float kernel =
				        (world->metric == METRIC_L2 ? (*set)->l2 : (*set)->dot)(
				                stored_at(world, i), query, world->n_floats);
				float distance = metric_distance(world->metric, kernel);
				assert_open(&bound, &pair, distance);
				assert_open(&bound, &pair, nextafterf(distance, INFINITY));
				assert_open(&bound, &pair, distance + fabsf(distance) / 1000);
			}
		}
	}
}

static void no_bound_excludes_a_row_within_the_limit(void **state)
{
	(void)state;
	for (int round = 0; round < 3; round++)
		for_all_worlds(check_bounds);
}

/* A bound that never excludes would pass everything above. */
static void check_use(const struct world *world, enum shape shape)
{
	uint32_t n_fine = 0, n_coarse = 0, n = 0;
	struct sq8_bound bound;

	if (shape != SHAPE_RANDOM || world->dim < 63)
		return;
	for (uint32_t q = 2; q < 7; q++) {
		sq8_query(&world->sq8, query_at(world, q), world->query);
		sq8_bound_init(&bound, &world->sq8, world->query);
		for (uint32_t i = 0; i < N_ROWS; i++, n++) {
			struct pair pair = make_pair(world, code_at(world, i));
			float distance =
			        sq8_distance(&world->sq8, world->metric, &world->query->constants,
			                     pair.other, pair.product);
			float own = (world->query->constants.norm * pair.other->norm);
			float limit = world->metric == METRIC_IP ? distance - own * 0.05f
			                                         : distance * 0.9f;

			sq8_bound_limit(&bound, limit);
			n_fine += sq8_bound_excludes(&bound, pair.other, pair.product);
			sq8_bound_limit(&bound, world->metric == METRIC_IP ? distance - own * 0.3f
			                                                   : distance * 0.5f);
			n_coarse += sq8_bound_excludes_coarse(&bound, pair.other, pair.halves);
		}
	}
	assert_int_equal(n_fine, n);
	assert_int_equal(n_coarse, n);
}

static void bounds_exclude_what_is_farther_by_a_tenth(void **state)
{
	(void)state;
	for_all_worlds(check_use);
}

/* Of codes that lose nothing: sums of floats do, in proportion to the dimensions. */
static void bounds_allow_for_the_rounding_of_sums(void **state)
{
	static const float mean[DIM_MAX] __attribute__((aligned(64)));
	const double rounding = (DIM_MAX + 4) * (double)SQ8_ULP;
	const struct sq8_constants other = {.self = 1, .norm = 1}, none = {.norm = 1};
	struct sq8_query *query = aligned_alloc(64, sizeof(struct sq8_query));

	(void)state;
	assert_non_null(query);
	for (enum metric metric = METRIC_L2; metric <= METRIC_COSINE; metric++) {
		float distance = metric == METRIC_L2 ? 2 : 1;
		struct sq8_bound bound;
		struct sq8 sq8;

		/* Of ip, `self` is a product with the mean. */
		const struct sq8_constants *code = metric == METRIC_IP ? &none : &other;

		*query = (struct sq8_query){.constants = *code, .norm = 1};
		sq8_init(&sq8, metric, DIM_MAX, DTYPE_F32, mean);
		sq8_bound_init(&bound, &sq8, query);
		sq8_bound_limit(&bound, distance * (float)(1 - 0.9 * rounding));
		assert_false(sq8_bound_excludes(&bound, code, 0));
		sq8_bound_limit(&bound, distance * (float)(1 - 3 * rounding));
		assert_true(sq8_bound_excludes(&bound, code, 0));
	}
	free(query);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_code_knows_how_far_it_is_from_its_row),
	        cmocka_unit_test(the_query_form_of_a_code_is_that_of_its_row),
	        cmocka_unit_test(distances_of_codes_are_those_of_the_rows_but_for_their_errors),
	        cmocka_unit_test(hardly_anything_is_called_beyond_a_bound_that_it_is_within),
	        cmocka_unit_test(what_is_far_is_called_beyond_at_any_scale),
	        cmocka_unit_test(no_bound_excludes_a_row_within_the_limit),
	        cmocka_unit_test(bounds_exclude_what_is_farther_by_a_tenth),
	        cmocka_unit_test(bounds_allow_for_the_rounding_of_sums),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
