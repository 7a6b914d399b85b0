/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One polite client, which asks and waits for the answer, alone and beside an abusive one, another
 * process: by turns of a moment each, so that what else the machine does meets both alike. The p99
 * of its searches may be three times as long as alone; that of its writes is told too (they wait
 * for the disk, whose syncs are shared with whoever writes).
 */

#include "tests/torture/torture.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/bench/sample.h"
#include "tests/lib/kith_calls.h"
#include "tests/lib/raw_client.h"

#define COLLECTION "polite"
#define OTHER "giant"
#define N_RECORDS 10000u
#define K 10u
#define ROUNDS 8u
#define TURN_US 500e3
/* Of so many requests one writes. */
#define WRITE_EACH 16u
#define MAX_RATIO 3.0
#define PINGS 256u
#define GIANT_ROWS LIMIT_BATCH_ROWS

/* In memory that both processes have. */
struct abuse {
	struct service_fixture *service;
	atomic_bool enough;
	uint64_t n_done; /* what the abuser got done */
};

/* The abuses ----------------------------------------------------------------------------------- */

/* Whatever comes is read and forgotten. */
static void swallow(struct raw_client *raw)
{
	char bytes[4096];

	while (recv(raw->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void flood_of_pings(struct abuse *abuse)
{
	struct raw_client raw;
	struct wire_buf frames;
	const struct ping_params nothing = {0};
	size_t at = 0;

	wire_buf_init(&frames);
	for (uint64_t id = 0; id < PINGS; id++)
		assert_int_equal(message_encode_request(&frames, id, WIRE_METHOD_ping, &nothing),
		                 0);
	raw_greet(abuse->service->daemon, &raw);
	while (!atomic_load(&abuse->enough)) {
		ssize_t n =
		        send(raw.fd, frames.data + at, frames.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			at = (at + (size_t)n) % frames.n;
			abuse->n_done += (size_t)n;
		}
		poll(&(struct pollfd){.fd = raw.fd, .events = POLLIN | POLLOUT}, 1, 100);
		swallow(&raw);
	}
	raw_close(&raw);
	wire_buf_release(&frames);
}

static void flood_of_connects(struct abuse *abuse)
{
	while (!atomic_load(&abuse->enough)) {
		struct raw_client raw;

		raw_connect(abuse->service->daemon, &raw);
		raw_close(&raw);
		abuse->n_done++;
	}
}

/* Asks for as much as the socket takes and reads a byte now and then. */
static void read_slowly(struct abuse *abuse, const struct scan_params *scan)
{
	struct raw_client raw;
	struct wire_buf frame;
	size_t at = 0;
	char byte;

	wire_buf_init(&frame);
	assert_int_equal(message_encode_request(&frame, 1, WIRE_METHOD_scan, scan), 0);
	raw_greet(abuse->service->daemon, &raw);
	while (!atomic_load(&abuse->enough)) {
		ssize_t n =
		        send(raw.fd, frame.data + at, frame.n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			at = (at + (size_t)n) % frame.n;
		else
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		abuse->n_done += recv(raw.fd, &byte, 1, MSG_DONTWAIT) > 0;
	}
	raw_close(&raw);
	wire_buf_release(&frame);
}

/* Of answers as large as they may be. */
static void slow_reader(struct abuse *abuse)
{
	const struct scan_params scan = {.collection = {COLLECTION, strlen(COLLECTION)},
	                                 .limit = LIMIT_SCAN_ROWS,
	                                 .include = 1u << WIRE_include_texts |
	                                            1u << WIRE_include_vectors};

	read_slowly(abuse, &scan);
}

/* Of refusals, which cost nothing but the loop's time. */
static void slow_reader_of_refusals(struct abuse *abuse)
{
	const struct scan_params scan = {.collection = {COLLECTION, strlen(COLLECTION)}};

	read_slowly(abuse, &scan);
}

/* One batch of the most records after the other. */
static void giant_batches(struct abuse *abuse)
{
	struct kith_conn *conn = service_client(abuse->service);

	for (uint32_t version = 1; !atomic_load(&abuse->enough); version++) {
		int r = try_put_records(conn, OTHER, 0, GIANT_ROWS, version, NULL);

		if (r)
			fail_msg("a giant batch: %s", kith_error_message(conn));
		abuse->n_done += GIANT_ROWS;
	}
	kith_close(conn);
}

/* No abuse of Kith at all: what the machine makes of one busy program more, */
static void busy_neighbour(struct abuse *abuse)
{
	while (!atomic_load(&abuse->enough))
		abuse->n_done++;
}

/* and of one on each core. */
static void busy_neighbours(struct abuse *abuse)
{
	for (long i = sysconf(_SC_NPROCESSORS_ONLN); i > 1; i--) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			busy_neighbour(abuse);
			_exit(EXIT_SUCCESS);
		}
	}
	busy_neighbour(abuse);
	while (wait(NULL) > 0)
		;
}

static const struct {
	const char *what, *unit;
	void (*run)(struct abuse *abuse);
	bool asks_nothing; /* what becomes of the polite one is the machine's affair */
} abuses[] = {
        {"a busy neighbour that asks nothing", "rounds", busy_neighbour, true},
        {"such neighbours on all cores", "rounds", busy_neighbours, true},
        {"a flood of pings", "bytes sent", flood_of_pings, false},
        {"a flood of connects", "connects", flood_of_connects, false},
        {"a slow reader", "bytes read", slow_reader, false},
        {"a slow reader of refusals", "bytes read", slow_reader_of_refusals, false},
        {"giant batches", "records", giant_batches, false},
};
#define N_ABUSES (sizeof(abuses) / sizeof(abuses[0]))

static struct abuse *abuse_new(struct service_fixture *service)
{
	struct abuse *abuse = mmap(NULL, sizeof(*abuse), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(abuse != MAP_FAILED);
	abuse->service = service;
	return abuse;
}

static pid_t abuse_begin(struct abuse *abuse, void (*run)(struct abuse *abuse))
{
	pid_t pid;

	atomic_store(&abuse->enough, false);
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	run(abuse);
	_exit(EXIT_SUCCESS);
}

static bool is_alone(void *ctx)
{
	struct kith_stats_result *stats;
	bool alone;

	DONE(ctx, kith_stats(ctx, &stats));
	alone = stats->connections == 1;
	kith_free(stats);
	return alone;
}

/* Until nothing is left of its connections either. */
static void abuse_end(struct abuse *abuse, pid_t pid)
{
	int status;

	atomic_store(&abuse->enough, true);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	await(is_alone, abuse->service->conn, "the abuser's connections are closed");
}

/* The polite one ------------------------------------------------------------------------------- */

struct figures {
	struct sample searches, writes; /* us */
};

static void search_one(struct kith_conn *conn, uint64_t number)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(COLLECTION),
	        .vectors = kith_vectors(record_vector(number, 1, vector), RECORD_DIM),
	        .k = K,
	};
	struct kith_search_result *result;

	DONE(conn, kith_search(conn, &params, &result));
	assert_int_equal(result->ids.n, K);
	kith_free(result);
}

static void be_polite(struct kith_conn *conn, uint64_t *random, struct figures *figures)
{
	uint64_t turn_ns = clock_ns();

	for (uint32_t i = 0; elapsed_us(turn_ns) < TURN_US; i++) {
		uint64_t number = torture_draw(random) % N_RECORDS;
		uint64_t began_ns = clock_ns();

		if (i % WRITE_EACH == WRITE_EACH - 1) {
			put_records(conn, COLLECTION, number, 1, (uint32_t)torture_draw(random));
			sample_add(&figures->writes, elapsed_us(began_ns));
		} else {
			search_one(conn, number);
			sample_add(&figures->searches, elapsed_us(began_ns));
		}
	}
}

static bool beside(struct service_fixture *service, size_t which, uint64_t *random)
{
	struct figures alone = {0}, together = {0};
	struct abuse *abuse = abuse_new(service);
	double ratio, write_ratio;
	bool holds;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		pid_t abuser;

		be_polite(service->conn, random, &alone);
		abuser = abuse_begin(abuse, abuses[which].run);
		be_polite(service->conn, random, &together);
		abuse_end(abuse, abuser);
	}
	ratio = sample_p99(&together.searches) / sample_p99(&alone.searches);
	holds = ratio <= MAX_RATIO || abuses[which].asks_nothing;
	write_ratio = sample_p99(&together.writes) / sample_p99(&alone.writes);
	printf("abuse: %s (%llu %s): search p50 %.0f -> %.0f us, p99 %.0f -> %.0f us, %.1f x%s; "
	       "write p99 %.0f -> %.0f us, %.1f x\n",
	       abuses[which].what, (unsigned long long)abuse->n_done, abuses[which].unit,
	       sample_p50(&alone.searches), sample_p50(&together.searches),
	       sample_p99(&alone.searches), sample_p99(&together.searches), ratio,
	       holds ? "" : " (over the bound)", sample_p99(&alone.writes),
	       sample_p99(&together.writes), write_ratio);
	sample_release(&alone.searches);
	sample_release(&alone.writes);
	sample_release(&together.searches);
	sample_release(&together.writes);
	munmap(abuse, sizeof(*abuse));
	return holds;
}

bool torture_abuse(const struct torture_options *options)
{
	struct service_fixture *service;
	uint64_t random = options->seed;
	bool held = true;
	void *state;

	service_setup(&state);
	service = state;
	make_collection(service->conn, COLLECTION, KITH_METRIC_L2);
	make_collection(service->conn, OTHER, KITH_METRIC_L2);
	put_records(service->conn, COLLECTION, 0, N_RECORDS, 1);
	ensure(service->conn, (struct ask){.collection = COLLECTION, .wait = true});
	for (size_t i = 0; i < N_ABUSES; i++)
		held &= beside(service, i, &random);
	expect_count(service->conn, COLLECTION, N_RECORDS);
	service_teardown(&state);
	return held;
}
