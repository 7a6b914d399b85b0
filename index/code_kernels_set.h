/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a file of code kernels makes its set: it has
 *
 *   int32_t dot(query, plane, n)
 *
 * of one plane and one query, beside the set's dot_x4(), and CODE_KERNELS_SET() makes dots() of it
 * and the struct.
 */

#include "index/code_kernels.h"

#define CODE_KERNELS_INLINE static inline __attribute__((always_inline))
#define BLOCK 64u /* nibbles that are packed together */

/* Asks for the plane that comes some places behind planes[0], of n_left, which dots() is about to
 * read: as many as 2 KiB hold. Below that memory idles; above it lines are pushed out of the first
 * level before their turn. */
static inline void code_kernels_ask_ahead(const uint8_t *const *planes, size_t n_left, size_t n)
{
	size_t ahead = n < 4096 ? 4096 / n : 1;

	if (ahead >= n_left)
		return;
	for (size_t at = 0; at < n / 2; at += 64)
		__builtin_prefetch(planes[ahead] + at);
}

#define CODE_KERNELS_SET(set)                                                                \
	static void dots(const int8_t *query, const uint8_t *const *planes, size_t n_planes, \
	                 size_t n, int32_t *ret)                                             \
	{                                                                                    \
		for (size_t i = 0; i < n_planes; i++) {                                      \
			code_kernels_ask_ahead(planes + i, n_planes - i, n);                 \
			ret[i] = dot(query, planes[i], n);                                   \
		}                                                                            \
	}                                                                                    \
	const struct code_kernels code_kernels_##set = {                                     \
	        .name = #set,                                                                \
	        .dots = dots,                                                                \
	        .dot_x4 = dot_x4,                                                            \
	};
