#include "storage/quarantine.h"

#include "storage/core.h"
#include "storage/scan.h"
#include "storage/store_priv.h"

bool quarantine_read(const struct record *record, uint64_t sequence, struct store_quarantined *out)
{
    struct str payload = record->payload;
    size_t len;

    if (record->type != RECORD_QUARANTINE || payload.len < 1)
        return false;
    len = (uint8_t)payload.at[0];
    if (payload.len < 1 + len)
        return false;
    *out = (struct store_quarantined){
        .sequence = sequence,
        .recv_ms = record->recv_ms,
        .bike = record->bike,
        .topic = record->topic,
        .reason = {payload.at + 1, len},
        .payload = {payload.at + 1 + len, payload.len - 1 - len},
    };
    return true;
}

/* ---- showing it ---- */

enum { VISIT_ENDED = 1 }; /* `visit` has seen enough; not an error, so not negative */

struct show {
    store_quarantined_fn *visit;
    void *ctx;
    uint64_t next; /* what is older has been shown */
};

static int show_record(struct show *show, uint64_t sequence, const struct record *record)
{
    struct store_quarantined entry;

    if (sequence < show->next || !quarantine_read(record, sequence, &entry))
        return 0;
    show->next = sequence + 1;
    return show->visit(show->ctx, &entry) ? 0 : VISIT_ENDED;
}

static int on_core_record(void *ctx, uint64_t sequence, struct str bytes)
{
    struct record record;
    size_t len = record_read(bytes, &record);

    if (len == 0 || len != bytes.len) /* 0: nothing was read, also of no bytes */
        return ERR_CORRUPT;
    return show_record(ctx, sequence, &record);
}

static int on_log_block(void *ctx, const struct block *block)
{
    struct block_walk walk = block_walk(block);
    struct record record;
    uint64_t sequence;
    int rc = 0;

    while (!rc && block_next(&walk, &record, &sequence))
        if (record.type == RECORD_QUARANTINE)
            rc = show_record(ctx, sequence, &record);
    return rc;
}

int store_quarantine_each(struct store *s, store_quarantined_fn *visit, void *ctx)
{
    struct show show = {.visit = visit, .ctx = ctx};
    const struct core_visitor visitor = {.quarantined = on_core_record, .ctx = &show};
    struct scan scan = {.folder = s->folder, .on_block = on_log_block, .ctx = &show};
    struct core_meta meta;
    int rc;

    rc = core_read(s->core, &meta, &visitor, NULL);
    if (!rc) {
        scan.from = meta.checkpoint;
        scan.to = s->options.read_only ? UINT64_MAX : store_next_sequence(s);
        rc = scan_run(&scan, NULL);
    }
    return rc == VISIT_ENDED ? 0 : rc;
}

void store_quarantine_note(struct store *s)
{
    atomic_fetch_add_explicit(&s->facts.quarantined, 1, memory_order_relaxed);
}
