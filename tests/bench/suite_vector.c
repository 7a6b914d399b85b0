/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * What the graph is worth: how long it takes to build, how large it is, and how fast it answers at
 * what recall; in this process over mapped rows, through the daemon, and beside other engines'
 * graphs of the same parameters. "kith" has codes, "kith none" the vectors themselves. Builds take
 * turns, and so do searches at each ef. build_cpu_s is what a build had of all CPUs: on a busy
 * machine it says more than build_s.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/cpu.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/local_graph.h"
#include "tests/bench/peer.h"
#include "tests/bench/sample.h"
#include "tests/bench/sweep.h"

#define COLLECTION "vector"
#define BUILDS 3
#define BUILD_THREADS 2
#define BAR_TARGET 0.99 /* of the first bar; the recall that a socket has to reach */
#define BAR_TARGET_HIGH 0.999
#define BAR_BUILD_RATIO 2.5
#define BAR_CUT_MS 100.0

/* The sets, and how they should do beside hnswlib; 0: no bar. */
static const struct set_bars {
	const char *name;
	double qps_ratio;      /* at BAR_TARGET */
	double qps_ratio_high; /* at BAR_TARGET_HIGH */
	double bytes_ratio;
} sets[] = {
        {BENCH_SET, 3.0, 2.5, 0.35},
        {"bge-base-768", 4.0, 0.0, 0.0},
        {"notes-small-384", 2.0, 0.0, 0.0},
};
#define N_SETS (sizeof(sets) / sizeof(*sets))

static const double targets[] = {0.95, BAR_TARGET, BAR_TARGET_HIGH};
#define N_TARGETS (sizeof(targets) / sizeof(*targets))

static const struct graph_spec spec = {
        .M = GRAPH_SPEC_M,
        .ef_construction = GRAPH_SPEC_EF_CONSTRUCTION,
        .n_threads = BUILD_THREADS,
};

/* One graph in this process: Kith's own, or a peer's. */
struct entrant {
	const char *engine;
	const struct row_set *rows;
	const struct graph_peer *peer; /* NULL: Kith's */
	enum local_graph_over over;
	struct local_graph *local;
	struct hnsw_scratch scratch;
	void *of_peer;
	struct sample build_s, build_cpu_s;
};

/* Kith's two come first, then the peers in their order, so that hnswlib is the first of them. */
#define ENTRANTS_OWN 2
#define ENTRANTS_MAX (ENTRANTS_OWN + GRAPH_PEERS_MAX)

/* The daemon is told what to find, and chooses the effort. */
struct aim {
	struct vector_run *run;
	double target;
	uint32_t ef; /* that it chose */
	struct sweep_point found;
};

struct vector_run {
	struct bench *bench;
	struct kith_side *side; /* NULL: without a daemon */
	const struct dataset *dataset;
	const struct set_bars *bars;
	struct row_set *rows;
	struct entrant entrants[ENTRANTS_MAX];
	size_t n_entrants;
	const struct entrant *hnswlib; /* NULL: not there */
	/* Those of the entrants in their order, and the daemon's behind them. */
	struct searcher searchers[SWEEP_MAX_SEARCHERS];
	size_t n_searchers;
	struct aim aims[N_TARGETS]; /* with a daemon */
};

/* Building. ----------------------------------------------------------------------------------- */

static void add_entrants(struct vector_run *run)
{
	run->entrants[0] = (struct entrant){.engine = "kith", .over = LOCAL_GRAPH_OVER_CODES};
	run->entrants[1] = (struct entrant){.engine = "kith none", .over = LOCAL_GRAPH_OVER_ROWS};
	run->n_entrants = ENTRANTS_OWN;
	for (size_t i = 0; run->bench->with_peers && graph_peers[i]; i++) {
		struct entrant *entrant = &run->entrants[run->n_entrants];

		if (!peer_is_wanted(graph_peers[i]->name, run->bench->peer))
			continue;
		run->n_entrants++;
		*entrant = (struct entrant){.engine = graph_peers[i]->name, .peer = graph_peers[i]};
		if (strcmp(entrant->engine, "hnswlib") == 0)
			run->hnswlib = entrant;
	}
	for (size_t i = 0; i < run->n_entrants; i++)
		run->entrants[i].rows = run->rows;
}

static void drop_graph(struct entrant *entrant)
{
	entrant->local = local_graph_free(entrant->local);
	if (entrant->of_peer)
		entrant->peer->close(entrant->of_peer);
	entrant->of_peer = NULL;
}

static int build(struct entrant *entrant)
{
	uint64_t start;
	double cpu_s;
	int r = 0;

	drop_graph(entrant);
	start = clock_ns();
	cpu_s = cpu_used_s(0);
	if (entrant->peer)
		entrant->of_peer = entrant->peer->build(entrant->rows->dataset, &spec);
	else
		r = local_graph_build(entrant->rows, entrant->over, &spec, &entrant->local);
	sample_add(&entrant->build_s, elapsed_us(start) * 1e-6);
	sample_add(&entrant->build_cpu_s, cpu_used_s(0) - cpu_s);
	return r == 0 && entrant->peer && !entrant->of_peer ? -ENOMEM : r;
}

/* How often an entrant is built: a build of a minute, or one that no bar is about, not thrice. */
static uint32_t builds_of(const struct entrant *entrant)
{
	if (entrant->peer)
		return entrant->peer->builds;
	return entrant->over == LOCAL_GRAPH_OVER_CODES ? BUILDS : 1;
}

/* In turns. */
static int build_all(struct vector_run *run)
{
	int r = 0;

	for (size_t round = 0; round < BUILDS; round++)
		for (size_t i = 0; i < run->n_entrants && !r; i++)
			if (round < builds_of(&run->entrants[i]))
				r = build(&run->entrants[i]);
	return r ? bench_fail("cannot build a graph", r) : 0;
}

static double bytes_per_vector(const struct entrant *entrant)
{
	uint64_t bytes = entrant->peer ? entrant->peer->bytes(entrant->of_peer)
	                               : local_graph_bytes(entrant->local);

	return (double)bytes / (double)entrant->rows->dataset->n_base;
}

/* Searching. ---------------------------------------------------------------------------------- */

static int search_here(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                       struct search_work *ret_work)
{
	struct entrant *entrant = ctx;
	struct hnsw_search_stats stats = {0};
	int r = 0;

	if (entrant->peer)
		entrant->peer->search(entrant->of_peer, query_idx, BENCH_K, ef, ret_rows,
		                      ret_work ? &ret_work->comparisons : NULL);
	else
		r = local_graph_search(entrant->local, &entrant->scratch, query_idx, BENCH_K, ef,
		                       ret_rows, &stats);
	if (ret_work && !entrant->peer)
		*ret_work = (struct search_work){stats.comparisons, stats.refined};
	return r;
}

/* The graph's answer to a query (taken), as rows. */
static int take_answer(struct kith_search_result *answer, uint64_t ret_rows[BENCH_K],
                       struct search_work *ret_work)
{
	int r = answer->ids.n == BENCH_K && answer->mode == KITH_MODE_HNSW ? 0 : -EBADMSG;

	for (uint32_t i = 0; i < BENCH_K && !r; i++)
		ret_rows[i] = answer->ids.v[i].number;
	if (ret_work)
		ret_work->comparisons = answer->comparisons;
	kith_free(answer);
	return r;
}

static int search_daemon(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                         struct search_work *ret_work)
{
	struct vector_run *run = ctx;
	struct kith_search_result *answer;
	int r = kith_side_search(run->side->conn, COLLECTION, run->dataset, query_idx, BENCH_K, ef,
	                         &answer);

	return r ? r : take_answer(answer, ret_rows, ret_work);
}

static int search_aimed(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                        struct search_work *ret_work)
{
	struct aim *aim = ctx;
	struct kith_search_result *answer;
	int r = kith_side_search_aimed(aim->run->side->conn, COLLECTION, aim->run->dataset,
	                               query_idx, BENCH_K, aim->target, &answer);

	(void)ef;
	if (r)
		return r;
	aim->ef = answer->ef_search;
	return take_answer(answer, ret_rows, ret_work);
}

static int fill_daemon(struct vector_run *run)
{
	int r = kith_side_create(run->side, COLLECTION, run->dataset);

	r = r ? r : kith_side_import(run->side, COLLECTION, run->dataset);
	r = r ? r : kith_side_ensure(run->side, COLLECTION);
	r = r ? r : kith_side_optimize(run->side, COLLECTION);
	r = r ? r : kith_side_warm(run->side, COLLECTION, run->dataset);
	return r ? bench_fail("cannot fill the daemon", r) : 0;
}

static void add_searcher(struct vector_run *run, const struct searcher *searcher)
{
	run->searchers[run->n_searchers++] = *searcher;
}

static int aim_all(struct vector_run *run)
{
	int r = 0;

	for (size_t i = 0; i < N_TARGETS && !r; i++) {
		struct aim *aim = &run->aims[i];
		struct searcher searcher = {.ctx = aim, .search = search_aimed};

		*aim = (struct aim){.run = run, .target = targets[i]};
		r = sweep_once(run->dataset, &searcher, 0, &aim->found);
	}
	return r;
}

/* Everyone on one CPU: a wakeup on another one can take longer than the search (suite_ipc.c). */
static int sweep_in_place(struct vector_run *run)
{
	int r = cpu_keep(0, 0);

	if (run->side && !r)
		r = cpu_keep_process(run->side->daemon->pid, 0);
	r = r ? bench_fail("cannot keep to a CPU", r)
	      : sweep_run(run->bench->report, "vector", run->dataset, run->searchers,
	                  run->n_searchers);
	if (run->side && !r)
		r = aim_all(run);
	cpu_keep_anywhere(0);
	if (run->side)
		cpu_keep_anywhere(run->side->daemon->pid);
	return r;
}

static int sweep_all(struct vector_run *run)
{
	int r = 0;

	for (size_t i = 0; i < run->n_entrants; i++)
		add_searcher(run, &(struct searcher){.engine = run->entrants[i].engine,
		                                     .through = "process",
		                                     .is_alone = true,
		                                     .ctx = &run->entrants[i],
		                                     .search = search_here});
	if (run->side) {
		add_searcher(run, &(struct searcher){.engine = "kith",
		                                     .through = "socket",
		                                     .ctx = run,
		                                     .search = search_daemon});
		r = fill_daemon(run);
	}
	return r ? r : sweep_in_place(run);
}

/* Telling. ------------------------------------------------------------------------------------ */

static const struct searcher *searcher_of(const struct vector_run *run,
                                          const struct entrant *entrant)
{
	return &run->searchers[entrant - run->entrants];
}

static double recall_at_usual_ef(const struct searcher *searcher)
{
	const struct sweep_point *point = searcher->points;

	while (point->ef < SWEEP_EF_USUAL)
		point++;
	return point->recall;
}

/* By how much its recall is above the other's at the same ef, where that is least. */
static double least_lead(const struct searcher *searcher, const struct searcher *other)
{
	double least = 1.0;

	for (size_t i = 0; i < searcher->n_points && i < other->n_points; i++) {
		double lead = searcher->points[i].recall - other->points[i].recall;

		least = lead < least ? lead : least;
	}
	return least;
}

/* Kith's graph beside hnswlib's. */
static void tell_build_bars(struct vector_run *run)
{
	struct report *report = run->bench->report;
	struct entrant *own = &run->entrants[0];
	struct entrant peer = *run->hnswlib;
	double bytes_ratio = bytes_per_vector(own) / bytes_per_vector(&peer);

	report_at_least(report, "build_ratio",
	                sample_p50(&peer.build_s) / sample_p50(&own->build_s), BAR_BUILD_RATIO);
	report_number(report, "build_cpu_ratio",
	              sample_p50(&peer.build_cpu_s) / sample_p50(&own->build_cpu_s));
	if (run->bars->bytes_ratio > 0.0)
		report_at_most(report, "bytes_ratio", bytes_ratio, run->bars->bytes_ratio);
	else
		report_number(report, "bytes_ratio", bytes_ratio);
}

static void tell_build(struct vector_run *run, struct entrant *entrant)
{
	struct report *report = run->bench->report;

	report_begin(report, "vector", entrant->engine, run->dataset->name);
	report_text(report, "what", "build");
	report_text(report, "through", "process");
	report_count(report, "rows", run->dataset->n_base);
	report_count(report, "M", spec.M);
	report_count(report, "ef_construction", spec.ef_construction);
	report_count(report, "threads", spec.n_threads);
	report_count(report, "rounds", entrant->build_s.n);
	report_number(report, "build_s", sample_p50(&entrant->build_s));
	report_number(report, "build_cpu_s", sample_p50(&entrant->build_cpu_s));
	report_number(report, "bytes_per_vector", bytes_per_vector(entrant));
	if (entrant == run->entrants && run->hnswlib)
		tell_build_bars(run);
	report_end(report);
}

/* Whether a graph that was built faster is as good. */
static void tell_equal_ef(struct vector_run *run)
{
	struct report *report = run->bench->report;
	const struct searcher *ours = searcher_of(run, run->entrants);
	const struct searcher *theirs = searcher_of(run, run->hnswlib);

	report_begin(report, "vector", run->entrants[0].engine, run->dataset->name);
	report_text(report, "what", "equal ef");
	report_at_least(report, "recall_at_equal_ef", recall_at_usual_ef(ours),
	                recall_at_usual_ef(theirs));
	report_number(report, "recall_lead_at_least", least_lead(ours, theirs));
	report_end(report);
}

static int tell_cuts(struct vector_run *run)
{
	struct report *report = run->bench->report;
	struct local_graph_cuts cuts;
	int r = local_graph_cut(run->rows, &spec, &cuts);

	if (r)
		return bench_fail("cannot cancel a build", r);
	report_begin(report, "vector", run->entrants[0].engine, run->dataset->name);
	report_text(report, "what", "cancel");
	report_at_most(report, "cancel_ms", cuts.cancel_ms, BAR_CUT_MS);
	report_at_most(report, "progress_ms", cuts.progress_ms, BAR_CUT_MS);
	report_end(report);
	return 0;
}

static double best_recall(const struct searcher *searcher)
{
	double best = 0.0;

	for (size_t i = 0; i < searcher->n_points; i++)
		if (searcher->points[i].recall > best)
			best = searcher->points[i].recall;
	return best;
}

static double bar_of(const struct set_bars *bars, double target)
{
	return target == BAR_TARGET        ? bars->qps_ratio
	       : target == BAR_TARGET_HIGH ? bars->qps_ratio_high
	                                   : 0.0;
}

/* How much faster than hnswlib at the same recall, in this process; nothing where one of the two
 * does not reach it. */
static void tell_ratio(struct vector_run *run, const struct searcher *searcher, double target,
                       const struct sweep_point *at)
{
	struct report *report = run->bench->report;
	double bar = searcher == run->searchers ? bar_of(run->bars, target) : 0.0;
	struct sweep_point theirs;

	if (!searcher->is_alone)
		return; /* timed by another clock */
	if (!run->hnswlib || !sweep_at(searcher_of(run, run->hnswlib), target, &theirs))
		return;
	if (bar > 0.0)
		report_at_least(report, "qps_ratio", at->qps / theirs.qps, bar);
	else
		report_number(report, "qps_ratio", at->qps / theirs.qps);
}

/* What a searcher does at the target. */
static void tell_summary(struct vector_run *run, const struct searcher *searcher, double target)
{
	struct report *report = run->bench->report;
	bool is_socket = searcher->search == search_daemon;
	struct sweep_point at;

	report_begin(report, "vector", searcher->engine, run->dataset->name);
	report_text(report, "what", "summary");
	report_text(report, "through", searcher->through);
	report_number(report, "target_recall", target);
	if (is_socket && target == BAR_TARGET)
		report_at_least(report, "best_recall", best_recall(searcher), target);
	else
		report_number(report, "best_recall", best_recall(searcher));
	if (sweep_at(searcher, target, &at)) {
		report_number(report, "ef", at.ef);
		report_number(report, "qps", at.qps);
		report_number(report, "p50_us", at.p50_us);
		report_number(report, "p99_us", at.p99_us);
		report_number(report, "comparisons", at.comparisons);
		report_number(report, "refined", at.refined);
		tell_ratio(run, searcher, target, &at);
	}
	report_end(report);
}

/* What comes of a target_recall, for queries that no record is. */
static void tell_aim(struct vector_run *run, const struct aim *aim)
{
	struct report *report = run->bench->report;

	report_begin(report, "vector", "kith", run->dataset->name);
	report_text(report, "what", "target");
	report_text(report, "through", "socket");
	report_number(report, "target_recall", aim->target);
	report_count(report, "ef", aim->ef);
	if (aim->target == BAR_TARGET)
		report_at_least(report, "recall", aim->found.recall, aim->target);
	else
		report_number(report, "recall", aim->found.recall);
	report_number(report, "qps", aim->found.qps);
	report_number(report, "p50_us", aim->found.p50_us);
	report_number(report, "p99_us", aim->found.p99_us);
	report_number(report, "comparisons", aim->found.comparisons);
	report_end(report);
}

static void tell_builds(struct vector_run *run)
{
	for (size_t i = 0; i < run->n_entrants; i++)
		tell_build(run, &run->entrants[i]);
}

static void tell_searches(struct vector_run *run)
{
	if (run->hnswlib)
		tell_equal_ef(run);
	for (size_t i = 0; i < N_TARGETS; i++)
		for (size_t j = 0; j < run->n_searchers; j++)
			tell_summary(run, &run->searchers[j], targets[i]);
	for (size_t i = 0; i < N_TARGETS && run->side; i++)
		tell_aim(run, &run->aims[i]);
}

static void release_entrant(struct entrant *entrant)
{
	drop_graph(entrant);
	hnsw_scratch_release(&entrant->scratch);
	sample_release(&entrant->build_s);
	sample_release(&entrant->build_cpu_s);
}

static int run_set(struct bench *bench, struct kith_side *side, const struct dataset *dataset,
                   const struct set_bars *bars)
{
	struct vector_run run = {
	        .bench = bench,
	        .side = side,
	        .dataset = dataset,
	        .bars = bars,
	};
	int r = row_set_mapped(dataset, dataset->metric, &run.rows);

	if (r)
		return bench_fail("cannot lay out the rows", r);
	add_entrants(&run);
	/* What was measured is told at once: who cuts the run short keeps it. */
	r = tell_cuts(&run);
	r = r ? r : build_all(&run);
	if (!r)
		tell_builds(&run);
	r = r ? r : sweep_all(&run);
	if (!r)
		tell_searches(&run);
	if (side && !r)
		r = kith_side_drop(side, COLLECTION);
	for (size_t i = 0; i < run.n_entrants; i++)
		release_entrant(&run.entrants[i]);
	row_set_free(run.rows);
	return r;
}

/* 1: there is no such set, which is fine. */
static int run_if_there(struct bench *bench, struct kith_side *side, const struct set_bars *bars)
{
	struct dataset *dataset;
	int r;

	if (bench->is_trial)
		r = strcmp(bars->name, BENCH_SET) == 0 ? bench_read_set(bench, &dataset) : -ENOENT;
	else
		r = bench->data_dir ? dataset_read(bench->data_dir, bars->name, &dataset) : -ENOENT;
	if (r == -ENOENT)
		return 1;
	if (r)
		return bench_fail("cannot read a set", r);
	r = run_set(bench, side, dataset, bars);
	dataset_free(dataset);
	return r;
}

int suite_vector(struct bench *bench)
{
	struct kith_side side = {0};
	size_t n_found = 0;
	int r = bench->with_socket ? kith_side_start(&side) : 0;

	if (r)
		bench_fail("cannot start the daemon", r);
	if (bench->with_peers && !graph_peers[0])
		fputs("kith-bench: no peer is built in (libhnswlib-dev, libfaiss-dev)\n", stderr);
	for (size_t i = 0; i < N_SETS && r >= 0; i++) {
		if (bench->set && strcmp(bench->set, sets[i].name) != 0)
			continue;
		r = run_if_there(bench, bench->with_socket ? &side : NULL, &sets[i]);
		n_found += r == 0;
	}
	kith_side_stop(&side);
	if (r >= 0 && n_found == 0)
		r = bench_fail("cannot find a set (--data DIR or $KITH_DATA)", -ENOENT);
	return r < 0 ? r : 0;
}
