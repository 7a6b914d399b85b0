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
#include "index/vector.h"

static const uint32_t dims[] = {1,  2,  3,   15,  16,  17,  31,  33,   63,
                                64, 65, 127, 128, 256, 768, 784, 1536, 4096};
enum {
	N_DIMS = sizeof(dims) / sizeof(dims[0]),
	MAX_DIM = 4096
};

/* What the rows hold: each is awkward for sums in f32 in a way of its own. */
enum shape {
	SHAPE_EVEN,   /* [-1, 1) */
	SHAPE_OFFSET, /* differences far smaller than the values */
	SHAPE_TINY,   /* squares near the smallest normal number */
	SHAPE_DENORMAL,
	SHAPE_MIXED, /* magnitudes from 1e-6 to 1e6 */
	SHAPE_HUGE,  /* squared length near the largest that is let in */
	N_SHAPES,
};

static float element(enum shape shape, uint32_t dim)
{
	float x = (float)(drand48() * 2 - 1);

	switch (shape) {
	case SHAPE_EVEN:
		return x;
	case SHAPE_OFFSET:
		return 10000 + x;
	case SHAPE_TINY:
		return x * 1e-18f;
	case SHAPE_DENORMAL:
		return x * 1e-40f;
	case SHAPE_MIXED:
		return x * powf(10, (float)(drand48() * 12 - 6));
	case SHAPE_HUGE:
		return copysignf(sqrtf(VECTOR_MAX_SQUARED_LENGTH / (float)dim) * 0.99f, x);
	case N_SHAPES:
	default:
		abort();
	}
}

static void fill(float *row, uint32_t dim, enum shape shape)
{
	memset(row, 0, vector_stride_bytes(dim));
	for (uint32_t i = 0; i < dim; i++)
		row[i] = element(shape, dim);
}

/* The textbook's bound for n/16 additions in each of sixteen lanes (fewer in wider sets), eight
 * more for putting the lanes together and rounding each term; and what falls below FLT_MIN. */
static void check_close(float got, double exact, double sum_abs, uint32_t dim)
{
	double bound = (dim / 16.0 + 8) * FLT_EPSILON * sum_abs + dim * (double)FLT_MIN;

	assert_true(isfinite(got));
	assert_true(fabs(got - exact) <= bound);
}

static void check_pair(const struct kernels *kernels, const float *a, const float *b, uint32_t dim)
{
	size_t n = vector_stride_bytes(dim) / sizeof(float);
	double l2 = 0, dot = 0, sum_abs = 0;

	for (uint32_t i = 0; i < dim; i++) {
		double d = (double)a[i] - b[i];
		l2 += d * d;
		dot += (double)a[i] * b[i];
		sum_abs += fabs((double)a[i] * b[i]);
	}
	check_close(kernels->l2(a, b, n), l2, l2, dim);
	check_close(kernels->dot(a, b, n), dot, sum_abs, dim);
}

static void every_set_agrees_with_sums_in_f64(void **state)
{
	static _Alignas(64) float a[MAX_DIM], b[MAX_DIM];

	(void)state;
	srand48(3);
	for (const struct kernels *const *set = kernels_all(); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++)
				for (int round = 0; round < 5; round++) {
					fill(a, dims[d], shape);
					fill(b, dims[d], shape);
					check_pair(*set, a, b, dims[d]);
					fill(b, dims[d], SHAPE_EVEN);
					check_pair(*set, a, b, dims[d]);
				}
}

static void four_queries_give_the_bits_of_one(void **state)
{
	static _Alignas(64) float row[MAX_DIM], queries[4][MAX_DIM];
	const float *const pointers[4] = {queries[0], queries[1], queries[2], queries[3]};

	(void)state;
	srand48(4);
	for (const struct kernels *const *set = kernels_all(); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++) {
				size_t n = vector_stride_bytes(dims[d]) / sizeof(float);
				float l2[4], dot[4];
				fill(row, dims[d], shape);
				for (size_t q = 0; q < 4; q++)
					fill(queries[q], dims[d], shape);
				(*set)->l2_x4(row, pointers, n, l2);
				(*set)->dot_x4(row, pointers, n, dot);
				for (size_t q = 0; q < 4; q++) {
					float one = (*set)->l2(row, queries[q], n);
					assert_memory_equal(&one, &l2[q], sizeof(one));
					one = (*set)->dot(row, queries[q], n);
					assert_memory_equal(&one, &dot[q], sizeof(one));
				}
			}
}

static void a_row_is_at_distance_zero_from_itself(void **state)
{
	static _Alignas(64) float row[MAX_DIM];

	(void)state;
	srand48(5);
	for (const struct kernels *const *set = kernels_all(); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++) {
				fill(row, dims[d], shape);
				size_t n = vector_stride_bytes(dims[d]) / sizeof(float);
				assert_true((*set)->l2(row, row, n) == 0);
			}
}

static void the_order_of_arguments_does_not_matter(void **state)
{
	static _Alignas(64) float a[MAX_DIM], b[MAX_DIM];

	(void)state;
	srand48(6);
	for (const struct kernels *const *set = kernels_all(); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++) {
			size_t n = vector_stride_bytes(dims[d]) / sizeof(float);
			fill(a, dims[d], SHAPE_MIXED);
			fill(b, dims[d], SHAPE_MIXED);
			assert_true((*set)->l2(a, b, n) == (*set)->l2(b, a, n));
			assert_true((*set)->dot(a, b, n) == (*set)->dot(b, a, n));
		}
}

static void the_sets_begin_with_scalar_and_end_with_the_best(void **state)
{
	const struct kernels *const *set = kernels_all();

	(void)state;
	assert_string_equal(set[0]->name, "scalar");
	while (set[1])
		set++;
	assert_ptr_equal(*set, kernels_best());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_set_agrees_with_sums_in_f64),
	        cmocka_unit_test(four_queries_give_the_bits_of_one),
	        cmocka_unit_test(a_row_is_at_distance_zero_from_itself),
	        cmocka_unit_test(the_order_of_arguments_does_not_matter),
	        cmocka_unit_test(the_sets_begin_with_scalar_and_end_with_the_best),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
