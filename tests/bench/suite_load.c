/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * Many searches at once, at the number of candidates that finds 0.99 of the neighbours: one thread
 * and two in this process; clients of the daemon with one query a request, beside as many clients
 * of an echo that has the daemon's loop and lanes and does the same search (lane_echo.h); and
 * clients with many queries a request.
 *
 * All take turns of a moment each. A figure is the median of its turns, and a ratio that of the
 * ratios of each round, since what else the machine does changes from second to second. Where
 * others are at work, who has more threads has more of the machine: "by_cpu" are the same ratios of
 * queries a second of CPU, the daemon's and this process's together.
 */

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/bench/cpu.h"
#include "tests/bench/frame_bytes.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/lane_echo.h"
#include "tests/bench/local_graph.h"
#include "tests/bench/sample.h"

#define COLLECTION "load"
#define TARGET_RECALL 0.99
#define EF_STEP 2
#define EF_MAX 512
#define ROUNDS 15
#define TURN_US 300e3
#define THREADS 2
#define CLIENTS 8
#define BATCH_CLIENTS CLIENTS
#define BATCH 16
#define WORKERS_MAX 64
#define BAR_THREADS 1.8
#define BAR_ECHO 0.85
#define BAR_BATCH 0.8

struct load_run {
	struct bench *bench;
	struct kith_side side;
	struct dataset *dataset;
	struct row_set *rows;
	struct local_graph *graph;
	uint32_t ef;
	double recall, socket_recall;             /* at that ef */
	struct hnsw_scratch scratch[WORKERS_MAX]; /* of the threads here, or the echo's workers */
	struct scratch_dir dir;
	char path[SCRATCH_PATH_SIZE];
	struct lane_echo *echo;
	uint32_t n_workers; /* the daemon's, and so the echo's */
	int fds[CLIENTS];
	char *bufs[CLIENTS];
	struct kith_conn *conns[CLIENTS];
};

/* What is measured. --------------------------------------------------------------------------- */

static int step_here(struct load_run *run, uint32_t thread, size_t query_idx)
{
	uint64_t rows[BENCH_K];

	return local_graph_search(run->graph, &run->scratch[thread], query_idx, BENCH_K, run->ef,
	                          rows, NULL);
}

static int step_echo(struct load_run *run, uint32_t thread, size_t query_idx)
{
	return lane_echo_round_trip(run->echo, run->fds[thread], query_idx, run->bufs[thread]);
}

static int search_socket(struct load_run *run, uint32_t thread, size_t query_idx, uint32_t n)
{
	struct kith_search_result *answer;
	int r = kith_side_search_many(run->conns[thread], COLLECTION, run->dataset, query_idx, n,
	                              BENCH_K, run->ef, &answer);

	if (r)
		return r;
	if (answer->ids.n != n * BENCH_K || answer->mode != KITH_MODE_HNSW)
		r = -EBADMSG;
	kith_free(answer);
	return r;
}

static int step_one(struct load_run *run, uint32_t thread, size_t query_idx)
{
	return search_socket(run, thread, query_idx, 1);
}

static int step_batch(struct load_run *run, uint32_t thread, size_t query_idx)
{
	return search_socket(run, thread, query_idx, BATCH);
}

enum load {
	LOAD_ONE_THREAD,
	LOAD_THREADS,
	LOAD_ECHO,
	LOAD_SOCKET,
	LOAD_BATCH,
	LOAD_N
};

static const struct {
	const char *what;
	uint32_t n_threads;
	uint32_t n_queries; /* of a step */
	/* 0, -errno or a result of kith.h. */
	int (*step)(struct load_run *run, uint32_t thread, size_t query_idx);
} loads[LOAD_N] = {
        [LOAD_ONE_THREAD] = {"one thread", 1, 1, step_here},
        [LOAD_THREADS] = {"threads", THREADS, 1, step_here},
        [LOAD_ECHO] = {"echo clients", CLIENTS, 1, step_echo},
        [LOAD_SOCKET] = {"clients", CLIENTS, 1, step_one},
        [LOAD_BATCH] = {"clients with batches", BATCH_CLIENTS, BATCH, step_batch},
};

/* A turn. ------------------------------------------------------------------------------------- */

struct turn {
	struct load_run *run;
	enum load load;
	pthread_barrier_t start;
};

struct turn_thread {
	struct turn *turn;
	pthread_t thread;
	uint32_t number;
	size_t n_done;
	double qps;
	int r;
};

/* Each thread begins elsewhere among the queries. */
static void *take_turn(void *arg)
{
	struct turn_thread *self = arg;
	struct load_run *run = self->turn->run;
	uint32_t n = loads[self->turn->load].n_queries;
	size_t n_steps = run->dataset->n_queries / n; /* before it begins again */
	size_t step = n_steps * self->number / CLIENTS;
	uint64_t start;
	double us;

	pthread_barrier_wait(&self->turn->start);
	start = clock_ns();
	do {
		self->r = loads[self->turn->load].step(run, self->number, step++ % n_steps * n);
		self->n_done += n;
		us = elapsed_us(start);
	} while (!self->r && us < bench_turn_us(run->bench, TURN_US));
	self->qps = (double)self->n_done / us * 1e6;
	return NULL;
}

/* What all threads did together. */
struct outcome {
	double qps;
	double per_cpu_s; /* queries a second of CPU */
};

static double cpu_of_both_s(const struct load_run *run)
{
	return cpu_used_s(0) + (run->side.daemon ? cpu_used_s(run->side.daemon->pid) : 0.0);
}

static int run_turn(struct load_run *run, enum load load, struct outcome *ret)
{
	struct turn turn = {.run = run, .load = load};
	struct turn_thread threads[CLIENTS] = {0};
	uint32_t n = loads[load].n_threads;
	double cpu_s = cpu_of_both_s(run);
	size_t n_done = 0;
	int r = 0;

	pthread_barrier_init(&turn.start, NULL, n);
	for (uint32_t i = 0; i < n; i++) {
		threads[i] = (struct turn_thread){.turn = &turn, .number = i};
		if (i > 0 && pthread_create(&threads[i].thread, NULL, take_turn, &threads[i]))
			abort(); /* the others wait for it */
	}
	take_turn(&threads[0]);
	*ret = (struct outcome){0};
	for (uint32_t i = 0; i < n; i++) {
		if (i > 0)
			pthread_join(threads[i].thread, NULL);
		ret->qps += threads[i].qps;
		n_done += threads[i].n_done;
		r = r ? r : threads[i].r;
	}
	ret->per_cpu_s = (double)n_done / (cpu_of_both_s(run) - cpu_s);
	pthread_barrier_destroy(&turn.start);
	return r;
}

/* Setting up. --------------------------------------------------------------------------------- */

static int recall_here(struct load_run *run, uint32_t ef, double *ret)
{
	const struct dataset *dataset = run->dataset;
	size_t n_right = 0;
	int r = 0;

	for (size_t i = 0; i < dataset->n_queries && !r; i++) {
		uint64_t rows[BENCH_K];

		r = local_graph_search(run->graph, &run->scratch[0], i, BENCH_K, ef, rows, NULL);
		n_right += r ? 0 : dataset_n_right(dataset, i, rows, BENCH_K);
	}
	*ret = (double)n_right / (double)(dataset->n_queries * BENCH_K);
	return r;
}

static int find_ef(struct load_run *run)
{
	int r;

	run->ef = BENCH_K;
	while (!(r = recall_here(run, run->ef, &run->recall)) && run->recall < TARGET_RECALL &&
	       run->ef < EF_MAX)
		run->ef += EF_STEP;
	return r;
}

static int judge_socket(struct load_run *run)
{
	const struct dataset *dataset = run->dataset;
	size_t n_right = 0;

	for (size_t i = 0; i < dataset->n_queries; i++) {
		struct kith_search_result *answer;
		int r = kith_side_search(run->side.conn, COLLECTION, dataset, i, BENCH_K, run->ef,
		                         &answer);

		if (r)
			return r;
		n_right += kith_side_n_right(dataset, i, answer);
		kith_free(answer);
	}
	run->socket_recall = (double)n_right / (double)(dataset->n_queries * BENCH_K);
	return 0;
}

static int set_up_graph(struct load_run *run)
{
	static const struct graph_spec spec = {
	        .M = GRAPH_SPEC_M,
	        .ef_construction = GRAPH_SPEC_EF_CONSTRUCTION,
	        .n_threads = THREADS,
	};
	int r = row_set_mapped(run->dataset, run->dataset->metric, &run->rows);

	r = r ? r : local_graph_build(run->rows, LOCAL_GRAPH_OVER_CODES, &spec, &run->graph);
	r = r ? r : find_ef(run);
	return r ? bench_fail("cannot build a graph", r) : 0;
}

static int set_up_daemon(struct load_run *run)
{
	int r = kith_side_start(&run->side);

	r = r ? r : kith_side_create(&run->side, COLLECTION, run->dataset);
	r = r ? r : kith_side_import(&run->side, COLLECTION, run->dataset);
	r = r ? r : kith_side_ensure(&run->side, COLLECTION);
	r = r ? r : kith_side_optimize(&run->side, COLLECTION);
	r = r ? r : kith_side_warm(&run->side, COLLECTION, run->dataset);
	r = r ? r : kith_side_workers(&run->side, &run->n_workers);
	r = r ? r : judge_socket(run);
	for (uint32_t i = 0; i < CLIENTS && !r; i++)
		r = kith_side_connect(&run->side, &run->conns[i]);
	return r ? bench_fail("cannot fill the daemon", r) : 0;
}

static void work_for_echo(void *ctx, uint32_t worker, uint64_t number)
{
	if (step_here(ctx, worker, number))
		abort();
}

static int set_up_echo(struct load_run *run)
{
	struct lane_echo_spec spec = {
	        .path = scratch_dir_path(&run->dir, "echo", run->path),
	        .request_bytes = frame_bytes_search(COLLECTION, run->dataset),
	        .answer_bytes = frame_bytes_found(),
	        .n_workers = run->n_workers,
	        .work = work_for_echo,
	        .ctx = run,
	};
	int r = run->n_workers <= WORKERS_MAX ? lane_echo_new(&spec, &run->echo) : -ENOBUFS;

	for (uint32_t i = 0; i < CLIENTS && !r; i++) {
		run->bufs[i] = calloc(1, spec.request_bytes + spec.answer_bytes);
		r = run->bufs[i] ? lane_echo_connect(run->echo, &run->fds[i]) : -ENOMEM;
	}
	return r ? bench_fail("cannot set up the echo", r) : 0;
}

static void tear_down(struct load_run *run)
{
	for (uint32_t i = 0; i < CLIENTS; i++) {
		kith_close(run->conns[i]);
		free(run->bufs[i]);
		if (run->fds[i] >= 0)
			close(run->fds[i]);
	}
	lane_echo_free(run->echo);
	kith_side_stop(&run->side);
	for (uint32_t i = 0; i < WORKERS_MAX; i++)
		hnsw_scratch_release(&run->scratch[i]);
	local_graph_free(run->graph);
	row_set_free(run->rows);
	dataset_free(run->dataset);
	scratch_dir_release(&run->dir);
}

/* Rounds. ------------------------------------------------------------------------------------- */

/* What a load is held against. */
static const struct {
	const char *name; /* NULL: nothing */
	enum load other;
	double bar;
	double cpus; /* that it has, to one of the other's */
} ratios[LOAD_N] = {
        [LOAD_THREADS] = {"to_one_thread", LOAD_ONE_THREAD, BAR_THREADS, THREADS},
        [LOAD_SOCKET] = {"to_echo", LOAD_ECHO, BAR_ECHO, 1.0},
        [LOAD_BATCH] = {"to_threads", LOAD_THREADS, BAR_BATCH, 1.0},
};

struct load_figures {
	struct sample qps, per_cpu_s;
	struct sample ratio, ratio_by_cpu;
};

static int run_round(struct load_run *run, size_t n_loads, struct load_figures *figures)
{
	struct outcome now[LOAD_N] = {0};
	int r = 0;

	for (size_t i = 0; i < n_loads && !r; i++)
		r = run_turn(run, (enum load)i, &now[i]);
	for (size_t i = 0; i < n_loads && !r; i++) {
		const struct outcome *other = &now[ratios[i].other];

		sample_add(&figures[i].qps, now[i].qps);
		sample_add(&figures[i].per_cpu_s, now[i].per_cpu_s);
		sample_add(&figures[i].ratio, now[i].qps / other->qps);
		sample_add(&figures[i].ratio_by_cpu,
		           now[i].per_cpu_s / other->per_cpu_s * ratios[i].cpus);
	}
	return r;
}

static void tell(struct load_run *run, enum load load, struct load_figures *figures)
{
	struct report *report = run->bench->report;
	bool is_socket = load == LOAD_SOCKET || load == LOAD_BATCH;
	char by_cpu[64];

	report_begin(report, "load", load == LOAD_ECHO ? "echo" : "kith", run->dataset->name);
	report_text(report, "what", loads[load].what);
	report_count(report, "threads", loads[load].n_threads);
	report_count(report, "queries_at_once", loads[load].n_queries);
	report_count(report, "rounds", figures->qps.n);
	report_count(report, "ef", run->ef);
	report_number(report, "recall", is_socket ? run->socket_recall : run->recall);
	report_number(report, "qps", sample_p50(&figures->qps));
	report_number(report, "queries_per_cpu_s", sample_p50(&figures->per_cpu_s));
	if (ratios[load].name) {
		report_at_least(report, ratios[load].name, sample_p50(&figures->ratio),
		                ratios[load].bar);
		snprintf(by_cpu, sizeof(by_cpu), "%s_by_cpu", ratios[load].name);
		report_number(report, by_cpu, sample_p50(&figures->ratio_by_cpu));
	}
	report_end(report);
}

static int run_rounds(struct load_run *run, size_t n_loads)
{
	struct load_figures figures[LOAD_N] = {0};
	int r = 0;

	for (size_t round = 0; round < bench_rounds(run->bench, ROUNDS) && !r; round++)
		r = run_round(run, n_loads, figures);
	for (size_t i = 0; i < n_loads && !r; i++)
		tell(run, (enum load)i, &figures[i]);
	for (size_t i = 0; i < LOAD_N; i++) {
		sample_release(&figures[i].qps);
		sample_release(&figures[i].per_cpu_s);
		sample_release(&figures[i].ratio);
		sample_release(&figures[i].ratio_by_cpu);
	}
	return r ? bench_fail("cannot search", r) : 0;
}

int suite_load(struct bench *bench)
{
	struct load_run run = {.bench = bench};
	int r;

	for (uint32_t i = 0; i < CLIENTS; i++)
		run.fds[i] = -1;
	scratch_dir_init(&run.dir);
	r = bench_read_set(bench, &run.dataset);
	r = r ? r : set_up_graph(&run);
	if (bench->with_socket) {
		r = r ? r : set_up_daemon(&run);
		r = r ? r : set_up_echo(&run);
	}
	r = r ? r : run_rounds(&run, bench->with_socket ? LOAD_N : LOAD_ECHO);
	tear_down(&run);
	return r;
}
