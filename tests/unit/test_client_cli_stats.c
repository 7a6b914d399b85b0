/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/cli_fixture.h"

#define N_LOOKS 3

/* Each look finds one request more; then the daemon is gone. */
static void serve_stats(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct cli_fixture *fixture = daemon->ctx;
	uint64_t *n_looks = fixture->ctx;
	struct holding_row index = {.collection = {"notes", 5},
	                            .index = {"vector", 6},
	                            .state = WIRE_index_state_serving,
	                            .nodes = 7000,
	                            .dim = 384,
	                            .size_bytes = 3 << 20,
	                            .hits = 11,
	                            .misses = 12,
	                            .loads = 13,
	                            .evictions = 14};
	struct operation_row operation = {
	        .method = {"search", 6}, .requests = 5, .grown_bytes = 1 << 20};
	struct stats_result result = {.version = {"0", 1},
	                              .requests = ++*n_looks,
	                              .cache.backend = {"arena", 5},
	                              .memory = {.pss_bytes = 5 << 20, .swap_bytes = 6 << 20},
	                              .pressure.watched = {"", 0},
	                              .indexes = {&index, 1},
	                              .operations = {&operation, 1}};

	FAKE_MUST(request->method == WIRE_METHOD_stats);
	if (*n_looks > N_LOOKS)
		fake_hang_up(daemon);
	else
		fake_answer(daemon, request, &result);
}

static size_t count_of(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

static void watching_prints_a_line_for_each_look_until_the_daemon_is_gone(void **state)
{
	uint64_t n_looks = 0;
	struct cli_fixture *fixture = cli_fixture_new(serve_stats, &n_looks);

	(void)state;
	assert_int_equal(cli_run(fixture, "stats --watch --interval 0.1"), 3);
	assert_int_equal(count_of(fixture->out, "\n"), N_LOOKS);
	assert_non_null(strstr(fixture->out, "\"requests\":1,"));
	assert_non_null(strstr(fixture->out, "\"requests\":3,"));
	assert_int_equal(count_of(fixture->out, "\"pss_bytes\":5242880"), N_LOOKS);
	assert_int_equal(count_of(fixture->out, "\"swap_bytes\":6291456"), N_LOOKS);
	assert_int_equal(count_of(fixture->out, "\"hits\":11"), N_LOOKS);
	assert_int_equal(count_of(fixture->out, "\"grown_bytes\":1048576"), N_LOOKS);
	cli_fixture_free(fixture);
}

static void a_terminal_is_cleared_before_each_look(void **state)
{
	uint64_t n_looks = 0;
	struct cli_fixture *fixture = cli_fixture_new(serve_stats, &n_looks);

	(void)state;
	cli_run_on_terminal(fixture, 120,
	                    (char *[]){"kith", "stats", "--watch", "--interval", "0.1", NULL});
	assert_int_equal(count_of(fixture->out, "\033[H\033[2J"), N_LOOKS + 1);
	assert_int_equal(count_of(fixture->out, "INDEX OF"), N_LOOKS);
	assert_int_equal(count_of(fixture->out, "BUDGET CHANGED BY"), N_LOOKS);
	cli_fixture_free(fixture);
}

static void an_interval_is_for_watching_and_has_a_least(void **state)
{
	uint64_t n_looks = 0;
	struct cli_fixture *fixture = cli_fixture_new(serve_stats, &n_looks);

	(void)state;
	assert_int_equal(cli_run(fixture, "stats --interval 1"), 2);
	assert_non_null(strstr(fixture->err, "--interval goes with --watch"));
	assert_int_equal(cli_run(fixture, "stats --watch --interval 0.099"), 2);
	assert_non_null(strstr(fixture->err, "--interval is at least 0.1 seconds"));
	assert_int_equal(n_looks, 0);
	cli_fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(watching_prints_a_line_for_each_look_until_the_daemon_is_gone),
	        cmocka_unit_test(a_terminal_is_cleared_before_each_look),
	        cmocka_unit_test(an_interval_is_for_watching_and_has_a_least),
	};

	return cmocka_run_group_tests_name("client_cli_stats", tests, NULL, NULL);
}
