#include "broker/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/chrono.h"

/* After fork(): become the program, or tell the parent through `report` why not. */
NORETURN static void child_become(char *const *argv, const char *log_file, int report, pid_t parent)
{
    sigset_t none;
    int code;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before prctl() */
        _exit(0);
    if (log_file) {
        int fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
            goto failed;
    }
    execvp(argv[0], argv);
failed:
    code = errno;
    if (write(report, &code, sizeof code) < 0)
        _exit(126);
    _exit(127);
}

int child_start(struct child *child, char *const *argv, const char *log_file,
                struct err_detail *detail)
{
    int report[2], code = 0;
    pid_t self = getpid(), pid;
    ssize_t got;

    *child = (struct child){0, 0};
    if (pipe2(report, O_CLOEXEC))
        return err_set(detail, err_from_errno(errno), "%s: %s", argv[0], strerror(errno));
    pid = fork();
    if (pid == 0)
        child_become(argv, log_file, report[1], self);
    code = pid < 0 ? errno : 0;
    close(report[1]);
    do
        got = pid < 0 ? 0 : read(report[0], &code, sizeof code); /* 0 when exec succeeded */
    while (got < 0 && errno == EINTR);
    close(report[0]);
    if (code == 0) {
        child->pid = pid;
        return 0;
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return err_set(detail, err_from_errno(code), "%s cannot be started: %s", argv[0],
                   strerror(code));
}

bool child_is_running(struct child *child)
{
    pid_t ended;

    if (child->pid == 0)
        return false;
    ended = waitpid(child->pid, &child->status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR))
        return true;
    child->pid = 0;
    return false;
}

static int exit_code(const struct child *child)
{
    return WIFSIGNALED(child->status) ? 128 + WTERMSIG(child->status) : WEXITSTATUS(child->status);
}

int child_wait(struct child *child)
{
    while (child->pid > 0 && waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR)
        continue;
    child->pid = 0;
    return exit_code(child);
}

/* Wait for its end without reaping it; true when that came within `patience_ms`. */
static bool ends_within(const struct child *child, unsigned patience_ms)
{
    struct pollfd end = {.fd = pidfd_open(child->pid, 0), .events = POLLIN};
    uint64_t until = chrono_mono_ms() + patience_ms;
    int ready = 0;

    if (end.fd < 0)
        return false;
    do {
        uint64_t now = chrono_mono_ms();

        ready = poll(&end, 1, now < until ? (int)(until - now) : 0);
    } while (ready < 0 && errno == EINTR);
    close(end.fd);
    return ready > 0;
}

int child_stop(struct child *child, unsigned patience_ms)
{
    ASSERT(patience_ms <= INT32_MAX);
    if (child->pid > 0) {
        kill(child->pid, SIGTERM);
        if (!ends_within(child, patience_ms))
            kill(child->pid, SIGKILL);
    }
    return child_wait(child);
}
