/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Starting and stopping.
 *
 * Stopping goes in steps, each begun when the one before has ended (stop_step): what waits is
 * refused and what runs ends; then the sessions close, once their answers were read or a moment
 * has passed; then the collections save and close; then the lanes; then the loop has no handle
 * left and ends.
 */

#include "daemon/daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/cache_backend.h"
#include "daemon/collection.h"
#include "daemon/collections.h"
#include "daemon/flight.h"
#include "daemon/generation.h"
#include "daemon/journal.h"
#include "daemon/log.h"
#include "daemon/long_job.h"
#include "daemon/server.h"
#include "daemon/session.h"
#include "daemon/spill.h"
#include "daemon/vectors_cache.h"
#include "storage/sqlite_vfs.h"

/* How long a stop waits for clients to read their last answers. */
#define STOP_FLUSH_MS 2000
#define PURGE_BATCH 64

/* Purging ------------------------------------------------------------------------------------- */

struct purging {
	struct job job;
	struct daemon *daemon;
	uint32_t slabs[PURGE_BATCH];
	uint32_t n;
};

static void purging_work(struct job *job, uint32_t worker)
{
	struct purging *purging = LIST_ELEMENT(job, struct purging, job);

	(void)worker;
	budget_purge(purging->daemon->budget, purging->slabs, purging->n);
}

static void purging_done(struct job *job)
{
	struct purging *purging = LIST_ELEMENT(job, struct purging, job);
	struct daemon *daemon = purging->daemon;

	budget_purged(daemon->budget, purging->slabs, purging->n);
	free(purging);
	daemon->purging = false;
	daemon_closed_one(daemon);
}

static void purge(struct daemon *daemon)
{
	struct budget_figures figures;
	struct purging *purging;

	budget_figures(daemon->budget, &figures);
	if (daemon->purging || figures.dirty_bytes == 0)
		return;
	purging = calloc(1, sizeof(*purging));
	if (!purging)
		return; /* the next tick tries again */
	purging->daemon = daemon;
	purging->n = budget_dirty(daemon->budget, purging->slabs, PURGE_BATCH);
	purging->job.what = "purge";
	purging->job.work = purging_work;
	purging->job.done = purging_done;
	daemon->purging = true;
	lanes_submit(daemon->lanes, LANE_BACKGROUND, &purging->job);
}

/* Resting ------------------------------------------------------------------------------------- */

/* A worker that has nothing to do: its scratch is sized again by the next search. */
static void worker_rests(struct lanes_rest *rest, uint32_t worker)
{
	struct daemon *daemon = LIST_ELEMENT(rest, struct daemon, rest);

	hnsw_scratch_rest(&daemon->scratches.of_worker[worker]);
	slab_collect();
}

static void collect(struct daemon *daemon, uint64_t now_ns)
{
	if (daemon->n_open_requests > 0 || now_ns - daemon->collected_ns < DAEMON_COLLECT_NS)
		return;
	daemon->collected_ns = now_ns;
	slab_collect();
}

/* Pressure ------------------------------------------------------------------------------------ */

/* What nobody used lately goes, and what is left is all that loads may have until it is over. */
static void on_pressed(struct pressure *pressure)
{
	struct daemon *daemon = LIST_ELEMENT(pressure, struct daemon, pressure);
	struct collection *collection = NULL;
	struct budget_figures figures;
	uint64_t freed;

	if (daemon->stopping)
		return;
	freed = cache_shed(daemon->cache, NULL, UINT64_MAX, DAEMON_COLD_NS);
	pressure->freed_bytes += freed;
	budget_figures(daemon->budget, &figures);
	budget_set_admission(daemon->budget, figures.used_bytes);
	if (freed > 0 || pressure->last_ns == pressure->since_ns)
		log_info("memory is short (%s): %llu bytes given back, %llu kept", pressure->from,
		         (unsigned long long)freed, (unsigned long long)figures.used_bytes);
	purge(daemon);
	/* What the databases keep goes by their upkeep, what the heaps keep by who owns each. */
	while ((collection = collections_next(daemon->collections, collection)))
		upkeep_look(collection);
	lanes_rest_all(daemon->lanes);
	slab_collect();
}

static void look_at_pressure(struct daemon *daemon)
{
	if (!pressure_look(&daemon->pressure))
		return;
	budget_set_admission(daemon->budget, UINT64_MAX);
	log_info("memory is not short any more");
}

/* Room --------------------------------------------------------------------------------------------
 */

static void look_at_room(struct daemon *daemon)
{
	bool is_full = reserve_is_given_up(daemon->reserve);

	if (is_full == daemon->said_full)
		return;
	daemon->said_full = is_full;
	if (!is_full)
		log_info("there is room on the disk again");
	else
		log_warning("the disk of %s is full: what was reserved is left to deletes, and "
		            "nothing is added until there is room",
		            daemon->config.data_dir);
}

/* Turns and ticks ----------------------------------------------------------------------------- */

static void do_not_wait(uv_idle_t *idle);

/* Its turn comes after the others', if it has sessions that wait for theirs. */
static void queue_peer(struct daemon *daemon, struct peer *peer)
{
	if (list_empty(&peer->turns) || !list_empty(&peer->turn_link))
		return;
	list_append(&daemon->turns, &peer->turn_link);
	uv_idle_start(&daemon->turner, do_not_wait);
}

static void begin_moment(struct daemon *daemon);

static void peer_turn(struct daemon *daemon, struct peer *peer)
{
	uint64_t began_ns = clock_monotonic_ns(daemon->clock);
	struct turn turn = {.began_ns = began_ns, .now_ns = began_ns};
	struct list *link;

	while (!turn_is_over(&turn) && (link = list_pop(&peer->turns)))
		session_turn(LIST_ELEMENT(link, struct session, turn_link), &turn);
	if (!share_spend(&peer->share, began_ns, turn.now_ns) &&
	    asking_is_shared(&daemon->peers_asking, turn.now_ns)) {
		list_remove(&peer->turn_link);
		list_append(&daemon->resting_peers, &peer->turn_link);
		begin_moment(daemon);
	} else {
		queue_peer(daemon, peer);
	}
}

/* The loop looks who else has come, and waits for nobody, while it runs. */
static void do_not_wait(uv_idle_t *idle)
{
	(void)idle;
}

/* Right after the loop has looked: what it found takes its turn without another look. */
static void on_looked(uv_check_t *check)
{
	struct daemon *daemon = check->data;
	struct list turns, gatherings, *link;

	list_init(&turns);
	list_splice(&turns, &daemon->turns);
	while ((link = list_pop(&turns)))
		peer_turn(daemon, LIST_ELEMENT(link, struct peer, turn_link));
	list_init(&gatherings);
	list_splice(&gatherings, &daemon->gatherings);
	while ((link = list_pop(&gatherings)))
		collection_kick(LIST_ELEMENT(link, struct collection, gather_link));
	if (list_empty(&daemon->turns) && list_empty(&daemon->gatherings))
		uv_idle_stop(&daemon->turner);
}

void daemon_queue_turn(struct daemon *daemon, struct session *session)
{
	if (session->closing || !list_empty(&session->turn_link))
		return;
	list_append(&session->peer->turns, &session->turn_link);
	queue_peer(daemon, session->peer);
}

static void on_moment(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	struct list *link;

	while ((link = list_pop(&daemon->resting))) {
		struct session *session = LIST_ELEMENT(link, struct session, turn_link);

		share_renew(&session->share);
		daemon_queue_turn(daemon, session);
	}
	while ((link = list_pop(&daemon->resting_peers))) {
		struct peer *peer = LIST_ELEMENT(link, struct peer, turn_link);

		share_renew(&peer->share);
		queue_peer(daemon, peer);
	}
}

static void begin_moment(struct daemon *daemon)
{
	if (!uv_is_active((uv_handle_t *)&daemon->moment))
		uv_timer_start(&daemon->moment, on_moment, SHARE_MOMENT_NS / 1000000, 0);
}

void daemon_rest_session(struct daemon *daemon, struct session *session)
{
	list_remove(&session->turn_link);
	list_append(&daemon->resting, &session->turn_link);
	begin_moment(daemon);
}

void daemon_queue_gathering(struct daemon *daemon, struct collection *collection)
{
	list_append(&daemon->gatherings, &collection->gather_link);
	uv_idle_start(&daemon->turner, do_not_wait);
}

static void stop_step(struct daemon *daemon);

static void journal_written(void *ctx)
{
	daemon_closed_one(ctx);
}

static void on_tick(uv_timer_t *timer)
{
	struct daemon *daemon = timer->data;
	uint64_t now_ns = clock_monotonic_ns(daemon->clock);
	struct collection *collection = NULL;
	struct list *link = daemon->sessions.next;

	while (link != &daemon->sessions) {
		struct session *session = LIST_ELEMENT(link, struct session, link);

		link = link->next; /* a check may close it */
		session_check_deadlines(session, now_ns);
		session_check_claim(session, now_ns);
		session_check_stall(session, now_ns);
	}
	look_at_pressure(daemon);
	look_at_room(daemon);
	while ((collection = collections_next(daemon->collections, collection)))
		upkeep_look(collection);
	if (daemon->config.idle_unload_s > 0)
		cache_shed(daemon->cache, NULL, UINT64_MAX,
		           daemon->config.idle_unload_s * UINT64_C(1000000000));
	scratches_look(daemon, now_ns);
	if (daemon->stopping)
		stop_step(daemon);
	else
		purge(daemon);
	collect(daemon, now_ns);
	if (!daemon->stopping) {
		journal_look(daemon->journal, daemon->lanes, journal_written, daemon);
		footprint_tick(daemon, now_ns);
	}
}

/* Stopping ------------------------------------------------------------------------------------ */

static void close_sessions(struct daemon *daemon, bool all)
{
	struct list *link = daemon->sessions.next;

	while (link != &daemon->sessions) {
		struct session *session = LIST_ELEMENT(link, struct session, link);

		link = link->next;
		if (!all && session->unread_bytes > 0)
			continue;
		if (session->unread_bytes > 0)
			log_warning("client '%s': closed by the stop: it left %zu bytes of answers "
			            "unread for %u s",
			            session->client, (size_t)session->unread_bytes,
			            STOP_FLUSH_MS / 1000);
		session_close(session);
	}
}

static void stop_step(struct daemon *daemon)
{
	bool late = clock_monotonic_ns(daemon->clock) - daemon->stopping_ns >=
	            STOP_FLUSH_MS * UINT64_C(1000000);

	if (daemon->n_open_requests > 0 || !collections_idle(daemon->collections))
		return;
	close_sessions(daemon, late);
	if (daemon->n_sessions > 0)
		return;
	if (!daemon->collections_stopped) {
		daemon->collections_stopped = true;
		collections_stop(daemon->collections);
	}
	if (daemon->n_handles > 0 || daemon->purging || daemon->footprint.looking ||
	    journal_is_writing(daemon->journal) || !collections_idle(daemon->collections) ||
	    !daemon->lanes)
		return;
	lanes_close(daemon->lanes, NULL, NULL);
	daemon->lanes = NULL;
	pressure_close(&daemon->pressure);
	uv_close((uv_handle_t *)&daemon->tick, NULL);
	uv_close((uv_handle_t *)&daemon->turner, NULL);
	uv_close((uv_handle_t *)&daemon->looked, NULL);
	uv_close((uv_handle_t *)&daemon->moment, NULL);
}

void daemon_closed_one(struct daemon *daemon)
{
	if (daemon->stopping && !daemon->refusing)
		stop_step(daemon);
}

void daemon_stop(struct daemon *daemon)
{
	struct list *link = daemon->sessions.next;

	if (daemon->stopping)
		return;
	daemon->stopping = daemon->refusing = true;
	long_job_cancel(daemon);
	daemon->stopping_ns = clock_monotonic_ns(daemon->clock);
	server_close(daemon->server);
	daemon->server = NULL;
	while (link != &daemon->sessions) {
		struct session *session = LIST_ELEMENT(link, struct session, link);

		link = link->next; /* refusing may close it */
		reading_forget(session);
	}
	collections_refuse_pending(daemon->collections);
	daemon->refusing = false;
	stop_step(daemon);
}

/* Starting ------------------------------------------------------------------------------------ */

static int lock_dir(struct daemon *daemon, struct dir_lock *lock, const char *dir)
{
	pid_t holder = 0;
	int r = store_make_dirs(daemon->io, dir);

	if (r == 0)
		r = dir_lock_take(lock, daemon->io, dir, &holder);
	if (r == DIR_LOCK_HELD) {
		log_error("%s is in use by process %d", dir, (int)holder);
		return DAEMON_IN_USE;
	}
	if (r < 0)
		log_error("cannot use %s: %s", dir, strerror(-r));
	return r;
}

/* Tens of collections take tens of files each; the usual soft limit of 1024 is low. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			log_warning("cannot raise the number of files that may be open: %s",
			            strerror(errno));
	}
}

/* Without it deletes may fail when the disk is full, and nothing else. */
static int take_reserve(struct daemon *daemon, uint64_t bytes)
{
	int r = reserve_new(daemon->io, daemon->config.data_dir, bytes ? bytes : RESERVE_BYTES,
	                    &daemon->reserve);

	if (r < 0)
		return r;
	r = reserve_take(daemon->reserve);
	daemon->said_full = r == -ENOSPC;
	if (r < 0)
		log_warning("cannot reserve room for deletes in %s: %s", daemon->config.data_dir,
		            strerror(-r));
	return 0;
}

static uint32_t n_cores(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return cores < 2 ? 2 : cores > FLIGHT_JOBS_MAX ? FLIGHT_JOBS_MAX : (uint32_t)cores;
}

static int start_lanes(struct daemon *daemon, struct lanes_observer *observer)
{
	const struct config *config = &daemon->config;
	/* A build takes all cores at low priority; one thread more keeps the rest going. */
	uint32_t background =
	        config->background_threads ? config->background_threads : n_cores() + 1;
	const uint32_t n_threads[LANE_N] = {
	        [LANE_INTERACTIVE] =
	                config->interactive_threads ? config->interactive_threads : n_cores(),
	        [LANE_WRITE] = config->write_threads,
	        [LANE_BACKGROUND] = background,
	};
	int r;

	/* Workers may rest as soon as they are there. */
	daemon->rest.rest = worker_rests;
	r = scratches_init(daemon, n_threads);
	if (r == 0)
		r = lanes_new(daemon->loop, n_threads, observer, &daemon->rest, &daemon->lanes);
	daemon->build_workers = background > 1 ? background - 1 : 1;
	if (daemon->build_workers > FLIGHT_JOBS_MAX)
		daemon->build_workers = FLIGHT_JOBS_MAX;

	if (r < 0) {
		log_error("cannot start the workers: %s", strerror(-r));
		return r;
	}
	read_turns_init(&daemon->read_turns, n_threads[LANE_INTERACTIVE]);
	uv_timer_init(daemon->loop, &daemon->tick);
	daemon->tick.data = daemon;
	uv_timer_start(&daemon->tick, on_tick, DAEMON_TICK_MS, DAEMON_TICK_MS);
	uv_idle_init(daemon->loop, &daemon->turner);
	daemon->turner.data = daemon;
	uv_check_init(daemon->loop, &daemon->looked);
	daemon->looked.data = daemon;
	uv_check_start(&daemon->looked, on_looked);
	uv_timer_init(daemon->loop, &daemon->moment);
	daemon->moment.data = daemon;
	return 0;
}

static const struct cache_type *const cache_types[] = {&generation_type, &vectors_type};
#define N_CACHE_TYPES (sizeof(cache_types) / sizeof(cache_types[0]))

/* Called by the budget when it is full. What can be done without does not push out what others use;
 * what is needed may. */
static bool give_back(struct reclaim *reclaim, uint64_t bytes, bool is_needed)
{
	struct daemon *daemon = LIST_ELEMENT(reclaim, struct daemon, reclaim);
	bool takes_all = is_needed && !daemon->spares_used;

	return cache_shed(daemon->cache, NULL, bytes, takes_all ? 0 : DAEMON_COLD_NS) > 0;
}

static int take_cache(struct daemon *daemon, const struct daemon_world *world)
{
	struct cache_backend *backend;
	int r;

	if (world->cache_backend)
		r = world->cache_backend(&backend);
	else if (daemon->config.cache_backend == CONFIG_CACHE_MMAP)
		r = cache_backend_mmap(&backend);
	else
		r = cache_backend_arena(&backend);
	if (r == 0)
		r = cache_new(backend, daemon->clock, cache_types, N_CACHE_TYPES, &daemon->cache);
	if (r < 0) {
		log_error("cannot make the index cache: %s", strerror(-r));
		return r;
	}
	daemon->reclaim.give_back = give_back;
	budget_set_reclaim(daemon->budget, &daemon->reclaim);
	return 0;
}

static int take_memory(struct daemon *daemon)
{
	const struct config *config = &daemon->config;
	int r = sqlite_setup((size_t)config->metadata_cache_mb << 20);

	if (r == 0)
		r = spill_file_new(daemon->io, config->cache_dir, &daemon->spill);
	if (r == 0)
		r = budget_new((uint64_t)config->index_cache_mb << 20,
		               spill_file_spill(daemon->spill), &daemon->budget);
	if (r < 0)
		log_error("cannot reserve %u MiB for indexes: %s", config->index_cache_mb,
		          strerror(-r));
	return r;
}

int daemon_new(uv_loop_t *loop, const struct config *config, const struct daemon_world *world,
               struct daemon **ret)
{
	struct daemon *daemon = calloc(1, sizeof(*daemon));
	int r;

	if (!daemon)
		return -ENOMEM;
	daemon->loop = loop;
	daemon->config = *config;
	daemon->io = world->io;
	daemon->clock = world->clock;
	daemon->owner = world->owner;
	daemon->started_ns = clock_monotonic_ns(daemon->clock);
	list_init(&daemon->turns);
	list_init(&daemon->resting);
	list_init(&daemon->resting_peers);
	list_init(&daemon->peers);
	list_init(&daemon->gatherings);
	list_init(&daemon->flights);
	list_init(&daemon->sessions);
	guests_init(&daemon->guests, &config->allow_uids);
	inflight_init(&daemon->inflight, (uint64_t)config->inflight_mb << 20);
	raise_file_limit();
	/* The budget is of whole slabs. */
	if ((uint64_t)config->index_cache_mb << 20 < SLAB_BYTES)
		log_warning("index_cache_mb is %u: everything is served from mapped files",
		            config->index_cache_mb);
	r = lock_dir(daemon, &daemon->data_lock, config->data_dir);
	if (r == 0 && strcmp(config->data_dir, config->cache_dir) != 0)
		r = lock_dir(daemon, &daemon->cache_lock, config->cache_dir);
	if (r == 0)
		r = journal_new(daemon->io, daemon->clock, config->data_dir, &daemon->journal);
	if (r == 0)
		r = take_reserve(daemon, world->reserve_bytes);
	if (r == 0)
		r = take_memory(daemon);
	if (r == 0)
		r = take_cache(daemon, world);
	if (r == 0)
		r = start_lanes(daemon, world->observer);
	if (r == 0)
		pressure_open(&daemon->pressure, loop, daemon->clock, world->pressure, on_pressed);
	if (r == 0)
		r = collections_new(daemon, &daemon->collections);
	if (r) {
		daemon_free(daemon);
		return r;
	}
	*ret = daemon;
	return 0;
}

int daemon_listen(struct daemon *daemon, int fd)
{
	return server_new(daemon, fd, &daemon->server);
}

struct daemon *daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return NULL;
	/* A start that failed half-way left handles; the loop ends them. */
	if (daemon->lanes) {
		if (daemon->collections)
			daemon_stop(daemon);
		else {
			lanes_close(daemon->lanes, NULL, NULL);
			pressure_close(&daemon->pressure);
			uv_close((uv_handle_t *)&daemon->tick, NULL);
			uv_close((uv_handle_t *)&daemon->turner, NULL);
			uv_close((uv_handle_t *)&daemon->looked, NULL);
			uv_close((uv_handle_t *)&daemon->moment, NULL);
		}
		uv_run(daemon->loop, UV_RUN_DEFAULT);
	}
	daemon->collections = collections_free(daemon->collections);
	daemon->cache = cache_free(daemon->cache);
	scratches_release(daemon);
	daemon->budget = budget_free(daemon->budget);
	daemon->spill = spill_file_free(daemon->spill);
	daemon->journal = journal_free(daemon->journal);
	daemon->reserve = reserve_free(daemon->reserve);
	sqlite_vfs_drop(daemon->io);
	dir_lock_release(&daemon->cache_lock);
	dir_lock_release(&daemon->data_lock);
	free(daemon);
	return NULL;
}
