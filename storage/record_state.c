/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/record_state.h"

#include <errno.h>
#include <string.h>

#include "storage/sql.h"

int record_state_read(sqlite3 *db, struct record_store_state *ret)
{
	sqlite3_stmt *stmt;
	int r = sql_prepare(db,
	                    "SELECT seq, floor_seq, next_slot, n_live, n_retired, n_retirements"
	                    " FROM state",
	                    &stmt);

	if (r < 0)
		return r;
	r = sql_step(stmt);
	if (r == SQL_ROW) {
		*ret = (struct record_store_state){
		        .seq = sql_column_u64(stmt, 0),
		        .floor_seq = sql_column_u64(stmt, 1),
		        .next_slot = sql_column_u64(stmt, 2),
		        .n_live = sql_column_u64(stmt, 3),
		        .n_retired = sql_column_u64(stmt, 4),
		        .n_retirements = sql_column_u64(stmt, 5),
		};
		r = 0;
	} else if (r == 0) {
		r = sql_fail_because(-EBADMSG, "the state row is missing");
	}
	sqlite3_finalize(stmt);
	return r;
}

static int read_epoch(sqlite3_stmt *stmt, struct record_epoch *ret)
{
	size_t n;
	const void *id = sql_column_blob(stmt, 0, &n);

	if (!id || n != sizeof(ret->id.bytes))
		return sql_fail_because(-EBADMSG, "an epoch's row makes no sense");
	memcpy(ret->id.bytes, id, n);
	ret->seq = sql_column_u64(stmt, 1);
	ret->next_slot = sql_column_u64(stmt, 2);
	return 0;
}

int record_state_read_epochs(sqlite3 *db, struct record_epochs *ret)
{
	sqlite3_stmt *stmt;
	struct record_epoch epoch;
	int r = sql_prepare(db, "SELECT epoch, seq, next_slot FROM epochs ORDER BY number", &stmt);

	if (r < 0)
		return r;
	ret->n = 0;
	while ((r = sql_step(stmt)) == SQL_ROW && (r = read_epoch(stmt, &epoch)) == 0)
		record_epochs_add(ret, &epoch);
	sqlite3_finalize(stmt);
	if (r == 0 && ret->n == 0)
		return sql_fail_because(-EBADMSG, "the epochs are missing");
	return r;
}
