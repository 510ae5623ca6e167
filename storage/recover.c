#include "storage/recover.h"

#include "broker/base/log.h"
#include "storage/scan.h"
#include "storage/store_priv.h"

enum { OPEN_TRIES = 5 }; /* a reader beside a busy daemon: its checkpoint may move meanwhile */

/* A recovery under way. */
struct recovery {
    struct store *s;
    uint64_t next; /* behind the last record seen */
    uint64_t bad_values;
    uint64_t quarantined;
    struct segment_list segments; /* read before core.mdb, which forgets a segment before it goes */
};

/* ---- the checkpoint ---- */

static int on_bike(void *ctx, uint32_t number, struct str id)
{
    struct recovery *r = ctx;

    return bikes_restore(r->s->bikes, number, id);
}

static int on_latest(void *ctx, uint32_t bike, struct str state)
{
    struct recovery *r = ctx;
    int rc = head_restore(r->s->head, bike, state);

    if (rc != ERR_UNSUPPORTED)
        return rc;
    LOG_WARN("latest_type_unknown", F_UINT("bike_number", bike));
    return 0;
}

static int on_segment(void *ctx, const struct core_segment *segment)
{
    struct recovery *r = ctx;

    for (size_t i = 0; i < r->segments.count; i++)
        if (r->segments.entries[i].first == segment->first)
            return 0;
    r->bad_values++;
    LOG_ERROR("log_segment_missing", F_UINT("from", segment->first), F_UINT("to", segment->next));
    return 0;
}

static void on_bad_value(void *ctx, const char *table)
{
    struct recovery *r = ctx;

    r->bad_values++;
    LOG_ERROR("core_value_bad", F_TEXT("table", table));
}

static int load_checkpoint(struct recovery *r, struct err_detail *detail)
{
    const struct core_visitor visitor = {
        .bike = on_bike, .latest = on_latest, .segment = on_segment, .bad = on_bad_value, .ctx = r};
    static const uint8_t no_uuid[CORE_UUID_BYTES];
    struct store *s = r->s;
    int rc;

    rc = core_open(&s->core, s->folder, s->options.read_only, detail);
    if (rc)
        return rc;
    rc = segment_list_read(&r->segments, s->folder, detail);
    if (rc)
        return rc;
    rc = core_read(s->core, &s->meta, &visitor, detail);
    if (rc)
        return rc;
    if (memcmp(s->meta.uuid, no_uuid, sizeof no_uuid) == 0)
        memcpy(s->meta.uuid, s->uuid, sizeof s->uuid);
    else if (!s->uuid_found) /* the log is empty, or too damaged to say */
        memcpy(s->uuid, s->meta.uuid, sizeof s->uuid);
    else if (memcmp(s->meta.uuid, s->uuid, sizeof s->uuid) != 0)
        return err_set(detail, ERR_CORRUPT,
                       "%s: core.mdb and log belong to different stores; put back the files that "
                       "belong together",
                       s->folder);
    return 0;
}

/* ---- the log behind it ---- */

static void replay_bike_new(struct recovery *r, const struct record *record, uint64_t sequence)
{
    int rc = bikes_restore(r->s->bikes, record->bike, record->payload);

    if (!rc)
        return;
    bikes_note_used(r->s->bikes, record->bike);
    LOG_ERROR("bike_record_bad", F_UINT("sequence", sequence), F_UINT("bike_number", record->bike),
              F_TEXT("why", err_text(rc)));
}

static int replay_block(void *ctx, const struct block *block)
{
    struct recovery *r = ctx;
    struct store *s = r->s;
    struct block_walk walk = block_walk(block);
    uint32_t bike_last = bikes_last(s->bikes);
    struct record record;
    uint64_t sequence;

    head_begin(s->head);
    while (block_next(&walk, &record, &sequence)) {
        if (UNLIKELY(sequence < s->meta.checkpoint))
            continue;
        switch (record.type) {
        case RECORD_TELEMETRY:
            if (UNLIKELY(record.bike > bike_last)) {
                bikes_note_used(s->bikes, record.bike);
                bike_last = bikes_last(s->bikes);
            }
            (void)head_update(s->head, record.bike, record.schema, record.recv_ms, record.payload);
            break;
        case RECORD_BIKE_NEW:
            replay_bike_new(r, &record, sequence);
            break;
        case RECORD_QUARANTINE:
            r->quarantined++;
            break;
        default: /* other readers' records */
            break;
        }
    }
    head_end(s->head);
    r->next = block->sequence + block->count;
    if (walk.left > 0) { /* written wrongly, as the CRC holds */
        atomic_fetch_add(&s->facts.bad_blocks, 1);
        LOG_ERROR("log_block_bad", F_UINT("from", walk.next), F_UINT("to", r->next),
                  F_TEXT("why", "a record's length is wrong"));
    }
    return 0;
}

static void on_bad_range(void *ctx, uint64_t from, uint64_t to, const char *why)
{
    struct recovery *r = ctx;

    atomic_fetch_add(&r->s->facts.bad_blocks, 1);
    if (to == UINT64_MAX)
        LOG_ERROR("log_block_bad", F_UINT("from", from), F_TEXT("why", why));
    else
        LOG_ERROR("log_block_bad", F_UINT("from", from), F_UINT("to", to), F_TEXT("why", why));
}

static int recover_once(struct recovery *r, struct err_detail *detail)
{
    struct store *s = r->s;
    struct scan scan = {.folder = s->folder,
                        .to = UINT64_MAX,
                        .on_block = replay_block,
                        .on_bad = on_bad_range,
                        .ctx = r};
    int rc;

    rc = bikes_new(&s->bikes);
    if (!rc)
        rc = head_new(&s->head, s->options.schemas);
    if (rc)
        return err_set(detail, rc, "%s", err_text(rc));
    rc = load_checkpoint(r, detail);
    segment_list_free(&r->segments);
    if (rc)
        return rc;
    scan.from = s->meta.checkpoint;
    return scan_run(&scan, detail);
}

/* The log must not give a number again that core.mdb has seen. */
static void check_end(struct recovery *r)
{
    struct store *s = r->s;

    if (s->next_sequence < r->next)
        s->next_sequence = r->next;
    if (s->next_sequence >= s->meta.checkpoint)
        return;
    LOG_ERROR("log_end_lost", F_UINT("from", s->next_sequence), F_UINT("to", s->meta.checkpoint),
              F_TEXT("why", "core.mdb knows records that the log does not hold any more"));
    s->next_sequence = s->meta.checkpoint;
}

/* Make the first core.mdb durable before the first record is. */
static int core_first_commit(struct store *s, struct err_detail *detail)
{
    int rc;

    if (s->options.read_only || !core_is_new(s->core))
        return 0;
    if (s->first_sequence > 1)
        LOG_ERROR("core_missing", F_UINT("log_first", s->first_sequence),
                  F_TEXT("why", "ids of bikes whose first records are gone are lost with it"));
    rc = core_begin(s->core, detail);
    return rc ? rc : core_commit(s->core, &s->meta, detail);
}

int recover_open(struct store *s, struct err_detail *detail)
{
    struct recovery r;
    int rc;

    for (unsigned tries = 0;; tries++) {
        r = (struct recovery){.s = s};
        atomic_store(&s->facts.bad_blocks, 0);
        rc = recover_once(&r, detail);
        if (rc != ERR_NOTFOUND || !s->options.read_only || !s->core || tries + 1 == OPEN_TRIES)
            break;
        recover_close(s);
    }
    if (rc)
        return rc;
    check_end(&r);
    atomic_fetch_add(&s->facts.bad_blocks, r.bad_values);
    atomic_store(&s->facts.quarantined, s->meta.quarantined + r.quarantined);
    atomic_store(&s->facts.quarantine_dropped, s->meta.quarantine_dropped);
    atomic_store(&s->facts.segments_dropped, s->meta.segments_dropped);
    atomic_store(&s->facts.log_first,
                 s->first_sequence > s->meta.log_first ? s->first_sequence : s->meta.log_first);
    return core_first_commit(s, detail);
}

void recover_close(struct store *s)
{
    core_close(s->core);
    head_free(s->head);
    bikes_free(s->bikes);
    s->core = NULL;
    s->head = NULL;
    s->bikes = NULL;
}
