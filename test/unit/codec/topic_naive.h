/* test/unit/codec/topic_naive.h -- matching written the plain way, character by character and by
 * recursion, to hold the real one against. */
#ifndef FREEHUB_TEST_UNIT_CODEC_TOPIC_NAIVE_H
#define FREEHUB_TEST_UNIT_CODEC_TOPIC_NAIVE_H

#include "broker/base/base.h"

/* From the start of a level on in both; `name_over` says that the name had no more levels. */
static inline bool naive_rest_matches(const char *f, const char *f_end, const char *n,
                                      const char *n_end, bool name_over)
{
    if (f < f_end && *f == '#')
        return true;
    if (name_over)
        return false;
    if (f < f_end && *f == '+') {
        f++;
        while (n < n_end && *n != '/')
            n++;
    } else {
        while (f < f_end && *f != '/' && n < n_end && *n == *f) {
            f++;
            n++;
        }
    }
    if (f == f_end)
        return n == n_end;
    if (*f != '/' || (n < n_end && *n != '/'))
        return false;
    return naive_rest_matches(f + 1, f_end, n < n_end ? n + 1 : n, n_end, n == n_end);
}

static inline bool naive_matches(struct str filter, struct str name)
{
    if (name.at[0] == '$' && (filter.at[0] == '+' || filter.at[0] == '#'))
        return false;
    return naive_rest_matches(filter.at, filter.at + filter.len, name.at, name.at + name.len,
                              false);
}

#endif
