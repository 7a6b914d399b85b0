/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/sweep.h"

#include "tests/bench/sample.h"

/* Timed passes over all queries at each ef, and how many queries a searcher has before the next
 * one's turn: a moment, so that what else the machine does falls on all of them alike. */
#define PASSES 5
#define TURN_QUERIES 100

static const uint32_t efs[SWEEP_POINTS] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512};

/* What one searcher has measured at one ef. */
struct timing {
	struct sample query_us;
	struct sample turn_qps;
};

/* Once over all queries without a clock: how good the answers are, and all that is to be warm. */
static int judge(const struct dataset *dataset, const struct searcher *searcher, uint32_t ef,
                 struct sweep_point *ret)
{
	size_t n_right = 0;
	uint64_t n_compared = 0;

	for (size_t i = 0; i < dataset->n_queries; i++) {
		uint64_t rows[BENCH_K];
		uint64_t comparisons;
		int r = searcher->search(searcher->ctx, i, ef, rows, &comparisons);

		if (r)
			return r;
		n_right += dataset_n_right(dataset, i, rows, BENCH_K);
		n_compared += comparisons;
	}
	*ret = (struct sweep_point){
	        .ef = ef,
	        .recall = (double)n_right / (double)(dataset->n_queries * BENCH_K),
	        .comparisons = (double)n_compared / (double)dataset->n_queries,
	};
	return 0;
}

static int time_turn(const struct searcher *searcher, uint32_t ef, size_t first, size_t n,
                     struct timing *timing)
{
	uint64_t start = clock_ns();

	for (size_t i = first; i < first + n; i++) {
		uint64_t rows[BENCH_K];
		uint64_t asked = clock_ns();
		int r = searcher->search(searcher->ctx, i, ef, rows, NULL);

		if (r)
			return r;
		sample_add(&timing->query_us, elapsed_us(asked));
	}
	sample_add(&timing->turn_qps, (double)n / elapsed_us(start) * 1e6);
	return 0;
}

static int time_pass(const struct dataset *dataset, const struct searcher *searchers, size_t n,
                     uint32_t ef, struct timing *timings)
{
	int r = 0;

	for (size_t first = 0; first < dataset->n_queries; first += TURN_QUERIES) {
		size_t left = dataset->n_queries - first;
		size_t n_turn = left < TURN_QUERIES ? left : TURN_QUERIES;

		for (size_t i = 0; i < n && !r; i++)
			r = time_turn(&searchers[i], ef, first, n_turn, &timings[i]);
	}
	return r;
}

static void settle(struct timing *timing, struct sweep_point *point)
{
	point->qps = sample_p50(&timing->turn_qps);
	point->p50_us = sample_p50(&timing->query_us);
	point->p99_us = sample_p99(&timing->query_us);
	sample_release(&timing->query_us);
	sample_release(&timing->turn_qps);
}

static int run_point(const struct dataset *dataset, struct searcher *searchers, size_t n,
                     size_t point_idx)
{
	struct timing timings[SWEEP_MAX_SEARCHERS] = {0};
	uint32_t ef = efs[point_idx];
	int r = 0;

	for (size_t i = 0; i < n && !r; i++)
		r = judge(dataset, &searchers[i], ef, &searchers[i].points[point_idx]);
	for (size_t pass = 0; pass < PASSES && !r; pass++)
		r = time_pass(dataset, searchers, n, ef, timings);
	for (size_t i = 0; i < n; i++)
		settle(&timings[i], &searchers[i].points[point_idx]);
	return r;
}

int sweep_run(const struct dataset *dataset, struct searcher *searchers, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < SWEEP_POINTS && !r; i++)
		r = run_point(dataset, searchers, n, i);
	return r ? bench_fail("cannot search", r) : 0;
}

static double between(double a, double b, double share)
{
	return a + (b - a) * share;
}

bool sweep_at(const struct searcher *searcher, double recall, struct sweep_point *ret)
{
	const struct sweep_point *b = searcher->points;
	const struct sweep_point *end = b + SWEEP_POINTS;
	const struct sweep_point *a;
	double share;

	while (b < end && b->recall < recall)
		b++;
	if (b == end)
		return false;
	if (b == searcher->points) {
		*ret = *b;
		return true;
	}
	a = b - 1;
	share = (recall - a->recall) / (b->recall - a->recall);
	*ret = (struct sweep_point){
	        .ef = between(a->ef, b->ef, share),
	        .recall = recall,
	        .qps = 1.0 / between(1.0 / a->qps, 1.0 / b->qps, share),
	        .p50_us = between(a->p50_us, b->p50_us, share),
	        .p99_us = between(a->p99_us, b->p99_us, share),
	        .comparisons = between(a->comparisons, b->comparisons, share),
	};
	return true;
}

void sweep_tell(struct report *report, const char *suite, const struct dataset *dataset,
                const struct searcher *searcher)
{
	for (size_t i = 0; i < SWEEP_POINTS; i++) {
		const struct sweep_point *point = &searcher->points[i];

		report_begin(report, suite, searcher->engine, dataset->name);
		report_text(report, "what", "sweep");
		report_text(report, "through", searcher->through);
		report_count(report, "ef", (uint64_t)point->ef);
		report_number(report, "recall", point->recall);
		report_number(report, "qps", point->qps);
		report_number(report, "p50_us", point->p50_us);
		report_number(report, "p99_us", point->p99_us);
		report_number(report, "comparisons", point->comparisons);
		report_end(report);
	}
}
