/* broker/payload/payload.h -- is this payload a valid message of its type, and what does it hold?
 * Walks the wire bytes by schema, without unpacking or allocating; every length is checked.
 *
 * Whatever protobuf allows on the wire is taken: fields in any order, unknown fields (skipped),
 * repeated numbers packed, in several pieces, or one by one; of a singular number the last counts.
 * Refused beyond what protobuf refuses: groups, numbers that do not fit their type, text that is
 * not UTF-8, values out of a column's bounds, and columns that do not fit together. */
#ifndef FREEHUB_BROKER_PAYLOAD_PAYLOAD_H
#define FREEHUB_BROKER_PAYLOAD_PAYLOAD_H

#include "broker/base/base.h"
#include "broker/payload/schema.h"

/* What the store needs to know of a batch. For types that are not columnar sample_count is 1. */
struct payload_facts {
    uint32_t boot;         /* boot id; 0 when the type has none */
    uint32_t trip;         /* trip_seq; 0 = not in a trip */
    uint32_t first_sample; /* number of the first sample within the boot */
    uint32_t sample_count;
    int64_t
        first_ms; /* event times of the first and last sample as the bike states them: Unix ms, */
    int64_t last_ms; /* or uptime ms when !time_ok */
    bool time_ok;
    uint64_t any;  /* columns that may hold a value in some sample */
    uint64_t last; /* columns that certainly hold one in the last sample */
};

/* True when valid; then `*out` is set. Otherwise `*why` is a text without a full stop that names
 * the field and the rule, for the Reason String and the quarantine; it lives as long as the schema
 * set. Any thread. */
CHECKED bool payload_validate(const struct schema *schema, struct str payload,
                              struct payload_facts *out, const char **why);

/* One sample. `values[i]` belongs to schema_columns()[i] and may be read when bit i of `present` is
 * set. In a type that is not columnar a number that was not sent is present as 0, as protobuf has
 * it; a value that is its column's `none` is never present. */
struct payload_row {
    uint32_t sample; /* number within the boot */
    int64_t time_ms; /* event time as the bike states it, see payload_facts */
    uint64_t present;
    int64_t values[SCHEMA_COLUMNS_MAX];
};

/* Walks the samples of a valid payload in order. The struct is opaque in meaning but not in size,
 * so that it lives on the caller's stack; nothing is to be released. */
struct payload_rows {
    const struct schema *schema;
    struct payload_facts facts;
    uint32_t next;
    int64_t time_ms;
    uint64_t there;       /* columns of this payload */
    uint64_t has_missing; /* columns with a Missing message */
    const uint8_t *payload_end;
    struct payload_column {
        const uint8_t *at, *end; /* the rest of the piece of the column that is being read */
        int64_t value;           /* running value of a delta column or run; the scalar */
        uint32_t run_left;       /* samples left of the current (value, count) run */
        uint32_t gap_left;       /* samples left of the current run of Missing, */
        bool gap;                /* whether that run says absent, */
        bool gap_last;           /* and whether it goes on to the last sample */
        const uint8_t *missing_at, *missing_end; /* the rest of its piece of Missing.runs, */
        const uint8_t *message_end;              /* and the end of the Missing message */
    } columns[SCHEMA_COLUMNS_MAX + 1];           /* the last one is time */
};

/* Start at the first sample. False when the payload is not valid. `payload` outlives `rows`. */
CHECKED bool payload_rows_init(struct payload_rows *rows, const struct schema *schema,
                               struct str payload);
/* The next sample, false at the end. Any thread. */
bool payload_rows_next(struct payload_rows *rows, struct payload_row *out);

/* The last sample's values per column (the newest present one) without walking rows one by one; for
 * `latest`. `times_ms[i]` is the event time of values[i], and like it only to be read when bit i of
 * `out->present` is set. False when the payload is not valid. Any thread. */
CHECKED bool payload_last(const struct schema *schema, struct str payload,
                          struct payload_facts *facts, struct payload_row *out,
                          int64_t times_ms[SCHEMA_COLUMNS_MAX]);

#endif
