/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Real text of this machine: headers, manual pages and package documentation, compressed or not,
 * split into passages of a few hundred bytes. Any of the places may be missing or empty; the
 * others then give more.
 */

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

struct passage {
	const char *file; /* its path */
	uint32_t number;  /* in the file, from 1 */
	uint32_t line;    /* where it starts, from 1 */
	char *text;       /* UTF-8, n bytes and a terminator */
	uint32_t n;
};

struct corpus {
	struct passage *passages;
	size_t n;
	size_t max;
	char **files; /* owned: those that passages name */
	size_t n_files;
};

/* Reads until there are max passages or nothing is left; stops early when *stop is set. The same
 * machine gives the same passages. -ENOMEM. */
int corpus_gather(struct corpus *corpus, size_t max, const volatile sig_atomic_t *stop);
/* Fine on a zeroed or half-filled one. */
void corpus_release(struct corpus *corpus);
