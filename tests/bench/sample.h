/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Measured values of one kind, and what they amount to. Quantiles are values that were measured
 * (nearest rank), not interpolated ones. Threads: one owner.
 */

#include <stddef.h>
#include <stdint.h>

struct sample {
	double *values; /* owned */
	size_t n;
	size_t room;
};

/* A zeroed one is ready. Runs out of memory by aborting: a benchmark has no better idea. */
void sample_add(struct sample *sample, double value);
/* 0 <= q <= 1; 0.0 for an empty one. Sorts the values. */
double sample_quantile(struct sample *sample, double q);
double sample_p50(struct sample *sample);
double sample_p99(struct sample *sample);
void sample_release(struct sample *sample);

/* The monotonic clock. */
uint64_t clock_ns(void);
/* Microseconds since an earlier clock_ns(). */
double elapsed_us(uint64_t since_ns);
/* What the calling thread had of a CPU so far, and since then. On a busy machine a clock adds what
 * others had meanwhile, and more to what takes long: it is no ground for a ratio. */
uint64_t thread_ns(void);
double thread_us(uint64_t since_ns);
