/* The checkpoint's form of one bike, little-endian:
 *
 *     u8 version = 1 | u8 0 | u16 schema | u32 columns | i64 recv_ms | u64 samples
 *     i64 row time | u32 row boot | u32 row sample
 *     per column present: u32 field number | i64 value | i64 time | u32 boot | u32 sample
 *
 * In memory: most columns change together, with every sample. So the stamp of the newest row is
 * kept once, and `fresh` says which columns carry it; only the others have a stamp of their own.
 * Invariants: no column's stamp is newer than the row's; `fresh` is a subset of `present`. */
#include "storage/head.h"

#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "broker/payload/payload.h"
#include "storage/bikes.h"
#include "storage/clock_rule.h"
#include "storage/store_priv.h"

enum {
    PAGE_BIKES = 4096,
    PAGE_COUNT = BIKES_MAX / PAGE_BIKES + 1,
    STATE_VERSION = 1,
    STATE_HEAD_BYTES = 40,
    STATE_COLUMN_BYTES = 28,
};
_Static_assert(STATE_HEAD_BYTES + SCHEMA_COLUMNS_MAX * STATE_COLUMN_BYTES <= HEAD_BYTES_MAX,
               "HEAD_BYTES_MAX holds the largest state");

struct stamp {
    int64_t time_ms; /* effective */
    uint32_t boot, sample;
};

struct head_bike {
    uint16_t schema; /* SCHEMA_RAW: only counted yet, see head_seen() */
    uint16_t column_count;
    bool changed;
    uint64_t present, fresh;
    int64_t recv_ms;
    uint64_t samples;
    struct stamp row;
    struct stamp *stamps; /* behind `values` in the same memory */
    int64_t values[];
};

struct head {
    struct mutex lock;
    const struct schema_set *schemas;
    const struct schema *cached; /* the columnar type with id `cached_id` */
    uint16_t cached_id;
    uint16_t cached_columns;
    struct head_bike **pages[PAGE_COUNT];
};

int head_new(struct head **out, const struct schema_set *schemas)
{
    struct head *h = mem_try(sizeof *h);

    if (!h)
        return ERR_NOMEM;
    memset(h, 0, sizeof *h);
    mutex_init(&h->lock);
    h->schemas = schemas;
    *out = h;
    return 0;
}

void head_free(struct head *h)
{
    if (!h)
        return;
    for (size_t p = 0; p < PAGE_COUNT; p++) {
        for (size_t i = 0; h->pages[p] && i < PAGE_BIKES; i++)
            mem_free(h->pages[p][i]);
        mem_free(h->pages[p]);
    }
    mutex_fini(&h->lock);
    mem_free(h);
}

void head_begin(struct head *h)
{
    mutex_lock(&h->lock);
}

void head_end(struct head *h)
{
    mutex_unlock(&h->lock);
}

/* Make the columnar type with this id the cached one; false when there is none. */
static bool head_schema(struct head *h, uint16_t id)
{
    const struct schema *schema;
    size_t count;

    if (LIKELY(h->cached && h->cached_id == id))
        return true;
    schema = h->schemas ? schema_by_id(h->schemas, id) : NULL;
    if (!schema || !schema_is_columnar(schema))
        return false;
    (void)schema_columns(schema, &count);
    h->cached = schema;
    h->cached_id = id;
    h->cached_columns = (uint16_t)count;
    return true;
}

static struct head_bike *head_find(const struct head *h, uint32_t bike)
{
    struct head_bike **page = bike <= BIKES_MAX ? h->pages[bike / PAGE_BIKES] : NULL;

    return page ? page[bike % PAGE_BIKES] : NULL;
}

/* A bike without any value for type `schema`, in place of what it had; NULL without memory. */
static struct head_bike *head_make(struct head *h, uint32_t bike, uint16_t schema, size_t columns)
{
    size_t bytes = sizeof(struct head_bike) + columns * (sizeof(int64_t) + sizeof(struct stamp));
    struct head_bike ***page = &h->pages[bike / PAGE_BIKES];
    struct head_bike *old, *made = mem_try(bytes);

    if (!made)
        return NULL;
    if (!*page) {
        *page = mem_try(PAGE_BIKES * sizeof **page);
        if (!*page) {
            mem_free(made);
            return NULL;
        }
        memset(*page, 0, PAGE_BIKES * sizeof **page);
    }
    memset(made, 0, bytes);
    made->schema = schema;
    made->column_count = (uint16_t)columns;
    made->row.time_ms = INT64_MIN;
    made->stamps = (struct stamp *)(void *)(made->values + columns);
    old = (*page)[bike % PAGE_BIKES];
    if (old) {
        made->recv_ms = old->recv_ms;
        made->samples = old->samples;
        mem_free(old);
    }
    (*page)[bike % PAGE_BIKES] = made;
    return made;
}

static bool stamp_newer(const struct stamp *a, const struct stamp *b)
{
    if (a->time_ms != b->time_ms)
        return a->time_ms > b->time_ms;
    if (a->boot != b->boot)
        return a->boot > b->boot;
    return a->sample > b->sample;
}

static unsigned bit_take(uint64_t *bits)
{
    unsigned bit = (unsigned)__builtin_ctzll(*bits);

    *bits &= *bits - 1;
    return bit;
}

/* Take in the columns `bits` one by one, each against its own stamp. Those of `same` are as old as
 * `row`, the others as `effective_ms` says. */
static void bike_merge_columns(struct head_bike *b, uint64_t bits, uint64_t same,
                               const struct payload_row *last, const int64_t *effective_ms,
                               struct stamp row)
{
    while (bits) {
        unsigned i = bit_take(&bits);
        uint64_t bit = UINT64_C(1) << i;
        struct stamp stamp = row;

        if (!(same & bit))
            stamp.time_ms = effective_ms[i];
        if ((b->present & bit) && !stamp_newer(&stamp, b->fresh & bit ? &b->row : &b->stamps[i]))
            continue;
        b->values[i] = last->values[i];
        b->stamps[i] = stamp;
        b->present |= bit;
        b->fresh &= ~bit;
    }
}

/* The newest row yet: the columns `same` carry its stamp. */
static void bike_advance(struct head_bike *b, uint64_t same, const struct payload_row *last,
                         struct stamp row)
{
    uint64_t stale = b->fresh & ~same;
    uint64_t bits = same;

    while (stale)
        b->stamps[bit_take(&stale)] = b->row;
    while (bits) {
        unsigned i = bit_take(&bits);

        b->values[i] = last->values[i];
    }
    b->row = row;
    b->fresh = same;
    b->present |= same;
}

bool head_update(struct head *h, uint32_t bike, uint16_t schema, int64_t recv_ms,
                 struct str payload)
{
    UNINITIALIZED int64_t times_ms[SCHEMA_COLUMNS_MAX];
    UNINITIALIZED struct payload_row last;
    struct payload_facts facts;
    struct clock_rule rule;
    struct stamp row;
    struct head_bike *b;
    uint64_t same;

    if (bike == 0 || bike > BIKES_MAX || !head_schema(h, schema) ||
        !payload_last(h->cached, payload, &facts, &last, times_ms))
        return false;
    rule = clock_rule_judge(&facts, recv_ms);
    row = (struct stamp){clock_rule_time(&rule, facts.last_ms), facts.boot, last.sample};
    b = head_find(h, bike);
    if (!b || (b->schema != schema && stamp_newer(&row, &b->row)))
        b = head_make(h, bike, h->cached_id, h->cached_columns);
    if (!b)
        return false;
    b->samples += facts.sample_count;
    b->changed = true;
    if (recv_ms > b->recv_ms)
        b->recv_ms = recv_ms;
    if (b->schema != schema) /* older than what another type has said */
        return true;
    same = facts.last;
    for (uint64_t bits = last.present & ~same; bits;) {
        unsigned i = bit_take(&bits);

        times_ms[i] = clock_rule_time(&rule, times_ms[i]);
        same |= (uint64_t)(times_ms[i] == row.time_ms) << i;
    }
    if (stamp_newer(&row, &b->row)) {
        bike_advance(b, same, &last, row);
        bike_merge_columns(b, last.present & ~same, same, &last, times_ms, row);
    } else {
        bike_merge_columns(b, last.present, same, &last, times_ms, row);
    }
    return true;
}

void head_seen(struct head *h, uint32_t bike, uint32_t samples)
{
    struct head_bike *b;

    if (bike == 0 || bike > BIKES_MAX)
        return;
    b = head_find(h, bike);
    if (!b) /* its first payload is the one that comes later in this pass */
        b = head_make(h, bike, SCHEMA_RAW, 0);
    if (!b)
        return;
    b->samples += samples;
    b->changed = true;
}

int head_latest(struct head *h, uint32_t bike, struct store_latest *out)
{
    const struct head_bike *b;
    uint64_t bits;

    mutex_lock(&h->lock);
    b = head_find(h, bike);
    if (b && b->schema == SCHEMA_RAW)
        b = NULL;
    if (b) {
        *out = (struct store_latest){.schema = b->schema,
                                     .present = b->present,
                                     .recv_ms = b->recv_ms,
                                     .samples = b->samples};
        for (bits = b->present; bits;) {
            unsigned i = bit_take(&bits);

            out->values[i] = b->values[i];
            out->times_ms[i] = (b->fresh >> i & 1 ? b->row : b->stamps[i]).time_ms;
        }
    }
    mutex_unlock(&h->lock);
    return b ? 0 : ERR_NOTFOUND;
}

static size_t bike_encode(const struct head_bike *b, const struct schema_column *columns,
                          uint8_t *out)
{
    uint8_t *to = out + STATE_HEAD_BYTES;

    memset(out, 0, STATE_HEAD_BYTES);
    out[0] = STATE_VERSION;
    store_u16(out + 2, b->schema);
    store_u32(out + 4, (uint32_t)__builtin_popcountll(b->present));
    store_u64(out + 8, (uint64_t)b->recv_ms);
    store_u64(out + 16, b->samples);
    store_u64(out + 24, (uint64_t)b->row.time_ms);
    store_u32(out + 32, b->row.boot);
    store_u32(out + 36, b->row.sample);
    for (uint64_t bits = b->present; bits; to += STATE_COLUMN_BYTES) {
        unsigned i = bit_take(&bits);
        const struct stamp *stamp = b->fresh >> i & 1 ? &b->row : &b->stamps[i];

        store_u32(to, columns[i].field);
        store_u64(to + 4, (uint64_t)b->values[i]);
        store_u64(to + 12, (uint64_t)stamp->time_ms);
        store_u32(to + 20, stamp->boot);
        store_u32(to + 24, stamp->sample);
    }
    return (size_t)(to - out);
}

uint32_t head_take_changed(struct head *h, uint32_t after, uint8_t out[HEAD_BYTES_MAX], size_t *len)
{
    for (uint32_t bike = after + 1; bike <= BIKES_MAX; bike++) {
        struct head_bike **page = h->pages[bike / PAGE_BIKES];
        struct head_bike *b;
        size_t count;

        if (!page) {
            bike |= PAGE_BIKES - 1; /* the last of its page */
            continue;
        }
        b = page[bike % PAGE_BIKES];
        if (!b || !b->changed || b->schema == SCHEMA_RAW)
            continue;
        b->changed = false;
        *len = bike_encode(b, schema_columns(schema_by_id(h->schemas, b->schema), &count), out);
        return bike;
    }
    return 0;
}

void head_mark_all(struct head *h)
{
    mutex_lock(&h->lock);
    for (size_t p = 0; p < PAGE_COUNT; p++)
        for (size_t i = 0; h->pages[p] && i < PAGE_BIKES; i++)
            if (h->pages[p][i])
                h->pages[p][i]->changed = true;
    mutex_unlock(&h->lock);
}

/* The place of the column with this field number, or -1. */
static int column_place(const struct schema_column *columns, size_t count, uint32_t field)
{
    for (size_t i = 0; i < count; i++)
        if (columns[i].field == field)
            return (int)i;
    return -1;
}

int head_restore(struct head *h, uint32_t bike, struct str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.at;
    const struct schema_column *columns;
    struct head_bike *b;
    uint32_t stored;
    size_t count;

    if (bike == 0 || bike > BIKES_MAX || bytes.len < STATE_HEAD_BYTES)
        return ERR_CORRUPT;
    stored = load_u32(at + 4);
    if (at[0] != STATE_VERSION || stored > SCHEMA_COLUMNS_MAX ||
        bytes.len != STATE_HEAD_BYTES + (size_t)stored * STATE_COLUMN_BYTES)
        return ERR_CORRUPT;
    if (!head_schema(h, load_u16(at + 2)))
        return ERR_UNSUPPORTED;
    b = head_make(h, bike, h->cached_id, h->cached_columns);
    if (!b)
        return ERR_NOMEM;
    b->recv_ms = (int64_t)load_u64(at + 8);
    b->samples = load_u64(at + 16);
    b->row = (struct stamp){(int64_t)load_u64(at + 24), load_u32(at + 32), load_u32(at + 36)};
    columns = schema_columns(h->cached, &count);
    at += STATE_HEAD_BYTES;
    for (uint32_t n = 0; n < stored; n++, at += STATE_COLUMN_BYTES) {
        int place = column_place(columns, count, load_u32(at));

        if (place < 0)
            continue;
        b->present |= UINT64_C(1) << place;
        b->values[place] = (int64_t)load_u64(at + 4);
        b->stamps[place] =
            (struct stamp){(int64_t)load_u64(at + 12), load_u32(at + 20), load_u32(at + 24)};
    }
    return 0;
}

/* ---- the store's door ---- */

void store_head_begin(struct store *s)
{
    head_begin(s->head);
}

void store_head_update(struct store *s, uint32_t bike, uint16_t schema, int64_t recv_ms,
                       struct str payload)
{
    (void)head_update(s->head, bike, schema, recv_ms, payload);
}

void store_head_seen(struct store *s, uint32_t bike, uint32_t samples)
{
    head_seen(s->head, bike, samples);
}

void store_head_end(struct store *s)
{
    head_end(s->head);
}

int store_latest(struct store *s, uint32_t bike, struct store_latest *out)
{
    return head_latest(s->head, bike, out);
}
