/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A read request at work: search, get, scan, count. It pins what was published when it began (seq
 * and rows), so that it sees one state whole whatever is written meanwhile, and runs as one job in
 * the interactive lane.
 *
 * Peers take turns, and the sessions of one among themselves: each session has a queue of its
 * reads, and no more reads are in the lane than keep its workers busy, so that one session's
 * thousand searches do not stand before another's one, and answers under way stay few. While others
 * ask as well, a session, and a peer, has no more of them than all but one of the workers can do:
 * one is always there for somebody else (share.h). The reads of a session whose client is behind
 * with reading its answers wait until it has caught up: an answer can be a thousand times as large
 * as its request.
 *
 * Threads: planned and ended on the loop; run() on a worker sees only what the reading holds.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/lanes.h"
#include "daemon/list.h"
#include "daemon/request.h"
#include "index/record_table.h"
#include "storage/record_store.h"

struct generation;

enum pin_kind {
	PIN_RECORDS, /* records that are seen at seq stay in the truth */
	PIN_ROWS,    /* only the numbers of rows and their vectors are of use: records may go */
};

/* What was published when a job began; rows and retirements up to seq stay visible to it. */
struct pin {
	struct list link; /* in the collection's pins, oldest first */
	enum pin_kind kind;
	uint64_t seq;
	uint64_t n_rows;
	uint64_t mapped_rows;   /* of those, how many the vector file has */
	uint64_t resident_rows; /* and of those, how many have resident codes */
	uint64_t n_live;        /* records */
};

struct reading {
	struct job job;
	struct request *request;
	struct peer *peer; /* whose it is, also when the session has gone: a reference */
	struct pin pin;
	struct record_view view;
	/* No record can match: the namespace is not known. */
	bool nothing;
	bool uses_sql;
	/* The generation that a search uses: a reference, or NULL. */
	struct generation *generation;
	uint64_t covered_rows; /* of it, when the search was planned */
	uint32_t below;
	uint32_t ef_search;
	bool bulk; /* bulk writing was on then: none is used */
	/* For the counters: what the run found out. */
	uint64_t comparisons; /* the index's own */
	uint64_t scanned;
	bool used_graph;
	bool has_pending; /* rows that the graph did not cover */
	enum wire_source source;
	uint64_t bad_extent; /* the vector file's first damaged one, or UINT64_MAX */
};

struct read_turns {
	struct list peers; /* struct peer.reads_link: those with reads waiting */
	uint32_t n_running, max_running;
	uint32_t max_shared; /* of one session, or one peer, while others ask too */
};

struct peer;
struct session;

void read_turns_init(struct read_turns *turns, uint32_t n_workers);
/* The request's turn comes later; its collection is open. [loop] */
void reading_queue(struct request *request);
/* Lets the session take part in the turns if it has reads: anew, or again when its client has read
 * some of its answers. [loop] */
void reading_join(struct session *session);
/* Refuses what of the session waits: it has gone, or the daemon stops. [loop] */
void reading_forget(struct session *session);

/* The reader of this worker for the request's collection, opened when it is the first time. */
int reading_reader(struct reading *reading, uint32_t worker, struct record_reader **ret);

/* The runs, one a method; each fills in the request's answer. [worker] */
void run_search(struct reading *reading, uint32_t worker);
void run_get(struct reading *reading, uint32_t worker);
void run_scan(struct reading *reading, uint32_t worker);
void run_count(struct reading *reading, uint32_t worker);
