/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

static const struct {
	const char *name;
	int (*run)(struct bench *bench);
	const char *help;
} suites[] = {
        {"exact", suite_exact, "the exact scan, also by codes, beside one pass over the rows"},
        {"ipc", suite_ipc, "ping and search over the socket beside a bare socketpair"},
        {"write", suite_write, "durable upserts and imports beside write and fdatasync"},
        {"vector", suite_vector, "the graph: build, size, recall, speed; --peers: hnswlib, faiss"},
        {"load", suite_load, "many searches at once: threads, clients, batches; an echo beside"},
        {"index", suite_index, "rows to an index, searching beside inserts, ensuring again"},
        {"restart", suite_restart, "from exec to the first right answer"},
        {"memory", suite_memory, "what the daemon holds while it writes, builds, rests, searches"},
};

#define N_SUITES (sizeof(suites) / sizeof(*suites))

static void print_usage(FILE *to)
{
	fputs("usage: kith-bench SUITE... [--data DIR] [--set NAME] [--peers | --peer NAME]\n"
	      "                           [--socket none] [--rows N] [--trial]\n\n"
	      "Prints one JSON object a line on stdout and a table on stderr at the end.\n"
	      "The exit status is 0 when all was measured, whether or not the bars held.\n\n",
	      to);
	for (size_t i = 0; i < N_SUITES; i++)
		fprintf(to, "  %-14s %s\n", suites[i].name, suites[i].help);
	fputs("  all            all of them\n\n"
	      "  --data DIR     holds " BENCH_SET
	      "/{base,query,gt_dist}.fvecs and more such sets;\n"
	      "                 else $KITH_DATA\n"
	      "  --set NAME     of the suite `vector`, only this set\n"
	      "  --peers        measure other engines too, those that are built in: g++ and\n"
	      "                 libhnswlib-dev, libfaiss-dev were there for the build\n"
	      "  --peer NAME    only those whose names begin so: hnswlib, faiss, 'faiss sq8'\n"
	      "  --socket none  leave out what needs a daemon\n"
	      "  --rows N       of the suite `memory`, fewer than its 100000 for a quick look\n"
	      "  --trial        only see that it runs: all in small, of `memory` the cache's "
	      "part;\n"
	      "                 needs no data, and its figures say nothing\n",
	      to);
}

/* Reads options and marks the suites that were named; false when it cannot. */
static bool parse(int argc, char **argv, struct bench *bench, bool named[static N_SUITES])
{
	bool any = false;

	for (int i = 1; i < argc; i++) {
		bool known = strcmp(argv[i], "all") == 0;
		bool has_value = i + 1 < argc;

		if (has_value && strcmp(argv[i], "--data") == 0) {
			bench->data_dir = argv[++i];
			continue;
		}
		if (has_value && strcmp(argv[i], "--set") == 0) {
			bench->set = argv[++i];
			continue;
		}
		if (has_value && strcmp(argv[i], "--peer") == 0) {
			bench->with_peers = true;
			bench->peer = argv[++i];
			continue;
		}
		if (has_value && strcmp(argv[i], "--rows") == 0) {
			bench->n_rows = strtoull(argv[++i], NULL, 10);
			continue;
		}
		if (has_value && strcmp(argv[i], "--socket") == 0 &&
		    strcmp(argv[i + 1], "none") == 0) {
			bench->with_socket = false;
			i++;
			continue;
		}
		if (strcmp(argv[i], "--trial") == 0) {
			bench->is_trial = true;
			continue;
		}
		if (strcmp(argv[i], "--peers") == 0) {
			bench->with_peers = true;
			continue;
		}
		for (size_t j = 0; j < N_SUITES; j++) {
			if (strcmp(argv[i], "all") == 0 || strcmp(argv[i], suites[j].name) == 0)
				known = named[j] = true;
		}
		if (!known) {
			fprintf(stderr, "kith-bench: what is '%s'?\n", argv[i]);
			return false;
		}
		any = true;
	}
	return any;
}

int main(int argc, char **argv)
{
	struct bench bench = {.data_dir = getenv("KITH_DATA"), .with_socket = true};
	bool named[N_SUITES] = {false};
	bool all_ran = true;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (!parse(argc, argv, &bench, named)) {
		print_usage(stderr);
		return 2;
	}
	if (report_new(&bench.report))
		return 1;
	for (size_t i = 0; i < N_SUITES; i++)
		if (named[i] && suites[i].run(&bench))
			all_ran = false;
	report_print_table(bench.report);
	report_free(bench.report);
	return all_ran ? 0 : 1;
}
