/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bytes of one file as a disk may hold them while operations are played to it: a write gets
 * there by sectors, each drawn by seed. Aborts without memory. Threads: one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_image {
	uint8_t *bytes;
	size_t n;
	size_t max;
	uint64_t seed; /* of the draws; 0: everything gets there */
};

void disk_image_release(struct disk_image *image);
/* One draw: whether it gets there. */
bool disk_image_draw(struct disk_image *image);
/* Growth reads as zeros. */
void disk_image_resize(struct disk_image *image, size_t n);
void disk_image_write(struct disk_image *image, const uint8_t *bytes, size_t n, size_t offset);
