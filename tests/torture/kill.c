/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/torture/torture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/writers.h"

#define N_WRITERS 8u
#define COLLECTION "notes"
/* The kill comes after so many acknowledged batches, and up to so much later. */
#define MIN_BATCHES 10u
#define MAX_BATCHES 60u
#define MAX_DELAY_NS 5000000u
/* One round in so many: without a cache, and with a second kill while the daemon comes back. */
#define CLEAR_ROUNDS 7u
#define AGAIN_ROUNDS 3u

static void kill_amid_writing(struct service_fixture *service, struct writers *writers,
                              uint64_t *random)
{
	struct timespec delay = {.tv_nsec = (long)(torture_draw(random) % MAX_DELAY_NS)};

	writers_start(writers, service);
	writers_await(writers,
	              MIN_BATCHES + (uint32_t)(torture_draw(random) % (MAX_BATCHES - MIN_BATCHES)));
	nanosleep(&delay, NULL);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	writers_join(writers);
}

/* The daemon comes back; one time in so many it is killed at that, too. */
static void come_back(struct service_fixture *service, uint32_t round, uint64_t *random)
{
	if (round % CLEAR_ROUNDS == CLEAR_ROUNDS - 1)
		assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
	service_kill_and_start(service);
	if (torture_draw(random) % AGAIN_ROUNDS != 0)
		return;
	put_records(service->conn, "other", 0, 20, 1 + round);
	service_kill_and_start(service);
	expect_records(service->conn, "other", 0, 20, 1 + round);
}

void torture_kill(const struct torture_options *options)
{
	struct service_fixture *service;
	struct writers writers;
	uint64_t random = options->seed;
	int64_t end_ms = now_ms() + (int64_t)options->seconds * 1000;
	uint64_t n_acknowledged = 0;
	uint32_t round = 0;
	void *state;

	service_setup(&state);
	service = state;
	make_collection(service->conn, COLLECTION, KITH_METRIC_L2);
	make_collection(service->conn, "other", KITH_METRIC_COSINE);
	ensure(service->conn, (struct ask){.collection = COLLECTION});
	writers_init(&writers, N_WRITERS, COLLECTION, options->seed);
	for (; round < options->rounds && now_ms() < end_ms; round++) {
		kill_amid_writing(service, &writers, &random);
		n_acknowledged += atomic_load(&writers.n_acknowledged);
		come_back(service, round, &random);
		writers_check(&writers, service->conn);
	}
	service_stop_and_start(service);
	writers_check(&writers, service->conn);
	printf("kill: %u kills survived, %llu batches of %u records acknowledged, %llu searches; "
	       "0 lost, 0 ghosts, 0 in part\n",
	       round, (unsigned long long)n_acknowledged, WRITER_BATCH_ROWS,
	       (unsigned long long)writers_n_looked(&writers));
	writers_release(&writers);
	service_teardown(&state);
}
