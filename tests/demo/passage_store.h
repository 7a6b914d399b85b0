/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The passages as records of a Kith collection: what an application does with libkith, and how to
 * find out afterwards whether the daemon kept its word.
 *
 * Passages are written in batches of PASSAGE_BATCH, several under way at a time. The store
 * remembers which batches were acknowledged, and passage_store_check() compares all of it with
 * what a later daemon holds.
 *
 * Results are those of kith.h, passage_store_error() says what they mean. Threads: one owner.
 */

#include <stdbool.h>
#include <stddef.h>

#include "tests/demo/corpus.h"
#include "tests/demo/embedder.h"
#include "client/kith.h"

#define PASSAGE_COLLECTION "passages"
#define PASSAGE_BATCH 200
#define PASSAGE_PIPELINE 8

struct passage_batch {
	uint64_t ticket;
	bool submitted;
	bool acknowledged;
};

struct passage_store {
	const struct corpus *corpus; /* borrowed, as is the embedder */
	struct embedder *embedder;
	struct kith_conn *conn;
	float *vectors; /* EMBEDDER_DIM for each passage */
	struct passage_batch *batches;
	size_t n_batches;
	bool *found; /* which passages passage_store_check() met */
	char error[256];
};

/* Embeds every passage. */
int passage_store_init(struct passage_store *store, const struct corpus *corpus,
                       struct embedder *embedder);
void passage_store_release(struct passage_store *store);
const char *passage_store_error(const struct passage_store *store);

/* Connects, dropping an older connection. */
int passage_store_connect(struct passage_store *store, const char *socket_path);
int passage_store_create(struct passage_store *store);

/* Writes batches [first, end) and returns when all but the last n_open of them are acknowledged;
 * those are on their way. */
int passage_store_write(struct passage_store *store, size_t first, size_t end, size_t n_open);
/* Takes the acknowledgements that came before the daemon died. */
void passage_store_take_last(struct passage_store *store);

/* What became of the index; `found` is false where there is none. */
struct passage_index {
	bool found;
	uint32_t state; /* enum kith_index_state */
	uint64_t nodes;
	uint64_t saved_nodes;
	uint64_t pending;
	uint64_t builds; /* since the daemon started */
};
int passage_store_index(struct passage_store *store, struct passage_index *ret);
/* Returns when the index is on disk, which the daemon would see to by itself a little later. */
int passage_store_save_index(struct passage_store *store);

/* The k passages nearest to the question; ef_search 0: as the index has it. */
int passage_store_ask(struct passage_store *store, const char *question, uint32_t k,
                      uint32_t ef_search, struct kith_search_result **ret);
/* The passage of that id; NULL when there is none. */
const struct passage *passage_store_find(const struct passage_store *store,
                                         const struct kith_id *id);

struct passage_report {
	size_t n_acknowledged;
	size_t n_found;     /* of those, with the text, vector and metadata that were written */
	size_t n_unsettled; /* never acknowledged: may be there or not, a batch at a time */
	size_t n_kept;      /* of those, there */
	size_t n_torn;      /* batches that are there in part */
	size_t n_wrong;     /* records that nobody wrote, or not like that */
};

/* Reads everything back and compares. */
int passage_store_check(struct passage_store *store, struct passage_report *ret);
/* Whether an answer is what the passages that check() met really have to say to the question, by
 * comparing it with all of them here. */
bool passage_store_is_right(struct passage_store *store, const char *question,
                            const struct kith_search_result *answer);
