/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Four f16 to four f32 and back, without branches, in the compiler's own vectors: for the scalar
 * kernels and for whoever handles few elements. Where CPUs can do it themselves the kernels have
 * them do it, with the same bits. [any]
 */

#include <stdint.h>
#include <string.h>

typedef float half_f32x4 __attribute__((vector_size(16), may_alias));
typedef uint32_t half_u32x4 __attribute__((vector_size(16), may_alias));
typedef uint16_t half_u16x4 __attribute__((vector_size(8), may_alias));

/* The bits of an f16 stand where an f32 has them, but for the exponent's bias: 2^112 makes up for
 * it, and normalises what is subnormal. An infinity or NaN needs all bits of the exponent. */
static inline half_f32x4 half_load(const void *from)
{
	half_u16x4 halves;
	memcpy(&halves, from, sizeof(halves));
	half_u32x4 bits = __builtin_convertvector(halves, half_u32x4);
	half_u32x4 sign = (bits & 0x8000) << 16;
	half_f32x4 magnitude = (half_f32x4)((bits & 0x7fff) << 13) * 0x1p112f;
	half_u32x4 special = (half_u32x4)((bits & 0x7c00) == 0x7c00) & 0x7f800000;

	return (half_f32x4)((half_u32x4)magnitude | special | sign);
}

/* A normal f16 comes of adding half of what is cut off, less one where that is even; the carry may
 * run into the exponent, and from the largest into infinity. The sum with 0.5 has the unit of a
 * subnormal f16 as its last bit, so that the addition itself rounds. */
static inline void half_store(half_f32x4 values, void *ret_to)
{
	half_u32x4 bits = (half_u32x4)values;
	half_u32x4 sign = bits >> 16 & 0x8000;
	half_u32x4 magnitude = bits & 0x7fffffff;
	half_u32x4 normal = (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13;
	half_u32x4 subnormal = (half_u32x4)((half_f32x4)magnitude + 0.5f) - 0x3f000000;
	half_u32x4 is_small = (half_u32x4)(magnitude < 0x38800000);  /* 2^-14 */
	half_u32x4 is_large = (half_u32x4)(magnitude >= 0x47800000); /* 65536 */
	half_u32x4 is_nan = (half_u32x4)(magnitude > 0x7f800000);
	half_u32x4 result = (is_small & subnormal) | (~is_small & ~is_large & normal) |
	                    (is_large & 0x7c00) | (is_nan & 0x200) | sign;
	half_u16x4 halves = __builtin_convertvector(result, half_u16x4);

	memcpy(ret_to, &halves, sizeof(halves));
}
