#include "broker/payload/schema_options_priv.h"

#include "broker/payload/wire_priv.h"

uint64_t option_number(const ProtobufCMessage *options, uint32_t tag)
{
    uint64_t value = 0;

    for (unsigned i = 0; options && i < options->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *f = &options->unknown_fields[i];

        if (f->tag == tag && f->wire_type == PROTOBUF_C_WIRE_TYPE_VARINT &&
            !wire_varint(f->data, f->data + f->len, f->data + f->len, &value))
            return 0;
    }
    return value;
}

int option_column(const ProtobufCMessage *options, Freehub__V1__Column **out)
{
    *out = NULL;
    for (unsigned i = 0; options && i < options->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *f = &options->unknown_fields[i];
        const uint8_t *at;
        size_t len;

        if (f->tag != OPTION_COLUMN || f->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        at = wire_len(f->data, f->data + f->len, &len);
        if (!at || *out)
            return ERR_CORRUPT;
        *out = freehub__v1__column__unpack(NULL, len, at);
        if (!*out)
            return ERR_CORRUPT;
    }
    return 0;
}
