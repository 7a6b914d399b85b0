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
 * Tasks go before groups, so that what clears up keeps up with the writes: each that is there when
 * a group ends has its turn before the next. But a group that waits lets nobody by twice: a task
 * that comes after another had its turn goes behind it. So between two groups each task has one
 * turn at most, however often it is wanted again.
 *
 * Gathering: when a group of several sessions ends, their answers go out, and the first that writes
 * again would have a group of its own while the others wait for its sync. So the next group waits
 * until as many sessions have written, for WRITE_GATHER_NS at most. (8 writers: 4 requests a group
 * without it, nearly 8 with it.) A lone writer never waits.
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

/* Clients on this machine write again well within this; a sync takes longer. */
#define WRITE_GATHER_NS UINT64_C(200000)

/* A task that changes the collection outside of groups. */
struct write_task {
	struct list link;
	void (*start)(struct write_task *task);
	/* Instead of start(), when its turn will never come. */
	void (*cancelled)(struct write_task *task);
};

struct write_queue {
	struct list writers; /* struct writer, one a session with writes here */
	struct list ring;    /* those with something pending, in turn */
	struct list tasks;
	struct list late_tasks; /* they go behind the next group */
	uint32_t n_ring;
	uint32_t n_served;        /* sessions in the last group */
	uint32_t n_expected;      /* that the next group waits for, */
	uint64_t gather_until_ns; /* until then */
	bool busy;
	bool in_task;  /* busy with a task */
	bool had_task; /* since the last group began */
	bool stopped;  /* nothing starts any more */
};

/* What write_queue_next() found. */
enum write_next {
	WRITE_NOTHING,
	WRITE_TASK,
	WRITE_GROUP,
	WRITE_GATHERING, /* a group, soon: ask again */
};

void write_queue_init(struct write_queue *queue);
/* Queues a write. -ENOMEM. Follow it by write_queue_kick(). */
int write_queue_push(struct write_queue *queue, struct request *request);
/* The last write of the request's session that is not answered yet; NULL when there is none. */
struct request *write_queue_last(const struct write_queue *queue, uint64_t session_number);
void write_queue_push_task(struct write_queue *queue, struct write_task *task);
/* What may run next, when nothing does: a task, or a group of up to WRITE_GROUP_REQUESTS requests.
 * Then the queue is busy until write_queue_done(). */
enum write_next write_queue_next(struct write_queue *queue, uint64_t now_ns,
                                 struct write_task **ret_task, struct request **requests,
                                 uint32_t *ret_n);
/* What ran has ended: those of its sessions that have more go to the end of the ring. */
void write_queue_done(struct write_queue *queue, uint64_t now_ns);
/* A write was answered: before its request is finished. */
void write_queue_forget(struct write_queue *queue, struct request *request);
/* Nothing starts any more: cancels the tasks that wait. */
void write_queue_stop(struct write_queue *queue);
/* Takes all pending writes off, in order, onto list (by wait_link). */
void write_queue_drain(struct write_queue *queue, struct list *list);
