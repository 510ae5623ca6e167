/* broker/payload/walk_priv.h -- one pass over a payload's wire bytes: checks every rule and leaves
 * behind what facts, rows and the latest values are made from. No allocation. */
#ifndef FREEHUB_BROKER_PAYLOAD_WALK_PRIV_H
#define FREEHUB_BROKER_PAYLOAD_WALK_PRIV_H

#include "broker/payload/payload.h"
#include "broker/payload/schema_priv.h"

/* What a column came to. A column may come in several pieces; only the first one is kept here. */
struct walk_column {
    int64_t value;           /* the last one; the running value of deltas */
    uint64_t count;          /* samples it holds */
    int64_t half;            /* RUNS: the value that still waits for its count, */
    bool has_half;           /* if this says so */
    const uint8_t *at, *end; /* the first piece */
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
    uint64_t seen;         /* columns */
    uint64_t has_missing;  /* columns */
    uint64_t seen_scalars; /* slots */
    uint64_t samples;      /* elements of the time column */
    uint64_t elapsed_ms;   /* its sum */
    uint64_t odd;          /* not 0: some column's length must be looked at again at the end */
    const uint8_t *time_at, *time_end; /* first piece of the time column */
    int64_t scalars[SCHEMA_COLUMNS_MAX];
    struct walk_column columns[SCHEMA_COLUMNS_MAX];
    struct walk_missing missing[SCHEMA_COLUMNS_MAX];
};

/* Walk `payload`; on false `w->why` says what is wrong. On true all rules hold. Any thread. */
bool walk_payload(struct walk *w, const struct schema *schema, struct str payload);

/* The facts of a payload that was walked. */
void walk_facts(const struct walk *w, const struct schema *schema, struct payload_facts *out);

#endif
