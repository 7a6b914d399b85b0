/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A few lines of a passage, from where it has most in common with a question.
 */

#include <stddef.h>

/* Writes at most n_lines lines of about width bytes to stdout, each behind indent. */
void excerpt_print(const char *text, const char *question, const char *indent, size_t width,
                   size_t n_lines);
