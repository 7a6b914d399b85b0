/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The writes that wait for one collection, and whose turn it is to change it.
 *
 * One thing at a time changes a collection: a group of writes (one transaction, one sync), or a
 * task that needs the same place (reap, vector file sync, the end of a restore, a restart
 * checkpoint). A group is taken in turn from the sessions, up to WRITE_GROUP_BYTES; a session
 * that was served goes behind those that came meanwhile, so a bulk import never holds back a
 * single writer by more than one group. Within a session writes keep their order.
 *
 * Threads: all [loop].
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/list.h"
#include "daemon/request.h"

#define WRITE_GROUP_BYTES (4u << 20)
/* A savepoint each; more would only make the transaction longer. */
#define WRITE_GROUP_REQUESTS 1024

/* A task that changes the collection outside of groups. */
struct write_task {
	struct list link;
	void (*start)(struct write_task *task);
};

struct write_queue {
	struct list writers; /* struct writer, one a session with writes here */
	struct list ring;    /* those with something pending, in turn */
	struct list tasks;
	bool busy;
	bool stopped; /* nothing starts any more */
};

void write_queue_init(struct write_queue *queue);
/* Queues a write. -ENOMEM. Follow it by write_queue_kick(). */
int write_queue_push(struct write_queue *queue, struct request *request);
/* The last write of the request's session that is not answered yet; NULL when there is none. */
struct request *write_queue_last(const struct write_queue *queue, uint64_t session_number);
void write_queue_push_task(struct write_queue *queue, struct write_task *task);
/* What may run next, when nothing does: a task (returned), or a group into requests (up to
 * WRITE_GROUP_REQUESTS; *ret_n). Then the queue is busy until write_queue_done(). */
struct write_task *write_queue_next(struct write_queue *queue, struct request **requests,
                                    uint32_t *ret_n);
/* What ran has ended: those of its sessions that have more go to the end of the ring. */
void write_queue_done(struct write_queue *queue);
/* A write was answered: before its request is finished. */
void write_queue_forget(struct write_queue *queue, struct request *request);
/* Takes all pending writes off, in order, onto list (by wait_link). */
void write_queue_drain(struct write_queue *queue, struct list *list);
