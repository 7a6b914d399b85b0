/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Manual pages as readable text: enough of roff for searching, far from a formatter.
 */

#include <stddef.h>

/* Makes one line (no newline) plain, in place, and returns its new length. Requests vanish, the
 * arguments of macros stay, escapes become what they print. A line that starts a paragraph or a
 * section and says nothing else becomes empty, which is what separates passages. */
size_t roff_plain_line(char *line, size_t n);
