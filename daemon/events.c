/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/events.h"

#include <stdlib.h>

#include "daemon/collection.h"
#include "daemon/daemon.h"
#include "daemon/flight.h"
#include "daemon/log.h"
#include "daemon/session.h"
#include "protocol/message.h"

static void send_to(struct session *session, enum wire_event_idx event, const void *fields)
{
	struct wire_buf buf;

	if (session->unread_bytes >= SESSION_UNREAD_BYTES) {
		log_warning("client '%s': closed: it does not read its events", session->client);
		session_close(session);
		return;
	}
	wire_buf_init(&buf);
	if (message_encode_event(&buf, event, fields) == 0 && !buf.failed)
		session_send(session, &buf);
	wire_buf_release(&buf);
}

static void publish(struct daemon *daemon, enum wire_topic topic, enum wire_event_idx event,
                    const void *fields)
{
	struct list *link = daemon->sessions.next;

	while (link != &daemon->sessions) {
		struct session *session = LIST_ELEMENT(link, struct session, link);

		link = link->next; /* sending may close it */
		if (session->topics & (1u << topic))
			send_to(session, event, fields);
	}
}

void events_change(struct collection *collection, enum wire_change what)
{
	struct change_event event = {
	        .what = what,
	        .collection = wire_text(collection->entry.name),
	        .uuid = wire_text(collection->uuid_text),
	        .seq = collection->seq,
	};

	publish(collection->daemon, WIRE_topic_changes, WIRE_EVENT_change, &event);
}

void events_job(const struct flight *flight)
{
	struct job_event event = {
	        .job = flight->number,
	        .collection = wire_text(flight->collection->entry.name),
	        .index = wire_text(flight->index->name),
	        .phase = wire_text(flight_phase_name(flight)),
	        .done = flight_done(flight),
	        .total = flight->total,
	        .eta_s = flight_eta_s(flight),
	};

	publish(flight->collection->daemon, WIRE_topic_jobs, WIRE_EVENT_job, &event);
}

void events_restore(struct collection *collection, uint64_t done, uint64_t total)
{
	struct job_event event = {
	        .collection = wire_text(collection->entry.name),
	        .index = wire_text(""),
	        .phase = wire_text("restore"),
	        .done = done,
	        .total = total,
	};

	publish(collection->daemon, WIRE_topic_jobs, WIRE_EVENT_job, &event);
}
