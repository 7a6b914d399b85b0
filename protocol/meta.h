/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Metadata of a record: a map of strings to scalars (bool, integer within int64, finite float,
 * string) or lists of scalars. Its canonical encoding, which is what is stored and handed back:
 * MessagePack with keys in byte order, integers in their shortest form, floats as float64,
 * strings in their shortest form. Equal metadata has equal bytes. (Decoding it from a message is
 * decode_meta.c's business.)
 *
 * The builder is for who makes metadata: clients and tests. [any]
 */

#include "protocol/wire.h"

struct wire_meta_builder {
	struct wire_buf buf;
	uint32_t n_pairs;
	uint32_t n_in_list; /* elements that the list at hand still waits for */
};

void wire_meta_begin(struct wire_meta_builder *builder);
void wire_meta_text(struct wire_meta_builder *builder, const char *key, const char *text, size_t n);
void wire_meta_int(struct wire_meta_builder *builder, const char *key, int64_t value);
void wire_meta_float(struct wire_meta_builder *builder, const char *key, double value);
void wire_meta_bool(struct wire_meta_builder *builder, const char *key, bool value);
/* A list: n scalars follow, their keys ignored (any of the four calls above). */
void wire_meta_list(struct wire_meta_builder *builder, const char *key, uint32_t n);
/* The map, in the builder's memory until wire_meta_release(); data NULL when memory ran out. Keys
 * are as they came; the daemon sorts. */
struct wire_bin wire_meta_end(struct wire_meta_builder *builder);
void wire_meta_release(struct wire_meta_builder *builder);

/* Walks a metadata map: calls each() for every scalar (in a list: with in_list true, one call an
 * element; an empty list gives none); stops at the first non-zero result and returns it.
 * -EBADMSG when blob is not metadata. */
int wire_meta_each(struct wire_bin blob,
                   int (*each)(void *ctx, const struct wire_scalar *scalar, bool in_list),
                   void *ctx);
