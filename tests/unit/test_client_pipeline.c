/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/kith.h"
#include "tests/lib/fake_daemon.h"

/* What the handlers share with the tests. */
struct story {
	uint64_t held[KITH_MAX_TICKETS]; /* requests that are answered later */
	uint32_t n_held, hold;
	sem_t gate; /* the daemon waits here when it is told to */
};

struct fixture {
	struct fake_daemon daemon;
	struct story story;
	struct kith_conn *conn;
};

static struct fixture *fixture_new(fake_handler *handler)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct kith_options options = {0};

	assert_non_null(fixture);
	assert_int_equal(sem_init(&fixture->story.gate, 0, 0), 0);
	fake_daemon_init(&fixture->daemon, handler, &fixture->story);
	fake_daemon_start(&fixture->daemon);
	options.socket_path = fixture->daemon.socket;
	assert_int_equal(kith_connect(&options, &fixture->conn), 0);
	return fixture;
}

static void fixture_free(struct fixture *fixture)
{
	kith_close(fixture->conn);
	fake_daemon_release(&fixture->daemon);
	sem_destroy(&fixture->story.gate);
	free(fixture);
}

static uint64_t submit_count(struct kith_conn *conn, const char *collection)
{
	struct kith_count_params params = {.collection = kith_text(collection)};
	uint64_t ticket = 0;

	assert_int_equal(kith_submit_count(conn, &params, &ticket), 0);
	assert_int_not_equal(ticket, 0);
	return ticket;
}

/* Collects and checks which answer it is. */
static void collect_count(struct kith_conn *conn, uint64_t ticket)
{
	struct kith_count_result *result;

	assert_int_equal(kith_collect_count(conn, ticket, KITH_USUAL, &result), 0);
	assert_int_equal(result->count, ticket * 10);
	kith_free(result);
}

static void answer_count(struct fake_daemon *daemon, uint64_t id)
{
	fake_answer_id(daemon, id, WIRE_METHOD_count, &(struct count_result){.count = id * 10});
}

/* Holds counts until `hold` have come, then answers the last first. Pings at once. */
static void answer_backwards(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct story *story = daemon->ctx;

	if (request->method == WIRE_METHOD_ping) {
		fake_answer(daemon, request, &(struct ping_result){0});
		return;
	}
	story->held[story->n_held++] = request->id;
	if (story->n_held < story->hold)
		return;
	while (story->n_held > 0)
		answer_count(daemon, story->held[--story->n_held]);
}

static void answers_out_of_order_are_kept_until_they_are_collected(void **state)
{
	struct fixture *fixture = fixture_new(answer_backwards);
	uint64_t tickets[8];

	(void)state;
	fixture->story.hold = 8;
	for (uint32_t i = 0; i < 8; i++)
		tickets[i] = submit_count(fixture->conn, "notes");
	assert_int_equal(kith_ping(fixture->conn), 0);
	for (uint32_t i = 0; i < 8; i += 2)
		collect_count(fixture->conn, tickets[i]);
	for (uint32_t i = 7; i < 8; i -= 2)
		collect_count(fixture->conn, tickets[i]);
	fixture_free(fixture);
}

/* One builds, the others join: all are answered when the last has come. */
static void answer_ensures_together(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct story *story = daemon->ctx;

	story->held[story->n_held++] = request->id;
	if (story->n_held < story->hold)
		return;
	for (uint32_t i = 0; i < story->n_held; i++) {
		const struct ensure_index_result result = {
		        .outcome = i == 0 ? WIRE_ensured_built : WIRE_ensured_joined, .job = 1};

		fake_answer_id(daemon, story->held[i], WIRE_METHOD_ensure_index, &result);
	}
}

static void one_thread_waits_for_many_ensures(void **state)
{
	enum {
		N = 64
	};
	struct fixture *fixture = fixture_new(answer_ensures_together);
	struct kith_ensure_index_params params = {.collection = kith_text("notes"), .wait = true};
	struct kith_ensure_index_result *result;
	uint64_t tickets[N];

	(void)state;
	fixture->story.hold = N;
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(kith_submit_ensure_index(fixture->conn, &params, &tickets[i]), 0);
	for (uint32_t i = N - 1; i < N; i--) {
		assert_int_equal(
		        kith_collect_ensure_index(fixture->conn, tickets[i], KITH_USUAL, &result),
		        0);
		assert_int_equal(result->outcome,
		                 i == 0 ? KITH_ENSURED_BUILT : KITH_ENSURED_JOINED);
		kith_free(result);
	}
	fixture_free(fixture);
}

static void collecting_what_is_not_there_yet_can_be_repeated(void **state)
{
	struct fixture *fixture = fixture_new(answer_backwards);
	uint64_t first, second;

	(void)state;
	fixture->story.hold = 2;
	first = submit_count(fixture->conn, "notes");
	assert_int_equal(kith_collect_count(fixture->conn, first, 0, NULL), -ETIMEDOUT);
	assert_int_equal(kith_collect_count(fixture->conn, first, 5, NULL), -ETIMEDOUT);
	second = submit_count(fixture->conn, "notes");
	collect_count(fixture->conn, first);
	collect_count(fixture->conn, second);
	assert_int_equal(kith_collect_count(fixture->conn, second, 0, NULL), -EINVAL);
	fixture_free(fixture);
}

static void a_ticket_is_for_the_collect_of_its_own_method(void **state)
{
	struct fixture *fixture = fixture_new(answer_backwards);
	uint64_t ticket;

	(void)state;
	fixture->story.hold = 1;
	ticket = submit_count(fixture->conn, "notes");
	assert_int_equal(kith_collect_search(fixture->conn, ticket, 0, NULL), -EINVAL);
	assert_int_equal(kith_collect_count(fixture->conn, 0, 0, NULL), -EINVAL);
	assert_int_equal(kith_collect_count(fixture->conn, ticket + KITH_MAX_TICKETS, 0, NULL),
	                 -EINVAL);
	collect_count(fixture->conn, ticket);
	fixture_free(fixture);
}

static void one_ticket_too_many_is_refused_until_one_is_collected(void **state)
{
	struct fixture *fixture = fixture_new(answer_backwards);
	struct kith_count_params params = {.collection = kith_text("notes")};
	static uint64_t tickets[KITH_MAX_TICKETS];
	uint64_t ticket = 0;

	(void)state;
	fixture->story.hold = 1;
	for (uint32_t i = 0; i < KITH_MAX_TICKETS; i++)
		tickets[i] = submit_count(fixture->conn, "notes");
	assert_int_equal(kith_submit_count(fixture->conn, &params, &ticket), -ENOBUFS);
	assert_int_equal(ticket, 0);
	assert_int_equal(kith_ping(fixture->conn), -ENOBUFS);
	collect_count(fixture->conn, tickets[500]);
	assert_int_equal(kith_ping(fixture->conn), 0);
	tickets[500] = submit_count(fixture->conn, "notes");
	for (uint32_t i = 0; i < KITH_MAX_TICKETS; i++)
		collect_count(fixture->conn, tickets[i]);
	fixture_free(fixture);
}

static void the_answer_to_a_forgotten_ticket_is_dropped(void **state)
{
	struct fixture *fixture = fixture_new(answer_backwards);
	uint64_t first, second;

	(void)state;
	fixture->story.hold = 2;
	first = submit_count(fixture->conn, "notes");
	second = submit_count(fixture->conn, "notes");
	kith_forget(fixture->conn, first);
	kith_forget(fixture->conn, first);
	collect_count(fixture->conn, second);
	assert_int_equal(kith_ping(fixture->conn), 0);
	assert_int_equal(kith_collect_count(fixture->conn, first, 0, NULL), -EINVAL);
	fixture_free(fixture);
}

static void open_the_gate(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct story *story = daemon->ctx;

	answer_count(daemon, request->id);
	sem_post(&story->gate);
}

static void flush_sends_without_collecting(void **state)
{
	struct fixture *fixture = fixture_new(open_the_gate);
	uint64_t ticket = submit_count(fixture->conn, "notes");

	(void)state;
	assert_int_equal(kith_flush(fixture->conn), 0);
	sem_wait(&fixture->story.gate);
	collect_count(fixture->conn, ticket);
	fixture_free(fixture);
}

/* 1 MiB for every search: more than a socket holds, so that the daemon's thread cannot go on
 * before the client reads. */
static void answer_at_length(struct fake_daemon *daemon, const struct wire_request *request)
{
	static const float column[1u << 18];
	const struct search_result result = {.distances = {column, sizeof(column)},
	                                     .comparisons = request->id};

	fake_answer(daemon, request, &result);
}

static void submitting_goes_on_while_the_daemon_waits_to_be_read(void **state)
{
	enum {
		N = 24,
		FLOATS = 1 << 18
	};
	struct fixture *fixture = fixture_new(answer_at_length);
	float *queries = calloc(FLOATS, sizeof(float));
	struct kith_search_params params = {.collection = kith_text("notes"),
	                                    .vectors = kith_vectors(queries, FLOATS)};
	struct kith_search_result *result;
	uint64_t tickets[N];

	(void)state;
	assert_non_null(queries);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(kith_submit_search(fixture->conn, &params, &tickets[i]), 0);
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(
		        kith_collect_search(fixture->conn, tickets[i], KITH_USUAL, &result), 0);
		assert_int_equal(result->comparisons, tickets[i]);
		assert_int_equal(result->distances.size_bytes, FLOATS * sizeof(float));
		kith_free(result);
	}
	free(queries);
	fixture_free(fixture);
}

/* Reads nothing more until the gate opens. */
static void wait_at_the_gate(struct fake_daemon *daemon, const struct wire_request *request)
{
	struct story *story = daemon->ctx;

	sem_wait(&story->gate);
	if (request->method == WIRE_METHOD_count)
		answer_count(daemon, request->id);
	else
		fake_answer(daemon, request, &(struct upsert_result){.seq = request->id});
}

static void a_submit_that_timed_out_submitted_nothing(void **state)
{
	struct fixture *fixture = fixture_new(wait_at_the_gate);
	size_t n_floats = 1u << 20;
	float *many = calloc(n_floats, sizeof(float));
	const struct kith_id id = kith_id_number(1);
	struct kith_upsert_params params = {.collection = kith_text("notes"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(many, n_floats)};
	uint64_t first, second, third = 0;
	struct kith_upsert_result *result;

	(void)state;
	first = submit_count(fixture->conn, "notes");
	assert_int_equal(kith_flush(fixture->conn), 0);
	assert_int_equal(kith_set_timeout(fixture->conn, 20), 0);
	assert_int_equal(kith_submit_upsert(fixture->conn, &params, &second), 0);
	assert_int_equal(kith_submit_upsert(fixture->conn, &params, &third), -ETIMEDOUT);
	assert_int_equal(third, 0);
	for (uint32_t i = 0; i < 3; i++)
		sem_post(&fixture->story.gate);
	assert_int_equal(kith_set_timeout(fixture->conn, 0), 0);
	assert_int_equal(kith_submit_upsert(fixture->conn, &params, &third), 0);
	assert_int_equal(kith_collect_upsert(fixture->conn, third, KITH_USUAL, &result), 0);
	assert_int_equal(result->seq, third);
	kith_free(result);
	assert_int_equal(kith_collect_upsert(fixture->conn, second, KITH_USUAL, NULL), 0);
	collect_count(fixture->conn, first);
	free(many);
	fixture_free(fixture);
}

/* Events before the answer: as many as the collection's name is long, in thousands. */
static void tell_changes(struct fake_daemon *daemon, const struct wire_request *request)
{
	const struct count_params *params = request->params;
	struct change_event change = {
	        .what = WIRE_change_written, .collection = {"notes", 5}, .uuid = {"u", 1}};
	const struct job_event job = {.job = 4,
	                              .collection = {"notes", 5},
	                              .index = {"vector", 6},
	                              .phase = {"graph", 5},
	                              .total = 8,
	                              .eta_s = 2.5};

	if (request->method == WIRE_METHOD_subscribe) {
		fake_answer(daemon, request, request->params);
		return;
	}
	for (change.seq = 1; change.seq <= params->collection.n * 1000; change.seq++)
		fake_event(daemon, WIRE_EVENT_change, &change);
	fake_event(daemon, WIRE_EVENT_job, &job);
	answer_count(daemon, request->id);
	/* Nobody asked under this id. */
	fake_answer_id(daemon, 0, WIRE_METHOD_ping, &(struct ping_result){0});
	fake_event(daemon, WIRE_EVENT_job, &job);
}

static void events_wait_behind_calls_and_the_oldest_go(void **state)
{
	struct fixture *fixture = fixture_new(tell_changes);
	struct kith_event *event;
	uint64_t first_kept = 2001 - (KITH_MAX_EVENTS - 1);

	(void)state;
	assert_int_equal(kith_subscribe(fixture->conn, KITH_TOPIC_CHANGES | KITH_TOPIC_JOBS), 0);
	assert_int_equal(kith_next_event(fixture->conn, 0, &event), -ETIMEDOUT);
	collect_count(fixture->conn, submit_count(fixture->conn, "ab"));
	for (uint64_t seq = first_kept; seq <= 2000; seq++) {
		assert_int_equal(kith_next_event(fixture->conn, KITH_USUAL, &event), 0);
		assert_int_equal(event->type, KITH_EVENT_CHANGE);
		assert_int_equal(event->lost, seq == first_kept ? first_kept - 1 : 0);
		assert_int_equal(event->change.seq, seq);
		assert_string_equal(kith_change_name(event->change.what), "written");
		assert_memory_equal(event->change.collection.data, "notes", 5);
		kith_free(event);
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(kith_next_event(fixture->conn, KITH_USUAL, &event), 0);
		assert_int_equal(event->type, KITH_EVENT_JOB);
		assert_int_equal(event->job.job, 4);
		assert_memory_equal(event->job.index.data, "vector", 6);
		assert_memory_equal(event->job.phase.data, "graph", 5);
		assert_int_equal(event->job.total, 8);
		assert_true(event->job.eta_s == 2.5);
		kith_free(event);
	}
	assert_int_equal(kith_next_event(fixture->conn, 5, &event), -ETIMEDOUT);
	fixture_free(fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(answers_out_of_order_are_kept_until_they_are_collected),
	        cmocka_unit_test(one_thread_waits_for_many_ensures),
	        cmocka_unit_test(collecting_what_is_not_there_yet_can_be_repeated),
	        cmocka_unit_test(a_ticket_is_for_the_collect_of_its_own_method),
	        cmocka_unit_test(one_ticket_too_many_is_refused_until_one_is_collected),
	        cmocka_unit_test(the_answer_to_a_forgotten_ticket_is_dropped),
	        cmocka_unit_test(flush_sends_without_collecting),
	        cmocka_unit_test(submitting_goes_on_while_the_daemon_waits_to_be_read),
	        cmocka_unit_test(a_submit_that_timed_out_submitted_nothing),
	        cmocka_unit_test(events_wait_behind_calls_and_the_oldest_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
