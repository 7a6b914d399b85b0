/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Floats as IEEE 754 binary16, as the daemon rounds them: half as much to send. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rounds n_rows rows of dim floats to the nearest, ties to even. False: a row has an element that
 * none is near to, or nothing but zeros is left of it; whether and how that is wrong the daemon
 * tells who is sent the floats. */
bool half_from_rows(const float *rows, size_t n_rows, uint32_t dim, uint16_t *ret);
