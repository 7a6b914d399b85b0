/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * How long a daemon that comes back keeps its clients waiting: from exec until a client that keeps
 * trying has its first right answer. After kill -9 with records written since the last time, and
 * after a clean stop; without an index, and with one, which is opened and never built again.
 */

#include <errno.h>
#include <stdbool.h>
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
/* Candidates of each search: with so many the graph answers nearly every query wholly right, and
 * those that it does are asked again after the restart. */
#define EF 512

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
	bool indexed;
	uint64_t next_id;
	uint64_t n_builds; /* told by the daemons that opened the index */
	size_t query_idx;
	size_t n_first_by_index; /* first answers */
	struct sample connected_ms;
	struct sample answered_ms;
	struct sample second_ms;  /* the next search, alone */
	struct sample serving_ms; /* until the index serves */
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

static int search(struct restart_run *run, bool *ret_is_right, uint32_t *ret_mode)
{
	struct kith_search_result *answer;
	int r = kith_side_search(run->side.conn, COLLECTION, run->dataset, run->query_idx, BENCH_K,
	                         EF, &answer);

	if (r)
		return r;
	*ret_is_right = kith_side_n_right(run->dataset, run->query_idx, answer) == BENCH_K;
	*ret_mode = answer->mode;
	kith_free(answer);
	return 0;
}

/* Goes to the next query whose every hit is right before the daemon ends. */
static int pick_query(struct restart_run *run)
{
	bool is_right = false;
	uint32_t mode;
	int r = 0;

	while (!is_right && !r) {
		run->query_idx++;
		r = search(run, &is_right, &mode);
	}
	return r;
}

/* Searches and makes sure that every hit is right again. */
static int search_right(struct restart_run *run, uint32_t *ret_mode)
{
	bool is_right;
	int r = search(run, &is_right, ret_mode);

	return r || is_right ? r : bench_fail("an answer is wrong", -EBADMSG);
}

/* Until the index serves, which must be without a build. */
static int await_index(struct restart_run *run, uint64_t start)
{
	struct kith_index index;
	int r = kith_side_index(&run->side, COLLECTION, &index);

	while (!r && index.state < KITH_INDEX_STATE_SERVING) {
		if (elapsed_us(start) > PATIENCE_US)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
		r = kith_side_index(&run->side, COLLECTION, &index);
	}
	sample_add(&run->serving_ms, elapsed_us(start) * 1e-3);
	run->n_builds += r ? 0 : index.builds;
	if (!r && (index.builds > 0 || index.nodes < run->dataset->n_base))
		r = bench_fail("the index was built again", -EBADMSG);
	return r;
}

static int start_and_ask(struct restart_run *run)
{
	uint64_t start = clock_ns();
	uint64_t second;
	uint32_t mode = KITH_MODE_EXACT;
	int r = daemon_process_spawn(run->side.daemon);

	r = r ? r : connect_at_once(run, start);
	sample_add(&run->connected_ms, elapsed_us(start) * 1e-3);
	r = r ? r : search_right(run, &mode);
	sample_add(&run->answered_ms, elapsed_us(start) * 1e-3);
	run->n_first_by_index += mode == KITH_MODE_HNSW;
	second = clock_ns();
	r = r ? r : search_right(run, &mode);
	sample_add(&run->second_ms, elapsed_us(second) * 1e-3);
	if (run->indexed && !r)
		r = await_index(run, start);
	return r;
}

static void tell(struct report *report, struct restart_run *run, const struct scenario *scenario)
{
	report_begin(report, "restart", scenario->name, run->dataset->name);
	report_text(report, "index", run->indexed ? "hnsw, saved" : "none");
	report_count(report, "rounds", run->answered_ms.n);
	report_number(report, "connected_p50_ms", sample_p50(&run->connected_ms));
	report_at_most(report, "first_answer_p50_ms", sample_p50(&run->answered_ms), BAR_MS);
	report_number(report, "first_answer_min_ms", sample_quantile(&run->answered_ms, 0.0));
	report_number(report, "first_answer_max_ms", sample_quantile(&run->answered_ms, 1.0));
	report_number(report, "second_answer_p50_ms", sample_p50(&run->second_ms));
	if (run->indexed) {
		report_count(report, "first_answers_by_index", run->n_first_by_index);
		report_number(report, "index_serves_p50_ms", sample_p50(&run->serving_ms));
		report_count(report, "builds", run->n_builds);
	}
	report_end(report);
}

static int measure(struct bench *bench, struct restart_run *run, const struct scenario *scenario)
{
	int r = 0;

	run->n_first_by_index = 0;
	run->n_builds = 0;
	for (size_t i = 0; i < bench_rounds(bench, ROUNDS) && !r; i++) {
		if (!bench->is_trial)
			nanosleep(&(struct timespec){.tv_sec = scenario->rest_s}, NULL);
		r = pick_query(run);
		r = r ? r : write_fresh(run);
		r = r ? r : scenario->end(run->side.daemon);
		kith_close(run->side.conn);
		run->side.conn = NULL;
		r = r ? r : start_and_ask(run);
	}
	if (!r)
		tell(bench->report, run, scenario);
	sample_release(&run->connected_ms);
	sample_release(&run->answered_ms);
	sample_release(&run->second_ms);
	sample_release(&run->serving_ms);
	return r ? bench_fail("cannot restart", r) : 0;
}

static int measure_all(struct bench *bench, struct restart_run *run)
{
	int r = 0;

	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios) && !r; i++)
		r = measure(bench, run, &scenarios[i]);
	return r;
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
	r = r ? r : kith_side_create(&run.side, COLLECTION, dataset);
	r = r ? r : kith_side_import(&run.side, COLLECTION, dataset);
	if (r)
		bench_fail("cannot fill the daemon", r);
	r = r ? r : measure_all(bench, &run);
	if (!r) {
		run.indexed = true;
		r = kith_side_ensure(&run.side, COLLECTION);
		r = r ? r : kith_side_optimize(&run.side, COLLECTION);
		r = r ? bench_fail("cannot make an index", r) : measure_all(bench, &run);
	}
	kith_side_stop(&run.side);
	dataset_free(dataset);
	return r;
}
