/* SPDX-License-Identifier: Apache-2.0 */

/*
 * kith-demo: what Kith is for, on this machine's own text, in under a minute.
 *
 * A private daemon in a temporary directory stores real passages, builds one index for the many
 * that ask for it, and answers questions with it; then it is killed in the middle of writing and
 * started again. The index is there without a build, and everything that was acknowledged is read
 * back and compared. The user's own Kith is not touched, and nothing is left behind. The exit
 * status says whether all of it held.
 */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/demo/corpus.h"
#include "tests/demo/embedder.h"
#include "tests/demo/ensurers.h"
#include "tests/demo/excerpt.h"
#include "tests/demo/passage_store.h"
#include "tests/lib/daemon_process.h"

#define MAX_PASSAGES 20000
#define MIN_PASSAGES 500
#define SEED 20240229
#define HITS_SHOWN 2
#define HITS_CHECKED 10
/* Candidates of the search whose hits are checked: so many that a graph misses none of ten. */
#define EF_CHECKED 512
/* Batches that are held back to be on their way when the daemon dies, and how many of these it
 * may still acknowledge. */
#define LATE_BATCHES 16
#define TURN_NS 50000L
#define PATIENCE_S 30.0

/* About things whose headers, pages or licences are on any machine that can build Kith. */
static const char *const questions[] = {
        "How do I open a database connection?",
        "Compress a buffer in memory.",
        "Which list of open file descriptors does a process have?",
        "How do I change the owner of a file?",
        "May I copy and distribute modified versions of the program?",
};
#define N_QUESTIONS (sizeof(questions) / sizeof(*questions))

static volatile sig_atomic_t stop;

struct demo {
	size_t max_passages;
	struct corpus corpus;
	struct embedder *embedder;
	struct passage_store store;
	struct daemon_process *daemon;
};

static void on_signal(int signal_number)
{
	(void)signal_number;
	stop = 1;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Says what could not be done, and why; false, for who has to give up. */
static bool fail(const char *what, const char *why)
{
	fflush(stdout);
	if (stop)
		fputs("\nkith-demo: interrupted\n", stderr);
	else
		fprintf(stderr, "kith-demo: cannot %s: %s\n", what, why);
	return false;
}

static bool fail_daemon(const char *what, int r)
{
	return fail(what, r < 0 ? strerror(-r) : "the daemon ended");
}

/* The steps. ---------------------------------------------------------------------------------- */

static bool read_and_embed(struct demo *demo)
{
	double start = now_s();
	int r = corpus_gather(&demo->corpus, demo->max_passages, &stop);

	if (r || stop)
		return fail("read this machine's text", strerror(-r));
	if (demo->corpus.n < MIN_PASSAGES)
		return fail("find enough text", "headers, manual pages and documents are missing");
	printf("Read       %zu passages from %zu headers, manual pages and documents, %.1f s\n",
	       demo->corpus.n, demo->corpus.n_files, now_s() - start);

	start = now_s();
	r = embedder_new(SEED, &demo->embedder);
	r = r ? r : passage_store_init(&demo->store, &demo->corpus, demo->embedder);
	if (r || stop)
		return fail("embed the passages", strerror(-r));
	printf("Embedded   %d dimensions, %.1f s. The embedder is lexical: hashed character "
	       "n-grams,\n"
	       "           tf-idf, a random projection. It finds shared words, not meaning.\n",
	       EMBEDDER_DIM, now_s() - start);
	return true;
}

static size_t n_early_batches(const struct demo *demo)
{
	size_t n = demo->store.n_batches;

	return n > 2 * LATE_BATCHES ? n - LATE_BATCHES : n / 2;
}

static bool start_and_store(struct demo *demo)
{
	struct passage_store *store = &demo->store;
	size_t n_batches = n_early_batches(demo);
	double start;
	double took;
	int r = daemon_process_new(&demo->daemon);

	r = r ? r : daemon_process_start(demo->daemon);
	if (r || stop)
		return fail_daemon("start the daemon", r);
	r = passage_store_connect(store, demo->daemon->socket);
	r = r ? r : passage_store_create(store);
	if (r || stop)
		return fail("make a collection", passage_store_error(store));
	start = now_s();
	r = passage_store_write(store, 0, n_batches, 0);
	if (r || stop)
		return fail("store the passages", passage_store_error(store));
	took = now_s() - start;
	printf("Stored     %zu passages in %.2f s, each on disk before it was acknowledged:"
	       " %.0f a second\n",
	       n_batches * PASSAGE_BATCH, took, (double)(n_batches * PASSAGE_BATCH) / took);
	return true;
}

/* What those who asked for the index were told; whether it is what they should be: one began the
 * build, and no other ask another. (A small graph may be built before the last one asks.) */
static bool show_outcomes(const struct ensurer ensurers[static N_ENSURERS])
{
	size_t n_built = 0;
	size_t n_other = 0;

	for (size_t i = 0; i < N_ENSURERS; i++) {
		if (ensurers[i].r)
			return fail("ensure the index", ensurers[i].error);
		n_built += ensurers[i].outcome == KITH_ENSURED_BUILT;
		n_other += ensurers[i].outcome == KITH_ENSURED_JOINED ||
		           ensurers[i].outcome == KITH_ENSURED_EXISTING;
	}
	fputs("          ", stdout);
	for (size_t i = 0; i < N_ENSURERS; i++)
		printf(" %s", kith_ensured_name(ensurers[i].outcome));
	putchar('\n');
	return n_built == 1 && n_other == N_ENSURERS - 1;
}

static bool build_once(struct demo *demo)
{
	struct ensurer ensurers[N_ENSURERS];
	struct passage_index index;
	double start = now_s();
	double took;
	int r;

	ensurers_run(demo->daemon->socket, PASSAGE_COLLECTION, ensurers);
	took = now_s() - start;
	r = passage_store_save_index(&demo->store);
	r = r ? r : passage_store_index(&demo->store, &index);
	if (r || stop)
		return fail("look at the index", passage_store_error(&demo->store));
	printf("Indexed    %d clients asked for the same index at once and had it after %.1f s:\n",
	       N_ENSURERS, took);
	if (!show_outcomes(ensurers))
		return false;
	printf("           %llu build ran; the graph has %llu nodes, %llu of them saved\n",
	       (unsigned long long)index.builds, (unsigned long long)index.nodes,
	       (unsigned long long)index.saved_nodes);
	return index.builds == 1;
}

static void show_hit(const struct demo *demo, const char *question,
                     const struct kith_search_result *answer, uint32_t i)
{
	const struct passage *passage = passage_store_find(&demo->store, &answer->ids.v[i]);

	if (!passage)
		return;
	printf("    %.2f  %s, line %u\n", 1.0 - (double)answer->distances.v[i], passage->file,
	       passage->line);
	excerpt_print(passage->text, question, "          ", 80, 2);
}

static bool ask(struct demo *demo)
{
	printf("Asked      %zu questions; the nearest passages by cosine:\n", N_QUESTIONS);
	for (size_t i = 0; i < N_QUESTIONS; i++) {
		struct kith_search_result *answer;
		double start = now_s();
		int r = passage_store_ask(&demo->store, questions[i], HITS_SHOWN, 0, &answer);
		double took = now_s() - start;

		if (r || stop)
			return fail("search", passage_store_error(&demo->store));
		printf("\n  \"%s\"  %.1f ms, %s, %llu comparisons\n", questions[i], took * 1e3,
		       kith_mode_name(answer->mode), (unsigned long long)answer->comparisons);
		for (uint32_t hit = 0; hit < answer->ids.n; hit++)
			show_hit(demo, questions[i], answer, hit);
		kith_free(answer);
	}
	return true;
}

static bool kill_while_writing(struct demo *demo)
{
	struct passage_store *store = &demo->store;
	size_t first = n_early_batches(demo);
	int r = passage_store_write(store, first, store->n_batches, PASSAGE_PIPELINE - 1);

	if (r || stop)
		return fail("store more passages", passage_store_error(store));
	r = daemon_process_kill(demo->daemon);
	if (r)
		return fail_daemon("kill the daemon", r);
	passage_store_take_last(store);
	printf("\nKilled     kill -9 while %zu more passages were being written\n",
	       demo->corpus.n - first * PASSAGE_BATCH);
	return true;
}

/* Connects as soon as the daemon lets us. */
static int connect_at_once(struct demo *demo, double start)
{
	int r;

	while ((r = passage_store_connect(&demo->store, demo->daemon->socket)) != 0) {
		if (stop || !daemon_process_running(demo->daemon) || now_s() - start > PATIENCE_S)
			break;
		nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
	}
	return r;
}

static bool show_report(const struct passage_report *report)
{
	bool holds = report->n_found == report->n_acknowledged && report->n_torn == 0 &&
	             report->n_wrong == 0;

	printf("Checked    %zu of %zu acknowledged passages are there, with the same text, vector"
	       " and\n           metadata",
	       report->n_found, report->n_acknowledged);
	if (report->n_unsettled)
		printf("; of %zu never acknowledged, %zu are there: %s", report->n_unsettled,
		       report->n_kept,
		       report->n_torn ? "BATCHES ARE TORN" : "whole batches or nothing");
	putchar('\n');
	if (report->n_wrong)
		printf("           %zu records are NOT WHAT WAS WRITTEN\n", report->n_wrong);
	return holds;
}

/* Opening an index takes a moment too, in which searches are exact. */
static int await_index(struct demo *demo, struct passage_index *ret)
{
	double start = now_s();
	int r = passage_store_index(&demo->store, ret);

	while (!r && ret->state < KITH_INDEX_STATE_SERVING && !stop) {
		if (now_s() - start > PATIENCE_S)
			break;
		nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
		r = passage_store_index(&demo->store, ret);
	}
	return r;
}

/* So does a vector file that had not been synced: it is written again before its graph is used. */
static int ask_index(struct demo *demo, struct kith_search_result **ret)
{
	double start = now_s();
	int r = passage_store_ask(&demo->store, questions[0], HITS_CHECKED, EF_CHECKED, ret);

	while (!r && (*ret)->mode != KITH_MODE_HNSW && !stop && now_s() - start <= PATIENCE_S) {
		nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
		kith_free(*ret);
		*ret = NULL;
		r = passage_store_ask(&demo->store, questions[0], HITS_CHECKED, EF_CHECKED, ret);
	}
	return r;
}

static bool show_opened(const struct passage_index *index)
{
	printf("Opened     the index is %s, with %llu nodes from its file and %llu passages"
	       " pending;\n           %llu builds ran\n",
	       kith_index_state_name(index->state), (unsigned long long)index->saved_nodes,
	       (unsigned long long)index->pending, (unsigned long long)index->builds);
	return index->found && index->state >= KITH_INDEX_STATE_SERVING && index->builds == 0;
}

/* After passage_store_check(), which finds out what there is to be found. */
static bool show_answer(struct demo *demo, const char *which,
                        const struct kith_search_result *answer)
{
	bool is_right = passage_store_is_right(&demo->store, questions[0], answer);

	printf("           %s is %s: %s, %llu comparisons, %llu scanned\n", which,
	       is_right ? "right" : "WRONG", kith_mode_name(answer->mode),
	       (unsigned long long)answer->comparisons, (unsigned long long)answer->scanned);
	return is_right;
}

static bool start_again_and_check(struct demo *demo)
{
	struct passage_store *store = &demo->store;
	struct kith_search_result *first = NULL;
	struct kith_search_result *indexed = NULL;
	struct passage_index index;
	struct passage_report report;
	double start = now_s();
	double took;
	bool holds;
	int r = daemon_process_spawn(demo->daemon);

	if (r)
		return fail_daemon("start the daemon again", r);
	r = connect_at_once(demo, start);
	r = r ? r : passage_store_ask(store, questions[0], HITS_CHECKED, EF_CHECKED, &first);
	took = now_s() - start;
	r = r ? r : await_index(demo, &index);
	r = r ? r : ask_index(demo, &indexed);
	r = r ? r : passage_store_check(store, &report);
	if (r || stop) {
		kith_free(first);
		kith_free(indexed);
		return fail("search again", passage_store_error(store));
	}
	printf("Restarted  the first answer came %.0f ms after the start\n", took * 1e3);
	holds = show_answer(demo, "it", first);
	holds &= show_opened(&index);
	holds &= show_answer(demo, "its answer", indexed) && indexed->mode == KITH_MODE_HNSW;
	holds &= show_report(&report);
	kith_free(first);
	kith_free(indexed);
	return holds;
}

static bool stop_daemon(struct demo *demo)
{
	int r = daemon_process_stop(demo->daemon);

	return r ? fail_daemon("stop the daemon cleanly", r) : true;
}

static bool run(struct demo *demo)
{
	return read_and_embed(demo) && start_and_store(demo) && build_once(demo) && ask(demo) &&
	       kill_while_writing(demo) && start_again_and_check(demo) && stop_daemon(demo);
}

static int usage(bool is_help)
{
	fprintf(is_help ? stdout : stderr,
	        "usage: kith-demo [--passages N]\n\n"
	        "Stores this machine's own text in a private Kith daemon, lets eight clients\n"
	        "ask for its index, asks it questions, kills it while it writes, starts it\n"
	        "again, and checks that no acknowledged passage is lost and no index is built\n"
	        "again. Leaves nothing behind.\n\n"
	        "  --passages N  how many at most, from %d to %d, the default\n",
	        MIN_PASSAGES, MAX_PASSAGES);
	return is_help ? 0 : 2;
}

/* Whether the text is a number of passages to make do with. */
static bool parse_passages(const char *text, size_t *ret)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*ret = n;
	return *text >= '0' && *text <= '9' && *end == '\0' && n >= MIN_PASSAGES &&
	       n <= MAX_PASSAGES;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct demo demo = {.max_passages = MAX_PASSAGES};
	double start = now_s();
	bool holds;

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(true);
	if (argc == 3 && strcmp(argv[1], "--passages") == 0) {
		if (!parse_passages(argv[2], &demo.max_passages))
			return usage(false);
	} else if (argc > 1) {
		return usage(false);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	holds = run(&demo);
	passage_store_release(&demo.store);
	daemon_process_free(demo.daemon);
	embedder_free(demo.embedder);
	corpus_release(&demo.corpus);
	if (holds)
		printf("\nAll of it held. %.1f s in all; nothing is left behind.\n",
		       now_s() - start);
	else if (!stop)
		puts("\nNOT all of it held.");
	return holds ? 0 : 1;
}
