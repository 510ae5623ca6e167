/* broker/base/list.h -- a doubly linked list whose links live in the items: no allocation, O(1)
 * removal from the middle. The owner of the list is the owner of every link in it. All inline.
 *
 *     LIST_FOR (struct session, session, &expiring, in_expiring)
 *         session_close(session);
 */
#ifndef FREEHUB_BROKER_BASE_LIST_H
#define FREEHUB_BROKER_BASE_LIST_H

#include "broker/base/base.h"

/* A head, or a link inside an item. A zeroed link is in no list; a head needs list_init(). */
struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *head)
{
    head->prev = head->next = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_is_linked(const struct list *link)
{
    return link->next != NULL;
}

/* Put `link`, which is in no list, before `place`, which is a head or in a list. */
static inline void list_insert_before(struct list *place, struct list *link)
{
    ASSERT(!list_is_linked(link));
    link->prev = place->prev;
    link->next = place;
    place->prev->next = link;
    place->prev = link;
}

static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

/* Does nothing when the link is in no list. */
static inline void list_remove(struct list *link)
{
    if (!list_is_linked(link))
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->prev = link->next = NULL;
}

/* Take the first link out; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *first = head->next;

    if (first == head)
        return NULL;
    list_remove(first);
    return first;
}

/* Move everything from `from`, which is then empty, to the end of `to`. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The item that holds `link`. */
#define LIST_ITEM(link, type, member) CONTAINER_OF((link), type, member)

/* Front to back. The body may remove, and free, the item it is at, and no other.
 * NOLINTBEGIN(bugprone-macro-parentheses): a declaration takes no parentheses. */
#define LIST_FOR(type, item, head, member)                                                         \
    for (type *item = LIST_ITEM((head)->next, type, member),                                       \
              *item##_next = LIST_ITEM((item)->member.next, type, member);                         \
         &(item)->member != (head);                                                                \
         (item) = item##_next, item##_next = LIST_ITEM((item)->member.next, type, member))
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
