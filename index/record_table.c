/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Columns, so that deciding who is visible reads 8 bytes a row (the seq of retirement), and 4 more
 * each for a namespace or when some row expires. A chunk is exactly one run of the budget; string
 * ids fill runs of their own, so that neither leaves a gap in the other's.
 *
 * A string id is two bytes of length and its text; the row holds its address, and the top bit of
 * the namespace says that it does.
 *
 * The order in which readers see columns does not matter: an appended row is complete before its
 * count is published, and each later change is one atomic store to one column, which a search
 * either sees or (being planned before) need not see.
 */

#include "index/record_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define NS_TEXT_ID 0x80000000u
#define EXPIRES_NEVER UINT32_MAX

#define ID_ALIGN sizeof(uint16_t)
#define ID_PIECE_MAX (sizeof(uint16_t) + RECORD_TABLE_ID_MAX)

struct chunk {
	uint64_t slot[RECORD_TABLE_CHUNK_ROWS];
	_Atomic uint64_t retired_seq[RECORD_TABLE_CHUNK_ROWS];
	uint64_t id[RECORD_TABLE_CHUNK_ROWS]; /* the number, or the address of a text_id */
	_Atomic uint32_t ns[RECORD_TABLE_CHUNK_ROWS];
	_Atomic uint32_t expires[RECORD_TABLE_CHUNK_ROWS];
};
static_assert(sizeof(struct chunk) == RUN_BYTES, "a chunk is one run");

struct text_id {
	uint16_t n;
	char text[];
};

static struct chunk *chunk_of(const struct record_table *table, uint64_t row_idx)
{
	return chunk_dir_get(&table->chunks, row_idx / RECORD_TABLE_CHUNK_ROWS);
}

static size_t row_in_chunk(uint64_t row_idx)
{
	return row_idx % RECORD_TABLE_CHUNK_ROWS;
}

void record_table_init(struct record_table *table, struct budget *budget)
{
	memset(table, 0, sizeof(*table));
	grant_init(&table->grant, budget, BUDGET_RECORD_TABLE);
}

void record_table_release(struct record_table *table)
{
	struct budget *budget = table->grant.budget;

	chunk_dir_release(&table->chunks);
	grant_release(&table->grant);
	record_table_init(table, budget);
}

/* Writing */

static uint64_t divide_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

/* How many runs the ids begin at most: each takes its length and padding too, and at the end of a
 * run there may be some left that is too small for the next. */
static uint64_t id_runs(const struct record_table *table, uint64_t n_rows, uint64_t id_bytes)
{
	if (id_bytes == 0)
		return 0;
	uint64_t bytes = id_bytes + n_rows * (sizeof(uint16_t) + ID_ALIGN - 1);
	return bytes <= table->ids_left ? 0 : divide_up(bytes, RUN_BYTES - ID_PIECE_MAX);
}

int record_table_reserve(struct record_table *table, uint64_t n_rows, uint64_t id_bytes)
{
	const uint64_t max_rows = (uint64_t)CHUNK_DIR_MAX * RECORD_TABLE_CHUNK_ROWS;

	if (n_rows > max_rows - table->n_rows)
		return -ENOSPC;
	uint64_t chunks = divide_up(table->n_rows, RECORD_TABLE_CHUNK_ROWS);
	uint64_t chunks_then = divide_up(table->n_rows + n_rows, RECORD_TABLE_CHUNK_ROWS);
	uint64_t runs = chunks_then - chunks + id_runs(table, n_rows, id_bytes);

	int r = chunk_dir_reserve(&table->chunks, chunks_then);
	if (r < 0)
		return r;
	r = grant_reserve(&table->grant, runs * RUN_BYTES, true);
	return r == BUDGET_FULL ? -ENOMEM : r;
}

static const struct text_id *copy_text(struct record_table *table, const struct record_table_id *id)
{
	size_t bytes = (sizeof(struct text_id) + id->n + ID_ALIGN - 1) & ~(ID_ALIGN - 1);

	assert(id->n <= RECORD_TABLE_ID_MAX);
	if (bytes > table->ids_left) {
		uint8_t *run = grant_alloc(&table->grant, RUN_BYTES, _Alignof(struct text_id));
		if (!run)
			return NULL;
		table->ids_at = run;
		table->ids_left = RUN_BYTES;
	}
	struct text_id *copy = (struct text_id *)(void *)table->ids_at;
	table->ids_at += bytes;
	table->ids_left -= bytes;
	copy->n = (uint16_t)id->n;
	memcpy(copy->text, id->text, id->n);
	return copy;
}

static uint32_t pack_expiry(int64_t expires_at)
{
	if (expires_at == 0)
		return EXPIRES_NEVER;
	if (expires_at < 0)
		return 0;
	return expires_at < EXPIRES_NEVER ? (uint32_t)expires_at : EXPIRES_NEVER - 1;
}

static int64_t unpack_expiry(uint32_t expires)
{
	return expires == EXPIRES_NEVER ? 0 : expires;
}

/* At the end of what is kept, what expires last is visible still. */
static uint32_t pack_now(int64_t now_s)
{
	if (now_s < 0)
		return 0;
	return now_s < EXPIRES_NEVER - 1 ? (uint32_t)now_s : EXPIRES_NEVER - 2;
}

static void set_expiry(struct record_table *table, struct chunk *chunk, size_t i, int64_t at)
{
	if (at != 0)
		atomic_store_explicit(&table->expires, true, memory_order_relaxed);
	atomic_store_explicit(&chunk->expires[i], pack_expiry(at), memory_order_relaxed);
}

/* The chunk of the row to append, made when it is the chunk's first. */
static struct chunk *chunk_to_append(struct record_table *table)
{
	if (row_in_chunk(table->n_rows) != 0)
		return chunk_of(table, table->n_rows);
	struct chunk *chunk = grant_alloc(&table->grant, sizeof(*chunk), _Alignof(struct chunk));
	if (!chunk)
		return NULL;
	int r = chunk_dir_set(&table->chunks, table->n_rows / RECORD_TABLE_CHUNK_ROWS, chunk);
	assert(r == 0); /* record_table_reserve() made its leaf */
	return r == 0 ? chunk : NULL;
}

int record_table_append(struct record_table *table, const struct record_table_row *row)
{
	const struct text_id *text = NULL;

	assert(row->ns <= RECORD_TABLE_NS_MAX);
	if (row->id.text) {
		text = copy_text(table, &row->id);
		if (!text)
			return -ENOSPC;
	}
	struct chunk *chunk = chunk_to_append(table);
	if (!chunk)
		return -ENOSPC;

	size_t i = row_in_chunk(table->n_rows);
	chunk->slot[i] = row->slot;
	chunk->id[i] = text ? (uintptr_t)text : row->id.number;
	atomic_init(&chunk->retired_seq[i], row->retired_seq);
	atomic_init(&chunk->ns[i], row->ns | (text ? NS_TEXT_ID : 0));
	set_expiry(table, chunk, i, row->expires_at);
	if (text && row->retired_seq == RECORD_TABLE_LIVE)
		table->live_id_bytes += text->n;
	table->n_rows++;
	return 0;
}

void record_table_retire(struct record_table *table, uint64_t row_idx, uint64_t seq)
{
	struct chunk *chunk = chunk_of(table, row_idx);
	size_t i = row_in_chunk(row_idx);
	struct record_table_row row;

	record_table_get(table, row_idx, &row);
	if (row.id.text && row.retired_seq == RECORD_TABLE_LIVE)
		table->live_id_bytes -= row.id.n;
	atomic_store_explicit(&chunk->retired_seq[i], seq, memory_order_relaxed);
}

void record_table_touch(struct record_table *table, uint64_t row_idx, uint32_t ns,
                        int64_t expires_at)
{
	struct chunk *chunk = chunk_of(table, row_idx);
	size_t i = row_in_chunk(row_idx);
	uint32_t old = atomic_load_explicit(&chunk->ns[i], memory_order_relaxed);

	assert(ns <= RECORD_TABLE_NS_MAX);
	atomic_store_explicit(&chunk->ns[i], ns | (old & NS_TEXT_ID), memory_order_relaxed);
	set_expiry(table, chunk, i, expires_at);
}

/* Reading */

int record_table_find(const struct record_table *table, uint64_t n_rows, uint64_t slot,
                      uint64_t *ret_row_idx)
{
	uint64_t low = 0, high = n_rows;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		uint64_t at = chunk_of(table, mid)->slot[row_in_chunk(mid)];
		if (at == slot) {
			*ret_row_idx = mid;
			return 0;
		}
		if (at < slot)
			low = mid + 1;
		else
			high = mid;
	}
	return RECORD_TABLE_NO_ROW;
}

void record_table_get(const struct record_table *table, uint64_t row_idx,
                      struct record_table_row *ret)
{
	const struct chunk *chunk = chunk_of(table, row_idx);
	size_t i = row_in_chunk(row_idx);
	uint32_t ns = atomic_load_explicit(&chunk->ns[i], memory_order_relaxed);
	uint32_t expires = atomic_load_explicit(&chunk->expires[i], memory_order_relaxed);

	*ret = (struct record_table_row){
	        .slot = chunk->slot[i],
	        .ns = ns & ~NS_TEXT_ID,
	        .expires_at = unpack_expiry(expires),
	        .retired_seq = atomic_load_explicit(&chunk->retired_seq[i], memory_order_relaxed),
	};
	if (ns & NS_TEXT_ID) {
		const struct text_id *text = (const struct text_id *)(uintptr_t)chunk->id[i];
		ret->id.text = text->text;
		ret->id.n = text->n;
	} else {
		ret->id.number = chunk->id[i];
	}
}

/* Who is visible. Each of the three takes a column from row i on and gives bit j for row i + j,
 * without a branch: from the last row to the first, each outcome pushed in from below. */

static uint64_t not_retired(const struct chunk *chunk, size_t i, uint32_t n, uint64_t seq)
{
	uint64_t bits = 0;
	for (uint32_t j = n; j-- > 0;) {
		uint64_t at =
		        atomic_load_explicit(&chunk->retired_seq[i + j], memory_order_relaxed);
		bits = bits + bits + (seq < at);
	}
	return bits;
}

static uint64_t in_namespace(const struct chunk *chunk, size_t i, uint32_t n, uint32_t ns)
{
	uint64_t bits = 0;
	for (uint32_t j = n; j-- > 0;) {
		uint32_t at = atomic_load_explicit(&chunk->ns[i + j], memory_order_relaxed);
		bits = bits + bits + ((at & ~NS_TEXT_ID) == ns);
	}
	return bits;
}

static uint64_t not_expired(const struct chunk *chunk, size_t i, uint32_t n, uint32_t now)
{
	uint64_t bits = 0;
	for (uint32_t j = n; j-- > 0;) {
		uint32_t at = atomic_load_explicit(&chunk->expires[i + j], memory_order_relaxed);
		bits = bits + bits + (now < at);
	}
	return bits;
}

static uint64_t first_bits(uint32_t n)
{
	return n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
}

/* Up to 64 rows of one chunk. The namespace goes first: it is the column that leaves out most. */
static uint64_t visible_bits(const struct record_table *table, const struct record_view *view,
                             uint64_t first, uint32_t n)
{
	const struct chunk *chunk = chunk_of(table, first);
	size_t i = row_in_chunk(first);
	uint64_t bits = first_bits(n);

	if (view->ns != RECORD_TABLE_ANY_NS)
		bits = in_namespace(chunk, i, n, view->ns);
	if (bits != 0)
		bits &= not_retired(chunk, i, n, view->seq);
	if (bits != 0 && atomic_load_explicit(&table->expires, memory_order_relaxed))
		bits &= not_expired(chunk, i, n, pack_now(view->now_s));
	return bits;
}

bool record_view_is_plain(const struct record_table *table, const struct record_view *view)
{
	return view->ns == RECORD_TABLE_ANY_NS &&
	       !atomic_load_explicit(&table->expires, memory_order_relaxed);
}

uint32_t record_table_visible(const struct record_table *table, const struct record_view *view,
                              uint64_t first, uint32_t n, uint64_t *mask)
{
	uint32_t n_visible = 0;

	assert(n <= RECORD_TABLE_CHUNK_ROWS);
	for (uint32_t done = 0; done < n; done += 64) {
		uint64_t row_idx = first + done;
		uint32_t n_bits = n - done < 64 ? n - done : 64;
		uint32_t n_here = RECORD_TABLE_CHUNK_ROWS - (uint32_t)row_in_chunk(row_idx);
		uint64_t bits;

		if (n_bits <= n_here)
			bits = visible_bits(table, view, row_idx, n_bits);
		else /* a word over the end of a chunk */
			bits = visible_bits(table, view, row_idx, n_here) |
			       visible_bits(table, view, row_idx + n_here, n_bits - n_here)
			               << n_here;
		mask[done / 64] = bits;
		n_visible += (uint32_t)__builtin_popcountll(bits);
	}
	return n_visible;
}

uint64_t record_table_count(const struct record_table *table, const struct record_view *view,
                            uint64_t first, uint64_t end)
{
	uint64_t mask[RECORD_TABLE_CHUNK_ROWS / 64];
	uint64_t count = 0;

	for (uint64_t at = first; at < end;) {
		uint64_t n =
		        end - at < RECORD_TABLE_CHUNK_ROWS ? end - at : RECORD_TABLE_CHUNK_ROWS;

		count += record_table_visible(table, view, at, (uint32_t)n, mask);
		at += n;
	}
	return count;
}
