/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "index/hnsw.h"
#include "index/recall_curve.h"

static const struct recall_curve curve = {
        .n_nodes = 1000,
        .n = 4,
        .points = {{10, 800000}, {16, 900000}, {32, 980000}, {64, 990000}},
};

static void an_ef_lies_on_the_line_between_two_points(void **state)
{
	(void)state;
	assert_int_equal(recall_curve_ef(&curve, 0.9, 10), 16);
	assert_int_equal(recall_curve_ef(&curve, 0.98, 10), 32);
	assert_int_equal(recall_curve_ef(&curve, 0.94, 10), 24);
	assert_int_equal(recall_curve_ef(&curve, 0.985, 10), 48);
	/* Rounded up. */
	assert_int_equal(recall_curve_ef(&curve, 0.9801, 10), 33);
}

static void less_than_the_first_point_takes_the_first(void **state)
{
	(void)state;
	assert_int_equal(recall_curve_ef(&curve, 0.5, 10), 10);
	assert_int_equal(recall_curve_ef(&curve, 0.000001, 10), 10);
}

static void what_was_not_reached_takes_as_many_times_the_ef_as_errors_must_go_down(void **state)
{
	struct recall_curve perfect = {.n = 1, .points = {{10, RECALL_ONE}}};

	(void)state;
	assert_int_equal(recall_curve_ef(&curve, 0.995, 10), 128);
	assert_int_equal(recall_curve_ef(&curve, 0.9999, 10), HNSW_EF_MAX);
	assert_int_equal(recall_curve_ef(&curve, 1.0, 10), HNSW_EF_MAX);
	assert_int_equal(recall_curve_ef(&perfect, 0.999999, 10), 10);
	assert_int_equal(recall_curve_measured_ef(&curve, 0.99), 64);
	assert_int_equal(recall_curve_measured_ef(&curve, 0.995), 0);
}

static void more_neighbours_take_as_many_times_the_ef(void **state)
{
	(void)state;
	assert_int_equal(recall_curve_ef(&curve, 0.98, 1), 32);
	assert_int_equal(recall_curve_ef(&curve, 0.98, 20), 64);
	assert_int_equal(recall_curve_ef(&curve, 0.98, 15), 48);
	assert_int_equal(recall_curve_ef(&curve, 0.98, HNSW_EF_MAX), HNSW_EF_MAX);
}

static void without_a_curve_a_search_takes_care(void **state)
{
	const struct recall_curve none = {0};

	(void)state;
	assert_int_equal(recall_curve_ef(&none, 0.5, 10), RECALL_BLIND_EF);
	assert_int_equal(recall_curve_ef(&none, 0.99, 20), 2 * RECALL_BLIND_EF);
	assert_int_equal(recall_curve_measured_ef(&none, 0.5), 0);
}

static void a_larger_target_never_takes_less(void **state)
{
	uint32_t before = 0;

	(void)state;
	for (uint32_t i = 1; i < 10000; i++) {
		uint32_t ef = recall_curve_ef(&curve, i / 10000.0, 10);

		assert_true(ef >= before);
		before = ef;
	}
}

static void it_is_outgrown_by_three_in_ten(void **state)
{
	const struct recall_curve none = {0};

	(void)state;
	assert_true(recall_curve_is_outgrown(&none, 0));
	assert_false(recall_curve_is_outgrown(&curve, 900));
	assert_false(recall_curve_is_outgrown(&curve, 1300));
	assert_true(recall_curve_is_outgrown(&curve, 1301));
}

static void what_is_encoded_is_decoded(void **state)
{
	uint8_t bytes[RECALL_CURVE_BYTES_MAX];
	struct recall_curve decoded, full = {.n_nodes = 7, .n = RECALL_CURVE_POINTS};
	size_t n = recall_curve_encode(&curve, bytes);

	(void)state;
	assert_int_equal(n, 8 + 4 * 8);
	assert_int_equal(recall_curve_decode(bytes, n, 1000, &decoded), 0);
	assert_memory_equal(&decoded, &curve, sizeof(curve));
	for (uint32_t i = 0; i < full.n; i++)
		full.points[i] = (struct recall_point){recall_curve_step(i), i};
	n = recall_curve_encode(&full, bytes);
	assert_int_equal(n, sizeof(bytes));
	assert_int_equal(recall_curve_decode(bytes, n, 7, &decoded), 0);
	assert_memory_equal(&decoded, &full, sizeof(full));
}

static void assert_bad(struct recall_curve bad, size_t n)
{
	struct recall_curve decoded = {.n = 99};
	uint8_t bytes[sizeof(bad) + 8] = {0};

	memcpy(bytes, &bad, sizeof(bad));
	assert_int_equal(recall_curve_decode(bytes, n, 1000, &decoded), -EBADMSG);
	assert_int_equal(decoded.n, 99);
}

static void what_cannot_be_a_curve_is_refused(void **state)
{
	const size_t n = 8 + 4 * 8;
	struct recall_curve bad;

	(void)state;
	assert_bad(curve, 0);
	assert_bad(curve, 7);
	assert_bad(curve, n - 1);
	assert_bad(curve, n + 8);
	assert_bad(curve, RECALL_CURVE_BYTES_MAX + 8);
	bad = curve, bad.n = RECALL_CURVE_POINTS + 1;
	assert_bad(bad, RECALL_CURVE_BYTES_MAX);
	assert_bad(bad, RECALL_CURVE_BYTES_MAX + 8);
	bad = curve, bad.n_nodes = 1001;
	assert_bad(bad, n);
	bad = curve, bad.points[0].ef = 0;
	assert_bad(bad, n);
	bad = curve, bad.points[2].ef = 16;
	assert_bad(bad, n);
	bad = curve, bad.points[3].ef = HNSW_EF_MAX + 1;
	assert_bad(bad, n);
	bad = curve, bad.points[3].recall = 979999;
	assert_bad(bad, n);
	bad = curve, bad.points[3].recall = RECALL_ONE + 1;
	assert_bad(bad, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(an_ef_lies_on_the_line_between_two_points),
	        cmocka_unit_test(less_than_the_first_point_takes_the_first),
	        cmocka_unit_test(
	                what_was_not_reached_takes_as_many_times_the_ef_as_errors_must_go_down),
	        cmocka_unit_test(more_neighbours_take_as_many_times_the_ef),
	        cmocka_unit_test(without_a_curve_a_search_takes_care),
	        cmocka_unit_test(a_larger_target_never_takes_less),
	        cmocka_unit_test(it_is_outgrown_by_three_in_ten),
	        cmocka_unit_test(what_is_encoded_is_decoded),
	        cmocka_unit_test(what_cannot_be_a_curve_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
