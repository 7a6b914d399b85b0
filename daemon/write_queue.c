/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/write_queue.h"

#include <errno.h>
#include <stdlib.h>

/* The writes of one session to one collection. */
struct writer {
	struct list link;      /* in the queue's writers */
	struct list ring_link; /* in its ring, while something is pending and it waits its turn */
	uint64_t session_number;
	struct list pending;  /* struct request.wait_link */
	struct request *last; /* the last one that is not answered, pending or in the group */
	uint32_t n_unanswered;
};

void write_queue_init(struct write_queue *queue)
{
	list_init(&queue->writers);
	list_init(&queue->ring);
	list_init(&queue->tasks);
	queue->busy = false;
	queue->stopped = false;
}

static struct writer *find(const struct write_queue *queue, uint64_t session_number)
{
	for (struct list *link = queue->writers.next; link != &queue->writers; link = link->next) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, link);

		if (writer->session_number == session_number)
			return writer;
	}
	return NULL;
}

int write_queue_push(struct write_queue *queue, struct request *request)
{
	struct writer *writer = find(queue, request->session_number);

	if (!writer) {
		writer = calloc(1, sizeof(*writer));
		if (!writer)
			return -ENOMEM;
		writer->session_number = request->session_number;
		list_init(&writer->pending);
		list_init(&writer->ring_link);
		list_append(&queue->writers, &writer->link);
	}
	/* A writer that has something in the running group waits for its end (see done). */
	if (writer->n_unanswered == 0)
		list_append(&queue->ring, &writer->ring_link);
	writer->n_unanswered++;
	writer->last = request;
	list_append(&writer->pending, &request->wait_link);
	return 0;
}

struct request *write_queue_last(const struct write_queue *queue, uint64_t session_number)
{
	struct writer *writer = find(queue, session_number);

	return writer ? writer->last : NULL;
}

void write_queue_push_task(struct write_queue *queue, struct write_task *task)
{
	list_append(&queue->tasks, &task->link);
}

struct write_task *write_queue_next(struct write_queue *queue, struct request **requests,
                                    uint32_t *ret_n)
{
	struct list *link;
	uint64_t bytes = 0;
	uint32_t n = 0;

	*ret_n = 0;
	if (queue->busy || queue->stopped)
		return NULL;
	link = list_pop(&queue->tasks);
	if (link) {
		queue->busy = true;
		return LIST_ELEMENT(link, struct write_task, link);
	}
	while (bytes < WRITE_GROUP_BYTES && n < WRITE_GROUP_REQUESTS &&
	       (link = list_pop(&queue->ring))) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, ring_link);
		struct request *request =
		        LIST_ELEMENT(list_pop(&writer->pending), struct request, wait_link);

		requests[n++] = request;
		bytes += request->frame_bytes;
		if (!list_empty(&writer->pending))
			list_append(&queue->ring, &writer->ring_link);
	}
	/* Who got its share and has more waits for the group's end, behind who comes meanwhile. */
	for (uint32_t i = 0; i < n; i++)
		list_remove(&find(queue, requests[i]->session_number)->ring_link);
	queue->busy = n > 0;
	*ret_n = n;
	return NULL;
}

void write_queue_done(struct write_queue *queue)
{
	queue->busy = false;
	for (struct list *link = queue->writers.next; link != &queue->writers; link = link->next) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, link);

		if (!list_empty(&writer->pending) && list_empty(&writer->ring_link))
			list_append(&queue->ring, &writer->ring_link);
	}
}

void write_queue_forget(struct write_queue *queue, struct request *request)
{
	struct writer *writer = find(queue, request->session_number);

	if (!writer)
		return;
	if (writer->last == request)
		writer->last = NULL;
	if (--writer->n_unanswered == 0) {
		list_remove(&writer->ring_link);
		list_remove(&writer->link);
		free(writer);
	}
}

void write_queue_drain(struct write_queue *queue, struct list *list)
{
	for (struct list *link = queue->writers.next; link != &queue->writers; link = link->next) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, link);

		list_remove(&writer->ring_link);
		list_splice(list, &writer->pending);
	}
}
