/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scalar quantisation to 8 bits, locally adaptive: of a vector x the code keeps y = x - mean as
 * step * c, where c is a row of integers in [-127, 127] and step is the vector's own (after LVQ:
 * Aguerrebere et al., "Similarity search in the blink of an eye with compressed indices", 2023,
 * but centred at zero, so that a distance takes one integer product and two multiplications).
 *
 *      l2           |x1 - x2|^2  = |y1|^2 + |y2|^2 - 2 y1.y2
 *      cosine       half of that, since the vectors are of unit length
 *      ip           1 - x1.x2    = 1 - (y1.y2 + mean.x1 + mean.x2 - |mean|^2)
 *
 * with y1.y2 taken as step1 * step2 * c1.c2.
 *
 * What takes time is to wait for codes, so a code is two planes of nibbles, 16 h + l = c + 128, of
 * which the first alone gives a coarse distance, with l as 7.5. Mostly that is enough to see that a
 * vector is too far to be of interest, or about how near it is, and half the code is never read.
 *
 * The two parts of a code lie apart, so that who goes over many codes reads the first parts only:
 *
 *      coarse part   plane of h (dim rounded up to 64, halved) | constants | zeros up to 64 bytes
 *      fine part     plane of l
 *
 * A code knows how far it is from its vector, fine and coarse, so that distances between codes
 * bound the distance between the vectors (struct sq8_bound). Rows are from vector_prepare(). All
 * const and without memory of their own: [any].
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "index/code_kernels.h"
#include "index/vector.h"

#define SQ8_MAX 127
#define SQ8_DIM_MAX 4096 /* what is made on the stack has room for */
/* Twice the integer that h stands for is 32 h less this. */
#define SQ8_COARSE_OFFSET 241
/* Half a unit in the last place of an f32, relative. */
#define SQ8_ULP 0x1p-24
/* How many standard deviations "nearly all" are within. */
#define SQ8_DEVIATIONS 3

struct sq8 {
	const struct code_kernels *kernels;
	enum metric metric;
	uint32_t dim;
	uint32_t n_integers;               /* dim rounded up to 64 */
	uint32_t coarse_bytes, fine_bytes; /* of the parts */
	float per_dim;                     /* 1 / dim */
	const float *mean;                 /* borrowed; as long as a row, padded with zeros */
	float mean_squared;                /* |mean|^2 */
	double unit_error;                 /* cosine: by how much |x|^2 may differ from 1 */
};

struct sq8_constants {
	float step;
	float self;         /* l2, cosine: |step c|^2; ip: mean.x */
	float norm;         /* at least |step c| */
	float error;        /* at least |y - step c| */
	float coarse_self;  /* |step (16 h - 120.5)|^2, or FLT_MAX where that is more */
	float coarse_error; /* at least |y - step (16 h - 120.5)| */
	int32_t sum;        /* of the integers */
};

/* Where a code is: 64-byte and 32-byte aligned. */
struct sq8_code {
	const uint8_t *coarse, *fine;
};

/* Made by sq8_query() or sq8_query_of(). */
struct sq8_query {
	struct sq8_constants constants;
	float norm; /* at least |x|; 0 when made of a code */
	int8_t integers[] __attribute__((aligned(64)));
};

/* Bytes of the parts of a code of that dimension. */
uint32_t sq8_coarse_bytes(uint32_t dim); /* a multiple of 64 */
uint32_t sq8_fine_bytes(uint32_t dim);   /* a multiple of 32 */
/* With the best kernels that there are. dtype: of the rows that codes are made of. */
void sq8_init(struct sq8 *sq8, enum metric metric, uint32_t dim, enum dtype dtype,
              const float *mean);
size_t sq8_query_bytes(const struct sq8 *sq8);

/* Writes the code of one row (64-byte aligned). */
void sq8_encode(const struct sq8 *sq8, const float *row, uint8_t *ret_coarse, uint8_t *ret_fine);
/* The query form of a row, and of a code, in sq8_query_bytes(), 64-byte aligned. */
void sq8_query(const struct sq8 *sq8, const float *row, struct sq8_query *ret);
void sq8_query_of(const struct sq8 *sq8, struct sq8_code code, struct sq8_query *ret);

static inline const struct sq8_constants *sq8_constants(const struct sq8 *sq8, struct sq8_code code)
{
	return (const void *)(code.coarse + sq8->n_integers / 2);
}

/* Products of the integers, from those of the planes; the coarse one in halves. */
static inline int32_t sq8_product(const struct sq8_query *query, int32_t coarse_dot,
                                  int32_t fine_dot)
{
	return 16 * coarse_dot + fine_dot - 128 * query->constants.sum;
}
static inline int32_t sq8_coarse_halves(const struct sq8_query *query, int32_t coarse_dot)
{
	return 32 * coarse_dot - SQ8_COARSE_OFFSET * query->constants.sum;
}

/* metric: sq8->metric, which a caller with a loop of its own for each makes a constant. */

/* The distance that a product means: finite or +infinity, never NaN. */
static inline float sq8_distance(const struct sq8 *sq8, enum metric metric,
                                 const struct sq8_constants *a, const struct sq8_constants *b,
                                 int32_t product)
{
	float inner = a->step * (float)product * b->step; /* steps alone may vanish */

	if (metric == METRIC_IP)
		return 1 - (inner + a->self + (b->self - sq8->mean_squared));
	float squared = (a->self - inner) + (b->self - inner);
	if (!(squared > 0))
		return 0;
	return metric == METRIC_COSINE ? squared / 2 : squared;
}

/* By how much an inner product with y is more than that with its coarse vector z, as far as the
 * other side lies along y: |y|^2 / y.z. Less than 1 where most elements are too small for z, but
 * who does not lie along y would then be told as too far: so 1. */
static inline float sq8_coarse_stretch(const struct sq8_constants *other, float lost)
{
	float square = other->norm * other->norm;
	float stretch = 2 * square / (square + (other->coarse_self - lost));

	stretch = stretch > 1 ? stretch : 1; /* also where there is no y, or no number for it */
	return stretch < 2 ? stretch : 2;
}

/* A coarse distance, and whether it will do: the fine one is beyond `bound` for nearly all, or the
 * variance of what it errs by is less than `tolerance` times its square. That is not for inner
 * products, of which no distance says how near is near; a tolerance of 0 allows it for none.
 *
 * The coarse vector is z, and y - z stands at random to the difference of y and the query: so the
 * square of its length is what the squared distance to z has too much, the inner product has too
 * little by what of it lies along y, and a share of it for each dimension is what the rest errs by.
 * Where most elements are too small for z, they are all told as too large instead: then z itself
 * has too much by what it is longer than y. */
static inline bool sq8_coarse_will_do(const struct sq8 *sq8, enum metric metric,
                                      const struct sq8_query *query,
                                      const struct sq8_constants *other, int32_t coarse_dot,
                                      float bound, float tolerance, float *ret_distance)
{
	const struct sq8_constants *own = &query->constants;
	float inner = own->step * 0.5f * (float)sq8_coarse_halves(query, coarse_dot) * other->step;
	float lost = other->coarse_error * other->coarse_error;
	float distance, scale;
	bool is_close = false;

	if (metric == METRIC_IP) {
		inner *= sq8_coarse_stretch(other, lost);
		distance = 1 - (inner + own->self + (other->self - sq8->mean_squared));
		scale = own->norm * own->norm;
	} else {
		float self = other->coarse_self - lost;
		self = self < other->self ? self : other->self;
		float squared = (own->self - inner) + (self - inner);
		distance = metric == METRIC_COSINE ? squared / 2 : squared;
		scale = metric == METRIC_COSINE ? squared : 4 * squared;
		is_close = 4 * sq8->per_dim * lost < tolerance * squared;
	}
	float beyond = distance - bound;
	/* Squares of distances need not fit. */
	float errs = SQ8_DEVIATIONS * SQ8_DEVIATIONS * sq8->per_dim * lost * (scale / beyond);
	*ret_distance = distance;
	return ((beyond > 0) & (beyond > errs)) | is_close;
}
/* How far, nearly always, the distance of the vectors is from the fine one between the codes: what
 * codes lost makes it too large by its own square, and stands at random to the difference of the
 * vectors otherwise. The first is all there is where vectors are nearer to each other than their
 * codes are to them. For deciding how many candidates to re-rank. */
float sq8_spread(const struct sq8 *sq8, const struct sq8_query *query,
                 const struct sq8_constants *other, float distance);

/* Which vectors cannot be as near to the query as `limit` (a distance as the f32 kernels take it,
 * rounding included), whatever the errors are. sq8.c derives it. */
struct sq8_bound {
	enum metric metric;
	struct sq8_constants query;
	double limit;     /* l2, cosine: a length that codes within it stay below, but for the other
	                   * code's error; ip: the distance itself */
	double mean_norm; /* ip */
	double query_norm; /* ip */
	double offset;     /* ip: what of the inner product is the query's alone */
	double rounding;   /* of a sum over all dimensions, relative */
	double unit_error; /* cosine */
};

void sq8_bound_init(struct sq8_bound *bound, const struct sq8 *sq8, const struct sq8_query *query);
/* +infinity excludes nothing. */
void sq8_bound_limit(struct sq8_bound *bound, float limit);
/* Part of the two below. */
bool sq8_bound_excludes_ip(const struct sq8_bound *bound, const struct sq8_constants *other,
                           double inner_codes, double error);

static inline bool sq8_bound_excludes_at(const struct sq8_bound *bound,
                                         const struct sq8_constants *other, double inner_codes,
                                         float self, float error)
{
	if (bound->metric == METRIC_IP)
		return sq8_bound_excludes_ip(bound, other, inner_codes, (double)error);
	double selves = (double)bound->query.self + (double)self;
	double reach = bound->limit + (double)error;
	return selves * (1 - 4 * SQ8_ULP) - 2 * inner_codes > reach * reach * (1 + 4 * SQ8_ULP);
}

/* Whether a code is of a vector farther than the limit, for certain: by the coarse product (in
 * halves) or the fine one. */
static inline bool sq8_bound_excludes_coarse(const struct sq8_bound *bound,
                                             const struct sq8_constants *other, int32_t halves)
{
	double inner_codes = (double)bound->query.step * (double)other->step * 0.5 * halves;

	return sq8_bound_excludes_at(bound, other, inner_codes, other->coarse_self,
	                             other->coarse_error);
}
static inline bool sq8_bound_excludes(const struct sq8_bound *bound,
                                      const struct sq8_constants *other, int32_t product)
{
	double inner_codes = (double)bound->query.step * (double)other->step * product;

	return sq8_bound_excludes_at(bound, other, inner_codes, other->self, other->error);
}
