/* list.h - an intrusive, circular, doubly linked list; a link knows no length and owns nothing.
 *
 * A head and every unlinked link point at themselves, so that list_remove() may run twice. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_LIST_H
#define MOONGATE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

/* The struct that holds `link` as its `member`. */
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Runs over `head`; the current link may be removed inside. */
#define LIST_EACH(head, link)                                                                      \
	for (struct list *link = (head)->next, *link##_next = link->next; link != (head);          \
	     link = link##_next, link##_next = link->next)

static inline void list_init(struct list *link)
{
	link->prev = link->next = link;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline void list_push_front(struct list *head, struct list *link)
{
	link->prev = head;
	link->next = head->next;
	head->next->prev = link;
	head->next = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
	list_push_front(head->prev, link);
}

/* The first one, which is in the list no more; NULL: it is empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *first = head->next;
	if (first == head)
		return NULL;
	head->next = first->next;
	first->next->prev = head;
	list_init(first);
	return first;
}

#endif
