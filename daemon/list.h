/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An intrusive doubly linked list: a head, and a link embedded in each element. A link that is on
 * no list points to itself, so that removing it twice is harmless.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define LIST_ELEMENT(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return list->next == list;
}

static inline void list_append(struct list *list, struct list *link)
{
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* Takes the first link off; NULL when there is none. */
static inline struct list *list_pop(struct list *list)
{
	struct list *link = list->next;

	if (link == list)
		return NULL;
	list_remove(link);
	return link;
}

/* Moves all links of from, in order, behind those of list. */
static inline void list_splice(struct list *list, struct list *from)
{
	struct list *link;

	while ((link = list_pop(from)))
		list_append(list, link);
}
