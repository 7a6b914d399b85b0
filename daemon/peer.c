/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/peer.h"

#include <stdlib.h>

#include "daemon/daemon.h"

struct peer *peer_ref(struct peer *peer)
{
	peer->n_refs++;
	return peer;
}

struct peer *peer_unref(struct peer *peer)
{
	if (!peer || --peer->n_refs > 0)
		return NULL;
	list_remove(&peer->link);
	list_remove(&peer->turn_link);
	list_remove(&peer->reads_link);
	free(peer);
	return NULL;
}

struct peer *peer_get(struct daemon *daemon, uid_t uid, pid_t pid)
{
	struct peer *peer;

	for (struct list *link = daemon->peers.next; link != &daemon->peers; link = link->next) {
		peer = LIST_ELEMENT(link, struct peer, link);
		if (peer->uid == uid && peer->pid == pid)
			return peer_ref(peer);
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return NULL;
	peer->number = ++daemon->peer_numbers;
	peer->uid = uid;
	peer->pid = pid;
	list_init(&peer->turn_link);
	list_init(&peer->turns);
	list_init(&peer->reads_link);
	list_init(&peer->readers);
	list_append(&daemon->peers, &peer->link);
	return peer_ref(peer);
}
