/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A small lexical embedder, so that the demo needs no model: two texts are near when they share
 * rare pieces of words. It knows nothing of meaning; "car" and "automobile" are strangers to it.
 *
 * A text becomes features: its words and their character n-grams (3 to 5 bytes, word ends marked),
 * hashed into buckets. Each is weighted by tf-idf (Salton and Buckley 1988, logarithmic tf) and
 * the whole projected to EMBEDDER_DIM dimensions by a sparse random projection (Achlioptas 2003),
 * which keeps angles approximately; then scaled to length 1.
 *
 * First every text is learned, then texts are embedded. Threads: one owner.
 */

#include <stddef.h>
#include <stdint.h>

#define EMBEDDER_DIM 256

struct embedder;

/* The same seed gives the same vectors. -ENOMEM. */
int embedder_new(uint64_t seed, struct embedder **ret);
/* NULL is fine; returns NULL. */
struct embedder *embedder_free(struct embedder *embedder);

/* Counts the features of one text: what is in many texts says little about any. */
void embedder_learn(struct embedder *embedder, const char *text, size_t n);
/* Writes the text's vector: length 1, or all zeros for a text without any feature. */
void embedder_embed(struct embedder *embedder, const char *text, size_t n,
                    float ret[static EMBEDDER_DIM]);
