/* SPDX-License-Identifier: Apache-2.0 */

/*
 * 64 clients, each on a connection of its own, search and replace records of one indexed collection
 * for minutes. What the daemon does is the same all the time, so the last minute must look like the
 * first: its p99 and what the daemon holds of memory that is its own (RssAnon).
 */

#include "tests/torture/torture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/bench/sample.h"
#include "tests/lib/kith_calls.h"

#define COLLECTION "crowd"
#define N_CLIENTS 64u
#define N_RECORDS 10240u
#define OWN_RECORDS (N_RECORDS / N_CLIENTS)
/* Of a hundred requests so many write. */
#define WRITE_PERCENT 10u
#define K 10u
/* What counts as grown. */
#define MAX_P99_RATIO 1.5
#define MAX_GROWN_KB (32l << 10)

enum part {
	PART_FIRST,
	PART_MIDDLE,
	PART_LAST,
	PART_END,
};

struct crowd {
	_Atomic int part;
};

struct member {
	struct crowd *crowd;
	struct kith_conn *conn;
	pthread_t thread;
	uint64_t random;
	uint32_t number;
	uint32_t version;
	struct sample us[PART_END];
	int r; /* what ended it early */
};

static int search_one(struct member *member)
{
	float vector[RECORD_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(COLLECTION),
	        .vectors = kith_vectors(
	                record_vector(torture_draw(&member->random) % N_RECORDS, 1, vector),
	                RECORD_DIM),
	        .k = K,
	};
	struct kith_search_result *result;
	int r = kith_search(member->conn, &params, &result);

	if (r)
		return r;
	r = result->ids.n == K ? 0 : -1;
	kith_free(result);
	return r;
}

static int request_one(struct member *member)
{
	uint64_t own = torture_draw(&member->random) % OWN_RECORDS;

	if (torture_draw(&member->random) % 100 >= WRITE_PERCENT)
		return search_one(member);
	return try_put_records(member->conn, COLLECTION, member->number * OWN_RECORDS + own, 1,
	                       ++member->version, NULL);
}

static void *member_main(void *arg)
{
	struct member *member = arg;
	int part;

	while (member->r == 0 && (part = atomic_load(&member->crowd->part)) != PART_END) {
		uint64_t began_ns = clock_ns();

		member->r = request_one(member);
		if (part != PART_MIDDLE)
			sample_add(&member->us[part], elapsed_us(began_ns));
	}
	return NULL;
}

/* Memory of the process that is its own. */
static long anon_kb(pid_t pid)
{
	char path[64], line[128];
	long kb = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	assert_non_null(file);
	while (kb < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "RssAnon: %ld", &kb);
	fclose(file);
	return kb;
}

/* What one minute was like. */
struct minute {
	double p50_us, p99_us;
	size_t n;
	long anon_kb;
};

static void sum_up(struct member *members, enum part part, struct minute *minute)
{
	struct sample all = {0};

	for (uint32_t i = 0; i < N_CLIENTS; i++)
		for (size_t j = 0; j < members[i].us[part].n; j++)
			sample_add(&all, members[i].us[part].values[j]);
	minute->n = all.n;
	minute->p50_us = sample_p50(&all);
	minute->p99_us = sample_p99(&all);
	sample_release(&all);
}

static void print_minute(const char *which, const struct minute *minute)
{
	printf("crowd: %s minute: %zu requests, p50 %.0f us, p99 %.0f us, %ld KiB held\n", which,
	       minute->n, minute->p50_us, minute->p99_us, minute->anon_kb);
}

/* The first and the last minute, a third each when there are less than three. */
static void let_them_run(struct crowd *crowd, pid_t pid, uint32_t minutes, struct minute *first,
                         struct minute *last)
{
	uint32_t all_s = minutes * 60, edge_s = all_s / 3 < 60 ? all_s / 3 : 60;

	nanosleep(&(struct timespec){.tv_sec = edge_s}, NULL);
	first->anon_kb = anon_kb(pid);
	atomic_store(&crowd->part, PART_MIDDLE);
	nanosleep(&(struct timespec){.tv_sec = all_s - 2 * edge_s}, NULL);
	atomic_store(&crowd->part, PART_LAST);
	nanosleep(&(struct timespec){.tv_sec = edge_s}, NULL);
	last->anon_kb = anon_kb(pid);
	atomic_store(&crowd->part, PART_END);
}

static void join(struct member *members)
{
	for (uint32_t i = 0; i < N_CLIENTS; i++) {
		assert_int_equal(pthread_join(members[i].thread, NULL), 0);
		if (members[i].r)
			fail_msg("client %u: %s: %s", i, kith_error_name(members[i].r),
			         kith_error_message(members[i].conn));
		kith_close(members[i].conn);
	}
}

bool torture_crowd(const struct torture_options *options)
{
	static struct member members[N_CLIENTS];
	struct crowd crowd = {0};
	struct service_fixture *service;
	struct minute first, last;
	void *state;
	bool flat;

	service_setup(&state);
	service = state;
	make_collection(service->conn, COLLECTION, KITH_METRIC_L2);
	put_records(service->conn, COLLECTION, 0, N_RECORDS, 1);
	ensure(service->conn, (struct ask){.collection = COLLECTION, .wait = true});
	for (uint32_t i = 0; i < N_CLIENTS; i++) {
		members[i] = (struct member){.crowd = &crowd,
		                             .conn = service_client(service),
		                             .random = options->seed + i,
		                             .number = i,
		                             .version = 1};
		assert_int_equal(pthread_create(&members[i].thread, NULL, member_main, &members[i]),
		                 0);
	}
	let_them_run(&crowd, service->daemon->pid, options->minutes, &first, &last);
	join(members);
	sum_up(members, PART_FIRST, &first);
	sum_up(members, PART_LAST, &last);
	for (uint32_t i = 0; i < N_CLIENTS; i++)
		for (int part = 0; part < PART_END; part++)
			sample_release(&members[i].us[part]);
	expect_count(service->conn, COLLECTION, N_RECORDS);
	service_teardown(&state);
	print_minute("first", &first);
	print_minute("last", &last);
	flat = last.p99_us <= MAX_P99_RATIO * first.p99_us &&
	       last.anon_kb <= first.anon_kb + MAX_GROWN_KB;
	printf("crowd: %u clients for %u minutes: p99 %.2f x, memory %+ld KiB: %s\n", N_CLIENTS,
	       options->minutes, last.p99_us / first.p99_us, last.anon_kb - first.anon_kb,
	       flat ? "flat" : "NOT flat");
	return flat;
}
