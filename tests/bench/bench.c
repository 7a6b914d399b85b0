/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int bench_fail(const char *what, int r)
{
	if (r < 0)
		fprintf(stderr, "kith-bench: %s: %s\n", what, strerror(-r));
	else
		fprintf(stderr, "kith-bench: %s: outcome %d\n", what, r);
	return r < 0 ? r : -EIO;
}

int bench_read_set(const struct bench *bench, struct dataset **ret)
{
	int r = bench->data_dir ? dataset_read(bench->data_dir, BENCH_SET, ret) : -ENOENT;

	return r ? bench_fail("cannot read the " BENCH_SET " set (--data DIR or $KITH_DATA)", r)
	         : 0;
}
