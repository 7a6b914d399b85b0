/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writes the corpus into the directory named: each request, result and event of the table as a
 * payload, an error, payloads that are wrong in a known way, streams of frames, config files,
 * patches of a saved graph and of its file, and rows.
 */

#include "protocol/frame.h"
#include "protocol/message.h"
#include "tests/lib/wire_sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "cannot %s '%s': %s\n", what, path, strerror(errno));
	exit(1);
}

static void write_file(const char *directory, const char *group, const char *name,
                       const char *suffix, const void *data, size_t n)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s/%s%s", directory, group, name, suffix);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, n, file) != n || fclose(file) != 0)
		fail("write", path);
}

static void make_directory(const char *directory, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		fail("make", path);
}

/* The payload of the frame in buf, which is emptied. */
static void write_payload(const char *directory, const char *name, const char *suffix,
                          struct wire_buf *buf)
{
	if (buf->failed || buf->n < FRAME_HEADER_BYTES)
		fail("encode", name);
	write_file(directory, "message", name, suffix, buf->data + FRAME_HEADER_BYTES,
	           buf->n - FRAME_HEADER_BYTES);
	buf->n = 0;
}

static void write_messages(const char *directory)
{
	struct wire_arena arena;
	struct wire_error error;
	struct wire_buf buf;

	wire_arena_init(&arena);
	wire_buf_init(&buf);
	for (int i = 0; i < WIRE_N_METHODS; i++) {
		enum wire_method_idx method = (enum wire_method_idx)i;
		const struct wire_method *row = &wire_methods[i];

		message_encode_request(&buf, 1, method,
		                       wire_sample_make(&row->params, WIRE_SAMPLE_SOME, &arena));
		write_payload(directory, row->name, ".request", &buf);
		message_encode_result(&buf, 1, method,
		                      wire_sample_make(&row->result, WIRE_SAMPLE_SOME, &arena));
		write_payload(directory, row->name, ".result", &buf);
	}
	for (int i = 0; i < WIRE_N_EVENTS; i++) {
		const struct wire_event *row = &wire_events[i];

		message_encode_event(&buf, (enum wire_event_idx)i,
		                     wire_sample_make(&row->fields, WIRE_SAMPLE_SOME, &arena));
		write_payload(directory, row->name, ".event", &buf);
	}
	wire_error_set_row(&error, WIRE_ERROR_OVER_LIMIT, "ids", 3, "too long");
	message_encode_error(&buf, 1, &error);
	write_payload(directory, "ids", ".error", &buf);
	wire_buf_release(&buf);
	wire_arena_release(&arena);
}

#define NASTY(name, literal)                       \
	{                                          \
		name, literal, sizeof(literal) - 1 \
	}

/* Claims without bytes, deep and wide values, other widths, other types. */
static const struct {
	const char *name, *data;
	size_t n;
} nasty[] = {
        NASTY("claim_array", "\xdd\x05\x00\x00\x00"),
        NASTY("claim_map", "\xdf\xff\xff\xff\xff"),
        NASTY("claim_string", "\x94\x00\x01\xdb\xff\xff\xff\xff"),
        NASTY("claim_bin", "\x94\x00\x01\xa6upsert\x81\xa7vectors\xc6\xff\xff\xff\xff"),
        NASTY("claim_column", "\x94\x00\x01\xa3get\x81\xa3ids\xdd\x10\x00\x00\x00"),
        NASTY("deep", "\x94\x00\x01\xa4ping\x81\xa1x\x91\x91\x91\x91\x91\x91\x91\x91\x01"),
        NASTY("extension", "\x94\x00\x01\xa4ping\x81\xa1t\xd6\xff\x00\x00\x00\x00"),
        NASTY("unused_byte", "\x94\x00\x01\xa4ping\x81\xa1t\xc1"),
        NASTY("trailing", "\x94\x00\x01\xa4ping\x80\xc0"),
        NASTY("no_id", "\x94\x00\xc0\xa4ping\x80"),
        NASTY("largest_id", "\x94\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xa4ping\x80"),
        NASTY("wide_forms", "\xdd\x00\x00\x00\x04\xd3\x00\x00\x00\x00\x00\x00\x00\x00\xd1\x00\x01"
                            "\xdb\x00\x00\x00\x04ping\xdf\x00\x00\x00\x00"),
        NASTY("unknown_method", "\x94\x00\x01\xa4pong\x80"),
        NASTY("unknown_field", "\x94\x00\x01\xa4ping\x81\xa1x\x01"),
        NASTY("field_twice", "\x94\x00\x01\xa5"
                             "count\x82\xaa"
                             "collection\xa1x\xaa"
                             "collection\xa1y"),
        NASTY("name_not_utf8", "\x94\x00\x01\xa5"
                               "count\x81\xaa"
                               "collection\xa2\xc0\x80"),
        NASTY("negative_id", "\x94\x00\x01\xa6"
                             "delete\x82\xaa"
                             "collection\xa1x\xa3ids\x91\xff"),
        NASTY("metas", "\x94\x00\x01\xa6update\x83\xaa"
                       "collection\xa1x\xa3ids\x93\x01\x02\x03\xa5metas\x93\xc0\x80\x84\xa1"
                       "z\xca\x3f\x00\x00\x00\xa1y\xd1\x00\x05\xa1x\x93\xc2\xa0\xe0\xa1w\x90"),
        NASTY("meta_key_twice", "\x94\x00\x01\xa6update\x83\xaa"
                                "collection\xa1x\xa3ids\x91\x01\xa5metas\x91\x82\xa1"
                                "k\x01\xa1k\x02"),
        NASTY("meta_nan", "\x94\x00\x01\xa6update\x83\xaa"
                          "collection\xa1x\xa3ids\x91\x01\xa5metas\x91\x81\xa1"
                          "k\xca\x7f\xc0\x00\x00"),
        NASTY("error_without_id", "\x94\x01\xc0\x82\xa4"
                                  "code\xa9"
                                  "bad_frame\xa7message\xa0\xc0"),
        NASTY("deadline", "\x95\x00\x01\xa4ping\x80\xcd\x13\x88"),
        NASTY("deadline_zero", "\x95\x00\x01\xa4ping\x80\x00"),
        NASTY("deadline_far", "\x95\x00\x01\xa4ping\x80\xce\x05\x26\x5c\x01"),
        NASTY("unknown_event", "\x93\x02\xa4mood\x80"),
};

static void write_streams(const char *directory)
{
	static const uint32_t lengths[] = {1, 3, 0, 70000};
	static uint8_t stream[1 + 2 * FRAME_HEADER_BYTES + 70000 + 3];

	write_file(directory, "frame", "header_cut", "", "\x07\x00\x00", 3);
	write_file(directory, "frame", "two", "", "\x01\x00\x00\x00\x01x\x00\x00\x00\x02yz", 12);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t at = 1;
		char name[32];

		stream[0] = (uint8_t)i;
		frame_put_header(stream + at, lengths[i]);
		at += FRAME_HEADER_BYTES + lengths[i];
		frame_put_header(stream + at, 3);
		at += FRAME_HEADER_BYTES + 3;
		snprintf(name, sizeof(name), "length_%u", lengths[i]);
		write_file(directory, "frame", name, "", stream, at);
	}
	write_file(directory, "frame", "over_max", "", "\x00\xff\xff\xff\xffxyz", 8);
}

static void write_configs(const char *directory)
{
	static const struct {
		const char *name, *text;
	} files[] = {
	        {"empty", ""},
	        {"all", "# all of it\nsocket = /run/kith/kith.sock\ndata_dir = /var/lib/kith\n"
	                "cache_dir = /var/cache/kith\nallow_uids = 1001 1002\nlog_level = debug\n"
	                "index_cache_mb = 512\ncache_backend = mmap\nidle_unload_s = 0\n"
	                "metadata_cache_mb = 32\ninflight_mb = 64 ; enough\n"
	                "interactive_threads = 2\nwrite_threads = 1\nbackground_threads = 3\n"
	                "collection.my.notes.index_cache_mb = 5\n"},
	        {"section", "[kithd]\nwrite_threads = 1\n"},
	        {"no_value", "write_threads\nwrite_threads =\n= 5\n"},
	        {"twice", "log_level = info\nlog_level = info\n"},
	        {"too_much", "index_cache_mb = 18446744073709551617\nallow_uids = 4294967295\n"},
	        {"no_newline", "log_level = warning"},
	        {"continued", "socket = /a\n /b\n\xef\xbb\xbf"},
	        {"share_of_nothing", "collection..index_cache_mb = 1\n"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_file(directory, "config", files[i].name, ".conf", files[i].text,
		           strlen(files[i].text));
}

/* Chunk, where in it (two bytes), the byte, 1 for a cut: see fuzz_graph.c. */
static void write_patches(const char *directory)
{
	static const struct {
		const char *name;
		uint8_t patches[10];
		size_t n;
	} files[] = {
	        {"none", {0}, 0},
	        {"head_cut", {0, 0, 4, 0, 1}, 5},
	        {"head_first", {0, 0, 0, 0xff, 0}, 5},
	        {"head_count", {0, 0, 16, 0x3b, 0}, 5},
	        {"slot_twice", {1, 0, 8, 1, 0, 1, 0, 9, 0, 0}, 10},
	        {"link_far", {2, 0, 4, 0xf0, 0}, 5},
	        {"link_to_itself", {2, 0, 0, 0, 0}, 5},
	        {"links_cut", {2, 0, 64, 0, 1}, 5},
	        {"upper_far", {3, 0, 0, 0x7f, 0, 3, 0, 3, 0x7f, 0}, 10},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_file(directory, "graph", files[i].name, "", files[i].patches, files[i].n);
}

/* What is sealed again, then where (three bytes), the byte, 1 for a cut: see fuzz_snapshot.c. */
static void write_snapshots(const char *directory)
{
	static const struct {
		const char *name;
		uint8_t bytes[11];
		size_t n;
	} files[] = {
	        {"none", {0}, 1},
	        {"magic", {7, 0, 0, 0, 'X', 0}, 6},
	        {"newer", {7, 0, 0, 8, 9, 0}, 6},
	        {"unsealed", {0, 0, 0, 40, 1, 0}, 6},
	        {"table_far", {1, 0, 0, 65, 0xff, 0}, 6},
	        {"many_chunks", {1, 0, 0, 73, 0xff, 0, 0, 0, 74, 0xff, 0}, 11},
	        {"head_count", {7, 0, 0x10, 16, 0x3b, 0}, 6},
	        {"slot_twice", {7, 0, 0x20, 8, 1, 0, 0, 0x20, 9, 0, 0}, 11},
	        {"link_far", {7, 0, 0x30, 4, 0xf0, 0}, 6},
	        {"upper_far", {7, 0, 0x40, 0, 0x7f, 0, 0, 0x40, 3, 0x7f, 0}, 11},
	        {"cut_in_header", {7, 0, 8, 0, 0, 1}, 6},
	        {"cut_in_chunk", {7, 0, 0x30, 9, 0, 1}, 6},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_file(directory, "snapshot", files[i].name, "", files[i].bytes, files[i].n);
}

/* Flags, four lengths, and the parts: see fuzz_rows.c. */
static void write_rows(const char *directory)
{
#define VECTOR "\0\0\x80\x3f\0\0\x80\x3f\0\0\x80\x3f\0\0\x80\x3f"
	static const struct {
		const char *name, *data;
		size_t n;
	} files[] = {
	        NASTY("whole", "\x20\x10\x02\x04\x00" VECTOR "idtext\x81\xa1k\x01"),
	        NASTY("number", "\x21\x10\x01\x00\x00" VECTOR "\x2a\x80"),
	        NASTY("blob_id", "\x22\x10\x02\x04\x00" VECTOR "idtext\x80"),
	        NASTY("empty_id", "\x20\x10\x00\x04\x00" VECTOR "text\x80"),
	        NASTY("no_vector", "\x24\x00\x02\x00\x00id"),
	        NASTY("short_vector", "\x20\x0f\x02\x00\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0id"),
	        NASTY("no_content", "\xa0\x10\x02\x00\x00" VECTOR "id"),
	        NASTY("no_namespace", "\x60\x10\x02\x00\x00" VECTOR "id"),
	        NASTY("bad_meta", "\x20\x10\x02\x00\x00" VECTOR "id\xdf\xff\xff\xff\xff"),
	        NASTY("bad_fields", "\x00\x10\x02\x00\x05" VECTOR "id\xff\xff\xff\xff\xff\x80"),
	        NASTY("text_not_utf8", "\x20\x10\x02\x02\x00" VECTOR "id\xc0\x80\x80"),
	};
#undef VECTOR

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_file(directory, "rows", files[i].name, "", files[i].data, files[i].n);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	make_directory(argv[1], "message");
	make_directory(argv[1], "frame");
	make_directory(argv[1], "config");
	make_directory(argv[1], "graph");
	make_directory(argv[1], "snapshot");
	make_directory(argv[1], "rows");
	write_messages(argv[1]);
	for (size_t i = 0; i < sizeof(nasty) / sizeof(nasty[0]); i++)
		write_file(argv[1], "message", nasty[i].name, ".nasty", nasty[i].data, nasty[i].n);
	write_streams(argv[1]);
	write_configs(argv[1]);
	write_patches(argv[1]);
	write_snapshots(argv[1]);
	write_rows(argv[1]);
	return 0;
}
