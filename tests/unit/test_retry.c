/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/index.h"
#include "daemon/retry.h"
#include "daemon/upkeep.h"

#define NS_PER_MS UINT64_C(1000000)
#define NOW_NS UINT64_C(123456789)

/* It is due when the pause is over, and not a nanosecond before. */
static void expect_due_after(const struct retry *retry, uint64_t pause_ms)
{
	assert_false(retry_is_due(retry, NOW_NS + pause_ms * NS_PER_MS - 1));
	assert_true(retry_is_due(retry, NOW_NS + pause_ms * NS_PER_MS));
}

static void what_never_failed_is_due(void **state)
{
	const struct retry fresh = {0};

	(void)state;
	assert_true(retry_is_due(&fresh, 0));
}

static void an_indexs_pauses_double_up_to_a_minute(void **state)
{
	static const uint64_t pauses_ms[] = {1000,  2000,  4000,  8000, 16000,
	                                     32000, 60000, 60000, 60000};
	struct retry retry = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
		retry_failed(&retry, NOW_NS, INDEX_RETRY_MS, INDEX_RETRY_MAX_MS);
		assert_int_equal(retry.pause_ms, pauses_ms[i]);
		expect_due_after(&retry, pauses_ms[i]);
	}
}

static void those_of_upkeep_begin_at_half_a_second(void **state)
{
	struct retry retry = {0};
	uint64_t pause_ms = 500;

	(void)state;
	for (int i = 0; i < 20; i++) {
		retry_failed(&retry, NOW_NS, UPKEEP_RETRY_MS, UPKEEP_RETRY_MAX_MS);
		expect_due_after(&retry, pause_ms);
		pause_ms = pause_ms * 2 < 60000 ? pause_ms * 2 : 60000;
	}
}

static void a_success_begins_anew(void **state)
{
	struct retry retry = {0};

	(void)state;
	for (int i = 0; i < 4; i++)
		retry_failed(&retry, NOW_NS, 1000, 60000);
	retry_succeeded(&retry);
	assert_true(retry_is_due(&retry, 0));
	retry_failed(&retry, NOW_NS, 1000, 60000);
	expect_due_after(&retry, 1000);
}

/* Neither what is put off nor what is asked for is a failure, or an end of them. */
static void the_row_of_failures_goes_on_behind_what_is_none(void **state)
{
	struct retry retry = {0};

	(void)state;
	retry_put_off(&retry, NOW_NS, 700);
	expect_due_after(&retry, 700);
	assert_int_equal(retry.pause_ms, 0);
	retry_failed(&retry, NOW_NS, 1000, 60000);
	retry_put_off(&retry, NOW_NS, 300);
	expect_due_after(&retry, 300);
	retry_at_once(&retry);
	assert_true(retry_is_due(&retry, 0));
	retry_failed(&retry, NOW_NS, 1000, 60000);
	expect_due_after(&retry, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_never_failed_is_due),
	        cmocka_unit_test(an_indexs_pauses_double_up_to_a_minute),
	        cmocka_unit_test(those_of_upkeep_begin_at_half_a_second),
	        cmocka_unit_test(a_success_begins_anew),
	        cmocka_unit_test(the_row_of_failures_goes_on_behind_what_is_none),
	};

	return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
