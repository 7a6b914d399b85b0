/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Frames: a 4-byte big-endian payload length, then the payload (one MessagePack value). The
 * splitter is incremental and does no I/O: who reads asks it where to put bytes, tells it how
 * many came, and takes whole payloads out.
 *
 * It holds one frame and what came behind it. A frame announced as larger than FRAME_SMALL_BYTES
 * gets room only when the owner allowed it (frame_splitter_allow), so that the owner can make
 * large frames wait for memory; until then the splitter wants no bytes.
 *
 * Threads: one owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 4u
/* What a connection may have in its buffer without asking; one read's worth. A frame that is
 * larger, header included, is a large one. */
#define FRAME_SMALL_BYTES (64u << 10)

/* Outcomes of frame_splitter_next(). */
enum {
	FRAME_MORE = 1,   /* not whole yet: read on */
	FRAME_ASK = 2,    /* a large frame begins: allow it, or read nothing for now */
	FRAME_BROKEN = 3, /* length 0 or over max: the stream cannot go on */
};

struct frame_splitter {
	uint8_t *buf;
	size_t size;       /* of buf */
	size_t start, end; /* what is in it */
	uint32_t max;      /* largest payload */
	bool allowed;      /* the large frame at start may have room */
};

void frame_splitter_init(struct frame_splitter *splitter, uint32_t max_payload_bytes);
void frame_splitter_release(struct frame_splitter *splitter);

/* Where the next bytes may go: at least 1 byte of room. Valid until the next call. Room reaches
 * past a small frame at hand, so that one read takes several, and ends where a large one does.
 * -EAGAIN while next() has something to tell (anything but FRAME_MORE). -ENOMEM. */
int frame_splitter_room(struct frame_splitter *splitter, void **ret_at, size_t *ret_n);
/* n bytes were put there. */
void frame_splitter_fed(struct frame_splitter *splitter, size_t n);
/* The next whole payload, valid until the next call on the splitter. On FRAME_ASK and
 * FRAME_BROKEN *ret_n is the announced length. */
int frame_splitter_next(struct frame_splitter *splitter, const uint8_t **ret_payload,
                        uint32_t *ret_n);
/* Lets the large frame that FRAME_ASK announced have its room. */
void frame_splitter_allow(struct frame_splitter *splitter);
/* Takes the buffer that holds the payload which next() just returned, instead of copying it:
 * returns owned memory (free()), in which the payload stays where it was; what follows it moves
 * to a new buffer. NULL when there is no memory for that (nothing changed then). */
void *frame_splitter_take(struct frame_splitter *splitter);

/* Writes the header of a payload of n bytes. */
void frame_put_header(uint8_t header[static FRAME_HEADER_BYTES], uint32_t n);
