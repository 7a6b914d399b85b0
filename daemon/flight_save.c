/* SPDX-License-Identifier: Apache-2.0 */

/* Saving the serving generation, while it is searched. */

#include <errno.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/index_cache.h"
#include "daemon/log.h"

struct chunk_sink {
	struct hnsw_sink sink;
	struct snapshot_writer *writer;
	const struct reserve *reserve;
};

/* What was reserved is left to deletes: what is written by then goes. */
static int look_for_room(const struct chunk_sink *sink)
{
	return reserve_is_given_up(sink->reserve) ? -ENOSPC : 0;
}

static int write_chunk(struct hnsw_sink *base, enum hnsw_chunk tag, uint32_t idx, const void *bytes,
                       size_t n)
{
	struct chunk_sink *sink = (struct chunk_sink *)base;
	int r = look_for_room(sink);

	return r ? r : snapshot_writer_chunk(sink->writer, (uint32_t)tag, idx, bytes, n);
}

static int save_curve(const struct recall_curve *curve, struct snapshot_writer *writer)
{
	uint8_t bytes[RECALL_CURVE_BYTES_MAX];
	size_t n = recall_curve_encode(curve, bytes);

	return curve->n > 0 ? snapshot_writer_chunk(writer, RECALL_CURVE_CHUNK, 0, bytes, n) : 0;
}

void snapshot_fingerprint_of(const struct record_spec *spec, const struct index_params *params,
                             struct snapshot_fingerprint *ret)
{
	struct record_index record;

	index_params_encode(params, &record);
	*ret = (struct snapshot_fingerprint){.spec = *spec, .n_params = record.n_params};
	strcpy(ret->kind, record.kind);
	memcpy(ret->params, record.params, record.n_params);
}

int snapshot_save(struct store_io *io, const struct reserve *reserve, const char *dir,
                  const struct record_spec *spec, const struct generation *generation,
                  const struct uuid *epoch, uint64_t seq)
{
	struct snapshot_head head = {
	        .epoch = *epoch,
	        .seq = seq,
	        .generation = generation->number,
	        .n_nodes = hnsw_n_nodes(generation->hnsw),
	};
	struct chunk_sink sink = {.sink = {write_chunk}, .reserve = reserve};
	char name[INDEX_FILE_SIZE];
	int r;

	snapshot_fingerprint_of(spec, &generation->params, &head.fingerprint);
	index_file(&generation->params, name);
	r = snapshot_writer_begin(io, dir, name, &head, &sink.writer);
	if (r)
		return r;
	r = hnsw_save(generation->hnsw, &sink.sink);
	if (r == 0)
		r = save_curve(&generation->curve, sink.writer);
	if (r == 0)
		r = look_for_room(&sink);
	if (r) {
		snapshot_writer_abort(sink.writer);
		return r;
	}
	return snapshot_writer_commit(sink.writer);
}

static void save_work(struct job *job, uint32_t worker)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);
	struct collection *collection = flight->collection;

	(void)worker;
	if (reserve_lacks_room(collection->daemon->reserve)) {
		flight->result = -ENOSPC;
		return;
	}
	/* Whoever emptied the cache meanwhile took the directory along. */
	flight->result = store_make_dirs(collection->daemon->io, collection->cache_dir);
	if (flight->result)
		return;
	job_phase(job, "begun");
	flight->result = snapshot_save(collection->daemon->io, collection->daemon->reserve,
	                               collection->cache_dir, &collection->entry.spec,
	                               flight->generation, &flight->epoch, flight->pin.seq);
	if (flight->result == 0)
		flight_open_saved(flight);
}

static void save_done(struct job *job)
{
	struct flight *flight = LIST_ELEMENT(job, struct flight, job);

	if (job->ran && flight->result == 0) {
		flight->generation->saved_nodes = (uint32_t)flight->total;
		flight->generation->saved_rows = flight->covered_rows;
		index_keep_snapshot(flight->index, flight->snapshot, &flight->head);
	}
	flight_end(flight, job->ran ? flight->result : -ECANCELED, "cannot save the snapshot");
}

void flight_save_start(struct flight *flight)
{
	flight->generation = generation_ref(flight->index->serving);
	flight->covered_rows = flight->generation->covered_rows;
	collection_pin(flight->collection, PIN_ROWS, &flight->pin);
	flight->pinned = true;
	flight->epoch = *collection_epoch(flight->collection);
	flight_enter(flight, PHASE_SAVE, hnsw_covered(flight->generation->hnsw));
	flight_submit(flight, LANE_BACKGROUND, "save", save_work, save_done);
}
