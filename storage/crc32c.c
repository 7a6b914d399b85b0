/* SPDX-License-Identifier: Apache-2.0 */

/*
 * CRC32C twice.
 *
 * With the instruction: it has a latency of three cycles and a throughput of one, so three
 * neighbouring lanes are run side by side and joined. A register that held `a` before n further
 * bytes contributes a * x^(8n) mod P to the register after them; that product is one carry-less
 * multiplication by a constant, and the crc32 instruction itself reduces it, because applied to a
 * 64-bit value v it yields v * x^32 mod P. (Bits are reflected, which adds one more x: the
 * constant for n bytes is x^(8n - 33) mod P.) Long lanes make the joins cheap, short ones serve
 * what is left.
 *
 * Without: eight tables of 256, eight bytes a step. Table k holds the effect of a byte that is
 * followed by k more.
 */

#include "storage/crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

#define CRC32C_POLYNOMIAL 0x82F63B78u /* reflected */

static uint32_t crc32c_tables[8][256];

static void crc32c_fill_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ CRC32C_POLYNOMIAL : crc >> 1;
		crc32c_tables[0][byte] = crc;
	}
	for (int k = 1; k < 8; k++) {
		for (int byte = 0; byte < 256; byte++) {
			uint32_t crc = crc32c_tables[k - 1][byte];

			crc32c_tables[k][byte] = crc >> 8 ^ crc32c_tables[0][crc & 255];
		}
	}
}

static uint64_t load_le64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap64(value);
#endif
	return value;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t n)
{
	static pthread_once_t filled = PTHREAD_ONCE_INIT;
	const uint8_t *at = data;

	pthread_once(&filled, crc32c_fill_tables);
	crc = ~crc;
	for (; n >= 8; n -= 8, at += 8) {
		uint64_t word = load_le64(at) ^ crc;

		crc = 0;
		for (int k = 0; k < 8; k++)
			crc ^= crc32c_tables[7 - k][word >> 8 * k & 255];
	}
	for (; n > 0; n--, at++)
		crc = crc >> 8 ^ crc32c_tables[0][(crc ^ *at) & 255];
	return ~crc;
}

#if defined(__x86_64__)

#define CRC32C_X86 __attribute__((target("sse4.2,pclmul")))

/* Three lanes of n bytes each; shift_1 and shift_2 move a register over one and two of them. */
struct lanes {
	size_t n;
	uint32_t shift_1;
	uint32_t shift_2;
};

static const struct lanes lanes_long = {4096, 0x82F89C77, 0x54A86326};
static const struct lanes lanes_short = {256, 0xB9E02B86, 0xDD7E3B0C};

CRC32C_X86 static inline uint64_t crc32c_shift(uint64_t crc, uint32_t by)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
	                                       _mm_cvtsi64_si128((long long)by), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Takes as many triples of lanes as there are from *at and *n. */
CRC32C_X86 static inline uint64_t crc32c_lanes(uint64_t crc, const struct lanes *lanes,
                                               const uint8_t **at, size_t *n)
{
	for (; *n >= 3 * lanes->n; *n -= 3 * lanes->n, *at += 3 * lanes->n) {
		const uint8_t *first = *at;
		uint64_t second = 0;
		uint64_t third = 0;

		for (size_t i = 0; i < lanes->n; i += 8) {
			crc = _mm_crc32_u64(crc, load_le64(first + i));
			second = _mm_crc32_u64(second, load_le64(first + lanes->n + i));
			third = _mm_crc32_u64(third, load_le64(first + 2 * lanes->n + i));
		}
		crc = crc32c_shift(crc, lanes->shift_2) ^ crc32c_shift(second, lanes->shift_1) ^
		      third;
	}
	return crc;
}

CRC32C_X86 static uint32_t crc32c_x86(uint32_t crc, const uint8_t *at, size_t n)
{
	uint64_t wide = ~crc;

	wide = crc32c_lanes(wide, &lanes_long, &at, &n);
	wide = crc32c_lanes(wide, &lanes_short, &at, &n);
	for (; n >= 8; n -= 8, at += 8)
		wide = _mm_crc32_u64(wide, load_le64(at));
	for (; n > 0; n--, at++)
		wide = _mm_crc32_u8((uint32_t)wide, *at);
	return ~(uint32_t)wide;
}

#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		return crc32c_x86(crc, data, n);
#endif
	return crc32c_portable(crc, data, n);
}
