/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * The exact scan, in this process. Each round reads all rows once with nothing but additions, scans
 * them, and scans them once more by way of their codes, so that all see the same machine; the
 * ratios to the first are what a scan costs beside memory itself. The answers by way of the codes
 * are the same to the last bit, or nothing is told. Times are those of the thread.
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
#define BAR_CODES_RATIO 0.35

static const uint32_t query_counts[] = {1, 4, 16};

struct figures {
	struct sample read_us;
	struct sample scan_us;
	struct sample codes_us; /* empty without codes */
	size_t n_other;         /* answers by way of the codes that were others */
	size_t n_answers;
	size_t n_right;
	float sum; /* so that no pass is optimised away */
};

/* A scan by way of the codes, which has to find what the scan without found. */
static void measure_codes(const struct row_set *set, const struct codes *codes, size_t query_idx,
                          uint32_t n_queries, const struct hit *hits, struct figures *figures)
{
	struct hit by_codes[ROW_SET_MAX_QUERIES * BENCH_K];
	uint64_t start = thread_ns();

	row_set_hits(set, kernels_best(set->dtype), codes, query_idx, n_queries, BENCH_K, by_codes);
	sample_add(&figures->codes_us, thread_us(start));
	for (size_t i = 0; i < (size_t)n_queries * BENCH_K; i++)
		figures->n_other += by_codes[i].row_idx != hits[i].row_idx ||
		                    memcmp(&by_codes[i].distance, &hits[i].distance,
		                           sizeof(hits[i].distance)) != 0;
}

/* codes: NULL to leave them out. */
static void measure(const struct row_set *set, const struct kernels *kernels,
                    const struct codes *codes, uint32_t n_queries, struct figures *figures)
{
	struct hit hits[ROW_SET_MAX_QUERIES * BENCH_K];
	uint64_t rows[BENCH_K];
	uint64_t begin = clock_ns();
	size_t query_idx = 0;

	row_set_hits(set, kernels, NULL, query_idx, n_queries, BENCH_K, hits);
	for (size_t round = 0; round < MAX_ROUNDS; round++) {
		uint64_t start = thread_ns();

		if (round >= MIN_ROUNDS && elapsed_us(begin) > ENOUGH_US)
			break;
		figures->sum += row_set_read(set);
		sample_add(&figures->read_us, thread_us(start));
		start = thread_ns();
		row_set_hits(set, kernels, NULL, query_idx, n_queries, BENCH_K, hits);
		sample_add(&figures->scan_us, thread_us(start));
		if (codes)
			measure_codes(set, codes, query_idx, n_queries, hits, figures);
		for (uint32_t i = 0; i < n_queries; i++) {
			for (size_t j = 0; j < BENCH_K; j++)
				rows[j] = hits[i * BENCH_K + j].row_idx;
			figures->n_right +=
			        dataset_n_right(set->dataset, query_idx + i, rows, BENCH_K);
		}
		figures->n_answers += (size_t)n_queries * BENCH_K;
		query_idx += n_queries;
	}
}

static void release(struct figures *figures)
{
	sample_release(&figures->read_us);
	sample_release(&figures->scan_us);
	sample_release(&figures->codes_us);
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

/* The same rounds, of the scan by way of the codes. */
static void tell_codes(struct bench *bench, const struct row_set *set, const struct codes *codes,
                       uint32_t n_queries, struct figures *figures)
{
	struct report *report = bench->report;
	double codes_us = sample_p50(&figures->codes_us);
	double read_us = sample_p50(&figures->read_us);

	report_begin(report, "exact", "codes", set->dataset->name);
	report_text(report, "vectors", set->name);
	report_text(report, "kernels", codes->sq8.kernels->name);
	report_count(report, "row_bytes", codes->sq8.coarse_bytes + codes->sq8.fine_bytes);
	report_count(report, "queries_at_once", n_queries);
	report_count(report, "rounds", figures->codes_us.n);
	report_number(report, "read_p50_ms", read_us * 1e-3);
	report_number(report, "p50_ms", codes_us * 1e-3);
	report_number(report, "p99_ms", sample_p99(&figures->codes_us) * 1e-3);
	report_number(report, "per_query_ms", codes_us * 1e-3 / n_queries);
	report_number(report, "scan_ratio", codes_us / sample_p50(&figures->scan_us));
	if (n_queries == 1 && set->dtype == DTYPE_F32)
		report_at_most(report, "ratio", codes_us / read_us, BAR_CODES_RATIO);
	else
		report_number(report, "ratio", codes_us / read_us);
	report_end(report);
}

/* Every answer must be right; over rounded vectors it need not be that of the dataset. codes: NULL
 * to leave them out. */
static int run_queries(struct bench *bench, const struct row_set *set,
                       const struct kernels *kernels, const struct codes *codes, uint32_t n_queries)
{
	struct figures figures = {0};
	bool right;

	measure(set, kernels, codes, n_queries, &figures);
	tell(bench, kernels->name, set, n_queries, &figures);
	if (codes && figures.n_other == 0)
		tell_codes(bench, set, codes, n_queries, &figures);
	right = figures.n_other == 0 &&
	        (set->dtype != DTYPE_F32 || figures.n_right == figures.n_answers);
	release(&figures);
	return right ? 0 : bench_fail("the exact scan is not exact", -EBADMSG);
}

/* Every kernel set with every number of queries at once; the codes beside the best of them. */
static int run_on(struct bench *bench, const struct row_set *set)
{
	struct codes codes;
	int r = row_set_encode(set, &codes);

	if (r)
		return bench_fail("cannot encode the rows", r);
	for (const struct kernels *const *kernels = kernels_all(set->dtype); *kernels; kernels++) {
		bool best = *kernels == kernels_best(set->dtype);

		for (size_t i = 0; i < sizeof(query_counts) / sizeof(*query_counts) && !r; i++)
			r = run_queries(bench, set, *kernels, best ? &codes : NULL,
			                query_counts[i]);
	}
	codes_release(&codes);
	return r;
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
		uint64_t start = thread_ns();

		figures.sum += row_set_read(set);
		sample_add(&figures.read_us, thread_us(start));
		start = thread_ns();
		peer->search(index, dataset_query(set->dataset, query_idx), BENCH_K, rows);
		sample_add(&figures.scan_us, thread_us(start));
		figures.n_right += dataset_n_right(set->dataset, query_idx, rows, BENCH_K);
		figures.n_answers += BENCH_K;
	}
	peer->close(index);
	tell(bench, peer->name, set, 1, &figures);
	release(&figures);
	return 0;
}

static int run_peers(struct bench *bench, const struct dataset *dataset)
{
	struct row_set *set;
	int r = row_set_resident(dataset, METRIC_L2, &set);

	if (r)
		return bench_fail("cannot lay out the rows", r);
	for (const struct peer *const *peer = peers; *peer && !r; peer++)
		if (peer_is_wanted((*peer)->name, bench->peer))
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
