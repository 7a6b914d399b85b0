/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The floor under every exact scan: reading the rows once and adding them up, with the widest
 * vectors that this CPU has. [any]
 */

#include <stddef.h>

/* The sum of n floats; v is aligned to 64 bytes, n a multiple of 16. */
float read_pass(const float *v, size_t n);
