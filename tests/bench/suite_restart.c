/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * How long a daemon that comes back keeps its clients waiting: from exec until a client that keeps
 * trying has its first right answer. After kill -9 with records written since the last time, and
 * after a clean stop.
 */

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/kith_side.h"
#include "tests/bench/sample.h"

#define COLLECTION "restart"
#define ROUNDS 9
/* Written before each kill, so that there is something that no file but the truth holds. */
#define FRESH_ROWS 50
#define FAR_AWAY 1e4f
#define TURN_NS 20000L
#define PATIENCE_US 3e7
#define BAR_MS 100

/* How a daemon ends. Right after an import, and when it never rests, the vector file is behind
 * the truth and much has to come from there. */
static const struct scenario {
	const char *name;
	int (*end)(struct daemon_process *daemon);
	time_t rest_s; /* without writes, before the fresh ones */
} scenarios[] = {
        {"kill -9 amid writing", daemon_process_kill, 0},
        {"kill -9 after a rest", daemon_process_kill, 2},
        {"clean stop", daemon_process_stop, 0},
};

struct restart_run {
	struct kith_side side;
	const struct dataset *dataset;
	uint64_t next_id;
	size_t query_idx;
	struct sample connected_ms;
	struct sample answered_ms;
	struct sample second_ms; /* the next search, alone */
};

/* Records far from any query, so that the true neighbours stay what they are. */
static int write_fresh(struct restart_run *run)
{
	uint32_t dim = run->dataset->dim;
	float *vector = malloc(dim * sizeof(*vector));
	int r = vector ? 0 : -ENOMEM;

	for (size_t i = 0; i < FRESH_ROWS && !r; i++) {
		for (uint32_t j = 0; j < dim; j++)
			vector[j] = FAR_AWAY + (float)(run->next_id % 1000);
		r = kith_side_upsert(run->side.conn, COLLECTION, run->next_id++, vector, dim);
	}
	free(vector);
	return r;
}

static int connect_at_once(struct restart_run *run, uint64_t start)
{
	int r;

	while ((r = kith_side_connect(&run->side, &run->side.conn)) != 0) {
		if (!daemon_process_running(run->side.daemon) || elapsed_us(start) > PATIENCE_US)
			break;
		nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
	}
	return r;
}

/* Searches and makes sure that every hit is right. */
static int search_right(struct restart_run *run)
{
	const float *query = dataset_query(run->dataset, run->query_idx);
	struct kith_search_result *answer;
	int r = kith_side_search(run->side.conn, COLLECTION, query, run->dataset->dim, BENCH_K,
	                         &answer);

	if (r)
		return r;
	if (kith_side_n_right(run->dataset, run->query_idx, answer) != BENCH_K)
		r = bench_fail("the first answer is wrong", -EBADMSG);
	run->query_idx++;
	kith_free(answer);
	return r;
}

static int start_and_ask(struct restart_run *run)
{
	uint64_t start = clock_ns();
	int r = daemon_process_spawn(run->side.daemon);

	r = r ? r : connect_at_once(run, start);
	sample_add(&run->connected_ms, elapsed_us(start) * 1e-3);
	r = r ? r : search_right(run);
	sample_add(&run->answered_ms, elapsed_us(start) * 1e-3);
	start = clock_ns();
	r = r ? r : search_right(run);
	sample_add(&run->second_ms, elapsed_us(start) * 1e-3);
	return r;
}

static int measure(struct bench *bench, struct restart_run *run, const struct scenario *scenario)
{
	struct report *report = bench->report;
	int r = 0;

	for (size_t i = 0; i < ROUNDS && !r; i++) {
		nanosleep(&(struct timespec){.tv_sec = scenario->rest_s}, NULL);
		r = write_fresh(run);
		r = r ? r : scenario->end(run->side.daemon);
		kith_close(run->side.conn);
		run->side.conn = NULL;
		r = r ? r : start_and_ask(run);
	}
	if (!r) {
		report_begin(report, "restart", scenario->name, run->dataset->name);
		report_count(report, "rounds", run->answered_ms.n);
		report_number(report, "connected_p50_ms", sample_p50(&run->connected_ms));
		report_at_most(report, "first_answer_p50_ms", sample_p50(&run->answered_ms),
		               BAR_MS);
		report_number(report, "first_answer_min_ms",
		              sample_quantile(&run->answered_ms, 0.0));
		report_number(report, "first_answer_max_ms",
		              sample_quantile(&run->answered_ms, 1.0));
		report_number(report, "second_answer_p50_ms", sample_p50(&run->second_ms));
		report_end(report);
	}
	sample_release(&run->connected_ms);
	sample_release(&run->answered_ms);
	sample_release(&run->second_ms);
	return r ? bench_fail("cannot restart", r) : 0;
}

int suite_restart(struct bench *bench)
{
	struct restart_run run = {0};
	struct dataset *dataset;
	int r;

	if (!bench->with_socket)
		return 0;
	r = bench_read_set(bench, &dataset);
	if (r)
		return r;
	run.dataset = dataset;
	run.next_id = dataset->n_base;
	r = kith_side_start(&run.side);
	r = r ? r : kith_side_create(&run.side, COLLECTION, dataset->dim);
	r = r ? r : kith_side_import(&run.side, COLLECTION, dataset);
	if (r)
		bench_fail("cannot fill the daemon", r);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios) && !r; i++)
		r = measure(bench, &run, &scenarios[i]);
	kith_side_stop(&run.side);
	dataset_free(dataset);
	return r;
}
