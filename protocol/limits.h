/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Every limit of the wire, once: L(F, X, NAME, name, value, why), where F and
 * X are whatever the expansion carries along. The constants LIMIT_<NAME>, the answer
 * of the `limits` method and the table in PROTOCOL.md come from here.
 */

#include <stdint.h>

#define LIMITS(L, F, X)                                                                         \
	L(F, X, FRAME_BYTES, frame_bytes, 16u << 20, "a frame's payload")                       \
	L(F, X, FRAME_DEPTH, frame_depth, 8, "nesting of a message; metadata lists need 5")     \
	L(F, X, FRAME_VALUES, frame_values, 1u << 19,                                           \
	  "values in a message, 24 bytes each once decoded")                                    \
	L(F, X, NAME_BYTES, name_bytes, 128, "a collection's name, a client's name")            \
	L(F, X, SPACE_BYTES, space_bytes, 128, "the label of an embedding space")               \
	L(F, X, NAMESPACE_BYTES, namespace_bytes, 256, "a namespace")                           \
	L(F, X, NAMESPACES, namespaces, 65536, "namespaces in a collection")                    \
	L(F, X, ID_BYTES, id_bytes, 512, "an id that is a string")                              \
	L(F, X, TEXT_BYTES, text_bytes, 1u << 20, "a record's text")                            \
	L(F, X, META_BYTES, meta_bytes, 64u << 10, "a record's metadata, encoded")              \
	L(F, X, META_SCALARS, meta_scalars, 1024,                                               \
	  "scalars in a record's metadata, lists counted out")                                  \
	L(F, X, META_KEY_BYTES, meta_key_bytes, 128, "a metadata key")                          \
	L(F, X, BATCH_ROWS, batch_rows, 16384, "records or ids in a request")                   \
	L(F, X, DIM, dim, 4096, "a collection's dimension")                                     \
	L(F, X, K, k, 10000, "neighbours of a query")                                           \
	L(F, X, QUERIES, queries, 1024, "query vectors in a search")                            \
	L(F, X, HITS, hits, 131072, "k times the query vectors of a search")                    \
	L(F, X, SCAN_ROWS, scan_rows, 10000, "records on a page of a scan")                     \
	L(F, X, COLLECTIONS, collections, 1024, "collections of a daemon")                      \
	L(F, X, INDEXES, indexes, 16, "indexes of a collection")                                \
	L(F, X, INDEX_NAME_BYTES, index_name_bytes, 64, "an index's name")                      \
	L(F, X, INDEX_M, index_m, 64, "links of a node of a graph")                             \
	L(F, X, INDEX_EF, index_ef, 4096, "candidates of a build or a search")                  \
	L(F, X, PATH_BYTES, path_bytes, 900, "the path of a directory")                         \
	L(F, X, CONNECTIONS, connections, 1024, "connections of a daemon")                      \
	L(F, X, PROCESS_CONNECTIONS, process_connections, 1000, "of them, of one process")      \
	L(F, X, SESSION_REQUESTS, session_requests, 256, "unanswered requests of a connection") \
	L(F, X, SESSION_BYTES, session_bytes, 32u << 20,                                        \
	  "bytes of them and of answers not read yet")                                          \
	L(F, X, GUEST_CONNECTIONS, guest_connections, 128,                                      \
	  "connections of each user that allow_uids names")                                     \
	L(F, X, GUEST_REQUESTS, guest_requests, 1024, "unanswered requests of all of those")    \
	L(F, X, GUEST_BYTES, guest_bytes, 16u << 20, "bytes of them")                           \
	L(F, X, DEADLINE_MS, deadline_ms, 86400000, "a request's deadline, in milliseconds")    \
	L(F, X, USUAL_DEADLINE_MS, usual_deadline_ms, 3600000,                                  \
	  "the deadline of a request that names none")

#define LIMIT_CONSTANT(F, X, NAME, name, value, why) LIMIT_##NAME = (value),
enum {
	LIMITS(LIMIT_CONSTANT, , )
};
#undef LIMIT_CONSTANT
