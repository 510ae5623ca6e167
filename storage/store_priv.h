/* storage/store_priv.h -- what the files behind store.h share. */
#ifndef FREEHUB_STORAGE_STORE_PRIV_H
#define FREEHUB_STORAGE_STORE_PRIV_H

#include <stdatomic.h>

#include "storage/bikes.h"
#include "storage/core.h"
#include "storage/head.h"
#include "storage/maintenance.h"
#include "storage/ring_priv.h"
#include "storage/segment.h"
#include "storage/store.h"
#include "storage/supply.h"
#include "storage/writer.h"

struct store {
    struct store_options options; /* `folder` is our own copy */
    char *folder;
    int lock_fd;                      /* -1 when read-only */
    uint8_t uuid[SEGMENT_UUID_BYTES]; /* of the store, in every segment's header */
    bool uuid_found;                  /* in a segment; otherwise it is a new one */
    uint64_t first_sequence;          /* oldest record in the log at open */
    uint64_t next_sequence;           /* at open; afterwards ask the writer */

    struct bell bell;
    struct ring *rings[WRITER_RINGS_MAX];
    size_t ring_count;
    struct segment *active; /* until store_start() gives it to the writer, and again after stop */
    struct supply *supply;
    struct writer *writer;
    _Atomic bool failed;

    /* What is known from the log: made by recover_open(), freed by recover_close(). */
    struct bikes *bikes;
    struct head *head;
    struct core *core;
    uint32_t bikes_saved;  /* bikes 1..bikes_saved are in core.mdb */
    struct core_meta meta; /* of the last commit; the maintenance thread's while it runs */
    struct maintenance *maintenance; /* between store_start() and store_stop() */
    struct {
        _Atomic uint64_t bad_blocks, quarantined, quarantine_dropped, segments_dropped;
        _Atomic uint64_t log_first; /* retention has taken what is before it */
        _Atomic bool size_cap_reached;
    } facts; /* for store_status() */
};

/* The next sequence the log will give; records below it are committed. Any thread. */
uint64_t store_next_sequence(struct store *s);

#endif
