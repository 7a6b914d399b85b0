/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The HNSW graph: approximate nearest neighbours over a hierarchy of navigable small worlds
 * (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using
 * Hierarchical Navigable Small World graphs", 2018).
 *
 * A node is a position in one graph, dense from 0, with the slot that it stands for and the row
 * where the collection keeps that slot's vector. The graph holds links, slots and rows; vectors
 * are behind struct hnsw_space. Memory is granted (see budget.h) and nothing in it ever moves, so
 * the graph grows while it is searched.
 *
 * How it grows; each step may follow the one before any number of times:
 *
 *      hnsw_reserve [loop] ─► hnsw_append [owner] ─► hnsw_build_init [loop]
 *                                                          │
 *           hnsw_build_end [loop] ◄─ all have returned ─ hnsw_build_run [each worker lent]
 *
 * Appended nodes have a slot and a row; nobody meets them before they are inserted. Inserted ones
 * are met by every search at once, but returned only by searches that were told to: a search
 * returns nodes below its `below`, and hnsw_build_end() is what raises hnsw_covered(), the count
 * for new plans. So what a plan has to look for elsewhere is exactly the nodes (rows) from its
 * `below` on: nothing is missed and nothing found twice, however far a build has come meanwhile.
 *
 * Threads: [loop] is the thread of the budget. [owner] is one job at a time, the index writer of
 * this graph, and never runs beside a build of the same graph. [any] may run beside everything,
 * for nodes that were appended before the caller was told of them. Searches take no lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/budget.h"
#include "index/topk.h"

#define HNSW_M_MIN 2u
#define HNSW_M_MAX 64u            /* 128 links at level 0 */
#define HNSW_EF_MAX 4096u         /* of construction and search */
#define HNSW_NODES_MAX (1u << 22) /* the smallest list chunks times CHUNK_DIR_MAX */
#define HNSW_LEVEL_MAX 15u        /* far above what HNSW_NODES_MAX nodes come to with M of 16 */
#define HNSW_NO_ROW UINT32_MAX    /* the node's vector is gone */
#define HNSW_BATCH 64u            /* most nodes in one call of a space or a predicate */

/* Outcomes. */
enum {
	HNSW_NO_NODE = 1, /* no node has that slot */
};

struct hnsw_params {
	uint32_t M;               /* links a node at the upper levels; 2 M at level 0 */
	uint32_t ef_construction; /* candidates looked at for each insertion; at least M is used */
	uint64_t seed;            /* of the levels */
};

/* Whether M and ef_construction are within the limits above. */
bool hnsw_params_are_valid(const struct hnsw_params *params);

struct hnsw;

/* Distances */

/*
 * Where distances come from: the one thing the graph knows about vectors. A query is in a form
 * that only its space understands, made of a vector or of a row. Rows are what hnsw_append() was
 * given; HNSW_NO_ROW is infinitely far from everything. All distances are finite or +infinity,
 * never NaN. Const and without memory of its own: [any].
 */
struct hnsw_space {
	/* Distances of n (at most HNSW_BATCH) rows from the query. One that is beyond `bound` may
	 * be told roughly, as anything beyond it: nobody will need it. */
	void (*distances)(const struct hnsw_space *space, const void *query, const uint32_t *rows,
	                  uint32_t n, float bound, float *ret);
	/* Asks for what distances() reads of n (at most HNSW_BATCH) rows first, and does not wait
	 * for it. NULL where that is not worth it: then walks are as they read in the paper. */
	void (*ask)(const struct hnsw_space *space, const uint32_t *rows, uint32_t n);
	/* The query form of a vector (f32, from vector_prepare(), borrowed), and of a row: either
	 * made in buf (query_bytes, 64-byte aligned) or where the space has it already. Valid until
	 * buf is used again. */
	const void *(*query)(const struct hnsw_space *space, const float *vector, void *buf);
	const void *(*query_of)(const struct hnsw_space *space, uint32_t row, void *buf);
	size_t query_bytes;
	/* For queries that were made of a vector, where distances() estimates, and NULL where it
	 * does not: better estimates of n (at most HNSW_BATCH) rows, and the distances themselves.
	 */
	void (*sharpen)(const struct hnsw_space *space, const void *query, const uint32_t *rows,
	                uint32_t n, float *ret);
	void (*refine)(const struct hnsw_space *space, const void *query, const uint32_t *rows,
	               uint32_t n, float *ret);
	/* How far, nearly always, a better estimate `distance` of a row is from the distance. */
	float (*spread)(const struct hnsw_space *space, const void *query, uint32_t row,
	                float distance);
};

/* Life and growth */

/* An empty graph. -EINVAL for parameters that are not valid. [loop] */
int hnsw_new(const struct hnsw_params *params, struct budget *budget, struct hnsw **ret);
/* Gives all memory back. No search or build may be left. NULL is fine; returns NULL. [loop] */
struct hnsw *hnsw_free(struct hnsw *hnsw);
void hnsw_params(const struct hnsw *hnsw, struct hnsw_params *ret); /* [any] */
/* The same for a graph whose links stay where the source has them (struct hnsw_source): only slots
 * and rows take memory. It is filled by hnsw_load() and nothing is ever appended. */
int hnsw_new_mapped(const struct hnsw_params *params, struct budget *budget, struct hnsw **ret);
bool hnsw_is_mapped(const struct hnsw *hnsw); /* [any] */
/* Nodes that there is room for: there are never more before the next hnsw_reserve(). [loop] */
uint32_t hnsw_room(const struct hnsw *hnsw);

/* Makes sure of room for n_nodes more than are appended (exactly: their levels are known).
 * BUDGET_FULL when the ceiling forbids it and it may not or cannot spill, -ENOSPC beyond
 * HNSW_NODES_MAX, -ENOMEM: then what is there goes on working, nothing more can be appended, and
 * some of the memory (at most the smaller structures') may stay reserved for another try. [loop] */
int hnsw_reserve(struct hnsw *hnsw, uint32_t n_nodes, bool may_spill);
/* Appends nodes for n slots and their rows (HNSW_NO_ROW is allowed). Slots ascend over all nodes
 * (-EINVAL). -ENOSPC when more than was reserved. All of them or none. [owner] */
int hnsw_append(struct hnsw *hnsw, uint32_t n, const uint64_t *slots, const uint32_t *rows);

/* Nodes that are appended; at least those that are covered. [any] */
uint32_t hnsw_n_nodes(const struct hnsw *hnsw);
/* Nodes [0, covered) are inserted: what a new plan passes as `below`. [loop] */
uint32_t hnsw_covered(const struct hnsw *hnsw);
/* Bytes charged to the budget and spilled beside it, reserved ones included. [loop] */
void hnsw_bytes(const struct hnsw *hnsw, uint64_t *ret_granted, uint64_t *ret_spilled);

/* Nodes */

uint64_t hnsw_slot(const struct hnsw *hnsw, uint32_t node); /* [any] */
uint32_t hnsw_row(const struct hnsw *hnsw, uint32_t node);  /* [any] */
/* The node of a slot, by bisection: HNSW_NO_NODE. [any] */
int hnsw_find(const struct hnsw *hnsw, uint64_t slot, uint32_t *ret_node);
/* Says where a node's vector is: for nodes that came from a file, before anyone searches. [owner]
 */
void hnsw_set_row(struct hnsw *hnsw, uint32_t node, uint32_t row);

/* Marks a node as dead: it is navigated, but searches that begin later return it no more. It
 * knows no seq: a plan of an older seq loses the node too, so the caller retires what no plan
 * can see any longer and leaves the rest to the predicate. Covered or not. [any] */
void hnsw_retire(struct hnsw *hnsw, uint32_t node);
bool hnsw_is_dead(const struct hnsw *hnsw, uint32_t node); /* [any] */

/* Scratch */

/* Visited marks: one byte a node, in runs that never move. */
struct hnsw_marks {
	struct grant grant; /* without a budget: plain memory */
	uint8_t *runs[HNSW_NODES_MAX / RUN_BYTES];
	_Atomic uint32_t n_room; /* nodes that there are runs for */
	/* The worker's. */
	uint32_t n_clear; /* nodes whose marks were cleared once, and are in use since */
	uint8_t epoch;
};

/* What one worker needs to search or insert: visited marks, which are lent to it, and queues, which
 * are as large as ef asks for, in plain memory. One a thread, for all graphs that thread works on.
 * All zeros is empty, and takes marks by itself in plain memory: for tools. */
struct hnsw_scratch {
	struct hnsw_marks marks;
	uint64_t *candidates; /* queues of packed distance and node, see hnsw_scratch.h */
	uint32_t n_candidates;
	uint64_t *found;
	uint32_t n_found;
	void *query; /* for the space, twice */
	size_t query_bytes;
};

/* Empty, with marks out of the budget. [loop] */
void hnsw_scratch_init(struct hnsw_scratch *scratch, struct budget *budget);
/* Lends marks for n_nodes in all, spilled ones when the budget has none. Its worker may be at work:
 * what it has stays where it is. BUDGET_FULL, -ENOMEM. [loop] */
int hnsw_scratch_lend(struct hnsw_scratch *scratch, uint32_t n_nodes);
/* Takes the marks back. Its worker is not at work with a graph. [loop] */
void hnsw_scratch_take_back(struct hnsw_scratch *scratch);

/* Sizes it for a search of hnsw as it is now, in that space, with up to ef candidates, so that the
 * search takes no memory; a build does so itself. It only grows, but for marks of the budget: nodes
 * that no marks were lent for, since they came later, are not met. -ENOMEM. [worker] */
int hnsw_scratch_reserve(struct hnsw_scratch *scratch, const struct hnsw *hnsw,
                         const struct hnsw_space *space, uint32_t ef);
/* Gives back all but the marks: the next search sizes it again. [worker] */
void hnsw_scratch_rest(struct hnsw_scratch *scratch);
/* Fine to call twice; the scratch is then empty. [loop, where it has a budget] */
void hnsw_scratch_release(struct hnsw_scratch *scratch);

/* Insertion */

/* One build: inserts the nodes that are appended and not covered yet. Shared by its workers. */
struct hnsw_build {
	struct hnsw *hnsw;
	const struct hnsw_space *space; /* borrowed */
	uint32_t first, end;
	_Atomic uint32_t next; /* the first that no worker has taken */
	_Atomic uint32_t n_done;
	_Atomic bool is_cancelled;
};

/* [loop] */
void hnsw_build_init(struct hnsw_build *build, struct hnsw *hnsw, const struct hnsw_space *space);
/* Inserts until nothing is left, or it is cancelled: then it returns after the node at hand, which
 * takes a millisecond or so. Any number of workers at once, each with a scratch of its own. A
 * worker that has no memory for its scratch leaves its share to the others: -ENOMEM. [worker] */
int hnsw_build_run(struct hnsw_build *build, struct hnsw_scratch *scratch);
/* The same for max_nodes at most, for workers that are lent in turns: HNSW_BUILD_MORE when they
 * were inserted, and there may be more. [worker] */
int hnsw_build_some(struct hnsw_build *build, struct hnsw_scratch *scratch, uint32_t max_nodes);
#define HNSW_BUILD_MORE 1
void hnsw_build_cancel(struct hnsw_build *build); /* [any] */
/* Nodes inserted so far, and all of this build's. [any] */
void hnsw_build_progress(const struct hnsw_build *build, uint32_t *ret_done, uint32_t *ret_total);
/* When every run has returned: covers what was inserted (after a cancel, and when every worker
 * failed, less than all; the next build goes on from there) and returns hnsw_covered(). [loop] */
uint32_t hnsw_build_end(struct hnsw_build *build);

/* Search */

/* Which of n (at most HNSW_BATCH) rows are visible: bit i for rows[i]. Asked only about nodes that
 * are below `below`, not dead, and near enough to be returned. */
typedef uint64_t hnsw_visible(void *ctx, const uint32_t *rows, uint32_t n);

struct hnsw_search {
	const struct hnsw_space *space;
	const float *query;    /* from vector_prepare() */
	uint32_t k;            /* at least 1 */
	uint32_t ef;           /* at most what the scratch was reserved for; at least k is used,
	                        * and some more where distances are estimates */
	uint32_t below;        /* returns nodes below this: hnsw_covered() when it was planned */
	hnsw_visible *visible; /* NULL: all are */
	void *visible_ctx;
	uint64_t max_comparisons; /* gives up the search for more from here on; 0: no bound */
};

struct hnsw_search_stats {
	uint64_t comparisons; /* distances taken; 0 only from an empty graph */
	uint64_t hops;        /* nodes whose links were followed */
	uint64_t refined;     /* estimates that were replaced by the distance itself */
	bool is_cut; /* max_comparisons was reached, or more ways lay open than the queue holds
	              * and one of those let go may have led nearer: an exact scan may be the better
	              * answer */
};

/* The k nearest visible nodes as rows, nearest first, ties by lower row; returns how many. Nodes
 * that are not visible lead on but take no place among the ef, so that a selective predicate
 * costs comparisons, not answers. Takes neither lock nor memory. [any] */
uint32_t hnsw_search(const struct hnsw *hnsw, const struct hnsw_search *search,
                     struct hnsw_scratch *scratch, struct hit *ret_hits,
                     struct hnsw_search_stats *ret_stats);

/* Check */

struct hnsw_check_report {
	const char *
	        fault; /* the first thing wrong, as a literal ("a link to the node itself"); NULL */
	uint32_t node, level; /* where */
	uint32_t n_nodes;     /* covered ones: those were looked at */
	uint32_t n_reachable; /* over level 0 from the entry point: all of them in what was built */
	uint64_t n_links;     /* at level 0 */
	uint64_t n_upper_links;
	uint32_t top_level;
};

/* Looks at the whole structure, in some 15 ms for 60,000 nodes: links in range, none to the node
 * itself, none twice, those of a level to nodes of that level only, lists without holes, levels as
 * drawn, the entry point at the top. -EBADMSG with report->fault, -ENOMEM. While nobody builds.
 * [any] */
int hnsw_check(const struct hnsw *hnsw, struct hnsw_check_report *ret_report);

/* File */

/* A graph is saved as chunks of at most RUN_BYTES, each known by a tag and an index that counts
 * from 0. Where they lie and what guards them against bit rot is the caller's; FORMAT: see
 * hnsw_file.c. */
enum hnsw_chunk {
	HNSW_CHUNK_HEAD = 1,  /* parameters, counts, entry point: one */
	HNSW_CHUNK_SLOTS = 2, /* node to slot */
	HNSW_CHUNK_LINKS = 3, /* level 0 */
	HNSW_CHUNK_UPPER = 4, /* levels from 1 on */
};

struct hnsw_sink {
	/* Takes one chunk of n bytes; < 0 ends the saving with that. */
	int (*write)(struct hnsw_sink *sink, enum hnsw_chunk tag, uint32_t idx, const void *bytes,
	             size_t n);
};

struct hnsw_source {
	/* Fills n bytes with that chunk: -EBADMSG when there is none or its length is another. */
	int (*read)(struct hnsw_source *source, enum hnsw_chunk tag, uint32_t idx, void *bytes,
	            size_t n);
	/* The same where it lies, 64-byte aligned, for as long as the graph: for mapped ones. */
	int (*map)(struct hnsw_source *source, enum hnsw_chunk tag, uint32_t idx, size_t n,
	           const void **ret);
};

/* What a file holds. */
struct hnsw_head {
	struct hnsw_params params;
	uint32_t n_nodes;
	uint32_t entry; /* HNSW_NO_ENTRY: no nodes */
};
#define HNSW_NO_ENTRY UINT32_MAX

/* Saves the covered nodes while searches and retirements go on; neither liveness nor rows are
 * saved. Writes head, slots, links, upper links, each by ascending index. [owner] */
int hnsw_save(const struct hnsw *hnsw, struct hnsw_sink *sink);
/* Reads the head: -EBADMSG when it is none, or its figures are beyond the limits. [worker] */
int hnsw_load_head(struct hnsw_source *source, struct hnsw_head *ret);
/* Fills an empty graph that was made with the head's parameters and has head->n_nodes reserved.
 * Every bound is checked, whatever the checksums say: -EBADMSG, and the graph is to be freed. The
 * links of a mapped graph may change after that, so each is checked when it is followed instead.
 * All nodes are then without row (hnsw_set_row) and alive; hnsw_load_end() covers them. [owner] */
int hnsw_load(struct hnsw *hnsw, const struct hnsw_head *head, struct hnsw_source *source);
/* Covers what was loaded; returns hnsw_covered(). [loop] */
uint32_t hnsw_load_end(struct hnsw *hnsw);
