/* SPDX-License-Identifier: Apache-2.0 */

/* What one connection may ask of the daemon at once, and that it keeps nobody else waiting. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "daemon/session.h"
#include "protocol/limits.h"
#include "tests/lib/daemon_thread.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"

/* Rounds of the loop after which a daemon that took too much would have shown it. */
#define N_ROUNDS 50
#define FIRST_ID 1000u /* ids that are all as long on the wire */

static int setup(void **state)
{
	*state = daemon_thread_new();
	return 0;
}

static int teardown(void **state)
{
	daemon_thread_free(*state);
	return 0;
}

/* Frames of one size, one behind the other, with ids from FIRST_ID. */
struct pile {
	struct wire_buf buf;
	uint32_t n, payload_bytes;
	size_t sent;
};

static void pile_make(struct pile *pile, uint32_t n, enum wire_method_idx method,
                      const void *params)
{
	*pile = (struct pile){.n = n};
	wire_buf_init(&pile->buf);
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(message_encode_request(&pile->buf, FIRST_ID + i, method, params),
		                 0);
	assert_int_equal(pile->buf.n % n, 0);
	pile->payload_bytes = (uint32_t)(pile->buf.n / n) - FRAME_HEADER_BYTES;
}

/* As much as the socket takes now. */
static void pile_send_what_goes(struct pile *pile, const struct raw_client *raw)
{
	while (pile->sent < pile->buf.n) {
		ssize_t n = send(raw->fd, pile->buf.data + pile->sent, pile->buf.n - pile->sent,
		                 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			return;
		}
		pile->sent += (size_t)n;
	}
}

/* Sends the rest, and gets a result for each id, once. */
static void pile_finish(struct pile *pile, struct raw_client *raw)
{
	bool *seen = calloc(pile->n, sizeof(*seen));

	assert_non_null(seen);
	raw_send(raw, pile->buf.data + pile->sent, pile->buf.n - pile->sent);
	for (uint32_t i = 0; i < pile->n; i++) {
		const uint8_t *payload;
		struct wire_peek peek;
		uint32_t n;

		assert_true(raw_receive(raw, &payload, &n));
		assert_int_equal(message_peek(payload, n, &peek), 0);
		assert_int_equal(peek.type, WIRE_RESPONSE);
		assert_false(peek.is_error);
		assert_in_range(peek.id, FIRST_ID, FIRST_ID + pile->n - 1);
		assert_false(seen[peek.id - FIRST_ID]);
		seen[peek.id - FIRST_ID] = true;
	}
	raw_expect_alive(raw);
	free(seen);
	wire_buf_release(&pile->buf);
}

/* A connection that sends a pile, and another one that looks. */
struct sending {
	struct pile *pile;
	struct raw_client *raw;
	struct kith_conn *conn;
	uint32_t n_wanted;
};

/* How many of the pile the daemon has taken; the frame that asks is smaller than one of it. */
static uint32_t n_taken(struct sending *sending)
{
	pile_send_what_goes(sending->pile, sending->raw);
	return (uint32_t)(inflight_bytes(sending->conn) / sending->pile->payload_bytes);
}

static bool are_taken(void *ctx)
{
	struct sending *sending = ctx;

	return n_taken(sending) >= sending->n_wanted;
}

/* The daemon takes that many and no more, while it goes on serving the other connection. */
static void expect_taken(struct sending *sending)
{
	await(are_taken, sending, "the daemon has taken what is allowed");
	for (uint32_t i = 0; i < N_ROUNDS; i++) {
		DONE(sending->conn, kith_ping(sending->conn));
		assert_int_equal(n_taken(sending), sending->n_wanted);
	}
	put_records(sending->conn, "others", 0, 1, 2);
}

/* Limits --------------------------------------------------------------------------------------- */

static void a_connection_has_so_many_requests_unanswered(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_conn *conn = connect_to(daemon);
	const float query[RECORD_DIM] = {1};
	const struct search_params search = {
	        .collection = {"notes", 5}, .vectors = {query, sizeof(query)}, .k = 1};
	struct gate *searches;
	struct raw_client raw;
	struct pile pile;

	make_collection(conn, "notes", KITH_METRIC_L2);
	make_collection(conn, "others", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	put_records(conn, "others", 0, 1, 1); /* opens it, before nobody is left to do that */
	searches = daemon_thread_gate(daemon, "search", "start");
	raw_greet_at(daemon_thread_socket(daemon), &raw);
	pile_make(&pile, LIMIT_SESSION_REQUESTS + 50, WIRE_METHOD_search, &search);
	expect_taken(&(struct sending){&pile, &raw, conn, LIMIT_SESSION_REQUESTS});
	/* All were sent: what it did not take is in the socket, or read and not looked at. */
	assert_int_equal(pile.sent, pile.buf.n);
	gate_open(searches);
	pile_finish(&pile, &raw);
	raw_close(&raw);
	kith_close(conn);
}

#define N_NAMES 8192u
#define NAME_BYTES LIMIT_ID_BYTES

/* Deletes of what is not there: large requests that are little work. */
static void a_connection_has_so_many_bytes_unanswered(void **state)
{
	struct daemon_thread *daemon = *state;
	struct wire_id *ids = calloc(N_NAMES, sizeof(*ids));
	char *names = malloc(N_NAMES * NAME_BYTES);
	struct delete_params params = {.collection = {"notes", 5}, .ids = {ids, N_NAMES}};
	struct kith_conn *conn;
	struct gate *writes;
	struct raw_client raw;
	struct pile pile;
	uint32_t n_allowed;

	assert_non_null(ids);
	assert_non_null(names);
	memset(names, 'x', N_NAMES * NAME_BYTES);
	for (uint32_t i = 0; i < N_NAMES; i++) {
		ids[i] = (struct wire_id){.text = names + i * NAME_BYTES, .n = NAME_BYTES};
		names[i * NAME_BYTES] = (char)('a' + i % 26);
		names[i * NAME_BYTES + 1] = (char)('a' + i / 26 % 26);
		names[i * NAME_BYTES + 2] = (char)('a' + i / 676);
	}
	/* So much that the limit of all connections together is not what is met. */
	daemon_thread_stop(daemon);
	daemon_thread_set_inflight(daemon, 256);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	make_collection(conn, "others", KITH_METRIC_L2);
	put_records(conn, "notes", 0, 10, 1);
	writes = daemon_thread_gate_one(daemon, "write", "start"); /* those of "others" go by */
	raw_greet_at(daemon_thread_socket(daemon), &raw);
	pile_make(&pile, 10, WIRE_METHOD_delete, &params);
	/* The last of them goes over the limit. */
	n_allowed = (LIMIT_SESSION_BYTES + pile.payload_bytes - 1) / pile.payload_bytes;
	assert_true(n_allowed < pile.n);
	expect_taken(&(struct sending){&pile, &raw, conn, n_allowed});
	/* The rest does not even come. */
	assert_true(pile.sent < (n_allowed + 1) * (size_t)pile.payload_bytes);
	gate_open(writes);
	pile_finish(&pile, &raw);
	expect_count(conn, "notes", 10);
	raw_close(&raw);
	kith_close(conn);
	free(names);
	free(ids);
}

/* Turns ---------------------------------------------------------------------------------------- */

#define HOLDING_START_NS UINT64_C(1000000000)

/* A clock that holds the daemon's loop when it looks at it. It goes by looks alone: what a busy
 * machine takes is nobody's share. */
struct holding_clock {
	struct clock clock;
	uint64_t step_ns; /* what each look costs */
	uint64_t stepped_ns;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	pthread_t loop; /* who looked first */
	bool has_loop, hold, holds;
};

static uint64_t holding_monotonic_ns(struct clock *clock)
{
	struct holding_clock *holding = (struct holding_clock *)clock;
	uint64_t stepped_ns;

	pthread_mutex_lock(&holding->mutex);
	if (!holding->has_loop) {
		holding->has_loop = true;
		holding->loop = pthread_self();
	}
	if (holding->hold && pthread_equal(holding->loop, pthread_self())) {
		holding->holds = true;
		pthread_cond_broadcast(&holding->changed);
		while (holding->hold)
			pthread_cond_wait(&holding->changed, &holding->mutex);
		holding->holds = false;
	}
	stepped_ns = holding->stepped_ns += holding->step_ns;
	pthread_mutex_unlock(&holding->mutex);
	return HOLDING_START_NS + stepped_ns;
}

static int64_t holding_wall_ms(struct clock *clock)
{
	(void)clock;
	return clock_wall_ms(clock_system());
}

static void set_step(struct holding_clock *holding, uint64_t step_ns)
{
	pthread_mutex_lock(&holding->mutex);
	holding->step_ns = step_ns;
	pthread_mutex_unlock(&holding->mutex);
}

static void set_hold(struct holding_clock *holding, bool hold)
{
	pthread_mutex_lock(&holding->mutex);
	holding->hold = hold;
	pthread_cond_broadcast(&holding->changed);
	pthread_mutex_unlock(&holding->mutex);
}

static void await_held(struct holding_clock *holding)
{
	pthread_mutex_lock(&holding->mutex);
	while (!holding->holds)
		pthread_cond_wait(&holding->changed, &holding->mutex);
	pthread_mutex_unlock(&holding->mutex);
}

/* How many requests the daemon had answered when it came to this one. */
static uint64_t n_answered(struct raw_client *raw, uint32_t id)
{
	struct stats_result stats;

	raw_expect_result(raw, id, WIRE_METHOD_stats, &stats);
	return stats.requests;
}

#define MAX_CROWD 12u

/* The loop stands still where it has read a pile and looked at none of it; meanwhile others of that
 * crowd, which is another process, have sent theirs, and a connection of this one asks. So what the
 * daemon does next is up to it alone. Returns how many of the piles are answered before that. */
static uint64_t n_before_another(uint64_t step_ns, uint32_t n_crowd, uint32_t n_frames)
{
	struct holding_clock holding = {
	        .clock = {holding_monotonic_ns, holding_wall_ms},
	        .step_ns = SHARE_MOMENT_NS, /* so that the crowd comes in */
	        .mutex = PTHREAD_MUTEX_INITIALIZER,
	        .changed = PTHREAD_COND_INITIALIZER,
	};
	struct daemon_thread *daemon = daemon_thread_new_with(store_io_posix(), &holding.clock, 32);
	const struct ping_params nothing = {0};
	struct raw_client crowd[MAX_CROWD], one;
	struct pile piles[MAX_CROWD];
	uint64_t before, meanwhile;

	raw_greet_from_another(daemon_thread_socket(daemon), crowd, n_crowd);
	raw_greet_at(daemon_thread_socket(daemon), &one);
	raw_say(&one, "[0, 1, 'stats', {}]");
	before = n_answered(&one, 1) + 2;
	/* The loop has left the turn of that one: it must not be held there, as its time would be.
	 */
	raw_expect_alive(&crowd[0]);
	set_step(&holding, step_ns);
	set_hold(&holding, true);
	for (uint32_t i = 0; i < n_crowd; i++) {
		pile_make(&piles[i], n_frames, WIRE_METHOD_ping, &nothing);
		pile_send_what_goes(&piles[i], &crowd[i]);
		if (i == 0)
			await_held(&holding);
	}
	raw_say(&one, "[0, 2, 'stats', {}]");
	set_hold(&holding, false);
	meanwhile = n_answered(&one, 2) - before;
	for (uint32_t i = 0; i < n_crowd; i++) {
		pile_finish(&piles[i], &crowd[i]);
		raw_close(&crowd[i]);
	}
	raw_close(&one);
	daemon_thread_free(daemon);
	pthread_cond_destroy(&holding.changed);
	pthread_mutex_destroy(&holding.mutex);
	return meanwhile;
}

static void a_pile_of_frames_is_taken_in_turns(void **state)
{
	(void)state;
	/* One turn when it was read, one before the loop reads again. */
	assert_in_range(n_before_another(0, 1, 200), 0, 2 * TURN_FRAMES);
}

/* Each frame takes longer than a turn may: so each is one, and behind each the session rests. */
static void a_turn_ends_by_time_however_few_frames_it_took(void **state)
{
	(void)state;
	assert_in_range(n_before_another(TURN_NS + SHARE_NS, 1, 50), 0, 2);
}

static void a_crowd_of_one_process_has_one_turn(void **state)
{
	(void)state;
	assert_in_range(n_before_another(0, MAX_CROWD, 2 * TURN_FRAMES), 0, 2 * TURN_FRAMES);
}

/* None of them has had its own share when all together had theirs. */
static void a_crowd_of_one_process_rests_as_one(void **state)
{
	(void)state;
	assert_in_range(n_before_another(TURN_NS + SHARE_NS, MAX_CROWD, 10), 0, 2);
}

#define N_SEARCHES 20u

static uint64_t submit_search(struct kith_conn *conn, uint64_t number)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text("notes"),
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	        .k = 1,
	};
	uint64_t ticket;

	DONE(conn, kith_submit_search(conn, &params, &ticket));
	return ticket;
}

struct searched {
	struct kith_conn *conn;
	uint64_t n;
};

static bool are_searched(void *ctx)
{
	const struct searched *searched = ctx;

	return usage_of(searched->conn, "notes").searches >= searched->n;
}

/* Searches go through one by one: the single one comes long before the pile's end, though all of
 * the pile was there before it. */
static void reads_are_taken_in_turn_from_the_connections(void **state)
{
	struct daemon_thread *daemon = *state;
	struct kith_conn *many = connect_to(daemon), *one = connect_to(daemon);
	struct gate *searches;
	uint64_t tickets[N_SEARCHES], ticket, n_done = 0;
	int r;

	make_collection(many, "notes", KITH_METRIC_L2);
	put_records(many, "notes", 0, N_SEARCHES, 1);
	searches = daemon_thread_gate(daemon, "search", "start");
	for (uint32_t i = 0; i < N_SEARCHES; i++)
		tickets[i] = submit_search(many, i);
	DONE(many, kith_ping(many)); /* the daemon has them all */
	ticket = submit_search(one, 0);
	DONE(one, kith_ping(one));
	do {
		gate_pass(searches);
		n_done++;
		/* Asked on this connection, so that its search's answer comes before that. */
		await(are_searched, &(struct searched){one, n_done}, "one more search is done");
		r = kith_collect_search(one, ticket, 0, NULL);
		assert_true(r == 0 || r == -ETIMEDOUT);
	} while (r != 0);
	/* Those that the lane had already, and one or two turns. */
	assert_in_range(n_done, 1, N_SEARCHES / 2);
	gate_open(searches);
	for (uint32_t i = 0; i < N_SEARCHES; i++)
		DONE(many, kith_collect_search(many, tickets[i], KITH_USUAL, NULL));
	kith_close(many);
	kith_close(one);
}

/* Shares --------------------------------------------------------------------------------------- */

/* A daemon whose time stands still: who asked once has asked lately. */
struct shared_stage {
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *many, *one;
};

static int shared_setup(void **state)
{
	struct shared_stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	fake_clock_init(&stage->clock, 1000000);
	stage->daemon = daemon_thread_new_with(store_io_posix(), &stage->clock.clock, 32);
	stage->many = connect_to(stage->daemon);
	stage->one = connect_to(stage->daemon);
	make_collection(stage->many, "notes", KITH_METRIC_L2);
	put_records(stage->many, "notes", 0, N_SEARCHES, 1);
	DONE(stage->one, kith_ping(stage->one));
	*state = stage;
	return 0;
}

static int shared_teardown(void **state)
{
	struct shared_stage *stage = *state;

	kith_close(stage->many);
	kith_close(stage->one);
	daemon_thread_free(stage->daemon);
	free(stage);
	return 0;
}

static uint64_t submit_scan(struct kith_conn *conn, unsigned include)
{
	struct kith_scan_params params = {.collection = kith_text("notes"), .include = include};
	uint64_t ticket;

	DONE(conn, kith_submit_scan(conn, &params, &ticket));
	return ticket;
}

/* All of its scans stand where they begin, and another one's search goes by. */
static void a_worker_is_left_for_who_else_asks(void **state)
{
	struct shared_stage *stage = *state;
	struct gate *scans = daemon_thread_gate(stage->daemon, "scan", "start");
	uint64_t tickets[N_SEARCHES];

	for (uint32_t i = 0; i < N_SEARCHES; i++)
		tickets[i] = submit_scan(stage->many, 0);
	DONE(stage->many, kith_ping(stage->many)); /* the daemon has them all */
	gate_await(scans);
	expect_records(stage->one, "notes", 0, N_SEARCHES, 1);
	gate_open(scans);
	for (uint32_t i = 0; i < N_SEARCHES; i++)
		DONE(stage->many, kith_collect_scan(stage->many, tickets[i], KITH_USUAL, NULL));
}

/* The same of a process with as many connections as it has scans, which came in at once. */
static void a_worker_is_left_for_another_process(void **state)
{
	struct shared_stage *stage = *state;
	struct gate *scans = daemon_thread_gate(stage->daemon, "scan", "start");
	struct raw_client crowd[SHARE_CONNECTIONS];
	struct scan_result page;

	fake_clock_advance_ns(&stage->clock, SHARE_MOMENT_NS);
	raw_greet_from_another(daemon_thread_socket(stage->daemon), crowd, SHARE_CONNECTIONS);
	for (uint32_t i = 0; i < SHARE_CONNECTIONS; i++) {
		raw_say(&crowd[i], "[0, 1, 'scan', {'collection': 'notes'}]");
		raw_expect_alive(&crowd[i]); /* the daemon has it */
	}
	gate_await(scans);
	expect_records(stage->one, "notes", 0, N_SEARCHES, 1);
	gate_open(scans);
	for (uint32_t i = 0; i < SHARE_CONNECTIONS; i++) {
		raw_expect_result(&crowd[i], 1, WIRE_METHOD_scan, &page);
		assert_int_equal(page.ids.n, N_SEARCHES);
		raw_close(&crowd[i]);
	}
}

/* Once the other one has been silent for a while, all workers are anybody's. */
static void who_is_alone_has_all_workers(void **state)
{
	struct shared_stage *stage = *state;
	struct gate *first = daemon_thread_gate_one(stage->daemon, "scan", "start");
	struct gate *second = daemon_thread_gate(stage->daemon, "scan", "fetch");
	uint64_t tickets[2];

	DONE(stage->many, kith_ping(stage->many));
	fake_clock_advance_ns(&stage->clock, SHARE_LATELY_NS);
	for (uint32_t i = 0; i < 2; i++)
		tickets[i] = submit_scan(stage->many, 0);
	DONE(stage->many, kith_ping(stage->many));
	gate_await(first);
	gate_await(second);
	gate_open(first);
	gate_open(second);
	for (uint32_t i = 0; i < 2; i++)
		DONE(stage->many, kith_collect_scan(stage->many, tickets[i], KITH_USUAL, NULL));
}

#define PAGE_BYTES (256u << 10)
#define N_PAGES 40u

static bool has_its_share_of_answers(void *ctx)
{
	return inflight_bytes(ctx) >= SHARE_UNREAD_BYTES;
}

/* Reads of one that does not take its answers stop at a smaller bound when others ask. */
static void unread_answers_are_fewer_beside_others(void **state)
{
	struct shared_stage *stage = *state;
	const struct scan_params scan = {
	        .collection = {"pages", 5}, .limit = 1, .include = 1u << WIRE_include_texts};
	struct kith_id id = kith_id_number(1);
	float vector[RECORD_DIM];
	struct kith_str text = {malloc(PAGE_BYTES), PAGE_BYTES};
	struct kith_upsert_params page = {
	        .collection = kith_text("pages"),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(1, 1, vector), RECORD_DIM),
	        .texts = {&text, 1},
	};
	struct raw_client raw;
	struct pile pile;

	assert_non_null(text.data);
	memset((char *)text.data, 'p', PAGE_BYTES);
	make_collection(stage->one, "pages", KITH_METRIC_L2);
	DONE(stage->one, kith_upsert(stage->one, &page, NULL));
	free((char *)text.data);
	raw_greet_at(daemon_thread_socket(stage->daemon), &raw);
	DONE(stage->one, kith_ping(stage->one));
	pile_make(&pile, N_PAGES, WIRE_METHOD_scan, &scan);
	pile_send_what_goes(&pile, &raw);
	await(has_its_share_of_answers, stage->one, "the answers are as many as they may be");
	for (uint32_t i = 0; i < N_ROUNDS; i++)
		assert_true(inflight_bytes(stage->one) < SHARE_UNREAD_BYTES + 2 * PAGE_BYTES);
	pile_finish(&pile, &raw);
	raw_close(&raw);
}

#define N_SMALL 10000u /* of some 600 bytes each, which the loop answers by itself */

static bool has_all_the_answers_it_may(void *ctx)
{
	return inflight_bytes(ctx) >= SESSION_UNREAD_BYTES;
}

/* They wait together, in order, and all come once they are read. */
static void small_answers_that_are_not_read_are_bounded_and_all_come(void **state)
{
	struct shared_stage *stage = *state;
	const struct limits_params nothing = {0};
	struct raw_client raw;
	struct pile pile;

	raw_greet_at(daemon_thread_socket(stage->daemon), &raw);
	pile_make(&pile, N_SMALL, WIRE_METHOD_limits, &nothing);
	pile_send_what_goes(&pile, &raw);
	await(has_all_the_answers_it_may, stage->one, "the answers are as many as they may be");
	for (uint32_t i = 0; i < N_ROUNDS; i++)
		assert_true(inflight_bytes(stage->one) < SESSION_UNREAD_BYTES + PAGE_BYTES);
	pile_finish(&pile, &raw);
	raw_close(&raw);
}

static uint32_t n_connections(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint32_t n;

	DONE(conn, kith_stats(conn, &stats));
	n = stats->connections;
	kith_free(stats);
	return n;
}

struct coming_in {
	struct kith_conn *conn;
	uint32_t n; /* connections */
};

static bool are_in(void *ctx)
{
	const struct coming_in *coming_in = ctx;

	return n_connections(coming_in->conn) == coming_in->n;
}

/* Those that are in have the loop meanwhile. */
static void expect_no_more_in(const struct coming_in *coming_in)
{
	for (uint32_t i = 0; i < N_ROUNDS; i++)
		assert_int_equal(n_connections(coming_in->conn), coming_in->n);
}

static void a_crowd_comes_in_so_many_in_a_moment(void **state)
{
	struct shared_stage *stage = *state;
	struct coming_in coming_in = {stage->one, 2 + SHARE_CONNECTIONS};
	struct raw_client crowd[2 * SHARE_CONNECTIONS];

	fake_clock_advance_ns(&stage->clock, SHARE_MOMENT_NS);
	for (uint32_t i = 0; i < 2 * SHARE_CONNECTIONS; i++)
		raw_connect_at(daemon_thread_socket(stage->daemon), &crowd[i]);
	await(are_in, &coming_in, "as many are in as may be");
	expect_no_more_in(&coming_in);
	fake_clock_advance_ns(&stage->clock, SHARE_MOMENT_NS - 1);
	expect_no_more_in(&coming_in);
	fake_clock_advance_ns(&stage->clock, 1);
	coming_in.n += SHARE_CONNECTIONS;
	await(are_in, &coming_in, "the others are in");
	for (uint32_t i = 0; i < 2 * SHARE_CONNECTIONS; i++)
		raw_close(&crowd[i]);
}

int main(void)
{
#define ON_SHARED(test) cmocka_unit_test_setup_teardown(test, shared_setup, shared_teardown)
#define ON_DAEMON(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	        ON_DAEMON(a_connection_has_so_many_requests_unanswered),
	        ON_DAEMON(a_connection_has_so_many_bytes_unanswered),
	        cmocka_unit_test(a_pile_of_frames_is_taken_in_turns),
	        cmocka_unit_test(a_turn_ends_by_time_however_few_frames_it_took),
	        cmocka_unit_test(a_crowd_of_one_process_has_one_turn),
	        cmocka_unit_test(a_crowd_of_one_process_rests_as_one),
	        ON_DAEMON(reads_are_taken_in_turn_from_the_connections),
	        ON_SHARED(a_worker_is_left_for_who_else_asks),
	        ON_SHARED(a_worker_is_left_for_another_process),
	        ON_SHARED(a_crowd_comes_in_so_many_in_a_moment),
	        ON_SHARED(who_is_alone_has_all_workers),
	        ON_SHARED(unread_answers_are_fewer_beside_others),
	        ON_SHARED(small_answers_that_are_not_read_are_bounded_and_all_come),
	};

	return cmocka_run_group_tests_name("session_limits", tests, NULL, NULL);
}
