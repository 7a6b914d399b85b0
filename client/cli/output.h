/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What people see: columns that fit the terminal, numbers they can read. What came from clients is
 * shown without control characters, so that no record can drive the terminal.
 */

#include <stdint.h>
#include <stdio.h>

#include "client/kith.h"

/* A string cell; sizes below are enough for any value. */
#define OUTPUT_CELL_SIZE 48

/* 1234567 -> "1,234,567" */
char *output_count(uint64_t n, char cell[static OUTPUT_CELL_SIZE]);
/* 1536 -> "1.5 KiB" */
char *output_bytes(uint64_t n, char cell[static OUTPUT_CELL_SIZE]);
/* 1234 us -> "1.23 ms" */
char *output_duration(double us, char cell[static OUTPUT_CELL_SIZE]);
/* 0.75 -> "75%"; rounded down, so that only the whole is 100%. */
char *output_share(double share, char cell[static OUTPUT_CELL_SIZE]);
/* Milliseconds since 1970 as local time. */
char *output_time(uint64_t ms, char cell[static OUTPUT_CELL_SIZE]);

struct table;

/* Titles: one for each column; '>' as the first character: numbers, right-aligned and never cut;
 * '=': a text that is never cut, since it is to be copied or read whole. Other text in the last
 * column is cut to the terminal's width, in another one to what leaves room for the others. NULL
 * instead of titles: none, all columns are text and wholly shown. NULL: no memory. */
struct table *table_new(uint32_t n_columns, const char *const titles[]);
/* The next cell, row by row; copied. */
void table_text(struct table *table, const char *text);
void table_str(struct table *table, struct kith_str str);
/* As JSON; empty when there is none. */
void table_meta(struct table *table, const struct kith_meta *meta);
void table_format(struct table *table, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Prints all of it, the titles too, and frees it. */
void table_print(struct table *table);
