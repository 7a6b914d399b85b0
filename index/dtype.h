/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an element of a vector is: IEEE 754 binary32 or binary16, little-endian. Every f16 is an f32
 * too; the way back rounds to the nearest, ties to even, and what is then beyond 65504 becomes an
 * infinity. [any]
 */

#include <stddef.h>
#include <stdint.h>

/* Same numbers as the truth and the wire use. */
enum dtype {
	DTYPE_F32 = 0,
	DTYPE_F16 = 1,
};
#define N_DTYPES 2

static inline uint32_t dtype_bytes(enum dtype dtype)
{
	return dtype == DTYPE_F16 ? 2 : 4;
}

/* n elements at any alignment; the two may not overlap. NaN stays NaN. */
void dtype_convert(const void *from, enum dtype from_dtype, size_t n, enum dtype to_dtype,
                   void *ret_to);
