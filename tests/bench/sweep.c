/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/sweep.h"

#include "tests/bench/sample.h"

/* Timed queries of each searcher at each ef, in passes over all of them, and how many it has before
 * the next one's turn: a moment, so that what else the machine does falls on all of them alike. */
#define TIMED_QUERIES 2000
/* And how often the same one, of a set that has few. */
#define TIMED_PASSES 10
#define TURN_QUERIES 100
/* A recall that nobody asks for more than: a searcher that has it, from the usual ef on, is done.
 */
#define ENOUGH_RECALL 0.9995

/* Close together where recall climbs fast: what is read between two of them is a straight line. */
static const uint32_t efs[SWEEP_POINTS] = {
        10, 12, 14,  16,  18,  20,  24, 28, 32, 40, 48, 56, SWEEP_EF_USUAL,
        80, 96, 128, 192, 256, 384, 512};

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
	struct search_work all = {0};

	for (size_t i = 0; i < dataset->n_queries; i++) {
		uint64_t rows[BENCH_K];
		struct search_work work = {0};
		int r = searcher->search(searcher->ctx, i, ef, rows, &work);

		if (r)
			return r;
		n_right += dataset_n_right(dataset, i, rows, BENCH_K);
		all.comparisons += work.comparisons;
		all.refined += work.refined;
	}
	*ret = (struct sweep_point){
	        .ef = ef,
	        .recall = (double)n_right / (double)(dataset->n_queries * BENCH_K),
	        .comparisons = (double)all.comparisons / (double)dataset->n_queries,
	        .refined = (double)all.refined / (double)dataset->n_queries,
	};
	return 0;
}

static size_t n_timed(const struct dataset *dataset)
{
	size_t n = dataset->n_queries * TIMED_PASSES;

	return n < TIMED_QUERIES ? n : TIMED_QUERIES;
}

static int time_turn(const struct searcher *searcher, uint32_t ef, size_t first, size_t n,
                     struct timing *timing)
{
	uint64_t start = clock_ns();
	uint64_t thread_start = thread_ns();
	double us;

	for (size_t i = first; i < first + n; i++) {
		uint64_t rows[BENCH_K];
		uint64_t asked = clock_ns();
		int r = searcher->search(searcher->ctx, i, ef, rows, NULL);

		if (r)
			return r;
		sample_add(&timing->query_us, elapsed_us(asked));
	}
	us = searcher->is_alone ? thread_us(thread_start) : elapsed_us(start);
	sample_add(&timing->turn_qps, (double)n / us * 1e6);
	return 0;
}

static size_t turn_queries(const struct dataset *dataset, size_t first)
{
	size_t left = dataset->n_queries - first;

	return left < TURN_QUERIES ? left : TURN_QUERIES;
}

static int time_pass(const struct dataset *dataset, const struct searcher *searchers, size_t n,
                     size_t point_idx, struct timing *timings)
{
	int r = 0;

	for (size_t first = 0; first < dataset->n_queries; first += TURN_QUERIES) {
		size_t n_turn = turn_queries(dataset, first);

		for (size_t i = 0; i < n && !r; i++)
			if (searchers[i].n_points > point_idx)
				r = time_turn(&searchers[i], efs[point_idx], first, n_turn,
				              &timings[i]);
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

static bool is_done(const struct searcher *searcher)
{
	const struct sweep_point *last = searcher->points + searcher->n_points - 1;

	return searcher->n_points > 0 && last->ef >= SWEEP_EF_USUAL &&
	       last->recall >= ENOUGH_RECALL;
}

static int run_point(const struct dataset *dataset, struct searcher *searchers, size_t n,
                     size_t point_idx)
{
	struct timing timings[SWEEP_MAX_SEARCHERS] = {0};
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		struct searcher *searcher = &searchers[i];

		if (is_done(searcher))
			continue;
		r = judge(dataset, searcher, efs[point_idx], &searcher->points[point_idx]);
		searcher->n_points++;
	}
	for (size_t done = 0; done < n_timed(dataset) && !r; done += dataset->n_queries)
		r = time_pass(dataset, searchers, n, point_idx, timings);
	for (size_t i = 0; i < n; i++)
		if (searchers[i].n_points > point_idx)
			settle(&timings[i], &searchers[i].points[point_idx]);
	return r;
}

static void tell(struct report *report, const char *suite, const struct dataset *dataset,
                 const struct searcher *searcher, const struct sweep_point *point)
{
	report_begin(report, suite, searcher->engine, dataset->name);
	report_text(report, "what", "sweep");
	report_text(report, "through", searcher->through);
	report_count(report, "ef", (uint64_t)point->ef);
	report_number(report, "recall", point->recall);
	report_number(report, "qps", point->qps);
	report_number(report, "p50_us", point->p50_us);
	report_number(report, "p99_us", point->p99_us);
	report_number(report, "comparisons", point->comparisons);
	report_number(report, "refined", point->refined);
	report_end(report);
}

int sweep_run(struct report *report, const char *suite, const struct dataset *dataset,
              struct searcher *searchers, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < SWEEP_POINTS && !r; i++) {
		r = run_point(dataset, searchers, n, i);
		for (size_t j = 0; j < n && !r; j++)
			if (searchers[j].n_points > i)
				tell(report, suite, dataset, &searchers[j],
				     &searchers[j].points[i]);
	}
	return r ? bench_fail("cannot search", r) : 0;
}

int sweep_once(const struct dataset *dataset, const struct searcher *searcher, uint32_t ef,
               struct sweep_point *ret)
{
	struct timing timing = {0};
	size_t first = 0;
	int r = judge(dataset, searcher, ef, ret);

	for (size_t done = 0; done < n_timed(dataset) && !r; done += turn_queries(dataset, first)) {
		first = done % dataset->n_queries;
		r = time_turn(searcher, ef, first, turn_queries(dataset, first), &timing);
	}
	settle(&timing, ret);
	return r ? bench_fail("cannot search", r) : 0;
}

static double between(double a, double b, double share)
{
	return a + (b - a) * share;
}

bool sweep_at(const struct searcher *searcher, double recall, struct sweep_point *ret)
{
	const struct sweep_point *b = searcher->points;
	const struct sweep_point *end = b + searcher->n_points;
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
	        .refined = between(a->refined, b->refined, share),
	};
	return true;
}
