/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * msgpack-c's tree of a value, never made before precheck.h has seen the bytes. Inside protocol/
 * only. [any]
 */

#include <msgpack.h>

/* The tree borrows strings and bytes from data; msgpack_unpacked_destroy() releases the rest.
 * An outcome of precheck.h. -ENOMEM. */
int unpack(const uint8_t *data, size_t n, uint32_t max_depth, uint32_t max_values,
           msgpack_unpacked *ret);
