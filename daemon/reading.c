/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/reading.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/generation.h"
#include "daemon/index_cache.h"
#include "daemon/session.h"
#include "daemon/vectors_cache.h"

static void turns_kick(struct daemon *daemon);

/* Reads in the lane for each of its workers: one at work, one ready. */
#define READS_PER_WORKER 2

void read_turns_init(struct read_turns *turns, uint32_t n_workers)
{
	list_init(&turns->peers);
	turns->n_running = 0;
	turns->max_running = n_workers * READS_PER_WORKER;
	turns->max_shared = n_workers > 1 ? n_workers - 1 : 1;
}

/* What a method reads. */
struct read_method {
	void (*run)(struct reading *reading, uint32_t worker);
	const char *what;
};

static const struct read_method read_methods[WIRE_N_METHODS] = {
        [WIRE_METHOD_search] = {run_search, "search"},
        [WIRE_METHOD_get] = {run_get, "get"},
        [WIRE_METHOD_scan] = {run_scan, "scan"},
        [WIRE_METHOD_count] = {run_count, "count"},
};

int reading_reader(struct reading *reading, uint32_t worker, struct record_reader **ret)
{
	struct collection *collection = reading->request->collection;
	struct record_reader **reader = &collection->readers[worker];
	int r = 0;

	if (!*reader)
		r = record_reader_new(collection->store, reader);
	if (r == 0)
		*ret = *reader;
	return r;
}

/* Candidates of a search: as asked, or by the recall that is asked for, or the index's own. */
static uint32_t ef_of(const struct search_params *params, const struct index *index,
                      const struct recall_curve *curve)
{
	if (params->target_recall > 0)
		return recall_curve_ef(curve, params->target_recall, params->k);
	return params->ef_search ? params->ef_search : index->params.ef_search;
}

/* The first serving index, unless the search is to be exact or wider than a graph search may be.
 * CACHE_LOADING: the request waits for one that was evicted; it may have begun anew already. */
static int plan_index(struct reading *reading)
{
	const struct search_params *params = request_params(reading->request, search);
	struct collection *collection = reading->request->collection;

	reading->request->next = reading_queue;
	reading->bulk = collection->entry.bulk;
	if (reading->bulk || params->exact || params->k > LIMIT_INDEX_EF)
		return 0;
	for (struct list *link = collection->indexes.next; link != &collection->indexes;
	     link = link->next) {
		struct index *index = LIST_ELEMENT(link, struct index, link);
		int r = index_acquire(index, reading->request, &reading->generation);

		if (r == CACHE_MISS)
			continue;
		if (r)
			return r;
		reading->covered_rows = reading->generation->covered_rows;
		reading->below = hnsw_covered(reading->generation->hnsw);
		reading->ef_search = ef_of(params, index, &reading->generation->curve);
		return 0;
	}
	return 0;
}

/* Whether the request may open a read transaction; and the namespace that it asks for. */
static void plan(struct reading *reading)
{
	struct request *request = reading->request;
	struct collection *collection = request->collection;
	struct wire_str ns = {0};

	reading->uses_sql = true;
	switch (request->wire.method) {
	case WIRE_METHOD_search:
		ns = request_params(request, search)->namespace;
		reading->uses_sql = request_params(request, search)->include != 0 ||
		                    collection->mapped_rows < collection->n_rows;
		break;
	case WIRE_METHOD_scan:
		ns = request_params(request, scan)->namespace;
		break;
	case WIRE_METHOD_count:
		ns = request_params(request, count)->namespace;
		reading->uses_sql = false;
		break;
	default:
		break;
	}
	reading->view.ns = RECORD_TABLE_ANY_NS;
	if (ns.data)
		reading->nothing =
		        !namespaces_find(&collection->namespaces, ns.data, ns.n, &reading->view.ns);
}

static void reading_work(struct job *job, uint32_t worker)
{
	struct reading *reading = LIST_ELEMENT(job, struct reading, job);

	read_methods[reading->request->wire.method].run(reading, worker);
}

static void count_search(const struct reading *reading)
{
	struct collection *collection = reading->request->collection;
	const struct search_params *params = request_params(reading->request, search);
	uint64_t n = params->vectors.n /
	             (dtype_bytes((enum dtype)params->dtype) * (size_t)collection->entry.spec.dim);
	struct tally *tally = collection->tally;
	enum tally_way way = TALLY_SCAN;
	struct tally_cell *cell;

	if (reading->generation && !reading->nothing) {
		tally = reading->generation->tally;
		way = reading->used_graph ? TALLY_GRAPH : TALLY_FELL_BACK;
	}
	cell = &tally->cells[way][reading->source][reading->has_pending];
	cell->searches += n;
	cell->comparisons += reading->comparisons;
	cell->scanned += reading->scanned;
	collection->n_searches += n;
	collection->n_comparisons += reading->comparisons + reading->scanned;
}

/* The peer takes part in the turns, if it has sessions that do. */
static void queue_peer(struct daemon *daemon, struct peer *peer)
{
	if (!list_empty(&peer->readers) && list_empty(&peer->reads_link))
		list_append(&daemon->read_turns.peers, &peer->reads_link);
}

/* The session takes part in the turns, if it has reads that wait. */
static void queue_session(struct session *session)
{
	if (!list_empty(&session->reads) && list_empty(&session->reads_link))
		list_append(&session->peer->readers, &session->reads_link);
	queue_peer(session->daemon, session->peer);
}

static void reading_done(struct job *job)
{
	struct reading *reading = LIST_ELEMENT(job, struct reading, job);
	struct request *request = reading->request;
	struct collection *collection = request->collection;
	struct daemon *daemon = request->daemon;

	request->job = NULL;
	if (!request_is_answered(request))
		request_refuse_errno(request, -ECANCELED, job->what);
	if (request->wire.method == WIRE_METHOD_search && !request->refused) {
		count_search(reading);
		collection->upkeep.searched++;
	}
	if (reading->bad_extent != UINT64_MAX)
		upkeep_lost_vectors(collection, reading->bad_extent * vector_file_extent_rows(
		                                                              collection->vectors));
	if (reading->generation && generation_is_lost(reading->generation))
		index_graph_lost(reading->generation);
	if (reading->generation)
		scratch_return(daemon, LANE_INTERACTIVE);
	generation_unref(reading->generation);
	collection_unpin(collection, &reading->pin);
	collection->n_sql_reads -= reading->uses_sql;
	upkeep_read_ended(collection);
	upkeep_look(collection);
	daemon->read_turns.n_running--;
	reading->peer->n_reading--;
	queue_peer(daemon, reading->peer);
	peer_unref(reading->peer);
	free(reading);
	if (request->session) {
		request->session->n_reading--;
		queue_session(request->session);
	}
	request_finish(request);
	turns_kick(daemon);
}

static void reading_begin(struct request *request)
{
	struct collection *collection = request->collection;
	struct daemon *daemon = request->daemon;
	struct reading *reading;

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "reading");
		request_finish(request);
		return;
	}
	if (collection->dropped || !(collection_is_open(collection) || collection->upkeep.rests)) {
		request_finish_refusal(request, WIRE_ERROR_DROPPED, "collection",
		                       "the collection was dropped");
		return;
	}
	reading = calloc(1, sizeof(*reading));
	if (!reading) {
		request_refuse_errno(request, -ENOMEM, "reading");
		request_finish(request);
		return;
	}
	reading->request = request;
	reading->bad_extent = UINT64_MAX;
	plan(reading);
	if (collection->upkeep.rests || (reading->uses_sql && collection->upkeep.holds_reads)) {
		request->next = reading_queue;
		list_append(&collection->held_reads, &request->wait_link);
		free(reading);
		return;
	}
	if (request->wire.method == WIRE_METHOD_search && plan_index(reading)) {
		free(reading);
		return;
	}
	if (request->wire.method == WIRE_METHOD_search)
		vectors_cache_use(collection);
	collection_pin(collection, PIN_RECORDS, &reading->pin);
	/* Without room for a worker's marks every record is compared. */
	if (reading->generation &&
	    scratch_lend(daemon, LANE_INTERACTIVE, reading->generation->hnsw) != 0)
		reading->generation = generation_unref(reading->generation);
	reading->view.seq = reading->pin.seq;
	reading->view.now_s = clock_wall_ms(daemon->clock) / 1000;
	reading->job.what = read_methods[request->wire.method].what;
	reading->job.done = reading_done;
	reading->job.work = reading_work;
	collection->n_sql_reads += reading->uses_sql;
	daemon->read_turns.n_running++;
	request->session->n_reading++;
	reading->peer = peer_ref(request->session->peer);
	reading->peer->n_reading++;
	request->job = &reading->job;
	lanes_submit(daemon->lanes, LANE_INTERACTIVE, &reading->job);
}

/* Whether the session must wait: for a read of its own to end, or for its client to read some of
 * the answers that it has. Over the daemon's limit for all answers, any are enough. */
static bool has_enough(const struct session *session)
{
	const struct daemon *daemon = session->daemon;

	if (session->unread_bytes >= SESSION_UNREAD_BYTES ||
	    (session->unread_bytes > 0 && inflight_answers_full(&daemon->inflight)))
		return true;
	return (session->n_reading >= daemon->read_turns.max_shared ||
	        session->unread_bytes >= SHARE_UNREAD_BYTES) &&
	       asking_is_shared(&daemon->asking, clock_monotonic_ns(daemon->clock));
}

/* Whether the peer must wait for a read of its own to end. */
static bool peer_has_enough(const struct daemon *daemon, const struct peer *peer)
{
	return peer->n_reading >= daemon->read_turns.max_shared &&
	       asking_is_shared(&daemon->peers_asking, clock_monotonic_ns(daemon->clock));
}

static void turns_kick(struct daemon *daemon)
{
	struct read_turns *turns = &daemon->read_turns;
	struct list *link;

	while (turns->n_running < turns->max_running && (link = list_pop(&turns->peers))) {
		struct peer *peer = LIST_ELEMENT(link, struct peer, reads_link);
		struct session *session;
		struct request *request;

		if (list_empty(&peer->readers) || peer_has_enough(daemon, peer))
			continue; /* the end of a read brings it back */
		session = LIST_ELEMENT(list_pop(&peer->readers), struct session, reads_link);
		queue_peer(daemon, peer);
		if (has_enough(session))
			continue; /* the end of a read, or reading_join(), brings it back */
		request = LIST_ELEMENT(list_pop(&session->reads), struct request, wait_link);
		queue_session(session);
		reading_begin(request);
	}
}

void reading_join(struct session *session)
{
	queue_session(session);
	turns_kick(session->daemon);
}

void reading_queue(struct request *request)
{
	struct session *session = request->session;

	if (!request_is_wanted(request)) {
		request_refuse_errno(request, -ECANCELED, "reading");
		request_finish(request);
		return;
	}
	list_append(&session->reads, &request->wait_link);
	reading_join(session);
}

void reading_forget(struct session *session)
{
	struct list *link;

	list_remove(&session->reads_link);
	while ((link = list_pop(&session->reads))) {
		struct request *request = LIST_ELEMENT(link, struct request, wait_link);

		request_finish_refusal(request, WIRE_ERROR_CANCELLED, NULL, "cancelled");
	}
}
