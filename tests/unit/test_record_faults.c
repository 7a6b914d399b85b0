/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One scenario, made of everything that writes: create, groups of upserts, updates and deletes,
 * reaps, a compaction, checkpoints, close. It is run with each of its I/O operations failing in
 * turn, and its record is cut at each operation as a power cut would. After either, the store must
 * hold just the groups that were acknowledged, or one more: that which was being committed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/sqlite_vfs.h"
#include "tests/lib/record_fixture.h"

/* The scenario -------------------------------------------------------------------------------- */

#define N_GROUPS 4
#define N_IDS 4
static const char *const ids[N_IDS] = {"a", "b", "c", "d"};

/* What is live after each group: the vectors' value, 0 for nothing. */
static const float live_after[N_GROUPS + 1][N_IDS] = {
        {0, 0, 0, 0}, {1, 1, 1, 0}, {2, 0, 1, 2}, {2, 3, 1, 2}, {4, 3, 0, 2},
};

struct run {
	struct store_io *io;
	struct store_twin *twin;
	const char *dir;
	struct record_spec spec;
	struct record_store *store;
	struct record_writer *writer;
	bool was_created;
	unsigned n_acknowledged;
	size_t created_at_op; /* of the twin's record */
	size_t acknowledged_at_op[N_GROUPS + 1];
};

/* Of pages of its own, which a reap leaves free for the compaction. */
#define TEXT_BYTES 9000
/* To which the WAL is cut: less than it is long. */
#define KEPT_WAL_BYTES 8192

static int change_id(struct record_writer *writer, const char *id, float before, float after)
{
	static char text[TEXT_BYTES + 1];
	struct record_field field = fixture_field("file", id);
	struct record record = fixture_record(id, after, memset(text, 'x', TEXT_BYTES));
	struct record_change change;

	if (before == after)
		return 0;
	if (after == 0)
		return record_writer_delete(writer, &record.id, &change);
	record.meta = fixture_meta("meta", &field, 1);
	return record_writer_upsert(writer, &record, 0, &change);
}

/* Each id's change is a request of its own. */
static int change_all(struct record_writer *writer, unsigned group)
{
	uint64_t seq;

	for (unsigned i = 0; i < N_IDS; i++) {
		int r = record_writer_begin_request(writer, &seq);

		if (r < 0)
			return r;
		r = change_id(writer, ids[i], live_after[group - 1][i], live_after[group][i]);
		int r_end = record_writer_end_request(writer, r == 0);
		if (r < 0 || r_end < 0)
			return r < 0 ? r : r_end;
	}
	return 0;
}

static int run_group(struct run *run, unsigned group)
{
	int r = record_writer_begin(run->writer);

	if (r < 0)
		return r;
	r = change_all(run->writer, group);
	if (r == 0)
		r = record_writer_commit(run->writer);
	if (r < 0) {
		record_writer_rollback(run->writer);
		return r;
	}
	run->n_acknowledged = group;
	run->acknowledged_at_op[group] = store_twin_n_ops(run->twin);
	return 0;
}

static int run_steps(struct run *run)
{
	uint32_t n;
	int r;

	r = record_store_create(run->io, run->dir, &run->spec);
	if (r < 0)
		return r;
	run->was_created = true;
	run->created_at_op = store_twin_n_ops(run->twin);
	r = record_store_open(run->io, run->dir, &run->spec.uuid, 1 << 20, &run->store);
	if (r == 0)
		r = record_writer_new(run->store, &run->writer);
	if (r == 0)
		r = run_group(run, 1);
	if (r == 0)
		r = record_store_checkpoint(run->store, false);
	if (r == 0)
		r = run_group(run, 2);
	if (r == 0)
		r = record_writer_reap(run->writer, UINT64_MAX, 10, 1, &n);
	if (r == 0)
		assert_true(record_store_space(run->store).free_bytes > TEXT_BYTES);
	if (r == 0)
		r = record_writer_compact(run->writer, 8);
	if (r == 0)
		assert_true(record_store_space(run->store).free_bytes == 0);
	if (r == 0)
		r = record_store_checkpoint(run->store, true);
	if (r == 0)
		r = run_group(run, 3);
	if (r == 0)
		r = record_store_cut_wal(run->store, KEPT_WAL_BYTES);
	if (r == 0)
		assert_true(record_store_wal_file_bytes(run->store) <= KEPT_WAL_BYTES);
	if (r == 0)
		r = run_group(run, 4);
	return r;
}

static int run_scenario(struct run *run)
{
	int r = run_steps(run);

	run->writer = record_writer_free(run->writer);
	run->store = record_store_free(run->store);
	return r;
}

/* Looking at what is left --------------------------------------------------------------------- */

static bool holds_group(struct record_reader *reader, unsigned group)
{
	struct record_row row;

	for (unsigned i = 0; i < N_IDS; i++) {
		struct record_id id = fixture_id(ids[i]);
		float v = 0;
		int r = record_reader_by_id(reader, &id, FIXTURE_EVERY,
		                            RECORD_WANT_VECTOR | RECORD_WANT_TEXT, &row);

		assert_true(r == 0 || r == RECORD_STORE_MISSING);
		if (r == 0)
			memcpy(&v, row.record.vector, sizeof(v));
		if (v != live_after[group][i])
			return false;
	}
	return true;
}

static uint64_t count_scan(struct record_reader *reader)
{
	struct record_row row;
	uint64_t n = 0;

	assert_int_equal(record_reader_scan(reader, 0, -1, FIXTURE_EVERY, RECORD_WANT_VECTOR), 0);
	while (record_reader_next(reader, &row) == 0)
		n++;
	return n;
}

/* Opens over plain I/O, asserts that the groups up to n_acknowledged, or one more, are there, and
 * that writing goes on. */
static void assert_holds(const char *dir, const struct uuid *uuid, unsigned n_acknowledged)
{
	struct record record = fixture_record("next", 7, NULL);
	struct record_store *store;
	struct record_writer *writer;
	struct record_reader *reader;
	struct record_store_state found;
	struct record_change change;
	uint64_t seq;

	assert_int_equal(record_store_open(store_io_posix(), dir, uuid, 1 << 20, &store), 0);
	assert_int_equal(record_writer_new(store, &writer), 0);
	assert_int_equal(record_reader_new(store, &reader), 0);
	assert_true(holds_group(reader, n_acknowledged) ||
	            (n_acknowledged < N_GROUPS && holds_group(reader, n_acknowledged + 1)));
	assert_int_equal(record_reader_state(reader, &found), 0);
	assert_int_equal(found.n_live, count_scan(reader));

	assert_int_equal(record_writer_begin(writer), 0);
	assert_int_equal(record_writer_begin_request(writer, &seq), 0);
	assert_int_equal(seq, found.seq + 1);
	assert_int_equal(record_writer_upsert(writer, &record, 0, &change), 0);
	assert_int_equal(change.slot, found.next_slot);
	assert_int_equal(record_writer_end_request(writer, true), 0);
	assert_int_equal(record_writer_commit(writer), 0);
	record_reader_free(reader);
	record_writer_free(writer);
	record_store_free(store);
}

/* Failures ------------------------------------------------------------------------------------ */

/* Runs the scenario with a fault. Returns whether it fired. */
static bool run_with_fault(struct store_twin *twin, struct store_twin_fault fault)
{
	struct scratch_dir scratch;
	struct run run = {
	        .twin = twin,
	        .io = store_twin_io(twin),
	        .spec.dim = FIXTURE_DIM,
	};
	bool has_failed;
	int r;

	scratch_dir_init(&scratch);
	run.dir = scratch.path;
	assert_int_equal(uuid_new(&run.spec.uuid), 0);
	store_twin_fail(twin, fault);
	r = run_scenario(&run);
	has_failed = store_twin_n_failed(twin) > 0;
	store_twin_heal(twin);
	store_twin_forget(twin);
	if (r != 0) {
		assert_true(has_failed);
		assert_true(r == -EIO || r == -fault.err);
		assert_string_not_equal(record_store_last_error(), "");
	}
	if (run.was_created)
		assert_holds(run.dir, &run.spec.uuid, run.n_acknowledged);
	scratch_dir_release(&scratch);
	return has_failed;
}

static void enumerate(struct store_twin_fault fault)
{
	struct store_twin *twin = store_twin_new(store_io_posix());

	for (fault.nth = 1; run_with_fault(twin, fault); fault.nth++)
		;
	assert_true(fault.nth > 20);
	sqlite_vfs_drop(store_twin_io(twin));
	store_twin_free(twin);
}

static void any_operation_may_fail_once(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){.err = EIO});
}

static void any_operation_may_begin_a_lasting_failure(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){.err = EIO, .lasting = true});
}

static void the_disk_may_be_full_at_any_write(void **state)
{
	(void)state;
	enumerate((struct store_twin_fault){
	        .kind = STORE_TWIN_WRITE, .err = ENOSPC, .lasting = true, .torn_bytes = 1000});
}

/* Power --------------------------------------------------------------------------------------- */

/* The path as SQLite spells it. */
static void find_path(struct store_twin *twin, const char *name, char path[SCRATCH_PATH_SIZE])
{
	for (size_t i = 0; i < store_twin_n_ops(twin); i++) {
		const struct store_twin_op *op = store_twin_op(twin, i);
		size_t n = op->path ? strlen(op->path) : 0;

		if (op->kind == STORE_TWIN_WRITE && n > strlen(name) && n < SCRATCH_PATH_SIZE &&
		    strcmp(op->path + n - strlen(name), name) == 0) {
			memcpy(path, op->path, n + 1);
			return;
		}
	}
	fail_msg("nothing was written to %s", name);
}

static void assert_survives_cut(struct run *run, size_t n_ops, uint64_t seed)
{
	struct scratch_dir after;
	char from[SCRATCH_PATH_SIZE], to[SCRATCH_PATH_SIZE];
	unsigned n_acknowledged = 0;

	scratch_dir_init(&after);
	find_path(run->twin, "/records.db", from);
	scratch_dir_path(&after, "records.db", to);
	store_twin_power_cut(run->twin, n_ops, from, to, seed);
	find_path(run->twin, "/records.db-wal", from);
	scratch_dir_path(&after, "records.db-wal", to);
	store_twin_power_cut(run->twin, n_ops, from, to, seed);
	while (n_acknowledged < N_GROUPS && run->acknowledged_at_op[n_acknowledged + 1] <= n_ops)
		n_acknowledged++;
	assert_holds(after.path, &run->spec.uuid, n_acknowledged);
	scratch_dir_release(&after);
}

static void power_may_go_at_any_operation(void **state)
{
	(void)state;
	struct store_twin *twin = store_twin_new(store_io_posix());
	struct scratch_dir scratch;
	struct run run = {
	        .twin = twin,
	        .io = store_twin_io(twin),
	        .spec.dim = FIXTURE_DIM,
	};

	scratch_dir_init(&scratch);
	run.dir = scratch.path;
	assert_int_equal(uuid_new(&run.spec.uuid), 0);
	store_twin_keep_bytes(twin, true);
	assert_int_equal(run_steps(&run), 0);
	size_t n_ops = store_twin_n_ops(twin);
	/* The close that follows removes the WAL, which a cut file cannot show. */
	run.writer = record_writer_free(run.writer);
	run.store = record_store_free(run.store);

	for (size_t i = run.created_at_op; i <= n_ops; i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			assert_survives_cut(&run, i, i * 10 + seed);
	sqlite_vfs_drop(run.io);
	store_twin_free(twin);
	scratch_dir_release(&scratch);
}

/* The writer afterwards ----------------------------------------------------------------------- */

static void a_failed_sync_spends_the_writer_and_is_not_tried_again(void **state)
{
	(void)state;
	struct record_fixture fixture;
	struct record record = fixture_record("b", 2, NULL);
	struct record_change change;
	uint64_t seq;
	size_t n_syncs;

	record_fixture_init(&fixture);
	fixture_put(&fixture, "a", 1, NULL);
	n_syncs = store_twin_count(fixture.twin, STORE_TWIN_SYNC, "-wal");
	store_twin_fail(fixture.twin,
	                (struct store_twin_fault){.kind = STORE_TWIN_SYNC, .nth = 1, .err = EIO});
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	assert_int_equal(record_writer_upsert(fixture.writer, &record, 0, &change), 0);
	assert_int_equal(record_writer_end_request(fixture.writer, true), 0);
	assert_int_equal(record_writer_commit(fixture.writer), -EIO);
	assert_int_equal(store_twin_count(fixture.twin, STORE_TWIN_SYNC, "-wal"), n_syncs + 1);
	store_twin_heal(fixture.twin);

	record_writer_rollback(fixture.writer);
	assert_int_equal(record_writer_begin(fixture.writer), -EIO);
	fixture_assert_live(&fixture, "b", FIXTURE_EVERY, 0, NULL);
	fixture.writer = record_writer_free(fixture.writer);
	assert_int_equal(record_writer_new(fixture.store, &fixture.writer), 0);
	change = fixture_put(&fixture, "b", 2, NULL);
	assert_int_equal(change.slot, 2);
	record_fixture_reopen(&fixture);
	fixture_assert_live(&fixture, "a", FIXTURE_EVERY, 1, NULL);
	fixture_assert_live(&fixture, "b", FIXTURE_EVERY, 2, NULL);
	record_fixture_release(&fixture);
}

/* The group is larger than the writer's page cache, so that pages reach the WAL before the commit
 * and the disk is full in the midst of a request. */
static void a_disk_that_fills_inside_a_request_costs_the_group_and_no_more(void **state)
{
	(void)state;
	struct record_fixture fixture;
	static char text[8000];
	struct record_change change;
	uint64_t seq;
	int r = 0;

	memset(text, 'x', sizeof(text) - 1);
	record_fixture_init(&fixture);
	fixture_put(&fixture, "kept", 1, NULL);
	store_twin_fail(fixture.twin, (struct store_twin_fault){.kind = STORE_TWIN_WRITE,
	                                                        .nth = 1,
	                                                        .err = ENOSPC,
	                                                        .lasting = true});
	assert_int_equal(record_writer_begin(fixture.writer), 0);
	assert_int_equal(record_writer_begin_request(fixture.writer, &seq), 0);
	for (uint64_t i = 0; i < 1000 && r == 0; i++) {
		struct record record = fixture_record("", 1, text);

		record.id = fixture_number(i);
		r = record_writer_upsert(fixture.writer, &record, 0, &change);
	}
	assert_int_equal(r, -ENOSPC);
	assert_true(record_writer_end_request(fixture.writer, false) < 0);
	assert_true(record_writer_commit(fixture.writer) < 0);
	record_writer_rollback(fixture.writer);
	store_twin_heal(fixture.twin);

	fixture.writer = record_writer_free(fixture.writer);
	assert_int_equal(record_writer_new(fixture.store, &fixture.writer), 0);
	assert_int_equal(fixture_put(&fixture, "after", 2, NULL).slot, 2);
	fixture_assert_live(&fixture, "kept", FIXTURE_EVERY, 1, NULL);
	assert_int_equal(fixture_state(&fixture).n_live, 2);
	record_fixture_release(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(any_operation_may_fail_once),
	        cmocka_unit_test(any_operation_may_begin_a_lasting_failure),
	        cmocka_unit_test(the_disk_may_be_full_at_any_write),
	        cmocka_unit_test(power_may_go_at_any_operation),
	        cmocka_unit_test(a_failed_sync_spends_the_writer_and_is_not_tried_again),
	        cmocka_unit_test(a_disk_that_fills_inside_a_request_costs_the_group_and_no_more),
	};

	/* The model fails as told; the disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
