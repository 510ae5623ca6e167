/* One pass over the fields in the order in which they come:
 *
 * 1. A column's values are summed, bounded and counted where they stand; its state stays in
 *    `walk.columns`, so a column in several pieces goes on where it stopped.
 * 2. Lengths are judged at the end, when the number of samples and the missing ones are known. In
 *    the usual order (time first, nothing missing) each column's length was compared on the way and
 *    nothing is left to do.
 * 3. Singular numbers keep the last value; their bounds are judged at the end.
 * 4. Fields that the schema does not know are skipped within their bounds.
 *
 * Messages end where they end: a read that would pass its end fails. */
#include "broker/payload/walk_priv.h"

#include "freehub/v1/options.pb-c.h"

#include "broker/payload/wire_priv.h"

enum { QUICK_ROOM = 16 }; /* a tag, a length, and what is read of the content */

#define BIT(slot) (UINT64_C(1) << (slot))

static const uint8_t *fail(struct walk *w, const char *why)
{
    w->why = why;
    return NULL;
}

/* ---- fields without a place of their own ---- */

static const uint8_t *check_message(struct walk *w, const struct message *m, const uint8_t *at,
                                    const uint8_t *end, unsigned depth);

static uint32_t wire_type_of(enum number_type type)
{
    if (type < NUMBER_VARINT_COUNT)
        return WIRE_VARINT;
    if (type <= NUMBER_FLOAT)
        return WIRE_I32;
    return type <= NUMBER_DOUBLE ? WIRE_I64 : WIRE_LEN;
}

static const uint8_t *check_number(struct walk *w, const struct field *f, const uint8_t *at,
                                   const uint8_t *end)
{
    uint64_t raw;
    int64_t value;

    if (f->type >= NUMBER_VARINT_COUNT) {
        at = wire_skip(at, end, wire_type_of(f->type));
        return at ? at : fail(w, f->more->why[WHY_CUT]);
    }
    at = wire_varint(at, end, end, &raw);
    if (!at)
        return fail(w, f->more->why[WHY_VARINT]);
    return number_from_varint(f->type, raw, &value) ? at : fail(w, f->more->why[WHY_TYPE]);
}

/* A field whose tag has been read. Returns what follows it. */
static const uint8_t *check_field(struct walk *w, const struct field *f, uint32_t type,
                                  const uint8_t *at, const uint8_t *end, unsigned depth)
{
    const uint8_t *content_end;
    size_t len;

    if (type != WIRE_LEN)
        return type == wire_type_of(f->type) ? check_number(w, f, at, end)
                                             : fail(w, f->more->why[WHY_WIRE]);
    if (f->type != NUMBER_NONE && !f->more->repeated)
        return fail(w, f->more->why[WHY_WIRE]);
    at = wire_len(at, end, &len);
    if (!at)
        return fail(w, f->more->why[WHY_CUT]);
    content_end = at + len;
    if (f->more->message)
        return depth == NEST_MAX ? fail(w, f->more->why[WHY_DEPTH])
                                 : check_message(w, f->more->message, at, content_end, depth + 1);
    if (f->type == NUMBER_NONE)
        return !f->more->is_text || wire_utf8_valid(at, content_end)
                   ? content_end
                   : fail(w, f->more->why[WHY_UTF8]);
    while (at && at < content_end)
        at = check_number(w, f, at, content_end);
    return at;
}

static const uint8_t *check_message(struct walk *w, const struct message *m, const uint8_t *at,
                                    const uint8_t *end, unsigned depth)
{
    while (at && at < end) {
        const struct field *f;
        uint32_t number, type;

        at = wire_tag(at, end, &number, &type);
        if (!at)
            return fail(w, "a nested message has a broken tag");
        f = message_field(m, number);
        if (f) {
            at = check_field(w, f, type, at, end, depth);
        } else {
            at = wire_skip(at, end, type);
            if (!at)
                return fail(w,
                            "a nested message has an unknown field that is cut short or a group");
        }
    }
    return at;
}

/* ---- columns ---- */

/* The piece of a repeated number field: packed elements or a single one. Sets `*end`; NULL when the
 * wire type does not fit or the piece is cut short. */
static inline const uint8_t *piece_begin(struct walk *w, const struct field *f, uint32_t type,
                                         const uint8_t *at, const uint8_t **end)
{
    uint64_t raw;
    size_t len;

    if (LIKELY(type == WIRE_LEN)) {
        at = wire_len(at, w->end, &len);
        if (UNLIKELY(!at))
            return fail(w, f->more->why[WHY_CUT]);
        *end = at + len;
        return at;
    }
    if (type != WIRE_VARINT)
        return fail(w, f->more->why[WHY_WIRE]);
    *end = wire_varint(at, w->end, w->end, &raw);
    return *end ? at : fail(w, f->more->why[WHY_VARINT]);
}

/* The state of a column, new or as the piece before left it. */
static inline struct walk_column *column_begin(struct walk *w, const struct field *f)
{
    struct walk_column *c = &w->columns[f->slot];

    if (LIKELY(!(w->seen & BIT(f->slot)))) {
        w->seen |= BIT(f->slot);
        w->values[f->slot] = 0;
        c->count = 0;
        c->has_half = false;
        return c;
    }
    w->odd = 1;
    if (w->singles & BIT(f->slot)) {
        w->singles &= ~BIT(f->slot);
        c->count = 1;
        c->has_half = false;
    }
    return c;
}

/* A piece of a column with one value a sample; made twice for the common kinds, once for the rest.
 */
static inline const uint8_t *walk_piece(struct walk *w, const struct field *f, const uint8_t *at,
                                        const uint8_t *end, enum number_type type, bool is_delta)
{
    struct walk_column *c = column_begin(w, f);
    const uint8_t *limit = w->end;
    int64_t value = w->values[f->slot];
    uint32_t count = c->count;

    while (at < end) {
        uint64_t raw;
        int64_t number;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->more->why[WHY_VARINT]);
        if (UNLIKELY(!number_from_varint(type, raw, &number)))
            return fail(w, f->more->why[WHY_TYPE]);
        if (!is_delta)
            value = number;
        else if (UNLIKELY(__builtin_add_overflow(value, number, &value)))
            return fail(w, f->more->why[WHY_BOUNDS]);
        if (UNLIKELY(!field_in_bounds(f, value)))
            return fail(w, f->more->why[WHY_BOUNDS]);
        count++;
    }
    w->values[f->slot] = value;
    c->count = count;
    w->odd |= count ^ w->samples;
    return end;
}

static const uint8_t *walk_values(struct walk *w, const struct field *f, uint32_t type,
                                  const uint8_t *at)
{
    const uint8_t *end;
    bool is_delta = f->action == FIELD_DELTA;

    at = piece_begin(w, f, type, at, &end);
    if (UNLIKELY(!at))
        return NULL;
    if (LIKELY(is_delta && f->type == NUMBER_SINT32))
        return walk_piece(w, f, at, end, NUMBER_SINT32, true);
    if (LIKELY(!is_delta && f->type == NUMBER_UINT32))
        return walk_piece(w, f, at, end, NUMBER_UINT32, false);
    return walk_piece(w, f, at, end, f->type, is_delta);
}

static const uint8_t *walk_runs(struct walk *w, const struct field *f, uint32_t type,
                                const uint8_t *at)
{
    const uint8_t *end, *limit = w->end;
    struct walk_column *c;

    at = piece_begin(w, f, type, at, &end);
    if (UNLIKELY(!at))
        return NULL;
    c = column_begin(w, f);
    while (at < end) {
        uint64_t raw;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->more->why[WHY_VARINT]);
        if (!c->has_half) {
            if (UNLIKELY(!number_from_varint(f->type, raw, &c->half)))
                return fail(w, f->more->why[WHY_TYPE]);
            c->has_half = true;
            continue;
        }
        c->has_half = false;
        w->values[f->slot] = c->half;
        if (UNLIKELY(raw == 0))
            return fail(w, f->more->why[WHY_COUNT_ZERO]);
        if (UNLIKELY(!field_in_bounds(f, c->half)))
            return fail(w, f->more->why[WHY_BOUNDS]);
        if (UNLIKELY(raw > SCHEMA_SAMPLES_MAX || c->count + raw > SCHEMA_SAMPLES_MAX))
            return fail(w, f->more->why[WHY_LENGTH]);
        c->count += (uint32_t)raw;
    }
    w->odd |= (c->count ^ w->samples) | (uint64_t)c->has_half;
    return end;
}

static inline const uint8_t *walk_time(struct walk *w, const struct field *f, uint32_t type,
                                       const uint8_t *at)
{
    const uint8_t *end, *limit = w->end;

    at = piece_begin(w, f, type, at, &end);
    if (UNLIKELY(!at))
        return NULL;
    if (UNLIKELY(w->seen != 0)) /* columns before it were compared with too few samples */
        w->odd = 1;
    while (at < end) {
        uint64_t raw;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->more->why[WHY_VARINT]);
        if (UNLIKELY(raw > UINT32_MAX))
            return fail(w, f->more->why[WHY_TYPE]);
        if (UNLIKELY(w->samples == 0 && raw != 0))
            return fail(w, f->more->why[WHY_FIRST]);
        if (UNLIKELY(++w->samples > SCHEMA_SAMPLES_MAX))
            return fail(w, f->more->why[WHY_TOO_MANY]);
        w->elapsed_ms += raw;
    }
    return end;
}

/* ---- missing ---- */

/* The state of one Missing message while it is read. */
struct missing_reader {
    uint64_t column;
    uint64_t total, absent, last;
    uint64_t run_count;
};

static const uint8_t *missing_runs(struct walk *w, const struct field *f, uint32_t type,
                                   const uint8_t *at, const uint8_t *end, struct missing_reader *r)
{
    const uint8_t *piece_end;
    uint64_t raw;
    size_t len;

    if (type == WIRE_LEN) {
        at = wire_len(at, end, &len);
        if (!at)
            return fail(w, f->more->why[WHY_CUT]);
        piece_end = at + len;
    } else {
        if (type != WIRE_VARINT)
            return fail(w, f->more->why[WHY_WIRE]);
        piece_end = wire_varint(at, end, end, &raw);
        if (!piece_end)
            return fail(w, f->more->why[WHY_VARINT]);
    }
    while (at < piece_end) {
        at = wire_varint(at, piece_end, w->end, &raw);
        if (!at)
            return fail(w, f->more->why[WHY_VARINT]);
        if (raw == 0 && r->run_count > 0)
            return fail(w, f->more->why[WHY_RUN_ZERO]);
        if (raw > SCHEMA_SAMPLES_MAX || r->total + raw > SCHEMA_SAMPLES_MAX)
            return fail(w, f->more->why[WHY_RUN_SUM]);
        r->total += raw;
        r->last = raw;
        if (r->run_count++ & 1)
            r->absent += raw;
    }
    return piece_end;
}

static const uint8_t *missing_entry(struct walk *w, const struct schema *s, const struct field *f,
                                    const uint8_t *at, const uint8_t *end)
{
    const uint8_t *begin = at;
    struct missing_reader r = {0};
    const struct field *column;
    struct walk_missing *m;

    while (at < end) {
        uint32_t number, type;

        at = wire_tag(at, end, &number, &type);
        if (!at)
            return fail(w, f->more->why[WHY_CUT]);
        if (number == 1) {
            if (type != WIRE_VARINT)
                return fail(w, f->more->why[WHY_WIRE]);
            at = wire_varint(at, end, end, &r.column);
        } else if (number == 2) {
            at = missing_runs(w, f, type, at, end, &r);
            if (!at)
                return NULL;
        } else {
            at = wire_skip(at, end, type);
        }
        if (!at)
            return fail(w, f->more->why[WHY_CUT]);
    }
    if (r.column > WIRE_FIELD_MAX)
        return fail(w, f->more->why[WHY_NO_COLUMN]);
    column = message_field(s->message, (uint32_t)r.column);
    if (!column || column->action < FIELD_DELTA || column->action > FIELD_RUNS)
        return fail(w, f->more->why[WHY_NO_COLUMN]);
    if (w->has_missing & BIT(column->slot))
        return fail(w, f->more->why[WHY_TWICE]);
    if (r.run_count == 0)
        return fail(w, f->more->why[WHY_NO_RUNS]);
    w->has_missing |= BIT(column->slot);
    m = &w->missing[column->slot];
    *m = (struct walk_missing){.absent = (uint32_t)r.absent,
                               .total = (uint32_t)r.total,
                               .tail_absent = r.run_count % 2 == 0 ? (uint32_t)r.last : 0,
                               .at = begin,
                               .end = end};
    return end;
}

static const uint8_t *walk_missing(struct walk *w, const struct schema *s, const struct field *f,
                                   uint32_t type, const uint8_t *at)
{
    size_t len;

    if (type != WIRE_LEN)
        return fail(w, f->more->why[WHY_WIRE]);
    at = wire_len(at, w->end, &len);
    if (!at)
        return fail(w, f->more->why[WHY_CUT]);
    return missing_entry(w, s, f, at, at + len);
}

/* ---- scalars ---- */

static inline const uint8_t *walk_scalar(struct walk *w, const struct field *f, uint32_t type,
                                         const uint8_t *at)
{
    uint64_t raw;

    if (UNLIKELY(type != WIRE_VARINT))
        return fail(w, f->more->why[WHY_WIRE]);
    at = wire_varint(at, w->end, w->end, &raw);
    if (UNLIKELY(!at))
        return fail(w, f->more->why[WHY_VARINT]);
    if (UNLIKELY(!number_from_varint(f->type, raw, &w->scalars[f->slot])))
        return fail(w, f->more->why[WHY_TYPE]);
    return at;
}

/* The number in the field with this role, 0 when it was not sent or there is none. */
static inline int64_t role_value(const struct walk *w, const struct schema *s, unsigned role)
{
    return w->scalars[s->role_slot[role]];
}

/* ---- the short way ---- */

/* `len` bytes at `at`, of which 8 may be read, are one varint of up to 5 bytes. */
static inline bool quick_value(const uint8_t *at, unsigned len, uint64_t *out)
{
    /* By length: the eighth bits of the bytes, and those of them that a varint sets. */
    static const uint64_t tops[] = {0, 0x80, 0x8080, 0x808080, 0x80808080, 0x8080808080};
    static const uint64_t set[] = {1, 0, 0x80, 0x8080, 0x808080, 0x80808080};
    uint64_t bytes;

    if (len == 1) {
        *out = at[0];
        return at[0] < 0x80;
    }
    if (UNLIKELY(len > 5))
        return false;
    bytes = load_u64(at);
    if (UNLIKELY((bytes & tops[len]) != set[len]))
        return false;
    bytes &= tops[len] - (tops[len] >> 7); /* the seven other bits of these bytes */
    bytes -= (bytes & 0x7f007f00) >> 1;    /* two groups of 7 bits become one of 14 */
    *out = (bytes & 0x3fff) | (bytes & 0x3fff0000) >> 2 | (bytes & 0x7f00000000) >> 4;
    return true;
}

/* What walk_quick() has found, in registers until it stops. */
struct quick_seen {
    uint64_t columns;
    uint64_t samples;
};

/* A packed column of one sample. False when the content is anything else or wrong; nothing has
 * changed then. */
static inline bool quick_column(const struct field *f, int64_t value, struct quick_seen *seen,
                                int64_t *values)
{
    if (UNLIKELY(!field_in_bounds(f, value) || (seen->columns & BIT(f->slot))))
        return false;
    seen->columns |= BIT(f->slot);
    values[f->slot] = value;
    return true;
}

/* The content of a quick field that is packed, as quick_column(). */
static inline bool quick_packed(const struct field *f, const uint8_t *at, unsigned len,
                                struct quick_seen *seen, int64_t *values)
{
    uint64_t raw;

    if (LIKELY(f->quick == QUICK_ZIGZAG))
        return quick_value(at, len, &raw) && quick_column(f, wire_zigzag(raw), seen, values);
    if (f->quick == QUICK_PLAIN)
        return quick_value(at, len, &raw) && quick_column(f, (int64_t)raw, seen, values);
    if (f->quick == QUICK_RUNS)
        return len >= 2 && at[len - 1] == 1 && quick_value(at, len - 1, &raw) &&
               quick_column(f, (int64_t)raw, seen, values);
    if (len != 1 || at[0] != 0 || seen->samples != 0 || seen->columns != 0) /* QUICK_TIME */
        return false;
    seen->samples = 1;
    return true;
}

/* Take fields by the short way while they can be: they begin before `stop`, end before `end`, and
 * QUICK_ROOM bytes may be read from where they begin. `*expected` is where to look for the next
 * field in the order of the schema. Returns where the first other field begins. */
static inline const uint8_t *walk_quick(struct walk *w, const uint8_t *at, const uint8_t *stop,
                                        const uint8_t *end, const struct field **expected)
{
    struct quick_seen seen = {w->seen, w->samples};
    const struct field *f = *expected;
    int64_t *values = w->values;

    while (at < stop) {
        const struct field *found = f;
        const uint8_t *content, *next;
        uint32_t tag = load_u16(at);

        while (UNLIKELY((tag & found->tag_mask) != found->tag)) {
            if (found->is_end)
                goto out;
            found++;
        }
        content = at + found->tag_bytes;
        if (LIKELY(found->quick != QUICK_SCALAR)) {
            next = content + 1 + content[0];
            if (UNLIKELY(next > end ||
                         !quick_packed(found, content + 1, content[0], &seen, values)))
                break;
        } else {
            uint64_t raw;

            next = wire_varint(content, end, content + 8, &raw);
            if (UNLIKELY(!next || raw > INT64_MAX ||
                         (found->type == NUMBER_UINT32 && raw > UINT32_MAX) ||
                         (found->type == NUMBER_BOOL && raw > 1)))
                break;
            w->scalars[found->slot] = (int64_t)raw;
        }
        at = next;
        f = found + 1;
    }
out:
    w->singles |= seen.columns ^ w->seen;
    w->seen = seen.columns;
    w->samples = seen.samples;
    *expected = f;
    return at;
}

/* The short way as far as it goes. The last bytes of the payload are read from a padded copy, so
 * that there is always QUICK_ROOM to read. (One call, in a loop, so that all of it is one
 * function.) */
static inline const uint8_t *walk_quick_all(struct walk *w, const uint8_t *at,
                                            const struct field **expected)
{
    for (;;) {
        size_t left = (size_t)(w->end - at);
        bool is_tail = left <= QUICK_ROOM;
        const uint8_t *from = at, *stopped;
        uint8_t tail[2 * QUICK_ROOM];

        if (is_tail) {
            memset(tail, 0, sizeof tail);
            memcpy(tail, at, left);
            from = tail;
        }
        stopped = walk_quick(w, from, is_tail ? from + left : w->end - QUICK_ROOM,
                             is_tail ? from + left : w->end, expected);
        at += stopped - from;
        if (is_tail || w->end - at > QUICK_ROOM) /* the end, or another kind of field */
            return at;
    }
}

/* ---- the end ---- */

static bool judge_scalars(struct walk *w, const struct schema *s)
{
    for (uint64_t left = s->bounded_scalars; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);

        if (UNLIKELY(!field_in_bounds(s->scalar_fields[slot], w->scalars[slot]))) {
            w->why = s->scalar_fields[slot]->more->why[WHY_BOUNDS];
            return false;
        }
    }
    return true;
}

static bool judge_missing(struct walk *w, const struct schema *s)
{
    const struct field *f = s->role_field[FREEHUB__V1__ROLE__MISSING];

    for (uint64_t left = w->has_missing; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);

        if (!(w->seen & BIT(slot)))
            w->why = f->more->why[WHY_NOT_THERE];
        else if (w->missing[slot].total > w->samples)
            w->why = f->more->why[WHY_RUN_SUM];
        else if (w->missing[slot].absent == w->samples)
            w->why = f->more->why[WHY_ALL_ABSENT];
        else
            continue;
        return false;
    }
    return true;
}

/* A packed field without elements is the same as none. */
static void drop_empty_columns(struct walk *w)
{
    for (uint64_t left = w->seen; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);

        if (w->columns[slot].count == 0 && !w->columns[slot].has_half)
            w->seen &= ~BIT(slot);
    }
}

static bool judge_lengths(struct walk *w, const struct schema *s)
{
    for (uint64_t left = w->singles; left; left &= left - 1)
        w->columns[__builtin_ctzll(left)] = (struct walk_column){.count = 1};
    drop_empty_columns(w);
    if (!judge_missing(w, s))
        return false;
    for (uint64_t left = w->seen; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        const struct field *f = s->column_fields[slot];
        uint64_t absent = w->has_missing & BIT(slot) ? w->missing[slot].absent : 0;

        if (f->action == FIELD_RUNS && w->columns[slot].has_half)
            w->why = f->more->why[WHY_HALF_RUN];
        else if (w->columns[slot].count + absent != w->samples)
            w->why = f->more->why[WHY_LENGTH];
        else
            continue;
        return false;
    }
    return true;
}

static bool judge_batch(struct walk *w, const struct schema *s)
{
    const struct field *time = s->role_field[FREEHUB__V1__ROLE__TIME_DELTA_MS];
    const struct field *base = s->role_field[FREEHUB__V1__ROLE__BASE_TIME_MS];
    int64_t base_ms = role_value(w, s, FREEHUB__V1__ROLE__BASE_TIME_MS);
    int64_t first = role_value(w, s, FREEHUB__V1__ROLE__FIRST_SAMPLE);

    if (UNLIKELY(w->samples == 0)) {
        w->why = time->more->why[WHY_NO_SAMPLES];
        return false;
    }
    if (w->singles != 0 && w->samples != 1)
        w->odd = 1;
    if (UNLIKELY((w->odd | w->has_missing) != 0) && !judge_lengths(w, s))
        return false;
    /* base_ms is in its bounds here, and 1,024 differences of 32 bits cannot wrap the sum. */
    if (UNLIKELY(base && !field_in_bounds(base, base_ms + (int64_t)w->elapsed_ms))) {
        w->why = time->more->why[WHY_TIME_OVERFLOW];
        return false;
    }
    if (UNLIKELY((uint64_t)first + w->samples - 1 > UINT32_MAX)) {
        w->why = time->more->why[WHY_SAMPLE_OVERFLOW];
        return false;
    }
    return true;
}

bool walk_payload(struct walk *w, const struct schema *s, struct str payload,
                  int64_t values[SCHEMA_COLUMNS_MAX])
{
    const uint8_t *at = (const uint8_t *)payload.at;
    const uint8_t *end = payload.len == 0 ? at : at + payload.len;
    const struct field *expected = s->message->fields;

    w->end = end;
    w->values = values;
    w->seen = w->singles = w->has_missing = 0;
    for (size_t i = 0; i < s->scalar_count; i++)
        w->scalars[i] = 0;
    w->scalars[ZERO_SLOT] = 0;
    w->samples = w->elapsed_ms = w->odd = 0;
    if (UNLIKELY(payload.len > INT32_MAX)) {
        w->why = "the payload is larger than a protobuf message may be";
        return false;
    }
    while (at < end) {
        const struct field *f;
        uint32_t number, type;

        at = walk_quick_all(w, at, &expected);
        if (at == end)
            break;
        at = wire_tag(at, end, &number, &type);
        if (UNLIKELY(!at)) {
            w->why = "the payload has a broken tag";
            return false;
        }
        f = message_field(s->message, number);
        if (UNLIKELY(!f)) {
            at = wire_skip(at, end, type);
            if (!at) {
                w->why = "an unknown field is cut short or a group";
                return false;
            }
            continue;
        }
        expected = f + 1;
        switch ((enum field_action)f->action) {
        case FIELD_DELTA:
        case FIELD_PLAIN:
            at = walk_values(w, f, type, at);
            break;
        case FIELD_RUNS:
            at = walk_runs(w, f, type, at);
            break;
        case FIELD_SCALAR:
            at = walk_scalar(w, f, type, at);
            break;
        case FIELD_TIME:
            at = walk_time(w, f, type, at);
            break;
        case FIELD_MISSING:
            at = walk_missing(w, s, f, type, at);
            break;
        case FIELD_CHECKED:
            at = check_field(w, f, type, at, end, 1);
            break;
        }
        if (UNLIKELY(!at))
            return false;
    }
    return judge_scalars(w, s) && (!s->is_columnar || judge_batch(w, s));
}

void walk_facts(const struct walk *w, const struct schema *s, struct payload_facts *out)
{
    out->boot = (uint32_t)role_value(w, s, FREEHUB__V1__ROLE__BOOT_ID);
    out->trip = (uint32_t)role_value(w, s, FREEHUB__V1__ROLE__TRIP);
    out->first_sample = (uint32_t)role_value(w, s, FREEHUB__V1__ROLE__FIRST_SAMPLE);
    out->sample_count = s->is_columnar ? (uint32_t)w->samples : 1;
    out->first_ms = role_value(w, s, FREEHUB__V1__ROLE__BASE_TIME_MS);
    out->last_ms = out->first_ms + (int64_t)w->elapsed_ms;
    out->time_ok = role_value(w, s, FREEHUB__V1__ROLE__TIME_OK) != 0;
    out->any = w->seen;
    out->last = w->seen & ~w->has_missing;
    for (uint64_t bits = out->last & s->none_columns; bits; bits &= bits - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(bits);

        if (w->values[slot] == s->columns[slot].none)
            out->last &= ~BIT(slot);
    }
}
