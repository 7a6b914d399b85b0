/* SPDX-License-Identifier: Apache-2.0 */

#include "protocol/message.h"
#include "protocol/meta.h"

#include <errno.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wire_arena arena;
static struct wire_buf buf;
static struct wire_meta_builder builder;

static int begin(void **state)
{
	(void)state;
	wire_arena_init(&arena);
	wire_buf_init(&buf);
	wire_meta_begin(&builder);
	return 0;
}

static int end(void **state)
{
	(void)state;
	wire_arena_release(&arena);
	wire_buf_release(&buf);
	wire_meta_release(&builder);
	return 0;
}

/* Sends two records, the second with this metadata; 0 and the decoded metadata, or a refusal. What
 * comes out lives until the next call. */
static int send_blob(struct wire_bin blob, struct wire_meta *ret, struct wire_error *error)
{
	struct wire_id ids[2] = {{.number = 1}, {.number = 2}};
	struct wire_meta metas[2] = {{.blob = {"\x80", 1}}, {.blob = blob}};
	struct update_params params = {
	        .collection = {"c", 1}, .ids = {ids, 2}, .metas = {metas, 2}};
	struct wire_request request;
	int r;

	buf.n = 0;
	assert_int_equal(message_encode_request(&buf, 1, WIRE_METHOD_update, &params), 0);
	r = message_decode_request(buf.data + 4, buf.n - 4, &arena, &request, error);
	if (r == 0)
		*ret = ((struct update_params *)request.params)->metas.v[1];
	return r;
}

static struct wire_meta sent(struct wire_bin blob)
{
	struct wire_meta meta = {0};
	struct wire_error error;

	if (send_blob(blob, &meta, &error) != 0)
		fail_msg("%s", error.message);
	return meta;
}

static void refused(struct wire_bin blob, enum wire_error_code code, const char *message)
{
	struct wire_error error = {0};
	struct wire_meta meta;

	assert_int_equal(send_blob(blob, &meta, &error), MESSAGE_REFUSED);
	assert_string_equal(error.message, message);
	assert_int_equal(error.code, code);
	assert_string_equal(error.field, "metas");
	assert_true(error.row == 1);
}

#define BLOB(literal) ((struct wire_bin){literal, sizeof(literal) - 1})

static void assert_blob(struct wire_bin blob, struct wire_bin wanted)
{
	assert_int_equal(blob.n, wanted.n);
	assert_memory_equal(blob.data, wanted.data, wanted.n);
}

/* What the builder makes. */

static void an_empty_map_is_metadata(void **state)
{
	struct wire_meta meta;

	(void)state;
	meta = sent(wire_meta_end(&builder));
	assert_blob(meta.blob, BLOB("\x80"));
	assert_int_equal(meta.n_scalars, 0);
}

static void keys_are_sorted_and_scalars_listed(void **state)
{
	struct wire_meta meta;

	(void)state;
	wire_meta_text(&builder, "year", "x", 1);
	wire_meta_list(&builder, "b", 2);
	wire_meta_int(&builder, NULL, -1);
	wire_meta_bool(&builder, NULL, true);
	wire_meta_float(&builder, "aa", 0.5);
	wire_meta_list(&builder, "z", 0);
	wire_meta_int(&builder, "a", 300);
	meta = sent(wire_meta_end(&builder));
	assert_blob(meta.blob, BLOB("\x85\xa1"
	                            "a\xcd\x01\x2c\xa2"
	                            "aa\xcb\x3f\xe0\0\0\0\0\0\0\xa1"
	                            "b\x92\xff\xc3\xa4year\xa1x\xa1z\x90"));
	assert_int_equal(meta.n_scalars, 5);
	assert_int_equal(meta.scalars[0].kind, WIRE_SCALAR_INT);
	assert_int_equal(meta.scalars[0].integer, 300);
	assert_memory_equal(meta.scalars[1].key.data, "aa", 2);
	assert_int_equal(meta.scalars[1].kind, WIRE_SCALAR_FLOAT);
	assert_true(meta.scalars[1].real == 0.5);
	assert_memory_equal(meta.scalars[2].key.data, "b", 1);
	assert_int_equal(meta.scalars[2].integer, -1);
	assert_memory_equal(meta.scalars[3].key.data, "b", 1);
	assert_int_equal(meta.scalars[3].kind, WIRE_SCALAR_BOOL);
	assert_true(meta.scalars[3].boolean);
	assert_int_equal(meta.scalars[4].kind, WIRE_SCALAR_TEXT);
	assert_memory_equal(meta.scalars[4].text.data, "x", 1);
}

static void a_map_of_each_header_size_is_built(void **state)
{
	static const uint32_t sizes[] = {15, 16, 1024, 65535, 65536};
	static const size_t headers[] = {1, 3, 3, 3, 5};
	char key[16];

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		msgpack_unpacked tree;
		struct wire_bin blob;

		wire_meta_release(&builder);
		wire_meta_begin(&builder);
		for (uint32_t j = 0; j < sizes[i]; j++) {
			snprintf(key, sizeof(key), "%07u", j);
			wire_meta_bool(&builder, key, false);
		}
		blob = wire_meta_end(&builder);
		assert_int_equal(blob.n, headers[i] + 9 * sizes[i]);
		msgpack_unpacked_init(&tree);
		assert_int_equal(msgpack_unpack_next(&tree, blob.data, blob.n, NULL),
		                 MSGPACK_UNPACK_SUCCESS);
		assert_int_equal(tree.data.via.map.size, sizes[i]);
		msgpack_unpacked_destroy(&tree);
	}
}

/* What is canonical. */

static void wide_forms_become_the_shortest(void **state)
{
	(void)state;
	assert_blob(sent(BLOB("\xdf\0\0\0\1\xdb\0\0\0\1k\xcf\0\0\0\0\0\0\0\5")).blob,
	            BLOB("\x81\xa1k\x05"));
	assert_blob(sent(BLOB("\x81\xa1k\xd3\xff\xff\xff\xff\xff\xff\xff\xff")).blob,
	            BLOB("\x81\xa1k\xff"));
	assert_blob(sent(BLOB("\x81\xa1k\xd1\x00\x80")).blob, BLOB("\x81\xa1k\xcc\x80"));
	assert_blob(sent(BLOB("\x81\xa1k\xca\x3f\x00\x00\x00")).blob,
	            BLOB("\x81\xa1k\xcb\x3f\xe0\0\0\0\0\0\0"));
	assert_blob(sent(BLOB("\x81\xa1k\xdd\0\0\0\1\xd9\1x")).blob, BLOB("\x81\xa1k\x91\xa1x"));
}

static void what_is_canonical_stays(void **state)
{
	const struct wire_bin blobs[] = {
	        BLOB("\x82\xa1"
	             "a\x01\xa1"
	             "b\x92\xc2\xcb\x3f\xe0\0\0\0\0\0\0"),
	        BLOB("\x81\xa1k\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
	        BLOB("\x81\xa1k\xd3\x80\0\0\0\0\0\0\0"),
	        BLOB("\x83\xa1"
	             "a\xa0\xa2"
	             "a\0\xa0\xa1"
	             "b\xa0"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
		assert_blob(sent(blobs[i]).blob, blobs[i]);
}

/* What is refused. */

static void keys_must_be_distinct_strings(void **state)
{
	(void)state;
	refused(BLOB("\x82\xa1k\x01\xa1k\x02"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is there twice");
	refused(BLOB("\x83\xa1k\x01\xa1j\x02\xa1k\x02"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is there twice");
	refused(BLOB("\x81\x01\x02"), WIRE_ERROR_BAD_KIND, "a metadata key is not a string");
	refused(BLOB("\x81\xa1\xff\x02"), WIRE_ERROR_BAD_VALUE,
	        "metadata '?' is a key that is not UTF-8");
	refused(BLOB("\x81\xa0\x02"), WIRE_ERROR_OVER_LIMIT,
	        "the length of a metadata key is 0; the limit is 1 to 128");
}

static void values_must_be_scalars_or_lists_of_them(void **state)
{
	static const char not_scalar[] = "metadata 'k' is not a scalar or a list of scalars";

	(void)state;
	refused(BLOB("\x81\xa1k\xc0"), WIRE_ERROR_BAD_KIND, not_scalar);
	refused(BLOB("\x81\xa1k\x80"), WIRE_ERROR_BAD_KIND, not_scalar);
	refused(BLOB("\x81\xa1k\xc4\0"), WIRE_ERROR_BAD_KIND, not_scalar);
	refused(BLOB("\x81\xa1k\x91\x90"), WIRE_ERROR_BAD_KIND, not_scalar);
	refused(BLOB("\x81\xa1k\x91\xc0"), WIRE_ERROR_BAD_KIND, not_scalar);
	refused(BLOB("\x81\xa1k\xcf\x80\0\0\0\0\0\0\0"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is an integer beyond int64");
	refused(BLOB("\x81\xa1k\xcb\x7f\xf0\0\0\0\0\0\0"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is a float that is not finite");
	refused(BLOB("\x81\xa1k\x92\x01\xca\xff\xc0\0\0"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is a float that is not finite");
	refused(BLOB("\x81\xa1k\xa1\xff"), WIRE_ERROR_BAD_VALUE,
	        "metadata 'k' is a string that is not UTF-8");
}

static void a_row_that_is_no_map_is_refused(void **state)
{
	(void)state;
	refused(BLOB("\x90"), WIRE_ERROR_BAD_KIND, "'metas' is not an array of maps and nils");
	refused(BLOB("\xa1x"), WIRE_ERROR_BAD_KIND, "'metas' is not an array of maps and nils");
}

/* The limits. */

static void a_key_ends_at_its_limit(void **state)
{
	char key[LIMIT_META_KEY_BYTES + 2] = "";

	(void)state;
	memset(key, 'k', LIMIT_META_KEY_BYTES);
	wire_meta_int(&builder, key, 1);
	assert_int_equal(sent(wire_meta_end(&builder)).n_scalars, 1);
	key[LIMIT_META_KEY_BYTES] = 'k';
	wire_meta_int(&builder, key, 1);
	refused(wire_meta_end(&builder), WIRE_ERROR_OVER_LIMIT,
	        "the length of a metadata key is 129; the limit is 1 to 128");
}

static void put_list(const char *key, uint32_t n)
{
	wire_meta_list(&builder, key, n);
	for (uint32_t i = 0; i < n; i++)
		wire_meta_int(&builder, NULL, i);
}

static void scalars_are_counted_in_lists_too(void **state)
{
	(void)state;
	put_list("a", 1000);
	put_list("b", LIMIT_META_SCALARS - 1000);
	assert_int_equal(sent(wire_meta_end(&builder)).n_scalars, LIMIT_META_SCALARS);
	wire_meta_list(&builder, "c", 0);
	refused(wire_meta_end(&builder), WIRE_ERROR_OVER_LIMIT,
	        "the number of metadata scalars is 1025; the limit is 0 to 1024");
}

static void metadata_ends_at_its_limit(void **state)
{
	static char text[LIMIT_META_BYTES];
	const size_t n_other = 1 + 2 + 3; /* the map's header, the key, the text's header */

	(void)state;
	memset(text, 't', sizeof(text));
	wire_meta_text(&builder, "k", text, LIMIT_META_BYTES - n_other);
	assert_int_equal(sent(wire_meta_end(&builder)).blob.n, LIMIT_META_BYTES);
	wire_meta_release(&builder);
	wire_meta_begin(&builder);
	wire_meta_text(&builder, "k", text, LIMIT_META_BYTES - n_other + 1);
	refused(wire_meta_end(&builder), WIRE_ERROR_OVER_LIMIT,
	        "the length of the metadata is 65537; the limit is 1 to 65536");
}

/* Walking. */

struct walk {
	char seen[256];
	int stop_at;
};

static int note(void *ctx, const struct wire_scalar *scalar, bool in_list)
{
	struct walk *walk = ctx;
	size_t n = strlen(walk->seen);
	char *at = walk->seen + n;
	size_t room = sizeof(walk->seen) - n;

	if (walk->stop_at > 0 && --walk->stop_at == 0)
		return 42;
	at += snprintf(at, room, "%.*s%s", (int)scalar->key.n, scalar->key.data,
	               in_list ? "[]=" : "=");
	room = sizeof(walk->seen) - (size_t)(at - walk->seen);
	switch (scalar->kind) {
	case WIRE_SCALAR_INT:
		snprintf(at, room, "%jd ", (intmax_t)scalar->integer);
		break;
	case WIRE_SCALAR_FLOAT:
		snprintf(at, room, "%g ", scalar->real);
		break;
	case WIRE_SCALAR_BOOL:
		snprintf(at, room, "%s ", scalar->boolean ? "yes" : "no");
		break;
	case WIRE_SCALAR_TEXT:
		snprintf(at, room, "'%.*s' ", (int)scalar->text.n, scalar->text.data);
		break;
	}
	return 0;
}

static void a_walk_sees_each_scalar(void **state)
{
	struct walk walk = {0};

	(void)state;
	wire_meta_int(&builder, "i", INT64_MIN);
	wire_meta_list(&builder, "l", 3);
	wire_meta_float(&builder, NULL, 2.5);
	wire_meta_bool(&builder, NULL, false);
	wire_meta_text(&builder, NULL, "t", 1);
	wire_meta_list(&builder, "none", 0);
	wire_meta_int(&builder, "j", INT64_MAX);
	assert_int_equal(wire_meta_each(wire_meta_end(&builder), note, &walk), 0);
	assert_string_equal(walk.seen, "i=-9223372036854775808 l[]=2.5 l[]=no l[]='t' "
	                               "j=9223372036854775807 ");
}

static void a_walk_stops_when_told(void **state)
{
	struct walk walk = {.stop_at = 2};

	(void)state;
	assert_int_equal(wire_meta_each(BLOB("\x83\xa1"
	                                     "a\1\xa1"
	                                     "b\1\xa1"
	                                     "c\1"),
	                                note, &walk),
	                 42);
	assert_string_equal(walk.seen, "a=1 ");
}

static void a_walk_refuses_what_is_no_metadata(void **state)
{
	const struct wire_bin blobs[] = {
	        BLOB(""),
	        BLOB("\x01"),
	        BLOB("\x90"),
	        BLOB("\x81\xa1k"),
	        BLOB("\x81\xa1k\x01\x01"),
	        BLOB("\x81\x01\x01"),
	        BLOB("\x81\xa1k\xc0"),
	        BLOB("\x81\xa1k\x91\x90"),
	        BLOB("\x81\xa1k\x91\xc0"),
	        BLOB("\x81\xa1k\xcf\x80\0\0\0\0\0\0\0"),
	        BLOB("\xdd\5\0\0\0"),
	};
	struct walk walk = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(blobs) / sizeof(blobs[0]); i++)
		assert_int_equal(wire_meta_each(blobs[i], note, &walk), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(an_empty_map_is_metadata, begin, end),
	        cmocka_unit_test_setup_teardown(keys_are_sorted_and_scalars_listed, begin, end),
	        cmocka_unit_test_setup_teardown(a_map_of_each_header_size_is_built, begin, end),
	        cmocka_unit_test_setup_teardown(wide_forms_become_the_shortest, begin, end),
	        cmocka_unit_test_setup_teardown(what_is_canonical_stays, begin, end),
	        cmocka_unit_test_setup_teardown(keys_must_be_distinct_strings, begin, end),
	        cmocka_unit_test_setup_teardown(values_must_be_scalars_or_lists_of_them, begin,
	                                        end),
	        cmocka_unit_test_setup_teardown(a_row_that_is_no_map_is_refused, begin, end),
	        cmocka_unit_test_setup_teardown(a_key_ends_at_its_limit, begin, end),
	        cmocka_unit_test_setup_teardown(scalars_are_counted_in_lists_too, begin, end),
	        cmocka_unit_test_setup_teardown(metadata_ends_at_its_limit, begin, end),
	        cmocka_unit_test_setup_teardown(a_walk_sees_each_scalar, begin, end),
	        cmocka_unit_test_setup_teardown(a_walk_stops_when_told, begin, end),
	        cmocka_unit_test_setup_teardown(a_walk_refuses_what_is_no_metadata, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
