/* test/plain/criterion/criterion.h -- the part of Criterion that our tests use, for the presets in
 * which Criterion cannot start (ThreadSanitizer). The same test sources build against both. Each
 * test runs in a process of its own, as there. See plain.c. */
#ifndef FREEHUB_TEST_PLAIN_CRITERION_H
#define FREEHUB_TEST_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain_test {
    const char *suite, *name;
    void (*run)(void);
    struct plain_test *next;

    /* What a test may state about itself; the names are Criterion's. */
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds; 0: the runner's own */
    int signal;     /* ends with this signal */
    int exit_code;
    bool disabled;
    const char *description;
};

/* Before main(), by Test(). */
void plain_register(struct plain_test *test);

/* Note a failed check; does not return when `fatal`. Any thread. */
void plain_failed(bool fatal, const char *file, int line, const char *condition, const char *format,
                  ...) __attribute__((format(printf, 5, 6)));

/* End the test as skipped. */
__attribute__((noreturn)) void plain_skip(void);

#define Test(suite_, name_, ...)                                                                   \
    static void plain_##suite_##_##name_(void);                                                    \
    __attribute__((constructor)) static void plain_##suite_##_##name_##_register(void)             \
    {                                                                                              \
        static struct plain_test test = {                                                          \
            .suite = #suite_, .name = #name_, .run = plain_##suite_##_##name_, ##__VA_ARGS__};     \
        plain_register(&test);                                                                     \
    }                                                                                              \
    static void plain_##suite_##_##name_(void)

/* The message, if any, is a literal; an empty one is put before it so that it may be absent. */
#define PLAIN_CHECK(fatal, condition, text, ...)                                                   \
    ((condition) ? (void)0 : plain_failed((fatal), __FILE__, __LINE__, text, "" __VA_ARGS__))

#define PLAIN_COMPARE(fatal, a, is, b, ...)                                                        \
    PLAIN_CHECK(fatal, (a)is(b), #a " " #is " " #b, __VA_ARGS__)
#define PLAIN_STR(fatal, a, is, b, ...)                                                            \
    PLAIN_CHECK(fatal, strcmp((a), (b)) is 0, #a " " #is " " #b, __VA_ARGS__)
#define PLAIN_BYTES(fatal, a, is, b, len, ...)                                                     \
    PLAIN_CHECK(fatal, memcmp((a), (b), (len)) is 0, #a " " #is " " #b, __VA_ARGS__)
#define PLAIN_FLOAT(fatal, a, b, epsilon, ...)                                                     \
    PLAIN_CHECK(fatal, (a) - (b) <= (epsilon) && (b) - (a) <= (epsilon), #a " ~ " #b, __VA_ARGS__)

#define cr_assert(condition, ...)              PLAIN_CHECK(true, condition, #condition, __VA_ARGS__)
#define cr_expect(condition, ...)              PLAIN_CHECK(false, condition, #condition, __VA_ARGS__)
#define cr_assert_not(condition, ...)          PLAIN_CHECK(true, !(condition), "!" #condition, __VA_ARGS__)
#define cr_expect_not(condition, ...)          PLAIN_CHECK(false, !(condition), "!" #condition, __VA_ARGS__)
#define cr_assert_null(a, ...)                 PLAIN_COMPARE(true, a, ==, NULL, __VA_ARGS__)
#define cr_expect_null(a, ...)                 PLAIN_COMPARE(false, a, ==, NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...)             PLAIN_COMPARE(true, a, !=, NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...)             PLAIN_COMPARE(false, a, !=, NULL, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)                PLAIN_COMPARE(true, a, ==, b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...)                PLAIN_COMPARE(false, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)               PLAIN_COMPARE(true, a, !=, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)               PLAIN_COMPARE(false, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)                PLAIN_COMPARE(true, a, <, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)                PLAIN_COMPARE(false, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)               PLAIN_COMPARE(true, a, <=, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)               PLAIN_COMPARE(false, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)                PLAIN_COMPARE(true, a, >, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)                PLAIN_COMPARE(false, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)               PLAIN_COMPARE(true, a, >=, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)               PLAIN_COMPARE(false, a, >=, b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)            PLAIN_STR(true, a, ==, b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)            PLAIN_STR(false, a, ==, b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...)           PLAIN_STR(true, a, !=, b, __VA_ARGS__)
#define cr_expect_str_neq(a, b, ...)           PLAIN_STR(false, a, !=, b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, len, ...)       PLAIN_BYTES(true, a, ==, b, len, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, len, ...)       PLAIN_BYTES(false, a, ==, b, len, __VA_ARGS__)
#define cr_assert_arr_neq(a, b, len, ...)      PLAIN_BYTES(true, a, !=, b, len, __VA_ARGS__)
#define cr_expect_arr_neq(a, b, len, ...)      PLAIN_BYTES(false, a, !=, b, len, __VA_ARGS__)
#define cr_assert_float_eq(a, b, epsilon, ...) PLAIN_FLOAT(true, a, b, epsilon, __VA_ARGS__)
#define cr_expect_float_eq(a, b, epsilon, ...) PLAIN_FLOAT(false, a, b, epsilon, __VA_ARGS__)
#define cr_assert_fail(...)                    PLAIN_CHECK(true, false, "fail", __VA_ARGS__)
#define cr_expect_fail(...)                    PLAIN_CHECK(false, false, "fail", __VA_ARGS__)
#define cr_fail(...)                           PLAIN_CHECK(false, false, "fail", __VA_ARGS__)
#define cr_skip_test(...)                      plain_skip()
#define cr_log_info(...)                       ((void)0)

#endif
