/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The identity of a collection: 16 random bytes (RFC 4122, version 4). Names come and go, the
 * uuid stays, and it alone is part of a path.
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define UUID_TEXT_SIZE 37 /* 36 characters and the terminator */

struct uuid {
	uint8_t bytes[16];
};

/* Draws a new one from the kernel's random source. */
int uuid_new(struct uuid *ret);
/* Writes "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx". */
void uuid_format(const struct uuid *uuid, char text[static UUID_TEXT_SIZE]);
/* Reads that form; false when it is not. */
bool uuid_parse(const char *text, struct uuid *ret);

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
