/* SPDX-License-Identifier: Apache-2.0 */

/* Memory is short: a test says so through a FIFO, as a service manager would. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "daemon/pressure.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"

#define RECORDS 300u
/* Longer than what counts as used lately. */
#define COLD_MS 11000

struct stage {
	struct fake_clock clock;
	struct scratch_dir dir;
	char path[SCRATCH_PATH_SIZE];
	struct pressure_source source;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	int fifo;
};

static void stage_start(struct stage *stage)
{
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
}

static void stage_init(struct stage *stage)
{
	scratch_dir_init(&stage->dir);
	scratch_dir_path(&stage->dir, "fifo", stage->path);
	assert_int_equal(mkfifo(stage->path, 0600), 0);
	stage->fifo = open(stage->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(stage->fifo >= 0);
	fake_clock_init(&stage->clock, 1000000);
	stage->source = (struct pressure_source){.watch = stage->path};
	stage->daemon = daemon_thread_new_stopped(store_io_posix(), &stage->clock.clock, 64);
	daemon_thread_set_pressure(stage->daemon, &stage->source);
	stage_start(stage);
}

static void stage_release(struct stage *stage)
{
	kith_close(stage->conn);
	daemon_thread_free(stage->daemon);
	close(stage->fifo);
	scratch_dir_release(&stage->dir);
}

static struct kith_pressure pressure_of(struct stage *stage, char watched[static 16])
{
	struct kith_stats_result *stats;
	struct kith_pressure pressure;

	DONE(stage->conn, kith_stats(stage->conn, &stats));
	pressure = stats->pressure;
	snprintf(watched, 16, "%.*s", (int)pressure.watched.n, pressure.watched.data);
	kith_free(stats);
	return pressure;
}

struct words {
	struct stage *stage;
	uint64_t n;
};

static bool has_heard(void *ctx)
{
	struct words *words = ctx;
	char watched[16];

	return pressure_of(words->stage, watched).words >= words->n;
}

/* Says it once more; the daemon has heard it when this returns. */
static void press(struct stage *stage)
{
	char watched[16];
	struct words words = {stage, pressure_of(stage, watched).words + 1};

	assert_int_equal(write(stage->fifo, "x", 1), 1);
	await(has_heard, &words, "the daemon to hear of the pressure");
}

static bool is_calm(void *ctx)
{
	char watched[16];

	return !pressure_of(ctx, watched).pressed;
}

static void let_go(struct stage *stage)
{
	fake_clock_advance_ms(&stage->clock, PRESSURE_HOLD_MS);
	await(is_calm, stage, "the pressure to end");
}

static void fill(struct stage *stage, const char *collection)
{
	make_collection(stage->conn, collection, KITH_METRIC_L2);
	put_records(stage->conn, collection, 0, RECORDS, 1);
	await_mapped(stage->conn, collection);
	ensure(stage->conn, (struct ask){.collection = collection, .wait = true});
	optimize(stage->conn, collection, NULL);
}

static enum kith_source searched(struct stage *stage, const char *collection, uint64_t number)
{
	struct kith_search_result *found =
	        search_near(stage->conn, collection, number, 1, 5, false);
	enum kith_source source = found->served_from;

	expect_honest(found);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	assert_true(holds_record(found, number, 1));
	kith_free(found);
	return source;
}

static void what_is_cold_goes_and_comes_back_mapped_until_it_is_over(void **state)
{
	struct stage stage;
	struct kith_pressure pressure;
	char watched[16];

	(void)state;
	stage_init(&stage);
	pressure = pressure_of(&stage, watched);
	assert_string_equal(watched, "manager");
	assert_false(pressure.pressed);
	fill(&stage, "cold");
	fake_clock_advance_ms(&stage.clock, COLD_MS);
	fill(&stage, "warm");
	searched(&stage, "warm", 5);

	press(&stage);
	pressure = pressure_of(&stage, watched);
	assert_true(pressure.pressed);
	assert_int_equal(pressure.times, 1);
	assert_true(pressure.freed_bytes > 0);
	assert_int_equal(index_of(stage.conn, "cold", NULL).at.state, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(index_of(stage.conn, "warm", NULL).at.state, KITH_INDEX_STATE_SERVING);
	assert_false(index_of(stage.conn, "warm", NULL).at.mapped);
	/* The room that it left is not filled again. */
	searched(&stage, "cold", 7);
	assert_true(index_of(stage.conn, "cold", NULL).at.mapped);
	press(&stage);
	assert_int_equal(pressure_of(&stage, watched).times, 1);
	assert_int_equal(pressure_of(&stage, watched).words, 2);

	let_go(&stage);
	evict(stage.conn, "cold", NULL);
	searched(&stage, "cold", 9);
	assert_false(index_of(stage.conn, "cold", NULL).at.mapped);
	press(&stage);
	assert_int_equal(pressure_of(&stage, watched).times, 2);
	stage_release(&stage);
}

static bool waits_for_vectors(void *ctx)
{
	struct stage *stage = ctx;
	struct kith_work job;
	char phase[32];

	return find_job(stage->conn, "later", NULL, &job, phase) && strcmp(phase, "vectors") == 0;
}

static void a_build_pauses_until_it_is_over(void **state)
{
	struct stage stage;
	struct gate *gate;
	uint64_t ticket;
	char phase[32];
	struct kith_work job;

	(void)state;
	stage_init(&stage);
	make_collection(stage.conn, "notes", KITH_METRIC_L2);
	put_records(stage.conn, "notes", 0, RECORDS, 1);
	/* In its midst. */
	gate = daemon_thread_gate(stage.daemon, "build", "start");
	ticket = submit_ensure(stage.conn, (struct ask){.collection = "notes", .wait = true});
	gate_await(gate);
	press(&stage);
	/* Before it begins. */
	make_collection(stage.conn, "later", KITH_METRIC_L2);
	put_records(stage.conn, "later", 0, RECORDS, 1);
	ensure(stage.conn, (struct ask){.collection = "later"});
	await(waits_for_vectors, &stage, "the build to pause");
	assert_true(find_job(stage.conn, "later", NULL, &job, phase));
	/* One that waits can be cancelled, and asked for again. */
	assert_int_equal(cancel_job(stage.conn, job.job), 0);
	ensure(stage.conn, (struct ask){.collection = "later"});
	gate_open(gate);
	expect_ensure_waits(stage.conn, ticket);
	assert_true(find_job(stage.conn, "notes", NULL, &job, phase));
	assert_string_equal(phase, "graph");
	assert_true(waits_for_vectors(&stage));
	let_go(&stage);
	assert_int_equal(collect_ensure(stage.conn, ticket).outcome, KITH_ENSURED_BUILT);
	await_state(stage.conn, "later", NULL, KITH_INDEX_STATE_SERVING);
	searched(&stage, "notes", 3);
	searched(&stage, "later", 3);
	stage_release(&stage);
}

static bool is_measuring(void *ctx)
{
	struct stage *stage = ctx;
	struct kith_work job;
	char phase[32];

	return find_job(stage->conn, "notes", NULL, &job, phase) && strcmp(phase, "measure") == 0;
}

static void measuring_pauses_until_it_is_over(void **state)
{
	struct stage stage;
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	stage_init(&stage);
	make_collection(stage.conn, "notes", KITH_METRIC_L2);
	put_records(stage.conn, "notes", 0, RECORDS, 1);
	gate = daemon_thread_gate(stage.daemon, "measure", "start");
	ticket = submit_ensure(stage.conn, (struct ask){.collection = "notes", .wait = true});
	gate_await(gate);
	press(&stage);
	gate_open(gate);
	expect_ensure_waits(stage.conn, ticket);
	assert_true(is_measuring(&stage));
	let_go(&stage);
	assert_int_equal(collect_ensure(stage.conn, ticket).outcome, KITH_ENSURED_BUILT);
	searched(&stage, "notes", 3);
	stage_release(&stage);
}

/* A page of the database that a connection keeps is given back, though the clock stands still: by
 * it nobody has rested for long. */
static bool has_given_back(void *ctx)
{
	return sqlite3_memory_used() < *(const sqlite3_int64 *)ctx;
}

static void what_the_database_keeps_goes_while_memory_is_short(void **state)
{
	struct stage stage;
	sqlite3_int64 before;

	(void)state;
	stage_init(&stage);
	fake_clock_advance_ms(&stage.clock, COLD_MS);
	make_collection(stage.conn, "notes", KITH_METRIC_L2);
	put_records(stage.conn, "notes", 0, RECORDS, 1);
	await_mapped(stage.conn, "notes");
	expect_records(stage.conn, "notes", 0, RECORDS, 1);
	before = sqlite3_memory_used();
	press(&stage);
	await(has_given_back, &before, "SQLite to give memory back");
	expect_records(stage.conn, "notes", 0, RECORDS, 1);
	stage_release(&stage);
}

static void pressure_that_lasts_does_not_hold_a_build_for_ever(void **state)
{
	struct stage stage;

	(void)state;
	stage_init(&stage);
	make_collection(stage.conn, "notes", KITH_METRIC_L2);
	put_records(stage.conn, "notes", 0, RECORDS, 1);
	press(&stage);
	for (int ms = 0; ms < PRESSURE_PAUSE_MAX_MS; ms += PRESSURE_HOLD_MS / 2) {
		fake_clock_advance_ms(&stage.clock, PRESSURE_HOLD_MS / 2);
		press(&stage);
	}
	ensure(stage.conn, (struct ask){.collection = "notes", .wait = true});
	searched(&stage, "notes", 3);
	stage_release(&stage);
}

static void a_source_that_cannot_be_had_is_done_without(void **state)
{
	const struct pressure_source none[] = {
	        {.watch = "/nonexistent/pressure"},
	        {.watch = "/dev/null"},
	        {.watch = "/tmp"},
	        {.watch = "/etc/passwd", .write = "not base64"},
	};
	struct stage stage;
	char watched[16];

	(void)state;
	stage_init(&stage);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		kith_close(stage.conn);
		daemon_thread_stop(stage.daemon);
		stage.source = none[i];
		stage_start(&stage);
		assert_false(pressure_of(&stage, watched).pressed);
		assert_string_equal(watched, "");
	}
	stage_release(&stage);
}

/* A socket gets what is to be written, and says it until it is closed. */
static void a_socket_is_written_to_and_listened_to(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stage stage;
	char watched[16], got[16] = "";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	(void)state;
	stage_init(&stage);
	kith_close(stage.conn);
	daemon_thread_stop(stage.daemon);
	unlink(stage.path);
	assert_true(strlen(stage.path) < sizeof(address.sun_path));
	strcpy(address.sun_path, stage.path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	stage.source.write = "c29tZSAyMDAgMgA="; /* "some 200 2" and a zero */
	stage_start(&stage);
	peer = accept(listener, NULL, NULL);
	assert_int_equal(read(peer, got, sizeof(got)), 11);
	assert_string_equal(got, "some 200 2");
	close(stage.fifo);
	stage.fifo = peer;
	press(&stage);
	assert_true(pressure_of(&stage, watched).pressed);
	let_go(&stage);
	stage_release(&stage);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(what_is_cold_goes_and_comes_back_mapped_until_it_is_over),
	        cmocka_unit_test(a_build_pauses_until_it_is_over),
	        cmocka_unit_test(measuring_pauses_until_it_is_over),
	        cmocka_unit_test(what_the_database_keeps_goes_while_memory_is_short),
	        cmocka_unit_test(pressure_that_lasts_does_not_hold_a_build_for_ever),
	        cmocka_unit_test(a_source_that_cannot_be_had_is_done_without),
	        cmocka_unit_test(a_socket_is_written_to_and_listened_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
