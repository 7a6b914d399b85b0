/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/vector_page.h"

#include <stddef.h>
#include <string.h>

#include "storage/crc32c.h"
#include "storage/vector_file.h"

#define SEALED_BYTES (VECTOR_PAGE_BYTES - sizeof(uint32_t))

const uint8_t vector_header_magic[8] = {'K', 'I', 'T', 'H', 'V', 'E', 'C', '\n'};
const uint8_t vector_extent_magic[8] = {'K', 'I', 'T', 'H', 'E', 'X', 'T', '\n'};

static_assert(offsetof(struct vector_header, crc) == SEALED_BYTES, "the seal is last");
static_assert(offsetof(struct vector_extent_head, crc) == SEALED_BYTES, "the seal is last");

void vector_page_seal(void *page)
{
	uint32_t crc = crc32c(0, page, SEALED_BYTES);

	memcpy((uint8_t *)page + SEALED_BYTES, &crc, sizeof(crc));
}

bool vector_page_is_sound(const void *page, const uint8_t magic[static 8])
{
	uint32_t crc;

	memcpy(&crc, (const uint8_t *)page + SEALED_BYTES, sizeof(crc));
	return memcmp(page, magic, 8) == 0 && crc == crc32c(0, page, SEALED_BYTES);
}

static uint32_t round_up(uint32_t n, uint32_t to)
{
	return (n + to - 1) / to * to;
}

struct vector_layout vector_layout_for(uint32_t stride_bytes)
{
	uint32_t extent_rows = VECTOR_FILE_EXTENT_BYTES / stride_bytes;
	uint32_t slots_at = 2 * VECTOR_PAGE_BYTES;
	uint32_t slots_bytes = extent_rows * (uint32_t)sizeof(uint64_t);
	uint32_t rows_at = slots_at + round_up(slots_bytes, VECTOR_PAGE_BYTES);
	uint32_t end = rows_at + extent_rows * stride_bytes;

	return (struct vector_layout){
	        .stride_bytes = stride_bytes,
	        .extent_rows = extent_rows,
	        .slots_at = slots_at,
	        .rows_at = rows_at,
	        .extent_bytes = round_up(end, VECTOR_EXTENT_ALIGN),
	};
}
