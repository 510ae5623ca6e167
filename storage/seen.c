#include "storage/seen.h"

#include "broker/base/mem.h"

enum { TABLE_MIN = 64, SPANS_MIN = 4 };

struct span {
    uint32_t first, last; /* both included */
};

/* One boot of one bike. Spans ascend and neither overlap nor touch. */
struct boot {
    uint32_t bike, boot;
    uint32_t count; /* of spans; 0 = an empty place of the table */
    uint32_t room;  /* 0: the single span is `one` */
    union {
        struct span one;
        struct span *many;
    };
};

struct seen {
    struct boot *table; /* open addressing */
    size_t room;        /* a power of two, or 0 */
    size_t count;
    size_t bytes, max_bytes;
};

int seen_new(struct seen **out, size_t max_bytes)
{
    struct seen *seen = mem_try(sizeof *seen);

    if (!seen)
        return ERR_NOMEM;
    *seen = (struct seen){.max_bytes = max_bytes};
    *out = seen;
    return 0;
}

void seen_clear(struct seen *seen)
{
    for (size_t i = 0; i < seen->room; i++)
        if (seen->table[i].room > 0)
            mem_free(seen->table[i].many);
    mem_free(seen->table);
    *seen = (struct seen){.max_bytes = seen->max_bytes};
}

void seen_free(struct seen *seen)
{
    if (!seen)
        return;
    seen_clear(seen);
    mem_free(seen);
}

/* ---- the table ---- */

static size_t boot_hash(uint32_t bike, uint32_t boot)
{
    uint64_t x = ((uint64_t)bike << 32 | boot) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(x ^ x >> 29);
}

/* The place of the boot, or the empty one where it would be. */
static struct boot *table_place(struct boot *table, size_t room, uint32_t bike, uint32_t boot)
{
    size_t i = boot_hash(bike, boot) & (room - 1);

    while (table[i].count > 0 && (table[i].bike != bike || table[i].boot != boot))
        i = (i + 1) & (room - 1);
    return &table[i];
}

/* Move every boot of a bike <= max_bike into a table of `room` places; the others are released. */
static int table_rebuild(struct seen *seen, size_t room, uint32_t max_bike)
{
    struct boot *table = mem_try(room * sizeof *table);

    if (!table)
        return ERR_NOMEM;
    memset(table, 0, room * sizeof *table);
    seen->count = 0;
    for (size_t i = 0; i < seen->room; i++) {
        struct boot *b = &seen->table[i];

        if (b->count == 0)
            continue;
        if (b->bike <= max_bike) {
            *table_place(table, room, b->bike, b->boot) = *b;
            seen->count++;
        } else if (b->room > 0) {
            seen->bytes -= b->room * sizeof(struct span);
            mem_free(b->many);
        }
    }
    seen->bytes = seen->bytes - seen->room * sizeof *table + room * sizeof *table;
    mem_free(seen->table);
    seen->table = table;
    seen->room = room;
    return 0;
}

static int table_grow(struct seen *seen)
{
    size_t room = seen->room ? 2 * seen->room : TABLE_MIN;

    if (seen->bytes + (room - seen->room) * sizeof *seen->table > seen->max_bytes)
        return ERR_FULL;
    return table_rebuild(seen, room, UINT32_MAX);
}

bool seen_halve(struct seen *seen, uint32_t *last)
{
    uint32_t least = UINT32_MAX, greatest = 0;

    for (size_t i = 0; i < seen->room; i++) {
        if (seen->table[i].count == 0)
            continue;
        if (seen->table[i].bike < least)
            least = seen->table[i].bike;
        if (seen->table[i].bike > greatest)
            greatest = seen->table[i].bike;
    }
    if (seen->count == 0 || least == greatest)
        return false;
    *last = least + (greatest - least) / 2;
    return table_rebuild(seen, seen->room, *last) == 0;
}

/* ---- spans ---- */

static struct span *boot_spans(struct boot *b)
{
    return b->room > 0 ? b->many : &b->one;
}

/* Index of the first span that ends at or behind `from`, count if there is none. */
static uint32_t span_search(const struct span *spans, uint32_t count, uint32_t from)
{
    uint32_t low = 0, high = count;

    if (count > 0 && spans[count - 1].first <= from) /* the usual case: at the end */
        return spans[count - 1].last >= from ? count - 1 : count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (spans[middle].last < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Clear the bits of what [first, last] has in common with the spans from `at` on; returns how many
 * samples are left. */
static uint32_t span_subtract(const struct span *spans, uint32_t count, uint32_t at,
                              struct span met, uint64_t fresh[SEEN_WORDS])
{
    uint32_t left = met.last - met.first + 1;

    for (; at < count && spans[at].first <= met.last; at++) {
        uint32_t from = spans[at].first > met.first ? spans[at].first : met.first;
        uint32_t to = spans[at].last < met.last ? spans[at].last : met.last;

        left -= to - from + 1;
        for (uint32_t i = from - met.first; i <= to - met.first; i++)
            fresh[i / 64] &= ~(UINT64_C(1) << i % 64);
    }
    return left;
}

/* Room for one span more. */
static int boot_grow(struct seen *seen, struct boot *b)
{
    uint32_t room = b->room ? 2 * b->room : SPANS_MIN;
    size_t more = (room - b->room) * sizeof(struct span);
    struct span *many;

    if (b->count < (b->room ? b->room : 1))
        return 0;
    if (seen->bytes + more > seen->max_bytes)
        return ERR_FULL;
    many = mem_try_resize(b->room ? b->many : NULL, room * sizeof *many);
    if (!many)
        return ERR_NOMEM;
    if (b->room == 0)
        many[0] = b->one;
    b->many = many;
    b->room = room;
    seen->bytes += more;
    return 0;
}

/* Put `met` in, merged with what it overlaps or touches. */
static int boot_insert(struct seen *seen, struct boot *b, struct span met)
{
    struct span *spans = boot_spans(b);
    uint32_t at = span_search(spans, b->count, met.first > 0 ? met.first - 1 : 0);
    uint32_t end = at;
    int rc;

    while (end < b->count && (met.last == UINT32_MAX || spans[end].first <= met.last + 1)) {
        if (spans[end].first < met.first)
            met.first = spans[end].first;
        if (spans[end].last > met.last)
            met.last = spans[end].last;
        end++;
    }
    if (end == at) { /* stands alone */
        rc = boot_grow(seen, b);
        if (rc)
            return rc;
        spans = boot_spans(b);
        memmove(spans + at + 1, spans + at, (b->count - at) * sizeof *spans);
        b->count++;
    } else if (end > at + 1) {
        memmove(spans + at + 1, spans + end, (b->count - end) * sizeof *spans);
        b->count -= end - at - 1;
    }
    spans[at] = met;
    return 0;
}

int seen_add(struct seen *seen, uint32_t bike, uint32_t boot, uint32_t first, uint32_t count,
             uint32_t *fresh_count, uint64_t fresh[SEEN_WORDS])
{
    const struct span met = {first, first + (count - 1)};
    struct boot *b;
    int rc;

    ASSERT(count > 0 && count <= SCHEMA_SAMPLES_MAX && met.last >= first);
    if (seen->count * 4 >= seen->room * 3) {
        rc = table_grow(seen);
        if (rc)
            return rc;
    }
    memset(fresh, 0xff, (count + 63) / 64 * sizeof *fresh);
    *fresh_count = count;
    b = table_place(seen->table, seen->room, bike, boot);
    if (b->count == 0) {
        *b = (struct boot){.bike = bike, .boot = boot, .count = 1, .one = met};
        seen->count++;
        return 0;
    }
    *fresh_count = span_subtract(boot_spans(b), b->count,
                                 span_search(boot_spans(b), b->count, first), met, fresh);
    return *fresh_count == 0 ? 0 : boot_insert(seen, b, met);
}
