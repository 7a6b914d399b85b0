/* SPDX-License-Identifier: Apache-2.0 */

/*
 * get, scan and count at work. The first two read the truth at the pinned seq; count walks the
 * record table.
 */

#include <errno.h>

#include "daemon/collection.h"
#include "daemon/columns.h"
#include "daemon/reading.h"

/* A page of a scan ends before its answer grows past this; the cursor goes on from there. */
#define SCAN_PAGE_BYTES (4u << 20)

static void refuse(struct request *request, int r, const char *doing)
{
	if (r == COLUMNS_FULL)
		request_refuse(request, WIRE_ERROR_TOO_LARGE_ANSWER, "include",
		               "the answer is larger than a frame of %u bytes: ask for fewer "
		               "records or less to include",
		               (unsigned)LIMIT_FRAME_BYTES);
	else
		request_refuse_errno(request, r, doing);
}

static int open_reader(struct reading *reading, uint32_t worker, struct record_reader **ret)
{
	int r = reading_reader(reading, worker, ret);

	return r ? r : record_reader_begin(*ret);
}

/* get ----------------------------------------------------------------------------------------- */

static int get_all(struct reading *reading, struct record_reader *reader, struct columns *columns,
                   struct wire_u32s *positions)
{
	const struct get_params *params = request_params(reading->request, get);
	unsigned want = columns_want(columns);

	for (uint32_t i = 0; i < params->ids.n; i++) {
		const struct wire_id *id = &params->ids.v[i];
		struct record_id key = {id->text, id->n, id->number};
		struct record_row row;
		int r;

		if (job_is_cancelled(&reading->job))
			return -ECANCELED;
		r = record_reader_by_id(reader, &key, reading->pin.seq, want, &row);
		if (r == RECORD_STORE_MISSING)
			continue;
		if (r == 0)
			r = columns_add(columns, &row, sizeof(uint32_t));
		if (r)
			return r;
		positions->v[positions->n++] = i;
	}
	return 0;
}

void run_get(struct reading *reading, uint32_t worker)
{
	struct request *request = reading->request;
	const struct get_params *params = request_params(request, get);
	struct get_result result = {.seq = reading->pin.seq};
	struct record_reader *reader;
	struct columns columns;
	int r;

	result.positions.v =
	        wire_arena_alloc(&request->arena, params->ids.n * sizeof(*result.positions.v));
	r = columns_init(&columns, request, params->include, params->dtype, params->ids.n,
	                 LIMIT_FRAME_BYTES);
	if (!result.positions.v)
		r = -ENOMEM;
	if (r == 0)
		r = open_reader(reading, worker, &reader);
	if (r == 0) {
		job_phase(&reading->job, "fetch");
		r = get_all(reading, reader, &columns, &result.positions);
		job_phase(&reading->job, "fetched");
		record_reader_end(reader);
	}
	if (r) {
		refuse(request, r, "getting records");
		return;
	}
	result.vectors = columns_vectors(&columns);
	result.texts = columns_texts(&columns);
	result.metas = columns_metas(&columns);
	result.namespaces = columns_namespaces(&columns);
	request_result(request, &result);
}

/* scan ---------------------------------------------------------------------------------------- */

static int copy_id(struct wire_arena *arena, const struct record_id *id, struct wire_id *ret)
{
	*ret = (struct wire_id){.n = id->n, .number = id->number};
	if (id->text) {
		char *copy = wire_arena_alloc(arena, id->n + 1);

		if (!copy)
			return -ENOMEM;
		__builtin_memcpy(copy, id->text, id->n);
		ret->text = copy;
	}
	return 0;
}

static int scan_page(struct reading *reading, struct record_reader *reader, struct columns *columns,
                     struct scan_result *result)
{
	const struct scan_params *params = request_params(reading->request, scan);
	int64_t ns = reading->view.ns == RECORD_TABLE_ANY_NS ? -1 : (int64_t)reading->view.ns;
	int r = record_reader_scan(reader, params->cursor, ns, reading->pin.seq,
	                           columns_want(columns));

	while (r == 0) {
		struct record_row row;

		if (job_is_cancelled(&reading->job))
			return -ECANCELED;
		r = record_reader_next(reader, &row);
		if (r == 0)
			r = columns_add(columns, &row, row.record.id.n + sizeof(uint64_t));
		if (r == COLUMNS_FULL && columns->n > 0)
			return 0; /* a full page: the rest is for the next */
		if (r == 0)
			r = copy_id(&reading->request->arena, &row.record.id,
			            &result->ids.v[result->ids.n++]);
		if (r == 0)
			result->cursor = row.slot;
	}
	result->done = r == RECORD_STORE_END;
	return result->done ? 0 : r;
}

void run_scan(struct reading *reading, uint32_t worker)
{
	struct request *request = reading->request;
	const struct scan_params *params = request_params(request, scan);
	struct scan_result result = {
	        .cursor = params->cursor, .done = reading->nothing, .seq = reading->pin.seq};
	struct record_reader *reader;
	struct columns columns;
	int r;

	result.ids.v =
	        wire_arena_alloc(&request->arena, (params->limit + 1) * sizeof(*result.ids.v));
	r = columns_init(&columns, request, params->include, params->dtype, params->limit,
	                 SCAN_PAGE_BYTES);
	if (!result.ids.v)
		r = -ENOMEM;
	if (r == 0 && !reading->nothing) {
		r = open_reader(reading, worker, &reader);
		if (r == 0) {
			job_phase(&reading->job, "fetch");
			r = scan_page(reading, reader, &columns, &result);
			record_reader_end(reader);
		}
	}
	if (r) {
		refuse(request, r, "scanning");
		return;
	}
	result.vectors = columns_vectors(&columns);
	result.texts = columns_texts(&columns);
	result.metas = columns_metas(&columns);
	result.namespaces = columns_namespaces(&columns);
	request_result(request, &result);
}

/* count --------------------------------------------------------------------------------------- */

void run_count(struct reading *reading, uint32_t worker)
{
	struct count_result result = {.seq = reading->pin.seq};
	uint64_t mask[RECORD_TABLE_CHUNK_ROWS / 64];
	uint64_t left = reading->nothing ? 0 : reading->pin.n_rows;

	(void)worker;
	for (uint64_t at = 0; left > 0 && !job_is_cancelled(&reading->job);) {
		uint32_t n =
		        left < RECORD_TABLE_CHUNK_ROWS ? (uint32_t)left : RECORD_TABLE_CHUNK_ROWS;

		result.count += record_table_visible(&reading->request->collection->table,
		                                     &reading->view, at, n, mask);
		at += n;
		left -= n;
	}
	request_result(reading->request, &result);
}
