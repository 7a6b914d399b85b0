/* SPDX-License-Identifier: Apache-2.0 */

/* Events wait as the bytes that came: most are never asked for, and decoding is for those that
 * are. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/conn.h"
#include "client/mirror.h"
#include "client/result.h"

struct queued_event {
	struct queued_event *next;
	enum wire_event_idx event;
	uint32_t n;
	uint8_t payload[];
};

void event_queue_init(struct event_queue *queue)
{
	*queue = (struct event_queue){.last = &queue->first};
}

/* The oldest; the caller's to free. */
static struct queued_event *pop(struct event_queue *queue)
{
	struct queued_event *queued = queue->first;

	if (!queued)
		return NULL;
	queue->first = queued->next;
	queue->n--;
	if (!queue->first)
		queue->last = &queue->first;
	return queued;
}

void event_queue_release(struct event_queue *queue)
{
	while (queue->first)
		free(pop(queue));
}

void event_queue_push(struct event_queue *queue, enum wire_event_idx event, const uint8_t *payload,
                      uint32_t n)
{
	struct queued_event *queued;

	if (queue->n == KITH_MAX_EVENTS) {
		free(pop(queue));
		queue->lost++;
	}
	queued = malloc(sizeof(*queued) + n);
	if (!queued) {
		queue->lost++;
		return;
	}
	*queued = (struct queued_event){.event = event, .n = n};
	memcpy(queued->payload, payload, n);
	*queue->last = queued;
	queue->last = &queued->next;
	queue->n++;
}

/* Takes the queued event: its payload lives on in the result. */
static int decode(struct kith_conn *conn, struct queued_event *queued, struct kith_event **ret)
{
	struct result *result = result_new(sizeof(struct kith_event), queued);
	struct kith_event *event;
	int r;

	if (!result)
		return conn_fail(conn, -ENOMEM, "no memory for the event");
	event = (struct kith_event *)result->body;
	r = message_decode_event(queued->payload, queued->n, queued->event, &result->arena,
	                         &event->change);
	if (r) {
		result_free(result);
		return r < 0 ? conn_fail(conn, r, "no memory for the event")
		             : conn_break(conn, -EPROTO, "an event cannot be read");
	}
	mirror_cross(event);
	event->type = queued->event;
	event->lost = conn->events.lost;
	conn->events.lost = 0;
	*ret = event;
	return 0;
}

int kith_next_event(struct kith_conn *conn, int timeout_ms, struct kith_event **ret)
{
	struct deadline deadline;
	int r;

	deadline_init(&deadline, conn, timeout_ms);
	while (!conn->events.first) {
		r = conn_route(conn, 0, NULL);
		if (!r && !conn->events.first)
			r = conn_exchange(conn, &deadline);
		if (r == -ETIMEDOUT)
			return conn_fail(conn, r, "no event came in time");
		if (r)
			return r;
	}
	return decode(conn, pop(&conn->events), ret);
}
