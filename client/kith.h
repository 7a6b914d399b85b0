/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * libkith: the client library of Kith, the shared nearest-neighbour memory.
 *
 *	struct kith_conn *conn;
 *	struct kith_search_result *hits;
 *	struct kith_search_params search = {0};
 *
 *	if (kith_connect(NULL, &conn))
 *		return -1;
 *	search.collection = kith_text("notes");
 *	search.vectors = kith_vectors(query, dim);
 *	if (kith_search(conn, &search, &hits) == 0) {
 *		... hits->ids.v[i], hits->distances.v[i] ...
 *		kith_free(hits);
 *	} else {
 *		fprintf(stderr, "%s\n", kith_error_message(conn));
 *	}
 *	kith_close(conn);
 *
 * Results. A function returns 0 when it is done; a negative errno when the connection or this
 * process is at fault; a positive enum kith_error when the daemon refused. What it would have
 * returned through a ret_ pointer is untouched then.
 *
 *	-ETIMEDOUT   the deadline passed; the connection stays usable (see below)
 *	-ECANCELED   kith_interrupt()
 *	-ECONNRESET  the daemon closed the connection
 *	-EPROTO      the daemon sent what this library cannot read, or could not read this one
 *	-ENOBUFS     KITH_MAX_TICKETS requests wait to be collected
 *	-ENOMEM      no memory
 *
 * After -ECANCELED, -ECONNRESET and -EPROTO the connection is of no more use: close it and
 * connect again. Answers that had come before can still be collected. kith_connect() returns
 * KITH_ERROR_OVER_LIMIT where there are as many connections as may be, and KITH_ERROR_OWNER_ONLY
 * to a user that may not connect.
 *
 * Deadlines. Every call that waits has one: the connection's timeout, which kith_connect() and
 * kith_set_timeout() set, or that of the call. A call that timed out may still be carried out by
 * the daemon; its answer is dropped when it comes. kith_set_deadline() has the daemon give up, too.
 *
 * Memory. Params are borrowed for the duration of the call. A result is one piece of memory that
 * owns all it points to: kith_free() it. Whoever does not want a result passes NULL for it.
 *
 * Threads. A connection is used by one thread at a time, and may be handed from one to another;
 * connections are independent of each other. Only kith_interrupt() may be called by any thread
 * while another one is inside a call. A child of fork() must not use its parent's connections.
 *
 * Strings are UTF-8 with a length, not terminated; vectors are 32-bit floats (16-bit ones where a
 * request says so), one row behind the other. A zeroed params struct leaves out everything that can
 * be left out.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KITH_PUBLIC __attribute__((visibility("default")))
#else
#define KITH_PUBLIC
#endif

/* Values. ------------------------------------------------------------------------------------- */

/* data NULL: absent. */
struct kith_str {
	const char *data;
	uint32_t n;
};

/* A record's id: a string, or an unsigned integer when text is NULL. "7" and 7 are two ids. */
struct kith_id {
	const char *text;
	uint32_t n;
	uint64_t number;
};

/* Columns of a batch, one element a record. v NULL: absent. */
struct kith_ids {
	const struct kith_id *v;
	uint32_t n;
};

/* Rows of `dim` floats, or one float for each record; see kith_vectors(). Where a request's dtype
 * is KITH_DTYPE_F16 the rows are of f16 instead: kith_vectors_f16(), kith_f16(). */
struct kith_f32s {
	const float *v;
	size_t size_bytes;
};

/* A text whose data is NULL: this record has none. */
struct kith_texts {
	const struct kith_str *v;
	uint32_t n;
};

struct kith_u32s {
	const uint32_t *v;
	uint32_t n;
};

enum kith_scalar_kind {
	KITH_SCALAR_INT,
	KITH_SCALAR_FLOAT,
	KITH_SCALAR_BOOL,
	KITH_SCALAR_TEXT
};

/* One scalar of a record's metadata. */
struct kith_scalar {
	struct kith_str key;
	uint32_t kind; /* enum kith_scalar_kind */
	union {
		int64_t integer;
		double real;
		bool boolean;
		struct kith_str text;
	};
};

/* A record's metadata as kith_meta_end() makes it and kith_meta_each() reads it. data NULL: this
 * record has none. */
struct kith_meta {
	const void *data;
	size_t size_bytes;
	const void *reserved; /* the library's own, as the next: leave them zeroed */
	uint32_t n_reserved;
};

struct kith_metas {
	const struct kith_meta *v;
	uint32_t n;
};

static inline struct kith_str kith_text_n(const char *data, size_t n)
{
	struct kith_str str;

	str.data = data;
	str.n = (uint32_t)n;
	return str;
}

/* NULL gives an absent one. */
static inline struct kith_str kith_text(const char *terminated)
{
	return kith_text_n(terminated, terminated ? strlen(terminated) : 0);
}

static inline struct kith_id kith_id_number(uint64_t number)
{
	struct kith_id id;

	id.text = NULL;
	id.n = 0;
	id.number = number;
	return id;
}

static inline struct kith_id kith_id_text(const char *terminated)
{
	struct kith_id id;

	id.text = terminated;
	id.n = (uint32_t)strlen(terminated);
	id.number = 0;
	return id;
}

/* n_floats: rows times dim. */
static inline struct kith_f32s kith_vectors(const float *v, size_t n_floats)
{
	struct kith_f32s vectors;

	vectors.v = v;
	vectors.size_bytes = n_floats * sizeof(float);
	return vectors;
}

/* Rows of f16, for params whose dtype says so; n_halves: rows times dim. */
static inline struct kith_f32s kith_vectors_f16(const uint16_t *v, size_t n_halves)
{
	struct kith_f32s vectors;

	vectors.v = (const float *)(const void *)v;
	vectors.size_bytes = n_halves * sizeof(*v);
	return vectors;
}

/* What an answer to a request for f16 holds: size_bytes / 2 of them. */
static inline const uint16_t *kith_f16(const struct kith_f32s *vectors)
{
	return (const uint16_t *)(const void *)vectors->v;
}

/* Choices. ------------------------------------------------------------------------------------ */

enum kith_metric {
	KITH_METRIC_L2,    /* squared Euclidean distance */
	KITH_METRIC_IP,    /* 1 - inner product */
	KITH_METRIC_COSINE /* 1 - cosine similarity */
};

enum kith_dtype {
	KITH_DTYPE_F32, /* float */
	KITH_DTYPE_F16  /* IEEE 754 binary16, as uint16_t */
};

/* What an answer holds besides ids; to be or-ed. */
enum kith_include {
	KITH_INCLUDE_VECTORS = 1,
	KITH_INCLUDE_TEXTS = 2,
	KITH_INCLUDE_METAS = 4,
	KITH_INCLUDE_NAMESPACES = 8
};

enum kith_topic {
	KITH_TOPIC_CHANGES = 1, /* kith_change_event */
	KITH_TOPIC_JOBS = 2     /* kith_job_event */
};

/* How a search was answered: by comparing the query with every record, or by an index. */
enum kith_mode {
	KITH_MODE_EXACT,
	KITH_MODE_HNSW
};

/* Where vectors were read from: memory of the budget, a mapped file, the record store. */
enum kith_source {
	KITH_SOURCE_RESIDENT,
	KITH_SOURCE_MAPPED,
	KITH_SOURCE_TRUTH
};

enum kith_change {
	KITH_CHANGE_CREATED,
	KITH_CHANGE_RENAMED,
	KITH_CHANGE_DROPPED,
	KITH_CHANGE_WRITTEN
};

enum kith_index_kind {
	KITH_INDEX_KIND_HNSW
};

/* What a graph is built and searched over: codes of a quarter of the vectors' size, kept in memory,
 * from which distances are estimated before the vectors themselves decide; or the vectors. */
enum kith_quantization {
	KITH_QUANTIZATION_SQ8, /* 8 bits a dimension, with a scale for each vector */
	KITH_QUANTIZATION_NONE
};

/* What an index is at. It answers searches from SERVING on; before, they are answered exactly. */
enum kith_index_state {
	KITH_INDEX_STATE_DECLARED, /* nothing is built, nor being built */
	KITH_INDEX_STATE_EVICTED,  /* built and saved, not in memory: the next search loads it */
	KITH_INDEX_STATE_LOADING,  /* from its snapshot */
	KITH_INDEX_STATE_BUILDING, /* its first generation */
	KITH_INDEX_STATE_SERVING,
	KITH_INDEX_STATE_INSERTING, /* serves while pending records are folded in */
	KITH_INDEX_STATE_SAVING,    /* serves while a snapshot is written */
	KITH_INDEX_STATE_REPLACING  /* serves while the next generation is built */
};

/* How kith_ensure_index() came to its end. */
enum kith_ensured {
	KITH_ENSURED_EXISTING, /* it was there */
	KITH_ENSURED_BUILT,    /* this call started the build, and waited for it */
	KITH_ENSURED_JOINED,   /* another had started the build; it was waited for, or goes on */
	KITH_ENSURED_STARTED   /* this call started the build and did not wait */
};

/* Their names ("cosine", "mapped", ...); "unknown" for a value of none. */
KITH_PUBLIC const char *kith_metric_name(uint32_t metric);
KITH_PUBLIC const char *kith_dtype_name(uint32_t dtype);
KITH_PUBLIC const char *kith_mode_name(uint32_t mode);
KITH_PUBLIC const char *kith_source_name(uint32_t source);
KITH_PUBLIC const char *kith_change_name(uint32_t change);
KITH_PUBLIC const char *kith_index_kind_name(uint32_t index_kind);
KITH_PUBLIC const char *kith_quantization_name(uint32_t quantization);
KITH_PUBLIC const char *kith_index_state_name(uint32_t index_state);
KITH_PUBLIC const char *kith_ensured_name(uint32_t ensured);
/* The metric, dtype, quantization, or kind of index, of that name, or -EINVAL. */
KITH_PUBLIC int kith_metric_find(const char *name);
KITH_PUBLIC int kith_dtype_find(const char *name);
KITH_PUBLIC int kith_index_kind_find(const char *name);
KITH_PUBLIC int kith_quantization_find(const char *name);

/* Errors. ------------------------------------------------------------------------------------- */

/* Why the daemon refused. */
enum kith_error {
	KITH_ERROR_OTHER = 1,      /* for a reason that this version of the library does not know */
	KITH_ERROR_BAD_FRAME,      /* the frame is empty, too large or not MessagePack */
	KITH_ERROR_BAD_MESSAGE,    /* the value is not a request */
	KITH_ERROR_HELLO_FIRST,    /* the first request must be hello */
	KITH_ERROR_BAD_PROTOCOL,   /* the daemon does not speak this library's protocol version */
	KITH_ERROR_UNKNOWN_METHOD, /* no method of that name: the daemon is older */
	KITH_ERROR_UNKNOWN_FIELD,  /* the method has no such field: the daemon is older */
	KITH_ERROR_MISSING_FIELD,  /* a required field is absent */
	KITH_ERROR_BAD_KIND,       /* the field holds another kind of value */
	KITH_ERROR_BAD_VALUE,      /* the value is not allowed */
	KITH_ERROR_OVER_LIMIT,     /* the value is outside a limit that the message names */
	KITH_ERROR_NO_COLLECTION,  /* no collection of that name */
	KITH_ERROR_COLLECTION_EXISTS, /* the name is taken */
	KITH_ERROR_DROPPED,           /* the collection was dropped while the request waited */
	KITH_ERROR_WRONG_SPACE,       /* the collection is of another embedding space */
	KITH_ERROR_NO_INDEX,          /* the collection has no index of that name */
	KITH_ERROR_INDEX_EXISTS,      /* there is one of that name with other parameters */
	KITH_ERROR_BUILD_IN_FLIGHT,   /* a build with other parameters is under way */
	KITH_ERROR_BUILD_FAILED,      /* the build that was asked for or joined failed */
	KITH_ERROR_NO_JOB,            /* no job of that number is under way */
	KITH_ERROR_TOO_LARGE_ANSWER,  /* the answer would not fit in a frame */
	KITH_ERROR_STORAGE_FULL,      /* the disk is full; nothing of the request was kept */
	KITH_ERROR_STORAGE_FAILED,    /* the disk failed; nothing of the request was kept */
	KITH_ERROR_DAMAGED,       /* the collection's database is damaged or from a newer Kith */
	KITH_ERROR_OUT_OF_MEMORY, /* the daemon could not get the memory that it needs */
	KITH_ERROR_CANCELLED,     /* the request was cancelled */
	KITH_ERROR_TOO_LATE,      /* its deadline passed before it was done */
	KITH_ERROR_OWNER_ONLY,    /* only the user that kithd runs as may ask for that */
	KITH_ERROR_STOPPING       /* the daemon is stopping */
};

struct kith_conn;

/* About the last call on this connection that did not return 0; valid until the next call. */
KITH_PUBLIC const char *kith_error_message(const struct kith_conn *conn);
/* The name of the params field at fault, or NULL. */
KITH_PUBLIC const char *kith_error_field(const struct kith_conn *conn);
/* The position in the batch of the record at fault, or -1. */
KITH_PUBLIC int64_t kith_error_row(const struct kith_conn *conn);
/* A result's stable name ("no_collection"), or what the system says of a negative errno. */
KITH_PUBLIC const char *kith_error_name(int result);

/* Connections. -------------------------------------------------------------------------------- */

/* The connection's own timeout, where a call takes one. */
#define KITH_USUAL (-1)
/* A timeout that never passes. */
#define KITH_FOREVER INT32_MAX
#define KITH_DEFAULT_TIMEOUT_MS 30000

/* Zeroed, or a NULL pointer: everything as usual. */
struct kith_options {
	/* Else $KITH_SOCKET, $XDG_RUNTIME_DIR/kith/kith.sock, /run/user/<uid>/kith/kith.sock. */
	const char *socket_path;
	const char *client; /* who connects, for the daemon's log; NULL: the program's name */
	int timeout_ms;     /* of every call; 0: KITH_DEFAULT_TIMEOUT_MS */
	/* When kith_connect() fails, what went wrong is written here; may be NULL. */
	char *ret_message;
	size_t message_size_bytes;
};

/* Connects and says hello. A daemon that is not there is -ENOENT or -ECONNREFUSED; one that
 * speaks another protocol version is KITH_ERROR_BAD_PROTOCOL. Either step takes at most the
 * timeout. */
KITH_PUBLIC int kith_connect(const struct kith_options *options, struct kith_conn **ret);
/* NULL is fine. What was submitted but not collected may or may not be carried out. */
KITH_PUBLIC void kith_close(struct kith_conn *conn);
/* Ends the call that another thread is in, and all later ones, with -ECANCELED. Any thread; the
 * connection must not be closed meanwhile. */
KITH_PUBLIC void kith_interrupt(struct kith_conn *conn);
/* For the calls to come. 0: KITH_DEFAULT_TIMEOUT_MS. */
KITH_PUBLIC int kith_set_timeout(struct kith_conn *conn, int timeout_ms);
/* The daemon's own deadline for the requests to come, behind which it drops their work and refuses
 * them with KITH_ERROR_TOO_LATE. 0, at first: its usual one (kith_limits). */
KITH_PUBLIC void kith_set_deadline(struct kith_conn *conn, uint32_t deadline_ms);
/* The daemon's version; valid until kith_close(). */
KITH_PUBLIC const char *kith_server_version(const struct kith_conn *conn);
KITH_PUBLIC uint64_t kith_server_pid(const struct kith_conn *conn);
/* The descriptor, to wait for with poll() in a loop of one's own. Whatever the library has read
 * already does not show there: first take what there is, with a timeout of 0. */
KITH_PUBLIC int kith_fd(const struct kith_conn *conn);
/* Where kith_connect() would look; -ENAMETOOLONG. explicit_path may be NULL. */
KITH_PUBLIC int kith_socket_path(const char *explicit_path, char *ret_path, size_t size_bytes);
/* This library's version, "0.1.0". */
KITH_PUBLIC const char *kith_version(void);

/* Frees any result or event; NULL is fine. */
KITH_PUBLIC void kith_free(void *result);

/* Service. ------------------------------------------------------------------------------------ */

/* There and back, nothing else. */
KITH_PUBLIC int kith_ping(struct kith_conn *conn);

/* Every limit of the daemon; a request beyond one is refused with KITH_ERROR_OVER_LIMIT. */
struct kith_limits_result {
	uint64_t frame_bytes; /* of a request or an answer */
	uint64_t frame_depth;
	uint64_t frame_values; /* values in a request: ids, texts, metadata keys, scalars */
	uint64_t name_bytes;
	uint64_t space_bytes;
	uint64_t namespace_bytes;
	uint64_t namespaces; /* in a collection */
	uint64_t id_bytes;
	uint64_t text_bytes;
	uint64_t meta_bytes;
	uint64_t meta_scalars; /* in a record's metadata */
	uint64_t meta_key_bytes;
	uint64_t batch_rows;
	uint64_t dim;
	uint64_t k;
	uint64_t queries; /* in a search */
	uint64_t hits;    /* queries times k */
	uint64_t scan_rows;
	uint64_t collections;
	uint64_t indexes; /* of a collection */
	uint64_t index_name_bytes;
	uint64_t index_m;    /* links of a node of a graph */
	uint64_t index_ef;   /* candidates of a build or a search */
	uint64_t path_bytes; /* the path of a directory */
	uint64_t connections;
	uint64_t process_connections; /* of one process */
	uint64_t session_requests;    /* unanswered, of a connection */
	uint64_t session_bytes;       /* of these, and of answers not read */
	uint64_t guest_connections;   /* of each user that the daemon's config allows */
	uint64_t guest_requests;      /* unanswered, of all of those */
	uint64_t guest_bytes;         /* of these */
	uint64_t deadline_ms;         /* what a request may take */
	uint64_t usual_deadline_ms;   /* and what it takes at most when it does not say */
};
KITH_PUBLIC int kith_limits(struct kith_conn *conn, struct kith_limits_result **ret);

/* What the budget of derived structures holds. */
struct kith_budget {
	uint64_t limit_bytes;
	uint64_t used_bytes;
	uint64_t peak_bytes;
	uint64_t record_tables_bytes;
	uint64_t graphs_bytes;
	uint64_t vectors_bytes;
	uint64_t marks_bytes; /* of workers that walk graphs, spilled ones too */
	uint64_t spilled_bytes;
	uint64_t dirty_bytes; /* returned, not yet purged */
	uint64_t refused;     /* grants that did not fit, once each until they do */
};

/* Of what is kept in memory and can be loaded again; counts since the daemon started. */
struct kith_cache {
	struct kith_str backend; /* "arena" or "mmap" */
	uint64_t entries;
	uint64_t size_bytes;
	uint64_t hits;
	uint64_t misses;
	uint64_t loads;
	uint64_t joined;   /* askers that found a load under way */
	uint64_t failures; /* of loads */
	uint64_t evictions;
};

struct kith_memory {
	uint64_t rss_anon_bytes;
	uint64_t rss_file_bytes;
	uint64_t pss_bytes; /* proportional share, as seen in the last 10 seconds; 0: not yet */
	uint64_t swap_bytes;
	uint64_t inflight_bytes;
	uint64_t inflight_limit_bytes;
};

/* Whether the machine, or the daemon's control group, is short of memory. */
struct kith_pressure {
	struct kith_str watched; /* who says so: manager, cgroup, system; empty: nobody */
	bool pressed;
	uint64_t times; /* that it came to be */
	uint64_t words; /* how often it was said */
	uint64_t freed_bytes;
};

/* A group of worker threads. */
struct kith_lane {
	struct kith_str name;
	uint32_t threads;
	uint32_t queued;
	uint32_t running;
	uint64_t done;
};

struct kith_lanes {
	const struct kith_lane *v;
	uint32_t n;
};

/* What a collection holds and did since the daemon opened it. */
struct kith_usage {
	struct kith_str name;
	bool open; /* else the numbers below are 0 */
	uint64_t records;
	uint64_t rows;
	uint64_t resident_rows;
	uint64_t mapped_rows;
	uint64_t table_bytes;
	uint64_t wal_bytes;
	uint64_t searches;
	uint64_t comparisons;
	uint64_t writes;
	uint64_t groups; /* transactions that the writes went into */
};

struct kith_usages {
	const struct kith_usage *v;
	uint32_t n;
};

/* What an index holds in memory; counts since the daemon started. */
struct kith_holding {
	struct kith_str collection;
	struct kith_str index;
	uint32_t state; /* enum kith_index_state */
	uint64_t generation;
	uint64_t nodes;
	uint32_t dim;
	uint64_t pending; /* records that it does not hold yet */
	uint64_t size_bytes;
	bool mapped;
	uint64_t hits;
	uint64_t misses;
	uint64_t loads;
	uint64_t evictions;
	uint64_t comparisons;
};

struct kith_holdings {
	const struct kith_holding *v;
	uint32_t n;
};

/* What the requests of one method, and what ran beside them, changed of the budget. */
struct kith_operation {
	struct kith_str method;
	uint64_t requests;
	uint64_t grown_bytes; /* summed up, as the next */
	uint64_t shrunk_bytes;
	uint64_t most_bytes; /* that one of them made it grow */
};

struct kith_operations {
	const struct kith_operation *v;
	uint32_t n;
};

/* Searches of one collection that were answered alike. */
struct kith_tally {
	struct kith_str collection;
	struct kith_str index; /* that was to answer; empty: none was asked */
	uint32_t mode;         /* enum kith_mode */
	bool fell_back;        /* the index was of no use: all records were compared */
	uint32_t served_from;  /* enum kith_source: the slowest place that vectors came from */
	bool pending;          /* records that the index did not hold were compared too */
	uint64_t searches;     /* query vectors */
	uint64_t comparisons;  /* by the index */
	uint64_t scanned;      /* records compared one by one */
};

struct kith_tallies {
	const struct kith_tally *v;
	uint32_t n;
};

struct kith_stats_result {
	struct kith_str version;
	uint64_t pid;
	uint64_t uptime_ms;
	uint32_t connections;
	uint64_t requests;
	uint64_t errors;
	struct kith_budget budget;
	struct kith_cache cache;
	struct kith_memory memory;
	struct kith_pressure pressure;
	struct kith_lanes lanes;
	struct kith_usages collections;
	struct kith_holdings indexes;
	struct kith_operations operations;
	struct kith_tallies searches;
};
KITH_PUBLIC int kith_stats(struct kith_conn *conn, struct kith_stats_result **ret);

/* Collections. -------------------------------------------------------------------------------- */

struct kith_create_collection_params {
	struct kith_str name;
	uint32_t dim;
	uint32_t metric;       /* enum kith_metric */
	uint32_t dtype;        /* enum kith_dtype: how vectors are kept */
	struct kith_str space; /* label of the embedding space: model and revision; may be absent */
	bool exist_ok;         /* one of the same dim, metric, dtype and space may be there */
	bool bulk; /* begins as after kith_set_bulk(); one that is there is not changed */
};
struct kith_create_collection_result {
	struct kith_str uuid;
	bool created;
};
KITH_PUBLIC int kith_create_collection(struct kith_conn *conn,
                                       const struct kith_create_collection_params *params,
                                       struct kith_create_collection_result **ret);

struct kith_collection {
	struct kith_str name;
	struct kith_str uuid;
	uint32_t dim;
	uint32_t metric;
	uint32_t dtype;
	struct kith_str space;
	uint64_t created_ms; /* since 1970 */
	bool bulk;           /* see kith_set_bulk() */
};

struct kith_collections {
	const struct kith_collection *v;
	uint32_t n;
};

struct kith_list_collections_result {
	struct kith_collections collections;
};
KITH_PUBLIC int kith_list_collections(struct kith_conn *conn,
                                      struct kith_list_collections_result **ret);

struct kith_describe_collection_params {
	struct kith_str collection;
};
struct kith_describe_collection_result {
	struct kith_collection collection;
	uint64_t records;
	uint64_t rows; /* vectors kept, replaced ones that are still in use included */
	uint64_t seq;  /* of the last commit */
	uint32_t namespaces;
	uint32_t vectors; /* enum kith_source */
};
KITH_PUBLIC int kith_describe_collection(struct kith_conn *conn,
                                         const struct kith_describe_collection_params *params,
                                         struct kith_describe_collection_result **ret);

struct kith_rename_collection_params {
	struct kith_str collection;
	struct kith_str name; /* the new one */
};
KITH_PUBLIC int kith_rename_collection(struct kith_conn *conn,
                                       const struct kith_rename_collection_params *params);

/* For storing much at once. While it is on, indexes take up nothing by themselves, and what is
 * written brings nothing into memory; searches compare all records, and say `bulk`. When it is set
 * off, what is pending goes into each index by one job: a build, or an insert where that is less.
 * It outlives the connection, and the daemon: who sets it on must set it off. */
struct kith_set_bulk_params {
	struct kith_str collection;
	bool bulk;
};
struct kith_set_bulk_result {
	bool changed; /* false: it was like that already */
};
KITH_PUBLIC int kith_set_bulk(struct kith_conn *conn, const struct kith_set_bulk_params *params,
                              struct kith_set_bulk_result **ret);

struct kith_drop_collection_params {
	struct kith_str collection;
	bool missing_ok;
};
struct kith_drop_collection_result {
	bool dropped;
};
KITH_PUBLIC int kith_drop_collection(struct kith_conn *conn,
                                     const struct kith_drop_collection_params *params,
                                     struct kith_drop_collection_result **ret);

/* Records. ------------------------------------------------------------------------------------ */

/* Stores records, replacing those of the same ids. All of the batch or nothing of it. It is on
 * disk when the call returns. */
struct kith_upsert_params {
	struct kith_str collection;
	struct kith_str space; /* refused unless it is the collection's; absent: not checked */
	struct kith_str namespace_;
	struct kith_ids ids;
	struct kith_f32s vectors; /* one row for each id */
	uint32_t dtype;           /* of the vectors: enum kith_dtype */
	struct kith_texts texts;  /* may be absent, as may metas */
	struct kith_metas metas;
};
struct kith_upsert_result {
	uint64_t seq; /* the commit's */
	uint32_t inserted;
	uint32_t replaced;  /* new vector or text */
	uint32_t touched;   /* only metadata or namespace are new */
	uint32_t unchanged; /* equal to what was stored */
};
KITH_PUBLIC int kith_upsert(struct kith_conn *conn, const struct kith_upsert_params *params,
                            struct kith_upsert_result **ret);

/* Changes what is given and leaves the vectors. */
struct kith_update_params {
	struct kith_str collection;
	struct kith_str namespace_;
	struct kith_ids ids;
	struct kith_texts texts;
	struct kith_metas metas;
};
struct kith_update_result {
	uint64_t seq;
	uint32_t replaced;
	uint32_t touched;
	uint32_t unchanged;
	struct kith_u32s missing; /* positions of ids that are not there */
};
KITH_PUBLIC int kith_update(struct kith_conn *conn, const struct kith_update_params *params,
                            struct kith_update_result **ret);

struct kith_get_params {
	struct kith_str collection;
	struct kith_ids ids;
	uint32_t include; /* enum kith_include, or-ed; 0: only which ids are there */
	uint32_t dtype;   /* that vectors are to have in the answer: enum kith_dtype */
};
struct kith_get_result {
	struct kith_u32s positions; /* of the ids that were found; the columns follow these */
	struct kith_f32s vectors;
	struct kith_texts texts;
	struct kith_metas metas;
	struct kith_texts namespaces;
	uint64_t seq;
};
KITH_PUBLIC int kith_get(struct kith_conn *conn, const struct kith_get_params *params,
                         struct kith_get_result **ret);

struct kith_delete_params {
	struct kith_str collection;
	struct kith_ids ids;
};
struct kith_delete_result {
	uint64_t seq;
	uint32_t deleted;
	struct kith_u32s missing; /* positions of ids that were not there */
};
KITH_PUBLIC int kith_delete(struct kith_conn *conn, const struct kith_delete_params *params,
                            struct kith_delete_result **ret);

/* A page of all records, in the order of writing. Start with cursor 0, go on with that of the
 * answer until it says done. A record that is replaced meanwhile may come twice, none is missed. */
struct kith_scan_params {
	struct kith_str collection;
	struct kith_str namespace_; /* absent: all */
	uint64_t cursor;
	uint32_t limit; /* records on the page; 0: 1000 */
	uint32_t include;
	uint32_t dtype; /* that vectors are to have in the answer: enum kith_dtype */
};
struct kith_scan_result {
	struct kith_ids ids;
	struct kith_f32s vectors;
	struct kith_texts texts;
	struct kith_metas metas;
	struct kith_texts namespaces;
	uint64_t cursor;
	bool done;
	uint64_t seq;
};
KITH_PUBLIC int kith_scan(struct kith_conn *conn, const struct kith_scan_params *params,
                          struct kith_scan_result **ret);

struct kith_count_params {
	struct kith_str collection;
	struct kith_str namespace_; /* absent: all */
};
struct kith_count_result {
	uint64_t count;
	uint64_t seq;
};
KITH_PUBLIC int kith_count(struct kith_conn *conn, const struct kith_count_params *params,
                           struct kith_count_result **ret);

/* Search. ------------------------------------------------------------------------------------- */

struct kith_search_params {
	struct kith_str collection;
	struct kith_str space;      /* refused unless it is the collection's; absent: not checked */
	struct kith_str namespace_; /* absent: all */
	struct kith_f32s vectors;   /* one or many queries */
	uint32_t dtype;             /* of these, and of vectors in the answer: enum kith_dtype */
	uint32_t k;                 /* 0: 10 */
	uint32_t ef_search;         /* candidates that the index keeps; 0: the index's own */
	/* Instead of that: the share of the true neighbours to find, above 0 and below 1, by what
	 * was measured on the collection's own vectors. Queries unlike them can see less. 0: not
	 * asked */
	double target_recall;
	bool exact;       /* use no index */
	uint32_t include; /* 0: ids and distances alone, the fastest */
};
/* The hits of the first query, nearest first, then those of the second, and so on. */
struct kith_search_result {
	struct kith_u32s counts; /* hits of each query */
	struct kith_ids ids;
	struct kith_f32s distances; /* one for each hit */
	struct kith_f32s vectors;
	struct kith_texts texts;
	struct kith_metas metas;
	struct kith_texts namespaces;
	uint32_t mode;        /* enum kith_mode */
	double coverage;      /* of the records, the part that the answering index held: 0 to 1 */
	uint64_t generation;  /* of that index; 0: none was used */
	uint64_t comparisons; /* of vectors, by the index; 0: none was used */
	uint64_t scanned;     /* vectors compared one by one: all, or those the index lacked */
	uint32_t ef_search;   /* candidates that the index kept; 0: none was used */
	bool cached;          /* codes and graph were in memory, and nothing was loaded first */
	bool bulk;            /* kith_set_bulk() was on: no index was used */
	uint32_t served_from; /* enum kith_source */
	uint64_t seq;         /* writes up to this one were seen */
	uint64_t time_us;     /* inside the daemon */
};
KITH_PUBLIC int kith_search(struct kith_conn *conn, const struct kith_search_params *params,
                            struct kith_search_result **ret);

/* Indexes. ------------------------------------------------------------------------------------ */

/*
 * An index makes searches fast and is never needed for them to be right: while it is built, and
 * for the records that it does not hold yet, they compare exactly. It follows the collection by
 * itself. `index` is its name; absent: "vector".
 */

/* Makes sure that there is one: any number of callers ask, one build runs. Costs next to nothing
 * when it is there. One with other parameters is KITH_ERROR_INDEX_EXISTS, or
 * KITH_ERROR_BUILD_IN_FLIGHT while it is built. A build takes its time: with `wait`, set a timeout
 * to match, or submit and collect. After -ETIMEDOUT the build goes on, and calling again joins
 * it. */
struct kith_ensure_index_params {
	struct kith_str collection;
	struct kith_str index;
	uint32_t kind;            /* enum kith_index_kind */
	uint32_t m;               /* links of a node; 0: 16 */
	uint32_t ef_construction; /* candidates while building; 0: 128 */
	uint32_t ef_search;    /* candidates of a search that does not say; 0: 64. Not compared */
	uint32_t quantization; /* enum kith_quantization */
	bool wait;             /* until it serves, or the build failed */
	bool replace; /* other parameters: build anew beside the old one, which serves until then */
};
struct kith_ensure_index_result {
	uint32_t outcome; /* enum kith_ensured */
	uint64_t job;     /* that builds or built it; 0: none did */
	uint64_t generation;
	double coverage; /* of the records, the part that it holds: 0 to 1 */
};
KITH_PUBLIC int kith_ensure_index(struct kith_conn *conn,
                                  const struct kith_ensure_index_params *params,
                                  struct kith_ensure_index_result **ret);

/* What is declared of an index, and how it is served. */
struct kith_index {
	struct kith_str name;
	uint32_t kind; /* enum kith_index_kind */
	uint32_t m;
	uint32_t ef_construction;
	uint32_t ef_search;
	uint32_t ef_95; /* measured: finds 0.95 of 10 neighbours; 0: not measured, or never found */
	uint32_t ef_99;
	uint32_t ef_999;
	uint32_t quantization; /* enum kith_quantization */
	uint32_t state;        /* enum kith_index_state */
	uint64_t generation;   /* that serves; 0: none */
	uint64_t nodes;
	uint64_t dead;    /* nodes whose records are gone */
	uint64_t pending; /* records that it does not hold yet */
	double coverage;  /* of the records, the part that it holds: 0 to 1 */
	uint64_t size_bytes;
	bool mapped;          /* its links are read from the snapshot */
	uint64_t saved_nodes; /* in the snapshot on disk */
	uint64_t searches;    /* these and the following since the daemon started */
	uint64_t comparisons;
	uint64_t builds;
	uint64_t rebuilds; /* of them, those that only left dead nodes behind */
	uint64_t hits;     /* searches that found it in memory */
	uint64_t misses;   /* those that waited for it to be loaded */
	uint64_t loads;
	uint64_t evictions;
	struct kith_str error; /* of the last build or load; empty: it went well */
};

struct kith_indexes {
	const struct kith_index *v;
	uint32_t n;
};

struct kith_list_indexes_params {
	struct kith_str collection;
};
struct kith_list_indexes_result {
	struct kith_indexes indexes;
};
KITH_PUBLIC int kith_list_indexes(struct kith_conn *conn,
                                  const struct kith_list_indexes_params *params,
                                  struct kith_list_indexes_result **ret);

struct kith_drop_index_params {
	struct kith_str collection;
	struct kith_str index;
	bool missing_ok;
};
struct kith_drop_index_result {
	bool dropped;
};
KITH_PUBLIC int kith_drop_index(struct kith_conn *conn, const struct kith_drop_index_params *params,
                                struct kith_drop_index_result **ret);

/* Folds in what is pending and saves a snapshot, which the daemon also does by itself, later. */
struct kith_optimize_params {
	struct kith_str collection;
	struct kith_str index;
};
struct kith_optimize_result {
	uint64_t inserted; /* records that were folded in */
	double coverage;
	bool saved; /* false: the snapshot held everything */
};
KITH_PUBLIC int kith_optimize(struct kith_conn *conn, const struct kith_optimize_params *params,
                              struct kith_optimize_result **ret);

/* Loads an index that is not in memory, ahead of the searches that would. */
struct kith_warm_params {
	struct kith_str collection;
	struct kith_str index;
};
struct kith_warm_result {
	bool was_cached; /* it was there */
	uint64_t size_bytes;
};
KITH_PUBLIC int kith_warm(struct kith_conn *conn, const struct kith_warm_params *params,
                          struct kith_warm_result **ret);

/* Saves what of an index is not saved and gives its memory back. The next search loads it. */
struct kith_evict_params {
	struct kith_str collection;
	struct kith_str index;
};
struct kith_evict_result {
	bool was_cached; /* false: it was not in memory */
	uint64_t freed_bytes;
};
KITH_PUBLIC int kith_evict(struct kith_conn *conn, const struct kith_evict_params *params,
                           struct kith_evict_result **ret);

/* A job on an index. */
struct kith_work {
	uint64_t job; /* its number */
	struct kith_str collection;
	struct kith_str index;
	struct kith_str phase; /* for people */
	uint64_t done;         /* rows of the phase */
	uint64_t total;        /* 0: not known */
	double eta_s;          /* seconds to go; 0: not known */
	uint32_t waiting;      /* callers who wait for it */
};

struct kith_works {
	const struct kith_work *v;
	uint32_t n;
};

/* Those under way, of all collections. */
struct kith_jobs_result {
	struct kith_works jobs;
};
KITH_PUBLIC int kith_jobs(struct kith_conn *conn, struct kith_jobs_result **ret);

/* What went wrong in the daemon. */
struct kith_failure {
	uint64_t first_ms; /* since 1970 */
	uint64_t last_ms;
	uint64_t count;        /* how often in between */
	bool warning;          /* nothing is wrong with what is stored, nor was it refused */
	struct kith_str where; /* "collection 'notes'", "index 'notes/vector'", "daemon" */
	struct kith_str what;  /* for people */
};

struct kith_failures {
	const struct kith_failure *v;
	uint32_t n;
};

/* The daemon's journal, over its restarts; the latest last. */
struct kith_errors_result {
	struct kith_failures failures;
};
KITH_PUBLIC int kith_errors(struct kith_conn *conn, struct kith_errors_result **ret);

/* Keeping what is stored. --------------------------------------------------------------------- */

/* Moves the write-ahead log of a collection into its database, which the daemon does by itself as
 * well. Waits while a backup or a verify reads the collection. */
struct kith_checkpoint_params {
	struct kith_str collection;
};
struct kith_checkpoint_result {
	uint64_t wal_bytes; /* that are left in the log */
};
KITH_PUBLIC int kith_checkpoint(struct kith_conn *conn, const struct kith_checkpoint_params *params,
                                struct kith_checkpoint_result **ret);

/* A collection as it stands in a backup. */
struct kith_copy {
	struct kith_str name;
	uint64_t records;
	uint64_t seq;        /* of the commit that it shows */
	uint64_t size_bytes; /* of its database */
};

struct kith_copies {
	const struct kith_copy *v;
	uint32_t n;
};

/* Copies collections to a new directory, while they are used: each as it was after one commit,
 * looked through afterwards, durable when it returns. Of a backup that failed nothing stays. It can
 * take long: see kith_set_timeout(). */
struct kith_backup_params {
	struct kith_str directory;  /* an absolute path, not there yet, in a directory that is */
	struct kith_str collection; /* absent: all of them */
};
struct kith_backup_result {
	struct kith_copies collections;
};
KITH_PUBLIC int kith_backup(struct kith_conn *conn, const struct kith_backup_params *params,
                            struct kith_backup_result **ret);

/* Takes collections back from a backup. None may be there under the same name or uuid: nothing is
 * overwritten, and none is restored when one of them is there. */
struct kith_restore_params {
	struct kith_str directory;
	struct kith_str collection; /* absent: all that are in the backup */
};
struct kith_restore_result {
	struct kith_copies collections;
};
KITH_PUBLIC int kith_restore(struct kith_conn *conn, const struct kith_restore_params *params,
                             struct kith_restore_result **ret);

/* Something that is wrong with a collection's files. */
struct kith_finding {
	struct kith_str file; /* "records.db", "vectors", "hnsw-..." */
	bool derived;         /* it is made anew from the records: nothing is lost */
	struct kith_str what; /* for people */
};

struct kith_findings {
	const struct kith_finding *v;
	uint32_t n;
};

/* Reads all files of a collection, and changes nothing. */
struct kith_verify_params {
	struct kith_str collection;
};
struct kith_verify_result {
	uint64_t records; /* that the database says it has */
	struct kith_findings findings;
};
KITH_PUBLIC int kith_verify(struct kith_conn *conn, const struct kith_verify_params *params,
                            struct kith_verify_result **ret);

/* Makes a new collection of every record of a damaged one that can be read, whether that one can be
 * opened or not. The damaged one is not changed. */
struct kith_repair_params {
	struct kith_str collection;
	struct kith_str name; /* of the new one */
};
struct kith_repair_result {
	uint64_t records; /* of the new one */
	uint64_t partial; /* of these, without the text and metadata that they may have had */
	uint64_t lost;    /* at least so many could not be read */
};
KITH_PUBLIC int kith_repair(struct kith_conn *conn, const struct kith_repair_params *params,
                            struct kith_repair_result **ret);

/* A file of the daemon. */
struct kith_file {
	struct kith_str collection; /* whose; empty: the daemon's own */
	struct kith_str path;
	uint64_t size_bytes; /* that it takes on the disk */
	uint64_t live_bytes; /* of these, what is of use */
};

struct kith_files {
	const struct kith_file *v;
	uint32_t n;
};

/* What stands on the disk. */
struct kith_disk_usage_result {
	struct kith_files files;
};
KITH_PUBLIC int kith_disk_usage(struct kith_conn *conn, struct kith_disk_usage_result **ret);

struct kith_cancel_job_params {
	uint64_t job;
};
struct kith_cancel_job_result {
	bool cancelled; /* false: too late, it ends by itself */
};
KITH_PUBLIC int kith_cancel_job(struct kith_conn *conn, const struct kith_cancel_job_params *params,
                                struct kith_cancel_job_result **ret);

/* Many requests at once. ---------------------------------------------------------------------- */

/*
 * Each method that works on records, search and ensure_index have a pipelined form:
 * kith_submit_<method>() hands a request over and returns a ticket at once, kith_collect_<method>()
 * waits for the answer to it. Tickets are collected in any order, each with the function of its
 * method, else -EINVAL. Params are free again when the submit returns.
 *
 * Requests gather until there are 64 KiB of them; kith_flush() and every call that waits send
 * them off. While the daemon takes no more, a submit waits, reading the answers that come
 * meanwhile, so that neither side waits for the other; -ETIMEDOUT then means that nothing was
 * submitted.
 *
 * timeout_ms: KITH_USUAL, 0 (only what is there already), or milliseconds. A collect that returns
 * -ETIMEDOUT can be repeated; every other outcome ends the ticket.
 */
#define KITH_MAX_TICKETS 1024

#define KITH_PIPELINED(method)                                                            \
	KITH_PUBLIC int kith_submit_##method(struct kith_conn *conn,                      \
	                                     const struct kith_##method##_params *params, \
	                                     uint64_t *ret_ticket);                       \
	KITH_PUBLIC int kith_collect_##method(struct kith_conn *conn, uint64_t ticket,    \
	                                      int timeout_ms,                             \
	                                      struct kith_##method##_result **ret);
KITH_PIPELINED(upsert)
KITH_PIPELINED(update)
KITH_PIPELINED(get)
KITH_PIPELINED(delete)
KITH_PIPELINED(scan)
KITH_PIPELINED(count)
KITH_PIPELINED(search)
KITH_PIPELINED(ensure_index)
#undef KITH_PIPELINED

/* Sends what gathered. */
KITH_PUBLIC int kith_flush(struct kith_conn *conn);
/* Whoever no longer wants an answer says so, and it is dropped when it comes. */
KITH_PUBLIC void kith_forget(struct kith_conn *conn, uint64_t ticket);

/* Events. ------------------------------------------------------------------------------------- */

enum kith_event_type {
	KITH_EVENT_CHANGE,
	KITH_EVENT_JOB
};

struct kith_change_event {
	uint32_t what; /* enum kith_change */
	struct kith_str collection;
	struct kith_str uuid;
	uint64_t seq;
};

/* A job of the daemon, on its way; the fields are those of struct kith_work. */
struct kith_job_event {
	uint64_t job;
	struct kith_str collection;
	struct kith_str index;
	struct kith_str phase;
	uint64_t done;
	uint64_t total;
	double eta_s;
};

/* Events that nobody takes wait, KITH_MAX_EVENTS of them; then the oldest go. */
#define KITH_MAX_EVENTS 1024

struct kith_event {
	uint32_t type; /* enum kith_event_type */
	uint64_t lost; /* events that went before this one */
	union {
		struct kith_change_event change;
		struct kith_job_event job;
	};
};

/* Replaces what was subscribed before. topics: enum kith_topic, or-ed; 0: none. */
KITH_PUBLIC int kith_subscribe(struct kith_conn *conn, uint32_t topics);
/* The oldest event. timeout_ms: as above; -ETIMEDOUT when none came. Events of a kind that this
 * version does not know are skipped. kith_free() it. */
KITH_PUBLIC int kith_next_event(struct kith_conn *conn, int timeout_ms, struct kith_event **ret);

/* Metadata. ----------------------------------------------------------------------------------- */

/*
 * A map of strings to scalars or lists of scalars:
 *
 *	kith_meta_text(builder, "file", kith_text("notes.md"));
 *	kith_meta_list(builder, "lines", 2);
 *	kith_meta_int(builder, NULL, 12);
 *	kith_meta_int(builder, NULL, 40);
 *	metas[i] = kith_meta_end(builder);
 *
 * A builder makes one map after the other. What kith_meta_end() returns is the builder's until
 * kith_meta_free(), so that a builder makes the metadata of a whole batch; kith_meta_reset() ends
 * all of it and starts anew. Keys are terminated strings; those of a list's elements are not
 * looked at. When memory ran out kith_meta_end() returns one whose data is NULL.
 */
struct kith_meta_builder;

KITH_PUBLIC struct kith_meta_builder *kith_meta_new(void); /* NULL: no memory */
KITH_PUBLIC void kith_meta_text(struct kith_meta_builder *builder, const char *key,
                                struct kith_str text);
KITH_PUBLIC void kith_meta_int(struct kith_meta_builder *builder, const char *key, int64_t value);
KITH_PUBLIC void kith_meta_float(struct kith_meta_builder *builder, const char *key, double value);
KITH_PUBLIC void kith_meta_bool(struct kith_meta_builder *builder, const char *key, bool value);
/* The next n scalars are its elements. */
KITH_PUBLIC void kith_meta_list(struct kith_meta_builder *builder, const char *key, uint32_t n);
KITH_PUBLIC struct kith_meta kith_meta_end(struct kith_meta_builder *builder);
KITH_PUBLIC void kith_meta_reset(struct kith_meta_builder *builder);
KITH_PUBLIC void kith_meta_free(struct kith_meta_builder *builder); /* NULL is fine */

/* Calls each() for every scalar of meta, for those of a list with in_list true; stops at the
 * first result that is not 0 and returns it. -EBADMSG: not metadata. */
KITH_PUBLIC int
kith_meta_each(const struct kith_meta *meta,
               int (*each)(void *ctx, const struct kith_scalar *scalar, bool in_list), void *ctx);

#ifdef __cplusplus
}
#endif
