/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing what nobody can see any more: rows that were retired at or before a seq, oldest first,
 * and the oldest end of the log of retirements. Both in steps of max_rows, so that writers never
 * wait for a long transaction. The log is cut between seqs: floor_seq promises that all
 * retirements above it are there. Then giving the pages that they leave back to the file system.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/record_writer_private.h"

static int find_retired(struct record_writer *writer, uint64_t seq, uint32_t max_rows,
                        uint64_t *slots, uint32_t *ret_n)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_FIND_RETIRED];
	uint32_t n = 0;
	int r;

	sql_bind_limit(stmt, 1, seq);
	sql_bind_u64(stmt, 2, max_rows);
	while (n < max_rows && (r = sql_step(stmt)) == SQL_ROW)
		slots[n++] = sql_column_u64(stmt, 0);
	if (n == max_rows)
		r = 0;
	sqlite3_reset(stmt);
	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

static int remove_row(struct record_writer *writer, enum writer_stmt which, uint64_t slot)
{
	sqlite3_stmt *stmt = writer->stmts[which];

	sql_bind_u64(stmt, 1, slot);
	return sql_run(stmt);
}

static int remove_content(struct record_writer *writer, uint64_t slot)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_GET_CONTENT];
	const void *fields;
	size_t n;
	int r;

	sql_bind_u64(stmt, 1, slot);
	r = sql_step(stmt);
	if (r == SQL_ROW) {
		fields = sql_column_blob(stmt, 2, &n);
		r = record_writer_fields(writer, WRITER_REMOVE_FIELD, slot, fields, n);
		if (r == 0)
			r = remove_row(writer, WRITER_REMOVE_CONTENT, slot);
	}
	sqlite3_reset(stmt);
	return r;
}

static int remove_slot(struct record_writer *writer, uint64_t slot)
{
	int r;

	r = remove_content(writer, slot);
	if (r == 0)
		r = remove_row(writer, WRITER_REMOVE_VECTOR, slot);
	if (r == 0)
		r = remove_row(writer, WRITER_REMOVE_RECORD, slot);
	return r;
}

static int trim_log(struct record_writer *writer, uint32_t max_rows, uint32_t max_log)
{
	sqlite3_stmt *stmt = writer->stmts[WRITER_FIND_TRIM];
	uint64_t excess, seq = 0;
	int r;

	if (writer->current.n_retirements <= max_log || max_rows == 0)
		return 0;
	excess = writer->current.n_retirements - max_log;
	if (excess > max_rows)
		excess = max_rows;
	sql_bind_u64(stmt, 1, excess - 1);
	r = sql_step(stmt);
	if (r == SQL_ROW)
		seq = sql_column_u64(stmt, 0);
	sqlite3_reset(stmt);
	if (r < 0)
		return r;
	if (r == 0)
		return sql_fail_because(-EBADMSG, "the log of retirements is shorter than counted");

	stmt = writer->stmts[WRITER_TRIM_LOG];
	sql_bind_u64(stmt, 1, seq);
	r = sql_run(stmt);
	if (r < 0)
		return r;
	writer->current.n_retirements -= (uint64_t)sqlite3_changes64(writer->db);
	writer->current.floor_seq = seq;
	return 0;
}

static int reap(struct record_writer *writer, uint64_t seq, uint32_t max_rows, uint32_t max_log,
                uint64_t *slots, uint32_t *ret_n)
{
	uint32_t n;
	int r;

	r = find_retired(writer, seq, max_rows, slots, &n);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		r = remove_slot(writer, slots[i]);
		if (r < 0)
			return r;
	}
	writer->current.n_retired -= n;
	*ret_n = n;
	return trim_log(writer, max_rows, max_log);
}

int record_writer_reap(struct record_writer *writer, uint64_t seq, uint32_t max_rows,
                       uint32_t max_log, uint32_t *ret_n)
{
	uint64_t *slots;
	uint32_t n = 0;
	int r;

	if (max_rows == 0)
		return -EINVAL;
	r = record_writer_begin(writer);
	if (r < 0)
		return r;
	slots = malloc(max_rows * sizeof(*slots));
	r = slots ? reap(writer, seq, max_rows, max_log, slots, &n) : -ENOMEM;
	free(slots);
	r = record_writer_settle(writer, r);
	if (r == 0)
		r = record_writer_commit(writer);
	if (r < 0) {
		record_writer_rollback(writer);
		return r;
	}
	*ret_n = n;
	return record_store_count_pages(writer->store, writer->db);
}

/* The pages that removed rows leave are free, and where they are in the file is chance. SQLite
 * moves the last pages of the file into them (auto_vacuum = INCREMENTAL keeps the map that this
 * takes). Rejected: VACUUM, which writes the whole database anew while nobody writes. */
int record_writer_compact(struct record_writer *writer, uint32_t max_pages)
{
	char text[64];
	int r;

	if (writer->error < 0)
		return writer->error;
	snprintf(text, sizeof(text), "PRAGMA incremental_vacuum(%u)", max_pages);
	r = sql_exec(writer->db, text);
	if (r < 0)
		writer->error = r;
	return r < 0 ? r : record_store_count_pages(writer->store, writer->db);
}
