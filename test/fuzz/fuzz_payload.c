/* Any bytes as each message type: the walk never reads outside, and it agrees with protobuf-c and
 * the slow reference on what a Batch is and holds. */
#include <stdio.h>
#include <stdlib.h>

#include "test/unit/payload/payload_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct schema_set *set;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    abort();
}

/* Validate, rows and last have one opinion; every row is bounded by the facts. */
static bool walk_all(const struct schema *schema, struct str payload)
{
    int64_t times_ms[SCHEMA_COLUMNS_MAX];
    struct payload_facts facts, last_facts;
    struct payload_rows rows;
    struct payload_row row;
    const char *why = NULL;
    uint32_t count = 0;
    bool valid = payload_validate(schema, payload, &facts, &why);

    if (!valid && (!why || !why[0]))
        fail("validate", "no reason");
    if (payload_rows_init(&rows, schema, payload) != valid ||
        payload_last(schema, payload, &last_facts, &row, times_ms) != valid)
        fail("rows or last", "another opinion than validate");
    if (!valid)
        return false;
    while (payload_rows_next(&rows, &row))
        count++;
    if (count != facts.sample_count || facts.sample_count > SCHEMA_SAMPLES_MAX ||
        last_facts.last_ms != facts.last_ms)
        fail("rows", "not as many as the facts say");
    return true;
}

/* protobuf-c keeps unknown fields, also those with number 0, which no message may have. */
static void drop_unknown(ProtobufCMessage *message)
{
    for (unsigned i = 0; i < message->n_unknown_fields; i++)
        free(message->unknown_fields[i].data);
    free(message->unknown_fields);
    message->unknown_fields = NULL;
    message->n_unknown_fields = 0;
}

/* What protobuf-c packs is canonical: there the walk and the reference must agree both ways. */
static void check_batch(const struct schema *schema, struct str payload)
{
    Freehub__V1__Batch *b =
        freehub__v1__batch__unpack(NULL, payload.len, (const uint8_t *)payload.at);
    bool valid = walk_all(schema, payload), valid_reference;
    struct reference expected;
    struct str packed;
    uint8_t *room;

    if (!b) {
        if (valid)
            fail("validate", "takes what protobuf-c does not");
        return;
    }
    valid_reference = reference_expand(b, &expected);
    if (valid && !valid_reference)
        fail("validate", "takes what the reference does not");
    drop_unknown(&b->base);
    for (size_t i = 0; i < b->n_missing; i++)
        drop_unknown(&b->missing[i]->base);
    room = malloc(freehub__v1__batch__get_packed_size(b) + 1);
    packed = str_of_bytes(room, freehub__v1__batch__pack(b, room));
    if (walk_all(schema, packed) != valid_reference)
        fail("validate", "differs from the reference on canonical bytes");
    if (valid_reference) {
        const char *difference = reference_difference(schema, packed, &expected);

        if (!difference && valid)
            difference = reference_difference(schema, payload, &expected);
        if (difference)
            fail("rows", difference);
        free(expected.samples);
    }
    free(room);
    freehub__v1__batch__free_unpacked(b, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct schema *const *all;
    struct err_detail detail;
    uint8_t *exact;
    size_t count;

    if (!set && schema_set_load(&set, &detail))
        fail("schema", detail.text);
    exact = malloc(len ? len : 1); /* so that AddressSanitizer sees a read past the end */
    memcpy(exact, bytes, len);
    all = schema_all(set, &count);
    for (size_t i = 0; i < count; i++)
        if (schema_id(all[i]) != 1)
            (void)walk_all(all[i], str_of_bytes(exact, len));
    check_batch(schema_by_id(set, 1), str_of_bytes(exact, len));
    free(exact);
    return 0;
}
