/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/disk_image.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR_BYTES 512

void disk_image_release(struct disk_image *image)
{
	free(image->bytes);
	*image = (struct disk_image){0};
}

bool disk_image_draw(struct disk_image *image)
{
	uint64_t z;

	if (image->seed == 0)
		return true;
	/* SplitMix64: with less mixing the first draws of neighbouring seeds repeat a few patterns.
	 */
	z = image->seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) >> 63;
}

void disk_image_resize(struct disk_image *image, size_t n)
{
	if (n > image->max) {
		image->max = 2 * n;
		image->bytes = realloc(image->bytes, image->max);
		if (!image->bytes)
			abort();
	}
	if (n > image->n)
		memset(image->bytes + image->n, 0, n - image->n);
	image->n = n;
}

void disk_image_write(struct disk_image *image, const uint8_t *bytes, size_t n, size_t offset)
{
	for (size_t at = 0; at < n;) {
		size_t to = offset + at;
		size_t part = SECTOR_BYTES - to % SECTOR_BYTES;

		if (part > n - at)
			part = n - at;
		if (disk_image_draw(image)) {
			if (to + part > image->n)
				disk_image_resize(image, to + part);
			memcpy(image->bytes + to, bytes + at, part);
		}
		at += part;
	}
}
