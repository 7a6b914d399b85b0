/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/embedder.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define N_BUCKETS (1u << 20)
/* Distinct buckets of one text; what comes later in a longer text is left out. */
#define MAX_FEATURES 16384
#define MAX_WORD 40
#define MIN_GRAM 3
#define MAX_GRAM 5
/* A whole word says more than one of its pieces. */
#define WORD_COUNT 3
/* Dimensions that one bucket adds to or subtracts from: what 64 random bits have room for, at 8
 * bits a dimension and one for the sign. */
#define TAPS 7

struct embedder {
	uint64_t seed;
	uint32_t n_texts;
	uint32_t n_features;             /* of the text at hand */
	uint32_t features[MAX_FEATURES]; /* their buckets */
	uint16_t counts[N_BUCKETS];      /* of the text at hand; zero between texts */
	uint32_t texts_with[N_BUCKETS];
};

int embedder_new(uint64_t seed, struct embedder **ret)
{
	struct embedder *embedder = calloc(1, sizeof(*embedder));

	if (!embedder)
		return -ENOMEM;
	embedder->seed = seed;
	*ret = embedder;
	return 0;
}

struct embedder *embedder_free(struct embedder *embedder)
{
	free(embedder);
	return NULL;
}

/* The finalizer of splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static void add_feature(struct embedder *embedder, const char *bytes, size_t n, unsigned count)
{
	uint64_t hash = n;
	uint32_t bucket;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	bucket = (uint32_t)(mix(hash) % N_BUCKETS);
	if (embedder->counts[bucket] == 0) {
		if (embedder->n_features == MAX_FEATURES)
			return;
		embedder->features[embedder->n_features++] = bucket;
	}
	if (embedder->counts[bucket] < UINT16_MAX - count)
		embedder->counts[bucket] = (uint16_t)(embedder->counts[bucket] + count);
}

/* marked: the word with a '_' at each end. */
static void add_word(struct embedder *embedder, const char *marked, size_t n)
{
	add_feature(embedder, marked, n, WORD_COUNT);
	for (size_t size = MIN_GRAM; size <= MAX_GRAM && size < n; size++)
		for (size_t at = 0; at + size <= n; at++)
			add_feature(embedder, marked + at, size, 1);
}

/* The byte as part of a word, or 0. Bytes of UTF-8 beyond ASCII count as letters. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c & 0x80))
		return c;
	return '\0';
}

static void take_features(struct embedder *embedder, const char *text, size_t n)
{
	char marked[MAX_WORD + 2] = "_";
	size_t n_marked = 1;

	for (size_t i = 0; i <= n; i++) {
		char c = i < n ? fold(text[i]) : '\0';

		if (c && n_marked <= MAX_WORD) {
			marked[n_marked++] = c;
		} else if (!c && n_marked > 1) {
			marked[n_marked++] = '_';
			add_word(embedder, marked, n_marked);
			n_marked = 1;
		}
	}
}

static void drop_features(struct embedder *embedder)
{
	for (uint32_t i = 0; i < embedder->n_features; i++)
		embedder->counts[embedder->features[i]] = 0;
	embedder->n_features = 0;
}

void embedder_learn(struct embedder *embedder, const char *text, size_t n)
{
	take_features(embedder, text, n);
	for (uint32_t i = 0; i < embedder->n_features; i++)
		embedder->texts_with[embedder->features[i]]++;
	embedder->n_texts++;
	drop_features(embedder);
}

/* tf-idf of a bucket in the text at hand. */
static float weigh(const struct embedder *embedder, uint32_t bucket)
{
	float tf = 1.0f + logf((float)embedder->counts[bucket]);
	float idf = logf((2.0f + (float)embedder->n_texts) /
	                 (1.0f + (float)embedder->texts_with[bucket]));

	return tf * idf;
}

static void project(const struct embedder *embedder, uint32_t bucket, float weight, float *vector)
{
	uint64_t bits = mix(embedder->seed ^ bucket);

	for (int tap = 0; tap < TAPS; tap++) {
		vector[bits % EMBEDDER_DIM] += bits & EMBEDDER_DIM ? weight : -weight;
		bits >>= 9;
	}
}

void embedder_embed(struct embedder *embedder, const char *text, size_t n,
                    float ret[static EMBEDDER_DIM])
{
	float squares = 0.0f;
	float length;

	memset(ret, 0, EMBEDDER_DIM * sizeof(*ret));
	take_features(embedder, text, n);
	for (uint32_t i = 0; i < embedder->n_features; i++)
		project(embedder, embedder->features[i], weigh(embedder, embedder->features[i]),
		        ret);
	drop_features(embedder);
	for (size_t i = 0; i < EMBEDDER_DIM; i++)
		squares += ret[i] * ret[i];
	length = sqrtf(squares);
	for (size_t i = 0; i < EMBEDDER_DIM && length > 0.0f; i++)
		ret[i] /= length;
}
