#include "test/plain/criterion/criterion.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child runs one test and exits with 0, or with one of these; a sanitizer adds its own. */
enum { EXIT_FAILED = 1, EXIT_SKIPPED = 77 };

/* Generous, because a sanitizer slows a test down by up to this factor. */
enum { TIMEOUT_S = 100, SLOWER = 10 };

static struct plain_test *first, **last = &first;
static atomic_bool failed;

void plain_register(struct plain_test *test)
{
    *last = test;
    last = &test->next;
}

void plain_failed(bool fatal, const char *file, int line, const char *condition, const char *format,
                  ...)
{
    char message[512];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: failed: %s%s%s\n", file, line, condition, message[0] ? ": " : "",
            message);
    atomic_store(&failed, true);
    if (fatal)
        exit(EXIT_FAILED);
}

void plain_skip(void)
{
    exit(EXIT_SKIPPED);
}

static void run_in_child(const struct plain_test *test)
{
    double timeout_s = test->timeout > 0 ? test->timeout * SLOWER : TIMEOUT_S;
    struct itimerval alarm_at = {.it_value.tv_sec = (time_t)timeout_s + 1};

    setitimer(ITIMER_REAL, &alarm_at, NULL);
    if (test->init)
        test->init();
    test->run();
    if (test->fini)
        test->fini();
    exit(atomic_load(&failed) ? EXIT_FAILED : test->exit_code);
}

static bool is_as_stated(const struct plain_test *test, int status)
{
    if (test->signal)
        return WIFSIGNALED(status) && WTERMSIG(status) == test->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == test->exit_code;
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "";
    int passed_count = 0, failed_count = 0, skipped_count = 0;

    for (const struct plain_test *test = first; test; test = test->next) {
        int status = 0;
        pid_t child;

        if (!strstr(test->name, wanted) || test->disabled)
            continue;
        fflush(NULL);
        child = fork();
        if (child == 0)
            run_in_child(test);
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("plain");
            return EXIT_FAILED;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED && !test->exit_code) {
            skipped_count++;
        } else if (is_as_stated(test, status)) {
            passed_count++;
        } else {
            failed_count++;
            fprintf(stderr, "FAILED %s/%s (wait status 0x%x)\n", test->suite, test->name,
                    (unsigned)status);
        }
    }
    printf("%d passed, %d failed, %d skipped\n", passed_count, failed_count, skipped_count);
    return failed_count > 0 || passed_count + skipped_count == 0 ? EXIT_FAILED : 0;
}
