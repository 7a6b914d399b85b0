/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/index_stage.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scratch_dir.h"

#define WALL_MS INT64_C(1700000000000)

static const struct {
	const char *name;
	enum kith_index_state state;
} stages[STAGE_N] = {
        [STAGE_NONE] = {"none", KITH_INDEX_STATE_DECLARED},
        [STAGE_DECLARED] = {"declared", KITH_INDEX_STATE_DECLARED},
        [STAGE_LOADING] = {"loading", KITH_INDEX_STATE_LOADING},
        [STAGE_BUILDING] = {"building", KITH_INDEX_STATE_BUILDING},
        [STAGE_REBUILDING] = {"rebuilding", KITH_INDEX_STATE_BUILDING},
        [STAGE_SERVING] = {"serving", KITH_INDEX_STATE_SERVING},
        [STAGE_EVICTED] = {"evicted", KITH_INDEX_STATE_EVICTED},
        [STAGE_PENDING] = {"pending", KITH_INDEX_STATE_SERVING},
        [STAGE_INSERTING] = {"inserting", KITH_INDEX_STATE_INSERTING},
        [STAGE_SAVING] = {"saving", KITH_INDEX_STATE_SAVING},
        [STAGE_REPLACING] = {"replacing", KITH_INDEX_STATE_REPLACING},
};

static const struct ask first_ask = {STAGE_COLLECTION, .m = STAGE_M, .wait = true};

static void put(struct index_stage *stage, uint32_t n)
{
	put_records(stage->conn, STAGE_COLLECTION, stage->n_records, n, 1);
	stage->n_records += n;
}

static void settle(struct index_stage *stage)
{
	ensure(stage->conn, first_ask);
	await_settled(stage->conn, STAGE_COLLECTION, NULL);
}

/* Asks, with the workers of `what` held, and waits until one stands there. */
static void ask_and_hold(struct index_stage *stage, const char *what, struct ask ask)
{
	stage->gate = daemon_thread_gate(stage->daemon, what, "start");
	stage->ticket = submit_ensure(stage->starter, ask);
	stage->has_ticket = true;
	gate_await(stage->gate);
}

static void declare(struct index_stage *stage)
{
	struct kith_work job;
	char phase[32];

	ask_and_hold(stage, "build", first_ask);
	assert_true(find_job(stage->conn, STAGE_COLLECTION, NULL, &job, phase));
	DONE(stage->conn, cancel_job(stage->conn, job.job));
	gate_open(stage->gate);
	collect_ensure_refused(stage->starter, stage->ticket, KITH_ERROR_CANCELLED);
	stage->has_ticket = false;
	stage->gate = NULL;
}

static void save_and_hold(struct index_stage *stage)
{
	stage->gate = daemon_thread_gate(stage->daemon, "save", "start");
	ensure(stage->conn, first_ask);
	gate_await(stage->gate);
}

static void insert_and_hold(struct index_stage *stage)
{
	settle(stage);
	stage->gate = daemon_thread_gate(stage->daemon, "insert", "start");
	put(stage, STAGE_INSERTED);
	gate_await(stage->gate);
}

static void stop(struct index_stage *stage)
{
	kith_close(stage->conn);
	kith_close(stage->starter);
	stage->gate = NULL;
	daemon_thread_stop(stage->daemon);
}

static void start(struct index_stage *stage)
{
	daemon_thread_start(stage->daemon);
	stage->conn = connect_to(stage->daemon);
	stage->starter = connect_to(stage->daemon);
}

/* Starts again with the workers of `what` held, and opens the collection. */
static void restart_and_hold(struct index_stage *stage, const char *what)
{
	start(stage);
	stage->gate = daemon_thread_gate(stage->daemon, what, "start");
	expect_count(stage->conn, STAGE_COLLECTION, stage->n_records);
	gate_await(stage->gate);
}

/* Flips a bit in the middle of each snapshot below the directory; returns how many there were. */
static int spoil_snapshots(const char *dir)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	int n = 0;

	assert_non_null(entries);
	while ((entry = readdir(entries))) {
		char path[DAEMON_PROCESS_PATH_SIZE + 300];
		unsigned char *bytes;
		size_t size;

		if (strncmp(entry->d_name, "hnsw-", 5) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		bytes = scratch_file_load(path, &size);
		bytes[size / 2] ^= 0x10;
		scratch_file_save(path, bytes, size);
		free(bytes);
		n++;
	}
	closedir(entries);
	return n;
}

static void rebuild_and_hold(struct index_stage *stage)
{
	char dir[DAEMON_PROCESS_PATH_SIZE];

	settle(stage);
	collection_path(stage->conn, STAGE_COLLECTION, daemon_thread_cache_dir(stage->daemon), dir);
	stop(stage);
	assert_int_equal(spoil_snapshots(dir), 1);
	restart_and_hold(stage, "build");
}

static void enter(struct index_stage *stage, enum stage which)
{
	switch (which) {
	case STAGE_DECLARED:
		declare(stage);
		break;
	case STAGE_LOADING:
		settle(stage);
		stop(stage);
		restart_and_hold(stage, "load-index");
		break;
	case STAGE_BUILDING:
		ask_and_hold(stage, "build", first_ask);
		break;
	case STAGE_REBUILDING:
		rebuild_and_hold(stage);
		break;
	case STAGE_SERVING:
		settle(stage);
		break;
	case STAGE_EVICTED:
		settle(stage);
		assert_true(evict(stage->conn, STAGE_COLLECTION, NULL).was_cached);
		break;
	case STAGE_PENDING:
		settle(stage);
		put(stage, 1);
		break;
	case STAGE_INSERTING:
		insert_and_hold(stage);
		break;
	case STAGE_SAVING:
		save_and_hold(stage);
		break;
	case STAGE_REPLACING:
		settle(stage);
		ask_and_hold(stage, "build",
		             (struct ask){STAGE_COLLECTION, .m = STAGE_OTHER_M, .wait = true,
		                          .replace = true});
		break;
	default:
		break;
	}
}

void index_stage_enter(struct index_stage *stage, enum stage which)
{
	index_stage_enter_on(stage, which, store_io_posix(), NULL);
}

void index_stage_enter_on(struct index_stage *stage, enum stage which, struct store_io *io,
                          int (*make_cache)(struct cache_backend **ret))
{
	*stage = (struct index_stage){.n_records = 0};
	fake_clock_init(&stage->clock, WALL_MS);
	stage->daemon = daemon_thread_new_stopped(io, &stage->clock.clock, 32);
	daemon_thread_set_cache(stage->daemon, make_cache);
	start(stage);
	make_collection(stage->conn, STAGE_COLLECTION, KITH_METRIC_L2);
	put(stage, STAGE_RECORDS);
	enter(stage, which);
	if (which != STAGE_NONE)
		assert_int_equal(index_of(stage->conn, STAGE_COLLECTION, NULL).at.state,
		                 stages[which].state);
}

void index_stage_go(struct index_stage *stage)
{
	if (stage->gate)
		gate_open(stage->gate);
	stage->gate = NULL;
}

void index_stage_restart(struct index_stage *stage)
{
	stop(stage);
	start(stage);
}

void index_stage_leave(struct index_stage *stage)
{
	stop(stage);
	daemon_thread_free(stage->daemon);
}

void index_stage_fold_in(struct index_stage *stage)
{
	warm(stage->conn, STAGE_COLLECTION, NULL);
	await_state(stage->conn, STAGE_COLLECTION, NULL, KITH_INDEX_STATE_SERVING);
	optimize(stage->conn, STAGE_COLLECTION, NULL);
}

void index_stage_expect_sound(struct index_stage *stage, uint32_t m)
{
	struct index_view index;

	await_settled(stage->conn, STAGE_COLLECTION, NULL);
	index = index_of(stage->conn, STAGE_COLLECTION, NULL);
	assert_int_equal(index.at.m, m);
	assert_int_equal(index.at.nodes, stage->n_records);
	expect_records(stage->conn, STAGE_COLLECTION, 0, (uint32_t)stage->n_records, 1);
}

void index_stage_expect_sound_for_good(struct index_stage *stage, uint32_t m)
{
	index_stage_expect_sound(stage, m);
	index_stage_restart(stage);
	index_stage_expect_sound(stage, m);
	assert_int_equal(index_of(stage->conn, STAGE_COLLECTION, NULL).at.builds, 0);
}

enum kith_index_state index_stage_state(enum stage which)
{
	return stages[which].state;
}

const char *index_stage_name(enum stage which)
{
	return stages[which].name;
}
