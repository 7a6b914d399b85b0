/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads lines of {"id": ..., "text": ..., "meta": {...}}, each key optional: what belongs to the
 * vectors of an import. */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/kith.h"

#define JSONL_MESSAGE_SIZE 512

struct jsonl {
	const char *path;
	FILE *file;
	char *line; /* owned */
	size_t size;
	uint64_t n_lines;                 /* read so far: the number of the line at hand */
	char message[JSONL_MESSAGE_SIZE]; /* what is wrong, with file and line */
};

struct jsonl_row {
	json_t *owner; /* strings point into it; json_decref() it */
	bool has_id;
	struct kith_id id;
	struct kith_str text;  /* absent: data NULL */
	struct kith_meta meta; /* the builder's */
	uint32_t n_scalars;    /* in meta */
};

/* False: see message. */
bool jsonl_open(struct jsonl *jsonl, const char *path);
void jsonl_close(struct jsonl *jsonl);
/* The next line: 1, 0 at the end, -1: see message. Metadata is made by the builder. */
int jsonl_next(struct jsonl *jsonl, struct kith_meta_builder *builder, struct jsonl_row *ret);
