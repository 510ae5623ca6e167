#include "broker/cli/load_proc.h"

#include <criterion/criterion.h>

#include <unistd.h>

Test(load_proc, reads_what_this_process_uses)
{
    struct load_proc_use before, after, use;
    volatile unsigned work = 0;
    int rc = load_proc_read(getpid(), &before);

    cr_assert_eq(rc, 0);
    cr_assert_gt(before.rss_bytes, 0);
    for (unsigned i = 0; i < 50000000; i++)
        work = work + i;
    rc = load_proc_read(getpid(), &after);
    cr_assert_eq(rc, 0);
    use = load_proc_between(&before, &after);
    cr_assert_gt(use.cpu_ns, 1000000);
    cr_assert_eq(use.rss_bytes, after.rss_bytes);
}

Test(load_proc, no_such_process)
{
    struct load_proc_use use;

    cr_assert_eq(load_proc_read(INT32_MAX, &use), ERR_NOTFOUND);
}

/* A thread that ended took its time with it. */
Test(load_proc, growth_is_never_negative)
{
    struct load_proc_use more = {.cpu_ns = 5}, less = {.cpu_ns = 3};

    cr_assert_eq(load_proc_between(&more, &less).cpu_ns, 0);
    cr_assert_eq(load_proc_between(&less, &more).cpu_ns, 2);
}
