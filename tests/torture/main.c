/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kith-torture: whether a store can be trusted, tried for as long as one likes.
 *
 * kill: the real daemon under eight clients that write, replace, delete and search, with a model of
 * what was acknowledged; kill -9 at a random moment, a start, and everything is checked; now and
 * then without a cache directory, now and then twice in a row. crowd: 64 clients for minutes, whose
 * latency and memory must not grow. abuse: a polite client beside one that floods, does not read or
 * sends giant batches. full: a file system of 24 MiB, on which deletes must go on. space: the same
 * records replaced again and again, in files that must not grow past their bound. crash, disk and
 * files are the enumerations of tests/faults without their bounds: every crash point with many
 * mixtures, every operation of the disk failing in each way, every byte of headers and tables
 * flipped. memory is tests/alloc without its bound: every allocation failing.
 */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/torture/torture.h"

static void usage(FILE *to)
{
	fprintf(to, "Usage: kith-torture [OPTION]... [kill] [crowd] [abuse] [full] [space] [crash] "
	            "[disk] [files] [memory]\n"
	            "Tries to make a Kith lose, invent or mix up records; kill when nothing is "
	            "named.\n\n"
	            "  --rounds N    kills, at most, and replacements [100]\n"
	            "  --seconds N   no round begins later [600]\n"
	            "  --minutes N   of a crowd [10]\n"
	            "  --draws N     mixtures of what was not synced at each crash point [10]\n"
	            "  --seed N      of all that is random [the time]\n"
	            "  --help        print this and exit\n");
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

static struct torture_options read_options(int argc, char **argv)
{
	static const struct option table[] = {{"rounds", required_argument, NULL, 'r'},
	                                      {"seconds", required_argument, NULL, 's'},
	                                      {"draws", required_argument, NULL, 'd'},
	                                      {"seed", required_argument, NULL, 'e'},
	                                      {"minutes", required_argument, NULL, 'm'},
	                                      {"help", no_argument, NULL, 'h'},
	                                      {0}};
	struct torture_options options = {.seed = (uint64_t)time(NULL),
	                                  .rounds = 100,
	                                  .seconds = 600,
	                                  .draws = 10,
	                                  .minutes = 10};
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
		case 'm':
			options.minutes = number_option(optarg);
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

/* False: a bound does not hold. */
static bool torture(const char *how, const struct torture_options *options)
{
	if (strcmp(how, "kill") == 0) {
		torture_kill(options);
	} else if (strcmp(how, "crowd") == 0) {
		return torture_crowd(options);
	} else if (strcmp(how, "abuse") == 0) {
		return torture_abuse(options);
	} else if (strcmp(how, "full") == 0) {
		return torture_full();
	} else if (strcmp(how, "space") == 0) {
		return torture_space(options);
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
	return true;
}

int main(int argc, char **argv)
{
	const struct torture_options options = read_options(argc, argv);

	bool held = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("kith-torture: --seed %llu\n", (unsigned long long)options.seed);
	set_number("KITH_SEED", options.seed);
	if (optind == argc)
		held = torture("kill", &options);
	for (int i = optind; i < argc; i++)
		held &= torture(argv[i], &options);
	return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
