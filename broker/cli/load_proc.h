/* broker/cli/load_proc.h -- what a process has used so far, from /proc. */
#ifndef FREEHUB_BROKER_CLI_LOAD_PROC_H
#define FREEHUB_BROKER_CLI_LOAD_PROC_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct load_proc_use {
    uint64_t cpu_ns;                  /* user and system time of the threads that live */
    uint64_t rss_bytes;               /* now */
    uint64_t written_bytes;           /* caused to be sent to a disk; 0 when not readable */
    uint64_t read_calls, write_calls; /* 0 when not readable */
};

/* ERR_NOTFOUND: no such process. */
CHECKED int load_proc_read(int pid, struct load_proc_use *out);

/* What was used between two readings; `rss_bytes` is that of `after`. */
struct load_proc_use load_proc_between(const struct load_proc_use *before,
                                       const struct load_proc_use *after);

#endif
