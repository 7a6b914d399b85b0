/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every crash point: a daemon's whole life (story.h), and one of its upkeep, is recorded, and after
 * each operation that touched the disk the world ends, by a kill or by a power cut, with what was
 * not synced lost or kept in any mixture. A fresh daemon on what is left must hold every
 * acknowledged write, no request in part, nothing else, find by search exactly what it holds, and
 * leave nothing lying about.
 *
 * A bounded run draws a mixture at one point in a few; $KITH_CRASH_DRAWS says how many are drawn at
 * each point instead, $KITH_SEED with which seed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/children.h"
#include "tests/lib/crash_disk.h"
#include "tests/lib/story.h"

#define CACHE_MB 8
#define USUAL_DRAW_STRIDE 4u
/* Its files are larger, and most of its operations are pages of a checkpoint. */
#define UPKEEP_STRIDE 97u

struct world {
	struct store_twin *twin;
	struct story story;
	char root[SCRATCH_PATH_SIZE]; /* of the recorded daemon */
};

/* A state of the disk, and the check of it. */
struct end {
	struct world *world;
	size_t n_ops;
	struct crash crash;
};

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *told = getenv(variable);

	return told ? strtoull(told, NULL, 10) : otherwise;
}

static int setup_with(void **state, void (*tell)(struct story *story))
{
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	world->twin = store_twin_new(store_io_posix());
	store_twin_keep_bytes(world->twin, true);
	story_init(&world->story, world->twin);
	snprintf(world->root, sizeof(world->root), "%s", daemon_thread_root(world->story.daemon));
	world->story.backup_begun = world->story.backup_acknowledged = UINT64_MAX;
	tell(&world->story);
	*state = world;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, story_tell);
}

static int setup_upkeep(void **state)
{
	return setup_with(state, story_tell_upkeep);
}

static int teardown(void **state)
{
	struct world *world = *state;

	story_release(&world->story);
	store_twin_free(world->twin);
	free(world);
	return 0;
}

/* It goes on as if nothing had been, and a second start finds that too. */
static void expect_goes_on(struct daemon_thread *daemon, struct kith_conn **conn,
                           struct ledger_state *state)
{
	struct ledger_state found;

	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		if (state->v[i].name[0] == '\0')
			continue;
		put_records(*conn, state->v[i].name, 140, 8, 7);
		delete_records(*conn, state->v[i].name, 142, 3);
		ledger_set(&state->v[i], 140, 8, 7, 7);
		ledger_set(&state->v[i], 142, 3, 0, 0);
	}
	ledger_expect_searches(state, *conn);
	kith_close(*conn);
	daemon_thread_restart(daemon);
	*conn = connect_to(daemon);
	ledger_read(*conn, &found);
	assert_true(ledger_same(&found, state));
}

static void drop_all(struct kith_conn *conn, const struct ledger_state *state)
{
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		struct kith_drop_collection_params params = {.collection =
		                                                     kith_text(state->v[i].name)};

		if (state->v[i].name[0] != '\0')
			DONE(conn, kith_drop_collection(conn, &params, NULL));
	}
}

/* A backup that was acknowledged is there; one that is there is whole; and where none is, one can
 * be made, whatever was left of it. */
static void check_backup(const struct end *end, struct daemon_thread *daemon,
                         struct kith_conn *conn, const struct ledger_state *state)
{
	const struct story *story = &end->world->story;
	char path[DAEMON_PROCESS_PATH_SIZE], tmp[DAEMON_PROCESS_PATH_SIZE + 16];
	struct kith_restore_params take = {0};
	struct ledger_state found;

	if (end->n_ops < story->backup_begun)
		return;
	snprintf(path, sizeof(path), "%s/" STORY_BACKUP, daemon_thread_root(daemon));
	snprintf(tmp, sizeof(tmp), "%s.kith-tmp", path);
	take.directory = kith_text(path);
	if (access(path, F_OK) != 0) {
		struct kith_backup_params make = {.directory = kith_text(path)};

		assert_true(end->n_ops < story->backup_acknowledged);
		DONE(conn, kith_backup(conn, &make, NULL));
		assert_int_not_equal(access(tmp, F_OK), 0);
		return;
	}
	drop_all(conn, state);
	DONE(conn, kith_restore(conn, &take, NULL));
	ledger_read(conn, &found);
	assert_true(ledger_same(&found, &story->backed_up));
	ledger_expect_searches(&found, conn);
}

/* While it is on nothing is built by itself, not what the crash took either. */
static void end_bulk(struct kith_conn *conn, struct ledger_collection *collection)
{
	struct kith_set_bulk_params params = {.collection = kith_text(collection->name)};

	if (collection->bulk)
		DONE(conn, kith_set_bulk(conn, &params, NULL));
	collection->bulk = false;
}

/* [child] */
static void check_end(void *ctx)
{
	const struct end *end = ctx;
	struct daemon_thread *daemon = daemon_thread_new_stopped(store_io_posix(), NULL, CACHE_MB);
	struct ledger_state state;
	struct kith_conn *conn;

	crash_disk_save(end->world->twin, end->n_ops, end->world->root, daemon_thread_root(daemon),
	                end->crash);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	ledger_expect_possible(&end->world->story.ledger, end->n_ops, conn, &state);
	for (uint32_t i = 0; i < LEDGER_COLLECTIONS; i++) {
		end_bulk(conn, &state.v[i]);
		if (!state.v[i].indexed)
			continue;
		await_state(conn, state.v[i].name, NULL, KITH_INDEX_STATE_SERVING);
		optimize(conn, state.v[i].name, NULL);
	}
	ledger_expect_searches(&state, conn);
	expect_tidy(daemon, &state);
	expect_goes_on(daemon, &conn, &state);
	check_backup(end, daemon, conn, &state);
	kith_close(conn);
	daemon_thread_stop(daemon);
	if (end->n_ops < end->world->story.backup_begun)
		expect_tidy(daemon, &state);
	daemon_thread_free(daemon);
}

/* Whether the disk can look the same as one operation earlier: a sync changes nothing for who is
 * only killed, and all else is lost with the power. */
static bool is_repetition(const struct store_twin_op *op, enum crash_kind kind)
{
	bool is_sync = op->kind == STORE_TWIN_SYNC || op->kind == STORE_TWIN_SYNC_DIR;

	return kind == CRASH_KILLED ? is_sync : kind == CRASH_LOST && !is_sync;
}

static void try_end(struct children *children, struct end end)
{
	const struct store_twin_op *op =
	        end.n_ops > 0 ? store_twin_op(end.world->twin, end.n_ops - 1) : NULL;
	char what[CHILD_WHAT_SIZE + SCRATCH_PATH_SIZE];

	if (op && is_repetition(op, end.crash.kind))
		return;
	snprintf(what, sizeof(what), "%s after %zu operations, seed %llu; the last: %d on %s",
	         crash_kind_name(end.crash.kind), end.n_ops, (unsigned long long)end.crash.seed,
	         op ? (int)op->kind : -1, op ? op->path : "nothing");
	children_run(children, check_end, &end, what);
}

/* Whether the operation and the next one write to the same file: what can be drawn of what was not
 * synced by then can be drawn behind the next one too. */
static bool is_amid_writes(struct store_twin *twin, size_t n)
{
	const struct store_twin_op *op = n > 0 ? store_twin_op(twin, n - 1) : NULL;
	const struct store_twin_op *next =
	        n < store_twin_n_ops(twin) ? store_twin_op(twin, n) : NULL;

	return op && next && op->kind == STORE_TWIN_WRITE && next->kind == STORE_TWIN_WRITE &&
	       strcmp(op->path, next->path) == 0;
}

static void enumerate(struct world *world, size_t usual_stride)
{
	uint64_t n_draws = number_of("KITH_CRASH_DRAWS", 0);
	uint64_t seed = number_of("KITH_SEED", 1);
	size_t n_ops = store_twin_n_ops(world->twin), n_points = 0;
	struct children children;

	children_init(&children);
	for (size_t n = 0; n <= n_ops; n++) {
		if (n > 0 && !crash_disk_changes(store_twin_op(world->twin, n - 1)))
			continue;
		if (n_draws == 0 && n % usual_stride != seed % usual_stride)
			continue;
		n_points++;
		try_end(&children, (struct end){world, n, {CRASH_KILLED, 0}});
		try_end(&children, (struct end){world, n, {CRASH_LOST, 0}});
		if (n_draws == 0 && n % USUAL_DRAW_STRIDE == seed % USUAL_DRAW_STRIDE)
			try_end(&children, (struct end){world, n, {CRASH_DRAWN, seed + n}});
		for (uint64_t i = 0; i < n_draws && !is_amid_writes(world->twin, n); i++)
			try_end(&children, (struct end){world, n, {CRASH_DRAWN, seed + i}});
	}
	children_finish(&children);
	print_message("%zu operations; after %zu that change the disk, %u crash states tried\n",
	              n_ops, n_points, children.n_run);
}

static void every_crash_point_leaves_what_was_promised_and_nothing_else(void **state)
{
	enumerate(*state, CHILDREN_STRIDE);
}

static void so_does_every_one_of_upkeep_backup_restore_and_repair(void **state)
{
	enumerate(*state, CHILDREN_STRIDE * UPKEEP_STRIDE);
}

int main(void)
{
	/* What is durable is the model's affair; the disk of this machine would only be slow. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);

	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                every_crash_point_leaves_what_was_promised_and_nothing_else, setup,
	                teardown),
	        cmocka_unit_test_setup_teardown(
	                so_does_every_one_of_upkeep_backup_restore_and_repair, setup_upkeep,
	                teardown),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
