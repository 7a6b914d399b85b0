/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The buffer is one of two sizes. Small: FRAME_SMALL_BYTES, in which small frames are found one
 * behind the other; the rest of the last moves to the front before the next read. Large: exactly
 * the large frame at hand, so that no read reaches past it, and whoever takes the buffer takes
 * that frame and nothing else. Once a large frame is out the buffer is given back.
 */

#include "protocol/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void frame_splitter_init(struct frame_splitter *splitter, uint32_t max_payload_bytes)
{
	*splitter = (struct frame_splitter){.max = max_payload_bytes};
}

void frame_splitter_release(struct frame_splitter *splitter)
{
	free(splitter->buf);
	*splitter = (struct frame_splitter){.max = splitter->max};
}

/* The payload's length that the header at p announces. */
static uint32_t announced(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What stands at start: 0 for a whole frame, or an outcome of frame_splitter_next(). *ret_n is the
 * announced length, untouched while the header is not whole. */
static int frame_at_start(const struct frame_splitter *splitter, uint32_t *ret_n)
{
	size_t have = splitter->end - splitter->start, whole;
	uint32_t n;

	if (have < FRAME_HEADER_BYTES)
		return FRAME_MORE;
	n = announced(splitter->buf + splitter->start);
	*ret_n = n;
	if (n == 0 || n > splitter->max)
		return FRAME_BROKEN;
	whole = FRAME_HEADER_BYTES + (size_t)n;
	if (have >= whole)
		return 0;
	return whole > FRAME_SMALL_BYTES && !splitter->allowed ? FRAME_ASK : FRAME_MORE;
}

/* Moves what is there to the front of a buffer of `size` bytes, another one when the size is. */
static int set_size(struct frame_splitter *splitter, size_t size)
{
	size_t have = splitter->end - splitter->start;
	uint8_t *buf = splitter->buf;

	assert(have <= size);
	if (size == splitter->size && splitter->start == 0)
		return 0;
	if (size != splitter->size) {
		buf = malloc(size);
		if (buf == NULL)
			return -ENOMEM;
	}
	if (have > 0)
		memmove(buf, splitter->buf + splitter->start, have);
	if (buf != splitter->buf)
		free(splitter->buf);
	splitter->buf = buf;
	splitter->size = size;
	splitter->start = 0;
	splitter->end = have;
	return 0;
}

int frame_splitter_room(struct frame_splitter *splitter, void **ret_at, size_t *ret_n)
{
	size_t size = FRAME_SMALL_BYTES;
	uint32_t n = 0;
	int r = frame_at_start(splitter, &n);

	if (r != FRAME_MORE)
		return -EAGAIN;
	if (n > FRAME_SMALL_BYTES - FRAME_HEADER_BYTES)
		size = FRAME_HEADER_BYTES + (size_t)n;
	r = set_size(splitter, size);
	if (r < 0)
		return r;
	*ret_at = splitter->buf + splitter->end;
	*ret_n = splitter->size - splitter->end;
	return 0;
}

void frame_splitter_fed(struct frame_splitter *splitter, size_t n)
{
	assert(n <= splitter->size - splitter->end);
	splitter->end += n;
}

/* Nothing is buffered: start at the front again, and keep no large buffer. */
static void settle(struct frame_splitter *splitter)
{
	splitter->start = splitter->end = 0;
	if (splitter->size > FRAME_SMALL_BYTES) {
		free(splitter->buf);
		splitter->buf = NULL;
		splitter->size = 0;
	}
}

int frame_splitter_next(struct frame_splitter *splitter, const uint8_t **ret_payload,
                        uint32_t *ret_n)
{
	int r;

	if (splitter->start == splitter->end)
		settle(splitter);
	r = frame_at_start(splitter, ret_n);
	if (r != 0)
		return r;
	*ret_payload = splitter->buf + splitter->start + FRAME_HEADER_BYTES;
	splitter->start += FRAME_HEADER_BYTES + (size_t)*ret_n;
	splitter->allowed = false;
	return 0;
}

void frame_splitter_allow(struct frame_splitter *splitter)
{
	splitter->allowed = true;
}

void *frame_splitter_take(struct frame_splitter *splitter)
{
	size_t have = splitter->end - splitter->start;
	uint8_t *taken = splitter->buf, *buf = NULL;

	assert(have <= FRAME_SMALL_BYTES);
	if (have > 0) {
		buf = malloc(FRAME_SMALL_BYTES);
		if (buf == NULL)
			return NULL;
		memcpy(buf, taken + splitter->start, have);
	}
	splitter->buf = buf;
	splitter->size = buf == NULL ? 0 : FRAME_SMALL_BYTES;
	splitter->start = 0;
	splitter->end = have;
	return taken;
}

void frame_put_header(uint8_t header[static FRAME_HEADER_BYTES], uint32_t n)
{
	header[0] = (uint8_t)(n >> 24);
	header[1] = (uint8_t)(n >> 16);
	header[2] = (uint8_t)(n >> 8);
	header[3] = (uint8_t)n;
}
