/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CRC32C (Castagnoli polynomial 0x1EDC6F41, reflected; RFC 3720 appendix B.4), by the CPU's
 * instruction where it has one and a table elsewhere. Both give the same value. Threads: any.
 */

#include <stddef.h>
#include <stdint.h>

/* Extends crc (0 for the first call) by n bytes. crc32c(0, "123456789", 9) is 0xE3069283. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

/* The same without the instruction: what crc32c() falls back to, and what it is tested against. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n);
