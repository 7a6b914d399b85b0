/* SPDX-License-Identifier: Apache-2.0 */

/* The limit of namespaces: a collection that has as many as there may be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "protocol/limits.h"
#include "storage/record_store.h"
#include "tests/lib/kith_calls.h"

#define NOTES "notes"

/* Makes all namespaces but `n_left` beside the daemon, which is stopped: over its socket each would
 * be a request. */
static void fill(const char *dir, const struct uuid *uuid, uint32_t n_left)
{
	struct record_store *store;
	struct record_writer *writer;
	uint64_t seq;

	assert_int_equal(record_store_open(store_io_posix(), dir, uuid, 1 << 20, &store), 0);
	assert_int_equal(record_writer_new(store, &writer), 0);
	assert_int_equal(record_writer_begin(writer), 0);
	assert_int_equal(record_writer_begin_request(writer, &seq), 0);
	for (uint32_t i = n_left; i < LIMIT_NAMESPACES; i++) {
		char name[16];
		uint32_t ns;
		bool is_new;
		int n = snprintf(name, sizeof(name), "n%u", i);

		assert_int_equal(record_writer_namespace(writer, name, (size_t)n, LIMIT_NAMESPACES,
		                                         &ns, &is_new),
		                 0);
		assert_true(is_new);
	}
	assert_int_equal(record_writer_end_request(writer, true), 0);
	assert_int_equal(record_writer_commit(writer), 0);
	record_writer_free(writer);
	record_store_free(store);
}

static int put_into(struct kith_conn *conn, const char *namespace, uint64_t number)
{
	const struct kith_id id = kith_id_number(number);
	float vector[RECORD_DIM];
	struct kith_upsert_params params = {
	        .collection = kith_text(NOTES),
	        .ids = {&id, 1},
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	        .namespace_ = kith_text(namespace),
	};

	return kith_upsert(conn, &params, NULL);
}

static struct uuid uuid_of(struct kith_conn *conn)
{
	struct kith_describe_collection_params params = {.collection = kith_text(NOTES)};
	struct kith_describe_collection_result *what;
	char text[UUID_TEXT_SIZE];
	struct uuid uuid;

	DONE(conn, kith_describe_collection(conn, &params, &what));
	snprintf(text, sizeof(text), "%.*s", (int)what->collection.uuid.n,
	         what->collection.uuid.data);
	kith_free(what);
	assert_true(uuid_parse(text, &uuid));
	return uuid;
}

static void one_namespace_too_many_is_refused_alone(void **state)
{
	struct daemon_thread *daemon = daemon_thread_new();
	struct kith_conn *conn = connect_to(daemon);
	char dir[DAEMON_PROCESS_PATH_SIZE], said[128];
	struct uuid uuid;

	(void)state;
	make_collection(conn, NOTES, KITH_METRIC_L2);
	uuid = uuid_of(conn);
	collection_path(conn, NOTES, daemon_thread_data_dir(daemon), dir);
	kith_close(conn);
	daemon_thread_stop(daemon);
	fill(dir, &uuid, 1);
	daemon_thread_start(daemon);
	conn = connect_to(daemon);
	DONE(conn, put_into(conn, "the last one", 1));
	assert_int_equal(put_into(conn, "one too many", 2), KITH_ERROR_OVER_LIMIT);
	assert_string_equal(kith_error_field(conn), "namespace");
	snprintf(said, sizeof(said), "the limit is %u", (unsigned)LIMIT_NAMESPACES);
	assert_non_null(strstr(kith_error_message(conn), said));
	/* Nothing of it stays, and who needs no new one goes on. */
	expect_count(conn, NOTES, 1);
	DONE(conn, put_into(conn, "n1", 2));
	DONE(conn, put_into(conn, "", 3));
	expect_count(conn, NOTES, 3);
	kith_close(conn);
	daemon_thread_free(daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_namespace_too_many_is_refused_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
