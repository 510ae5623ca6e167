/* broker/payload/schema_priv.h -- the tables behind a schema, as the walk reads them. Built by
 * schema.c, immutable afterwards. */
#ifndef FREEHUB_BROKER_PAYLOAD_SCHEMA_PRIV_H
#define FREEHUB_BROKER_PAYLOAD_SCHEMA_PRIV_H

#include "broker/payload/schema.h"

/* What the walk does with a field. */
enum field_action {
    FIELD_SCALAR, /* a singular number with a slot: the last one on the wire counts */
    FIELD_DELTA,  /* columns */
    FIELD_PLAIN,
    FIELD_RUNS,
    FIELD_TIME,    /* role TIME_DELTA_MS */
    FIELD_MISSING, /* role MISSING */
    FIELD_CHECKED, /* anything else: checked and passed over */
};

/* How a number travels; the first ones are varints. */
enum number_type {
    NUMBER_UINT32,
    NUMBER_SINT32,
    NUMBER_INT32, /* and enums */
    NUMBER_BOOL,
    NUMBER_UINT64,
    NUMBER_SINT64,
    NUMBER_INT64,
    NUMBER_VARINT_COUNT,
    NUMBER_FIXED32 = NUMBER_VARINT_COUNT,
    NUMBER_SFIXED32,
    NUMBER_FLOAT,
    NUMBER_FIXED64,
    NUMBER_SFIXED64,
    NUMBER_DOUBLE,
    NUMBER_NONE, /* strings, bytes, messages */
};

/* What can be wrong with a field: WHY(NAME, "text behind the field's name"). */
#define WHY_LIST(WHY)                                                                              \
    WHY(WIRE, "wrong wire type")                                                                   \
    WHY(CUT, "cut short")                                                                          \
    WHY(VARINT, "cut short, or a varint of more than 64 bits")                                     \
    WHY(TYPE, "number too large for its type")                                                     \
    WHY(BOUNDS, "value out of bounds")                                                             \
    WHY(LENGTH, "length is not the number of samples less the missing ones")                       \
    WHY(COUNT_ZERO, "a run with count 0")                                                          \
    WHY(HALF_RUN, "a run without its count")                                                       \
    WHY(UTF8, "not UTF-8")                                                                         \
    WHY(DEPTH, "nested too deep")                                                                  \
    WHY(FIRST, "first time difference is not 0")                                                   \
    WHY(NO_SAMPLES, "no samples")                                                                  \
    WHY(TOO_MANY, "more samples than a batch may have")                                            \
    WHY(TIME_OVERFLOW, "time of the last sample out of bounds")                                    \
    WHY(SAMPLE_OVERFLOW, "number of the last sample does not fit in 32 bits")                      \
    WHY(NO_RUNS, "an entry without runs")                                                          \
    WHY(RUN_ZERO, "a run of 0 that is not the first")                                              \
    WHY(RUN_SUM, "runs add up to more than the number of samples")                                 \
    WHY(NO_COLUMN, "names a field that is no column")                                              \
    WHY(NOT_THERE, "names a column that is not there")                                             \
    WHY(TWICE, "names a column twice")                                                             \
    WHY(ALL_ABSENT, "leaves a column without any sample")

enum why {
#define WHY_ENUM(name, text) WHY_##name,
    WHY_LIST(WHY_ENUM)
#undef WHY_ENUM
        WHY_COUNT
};

enum {
    NO_SLOT = 0xff,
    ZERO_SLOT = SCHEMA_COLUMNS_MAX, /* a scalar that is always 0 */
    FIELD_DIRECT = 64,              /* field numbers below this are found without a search */
    NEST_MAX = 16,                  /* messages within messages */
};

struct message;

/* The fields of the usual small batch, which the walk takes by a short way when they come in order
 * and as their encoder writes them: packed, one value, tag of one or two bytes. */
enum field_quick {
    QUICK_NOT,
    QUICK_ZIGZAG, /* column of sint32, one value a sample, bounds of at most 33 bits */
    QUICK_PLAIN,  /* the same of uint32 */
    QUICK_RUNS,   /* of uint32 */
    QUICK_TIME,
    QUICK_SCALAR, /* unsigned */
};

/* What the walk needs of a field; the rest stands behind `more`. */
struct field {
    uint16_t tag;      /* its tag's bytes as a quick field, 1 for others: */
    uint16_t tag_mask; /* compare under this mask, 0 for others */
    uint8_t tag_bytes;
    uint8_t quick;  /* enum field_quick */
    uint8_t action; /* enum field_action */
    uint8_t type;   /* enum number_type */
    uint8_t slot;   /* of the scalar or column, NO_SLOT without one */
    bool is_end;    /* stands behind a message's last field */
    uint32_t number;
    int64_t min; /* bounds of a scalar or column: min .. min + span */
    uint64_t span;
    const struct field_more *more;
};

struct field_more {
    bool repeated;
    bool is_text;                  /* a string: UTF-8 */
    const struct message *message; /* type of a nested message */
    char *why[WHY_COUNT];          /* "name: text"; owned */
};

struct message {
    char *name;              /* full name without a leading dot; owned */
    struct field *fields;    /* by rising number, then one with `is_end`; owned */
    struct field_more *more; /* of each field; owned */
    size_t field_count;
    const struct field *direct[FIELD_DIRECT]; /* by number, NULL = unknown */
};

enum { ROLE_SLOTS = 8 }; /* enum Role of options.proto */

struct schema {
    uint16_t id;
    bool is_columnar;
    const struct message *message;
    const char *name;
    struct schema_column columns[SCHEMA_COLUMNS_MAX];
    const struct field *column_fields[SCHEMA_COLUMNS_MAX];
    size_t column_count;
    const struct field *scalar_fields[SCHEMA_COLUMNS_MAX]; /* by slot */
    size_t scalar_count;
    uint64_t bounded_scalars;      /* by slot: bounds narrower than the type's */
    uint64_t none_columns;         /* has_none */
    uint8_t role_slot[ROLE_SLOTS]; /* of the scalar; ZERO_SLOT without one */
    const struct field *role_field[ROLE_SLOTS];
};

static inline bool field_in_bounds(const struct field *f, int64_t value)
{
    return (uint64_t)value - (uint64_t)f->min <= f->span;
}

/* NULL for a number that the message does not know. */
const struct field *message_field_slow(const struct message *m, uint32_t number);

static inline const struct field *message_field(const struct message *m, uint32_t number)
{
    if (LIKELY(number < FIELD_DIRECT))
        return m->direct[number];
    return message_field_slow(m, number);
}

/* What the wire's `raw` means; false when it does not fit the type. A uint64 above INT64_MAX fits,
 * and is clamped: bounds never reach that far. */
static inline bool number_from_varint(enum number_type type, uint64_t raw, int64_t *out)
{
    switch (type) {
    case NUMBER_UINT32:
        *out = (int64_t)raw;
        return raw <= UINT32_MAX;
    case NUMBER_SINT32:
        *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
        return raw <= UINT32_MAX;
    case NUMBER_INT32:
        *out = (int64_t)raw;
        return *out >= INT32_MIN && *out <= INT32_MAX;
    case NUMBER_BOOL:
        *out = raw != 0;
        return true;
    case NUMBER_UINT64:
        *out = raw > INT64_MAX ? INT64_MAX : (int64_t)raw;
        return true;
    case NUMBER_SINT64:
        *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
        return true;
    default:
        *out = (int64_t)raw;
        return true;
    }
}

#endif
