/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conn.h"

/*
 * From params to a ticket, from a ticket to a result.
 *
 * Ids count up and are never used twice, so that an answer which comes after its request was
 * abandoned finds no ticket and is dropped. An id whose place is still held by an old ticket is
 * skipped.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/mirror.h"
#include "client/result.h"

#define UNION_PARAMS(method) struct method##_params method;
union any_params {
	WIRE_METHODS(UNION_PARAMS)
	uint8_t bytes[1];
};

/* What of a params struct is there to read: kith.h has no member `end`. */
#define PARAMS_BYTES(method) [WIRE_METHOD_##method] = offsetof(struct method##_params, end),
static const size_t params_bytes[WIRE_N_METHODS] = {WIRE_METHODS(PARAMS_BYTES)};

static uint32_t n_choices(const struct wire_kind *kind)
{
	uint32_t n = 0;

	while (kind->choices[n])
		n++;
	return n;
}

/* A choice must be one before it is encoded. A number that may be left out and was left 0, where 0
 * is not allowed, means its default. */
static int prepare(struct kith_conn *conn, const struct wire_schema *schema, uint8_t *params)
{
	for (uint32_t i = 0; i < schema->n_fields; i++) {
		const struct wire_field *field = &schema->fields[i];
		uint32_t *u32 = (void *)(params + field->offset);
		struct wire_error error;

		if (field->kind->base == WIRE_U32 && !field->required && *u32 == 0 &&
		    field->min > 0)
			*u32 = (uint32_t)field->def;
		if (field->kind->base == WIRE_CHOICE && *u32 < n_choices(field->kind))
			continue;
		if (field->kind->base == WIRE_CHOICES &&
		    (uint64_t)*u32 < UINT64_C(1) << n_choices(field->kind))
			continue;
		if (field->kind->base != WIRE_CHOICE && field->kind->base != WIRE_CHOICES)
			continue;
		wire_error_set(&error, WIRE_ERROR_BAD_VALUE, field->name, "%s cannot be %u",
		               field->name, *u32);
		return conn_refuse(conn, &error);
	}
	return 0;
}

struct ticket *conn_ticket(struct kith_conn *conn, uint64_t id)
{
	struct ticket *ticket = &conn->tickets[id % KITH_MAX_TICKETS];

	return id != 0 && ticket->id == id ? ticket : NULL;
}

static void conn_forget(struct kith_conn *conn, struct ticket *ticket)
{
	free(ticket->answer.memory);
	*ticket = (struct ticket){0};
	conn->n_tickets--;
}

/* The place of the next id. */
static struct ticket *next_ticket(struct kith_conn *conn, enum wire_method_idx method)
{
	struct ticket *ticket;

	do {
		conn->last_id++;
		ticket = &conn->tickets[conn->last_id % KITH_MAX_TICKETS];
	} while (ticket->id != 0);
	ticket->id = conn->last_id;
	ticket->method = method;
	conn->n_tickets++;
	return ticket;
}

/* What waits to be sent goes to the front, so that the buffer does not creep. */
static void compact(struct kith_conn *conn)
{
	if (conn->n_sent == 0)
		return;
	conn->out.n -= conn->n_sent;
	memmove(conn->out.data, conn->out.data + conn->n_sent, conn->out.n);
	conn->n_sent = 0;
}

static int encode(struct kith_conn *conn, struct ticket *ticket, const void *params)
{
	size_t before = conn->out.n;
	struct wire_error error;
	int r;

	mirror_cross(params);
	r = message_encode_request_by(&conn->out, ticket->id, ticket->method, params,
	                              conn->deadline_ms);
	if (r == 0)
		return 0;
	conn->out.n = before;
	if (r == MESSAGE_REFUSED) {
		wire_error_set(&error, WIRE_ERROR_OVER_LIMIT, NULL,
		               "the request does not fit in a frame of %d bytes, the limit",
		               LIMIT_FRAME_BYTES);
		return conn_refuse(conn, &error);
	}
	conn->out.failed = false;
	return conn_fail(conn, -ENOMEM, "no memory for the request");
}

/* Encodes a request behind what waits to be sent. */
static int request(struct kith_conn *conn, enum wire_method_idx method, const void *params,
                   struct ticket **ret)
{
	union any_params copy = {0};
	struct ticket *ticket;
	int r;

	if (conn->broken)
		return conn_broken(conn);
	if (conn->n_tickets == KITH_MAX_TICKETS)
		return conn_fail(conn, -ENOBUFS, "%d requests wait to be collected, the limit",
		                 KITH_MAX_TICKETS);
	if (params)
		memcpy(copy.bytes, params, params_bytes[method]);
	r = prepare(conn, &wire_methods[method].params, copy.bytes);
	if (r)
		return r;
	compact(conn);
	ticket = next_ticket(conn, method);
	r = encode(conn, ticket, copy.bytes);
	if (r) {
		conn_forget(conn, ticket);
		return r;
	}
	*ret = ticket;
	return 0;
}

/* Decodes an answer that is kept: takes its memory. */
static int decode(struct kith_conn *conn, enum wire_method_idx method, struct answer *answer,
                  void **ret)
{
	const struct wire_schema *schema = &wire_methods[method].result;
	struct result *result;
	struct wire_error error;
	int r;

	result = result_new(schema->size, answer->memory);
	if (!result)
		return conn_fail(conn, -ENOMEM, "no memory for the result");
	r = message_decode_response(answer->payload, answer->n, method, &result->arena,
	                            result->body, &error);
	if (r == 0) {
		result_align(result, schema);
		mirror_cross(result->body);
		*ret = result->body;
		return 0;
	}
	result_free(result);
	if (r == MESSAGE_REFUSED)
		return conn_refuse(conn, &error);
	if (r == MESSAGE_BROKEN)
		return conn_break(conn, -EPROTO, "the answer to %s cannot be read: %s",
		                  wire_methods[method].name, error.message);
	return conn_fail(conn, r, "no memory for the result");
}

/* Turns the answer into a result, or into the refusal that it is. */
static int finish(struct kith_conn *conn, enum wire_method_idx method, struct answer *answer,
                  void **ret)
{
	void *unused;
	int r;

	/* Nothing to say but "done", or nobody to tell it to: a ping takes no memory. */
	if (!answer->is_error && (!ret || wire_methods[method].result.n_fields == 0)) {
		free(answer->memory);
		return 0;
	}
	r = answer_keep(answer, &conn->in);
	if (r)
		return conn_fail(conn, r, "no memory for the answer");
	return decode(conn, method, answer, ret ? ret : &unused);
}

/* Waits for the ticket's answer; the ticket is over then, unless the time is. */
static int collect(struct kith_conn *conn, struct ticket *ticket, struct deadline *deadline,
                   void **ret)
{
	enum wire_method_idx method = ticket->method;
	struct answer answer;
	int r = 0;

	while (ticket->answer.n == 0 && r == 0) {
		r = conn_route(conn, ticket->id, &ticket->answer);
		if (r == 0 && ticket->answer.n == 0)
			r = conn_exchange(conn, deadline);
	}
	if (r == -ETIMEDOUT)
		return r;
	answer = ticket->answer;
	ticket->answer.memory = NULL;
	conn_forget(conn, ticket);
	return r ? r : finish(conn, method, &answer, ret);
}

/* Sends of what waits to be sent so much that another request may be added, and adds it. */
static int request_in_turn(struct kith_conn *conn, enum wire_method_idx method, const void *params,
                           struct deadline *deadline, struct ticket **ret)
{
	int r = conn_drain(conn, CONN_GATHER_BYTES, deadline);

	return r ? r : request(conn, method, params, ret);
}

int conn_call(struct kith_conn *conn, enum wire_method_idx method, const void *params, void **ret)
{
	struct deadline deadline;
	struct ticket *ticket;
	int r;

	deadline_init(&deadline, conn, KITH_USUAL);
	r = request_in_turn(conn, method, params, &deadline, &ticket);
	if (r)
		return r;
	r = collect(conn, ticket, &deadline, ret);
	if (r == -ETIMEDOUT)
		conn_forget(conn, ticket);
	return r;
}

int conn_submit(struct kith_conn *conn, enum wire_method_idx method, const void *params,
                uint64_t *ret_ticket)
{
	struct deadline deadline;
	struct ticket *ticket;
	int r;

	deadline_init(&deadline, conn, KITH_USUAL);
	r = request_in_turn(conn, method, params, &deadline, &ticket);
	if (r)
		return r;
	*ret_ticket = ticket->id;
	/* It counts as submitted now, whatever becomes of sending it: collecting tells. */
	(void)conn_drain(conn, CONN_GATHER_BYTES, &deadline);
	return 0;
}

int conn_collect_ticket(struct kith_conn *conn, enum wire_method_idx method, uint64_t id,
                        int timeout_ms, void **ret)
{
	struct ticket *ticket = conn_ticket(conn, id);
	struct deadline deadline;

	if (!ticket || ticket->method != method)
		return conn_fail(conn, -EINVAL, "no %s waits to be collected under that ticket",
		                 wire_methods[method].name);
	deadline_init(&deadline, conn, timeout_ms);
	return collect(conn, ticket, &deadline, ret);
}

int kith_flush(struct kith_conn *conn)
{
	struct deadline deadline;

	deadline_init(&deadline, conn, KITH_USUAL);
	return conn_drain(conn, 0, &deadline);
}

void kith_forget(struct kith_conn *conn, uint64_t ticket)
{
	struct ticket *found = conn_ticket(conn, ticket);

	if (found)
		conn_forget(conn, found);
}
