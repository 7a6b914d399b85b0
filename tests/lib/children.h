/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checks that each run in a process of their own, forked from the test: what they leave in the
 * process (a daemon's memory, locks) ends with them, and several run at once.
 *
 *	children_init(&children);
 *	for (...)
 *		children_run(&children, check, &what, "crash after operation 17");
 *	children_finish(&children);     // fails the test when one of them failed
 *
 * A check fails by any assertion of cmocka; what it printed is on the test's own output, behind
 * the line that says which one it was. Its $TMPDIR is a directory that goes with it.
 *
 * Threads: the test's own, and no other may run while one is forked.
 */

#include <sys/types.h>

#include "tests/lib/scratch_dir.h"

#define CHILDREN_MAX 4
/* A sanitizer makes each check several times slower: bounded runs take one in so many. */
#ifdef KITH_SANITIZED
#define CHILDREN_STRIDE 5u
#else
#define CHILDREN_STRIDE 1u
#endif
#define CHILD_WHAT_SIZE 128

struct child {
	pid_t pid; /* 0: none */
	char what[CHILD_WHAT_SIZE];
	struct scratch_dir dir;
};

struct children {
	struct child v[CHILDREN_MAX];
	unsigned n_parallel; /* as many as there are processors, at most */
	unsigned n_run, n_failed;
};

void children_init(struct children *children);
/* Waits for a free place, then runs check(ctx) in a child that has a copy of all there is. */
void children_run(struct children *children, void (*check)(void *ctx), void *ctx, const char *what);
/* Waits for all. */
void children_finish(struct children *children);
