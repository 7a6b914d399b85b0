/* SPDX-License-Identifier: Apache-2.0 */

/* Indexes that leave the memory and come back: evicted, unloaded, pushed out, loaded once. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/scratch.h"
#include "tests/lib/array_cache.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define RECORDS 300u
#define N_SEARCHES 64

static const struct ask usual = {.collection = "notes", .wait = true};

/* A saved index of its own collection. */
static void fill(struct kith_conn *conn, const char *collection)
{
	make_collection(conn, collection, KITH_METRIC_L2);
	put_records(conn, collection, 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
}

static struct daemon_thread *begin(struct kith_conn **ret)
{
	struct daemon_thread *daemon = daemon_thread_new();

	*ret = connect_to(daemon);
	fill(*ret, "notes");
	return daemon;
}

static void end(struct daemon_thread *daemon, struct kith_conn *conn)
{
	kith_close(conn);
	daemon_thread_free(daemon);
}

static struct kith_stats_result *stats_of(struct kith_conn *conn)
{
	struct kith_stats_result *stats;

	DONE(conn, kith_stats(conn, &stats));
	return stats;
}

static uint64_t graphs_bytes(struct kith_conn *conn)
{
	struct kith_stats_result *stats = stats_of(conn);
	uint64_t bytes = stats->budget.graphs_bytes;

	kith_free(stats);
	return bytes;
}

static uint64_t marks_bytes(struct kith_conn *conn)
{
	struct kith_stats_result *stats = stats_of(conn);
	uint64_t bytes = stats->budget.marks_bytes;

	kith_free(stats);
	return bytes;
}

static uint64_t submit_near(struct kith_conn *conn, const char *collection, uint64_t number)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(collection),
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	        .k = 5,
	        .include = KITH_INCLUDE_TEXTS,
	};
	uint64_t ticket;

	DONE(conn, kith_submit_search(conn, &params, &ticket));
	DONE(conn, kith_flush(conn));
	return ticket;
}

static struct kith_search_result *collect_near(struct kith_conn *conn, uint64_t ticket,
                                               uint64_t number)
{
	struct kith_search_result *found;

	DONE(conn, kith_collect_search(conn, ticket, KITH_USUAL, &found));
	expect_honest(found);
	assert_int_equal(found->ids.v[0].number, number);
	assert_true(holds_record(found, number, 1));
	return found;
}

/* Through the graph, right, and cached or not. */
static void expect_search(struct kith_conn *conn, const char *collection, bool through_graph,
                          bool cached)
{
	struct kith_search_result *found =
	        collect_near(conn, submit_near(conn, collection, 17), 17);

	assert_int_equal(found->mode, through_graph ? KITH_MODE_HNSW : KITH_MODE_EXACT);
	assert_true(found->coverage == 1.0);
	if (!cached)
		assert_false(found->cached);
	kith_free(found);
}

/* evict, warm ---------------------------------------------------------------------------------- */

static void an_evicted_index_gives_its_memory_back_and_the_next_search_loads_it(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct index_view before = index_of(conn, "notes", NULL), after;
	struct kith_evict_result evicted;

	(void)state;
	assert_true(graphs_bytes(conn) > 0);
	evicted = evict(conn, "notes", NULL);
	assert_true(evicted.was_cached);
	assert_true(evicted.freed_bytes >= before.at.size_bytes);
	assert_int_equal(graphs_bytes(conn), 0);
	after = index_of(conn, "notes", NULL);
	assert_int_equal(after.at.state, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(after.at.generation, before.at.generation);
	assert_int_equal(after.at.nodes, before.at.nodes);
	assert_true(after.at.coverage == 1.0);
	assert_int_equal(after.at.size_bytes, 0);
	assert_int_equal(after.at.evictions, 1);

	expect_search(conn, "notes", true, false);
	expect_search(conn, "notes", true, true);
	after = index_of(conn, "notes", NULL);
	assert_int_equal(after.at.state, KITH_INDEX_STATE_SERVING);
	assert_int_equal(after.at.generation, before.at.generation);
	assert_int_equal(after.at.size_bytes, before.at.size_bytes);
	assert_int_equal(after.at.builds, 1);
	assert_int_equal(after.at.loads, 1);
	assert_int_equal(after.at.misses, 1);
	assert_true(after.at.hits >= 1);
	assert_int_equal(after.at.searches, before.at.searches + 2);
	expect_records(conn, "notes", 0, RECORDS, 1);
	end(daemon, conn);
}

static void evict_and_warm_say_whether_it_was_there(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_warm_params wide = {kith_text("notes"), kith_text("wide")};
	struct kith_evict_params nowhere = {kith_text("mails"), kith_text(NULL)};

	(void)state;
	assert_true(warm(conn, "notes", NULL).was_cached);
	assert_true(evict(conn, "notes", NULL).was_cached);
	assert_false(evict(conn, "notes", NULL).was_cached);
	assert_false(warm(conn, "notes", NULL).was_cached);
	assert_true(warm(conn, "notes", NULL).was_cached);
	assert_int_equal(warm(conn, "notes", NULL).size_bytes,
	                 evict(conn, "notes", NULL).freed_bytes);
	REFUSED(conn, KITH_ERROR_NO_INDEX, "index", kith_warm(conn, &wide, NULL));
	REFUSED(conn, KITH_ERROR_NO_INDEX, "index",
	        kith_evict(conn, &(struct kith_evict_params){wide.collection, wide.index}, NULL));
	REFUSED(conn, KITH_ERROR_NO_COLLECTION, "collection", kith_evict(conn, &nowhere, NULL));
	end(daemon, conn);
}

static void what_is_not_saved_is_saved_before_it_is_evicted(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate = daemon_thread_gate(daemon, "save", "start");
	struct kith_evict_params params = {.collection = kith_text("notes")};
	struct index_view index;

	(void)state;
	/* Enough to be folded in at once, and then to be saved, which is held. */
	put_records(conn, "notes", RECORDS, 256, 1);
	gate_await(gate);
	other = connect_to(daemon);
	kith_set_timeout(other, 50);
	assert_int_equal(kith_evict(other, &params, NULL), -ETIMEDOUT);
	assert_int_equal(index_of(conn, "notes", NULL).at.evictions, 0);
	gate_open(gate);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_EVICTED);
	expect_search(conn, "notes", true, false);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.nodes, RECORDS + 256);
	assert_int_equal(index.at.builds, 1);
	expect_records(conn, "notes", 0, RECORDS + 256, 1);
	kith_close(other);
	end(daemon, conn);
}

static void an_evicted_index_is_there_for_whoever_ensures_optimizes_or_replaces_it(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_ensure_index_result ensured;

	(void)state;
	evict(conn, "notes", NULL);
	ensured = ensure(conn, usual);
	assert_int_equal(ensured.outcome, KITH_ENSURED_EXISTING);
	assert_true(ensured.coverage == 1.0);
	assert_int_equal(index_of(conn, "notes", NULL).at.state, KITH_INDEX_STATE_EVICTED);
	ensure_refused(conn, (struct ask){.collection = "notes", .m = 5}, KITH_ERROR_INDEX_EXISTS);

	put_records(conn, "notes", RECORDS, 3, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.pending, 3);
	assert_int_equal(optimize(conn, "notes", NULL).inserted, 3);
	await_settled(conn, "notes", NULL);

	evict(conn, "notes", NULL);
	ensured = ensure(
	        conn, (struct ask){.collection = "notes", .m = 5, .wait = true, .replace = true});
	assert_int_equal(ensured.outcome, KITH_ENSURED_BUILT);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.m, 5);
	evict(conn, "notes", NULL);
	expect_records(conn, "notes", 0, RECORDS + 3, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 2);
	end(daemon, conn);
}

/* Writes go on meanwhile, and the evicted index sees them when it is back. */
static void what_is_written_while_it_is_evicted_is_found(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);

	(void)state;
	evict(conn, "notes", NULL);
	put_records(conn, "notes", RECORDS, 10, 1);
	put_records(conn, "notes", 20, 10, 2);
	delete_records(conn, "notes", 40, 10);
	expect_count(conn, "notes", RECORDS);
	expect_records(conn, "notes", RECORDS, 10, 1);
	expect_records(conn, "notes", 20, 10, 2);
	expect_no_records(conn, "notes", 40, 10, 1);
	expect_records(conn, "notes", 0, 20, 1);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 1);
	end(daemon, conn);
}

/* Loads ---------------------------------------------------------------------------------------- */

static void however_many_search_a_cold_index_it_is_loaded_once(void **state)
{
	struct kith_conn *conns[N_SEARCHES];
	uint64_t tickets[N_SEARCHES];
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate;
	struct kith_stats_result *stats;
	struct index_view index;

	(void)state;
	evict(conn, "notes", NULL);
	gate = daemon_thread_gate(daemon, "load-index", "start");
	for (int i = 0; i < N_SEARCHES; i++) {
		conns[i] = connect_to(daemon);
		tickets[i] = submit_near(conns[i], "notes", (uint64_t)i);
		/* The daemon has it when it answers what came behind it. */
		DONE(conns[i], kith_ping(conns[i]));
	}
	gate_await(gate);
	assert_int_equal(index_of(conn, "notes", NULL).at.misses, N_SEARCHES);
	gate_open(gate);
	for (int i = 0; i < N_SEARCHES; i++) {
		struct kith_search_result *found = collect_near(conns[i], tickets[i], (uint64_t)i);

		assert_int_equal(found->mode, KITH_MODE_HNSW);
		assert_false(found->cached);
		kith_free(found);
		kith_close(conns[i]);
	}
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.loads, 1);
	assert_int_equal(index.at.builds, 1);
	stats = stats_of(conn);
	assert_int_equal(stats->cache.loads, 1);
	assert_int_equal(stats->cache.joined, N_SEARCHES - 1);
	assert_true(stats->cache.entries >= 1);
	kith_free(stats);
	end(daemon, conn);
}

static void a_drop_during_a_load_leaves_nothing_behind(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct kith_stats_result *stats;
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	evict(conn, "notes", NULL);
	other = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "load-index", "start");
	ticket = submit_near(other, "notes", 3);
	gate_await(gate);
	/* Of the index: the search goes on without it. */
	DONE(conn, drop_index(conn, "notes", NULL));
	gate_open(gate);
	kith_free(collect_near(other, ticket, 3));
	stats = stats_of(conn);
	assert_int_equal(stats->budget.graphs_bytes, 0);
	kith_free(stats);

	/* Of the collection: the search is told. */
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	evict(conn, "notes", NULL);
	gate_close(gate);
	ticket = submit_near(other, "notes", 3);
	gate_await(gate);
	DONE(conn, kith_drop_collection(conn, &drop, NULL));
	gate_open(gate);
	assert_int_equal(kith_collect_search(other, ticket, KITH_USUAL, NULL), KITH_ERROR_DROPPED);
	/* Nothing late touches a namesake. */
	fill(conn, "notes");
	expect_records(conn, "notes", 0, RECORDS, 1);
	kith_close(other);
	end(daemon, conn);
}

static void a_stop_during_a_load_ends(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct gate *gate;

	(void)state;
	evict(conn, "notes", NULL);
	other = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "load-index", "start");
	submit_near(other, "notes", 3);
	gate_await(gate);
	kith_close(conn);
	kith_close(other);
	daemon_thread_stop_soon(daemon);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	expect_records(conn, "notes", 0, RECORDS, 1);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	end(daemon, conn);
}

static void an_index_is_not_taken_away_under_a_search(void **state)
{
	struct kith_conn *conn, *other;
	struct daemon_thread *daemon = begin(&conn);
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t ticket;

	(void)state;
	other = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "search", "start");
	ticket = submit_near(other, "notes", 3);
	gate_await(gate);
	assert_true(evict(conn, "notes", NULL).was_cached);
	assert_true(graphs_bytes(conn) > 0);
	gate_open(gate);
	found = collect_near(other, ticket, 3);
	assert_int_equal(found->mode, KITH_MODE_HNSW);
	kith_free(found);
	kith_free(stats_of(other)); /* what the search held was given back before its answer */
	assert_int_equal(graphs_bytes(conn), 0);
	kith_close(other);
	end(daemon, conn);
}

/* The path of the collection's only snapshot. */
static void snapshot_path(const struct daemon_thread *daemon, struct kith_conn *conn,
                          char path[static DAEMON_PROCESS_PATH_SIZE])
{
	char dir[DAEMON_PROCESS_PATH_SIZE], command[DAEMON_PROCESS_PATH_SIZE + 32];
	FILE *names;

	collection_path(conn, "notes", daemon_thread_cache_dir(daemon), dir);
	snprintf(command, sizeof(command), "ls %s/hnsw-*", dir);
	names = popen(command, "r");
	assert_non_null(names);
	assert_non_null(fgets(path, DAEMON_PROCESS_PATH_SIZE, names));
	assert_int_equal(pclose(names), 0);
	path[strcspn(path, "\n")] = '\0';
}

static void a_snapshot_that_was_damaged_meanwhile_is_built_anew(void **state)
{
	struct kith_conn *conn;
	struct daemon_thread *daemon = begin(&conn);
	char path[DAEMON_PROCESS_PATH_SIZE];
	FILE *file;

	(void)state;
	evict(conn, "notes", NULL);
	snapshot_path(daemon, conn, path);
	file = fopen(path, "r+b");
	assert_non_null(file);
	/* The head was read before; this is among the slots. */
	assert_int_equal(fseek(file, 2 * 4096 + 100, SEEK_SET), 0);
	assert_int_equal(fputc(0xff, file), 0xff);
	assert_int_equal(fclose(file), 0);
	expect_search(conn, "notes", false, false);
	await_settled(conn, "notes", NULL);
	expect_search(conn, "notes", true, true);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 2);
	expect_records(conn, "notes", 0, RECORDS, 1);
	end(daemon, conn);
}

static void a_file_that_has_not_changed_is_read_and_not_looked_at(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct daemon_thread *daemon = daemon_thread_new_with(store_twin_io(twin), NULL, 32);
	struct kith_conn *conn = connect_to(daemon);
	size_t n_reads = 0;

	(void)state;
	fill(conn, "notes");
	for (int life = 0; life < 2; life++) {
		evict(conn, "notes", NULL);
		store_twin_forget(twin);
		expect_search(conn, "notes", true, false);
		assert_int_equal(store_twin_count(twin, STORE_TWIN_OPEN, "hnsw-"), 0);
		assert_int_equal(store_twin_count(twin, STORE_TWIN_SIZE, "hnsw-"), 0);
		assert_int_equal(store_twin_count(twin, STORE_TWIN_LIST, NULL), 0);
		for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
			const struct store_twin_op *op = store_twin_op(twin, i);

			if (op->kind != STORE_TWIN_READ || !strstr(op->path, "hnsw-"))
				continue;
			/* Neither the header nor the head; chunks, once each. */
			assert_true(op->offset >= 2 * 4096);
			n_reads++;
		}
		/* Slots, base lists and upper lists of 300 nodes: a chunk of each. */
		assert_int_equal(n_reads, 3 * (size_t)(life + 1));
		/* And so it is after a restart, when it was opened once. */
		kith_close(conn);
		daemon_thread_restart(daemon);
		conn = connect_to(daemon);
		expect_records(conn, "notes", 0, 10, 1);
		await_settled(conn, "notes", NULL);
	}
	end(daemon, conn);
	store_twin_free(twin);
}

/* By itself ------------------------------------------------------------------------------------ */

static bool has_no_vectors(void *ctx)
{
	return usage_of(ctx, "notes").resident_rows == 0;
}

static bool has_vectors(void *ctx)
{
	return !has_no_vectors(ctx);
}

static void what_nobody_searches_leaves_the_memory_without_being_asked(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	daemon_thread_stop(daemon);
	daemon_thread_set_idle_unload(daemon, 60);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	fake_clock_advance_ms(&clock, 40000);
	expect_search(conn, "notes", true, true);
	await(has_vectors, conn, "the vectors are in memory");
	fake_clock_advance_ms(&clock, 40000);
	/* A tick has gone by when a build that it lets go on has ended. */
	put_records(conn, "notes", RECORDS, 256, 1);
	await_settled(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.evictions, 0);
	fake_clock_advance_ms(&clock, 21000);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(graphs_bytes(conn), 0);
	assert_int_equal(marks_bytes(conn), 0);
	await(has_no_vectors, conn, "the vectors have left the memory");
	expect_records(conn, "notes", 0, RECORDS + 256, 1);
	await(has_vectors, conn, "the vectors are in memory again");
	end(daemon, conn);
}

struct ageing {
	struct kith_conn *conn;
	struct fake_clock *clock;
};

/* A row's age begins at the tick that finds it: time goes on as the loop does, until it is old
 * enough to go in. */
static bool holds_unsaved(void *ctx)
{
	const struct ageing *ageing = ctx;
	struct index_view view = index_of(ageing->conn, "notes", NULL);

	if (view.at.pending > 0)
		fake_clock_advance_ms(ageing->clock, 5);
	return view.at.pending == 0 && view.at.nodes == RECORDS + 10 &&
	       view.at.saved_nodes == RECORDS;
}

/* It is not kept in memory until its save is due by age. */
static void what_is_idle_is_saved_so_that_it_can_leave(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_stopped(store_io_posix(), &clock.clock, 32);
	daemon_thread_set_idle_unload(daemon, 25);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	ensure(conn, usual);
	await_settled(conn, "notes", NULL);
	put_records(conn, "notes", RECORDS, 10, 1);
	await(holds_unsaved, &(struct ageing){conn, &clock}, "the new ones are in, and not saved");
	fake_clock_advance_ms(&clock, 25000);
	await_state(conn, "notes", NULL, KITH_INDEX_STATE_EVICTED);
	assert_int_equal(graphs_bytes(conn), 0);
	expect_records(conn, "notes", 0, RECORDS + 10, 1);
	end(daemon, conn);
}

/* Marks come in runs of the budget. */
#define RUN_BYTES (64u << 10)

static bool has_no_marks(void *ctx)
{
	return marks_bytes(ctx) == 0;
}

static void what_walks_a_graph_is_charged_until_there_is_none(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	uint64_t bytes;

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_with(store_io_posix(), &clock.clock, 32);
	conn = connect_to(daemon);
	fill(conn, "notes");
	/* Of the one background worker: the build has ended, but the clock stands still. */
	assert_int_equal(marks_bytes(conn), RUN_BYTES);
	fake_clock_advance_ms(&clock, 1000);
	await(has_no_marks, conn, "the build's marks are given back");
	expect_search(conn, "notes", true, true);
	bytes = marks_bytes(conn);
	assert_true(bytes >= RUN_BYTES);
	expect_search(conn, "notes", true, true);
	assert_int_equal(marks_bytes(conn), bytes);
	evict(conn, "notes", NULL);
	assert_int_equal(marks_bytes(conn), 0);
	expect_search(conn, "notes", true, false);
	assert_int_equal(marks_bytes(conn), bytes);
	assert_int_equal(drop_index(conn, "notes", NULL), 0);
	assert_int_equal(marks_bytes(conn), 0);
	end(daemon, conn);
}

/* What is spilled to comes in slabs. */
#define SLAB_BYTES (2u << 20)

/* Whether less is left of them than two workers need. */
static bool is_spill_used_up(struct kith_conn *conn)
{
	struct kith_stats_result *stats = stats_of(conn);
	uint64_t bytes = stats->budget.spilled_bytes;

	kith_free(stats);
	return bytes % SLAB_BYTES == 0 || bytes % SLAB_BYTES > SLAB_BYTES - 2 * RUN_BYTES;
}

static void without_room_for_marks_every_record_is_compared(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	uint64_t n_failed;
	char name[32];

	(void)state;
	fake_clock_init(&clock, 1700000000000);
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 0);
	conn = connect_to(daemon);
	fill(conn, "notes");
	/* Each takes a little, until nothing is left of what was spilled to. */
	for (int i = 0; !is_spill_used_up(conn); i++) {
		snprintf(name, sizeof(name), "other%d", i);
		make_collection(conn, name, KITH_METRIC_L2);
		put_records(conn, name, 0, 1, 1);
	}
	store_twin_fail(twin, (struct store_twin_fault){.kind = STORE_TWIN_ALLOCATE,
	                                                .path_part = "/spill",
	                                                .nth = 1,
	                                                .err = ENOSPC,
	                                                .lasting = true});
	expect_search(conn, "notes", false, false);
	n_failed = store_twin_n_failed(twin);
	assert_true(n_failed > 0);
	assert_int_equal(index_of(conn, "notes", NULL).at.state, KITH_INDEX_STATE_SERVING);
	/* Not every search asks the disk, and the log, again. */
	for (int i = 0; i < 5; i++)
		expect_search(conn, "notes", false, false);
	assert_int_equal(store_twin_n_failed(twin), n_failed);
	fake_clock_advance_ms(&clock, SCRATCH_PAUSE_MS);
	expect_search(conn, "notes", false, false);
	assert_true(store_twin_n_failed(twin) > n_failed);
	store_twin_heal(twin);
	fake_clock_advance_ms(&clock, SCRATCH_PAUSE_MS);
	expect_search(conn, "notes", true, false);
	assert_true(marks_bytes(conn) > 0); /* though all of them are spilled */
	end(daemon, conn);
	store_twin_free(twin);
}

#define N_COLLECTIONS 16

static void more_indexes_than_fit_take_turns_and_never_more_than_the_budget(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new_with(store_io_posix(), NULL, 4);
	struct kith_conn *conn = connect_to(daemon);
	struct kith_stats_result *stats;
	char name[32];

	(void)state;
	for (int i = 0; i < N_COLLECTIONS; i++) {
		snprintf(name, sizeof(name), "notes%d", i);
		fill(conn, name);
		stats = stats_of(conn);
		assert_true(stats->budget.peak_bytes <= stats->budget.limit_bytes);
		kith_free(stats);
	}
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N_COLLECTIONS; i++) {
			snprintf(name, sizeof(name), "notes%d", (i * 5 + round) % N_COLLECTIONS);
			expect_search(conn, name, true, true);
		}
	}
	stats = stats_of(conn);
	assert_true(stats->budget.peak_bytes <= stats->budget.limit_bytes);
	assert_true(stats->budget.marks_bytes > 0);
	assert_true(stats->cache.evictions > 0);
	assert_int_equal(stats->cache.failures, 0);
	kith_free(stats);
	for (int i = 0; i < N_COLLECTIONS; i++) {
		snprintf(name, sizeof(name), "notes%d", i);
		expect_records(conn, name, 0, RECORDS, 1);
		assert_int_equal(index_of(conn, name, NULL).at.builds, 1);
	}
	end(daemon, conn);
}

static void another_backend_serves_as_well(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_stats_result *stats;
	struct kith_conn *conn;

	(void)state;
	daemon_thread_stop(daemon);
	daemon_thread_set_cache(daemon, array_cache_new);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	fill(conn, "notes");
	expect_search(conn, "notes", true, true);
	evict(conn, "notes", NULL);
	expect_search(conn, "notes", true, false);
	expect_records(conn, "notes", 0, RECORDS, 1);
	stats = stats_of(conn);
	assert_true(is_text(stats->cache.backend, "array"));
	assert_true(stats->cache.entries >= 1);
	assert_int_equal(stats->cache.loads, 1);
	assert_int_equal(stats->cache.evictions, 1);
	kith_free(stats);
	end(daemon, conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(
	                an_evicted_index_gives_its_memory_back_and_the_next_search_loads_it),
	        cmocka_unit_test(evict_and_warm_say_whether_it_was_there),
	        cmocka_unit_test(what_is_not_saved_is_saved_before_it_is_evicted),
	        cmocka_unit_test(
	                an_evicted_index_is_there_for_whoever_ensures_optimizes_or_replaces_it),
	        cmocka_unit_test(what_is_written_while_it_is_evicted_is_found),
	        cmocka_unit_test(however_many_search_a_cold_index_it_is_loaded_once),
	        cmocka_unit_test(a_drop_during_a_load_leaves_nothing_behind),
	        cmocka_unit_test(a_stop_during_a_load_ends),
	        cmocka_unit_test(an_index_is_not_taken_away_under_a_search),
	        cmocka_unit_test(a_snapshot_that_was_damaged_meanwhile_is_built_anew),
	        cmocka_unit_test(a_file_that_has_not_changed_is_read_and_not_looked_at),
	        cmocka_unit_test(what_nobody_searches_leaves_the_memory_without_being_asked),
	        cmocka_unit_test(what_is_idle_is_saved_so_that_it_can_leave),
	        cmocka_unit_test(what_walks_a_graph_is_charged_until_there_is_none),
	        cmocka_unit_test(without_room_for_marks_every_record_is_compared),
	        cmocka_unit_test(more_indexes_than_fit_take_turns_and_never_more_than_the_budget),
	        cmocka_unit_test(another_backend_serves_as_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
