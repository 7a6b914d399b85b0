/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/sample.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

void sample_add(struct sample *sample, double value)
{
	if (sample->n == sample->room) {
		sample->room = sample->room ? sample->room * 2 : 64;
		sample->values = realloc(sample->values, sample->room * sizeof(*sample->values));
		if (!sample->values)
			abort();
	}
	sample->values[sample->n++] = value;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double sample_quantile(struct sample *sample, double q)
{
	double rank = ceil(q * (double)sample->n);

	if (sample->n == 0)
		return 0.0;
	qsort(sample->values, sample->n, sizeof(*sample->values), by_value);
	return sample->values[rank < 1.0 ? 0 : (size_t)rank - 1];
}

double sample_p50(struct sample *sample)
{
	return sample_quantile(sample, 0.50);
}

double sample_p99(struct sample *sample)
{
	return sample_quantile(sample, 0.99);
}

void sample_release(struct sample *sample)
{
	free(sample->values);
	*sample = (struct sample){0};
}

static uint64_t read_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

double elapsed_us(uint64_t since_ns)
{
	return (double)(clock_ns() - since_ns) * 1e-3;
}

uint64_t thread_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

double thread_us(uint64_t since_ns)
{
	return (double)(thread_ns() - since_ns) * 1e-3;
}
