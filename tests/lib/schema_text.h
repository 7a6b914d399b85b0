/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an SQLite file is made of, as text that a test can compare: a line for each table with its
 * columns, and for each index that was asked for by name with what it is over, in the order of
 * their names.
 */

/* The caller frees it. Failures are failed assertions of cmocka. */
char *schema_text(const char *path);
