/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The one table of the protocol: every choice, row, method and event with its typed fields. From
 * it come the C structs below, the descriptors that the codec walks (schema.h, methods.c), the
 * dispatch of the daemon and the test that PROTOCOL.md documents each.
 *
 * A field is F(X, kind, name, need, min, max, default), X being what the expansion carries along:
 *   kind     a row of WIRE_KINDS
 *   need     REQUIRED or OPTIONAL; an optional one that is absent holds its default (numbers,
 *            choices) or a NULL pointer (strings, bytes, columns)
 *   min, max of numbers: the value; of strings and bytes: the length; of columns: the rows.
 *            max is a limit that the error message and PROTOCOL.md state. In results unused.
 *
 * Method `x` has PARAMS_x and RESULT_x, and so struct x_params and struct x_result.
 */

#include "protocol/errors.h"
#include "protocol/limits.h"
#include "protocol/schema.h"
#include "protocol/wire.h"

#define WIRE_PROTOCOL 1

/* Choices: sent as their names; C(X, name), where X is what the expansion carries along. --------
 */

#define WIRE_METRICS(C, X) C(X, l2) C(X, ip) C(X, cosine)
#define WIRE_DTYPES(C, X) C(X, f32) C(X, f16)
#define WIRE_INCLUDES(C, X) C(X, vectors) C(X, texts) C(X, metas) C(X, namespaces)
#define WIRE_TOPICS(C, X) C(X, changes) C(X, jobs)
#define WIRE_MODES(C, X) C(X, exact) C(X, hnsw)
#define WIRE_SOURCES(C, X) C(X, resident) C(X, mapped) C(X, truth)
#define WIRE_CHANGES(C, X) C(X, created) C(X, renamed) C(X, dropped) C(X, written)
#define WIRE_INDEX_KINDS(C, X) C(X, hnsw)
#define WIRE_QUANTIZATIONS(C, X) C(X, sq8) C(X, none)
#define WIRE_INDEX_STATES(C, X) \
	C(X, declared)          \
	C(X, evicted)           \
	C(X, loading) C(X, building) C(X, serving) C(X, inserting) C(X, saving) C(X, replacing)
#define WIRE_ENSURED(C, X) C(X, existing) C(X, built) C(X, joined) C(X, started)

#define WIRE_CHOICE_LISTS(L)                \
	L(metric, WIRE_METRICS)             \
	L(dtype, WIRE_DTYPES)               \
	L(include, WIRE_INCLUDES)           \
	L(topic, WIRE_TOPICS)               \
	L(mode, WIRE_MODES)                 \
	L(source, WIRE_SOURCES)             \
	L(index_kind, WIRE_INDEX_KINDS)     \
	L(quantization, WIRE_QUANTIZATIONS) \
	L(index_state, WIRE_INDEX_STATES)   \
	L(ensured, WIRE_ENSURED)            \
	L(change, WIRE_CHANGES)

/* Kinds: K(kind, C type, base, details). ------------------------------------------------------ */

#define WIRE_KINDS(K)                                                                \
	K(bool, bool, WIRE_BOOL, NULL, NULL)                                         \
	K(u32, uint32_t, WIRE_U32, NULL, NULL)                                       \
	K(u64, uint64_t, WIRE_U64, NULL, NULL)                                       \
	K(f64, double, WIRE_F64, NULL, NULL)                                         \
	K(name, struct wire_str, WIRE_NAME, NULL, NULL)                              \
	K(str, struct wire_str, WIRE_STR, NULL, NULL)                                \
	K(bin, struct wire_bin, WIRE_BIN, NULL, NULL)                                \
	K(ids, struct wire_ids, WIRE_IDS, NULL, NULL)                                \
	K(texts, struct wire_texts, WIRE_TEXTS, NULL, NULL)                          \
	K(metas, struct wire_metas, WIRE_METAS, NULL, NULL)                          \
	K(u32s, struct wire_u32s, WIRE_U32S, NULL, NULL)                             \
	K(metric, uint32_t, WIRE_CHOICE, wire_metric_names, NULL)                    \
	K(dtype, uint32_t, WIRE_CHOICE, wire_dtype_names, NULL)                      \
	K(mode, uint32_t, WIRE_CHOICE, wire_mode_names, NULL)                        \
	K(source, uint32_t, WIRE_CHOICE, wire_source_names, NULL)                    \
	K(change, uint32_t, WIRE_CHOICE, wire_change_names, NULL)                    \
	K(index_kind, uint32_t, WIRE_CHOICE, wire_index_kind_names, NULL)            \
	K(quantization, uint32_t, WIRE_CHOICE, wire_quantization_names, NULL)        \
	K(index_state, uint32_t, WIRE_CHOICE, wire_index_state_names, NULL)          \
	K(ensured, uint32_t, WIRE_CHOICE, wire_ensured_names, NULL)                  \
	K(includes, uint32_t, WIRE_CHOICES, wire_include_names, NULL)                \
	K(topics, uint32_t, WIRE_CHOICES, wire_topic_names, NULL)                    \
	K(collection, struct collection_row, WIRE_ROW, NULL, &collection_row_schema) \
	K(collections, struct wire_rows, WIRE_ROWS, NULL, &collection_row_schema)    \
	K(budget, struct budget_row, WIRE_ROW, NULL, &budget_row_schema)             \
	K(cache, struct cache_row, WIRE_ROW, NULL, &cache_row_schema)                \
	K(memory, struct memory_row, WIRE_ROW, NULL, &memory_row_schema)             \
	K(pressure, struct pressure_row, WIRE_ROW, NULL, &pressure_row_schema)       \
	K(lanes, struct wire_rows, WIRE_ROWS, NULL, &lane_row_schema)                \
	K(usages, struct wire_rows, WIRE_ROWS, NULL, &usage_row_schema)              \
	K(holdings, struct wire_rows, WIRE_ROWS, NULL, &holding_row_schema)          \
	K(operations, struct wire_rows, WIRE_ROWS, NULL, &operation_row_schema)      \
	K(tallies, struct wire_rows, WIRE_ROWS, NULL, &tally_row_schema)             \
	K(indexes, struct wire_rows, WIRE_ROWS, NULL, &index_row_schema)             \
	K(jobs, struct wire_rows, WIRE_ROWS, NULL, &work_row_schema)                 \
	K(failures, struct wire_rows, WIRE_ROWS, NULL, &failure_row_schema)          \
	K(copies, struct wire_rows, WIRE_ROWS, NULL, &copy_row_schema)               \
	K(findings, struct wire_rows, WIRE_ROWS, NULL, &finding_row_schema)          \
	K(files, struct wire_rows, WIRE_ROWS, NULL, &file_row_schema)

/* Rows: structs inside results and errors. --------------------------------------------------- */

#define WIRE_ROW_LIST(R) \
	R(collection)    \
	R(budget)        \
	R(cache)         \
	R(memory)        \
	R(pressure)      \
	R(lane)          \
	R(usage)         \
	R(holding)       \
	R(operation) R(tally) R(index) R(work) R(failure) R(copy) R(finding) R(file) R(error)

#define ROW_collection(F, X)                     \
	F(X, str, name, REQUIRED, 0, 0, 0)       \
	F(X, str, uuid, REQUIRED, 0, 0, 0)       \
	F(X, u32, dim, REQUIRED, 0, 0, 0)        \
	F(X, metric, metric, REQUIRED, 0, 0, 0)  \
	F(X, dtype, dtype, REQUIRED, 0, 0, 0)    \
	F(X, str, space, REQUIRED, 0, 0, 0)      \
	F(X, u64, created_ms, REQUIRED, 0, 0, 0) \
	F(X, bool, bulk, REQUIRED, 0, 0, 0)

#define ROW_budget(F, X)                                  \
	F(X, u64, limit_bytes, REQUIRED, 0, 0, 0)         \
	F(X, u64, used_bytes, REQUIRED, 0, 0, 0)          \
	F(X, u64, peak_bytes, REQUIRED, 0, 0, 0)          \
	F(X, u64, record_tables_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, graphs_bytes, REQUIRED, 0, 0, 0)        \
	F(X, u64, vectors_bytes, REQUIRED, 0, 0, 0)       \
	F(X, u64, marks_bytes, REQUIRED, 0, 0, 0)         \
	F(X, u64, spilled_bytes, REQUIRED, 0, 0, 0)       \
	F(X, u64, dirty_bytes, REQUIRED, 0, 0, 0)         \
	F(X, u64, refused, REQUIRED, 0, 0, 0)

/* Of what is kept in memory and can be loaded again. */
#define ROW_cache(F, X)                          \
	F(X, str, backend, REQUIRED, 0, 0, 0)    \
	F(X, u64, entries, REQUIRED, 0, 0, 0)    \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, hits, REQUIRED, 0, 0, 0)       \
	F(X, u64, misses, REQUIRED, 0, 0, 0)     \
	F(X, u64, loads, REQUIRED, 0, 0, 0)      \
	F(X, u64, joined, REQUIRED, 0, 0, 0)     \
	F(X, u64, failures, REQUIRED, 0, 0, 0)   \
	F(X, u64, evictions, REQUIRED, 0, 0, 0)

#define ROW_memory(F, X)                             \
	F(X, u64, rss_anon_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, rss_file_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, pss_bytes, REQUIRED, 0, 0, 0)      \
	F(X, u64, swap_bytes, REQUIRED, 0, 0, 0)     \
	F(X, u64, inflight_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, inflight_limit_bytes, REQUIRED, 0, 0, 0)

/* Whether the machine is short of memory, and what that did. */
#define ROW_pressure(F, X)                     \
	F(X, str, watched, REQUIRED, 0, 0, 0)  \
	F(X, bool, pressed, REQUIRED, 0, 0, 0) \
	F(X, u64, times, REQUIRED, 0, 0, 0)    \
	F(X, u64, words, REQUIRED, 0, 0, 0)    \
	F(X, u64, freed_bytes, REQUIRED, 0, 0, 0)

#define ROW_lane(F, X)                        \
	F(X, str, name, REQUIRED, 0, 0, 0)    \
	F(X, u32, threads, REQUIRED, 0, 0, 0) \
	F(X, u32, queued, REQUIRED, 0, 0, 0)  \
	F(X, u32, running, REQUIRED, 0, 0, 0) \
	F(X, u64, done, REQUIRED, 0, 0, 0)

#define ROW_usage(F, X)                             \
	F(X, str, name, REQUIRED, 0, 0, 0)          \
	F(X, bool, open, REQUIRED, 0, 0, 0)         \
	F(X, u64, records, REQUIRED, 0, 0, 0)       \
	F(X, u64, rows, REQUIRED, 0, 0, 0)          \
	F(X, u64, resident_rows, REQUIRED, 0, 0, 0) \
	F(X, u64, mapped_rows, REQUIRED, 0, 0, 0)   \
	F(X, u64, table_bytes, REQUIRED, 0, 0, 0)   \
	F(X, u64, wal_bytes, REQUIRED, 0, 0, 0)     \
	F(X, u64, searches, REQUIRED, 0, 0, 0)      \
	F(X, u64, comparisons, REQUIRED, 0, 0, 0)   \
	F(X, u64, writes, REQUIRED, 0, 0, 0)        \
	F(X, u64, groups, REQUIRED, 0, 0, 0)

/* What an index holds in memory, and how it came there. */
#define ROW_holding(F, X)                           \
	F(X, str, collection, REQUIRED, 0, 0, 0)    \
	F(X, str, index, REQUIRED, 0, 0, 0)         \
	F(X, index_state, state, REQUIRED, 0, 0, 0) \
	F(X, u64, generation, REQUIRED, 0, 0, 0)    \
	F(X, u64, nodes, REQUIRED, 0, 0, 0)         \
	F(X, u32, dim, REQUIRED, 0, 0, 0)           \
	F(X, u64, pending, REQUIRED, 0, 0, 0)       \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0)    \
	F(X, bool, mapped, REQUIRED, 0, 0, 0)       \
	F(X, u64, hits, REQUIRED, 0, 0, 0)          \
	F(X, u64, misses, REQUIRED, 0, 0, 0)        \
	F(X, u64, loads, REQUIRED, 0, 0, 0)         \
	F(X, u64, evictions, REQUIRED, 0, 0, 0)     \
	F(X, u64, comparisons, REQUIRED, 0, 0, 0)

/* What requests of one method changed of the budget. */
#define ROW_operation(F, X)                        \
	F(X, str, method, REQUIRED, 0, 0, 0)       \
	F(X, u64, requests, REQUIRED, 0, 0, 0)     \
	F(X, u64, grown_bytes, REQUIRED, 0, 0, 0)  \
	F(X, u64, shrunk_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, most_bytes, REQUIRED, 0, 0, 0)

/* Searches that were answered alike. */
#define ROW_tally(F, X)                              \
	F(X, str, collection, REQUIRED, 0, 0, 0)     \
	F(X, str, index, REQUIRED, 0, 0, 0)          \
	F(X, mode, mode, REQUIRED, 0, 0, 0)          \
	F(X, bool, fell_back, REQUIRED, 0, 0, 0)     \
	F(X, source, served_from, REQUIRED, 0, 0, 0) \
	F(X, bool, pending, REQUIRED, 0, 0, 0)       \
	F(X, u64, searches, REQUIRED, 0, 0, 0)       \
	F(X, u64, comparisons, REQUIRED, 0, 0, 0)    \
	F(X, u64, scanned, REQUIRED, 0, 0, 0)

/* What is declared of an index, and how it is served. */
#define ROW_index(F, X)                                     \
	F(X, str, name, REQUIRED, 0, 0, 0)                  \
	F(X, index_kind, kind, REQUIRED, 0, 0, 0)           \
	F(X, u32, m, REQUIRED, 0, 0, 0)                     \
	F(X, u32, ef_construction, REQUIRED, 0, 0, 0)       \
	F(X, u32, ef_search, REQUIRED, 0, 0, 0)             \
	F(X, u32, ef_95, REQUIRED, 0, 0, 0)                 \
	F(X, u32, ef_99, REQUIRED, 0, 0, 0)                 \
	F(X, u32, ef_999, REQUIRED, 0, 0, 0)                \
	F(X, quantization, quantization, REQUIRED, 0, 0, 0) \
	F(X, index_state, state, REQUIRED, 0, 0, 0)         \
	F(X, u64, generation, REQUIRED, 0, 0, 0)            \
	F(X, u64, nodes, REQUIRED, 0, 0, 0)                 \
	F(X, u64, dead, REQUIRED, 0, 0, 0)                  \
	F(X, u64, pending, REQUIRED, 0, 0, 0)               \
	F(X, f64, coverage, REQUIRED, 0, 0, 0)              \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0)            \
	F(X, bool, mapped, REQUIRED, 0, 0, 0)               \
	F(X, u64, saved_nodes, REQUIRED, 0, 0, 0)           \
	F(X, u64, searches, REQUIRED, 0, 0, 0)              \
	F(X, u64, comparisons, REQUIRED, 0, 0, 0)           \
	F(X, u64, builds, REQUIRED, 0, 0, 0)                \
	F(X, u64, rebuilds, REQUIRED, 0, 0, 0)              \
	F(X, u64, hits, REQUIRED, 0, 0, 0)                  \
	F(X, u64, misses, REQUIRED, 0, 0, 0)                \
	F(X, u64, loads, REQUIRED, 0, 0, 0)                 \
	F(X, u64, evictions, REQUIRED, 0, 0, 0)             \
	F(X, str, error, REQUIRED, 0, 0, 0)

/* A job on an index. */
#define ROW_work(F, X)                           \
	F(X, u64, job, REQUIRED, 0, 0, 0)        \
	F(X, str, collection, REQUIRED, 0, 0, 0) \
	F(X, str, index, REQUIRED, 0, 0, 0)      \
	F(X, str, phase, REQUIRED, 0, 0, 0)      \
	F(X, u64, done, REQUIRED, 0, 0, 0)       \
	F(X, u64, total, REQUIRED, 0, 0, 0)      \
	F(X, f64, eta_s, REQUIRED, 0, 0, 0)      \
	F(X, u32, waiting, REQUIRED, 0, 0, 0)

/* What went wrong in the daemon, and how often. */
#define ROW_failure(F, X)                      \
	F(X, u64, first_ms, REQUIRED, 0, 0, 0) \
	F(X, u64, last_ms, REQUIRED, 0, 0, 0)  \
	F(X, u64, count, REQUIRED, 0, 0, 0)    \
	F(X, bool, warning, REQUIRED, 0, 0, 0) \
	F(X, str, where, REQUIRED, 0, 0, 0)    \
	F(X, str, what, REQUIRED, 0, 0, 0)

/* A collection in a backup. */
#define ROW_copy(F, X)                        \
	F(X, str, name, REQUIRED, 0, 0, 0)    \
	F(X, u64, records, REQUIRED, 0, 0, 0) \
	F(X, u64, seq, REQUIRED, 0, 0, 0)     \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0)

/* Something wrong with a file. */
#define ROW_finding(F, X)                      \
	F(X, str, file, REQUIRED, 0, 0, 0)     \
	F(X, bool, derived, REQUIRED, 0, 0, 0) \
	F(X, str, what, REQUIRED, 0, 0, 0)

#define ROW_file(F, X)                           \
	F(X, str, collection, REQUIRED, 0, 0, 0) \
	F(X, str, path, REQUIRED, 0, 0, 0)       \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0) \
	F(X, u64, live_bytes, REQUIRED, 0, 0, 0)

/* What an error response carries; see errors.h. */
#define ROW_error(F, X)                       \
	F(X, str, code, REQUIRED, 0, 0, 0)    \
	F(X, str, message, REQUIRED, 0, 0, 0) \
	F(X, str, field, OPTIONAL, 0, 0, 0)   \
	F(X, u64, row, OPTIONAL, 0, 0, WIRE_ERROR_NO_ROW)

/* Methods. ------------------------------------------------------------------------------------ */

#define WIRE_METHODS(M)        \
	M(hello)               \
	M(ping)                \
	M(limits)              \
	M(subscribe)           \
	M(create_collection)   \
	M(list_collections)    \
	M(describe_collection) \
	M(rename_collection)   \
	M(set_bulk)            \
	M(drop_collection)     \
	M(upsert)              \
	M(update)              \
	M(get)                 \
	M(delete)              \
	M(scan)                \
	M(count)               \
	M(search)              \
	M(ensure_index)        \
	M(list_indexes)        \
	M(drop_index)          \
	M(optimize)            \
	M(jobs)                \
	M(cancel_job)          \
	M(warm)                \
	M(evict)               \
	M(stats)               \
	M(errors)              \
	M(checkpoint)          \
	M(backup)              \
	M(restore)             \
	M(verify)              \
	M(repair)              \
	M(disk_usage)

#define PARAMS_hello(F, X)                              \
	F(X, u32, protocol, REQUIRED, 1, UINT32_MAX, 0) \
	F(X, name, client, REQUIRED, 1, LIMIT_NAME_BYTES, 0)
#define RESULT_hello(F, X)                     \
	F(X, u32, protocol, REQUIRED, 0, 0, 0) \
	F(X, str, server, REQUIRED, 0, 0, 0)   \
	F(X, u64, pid, REQUIRED, 0, 0, 0)

#define PARAMS_ping(F, X)
#define RESULT_ping(F, X)

#define PARAMS_limits(F, X)
/* Each limit is a field of the answer. */
#define LIMIT_FIELD(F, X, NAME, name, value, why) F(X, u64, name, REQUIRED, 0, 0, 0)
#define RESULT_limits(F, X) LIMITS(LIMIT_FIELD, F, X)

#define PARAMS_subscribe(F, X) F(X, topics, topics, REQUIRED, 0, 0, 0)
#define RESULT_subscribe(F, X) F(X, topics, topics, REQUIRED, 0, 0, 0)

/* What the vectors of a request and of its answer are. */
#define DTYPE_FIELD(F, X) F(X, dtype, dtype, OPTIONAL, 0, 0, WIRE_dtype_f32)

#define COLLECTION_FIELD(F, X) F(X, name, collection, REQUIRED, 1, LIMIT_NAME_BYTES, 0)

#define PARAMS_create_collection(F, X)                       \
	F(X, name, name, REQUIRED, 1, LIMIT_NAME_BYTES, 0)   \
	F(X, u32, dim, REQUIRED, 1, LIMIT_DIM, 0)            \
	F(X, metric, metric, REQUIRED, 0, 0, 0)              \
	DTYPE_FIELD(F, X)                                    \
	F(X, name, space, OPTIONAL, 0, LIMIT_SPACE_BYTES, 0) \
	F(X, bool, exist_ok, OPTIONAL, 0, 0, false)          \
	F(X, bool, bulk, OPTIONAL, 0, 0, false)
#define RESULT_create_collection(F, X)     \
	F(X, str, uuid, REQUIRED, 0, 0, 0) \
	F(X, bool, created, REQUIRED, 0, 0, 0)

#define PARAMS_list_collections(F, X)
#define RESULT_list_collections(F, X) F(X, collections, collections, REQUIRED, 0, 0, 0)

#define PARAMS_describe_collection(F, X) COLLECTION_FIELD(F, X)
#define RESULT_describe_collection(F, X)                \
	F(X, collection, collection, REQUIRED, 0, 0, 0) \
	F(X, u64, records, REQUIRED, 0, 0, 0)           \
	F(X, u64, rows, REQUIRED, 0, 0, 0)              \
	F(X, u64, seq, REQUIRED, 0, 0, 0)               \
	F(X, u32, namespaces, REQUIRED, 0, 0, 0)        \
	F(X, source, vectors, REQUIRED, 0, 0, 0)

#define PARAMS_rename_collection(F, X) \
	COLLECTION_FIELD(F, X)         \
	F(X, name, name, REQUIRED, 1, LIMIT_NAME_BYTES, 0)
#define RESULT_rename_collection(F, X)

#define PARAMS_set_bulk(F, X)  \
	COLLECTION_FIELD(F, X) \
	F(X, bool, bulk, REQUIRED, 0, 0, false)
#define RESULT_set_bulk(F, X) F(X, bool, changed, REQUIRED, 0, 0, 0)

#define PARAMS_drop_collection(F, X) \
	COLLECTION_FIELD(F, X)       \
	F(X, bool, missing_ok, OPTIONAL, 0, 0, false)
#define RESULT_drop_collection(F, X) F(X, bool, dropped, REQUIRED, 0, 0, 0)

#define PARAMS_upsert(F, X)                                         \
	COLLECTION_FIELD(F, X)                                      \
	F(X, name, space, OPTIONAL, 0, LIMIT_SPACE_BYTES, 0)        \
	F(X, str, namespace, OPTIONAL, 0, LIMIT_NAMESPACE_BYTES, 0) \
	F(X, ids, ids, REQUIRED, 1, LIMIT_BATCH_ROWS, 0)            \
	F(X, bin, vectors, REQUIRED, 2, LIMIT_FRAME_BYTES, 0)       \
	DTYPE_FIELD(F, X)                                           \
	F(X, texts, texts, OPTIONAL, 1, LIMIT_BATCH_ROWS, 0)        \
	F(X, metas, metas, OPTIONAL, 1, LIMIT_BATCH_ROWS, 0)
#define RESULT_upsert(F, X)                    \
	F(X, u64, seq, REQUIRED, 0, 0, 0)      \
	F(X, u32, inserted, REQUIRED, 0, 0, 0) \
	F(X, u32, replaced, REQUIRED, 0, 0, 0) \
	F(X, u32, touched, REQUIRED, 0, 0, 0)  \
	F(X, u32, unchanged, REQUIRED, 0, 0, 0)

#define PARAMS_update(F, X)                                         \
	COLLECTION_FIELD(F, X)                                      \
	F(X, str, namespace, OPTIONAL, 0, LIMIT_NAMESPACE_BYTES, 0) \
	F(X, ids, ids, REQUIRED, 1, LIMIT_BATCH_ROWS, 0)            \
	F(X, texts, texts, OPTIONAL, 1, LIMIT_BATCH_ROWS, 0)        \
	F(X, metas, metas, OPTIONAL, 1, LIMIT_BATCH_ROWS, 0)
#define RESULT_update(F, X)                     \
	F(X, u64, seq, REQUIRED, 0, 0, 0)       \
	F(X, u32, replaced, REQUIRED, 0, 0, 0)  \
	F(X, u32, touched, REQUIRED, 0, 0, 0)   \
	F(X, u32, unchanged, REQUIRED, 0, 0, 0) \
	F(X, u32s, missing, REQUIRED, 0, 0, 0)

#define PARAMS_get(F, X)                                               \
	COLLECTION_FIELD(F, X)                                         \
	F(X, ids, ids, REQUIRED, 1, LIMIT_BATCH_ROWS, 0)               \
	F(X, includes, include, OPTIONAL, 0, 0, WIRE_INCLUDES_DEFAULT) \
	DTYPE_FIELD(F, X)
#define RESULT_get(F, X)                           \
	F(X, u32s, positions, REQUIRED, 0, 0, 0)   \
	F(X, bin, vectors, OPTIONAL, 0, 0, 0)      \
	F(X, texts, texts, OPTIONAL, 0, 0, 0)      \
	F(X, metas, metas, OPTIONAL, 0, 0, 0)      \
	F(X, texts, namespaces, OPTIONAL, 0, 0, 0) \
	F(X, u64, seq, REQUIRED, 0, 0, 0)

#define PARAMS_delete(F, X)    \
	COLLECTION_FIELD(F, X) \
	F(X, ids, ids, REQUIRED, 1, LIMIT_BATCH_ROWS, 0)
#define RESULT_delete(F, X)                   \
	F(X, u64, seq, REQUIRED, 0, 0, 0)     \
	F(X, u32, deleted, REQUIRED, 0, 0, 0) \
	F(X, u32s, missing, REQUIRED, 0, 0, 0)

#define PARAMS_scan(F, X)                                              \
	COLLECTION_FIELD(F, X)                                         \
	F(X, str, namespace, OPTIONAL, 0, LIMIT_NAMESPACE_BYTES, 0)    \
	F(X, u64, cursor, OPTIONAL, 0, INT64_MAX, 0)                   \
	F(X, u32, limit, OPTIONAL, 1, LIMIT_SCAN_ROWS, 1000)           \
	F(X, includes, include, OPTIONAL, 0, 0, WIRE_INCLUDES_DEFAULT) \
	DTYPE_FIELD(F, X)
#define RESULT_scan(F, X)                          \
	F(X, ids, ids, REQUIRED, 0, 0, 0)          \
	F(X, bin, vectors, OPTIONAL, 0, 0, 0)      \
	F(X, texts, texts, OPTIONAL, 0, 0, 0)      \
	F(X, metas, metas, OPTIONAL, 0, 0, 0)      \
	F(X, texts, namespaces, OPTIONAL, 0, 0, 0) \
	F(X, u64, cursor, REQUIRED, 0, 0, 0)       \
	F(X, bool, done, REQUIRED, 0, 0, 0)        \
	F(X, u64, seq, REQUIRED, 0, 0, 0)

#define PARAMS_count(F, X)     \
	COLLECTION_FIELD(F, X) \
	F(X, str, namespace, OPTIONAL, 0, LIMIT_NAMESPACE_BYTES, 0)
#define RESULT_count(F, X)                  \
	F(X, u64, count, REQUIRED, 0, 0, 0) \
	F(X, u64, seq, REQUIRED, 0, 0, 0)

#define PARAMS_search(F, X)                                         \
	COLLECTION_FIELD(F, X)                                      \
	F(X, name, space, OPTIONAL, 0, LIMIT_SPACE_BYTES, 0)        \
	F(X, str, namespace, OPTIONAL, 0, LIMIT_NAMESPACE_BYTES, 0) \
	F(X, bin, vectors, REQUIRED, 2, LIMIT_FRAME_BYTES, 0)       \
	DTYPE_FIELD(F, X)                                           \
	F(X, u32, k, OPTIONAL, 1, LIMIT_K, 10)                      \
	F(X, u32, ef_search, OPTIONAL, 0, LIMIT_INDEX_EF, 0)        \
	F(X, f64, target_recall, OPTIONAL, 0, 0, 0)                 \
	F(X, bool, exact, OPTIONAL, 0, 0, false)                    \
	F(X, includes, include, OPTIONAL, 0, 0, 0)
#define RESULT_search(F, X)                          \
	F(X, u32s, counts, REQUIRED, 0, 0, 0)        \
	F(X, ids, ids, REQUIRED, 0, 0, 0)            \
	F(X, bin, distances, REQUIRED, 0, 0, 0)      \
	F(X, bin, vectors, OPTIONAL, 0, 0, 0)        \
	F(X, texts, texts, OPTIONAL, 0, 0, 0)        \
	F(X, metas, metas, OPTIONAL, 0, 0, 0)        \
	F(X, texts, namespaces, OPTIONAL, 0, 0, 0)   \
	F(X, mode, mode, REQUIRED, 0, 0, 0)          \
	F(X, f64, coverage, REQUIRED, 0, 0, 0)       \
	F(X, u64, generation, REQUIRED, 0, 0, 0)     \
	F(X, u64, comparisons, REQUIRED, 0, 0, 0)    \
	F(X, u64, scanned, REQUIRED, 0, 0, 0)        \
	F(X, u32, ef_search, REQUIRED, 0, 0, 0)      \
	F(X, bool, cached, REQUIRED, 0, 0, 0)        \
	F(X, bool, bulk, REQUIRED, 0, 0, 0)          \
	F(X, source, served_from, REQUIRED, 0, 0, 0) \
	F(X, u64, seq, REQUIRED, 0, 0, 0)            \
	F(X, u64, time_us, REQUIRED, 0, 0, 0)

#define INDEX_FIELD(F, X) F(X, name, index, OPTIONAL, 1, LIMIT_INDEX_NAME_BYTES, 0)

#define PARAMS_ensure_index(F, X)                                               \
	COLLECTION_FIELD(F, X)                                                  \
	INDEX_FIELD(F, X)                                                       \
	F(X, index_kind, kind, OPTIONAL, 0, 0, WIRE_index_kind_hnsw)            \
	F(X, u32, m, OPTIONAL, 2, LIMIT_INDEX_M, 16)                            \
	F(X, u32, ef_construction, OPTIONAL, 4, LIMIT_INDEX_EF, 128)            \
	F(X, u32, ef_search, OPTIONAL, 1, LIMIT_INDEX_EF, 64)                   \
	F(X, quantization, quantization, OPTIONAL, 0, 0, WIRE_quantization_sq8) \
	F(X, bool, wait, OPTIONAL, 0, 0, false)                                 \
	F(X, bool, replace, OPTIONAL, 0, 0, false)
#define RESULT_ensure_index(F, X)                 \
	F(X, ensured, outcome, REQUIRED, 0, 0, 0) \
	F(X, u64, job, REQUIRED, 0, 0, 0)         \
	F(X, u64, generation, REQUIRED, 0, 0, 0)  \
	F(X, f64, coverage, REQUIRED, 0, 0, 0)

#define PARAMS_list_indexes(F, X) COLLECTION_FIELD(F, X)
#define RESULT_list_indexes(F, X) F(X, indexes, indexes, REQUIRED, 0, 0, 0)

#define PARAMS_drop_index(F, X) \
	COLLECTION_FIELD(F, X)  \
	INDEX_FIELD(F, X)       \
	F(X, bool, missing_ok, OPTIONAL, 0, 0, false)
#define RESULT_drop_index(F, X) F(X, bool, dropped, REQUIRED, 0, 0, 0)

#define PARAMS_optimize(F, X)  \
	COLLECTION_FIELD(F, X) \
	INDEX_FIELD(F, X)
#define RESULT_optimize(F, X)                  \
	F(X, u64, inserted, REQUIRED, 0, 0, 0) \
	F(X, f64, coverage, REQUIRED, 0, 0, 0) \
	F(X, bool, saved, REQUIRED, 0, 0, 0)

#define PARAMS_jobs(F, X)
#define RESULT_jobs(F, X) F(X, jobs, jobs, REQUIRED, 0, 0, 0)

#define PARAMS_cancel_job(F, X) F(X, u64, job, REQUIRED, 1, INT64_MAX, 0)
#define RESULT_cancel_job(F, X) F(X, bool, cancelled, REQUIRED, 0, 0, 0)

#define PARAMS_warm(F, X)      \
	COLLECTION_FIELD(F, X) \
	INDEX_FIELD(F, X)
#define RESULT_warm(F, X)                         \
	F(X, bool, was_cached, REQUIRED, 0, 0, 0) \
	F(X, u64, size_bytes, REQUIRED, 0, 0, 0)

#define PARAMS_evict(F, X)     \
	COLLECTION_FIELD(F, X) \
	INDEX_FIELD(F, X)
#define RESULT_evict(F, X)                        \
	F(X, bool, was_cached, REQUIRED, 0, 0, 0) \
	F(X, u64, freed_bytes, REQUIRED, 0, 0, 0)

#define PARAMS_stats(F, X)
#define RESULT_stats(F, X)                              \
	F(X, str, version, REQUIRED, 0, 0, 0)           \
	F(X, u64, pid, REQUIRED, 0, 0, 0)               \
	F(X, u64, uptime_ms, REQUIRED, 0, 0, 0)         \
	F(X, u32, connections, REQUIRED, 0, 0, 0)       \
	F(X, u64, requests, REQUIRED, 0, 0, 0)          \
	F(X, u64, errors, REQUIRED, 0, 0, 0)            \
	F(X, budget, budget, REQUIRED, 0, 0, 0)         \
	F(X, cache, cache, REQUIRED, 0, 0, 0)           \
	F(X, memory, memory, REQUIRED, 0, 0, 0)         \
	F(X, pressure, pressure, REQUIRED, 0, 0, 0)     \
	F(X, lanes, lanes, REQUIRED, 0, 0, 0)           \
	F(X, usages, collections, REQUIRED, 0, 0, 0)    \
	F(X, holdings, indexes, REQUIRED, 0, 0, 0)      \
	F(X, operations, operations, REQUIRED, 0, 0, 0) \
	F(X, tallies, searches, REQUIRED, 0, 0, 0)

#define PARAMS_errors(F, X)
#define RESULT_errors(F, X) F(X, failures, failures, REQUIRED, 0, 0, 0)

#define PARAMS_checkpoint(F, X) COLLECTION_FIELD(F, X)
#define RESULT_checkpoint(F, X) F(X, u64, wal_bytes, REQUIRED, 0, 0, 0)

/* A collection that may be left out: all of them. */
#define SOME_COLLECTION_FIELD(F, X) F(X, name, collection, OPTIONAL, 1, LIMIT_NAME_BYTES, 0)
#define DIRECTORY_FIELD(F, X) F(X, name, directory, REQUIRED, 1, LIMIT_PATH_BYTES, 0)

#define PARAMS_backup(F, X)   \
	DIRECTORY_FIELD(F, X) \
	SOME_COLLECTION_FIELD(F, X)
#define RESULT_backup(F, X) F(X, copies, collections, REQUIRED, 0, 0, 0)

#define PARAMS_restore(F, X)  \
	DIRECTORY_FIELD(F, X) \
	SOME_COLLECTION_FIELD(F, X)
#define RESULT_restore(F, X) F(X, copies, collections, REQUIRED, 0, 0, 0)

#define PARAMS_verify(F, X) COLLECTION_FIELD(F, X)
#define RESULT_verify(F, X)                   \
	F(X, u64, records, REQUIRED, 0, 0, 0) \
	F(X, findings, findings, REQUIRED, 0, 0, 0)

#define PARAMS_repair(F, X)    \
	COLLECTION_FIELD(F, X) \
	F(X, name, name, REQUIRED, 1, LIMIT_NAME_BYTES, 0)
#define RESULT_repair(F, X)                   \
	F(X, u64, records, REQUIRED, 0, 0, 0) \
	F(X, u64, partial, REQUIRED, 0, 0, 0) \
	F(X, u64, lost, REQUIRED, 0, 0, 0)

#define PARAMS_disk_usage(F, X)
#define RESULT_disk_usage(F, X) F(X, files, files, REQUIRED, 0, 0, 0)

/* Events. ------------------------------------------------------------------------------------- */

#define WIRE_EVENTS(E) E(change) E(job)

#define EVENT_change(F, X)                       \
	F(X, change, what, REQUIRED, 0, 0, 0)    \
	F(X, str, collection, REQUIRED, 0, 0, 0) \
	F(X, str, uuid, REQUIRED, 0, 0, 0)       \
	F(X, u64, seq, REQUIRED, 0, 0, 0)

#define EVENT_job(F, X)                          \
	F(X, u64, job, REQUIRED, 0, 0, 0)        \
	F(X, str, collection, REQUIRED, 0, 0, 0) \
	F(X, str, index, REQUIRED, 0, 0, 0)      \
	F(X, str, phase, REQUIRED, 0, 0, 0)      \
	F(X, u64, done, REQUIRED, 0, 0, 0)       \
	F(X, u64, total, REQUIRED, 0, 0, 0)      \
	F(X, f64, eta_s, REQUIRED, 0, 0, 0)

/* What `get` and `scan` include when they are not told. */
#define WIRE_INCLUDES_DEFAULT \
	((1u << WIRE_include_texts) | (1u << WIRE_include_metas) | (1u << WIRE_include_namespaces))

/* Expansions. --------------------------------------------------------------------------------- */

/* enum wire_metric { WIRE_metric_l2, ... WIRE_N_metric }, in the order of the lists above. */
#define WIRE_CHOICE_CONSTANT(choice, c) WIRE_##choice##_##c,
#define WIRE_CHOICE_ENUM(choice, list) \
	enum wire_##choice{list(WIRE_CHOICE_CONSTANT, choice) WIRE_N_##choice};
WIRE_CHOICE_LISTS(WIRE_CHOICE_ENUM)
#undef WIRE_CHOICE_ENUM
#undef WIRE_CHOICE_CONSTANT

/* wire_type_u32, ...: the C type of each kind. */
#define WIRE_KIND_TYPE(kind, type, base, names, schema) typedef type wire_type_##kind;
WIRE_KINDS(WIRE_KIND_TYPE)
#undef WIRE_KIND_TYPE

/* struct collection_row, struct search_params, struct search_result, struct change_event, ... A
 * struct without fields keeps one byte, since C has no empty ones. */
#define WIRE_MEMBER(X, kind, name, need, min, max, def) wire_type_##kind name;
#define WIRE_ROW_STRUCT(row)             \
	struct row##_row {               \
		ROW_##row(WIRE_MEMBER, ) \
	};                               \
	extern const struct wire_schema row##_row_schema;
WIRE_ROW_LIST(WIRE_ROW_STRUCT)
#define WIRE_METHOD_STRUCTS(method)                      \
	struct method##_params {                         \
		PARAMS_##method(WIRE_MEMBER, ) char end; \
	};                                               \
	struct method##_result {                         \
		RESULT_##method(WIRE_MEMBER, ) char end; \
	};
WIRE_METHODS(WIRE_METHOD_STRUCTS)
#define WIRE_EVENT_STRUCT(event)             \
	struct event##_event {               \
		EVENT_##event(WIRE_MEMBER, ) \
	};
WIRE_EVENTS(WIRE_EVENT_STRUCT)
#undef WIRE_EVENT_STRUCT
#undef WIRE_METHOD_STRUCTS
#undef WIRE_ROW_STRUCT
#undef WIRE_MEMBER

#define WIRE_METHOD_CONSTANT(method) WIRE_METHOD_##method,
enum wire_method_idx {
	WIRE_METHODS(WIRE_METHOD_CONSTANT) WIRE_N_METHODS
};
#undef WIRE_METHOD_CONSTANT
#define WIRE_EVENT_CONSTANT(event) WIRE_EVENT_##event,
enum wire_event_idx {
	WIRE_EVENTS(WIRE_EVENT_CONSTANT) WIRE_N_EVENTS
};
#undef WIRE_EVENT_CONSTANT

struct wire_method {
	const char *name;
	struct wire_schema params;
	struct wire_schema result;
};

struct wire_event {
	const char *name;
	struct wire_schema fields;
};

extern const struct wire_method wire_methods[WIRE_N_METHODS];
extern const struct wire_event wire_events[WIRE_N_EVENTS];

/* The row of that name, or -1. */
int wire_method_find(struct wire_str name);
int wire_event_find(struct wire_str name);
