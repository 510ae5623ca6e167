#include "broker/codec/property.h"

#include "broker/codec/topic.h"

#define IN(type) (1u << MQTT_##type)

/* What property.def says, by index. */
static const struct row {
    const char *text;
    uint32_t packets; /* bits: enum mqtt_type, MQTT_WILL */
    uint16_t offset;  /* of the member in struct mqtt_properties */
    uint8_t id;
    uint8_t kind; /* enum property_kind */
} rows[MQTT_PROP_COUNT] = {
#define MQTT_PROPERTY(name, member, id, kind, packets, text)                                       \
    [MQTT_PROP_##name] = {(text), (packets), offsetof(struct mqtt_properties, member), (id),       \
                          PROPERTY_##kind},
#include "broker/codec/property.def"
#undef MQTT_PROPERTY
};

_Static_assert(MQTT_PROP_COUNT <= 32, "`present` is a word of 32 bits");

enum { ID_MAX = 0x2A, NONE = 0 };

/* Index + 1 of an identifier, so that an empty cell is NONE. */
static const uint8_t by_id[ID_MAX + 1] = {
#define MQTT_PROPERTY(name, member, id, kind, packets, text) [id] = MQTT_PROP_##name + 1,
#include "broker/codec/property.def"
#undef MQTT_PROPERTY
};

static bool kind_is_number(uint8_t kind)
{
    return kind <= PROPERTY_VARINT_MIN1;
}

/* Read an identifier; they are all below 0x80, so one byte is the whole Variable Byte Integer. */
static bool read_which(struct reader *r, enum mqtt_property *which)
{
    uint8_t id = read_u8(r);

    if (id > ID_MAX || by_id[id] == NONE) {
        reader_fail(r, MQTT_MALFORMED);
        return false;
    }
    *which = (enum mqtt_property)(by_id[id] - 1);
    return true;
}

static uint32_t read_number(struct reader *r, uint8_t kind)
{
    switch (kind) {
    case PROPERTY_FLAG:
        return read_u8(r);
    case PROPERTY_U16:
    case PROPERTY_U16_MIN1:
    case PROPERTY_ALIAS:
        return read_u16(r);
    case PROPERTY_U32:
    case PROPERTY_U32_MIN1:
        return read_u32(r);
    default:
        return read_varint(r);
    }
}

static void check_number(struct reader *r, uint8_t kind, uint32_t value)
{
    if (kind == PROPERTY_FLAG && value > 1)
        reader_fail(r, MQTT_PROTOCOL_ERROR);
    else if (kind == PROPERTY_ALIAS && value == 0) /* [MQTT-3.3.2-8] */
        reader_fail(r, MQTT_TOPIC_ALIAS_INVALID);
    else if ((kind == PROPERTY_U16_MIN1 || kind == PROPERTY_U32_MIN1 ||
              kind == PROPERTY_VARINT_MIN1) &&
             value == 0)
        reader_fail(r, MQTT_PROTOCOL_ERROR);
}

static void store_number(struct mqtt_properties *out, const struct row *row, uint32_t value)
{
    uint8_t *member = (uint8_t *)out + row->offset;

    if (row->kind == PROPERTY_FLAG)
        *member = (uint8_t)value;
    else if (row->kind <= PROPERTY_ALIAS)
        store_u16(member, (uint16_t)value);
    else
        store_u32(member, value);
}

static uint32_t load_number(const struct mqtt_properties *p, const struct row *row)
{
    const uint8_t *member = (const uint8_t *)p + row->offset;

    if (row->kind == PROPERTY_FLAG)
        return *member;
    return row->kind <= PROPERTY_ALIAS ? load_u16(member) : load_u32(member);
}

static struct str read_text(struct reader *r, uint8_t kind)
{
    struct str text;

    if (kind == PROPERTY_BINARY)
        return read_binary(r);
    text = read_utf8(r);
    if (kind == PROPERTY_TOPIC && !r->fault) {
        enum mqtt_reason why = topic_name_check(text);

        if (why)
            reader_fail(r, why);
    }
    return text;
}

/* What may stand more than once. */
static bool may_repeat(enum mqtt_property which, unsigned packet)
{
    return which == MQTT_PROP_USER ||
           (which == MQTT_PROP_SUBSCRIPTION_ID && packet == MQTT_PUBLISH);
}

static void read_entry(struct reader *r, unsigned packet, struct mqtt_properties *out)
{
    enum mqtt_property which;
    const struct row *row;
    bool again;

    if (!read_which(r, &which))
        return;
    row = &rows[which];
    if (!(row->packets >> packet & 1)) {
        reader_fail(r, MQTT_MALFORMED);
        return;
    }
    again = mqtt_has(out, which);
    if (again && !may_repeat(which, packet)) {
        reader_fail(r, MQTT_PROTOCOL_ERROR);
        return;
    }
    out->present |= 1u << which;

    if (kind_is_number(row->kind)) {
        uint32_t value = read_number(r, row->kind);

        check_number(r, row->kind, value);
        if (!again)
            store_number(out, row, value);
    } else if (row->kind == PROPERTY_PAIR) {
        (void)read_utf8(r); /* [MQTT-1.5.7-1] */
        (void)read_utf8(r);
        if (++out->user_count > MQTT_USER_PROPERTIES_MAX)
            reader_fail(r, MQTT_QUOTA_EXCEEDED);
    } else {
        struct str text = read_text(r, row->kind);

        memcpy((uint8_t *)out + row->offset, &text, sizeof text);
    }
}

void properties_read_list(struct reader *r, unsigned packet, struct mqtt_properties *out)
{
    struct str list = read_bytes(r, read_varint(r));
    struct reader in = reader_of(r->version, list);

    properties_clear(out);
    out->raw = list;
    while (reader_left(&in) > 0)
        read_entry(&in, packet, out);
    if (!in.fault && mqtt_has(out, MQTT_PROP_AUTH_DATA) && !mqtt_has(out, MQTT_PROP_AUTH_METHOD))
        in.fault = MQTT_PROTOCOL_ERROR;
    if (in.fault)
        reader_fail(r, in.fault);
}

bool property_next(struct str *rest, struct property *out)
{
    struct reader in = reader_of(MQTT_V5, *rest);
    uint8_t kind;

    *out = (struct property){MQTT_PROP_COUNT, 0, {NULL, 0}, {NULL, 0}};
    if (rest->len == 0 || !read_which(&in, &out->which))
        return false;
    kind = rows[out->which].kind;
    if (kind_is_number(kind)) {
        out->number = read_number(&in, kind);
    } else {
        if (kind == PROPERTY_PAIR)
            out->name = read_binary(&in);
        out->value = read_binary(&in);
    }
    if (in.fault)
        return false;
    *rest = read_rest(&in);
    return true;
}

const char *property_text(enum mqtt_property which)
{
    return (unsigned)which < MQTT_PROP_COUNT ? rows[which].text : "unknown";
}

static void emit_number(struct emit *e, const struct row *row, uint32_t value)
{
    emit_u8(e, row->id);
    switch (row->kind) {
    case PROPERTY_FLAG:
        emit_u8(e, value);
        break;
    case PROPERTY_U16:
    case PROPERTY_U16_MIN1:
    case PROPERTY_ALIAS:
        emit_u16(e, (uint16_t)value);
        break;
    case PROPERTY_U32:
    case PROPERTY_U32_MIN1:
        emit_u32(e, value);
        break;
    default:
        emit_varint(e, value);
    }
}

void property_put_user(struct emit *e, struct str name, struct str value)
{
    emit_u8(e, rows[MQTT_PROP_USER].id);
    emit_str(e, name);
    emit_str(e, value);
}

static void emit_list(struct emit *e, const struct mqtt_properties *p)
{
    bool first_id = mqtt_has(p, MQTT_PROP_SUBSCRIPTION_ID);
    struct str rest = p->raw;
    struct property entry;

    for (unsigned i = 0; i < MQTT_PROP_COUNT; i++) {
        if (i == MQTT_PROP_USER || !mqtt_has(p, (enum mqtt_property)i))
            continue;
        if (kind_is_number(rows[i].kind)) {
            emit_number(e, &rows[i], load_number(p, &rows[i]));
        } else {
            struct str text;

            memcpy(&text, (const uint8_t *)p + rows[i].offset, sizeof text);
            emit_u8(e, rows[i].id);
            emit_str(e, text);
        }
    }
    while (property_next(&rest, &entry)) {
        if (entry.which == MQTT_PROP_USER) {
            property_put_user(e, entry.name, entry.value);
        } else if (entry.which == MQTT_PROP_SUBSCRIPTION_ID) {
            if (!first_id) /* the member has said the first one */
                emit_number(e, &rows[entry.which], entry.number);
            first_id = false;
        }
    }
    if (rest.len > 0)
        e->fault = true;
}

void properties_emit(struct emit *e, unsigned packet, const struct mqtt_properties *p)
{
    struct emit measure = emit_nowhere(e->version);

    if (e->version != MQTT_V5)
        return;
    for (unsigned i = 0; i < MQTT_PROP_COUNT; i++)
        if (mqtt_has(p, (enum mqtt_property)i) && !(rows[i].packets >> packet & 1))
            e->fault = true;
    if (properties_empty(p)) {
        emit_u8(e, 0); /* [MQTT-2.2.2-1] */
        return;
    }
    emit_list(&measure, p);
    e->fault |= measure.fault;
    emit_varint(e, measure.len);
    emit_list(e, p);
}

bool properties_empty(const struct mqtt_properties *p)
{
    return p->present == 0 && p->raw.len == 0;
}

size_t properties_forward(struct str raw, uint8_t *to)
{
    struct str rest = raw;
    struct property entry;
    size_t len = 0;
    const char *from = rest.at;

    while (property_next(&rest, &entry)) {
        size_t entry_len = (size_t)(rest.at - from);

        if (entry.which != MQTT_PROP_TOPIC_ALIAS && entry.which != MQTT_PROP_SUBSCRIPTION_ID) {
            memcpy(to + len, from, entry_len);
            len += entry_len;
        }
        from = rest.at;
    }
    return len;
}
