/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * The exact scan, in this process. Each round reads all rows once with nothing but additions and
 * then scans them, so that both see the same machine; their ratio is what the scan costs above
 * memory itself.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/peer.h"
#include "tests/bench/row_set.h"
#include "tests/bench/sample.h"

#define MIN_ROUNDS 7
#define MAX_ROUNDS 60
#define ENOUGH_US 2e6
#define BAR_RATIO 1.3

static const uint32_t query_counts[] = {1, 4, 16};

struct figures {
	struct sample read_us;
	struct sample scan_us;
	size_t n_answers;
	size_t n_right;
	float sum; /* so that no pass is optimised away */
};

static void measure(const struct row_set *set, const struct kernels *kernels, uint32_t n_queries,
                    struct figures *figures)
{
	uint64_t rows[ROW_SET_MAX_QUERIES * BENCH_K];
	uint64_t begin = clock_ns();
	size_t query_idx = 0;

	row_set_search(set, kernels, query_idx, n_queries, BENCH_K, rows);
	for (size_t round = 0; round < MAX_ROUNDS; round++) {
		uint64_t start = clock_ns();

		if (round >= MIN_ROUNDS && elapsed_us(begin) > ENOUGH_US)
			break;
		figures->sum += row_set_read(set);
		sample_add(&figures->read_us, elapsed_us(start));
		start = clock_ns();
		row_set_search(set, kernels, query_idx, n_queries, BENCH_K, rows);
		sample_add(&figures->scan_us, elapsed_us(start));
		for (uint32_t i = 0; i < n_queries; i++)
			figures->n_right += dataset_n_right(set->dataset, query_idx + i,
			                                    rows + i * BENCH_K, BENCH_K);
		figures->n_answers += (size_t)n_queries * BENCH_K;
		query_idx += n_queries;
	}
}

static void tell(struct bench *bench, const char *engine, const struct row_set *set,
                 uint32_t n_queries, struct figures *figures)
{
	struct report *report = bench->report;
	double read_us = sample_p50(&figures->read_us);
	double scan_us = sample_p50(&figures->scan_us);

	report_begin(report, "exact", engine, set->dataset->name);
	report_text(report, "vectors", set->name);
	report_count(report, "row_bytes", set->stride_bytes);
	report_count(report, "queries_at_once", n_queries);
	report_count(report, "rounds", figures->scan_us.n);
	report_number(report, "read_p50_ms", read_us * 1e-3);
	report_number(report, "p50_ms", scan_us * 1e-3);
	report_number(report, "p99_ms", sample_p99(&figures->scan_us) * 1e-3);
	report_number(report, "per_query_ms", scan_us * 1e-3 / n_queries);
	if (n_queries == 1 && set->dtype == DTYPE_F32 &&
	    strcmp(engine, kernels_best(DTYPE_F32)->name) == 0)
		report_at_most(report, "ratio", scan_us / read_us, BAR_RATIO);
	else
		report_number(report, "ratio", scan_us / read_us);
	report_number(report, "recall", (double)figures->n_right / (double)figures->n_answers);
	report_end(report);
}

/* Every kernel set with every number of queries at once. Every answer must be right; over rounded
 * vectors it need not be that of the dataset. */
static int run_on(struct bench *bench, const struct row_set *set)
{
	for (const struct kernels *const *kernels = kernels_all(set->dtype); *kernels; kernels++) {
		for (size_t i = 0; i < sizeof(query_counts) / sizeof(*query_counts); i++) {
			struct figures figures = {0};
			bool right;

			measure(set, *kernels, query_counts[i], &figures);
			tell(bench, (*kernels)->name, set, query_counts[i], &figures);
			right = set->dtype != DTYPE_F32 || figures.n_right == figures.n_answers;
			sample_release(&figures.read_us);
			sample_release(&figures.scan_us);
			if (!right)
				return bench_fail("the exact scan is not exact", -EBADMSG);
		}
	}
	return 0;
}

/* One query at a time, each round beside one pass over the rows, as above. */
static int run_peer(struct bench *bench, const struct row_set *set, const struct peer *peer)
{
	struct figures figures = {0};
	void *index = peer->open(set->dataset);
	uint64_t rows[BENCH_K];

	if (!index)
		return bench_fail("cannot fill a peer", -ENOMEM);
	for (size_t query_idx = 0; query_idx < MAX_ROUNDS; query_idx++) {
		uint64_t start = clock_ns();

		figures.sum += row_set_read(set);
		sample_add(&figures.read_us, elapsed_us(start));
		start = clock_ns();
		peer->search(index, dataset_query(set->dataset, query_idx), BENCH_K, rows);
		sample_add(&figures.scan_us, elapsed_us(start));
		figures.n_right += dataset_n_right(set->dataset, query_idx, rows, BENCH_K);
		figures.n_answers += BENCH_K;
	}
	peer->close(index);
	tell(bench, peer->name, set, 1, &figures);
	sample_release(&figures.read_us);
	sample_release(&figures.scan_us);
	return 0;
}

static int run_peers(struct bench *bench, const struct dataset *dataset)
{
	struct row_set *set;
	int r = row_set_resident(dataset, METRIC_L2, &set);

	if (r)
		return bench_fail("cannot lay out the rows", r);
	for (const struct peer *const *peer = peers; *peer && !r; peer++)
		r = run_peer(bench, set, *peer);
	if (!peers[0])
		fputs("kith-bench: no peer is built in (libhnswlib-dev)\n", stderr);
	row_set_free(set);
	return r;
}

int suite_exact(struct bench *bench)
{
	int (*const make[])(const struct dataset *, enum metric, struct row_set **) = {
	        row_set_resident, row_set_resident_f16, row_set_mapped};
	struct dataset *dataset;
	int r = bench_read_set(bench, &dataset);

	if (r)
		return r;
	for (size_t i = 0; i < sizeof(make) / sizeof(*make) && !r; i++) {
		struct row_set *set;

		r = make[i](dataset, METRIC_L2, &set);
		if (r) {
			r = bench_fail("cannot lay out the rows", r);
			break;
		}
		r = run_on(bench, set);
		row_set_free(set);
	}
	if (!r && bench->with_peers)
		r = run_peers(bench, dataset);
	dataset_free(dataset);
	return r;
}
