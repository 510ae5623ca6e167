#include "storage/scan.h"

#include "broker/base/mem.h"
#include "storage/segment.h"

enum { WHY_MAX = 128 };

/* A scan under way. */
struct scan_run {
    const struct scan *scan;
    uint64_t next;     /* the sequence that must come next */
    char why[WHY_MAX]; /* of the bad range that is open, "" when there is none */
};

static void bad_begin(struct scan_run *run, const char *why)
{
    size_t len = strlen(why);

    if (run->why[0])
        return; /* one report a run */
    len = len < WHY_MAX - 1 ? len : WHY_MAX - 1;
    memcpy(run->why, why, len);
    run->why[len] = '\0';
}

/* Sound records begin again at `sequence`, or nothing follows (UINT64_MAX). */
static void bad_end(struct scan_run *run, uint64_t sequence)
{
    if (!run->why[0] && sequence != UINT64_MAX && sequence > run->next)
        bad_begin(run, "records are missing");
    if (run->why[0] && run->scan->on_bad)
        run->scan->on_bad(run->scan->ctx, run->next, sequence, run->why);
    run->why[0] = '\0';
}

static void on_bad_block(void *ctx, uint64_t sequence, size_t bytes, const char *why)
{
    (void)sequence;
    (void)bytes;
    bad_begin(ctx, why);
}

static int scan_segment(struct scan_run *run, struct segment_reader *reader)
{
    const struct scan *scan = run->scan;
    struct block block;
    int rc;

    segment_reader_on_bad(reader, on_bad_block, run);
    segment_reader_seek(reader, scan->from);
    while ((rc = segment_reader_next(reader, &block)) == 0 && block.sequence < scan->to) {
        bad_end(run, block.sequence);
        rc = scan->on_block(scan->ctx, &block);
        if (rc)
            return rc;
        run->next = block.sequence + block.count;
    }
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int scan_entry(struct scan_run *run, uint64_t first, bool sealed, struct err_detail *detail)
{
    struct segment_reader *reader;
    struct err_detail why = {""};
    int rc;

    rc = segment_reader_open(&reader, run->scan->folder, first, sealed, &why);
    if (rc == ERR_CORRUPT || rc == ERR_IO) { /* this one is lost, the others are not */
        bad_end(run, first);
        bad_begin(run, why.text);
        run->next = first;
        return 0;
    }
    if (rc) {
        if (detail)
            *detail = why;
        return rc;
    }
    rc = scan_segment(run, reader);
    segment_reader_close(reader);
    return rc;
}

int scan_run(const struct scan *scan, struct err_detail *detail)
{
    struct scan_run run = {.scan = scan, .next = scan->from};
    struct segment_list list = {NULL, 0};
    int rc;

    rc = segment_list_read(&list, scan->folder, detail);
    if (rc)
        return rc;
    if (list.count > 0 && list.entries[0].first > run.next)
        run.next = list.entries[0].first; /* older ones went by retention */
    for (size_t i = 0; i < list.count && !rc; i++) {
        bool newest = i + 1 == list.count;

        if (list.entries[i].first >= scan->to)
            break;
        if (!newest && list.entries[i + 1].first <= scan->from)
            continue;
        rc = scan_entry(&run, list.entries[i].first, !newest, detail);
    }
    if (!rc && run.why[0])
        bad_end(&run, UINT64_MAX);
    segment_list_free(&list);
    return rc;
}
