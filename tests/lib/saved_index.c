/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/saved_index.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/scratch_dir.h"

#define LEFT SAVED_INDEX_LEFT
#define RECORDS SAVED_INDEX_RECORDS

void make_saved_index(struct kith_conn *conn, const char *collection)
{
	make_collection(conn, collection, KITH_METRIC_L2);
	put_records(conn, collection, 0, RECORDS, 1);
	ensure(conn, (struct ask){.collection = collection, .wait = true});
	await_settled(conn, collection, NULL);
}

void write_behind_the_snapshot(struct kith_conn *conn)
{
	put_records(conn, "notes", RECORDS, 30, 1); /* new */
	put_records(conn, "notes", 10, 20, 2);      /* replaced */
	delete_records(conn, "notes", 50, 20);
	put_records(conn, "notes", RECORDS + 5, 5, 2); /* new and replaced */
	delete_records(conn, "notes", RECORDS + 20, 5);
	put_records(conn, "notes", 60, 5, 3); /* gone and back */
}

/* Asked for by its own vector and with all records wanted, that version is not there. */
static void expect_nowhere(struct kith_conn *conn, uint64_t number, uint32_t version)
{
	static const uint32_t ks[] = {1, 10, 100, RECORDS * 2};

	for (size_t i = 0; i < sizeof(ks) / sizeof(*ks); i++) {
		struct kith_search_result *found =
		        search_near(conn, "notes", number, version, ks[i], false);

		assert_int_equal(found->ids.n, ks[i] < LEFT ? ks[i] : LEFT);
		assert_false(holds_record(found, number, version));
		assert_true(found->distances.v[0] > 0.0f);
		kith_free(found);
	}
}

void expect_all_of_it(struct kith_conn *conn)
{
	expect_count(conn, "notes", LEFT);
	expect_records(conn, "notes", 0, 10, 1);
	expect_records(conn, "notes", 10, 20, 2);
	expect_records(conn, "notes", 30, 20, 1);
	expect_records(conn, "notes", 60, 5, 3);
	expect_records(conn, "notes", 70, RECORDS - 70, 1);
	expect_records(conn, "notes", RECORDS, 5, 1);
	expect_records(conn, "notes", RECORDS + 5, 5, 2);
	expect_records(conn, "notes", RECORDS + 10, 10, 1);
	expect_records(conn, "notes", RECORDS + 25, 5, 1);
	for (uint64_t i = 0; i < 20; i += 3) {
		expect_nowhere(conn, 10 + i, 1);
		expect_nowhere(conn, 50 + i, 1);
	}
	expect_nowhere(conn, RECORDS + 7, 1);
	expect_nowhere(conn, RECORDS + 22, 1);
}

void expect_opened_not_built(struct kith_conn *conn, uint64_t nodes_saved, uint64_t lacking)
{
	struct kith_optimize_result result;
	struct index_view index;

	await_state(conn, "notes", NULL, KITH_INDEX_STATE_SERVING);
	result = optimize(conn, "notes", NULL);
	assert_true(result.inserted <= lacking);
	index = index_of(conn, "notes", NULL);
	assert_int_equal(index.at.nodes, nodes_saved + lacking);
	assert_int_equal(index.at.builds, 0);
	assert_int_equal(index.at.pending, 0);
	assert_true(index.at.coverage == 1.0);
}

uint32_t n_said(const struct daemon_process *daemon, const char *text)
{
	size_t size;
	unsigned char *log = scratch_file_load(daemon->log, &size);
	uint32_t n = 0;

	for (size_t i = 0; i + strlen(text) <= size; i++)
		n += memcmp(log + i, text, strlen(text)) == 0;
	free(log);
	return n;
}

char *snapshot_in(const char *dir, char path[static DAEMON_PROCESS_PATH_SIZE])
{
	DIR *entries = opendir(dir);
	struct dirent *entry;
	int n = 0;

	assert_non_null(entries);
	while ((entry = readdir(entries))) {
		if (strncmp(entry->d_name, "hnsw-", 5) != 0)
			continue;
		assert_true((size_t)snprintf(path, DAEMON_PROCESS_PATH_SIZE, "%s/%s", dir,
		                             entry->d_name) < DAEMON_PROCESS_PATH_SIZE);
		n++;
	}
	closedir(entries);
	assert_int_equal(n, 1);
	return path;
}

void expect_journaled(struct kith_conn *conn, const char *what)
{
	struct kith_errors_result *result;
	bool is_there = false;

	DONE(conn, kith_errors(conn, &result));
	for (uint32_t i = 0; i < result->failures.n; i++) {
		struct kith_str text = result->failures.v[i].what;

		is_there |= memmem(text.data, text.n, what, strlen(what)) != NULL;
	}
	if (!is_there)
		fail_msg("the journal does not say '%s'", what);
	kith_free(result);
}
