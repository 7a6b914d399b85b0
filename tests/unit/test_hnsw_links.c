/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A list is read while an insertion rewrites it. The list lies across the edge of two pages, and
 * the one that the reader comes to later cannot be read at first: at its first look there, between
 * two links, the whole list is rewritten, and then it reads on.
 */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "index/hnsw_graph.h"

#define CAPACITY 32u
#define N_AFTER 20u /* links in the list when it was rewritten */
#define BRANCH (7u | HNSW_LINK_CHILD)

static uint8_t *pages; /* two */
static size_t page_bytes;
static _Atomic uint32_t *list;
static uint32_t branch_to; /* where the branch comes to stand */
static volatile sig_atomic_t n_rewritten;

/* As an insertion does: from the front. */
static void rewrite(int signal)
{
	(void)signal;
	if (mprotect(pages, 2 * page_bytes, PROT_READ | PROT_WRITE) != 0)
		_exit(EXIT_FAILURE);
	for (uint32_t i = 0; i < CAPACITY; i++)
		hnsw_link(list, i, i == branch_to ? BRANCH : i < N_AFTER ? 200 + i : HNSW_NO_LINK);
	n_rewritten++;
}

/* A full list with the branch at `from`, of which the first n_first links are on the first page. */
static void lay_out(uint32_t n_first, uint32_t from)
{
	list = (void *)(pages + page_bytes - n_first * sizeof(*list));
	for (uint32_t i = 0; i < CAPACITY; i++)
		atomic_init(&list[i], i == from ? BRANCH : 100 + i);
}

static void expect_branch_is_met(void *closed)
{
	uint32_t links[CAPACITY];
	uint32_t n, n_met = 0;
	int before = n_rewritten;

	assert_int_equal(mprotect(closed, page_bytes, PROT_NONE), 0);
	n = hnsw_links(list, CAPACITY, links);
	assert_int_equal(n_rewritten, before + 1);
	for (uint32_t i = 0; i < n; i++)
		n_met += links[i] == (BRANCH & ~HNSW_LINK_BRANCH);
	assert_true(n_met > 0);
}

/* Wherever it stood, wherever it goes, and wherever the reader is. */
static void a_branch_that_moves_forward_is_met(void **state)
{
	struct sigaction action = {.sa_handler = rewrite}, old;

	(void)state;
	page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	pages = mmap(NULL, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	             0);
	assert_true(pages != MAP_FAILED);
	assert_int_equal(sigaction(SIGSEGV, &action, &old), 0);
	for (uint32_t n_first = 1; n_first < CAPACITY; n_first++) {
		for (uint32_t from = 0; from < CAPACITY; from++) {
			for (branch_to = 0; branch_to <= from && branch_to < N_AFTER; branch_to++) {
				lay_out(n_first, from);
				expect_branch_is_met(pages);
				lay_out(n_first, from);
				expect_branch_is_met(pages + page_bytes);
			}
		}
	}
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	munmap(pages, 2 * page_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_branch_that_moves_forward_is_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
