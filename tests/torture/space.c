/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The same records are replaced again and again, without a pause: what the files take stays within
 * a bound, whatever was written in all. There is no index: what its build reads stays until it
 * ends.
 */

#include "tests/torture/torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"

#define COLLECTION "notes"
#define RECORDS 10000u
#define BATCH_ROWS 500u
/* Of the files: three times what is of use in them, the log's frames too, and this. */
#define SLACK_BYTES UINT64_C(64000000)

struct taken {
	uint64_t size_bytes, live_bytes;
};

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
	       "%.1f MB were of use, the log's frames included, and %.1f MB at last; %u times "
	       "more than three times that and %.0f MB\n",
	       RECORDS, options->rounds, (double)most.size_bytes / 1e6,
	       (double)most.live_bytes / 1e6, (double)taken.size_bytes / 1e6, n_broken,
	       (double)SLACK_BYTES / 1e6);
	service_teardown(&state);
	return n_broken == 0;
}
