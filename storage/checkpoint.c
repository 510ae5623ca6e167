#include "storage/checkpoint.h"

#include "broker/base/log.h"
#include "storage/scan.h"
#include "storage/store_priv.h"

enum { PUTS_PER_TXN = 32768 }; /* well below what LMDB takes in one transaction */

/* A checkpoint under way. */
struct checkpoint {
    struct store *s;
    struct core_meta meta;
    struct segment_list segments;
    size_t at;                   /* index of the segment being walked; segments.count: none yet */
    struct core_segment segment; /* what is known of it */
    uint32_t puts;
};

/* ---- bikes and latest ---- */

/* A new transaction where the open one has grown large. It carries the old checkpoint. */
static int count_put(struct checkpoint *c, struct err_detail *detail)
{
    int rc;

    if (++c->puts < PUTS_PER_TXN)
        return 0;
    c->puts = 0;
    rc = core_commit(c->s->core, &c->s->meta, detail);
    return rc ? rc : core_begin(c->s->core, detail);
}

static int write_bikes(struct checkpoint *c, struct err_detail *detail)
{
    uint32_t last = bikes_last(c->s->bikes);
    int rc = 0;

    for (uint32_t number = c->s->bikes_saved + 1; number <= last && !rc; number++) {
        struct str id = bikes_id(c->s->bikes, number);

        if (id.len == 0)
            continue;
        rc = core_put_bike(c->s->core, number, id);
        if (!rc)
            rc = count_put(c, detail);
    }
    return rc;
}

static int write_latest(struct checkpoint *c, struct err_detail *detail)
{
    uint8_t state[HEAD_BYTES_MAX];
    uint32_t bike = 0;
    size_t len;
    int rc = 0;

    while (!rc) {
        head_begin(c->s->head); /* for one bike, so that no worker waits for long */
        bike = head_take_changed(c->s->head, bike, state, &len);
        head_end(c->s->head);
        if (bike == 0)
            break;
        rc = core_put_latest(c->s->core, bike, str_of_bytes(state, len));
        if (!rc)
            rc = count_put(c, detail);
    }
    return rc;
}

/* ---- quarantine and segment table ---- */

/* Go on to the segment that holds `sequence`; the one before is complete. */
static int enter_segment(struct checkpoint *c, uint64_t sequence)
{
    const struct segment_entry *entries = c->segments.entries;
    size_t at = c->at < c->segments.count ? c->at : 0;
    int rc = 0;

    while (at + 1 < c->segments.count && entries[at + 1].first <= sequence)
        at++;
    if (at == c->at)
        return 0;
    if (c->at < c->segments.count) {
        c->segment.next = entries[c->at + 1].first;
        rc = core_put_segment(c->s->core, &c->segment);
    }
    if (rc)
        return rc;
    c->at = at;
    rc = core_find_segment(c->s->core, entries[at].first, &c->segment); /* its first half */
    if (rc)
        c->segment = (struct core_segment){
            .first = entries[at].first, .recv_first_ms = INT64_MAX, .recv_last_ms = INT64_MIN};
    return rc == ERR_NOTFOUND || rc == ERR_CORRUPT ? 0 : rc;
}

static int walk_block(void *ctx, const struct block *block)
{
    struct checkpoint *c = ctx;
    struct block_walk walk = block_walk(block);
    struct core_segment *segment = &c->segment;
    struct record record;
    uint64_t sequence;
    int rc;

    rc = enter_segment(c, block->sequence);
    while (!rc) {
        struct str bytes = walk.rest;

        if (!block_next(&walk, &record, &sequence))
            break;
        if (record.type == RECORD_TELEMETRY) {
            if (record.recv_ms < segment->recv_first_ms)
                segment->recv_first_ms = record.recv_ms;
            if (record.recv_ms > segment->recv_last_ms)
                segment->recv_last_ms = record.recv_ms;
        } else if (record.type == RECORD_QUARANTINE && sequence >= c->s->meta.checkpoint) {
            bytes.len = (size_t)(walk.rest.at - bytes.at);
            rc = core_put_quarantined(c->s->core, &c->meta, sequence, bytes);
        }
    }
    return rc;
}

static int write_walk(struct checkpoint *c, uint64_t to, struct err_detail *detail)
{
    const struct scan scan = {.folder = c->s->folder,
                              .from = c->s->meta.checkpoint,
                              .to = to,
                              .on_block = walk_block,
                              .ctx = c};
    int rc;

    rc = segment_list_read(&c->segments, c->s->folder, detail);
    if (rc)
        return rc;
    c->at = c->segments.count;
    rc = scan_run(&scan, detail);
    if (!rc && c->at < c->segments.count) {
        c->segment.next = to;
        rc = core_put_segment(c->s->core, &c->segment);
    }
    if (!rc)
        rc = core_trim_quarantine(c->s->core, &c->meta, c->s->options.quarantine_max_bytes);
    segment_list_free(&c->segments);
    return rc;
}

int checkpoint_write(struct store *s, uint64_t to, struct err_detail *detail)
{
    struct checkpoint c = {.s = s, .meta = s->meta};
    uint32_t bikes_now = bikes_last(s->bikes);
    int rc;

    rc = core_begin(s->core, detail);
    if (rc)
        return rc;
    err_set(detail, 0, "%s", "");
    rc = write_bikes(&c, detail);
    if (!rc)
        rc = write_latest(&c, detail);
    if (!rc && to > s->meta.checkpoint) {
        rc = write_walk(&c, to, detail);
        c.meta.checkpoint = to;
    }
    if (!rc)
        rc = core_commit(s->core, &c.meta, detail);
    if (rc) {
        core_abort(s->core);
        head_mark_all(s->head);
        if (detail && !detail->text[0])
            err_set(detail, rc, "write core.mdb: %s", err_text(rc));
        return rc;
    }
    s->meta = c.meta;
    s->bikes_saved = bikes_now;
    if (atomic_load(&s->facts.quarantined) < s->meta.quarantined)
        atomic_store(&s->facts.quarantined, s->meta.quarantined);
    atomic_store(&s->facts.quarantine_dropped, s->meta.quarantine_dropped);
    LOG_INFO("checkpoint", F_UINT("sequence", s->meta.checkpoint));
    return 0;
}
