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
        return at ? at : fail(w, f->why[WHY_CUT]);
    }
    at = wire_varint(at, end, end, &raw);
    if (!at)
        return fail(w, f->why[WHY_VARINT]);
    return number_from_varint(f->type, raw, &value) ? at : fail(w, f->why[WHY_TYPE]);
}

/* A field whose tag has been read. Returns what follows it. */
static const uint8_t *check_field(struct walk *w, const struct field *f, uint32_t type,
                                  const uint8_t *at, const uint8_t *end, unsigned depth)
{
    const uint8_t *content_end;
    size_t len;

    if (type != WIRE_LEN)
        return type == wire_type_of(f->type) ? check_number(w, f, at, end)
                                             : fail(w, f->why[WHY_WIRE]);
    if (f->type != NUMBER_NONE && !f->repeated)
        return fail(w, f->why[WHY_WIRE]);
    at = wire_len(at, end, &len);
    if (!at)
        return fail(w, f->why[WHY_CUT]);
    content_end = at + len;
    if (f->message)
        return depth == NEST_MAX ? fail(w, f->why[WHY_DEPTH])
                                 : check_message(w, f->message, at, content_end, depth + 1);
    if (f->type == NUMBER_NONE)
        return !f->is_text || wire_utf8_valid(at, content_end) ? content_end
                                                               : fail(w, f->why[WHY_UTF8]);
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

static inline bool in_bounds(const struct field *f, int64_t value)
{
    return value >= f->min && value <= f->max;
}

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
            return fail(w, f->why[WHY_CUT]);
        *end = at + len;
        return at;
    }
    if (type != WIRE_VARINT)
        return fail(w, f->why[WHY_WIRE]);
    *end = wire_varint(at, w->end, w->end, &raw);
    return *end ? at : fail(w, f->why[WHY_VARINT]);
}

static inline struct walk_column *column_begin(struct walk *w, const struct field *f,
                                               const uint8_t *at, const uint8_t *end)
{
    struct walk_column *c = &w->columns[f->slot];

    if (UNLIKELY(w->seen & BIT(f->slot))) {
        w->odd = 1;
        return c;
    }
    w->seen |= BIT(f->slot);
    c->value = 0;
    c->count = 0;
    c->has_half = false;
    c->at = at;
    c->end = end;
    return c;
}

static inline const uint8_t *walk_values(struct walk *w, const struct field *f, uint32_t type,
                                         const uint8_t *at, bool is_delta)
{
    const uint8_t *end, *limit = w->end;
    struct walk_column *c;
    int64_t value;
    uint64_t count;

    at = piece_begin(w, f, type, at, &end);
    if (UNLIKELY(!at))
        return NULL;
    c = column_begin(w, f, at, end);
    value = c->value;
    count = c->count;
    while (at < end) {
        uint64_t raw;
        int64_t number;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->why[WHY_VARINT]);
        if (UNLIKELY(!number_from_varint(f->type, raw, &number)))
            return fail(w, f->why[WHY_TYPE]);
        if (!is_delta)
            value = number;
        else if (UNLIKELY(__builtin_add_overflow(value, number, &value)))
            return fail(w, f->why[WHY_BOUNDS]);
        if (UNLIKELY(!in_bounds(f, value)))
            return fail(w, f->why[WHY_BOUNDS]);
        count++;
    }
    c->value = value;
    c->count = count;
    w->odd |= count ^ w->samples;
    return end;
}

static const uint8_t *walk_runs(struct walk *w, const struct field *f, uint32_t type,
                                const uint8_t *at)
{
    const uint8_t *end, *limit = w->end;
    struct walk_column *c;

    at = piece_begin(w, f, type, at, &end);
    if (UNLIKELY(!at))
        return NULL;
    c = column_begin(w, f, at, end);
    while (at < end) {
        uint64_t raw;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->why[WHY_VARINT]);
        if (!c->has_half) {
            if (UNLIKELY(!number_from_varint(f->type, raw, &c->half)))
                return fail(w, f->why[WHY_TYPE]);
            c->has_half = true;
            continue;
        }
        c->has_half = false;
        c->value = c->half;
        if (UNLIKELY(raw == 0))
            return fail(w, f->why[WHY_COUNT_ZERO]);
        if (UNLIKELY(raw > UINT32_MAX))
            return fail(w, f->why[WHY_TYPE]);
        if (UNLIKELY(!in_bounds(f, c->value)))
            return fail(w, f->why[WHY_BOUNDS]);
        c->count += raw; /* at most 2^31 runs of 2^32 */
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
    if (LIKELY(w->samples == 0)) {
        w->time_at = at;
        w->time_end = end;
    }
    while (at < end) {
        uint64_t raw;

        at = wire_varint(at, end, limit, &raw);
        if (UNLIKELY(!at))
            return fail(w, f->why[WHY_VARINT]);
        if (UNLIKELY(raw > UINT32_MAX))
            return fail(w, f->why[WHY_TYPE]);
        if (UNLIKELY(w->samples == 0 && raw != 0))
            return fail(w, f->why[WHY_FIRST]);
        if (UNLIKELY(++w->samples > SCHEMA_SAMPLES_MAX))
            return fail(w, f->why[WHY_TOO_MANY]);
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
            return fail(w, f->why[WHY_CUT]);
        piece_end = at + len;
    } else {
        if (type != WIRE_VARINT)
            return fail(w, f->why[WHY_WIRE]);
        piece_end = wire_varint(at, end, end, &raw);
        if (!piece_end)
            return fail(w, f->why[WHY_VARINT]);
    }
    while (at < piece_end) {
        at = wire_varint(at, piece_end, w->end, &raw);
        if (!at)
            return fail(w, f->why[WHY_VARINT]);
        if (raw == 0 && r->run_count > 0)
            return fail(w, f->why[WHY_RUN_ZERO]);
        if (raw > SCHEMA_SAMPLES_MAX || r->total + raw > SCHEMA_SAMPLES_MAX)
            return fail(w, f->why[WHY_RUN_SUM]);
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
            return fail(w, f->why[WHY_CUT]);
        if (number == 1) {
            if (type != WIRE_VARINT)
                return fail(w, f->why[WHY_WIRE]);
            at = wire_varint(at, end, end, &r.column);
        } else if (number == 2) {
            at = missing_runs(w, f, type, at, end, &r);
            if (!at)
                return NULL;
        } else {
            at = wire_skip(at, end, type);
        }
        if (!at)
            return fail(w, f->why[WHY_CUT]);
    }
    if (r.column > WIRE_FIELD_MAX)
        return fail(w, f->why[WHY_NO_COLUMN]);
    column = message_field(s->message, (uint32_t)r.column);
    if (!column || column->action < FIELD_DELTA || column->action > FIELD_RUNS)
        return fail(w, f->why[WHY_NO_COLUMN]);
    if (w->has_missing & BIT(column->slot))
        return fail(w, f->why[WHY_TWICE]);
    if (r.run_count == 0)
        return fail(w, f->why[WHY_NO_RUNS]);
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
        return fail(w, f->why[WHY_WIRE]);
    at = wire_len(at, w->end, &len);
    if (!at)
        return fail(w, f->why[WHY_CUT]);
    return missing_entry(w, s, f, at, at + len);
}

/* ---- scalars ---- */

static inline const uint8_t *walk_scalar(struct walk *w, const struct field *f, uint32_t type,
                                         const uint8_t *at)
{
    uint64_t raw;

    if (UNLIKELY(type != WIRE_VARINT))
        return fail(w, f->why[WHY_WIRE]);
    at = wire_varint(at, w->end, w->end, &raw);
    if (UNLIKELY(!at))
        return fail(w, f->why[WHY_VARINT]);
    if (UNLIKELY(!number_from_varint(f->type, raw, &w->scalars[f->slot])))
        return fail(w, f->why[WHY_TYPE]);
    w->seen_scalars |= BIT(f->slot);
    return at;
}

/* The number in the field with this role, 0 when it was not sent or there is none. */
static inline int64_t role_value(const struct walk *w, const struct schema *s, unsigned role)
{
    uint8_t slot = s->role_slot[role];

    return slot != NO_SLOT && (w->seen_scalars & BIT(slot)) ? w->scalars[slot] : 0;
}

/* ---- the end ---- */

static bool judge_scalars(struct walk *w, const struct schema *s)
{
    for (uint64_t left = w->seen_scalars & s->bounded_scalars; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);

        if (UNLIKELY(!in_bounds(s->scalar_fields[slot], w->scalars[slot]))) {
            w->why = s->scalar_fields[slot]->why[WHY_BOUNDS];
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
            w->why = f->why[WHY_NOT_THERE];
        else if (w->missing[slot].total > w->samples)
            w->why = f->why[WHY_RUN_SUM];
        else if (w->missing[slot].absent == w->samples)
            w->why = f->why[WHY_ALL_ABSENT];
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
    drop_empty_columns(w);
    if (!judge_missing(w, s))
        return false;
    for (uint64_t left = w->seen; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        const struct field *f = s->column_fields[slot];
        uint64_t absent = w->has_missing & BIT(slot) ? w->missing[slot].absent : 0;

        if (f->action == FIELD_RUNS && w->columns[slot].has_half)
            w->why = f->why[WHY_HALF_RUN];
        else if (w->columns[slot].count + absent != w->samples)
            w->why = f->why[WHY_LENGTH];
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
        w->why = time->why[WHY_NO_SAMPLES];
        return false;
    }
    if (UNLIKELY((w->odd | w->has_missing) != 0) && !judge_lengths(w, s))
        return false;
    /* base_ms is in its bounds here, and 1,024 differences of 32 bits cannot wrap the sum. */
    if (UNLIKELY(base && (uint64_t)base_ms + w->elapsed_ms > (uint64_t)base->max)) {
        w->why = time->why[WHY_TIME_OVERFLOW];
        return false;
    }
    if (UNLIKELY((uint64_t)first + w->samples - 1 > UINT32_MAX)) {
        w->why = time->why[WHY_SAMPLE_OVERFLOW];
        return false;
    }
    return true;
}

bool walk_payload(struct walk *w, const struct schema *s, struct str payload)
{
    const uint8_t *at = (const uint8_t *)payload.at;
    const uint8_t *end = payload.len == 0 ? at : at + payload.len;

    w->end = end;
    w->seen = w->has_missing = w->seen_scalars = 0;
    w->samples = w->elapsed_ms = w->odd = 0;
    if (UNLIKELY(payload.len > INT32_MAX)) {
        w->why = "the payload is larger than a protobuf message may be";
        return false;
    }
    while (at < end) {
        const struct field *f;
        uint32_t number, type;

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
        switch ((enum field_action)f->action) {
        case FIELD_DELTA:
            at = walk_values(w, f, type, at, true);
            break;
        case FIELD_PLAIN:
            at = walk_values(w, f, type, at, false);
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
}
