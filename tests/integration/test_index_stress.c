/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Searches beside writes, folding in and replacements, all at once, and every answer judged: each
 * hit is a version of its record that was there at some time of the search, none is there twice,
 * they are in order, and no place is left free that a record was there for all the time. Some
 * searches ask for all records and miss none; most ask for a few, where a dead or doubled one would
 * take the place of another.
 *
 * Writers own their records, and keep for each of them two counters: the version whose write has
 * begun, and the one whose write was acknowledged. A searcher reads what was acknowledged before
 * it asks, and what has begun after it was answered: the version in the answer lies between. A
 * version is odd when it is a write and even when it is a delete.
 */

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define WRITERS 2u
#define SEARCHERS 2u
#define WRITER_RECORDS 150u
#define RECORDS (WRITERS * WRITER_RECORDS)
/* All of them, and so many that an answer cannot be full by chance. */
#define K_ALL 1000u
/* One in so many of the nearest may be missed by a graph. */
#define MISSED_SHARE 50u
#define SWAPS 6u
#define LAST_M 12u
#define FAILURE_SIZE 256

struct model {
	_Atomic uint32_t begun[RECORDS];
	_Atomic uint32_t acknowledged[RECORDS];
};

struct stress {
	struct daemon_thread *daemon;
	struct model model;
	atomic_bool enough;
	atomic_uint n_hnsw, n_writes;
	/* Of graphs' answers for a few: hits, and nearer ones that are not among them. */
	atomic_uint n_hits, n_missed;
};

struct worker {
	struct stress *stress;
	struct kith_conn *conn;
	uint32_t number; /* among its kind */
	uint64_t random;
	pthread_t thread;
	char failure[FAILURE_SIZE]; /* "": none */
};

static uint32_t draw(struct worker *worker, uint32_t below)
{
	worker->random =
	        worker->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(worker->random >> 33) % below;
}

/* Writing -------------------------------------------------------------------------------------- */

static void *writer_main(void *arg)
{
	struct worker *writer = arg;
	struct model *model = &writer->stress->model;
	uint32_t first = writer->number * WRITER_RECORDS;

	while (!atomic_load(&writer->stress->enough)) {
		uint32_t record = first + draw(writer, WRITER_RECORDS);
		uint32_t last = atomic_load(&model->acknowledged[record]);
		/* A delete follows a write only; now and then one. */
		uint32_t version = last + (last % 2 == 1 && draw(writer, 4) > 0 ? 2 : 1);
		int r;

		atomic_store(&model->begun[record], version);
		if (version % 2 == 1)
			r = try_put_records(writer->conn, "notes", record, 1, version, NULL);
		else
			r = try_delete_records(writer->conn, "notes", record, 1);
		if (r) {
			snprintf(writer->failure, FAILURE_SIZE, "writing: %s",
			         kith_error_message(writer->conn));
			break;
		}
		atomic_store(&model->acknowledged[record], version);
		atomic_fetch_add(&writer->stress->n_writes, 1);
	}
	return NULL;
}

/* Searching ------------------------------------------------------------------------------------ */

/* The version that a record's text tells; 0: it is no text of that record. */
static uint32_t version_of(struct kith_str text, uint64_t number)
{
	unsigned long long said;
	unsigned version;
	char copy[RECORD_TEXT_SIZE];

	snprintf(copy, sizeof(copy), "%.*s", (int)text.n, text.data);
	if (sscanf(copy, "record %llu, version %u", &said, &version) != 2 || said != number)
		return 0;
	return version;
}

static float distance_of(uint64_t number, uint32_t version, const float *query)
{
	float vector[RECORD_DIM], distance = 0.0f;

	record_vector(number, version, vector);
	for (uint32_t d = 0; d < RECORD_DIM; d++)
		distance += (vector[d] - query[d]) * (vector[d] - query[d]);
	return distance;
}

/* Whether a is less than b, whoever computed them. */
static bool is_less(float a, float b)
{
	return a < b * 0.999f - 0.001f;
}

/* What an answer is an answer to. */
struct question {
	const float *query;
	uint32_t k;
	uint32_t before[RECORDS]; /* versions that were acknowledged */
};

/* Whether hit i is a version that was there meanwhile, and not met before. */
static bool judge_hit(struct worker *searcher, const struct question *question,
                      const struct kith_search_result *found, uint32_t i, uint32_t seen[RECORDS])
{
	struct model *model = &searcher->stress->model;
	uint64_t number = found->ids.v[i].number;
	uint32_t version = version_of(found->texts.v[i], number);
	float told = found->distances.v[i], distance;

	if (number >= RECORDS || version % 2 == 0) {
		snprintf(searcher->failure, FAILURE_SIZE, "record %llu is none of ours",
		         (unsigned long long)number);
		return false;
	}
	if (seen[number]) {
		snprintf(searcher->failure, FAILURE_SIZE, "record %llu: versions %u and %u",
		         (unsigned long long)number, seen[number], version);
		return false;
	}
	seen[number] = version;
	if (version < question->before[number] || version > atomic_load(&model->begun[number])) {
		snprintf(searcher->failure, FAILURE_SIZE, "record %llu: version %u, of %u to %u",
		         (unsigned long long)number, version, question->before[number],
		         atomic_load(&model->begun[number]));
		return false;
	}
	distance = distance_of(number, version, question->query);
	if (is_less(distance, told) || is_less(told, distance) ||
	    (i > 0 && told < found->distances.v[i - 1])) {
		snprintf(searcher->failure, FAILURE_SIZE,
		         "record %llu, version %u, at %u: distance %g instead of %g",
		         (unsigned long long)number, version, i, (double)told, (double)distance);
		return false;
	}
	return true;
}

/* What is wrong with an answer. */
static bool judge(struct worker *searcher, const struct question *question,
                  const struct kith_search_result *found)
{
	struct model *model = &searcher->stress->model;
	bool is_full = found->ids.n == question->k;
	float farthest = is_full ? found->distances.v[question->k - 1] : INFINITY;
	uint32_t seen[RECORDS] = {0};
	uint32_t n_missed = 0;

	for (uint32_t i = 0; i < found->ids.n; i++)
		if (!judge_hit(searcher, question, found, i, seen))
			return false;
	/* One that was there all the time is in it, if there was a place. */
	for (uint32_t number = 0; number < RECORDS; number++) {
		uint32_t version = question->before[number];
		bool stood = version % 2 == 1 && atomic_load(&model->begun[number]) == version;

		if (!stood || seen[number] ||
		    !is_less(distance_of(number, version, question->query), farthest))
			continue;
		n_missed++;
		if (is_full && found->mode == KITH_MODE_HNSW)
			continue;
		snprintf(searcher->failure, FAILURE_SIZE,
		         "record %u, version %u, is missed of %u (mode %s)", number, version,
		         question->k, kith_mode_name(found->mode));
		return false;
	}
	if (is_full && found->mode == KITH_MODE_HNSW) {
		atomic_fetch_add(&searcher->stress->n_hits, question->k);
		atomic_fetch_add(&searcher->stress->n_missed, n_missed);
	}
	return true;
}

/* The promises that need no model. */
static bool is_honest(struct worker *searcher, bool exact, const struct kith_search_result *found)
{
	bool used = found->mode == KITH_MODE_HNSW;

	if (used == (found->comparisons > 0) && used == (found->generation > 0) &&
	    found->coverage >= 0.0 && found->coverage <= 1.0 && !(exact && used) &&
	    (used || found->coverage == 1.0))
		return true;
	snprintf(searcher->failure, FAILURE_SIZE,
	         "mode %s, %llu comparisons, generation %llu, coverage %g, asked for %s",
	         kith_mode_name(found->mode), (unsigned long long)found->comparisons,
	         (unsigned long long)found->generation, found->coverage, exact ? "exact" : "any");
	return false;
}

static void *searcher_main(void *arg)
{
	static const uint32_t ks[] = {1, 10, 10, 40, K_ALL};
	struct worker *searcher = arg;
	struct model *model = &searcher->stress->model;
	bool good = true;

	while (good && !atomic_load(&searcher->stress->enough)) {
		float query[RECORD_DIM];
		struct question question = {.query = query, .k = ks[draw(searcher, 5)]};
		struct kith_search_params params = {
		        .collection = kith_text("notes"),
		        .vectors = kith_vectors(query, RECORD_DIM),
		        .k = question.k,
		        .include = KITH_INCLUDE_TEXTS,
		        .exact = draw(searcher, 8) == 0,
		};
		struct kith_search_result *found;

		for (uint32_t i = 0; i < RECORDS; i++)
			question.before[i] = atomic_load(&model->acknowledged[i]);
		record_vector(draw(searcher, RECORDS), 1 + draw(searcher, 20), query);
		if (kith_search(searcher->conn, &params, &found)) {
			snprintf(searcher->failure, FAILURE_SIZE, "searching: %s",
			         kith_error_message(searcher->conn));
			break;
		}
		if (found->mode == KITH_MODE_HNSW)
			atomic_fetch_add(&searcher->stress->n_hnsw, 1);
		good = is_honest(searcher, params.exact, found) &&
		       judge(searcher, &question, found);
		kith_free(found);
	}
	return NULL;
}

/* The story ------------------------------------------------------------------------------------ */

static void workers_start(struct stress *stress, struct worker *workers, uint32_t n,
                          void *(*work)(void *))
{
	for (uint32_t i = 0; i < n; i++) {
		workers[i] = (struct worker){.stress = stress,
		                             .conn = connect_to(stress->daemon),
		                             .number = i,
		                             .random = i + 1};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
}

static void workers_join(struct worker *workers, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		kith_close(workers[i].conn);
		assert_string_equal(workers[i].failure, "");
	}
}

struct by_graph {
	struct kith_conn *conn;
	struct kith_search_result *found;
};

/* Not while the vector file is renewed: so much is dead that a pause in the writing brings that. */
static bool is_by_graph(void *ctx)
{
	struct by_graph *by_graph = ctx;

	by_graph->found = search_near(by_graph->conn, "notes", 1, 1, K_ALL, false);
	if (by_graph->found->mode == KITH_MODE_HNSW)
		return true;
	kith_free(by_graph->found);
	return false;
}

/* What the model says, and the index and the exact scan agree on. */
static void expect_the_model(struct stress *stress, struct kith_conn *conn)
{
	struct kith_search_result *exact = search_near(conn, "notes", 1, 1, K_ALL, true);
	struct by_graph by_graph = {.conn = conn};
	struct kith_search_result *fast;
	uint32_t n = 0;

	await(is_by_graph, &by_graph, "the graph answers");
	fast = by_graph.found;
	assert_int_equal(exact->mode, KITH_MODE_EXACT);
	assert_true(fast->coverage == 1.0);
	assert_int_equal(fast->scanned, 0);
	expect_same_hits(fast, exact);
	kith_free(fast);
	kith_free(exact);
	for (uint32_t i = 0; i < RECORDS; i++) {
		uint32_t version = atomic_load(&stress->model.acknowledged[i]);

		if (version % 2 == 1)
			expect_records(conn, "notes", i, 1, version);
		n += version % 2;
	}
	expect_count(conn, "notes", n);
}

static void no_answer_is_wrong_while_everything_happens_at_once(void **state)
{
	struct stress *stress = calloc(1, sizeof(*stress));
	struct worker writers[WRITERS], searchers[SEARCHERS];
	struct index_view index;
	struct kith_conn *conn;

	(void)state;
	stress->daemon = daemon_thread_new();
	conn = connect_to(stress->daemon);
	make_collection(conn, "notes", KITH_METRIC_L2);
	put_records(conn, "notes", 0, RECORDS, 1);
	for (uint32_t i = 0; i < RECORDS; i++) {
		atomic_init(&stress->model.begun[i], 1);
		atomic_init(&stress->model.acknowledged[i], 1);
	}
	workers_start(stress, writers, WRITERS, writer_main);
	workers_start(stress, searchers, SEARCHERS, searcher_main);
	for (uint32_t i = 0; i < SWAPS; i++) {
		uint32_t n_writes = atomic_load(&stress->n_writes);

		ensure(conn,
		       (struct ask){"notes", .m = i % 2 ? 6 : 10, .wait = true, .replace = true});
		/* Folded in a few times under the searches, before the next takes over. */
		for (int n = 0; n < 3; n++) {
			while (atomic_load(&stress->n_writes) < n_writes + 20)
				DONE(conn, kith_ping(conn));
			n_writes = atomic_load(&stress->n_writes);
			optimize(conn, "notes", NULL);
		}
	}
	atomic_store(&stress->enough, true);
	workers_join(writers, WRITERS);
	workers_join(searchers, SEARCHERS);
	assert_true(atomic_load(&stress->n_hnsw) > 0);
	assert_true(atomic_load(&stress->n_hits) > 0);
	assert_true(atomic_load(&stress->n_missed) <= atomic_load(&stress->n_hits) / MISSED_SHARE);
	optimize(conn, "notes", NULL);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.pending, 0);
	assert_true(index.at.coverage == 1.0);
	/* The graph may have been built anew besides, for its dead nodes; nothing else builds. */
	assert_int_equal(index.at.builds, SWAPS + index.at.rebuilds);
	assert_int_equal(index.at.generation, index.at.builds);
	expect_the_model(stress, conn);
	/* And the same out of a snapshot, of a graph that is not mostly of replaced records. */
	ensure(conn, (struct ask){"notes", .m = LAST_M, .wait = true, .replace = true});
	await_settled(conn, "notes", NULL);
	kith_close(conn);
	daemon_thread_restart(stress->daemon);
	conn = connect_to(stress->daemon);
	ensure(conn, (struct ask){"notes", .m = LAST_M, .wait = true});
	optimize(conn, "notes", NULL);
	assert_int_equal(index_of(conn, "notes", NULL).at.builds, 0);
	expect_the_model(stress, conn);
	kith_close(conn);
	daemon_thread_free(stress->daemon);
	free(stress);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(no_answer_is_wrong_while_everything_happens_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
