/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The daemon: what there is one of. The loop thread owns all of it.
 *
 * Life: daemon_new() takes the directories' locks and the memory, daemon_listen() opens the
 * socket, uv_run() serves, daemon_stop() (from a signal) lets what runs finish, closes everything
 * and so ends uv_run(), daemon_free() gives the rest back.
 */

#include <uv.h>

#include "daemon/cache.h"
#include "daemon/config.h"
#include "daemon/footprint.h"
#include "daemon/guest.h"
#include "daemon/inflight.h"
#include "daemon/lanes.h"
#include "daemon/pressure.h"
#include "daemon/list.h"
#include "daemon/reading.h"
#include "daemon/scratch.h"
#include "daemon/share.h"
#include "index/budget.h"
#include "storage/clock.h"
#include "storage/dir_lock.h"
#include "storage/reserve.h"
#include "storage/store_io.h"

struct collections;
struct journal;
struct server;
struct spill_file;

/* What the daemon stands on; tests bring their own. */
struct daemon_world {
	struct store_io *io;
	struct clock *clock;
	uid_t owner;                                      /* whose connections may do everything */
	struct lanes_observer *observer;                  /* may be NULL */
	const struct pressure_source *pressure;           /* NULL: memory is never short */
	int (*cache_backend)(struct cache_backend **ret); /* NULL: what the config says */
	uint64_t reserve_bytes;                           /* 0: RESERVE_BYTES */
};

struct daemon {
	uv_loop_t *loop;
	struct config config;
	struct store_io *io;
	struct clock *clock;
	uid_t owner;
	struct dir_lock data_lock, cache_lock;
	struct reserve *reserve;
	bool said_full; /* that the reserve was given up */
	struct journal *journal;
	struct lanes *lanes;
	struct spill_file *spill;
	struct budget *budget;
	struct cache *cache;
	struct reclaim reclaim; /* what the cache gives back to the budget */
	bool spares_used;       /* who asks for memory now rather spills than pushes out others */
	struct pressure pressure;
	struct inflight inflight;
	struct guests guests;
	struct footprint footprint;
	struct lanes_rest rest; /* of workers that have nothing to do */
	struct read_turns read_turns;
	struct collections *collections;
	struct server *server;
	uv_timer_t tick;   /* each DAEMON_TICK_MS: stalls, quiet collections, purging */
	uv_idle_t turner;  /* runs while there are turns or gatherings, */
	uv_check_t looked; /* which are taken here */
	struct list turns; /* struct peer.turn_link: they wait for their turn */
	/* Those that had their share, until the next moment: struct session.turn_link, struct
	 * peer.turn_link. */
	struct list resting, resting_peers;
	uv_timer_t moment; /* which that begins */
	struct asking asking, peers_asking;
	struct list gatherings; /* struct collection.gather_link: their next group gathers */
	struct list peers;      /* struct peer.link */
	struct list sessions;   /* struct session.link */
	uint32_t n_sessions;
	struct list flights; /* struct flight.link: jobs on indexes */
	struct scratches scratches;
	uint32_t build_workers;   /* that one build may have */
	uint64_t session_numbers; /* given out so far */
	uint64_t peer_numbers;
	uint64_t flight_numbers;
	uint64_t n_requests, n_refused;
	uint64_t n_open_requests; /* not answered yet */
	uint64_t collected_ns;    /* when the loop's own memory was last given back */
	uint32_t n_handles;       /* sessions and collections that have not closed */
	uint64_t started_ns;
	struct long_job *long_job; /* under way, or NULL */
	bool purging;
	bool stopping;
	bool refusing; /* the stop refuses what waits: no step of it is taken yet */
	bool collections_stopped;
	uint64_t stopping_ns;
};

#define DAEMON_TICK_MS 250
/* How often the loop gives back what it freed, when no request waits for it. */
#define DAEMON_COLLECT_NS UINT64_C(2000000000)
/* What was used within so long does not go to make room for what can be served mapped as well: else
 * more than fits, used by turns, would be loaded over and over. */
#define DAEMON_COLD_NS UINT64_C(10000000000)

/* Outcomes of daemon_new(): another daemon has the directory; said in the log with its pid. */
enum {
	DAEMON_IN_USE = 1
};

int daemon_new(uv_loop_t *loop, const struct config *config, const struct daemon_world *world,
               struct daemon **ret);
/* Opens the socket: fd (a listening Unix socket, taken) or, when fd is < 0, config.socket. */
int daemon_listen(struct daemon *daemon, int fd);
/* Stops accepting, lets running work finish, cancels what waits, saves, closes. The loop ends
 * when all is closed. Fine to call twice. */
void daemon_stop(struct daemon *daemon);
/* After uv_run() returned. NULL is fine; returns NULL. */
struct daemon *daemon_free(struct daemon *daemon);

struct session;
struct collection;
/* Gives the session another turn, after its peer's other ones and the other peers. */
void daemon_queue_turn(struct daemon *daemon, struct session *session);
/* Gives it the next one when the next moment has begun. */
void daemon_rest_session(struct daemon *daemon, struct session *session);
/* Kicks the collection again, until its group has gathered. */
void daemon_queue_gathering(struct daemon *daemon, struct collection *collection);
/* A session or a collection has closed: goes on stopping if that was what it waited for. */
void daemon_closed_one(struct daemon *daemon);
