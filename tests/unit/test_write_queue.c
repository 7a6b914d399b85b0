/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/write_queue.h"

/* A queue and the writes that are pushed to it: of a request it looks at the session's number, the
 * size and the link only. */
struct fixture {
	struct write_queue queue;
	struct request writes[WRITE_GROUP_REQUESTS + 8];
	uint32_t n;
	struct request *group[WRITE_GROUP_REQUESTS]; /* that runs */
	uint32_t n_group;
};

/* Any time at all. */
#define NOW_NS UINT64_C(1000000000)
#define HALF_A_GROUP (WRITE_GROUP_BYTES / 2)

static int setup(void **state)
{
	static struct fixture fixture;

	memset(&fixture, 0, sizeof(fixture));
	write_queue_init(&fixture.queue);
	*state = &fixture;
	return 0;
}

static struct request *push(struct fixture *fixture, uint64_t session_number, uint32_t bytes)
{
	struct request *write = &fixture->writes[fixture->n++];

	assert_true(fixture->n <= sizeof(fixture->writes) / sizeof(fixture->writes[0]));
	write->session_number = session_number;
	write->frame_bytes = bytes;
	list_init(&write->wait_link);
	assert_int_equal(write_queue_push(&fixture->queue, write), 0);
	return write;
}

static enum write_next next(struct fixture *fixture, uint64_t now_ns, struct write_task **ret_task)
{
	return write_queue_next(&fixture->queue, now_ns, ret_task, fixture->group,
	                        &fixture->n_group);
}

/* A group starts. */
static void begin(struct fixture *fixture, uint64_t now_ns)
{
	struct write_task *task;

	assert_int_equal(next(fixture, now_ns, &task), WRITE_GROUP);
}

/* The group is answered, as the daemon does it. */
static void end(struct fixture *fixture)
{
	for (uint32_t i = 0; i < fixture->n_group; i++)
		write_queue_forget(&fixture->queue, fixture->group[i]);
	write_queue_done(&fixture->queue, NOW_NS);
}

static void expect_nothing(struct fixture *fixture)
{
	struct write_task *task;

	assert_int_equal(next(fixture, UINT64_MAX, &task), WRITE_NOTHING);
}

static void expect_gathering(struct fixture *fixture, uint64_t now_ns)
{
	struct write_task *task;

	assert_int_equal(next(fixture, now_ns, &task), WRITE_GATHERING);
}

/* The group that runs is these, in this order. */
static void expect_group(const struct fixture *fixture, struct request *const *writes, uint32_t n)
{
	assert_int_equal(fixture->n_group, n);
	for (uint32_t i = 0; i < n; i++)
		assert_ptr_equal(fixture->group[i], writes[i]);
}

/* Groups --------------------------------------------------------------------------------------- */

static void a_group_ends_at_its_bytes(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 3; i++)
		push(fixture, 1, HALF_A_GROUP);
	begin(fixture, NOW_NS);
	expect_group(fixture, (struct request *[]){&fixture->writes[0], &fixture->writes[1]}, 2);
	end(fixture);
	begin(fixture, NOW_NS);
	expect_group(fixture, (struct request *[]){&fixture->writes[2]}, 1);
	end(fixture);
	expect_nothing(fixture);
}

static void a_write_larger_than_a_group_is_one(void **state)
{
	struct fixture *fixture = *state;
	struct request *large = push(fixture, 1, 3 * WRITE_GROUP_BYTES);
	struct request *small = push(fixture, 1, 1);

	begin(fixture, NOW_NS);
	expect_group(fixture, &large, 1);
	end(fixture);
	begin(fixture, NOW_NS);
	expect_group(fixture, &small, 1);
	end(fixture);
}

static void a_group_ends_at_its_requests(void **state)
{
	struct fixture *fixture = *state;

	for (uint32_t i = 0; i < WRITE_GROUP_REQUESTS + 5; i++)
		push(fixture, 1, 1);
	begin(fixture, NOW_NS);
	assert_int_equal(fixture->n_group, WRITE_GROUP_REQUESTS);
	for (uint32_t i = 0; i < fixture->n_group; i++)
		assert_ptr_equal(fixture->group[i], &fixture->writes[i]);
	end(fixture);
	begin(fixture, NOW_NS);
	assert_int_equal(fixture->n_group, 5);
	assert_ptr_equal(fixture->group[0], &fixture->writes[WRITE_GROUP_REQUESTS]);
	end(fixture);
	expect_nothing(fixture);
}

/* Turns ---------------------------------------------------------------------------------------- */

static void a_group_is_taken_in_turn_from_the_sessions(void **state)
{
	struct fixture *fixture = *state;
	struct request *a1 = push(fixture, 1, 1), *a2 = push(fixture, 1, 1);
	struct request *a3 = push(fixture, 1, 1), *b1 = push(fixture, 2, 1);
	struct request *c1 = push(fixture, 3, 1), *c2 = push(fixture, 3, 1);

	begin(fixture, NOW_NS);
	expect_group(fixture, (struct request *[]){a1, b1, c1, a2, c2, a3}, 6);
	end(fixture);
	expect_nothing(fixture);
}

static void who_was_served_goes_behind_who_came_meanwhile(void **state)
{
	struct fixture *fixture = *state;
	struct request *import[5], *single;

	for (int i = 0; i < 4; i++)
		import[i] = push(fixture, 1, HALF_A_GROUP);
	begin(fixture, NOW_NS);
	expect_group(fixture, import, 2);
	import[4] = push(fixture, 1, HALF_A_GROUP);
	single = push(fixture, 2, 1);
	expect_nothing(fixture); /* one group at a time */
	end(fixture);
	begin(fixture, NOW_NS);
	expect_group(fixture, (struct request *[]){single, import[2], import[3]}, 3);
	end(fixture);
	begin(fixture, NOW_NS + WRITE_GATHER_NS);
	expect_group(fixture, &import[4], 1);
	end(fixture);
}

/* Gathering ------------------------------------------------------------------------------------ */

static void a_group_waits_for_those_of_the_last_one(void **state)
{
	struct fixture *fixture = *state;

	push(fixture, 1, 1);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	end(fixture);
	push(fixture, 1, 1);
	push(fixture, 1, 1); /* that is no second session */
	expect_gathering(fixture, NOW_NS);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	assert_int_equal(fixture->n_group, 3);
	end(fixture);
}

static void a_group_waits_for_who_came_meanwhile_too(void **state)
{
	struct fixture *fixture = *state;

	push(fixture, 1, 1);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	push(fixture, 3, 1);
	end(fixture);
	push(fixture, 1, 1);
	expect_gathering(fixture, NOW_NS);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	assert_int_equal(fixture->n_group, 3);
	end(fixture);
}

static void a_group_does_not_wait_for_long(void **state)
{
	struct fixture *fixture = *state;
	struct request *again;

	push(fixture, 1, 1);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	end(fixture);
	again = push(fixture, 1, 1);
	expect_gathering(fixture, NOW_NS + WRITE_GATHER_NS - 1);
	begin(fixture, NOW_NS + WRITE_GATHER_NS);
	expect_group(fixture, &again, 1);
	end(fixture);
}

static void a_lone_writer_never_waits(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i < 3; i++) {
		push(fixture, 1, 1);
		begin(fixture, NOW_NS);
		assert_int_equal(fixture->n_group, 1);
		end(fixture);
	}
}

/* Tasks ---------------------------------------------------------------------------------------- */

struct counted_task {
	struct write_task task;
	uint32_t n_cancelled;
};

static void count_cancelled(struct write_task *task)
{
	struct counted_task *counted = LIST_ELEMENT(task, struct counted_task, task);

	counted->n_cancelled++;
}

static void expect_task(struct fixture *fixture, const struct counted_task *wanted)
{
	struct write_task *task;

	assert_int_equal(next(fixture, NOW_NS, &task), WRITE_TASK);
	assert_ptr_equal(task, &wanted->task);
}

static void tasks_go_before_groups_and_have_the_queue_alone(void **state)
{
	struct fixture *fixture = *state;
	struct counted_task first = {.n_cancelled = 0}, second = {.n_cancelled = 0};

	push(fixture, 1, 1);
	push(fixture, 2, 1);
	begin(fixture, NOW_NS);
	write_queue_push_task(&fixture->queue, &first.task);
	write_queue_push_task(&fixture->queue, &second.task);
	expect_nothing(fixture); /* the group runs */
	end(fixture);
	push(fixture, 1, 1);
	expect_task(fixture, &first);
	expect_nothing(fixture);
	write_queue_done(&fixture->queue, NOW_NS);
	expect_task(fixture, &second);
	write_queue_done(&fixture->queue, NOW_NS);
	/* Nobody writes behind the answer of a task: no gathering. */
	begin(fixture, NOW_NS);
	assert_int_equal(fixture->n_group, 1);
	end(fixture);
	assert_int_equal(first.n_cancelled + second.n_cancelled, 0);
}

static void end_task(struct fixture *fixture)
{
	write_queue_done(&fixture->queue, NOW_NS);
}

/* Two that are wanted again at each end of the other. */
static void between_two_groups_each_task_has_one_turn(void **state)
{
	struct fixture *fixture = *state;
	struct counted_task first = {.n_cancelled = 0}, second = {.n_cancelled = 0};

	write_queue_push_task(&fixture->queue, &first.task);
	write_queue_push_task(&fixture->queue, &second.task);
	for (int round = 0; round < 5; round++) {
		struct request *write;

		expect_task(fixture, &first);
		write = push(fixture, 1, 1);
		end_task(fixture);
		write_queue_push_task(&fixture->queue, &first.task);
		expect_task(fixture, &second);
		end_task(fixture);
		write_queue_push_task(&fixture->queue, &second.task);
		begin(fixture, NOW_NS);
		expect_group(fixture, &write, 1);
		end(fixture);
	}
}

/* What keeps up with the groups does so however they crowd. */
static void a_task_that_is_there_when_a_group_ends_goes_before_the_next(void **state)
{
	struct fixture *fixture = *state;
	struct counted_task task = {.n_cancelled = 0};

	push(fixture, 1, 1);
	for (int round = 0; round < 5; round++) {
		begin(fixture, NOW_NS);
		push(fixture, 1, 1);
		if (round % 2)
			write_queue_push_task(&fixture->queue, &task.task);
		end(fixture);
		if (!(round % 2))
			write_queue_push_task(&fixture->queue, &task.task);
		expect_task(fixture, &task);
		end_task(fixture);
	}
	begin(fixture, NOW_NS);
	end(fixture);
}

static void a_task_behind_a_group_that_is_given_up_has_its_turn(void **state)
{
	struct fixture *fixture = *state;
	struct counted_task task = {.n_cancelled = 0};
	struct request *write;

	write_queue_push_task(&fixture->queue, &task.task);
	expect_task(fixture, &task);
	write = push(fixture, 1, 1);
	end_task(fixture);
	write_queue_push_task(&fixture->queue, &task.task);
	write_queue_forget(&fixture->queue, write);
	expect_task(fixture, &task);
	end_task(fixture);
	expect_nothing(fixture);
}

static void stopping_cancels_the_tasks_and_starts_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct counted_task running = {.task.cancelled = count_cancelled};
	struct counted_task first = {.task.cancelled = count_cancelled};
	struct counted_task second = {.task.cancelled = count_cancelled};
	struct request *write;

	write_queue_push_task(&fixture->queue, &running.task);
	expect_task(fixture, &running);
	write_queue_push_task(&fixture->queue, &first.task);
	write = push(fixture, 1, 1);
	write_queue_push_task(&fixture->queue, &second.task); /* behind the group */
	write_queue_stop(&fixture->queue);
	assert_int_equal(running.n_cancelled, 0);
	assert_int_equal(first.n_cancelled, 1);
	assert_int_equal(second.n_cancelled, 1);
	write_queue_done(&fixture->queue, NOW_NS);
	expect_nothing(fixture);
	write_queue_forget(&fixture->queue, write);
}

/* The rest ------------------------------------------------------------------------------------- */

static void draining_gives_what_is_pending_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct request *running = push(fixture, 1, WRITE_GROUP_BYTES);
	struct request *pending[4];
	struct list drained, *link;

	begin(fixture, NOW_NS);
	pending[0] = push(fixture, 1, 1);
	pending[1] = push(fixture, 1, 1);
	pending[2] = push(fixture, 2, 1);
	pending[3] = push(fixture, 2, 1);
	list_init(&drained);
	write_queue_drain(&fixture->queue, &drained);
	for (int i = 0; i < 4; i++) {
		link = list_pop(&drained);
		assert_non_null(link);
		assert_ptr_equal(LIST_ELEMENT(link, struct request, wait_link), pending[i]);
		write_queue_forget(&fixture->queue, pending[i]);
	}
	assert_null(list_pop(&drained));
	expect_group(fixture, &running, 1);
	end(fixture);
	expect_nothing(fixture);
}

static void the_last_write_of_a_session_is_known_until_it_is_answered(void **state)
{
	struct fixture *fixture = *state;
	struct request *first, *last;

	assert_null(write_queue_last(&fixture->queue, 1));
	first = push(fixture, 1, WRITE_GROUP_BYTES);
	assert_ptr_equal(write_queue_last(&fixture->queue, 1), first);
	last = push(fixture, 1, 1);
	assert_ptr_equal(write_queue_last(&fixture->queue, 1), last);
	assert_null(write_queue_last(&fixture->queue, 2));
	begin(fixture, NOW_NS);
	expect_group(fixture, &first, 1);
	end(fixture);
	assert_ptr_equal(write_queue_last(&fixture->queue, 1), last);
	begin(fixture, NOW_NS);
	assert_ptr_equal(write_queue_last(&fixture->queue, 1), last); /* it runs */
	end(fixture);
	assert_null(write_queue_last(&fixture->queue, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(a_group_ends_at_its_bytes, setup),
	        cmocka_unit_test_setup(a_write_larger_than_a_group_is_one, setup),
	        cmocka_unit_test_setup(a_group_ends_at_its_requests, setup),
	        cmocka_unit_test_setup(a_group_is_taken_in_turn_from_the_sessions, setup),
	        cmocka_unit_test_setup(who_was_served_goes_behind_who_came_meanwhile, setup),
	        cmocka_unit_test_setup(a_group_waits_for_those_of_the_last_one, setup),
	        cmocka_unit_test_setup(a_group_waits_for_who_came_meanwhile_too, setup),
	        cmocka_unit_test_setup(a_group_does_not_wait_for_long, setup),
	        cmocka_unit_test_setup(a_lone_writer_never_waits, setup),
	        cmocka_unit_test_setup(tasks_go_before_groups_and_have_the_queue_alone, setup),
	        cmocka_unit_test_setup(between_two_groups_each_task_has_one_turn, setup),
	        cmocka_unit_test_setup(a_task_that_is_there_when_a_group_ends_goes_before_the_next,
	                               setup),
	        cmocka_unit_test_setup(a_task_behind_a_group_that_is_given_up_has_its_turn, setup),
	        cmocka_unit_test_setup(stopping_cancels_the_tasks_and_starts_nothing, setup),
	        cmocka_unit_test_setup(draining_gives_what_is_pending_in_order, setup),
	        cmocka_unit_test_setup(the_last_write_of_a_session_is_known_until_it_is_answered,
	                               setup),
	};

	return cmocka_run_group_tests_name("write_queue", tests, NULL, NULL);
}
