/* The embedded descriptor set becomes tables once, at start:
 *
 * 1. protobuf-c unpacks the set with code made from google/protobuf/descriptor.proto. The hub's own
 *    options are unknown to that code, so they arrive as unknown fields of FieldOptions and
 *    MessageOptions; `Column` is unpacked from there.
 * 2. Every message of the set gets a `struct message`, then its fields, which may point to others.
 * 3. A message with a schema_id gets a `struct schema`: columns, slots of scalars, roles.
 *
 * The unpacked set stays: names, units and meanings are its strings. */
#include "broker/payload/schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "freehub/v1/options.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

#include "broker/base/mem.h"
#include "broker/payload/schema_options_priv.h"
#include "broker/payload/schema_priv.h"
#include "broker/payload/wire_priv.h"

extern const uint8_t embedded_schema_set[];
extern const size_t embedded_schema_set_bytes;

typedef Google__Protobuf__FieldDescriptorProto field_proto;
typedef Google__Protobuf__DescriptorProto message_proto;

enum {
    DECIMALS_MAX = 18, /* 10^18 fits in 63 bits */
};

struct schema_set {
    Google__Protobuf__FileDescriptorSet *files;
    struct message *messages; /* by order of appearance */
    const message_proto **protos;
    size_t message_count;
    struct schema **schemas; /* by rising id */
    size_t schema_count;
    Freehub__V1__Column **column_options; /* owned, whose strings the columns borrow */
    size_t column_option_count;
};

/* ---- messages and fields ---- */

static enum number_type number_type_of(Google__Protobuf__FieldDescriptorProto__Type type)
{
    switch (type) {
#define TYPE_CASE(proto, number)                                                                   \
    case GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##proto:                             \
        return NUMBER_##number;
        TYPE_CASE(UINT32, UINT32)
        TYPE_CASE(SINT32, SINT32)
        TYPE_CASE(INT32, INT32)
        TYPE_CASE(ENUM, INT32)
        TYPE_CASE(BOOL, BOOL)
        TYPE_CASE(UINT64, UINT64)
        TYPE_CASE(SINT64, SINT64)
        TYPE_CASE(INT64, INT64)
        TYPE_CASE(FIXED32, FIXED32)
        TYPE_CASE(SFIXED32, SFIXED32)
        TYPE_CASE(FLOAT, FLOAT)
        TYPE_CASE(FIXED64, FIXED64)
        TYPE_CASE(SFIXED64, SFIXED64)
        TYPE_CASE(DOUBLE, DOUBLE)
#undef TYPE_CASE
    default:
        return NUMBER_NONE;
    }
}

/* The bounds that the type itself gives. Values are signed 64-bit here, and INT64_MAX is what a
 * larger uint64 is clamped to, so it is out of bounds. */
static void type_bounds(enum number_type type, int64_t *min, int64_t *max)
{
    static const struct {
        int64_t min, max;
    } bounds[NUMBER_VARINT_COUNT] = {
        [NUMBER_UINT32] = {0, UINT32_MAX},       [NUMBER_SINT32] = {INT32_MIN, INT32_MAX},
        [NUMBER_INT32] = {INT32_MIN, INT32_MAX}, [NUMBER_BOOL] = {0, 1},
        [NUMBER_UINT64] = {0, INT64_MAX - 1},    [NUMBER_SINT64] = {INT64_MIN, INT64_MAX},
        [NUMBER_INT64] = {INT64_MIN, INT64_MAX},
    };

    *min = bounds[type].min;
    *max = bounds[type].max;
}

static const struct message *message_by_name(const struct schema_set *set, const char *name)
{
    for (size_t i = 0; i < set->message_count; i++)
        if (strcmp(set->messages[i].name, name) == 0)
            return &set->messages[i];
    return NULL;
}

const struct field *message_field_slow(const struct message *m, uint32_t number)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (m->fields[i].number == number)
            return &m->fields[i];
    return NULL;
}

static void field_make_texts(struct field_more *more, const char *name)
{
    static const char *const texts[WHY_COUNT] = {
#define WHY_TEXT(name, text) [WHY_##name] = (text),
        WHY_LIST(WHY_TEXT)
#undef WHY_TEXT
    };

    for (size_t i = 0; i < WHY_COUNT; i++) {
        size_t bytes = strlen(name) + strlen(texts[i]) + sizeof ": ";

        more->why[i] = mem_new(bytes);
        snprintf(more->why[i], bytes, "%s: %s", name, texts[i]);
    }
}

static int compare_numbers(const void *a, const void *b)
{
    const struct field *left = a, *right = b;

    return left->number < right->number ? -1 : left->number > right->number;
}

static int message_make_fields(const struct schema_set *set, struct message *m,
                               const message_proto *proto, struct err_detail *detail)
{
    if (proto->n_field >= NO_SLOT)
        return err_set(detail, ERR_UNSUPPORTED, "%s: too many fields", m->name);
    m->field_count = proto->n_field;
    m->fields = mem_new((proto->n_field + 1) * sizeof *m->fields);
    m->more = mem_new((proto->n_field + 1) * sizeof *m->more);
    for (size_t i = 0; i < proto->n_field; i++) {
        const field_proto *p = proto->field[i];
        struct field_more *more = &m->more[i];
        struct field *f = &m->fields[i];

        f->more = more;
        f->number = (uint32_t)p->number;
        f->action = FIELD_CHECKED;
        f->type = (uint8_t)number_type_of(p->type);
        f->slot = NO_SLOT;
        f->tag = 1;
        more->repeated =
            p->label == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED;
        more->is_text = p->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_STRING;
        field_make_texts(more, p->name);
        if (p->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP)
            return err_set(detail, ERR_UNSUPPORTED, "%s.%s: groups are not supported", m->name,
                           p->name);
        if (p->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_MESSAGE) {
            more->message = message_by_name(set, p->type_name + 1); /* ".freehub.v1.Running" */
            if (!more->message)
                return err_set(detail, ERR_CORRUPT, "%s.%s: type %s is not in the set", m->name,
                               p->name, p->type_name);
        }
    }
    m->fields[m->field_count] = (struct field){.tag = 1, .is_end = true, .slot = NO_SLOT};
    qsort(m->fields, m->field_count, sizeof *m->fields, compare_numbers);
    for (size_t i = 0; i < m->field_count; i++)
        if (m->fields[i].number < FIELD_DIRECT)
            m->direct[m->fields[i].number] = &m->fields[i];
    return 0;
}

/* ---- schemas ---- */

static int column_describe(struct schema_column *column, struct field *f, const field_proto *p,
                           const Freehub__V1__Column *option, const char *message,
                           struct err_detail *detail)
{
    int64_t least, most;

    if (f->type >= NUMBER_VARINT_COUNT)
        return err_set(detail, ERR_UNSUPPORTED, "%s.%s: a column is a varint number", message,
                       p->name);
    type_bounds(f->type, &least, &most);
    if (f->more->repeated && (!option || option->encoding != FREEHUB__V1__ENCODING__PLAIN)) {
        least = INT64_MIN; /* a sum, or the value of a run, is not bound to the type */
        most = INT64_MAX - 1;
    }
    *column = (struct schema_column){
        .name = p->name, .unit = "", .meaning = "", .field = f->number, .min = least, .max = most};
    if (option) {
        if (option->name[0])
            column->name = option->name;
        column->unit = option->unit;
        column->meaning = option->meaning;
        column->decimals = (uint8_t)option->decimals;
        column->encoding = (enum column_encoding)option->encoding;
        column->has_none = option->no_value_case == FREEHUB__V1__COLUMN__NO_VALUE_NONE;
        column->none = column->has_none ? option->none : 0;
        if (option->min != 0 || option->max != 0) {
            column->min = option->min;
            column->max = option->max;
        }
        if (option->decimals > DECIMALS_MAX || column->min > column->max || column->min < least ||
            column->max > most || option->encoding > FREEHUB__V1__ENCODING__RUNS)
            return err_set(detail, ERR_CORRUPT, "%s.%s: decimals, bounds or encoding make no sense",
                           message, p->name);
    }
    if (!f->more->repeated && (column->min > 0 || column->max < 0))
        return err_set(detail, ERR_CORRUPT,
                       "%s.%s: a field that is left out is 0, which its bounds "
                       "exclude",
                       message, p->name);
    f->min = column->min;
    f->span = (uint64_t)column->max - (uint64_t)column->min;
    return 0;
}

/* Whether, and how, the walk's short way may take this field. */
static enum field_quick quick_way(const struct field *f)
{
    bool is_small = f->min >= INT32_MIN && f->span <= UINT32_MAX;

    switch ((enum field_action)f->action) {
    case FIELD_DELTA:
        return f->type == NUMBER_SINT32 && is_small ? QUICK_ZIGZAG : QUICK_NOT;
    case FIELD_PLAIN:
        return f->type == NUMBER_SINT32   ? QUICK_ZIGZAG
               : f->type == NUMBER_UINT32 ? QUICK_PLAIN
                                          : QUICK_NOT;
    case FIELD_RUNS:
        return f->type == NUMBER_UINT32 ? QUICK_RUNS : QUICK_NOT;
    case FIELD_TIME:
        return QUICK_TIME;
    case FIELD_SCALAR:
        return f->type == NUMBER_UINT32 || f->type == NUMBER_UINT64 || f->type == NUMBER_BOOL
                   ? QUICK_SCALAR
                   : QUICK_NOT;
    default:
        return QUICK_NOT;
    }
}

static void field_set_quick(struct field *f)
{
    uint32_t tag = f->number << 3 | (f->action == FIELD_SCALAR ? WIRE_VARINT : WIRE_LEN);
    enum field_quick quick = quick_way(f);

    if (quick == QUICK_NOT || tag >= 1 << 14)
        return;
    f->quick = (uint8_t)quick;
    f->tag_bytes = tag < 0x80 ? 1 : 2;
    f->tag_mask = tag < 0x80 ? 0xff : 0xffff;
    f->tag = (uint16_t)(tag < 0x80 ? tag : (tag & 0x7f) | 0x80 | tag >> 7 << 8);
}

static int schema_add_column(struct schema *s, struct field *f, const field_proto *p,
                             const Freehub__V1__Column *option, struct err_detail *detail)
{
    static const uint8_t actions[] = {
        [COLUMN_PLAIN] = FIELD_PLAIN, [COLUMN_DELTA] = FIELD_DELTA, [COLUMN_RUNS] = FIELD_RUNS};
    struct schema_column *column;
    int rc;

    if (s->column_count == SCHEMA_COLUMNS_MAX)
        return err_set(detail, ERR_FULL, "%s: more than %d columns", s->name, SCHEMA_COLUMNS_MAX);
    column = &s->columns[s->column_count];
    rc = column_describe(column, f, p, option, s->name, detail);
    if (rc)
        return rc;
    f->slot = (uint8_t)s->column_count;
    f->action = f->more->repeated ? actions[column->encoding] : (uint8_t)FIELD_SCALAR;
    if (column->has_none)
        s->none_columns |= UINT64_C(1) << s->column_count;
    s->column_fields[s->column_count++] = f;
    return 0;
}

/* A singular number. In a type that is not columnar scalars are its columns, with equal slots. */
static int schema_add_scalar(struct schema *s, struct field *f, const field_proto *p,
                             const Freehub__V1__Column *option, struct err_detail *detail)
{
    struct schema_column unlisted;
    int64_t least, most;
    int rc;

    if (s->scalar_count == SCHEMA_COLUMNS_MAX)
        return err_set(detail, ERR_FULL, "%s: more than %d numbers", s->name, SCHEMA_COLUMNS_MAX);
    if (s->is_columnar) {
        rc = column_describe(&unlisted, f, p, option, s->name, detail);
        f->slot = (uint8_t)s->scalar_count;
        f->action = FIELD_SCALAR;
    } else {
        rc = schema_add_column(s, f, p, option, detail);
    }
    if (rc)
        return rc;
    type_bounds(f->type, &least, &most);
    if (f->min > least || f->span < (uint64_t)most - (uint64_t)f->min || f->type == NUMBER_UINT64)
        s->bounded_scalars |= UINT64_C(1) << s->scalar_count;
    s->scalar_fields[s->scalar_count++] = f;
    return 0;
}

static bool is_missing_type(const struct message *m)
{
    const struct field *column = m ? message_field(m, 1) : NULL;
    const struct field *runs = m ? message_field(m, 2) : NULL;

    return column && runs && column->type == NUMBER_UINT32 && !column->more->repeated &&
           runs->type == NUMBER_UINT32 && runs->more->repeated;
}

static int schema_set_role(struct schema *s, struct field *f, const field_proto *p, uint64_t role,
                           struct err_detail *detail)
{
    static const struct {
        uint8_t type;
        bool repeated;
    } wanted[ROLE_SLOTS] = {
        [FREEHUB__V1__ROLE__BOOT_ID] = {NUMBER_UINT32, false},
        [FREEHUB__V1__ROLE__TRIP] = {NUMBER_UINT32, false},
        [FREEHUB__V1__ROLE__FIRST_SAMPLE] = {NUMBER_UINT32, false},
        [FREEHUB__V1__ROLE__BASE_TIME_MS] = {NUMBER_UINT64, false},
        [FREEHUB__V1__ROLE__TIME_OK] = {NUMBER_BOOL, false},
        [FREEHUB__V1__ROLE__TIME_DELTA_MS] = {NUMBER_UINT32, true},
        [FREEHUB__V1__ROLE__MISSING] = {NUMBER_NONE, true},
    };

    if (role == FREEHUB__V1__ROLE__ROLE_UNSPECIFIED)
        return 0;
    if (role >= ROLE_SLOTS || wanted[role].type != f->type ||
        wanted[role].repeated != f->more->repeated ||
        (role == FREEHUB__V1__ROLE__MISSING && !is_missing_type(f->more->message)) ||
        (role >= FREEHUB__V1__ROLE__TIME_DELTA_MS && !s->is_columnar) || s->role_field[role])
        return err_set(detail, ERR_CORRUPT, "%s.%s: the role does not fit the field or is taken",
                       s->name, p->name);
    s->role_field[role] = f;
    if (f->action == FIELD_SCALAR)
        s->role_slot[role] = f->slot;
    if (role == FREEHUB__V1__ROLE__TIME_DELTA_MS)
        f->action = FIELD_TIME;
    if (role == FREEHUB__V1__ROLE__MISSING)
        f->action = FIELD_MISSING;
    return 0;
}

static const field_proto *proto_of(const message_proto *proto, const struct field *f)
{
    for (size_t i = 0; i < proto->n_field; i++)
        if ((uint32_t)proto->field[i]->number == f->number)
            return proto->field[i];
    return NULL;
}

static const ProtobufCMessage *options_of(const field_proto *p)
{
    return p->options ? &p->options->base : NULL;
}

static int schema_add_field(struct schema_set *set, struct schema *s, struct field *f,
                            const field_proto *p, struct err_detail *detail)
{
    Freehub__V1__Column *option;
    int rc;

    rc = option_column(options_of(p), &option);
    if (rc)
        return err_set(detail, rc, "%s.%s: unreadable (column) option", s->name, p->name);
    if (option) {
        Freehub__V1__Column **grown = mem_try_resize(
            set->column_options, (set->column_option_count + 1) * sizeof *set->column_options);
        if (!grown) {
            freehub__v1__column__free_unpacked(option, NULL);
            return ERR_NOMEM;
        }
        set->column_options = grown;
        set->column_options[set->column_option_count++] = option;
    }
    if (f->more->repeated && option)
        rc = schema_add_column(s, f, p, option, detail);
    else if (!f->more->repeated && (option || f->type < NUMBER_VARINT_COUNT))
        rc = schema_add_scalar(s, f, p, option, detail);
    if (rc)
        return rc;
    return schema_set_role(s, f, p, option_number(options_of(p), OPTION_ROLE), detail);
}

/* Columnar: a repeated field carries (column). */
static bool proto_is_columnar(const message_proto *proto)
{
    for (size_t i = 0; i < proto->n_field; i++) {
        const field_proto *p = proto->field[i];
        const ProtobufCMessage *options = options_of(p);

        if (p->label != GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__LABEL__LABEL_REPEATED)
            continue;
        for (unsigned k = 0; options && k < options->n_unknown_fields; k++)
            if (options->unknown_fields[k].tag == OPTION_COLUMN)
                return true;
    }
    return false;
}

static int schema_make(struct schema_set *set, size_t index, uint16_t id, struct err_detail *detail)
{
    const message_proto *proto = set->protos[index];
    struct message *m = &set->messages[index];
    struct schema *s = MEM_NEW(struct schema);

    set->schemas[set->schema_count++] = s;
    s->id = id;
    s->name = m->name;
    s->message = m;
    s->is_columnar = proto_is_columnar(proto);
    memset(s->role_slot, ZERO_SLOT, sizeof s->role_slot);
    for (size_t i = 0; i < m->field_count; i++) { /* by number, so columns are in field order */
        int rc = schema_add_field(set, s, &m->fields[i], proto_of(proto, &m->fields[i]), detail);

        if (rc)
            return rc;
        field_set_quick(&m->fields[i]);
    }
    if (s->is_columnar && !s->role_field[FREEHUB__V1__ROLE__TIME_DELTA_MS])
        return err_set(detail, ERR_CORRUPT, "%s: columns but no field with role TIME_DELTA_MS",
                       s->name);
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    const struct schema *left = *(struct schema *const *)a, *right = *(struct schema *const *)b;

    return left->id < right->id ? -1 : left->id > right->id;
}

static int set_make_schemas(struct schema_set *set, struct err_detail *detail)
{
    set->schemas = mem_new((set->message_count + 1) * sizeof *set->schemas);
    for (size_t i = 0; i < set->message_count; i++) {
        const Google__Protobuf__MessageOptions *options = set->protos[i]->options;
        uint64_t id = option_number(options ? &options->base : NULL, OPTION_SCHEMA_ID);
        int rc;

        if (id == 0)
            continue;
        if (id > UINT16_MAX || schema_by_id(set, (uint16_t)id))
            return err_set(detail, ERR_CORRUPT, "%s: schema_id %llu is taken or above 65535",
                           set->messages[i].name, (unsigned long long)id);
        rc = schema_make(set, i, (uint16_t)id, detail);
        if (rc)
            return rc;
    }
    qsort(set->schemas, set->schema_count, sizeof *set->schemas, compare_ids);
    return 0;
}

/* ---- the set ---- */

static size_t count_messages(message_proto *const *protos, size_t count)
{
    size_t total = count;

    for (size_t i = 0; i < count; i++)
        total += count_messages(protos[i]->nested_type, protos[i]->n_nested_type);
    return total;
}

static void list_messages(struct schema_set *set, const char *scope, message_proto *const *protos,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen(scope) + strlen(protos[i]->name) + sizeof ".";
        char *name = mem_new(bytes);

        snprintf(name, bytes, "%s%s%s", scope, scope[0] ? "." : "", protos[i]->name);
        set->messages[set->message_count].name = name;
        set->protos[set->message_count++] = protos[i];
        list_messages(set, name, protos[i]->nested_type, protos[i]->n_nested_type);
    }
}

static int set_make_messages(struct schema_set *set, struct err_detail *detail)
{
    const Google__Protobuf__FileDescriptorSet *files = set->files;
    size_t count = 0;

    for (size_t i = 0; i < files->n_file; i++)
        count += count_messages(files->file[i]->message_type, files->file[i]->n_message_type);
    set->messages = mem_new((count + 1) * sizeof *set->messages);
    set->protos = mem_new((count + 1) * sizeof *set->protos);
    for (size_t i = 0; i < files->n_file; i++)
        list_messages(set, files->file[i]->package ? files->file[i]->package : "",
                      files->file[i]->message_type, files->file[i]->n_message_type);
    for (size_t i = 0; i < set->message_count; i++) {
        int rc = message_make_fields(set, &set->messages[i], set->protos[i], detail);

        if (rc)
            return rc;
    }
    return 0;
}

int schema_set_load_bytes(struct schema_set **out, struct str bytes, struct err_detail *detail)
{
    struct schema_set *set = MEM_NEW(struct schema_set);
    int rc;

    set->files =
        google__protobuf__file_descriptor_set__unpack(NULL, bytes.len, (const uint8_t *)bytes.at);
    if (!set->files) {
        rc = err_set(detail, ERR_CORRUPT, "the message descriptions cannot be read");
        goto out;
    }
    rc = set_make_messages(set, detail);
    if (rc)
        goto out;
    rc = set_make_schemas(set, detail);
out:
    if (rc) {
        schema_set_free(set);
        return rc;
    }
    *out = set;
    return 0;
}

int schema_set_load(struct schema_set **out, struct err_detail *detail)
{
    return schema_set_load_bytes(out, str_of_bytes(embedded_schema_set, embedded_schema_set_bytes),
                                 detail);
}

static void message_fini(struct message *m)
{
    for (size_t i = 0; i < m->field_count; i++)
        for (size_t k = 0; k < WHY_COUNT; k++)
            mem_free(m->more[i].why[k]);
    mem_free(m->more);
    mem_free(m->fields);
    mem_free(m->name);
}

void schema_set_free(struct schema_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->schema_count; i++)
        mem_free(set->schemas[i]);
    mem_free(set->schemas);
    for (size_t i = 0; i < set->message_count; i++)
        message_fini(&set->messages[i]);
    mem_free(set->messages);
    mem_free(set->protos);
    for (size_t i = 0; i < set->column_option_count; i++)
        freehub__v1__column__free_unpacked(set->column_options[i], NULL);
    mem_free(set->column_options);
    if (set->files)
        google__protobuf__file_descriptor_set__free_unpacked(set->files, NULL);
    mem_free(set);
}

/* ---- questions ---- */

const struct schema *schema_by_name(const struct schema_set *set, struct str full_name)
{
    for (size_t i = 0; i < set->schema_count; i++)
        if (str_equal(str_from(set->schemas[i]->name), full_name))
            return set->schemas[i];
    return NULL;
}

const struct schema *schema_by_id(const struct schema_set *set, uint16_t id)
{
    for (size_t i = 0; i < set->schema_count; i++)
        if (set->schemas[i]->id == id)
            return set->schemas[i];
    return NULL;
}

const struct schema *const *schema_all(const struct schema_set *set, size_t *count)
{
    *count = set->schema_count;
    return (const struct schema *const *)set->schemas;
}

uint16_t schema_id(const struct schema *schema)
{
    return schema->id;
}

const char *schema_name(const struct schema *schema)
{
    return schema->name;
}

bool schema_is_columnar(const struct schema *schema)
{
    return schema->is_columnar;
}

const struct schema_column *schema_columns(const struct schema *schema, size_t *count)
{
    *count = schema->column_count;
    return schema->columns;
}
