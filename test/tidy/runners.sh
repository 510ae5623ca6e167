#!/bin/bash
# What runs the tests can tell good from bad: test/plain finds a failed check, a wrong signal and a
# data race, and test/reported a sanitizer's report of a program whose output went nowhere.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
code=0
run=()
setarch "$(uname -m)" -R true 2>/dev/null && run=(setarch "$(uname -m)" -R)

compile() {
    clang -std=c17 -D_GNU_SOURCE -g -fsanitize="$1" -Wno-gnu-zero-variadic-macro-arguments -pthread \
        -I"$root" -isystem "$root/test/plain" "$work/test.c" "$root/test/plain/plain.c" -o "$work/test"
}

# expect OUTCOME WHAT BODY: a test with this body ends well (0) or not (1).
expect() {
    local outcome=0

    cat >"$work/test.c" <<TEXT
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
static int shared;
static inline void *add(void *ctx)
{
    shared++;
    return ctx;
}
$3
TEXT
    compile thread
    "${run[@]}" "$work/test" >"$work/out" 2>&1 || outcome=1
    if [ "$outcome" != "$1" ]; then
        echo "test/plain: $2 gave $outcome, not $1"
        cat "$work/out"
        code=1
    fi
}

expect 0 "a passing check" 'Test(a, b) { cr_expect_eq(1, 1, "%d", 1); cr_assert(true); }'
expect 1 "a failed expectation" 'Test(a, b) { cr_expect_eq(1, 2, "%d", 1); }'
expect 1 "a failed assertion" 'Test(a, b) { cr_assert_str_eq("a", "b"); }'
expect 1 "a failure before a pass" 'Test(a, b) { cr_expect(0); } Test(a, c) { cr_expect(1); }'
expect 1 "a crash" 'Test(a, b) { abort(); }'
expect 0 "a stated signal" 'Test(a, b, .signal = SIGABRT) { abort(); }'
expect 1 "a signal that does not come" 'Test(a, b, .signal = SIGABRT) { cr_expect(1); }'
expect 1 "a failed check in fini" 'static void f(void) { cr_expect(0); } Test(a, b, .fini = f) {}'
expect 1 "no test at all" ''
expect 1 "a data race" 'Test(a, b)
{
    pthread_t other;
    pthread_create(&other, NULL, add, NULL);
    shared++;
    pthread_join(other, NULL);
    cr_expect_eq(shared, 2);
}'

# A leak in a program whose output and exit code nobody looks at.
printf '#include <stdlib.h>\nint main(void)\n{\n    return malloc(7) == 0;\n}\n' >"$work/test.c"
clang -O0 -fsanitize=address "$work/test.c" -o "$work/leaks"
"$root/test/reported" sh -c "$work/leaks >/dev/null 2>&1 || true" >/dev/null 2>&1 &&
    { echo "test/reported does not see a leak"; code=1; }
"$root/test/reported" true || { echo "test/reported fails what passes"; code=1; }
"$root/test/reported" sh -c 'exit 77' && code=1 || [ $? = 77 ] ||
    { echo "test/reported loses the exit code"; code=1; }

[ $code = 0 ] && echo "the runners tell good from bad"
exit $code
