#include <criterion/criterion.h>

#include "broker/base/list.h"

struct item {
    int number;
    struct list link;
};

/* The numbers front to back, as one decimal: 1, 2, 3 is 123. */
static int digits(struct list *head)
{
    int all = 0;

    LIST_FOR (struct item, item, head, link) {
        all = all * 10 + item->number;
    }
    return all;
}

static struct item items[] = {{.number = 1}, {.number = 2}, {.number = 3}};

static void push_all(struct list *head)
{
    list_init(head);
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        list_push_back(head, &items[i].link);
}

Test(list, keeps_the_order_of_pushing)
{
    struct list head;
    struct item first = {.number = 9};

    list_init(&head);
    cr_expect(list_is_empty(&head));
    cr_expect_eq(digits(&head), 0);
    push_all(&head);
    cr_expect_eq(digits(&head), 123);
    list_push_front(&head, &first.link);
    cr_expect_eq(digits(&head), 9123);
    cr_expect_not(list_is_empty(&head));
}

Test(list, removes_from_anywhere_and_twice_is_harmless)
{
    struct list head;

    push_all(&head);
    list_remove(&items[1].link);
    cr_expect_eq(digits(&head), 13);
    cr_expect_not(list_is_linked(&items[1].link));
    list_remove(&items[1].link);
    cr_expect_eq(digits(&head), 13);
    list_push_back(&head, &items[1].link);
    cr_expect_eq(digits(&head), 132);
}

Test(list, a_walk_may_remove_where_it_is)
{
    struct list head;

    push_all(&head);
    LIST_FOR (struct item, item, &head, link) {
        if (item->number != 2)
            list_remove(&item->link);
    }
    cr_expect_eq(digits(&head), 2);
}

Test(list, pops_in_order_until_it_is_empty)
{
    struct list head;

    push_all(&head);
    for (int i = 1; i <= 3; i++)
        cr_expect_eq(LIST_ITEM(list_pop_front(&head), struct item, link)->number, i);
    cr_expect_null(list_pop_front(&head));
}

Test(list, moves_all_to_the_end_of_another)
{
    struct list head, other;
    struct item first = {.number = 9};

    push_all(&head);
    list_init(&other);
    list_push_back(&other, &first.link);
    list_move_all(&other, &head);
    cr_expect(list_is_empty(&head));
    cr_expect_eq(digits(&other), 9123);
    list_move_all(&other, &head);
    cr_expect_eq(digits(&other), 9123);
}
