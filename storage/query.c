/* A query is passes over the log. Each pass
 *   1. walks all blocks in the order they were committed, and drops what it has met before by
 *      (bike, boot, sample), whatever its time: the first committed wins, also against a copy that
 *      has another time;
 *   2. picks the smallest rows behind the last one shown: when its room is full it keeps the
 * smaller half, and rows above `limit` are not looked at any more;
 *   3. gives up its snapshots, sorts what it has, and shows it.
 * Nothing above the limit: done. Readers of every segment stay open from the first pass to the
 * last, so that retention cannot change the answer between two passes. */
#include "storage/query.h"

#include <stdlib.h>

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "broker/payload/payload.h"
#include "storage/clock_rule.h"
#include "storage/seen.h"
#include "storage/store_priv.h"

const struct query_limits query_limits_default = {
    .rows_max = 2 << 20, .payload_bytes = (size_t)128 << 20, .seen_bytes = (size_t)64 << 20};

enum { ROWS_FIRST = 4096, PAYLOADS_FIRST = 1 << 20, PAYLOAD_HEAD_BYTES = 16 };

/* The order of rows. */
struct row_key {
    uint32_t bike, boot, sample;
    int64_t time_ms; /* effective */
};

/* A picked row; its payload lies in the run's own memory. */
struct row_ref {
    int64_t time_ms;
    uint32_t bike, boot, sample;
    uint32_t payload; /* offset in `payloads`, in units of 8 bytes */
};

struct query_run {
    struct store *s;
    const struct store_query *query;
    const struct query_limits *limits;
    uint16_t schema;
    uint64_t end; /* records at or behind it are not part of the answer */

    struct segment_reader **readers;
    size_t reader_count;

    struct seen *seen;
    struct row_ref *refs;
    size_t ref_count, ref_room;
    uint8_t *payloads; /* {i64 recv_ms, u32 length, u32 0, payload} each, from multiples of 8 */
    size_t payload_len, payload_room;

    struct row_key after; /* shown up to here */
    struct row_key limit; /* rows above wait for another pass */
    bool limited;
    bool again; /* not the first pass */
};

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int key_compare(const struct row_key *a, const struct row_key *b)
{
    if (a->bike != b->bike)
        return by_number(a->bike, b->bike);
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    if (a->boot != b->boot)
        return by_number(a->boot, b->boot);
    return by_number(a->sample, b->sample);
}

static struct row_key ref_key(const struct row_ref *ref)
{
    return (struct row_key){ref->bike, ref->boot, ref->sample, ref->time_ms};
}

static int by_key(const void *left, const void *right)
{
    struct row_key a = ref_key(left), b = ref_key(right);

    return key_compare(&a, &b);
}

static int by_payload(const void *left, const void *right)
{
    return by_number(((const struct row_ref *)left)->payload,
                     ((const struct row_ref *)right)->payload);
}

static void refs_sort(struct query_run *run, int (*compare)(const void *, const void *))
{
    if (run->ref_count > 1)
        qsort(run->refs, run->ref_count, sizeof *run->refs, compare);
}

/* ---- room ---- */

static size_t payload_bytes(const uint8_t *at)
{
    return (PAYLOAD_HEAD_BYTES + load_u32(at + 8) + 7) & ~(size_t)7;
}

/* Keep the payloads that a row refers to, and move them together. */
static void payloads_compact(struct query_run *run)
{
    size_t to = 0, last_from = SIZE_MAX, last_to = 0;

    refs_sort(run, by_payload);
    for (size_t i = 0; i < run->ref_count; i++) {
        size_t from = (size_t)run->refs[i].payload * 8;

        if (from != last_from) {
            size_t bytes = payload_bytes(run->payloads + from);

            memmove(run->payloads + to, run->payloads + from, bytes);
            last_from = from;
            last_to = to;
            to += bytes;
        }
        run->refs[i].payload = (uint32_t)(last_to / 8);
    }
    run->payload_len = to;
}

/* Keep the rows up to `limit`. */
static void pick_cut(struct query_run *run, struct row_key limit)
{
    size_t kept = 0;

    if (run->limited && key_compare(&run->limit, &limit) <= 0)
        return;
    for (size_t i = 0; i < run->ref_count; i++) {
        struct row_key key = ref_key(&run->refs[i]);

        if (key_compare(&key, &limit) <= 0)
            run->refs[kept++] = run->refs[i];
    }
    run->ref_count = kept;
    run->limit = limit;
    run->limited = true;
    payloads_compact(run);
}

/* Keep the smaller half of the rows, until payloads take at most half of their room too. */
static void pick_halve(struct query_run *run)
{
    do {
        refs_sort(run, by_key);
        run->ref_count = (run->ref_count + 1) / 2;
        run->limit = ref_key(&run->refs[run->ref_count - 1]);
        run->limited = true;
        payloads_compact(run);
    } while (run->ref_count > 1 && run->payload_len > run->limits->payload_bytes / 2);
}

/* Grow `*memory` so that `wanted` of `max` units fit. ERR_FULL: they never will. */
static int room_grow(void **memory, size_t *room, size_t wanted, size_t first, size_t max,
                     size_t unit)
{
    size_t wider = *room ? *room : first;
    void *grown;

    if (wanted <= *room)
        return 0;
    if (wanted > max)
        return ERR_FULL;
    while (wider < wanted)
        wider *= 2;
    if (wider > max)
        wider = max;
    grown = mem_try_resize(*memory, wider * unit);
    if (!grown)
        return ERR_NOMEM;
    *memory = grown;
    *room = wider;
    return 0;
}

/* Room for `rows` rows of a payload of `bytes`. */
static int pick_room(struct query_run *run, uint32_t rows, size_t bytes)
{
    size_t need = PAYLOAD_HEAD_BYTES + bytes + 7;
    int rc = ERR_FULL;

    for (unsigned tries = 0; tries < 2 && rc == ERR_FULL; tries++) {
        void *refs = run->refs, *payloads = run->payloads;

        rc = room_grow(&refs, &run->ref_room, run->ref_count + rows, ROWS_FIRST,
                       run->limits->rows_max, sizeof *run->refs);
        run->refs = refs;
        if (!rc)
            rc = room_grow(&payloads, &run->payload_room, run->payload_len + need, PAYLOADS_FIRST,
                           run->limits->payload_bytes, 1);
        run->payloads = payloads;
        if (rc == ERR_FULL && run->ref_count > 0)
            pick_halve(run);
    }
    return rc == ERR_FULL ? ERR_TOO_LARGE : rc;
}

/* ---- pass: walk and pick ---- */

/* A record under way: what its rows have in common. */
struct batch {
    const struct record *record;
    struct payload_facts facts;
    struct clock_rule rule;
    uint32_t payload; /* as in row_ref; UINT32_MAX until one of its rows is picked */
    uint64_t fresh[SEEN_WORDS];
};

static void payload_keep(struct query_run *run, struct batch *batch)
{
    uint8_t *to = run->payloads + run->payload_len;

    store_u64(to, (uint64_t)batch->record->recv_ms);
    store_u32(to + 8, (uint32_t)batch->record->payload.len);
    store_u32(to + 12, 0);
    if (batch->record->payload.len > 0)
        memcpy(to + PAYLOAD_HEAD_BYTES, batch->record->payload.at, batch->record->payload.len);
    batch->payload = (uint32_t)(run->payload_len / 8);
    run->payload_len += payload_bytes(to);
}

static void pick_row(struct query_run *run, struct batch *batch, uint32_t index, int64_t bike_ms)
{
    struct row_key key = {batch->record->bike, batch->facts.boot, batch->facts.first_sample + index,
                          clock_rule_time(&batch->rule, bike_ms)};

    if (!(batch->fresh[index / 64] >> index % 64 & 1) || key.time_ms < run->query->from_ms ||
        key.time_ms >= run->query->to_ms)
        return;
    if ((run->again && key_compare(&key, &run->after) <= 0) ||
        (run->limited && key_compare(&key, &run->limit) > 0))
        return;
    if (batch->payload == UINT32_MAX)
        payload_keep(run, batch);
    run->refs[run->ref_count++] =
        (struct row_ref){key.time_ms, key.bike, key.boot, key.sample, batch->payload};
}

/* Drop what was met before. While the spans do not fit, fewer bikes are looked at. */
static int batch_meet(struct query_run *run, struct batch *batch, uint32_t *fresh)
{
    uint32_t bike = batch->record->bike, last;
    int rc;

    while ((rc = seen_add(run->seen, bike, batch->facts.boot, batch->facts.first_sample,
                          batch->facts.sample_count, fresh, batch->fresh)) == ERR_FULL) {
        if (!seen_halve(run->seen, &last))
            return ERR_TOO_LARGE;
        pick_cut(run, (struct row_key){last, UINT32_MAX, UINT32_MAX, INT64_MAX});
        if (bike > last) {
            *fresh = 0;
            return 0;
        }
    }
    return rc;
}

static int walk_telemetry(struct query_run *run, const struct record *record)
{
    const struct store_query *query = run->query;
    UNINITIALIZED struct payload_rows rows;
    UNINITIALIZED struct payload_row row;
    UNINITIALIZED struct batch batch;
    const char *why;
    uint32_t fresh, index = 0;
    int rc;

    if (record->schema != run->schema || (query->bike != 0 && record->bike != query->bike) ||
        (run->again && record->bike < run->after.bike) ||
        (run->limited && record->bike > run->limit.bike) ||
        !payload_validate(query->schema, record->payload, &batch.facts, &why))
        return 0;
    batch.record = record;
    batch.payload = UINT32_MAX;
    rc = batch_meet(run, &batch, &fresh);
    if (rc || fresh == 0)
        return rc;
    batch.rule = clock_rule_judge(&batch.facts, record->recv_ms);
    if (clock_rule_time(&batch.rule, batch.facts.last_ms) < query->from_ms ||
        clock_rule_time(&batch.rule, batch.facts.first_ms) >= query->to_ms)
        return 0;
    rc = pick_room(run, batch.facts.sample_count, record->payload.len);
    if (rc)
        return rc;
    if (batch.facts.sample_count == 1) {
        pick_row(run, &batch, 0, batch.facts.first_ms);
        return 0;
    }
    if (!payload_rows_init(&rows, query->schema, record->payload))
        return 0;
    while (payload_rows_next(&rows, &row))
        pick_row(run, &batch, index++, row.time_ms);
    return 0;
}

static int walk_block(struct query_run *run, const struct block *block)
{
    struct block_walk walk = block_walk(block);
    struct record record;
    uint64_t sequence;
    int rc = 0;

    while (!rc && block_next(&walk, &record, &sequence)) {
        if (record.type == RECORD_TELEMETRY)
            rc = walk_telemetry(run, &record);
        else if (record.type == RECORD_BIKE_NEW && run->s->options.read_only)
            (void)bikes_restore(run->s->bikes, record.bike, record.payload); /* since the open */
    }
    return rc;
}

static void on_bad_block(void *ctx, uint64_t sequence, size_t bytes, const char *why)
{
    struct query_run *run = ctx;

    if (run->again) /* told already */
        return;
    atomic_fetch_add(&run->s->facts.bad_blocks, 1);
    LOG_ERROR("log_block_bad", F_UINT("from", sequence), F_UINT("bytes", bytes),
              F_TEXT("why", why));
}

static int walk_log(struct query_run *run)
{
    struct block block;
    int rc = 0;

    for (size_t i = 0; i < run->reader_count && !rc; i++) {
        ASSERT(run->readers); /* there are `reader_count` of them */
        segment_reader_seek(run->readers[i], 0);
        while ((rc = segment_reader_next(run->readers[i], &block)) == 0 &&
               block.sequence < run->end && (rc = walk_block(run, &block)) == 0)
            ;
        segment_reader_pause(run->readers[i]); /* showing rows may take long */
        if (rc == ERR_NOTFOUND)
            rc = 0;
    }
    return rc;
}

/* ---- pass: show ---- */

static int show_rows(struct query_run *run, store_row_fn *visit, void *ctx, bool *go_on)
{
    struct payload_rows rows;
    struct payload_row values;
    struct clock_rule rule = {false, 1, 0};
    struct store_row row = {.values = &values};
    uint32_t open = UINT32_MAX; /* the payload that `rows` walks */

    values.sample = 0;
    refs_sort(run, by_key);
    for (size_t i = 0; i < run->ref_count; i++) {
        const struct row_ref *ref = &run->refs[i];
        const uint8_t *at = run->payloads + (size_t)ref->payload * 8;

        if (ref->payload != open || values.sample >= ref->sample) {
            struct str payload = str_of_bytes(at + PAYLOAD_HEAD_BYTES, load_u32(at + 8));

            if (!payload_rows_init(&rows, run->query->schema, payload) ||
                !payload_rows_next(&rows, &values))
                return ERR_CORRUPT; /* it was valid a moment ago */
            rule = clock_rule_judge(&rows.facts, (int64_t)load_u64(at));
            open = ref->payload;
        }
        while (values.sample < ref->sample)
            if (!payload_rows_next(&rows, &values))
                return ERR_CORRUPT;
        if (i == 0 || row.bike != ref->bike)
            row.bike_id = bikes_id(run->s->bikes, ref->bike);
        row.bike = ref->bike;
        row.boot = ref->boot;
        row.trip = rows.facts.trip;
        row.flags = rule.suspect ? STORE_TIME_SUSPECT : 0;
        row.time_ms = ref->time_ms;
        row.bike_ms = values.time_ms;
        row.recv_ms = (int64_t)load_u64(at);
        if (!visit(ctx, &row)) {
            *go_on = false;
            return 0;
        }
    }
    return 0;
}

/* ---- the run ---- */

/* What core.mdb knows of a sealed segment; its rows may all be too new. */
struct prune {
    struct query_run *run;
    struct segment_list *list;
};

static int on_segment(void *ctx, const struct core_segment *segment)
{
    struct prune *prune = ctx;
    struct segment_list *list = prune->list;

    /* Older segments are never passed over: they may hold the first copy of a row. */
    if (segment->recv_first_ms == INT64_MAX ||
        segment->recv_first_ms < INT64_MIN + CLOCK_RULE_PAST_MS ||
        segment->recv_first_ms - CLOCK_RULE_PAST_MS < prune->run->query->to_ms)
        return 0;
    for (size_t i = 0; i + 1 < list->count; i++) {
        if (list->entries[i].first == segment->first && list->entries[i + 1].first == segment->next)
            list->entries[i].file_bytes = 0; /* marks it */
    }
    return 0;
}

static int open_readers(struct query_run *run, struct err_detail *detail)
{
    struct segment_list list;
    struct prune prune = {run, &list};
    const struct core_visitor visitor = {.segment = on_segment, .ctx = &prune};
    struct core_meta meta;
    int rc;

    rc = segment_list_read(&list, run->s->folder, detail);
    if (rc)
        return rc;
    rc = core_read(run->s->core, &meta, &visitor, detail);
    run->readers = list.count > 0 ? mem_try(list.count * sizeof *run->readers) : NULL;
    if (!rc && list.count > 0 && !run->readers) {
        rc = ERR_NOMEM;
        err_set(detail, rc, "no memory for %zu segments", list.count);
    }
    for (size_t i = 0; i < list.count && !rc; i++) {
        bool newest = i + 1 == list.count;
        struct segment_reader *reader;

        if (list.entries[i].file_bytes == 0 && !newest)
            continue;
        rc = segment_reader_open(&reader, run->s->folder, list.entries[i].first, !newest, detail);
        if (rc == ERR_CORRUPT) { /* reported when the store was opened; the others are sound */
            rc = 0;
            continue;
        }
        if (rc == ERR_NOTFOUND) { /* retention took it */
            rc = 0;
            continue;
        }
        if (rc)
            break;
        segment_reader_on_bad(reader, on_bad_block, run);
        run->readers[run->reader_count++] = reader;
        if (newest && run->s->options.read_only)
            rc = segment_reader_end(reader, &run->end);
        segment_reader_pause(reader);
    }
    segment_list_free(&list);
    return rc;
}

static int run_passes(struct query_run *run, store_row_fn *visit, void *ctx)
{
    bool go_on = true;
    int rc;

    do {
        seen_clear(run->seen);
        run->ref_count = 0;
        run->payload_len = 0;
        run->limited = false;
        rc = walk_log(run);
        if (!rc)
            rc = show_rows(run, visit, ctx, &go_on);
        run->after = run->limit;
        run->again = true;
    } while (!rc && go_on && run->limited);
    return rc;
}

int query_rows(struct store *s, const struct store_query *query, const struct query_limits *limits,
               store_row_fn *visit, void *ctx, struct err_detail *detail)
{
    struct query_run run = {.s = s,
                            .query = query,
                            .limits = limits,
                            .schema = schema_id(query->schema),
                            .end = UINT64_MAX};
    int rc;

    if (!schema_is_columnar(query->schema))
        return err_set(detail, ERR_INVALID, "%s has no samples", schema_name(query->schema));
    if (!s->options.read_only)
        run.end = store_next_sequence(s);
    rc = seen_new(&run.seen, limits->seen_bytes);
    if (!rc)
        rc = open_readers(&run, detail);
    if (!rc) {
        rc = run_passes(&run, visit, ctx);
        if (rc)
            err_set(detail, rc, "read the log of %s: %s", s->folder, err_text(rc));
    }
    for (size_t i = 0; run.readers && i < run.reader_count; i++)
        segment_reader_close(run.readers[i]);
    mem_free(run.readers);
    mem_free(run.refs);
    mem_free(run.payloads);
    seen_free(run.seen);
    return rc;
}

int store_rows(struct store *s, const struct store_query *query, store_row_fn *visit, void *ctx,
               struct err_detail *detail)
{
    return query_rows(s, query, &query_limits_default, visit, ctx, detail);
}
