/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/damage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/service_fixture.h"

void spoil(const char *path, long at, size_t n)
{
	FILE *file = fopen(path, "r+b");

	assert_non_null(file);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(putc(0xa5, file), 0xa5);
	assert_int_equal(fclose(file), 0);
}

static struct kith_verify_result *look_through(struct kith_conn *conn, const char *collection)
{
	struct kith_verify_params params = {.collection = kith_text(collection)};
	struct kith_verify_result *result;

	DONE(conn, kith_verify(conn, &params, &result));
	return result;
}

bool is_found_sound(struct kith_conn *conn, const char *collection)
{
	struct kith_verify_result *result = look_through(conn, collection);
	bool found_none = result->findings.n == 0;

	kith_free(result);
	return found_none;
}

void expect_sound(struct kith_conn *conn, const char *collection, uint64_t n_records)
{
	struct kith_verify_result *result = look_through(conn, collection);

	assert_int_equal(result->findings.n, 0);
	assert_int_equal(result->records, n_records);
	kith_free(result);
}

void expect_finding(struct kith_conn *conn, const char *collection, const char *file, bool derived)
{
	struct kith_verify_result *result = look_through(conn, collection);

	assert_true(result->findings.n > 0);
	assert_true(strncmp(result->findings.v[0].file.data, file, strlen(file)) == 0);
	assert_int_equal(result->findings.v[0].derived, derived);
	kith_free(result);
}
