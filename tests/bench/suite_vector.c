/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * What the graph is worth: how long it takes to build, how large it is, and how fast it answers at
 * what recall; in this process over resident rows, through the daemon, and beside other engines'
 * graphs of the same parameters. Builds take turns, and so do searches at each ef. build_cpu_s is
 * what a build had of all CPUs: on a busy machine it says more than build_s.
 */

#include <errno.h>
#include <stdio.h>

#include "tests/bench/cpu.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/local_graph.h"
#include "tests/bench/peer.h"
#include "tests/bench/sample.h"
#include "tests/bench/sweep.h"

#define COLLECTION "vector"
#define BUILDS 3
#define BUILD_THREADS 2
#define BAR_TARGET 0.99 /* the recall that the bars are about */
#define BAR_QPS_RATIO 1

static const char *const set_names[] = {BENCH_SET, "bge-base-768", "notes-small-384"};
static const double targets[] = {0.95, BAR_TARGET, 0.999};
#define N_TARGETS (sizeof(targets) / sizeof(*targets))

static const struct graph_spec spec = {
        .M = GRAPH_SPEC_M,
        .ef_construction = GRAPH_SPEC_EF_CONSTRUCTION,
        .n_threads = BUILD_THREADS,
};

struct vector_run {
	struct bench *bench;
	struct kith_side *side; /* NULL: without a daemon */
	const struct dataset *dataset;
	const struct graph_peer *peer; /* NULL: none */
	struct row_set *rows;
	struct local_graph *graph;
	void *peer_graph;
	struct sample build_s, build_cpu_s;
	struct sample peer_build_s, peer_build_cpu_s;
	struct searcher searchers[SWEEP_MAX_SEARCHERS];
	size_t n_searchers;
};

/* Building. ----------------------------------------------------------------------------------- */

static int build_local(struct vector_run *run)
{
	uint64_t start;
	double cpu_s;
	int r;

	local_graph_free(run->graph);
	run->graph = NULL;
	start = clock_ns();
	cpu_s = cpu_used_s(0);
	r = local_graph_build(run->rows, &spec, &run->graph);
	sample_add(&run->build_s, elapsed_us(start) * 1e-6);
	sample_add(&run->build_cpu_s, cpu_used_s(0) - cpu_s);
	return r;
}

static int build_peer(struct vector_run *run)
{
	uint64_t start;
	double cpu_s;

	if (run->peer_graph)
		run->peer->close(run->peer_graph);
	start = clock_ns();
	cpu_s = cpu_used_s(0);
	run->peer_graph = run->peer->build(run->dataset, &spec);
	sample_add(&run->peer_build_s, elapsed_us(start) * 1e-6);
	sample_add(&run->peer_build_cpu_s, cpu_used_s(0) - cpu_s);
	return run->peer_graph ? 0 : -ENOMEM;
}

static void tell_build(struct vector_run *run, const char *engine, struct sample *build_s,
                       struct sample *cpu_s, uint64_t bytes)
{
	struct report *report = run->bench->report;

	report_begin(report, "vector", engine, run->dataset->name);
	report_text(report, "what", "build");
	report_text(report, "through", "process");
	report_count(report, "rows", run->dataset->n_base);
	report_count(report, "M", spec.M);
	report_count(report, "ef_construction", spec.ef_construction);
	report_count(report, "threads", spec.n_threads);
	report_count(report, "rounds", build_s->n);
	report_number(report, "build_s", sample_p50(build_s));
	report_number(report, "build_cpu_s", sample_p50(cpu_s));
	report_number(report, "bytes_per_vector", (double)bytes / (double)run->dataset->n_base);
	report_end(report);
}

static int measure_builds(struct vector_run *run)
{
	int r = row_set_mapped(run->dataset, run->dataset->metric, &run->rows);

	for (size_t i = 0; i < BUILDS && !r; i++) {
		r = build_local(run);
		if (!r && run->peer)
			r = build_peer(run);
	}
	if (r)
		return bench_fail("cannot build a graph", r);
	tell_build(run, "kith", &run->build_s, &run->build_cpu_s, local_graph_bytes(run->graph));
	if (run->peer)
		tell_build(run, run->peer->name, &run->peer_build_s, &run->peer_build_cpu_s,
		           run->peer->bytes(run->peer_graph));
	return 0;
}

/* Searching. ---------------------------------------------------------------------------------- */

static int search_local(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                        uint64_t *ret_comparisons)
{
	struct vector_run *run = ctx;

	return local_graph_search(run->graph, query_idx, BENCH_K, ef, ret_rows, ret_comparisons);
}

static int search_peer(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                       uint64_t *ret_comparisons)
{
	struct vector_run *run = ctx;

	run->peer->search(run->peer_graph, query_idx, BENCH_K, ef, ret_rows, ret_comparisons);
	return 0;
}

static int search_daemon(void *ctx, size_t query_idx, uint32_t ef, uint64_t ret_rows[BENCH_K],
                         uint64_t *ret_comparisons)
{
	struct vector_run *run = ctx;
	struct kith_search_result *answer;
	int r = kith_side_search(run->side->conn, COLLECTION, run->dataset, query_idx, BENCH_K, ef,
	                         &answer);

	if (r)
		return r;
	if (answer->ids.n != BENCH_K || answer->mode != KITH_MODE_HNSW)
		r = -EBADMSG;
	for (uint32_t i = 0; i < BENCH_K && !r; i++)
		ret_rows[i] = answer->ids.v[i].number;
	if (ret_comparisons)
		*ret_comparisons = answer->comparisons;
	kith_free(answer);
	return r;
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

static void add_searcher(struct vector_run *run, const char *engine, const char *through,
                         int (*search)(void *, size_t, uint32_t, uint64_t[BENCH_K], uint64_t *))
{
	run->searchers[run->n_searchers++] = (struct searcher){
	        .engine = engine,
	        .through = through,
	        .ctx = run,
	        .search = search,
	};
}

/* Everyone on one CPU: a wakeup on another one can take longer than the search (suite_ipc.c). */
static int sweep_in_place(struct vector_run *run)
{
	int r = cpu_keep(0, 0);

	if (run->side && !r)
		r = cpu_keep_process(run->side->daemon->pid, 0);
	r = r ? bench_fail("cannot keep to a CPU", r)
	      : sweep_run(run->dataset, run->searchers, run->n_searchers);
	cpu_keep_anywhere(0);
	if (run->side)
		cpu_keep_anywhere(run->side->daemon->pid);
	return r;
}

static int measure_searches(struct vector_run *run)
{
	int r = 0;

	add_searcher(run, "kith", "process", search_local);
	if (run->peer)
		add_searcher(run, run->peer->name, "process", search_peer);
	if (run->side) {
		add_searcher(run, "kith", "socket", search_daemon);
		r = fill_daemon(run);
	}
	r = r ? r : sweep_in_place(run);
	for (size_t i = 0; i < run->n_searchers && !r; i++)
		sweep_tell(run->bench->report, "vector", run->dataset, &run->searchers[i]);
	return r;
}

/* Summary. ------------------------------------------------------------------------------------ */

/* What a searcher does at the target; nothing when it does not reach it. */
static void tell_reached(struct report *report, const struct searcher *searcher, double target,
                         const char *prefix)
{
	char name[64];
	struct sweep_point point;

	if (!sweep_at(searcher, target, &point))
		return;
	snprintf(name, sizeof(name), "%sef", prefix);
	report_number(report, name, point.ef);
	snprintf(name, sizeof(name), "%sqps", prefix);
	report_number(report, name, point.qps);
	snprintf(name, sizeof(name), "%sp50_us", prefix);
	report_number(report, name, point.p50_us);
	snprintf(name, sizeof(name), "%sp99_us", prefix);
	report_number(report, name, point.p99_us);
	snprintf(name, sizeof(name), "%scomparisons", prefix);
	report_number(report, name, point.comparisons);
}

/* 0 for one that does not reach the target. */
static double qps_at(const struct searcher *searcher, double target)
{
	struct sweep_point point;

	return sweep_at(searcher, target, &point) ? point.qps : 0.0;
}

static double best_recall(const struct searcher *searcher)
{
	double best = 0.0;

	for (size_t i = 0; i < SWEEP_POINTS; i++)
		if (searcher->points[i].recall > best)
			best = searcher->points[i].recall;
	return best;
}

static void tell_summary(struct vector_run *run, double target)
{
	struct report *report = run->bench->report;
	const struct searcher *local = &run->searchers[0];
	const struct searcher *peer = run->peer ? &run->searchers[1] : NULL;
	const struct searcher *socket = run->side ? &run->searchers[run->n_searchers - 1] : NULL;
	bool has_bar = target == BAR_TARGET;
	char prefix[48];

	report_begin(report, "vector", "kith", run->dataset->name);
	report_text(report, "what", "summary");
	report_number(report, "target_recall", target);
	tell_reached(report, local, target, "");
	if (socket)
		tell_reached(report, socket, target, "socket_");
	if (socket && has_bar)
		report_at_least(report, "socket_best_recall", best_recall(socket), target);
	if (peer && qps_at(peer, target) > 0.0) {
		double ratio = qps_at(local, target) / qps_at(peer, target);

		snprintf(prefix, sizeof(prefix), "%s_", run->peer->name);
		tell_reached(report, peer, target, prefix);
		if (has_bar)
			report_at_least(report, "qps_ratio", ratio, BAR_QPS_RATIO);
		else
			report_number(report, "qps_ratio", ratio);
	}
	report_end(report);
}

static int run_set(struct bench *bench, struct kith_side *side, const struct dataset *dataset)
{
	struct vector_run run = {
	        .bench = bench,
	        .side = side,
	        .dataset = dataset,
	        .peer = bench->with_peers ? graph_peers[0] : NULL,
	};
	int r = measure_builds(&run);

	r = r ? r : measure_searches(&run);
	for (size_t i = 0; i < N_TARGETS && !r; i++)
		tell_summary(&run, targets[i]);
	if (side && !r)
		r = kith_side_drop(side, COLLECTION);
	if (run.peer_graph)
		run.peer->close(run.peer_graph);
	local_graph_free(run.graph);
	row_set_free(run.rows);
	sample_release(&run.build_s);
	sample_release(&run.build_cpu_s);
	sample_release(&run.peer_build_s);
	sample_release(&run.peer_build_cpu_s);
	return r;
}

/* 1: there is no such set, which is fine. */
static int run_if_there(struct bench *bench, struct kith_side *side, const char *set_name)
{
	struct dataset *dataset;
	int r = bench->data_dir ? dataset_read(bench->data_dir, set_name, &dataset) : -ENOENT;

	if (r == -ENOENT)
		return 1;
	if (r)
		return bench_fail("cannot read a set", r);
	r = run_set(bench, side, dataset);
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
		fputs("kith-bench: no peer is built in (libhnswlib-dev)\n", stderr);
	for (size_t i = 0; i < sizeof(set_names) / sizeof(*set_names) && r >= 0; i++) {
		r = run_if_there(bench, bench->with_socket ? &side : NULL, set_names[i]);
		n_found += r == 0;
	}
	kith_side_stop(&side);
	if (r >= 0 && n_found == 0)
		r = bench_fail("cannot find a set (--data DIR or $KITH_DATA)", -ENOENT);
	return r < 0 ? r : 0;
}
