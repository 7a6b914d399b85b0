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
	list_init(&queue->late_tasks);
	queue->n_ring = 0;
	queue->n_served = 0;
	queue->n_expected = 0;
	queue->gather_until_ns = 0;
	queue->busy = queue->in_task = queue->had_task = false;
	queue->stopped = false;
}

static void ring_add(struct write_queue *queue, struct writer *writer)
{
	list_append(&queue->ring, &writer->ring_link);
	queue->n_ring++;
}

static void ring_remove(struct write_queue *queue, struct writer *writer)
{
	if (list_empty(&writer->ring_link))
		return;
	list_remove(&writer->ring_link);
	queue->n_ring--;
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
		ring_add(queue, writer);
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
	bool is_late = queue->had_task && queue->n_ring > 0;

	list_append(is_late ? &queue->late_tasks : &queue->tasks, &task->link);
}

/* A group, in turn from the sessions. */
static uint32_t take_group(struct write_queue *queue, struct request **requests)
{
	uint64_t bytes = 0;
	uint32_t n = 0;

	queue->n_served = queue->n_ring;
	while (bytes < WRITE_GROUP_BYTES && n < WRITE_GROUP_REQUESTS && queue->n_ring > 0) {
		struct writer *writer = LIST_ELEMENT(queue->ring.next, struct writer, ring_link);
		struct request *request =
		        LIST_ELEMENT(list_pop(&writer->pending), struct request, wait_link);

		ring_remove(queue, writer);
		requests[n++] = request;
		bytes += request->frame_bytes;
		if (!list_empty(&writer->pending))
			ring_add(queue, writer);
	}
	/* Who got its share and has more waits for the group's end, behind who comes meanwhile. */
	for (uint32_t i = 0; i < n; i++)
		ring_remove(queue, find(queue, requests[i]->session_number));
	if (queue->n_served > n)
		queue->n_served = n;
	return n;
}

/* Late ones too, when there is no group that they would hold back. */
static struct list *take_task(struct write_queue *queue)
{
	struct list *link = list_pop(&queue->tasks);

	return !link && queue->n_ring == 0 ? list_pop(&queue->late_tasks) : link;
}

enum write_next write_queue_next(struct write_queue *queue, uint64_t now_ns,
                                 struct write_task **ret_task, struct request **requests,
                                 uint32_t *ret_n)
{
	struct list *link;

	if (queue->busy || queue->stopped)
		return WRITE_NOTHING;
	link = take_task(queue);
	if (link) {
		queue->busy = queue->in_task = queue->had_task = true;
		*ret_task = LIST_ELEMENT(link, struct write_task, link);
		return WRITE_TASK;
	}
	if (queue->n_ring == 0)
		return WRITE_NOTHING;
	if (queue->n_ring < queue->n_expected && now_ns < queue->gather_until_ns)
		return WRITE_GATHERING;
	queue->busy = true;
	queue->had_task = false;
	list_splice(&queue->tasks, &queue->late_tasks);
	*ret_n = take_group(queue, requests);
	return WRITE_GROUP;
}

void write_queue_done(struct write_queue *queue, uint64_t now_ns)
{
	queue->busy = false;
	/* Who was served, and who came meanwhile: else two halves would take turns forever. After a
	 * task nobody has an answer to write behind. */
	queue->n_expected = queue->in_task ? 0 : queue->n_served + queue->n_ring;
	queue->gather_until_ns = now_ns + WRITE_GATHER_NS;
	queue->in_task = false;
	for (struct list *link = queue->writers.next; link != &queue->writers; link = link->next) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, link);

		if (!list_empty(&writer->pending) && list_empty(&writer->ring_link))
			ring_add(queue, writer);
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
		ring_remove(queue, writer);
		list_remove(&writer->link);
		free(writer);
	}
}

void write_queue_drain(struct write_queue *queue, struct list *list)
{
	for (struct list *link = queue->writers.next; link != &queue->writers; link = link->next) {
		struct writer *writer = LIST_ELEMENT(link, struct writer, link);

		ring_remove(queue, writer);
		list_splice(list, &writer->pending);
	}
}

void write_queue_stop(struct write_queue *queue)
{
	struct list *link;

	queue->stopped = true;
	list_splice(&queue->tasks, &queue->late_tasks);
	while ((link = list_pop(&queue->tasks))) {
		struct write_task *task = LIST_ELEMENT(link, struct write_task, link);

		task->cancelled(task);
	}
}
