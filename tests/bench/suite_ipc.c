/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * What the socket, the protocol and the daemon's threads cost. Each round makes, one after the
 * other, a bare echo between two threads over a socketpair and a ping; then the search in this
 * process, an echo of the search's bytes without work and with that same search done by the other
 * thread, and the search over the socket. Differences of medians are what Kith adds.
 *
 * Where the scheduler wakes a thread decides more than what the thread does: to another CPU of a
 * virtual machine, a wakeup takes ten times as long as to the same, and one pair of threads is
 * treated differently from the next. So whatever is compared is put in the same place.
 */

#include <stdbool.h>
#include <stdio.h>

#include "tests/bench/cpu.h"
#include "tests/bench/echo.h"
#include "tests/bench/frame_bytes.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/row_set.h"
#include "tests/bench/sample.h"

#define COLLECTION "ipc"
#define PING_ROUNDS 5000
#define SEARCH_ROUNDS_SMALL 3000
#define SEARCH_ROUNDS_LARGE 120
#define BAR_PING_US 15
#define BAR_SEARCH_US 60

/* Ping. --------------------------------------------------------------------------------------- */

static int ping_rounds(struct echo *echo, struct kith_conn *conn, size_t n_rounds,
                       struct sample *echo_us, struct sample *ping_us)
{
	int r = 0;

	for (size_t i = 0; i < n_rounds && !r; i++) {
		uint64_t start = clock_ns();

		r = echo_round_trip(echo);
		sample_add(echo_us, elapsed_us(start));
		start = clock_ns();
		r = r ? r : kith_ping(conn);
		sample_add(ping_us, elapsed_us(start));
	}
	return r;
}

static void tell_ping(struct bench *bench, const char *placement, struct sample *echo_us,
                      struct sample *ping_us)
{
	struct report *report = bench->report;
	double echo_p50 = sample_p50(echo_us);
	double ping_p50 = sample_p50(ping_us);

	report_begin(report, "ipc", "ping", "none");
	report_text(report, "placement", placement);
	report_count(report, "rounds", ping_us->n);
	report_number(report, "socketpair_p50_us", echo_p50);
	report_number(report, "socketpair_p99_us", sample_p99(echo_us));
	report_number(report, "ping_p50_us", ping_p50);
	report_number(report, "ping_p99_us", sample_p99(ping_us));
	report_at_most(report, "above_socketpair_us", ping_p50 - echo_p50, BAR_PING_US);
	report_end(report);
}

/* Both answerers, the echo's thread and the daemon's loop, on the CPU of that number in this
 * process's set, counted from where this thread is kept. */
static int measure_ping_at(struct bench *bench, struct kith_side *side, const char *placement,
                           size_t cpu_idx)
{
	struct echo_spec spec = {.request_bytes = frame_bytes_ping(),
	                         .answer_bytes = frame_bytes_ping()};
	struct sample echo_us = {0};
	struct sample ping_us = {0};
	struct echo *echo;
	int r = echo_new(&spec, &echo);

	if (r)
		return bench_fail("cannot make a socketpair", r);
	r = cpu_keep(0, 0);
	r = r ? r : cpu_keep(echo_thread_id(echo), cpu_idx);
	r = r ? r : cpu_keep(side->daemon->pid, cpu_idx);
	r = r ? r
	      : ping_rounds(echo, side->conn, bench_rounds(bench, PING_ROUNDS), &echo_us, &ping_us);
	if (!r)
		tell_ping(bench, placement, &echo_us, &ping_us);
	cpu_keep_anywhere(0);
	cpu_keep_anywhere(side->daemon->pid);
	echo_free(echo);
	sample_release(&echo_us);
	sample_release(&ping_us);
	return r ? bench_fail("cannot ping", r) : 0;
}

static int measure_ping(struct bench *bench, struct kith_side *side)
{
	int r = measure_ping_at(bench, side, "one cpu", 0);

	if (!r && cpu_count() > 1)
		r = measure_ping_at(bench, side, "two cpus", 1);
	return r;
}

/* Search. ------------------------------------------------------------------------------------- */

struct search_run {
	const struct dataset *dataset;
	struct row_set *rows;
	struct echo *bare;
	struct echo *working;
	size_t query_idx; /* set before the working echo's request, read by its thread after it */
	uint64_t found[BENCH_K];
	struct sample in_process_us;
	struct sample bare_us;
	struct sample working_us;
	struct sample search_us;
	struct sample inside_us;  /* what the daemon says it took */
	struct sample outside_us; /* the rest of that search: sending, waking, reading */
	size_t n_resident;
};

static void search_here(void *ctx)
{
	struct search_run *run = ctx;

	row_set_search(run->rows, kernels_best(DTYPE_F32), run->query_idx, 1, BENCH_K, run->found);
}

static int search_round(struct search_run *run, struct kith_conn *conn)
{
	struct kith_search_result *answer;
	uint64_t start = clock_ns();
	double search_us;
	int r;

	search_here(run);
	sample_add(&run->in_process_us, elapsed_us(start));
	start = clock_ns();
	r = echo_round_trip(run->bare);
	sample_add(&run->bare_us, elapsed_us(start));
	start = clock_ns();
	r = r ? r : echo_round_trip(run->working);
	sample_add(&run->working_us, elapsed_us(start));
	start = clock_ns();
	r = r ? r
	      : kith_side_search(conn, COLLECTION, run->dataset, run->query_idx, BENCH_K, 0,
	                         &answer);
	search_us = elapsed_us(start);
	if (r)
		return bench_fail("cannot search", r);
	for (uint32_t i = 0; i < answer->ids.n && !r; i++)
		if (answer->ids.v[i].number != run->found[i])
			r = bench_fail("the daemon's answer is another than this process's", -1);
	sample_add(&run->search_us, search_us);
	sample_add(&run->inside_us, (double)answer->time_us);
	sample_add(&run->outside_us, search_us - (double)answer->time_us);
	run->n_resident += answer->served_from == KITH_SOURCE_RESIDENT;
	kith_free(answer);
	return r;
}

static void tell(struct bench *bench, struct search_run *run, const char *placement)
{
	struct report *report = bench->report;
	double in_process = sample_p50(&run->in_process_us);
	double bare = sample_p50(&run->bare_us);
	double working = sample_p50(&run->working_us);
	double search = sample_p50(&run->search_us);

	report_begin(report, "ipc", "search", run->dataset->name);
	report_text(report, "placement", placement);
	report_count(report, "rounds", run->search_us.n);
	report_text(report, "vectors",
	            run->n_resident == run->search_us.n ? "resident" : "not all resident");
	report_number(report, "in_process_p50_us", in_process);
	report_number(report, "socketpair_p50_us", bare);
	report_number(report, "socketpair_with_work_p50_us", working);
	report_number(report, "search_p50_us", search);
	report_number(report, "search_p99_us", sample_p99(&run->search_us));
	report_number(report, "inside_daemon_p50_us", sample_p50(&run->inside_us));
	report_number(report, "outside_daemon_p50_us", sample_p50(&run->outside_us));
	report_number(report, "above_socketpair_with_work_us", search - working);
	report_at_most(report, "above_in_process_us", search - in_process, BAR_SEARCH_US);
	report_end(report);
}

/* Everyone on one CPU, or everyone where the scheduler likes. */
static int place(const struct search_run *run, const struct kith_side *side, bool on_one_cpu)
{
	int r;

	if (!on_one_cpu) {
		r = cpu_keep_anywhere(0);
		return r ? r : cpu_keep_anywhere(side->daemon->pid);
	}
	r = cpu_keep(0, 0);
	r = r ? r : cpu_keep(echo_thread_id(run->bare), 0);
	r = r ? r : cpu_keep(echo_thread_id(run->working), 0);
	return r ? r : cpu_keep_process(side->daemon->pid, 0);
}

static int measure_search_at(struct bench *bench, struct kith_side *side,
                             const struct dataset *dataset, struct row_set *rows, size_t n_rounds,
                             bool on_one_cpu)
{
	struct search_run run = {.dataset = dataset, .rows = rows};
	struct echo_spec spec = {.request_bytes = frame_bytes_search(COLLECTION, dataset),
	                         .answer_bytes = frame_bytes_found()};
	int r = echo_new(&spec, &run.bare);

	spec.work = search_here;
	spec.ctx = &run;
	r = r ? r : echo_new(&spec, &run.working);
	r = r ? r : place(&run, side, on_one_cpu);
	if (r)
		bench_fail("cannot set up the echoes", r);
	for (; run.query_idx < n_rounds && !r; run.query_idx++)
		r = search_round(&run, side->conn);
	if (!r)
		tell(bench, &run, on_one_cpu ? "one cpu" : "anywhere");
	place(&run, side, false);
	echo_free(run.working);
	echo_free(run.bare);
	sample_release(&run.in_process_us);
	sample_release(&run.bare_us);
	sample_release(&run.working_us);
	sample_release(&run.search_us);
	sample_release(&run.inside_us);
	sample_release(&run.outside_us);
	return r;
}

static int measure_search(struct bench *bench, struct kith_side *side,
                          const struct dataset *dataset, size_t n_rounds)
{
	struct row_set *rows = NULL;
	int r = row_set_resident(dataset, METRIC_L2, &rows);

	r = r ? r : kith_side_create(side, COLLECTION, dataset);
	r = r ? r : kith_side_import(side, COLLECTION, dataset);
	r = r ? r : kith_side_warm(side, COLLECTION, dataset);
	if (r)
		bench_fail("cannot set up the search", r);
	r = r ? r : measure_search_at(bench, side, dataset, rows, n_rounds, true);
	r = r ? r : measure_search_at(bench, side, dataset, rows, n_rounds, false);
	r = r ? r : kith_side_drop(side, COLLECTION);
	row_set_free(rows);
	return r;
}

int suite_ipc(struct bench *bench)
{
	struct kith_side side = {0};
	struct dataset *small = NULL;
	struct dataset *large = NULL;
	int r;

	if (!bench->with_socket)
		return 0;
	r = kith_side_start(&side);
	if (r)
		bench_fail("cannot start the daemon", r);
	r = r ? r : measure_ping(bench, &side);
	r = r ? r : dataset_make("uniform-1000x128", 1000, 100, 128, 1, &small);
	r = r ? r : measure_search(bench, &side, small, bench_rounds(bench, SEARCH_ROUNDS_SMALL));
	r = r ? r : bench_read_set(bench, &large);
	r = r ? r : measure_search(bench, &side, large, bench_rounds(bench, SEARCH_ROUNDS_LARGE));
	dataset_free(small);
	dataset_free(large);
	kith_side_stop(&side);
	return r;
}
