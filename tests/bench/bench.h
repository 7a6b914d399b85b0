/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * kith-bench: suites that measure Kith beside the raw thing it is made of, in the same run and in
 * turns, so that a busy machine slows both. Suites are rows of one table in main.c.
 */

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/dataset.h"
#include "tests/bench/report.h"

/* The set that the published figures are about: 60,000 rows of 784 dimensions. */
#define BENCH_SET "fashion-mnist"
#define BENCH_K 10

struct bench {
	const char *data_dir;
	bool with_peers;
	const char *peer; /* only those whose names begin so; NULL: all */
	const char *set;  /* of `vector`, only this one; NULL: all */
	bool with_socket; /* false: only what needs no daemon */
	size_t n_rows;    /* of `memory` in all; 0: as many as the bars are about */
	bool is_trial;    /* see bench_rounds() */
	struct report *report;
};

/* In a trial, which shows that a suite still runs and whose figures say nothing, everything is done
 * once and for a moment, over a set of a few hundred rows that is made up on the spot. */
size_t bench_rounds(const struct bench *bench, size_t n);
double bench_turn_us(const struct bench *bench, double us);

/* Reads BENCH_SET, saying on stderr what is wrong when it cannot. */
int bench_read_set(const struct bench *bench, struct dataset **ret);

/* Each returns 0, or -errno after it said why on stderr. */
int suite_exact(struct bench *bench);
int suite_ipc(struct bench *bench);
int suite_write(struct bench *bench);
int suite_vector(struct bench *bench);
int suite_load(struct bench *bench);
int suite_index(struct bench *bench);
int suite_restart(struct bench *bench);
int suite_memory(struct bench *bench);

/* Says on stderr that `what` failed with result r of kith.h, storage/ or the system; returns a
 * negative one. */
int bench_fail(const char *what, int r);
