#include "broker/payload/payload.h"

#include "freehub/v1/options.pb-c.h"

#include "broker/payload/walk_priv.h"
#include "broker/payload/wire_priv.h"

#define BIT(slot) (UINT64_C(1) << (slot))

enum { TIME_COLUMN = SCHEMA_COLUMNS_MAX, MISSING_RUNS_FIELD = 2 };

bool payload_validate(const struct schema *schema, struct str payload, struct payload_facts *out,
                      const char **why)
{
    UNINITIALIZED int64_t values[SCHEMA_COLUMNS_MAX];
    UNINITIALIZED struct walk w;

    if (!walk_payload(&w, schema, payload, values)) {
        *why = w.why;
        return false;
    }
    walk_facts(&w, schema, out);
    return true;
}

/* ---- rows ---- */

static bool is_none(const struct schema *s, unsigned slot, int64_t value)
{
    return (s->none_columns & BIT(slot)) && s->columns[slot].none == value;
}

/* The single row of a type that is not columnar. */
static void row_of_scalars(const struct walk *w, const struct schema *s, struct payload_row *out)
{
    out->present = 0;
    for (unsigned slot = 0; slot < s->column_count; slot++) {
        out->values[slot] = w->scalars[slot];
        if (!is_none(s, slot, out->values[slot]))
            out->present |= BIT(slot);
    }
}

/* Go on to the column's next piece that is not empty. False when there is none: never, in a valid
 * payload that has one more element. */
static bool column_next_piece(const struct payload_rows *rows, struct payload_column *c,
                              uint32_t field)
{
    do {
        if (!wire_next_piece(c->end, rows->payload_end, field, &c->at, &c->end))
            return false;
    } while (c->at == c->end);
    return true;
}

/* The next element of a repeated number. */
static inline uint64_t column_number(const struct payload_rows *rows, struct payload_column *c,
                                     uint32_t field)
{
    uint64_t raw = 0;

    if (UNLIKELY(c->at == c->end) && !column_next_piece(rows, c, field))
        return 0;
    if (LIKELY(*c->at < 0x80))
        return *c->at++;
    c->at = wire_varint(c->at, c->end, rows->payload_end, &raw);
    return raw;
}

static inline int64_t column_value(const struct payload_rows *rows, struct payload_column *c,
                                   const struct field *f)
{
    uint64_t raw;
    int64_t number;

    if (LIKELY(f->action == FIELD_DELTA && f->type == NUMBER_SINT32)) {
        c->value += wire_zigzag(column_number(rows, c, f->number));
        return c->value;
    }
    if (f->action == FIELD_RUNS && c->run_left > 0) {
        c->run_left--;
        return c->value;
    }
    raw = column_number(rows, c, f->number);
    if (!number_from_varint(f->type, raw, &number)) /* never: it was validated */
        return c->value;
    if (f->action == FIELD_DELTA)
        number += c->value;
    else if (f->action == FIELD_RUNS)
        c->run_left = (uint32_t)column_number(rows, c, f->number) - 1;
    c->value = number;
    return number;
}

/* Go on to the next run of Missing that is not 0. Behind the last one all samples are present. */
static void missing_advance(struct payload_column *c)
{
    uint64_t raw = 0;

    do {
        while (c->missing_at == c->missing_end) {
            if (!wire_next_piece(c->missing_end, c->message_end, MISSING_RUNS_FIELD, &c->missing_at,
                                 &c->missing_end)) {
                c->gap = false;
                c->gap_last = true;
                return;
            }
        }
        c->missing_at = wire_varint(c->missing_at, c->missing_end, c->message_end, &raw);
        c->gap = !c->gap;
    } while (raw == 0);
    c->gap_left = (uint32_t)raw;
}

static bool missing_is_absent(struct payload_column *c)
{
    if (c->gap_last)
        return false;
    if (c->gap_left == 0)
        missing_advance(c);
    if (!c->gap_last)
        c->gap_left--;
    return c->gap;
}

/* Where each column begins: its first piece with an element in it. */
static void rows_find_pieces(struct payload_rows *rows, const uint8_t *at)
{
    uint64_t wanted = rows->there;
    bool has_time = false;

    while (at < rows->payload_end) {
        struct payload_column *c = NULL;
        const uint8_t *piece;
        const struct field *f;
        uint32_t number, type;
        size_t len;

        at = wire_tag(at, rows->payload_end, &number, &type);
        if (!at) /* never: it was validated */
            return;
        f = message_field(rows->schema->message, number);
        if (f && f->action == FIELD_TIME && !has_time)
            c = &rows->columns[TIME_COLUMN];
        else if (f && f->action >= FIELD_DELTA && f->action <= FIELD_RUNS &&
                 (wanted & BIT(f->slot)))
            c = &rows->columns[f->slot];
        piece = at;
        at = wire_skip(at, rows->payload_end, type);
        if (!at)
            return;
        if (!c)
            continue;
        if (type == WIRE_LEN)
            piece = wire_len(piece, at, &len);
        if (!piece || piece == at)
            continue;
        c->at = piece;
        c->end = at;
        if (f->action == FIELD_TIME)
            has_time = true;
        else
            wanted &= ~BIT(f->slot);
    }
}

bool payload_rows_init(struct payload_rows *rows, const struct schema *schema, struct str payload)
{
    UNINITIALIZED int64_t values[SCHEMA_COLUMNS_MAX];
    UNINITIALIZED struct walk w;

    if (!walk_payload(&w, schema, payload, values))
        return false;
    rows->schema = schema;
    walk_facts(&w, schema, &rows->facts);
    rows->next = 0;
    rows->time_ms = rows->facts.first_ms;
    rows->there = w.seen;
    rows->has_missing = w.has_missing;
    rows->payload_end = w.end;
    if (!schema->is_columnar) {
        for (unsigned slot = 0; slot < schema->column_count; slot++)
            rows->columns[slot].value = w.scalars[slot];
        return true;
    }
    for (uint64_t left = w.seen; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        struct payload_column *c = &rows->columns[slot];

        c->value = 0;
        c->run_left = 0;
        if (!(w.has_missing & BIT(slot)))
            continue;
        c->gap_left = 0;
        c->gap = true; /* the first run says present */
        c->gap_last = false;
        c->missing_at = c->missing_end = w.missing[slot].at;
        c->message_end = w.missing[slot].end;
    }
    rows_find_pieces(rows, (const uint8_t *)payload.at);
    return true;
}

static void rows_next_single(struct payload_rows *rows, struct payload_row *out)
{
    const struct schema *s = rows->schema;

    out->present = 0;
    for (unsigned slot = 0; slot < s->column_count; slot++) {
        out->values[slot] = rows->columns[slot].value;
        if (!is_none(s, slot, out->values[slot]))
            out->present |= BIT(slot);
    }
}

bool payload_rows_next(struct payload_rows *rows, struct payload_row *out)
{
    const struct schema *s = rows->schema;

    if (rows->next == rows->facts.sample_count)
        return false;
    out->sample = rows->facts.first_sample + rows->next++;
    if (!s->is_columnar) {
        out->time_ms = rows->time_ms;
        rows_next_single(rows, out);
        return true;
    }
    rows->time_ms += (int64_t)column_number(
        rows, &rows->columns[TIME_COLUMN], s->role_field[FREEHUB__V1__ROLE__TIME_DELTA_MS]->number);
    out->time_ms = rows->time_ms;
    out->present = rows->there;
    for (uint64_t left = rows->there; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        struct payload_column *c = &rows->columns[slot];

        if (UNLIKELY(rows->has_missing & BIT(slot)) && missing_is_absent(c)) {
            out->present &= ~BIT(slot);
            continue;
        }
        out->values[slot] = column_value(rows, c, s->column_fields[slot]);
        if (UNLIKELY(is_none(s, slot, out->values[slot])))
            out->present &= ~BIT(slot);
    }
    return true;
}

/* ---- the last values ---- */

/* Walk the rows for the columns in `wanted`, whose newest value is not the last one of the wire. */
static void last_by_rows(const struct schema *s, struct str payload, uint64_t wanted,
                         struct payload_row *out, int64_t times_ms[SCHEMA_COLUMNS_MAX])
{
    UNINITIALIZED struct payload_rows rows;
    UNINITIALIZED struct payload_row row;

    if (!payload_rows_init(&rows, s, payload))
        return;
    while (payload_rows_next(&rows, &row)) {
        for (uint64_t left = row.present & wanted; left; left &= left - 1) {
            unsigned slot = (unsigned)__builtin_ctzll(left);

            out->values[slot] = row.values[slot];
            times_ms[slot] = row.time_ms;
            out->present |= BIT(slot);
        }
    }
}

bool payload_last(const struct schema *schema, struct str payload, struct payload_facts *facts,
                  struct payload_row *out, int64_t times_ms[SCHEMA_COLUMNS_MAX])
{
    uint64_t older = 0; /* columns that do not end with the last sample's value */
    UNINITIALIZED struct walk w;

    if (!walk_payload(&w, schema, payload, out->values))
        return false;
    walk_facts(&w, schema, facts);
    out->sample = facts->first_sample + facts->sample_count - 1;
    out->time_ms = facts->last_ms;
    if (!schema->is_columnar) {
        row_of_scalars(&w, schema, out);
        for (unsigned slot = 0; slot < schema->column_count; slot++)
            times_ms[slot] = facts->last_ms;
        return true;
    }
    out->present = w.seen;
    for (unsigned slot = 0; slot < schema->column_count; slot++)
        times_ms[slot] = facts->last_ms;
    for (uint64_t left = w.seen & (w.has_missing | schema->none_columns); left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctzll(left);
        const struct walk_missing *m = &w.missing[slot];

        if ((w.has_missing & BIT(slot)) && m->tail_absent > 0 && m->total == w.samples)
            older |= BIT(slot);
        else if (is_none(schema, slot, out->values[slot]))
            older |= BIT(slot);
    }
    if (UNLIKELY(older)) {
        out->present &= ~older;
        if (facts->sample_count > 1)
            last_by_rows(schema, payload, older, out, times_ms);
    }
    return true;
}
