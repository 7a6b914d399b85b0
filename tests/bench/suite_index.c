/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * Life with an index: from nothing to rows that are indexed and on disk, searching before and right
 * after records were written one by one, and asking for an index that is there beside a ping.
 */

#include <errno.h>

#include "tests/bench/cpu.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/sample.h"

#define COLLECTION "index"
#define READY_ROUNDS 3
#define INSERT_ROUNDS 9
#define N_INSERTS 300
/* A window of searches right behind the last insert; the daemon is folding the rows in then. */
#define N_SEARCHES 100
#define ENSURE_ROUNDS 3000
/* LanceDB on the same machine: 0.8 s of ingest and 8.1 s of building. */
#define BAR_READY_S 8.9
#define BAR_INSERT_RATIO 1.2
#define BAR_ENSURE_RATIO 1.5

struct index_run {
	struct bench *bench;
	struct kith_side side;
	const struct dataset *dataset;
	uint64_t next_id;
};

/* From rows to an index. ---------------------------------------------------------------------- */

struct ready_times {
	struct sample import_s;
	struct sample ready_s; /* and the index serves */
	struct sample saved_s; /* and it is on disk too */
	struct sample cpu_s;   /* what the daemon had of the CPUs for all of it */
};

static int make_ready(struct index_run *run, struct ready_times *times)
{
	int r = kith_side_create(&run->side, COLLECTION, run->dataset);
	double cpu_s = cpu_used_s(run->side.daemon->pid);
	uint64_t start = clock_ns();

	r = r ? r : kith_side_import(&run->side, COLLECTION, run->dataset);
	sample_add(&times->import_s, elapsed_us(start) * 1e-6);
	r = r ? r : kith_side_ensure(&run->side, COLLECTION);
	sample_add(&times->ready_s, elapsed_us(start) * 1e-6);
	r = r ? r : kith_side_optimize(&run->side, COLLECTION);
	sample_add(&times->saved_s, elapsed_us(start) * 1e-6);
	sample_add(&times->cpu_s, cpu_used_s(run->side.daemon->pid) - cpu_s);
	return r;
}

/* Leaves the collection of the last round. */
static int measure_ready(struct index_run *run)
{
	struct report *report = run->bench->report;
	struct ready_times times = {0};
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, READY_ROUNDS) && !r; i++) {
		if (i > 0)
			r = kith_side_drop(&run->side, COLLECTION);
		r = r ? r : make_ready(run, &times);
	}
	if (!r) {
		report_begin(report, "index", "rows to ready", run->dataset->name);
		report_count(report, "rows", run->dataset->n_base);
		report_count(report, "rounds", times.saved_s.n);
		report_number(report, "import_s", sample_p50(&times.import_s));
		report_number(report, "serving_s", sample_p50(&times.ready_s));
		report_at_most(report, "saved_s", sample_p50(&times.saved_s), BAR_READY_S);
		report_number(report, "saved_min_s", sample_quantile(&times.saved_s, 0.0));
		report_number(report, "saved_max_s", sample_quantile(&times.saved_s, 1.0));
		report_number(report, "daemon_cpu_s", sample_p50(&times.cpu_s));
		report_end(report);
	}
	sample_release(&times.cpu_s);
	sample_release(&times.import_s);
	sample_release(&times.ready_s);
	sample_release(&times.saved_s);
	return r ? bench_fail("cannot make an index", r) : 0;
}

/* Inserts. ------------------------------------------------------------------------------------ */

struct insert_times {
	struct sample before_us, before_inside_us; /* inside: what the daemon says it took */
	struct sample after_us, after_inside_us;
	struct sample insert_us;
	struct sample scanned;
};

static int search_window(struct index_run *run, struct sample *us, struct sample *inside_us,
                         struct sample *scanned)
{
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, N_SEARCHES) && !r; i++) {
		struct kith_search_result *answer;
		uint64_t start = clock_ns();

		r = kith_side_search(run->side.conn, COLLECTION, run->dataset, i, BENCH_K, 0,
		                     &answer);
		if (r)
			break;
		sample_add(us, elapsed_us(start));
		sample_add(inside_us, (double)answer->time_us);
		if (scanned)
			sample_add(scanned, (double)answer->scanned);
		if (answer->mode != KITH_MODE_HNSW)
			r = bench_fail("the index does not answer", -EBADMSG);
		kith_free(answer);
	}
	return r;
}

/* Queries as records: of the same kind as the rows, and not among them. */
static int insert_singly(struct index_run *run, struct sample *us)
{
	const struct dataset *dataset = run->dataset;
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, N_INSERTS) && !r; i++) {
		uint64_t id = run->next_id++;
		uint64_t start = clock_ns();

		r = kith_side_upsert(run->side.conn, COLLECTION, id, dataset_query(dataset, id),
		                     dataset->dim);
		sample_add(us, elapsed_us(start));
	}
	return r;
}

static void tell_inserts(struct index_run *run, struct insert_times *times)
{
	struct report *report = run->bench->report;
	double before = sample_p50(&times->before_us);
	double after = sample_p50(&times->after_us);

	report_begin(report, "index", "300 inserts", run->dataset->name);
	report_count(report, "rounds", bench_rounds(run->bench, INSERT_ROUNDS));
	report_number(report, "insert_p50_us", sample_p50(&times->insert_us));
	report_number(report, "before_p50_us", before);
	report_number(report, "before_p99_us", sample_p99(&times->before_us));
	report_number(report, "before_inside_p50_us", sample_p50(&times->before_inside_us));
	report_number(report, "after_p50_us", after);
	report_number(report, "after_p99_us", sample_p99(&times->after_us));
	report_number(report, "after_inside_p50_us", sample_p50(&times->after_inside_us));
	report_number(report, "after_scanned_p50", sample_p50(&times->scanned));
	report_at_most(report, "ratio", after / before, BAR_INSERT_RATIO);
	report_end(report);
}

static int measure_inserts(struct index_run *run)
{
	struct insert_times times = {0};
	int r = kith_side_warm(&run->side, COLLECTION, run->dataset);

	for (size_t i = 0; i < bench_rounds(run->bench, INSERT_ROUNDS) && !r; i++) {
		/* All that an earlier round wrote is folded in, and nothing goes on beside. */
		r = kith_side_optimize(&run->side, COLLECTION);
		r = r ? r : search_window(run, &times.before_us, &times.before_inside_us, NULL);
		r = r ? r : insert_singly(run, &times.insert_us);
		r = r ? r
		      : search_window(run, &times.after_us, &times.after_inside_us, &times.scanned);
	}
	if (!r)
		tell_inserts(run, &times);
	sample_release(&times.before_us);
	sample_release(&times.before_inside_us);
	sample_release(&times.after_us);
	sample_release(&times.after_inside_us);
	sample_release(&times.insert_us);
	sample_release(&times.scanned);
	return r ? bench_fail("cannot search beside inserts", r) : 0;
}

/* An index that is there. --------------------------------------------------------------------- */

static int measure_ensure_at(struct index_run *run, const char *placement, size_t cpu_idx)
{
	struct report *report = run->bench->report;
	struct sample ping_us = {0};
	struct sample ensure_us = {0};
	int r = cpu_keep(0, 0);

	r = r ? r : cpu_keep(run->side.daemon->pid, cpu_idx);
	for (size_t i = 0; i < bench_rounds(run->bench, ENSURE_ROUNDS) && !r; i++) {
		uint64_t start = clock_ns();

		r = kith_ping(run->side.conn);
		sample_add(&ping_us, elapsed_us(start));
		start = clock_ns();
		r = r ? r : kith_side_ensure(&run->side, COLLECTION);
		sample_add(&ensure_us, elapsed_us(start));
	}
	cpu_keep_anywhere(0);
	cpu_keep_anywhere(run->side.daemon->pid);
	if (!r) {
		double ping = sample_p50(&ping_us);
		double ensure = sample_p50(&ensure_us);

		report_begin(report, "index", "ensure of an existing one", run->dataset->name);
		report_text(report, "placement", placement);
		report_count(report, "rounds", ensure_us.n);
		report_number(report, "ping_p50_us", ping);
		report_number(report, "p50_us", ensure);
		report_number(report, "p99_us", sample_p99(&ensure_us));
		report_at_most(report, "ratio", ensure / ping, BAR_ENSURE_RATIO);
		report_end(report);
	}
	sample_release(&ping_us);
	sample_release(&ensure_us);
	return r ? bench_fail("cannot ensure an index that is there", r) : 0;
}

static int measure_ensure(struct index_run *run)
{
	int r = kith_side_optimize(&run->side, COLLECTION);

	if (r)
		return bench_fail("cannot come to rest", r);
	r = measure_ensure_at(run, "one cpu", 0);
	if (!r && cpu_count() > 1)
		r = measure_ensure_at(run, "two cpus", 1);
	return r;
}

int suite_index(struct bench *bench)
{
	struct index_run run = {.bench = bench};
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
	if (r)
		bench_fail("cannot start the daemon", r);
	r = r ? r : measure_ready(&run);
	r = r ? r : measure_inserts(&run);
	r = r ? r : measure_ensure(&run);
	kith_side_stop(&run.side);
	dataset_free(dataset);
	return r;
}
