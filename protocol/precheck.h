/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A walk over the structure of MessagePack bytes before msgpack-c unpacks them: one value, of
 * bounded depth, with no more values than allowed, no claim beyond the bytes that are there, no
 * extension types. msgpack-c 4.0 trusts claimed counts: five bytes (dd 05 00 00 00) make it ask
 * for 2 GiB. Recursion-free. [any]
 */

#include <stddef.h>
#include <stdint.h>

/* Outcomes; each names what is wrong. */
enum {
	PRECHECK_TRUNCATED = 1, /* a claim reaches beyond the end */
	PRECHECK_TRAILING = 2,  /* bytes behind the value */
	PRECHECK_DEPTH = 3,
	PRECHECK_VALUES = 4,
	PRECHECK_TYPE = 5, /* an extension, or the byte 0xc1 */
};

/* The deepest max_depth that may be asked for. */
#define PRECHECK_MAX_DEPTH 16

/* The value itself counts; a container without anything in it is a level too. */
int precheck(const uint8_t *data, size_t n, uint32_t max_depth, uint32_t max_values);
