/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kill -9 under load: eight clients write, delete and replace, the daemon dies at some moment,
 * comes back, and must have kept its word. $KITH_SEED chooses the moments and the writes.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/lib/kith_calls.h"
#include "tests/lib/scale.h"
#include "tests/lib/writers.h"

#define N_WRITERS 8u
#define N_ROUNDS SCALED(7u)
/* The kill comes after so many acknowledged batches, and up to so much later. */
#define MIN_BATCHES 10u
#define MAX_BATCHES 80u
#define MAX_DELAY_NS 3000000u

static void kill_at_a_random_moment(struct service_fixture *service, struct writers *writers,
                                    uint64_t *random)
{
	struct timespec delay = {0};

	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	delay.tv_nsec = (long)((*random >> 33) % MAX_DELAY_NS);
	writers_start(writers, service);
	writers_await(writers,
	              MIN_BATCHES + (uint32_t)(*random >> 40) % (MAX_BATCHES - MIN_BATCHES));
	nanosleep(&delay, NULL);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	writers_join(writers);
}

static void everything_acknowledged_survives_kill_9_under_eight_writers(void **state)
{
	struct service_fixture *service = *state;
	uint64_t seed = seed_of_this_run(1), random = seed;
	struct writers writers;

	make_collection(service->conn, "notes", KITH_METRIC_COSINE);
	ensure(service->conn, (struct ask){.collection = "notes"});
	writers_init(&writers, N_WRITERS, "notes", seed);
	for (uint32_t round = 0; round < N_ROUNDS; round++) {
		kill_at_a_random_moment(service, &writers, &random);
		/* Now and then there is no cache to come back to. */
		if (round % 3 == 2)
			assert_int_equal(daemon_process_clear_cache(service->daemon), 0);
		service_kill_and_start(service);
		writers_check(&writers, service->conn);
		await_mapped(service->conn, "notes");
	}
	/* And once more after a clean stop. */
	service_stop_and_start(service);
	writers_check(&writers, service->conn);
	writers_release(&writers);
}

static void a_daemon_killed_while_it_comes_back_comes_back(void **state)
{
	struct service_fixture *service = *state;
	struct writers writers;

	make_collection(service->conn, "notes", KITH_METRIC_L2);
	writers_init(&writers, N_WRITERS, "notes", seed_of_this_run(1));
	writers_start(&writers, service);
	writers_await(&writers, 60);
	assert_int_equal(daemon_process_kill(service->daemon), 0);
	writers_join(&writers);
	for (uint32_t i = 0; i < 10; i++) {
		const float query[RECORD_DIM] = {1};
		struct kith_search_params params = {.collection = kith_text("notes"),
		                                    .vectors = kith_vectors(query, RECORD_DIM)};
		uint64_t ticket;

		/* It recovers, opens the collection or restores the file when it dies again. */
		service_kill_and_start(service);
		DONE(service->conn, kith_submit_search(service->conn, &params, &ticket));
		DONE(service->conn, kith_flush(service->conn));
		nanosleep(&(struct timespec){.tv_nsec = (long)i * 500000}, NULL);
	}
	service_kill_and_start(service);
	writers_check(&writers, service->conn);
	writers_release(&writers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                everything_acknowledged_survives_kill_9_under_eight_writers, service_setup,
	                service_teardown),
	        cmocka_unit_test_setup_teardown(a_daemon_killed_while_it_comes_back_comes_back,
	                                        service_setup, service_teardown),
	};

	return cmocka_run_group_tests_name("kill", tests, NULL, NULL);
}
