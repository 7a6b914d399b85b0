/* SPDX-License-Identifier: Apache-2.0 */

/* C++ reserves the word, so kith.h says namespace_. */
#define namespace_ namespace
#include "client/kith.h"
#include "client/mirror.h"
#include "protocol/errors.h"
#include "protocol/message.h"
#include "protocol/methods.h"

#define SAME(public, wire, member)                                                         \
	_Static_assert(offsetof(struct public, member) == offsetof(struct wire, member) && \
	                       sizeof(((struct public *)0)->member) ==                     \
	                               sizeof(((struct wire *)0)->member),                 \
	               #public "." #member " is not where the wire has it");

/* Values. */
#define SAME_SIZE(public, wire) \
	_Static_assert(sizeof(struct public) == sizeof(struct wire), #public " is not " #wire)
#define SAME_COLUMN(public, wire) \
	SAME_SIZE(public, wire);  \
	SAME(public, wire, v)     \
	SAME(public, wire, n)
SAME_SIZE(kith_str, wire_str);
SAME(kith_str, wire_str, data)
SAME(kith_str, wire_str, n)
SAME_SIZE(kith_id, wire_id);
SAME(kith_id, wire_id, text)
SAME(kith_id, wire_id, n)
SAME(kith_id, wire_id, number)
SAME_COLUMN(kith_ids, wire_ids)
SAME_COLUMN(kith_texts, wire_texts)
SAME_COLUMN(kith_metas, wire_metas)
SAME_COLUMN(kith_u32s, wire_u32s)
SAME_COLUMN(kith_collections, wire_rows)
SAME_COLUMN(kith_lanes, wire_rows)
SAME_COLUMN(kith_usages, wire_rows)
SAME_COLUMN(kith_holdings, wire_rows)
SAME_COLUMN(kith_operations, wire_rows)
SAME_COLUMN(kith_tallies, wire_rows)
SAME_COLUMN(kith_indexes, wire_rows)
SAME_COLUMN(kith_works, wire_rows)
SAME_COLUMN(kith_failures, wire_rows)
SAME_COLUMN(kith_copies, wire_rows)
SAME_COLUMN(kith_findings, wire_rows)
SAME_COLUMN(kith_files, wire_rows)
SAME_SIZE(kith_f32s, wire_bin);
_Static_assert(offsetof(struct kith_f32s, size_bytes) == offsetof(struct wire_bin, n),
               "kith_f32s is not wire_bin");
SAME_SIZE(kith_scalar, wire_scalar);
SAME(kith_scalar, wire_scalar, key)
SAME(kith_scalar, wire_scalar, kind)
SAME(kith_scalar, wire_scalar, integer)
SAME(kith_scalar, wire_scalar, real)
SAME(kith_scalar, wire_scalar, boolean)
SAME(kith_scalar, wire_scalar, text)
SAME_SIZE(kith_meta, wire_meta);
_Static_assert(offsetof(struct kith_meta, reserved) == offsetof(struct wire_meta, scalars) &&
                       offsetof(struct kith_meta, n_reserved) ==
                               offsetof(struct wire_meta, n_scalars),
               "kith_meta is not wire_meta");
_Static_assert(offsetof(struct kith_meta, size_bytes) ==
                       offsetof(struct wire_meta, blob) + offsetof(struct wire_bin, n),
               "kith_meta is not wire_meta");
_Static_assert((int)KITH_SCALAR_INT == WIRE_SCALAR_INT &&
                       (int)KITH_SCALAR_FLOAT == WIRE_SCALAR_FLOAT &&
                       (int)KITH_SCALAR_BOOL == WIRE_SCALAR_BOOL &&
                       (int)KITH_SCALAR_TEXT == WIRE_SCALAR_TEXT,
               "scalar kinds differ");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "vectors are little-endian on the wire and are handed over as they are");

/* Choices. */
#define SAME_CHOICE(CONSTANT, value) _Static_assert((int)(CONSTANT) == (int)(value), #CONSTANT)
SAME_CHOICE(KITH_METRIC_L2, WIRE_metric_l2);
SAME_CHOICE(KITH_METRIC_IP, WIRE_metric_ip);
SAME_CHOICE(KITH_METRIC_COSINE, WIRE_metric_cosine);
SAME_CHOICE(KITH_METRIC_COSINE + 1, WIRE_N_metric);
SAME_CHOICE(KITH_DTYPE_F32, WIRE_dtype_f32);
SAME_CHOICE(KITH_DTYPE_F16, WIRE_dtype_f16);
SAME_CHOICE(KITH_DTYPE_F16 + 1, WIRE_N_dtype);
SAME_CHOICE(KITH_INCLUDE_VECTORS, 1 << WIRE_include_vectors);
SAME_CHOICE(KITH_INCLUDE_TEXTS, 1 << WIRE_include_texts);
SAME_CHOICE(KITH_INCLUDE_METAS, 1 << WIRE_include_metas);
SAME_CHOICE(KITH_INCLUDE_NAMESPACES, 1 << WIRE_include_namespaces);
SAME_CHOICE(KITH_INCLUDE_NAMESPACES * 2, 1 << WIRE_N_include);
SAME_CHOICE(KITH_TOPIC_CHANGES, 1 << WIRE_topic_changes);
SAME_CHOICE(KITH_TOPIC_JOBS, 1 << WIRE_topic_jobs);
SAME_CHOICE(KITH_TOPIC_JOBS * 2, 1 << WIRE_N_topic);
SAME_CHOICE(KITH_MODE_EXACT, WIRE_mode_exact);
SAME_CHOICE(KITH_MODE_HNSW, WIRE_mode_hnsw);
SAME_CHOICE(KITH_MODE_HNSW + 1, WIRE_N_mode);
SAME_CHOICE(KITH_SOURCE_RESIDENT, WIRE_source_resident);
SAME_CHOICE(KITH_SOURCE_MAPPED, WIRE_source_mapped);
SAME_CHOICE(KITH_SOURCE_TRUTH, WIRE_source_truth);
SAME_CHOICE(KITH_SOURCE_TRUTH + 1, WIRE_N_source);
SAME_CHOICE(KITH_CHANGE_CREATED, WIRE_change_created);
SAME_CHOICE(KITH_CHANGE_RENAMED, WIRE_change_renamed);
SAME_CHOICE(KITH_CHANGE_DROPPED, WIRE_change_dropped);
SAME_CHOICE(KITH_CHANGE_WRITTEN, WIRE_change_written);
SAME_CHOICE(KITH_CHANGE_WRITTEN + 1, WIRE_N_change);
SAME_CHOICE(KITH_INDEX_KIND_HNSW, WIRE_index_kind_hnsw);
SAME_CHOICE(KITH_INDEX_KIND_HNSW + 1, WIRE_N_index_kind);
SAME_CHOICE(KITH_QUANTIZATION_SQ8, WIRE_quantization_sq8);
SAME_CHOICE(KITH_QUANTIZATION_NONE, WIRE_quantization_none);
SAME_CHOICE(KITH_QUANTIZATION_NONE + 1, WIRE_N_quantization);
SAME_CHOICE(KITH_INDEX_STATE_DECLARED, WIRE_index_state_declared);
SAME_CHOICE(KITH_INDEX_STATE_EVICTED, WIRE_index_state_evicted);
SAME_CHOICE(KITH_INDEX_STATE_LOADING, WIRE_index_state_loading);
SAME_CHOICE(KITH_INDEX_STATE_BUILDING, WIRE_index_state_building);
SAME_CHOICE(KITH_INDEX_STATE_SERVING, WIRE_index_state_serving);
SAME_CHOICE(KITH_INDEX_STATE_INSERTING, WIRE_index_state_inserting);
SAME_CHOICE(KITH_INDEX_STATE_SAVING, WIRE_index_state_saving);
SAME_CHOICE(KITH_INDEX_STATE_REPLACING, WIRE_index_state_replacing);
SAME_CHOICE(KITH_INDEX_STATE_REPLACING + 1, WIRE_N_index_state);
SAME_CHOICE(KITH_ENSURED_EXISTING, WIRE_ensured_existing);
SAME_CHOICE(KITH_ENSURED_BUILT, WIRE_ensured_built);
SAME_CHOICE(KITH_ENSURED_JOINED, WIRE_ensured_joined);
SAME_CHOICE(KITH_ENSURED_STARTED, WIRE_ensured_started);
SAME_CHOICE(KITH_ENSURED_STARTED + 1, WIRE_N_ensured);
SAME_CHOICE(KITH_EVENT_CHANGE, WIRE_EVENT_change);
SAME_CHOICE(KITH_EVENT_JOB, WIRE_EVENT_job);
SAME_CHOICE(KITH_EVENT_JOB + 1, WIRE_N_EVENTS);

/* Errors: 1 is KITH_ERROR_OTHER. */
#define SAME_ERROR(NAME, text, meaning) SAME_CHOICE(KITH_ERROR_##NAME, WIRE_ERROR_##NAME + 2);
WIRE_ERRORS(SAME_ERROR)

/* Rows, methods, events: each is in these lists or breaks here. hello and the row of errors are the
 * library's own business; methods without params or result have no struct. */
#define FIELD(X, kind, name, need, min, max, def) SAME(kith_##X, X, name)
#define ROW_FIELD(row, kind, name, need, min, max, def) SAME(kith_##row, row##_row, name)
#define SAME_ROW(row) ROW_##row(ROW_FIELD, row) SAME_SIZE(kith_##row, row##_row);
#define MIRROR_ROW_collection(row) SAME_ROW(row)
#define MIRROR_ROW_budget(row) SAME_ROW(row)
#define MIRROR_ROW_cache(row) SAME_ROW(row)
#define MIRROR_ROW_memory(row) SAME_ROW(row)
#define MIRROR_ROW_pressure(row) SAME_ROW(row)
#define MIRROR_ROW_lane(row) SAME_ROW(row)
#define MIRROR_ROW_usage(row) SAME_ROW(row)
#define MIRROR_ROW_holding(row) SAME_ROW(row)
#define MIRROR_ROW_operation(row) SAME_ROW(row)
#define MIRROR_ROW_tally(row) SAME_ROW(row)
#define MIRROR_ROW_index(row) SAME_ROW(row)
#define MIRROR_ROW_work(row) SAME_ROW(row)
#define MIRROR_ROW_failure(row) SAME_ROW(row)
#define MIRROR_ROW_copy(row) SAME_ROW(row)
#define MIRROR_ROW_finding(row) SAME_ROW(row)
#define MIRROR_ROW_file(row) SAME_ROW(row)
#define MIRROR_ROW_error(row)
#define MIRROR_ROW(row) MIRROR_ROW_##row(row)
WIRE_ROW_LIST(MIRROR_ROW)

#define SAME_PARAMS(method)                                                                     \
	PARAMS_##method(FIELD, method##_params) _Static_assert(                                 \
	        sizeof(struct kith_##method##_params) >= offsetof(struct method##_params, end), \
	        #method " reads beyond its params");
#define SAME_RESULT(method)                                                              \
	RESULT_##method(FIELD, method##_result) _Static_assert(                          \
	        sizeof(struct kith_##method##_result) <= sizeof(struct method##_result), \
	        #method " has too small a result");
#define SAME_METHOD(method) SAME_PARAMS(method) SAME_RESULT(method)

#define MIRROR_hello(method)
#define MIRROR_ping(method)
#define MIRROR_limits(method) SAME_RESULT(method)
#define MIRROR_subscribe(method)
#define MIRROR_create_collection(method) SAME_METHOD(method)
#define MIRROR_list_collections(method) SAME_RESULT(method)
#define MIRROR_describe_collection(method) SAME_METHOD(method)
#define MIRROR_rename_collection(method) SAME_PARAMS(method)
#define MIRROR_set_bulk(method) SAME_METHOD(method)
#define MIRROR_drop_collection(method) SAME_METHOD(method)
#define MIRROR_upsert(method) SAME_METHOD(method)
#define MIRROR_update(method) SAME_METHOD(method)
#define MIRROR_get(method) SAME_METHOD(method)
#define MIRROR_delete(method) SAME_METHOD(method)
#define MIRROR_scan(method) SAME_METHOD(method)
#define MIRROR_count(method) SAME_METHOD(method)
#define MIRROR_search(method) SAME_METHOD(method)
#define MIRROR_ensure_index(method) SAME_METHOD(method)
#define MIRROR_list_indexes(method) SAME_METHOD(method)
#define MIRROR_drop_index(method) SAME_METHOD(method)
#define MIRROR_optimize(method) SAME_METHOD(method)
#define MIRROR_jobs(method) SAME_RESULT(method)
#define MIRROR_cancel_job(method) SAME_METHOD(method)
#define MIRROR_warm(method) SAME_METHOD(method)
#define MIRROR_evict(method) SAME_METHOD(method)
#define MIRROR_stats(method) SAME_RESULT(method)
#define MIRROR_errors(method) SAME_RESULT(method)
#define MIRROR_checkpoint(method) SAME_METHOD(method)
#define MIRROR_backup(method) SAME_METHOD(method)
#define MIRROR_restore(method) SAME_METHOD(method)
#define MIRROR_verify(method) SAME_METHOD(method)
#define MIRROR_repair(method) SAME_METHOD(method)
#define MIRROR_disk_usage(method) SAME_RESULT(method)
#define MIRROR(method) MIRROR_##method(method)
WIRE_METHODS(MIRROR)

#define SAME_EVENT(event) \
	EVENT_##event(FIELD, event##_event) SAME_SIZE(kith_##event##_event, event##_event);
WIRE_EVENTS(SAME_EVENT)
