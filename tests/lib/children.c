/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/children.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* So many failures say enough. */
#define FAILURES_MAX 5

void children_init(struct children *children)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	*children = (struct children){.n_parallel = n < 1              ? 1
	                                            : n > CHILDREN_MAX ? CHILDREN_MAX
	                                                               : (unsigned)n};
}

static void await_one(struct children *children)
{
	int status;
	pid_t pid;

	do
		pid = wait(&status);
	while (pid < 0 && errno == EINTR);
	assert_true(pid > 0);
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &children->v[i];

		if (child->pid != pid)
			continue;
		child->pid = 0;
		scratch_dir_release(&child->dir);
		if (status == 0)
			return;
		print_error("failed: %s (status %x)\n", child->what, (unsigned)status);
		children->n_failed++;
		return;
	}
}

static unsigned n_running(const struct children *children)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHILDREN_MAX; i++)
		n += children->v[i].pid != 0;
	return n;
}

static struct child *free_place(struct children *children)
{
	struct child *child = children->v;

	while (n_running(children) >= children->n_parallel)
		await_one(children);
	while (child->pid != 0)
		child++;
	return child;
}

void children_run(struct children *children, void (*check)(void *ctx), void *ctx, const char *what)
{
	struct child *child = free_place(children);

	if (children->n_failed >= FAILURES_MAX)
		children_finish(children);
	children->n_run++;
	snprintf(child->what, sizeof(child->what), "%s", what);
	scratch_dir_init(&child->dir);
	fflush(NULL);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid > 0)
		return;
	/* cmocka would go on with the other tests after a failed one. */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	setenv("TMPDIR", child->dir.path, 1);
	check(ctx);
	exit(EXIT_SUCCESS);
}

void children_finish(struct children *children)
{
	while (n_running(children) > 0)
		await_one(children);
	if (children->n_failed > 0)
		fail_msg("%u of %u checks failed", children->n_failed, children->n_run);
}
