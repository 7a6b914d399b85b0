/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/cli_fixture.h"

struct story {
	atomic_bool watched;      /* a build tells how it gets on */
	atomic_bool index_failed; /* one of the two */
};

/* The build of `slow` never ends, that of `bad` fails; another tells how it gets on and waits until
 * that was seen. */
static void serve_ensure(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct ensure_index_params *params = request->params;
	struct cli_fixture *fixture = daemon->ctx;
	struct story *story = fixture->ctx;
	struct job_event job = {.job = 5,
	                        .collection = params->collection,
	                        .index = {"other", 5},
	                        .phase = {"unseen", 6}};
	struct ensure_index_result result = {
	        .outcome = WIRE_ensured_started, .job = 5, .generation = 1, .coverage = 1};
	struct wire_error error;

	cli_log(daemon, "ensure '%.*s' %u %u %u %s wait %d replace %d\n", (int)params->index.n,
	        params->index.n ? params->index.data : "", params->m, params->ef_construction,
	        params->ef_search, params->quantization == WIRE_quantization_none ? "none" : "sq8",
	        params->wait, params->replace);
	if (params->index.n == 4)
		return;
	if (params->index.n == 3) {
		wire_error_set(&error, WIRE_ERROR_BUILD_FAILED, NULL,
		               "the build failed: no memory");
		fake_refuse(daemon, request->id, &error);
		return;
	}
	if (story->watched) {
		fake_event(daemon, WIRE_EVENT_job, &job);
		job.index = (struct wire_str){"vector", 6};
		job.phase = (struct wire_str){"graph", 5};
		job.done = 15000;
		job.total = 60000;
		job.eta_s = 90;
		fake_event(daemon, WIRE_EVENT_job, &job);
		sem_wait(&fixture->seen);
	}
	if (params->wait)
		result.outcome = WIRE_ensured_built;
	fake_answer(daemon, request, &result);
}

static void serve_indexes(struct fake_daemon *daemon, const struct wire_request *request)
{
	static struct index_row indexes[] = {
	        {.name = {"vector", 6},
	         .m = 16,
	         .ef_construction = 128,
	         .ef_search = 64,
	         .ef_95 = 24,
	         .ef_99 = 48,
	         .state = WIRE_index_state_inserting,
	         .generation = 2,
	         .nodes = 59999,
	         .pending = 1,
	         .coverage = 59999.0 / 60000,
	         .size_bytes = 9u << 20,
	         .builds = 1},
	        {.name = {"fine", 4},
	         .m = 48,
	         .ef_construction = 400,
	         .ef_search = 200,
	         .quantization = WIRE_quantization_none},
	};
	struct cli_fixture *fixture = daemon->ctx;
	struct story *story = fixture->ctx;

	indexes[1].error =
	        story->index_failed ? (struct wire_str){"no memory", 9} : (struct wire_str){"", 0};
	fake_answer(daemon, request, &(struct list_indexes_result){{indexes, 2}, 0});
}

static void serve_jobs(struct fake_daemon *daemon, const struct wire_request *request)
{
	static struct work_row jobs[] = {{.job = 5,
	                                  .collection = {"notes", 5},
	                                  .index = {"vector", 6},
	                                  .phase = {"graph", 5},
	                                  .done = 15000,
	                                  .total = 60000,
	                                  .eta_s = 90,
	                                  .waiting = 63}};

	fake_answer(daemon, request, &(struct jobs_result){{jobs, 1}, 0});
}

static void serve_errors(struct fake_daemon *daemon, const struct wire_request *request)
{
	static struct failure_row failures[] = {{.first_ms = 1,
	                                         .last_ms = 2000,
	                                         .count = 1234,
	                                         .where = {"index 'notes/vector'", 20},
	                                         .what = {"the disk is full", 16}}};

	fake_answer(daemon, request, &(struct errors_result){{failures, 1}, 0});
}

static void serve(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct wire_error error;

	switch (request->method) {
	case WIRE_METHOD_subscribe:
		fake_answer(daemon, request, request->params);
		break;
	case WIRE_METHOD_ensure_index:
		serve_ensure(daemon, request);
		break;
	case WIRE_METHOD_list_indexes:
		serve_indexes(daemon, request);
		break;
	case WIRE_METHOD_jobs:
		serve_jobs(daemon, request);
		break;
	case WIRE_METHOD_errors:
		serve_errors(daemon, request);
		break;
	case WIRE_METHOD_optimize:
		fake_answer(daemon, request,
		            &(struct optimize_result){.inserted = 1, .coverage = 1, .saved = true});
		break;
	case WIRE_METHOD_warm:
		fake_answer(daemon, request, &(struct warm_result){.size_bytes = 9u << 20});
		break;
	case WIRE_METHOD_evict:
		fake_answer(daemon, request,
		            &(struct evict_result){.was_cached = true, .freed_bytes = 9u << 20});
		break;
	case WIRE_METHOD_cancel_job:
		wire_error_set(&error, WIRE_ERROR_NO_JOB, "job", "there is no job 9");
		fake_refuse(daemon, request->id, &error);
		break;
	default:
		wire_error_set(&error, WIRE_ERROR_NO_INDEX, "index", "there is no index 'gone'");
		fake_refuse(daemon, request->id, &error);
		break;
	}
}

static struct story *story_of(struct cli_fixture *fixture)
{
	return fixture->ctx;
}

static int setup(void **state)
{
	struct story *story = calloc(1, sizeof(*story));

	assert_non_null(story);
	*state = cli_fixture_new(serve, story);
	return 0;
}

static int teardown(void **state)
{
	struct cli_fixture *fixture = *state;
	struct story *story = fixture->ctx;

	cli_fixture_free(fixture);
	free(story);
	return 0;
}

static void ensure_asks_for_what_the_line_says(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "ensure notes"), 0);
	assert_string_equal(fixture->err, "");
	assert_non_null(strstr(fixture->out, "{\"outcome\":\"built\",\"job\":5,\"generation\":1,"
	                                     "\"coverage\":1.0,\"time_ms\":"));
	assert_int_equal(cli_run(fixture, "ensure notes other --m 32 --ef-construction 200 "
	                                  "--ef-search 90 --kind hnsw --quantization none "
	                                  "--replace --no-wait"),
	                 0);
	assert_non_null(strstr(fixture->out, "{\"outcome\":\"started\",\"job\":5,"));
	assert_int_equal(cli_run(fixture, "ensure notes --quantization sq4"), 2);
	assert_string_equal(fixture->err,
	                    "kith ensure: --quantization is sq8 or none, not 'sq4'\n");
	fake_daemon_stop(&fixture->daemon);
	assert_string_equal(fixture->log, "ensure '' 16 128 64 sq8 wait 1 replace 0\n"
	                                  "ensure 'other' 32 200 90 none wait 0 replace 1\n");
}

static void a_build_that_fails_or_takes_too_long_is_told(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "ensure notes bad"), 1);
	assert_string_equal(fixture->err, "kith ensure: the build failed: no memory\n");
	assert_int_equal(cli_run(fixture, "ensure notes slow --timeout 0.02"), 6);
	assert_string_equal(fixture->err, "kith ensure: notes/slow was not ready in time; a build "
	                                  "that began goes on ('kith jobs' shows it)\n");
}

static void ensure_shows_progress_on_a_terminal(void **state)
{
	char *argv[] = {"kith", "ensure", "notes", NULL};
	char *slow[] = {"kith", "ensure", "notes", "slow", "--timeout", "0.15", NULL};
	struct cli_fixture *fixture = *state;

	story_of(fixture)->watched = true;
	fixture->awaited = "/s  ";
	cli_run_on_terminal(fixture, 100, argv);
	assert_int_equal(fixture->status, 0);
	assert_non_null(strstr(fixture->out, "graph  [######..................]  25%  "
	                                     "15,000/60,000 rows  0/s  0:01:30 to go"));
	assert_null(strstr(fixture->out, "unseen"));
	assert_non_null(strstr(fixture->out, "\r\x1b[Knotes/vector: built in "));
	assert_non_null(strstr(fixture->out, ", generation 1, coverage 100%\r\n"));
	cli_run_on_terminal(fixture, 100, slow);
	assert_int_equal(fixture->status, 6);
}

static void indexes_have_a_column_for_errors_when_there_is_one(void **state)
{
	char *argv[] = {"kith", "indexes", "notes", NULL};
	struct cli_fixture *fixture = *state;

	cli_run_on_terminal(fixture, 140, argv);
	assert_string_equal(fixture->out,
	                    "INDEX   KIND  PARAMETERS            STATE      GEN   NODES  "
	                    "PENDING  COVERAGE  EF .95/.99/.999     SIZE  "
	                    "BUILDS\r\n"
	                    "vector  hnsw  M=16 ef=128/64 sq8    inserting    2  59,999   "
	                    "     1    99.99%          24/48/-  9.0 MiB  "
	                    "     1\r\n"
	                    "fine    hnsw  M=48 ef=400/200 none  declared     0       0   "
	                    "     0        0%            -/-/-      0 B  "
	                    "     0\r\n");
	story_of(fixture)->index_failed = true;
	cli_run_on_terminal(fixture, 140, argv);
	assert_non_null(strstr(fixture->out, "BUILDS  ERROR\r\n"));
	assert_non_null(strstr(fixture->out, "     1  \r\n"));
	assert_non_null(strstr(fixture->out, "     0  no memory\r\n"));
	assert_int_equal(cli_run(fixture, "indexes notes"), 0);
	assert_non_null(strstr(fixture->out, "{\"name\":\"vector\",\"kind\":\"hnsw\",\"m\":16,"));
	assert_non_null(strstr(fixture->out, "\"state\":\"declared\""));
	assert_non_null(strstr(fixture->out, "\"ef_95\":24,\"ef_99\":48,\"ef_999\":0,"));
}

static void jobs_are_shown_and_a_wrong_one_is_not_found(void **state)
{
	char *argv[] = {"kith", "jobs", NULL};
	struct cli_fixture *fixture = *state;

	cli_run_on_terminal(fixture, 80, argv);
	assert_string_equal(fixture->out,
	                    "JOB  COLLECTION  INDEX   PHASE    DONE   TOTAL    TO GO  WAITING\r\n"
	                    "  5  notes       vector  graph  15,000  60,000  0:01:30       63\r\n");
	assert_int_equal(cli_run(fixture, "jobs --cancel 9"), 4);
	assert_string_equal(fixture->err, "kith jobs: there is no job 9\n");
	assert_int_equal(cli_run(fixture, "optimize notes"), 0);
	assert_string_equal(fixture->out, "{\"inserted\":1,\"coverage\":1.0,\"saved\":true}\n");
}

static void an_index_is_warmed_and_evicted(void **state)
{
	struct cli_fixture *fixture = *state;
	char *warm[] = {"kith", "warm", "notes", NULL}, *evict[] = {"kith", "evict", "notes", NULL};

	assert_int_equal(cli_run(fixture, "warm notes"), 0);
	assert_string_equal(fixture->out, "{\"was_cached\":false,\"size_bytes\":9437184}\n");
	assert_int_equal(cli_run(fixture, "evict notes"), 0);
	assert_string_equal(fixture->out, "{\"was_cached\":true,\"freed_bytes\":9437184}\n");
	cli_run_on_terminal(fixture, 80, warm);
	assert_string_equal(fixture->out, "notes/vector is loaded, 9.0 MiB\r\n");
	cli_run_on_terminal(fixture, 80, evict);
	assert_string_equal(fixture->out, "notes/vector: 9.0 MiB given back\r\n");
}

static void errors_are_shown_with_where_and_how_often(void **state)
{
	char *argv[] = {"kith", "errors", NULL};
	struct cli_fixture *fixture = *state;

	/* Whole, also where the terminal is narrower than that. */
	cli_run_on_terminal(fixture, 40, argv);
	assert_non_null(strstr(fixture->out, "  TIMES  WHERE                 WHAT"));
	assert_non_null(strstr(fixture->out, "  1,234  index 'notes/vector'  the disk is full"));
	assert_int_equal(cli_run(fixture, "errors"), 0);
	assert_string_equal(fixture->out,
	                    "{\"first_ms\":1,\"last_ms\":2000,\"count\":1234,\"warning\":false,"
	                    "\"where\":\"index 'notes/vector'\",\"what\":\"the disk is full\"}\n");
}

static void an_index_that_is_not_there_is_not_found(void **state)
{
	struct cli_fixture *fixture = *state;

	assert_int_equal(cli_run(fixture, "drop-index notes gone"), 4);
	assert_string_equal(fixture->err, "kith drop-index: there is no index 'gone'\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	        TEST(ensure_asks_for_what_the_line_says),
	        TEST(a_build_that_fails_or_takes_too_long_is_told),
	        TEST(ensure_shows_progress_on_a_terminal),
	        TEST(indexes_have_a_column_for_errors_when_there_is_one),
	        TEST(jobs_are_shown_and_a_wrong_one_is_not_found),
	        TEST(an_index_is_warmed_and_evicted),
	        TEST(errors_are_shown_with_where_and_how_often),
	        TEST(an_index_that_is_not_there_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
