/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

/*
 * What the daemon holds: eight collections, 100,000 vectors of 768 in all, under its default
 * limits, watched through the whole of its life (memory_watch.h). It starts, is written to in 97
 * batches that go round the collections, builds all indexes at once, is left alone until what it
 * holds is unloaded, and is searched, a collection at random each time. Then once more with a
 * budget of a quarter of what the data needs in memory.
 *
 * The ceiling C is what the limits add up to, and a constant for all else. All of it is done twice:
 * by itself, and within a memory cgroup that has 64 MB more than C for everything, files included.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/cache.h"
#include "daemon/cache_backend.h"
#include "tests/bench/kith_side.h"
#include "tests/bench/memory_cgroup.h"
#include "tests/bench/memory_watch.h"
#include "tests/bench/sample.h"

#define N_COLLECTIONS 8
#define N_BATCHES 97
#define N_ROWS_USUAL 100000
#define DIM 768
#define N_FACTORS 16
#define N_QUERIES 25 /* of each collection */
#define N_SEARCHES 4000
#define EF 200
/* What is loaded comes behind the first searches that ask for it: counted is from when each
 * collection has answered from memory, or so many searches have gone by. */
#define N_WARMING 1000
#define PIPELINE 4
#define BUILD_PATIENCE_MS 600000

/* Limits, as the daemon has them unless told otherwise. */
#define INDEX_CACHE_MB 256
#define METADATA_CACHE_MB 64
#define INFLIGHT_MB 64
#define REST_MB 24
#define CGROUP_MORE_MB 64
/* Bars. */
#define IDLE_BAR_MB 12
#define RESTED_BAR_MB 40
#define RESTED_BAR_S 10
#define RESIDENT_BAR 0.9
#define RECALL_BAR 0.99
#define HIT_BAR_NS 200

#define IDLE_UNLOAD_S 4 /* so that nobody waits for the usual five minutes */
#define OVER_BUDGET 4   /* times as much data as budget */
#define LOOK_NS 50000000L

struct memory_run {
	struct bench *bench;
	struct kith_side side;
	struct memory_watch *watch;
	struct memory_cgroup cgroup; /* its path is "" for the run without */
	struct dataset *sets[N_COLLECTIONS];
	size_t batch_rows;
	uint32_t index_cache_mb;
	uint64_t random;
	char set_name[64];
};

static double mb(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static double ceiling_mb(const struct memory_run *run)
{
	return run->index_cache_mb + METADATA_CACHE_MB + INFLIGHT_MB + REST_MB;
}

static uint32_t next_random(struct memory_run *run, uint32_t below)
{
	run->random = run->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(run->random >> 33) % below;
}

static void name_of(size_t collection, char ret[static 16])
{
	snprintf(ret, 16, "c%zu", collection);
}

/* The daemon ----------------------------------------------------------------------------------- */

static int start(struct memory_run *run)
{
	struct daemon_process *daemon = run->side.daemon;
	char number[16];
	int r;

	snprintf(number, sizeof(number), "%u", run->index_cache_mb);
	r = daemon_process_option(daemon, "--index-cache-mb", number);
	snprintf(number, sizeof(number), "%u", IDLE_UNLOAD_S);
	r = r ? r : daemon_process_option(daemon, "--idle-unload-s", number);
	r = r ? r : daemon_process_spawn(daemon);
	if (!r && run->cgroup.path[0])
		r = memory_cgroup_join(&run->cgroup, daemon->pid);
	r = r ? r : daemon_process_await(daemon);
	r = r ? r : memory_watch_new(daemon->pid, &run->watch);
	return r ? r : kith_side_connect(&run->side, &run->side.conn);
}

static int stop(struct memory_run *run)
{
	run->watch = memory_watch_free(run->watch);
	kith_close(run->side.conn);
	run->side.conn = NULL;
	return daemon_process_stop(run->side.daemon);
}

/* Begins a line about the phase; what its bar is about goes to the report first. */
static void tell(struct memory_run *run, const char *phase, double bar_mb)
{
	struct report *report = run->bench->report;
	struct memory_figures figures;
	uint64_t pss, swap;

	memory_watch_figures(run->watch, &figures);
	memory_watch_rollup(run->watch, &pss, &swap);
	report_begin(report, "memory", phase, run->set_name);
	report_text(report, "within", run->cgroup.path[0] ? "a cgroup of C + 64 MB" : "no limit");
	report_at_most(report, "rss_anon_peak_mb", mb(figures.anon_peak_bytes), bar_mb);
	report_number(report, "rss_anon_end_mb", mb(figures.anon_bytes));
	report_number(report, "rss_file_peak_mb", mb(figures.file_peak_bytes));
	report_number(report, "pss_end_mb", mb(pss));
	report_number(report, "swap_end_mb", mb(swap));
	report_count(report, "looks", figures.n_looks);
}

/* Phases --------------------------------------------------------------------------------------- */

static int idle(struct memory_run *run)
{
	memory_watch_begin(run->watch);
	nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
	tell(run, "idle, nothing loaded", IDLE_BAR_MB);
	report_end(run->bench->report);
	return 0;
}

static int create(struct memory_run *run)
{
	int r = 0;

	for (size_t i = 0; i < N_COLLECTIONS && !r; i++) {
		char name[16];

		name_of(i, name);
		r = kith_side_create(&run->side, name, run->sets[i]);
	}
	return r;
}

/* The batch's rows are those of its collection that come after its earlier batches'. */
static int submit_batch(struct memory_run *run, size_t batch, struct kith_id *ids,
                        uint64_t *ret_ticket)
{
	const struct dataset *set = run->sets[batch % N_COLLECTIONS];
	size_t first = batch / N_COLLECTIONS * run->batch_rows;
	char name[16];
	struct kith_upsert_params params = {
	        .ids = {ids, (uint32_t)run->batch_rows},
	        .vectors = kith_vectors(dataset_row(set, first), run->batch_rows * DIM),
	};

	name_of(batch % N_COLLECTIONS, name);
	params.collection = kith_text(name);
	for (size_t i = 0; i < run->batch_rows; i++)
		ids[i] = kith_id_number(first + i);
	return kith_submit_upsert(run->side.conn, &params, ret_ticket);
}

static int write_all(struct memory_run *run)
{
	struct kith_id *ids = malloc(run->batch_rows * sizeof(*ids));
	uint64_t tickets[PIPELINE];
	uint64_t begun = clock_ns();
	int r = ids ? create(run) : -ENOMEM;

	memory_watch_begin(run->watch);
	for (size_t i = 0; i < N_BATCHES + PIPELINE && !r; i++) {
		if (i >= PIPELINE)
			r = kith_collect_upsert(run->side.conn, tickets[i % PIPELINE], KITH_USUAL,
			                        NULL);
		if (!r && i < N_BATCHES)
			r = submit_batch(run, i, ids, &tickets[i % PIPELINE]);
	}
	free(ids);
	if (r)
		return r;
	tell(run, "bulk writing, 97 batches", ceiling_mb(run));
	report_number(run->bench->report, "seconds", elapsed_us(begun) * 1e-6);
	report_end(run->bench->report);
	return 0;
}

static int build_all(struct memory_run *run)
{
	uint64_t tickets[N_COLLECTIONS];
	uint64_t begun = clock_ns();
	int r = 0;

	memory_watch_begin(run->watch);
	for (size_t i = 0; i < N_COLLECTIONS && !r; i++) {
		char name[16];
		struct kith_ensure_index_params params = {.wait = true};

		name_of(i, name);
		params.collection = kith_text(name);
		r = kith_submit_ensure_index(run->side.conn, &params, &tickets[i]);
	}
	for (size_t i = 0; i < N_COLLECTIONS && !r; i++)
		r = kith_collect_ensure_index(run->side.conn, tickets[i], BUILD_PATIENCE_MS, NULL);
	if (r)
		return r;
	tell(run, "building all indexes", ceiling_mb(run));
	report_number(run->bench->report, "seconds", elapsed_us(begun) * 1e-6);
	report_end(run->bench->report);
	return 0;
}

/* What is left, and when it came below the bar: nothing is asked of the daemon meanwhile. */
static int rest(struct memory_run *run, const char *phase)
{
	struct memory_figures figures = {0};
	uint64_t begun = clock_ns();
	double below_s = -1.0;

	while (elapsed_us(begun) < (IDLE_UNLOAD_S + RESTED_BAR_S) * 1e6) {
		memory_watch_figures(run->watch, &figures);
		if (mb(figures.anon_bytes) > RESTED_BAR_MB)
			below_s = -1.0;
		else if (below_s < 0.0)
			below_s = elapsed_us(begun) * 1e-6;
		nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
	}
	memory_watch_begin(run->watch);
	tell(run, phase, RESTED_BAR_MB);
	report_number(run->bench->report, "below_bar_after_s", below_s);
	report_number(run->bench->report, "idle_unload_s", IDLE_UNLOAD_S);
	report_end(run->bench->report);
	return 0;
}

struct search_figures {
	struct sample us;
	uint64_t n_right, n_resident, n_by_graph;
};

static int search_one(struct memory_run *run, size_t collection, struct search_figures *figures)
{
	size_t query = next_random(run, N_QUERIES);
	const struct dataset *set = run->sets[collection];
	struct kith_search_result *answer;
	uint64_t begun = clock_ns();
	char name[16];
	int r;

	name_of(collection, name);
	r = kith_side_search(run->side.conn, name, set, query, BENCH_K, EF, &answer);
	if (r)
		return r;
	sample_add(&figures->us, elapsed_us(begun));
	figures->n_right += kith_side_n_right(set, query, answer);
	figures->n_resident += answer->served_from == KITH_SOURCE_RESIDENT;
	figures->n_by_graph += answer->mode == KITH_MODE_HNSW;
	kith_free(answer);
	return 0;
}

static int search_once(struct memory_run *run, struct search_figures *figures)
{
	return search_one(run, next_random(run, N_COLLECTIONS), figures);
}

/* Collections by turns, until each answers from memory. Returns how many searches that took. */
static int warm_up(struct memory_run *run, uint64_t *ret_n)
{
	size_t n_warm = 0;
	int r = 0;

	for (*ret_n = 0; n_warm < N_COLLECTIONS && *ret_n < N_WARMING && !r; ++*ret_n) {
		struct search_figures figures = {0};

		r = search_one(run, *ret_n % N_COLLECTIONS, &figures);
		n_warm = figures.n_resident ? n_warm + 1 : 0;
		sample_release(&figures.us);
	}
	return r;
}

static int search_all(struct memory_run *run, const char *phase, bool fits)
{
	struct report *report = run->bench->report;
	struct search_figures figures = {0};
	uint64_t n_warming = 0;
	double resident;
	int r = 0;

	memory_watch_begin(run->watch);
	if (fits)
		r = warm_up(run, &n_warming);
	for (size_t i = 0; i < N_SEARCHES && !r; i++)
		r = search_once(run, &figures);
	if (!r) {
		tell(run, phase, ceiling_mb(run));
		resident = (double)figures.n_resident / N_SEARCHES;
		if (fits)
			report_at_least(report, "resident_share", resident, RESIDENT_BAR);
		else
			report_number(report, "resident_share", resident);
		report_at_least(report, "recall", (double)figures.n_right / (N_SEARCHES * BENCH_K),
		                RECALL_BAR);
		report_count(report, "warming_searches", n_warming);
		report_number(report, "graph_share", (double)figures.n_by_graph / N_SEARCHES);
		report_number(report, "p50_us", sample_p50(&figures.us));
		report_number(report, "p99_us", sample_p99(&figures.us));
		report_count(report, "index_cache_mb", run->index_cache_mb);
		report_end(report);
	}
	sample_release(&figures.us);
	return r;
}

/* Starts it again with a quarter of what everything takes in memory. */
static int shrink_budget(struct memory_run *run)
{
	struct kith_stats_result *stats;
	uint64_t used;
	int r = kith_stats(run->side.conn, &stats);

	if (r)
		return r;
	used = stats->budget.used_bytes;
	kith_free(stats);
	r = stop(run);
	run->index_cache_mb = (uint32_t)(mb(used) / OVER_BUDGET);
	return r ? r : start(run);
}

static void tell_cgroup(struct memory_run *run)
{
	struct report *report = run->bench->report;

	report_begin(report, "memory", "the whole in a cgroup", run->set_name);
	report_text(report, "killed", "never");
	report_number(report, "peak_mb", mb(memory_cgroup_peak_bytes(&run->cgroup)));
	report_count(report, "times_full", memory_cgroup_n_full(&run->cgroup));
	report_end(report);
}

static int run_phases(struct memory_run *run)
{
	int r;

	run->index_cache_mb = INDEX_CACHE_MB;
	run->random = 1;
	r = daemon_process_new(&run->side.daemon);
	r = r ? r : start(run);
	r = r ? r : idle(run);
	r = r ? r : write_all(run);
	r = r ? r : build_all(run);
	r = r ? r : rest(run, "after work");
	r = r ? r : search_all(run, "searching all 8 at random", true);
	r = r ? r : shrink_budget(run);
	r = r ? r : search_all(run, "data 4 times the budget, at random", false);
	r = r ? r : rest(run, "after searching");
	if (r)
		bench_fail("cannot finish the run", r);
	r = r ? r : stop(run);
	run->watch = memory_watch_free(run->watch);
	kith_side_stop(&run->side);
	return r;
}

static int run_in_cgroup(struct memory_run *run)
{
	uint64_t limit_mb = INDEX_CACHE_MB + METADATA_CACHE_MB + INFLIGHT_MB + REST_MB;
	int r = memory_cgroup_make(&run->cgroup, (limit_mb + CGROUP_MORE_MB) << 20);

	if (r) {
		fprintf(stderr, "kith-bench: no run within a memory cgroup: %s\n", strerror(-r));
		return 0;
	}
	r = run_phases(run);
	if (!r)
		tell_cgroup(run);
	memory_cgroup_remove(&run->cgroup);
	return r;
}

/* A hit of the cache ----------------------------------------------------------------------------
 */

#define N_ENTRIES 64
#define N_HITS 2000000

static uint64_t entry_size(const struct cache_entry *entry)
{
	(void)entry;
	return 1;
}

static void entry_free(struct cache_entry *entry)
{
	(void)entry;
}

static const struct cache_type entry_type = {
        .tag = "entry", .size_bytes = entry_size, .free = entry_free};

static int fill_cache(struct cache *cache, struct cache_entry *entries)
{
	int r = 0;

	for (size_t i = 0; i < N_ENTRIES && !r; i++) {
		struct cache_key key = {.index = i, .type = &entry_type};

		cache_entry_init(&entries[i], &key, 1);
		r = cache_insert(cache, &entries[i]);
		cache_entry_unref(&entries[i]);
	}
	return r;
}

/* What a search whose index is in the cache does there: finds it, holds it, lets go of it. */
static int measure_hit(struct bench *bench)
{
	static const struct cache_type *const types[] = {&entry_type};
	struct cache_entry entries[N_ENTRIES];
	struct cache_backend *backend;
	struct cache *cache;
	uint64_t begun;
	int r = cache_backend_arena(&backend);

	r = r ? r : cache_new(backend, clock_system(), types, 1, &cache);
	if (r)
		return bench_fail("cannot make a cache", r);
	r = fill_cache(cache, entries);
	begun = thread_ns();
	for (size_t i = 0; i < bench_rounds(bench, N_HITS) && !r; i++) {
		struct cache_key key = {.index = i * 29 % N_ENTRIES, .type = &entry_type};
		struct cache_entry *entry;

		r = cache_get(cache, &key, &entry);
		if (!r)
			cache_entry_unref(entry);
	}
	if (!r) {
		report_begin(bench->report, "memory", "a hit of the cache", "64 entries");
		report_at_most(bench->report, "ns",
		               thread_us(begun) * 1e3 / (double)bench_rounds(bench, N_HITS),
		               HIT_BAR_NS);
		report_end(bench->report);
	}
	cache_free(cache);
	return r ? bench_fail("the cache has not what was put there", r) : 0;
}

/* The suite -------------------------------------------------------------------------------------
 */

static int make_sets(struct memory_run *run, size_t n_rows)
{
	int r = 0;

	run->batch_rows = (n_rows + N_BATCHES - 1) / N_BATCHES;
	for (size_t i = 0; i < N_COLLECTIONS && !r; i++) {
		size_t n_batches = (N_BATCHES - i + N_COLLECTIONS - 1) / N_COLLECTIONS;

		r = dataset_make_of_factors("synthetic", n_batches * run->batch_rows, N_QUERIES,
		                            DIM, N_FACTORS, i + 1, &run->sets[i]);
		r = r ? r : dataset_find_truth(run->sets[i], BENCH_K);
	}
	snprintf(run->set_name, sizeof(run->set_name), "%d collections, %zu x %d in all",
	         N_COLLECTIONS, run->batch_rows * N_BATCHES, DIM);
	return r ? bench_fail("cannot make the data", r) : 0;
}

int suite_memory(struct bench *bench)
{
	struct memory_run run = {.bench = bench};
	int r = measure_hit(bench);

	/* No life of a daemon is short enough for a trial. */
	if (bench->with_socket && !bench->is_trial && !r) {
		r = make_sets(&run, bench->n_rows ? bench->n_rows : N_ROWS_USUAL);
		r = r ? r : run_phases(&run);
		r = r ? r : run_in_cgroup(&run);
	}
	for (size_t i = 0; i < N_COLLECTIONS; i++)
		dataset_free(run.sets[i]);
	return r;
}
