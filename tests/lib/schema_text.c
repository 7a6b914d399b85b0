/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/schema_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

static const char query[] =
        "SELECT group_concat(line, '') FROM (SELECT name || ': ' || CASE type WHEN 'table' THEN"
        " (SELECT group_concat(c.name, ' ') FROM"
        "  (SELECT name FROM pragma_table_info(object.name) ORDER BY cid) c)"
        " ELSE 'on ' || tbl_name || (SELECT iif(i.\"unique\", ', unique', '') ||"
        "  iif(i.partial, ', partial', '') FROM pragma_index_list(object.tbl_name) i"
        "  WHERE i.name = object.name) || ', ' || (SELECT group_concat(c.name, ' ') FROM"
        "  (SELECT name FROM pragma_index_info(object.name) ORDER BY seqno) c)"
        " END || char(10) AS line"
        " FROM sqlite_schema object WHERE sql IS NOT NULL ORDER BY name)";

char *schema_text(const char *path)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	char *text;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	text = strdup((const char *)sqlite3_column_text(stmt, 0));
	assert_non_null(text);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return text;
}
