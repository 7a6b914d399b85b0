/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/record_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/record_writer_private.h"

/* Declarations are rare, so their statements are not kept. Each change is a commit of its own. */

int record_writer_declare_index(struct record_writer *writer, const struct record_index *index)
{
	sqlite3_stmt *stmt;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = sql_prepare(writer->db,
	                "INSERT INTO indexes (name, kind, params, state) VALUES (?1, ?2, ?3, 0) "
	                "ON CONFLICT (name) DO UPDATE SET kind = ?2, params = ?3",
	                &stmt);
	if (r)
		return r;
	sql_bind_text(stmt, 1, index->name, strlen(index->name));
	sql_bind_text(stmt, 2, index->kind, strlen(index->kind));
	sql_bind_blob(stmt, 3, index->params, index->n_params);
	r = sql_run(stmt);
	sql_finalize_all(&stmt, 1);
	return r;
}

int record_writer_undeclare_index(struct record_writer *writer, const char *name)
{
	sqlite3_stmt *stmt;
	int r;

	if (writer->error < 0)
		return writer->error;
	r = sql_prepare(writer->db, "DELETE FROM indexes WHERE name = ?1", &stmt);
	if (r)
		return r;
	sql_bind_text(stmt, 1, name, strlen(name));
	r = sql_run(stmt);
	sql_finalize_all(&stmt, 1);
	return r;
}

/* What does not fit was not written by us. */
static int read_index(sqlite3_stmt *stmt, struct record_index *ret)
{
	const char *name, *kind;
	const void *params;
	uint32_t name_n, kind_n;
	size_t params_n;

	name = sql_column_text(stmt, 0, &name_n);
	kind = sql_column_text(stmt, 1, &kind_n);
	params = sql_column_blob(stmt, 2, &params_n);
	if (!name || !kind || !params || name_n >= sizeof(ret->name) ||
	    kind_n >= sizeof(ret->kind) || params_n > sizeof(ret->params))
		return -EBADMSG;
	*ret = (struct record_index){.n_params = (uint32_t)params_n};
	memcpy(ret->name, name, name_n);
	memcpy(ret->kind, kind, kind_n);
	memcpy(ret->params, params, params_n);
	return 0;
}

int record_reader_indexes(struct record_reader *reader,
                          int (*each)(void *ctx, const struct record_index *index), void *ctx)
{
	struct record_index index;
	sqlite3_stmt *stmt;
	int r = sql_prepare(record_reader_db(reader),
	                    "SELECT name, kind, params FROM indexes ORDER BY name", &stmt);

	if (r)
		return r;
	while ((r = sql_step(stmt)) == SQL_ROW) {
		r = read_index(stmt, &index);
		if (r == 0)
			r = each(ctx, &index);
		if (r != 0)
			break;
	}
	sql_finalize_all(&stmt, 1);
	return r;
}
