/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The same records are replaced again and again, without a pause, and their index is built anew
 * whenever too much of it is dead: what the files take stays within a bound, whatever was written
 * in all.
 */

#include "tests/torture/torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define COLLECTION "notes"
#define RECORDS 10000u
#define BATCH_ROWS 500u
/* Of the files: three times what is live in them, without the write-ahead log, and this. */
#define SLACK_BYTES UINT64_C(64000000)

struct taken {
	uint64_t size_bytes, live_bytes;
};

static bool is_log(const struct kith_file *file)
{
	static const char end[] = "-wal";
	size_t n = sizeof(end) - 1;

	return file->path.n >= n && memcmp(file->path.data + file->path.n - n, end, n) == 0;
}

/* By the collection's files. */
static struct taken take(struct kith_conn *conn)
{
	struct kith_disk_usage_result *usage;
	struct taken taken = {0};

	DONE(conn, kith_disk_usage(conn, &usage));
	for (uint32_t i = 0; i < usage->files.n; i++) {
		if (usage->files.v[i].collection.n == 0)
			continue;
		taken.size_bytes += usage->files.v[i].size_bytes;
		if (!is_log(&usage->files.v[i]))
			taken.live_bytes += usage->files.v[i].live_bytes;
	}
	kith_free(usage);
	return taken;
}

static void put_round(struct kith_conn *conn, uint32_t round)
{
	for (uint32_t first = 0; first < RECORDS; first += BATCH_ROWS)
		put_records(conn, COLLECTION, first, BATCH_ROWS, round);
}

bool torture_space(const struct torture_options *options)
{
	struct service_fixture *service;
	struct taken most = {0}, taken = {0};
	uint32_t n_broken = 0;
	void *state;

	service_setup(&state);
	service = state;
	make_collection(service->conn, COLLECTION, KITH_METRIC_L2);
	put_round(service->conn, 1);
	ensure(service->conn, (struct ask){.collection = COLLECTION, .wait = true});
	for (uint32_t round = 2; round <= options->rounds; round++) {
		put_round(service->conn, round);
		taken = take(service->conn);
		if (taken.size_bytes > most.size_bytes)
			most = taken;
		n_broken += taken.size_bytes > 3 * taken.live_bytes + SLACK_BYTES;
	}
	expect_count(service->conn, COLLECTION, RECORDS);
	expect_records(service->conn, COLLECTION, 0, 100, options->rounds);
	printf("space: %u records upserted %u times: the files took %.1f MB at most, of which "
	       "%.1f MB were live, and %.1f MB at last; after %u builds of the index; %u times "
	       "more than three times that and %.0f MB\n",
	       RECORDS, options->rounds, (double)most.size_bytes / 1e6,
	       (double)most.live_bytes / 1e6, (double)taken.size_bytes / 1e6,
	       (unsigned)index_of(service->conn, COLLECTION, NULL).at.builds, n_broken,
	       (double)SLACK_BYTES / 1e6);
	service_teardown(&state);
	return n_broken == 0;
}
