/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRIAL_ROWS 400
#define TRIAL_QUERIES 16 /* a batch of `load` */
#define TRIAL_DIM 32
#define TRIAL_FACTORS 8
#define TRIAL_US 1e4

int bench_fail(const char *what, int r)
{
	if (r < 0)
		fprintf(stderr, "kith-bench: %s: %s\n", what, strerror(-r));
	else
		fprintf(stderr, "kith-bench: %s: outcome %d\n", what, r);
	return r < 0 ? r : -EIO;
}

size_t bench_rounds(const struct bench *bench, size_t n)
{
	return bench->is_trial ? 1 : n;
}

double bench_turn_us(const struct bench *bench, double us)
{
	return bench->is_trial ? TRIAL_US : us;
}

static int make_set(struct dataset **ret)
{
	int r = dataset_make_of_factors(BENCH_SET, TRIAL_ROWS, TRIAL_QUERIES, TRIAL_DIM,
	                                TRIAL_FACTORS, 1, ret);

	r = r ? r : dataset_find_truth(*ret, BENCH_K);
	return r ? bench_fail("cannot make a set", r) : 0;
}

int bench_read_set(const struct bench *bench, struct dataset **ret)
{
	if (bench->is_trial)
		return make_set(ret);
	int r = bench->data_dir ? dataset_read(bench->data_dir, BENCH_SET, ret) : -ENOENT;

	return r ? bench_fail("cannot read the " BENCH_SET " set (--data DIR or $KITH_DATA)", r)
	         : 0;
}
