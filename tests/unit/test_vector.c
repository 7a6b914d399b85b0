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
	MAX_DIM = 4096,
	N_METRICS = 3
};

/* vector_check() of n vectors that begin at an address of any alignment. */
static int check_at(size_t shift, const float *vectors, size_t n, uint32_t dim, enum metric metric,
                    size_t *ret_row)
{
	size_t bytes = n * dim * sizeof(float);
	uint8_t *packed = malloc(bytes + shift);

	assert_non_null(packed);
	memcpy(packed + shift, vectors, bytes);
	int r = vector_check(packed + shift, n, dim, DTYPE_F32, metric, ret_row);
	free(packed);
	return r;
}

static void fill(float *vectors, size_t n, float scale)
{
	for (size_t i = 0; i < n; i++)
		vectors[i] = (float)(drand48() * 2 - 1) * scale;
}

static void a_stride_is_the_next_multiple_of_64(void **state)
{
	(void)state;
	assert_int_equal(vector_stride_bytes(1, DTYPE_F32), 64);
	assert_int_equal(vector_stride_bytes(16, DTYPE_F32), 64);
	assert_int_equal(vector_stride_bytes(17, DTYPE_F32), 128);
	assert_int_equal(vector_stride_bytes(784, DTYPE_F32), 3136);
	assert_int_equal(vector_stride_bytes(4096, DTYPE_F32), 16384);
	assert_int_equal(vector_stride_bytes(1, DTYPE_F16), 64);
	assert_int_equal(vector_stride_bytes(32, DTYPE_F16), 64);
	assert_int_equal(vector_stride_bytes(33, DTYPE_F16), 128);
	assert_int_equal(vector_stride_bytes(784, DTYPE_F16), 1600);
	assert_int_equal(vector_stride_bytes(4096, DTYPE_F16), 8192);
}

/* vector_check */

static void sound_vectors_pass_at_any_alignment(void **state)
{
	static float vectors[3 * MAX_DIM];
	size_t row = 99;

	(void)state;
	srand48(1);
	fill(vectors, 3 * MAX_DIM, 1);
	for (size_t d = 0; d < N_DIMS; d++)
		for (enum metric metric = 0; metric <= METRIC_COSINE; metric++)
			for (size_t shift = 0; shift < 5; shift++)
				assert_int_equal(check_at(shift, vectors, 3, dims[d], metric, &row),
				                 0);
	assert_int_equal(vector_check(vectors, 0, 4, DTYPE_F32, METRIC_COSINE, &row), 0);
	assert_int_equal(row, 99);
}

static void the_first_bad_element_of_any_place_is_named_by_row(void **state)
{
	static const uint32_t some_dims[] = {1, 3, 16, 33, 100};
	float vectors[3 * 100];
	size_t row;

	(void)state;
	srand48(2);
	for (size_t d = 0; d < sizeof(some_dims) / sizeof(some_dims[0]); d++) {
		uint32_t dim = some_dims[d];
		for (uint32_t at = 0; at < 3 * dim; at++) {
			for (enum metric metric = 0; metric <= METRIC_COSINE; metric++) {
				fill(vectors, 3 * dim, 1);
				vectors[at] = NAN;
				assert_int_equal(check_at(1, vectors, 3, dim, metric, &row),
				                 VECTOR_NAN);
				assert_int_equal(row, at / dim);
				vectors[at] = -INFINITY;
				assert_int_equal(check_at(3, vectors, 3, dim, metric, &row),
				                 VECTOR_INFINITE);
				assert_int_equal(row, at / dim);
			}
		}
	}
}

static void a_zero_vector_is_bad_under_cosine_only(void **state)
{
	float vectors[2 * 40];
	size_t row = 99;

	(void)state;
	for (size_t i = 0; i < 80; i++)
		vectors[i] = i < 40 ? 1 : -0.0f;
	assert_int_equal(vector_check(vectors, 2, 40, DTYPE_F32, METRIC_L2, &row), 0);
	assert_int_equal(vector_check(vectors, 2, 40, DTYPE_F32, METRIC_IP, &row), 0);
	assert_int_equal(row, 99);
	assert_int_equal(vector_check(vectors, 2, 40, DTYPE_F32, METRIC_COSINE, &row), VECTOR_ZERO);
	assert_int_equal(row, 1);
	vectors[79] = FLT_TRUE_MIN;
	assert_int_equal(vector_check(vectors, 2, 40, DTYPE_F32, METRIC_COSINE, &row), 0);
}

static void a_vector_too_long_for_f32_is_infinite_but_under_cosine(void **state)
{
	float vector[20] = {0};
	size_t row;

	(void)state;
	vector[17] = 0x1p62f;
	vector[3] = 0x1p62f; /* squared length 2^125, the most there may be */
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_L2, &row), 0);
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_IP, &row), 0);
	vector[3] = nextafterf(0x1p62f, FLT_MAX);
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_L2, &row), VECTOR_INFINITE);
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_IP, &row), VECTOR_INFINITE);
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_COSINE, &row), 0);
	for (size_t i = 0; i < 20; i++)
		vector[i] = FLT_MAX;
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_L2, &row), VECTOR_INFINITE);
	assert_int_equal(vector_check(vector, 1, 20, DTYPE_F32, METRIC_COSINE, &row), 0);
}

/* vector_prepare */

static void rows_are_the_vectors_with_zeros_behind(void **state)
{
	static float vectors[2 * MAX_DIM + 1];
	static _Alignas(64) uint8_t rows[2 * MAX_DIM * sizeof(float)];
	const float zeros[16] = {0};

	(void)state;
	srand48(3);
	fill(vectors, 2 * MAX_DIM, 1);
	for (size_t d = 0; d < N_DIMS; d++) {
		uint32_t stride = vector_stride_bytes(dims[d], DTYPE_F32), bytes = dims[d] * 4;
		memset(rows, 0xff, sizeof(rows));
		vector_prepare(vectors, 2, dims[d], DTYPE_F32, METRIC_IP, rows);
		for (size_t i = 0; i < 2; i++) {
			assert_memory_equal(rows + i * stride, vectors + i * dims[d], bytes);
			assert_memory_equal(rows + i * stride + bytes, zeros, stride - bytes);
		}
		memset(rows, 0xff, sizeof(rows));
		memmove((uint8_t *)vectors + 1, vectors, 2 * bytes);
		vector_prepare((uint8_t *)vectors + 1, 2, dims[d], DTYPE_F32, METRIC_COSINE, rows);
		memmove(vectors, (uint8_t *)vectors + 1, 2 * bytes);
		for (size_t i = 0; i < 2; i++)
			assert_memory_equal(rows + i * stride + bytes, zeros, stride - bytes);
	}
}

static void cosine_rows_have_unit_length_and_keep_their_direction(void **state)
{
	static const float scales[] = {1, 1e-3f, 1e-20f, 1e-38f, 1e-42f, 1e20f, FLT_MAX};
	static float vector[MAX_DIM];
	static _Alignas(64) float row[MAX_DIM];

	(void)state;
	srand48(4);
	for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++)
		for (size_t d = 0; d < N_DIMS; d++) {
			double square = 0, unit = 0;
			fill(vector, dims[d], scales[s]);
			vector[dims[d] - 1] = scales[s];
			vector_prepare(vector, 1, dims[d], DTYPE_F32, METRIC_COSINE, row);
			for (uint32_t i = 0; i < dims[d]; i++)
				square += (double)vector[i] * vector[i];
			for (uint32_t i = 0; i < dims[d]; i++) {
				double exact = vector[i] / sqrt(square);
				assert_true(fabs(row[i] - exact) <=
				            6e-8 * fabs(exact) + FLT_TRUE_MIN);
				unit += (double)row[i] * row[i];
			}
			assert_true(fabs(unit - 1) < 2e-7);
		}
}

static void the_smallest_denormal_has_a_direction(void **state)
{
	float vector[3] = {0, -FLT_TRUE_MIN, 0};
	_Alignas(64) float row[16];

	(void)state;
	vector_prepare(vector, 1, 3, DTYPE_F32, METRIC_COSINE, row);
	assert_true(row[0] == 0 && row[1] == -1 && row[2] == 0);
}

static void no_two_vectors_that_pass_have_an_infinite_distance(void **state)
{
	static _Alignas(64) float a[MAX_DIM], b[MAX_DIM];
	size_t bad;

	(void)state;
	for (size_t d = 0; d < N_DIMS; d++) {
		float x = sqrtf(VECTOR_MAX_SQUARED_LENGTH / (float)dims[d]);
		size_t n = vector_stride_bytes(dims[d], DTYPE_F32) / sizeof(float);
		memset(a, 0, sizeof(a));
		memset(b, 0, sizeof(b));
		for (uint32_t i = 0; i < dims[d]; i++)
			a[i] = x;
		while (vector_check(a, 1, dims[d], DTYPE_F32, METRIC_L2, &bad) != 0)
			for (uint32_t i = 0; i < dims[d]; i++)
				a[i] = nextafterf(a[i], 0);
		for (uint32_t i = 0; i < dims[d]; i++)
			b[i] = -a[i];
		for (const struct kernels *const *set = kernels_all(DTYPE_F32); *set; set++) {
			assert_true(isfinite((*set)->l2(a, b, n)));
			assert_true(isfinite((*set)->dot(a, b, n)));
			assert_true(isfinite((*set)->dot(a, a, n)));
		}
	}
}

/* f16 */

static void the_first_bad_vector_of_f16_is_told(void **state)
{
	static const struct {
		uint16_t bits;
		int fault;
	} cases[] = {{0x7c00, VECTOR_INFINITE},
	             {0xfc00, VECTOR_INFINITE},
	             {0x7c01, VECTOR_NAN},
	             {0xfe00, VECTOR_NAN},
	             {0x7bff, 0},
	             {0x0001, 0}};
	uint8_t packed[1 + 3 * 37 * 2] = {0};
	size_t row;

	(void)state;
	for (int metric = 0; metric < N_METRICS; metric++)
		for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
			for (size_t at = 0; at < 37; at++) {
				memset(packed, 0x11, sizeof(packed));
				memcpy(packed + 1 + (37 + at) * 2, &cases[c].bits, 2);
				row = 99;
				assert_int_equal(vector_check(packed + 1, 3, 37, DTYPE_F16,
				                              (enum metric)metric, &row),
				                 cases[c].fault);
				assert_int_equal(row, cases[c].fault ? 1 : 99);
			}
	memset(packed + 1 + 2 * 37 * 2, 0, 37 * 2);
	assert_int_equal(vector_check(packed + 1, 3, 37, DTYPE_F16, METRIC_L2, &row), 0);
	assert_int_equal(vector_check(packed + 1, 3, 37, DTYPE_F16, METRIC_COSINE, &row),
	                 VECTOR_ZERO);
	assert_int_equal(row, 2);
}

static void what_f16_cannot_hold_is_told(void **state)
{
	float vectors[3][20];
	uint16_t halves[3][20];
	size_t row;

	(void)state;
	for (int metric = 0; metric < N_METRICS; metric++) {
		fill(vectors[0], 3 * 20, 1);
		vectors[1][7] = nextafterf(-65520, 0);
		assert_int_equal(vector_convert(vectors, 3, 20, DTYPE_F32, (enum metric)metric,
		                                DTYPE_F16, halves, &row),
		                 0);
		assert_int_equal(halves[1][7], 0xfbff);
		vectors[1][7] = -65520;
		assert_int_equal(vector_convert(vectors, 3, 20, DTYPE_F32, (enum metric)metric,
		                                DTYPE_F16, halves, &row),
		                 VECTOR_OVERFLOW);
		assert_int_equal(row, 1);
	}
	fill(vectors[0], 3 * 20, 1);
	for (size_t i = 0; i < 20; i++)
		vectors[2][i] = 0x1p-25f;
	assert_int_equal(
	        vector_convert(vectors, 3, 20, DTYPE_F32, METRIC_L2, DTYPE_F16, halves, &row), 0);
	assert_int_equal(
	        vector_convert(vectors, 3, 20, DTYPE_F32, METRIC_COSINE, DTYPE_F16, halves, &row),
	        VECTOR_UNDERFLOW);
	assert_int_equal(row, 2);
	vectors[2][19] = nextafterf(0x1p-25f, 1);
	assert_int_equal(
	        vector_convert(vectors, 3, 20, DTYPE_F32, METRIC_COSINE, DTYPE_F16, halves, &row),
	        0);
	assert_int_equal(halves[2][19], 1);
}

static void f16_rows_are_padded_and_of_unit_length_under_cosine(void **state)
{
	static float vector[MAX_DIM];
	static uint16_t packed[MAX_DIM];
	static _Alignas(64) uint16_t row[MAX_DIM];

	(void)state;
	srand48(11);
	for (size_t d = 0; d < N_DIMS; d++)
		for (float scale = 1e-6f; scale < 6e4f; scale *= 10) {
			uint32_t stride = vector_stride_bytes(dims[d], DTYPE_F16);
			size_t bad;
			double square = 0;

			do {
				fill(vector, dims[d], scale);
				dtype_convert(vector, DTYPE_F32, dims[d], DTYPE_F16, packed);
			} while (vector_check(packed, 1, dims[d], DTYPE_F16, METRIC_COSINE, &bad));
			memset(row, 0xee, sizeof(row));
			vector_prepare(packed, 1, dims[d], DTYPE_F16, METRIC_IP, row);
			assert_memory_equal(row, packed, dims[d] * 2);
			for (uint32_t i = dims[d]; i < stride / 2; i++)
				assert_int_equal(row[i], 0);
			vector_prepare(packed, 1, dims[d], DTYPE_F16, METRIC_COSINE, row);
			for (uint32_t i = 0; i < stride / 2; i++) {
				float x;

				dtype_convert(&row[i], DTYPE_F16, 1, DTYPE_F32, &x);
				square += (double)x * x;
				assert_true(i < dims[d] || row[i] == 0);
			}
			assert_true(fabs(sqrt(square) - 1) < 0x1p-11 + 0x1p-19);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_stride_is_the_next_multiple_of_64),
	        cmocka_unit_test(sound_vectors_pass_at_any_alignment),
	        cmocka_unit_test(the_first_bad_element_of_any_place_is_named_by_row),
	        cmocka_unit_test(a_zero_vector_is_bad_under_cosine_only),
	        cmocka_unit_test(a_vector_too_long_for_f32_is_infinite_but_under_cosine),
	        cmocka_unit_test(rows_are_the_vectors_with_zeros_behind),
	        cmocka_unit_test(cosine_rows_have_unit_length_and_keep_their_direction),
	        cmocka_unit_test(the_smallest_denormal_has_a_direction),
	        cmocka_unit_test(no_two_vectors_that_pass_have_an_infinite_distance),
	        cmocka_unit_test(the_first_bad_vector_of_f16_is_told),
	        cmocka_unit_test(what_f16_cannot_hold_is_told),
	        cmocka_unit_test(f16_rows_are_padded_and_of_unit_length_under_cosine),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
