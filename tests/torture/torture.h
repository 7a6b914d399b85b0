/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What kith-torture does with a real daemon of its own, one file each. They print what they found;
 * what is broken fails at once (service_fixture.h), a bound that does not hold is returned.
 */

#include <stdbool.h>
#include <stdint.h>

struct torture_options {
	uint64_t seed;
	uint32_t rounds;
	uint32_t seconds; /* no round begins later */
	uint32_t draws;
	uint32_t minutes;
};

/* A pseudo-random number below 2^31. */
static inline uint64_t torture_draw(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *random >> 33;
}

/* Eight clients write and search, kill -9, and everything is checked. */
void torture_kill(const struct torture_options *options);
/* A small file system is filled and emptied, again and again. False: it cannot be had here, or
 * something was refused that must not be. */
bool torture_full(void);
/* The same records are replaced again and again. False: the files grow past their bound. */
bool torture_space(const struct torture_options *options);
/* 64 clients: whether latency and memory stay as they were. False: they do not. */
bool torture_crowd(const struct torture_options *options);
/* A polite client alone, and beside one that is not. False: it is served over three times later. */
bool torture_abuse(const struct torture_options *options);
