/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kith-torture: whether a store can be trusted, tried for as long as one likes.
 *
 * kill: the real daemon under eight clients that write, replace, delete and search, with a model of
 * what was acknowledged; kill -9 at a random moment, a start, and everything is checked; now and
 * then without a cache directory, now and then twice in a row. crash, disk and files are the
 * enumerations of tests/faults without their bounds: every crash point with many mixtures, every
 * operation of the disk failing in each way, every byte of headers and tables flipped. memory is
 * tests/alloc without its bound: every allocation failing.
 */

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

struct options {
	uint64_t seed;
	uint32_t rounds;
	uint32_t seconds; /* no round begins later */
	uint32_t draws;
};

static void usage(FILE *to)
{
	fprintf(to, "Usage: kith-torture [OPTION]... [kill] [crash] [disk] [files] [memory]\n"
	            "Tries to make a Kith lose, invent or mix up records; kill when nothing is "
	            "named.\n\n"
	            "  --rounds N    kills, at most [100]\n"
	            "  --seconds N   no round begins later [600]\n"
	            "  --draws N     mixtures of what was not synced at each crash point [10]\n"
	            "  --seed N      of all that is random [the time]\n"
	            "  --help        print this and exit\n");
}

static uint64_t draw(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *random >> 33;
}

/* kill ----------------------------------------------------------------------------------------- */

static void kill_amid_writing(struct service_fixture *service, struct writers *writers,
                              uint64_t *random)
{
	struct timespec delay = {.tv_nsec = (long)(draw(random) % MAX_DELAY_NS)};

	writers_start(writers, service);
	writers_await(writers,
	              MIN_BATCHES + (uint32_t)(draw(random) % (MAX_BATCHES - MIN_BATCHES)));
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
	if (draw(random) % AGAIN_ROUNDS != 0)
		return;
	put_records(service->conn, "other", 0, 20, 1 + round);
	service_kill_and_start(service);
	expect_records(service->conn, "other", 0, 20, 1 + round);
}

static void torture_by_kills(const struct options *options)
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
	       "none lost, no ghost\n",
	       round, (unsigned long long)n_acknowledged, WRITER_BATCH_ROWS,
	       (unsigned long long)writers_n_looked(&writers));
	writers_release(&writers);
	service_teardown(&state);
}

/* crash, disk, files, memory ------------------------------------------------------------------- */

static void run(const char *program)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "kith-torture: %s failed\n", program);
		exit(EXIT_FAILURE);
	}
}

static void set_number(const char *variable, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	setenv(variable, text, 1);
}

/* ---------------------------------------------------------------------------------------------- */

static uint32_t number_option(const char *text)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number == 0 || number > UINT32_MAX) {
		fprintf(stderr, "kith-torture: '%s' is not a number from 1 on\n", text);
		exit(2);
	}
	return (uint32_t)number;
}

static struct options read_options(int argc, char **argv)
{
	static const struct option table[] = {
	        {"rounds", required_argument, NULL, 'r'}, {"seconds", required_argument, NULL, 's'},
	        {"draws", required_argument, NULL, 'd'},  {"seed", required_argument, NULL, 'e'},
	        {"help", no_argument, NULL, 'h'},         {0}};
	struct options options = {
	        .seed = (uint64_t)time(NULL), .rounds = 100, .seconds = 600, .draws = 10};
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (c) {
		case 'r':
			options.rounds = number_option(optarg);
			break;
		case 's':
			options.seconds = number_option(optarg);
			break;
		case 'd':
			options.draws = number_option(optarg);
			break;
		case 'e':
			options.seed = number_option(optarg);
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_SUCCESS);
		default:
			usage(stderr);
			exit(2);
		}
	}
	return options;
}

static void torture(const char *how, const struct options *options)
{
	if (strcmp(how, "kill") == 0) {
		torture_by_kills(options);
	} else if (strcmp(how, "crash") == 0) {
		set_number("KITH_CRASH_DRAWS", options->draws);
		run(TORTURE_CRASH);
	} else if (strcmp(how, "disk") == 0) {
		set_number("KITH_FAULT_STRIDE", 1);
		run(TORTURE_DISK);
	} else if (strcmp(how, "files") == 0) {
		set_number("KITH_FLIP_STRIDE", 1);
		run(TORTURE_FILES);
	} else if (strcmp(how, "memory") == 0) {
		set_number("KITH_ALLOC_STRIDE", 1);
		run(TORTURE_MEMORY);
	} else {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const struct options options = read_options(argc, argv);

	printf("kith-torture: --seed %llu\n", (unsigned long long)options.seed);
	set_number("KITH_SEED", options.seed);
	if (optind == argc)
		torture("kill", &options);
	for (int i = optind; i < argc; i++)
		torture(argv[i], &options);
	return EXIT_SUCCESS;
}
