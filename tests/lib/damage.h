/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Damage to files, and what 'verify' says of them. Threads: the test's own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/kith.h"

/* Writes over n bytes at an offset of a file. */
void spoil(const char *path, long at, size_t n);

/* Whether nothing is wrong with the collection's files. */
bool is_found_sound(struct kith_conn *conn, const char *collection);
/* The same, and so many records were looked at. */
void expect_sound(struct kith_conn *conn, const char *collection, uint64_t n_records);
/* The first that is wrong is in a file whose name begins like that; derived: it can be made again.
 */
void expect_finding(struct kith_conn *conn, const char *collection, const char *file, bool derived);
