/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * What durability costs. A single upsert stands beside an append and fdatasync of as many bytes to
 * a file on the same disk, in turns; many writers beside one, in turns too; and the import of the
 * whole set beside writing its bytes to one file with one fdatasync.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/bench/kith_side.h"
#include "tests/bench/sample.h"

#define COLLECTION "write"
#define SINGLE_ROUNDS 500
#define N_WRITERS 8
#define SPELLS 3
#define SPELL_US 1e6
#define IMPORTS 3
/* A record's id and what frames it, beside its vector. */
#define RECORD_EXTRA_BYTES 64
#define BAR_SINGLE_RATIO 3
#define BAR_WRITERS_RATIO 3
#define BAR_ROWS_PER_S 25000

struct write_run {
	struct bench *bench;
	struct kith_side side;
	const struct dataset *dataset;
	uint64_t next_id;
	int raw_fd;
	struct sample one_per_s;
	struct sample many_per_s;
};

/* One upsert. ------------------------------------------------------------------------------- */

static int raw_write(struct write_run *run, size_t n)
{
	const char *bytes = (const char *)run->dataset->base;

	while (n > 0) {
		ssize_t put = write(run->raw_fd, bytes, n);

		if (put < 0)
			return -errno;
		bytes += put;
		n -= (size_t)put;
	}
	return fdatasync(run->raw_fd) < 0 ? -errno : 0;
}

static int upsert_next(struct write_run *run)
{
	uint64_t id = run->next_id++;

	return kith_side_upsert(run->side.conn, COLLECTION, id,
	                        dataset_row(run->dataset, id % run->dataset->n_base),
	                        run->dataset->dim);
}

static int measure_single(struct write_run *run)
{
	struct report *report = run->bench->report;
	size_t n_bytes = run->dataset->dim * sizeof(float) + RECORD_EXTRA_BYTES;
	struct sample raw_us = {0};
	struct sample upsert_us = {0};
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, SINGLE_ROUNDS) && !r; i++) {
		uint64_t start = clock_ns();

		r = raw_write(run, n_bytes);
		sample_add(&raw_us, elapsed_us(start));
		start = clock_ns();
		r = r ? r : upsert_next(run);
		sample_add(&upsert_us, elapsed_us(start));
	}
	if (!r) {
		double raw_p50 = sample_p50(&raw_us);
		double upsert_p50 = sample_p50(&upsert_us);

		report_begin(report, "write", "upsert of one", run->dataset->name);
		report_count(report, "rounds", upsert_us.n);
		report_number(report, "raw_p50_us", raw_p50);
		report_number(report, "raw_p99_us", sample_p99(&raw_us));
		report_number(report, "p50_us", upsert_p50);
		report_number(report, "p99_us", sample_p99(&upsert_us));
		report_at_most(report, "ratio", upsert_p50 / raw_p50, BAR_SINGLE_RATIO);
		report_end(report);
	}
	sample_release(&raw_us);
	sample_release(&upsert_us);
	return r ? bench_fail("cannot write", r) : 0;
}

/* Many writers. ------------------------------------------------------------------------------- */

struct writer {
	const struct write_run *run;
	struct kith_conn *conn;
	uint64_t next_id;
	uint64_t until_ns;
	size_t n_done;
	int r;
	pthread_t thread;
};

static void *write_on(void *arg)
{
	struct writer *writer = arg;
	const struct dataset *dataset = writer->run->dataset;

	while (clock_ns() < writer->until_ns && !writer->r) {
		uint64_t id = writer->next_id++;

		writer->r =
		        kith_side_upsert(writer->conn, COLLECTION, id,
		                         dataset_row(dataset, id % dataset->n_base), dataset->dim);
		writer->n_done += writer->r == 0;
	}
	return NULL;
}

/* n writers, each alone on its connection, write one record after the other for a while. */
static int write_spell(struct write_run *run, size_t n, double *ret_per_s)
{
	struct writer writers[N_WRITERS] = {0};
	uint64_t start;
	size_t n_started = 0;
	size_t n_done = 0;
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		writers[i].run = run;
		writers[i].next_id = run->next_id;
		run->next_id += 1000000;
		r = kith_side_connect(&run->side, &writers[i].conn);
	}
	start = clock_ns();
	for (; n_started < n && !r; n_started++) {
		writers[n_started].until_ns =
		        start + (uint64_t)(bench_turn_us(run->bench, SPELL_US) * 1e3);
		r = -pthread_create(&writers[n_started].thread, NULL, write_on,
		                    &writers[n_started]);
		if (r)
			break;
	}
	for (size_t i = 0; i < n_started; i++) {
		pthread_join(writers[i].thread, NULL);
		n_done += writers[i].n_done;
		r = r ? r : writers[i].r;
	}
	*ret_per_s = (double)n_done / elapsed_us(start) * 1e6;
	for (size_t i = 0; i < n; i++)
		kith_close(writers[i].conn);
	return r;
}

static int measure_writers(struct write_run *run)
{
	struct report *report = run->bench->report;
	double per_s;
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, SPELLS) && !r; i++) {
		r = write_spell(run, 1, &per_s);
		sample_add(&run->one_per_s, per_s);
		r = r ? r : write_spell(run, N_WRITERS, &per_s);
		sample_add(&run->many_per_s, per_s);
	}
	if (!r) {
		double one = sample_p50(&run->one_per_s);
		double many = sample_p50(&run->many_per_s);

		report_begin(report, "write", "8 writers", run->dataset->name);
		report_number(report, "one_per_s", one);
		report_number(report, "eight_per_s", many);
		report_at_least(report, "ratio", many / one, BAR_WRITERS_RATIO);
		report_end(report);
	}
	sample_release(&run->one_per_s);
	sample_release(&run->many_per_s);
	return r ? bench_fail("cannot write beside others", r) : 0;
}

/* Import. ------------------------------------------------------------------------------------- */

static int import_once(struct write_run *run, double *ret_raw_s, double *ret_import_s)
{
	uint64_t start = clock_ns();
	int r = raw_write(run, run->dataset->n_base * run->dataset->dim * sizeof(float));

	*ret_raw_s = elapsed_us(start) * 1e-6;
	r = r ? r : kith_side_create(&run->side, "import", run->dataset);
	start = clock_ns();
	r = r ? r : kith_side_import(&run->side, "import", run->dataset);
	*ret_import_s = elapsed_us(start) * 1e-6;
	return r ? r : kith_side_drop(&run->side, "import");
}

static int measure_import(struct write_run *run)
{
	struct report *report = run->bench->report;
	struct sample raw_s = {0};
	struct sample import_s = {0};
	int r = 0;

	for (size_t i = 0; i < bench_rounds(run->bench, IMPORTS) && !r; i++) {
		double raw;
		double import;

		r = import_once(run, &raw, &import);
		sample_add(&raw_s, raw);
		sample_add(&import_s, import);
	}
	if (!r) {
		double raw = sample_p50(&raw_s);
		double import = sample_p50(&import_s);

		report_begin(report, "write", "import", run->dataset->name);
		report_count(report, "rows", run->dataset->n_base);
		report_number(report, "raw_s", raw);
		report_number(report, "import_s", import);
		report_number(report, "ratio", import / raw);
		report_at_least(report, "rows_per_s", (double)run->dataset->n_base / import,
		                BAR_ROWS_PER_S);
		report_end(report);
	}
	sample_release(&raw_s);
	sample_release(&import_s);
	return r ? bench_fail("cannot import", r) : 0;
}

static int open_raw(struct write_run *run)
{
	char path[DAEMON_PROCESS_PATH_SIZE + 8];

	snprintf(path, sizeof(path), "%s/raw", run->side.daemon->root);
	run->raw_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return run->raw_fd < 0 ? -errno : 0;
}

int suite_write(struct bench *bench)
{
	struct write_run run = {.bench = bench, .raw_fd = -1};
	struct dataset *dataset;
	int r;

	if (!bench->with_socket)
		return 0;
	r = bench_read_set(bench, &dataset);
	if (r)
		return r;
	run.dataset = dataset;
	r = kith_side_start(&run.side);
	r = r ? r : open_raw(&run);
	r = r ? r : kith_side_create(&run.side, COLLECTION, dataset);
	if (r)
		bench_fail("cannot start the daemon", r);
	r = r ? r : measure_single(&run);
	r = r ? r : measure_writers(&run);
	r = r ? r : measure_import(&run);
	if (run.raw_fd >= 0)
		close(run.raw_fd);
	kith_side_stop(&run.side);
	dataset_free(dataset);
	return r;
}
