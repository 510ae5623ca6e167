#include "broker/payload/schema_listing.h"

#include "freehub/v1/options.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

#include "broker/payload/schema_options_priv.h"

extern const uint8_t embedded_schema_set[];
extern const size_t embedded_schema_set_bytes;

typedef Google__Protobuf__DescriptorProto message_proto;
typedef Google__Protobuf__EnumDescriptorProto enum_proto;
typedef Google__Protobuf__FieldDescriptorProto field_proto;

enum { NAME_MAX_BYTES = 256 };

static const char *const kinds[] = {"?",        "double",   "float",   "int64",  "uint64",
                                    "int32",    "fixed64",  "fixed32", "bool",   "string",
                                    "group",    "message",  "bytes",   "uint32", "enum",
                                    "sfixed32", "sfixed64", "sint32",  "sint64"};
static const char *const labels[] = {"?", "singular", "required", "repeated"};
static const char *const encodings[] = {"plain", "delta", "runs"};

static int list_column(const field_proto *f, struct buf *out)
{
    const ProtobufCMessage *options = f->options ? &f->options->base : NULL;
    uint64_t role = option_number(options, OPTION_ROLE);
    Freehub__V1__Column *c;
    int rc = option_column(options, &c);

    if (rc)
        return rc;
    if (c) {
        buf_add_format(out, " column=%s unit=%s decimals=%u encoding=%s", c->name, c->unit,
                       c->decimals, c->encoding <= 2 ? encodings[c->encoding] : "?");
        if (c->no_value_case == FREEHUB__V1__COLUMN__NO_VALUE_NONE)
            buf_add_format(out, " none=%lld", (long long)c->none);
        freehub__v1__column__free_unpacked(c, NULL);
    }
    if (role)
        buf_add_format(out, " role=%llu", (unsigned long long)role);
    return 0;
}

static int list_field(const char *type, const field_proto *f, struct buf *out)
{
    int rc;

    buf_add_format(out, "field %s %d %s %s%s%s %s", type, f->number, f->name,
                   (size_t)f->type < ARRAY_LEN(kinds) ? kinds[f->type] : "?",
                   f->type_name ? " " : "", f->type_name ? f->type_name + 1 : "",
                   (size_t)f->label < ARRAY_LEN(labels) ? labels[f->label] : "?");
    rc = list_column(f, out);
    buf_add_byte(out, '\n');
    return rc;
}

static void list_enum(const char *scope, const enum_proto *e, struct buf *out)
{
    for (size_t i = 0; i < e->n_value; i++)
        buf_add_format(out, "enum %s.%s %d %s\n", scope, e->name, e->value[i]->number,
                       e->value[i]->name);
}

static int list_message(const char *scope, const message_proto *m, struct buf *out)
{
    const ProtobufCMessage *options = m->options ? &m->options->base : NULL;
    struct buf type;
    int rc = 0;

    buf_init(&type, NAME_MAX_BYTES);
    buf_add_format(&type, "%s.%s", scope, m->name);
    buf_add_byte(&type, '\0');
    if (buf_err(&type)) {
        rc = buf_err(&type);
        goto out;
    }
    buf_add_format(out, "message %s %llu\n", (const char *)type.at,
                   (unsigned long long)option_number(options, OPTION_SCHEMA_ID));
    for (size_t i = 0; i < m->n_field && !rc; i++)
        rc = list_field((const char *)type.at, m->field[i], out);
    for (size_t i = 0; i < m->n_reserved_range; i++)
        buf_add_format(out, "reserved %s %d..%d\n", (const char *)type.at,
                       m->reserved_range[i]->start, m->reserved_range[i]->end - 1);
    for (size_t i = 0; i < m->n_reserved_name; i++)
        buf_add_format(out, "reserved %s %s\n", (const char *)type.at, m->reserved_name[i]);
    for (size_t i = 0; i < m->n_enum_type; i++)
        list_enum((const char *)type.at, m->enum_type[i], out);
    for (size_t i = 0; i < m->n_nested_type && !rc; i++)
        rc = list_message((const char *)type.at, m->nested_type[i], out);
out:
    buf_fini(&type);
    return rc;
}

int schema_listing(struct str descriptor_set, struct buf *out)
{
    Google__Protobuf__FileDescriptorSet *files = google__protobuf__file_descriptor_set__unpack(
        NULL, descriptor_set.len, (const uint8_t *)descriptor_set.at);
    int rc = 0;

    if (!files)
        return ERR_CORRUPT;
    for (size_t i = 0; i < files->n_file && !rc; i++) {
        const Google__Protobuf__FileDescriptorProto *file = files->file[i];

        if (!file->package || strcmp(file->package, "freehub.v1") != 0)
            continue;
        for (size_t k = 0; k < file->n_message_type && !rc; k++)
            rc = list_message(file->package, file->message_type[k], out);
        for (size_t k = 0; k < file->n_enum_type; k++)
            list_enum(file->package, file->enum_type[k], out);
    }
    google__protobuf__file_descriptor_set__free_unpacked(files, NULL);
    return rc ? rc : buf_err(out);
}

int schema_listing_embedded(struct buf *out)
{
    return schema_listing(str_of_bytes(embedded_schema_set, embedded_schema_set_bytes), out);
}

/* The line at the front of `*rest`, which moves behind it. */
static struct str line_take(struct str *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    struct str line = {rest->at, end ? (size_t)(end - rest->at) : rest->len};

    rest->at += line.len + (end != NULL);
    rest->len -= line.len + (end != NULL);
    return line;
}

static bool has_line(struct str listing, struct str wanted)
{
    while (listing.len > 0)
        if (str_equal(line_take(&listing), wanted))
            return true;
    return false;
}

struct str schema_listing_lost(struct str kept, struct str listing)
{
    while (kept.len > 0) {
        struct str line = line_take(&kept);

        if (line.len > 0 && line.at[0] != '#' && !has_line(listing, line))
            return line;
    }
    return (struct str){NULL, 0};
}
