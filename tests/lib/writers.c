/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/writers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Of a hundred writes so many replace and delete an older batch. */
#define REPLACE_PERCENT 20u
#define DELETE_PERCENT 10u
/* After so many of a hundred comes a search. */
#define LOOK_PERCENT 50u

static uint32_t draw(struct writer *writer, uint32_t below)
{
	writer->random =
	        writer->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(writer->random >> 33) % below;
}

static uint64_t batch_number(const struct writer *writer, uint32_t batch_idx)
{
	return writer->first_number + (uint64_t)batch_idx * WRITER_BATCH_ROWS;
}

void writers_init(struct writers *writers, uint32_t n, const char *collection, uint64_t seed)
{
	*writers = (struct writers){.n = n, .collection = collection};
	for (uint32_t i = 0; i < n; i++) {
		struct writer *writer = &writers->v[i];

		writer->writers = writers;
		writer->random = seed * WRITERS_MAX + i;
		writer->first_number = (uint64_t)i * WRITER_MAX_BATCHES * WRITER_BATCH_ROWS;
		writer->batches = calloc(WRITER_MAX_BATCHES, sizeof(*writer->batches));
		assert_non_null(writer->batches);
	}
}

void writers_release(struct writers *writers)
{
	for (uint32_t i = 0; i < writers->n; i++)
		free(writers->v[i].batches);
}

/* Writing -------------------------------------------------------------------------------------- */

/* Tries one write; what became of it stands in the batch. */
static int write_one(struct writer *writer)
{
	const char *collection = writer->writers->collection;
	uint32_t dice = draw(writer, 100);
	bool is_new = writer->n_batches == 0 || dice >= REPLACE_PERCENT + DELETE_PERCENT;
	uint32_t batch_idx = is_new ? writer->n_batches : draw(writer, writer->n_batches);
	struct written_batch *batch = &writer->batches[batch_idx];
	uint64_t first = batch_number(writer, batch_idx);
	int r;

	batch->tried = is_new || dice >= DELETE_PERCENT ? ++batch->last : 0;
	writer->n_batches += is_new;
	if (batch->tried)
		r = try_put_records(writer->conn, collection, first, WRITER_BATCH_ROWS,
		                    batch->tried, NULL);
	else
		r = try_delete_records(writer->conn, collection, first, WRITER_BATCH_ROWS);
	batch->doubtful = r != 0;
	if (r == 0)
		batch->acknowledged = batch->tried;
	return r;
}

/* A record of one of its own batches, which nobody else touches. */
struct sought {
	uint64_t number;
	uint32_t version;
	bool gone; /* it was deleted */
};

/* What the nearest record to its vector says: it is that one in its version, or, if it is gone,
 * another one. */
static bool is_right(const struct sought *sought, const struct kith_search_result *result)
{
	char text[RECORD_TEXT_SIZE];

	if (result->ids.n == 0 || result->ids.v[0].number != sought->number)
		return sought->gone;
	return !sought->gone &&
	       is_text(result->texts.v[0], record_text(sought->number, sought->version, text));
}

static int look(struct writer *writer, const struct sought *sought, bool exact, bool *ret_right)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(writer->writers->collection),
	        .vectors = kith_vectors(record_vector(sought->number, sought->version, vector),
	                                RECORD_DIM),
	        .k = 1,
	        .exact = exact,
	        .include = KITH_INCLUDE_TEXTS,
	};
	struct kith_search_result *result;
	int r = kith_search(writer->conn, &params, &result);

	if (r)
		return r;
	*ret_right = is_right(sought, result);
	writer->n_looked++;
	kith_free(result);
	return 0;
}

static int look_for_one(struct writer *writer)
{
	uint32_t batch_idx = draw(writer, writer->n_batches);
	const struct written_batch *batch = &writer->batches[batch_idx];
	struct sought sought = {
	        .number = batch_number(writer, batch_idx) + draw(writer, WRITER_BATCH_ROWS),
	        .gone = batch->acknowledged == 0,
	        .version = batch->acknowledged ? batch->acknowledged : batch->last,
	};
	bool right = true;
	int r = look(writer, &sought, false, &right);

	if (r == 0 && !right && !sought.gone)
		r = look(writer, &sought, true, &right);
	if (r == 0 && !right)
		snprintf(writer->failure, sizeof(writer->failure), "record %llu, version %u, is %s",
		         (unsigned long long)sought.number, sought.version,
		         sought.gone ? "a ghost" : "missed");
	return r;
}

static void *writer_main(void *arg)
{
	struct writer *writer = arg;
	struct writers *writers = writer->writers;
	int r = 0;

	while (r == 0 && !atomic_load(&writers->enough) && !writer->failure[0] &&
	       writer->n_batches < WRITER_MAX_BATCHES) {
		r = write_one(writer);
		if (r == 0)
			atomic_fetch_add(&writers->n_acknowledged, 1);
		if (r == 0 && draw(writer, 100) < LOOK_PERCENT)
			r = look_for_one(writer);
	}
	if (r && r != -ECONNRESET && r != -EPIPE && r != KITH_ERROR_STOPPING)
		snprintf(writer->failure, sizeof(writer->failure), "%s: %s", kith_error_name(r),
		         kith_error_message(writer->conn));
	return NULL;
}

void writers_start(struct writers *writers, const struct service_fixture *service)
{
	atomic_store(&writers->n_acknowledged, 0);
	atomic_store(&writers->enough, false);
	for (uint32_t i = 0; i < writers->n; i++)
		writers->v[i].conn = service_client(service);
	for (uint32_t i = 0; i < writers->n; i++)
		assert_int_equal(
		        pthread_create(&writers->v[i].thread, NULL, writer_main, &writers->v[i]),
		        0);
}

struct goal {
	struct writers *writers;
	uint32_t n;
};

static bool reached(void *ctx)
{
	struct goal *goal = ctx;

	return atomic_load(&goal->writers->n_acknowledged) >= goal->n;
}

void writers_await(struct writers *writers, uint32_t n)
{
	await(reached, &(struct goal){writers, n}, "enough batches are written");
}

void writers_join(struct writers *writers)
{
	for (uint32_t i = 0; i < writers->n; i++) {
		assert_int_equal(pthread_join(writers->v[i].thread, NULL), 0);
		kith_close(writers->v[i].conn);
	}
	for (uint32_t i = 0; i < writers->n; i++) {
		if (writers->v[i].failure[0])
			fail_msg("writer %u: %s", i, writers->v[i].failure);
	}
}

uint64_t writers_n_looked(const struct writers *writers)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < writers->n; i++)
		n += writers->v[i].n_looked;
	return n;
}

/* Checking ------------------------------------------------------------------------------------- */

/* Whether the batch's first record is there with its last version. */
static bool is_last_version(struct kith_conn *conn, const char *collection, uint64_t first,
                            const struct written_batch *batch)
{
	const struct kith_id id = kith_id_number(first);
	struct kith_get_params params = {.collection = kith_text(collection),
	                                 .ids = {&id, 1},
	                                 .include = KITH_INCLUDE_TEXTS};
	struct kith_get_result *result;
	char text[RECORD_TEXT_SIZE];
	bool is;

	DONE(conn, kith_get(conn, &params, &result));
	if (batch->tried == 0)
		is = result->positions.n == 0;
	else
		is = result->positions.n == 1 &&
		     is_text(result->texts.v[0], record_text(first, batch->tried, text));
	kith_free(result);
	return is;
}

/* Returns how many records of the batch are there. */
static uint32_t check_batch(struct kith_conn *conn, const char *collection, uint64_t first,
                            struct written_batch *batch)
{
	/* Its first record decides which of the two it is; then all of it must be that. */
	if (batch->doubtful && is_last_version(conn, collection, first, batch))
		batch->acknowledged = batch->tried;
	batch->doubtful = false;
	if (batch->acknowledged == 0) {
		expect_no_records(conn, collection, first, WRITER_BATCH_ROWS, batch->last);
		return 0;
	}
	expect_records(conn, collection, first, WRITER_BATCH_ROWS, batch->acknowledged);
	return WRITER_BATCH_ROWS;
}

void writers_check(struct writers *writers, struct kith_conn *conn)
{
	uint64_t n_records = 0;

	for (uint32_t i = 0; i < writers->n; i++) {
		struct writer *writer = &writers->v[i];

		for (uint32_t at = 0; at < writer->n_batches; at++)
			n_records += check_batch(conn, writers->collection,
			                         batch_number(writer, at), &writer->batches[at]);
	}
	expect_count(conn, writers->collection, n_records);
}
