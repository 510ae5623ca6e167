#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/cli/child.h"

static char folder[64], file[80];

static void set_up(void)
{
    snprintf(folder, sizeof folder, "/tmp/freehub-child-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/log", folder);
}

static void tear_down(void)
{
    unlink(file);
    rmdir(folder);
}

static void script_start(struct child *child, const char *script)
{
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
    struct err_detail detail;

    cr_assert_eq(child_start(child, argv, file, &detail), 0, "%s", detail.text);
}

/* Wait until the log holds `word`; the test's own time limit bounds it. */
static void log_await(const char *word)
{
    char text[256] = "";

    while (!strstr(text, word)) {
        FILE *in = fopen(file, "r");

        usleep(1000);
        if (!in)
            continue;
        text[fread(text, 1, sizeof text - 1, in)] = '\0';
        fclose(in);
    }
}

Test(child, exit_codes_come_back, .init = set_up, .fini = tear_down, .timeout = 30)
{
    struct child child;

    script_start(&child, "echo out; echo err >&2; exit 7");
    while (child_is_running(&child))
        usleep(1000);
    cr_expect_eq(child_stop(&child, 0), 7);
    log_await("out\nerr\n");
    cr_expect_not(child_is_running(&child));
}

/* SIGTERM is answered in the program's own way. */
Test(child, stops_when_asked, .init = set_up, .fini = tear_down, .timeout = 30)
{
    struct child child;

    script_start(&child, "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    log_await("ready");
    cr_expect(child_is_running(&child));
    cr_expect_eq(child_stop(&child, 20000), 5);
}

Test(child, is_killed_when_it_does_not_stop, .init = set_up, .fini = tear_down, .timeout = 30)
{
    struct child child;

    script_start(&child, "trap '' TERM; echo ready; while :; do sleep 0.01; done");
    log_await("ready");
    cr_expect_eq(child_stop(&child, 50), 128 + SIGKILL);
}

/* Ctrl-C is for us alone. */
Test(child, has_a_process_group_of_its_own, .init = set_up, .fini = tear_down, .timeout = 30)
{
    struct child child;

    script_start(&child, "echo ready; sleep 20");
    log_await("ready");
    cr_expect_eq(getpgid(child.pid), child.pid);
    cr_expect_neq(getpgid(child.pid), getpgid(0));
    kill(-child.pid, SIGTERM);
    cr_expect_neq(child_stop(&child, 1000), 0);
}

Test(child, what_cannot_start_is_named, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *program, *log_file;
        int rc;
        const char *says;
    } rows[] = {
        {"/none/such", NULL, ERR_NOTFOUND, "/none/such cannot be started: No such file"},
        {"/tmp", NULL, ERR_DENIED, "/tmp cannot be started: Permission denied"},
        {"true", "/none/log", ERR_NOTFOUND, "true cannot be started: No such file"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *argv[] = {(char *)(uintptr_t)rows[i].program, NULL};
        struct child child;
        struct err_detail detail;

        cr_expect_eq(child_start(&child, argv, rows[i].log_file, &detail), rows[i].rc, "row %zu",
                     i);
        cr_expect(strncmp(detail.text, rows[i].says, strlen(rows[i].says)) == 0, "%s", detail.text);
        cr_expect_not(child_is_running(&child));
        cr_expect_eq(child_stop(&child, 0), 0);
    }
}
