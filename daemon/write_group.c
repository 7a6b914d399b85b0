/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A group of writes: one job in the write lane, one transaction, one sync.
 *
 *   check vectors ─► begin ─► per request: savepoint, apply ─► commit (sync)
 *                                                                │ durable from here on
 *     answers ◄─ publish (loop) ◄─ encode ◄─ vector file ◄─ record table
 *
 * A request that cannot be applied is undone to its savepoint and refused alone. When the
 * transaction itself fails, all are refused and the writer is opened anew: a sync that failed is
 * not tried again. A full disk refuses what adds; what deletes is tried once more, alone, in the
 * room that is reserved for it (storage/reserve.h).
 *
 * What the commit changed is kept as a list of changes (struct change), because the record table
 * and the vector file may only follow what is durable. Memory for the table was granted by the
 * loop before; if the vector file cannot follow, the restore care writes the rows again.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/events.h"
#include "daemon/index.h"
#include "daemon/log.h"
#include "index/vector.h"

/* Rows that are prepared for the vector file at once. */
#define VECTOR_BATCH_ROWS 256

/* What the write of one record did, and what the table and the vector file need of it. */
struct change {
	struct record_change record;
	uint64_t seq;
	struct record_id id;
	const void *vector;   /* inserted, replaced: in a frame or the group's arena */
	uint64_t retired_row; /* replaced, deleted: of the record table */
};

/* A request of the group and its counts. */
struct member {
	struct request *request;
	bool kept;
	uint64_t seq;
	uint32_t by_effect[RECORD_MISSING + 1];
	struct wire_u32s missing;
};

struct group {
	struct job job;
	struct collection *collection;
	struct wire_arena arena; /* vectors that updates took over */
	struct member *members;
	uint32_t n_members;
	struct change *changes;
	uint32_t n_changes, max_changes;
	struct namespace_entry **namespaces; /* new ones, of kept requests; owned */
	uint32_t n_namespaces;
	uint64_t first_seq; /* the published one */
	uint64_t seq; /* of the last kept request; the published one when none changed anything */
	struct record_epoch epoch; /* of that seq, when the writer has begun one */
	bool has_epoch;
	int64_t live_delta;
	uint32_t n_retired;
	bool vectors_follow; /* in: the file has all rows; out: it has the new ones too */
	int vectors_error;
	int error; /* of the transaction: all members failed */
};

/* What a request brings, whatever its method. */
struct batch {
	const struct wire_ids *ids;
	struct wire_bin vectors;
	enum dtype dtype; /* of the vectors */
	struct wire_texts texts;
	struct wire_metas metas;
	struct wire_str namespace;
};

static void batch_of(const struct request *request, struct batch *batch)
{
	*batch = (struct batch){0};
	switch (request->wire.method) {
	case WIRE_METHOD_upsert: {
		const struct upsert_params *params = request_params(request, upsert);

		*batch = (struct batch){&params->ids,  params->vectors, (enum dtype)params->dtype,
		                        params->texts, params->metas,   params->namespace};
		return;
	}
	case WIRE_METHOD_update: {
		const struct update_params *params = request_params(request, update);

		*batch = (struct batch){&params->ids,  {0},           0,
		                        params->texts, params->metas, params->namespace};
		return;
	}
	default:
		batch->ids = &request_params(request, delete)->ids;
	}
}

/* Applying: in the transaction ----------------------------------------------------------------- */

static void record_of(struct record *record, struct record_field *fields, const struct batch *batch,
                      uint32_t i, size_t vector_bytes)
{
	const struct wire_id *id = &batch->ids->v[i];

	*record = (struct record){.id = {id->text, id->n, id->number}};
	if (batch->vectors.data)
		record->vector = (const uint8_t *)batch->vectors.data + i * vector_bytes;
	if (batch->texts.v && batch->texts.v[i].data) {
		record->text = batch->texts.v[i].data;
		record->text_n = batch->texts.v[i].n;
	}
	if (!batch->metas.v || !batch->metas.v[i].blob.data)
		return;
	record->meta.blob = batch->metas.v[i].blob.data;
	record->meta.blob_n = batch->metas.v[i].blob.n;
	record->meta.fields = fields;
	record->meta.n_fields = batch->metas.v[i].n_scalars;
	for (uint32_t f = 0; f < record->meta.n_fields; f++) {
		const struct wire_scalar *scalar = &batch->metas.v[i].scalars[f];

		fields[f].name = scalar->key.data;
		fields[f].name_n = scalar->key.n;
		switch (scalar->kind) {
		case WIRE_SCALAR_INT:
			fields[f].kind = RECORD_FIELD_INT;
			fields[f].integer = scalar->integer;
			break;
		case WIRE_SCALAR_FLOAT:
			fields[f].kind = RECORD_FIELD_FLOAT;
			fields[f].real = scalar->real;
			break;
		case WIRE_SCALAR_BOOL:
			fields[f].kind = RECORD_FIELD_BOOL;
			fields[f].boolean = scalar->boolean;
			break;
		case WIRE_SCALAR_TEXT:
			fields[f].kind = RECORD_FIELD_TEXT;
			fields[f].text.data = scalar->text.data;
			fields[f].text.n = scalar->text.n;
			break;
		}
	}
}

static unsigned parts_of(const struct record *record, const struct batch *batch)
{
	return (record->text ? RECORD_PART_TEXT : 0u) |
	       (record->meta.blob ? RECORD_PART_META : 0u) |
	       (batch->namespace.data ? RECORD_PART_NAMESPACE : 0u);
}

static int apply_one(struct group *group, struct member *member, const struct batch *batch,
                     uint32_t i, uint32_t ns)
{
	struct record_writer *writer = group->collection->writer;
	const struct record_spec *spec = &group->collection->entry.spec;
	size_t vector_bytes = spec->dim * (size_t)dtype_bytes((enum dtype)spec->dtype);
	struct change *change = &group->changes[group->n_changes];
	struct record_field fields[LIMIT_META_SCALARS];
	struct record record;
	int r;

	record_of(&record, fields, batch, i, vector_bytes);
	*change = (struct change){.seq = member->seq, .id = record.id, .vector = record.vector};
	switch (member->request->wire.method) {
	case WIRE_METHOD_upsert:
		r = record_writer_upsert(writer, &record, ns, &change->record);
		break;
	case WIRE_METHOD_update:
		r = record_writer_update(writer, &record, ns, parts_of(&record, batch),
		                         &change->record);
		break;
	default:
		r = record_writer_delete(writer, &record.id, &change->record);
	}
	if (r)
		return r;
	if (change->record.vector) {
		void *copy = wire_arena_alloc(&group->arena, vector_bytes);

		if (!copy)
			return -ENOMEM;
		memcpy(copy, change->record.vector, vector_bytes);
		change->vector = copy;
	}
	member->by_effect[change->record.effect]++;
	if (change->record.effect == RECORD_MISSING)
		member->missing.v[member->missing.n++] = i;
	else if (change->record.effect != RECORD_UNCHANGED)
		group->n_changes++;
	return 0;
}

static int apply_namespace(struct group *group, struct wire_str name, uint32_t *ret_ns)
{
	bool is_new = false;
	int r;

	*ret_ns = 0;
	if (!name.data || name.n == 0)
		return 0;
	r = record_writer_namespace(group->collection->writer, name.data, name.n, LIMIT_NAMESPACES,
	                            ret_ns, &is_new);
	if (r == 0 && is_new) {
		struct namespace_entry *entry = namespace_entry_new(name.data, name.n, *ret_ns);

		if (!entry)
			return -ENOMEM;
		group->namespaces[group->n_namespaces++] = entry;
	}
	return r;
}

/* Those behind the first n go. */
static void forget_namespaces(struct group *group, uint32_t n)
{
	while (group->n_namespaces > n)
		namespace_entry_free(group->namespaces[--group->n_namespaces]);
}

/* Makes the batch's vectors such as the collection keeps, in the request's arena; an outcome of
 * vector_convert(), or -ENOMEM. What is stored is compared with these. */
static int convert_vectors(const struct record_spec *spec, struct request *request,
                           struct batch *batch, size_t *ret_row)
{
	enum dtype to = (enum dtype)spec->dtype;
	size_t n_bytes = (size_t)batch->ids->n * spec->dim * dtype_bytes(to);
	void *converted;
	int r;

	if (batch->dtype == to)
		return 0;
	converted = wire_arena_alloc(&request->arena, n_bytes);
	if (!converted)
		return -ENOMEM;
	r = vector_convert(batch->vectors.data, batch->ids->n, spec->dim, batch->dtype,
	                   (enum metric)spec->metric, to, converted, ret_row);
	batch->vectors = (struct wire_bin){converted, n_bytes};
	batch->dtype = to;
	return r;
}

/* Refuses what is wrong with a request itself; the group goes on without it. */
static bool take_vectors(struct group *group, struct request *request, struct batch *batch)
{
	const struct record_spec *spec = &group->collection->entry.spec;
	struct wire_error error;
	size_t row;
	int r;

	if (!batch->vectors.data)
		return true;
	r = vector_check(batch->vectors.data, batch->ids->n, spec->dim, batch->dtype,
	                 (enum metric)spec->metric, &row);
	if (r == 0)
		r = convert_vectors(spec, request, batch, &row);
	if (r == 0)
		return true;
	if (r < 0) {
		request_refuse_errno(request, r, "writing");
		return false;
	}
	wire_error_set_row(&error, WIRE_ERROR_BAD_VALUE, "vectors", row, "vector %zu %s", row,
	                   vector_fault_text(r));
	request_refuse_with(request, &error);
	return false;
}

static int apply_member(struct group *group, struct member *member)
{
	struct request *request = member->request;
	uint32_t changes_before = group->n_changes;
	uint32_t namespaces_before = group->n_namespaces;
	struct batch batch;
	uint32_t ns;
	int r;

	batch_of(request, &batch);
	if (!take_vectors(group, request, &batch))
		return 0;
	member->missing.v = wire_arena_alloc(&request->arena, batch.ids->n * sizeof(uint32_t));
	if (!member->missing.v)
		return -ENOMEM;
	r = record_writer_begin_request(group->collection->writer, &member->seq);
	if (r)
		return r;
	r = apply_namespace(group, batch.namespace, &ns);
	for (uint32_t i = 0; r == 0 && i < batch.ids->n; i++)
		r = apply_one(group, member, &batch, i, ns);
	if (r == -ENOSPC)
		return r; /* no fault of the request's */
	if (r == RECORD_STORE_NAMESPACES_FULL)
		request_refuse(request, WIRE_ERROR_OVER_LIMIT, "namespace",
		               "the collection has %u namespaces; the limit is %u",
		               (unsigned)LIMIT_NAMESPACES, (unsigned)LIMIT_NAMESPACES);
	else if (r)
		request_refuse_errno(request, r, "writing"); /* the others may be fine */
	member->kept = r == 0;
	if (!member->kept) {
		group->n_changes = changes_before;
		forget_namespaces(group, namespaces_before);
	} else if (group->n_changes > changes_before) {
		group->seq = member->seq;
	} else {
		member->seq = group->seq;
	}
	return record_writer_end_request(group->collection->writer, member->kept);
}

static int apply_all(struct group *group)
{
	struct collection *collection = group->collection;
	int r = collection_writer(collection);

	if (r)
		return r;
	r = record_writer_begin(collection->writer);
	for (uint32_t i = 0; r == 0 && i < group->n_members; i++) {
		if (!group->members[i].request->refused)
			r = apply_member(group, &group->members[i]);
	}
	if (r == 0)
		r = record_writer_commit(collection->writer);
	if (r) {
		record_writer_rollback(collection->writer);
		collection->writer = record_writer_free(collection->writer);
	}
	return r;
}

static bool is_delete(const struct member *member)
{
	return member->request->wire.method == WIRE_METHOD_delete;
}

static uint32_t count_deletes(const struct group *group)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < group->n_members; i++)
		n += is_delete(&group->members[i]);
	return n;
}

/* As if nothing had been applied yet; what adds is refused, if there is anything else. */
static void begin_anew(struct group *group)
{
	group->n_changes = 0;
	group->seq = group->first_seq;
	forget_namespaces(group, 0);
	for (uint32_t i = 0; i < group->n_members; i++) {
		struct member *member = &group->members[i];

		*member = (struct member){.request = member->request};
		if (!is_delete(member) && !member->request->refused)
			request_refuse_errno(member->request, -ENOSPC, "writing");
	}
}

static int apply_as_far_as_there_is_room(struct group *group)
{
	struct reserve *reserve = group->collection->daemon->reserve;
	uint32_t n_deletes = count_deletes(group);
	bool adds = n_deletes < group->n_members;
	int r = adds && reserve_lacks_room(reserve) ? -ENOSPC : apply_all(group);

	if (adds)
		reserve_added(reserve, r);
	if (n_deletes > 0 && reserve_helps(reserve, r)) {
		begin_anew(group);
		r = apply_all(group);
	}
	return r;
}

/* Following: after the commit ------------------------------------------------------------------ */

static bool has_new_slot(const struct change *change)
{
	return change->record.effect == RECORD_INSERTED || change->record.effect == RECORD_REPLACED;
}

static bool retires(const struct change *change)
{
	return change->record.effect == RECORD_REPLACED || change->record.effect == RECORD_DELETED;
}

/* Memory was granted and the slots are there: anything else would leave memory and truth apart,
 * and a restart, which loads the truth, is the better end. */
static void must(int r)
{
	if (r)
		abort();
}

static void follow_change(struct group *group, struct change *change)
{
	struct record_table *table = &group->collection->table;
	const struct record_change *record = &change->record;
	struct record_table_row row = {
	        .slot = record->slot,
	        .id = {change->id.text, change->id.n, change->id.number},
	        .ns = record->ns,
	        .expires_at = record->expires_at,
	        .retired_seq = RECORD_TABLE_LIVE,
	};
	uint64_t at;

	if (has_new_slot(change))
		must(record_table_append(table, &row));
	if (retires(change)) {
		must(record_table_find(table, table->n_rows, record->retired_slot,
		                       &change->retired_row));
		record_table_retire(table, change->retired_row, change->seq);
		group->n_retired++;
	}
	if (record->effect == RECORD_TOUCHED) {
		must(record_table_find(table, table->n_rows, record->slot, &at));
		record_table_touch(table, at, record->ns, record->expires_at);
	}
	group->live_delta += record->effect == RECORD_INSERTED;
	group->live_delta -= record->effect == RECORD_DELETED;
}

/* Copies the new vectors into the vector file, in batches. */
static int follow_vectors(struct group *group)
{
	struct collection *collection = group->collection;
	const struct record_spec *spec = &collection->entry.spec;
	uint32_t stride = collection_stride(collection);
	uint64_t slots[VECTOR_BATCH_ROWS];
	uint8_t *rows = aligned_alloc(64, (size_t)VECTOR_BATCH_ROWS * stride);
	uint32_t n = 0;
	int r = rows ? 0 : -ENOMEM;

	for (uint32_t i = 0; r == 0 && i < group->n_changes; i++) {
		const struct change *change = &group->changes[i];

		if (!has_new_slot(change))
			continue;
		slots[n] = change->record.slot;
		vector_prepare(change->vector, 1, spec->dim, (enum dtype)spec->dtype,
		               (enum metric)spec->metric, rows + (size_t)n * stride);
		if (++n == VECTOR_BATCH_ROWS) {
			r = vector_file_append(collection->vectors, n, slots, rows);
			n = 0;
		}
	}
	if (r == 0 && n > 0)
		r = vector_file_append(collection->vectors, n, slots, rows);
	free(rows);
	return r;
}

static void encode_answer(const struct member *member)
{
	const uint32_t *n = member->by_effect;

	switch (member->request->wire.method) {
	case WIRE_METHOD_upsert:
		request_result(member->request, &(struct upsert_result){
		                                        .seq = member->seq,
		                                        .inserted = n[RECORD_INSERTED],
		                                        .replaced = n[RECORD_REPLACED],
		                                        .touched = n[RECORD_TOUCHED],
		                                        .unchanged = n[RECORD_UNCHANGED],
		                                });
		return;
	case WIRE_METHOD_update:
		request_result(member->request, &(struct update_result){
		                                        .seq = member->seq,
		                                        .replaced = n[RECORD_REPLACED],
		                                        .touched = n[RECORD_TOUCHED],
		                                        .unchanged = n[RECORD_UNCHANGED],
		                                        .missing = member->missing,
		                                });
		return;
	default:
		request_result(member->request, &(struct delete_result){
		                                        .seq = member->seq,
		                                        .deleted = n[RECORD_DELETED],
		                                        .missing = member->missing,
		                                });
	}
}

static void group_work(struct job *job, uint32_t worker)
{
	struct group *group = LIST_ELEMENT(job, struct group, job);
	struct collection *collection = group->collection;

	(void)worker;
	group->error = apply_as_far_as_there_is_room(group);
	if (group->error) {
		/* What a failed commit left in the connection is not known: begin with a new one.
		 */
		collection->writer = record_writer_free(collection->writer);
		return;
	}
	job_phase(job, "committed");
	group->has_epoch = record_writer_epoch(collection->writer, &group->epoch);
	for (uint32_t i = 0; i < group->n_changes; i++)
		follow_change(group, &group->changes[i]);
	if (group->vectors_follow) {
		group->vectors_error = follow_vectors(group);
		group->vectors_follow = group->vectors_error == 0;
	}
	for (uint32_t i = 0; i < group->n_members; i++) {
		if (group->members[i].kept)
			encode_answer(&group->members[i]);
	}
}

/* On the loop ---------------------------------------------------------------------------------- */

static void publish(struct group *group)
{
	struct collection *collection = group->collection;

	while (group->n_namespaces > 0)
		namespaces_put(&collection->namespaces, group->namespaces[--group->n_namespaces]);
	indexes_note_new(collection, collection->table.n_rows - collection->n_rows);
	for (uint32_t i = 0; i < group->n_changes; i++) {
		if (retires(&group->changes[i]))
			indexes_note_retired(collection, group->changes[i].retired_row);
	}
	collection->seq = group->seq;
	if (group->has_epoch)
		record_epochs_add(collection->epochs, &group->epoch);
	collection->n_rows = collection->table.n_rows;
	collection->n_live = (uint64_t)((int64_t)collection->n_live + group->live_delta);
	if (group->vectors_follow && collection->upkeep.lost_row == UINT64_MAX)
		collection->mapped_rows = collection->n_rows;
	if (group->vectors_error)
		upkeep_lost_vectors(collection, collection->mapped_rows);
	upkeep_retired(collection, group->n_retired);
	collection->n_writes += group->n_members;
	collection->n_groups++;
}

static void group_free(struct group *group)
{
	wire_arena_release(&group->arena);
	forget_namespaces(group, 0);
	free(group->members);
	free(group->changes);
	free(group->namespaces);
	free(group);
}

static void group_done(struct job *job)
{
	struct group *group = LIST_ELEMENT(job, struct group, job);
	struct collection *collection = group->collection;
	struct daemon *daemon = collection->daemon;

	if (!group->error)
		publish(group);
	else
		log_error("collection '%s': a group of %u writes failed: %s",
		          collection->entry.name, group->n_members, strerror(-group->error));
	collection->upkeep.written_ns = clock_monotonic_ns(daemon->clock);
	if (!group->error && group->n_changes > 0)
		events_change(collection, WIRE_change_written);
	for (uint32_t i = 0; i < group->n_members; i++) {
		struct request *request = group->members[i].request;

		if (group->error && !request->refused)
			request_refuse_errno(request, group->error, "writing");
		if (group->error)
			request->failed = 0; /* logged above */
		write_queue_forget(&collection->writes, request);
		request_finish(request);
	}
	collection_turn_done(collection);
	group_free(group);
	upkeep_look(collection);
	collection_kick(collection);
	collection_unref(collection);
}

/* How many records the group has, and the bytes of their string ids. */
static void measure(struct request **requests, uint32_t n, uint32_t *ret_records,
                    uint64_t *ret_id_bytes)
{
	*ret_records = 0;
	*ret_id_bytes = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct batch batch;

		batch_of(requests[i], &batch);
		*ret_records += batch.ids->n;
		for (uint32_t j = 0; j < batch.ids->n; j++)
			*ret_id_bytes += batch.ids->v[j].text ? batch.ids->v[j].n : 0;
	}
}

static struct group *group_new(struct collection *collection, struct request **requests, uint32_t n)
{
	struct group *group = calloc(1, sizeof(*group));
	uint64_t id_bytes;

	if (!group)
		return NULL;
	measure(requests, n, &group->max_changes, &id_bytes);
	wire_arena_init(&group->arena);
	group->collection = collection;
	group->members = calloc(n, sizeof(*group->members));
	group->changes = calloc(group->max_changes, sizeof(*group->changes));
	group->namespaces = calloc(n, sizeof(*group->namespaces));
	if (!group->members || !group->changes || !group->namespaces ||
	    record_table_reserve(&collection->table, group->max_changes, id_bytes) < 0) {
		group_free(group);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		group->members[group->n_members++].request = requests[i];
	group->first_seq = group->seq = collection->seq;
	group->vectors_follow =
	        collection->vectors && collection->mapped_rows == collection->n_rows;
	return group;
}

static void refuse_write(struct collection *collection, struct request *request, int error)
{
	request_refuse_errno(request, error, "writing");
	write_queue_forget(&collection->writes, request);
	request_finish(request);
}

void collection_write(struct collection *collection, struct request **requests, uint32_t n)
{
	struct group *group = NULL;
	uint32_t n_wanted = 0;

	/* Who closed the connection before the write began does not want it any more, and who was
	 * told that it came too late does not expect it. */
	for (uint32_t i = 0; i < n; i++) {
		if (request_is_wanted(requests[i]))
			requests[n_wanted++] = requests[i];
		else
			refuse_write(collection, requests[i], -ECANCELED);
	}
	if (n_wanted > 0)
		group = group_new(collection, requests, n_wanted);
	if (!group) {
		for (uint32_t i = 0; i < n_wanted; i++)
			refuse_write(collection, requests[i], -ENOMEM);
		collection_turn_done(collection);
		collection_kick(collection);
		return;
	}
	collection_ref(collection);
	group->job.what = "write";
	group->job.work = group_work;
	group->job.done = group_done;
	lanes_submit(collection->daemon->lanes, LANE_WRITE, &group->job);
}
