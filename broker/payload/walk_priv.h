/* broker/payload/walk_priv.h -- one pass over a payload's wire bytes: checks every rule and leaves
 * behind what facts, rows and the latest values are made from. No allocation. */
#ifndef FREEHUB_BROKER_PAYLOAD_WALK_PRIV_H
#define FREEHUB_BROKER_PAYLOAD_WALK_PRIV_H

#include "broker/payload/payload.h"
#include "broker/payload/schema_priv.h"

/* What a column came to, besides its last value. A column may come in several pieces. */
struct walk_column {
    uint32_t count; /* samples it holds */
    bool has_half;  /* RUNS: `half` is a value that still waits for its count */
    int64_t half;
};

struct walk_missing {
    uint32_t absent;         /* samples */
    uint32_t total;          /* sum of the runs */
    uint32_t tail_absent;    /* absent samples at the very end if `total` reaches it */
    const uint8_t *at, *end; /* the Missing message */
};

/* Only what a bit of a mask vouches for has been written: clearing it all would cost more than the
 * walk. */
struct walk {
    const uint8_t *end; /* of the payload */
    const char *why;
    uint64_t seen;        /* columns */
    uint64_t singles;     /* columns that are one value; columns[] does not know them */
    uint64_t has_missing; /* columns */
    uint64_t samples;     /* elements of the time column */
    uint64_t elapsed_ms;  /* its sum */
    uint64_t odd;         /* not 0: some column's length must be looked at again at the end */
    int64_t scalars[SCHEMA_COLUMNS_MAX + 1]; /* by slot; 0 when not sent; the last one stays 0 */
    int64_t *values; /* of columns: the last one; the caller's, SCHEMA_COLUMNS_MAX long */
    struct walk_column columns[SCHEMA_COLUMNS_MAX];
    struct walk_missing missing[SCHEMA_COLUMNS_MAX];
};

/* Walk `payload`; on false `w->why` says what is wrong. On true all rules hold and `values` has the
 * last value of each column in `w->seen`. Any thread. */
bool walk_payload(struct walk *w, const struct schema *schema, struct str payload,
                  int64_t values[SCHEMA_COLUMNS_MAX]);

/* The facts of a payload that was walked. */
void walk_facts(const struct walk *w, const struct schema *schema, struct payload_facts *out);

#endif
