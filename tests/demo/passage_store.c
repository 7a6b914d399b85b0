/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/demo/passage_store.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "demo lexical n-grams 256"
#define MAX_ID 512
#define PAGE_RECORDS 1000
#define MAX_K 64
/* What rounding in 32 bits may make of a cosine. */
#define TOLERANCE 1e-5

/* Keeps what the connection says about a failure. */
static int note(struct passage_store *store, int r)
{
	if (r)
		snprintf(store->error, sizeof(store->error), "%s", kith_error_message(store->conn));
	return r;
}

const char *passage_store_error(const struct passage_store *store)
{
	return store->error;
}

static const float *vector_of(const struct passage_store *store, size_t passage_idx)
{
	return store->vectors + passage_idx * EMBEDDER_DIM;
}

int passage_store_init(struct passage_store *store, const struct corpus *corpus,
                       struct embedder *embedder)
{
	*store = (struct passage_store){.corpus = corpus, .embedder = embedder};
	store->n_batches = (corpus->n + PASSAGE_BATCH - 1) / PASSAGE_BATCH;
	store->vectors = calloc(corpus->n, EMBEDDER_DIM * sizeof(*store->vectors));
	store->batches = calloc(store->n_batches, sizeof(*store->batches));
	store->found = calloc(corpus->n, sizeof(*store->found));
	if (!store->vectors || !store->batches || !store->found) {
		passage_store_release(store);
		return -ENOMEM;
	}
	for (size_t i = 0; i < corpus->n; i++)
		embedder_learn(embedder, corpus->passages[i].text, corpus->passages[i].n);
	for (size_t i = 0; i < corpus->n; i++)
		embedder_embed(embedder, corpus->passages[i].text, corpus->passages[i].n,
		               store->vectors + i * EMBEDDER_DIM);
	return 0;
}

void passage_store_release(struct passage_store *store)
{
	kith_close(store->conn);
	free(store->vectors);
	free(store->batches);
	free(store->found);
	*store = (struct passage_store){0};
}

int passage_store_connect(struct passage_store *store, const char *socket_path)
{
	struct kith_options options = {
	        .socket_path = socket_path,
	        .client = "kith-demo",
	        .ret_message = store->error,
	        .message_size_bytes = sizeof(store->error),
	};

	kith_close(store->conn);
	store->conn = NULL;
	return kith_connect(&options, &store->conn);
}

int passage_store_create(struct passage_store *store)
{
	struct kith_create_collection_params params = {
	        .name = kith_text(PASSAGE_COLLECTION),
	        .dim = EMBEDDER_DIM,
	        .metric = KITH_METRIC_COSINE,
	        .space = kith_text(SPACE),
	};

	return note(store, kith_create_collection(store->conn, &params, NULL));
}

/* Writing. ------------------------------------------------------------------------------------ */

/* "file:number"; paths too long for an id keep their end, which tells them apart. */
static struct kith_id make_id(const struct passage *passage, char text[static MAX_ID])
{
	size_t n = strlen(passage->file);
	const char *file = n > MAX_ID - 12 ? passage->file + n - (MAX_ID - 12) : passage->file;

	snprintf(text, MAX_ID, "%s:%u", file, passage->number);
	return kith_id_text(text);
}

static size_t batch_end(const struct passage_store *store, size_t batch_idx)
{
	size_t end = (batch_idx + 1) * PASSAGE_BATCH;

	return end < store->corpus->n ? end : store->corpus->n;
}

static int submit_batch(struct passage_store *store, size_t batch_idx,
                        struct kith_meta_builder *builder)
{
	size_t first = batch_idx * PASSAGE_BATCH;
	uint32_t n = (uint32_t)(batch_end(store, batch_idx) - first);
	char texts_of_ids[PASSAGE_BATCH][MAX_ID];
	struct kith_id ids[PASSAGE_BATCH];
	struct kith_str texts[PASSAGE_BATCH];
	struct kith_meta metas[PASSAGE_BATCH];
	struct kith_upsert_params params = {
	        .collection = kith_text(PASSAGE_COLLECTION),
	        .space = kith_text(SPACE),
	        .ids = {ids, n},
	        .vectors = kith_vectors(vector_of(store, first), (size_t)n * EMBEDDER_DIM),
	        .texts = {texts, n},
	        .metas = {metas, n},
	};
	int r;

	for (uint32_t i = 0; i < n; i++) {
		const struct passage *passage = &store->corpus->passages[first + i];

		ids[i] = make_id(passage, texts_of_ids[i]);
		texts[i] = kith_text_n(passage->text, passage->n);
		kith_meta_text(builder, "file", kith_text(passage->file));
		kith_meta_int(builder, "line", passage->line);
		metas[i] = kith_meta_end(builder);
	}
	r = kith_submit_upsert(store->conn, &params, &store->batches[batch_idx].ticket);
	kith_meta_reset(builder);
	store->batches[batch_idx].submitted = r == 0;
	return note(store, r);
}

static int collect_batch(struct passage_store *store, size_t batch_idx, int timeout_ms)
{
	struct passage_batch *batch = &store->batches[batch_idx];
	int r = kith_collect_upsert(store->conn, batch->ticket, timeout_ms, NULL);

	batch->submitted = false;
	batch->acknowledged = r == 0;
	return note(store, r);
}

int passage_store_write(struct passage_store *store, size_t first, size_t end, size_t n_open)
{
	struct kith_meta_builder *builder = kith_meta_new();
	size_t next = first; /* to collect */
	int r = builder ? 0 : -ENOMEM;

	for (size_t i = first; i < end && !r; i++) {
		r = submit_batch(store, i, builder);
		if (!r && i - next + 1 == PASSAGE_PIPELINE)
			r = collect_batch(store, next++, KITH_USUAL);
	}
	if (!r)
		r = note(store, kith_flush(store->conn));
	while (!r && next + n_open < end)
		r = collect_batch(store, next++, KITH_USUAL);
	kith_meta_free(builder);
	return r;
}

void passage_store_take_last(struct passage_store *store)
{
	for (size_t i = 0; i < store->n_batches; i++)
		if (store->batches[i].submitted)
			collect_batch(store, i, KITH_USUAL);
}

/* The index. ---------------------------------------------------------------------------------- */

int passage_store_index(struct passage_store *store, struct passage_index *ret)
{
	struct kith_list_indexes_params params = {.collection = kith_text(PASSAGE_COLLECTION)};
	struct kith_list_indexes_result *list;
	int r = note(store, kith_list_indexes(store->conn, &params, &list));

	if (r)
		return r;
	*ret = (struct passage_index){0};
	if (list->indexes.n > 0) {
		const struct kith_index *index = &list->indexes.v[0];

		*ret = (struct passage_index){
		        .found = true,
		        .state = index->state,
		        .nodes = index->nodes,
		        .saved_nodes = index->saved_nodes,
		        .pending = index->pending,
		        .builds = index->builds,
		};
	}
	kith_free(list);
	return 0;
}

int passage_store_save_index(struct passage_store *store)
{
	struct kith_optimize_params params = {.collection = kith_text(PASSAGE_COLLECTION)};

	return note(store, kith_optimize(store->conn, &params, NULL));
}

/* Asking. ------------------------------------------------------------------------------------- */

int passage_store_ask(struct passage_store *store, const char *question, uint32_t k,
                      uint32_t ef_search, struct kith_search_result **ret)
{
	float vector[EMBEDDER_DIM];
	struct kith_search_params params = {
	        .collection = kith_text(PASSAGE_COLLECTION),
	        .space = kith_text(SPACE),
	        .vectors = kith_vectors(vector, EMBEDDER_DIM),
	        .k = k,
	        .ef_search = ef_search,
	};

	embedder_embed(store->embedder, question, strlen(question), vector);
	return note(store, kith_search(store->conn, &params, ret));
}

static bool has_id(const struct passage *passage, const struct kith_id *id)
{
	char text[MAX_ID];
	struct kith_id own = make_id(passage, text);

	return id->text && id->n == own.n && memcmp(id->text, own.text, own.n) == 0;
}

const struct passage *passage_store_find(const struct passage_store *store,
                                         const struct kith_id *id)
{
	for (size_t i = 0; i < store->corpus->n; i++)
		if (has_id(&store->corpus->passages[i], id))
			return &store->corpus->passages[i];
	return NULL;
}

/* Checking. ----------------------------------------------------------------------------------- */

struct meta_wanted {
	const struct passage *passage;
	unsigned n_right;
};

static int compare_scalar(void *ctx, const struct kith_scalar *scalar, bool in_list)
{
	struct meta_wanted *wanted = ctx;
	const struct passage *passage = wanted->passage;

	if (!in_list && scalar->kind == KITH_SCALAR_TEXT && scalar->key.n == 4 &&
	    memcmp(scalar->key.data, "file", 4) == 0)
		wanted->n_right += scalar->text.n == strlen(passage->file) &&
		                   memcmp(scalar->text.data, passage->file, scalar->text.n) == 0;
	if (!in_list && scalar->kind == KITH_SCALAR_INT && scalar->key.n == 4 &&
	    memcmp(scalar->key.data, "line", 4) == 0)
		wanted->n_right += scalar->integer == passage->line;
	return 0;
}

/* Whether record i of the page is the passage, in every part. */
static bool is_same(const struct passage_store *store, size_t passage_idx,
                    const struct kith_scan_result *page, uint32_t i)
{
	const struct passage *passage = &store->corpus->passages[passage_idx];
	struct meta_wanted wanted = {.passage = passage};

	if (page->texts.v[i].n != passage->n ||
	    memcmp(page->texts.v[i].data, passage->text, passage->n) != 0)
		return false;
	if (memcmp(page->vectors.v + (size_t)i * EMBEDDER_DIM, vector_of(store, passage_idx),
	           EMBEDDER_DIM * sizeof(float)) != 0)
		return false;
	return kith_meta_each(&page->metas.v[i], compare_scalar, &wanted) == 0 &&
	       wanted.n_right == 2;
}

/* Records come in the order of writing, so one walk along the passages meets them all; at is
 * where it has come to. */
static void match_page(struct passage_store *store, const struct kith_scan_result *page, size_t *at,
                       struct passage_report *report)
{
	for (uint32_t i = 0; i < page->ids.n; i++) {
		size_t j = *at;

		while (j < store->corpus->n &&
		       !has_id(&store->corpus->passages[j], &page->ids.v[i]))
			j++;
		if (j == store->corpus->n || !is_same(store, j, page, i)) {
			report->n_wrong++;
			continue;
		}
		store->found[j] = true;
		*at = j + 1;
	}
}

static void count_batch(const struct passage_store *store, size_t batch_idx,
                        struct passage_report *report)
{
	size_t first = batch_idx * PASSAGE_BATCH;
	size_t n = batch_end(store, batch_idx) - first;
	size_t n_found = 0;

	for (size_t i = first; i < first + n; i++)
		n_found += store->found[i];
	if (store->batches[batch_idx].acknowledged) {
		report->n_acknowledged += n;
		report->n_found += n_found;
	} else {
		report->n_unsettled += n;
		report->n_kept += n_found;
	}
	report->n_torn += n_found != 0 && n_found != n;
}

int passage_store_check(struct passage_store *store, struct passage_report *ret)
{
	struct kith_scan_params params = {
	        .collection = kith_text(PASSAGE_COLLECTION),
	        .limit = PAGE_RECORDS,
	        .include = KITH_INCLUDE_VECTORS | KITH_INCLUDE_TEXTS | KITH_INCLUDE_METAS,
	};
	struct passage_report report = {0};
	size_t at = 0;
	bool done = false;

	memset(store->found, 0, store->corpus->n * sizeof(*store->found));
	while (!done) {
		struct kith_scan_result *page;
		int r = note(store, kith_scan(store->conn, &params, &page));

		if (r)
			return r;
		match_page(store, page, &at, &report);
		params.cursor = page->cursor;
		done = page->done;
		kith_free(page);
	}
	for (size_t i = 0; i < store->n_batches; i++)
		count_batch(store, i, &report);
	*ret = report;
	return 0;
}

static double distance(const float *a, const float *b)
{
	double product = 0, a_squares = 0, b_squares = 0;

	for (size_t i = 0; i < EMBEDDER_DIM; i++) {
		product += (double)a[i] * (double)b[i];
		a_squares += (double)a[i] * (double)a[i];
		b_squares += (double)b[i] * (double)b[i];
	}
	return 1.0 - product / sqrt(a_squares * b_squares);
}

bool passage_store_is_right(struct passage_store *store, const char *question,
                            const struct kith_search_result *answer)
{
	float vector[EMBEDDER_DIM];
	double nearest[MAX_K];
	size_t n = 0;
	size_t k = answer->ids.n < MAX_K ? answer->ids.n : MAX_K;

	embedder_embed(store->embedder, question, strlen(question), vector);
	for (size_t i = 0; i < store->corpus->n; i++) {
		double d = distance(vector, vector_of(store, i));
		size_t at;

		if (!store->found[i] || (n == k && (k == 0 || d >= nearest[n - 1])))
			continue;
		at = n < k ? n++ : n - 1;
		for (; at > 0 && nearest[at - 1] > d; at--)
			nearest[at] = nearest[at - 1];
		nearest[at] = d;
	}
	for (size_t i = 0; i < k && i < n; i++)
		if (fabs((double)answer->distances.v[i] - nearest[i]) > TOLERANCE)
			return false;
	return n > 0 && n == k;
}
