#include "broker/cli/load_proc.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_MAX = 4096 };

static bool read_text(const char *path, char text[TEXT_MAX])
{
    FILE *file = fopen(path, "re");
    size_t len;

    if (!file)
        return false;
    len = fread(text, 1, TEXT_MAX - 1, file);
    text[len] = '\0';
    fclose(file);
    return len > 0;
}

/* User and system time of the whole process in clock ticks: fields 14 and 15, counted from behind
 * the name, which may hold anything. */
static uint64_t ticks_ns(const char *stat)
{
    const char *at = strrchr(stat, ')');
    uint64_t user = 0, system = 0;

    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes decimal numbers that fit */
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                      &user, &system) != 2)
        return 0;
    return (user + system) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* The scheduler's own nanoseconds of every living thread. */
static uint64_t threads_ns(int pid)
{
    char path[64 + sizeof(((struct dirent *)0)->d_name)], text[TEXT_MAX];
    uint64_t sum = 0;
    struct dirent *entry;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    folder = opendir(path);
    if (!folder)
        return 0;
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, entry->d_name);
        if (read_text(path, text))
            sum += strtoull(text, NULL, 10);
    }
    closedir(folder);
    return sum;
}

static uint64_t value_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

int load_proc_read(int pid, struct load_proc_use *out)
{
    char path[64], text[TEXT_MAX];

    *out = (struct load_proc_use){0};
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_text(path, text))
        return ERR_NOTFOUND;
    out->cpu_ns = threads_ns(pid);
    if (out->cpu_ns == 0)
        out->cpu_ns = ticks_ns(text);
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (read_text(path, text))
        out->rss_bytes = value_of(text, "\nVmRSS:") * 1024;
    snprintf(path, sizeof path, "/proc/%d/io", pid);
    if (read_text(path, text)) {
        out->written_bytes = value_of(text, "\nwrite_bytes:");
        out->read_calls = value_of(text, "\nsyscr:");
        out->write_calls = value_of(text, "\nsyscw:");
    }
    return 0;
}

/* A thread that ended in between takes its time with it. */
static uint64_t growth(uint64_t before, uint64_t after)
{
    return after > before ? after - before : 0;
}

struct load_proc_use load_proc_between(const struct load_proc_use *before,
                                       const struct load_proc_use *after)
{
    return (struct load_proc_use){
        .cpu_ns = growth(before->cpu_ns, after->cpu_ns),
        .rss_bytes = after->rss_bytes,
        .written_bytes = growth(before->written_bytes, after->written_bytes),
        .read_calls = growth(before->read_calls, after->read_calls),
        .write_calls = growth(before->write_calls, after->write_calls),
    };
}
