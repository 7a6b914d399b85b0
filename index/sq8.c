/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The bound. Let q and x be prepared rows, yq and yx what is left of them without the mean, zq and
 * zx their codes' vectors (step * c), eq and ex the bounds on |y - z|, and u = 2^-24. Differences
 * of y are differences of the rows, so by the triangle inequality
 *
 *      |q - x| >= |zq - zx| - eq - ex
 *
 * and |zq - zx|^2 is known but for the rounding of the two `self`, 2u of each at most.
 *
 *      l2       An f32 kernel's result is at least |q - x|^2 (1 - (D + 4) u), less what squares
 *               lose that are too small for f32, D 2^-149 at most.
 *      cosine   1 - q.x = |q - x|^2 / 2 + 1 - (|q|^2 + |x|^2) / 2. Rows are normalised in f64 and
 *               then rounded, so the squared lengths differ from 1 by 4u at most in f32, and in f16
 *               by twice its own unit, 2^-11, and what its small numbers lose, D^.5 2^-24; a kernel
 *               errs by (D + 4) u.
 *      ip       q.x = yq.yx + mean.x + mean.q - |mean|^2, |yq.yx - zq.zx| <= eq |zx| + |yq| ex, and
 *               each sum over the dimensions errs by (D + 4) u times the lengths of its sides.
 *
 * Sums of D products in f32 are taken to err by D u, as if in one lane, so that the bound holds for
 * every set of kernels. Everything here is in f64, whose own rounding is far below the slack taken.
 */

#include "index/sq8.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#define ULP SQ8_ULP /* u */
#define UNIT_ERROR_F16 0x1.1p-10
/* Vectors that are shorter than this in every dimension have no code but zeros. */
#define TINY 1e-30f
/* Adding and taking off 1.5 * 2^23 rounds a float below 2^22 to the nearest integer. */
#define ROUNDER 12582912.0f
/* What sums in f32 may lack, and conversions: the figures of constants are bounds. */
#define MARGIN 1.001
/* The squares of a row lose less than this where they are too small for f32: D 2^-149 at most. */
#define VANISHED 0x1p-136

#define INTEGERS_MAX SQ8_DIM_MAX
#define LANES 16

typedef float f32x4 __attribute__((vector_size(16), may_alias));
typedef int32_t i32x4 __attribute__((vector_size(16), may_alias));
typedef uint8_t u8x16 __attribute__((vector_size(16), may_alias));
typedef int8_t i8x4 __attribute__((vector_size(4), may_alias));

/* Nibbles of a plane, packed (code_kernels.h). */
#define BLOCK 64u

static uint32_t n_integers_of(uint32_t dim)
{
	return (dim + BLOCK - 1) & ~(BLOCK - 1);
}

uint32_t sq8_coarse_bytes(uint32_t dim)
{
	return (n_integers_of(dim) / 2 + (uint32_t)sizeof(struct sq8_constants) + 63) & ~63u;
}

uint32_t sq8_fine_bytes(uint32_t dim)
{
	return n_integers_of(dim) / 2;
}

static float sum4(f32x4 x)
{
	return (x[0] + x[1]) + (x[2] + x[3]);
}

/* Over rows padded with zeros. */
static float inner(const float *a, const float *b, uint32_t dim)
{
	f32x4 sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};

	for (uint32_t i = 0; i < dim; i += LANES) {
		const f32x4 *x = (const f32x4 *)(const void *)(a + i);
		const f32x4 *y = (const f32x4 *)(const void *)(b + i);
		sum0 += x[0] * y[0];
		sum1 += x[1] * y[1];
		sum2 += x[2] * y[2];
		sum3 += x[3] * y[3];
	}
	return sum4((sum0 + sum1) + (sum2 + sum3));
}

void sq8_init(struct sq8 *sq8, enum metric metric, uint32_t dim, enum dtype dtype,
              const float *mean)
{
	assert(dim <= SQ8_DIM_MAX);
	*sq8 = (struct sq8){
	        .kernels = code_kernels_best(),
	        .metric = metric,
	        .dim = dim,
	        .n_integers = n_integers_of(dim),
	        .coarse_bytes = sq8_coarse_bytes(dim),
	        .fine_bytes = sq8_fine_bytes(dim),
	        .per_dim = 1 / (float)dim,
	        .mean = mean,
	        .mean_squared = inner(mean, mean, dim),
	        .unit_error = dtype == DTYPE_F16 ? UNIT_ERROR_F16 : 4 * ULP,
	};
}

size_t sq8_query_bytes(const struct sq8 *sq8)
{
	return sizeof(struct sq8_query) + sq8->n_integers;
}

/* The largest |row - mean|. Floats without their sign sort as integers do. */
static float largest(const float *row, const float *mean, uint32_t dim)
{
	i32x4 most = {0};

	for (uint32_t i = 0; i < dim; i += 4) {
		f32x4 y = *(const f32x4 *)(const void *)(row + i) -
		          *(const f32x4 *)(const void *)(mean + i);
		i32x4 bits = (i32x4)y & INT32_MAX;
		i32x4 is_more = bits > most;
		most = (bits & is_more) | (most & ~is_more);
	}
	f32x4 max = (f32x4)most;
	return fmaxf(fmaxf(max[0], max[1]), fmaxf(max[2], max[3]));
}

/* What a vector's elements come to, in units of the step, where nothing is too small or too large
 * for f32. */
struct sums {
	f32x4 errors; /* squares */
	i32x4 squares, integers;
};

static f32x4 scaled_at(const struct sq8 *sq8, const float *row, float inverse, uint32_t i)
{
	return (*(const f32x4 *)(const void *)(row + i) -
	        *(const f32x4 *)(const void *)(sq8->mean + i)) *
	       inverse;
}

/* Writes the integers, zeros from dim on. */
static struct sums quantise(const struct sq8 *sq8, const float *row, float inverse, int8_t *ret)
{
	struct sums sums = {0};
	uint32_t end = (sq8->dim + 3) & ~3u;

	for (uint32_t i = 0; i < end; i += 4) {
		f32x4 scaled = scaled_at(sq8, row, inverse, i);
		f32x4 rounded = (scaled + ROUNDER) - ROUNDER;
		i32x4 c = __builtin_convertvector(rounded, i32x4);
		*(i8x4 *)(void *)(ret + i) = __builtin_convertvector(c, i8x4);
		sums.errors += (scaled - rounded) * (scaled - rounded);
		sums.squares += c * c;
		sums.integers += c;
	}
	memset(ret + end, 0, sq8->n_integers - end);
	return sums;
}

/* The same of what the first plane alone stands for: twice its integers, whose squares are exact.
 */
static struct sums quantise_coarsely(const struct sq8 *sq8, const float *row, float inverse,
                                     const int8_t *integers)
{
	struct sums sums = {0};
	i32x4 at = {0, 1, 2, 3};

	for (uint32_t i = 0; i < sq8->dim; i += 4, at += 4) {
		i32x4 c =
		        __builtin_convertvector(*(const i8x4 *)(const void *)(integers + i), i32x4);
		/* Padding is zero, but no zero of the coarse code. */
		i32x4 twice =
		        (2 * ((c + 128) & ~15) - SQ8_COARSE_OFFSET) & (at < (int32_t)sq8->dim);
		f32x4 lost = scaled_at(sq8, row, inverse, i) -
		             __builtin_convertvector(twice, f32x4) * 0.5f;
		sums.errors += lost * lost;
		sums.squares += twice * twice;
	}
	return sums;
}

static double total(i32x4 x)
{
	return (double)x[0] + x[1] + x[2] + x[3];
}

/* A vector's own scale. */
struct scale {
	float inverse;
	double step;
	double lost; /* at most, by rounding */
};

static struct scale scale_of(const struct sq8 *sq8, const float *row)
{
	float max = largest(row, sq8->mean, sq8->dim);
	double most = sqrt((double)sq8->dim) * (double)max;

	if (max < TINY)
		return (struct scale){.lost = most};
	return (struct scale){
	        .inverse = SQ8_MAX / max,
	        .step = (double)(max / SQ8_MAX),
	        .lost = 8 * ULP * most,
	};
}

static float error_of(const struct scale *scale, const struct sums *sums)
{
	double error = scale->step * sqrt((double)sum4(sums->errors)) + scale->lost;

	return (float)(error * MARGIN + (double)FLT_TRUE_MIN);
}

/* Writes n_integers integers; the coarse constants are left out. */
static struct sq8_constants take_code(const struct sq8 *sq8, const float *row,
                                      const struct scale *scale, int8_t *ret_integers)
{
	struct sums sums = quantise(sq8, row, scale->inverse, ret_integers);
	double square = total(sums.squares);

	return (struct sq8_constants){
	        .step = (float)scale->step,
	        .self = sq8->metric == METRIC_IP ? inner(sq8->mean, row, sq8->dim)
	                                         : (float)(scale->step * scale->step * square),
	        .norm = (float)(scale->step * sqrt(square) * MARGIN),
	        .error = error_of(scale, &sums),
	        .sum = (int32_t)total(sums.integers),
	};
}

/* Sixteen bytes of each plane: as many integers of a block's lower half, and of its upper. */
static void pack(const int8_t *integers, uint8_t *ret_coarse, uint8_t *ret_fine)
{
	u8x16 lower = *(const u8x16 *)(const void *)integers ^ 0x80;
	u8x16 upper = *(const u8x16 *)(const void *)(integers + BLOCK / 2) ^ 0x80;

	*(u8x16 *)(void *)ret_coarse = (lower >> 4) | (upper & 0xf0);
	*(u8x16 *)(void *)ret_fine = (lower & 15) | (upper << 4);
}

void sq8_encode(const struct sq8 *sq8, const float *row, uint8_t *ret_coarse, uint8_t *ret_fine)
{
	uint32_t plane_bytes = sq8->fine_bytes;
	int8_t integers[INTEGERS_MAX] __attribute__((aligned(64)));
	struct scale scale = scale_of(sq8, row);
	struct sq8_constants constants = take_code(sq8, row, &scale, integers);
	struct sums sums = quantise_coarsely(sq8, row, scale.inverse, integers);

	/* Zeros beside one element that is as large as may be: 7.5 steps each, which overflows. */
	constants.coarse_self =
	        (float)fmin(scale.step * scale.step * total(sums.squares) / 4, (double)FLT_MAX);
	constants.coarse_error = error_of(&scale, &sums);
	for (uint32_t at = 0; at < plane_bytes; at += BLOCK / 2) {
		pack(integers + 2 * at, ret_coarse + at, ret_fine + at);
		pack(integers + 2 * at + 16, ret_coarse + at + 16, ret_fine + at + 16);
	}
	memset(ret_coarse + plane_bytes, 0, sq8->coarse_bytes - plane_bytes);
	memcpy(ret_coarse + plane_bytes, &constants, sizeof(constants));
}

void sq8_query(const struct sq8 *sq8, const float *row, struct sq8_query *ret)
{
	struct scale scale = scale_of(sq8, row);

	ret->constants = take_code(sq8, row, &scale, ret->integers);
	ret->norm = (float)(sqrt((double)inner(row, row, sq8->dim) + VANISHED) * MARGIN);
}

static void unpack(const uint8_t *coarse, const uint8_t *fine, int8_t *ret)
{
	u8x16 h = *(const u8x16 *)(const void *)coarse, l = *(const u8x16 *)(const void *)fine;

	*(u8x16 *)(void *)ret = ((h << 4) | (l & 15)) ^ 0x80;
	*(u8x16 *)(void *)(ret + BLOCK / 2) = ((h & 0xf0) | (l >> 4)) ^ 0x80;
}

void sq8_query_of(const struct sq8 *sq8, struct sq8_code code, struct sq8_query *ret)
{
	ret->constants = *sq8_constants(sq8, code);
	ret->norm = 0; /* of bounds only, which nobody asks of a code */
	for (uint32_t at = 0; at < sq8->n_integers / 2; at += BLOCK / 2) {
		unpack(code.coarse + at, code.fine + at, ret->integers + 2 * at);
		unpack(code.coarse + at + 16, code.fine + at + 16, ret->integers + 2 * at + 16);
	}
}

float sq8_spread(const struct sq8 *sq8, const struct sq8_query *query,
                 const struct sq8_constants *other, float distance)
{
	float eq = query->constants.error, ex = other->error;
	float per_dim = SQ8_DEVIATIONS * SQ8_DEVIATIONS * sq8->per_dim;
	float both = hypotf(eq, ex);

	switch (sq8->metric) {
	case METRIC_IP:
		return sqrtf(per_dim) * hypotf(eq * other->norm, ex * (query->constants.norm + eq));
	case METRIC_COSINE:
		return sqrtf(2 * distance * per_dim) * both + both * both / 2;
	case METRIC_L2:
	default:
		return 2 * sqrtf(distance * per_dim) * both + both * both;
	}
}

void sq8_bound_init(struct sq8_bound *bound, const struct sq8 *sq8, const struct sq8_query *query)
{
	double mean_squared = (double)sq8->mean_squared;

	*bound = (struct sq8_bound){
	        .metric = sq8->metric,
	        .query = query->constants,
	        .mean_norm = sqrt(mean_squared + VANISHED) * MARGIN,
	        .query_norm = (double)query->norm,
	        .offset = (double)query->constants.self - mean_squared,
	        .rounding = (sq8->dim + 4) * ULP,
	        .unit_error = sq8->unit_error,
	};
	sq8_bound_limit(bound, INFINITY);
}

void sq8_bound_limit(struct sq8_bound *bound, float limit)
{
	double error = (double)bound->query.error;

	switch (bound->metric) {
	case METRIC_IP:
		bound->limit = (double)limit;
		break;
	case METRIC_COSINE:
		bound->limit = sqrt(2 * ((double)limit + MARGIN * bound->rounding +
		                         bound->unit_error + ULP)) +
		               error;
		break;
	case METRIC_L2:
	default:
		bound->limit = sqrt(((double)limit + VANISHED) / (1 - bound->rounding)) + error;
		break;
	}
}

/* The errors of codes times the lengths of the other side, and those of the sums. */
bool sq8_bound_excludes_ip(const struct sq8_bound *bound, const struct sq8_constants *other,
                           double inner_codes, double error)
{
	double query_error = (double)bound->query.error;
	double query_norm = (double)bound->query.norm + query_error;
	double norm = (double)other->norm + (double)other->error; /* of the other's y */
	double estimate = inner_codes + bound->offset + (double)other->self;
	double sums = (bound->query_norm + bound->mean_norm) * (norm + 2 * bound->mean_norm);
	double slack = query_error * (norm + error) + query_norm * error +
	               MARGIN * bound->rounding * sums + 4 * ULP * (1 + fabs(estimate));

	return 1 - estimate - slack > bound->limit;
}
