/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Memory that runs out: the n-th allocation of a daemon in this process fails. What counts is what
 * Kith's own code, SQLite and libuv ask for on any thread but the test's own, which is the
 * client's. The C library's own needs (of fopen() and the like) are not seen.
 *
 * A program that uses it is linked as tests/CMakeLists.txt says, and calls failing_alloc_init()
 * before anything else; without that the test's own thread counts too, and SQLite and libuv do not.
 *
 * Threads: the test's own.
 */

#include <stdbool.h>
#include <stdint.h>

void failing_alloc_init(void);
/* Counts anew, and fails the nth from now on, counted from 1, once; 0: none. */
void failing_alloc_arm(uint64_t nth);
/* How many there were since, also after this; nothing fails any more. */
uint64_t failing_alloc_disarm(void);
bool failing_alloc_has_failed(void);
