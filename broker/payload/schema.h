/* broker/payload/schema.h -- the message types of stored streams, as their .proto files declare
 * them. Built once at start from the descriptor set that the build embeds; immutable afterwards.
 *
 * A message type is *columnar* when its fields carry the (freehub.v1.column) option: n samples in
 * parallel arrays. Other types (TripStart, Hello) are one row each. */
#ifndef FREEHUB_BROKER_PAYLOAD_SCHEMA_H
#define FREEHUB_BROKER_PAYLOAD_SCHEMA_H

#include "broker/base/base.h"
#include "broker/base/err.h"

enum {
    SCHEMA_COLUMNS_MAX = 64,   /* columns of one type; a row's presence is one 64-bit word */
    SCHEMA_RAW = 0,            /* the schema id of streams with `type: raw` */
    SCHEMA_SAMPLES_MAX = 1024, /* samples of one batch; more is refused */
};

enum column_encoding {
    COLUMN_PLAIN, /* one value a sample */
    COLUMN_DELTA, /* differences; the first value is absolute */
    COLUMN_RUNS,  /* pairs (value, count) */
};

struct schema_column {
    const char *name;    /* CSV heading, unit last: "speed_mps" */
    const char *unit;    /* "m/s"; "" without one */
    const char *meaning; /* one sentence */
    uint32_t field;      /* field number in the .proto */
    enum column_encoding encoding;
    uint8_t decimals; /* stored integer = value * 10^decimals */
    bool has_none;    /* the stored value `none` means "no value" */
    int64_t none;
    int64_t min, max; /* of the stored integer; outside is a bad payload */
};

struct schema; /* one message type */
struct schema_set;

/* Load the embedded descriptor set. `*out` is freed with schema_set_free(). Main thread. */
CHECKED int schema_set_load(struct schema_set **out, struct err_detail *detail);
/* The same from a FileDescriptorSet of the caller's (protoc --include_imports
 * --descriptor_set_out), whose bytes are not kept. ERR_CORRUPT or ERR_UNSUPPORTED name the field.
 */
CHECKED int schema_set_load_bytes(struct schema_set **out, struct str bytes,
                                  struct err_detail *detail);
/* NULL is allowed. */
void schema_set_free(struct schema_set *set);

/* By full name, "freehub.v1.Batch", or by the persistent id of option (freehub.v1.schema_id).
 * NULL when there is none; lives as long as the set. Any thread. */
const struct schema *schema_by_name(const struct schema_set *set, struct str full_name);
const struct schema *schema_by_id(const struct schema_set *set, uint16_t id);

/* All types that have an id, to list them in an error. `*count` entries. Any thread. */
const struct schema *const *schema_all(const struct schema_set *set, size_t *count);

uint16_t schema_id(const struct schema *schema);
const char *schema_name(const struct schema *schema); /* full name */
bool schema_is_columnar(const struct schema *schema);

/* The columns in field order. For a columnar type these are the sample columns without time; for
 * others every scalar field. Any thread. */
const struct schema_column *schema_columns(const struct schema *schema, size_t *count);

#endif
