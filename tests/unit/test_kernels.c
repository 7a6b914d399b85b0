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
	memset(row, 0, vector_stride_bytes(dim, DTYPE_F32));
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

/* `stored` is the row as the kernels take it, `a` its values. */
static void check_pair(const struct kernels *kernels, const void *stored, const float *a,
                       const float *b, uint32_t dim)
{
	size_t n = vector_stride_bytes(dim, DTYPE_F32) / sizeof(float);
	double l2 = 0, dot = 0, sum_abs = 0;

	for (uint32_t i = 0; i < dim; i++) {
		double d = (double)a[i] - b[i];
		l2 += d * d;
		dot += (double)a[i] * b[i];
		sum_abs += fabs((double)a[i] * b[i]);
	}
	check_close(kernels->l2(stored, b, n), l2, l2, dim);
	check_close(kernels->dot(stored, b, n), dot, sum_abs, dim);
}

static void every_set_agrees_with_sums_in_f64(void **state)
{
	static _Alignas(64) float a[MAX_DIM], b[MAX_DIM];

	(void)state;
	srand48(3);
	for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++)
				for (int round = 0; round < 5; round++) {
					fill(a, dims[d], shape);
					fill(b, dims[d], shape);
					check_pair(*set, a, a, b, dims[d]);
					fill(b, dims[d], SHAPE_EVEN);
					check_pair(*set, a, a, b, dims[d]);
				}
}

/* A row of f16, and the f32 row with the same values: subnormals and the largest are among them. */
static void fill_half(uint16_t *half, float *row, uint32_t dim)
{
	memset(half, 0, vector_stride_bytes(dim, DTYPE_F16));
	memset(row, 0, vector_stride_bytes(dim, DTYPE_F32));
	for (uint32_t i = 0; i < dim; i++)
		do
			half[i] = (uint16_t)(lrand48() >> (drand48() < 0.1 ? 20 : 10));
		while ((half[i] & 0x7c00) == 0x7c00);
	dtype_convert(half, DTYPE_F16, dim, DTYPE_F32, row);
}

static void assert_same_bits(float a, float b)
{
	assert_memory_equal(&a, &b, sizeof(a));
}

static void a_row_of_f16_gives_the_bits_of_the_f32_row(void **state)
{
	static _Alignas(64) uint16_t half[MAX_DIM];
	static _Alignas(64) float row[MAX_DIM], queries[4][MAX_DIM];
	const float *const pointers[4] = {queries[0], queries[1], queries[2], queries[3]};
	const struct kernels *const *f32 = kernels_all(DTYPE_F32);

	(void)state;
	srand48(8);
	for (const struct kernels *const *set = kernels_all(DTYPE_F16); *set; set++, f32++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (int round = 0; round < 5; round++) {
				size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);
				float got[4], expected[4];

				assert_int_equal((*set)->dtype, DTYPE_F16);
				assert_string_equal((*set)->name, (*f32)->name);
				fill_half(half, row, dims[d]);
				for (size_t q = 0; q < 4; q++)
					fill(queries[q], dims[d], SHAPE_MIXED);
				check_pair(*set, half, row, queries[0], dims[d]);
				assert_same_bits((*set)->l2(half, queries[0], n),
				                 (*f32)->l2(row, queries[0], n));
				assert_same_bits((*set)->dot(half, queries[0], n),
				                 (*f32)->dot(row, queries[0], n));
				(*set)->l2_x4(half, pointers, n, got);
				(*f32)->l2_x4(row, pointers, n, expected);
				assert_memory_equal(got, expected, sizeof(got));
				(*set)->dot_x4(half, pointers, n, got);
				(*f32)->dot_x4(row, pointers, n, expected);
				assert_memory_equal(got, expected, sizeof(got));
				assert_true((*set)->l2(half, row, n) == 0);
			}
}

static void four_queries_give_the_bits_of_one(void **state)
{
	static _Alignas(64) float row[MAX_DIM], queries[4][MAX_DIM];
	const float *const pointers[4] = {queries[0], queries[1], queries[2], queries[3]};

	(void)state;
	srand48(4);
	for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++) {
				size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);
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

static void check_scattered(const struct kernels *kernels, const void *const rows[4],
                            const float *query, size_t n)
{
	for (uint32_t n_rows = 1; n_rows <= 4; n_rows++) {
		float l2[5] = {-1, -1, -1, -1, -1}, dot[5] = {-1, -1, -1, -1, -1};

		kernels->l2_rows(rows, n_rows, query, n, l2);
		kernels->dot_rows(rows, n_rows, query, n, dot);
		for (uint32_t i = 0; i < n_rows; i++) {
			assert_same_bits(l2[i], kernels->l2(rows[i], query, n));
			assert_same_bits(dot[i], kernels->dot(rows[i], query, n));
		}
		assert_true(l2[n_rows] == -1 && dot[n_rows] == -1);
	}
}

static void rows_that_lie_anywhere_give_the_bits_of_one(void **state)
{
	static _Alignas(64) uint16_t halves[4][MAX_DIM];
	static _Alignas(64) float rows[4][MAX_DIM], query[MAX_DIM];
	const void *const f16[4] = {halves[3], halves[0], halves[2], halves[1]};
	const void *const f32[4] = {rows[3], rows[0], rows[2], rows[1]};

	(void)state;
	srand48(9);
	for (size_t d = 0; d < N_DIMS; d++) {
		size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);

		fill(query, dims[d], SHAPE_MIXED);
		for (size_t i = 0; i < 4; i++)
			fill_half(halves[i], rows[i], dims[d]);
		for (const struct kernels *const *set = kernels_all(DTYPE_F16); *set; set++)
			check_scattered(*set, f16, query, n);
		for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
			check_scattered(*set, f32, query, n);
	}
}

static void a_row_is_at_distance_zero_from_itself(void **state)
{
	static _Alignas(64) float row[MAX_DIM];

	(void)state;
	srand48(5);
	for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++)
			for (enum shape shape = 0; shape < N_SHAPES; shape++) {
				fill(row, dims[d], shape);
				size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);
				assert_true((*set)->l2(row, row, n) == 0);
			}
}

static void the_order_of_arguments_does_not_matter(void **state)
{
	static _Alignas(64) float a[MAX_DIM], b[MAX_DIM];

	(void)state;
	srand48(6);
	for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++)
		for (size_t d = 0; d < N_DIMS; d++) {
			size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);
			fill(a, dims[d], SHAPE_MIXED);
			fill(b, dims[d], SHAPE_MIXED);
			assert_true((*set)->l2(a, b, n) == (*set)->l2(b, a, n));
			assert_true((*set)->dot(a, b, n) == (*set)->dot(b, a, n));
		}
}

static void the_sets_begin_with_scalar_and_end_with_the_best(void **state)
{
	(void)state;
	for (enum dtype dtype = 0; dtype < N_DTYPES; dtype++) {
		const struct kernels *const *set = kernels_all(dtype);

		assert_string_equal(set[0]->name, "scalar");
		while (set[1])
			set++;
		assert_ptr_equal(*set, kernels_best(dtype));
		for (set = kernels_all(dtype); *set; set++)
			print_message("compared: %s of %s\n", (*set)->name,
			              dtype == DTYPE_F32 ? "f32" : "f16");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_set_agrees_with_sums_in_f64),
	        cmocka_unit_test(a_row_of_f16_gives_the_bits_of_the_f32_row),
	        cmocka_unit_test(four_queries_give_the_bits_of_one),
	        cmocka_unit_test(rows_that_lie_anywhere_give_the_bits_of_one),
	        cmocka_unit_test(a_row_is_at_distance_zero_from_itself),
	        cmocka_unit_test(the_order_of_arguments_does_not_matter),
	        cmocka_unit_test(the_sets_begin_with_scalar_and_end_with_the_best),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
