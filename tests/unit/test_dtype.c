/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "index/dtype.h"

enum {
	N_FINITE = 0x7c00, /* positive f16, in ascending order */
	INFINITE = 0x7c00,
};

/* The value of a positive finite f16, by the book. */
static float value_of(uint16_t half)
{
	int exponent = half >> 10;
	int fraction = half & 0x3ff;

	return exponent == 0 ? ldexpf((float)fraction, -24)
	                     : ldexpf((float)(1024 + fraction), exponent - 25);
}

static float widened(uint16_t half)
{
	float value;

	dtype_convert(&half, DTYPE_F16, 1, DTYPE_F32, &value);
	return value;
}

static uint16_t narrowed(float value)
{
	uint16_t half;

	dtype_convert(&value, DTYPE_F32, 1, DTYPE_F16, &half);
	return half;
}

static void every_f16_widens_exactly_and_comes_back(void **state)
{
	(void)state;
	for (uint16_t half = 0; half < N_FINITE; half++) {
		uint16_t negative = half | 0x8000;

		assert_true(widened(half) == value_of(half) && !signbit(widened(half)));
		assert_true(widened(negative) == -value_of(half) && signbit(widened(negative)));
		assert_int_equal(narrowed(widened(half)), half);
		assert_int_equal(narrowed(widened(negative)), negative);
	}
	assert_true(widened(INFINITE) == INFINITY);
	assert_true(widened(INFINITE | 0x8000) == -INFINITY);
	assert_int_equal(narrowed(INFINITY), INFINITE);
	assert_int_equal(narrowed(-INFINITY), INFINITE | 0x8000);
}

/* Between two neighbours, infinity being where the next f16 would be. */
static void an_f32_goes_to_the_nearest_f16_and_halfway_to_the_even_one(void **state)
{
	(void)state;
	for (uint16_t half = 0; half < N_FINITE; half++) {
		float low = value_of(half);
		float high = half + 1 == N_FINITE ? 65536 : value_of((uint16_t)(half + 1));
		float middle = low + (high - low) / 2;
		uint16_t even = half & 1 ? (uint16_t)(half + 1) : half;

		assert_int_equal(narrowed(middle), even);
		assert_int_equal(narrowed(-middle), even | 0x8000);
		assert_int_equal(narrowed(nextafterf(middle, 0)), half);
		assert_int_equal(narrowed(nextafterf(middle, INFINITY)), half + 1);
		assert_int_equal(narrowed(nextafterf(low, INFINITY)), half);
		assert_int_equal(narrowed(nextafterf(high, 0)), half + 1);
	}
	assert_int_equal(narrowed(1e-40f), 0);
	assert_int_equal(narrowed(1e38f), INFINITE);
}

static void a_nan_stays_one(void **state)
{
	static const uint32_t nans[] = {0x7fc00000, 0x7f800001, 0xff800001, 0x7fffffff};

	(void)state;
	for (uint16_t half = INFINITE + 1; half < 0x8000; half++)
		assert_true(isnan(widened(half)) && isnan(widened(half | 0x8000)));
	for (size_t i = 0; i < sizeof(nans) / sizeof(nans[0]); i++) {
		float nan;

		memcpy(&nan, &nans[i], sizeof(nan));
		assert_true((narrowed(nan) & 0x7fff) > INFINITE);
	}
}

static void any_number_of_elements_at_any_alignment(void **state)
{
	(void)state;
	for (size_t n = 0; n <= 19; n++) {
		uint8_t halves[1 + 19 * 2 + 1], floats[1 + 19 * 4 + 1], back[1 + 19 * 2 + 1];

		memset(floats, 0xee, sizeof(floats));
		memset(back, 0xee, sizeof(back));
		for (size_t i = 0; i < n; i++) {
			uint16_t half = (uint16_t)(0x3c00 + 321 * i);
			memcpy(halves + 1 + i * 2, &half, sizeof(half));
		}
		dtype_convert(halves + 1, DTYPE_F16, n, DTYPE_F32, floats + 1);
		dtype_convert(floats + 1, DTYPE_F32, n, DTYPE_F16, back + 1);
		assert_memory_equal(halves + 1, back + 1, n * 2);
		assert_int_equal(floats[1 + n * 4], 0xee);
		assert_int_equal(back[1 + n * 2], 0xee);
		dtype_convert(halves + 1, DTYPE_F16, n, DTYPE_F16, back + 1);
		assert_memory_equal(halves + 1, back + 1, n * 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_f16_widens_exactly_and_comes_back),
	        cmocka_unit_test(an_f32_goes_to_the_nearest_f16_and_halfway_to_the_even_one),
	        cmocka_unit_test(a_nan_stays_one),
	        cmocka_unit_test(any_number_of_elements_at_any_alignment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
