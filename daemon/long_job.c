/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/long_job.h"

#include "daemon/daemon.h"

static void step_work(struct job *job, uint32_t worker)
{
	struct long_job *step = LIST_ELEMENT(job, struct long_job, job);

	step->kind->work(step, worker);
}

static void step_done(struct job *job)
{
	struct long_job *step = LIST_ELEMENT(job, struct long_job, job);

	step->request->job = NULL;
	step->kind->stepped(step);
}

bool long_job_begin(struct long_job *job, const struct long_job_kind *kind, struct request *request)
{
	struct daemon *daemon = request->daemon;

	if (daemon->long_job) {
		request_finish_refusal(request, WIRE_ERROR_OVER_LIMIT, NULL,
		                       "a %s is under way, and the limit is 1 at once: try again",
		                       daemon->long_job->kind->what);
		return false;
	}
	daemon->long_job = job;
	job->kind = kind;
	job->request = request;
	return true;
}

void long_job_step(struct long_job *job)
{
	job->job.what = job->kind->what;
	job->job.work = step_work;
	job->job.done = step_done;
	/* What clears up after a cancelled step is a step too. */
	atomic_store_explicit(&job->job.cancelled, false, memory_order_relaxed);
	job->request->job = &job->job;
	lanes_submit(job->request->daemon->lanes, LANE_BACKGROUND, &job->job);
}

bool long_job_is_unwanted(const struct long_job *job)
{
	return !request_is_wanted(job->request) || job->request->daemon->stopping;
}

void long_job_cancel(struct daemon *daemon)
{
	/* Also between two steps, when what it waits for looks at the flag. */
	if (daemon->long_job)
		job_cancel(&daemon->long_job->job);
}

void long_job_end(struct long_job *job)
{
	job->request->daemon->long_job = NULL;
}
