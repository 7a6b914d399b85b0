/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Races, forced: the daemon runs in this process, and its workers are held where a race would
 * happen.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/upkeep.h"
#include "tests/lib/fake_clock.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/store_twin.h"

#define DIM 4

/* The story's helpers -------------------------------------------------------------------------- */

static void create(struct kith_conn *conn, const char *name, uint32_t dim)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(name), .dim = dim, .metric = KITH_METRIC_L2};

	assert_int_equal(kith_create_collection(conn, &params, NULL), 0);
}

/* A vector that only this number has: exact search finds it at distance 0. */
static void vector_of(uint64_t number, float vector[DIM])
{
	for (int i = 0; i < DIM; i++)
		vector[i] = (float)((number >> (8 * i)) & 0xff);
}

struct one {
	struct kith_id id;
	float vector[DIM];
	char text[32];
	struct kith_str str;
	struct kith_upsert_params params;
};

/* Record `id` with the vector of `value` and the text "v<value>". */
static const struct kith_upsert_params *one(struct one *one, const char *name, uint64_t id,
                                            uint64_t value)
{
	one->id = kith_id_number(id);
	vector_of(value, one->vector);
	snprintf(one->text, sizeof(one->text), "v%llu", (unsigned long long)value);
	one->str = kith_text(one->text);
	one->params = (struct kith_upsert_params){
	        .collection = kith_text(name),
	        .ids = {&one->id, 1},
	        .vectors = kith_vectors(one->vector, DIM),
	        .texts = {&one->str, 1},
	};
	return &one->params;
}

static void put(struct kith_conn *conn, const char *name, uint64_t id, uint64_t value)
{
	struct one record;

	assert_int_equal(kith_upsert(conn, one(&record, name, id, value), NULL), 0);
}

static uint64_t submit_put(struct kith_conn *conn, const char *name, uint64_t id, uint64_t value)
{
	struct one record;
	uint64_t ticket;

	assert_int_equal(kith_submit_upsert(conn, one(&record, name, id, value), &ticket), 0);
	assert_int_equal(kith_flush(conn), 0);
	return ticket;
}

static void delete (struct kith_conn *conn, const char *name, uint64_t id)
{
	struct kith_id key = kith_id_number(id);
	struct kith_delete_params params = {.collection = kith_text(name), .ids = {&key, 1}};

	assert_int_equal(kith_delete(conn, &params, NULL), 0);
}

static uint64_t submit_search(struct kith_conn *conn, const char *name, uint64_t value)
{
	float vector[DIM];
	struct kith_search_params params = {
	        .collection = kith_text(name), .k = 3, .include = KITH_INCLUDE_TEXTS};
	uint64_t ticket;

	vector_of(value, vector);
	params.vectors = kith_vectors(vector, DIM);
	assert_int_equal(kith_submit_search(conn, &params, &ticket), 0);
	assert_int_equal(kith_flush(conn), 0);
	return ticket;
}

static struct kith_search_result *collect_search(struct kith_conn *conn, uint64_t ticket)
{
	struct kith_search_result *result;

	assert_int_equal(kith_collect_search(conn, ticket, KITH_USUAL, &result), 0);
	return result;
}

static struct kith_search_result *search(struct kith_conn *conn, const char *name, uint64_t value)
{
	return collect_search(conn, submit_search(conn, name, value));
}

/* How often the id is in the answer, and that each time it is with that value whole. */
static uint32_t count_of(const struct kith_search_result *result, uint64_t id, uint64_t value)
{
	char text[32];
	uint32_t n = 0;

	snprintf(text, sizeof(text), "v%llu", (unsigned long long)value);
	for (uint32_t i = 0; i < result->ids.n; i++) {
		if (result->ids.v[i].number != id)
			continue;
		n++;
		assert_int_equal(result->texts.v[i].n, strlen(text));
		assert_memory_equal(result->texts.v[i].data, text, strlen(text));
	}
	return n;
}

/* Snapshots ------------------------------------------------------------------------------------ */

/* A search is held in the phase while record 1 changes; it must answer what was when it began. */
static void replaced_while_held(const char *phase)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *searcher = connect_to(daemon), *writer = connect_to(daemon);
	struct kith_search_result *held, *later;
	struct gate *gate;
	uint64_t ticket;

	create(writer, "notes", DIM);
	put(writer, "notes", 1, 10);
	put(writer, "notes", 2, 20);
	gate = daemon_thread_gate(daemon, "search", phase);
	ticket = submit_search(searcher, "notes", 10);
	gate_await(gate);
	put(writer, "notes", 1, 11);
	delete (writer, "notes", 2);
	gate_open(gate);

	held = collect_search(searcher, ticket);
	assert_int_equal(held->ids.n, 2);
	assert_int_equal(count_of(held, 1, 10), 1);
	assert_int_equal(count_of(held, 2, 20), 1);
	later = search(searcher, "notes", 10);
	assert_int_equal(later->ids.n, 1);
	assert_int_equal(count_of(later, 1, 11), 1);

	kith_free(held);
	kith_free(later);
	kith_close(searcher);
	kith_close(writer);
	daemon_thread_free(daemon);
}

static void a_replace_before_the_scan_leaves_the_old_version_whole(void **state)
{
	(void)state;
	replaced_while_held("start");
}

static void a_replace_between_plan_and_fetch_leaves_the_old_version_whole(void **state)
{
	(void)state;
	replaced_while_held("fetch");
}

static void a_search_sent_while_another_is_held_sees_the_new_version_once(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *searcher = connect_to(daemon), *writer = connect_to(daemon);
	struct kith_search_result *held, *fresh;
	struct gate *gate;
	uint64_t held_ticket, fresh_ticket;

	(void)state;
	create(writer, "notes", DIM);
	put(writer, "notes", 1, 10);
	gate = daemon_thread_gate(daemon, "search", "fetch");
	held_ticket = submit_search(searcher, "notes", 10);
	gate_await(gate);
	put(writer, "notes", 1, 11);
	fresh_ticket = submit_search(searcher, "notes", 10);
	gate_open(gate);
	fresh = collect_search(searcher, fresh_ticket);
	held = collect_search(searcher, held_ticket);
	assert_int_equal(fresh->ids.n, 1);
	assert_int_equal(count_of(fresh, 1, 11), 1);
	assert_int_equal(held->ids.n, 1);
	assert_int_equal(count_of(held, 1, 10), 1);
	kith_free(held);
	kith_free(fresh);
	kith_close(searcher);
	kith_close(writer);
	daemon_thread_free(daemon);
}

/* The commit is durable but not published yet: nobody sees it before its answer is due, and who
 * asks on the writer's own connection waits for it. */
static void a_pipelined_search_waits_for_the_write_before_it(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *writer = connect_to(daemon), *other = connect_to(daemon);
	struct kith_search_result *own, *others;
	struct gate *gate;
	uint64_t put_ticket, search_ticket;

	(void)state;
	create(writer, "notes", DIM);
	put(writer, "notes", 1, 10);
	gate = daemon_thread_gate(daemon, "write", "committed");
	put_ticket = submit_put(writer, "notes", 1, 11);
	search_ticket = submit_search(writer, "notes", 11);
	gate_await(gate);
	others = search(other, "notes", 11);
	assert_int_equal(count_of(others, 1, 10), 1);
	gate_open(gate);
	own = collect_search(writer, search_ticket);
	assert_int_equal(own->ids.n, 1);
	assert_int_equal(count_of(own, 1, 11), 1);
	assert_int_equal(kith_collect_upsert(writer, put_ticket, KITH_USUAL, NULL), 0);
	kith_free(own);
	kith_free(others);
	kith_close(writer);
	kith_close(other);
	daemon_thread_free(daemon);
}

/* Drop and namesake ---------------------------------------------------------------------------- */

static void jobs_of_a_dropped_collection_do_not_touch_its_namesake(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *old_user = connect_to(daemon), *owner = connect_to(daemon);
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct kith_describe_collection_params which = {.collection = kith_text("notes")};
	struct kith_describe_collection_result *before, *after;
	struct kith_search_result *held, *found;
	struct gate *writes, *searches;
	uint64_t put_ticket, search_ticket;
	char dir[600];

	(void)state;
	create(owner, "notes", DIM);
	put(owner, "notes", 1, 10);
	assert_int_equal(kith_describe_collection(owner, &which, &before), 0);
	searches = daemon_thread_gate(daemon, "search", "fetch");
	writes = daemon_thread_gate(daemon, "write", "committed");
	search_ticket = submit_search(old_user, "notes", 10);
	gate_await(searches);
	put_ticket = submit_put(old_user, "notes", 7, 70);
	gate_await(writes);

	assert_int_equal(kith_drop_collection(owner, &drop, NULL), 0);
	create(owner, "notes", DIM);
	assert_int_equal(kith_describe_collection(owner, &which, &after), 0);
	assert_memory_not_equal(before->collection.uuid.data, after->collection.uuid.data, 36);
	gate_open(writes);
	gate_open(searches);
	/* The old write had begun and the old search too: they end in the old collection. */
	assert_int_equal(kith_collect_upsert(old_user, put_ticket, KITH_USUAL, NULL), 0);
	held = collect_search(old_user, search_ticket);
	assert_int_equal(count_of(held, 1, 10), 1);

	found = search(owner, "notes", 70);
	assert_int_equal(found->ids.n, 0);
	kith_free(found);
	put(owner, "notes", 2, 20);
	found = search(owner, "notes", 10);
	assert_int_equal(found->ids.n, 1);
	assert_int_equal(count_of(found, 2, 20), 1);
	/* The old one's directory is trash that goes once no job needs it, at the latest now. */
	daemon_thread_restart(daemon);
	snprintf(dir, sizeof(dir), "%s/%.36s", daemon_thread_data_dir(daemon),
	         before->collection.uuid.data);
	assert_int_equal(access(dir, F_OK), -1);

	kith_free(found);
	kith_free(held);
	kith_free(before);
	kith_free(after);
	kith_close(old_user);
	kith_close(owner);
	daemon_thread_free(daemon);
}

static void what_waits_for_a_dropped_collection_is_told_so(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *user = connect_to(daemon), *owner = connect_to(daemon);
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct gate *writes;
	uint64_t first, second;

	(void)state;
	create(owner, "notes", DIM);
	put(owner, "notes", 1, 10);
	writes = daemon_thread_gate(daemon, "write", "start");
	first = submit_put(user, "notes", 2, 20);
	gate_await(writes);
	second = submit_put(user, "notes", 3, 30);
	assert_int_equal(kith_drop_collection(owner, &drop, NULL), 0);
	assert_int_equal(kith_collect_upsert(user, second, KITH_USUAL, NULL), KITH_ERROR_DROPPED);
	gate_open(writes);
	assert_int_equal(kith_collect_upsert(user, first, KITH_USUAL, NULL), 0);
	kith_close(user);
	kith_close(owner);
	daemon_thread_free(daemon);
}

/* Groups --------------------------------------------------------------------------------------- */

#define GROUP 8

static void one_bad_request_in_a_group_of_eight_fails_alone(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *owner = connect_to(daemon), *conns[GROUP];
	uint64_t tickets[GROUP], first, groups;
	struct gate *gate;

	(void)state;
	create(owner, "notes", DIM);
	put(owner, "notes", 100, 100);
	groups = usage_of(owner, "notes").groups;
	gate = daemon_thread_gate(daemon, "write", "start");
	first = submit_put(owner, "notes", 101, 101);
	gate_await(gate);
	for (uint64_t i = 0; i < GROUP; i++) {
		struct one record;
		const struct kith_upsert_params *params = one(&record, "notes", i, i);

		conns[i] = connect_to(daemon);
		if (i == 3)
			record.vector[1] = __builtin_nanf("");
		assert_int_equal(kith_submit_upsert(conns[i], params, &tickets[i]), 0);
		assert_int_equal(kith_flush(conns[i]), 0);
		/* The daemon has it once it answers what came behind it. */
		assert_int_equal(kith_ping(conns[i]), 0);
	}
	gate_open(gate);
	assert_int_equal(kith_collect_upsert(owner, first, KITH_USUAL, NULL), 0);
	for (uint64_t i = 0; i < GROUP; i++) {
		int r = kith_collect_upsert(conns[i], tickets[i], KITH_USUAL, NULL);

		assert_int_equal(r, i == 3 ? KITH_ERROR_BAD_VALUE : 0);
		if (i == 3) {
			assert_string_equal(kith_error_field(conns[i]), "vectors");
			assert_int_equal(kith_error_row(conns[i]), 0);
		}
		kith_close(conns[i]);
	}
	assert_int_equal(usage_of(owner, "notes").groups, groups + 2);
	for (uint64_t i = 0; i < GROUP; i++) {
		struct kith_search_result *found = search(owner, "notes", i);

		assert_int_equal(count_of(found, i, i), i == 3 ? 0 : 1);
		kith_free(found);
	}
	kith_close(owner);
	daemon_thread_free(daemon);
}

/* A batch of records that fills a group by itself. */
#define BULK_DIM 1024
#define BULK_ROWS 1025

struct bulk {
	struct kith_id ids[BULK_ROWS];
	float *vectors;
	struct kith_upsert_params params;
};

static struct bulk *bulk_new(const char *name, uint64_t first_id)
{
	struct bulk *bulk = calloc(1, sizeof(*bulk));

	bulk->vectors = calloc((size_t)BULK_ROWS * BULK_DIM, sizeof(float));
	for (uint32_t i = 0; i < BULK_ROWS; i++) {
		bulk->ids[i] = kith_id_number(first_id + i);
		bulk->vectors[(size_t)i * BULK_DIM] = (float)(first_id + i);
	}
	bulk->params = (struct kith_upsert_params){
	        .collection = kith_text(name),
	        .ids = {bulk->ids, BULK_ROWS},
	        .vectors = kith_vectors(bulk->vectors, (size_t)BULK_ROWS * BULK_DIM),
	};
	return bulk;
}

static void bulk_free(struct bulk *bulk)
{
	free(bulk->vectors);
	free(bulk);
}

static void a_bulk_import_holds_a_single_writer_back_by_one_group_at_most(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *importer = connect_to(daemon), *single = connect_to(daemon);
	struct kith_id id = kith_id_number(999999);
	float vector[BULK_DIM] = {0};
	struct kith_upsert_params params = {.collection = kith_text("bulk"),
	                                    .ids = {&id, 1},
	                                    .vectors = kith_vectors(vector, BULK_DIM)};
	uint64_t tickets[3], ticket;
	struct gate *gate;

	(void)state;
	create(single, "bulk", BULK_DIM);
	gate = daemon_thread_gate(daemon, "write", "start");
	for (uint64_t i = 0; i < 3; i++) {
		struct bulk *bulk = bulk_new("bulk", i * BULK_ROWS);

		assert_int_equal(kith_submit_upsert(importer, &bulk->params, &tickets[i]), 0);
		bulk_free(bulk);
	}
	/* All three are with the daemon; the first is held at work. */
	assert_int_equal(kith_ping(importer), 0);
	gate_await(gate);
	assert_int_equal(kith_submit_upsert(single, &params, &ticket), 0);
	assert_int_equal(kith_ping(single), 0);
	gate_pass(gate);
	gate_await(gate);
	gate_pass(gate);
	/* The second group has the single write: it is answered while the third is held. */
	assert_int_equal(kith_collect_upsert(single, ticket, KITH_USUAL, NULL), 0);
	gate_await(gate);
	gate_open(gate);
	for (int i = 0; i < 3; i++)
		assert_int_equal(kith_collect_upsert(importer, tickets[i], KITH_USUAL, NULL), 0);
	kith_close(importer);
	kith_close(single);
	daemon_thread_free(daemon);
}

/* The WAL -------------------------------------------------------------------------------------- */

#define WAL_FULL_BYTES (UPKEEP_WAL_RESTART_BYTES - (4u << 20))
#define WAL_BOUND_BYTES (UPKEEP_WAL_RESTART_BYTES + (24u << 20))
#define WAL_BATCHES 40
/* More than has room up to the bound. */
#define WAL_HELD 5

static uint64_t wal_file_bytes(struct daemon_thread *daemon, struct kith_conn *conn)
{
	struct kith_describe_collection_params which = {.collection = kith_text("bulk")};
	struct kith_describe_collection_result *what;
	struct stat status;
	char path[700];

	assert_int_equal(kith_describe_collection(conn, &which, &what), 0);
	snprintf(path, sizeof(path), "%s/%.36s/records.db-wal", daemon_thread_data_dir(daemon),
	         what->collection.uuid.data);
	kith_free(what);
	return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

/* A daemon whose clock stands still: no pause in the writing, however slow the machine, in which
 * the WAL would be checkpointed before the reader comes. */
static struct daemon_thread *never_pausing(struct fake_clock *clock)
{
	fake_clock_init(clock, 0);
	return daemon_thread_new_with(store_io_posix(), &clock->clock, 32);
}

static void the_wal_stays_under_its_bound_with_a_reader_held_open(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon = never_pausing(&clock);
	struct kith_conn *writer = connect_to(daemon), *reader = connect_to(daemon);
	struct kith_conn *watcher = connect_to(daemon);
	struct kith_id id = kith_id_number(3);
	struct kith_get_params get = {.collection = kith_text("bulk"), .ids = {&id, 1}};
	struct kith_get_result *got;
	uint64_t tickets[WAL_HELD], get_ticket, late_ticket, wal = 0;
	struct gate *gate;
	uint32_t sent = 0;

	(void)state;
	create(writer, "bulk", BULK_DIM);
	for (int i = 0; i < 2; i++) {
		struct bulk *bulk = bulk_new("bulk", 0);

		assert_int_equal(kith_upsert(writer, &bulk->params, NULL), 0);
		bulk_free(bulk);
	}
	/* It has read, and its transaction is open: the WAL cannot begin anew under it. */
	gate = daemon_thread_gate(daemon, "get", "fetched");
	assert_int_equal(kith_submit_get(reader, &get, &get_ticket), 0);
	assert_int_equal(kith_flush(reader), 0);
	gate_await(gate);
	/* Writes go on under the reader until the WAL is full, then they wait for it. */
	while (wal < WAL_FULL_BYTES) {
		struct bulk *bulk = bulk_new("bulk", (sent + 1) * BULK_ROWS);

		assert_true(sent < WAL_BATCHES);
		assert_int_equal(kith_upsert(writer, &bulk->params, NULL), 0);
		bulk_free(bulk);
		sent++;
		wal = wal_file_bytes(daemon, watcher);
		assert_true(wal <= WAL_BOUND_BYTES);
	}
	for (int i = 0; i < WAL_HELD; i++) {
		struct bulk *bulk = bulk_new("bulk", (sent + 1) * BULK_ROWS);

		assert_int_equal(kith_submit_upsert(writer, &bulk->params, &tickets[i]), 0);
		bulk_free(bulk);
		sent++;
	}
	assert_int_equal(kith_ping(writer), 0);
	/* A read that comes now waits behind the checkpoint, and is answered after it. */
	assert_int_equal(kith_submit_get(watcher, &get, &late_ticket), 0);
	assert_int_equal(kith_ping(watcher), 0);
	assert_true(wal_file_bytes(daemon, watcher) <= WAL_BOUND_BYTES);
	assert_true(usage_of(watcher, "bulk").records < (uint64_t)(sent + 1) * BULK_ROWS);
	gate_open(gate);
	assert_int_equal(kith_collect_get(reader, get_ticket, KITH_USUAL, &got), 0);
	assert_int_equal(got->positions.n, 1);
	kith_free(got);
	assert_int_equal(kith_collect_get(watcher, late_ticket, KITH_USUAL, &got), 0);
	assert_int_equal(got->positions.n, 1);
	kith_free(got);
	for (int i = 0; i < WAL_HELD; i++)
		assert_int_equal(kith_collect_upsert(writer, tickets[i], KITH_USUAL, NULL), 0);
	assert_true(wal_file_bytes(daemon, watcher) <= WAL_BOUND_BYTES);
	assert_int_equal(usage_of(watcher, "bulk").records, (uint64_t)(sent + 1) * BULK_ROWS);
	kith_close(writer);
	kith_close(reader);
	kith_close(watcher);
	daemon_thread_free(daemon);
}

/* Groups, one a batch, in less bytes than are synced at once. */
#define ROW_OF_GROUPS 3

/* The vector file is synced when its rows are old enough, and then not with every group that comes
 * before anybody looks. */
static void a_long_row_of_writes_syncs_the_vector_file_now_and_then(void **state)
{
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct fake_clock clock;
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	struct bulk *bulks[ROW_OF_GROUPS];
	uint64_t tickets[ROW_OF_GROUPS];
	struct gate *gate;

	(void)state;
	fake_clock_init(&clock, 0);
	daemon = daemon_thread_new_with(store_twin_io(twin), &clock.clock, 32);
	conn = connect_to(daemon);
	create(conn, "bulk", BULK_DIM);
	for (uint32_t i = 0; i < ROW_OF_GROUPS; i++)
		bulks[i] = bulk_new("bulk", i * BULK_ROWS);
	/* While the first group is held the others come, so that one waits whenever one ends. */
	gate = daemon_thread_gate(daemon, "write", "committed");
	for (uint32_t i = 0; i < ROW_OF_GROUPS; i++)
		assert_int_equal(kith_submit_upsert(conn, &bulks[i]->params, &tickets[i]), 0);
	assert_int_equal(kith_ping(conn), 0);
	gate_await(gate);
	store_twin_forget(twin);
	fake_clock_advance_ms(&clock, UPKEEP_SYNC_MS);
	gate_open(gate);
	for (uint32_t i = 0; i < ROW_OF_GROUPS; i++) {
		assert_int_equal(kith_collect_upsert(conn, tickets[i], KITH_USUAL, NULL), 0);
		bulk_free(bulks[i]);
	}
	/* Rows and header, once. */
	assert_int_equal(store_twin_count(twin, STORE_TWIN_SYNC, "/vectors"), 2);
	kith_close(conn);
	daemon_thread_free(daemon);
	store_twin_free(twin);
}

/* Rests ---------------------------------------------------------------------------------------- */

static uint32_t n_reads_under_way(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint32_t n = 0;

	assert_int_equal(kith_stats(conn, &stats), 0);
	for (uint32_t i = 0; i < stats->lanes.n; i++)
		if (memcmp(stats->lanes.v[i].name.data, "interactive", 11) == 0)
			n += stats->lanes.v[i].queued + stats->lanes.v[i].running;
	kith_free(stats);
	return n;
}

static void what_comes_while_a_collection_rests_is_answered_after_it(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon = never_pausing(&clock);
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate = daemon_thread_gate(daemon, "rest", "start");
	uint64_t ticket;

	(void)state;
	create(conn, "notes", DIM);
	put(conn, "notes", 1, 10);
	kith_free(search(conn, "notes", 10));
	/* Nobody comes for a while. */
	fake_clock_advance_ms(&clock, 2000);
	gate_await(gate);
	ticket = submit_search(conn, "notes", 10);
	assert_int_equal(kith_ping(conn), 0);
	assert_int_equal(n_reads_under_way(conn), 0);
	assert_int_equal(usage_of(conn, "notes").searches, 1);
	gate_open(gate);
	found = collect_search(conn, ticket);
	assert_int_equal(found->ids.n, 1);
	assert_int_equal(found->ids.v[0].number, 1);
	kith_free(found);
	put(conn, "notes", 2, 20);
	assert_int_equal(usage_of(conn, "notes").records, 2);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void a_collection_that_rests_can_be_dropped(void **state)
{
	struct fake_clock clock;
	struct daemon_thread *daemon = never_pausing(&clock);
	struct kith_conn *conn = connect_to(daemon), *other = connect_to(daemon);
	struct kith_drop_collection_params drop = {.collection = kith_text("notes")};
	struct gate *gate = daemon_thread_gate(daemon, "rest", "start");
	uint64_t ticket;

	(void)state;
	create(conn, "notes", DIM);
	put(conn, "notes", 1, 10);
	fake_clock_advance_ms(&clock, 2000);
	gate_await(gate);
	ticket = submit_search(other, "notes", 10);
	assert_int_equal(kith_ping(other), 0);
	assert_int_equal(kith_drop_collection(conn, &drop, NULL), 0);
	gate_open(gate);
	assert_int_equal(kith_collect_search(other, ticket, KITH_USUAL, NULL), KITH_ERROR_DROPPED);
	kith_close(conn);
	kith_close(other);
	daemon_thread_free(daemon);
}

/* The clock is turned while the worker stands at the gate, and stands still otherwise. */
static void a_search_tells_how_long_it_took(void **state)
{
	static const uint64_t spent_us[] = {0, 1, 1234, 5000000};
	struct fake_clock clock;
	struct daemon_thread *daemon = never_pausing(&clock);
	struct kith_conn *conn = connect_to(daemon);
	struct gate *gate;

	(void)state;
	create(conn, "notes", DIM);
	put(conn, "notes", 1, 10);
	gate = daemon_thread_gate(daemon, "search", "start");
	for (size_t i = 0; i < sizeof(spent_us) / sizeof(*spent_us); i++) {
		uint64_t ticket = submit_search(conn, "notes", 10);
		struct kith_search_result *found;

		gate_await(gate);
		fake_clock_advance_ns(&clock, spent_us[i] * 1000 + 999);
		gate_pass(gate);
		found = collect_search(conn, ticket);
		assert_int_equal(found->time_us, spent_us[i]);
		kith_free(found);
	}
	gate_open(gate);
	kith_close(conn);
	daemon_thread_free(daemon);
}

/* Ends ----------------------------------------------------------------------------------------- */

static void closing_a_connection_cancels_its_search_and_keeps_the_daemon(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *gone = connect_to(daemon), *other = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate;

	(void)state;
	create(other, "notes", DIM);
	put(other, "notes", 1, 10);
	gate = daemon_thread_gate(daemon, "search", "start");
	submit_search(gone, "notes", 10);
	gate_await(gate);
	kith_close(gone);
	gate_open(gate);
	found = search(other, "notes", 10);
	assert_int_equal(count_of(found, 1, 10), 1);
	kith_free(found);
	kith_close(other);
	daemon_thread_free(daemon);
}

static void a_stop_lets_the_running_write_end_and_refuses_what_waits(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t first, second;

	(void)state;
	create(conn, "notes", DIM);
	put(conn, "notes", 1, 10);
	gate = daemon_thread_gate(daemon, "write", "start");
	first = submit_put(conn, "notes", 2, 20);
	gate_await(gate);
	second = submit_put(conn, "notes", 3, 30);
	assert_int_equal(kith_ping(conn), 0);
	daemon_thread_stop_soon(daemon);
	assert_int_equal(kith_collect_upsert(conn, second, KITH_USUAL, NULL), KITH_ERROR_STOPPING);
	gate_open(gate);
	assert_int_equal(kith_collect_upsert(conn, first, KITH_USUAL, NULL), 0);
	kith_close(conn);

	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	found = search(conn, "notes", 20);
	assert_int_equal(found->ids.n, 2);
	assert_int_equal(count_of(found, 2, 20), 1);
	kith_free(found);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void requests_that_wait_for_an_opening_are_answered_in_order(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t write, read;

	(void)state;
	create(conn, "notes", DIM);
	put(conn, "notes", 1, 10);
	kith_close(conn);
	daemon_thread_restart(daemon);
	conn = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "open", "start");
	write = submit_put(conn, "notes", 1, 11);
	read = submit_search(conn, "notes", 11);
	gate_await(gate);
	gate_open(gate);
	found = collect_search(conn, read);
	assert_int_equal(found->ids.n, 1);
	assert_int_equal(count_of(found, 1, 11), 1);
	assert_int_equal(kith_collect_upsert(conn, write, KITH_USUAL, NULL), 0);
	kith_free(found);
	kith_close(conn);
	daemon_thread_free(daemon);
}

static void searches_are_right_while_the_vector_file_is_restored(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	struct kith_search_result *found;
	struct gate *gate;
	uint64_t ticket;
	char command[700];

	(void)state;
	create(conn, "notes", DIM);
	for (uint64_t i = 0; i < 100; i++)
		put(conn, "notes", i, i);
	kith_close(conn);
	daemon_thread_stop(daemon);
	snprintf(command, sizeof(command), "rm -r '%s'", daemon_thread_cache_dir(daemon));
	assert_int_equal(system(command), 0);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	gate = daemon_thread_gate(daemon, "restore", "start");
	found = search(conn, "notes", 42);
	assert_int_equal(count_of(found, 42, 42), 1);
	assert_true(found->distances.v[0] == 0.0f);
	assert_int_equal(found->served_from, KITH_SOURCE_TRUTH);
	kith_free(found);
	gate_await(gate);
	ticket = submit_put(conn, "notes", 42, 1042);
	gate_open(gate);
	assert_int_equal(kith_collect_upsert(conn, ticket, KITH_USUAL, NULL), 0);
	do {
		found = search(conn, "notes", 1042);
		assert_int_equal(found->ids.n, 3);
		assert_int_equal(count_of(found, 42, 1042), 1);
		assert_true(found->distances.v[0] == 0.0f);
		ticket = found->served_from;
		kith_free(found);
	} while (ticket == KITH_SOURCE_TRUTH);
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_replace_before_the_scan_leaves_the_old_version_whole),
	        cmocka_unit_test(a_replace_between_plan_and_fetch_leaves_the_old_version_whole),
	        cmocka_unit_test(a_search_sent_while_another_is_held_sees_the_new_version_once),
	        cmocka_unit_test(a_pipelined_search_waits_for_the_write_before_it),
	        cmocka_unit_test(jobs_of_a_dropped_collection_do_not_touch_its_namesake),
	        cmocka_unit_test(what_waits_for_a_dropped_collection_is_told_so),
	        cmocka_unit_test(one_bad_request_in_a_group_of_eight_fails_alone),
	        cmocka_unit_test(a_bulk_import_holds_a_single_writer_back_by_one_group_at_most),
	        cmocka_unit_test(the_wal_stays_under_its_bound_with_a_reader_held_open),
	        cmocka_unit_test(a_long_row_of_writes_syncs_the_vector_file_now_and_then),
	        cmocka_unit_test(what_comes_while_a_collection_rests_is_answered_after_it),
	        cmocka_unit_test(a_collection_that_rests_can_be_dropped),
	        cmocka_unit_test(a_search_tells_how_long_it_took),
	        cmocka_unit_test(closing_a_connection_cancels_its_search_and_keeps_the_daemon),
	        cmocka_unit_test(a_stop_lets_the_running_write_end_and_refuses_what_waits),
	        cmocka_unit_test(requests_that_wait_for_an_opening_are_answered_in_order),
	        cmocka_unit_test(searches_are_right_while_the_vector_file_is_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
