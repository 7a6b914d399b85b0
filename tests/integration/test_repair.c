/* SPDX-License-Identifier: Apache-2.0 */

/* Repairs: what can be read of a damaged collection is saved, whatever ends them. */

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/damage.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/scratch_dir.h"
#include "tests/lib/store_twin.h"

#define NOTES "notes"
#define MAIL "mail"
#define N_NOTES 450u
#define PATH_SIZE (2 * DAEMON_PROCESS_PATH_SIZE)

struct stage {
	struct store_twin *twin; /* what the disk is */
	struct daemon_thread *daemon;
	struct kith_conn *conn;
	char path[PATH_SIZE];   /* of the records of 'notes', once they are damaged */
	unsigned char *damaged; /* what is there */
	size_t n_damaged;
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_non_null(stage);
	stage->twin = store_twin_new(store_io_posix());
	stage->daemon = daemon_thread_new_with(store_twin_io(stage->twin), NULL, 32);
	stage->conn = connect_to(stage->daemon);
	make_collection(stage->conn, NOTES, KITH_METRIC_L2);
	make_collection(stage->conn, MAIL, KITH_METRIC_L2);
	put_records(stage->conn, NOTES, 0, N_NOTES + 10, 1);
	put_records(stage->conn, NOTES, 0, 10, 2);
	delete_records(stage->conn, NOTES, N_NOTES, 10);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	kith_close(stage->conn);
	daemon_thread_free(stage->daemon);
	store_twin_free(stage->twin);
	free(stage->damaged);
	free(stage);
	return 0;
}

static int try_repair(struct kith_conn *conn, const char *collection, const char *name,
                      struct kith_repair_result *ret)
{
	struct kith_repair_params params = {.collection = kith_text(collection),
	                                    .name = kith_text(name)};
	struct kith_repair_result *result;
	int r = kith_repair(conn, &params, &result);

	if (r == 0) {
		*ret = *result;
		kith_free(result);
	}
	return r;
}

/* How many of the records [first, first + n) are there, each of which is whole. */
static uint64_t count_whole(struct kith_conn *conn, const char *name, uint64_t first, uint32_t n,
                            uint32_t version)
{
	uint64_t n_whole = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct kith_search_result *hits =
		        search_near(conn, name, first + i, version, 1, true);

		n_whole += holds_record(hits, first + i, version);
		kith_free(hits);
	}
	return n_whole;
}

/* Where the records of a collection are. */
static char *records_of(const struct stage *stage, const char *name, char path[static PATH_SIZE])
{
	char dir[DAEMON_PROCESS_PATH_SIZE];

	collection_path(stage->conn, name, daemon_thread_data_dir(stage->daemon), dir);
	snprintf(path, PATH_SIZE, "%s/records.db", dir);
	return path;
}

/* One page, of its vectors. */
static void damage_notes(struct stage *stage)
{
	long middle;

	records_of(stage, NOTES, stage->path);
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	middle = (long)(scratch_file_size(stage->path) / 2);
	spoil(stage->path, middle - middle % 4096, 4096);
	stage->damaged = scratch_file_load(stage->path, &stage->n_damaged);
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
}

static void expect_notes_as_they_were(const struct stage *stage)
{
	size_t n;
	unsigned char *now = scratch_file_load(stage->path, &n);

	assert_int_equal(n, stage->n_damaged);
	assert_memory_equal(now, stage->damaged, n);
	free(now);
}

static void what_can_be_read_of_damaged_records_is_saved(void **state)
{
	struct stage *stage = *state;
	struct kith_repair_result sound, damaged;

	ensure(stage->conn, (struct ask){.collection = NOTES, .m = 8, .wait = true});
	/* Of a sound one nothing is lost, and its index is declared again. */
	DONE(stage->conn, try_repair(stage->conn, NOTES, "copy", &sound));
	assert_int_equal(sound.records, N_NOTES);
	assert_int_equal(sound.partial + sound.lost, 0);
	expect_records(stage->conn, "copy", 0, 10, 2);
	expect_records(stage->conn, "copy", 100, 20, 1);
	assert_true(find_index(stage->conn, "copy", NULL, &(struct index_view){0}));
	REFUSED(stage->conn, KITH_ERROR_COLLECTION_EXISTS, "name",
	        try_repair(stage->conn, NOTES, MAIL, &sound));

	damage_notes(stage);
	expect_finding(stage->conn, NOTES, "records.db", false);
	DONE(stage->conn, try_repair(stage->conn, NOTES, "saved", &damaged));
	assert_true(damaged.partial + damaged.lost > 0);
	assert_true(damaged.records > 200);
	assert_int_equal(damaged.records + damaged.lost, N_NOTES);
	expect_count(stage->conn, "saved", damaged.records);
	assert_int_equal(count_whole(stage->conn, "saved", 0, 10, 2) +
	                         count_whole(stage->conn, "saved", 10, N_NOTES - 10, 1),
	                 damaged.records - damaged.partial);
	expect_sound(stage->conn, "saved", damaged.records);
	expect_notes_as_they_were(stage);
}

static uint64_t n_connections(struct kith_conn *conn)
{
	struct kith_stats_result *stats;
	uint64_t n;

	DONE(conn, kith_stats(conn, &stats));
	n = stats->connections;
	kith_free(stats);
	return n;
}

static bool is_alone(void *ctx)
{
	return n_connections(ctx) == 1;
}

static bool can_repair(void *ctx)
{
	struct stage *stage = ctx;
	struct kith_repair_result saved;

	return try_repair(stage->conn, NOTES, "saved", &saved) == 0;
}

/* How many directories of collections there are. */
static uint32_t n_directories(const struct stage *stage)
{
	DIR *dir = opendir(daemon_thread_data_dir(stage->daemon));
	const struct dirent *entry;
	uint32_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_type == DT_DIR && entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void a_client_that_goes_takes_its_repair_along(void **state)
{
	struct stage *stage = *state;
	struct gate *gate = daemon_thread_gate(stage->daemon, "catalog", "start");
	struct kith_conn *other = connect_to(stage->daemon);
	struct kith_repair_result saved;

	DONE(other, kith_set_timeout(other, 1));
	assert_int_equal(try_repair(other, NOTES, "saved", &saved), -ETIMEDOUT);
	gate_await(gate);
	REFUSED(stage->conn, KITH_ERROR_OVER_LIMIT, NULL,
	        try_repair(stage->conn, NOTES, "another", &saved));
	kith_close(other);
	await(is_alone, stage->conn, "its client has gone");
	gate_open(gate);
	/* Nothing is left of it: the name is free, and the next one is the only one. */
	await(can_repair, stage, "its place is free again");
	expect_count(stage->conn, "saved", N_NOTES);
	expect_count(stage->conn, NOTES, N_NOTES);
	assert_int_equal(n_directories(stage), 3);
}

#define N_AT_ONCE 256u /* records that are saved in one transaction */

enum cut {
	DAEMON_STOPS, /* which forgets its gates */
	CLIENT_GOES,
};

static bool is_unreachable(void *ctx)
{
	const struct kith_options options = {.socket_path = daemon_thread_socket(ctx)};
	struct kith_conn *conn;

	if (kith_connect(&options, &conn) != 0)
		return true;
	kith_close(conn);
	return false;
}

static bool are_two_directories(void *ctx)
{
	return n_directories(ctx) == 2;
}

/* The repair stands before a row, some of those before it committed and some not. */
static void cut_among_rows(struct stage *stage, enum cut cut)
{
	struct gate *rows = daemon_thread_gate(stage->daemon, "catalog", "row");
	struct kith_conn *other = connect_to(stage->daemon);
	struct kith_repair_result saved;

	DONE(other, kith_set_timeout(other, 1));
	assert_int_equal(try_repair(other, NOTES, "saved", &saved), -ETIMEDOUT);
	for (uint32_t i = 0; i < N_AT_ONCE + 40; i++) {
		gate_await(rows);
		gate_pass(rows);
	}
	gate_await(rows);
	assert_int_equal(n_directories(stage), 3);
	if (cut == CLIENT_GOES) {
		kith_close(other);
		await(is_alone, stage->conn, "its client has gone");
		gate_open(rows);
	} else {
		daemon_thread_stop_soon(stage->daemon);
		/* The repair is cancelled before that. */
		await(is_unreachable, stage->daemon, "the daemon has begun to stop");
		gate_open(rows);
		kith_close(other);
		kith_close(stage->conn);
		daemon_thread_stop(stage->daemon);
		daemon_thread_start(stage->daemon);
		stage->conn = connect_to(stage->daemon);
	}
	await(are_two_directories, stage, "nothing is left of it");
	/* It was the last row that was looked at. */
	if (cut == CLIENT_GOES)
		assert_int_equal(gate_n_came(rows), N_AT_ONCE + 41);
}

/* However it ends: the old one stands as it did, nothing is left of the new one, and the next
 * repair saves all that can be. */
static void a_repair_that_is_cut_among_its_rows_leaves_nothing(void **state)
{
	struct stage *stage = *state;
	struct kith_repair_result saved;

	damage_notes(stage);
	for (enum cut cut = DAEMON_STOPS; cut <= CLIENT_GOES; cut++) {
		cut_among_rows(stage, cut);
		expect_notes_as_they_were(stage);
		REFUSED(stage->conn, KITH_ERROR_NO_COLLECTION, "collection",
		        try_put_records(stage->conn, "saved", 0, 1, 1, NULL));
	}
	DONE(stage->conn, try_repair(stage->conn, NOTES, "saved", &saved));
	assert_int_equal(saved.records + saved.lost, N_NOTES);
	assert_true(saved.records > N_NOTES / 2);
	expect_sound(stage->conn, "saved", saved.records);
	expect_notes_as_they_were(stage);
	assert_int_equal(n_directories(stage), 3);
}

struct repairing {
	struct stage *stage;
	int result;
};

static void *repair_main(void *ctx)
{
	struct repairing *repairing = ctx;
	struct kith_conn *conn = connect_to(repairing->stage->daemon);
	struct kith_repair_result saved;

	repairing->result = try_repair(conn, NOTES, "saved", &saved);
	kith_close(conn);
	return NULL;
}

/* There would be room for it in what the delete has left of the reserve. */
static void a_repair_leaves_what_was_reserved_to_deletes(void **state)
{
	struct stage *stage = *state;
	struct gate *rows = daemon_thread_gate(stage->daemon, "catalog", "row");
	struct repairing repairing = {.stage = stage};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, repair_main, &repairing), 0);
	for (uint32_t i = 0; i < 10; i++) {
		gate_await(rows);
		gate_pass(rows);
	}
	gate_await(rows);
	store_twin_fill(stage->twin, 1);
	delete_records(stage->conn, NOTES, 0, N_NOTES / 2);
	assert_int_equal(try_put_records(stage->conn, MAIL, 0, 5, 1, NULL),
	                 KITH_ERROR_STORAGE_FULL);
	gate_open(rows);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(repairing.result, KITH_ERROR_STORAGE_FULL);
	delete_records(stage->conn, NOTES, N_NOTES / 2, 20);
	await(are_two_directories, stage, "nothing is left of it");
	store_twin_heal(stage->twin);
	put_records(stage->conn, MAIL, 0, 5, 1);
	await(can_repair, stage, "its name is free again");
	expect_count(stage->conn, "saved", N_NOTES / 2 - 20);
}

/* Number i of the pages that a table's inner page leads to. */
static long child_of(const unsigned char *head, uint32_t i)
{
	const unsigned char *cell = head + (head[12 + 2 * i] << 8 | head[13 + 2 * i]);

	return cell[1] << 16 | cell[2] << 8 | cell[3];
}

/* As after writes that went to the wrong place: behind a table's first leaf comes the first leaf.
 * Returns for how many tables. */
static uint32_t misplace_leaves(const char *path)
{
	size_t n;
	unsigned char *pages = scratch_file_load(path, &n);
	FILE *file = fopen(path, "r+b");
	uint32_t n_misplaced = 0;

	assert_non_null(file);
	for (const unsigned char *head = pages + 4096; head < pages + n; head += 4096) {
		if (head[0] != 5 || (head[3] << 8 | head[4]) < 2) /* inner, of two cells or more */
			continue;
		assert_int_equal(fseek(file, (child_of(head, 1) - 1) * 4096, SEEK_SET), 0);
		assert_int_equal(fwrite(pages + (child_of(head, 0) - 1) * 4096, 1, 4096, file),
		                 4096);
		n_misplaced++;
	}
	assert_int_equal(fclose(file), 0);
	free(pages);
	return n_misplaced;
}

static void records_that_lead_back_to_themselves_end_a_repair(void **state)
{
	struct stage *stage = *state;
	struct kith_repair_result saved;
	char path[PATH_SIZE];

	put_records(stage->conn, NOTES, N_NOTES, 1500 - N_NOTES, 1);
	records_of(stage, NOTES, path);
	kith_close(stage->conn);
	daemon_thread_stop(stage->daemon);
	assert_true(misplace_leaves(path) >= 3); /* records, vectors, contents */
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	/* It would be served with records that come twice. */
	REFUSED(stage->conn, KITH_ERROR_DAMAGED, "collection",
	        try_put_records(stage->conn, NOTES, 0, 1, 1, NULL));
	DONE(stage->conn, try_repair(stage->conn, NOTES, "saved", &saved));
	assert_true(saved.lost > 0);
	expect_sound(stage->conn, "saved", saved.records);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	        TEST(what_can_be_read_of_damaged_records_is_saved),
	        TEST(a_client_that_goes_takes_its_repair_along),
	        TEST(a_repair_that_is_cut_among_its_rows_leaves_nothing),
	        TEST(a_repair_leaves_what_was_reserved_to_deletes),
	        TEST(records_that_lead_back_to_themselves_end_a_repair),
	};

	return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
