/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How a file of kernels makes its two sets: it has
 *
 *   float one(op, order, row, row_dtype, query, n)
 *   void four(op, order, single, single_dtype, fours[4] as arguments, fours_dtype, n, ret)
 *
 * as inline functions whose op, order and dtypes are constants, and KERNELS_SET() expands them into
 * the functions of struct kernels.
 */

#include "index/kernels.h"

#define KERNELS_INLINE static inline __attribute__((always_inline))

enum kernel_op {
	OP_L2,
	OP_DOT,
};

/* Whether what lies behind a row comes next. */
enum kernel_order {
	ORDER_SCAN,
	ORDER_ANY,
};

#define KERNELS_FORMS(op_name, OP, dtype_name, DTYPE)                                             \
	static float op_name##_##dtype_name(const void *row, const float *query, size_t n)        \
	{                                                                                         \
		return one(OP, ORDER_SCAN, row, DTYPE, query, n);                                 \
	}                                                                                         \
	static void op_name##_x4_##dtype_name(const void *row, const float *const queries[4],     \
	                                      size_t n, float ret[4])                             \
	{                                                                                         \
		four(OP, ORDER_SCAN, row, DTYPE, queries[0], queries[1], queries[2], queries[3],  \
		     DTYPE_F32, n, ret);                                                          \
	}                                                                                         \
	static void op_name##_rows_##dtype_name(const void *const *rows, uint32_t n_rows,         \
	                                        const float *query, size_t n, float *ret)         \
	{                                                                                         \
		if (n_rows == 4) {                                                                \
			four(OP, ORDER_ANY, query, DTYPE_F32, rows[0], rows[1], rows[2], rows[3], \
			     DTYPE, n, ret);                                                      \
			return;                                                                   \
		}                                                                                 \
		for (uint32_t i = 0; i < n_rows; i++)                                             \
			ret[i] = one(OP, ORDER_ANY, rows[i], DTYPE, query, n);                    \
	}

#define KERNELS_SET(set, dtype_name, DTYPE)                   \
	KERNELS_FORMS(l2, OP_L2, dtype_name, DTYPE)           \
	KERNELS_FORMS(dot, OP_DOT, dtype_name, DTYPE)         \
	const struct kernels kernels_##set##_##dtype_name = { \
	        .name = #set,                                 \
	        .dtype = DTYPE,                               \
	        .l2 = l2_##dtype_name,                        \
	        .dot = dot_##dtype_name,                      \
	        .l2_x4 = l2_x4_##dtype_name,                  \
	        .dot_x4 = dot_x4_##dtype_name,                \
	        .l2_rows = l2_rows_##dtype_name,              \
	        .dot_rows = dot_rows_##dtype_name,            \
	};
