/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A search at work: the graph for the rows that it covers and an exact scan of those that it does
 * not (all rows, without a graph), then the answer.
 *
 * Rows come from two places, in order: [0, mapped) from the vector file, and the rest, while it is
 * being restored, from the truth through SQL. Of the first, [0, resident) have codes in memory,
 * which spare the scan most of the vectors, and change no answer. A mapped extent that fails its
 * check is read from the truth as well, and the loop is told. Visibility is the record table's
 * alone, so all of them agree.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/columns.h"
#include "daemon/daemon.h"
#include "daemon/generation.h"
#include "daemon/reading.h"
#include "index/exact_codes.h"

#define MASK_WORDS (RECORD_TABLE_CHUNK_ROWS / 64)

struct search {
	struct reading *reading;
	struct collection *collection;
	const struct search_params *params;
	uint32_t worker;
	struct exact_scan scan;
	struct hit *hits; /* n_queries times k, and k more: what a graph finds */
	void *queries;
	uint8_t *row; /* one prepared row, for those out of the truth */
	struct record_reader *reader;
	bool reading_sql;        /* its transaction is open */
	enum wire_source source; /* the slowest that was used */
	bool used_graph;
	struct exact_codes by_codes;
	bool without_codes; /* they led to a vector that cannot be read */
};

static int open_reader(struct search *search)
{
	int r;

	if (search->reading_sql)
		return 0;
	r = reading_reader(search->reading, search->worker, &search->reader);
	if (r == 0)
		r = record_reader_begin(search->reader);
	search->reading_sql = r == 0;
	return r;
}

static void close_reader(struct search *search)
{
	if (search->reading_sql)
		record_reader_end(search->reader);
	search->reading_sql = false;
}

static void note_source(struct search *search, enum wire_source source)
{
	if (source > search->source)
		search->source = source;
}

/* Which of rows [first, first + n), within one chunk of the table, take part; 0: none. */
static uint32_t mask_rows(const struct search *search, uint64_t first, uint32_t n,
                          uint64_t mask[static MASK_WORDS])
{
	return record_table_visible(&search->collection->table, &search->reading->view, first, n,
	                            mask);
}

/* Rows [first, first + n), within one chunk of the table, that lie at `rows`. */
static void scan_rows(struct search *search, uint64_t first, uint32_t n, const void *rows)
{
	uint64_t mask[MASK_WORDS];
	struct exact_rows stretch = {.rows = rows, .first = first, .n = n, .mask = mask};

	if (mask_rows(search, first, n, mask) > 0)
		exact_scan_rows(&search->scan, &stretch);
}

/* Rows [first, end) out of the truth. */
static int scan_truth(struct search *search, uint64_t first, uint64_t end)
{
	const struct record_table *table = &search->collection->table;
	const struct record_spec *spec = &search->collection->entry.spec;
	struct record_table_row from, to;
	struct record_row row;
	uint64_t at = first;
	int r;

	note_source(search, WIRE_source_truth);
	record_table_get(table, first, &from);
	record_table_get(table, end - 1, &to);
	r = open_reader(search);
	if (r == 0)
		r = record_reader_vectors(search->reader, from.slot, to.slot);
	while (r == 0 && (r = record_reader_next(search->reader, &row)) == 0) {
		if (job_is_cancelled(&search->reading->job))
			return -ECANCELED;
		for (; at < end; at++) {
			record_table_get(table, at, &from);
			if (from.slot >= row.slot)
				break;
		}
		if (at == end || from.slot != row.slot)
			continue;
		vector_prepare(row.record.vector, 1, spec->dim, (enum dtype)spec->dtype,
		               (enum metric)spec->metric, search->row);
		scan_rows(search, at, 1, search->row);
	}
	return r == RECORD_STORE_END ? 0 : r;
}

/* How many of the rows from `first` on, up to `end`, lie in the same chunk of the table. */
static uint32_t n_in_chunk(uint64_t first, uint64_t end)
{
	uint64_t chunk_end = (first / RECORD_TABLE_CHUNK_ROWS + 1) * RECORD_TABLE_CHUNK_ROWS;

	return (uint32_t)((chunk_end < end ? chunk_end : end) - first);
}

static void note_bad_extent(struct search *search, uint64_t extent)
{
	if (extent < search->reading->bad_extent)
		search->reading->bad_extent = extent;
}

/* Rows of one extent: [first, end), all mapped. */
static int scan_extent(struct search *search, uint64_t first, uint64_t end)
{
	struct collection *collection = search->collection;
	uint32_t extent_rows = vector_file_extent_rows(collection->vectors);
	const void *rows;

	note_source(search, WIRE_source_mapped);
	if (vector_file_extent(collection->vectors, first / extent_rows, &rows) < 0) {
		note_bad_extent(search, first / extent_rows);
		return scan_truth(search, first, end);
	}
	for (uint32_t n; first < end; first += n) {
		n = n_in_chunk(first, end);
		scan_rows(search, first, n,
		          (const uint8_t *)rows +
		                  (first % extent_rows) * collection_stride(collection));
	}
	return 0;
}

/* A vector for the scan by codes; NULL when it cannot be read. */
static const void *mapped_row(void *ctx, uint64_t row)
{
	struct search *search = ctx;
	const struct collection *collection = search->collection;
	uint32_t extent_rows = vector_file_extent_rows(collection->vectors);
	const void *rows;

	if (vector_file_extent(collection->vectors, row / extent_rows, &rows) < 0) {
		note_bad_extent(search, row / extent_rows);
		return NULL;
	}
	return (const uint8_t *)rows + (row % extent_rows) * collection_stride(collection);
}

static int prepare_codes(struct search *search)
{
	struct exact_codes *by_codes = &search->by_codes;
	const struct codes *codes = &search->collection->resident.codes;

	*by_codes = (struct exact_codes){
	        .scan = &search->scan,
	        .codes = codes,
	        .queries = aligned_alloc(64, exact_codes_bytes(codes, search->scan.n_queries)),
	        .row_of = mapped_row,
	        .ctx = search,
	};
	if (!by_codes->queries)
		return -ENOMEM;
	exact_codes_prepare(by_codes);
	return 0;
}

/* Rows [first, end), which have codes. -EIO: they led to a vector that cannot be read. */
static int scan_codes(struct search *search, uint64_t first, uint64_t end)
{
	uint64_t mask[MASK_WORDS];
	int r = prepare_codes(search);

	for (uint32_t n; first < end && r == 0; first += n) {
		n = n_in_chunk(first, end);
		if (job_is_cancelled(&search->reading->job))
			return -ECANCELED;
		if (mask_rows(search, first, n, mask) > 0)
			r = exact_codes_scan(&search->by_codes, first, n, mask);
	}
	return r;
}

/* Rows [at, n_rows) of the pin. */
static int scan_from(struct search *search, uint64_t at)
{
	const struct pin *pin = &search->reading->pin;
	int r = 0;

	if (at < pin->resident_rows && !search->without_codes) {
		r = scan_codes(search, at, pin->resident_rows);
		at = pin->resident_rows;
	}
	while (r == 0 && at < pin->mapped_rows) {
		uint32_t extent_rows = vector_file_extent_rows(search->collection->vectors);
		uint64_t end = (at / extent_rows + 1) * extent_rows;

		if (end > pin->mapped_rows)
			end = pin->mapped_rows;
		if (job_is_cancelled(&search->reading->job))
			return -ECANCELED;
		r = scan_extent(search, at, end);
		at = end;
	}
	if (r == 0 && at < pin->n_rows)
		r = scan_truth(search, at, pin->n_rows);
	return r;
}

/* The graph ----------------------------------------------------------------------------------- */

static uint64_t visible_rows(void *ctx, const uint32_t *rows, uint32_t n)
{
	const struct search *search = ctx;
	uint64_t visible = 0, one;

	for (uint32_t i = 0; i < n; i++)
		visible |= (uint64_t)record_table_visible(&search->collection->table,
		                                          &search->reading->view, rows[i], 1, &one)
		           << i;
	return visible;
}

/* Whether all rows of the pin are visible, as they are where nothing was replaced or deleted: then
 * none is asked about, which is a twelfth of a search through a graph. */
static bool all_are_visible(const struct search *search)
{
	const struct reading *reading = search->reading;

	return reading->pin.n_live == reading->pin.n_rows &&
	       record_view_is_plain(&search->collection->table, &reading->view);
}

/* What a graph may always take. */
#define GRAPH_COMPARISONS_MIN 2048
/* An outcome: it took more than that. */
#define GRAPH_CUT 1

/* Queries are f32, whatever the rows are. */
static uint32_t query_stride(const struct search *search)
{
	return vector_stride_bytes(search->collection->entry.spec.dim, DTYPE_F32);
}

/* The graph's hits of each query, into the heaps. */
static int graph_hits(struct search *search, struct hnsw_search *one, struct hnsw_scratch *scratch,
                      struct hit *hits)
{
	struct reading *reading = search->reading;
	uint32_t stride = query_stride(search);

	for (uint32_t q = 0; q < search->scan.n_queries; q++) {
		struct hnsw_search_stats stats;
		uint32_t n;

		if (job_is_cancelled(&reading->job))
			return -ECANCELED;
		one->query = (const void *)((const uint8_t *)search->queries + (size_t)q * stride);
		n = hnsw_search(reading->generation->hnsw, one, scratch, hits, &stats);
		for (uint32_t i = 0; i < n; i++)
			topk_push(&search->scan.best[q], hits[i].distance, hits[i].row_idx);
		reading->comparisons += stats.comparisons;
		if (stats.is_cut)
			return GRAPH_CUT;
	}
	return 0;
}

static int search_graph(struct search *search)
{
	struct reading *reading = search->reading;
	struct hnsw *hnsw = reading->generation->hnsw;
	struct hnsw_scratch *scratch =
	        &search->collection->daemon->scratches.of_worker[search->worker];
	uint32_t k = (uint32_t)search->scan.best[0].k;
	struct hit *hits = search->hits + (size_t)search->scan.n_queries * k;
	struct row_source source;
	struct hnsw_search one = {
	        .k = k,
	        .ef = reading->ef_search,
	        .below = reading->below,
	        .visible = all_are_visible(search) ? NULL : visible_rows,
	        .visible_ctx = search,
	        /* A graph of dead nodes, or of other namespaces', may lead on and on; comparing
	         * every record is then the cheaper and better answer. */
	        .max_comparisons = reading->pin.n_live > GRAPH_COMPARISONS_MIN
	                                   ? reading->pin.n_live
	                                   : GRAPH_COMPARISONS_MIN,
	};
	int r;

	if (reading->ef_search < k)
		reading->ef_search = one.ef = k;
	row_source_init(&source, search->collection, &reading->generation->params, &reading->pin);
	one.space = source.space;
	r = hnsw_scratch_reserve(scratch, hnsw, source.space, one.ef);
	if (r == 0)
		r = graph_hits(search, &one, scratch, hits);
	if (r == 0 && row_source_bad_extent(&source) != UINT64_MAX) {
		reading->bad_extent = row_source_bad_extent(&source);
		r = -EBADMSG;
	}
	if (r == 0 && generation_is_lost(reading->generation))
		r = -EBADMSG;
	if (r == 0 && (source.space == &source.rows.space ||
	               reading->covered_rows > reading->pin.resident_rows ||
	               generation_is_mapped(reading->generation)))
		note_source(search, WIRE_source_mapped);
	search->used_graph = r == 0;
	return r;
}

static void forget_hits(struct search *search)
{
	for (uint32_t q = 0; q < search->scan.n_queries; q++)
		search->scan.best[q].n = 0;
	search->reading->comparisons = 0;
}

/* The graph and what it does not hold yet; or, without one, all rows. */
static int find_once(struct search *search)
{
	int r;

	if (!search->reading->generation || search->without_codes)
		return scan_from(search, 0);
	r = search_graph(search);
	if (r == 0)
		return scan_from(search, search->reading->covered_rows);
	if (r != -EBADMSG && r != GRAPH_CUT)
		return r;
	/* It led too far; or to a vector that is damaged, which the truth has. */
	forget_hits(search);
	return scan_from(search, 0);
}

/* Again, when a code led to a vector that cannot be read, or pages of the vector file were gone
 * while it was read: the scan of all rows finds each of those in the truth. */
static int find(struct search *search)
{
	/* Without mapped rows the file is not looked at: it may be opened just now. */
	const struct vector_file *vectors =
	        search->reading->pin.mapped_rows > 0 ? search->collection->vectors : NULL;
	struct reading *reading = search->reading;

	for (;;) {
		uint64_t n_faults = vectors ? vector_file_n_faults(vectors) : 0;
		int r = find_once(search);
		bool is_lost = vectors && vector_file_n_faults(vectors) != n_faults;

		if (is_lost)
			reading->bad_extent = 0;
		else if (r != -EIO || reading->bad_extent == UINT64_MAX || search->without_codes)
			return r;
		forget_hits(search);
		search->used_graph = false;
		search->without_codes = true;
		search->scan.comparisons = 0;
	}
}

/* The share of the records that the graph held. */
static double coverage(const struct search *search)
{
	const struct reading *reading = search->reading;
	struct record_view view = {.seq = reading->pin.seq, .ns = RECORD_TABLE_ANY_NS};
	uint64_t pending;

	if (reading->pin.n_live == 0)
		return 1.0;
	pending = record_table_count(&search->collection->table, &view, reading->covered_rows,
	                             reading->pin.n_rows);
	return 1.0 - (double)pending / (double)reading->pin.n_live;
}

/* The answer ---------------------------------------------------------------------------------- */

static int gather(struct search *search, struct search_result *result, struct columns *columns)
{
	struct wire_arena *arena = &search->reading->request->arena;
	uint32_t n_queries = search->scan.n_queries;
	uint32_t n = 0;
	float *distances;

	for (uint32_t q = 0; q < n_queries; q++)
		n += (uint32_t)search->scan.best[q].n;
	result->counts.v = wire_arena_alloc(arena, n_queries * sizeof(uint32_t));
	result->ids.v = wire_arena_alloc(arena, (n + 1) * sizeof(struct wire_id));
	distances = wire_arena_alloc(arena, (n + 1) * sizeof(float));
	if (!result->counts.v || !result->ids.v || !distances ||
	    columns_init(columns, search->reading->request, search->params->include,
	                 search->params->dtype, n, LIMIT_FRAME_BYTES) < 0)
		return -ENOMEM;
	result->counts.n = n_queries;
	for (uint32_t q = 0; q < n_queries; q++) {
		const struct topk *best = &search->scan.best[q];

		result->counts.v[q] = (uint32_t)best->n;
		for (size_t i = 0; i < best->n; i++) {
			struct record_table_row row;

			record_table_get(&search->collection->table, best->hits[i].row_idx, &row);
			distances[result->ids.n] = best->hits[i].distance;
			result->ids.v[result->ids.n++] =
			        (struct wire_id){row.id.text, row.id.n, row.id.number};
		}
	}
	result->distances = (struct wire_bin){distances, n * sizeof(float)};
	return 0;
}

/* Fetches what `include` asks for, hit by hit, out of the truth. */
static int fetch(struct search *search, const struct search_result *result, struct columns *columns)
{
	unsigned want = columns_want(columns);
	int r = 0;

	job_phase(&search->reading->job, "fetch");
	if (want)
		r = open_reader(search);
	for (uint32_t q = 0; want && r == 0 && q < search->scan.n_queries; q++) {
		const struct topk *best = &search->scan.best[q];

		for (size_t i = 0; r == 0 && i < best->n; i++) {
			struct record_table_row at;
			struct record_row row;

			record_table_get(&search->collection->table, best->hits[i].row_idx, &at);
			r = record_reader_by_slot(search->reader, at.slot, want, &row);
			/* The pin keeps every row that it sees; one that is missing is damage. */
			if (r == RECORD_STORE_MISSING)
				r = -EBADMSG;
			if (r == 0)
				r = columns_add(columns, &row, result->ids.v[columns->n].n);
		}
	}
	return r;
}

static void answer(struct search *search)
{
	struct reading *reading = search->reading;
	struct request *request = reading->request;
	struct search_result result = {
	        .mode = search->used_graph ? WIRE_mode_hnsw : WIRE_mode_exact,
	        .coverage = search->used_graph ? coverage(search) : 1.0,
	        .generation = search->used_graph ? reading->generation->number : 0,
	        .comparisons = reading->comparisons,
	        .scanned = search->scan.comparisons,
	        .ef_search = search->used_graph ? reading->ef_search : 0,
	        .cached = search->source == WIRE_source_resident && !request->has_loaded,
	        .bulk = reading->bulk,
	        .served_from = search->source,
	        .seq = reading->pin.seq,
	};
	struct columns columns;
	int r = gather(search, &result, &columns);

	reading->used_graph = search->used_graph;
	reading->has_pending = result.coverage < 1.0;
	reading->source = search->source;
	if (r == 0)
		r = fetch(search, &result, &columns);
	close_reader(search);
	if (r == COLUMNS_FULL) {
		request_refuse(request, WIRE_ERROR_TOO_LARGE_ANSWER, "include",
		               "the answer is larger than a frame of %u bytes: ask for a smaller "
		               "k, fewer queries or less to include",
		               (unsigned)LIMIT_FRAME_BYTES);
		return;
	}
	if (r) {
		request_refuse_errno(request, r, "searching");
		return;
	}
	result.vectors = columns_vectors(&columns);
	result.texts = columns_texts(&columns);
	result.metas = columns_metas(&columns);
	result.namespaces = columns_namespaces(&columns);
	result.time_us = (clock_monotonic_ns(request->daemon->clock) - request->started_ns) / 1000;
	request_result(request, &result);
}

/* Setting up ---------------------------------------------------------------------------------- */

static bool check_queries(struct search *search)
{
	const struct record_spec *spec = &search->collection->entry.spec;
	struct request *request = search->reading->request;
	struct wire_error error;
	size_t row;
	int fault =
	        vector_check(search->params->vectors.data, search->scan.n_queries, spec->dim,
	                     (enum dtype)search->params->dtype, (enum metric)spec->metric, &row);

	if (fault == 0)
		return true;
	wire_error_set_row(&error, WIRE_ERROR_BAD_VALUE, "vectors", row, "query %zu %s", row,
	                   vector_fault_text(fault));
	request_refuse_with(request, &error);
	return false;
}

/* The queries as rows of f32. */
static int prepare_queries(struct search *search)
{
	const struct record_spec *spec = &search->collection->entry.spec;
	const void *packed = search->params->vectors.data;
	size_t n = search->scan.n_queries;

	if (search->params->dtype != WIRE_dtype_f32) {
		void *wide = wire_arena_alloc(&search->reading->request->arena,
		                              n * spec->dim * sizeof(float));

		if (!wide)
			return -ENOMEM;
		dtype_convert(packed, (enum dtype)search->params->dtype, n * spec->dim, DTYPE_F32,
		              wide);
		packed = wide;
	}
	vector_prepare(packed, n, spec->dim, DTYPE_F32, (enum metric)spec->metric, search->queries);
	search->scan.queries = search->queries;
	return 0;
}

static int search_init(struct search *search)
{
	const struct record_spec *spec = &search->collection->entry.spec;
	size_t stride = query_stride(search);
	size_t packed_bytes = spec->dim * (size_t)dtype_bytes((enum dtype)search->params->dtype);
	uint32_t n_queries = (uint32_t)(search->params->vectors.n / packed_bytes);
	uint32_t k = search->params->k;

	search->scan = (struct exact_scan){
	        .kernels = kernels_best((enum dtype)spec->dtype),
	        .metric = (enum metric)spec->metric,
	        .dim = spec->dim,
	        .n_queries = n_queries,
	};
	/* No more room than there are rows; one at least, since no heap is empty. */
	if (k > search->reading->pin.n_rows)
		k = search->reading->pin.n_rows ? (uint32_t)search->reading->pin.n_rows : 1;
	search->queries = aligned_alloc(64, (n_queries + 1) * stride);
	search->hits = calloc((n_queries + (size_t)1) * k, sizeof(*search->hits));
	search->scan.best = calloc(n_queries, sizeof(*search->scan.best));
	if (!search->queries || !search->hits || !search->scan.best)
		return -ENOMEM;
	search->row = (uint8_t *)search->queries + n_queries * stride;
	for (uint32_t q = 0; q < n_queries; q++)
		topk_init(&search->scan.best[q], search->hits + (size_t)q * k, k);
	return 0;
}

static void search_release(struct search *search)
{
	close_reader(search);
	free(search->queries);
	free(search->by_codes.queries);
	free(search->hits);
	free(search->scan.best);
}

void run_search(struct reading *reading, uint32_t worker)
{
	struct request *request = reading->request;
	struct search search = {
	        .reading = reading,
	        .collection = request->collection,
	        .params = request_params(request, search),
	        .worker = worker,
	};
	int r = search_init(&search);

	if (r == 0 && check_queries(&search)) {
		r = prepare_queries(&search);
		if (r == 0 && !reading->nothing && reading->pin.n_rows > 0)
			r = find(&search);
		for (uint32_t q = 0; r == 0 && q < search.scan.n_queries; q++)
			topk_sort(&search.scan.best[q]);
		reading->scanned = search.scan.comparisons;
		if (r == 0)
			answer(&search);
	}
	if (r)
		request_refuse_errno(request, r, "searching");
	search_release(&search);
}
