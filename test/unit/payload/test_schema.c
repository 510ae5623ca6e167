#include <criterion/criterion.h>

#include <stdlib.h>

#include "freehub/v1/options.pb-c.h"
#include "google/protobuf/descriptor.pb-c.h"

#include "broker/payload/schema.h"

extern const uint8_t embedded_schema_set[];
extern const size_t embedded_schema_set_bytes;

static struct schema_set *set;

static void load(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(schema_set_load(&set, &detail), 0, "%s", detail.text);
}

static void unload(void)
{
    schema_set_free(set);
}

Test(schema, every_type_has_its_persistent_id, .init = load, .fini = unload)
{
    static const struct {
        uint16_t id;
        const char *name;
        bool columnar;
    } rows[] = {{1, "freehub.v1.Batch", true},
                {2, "freehub.v1.TripStart", false},
                {3, "freehub.v1.TripEnd", false},
                {4, "freehub.v1.Hello", false}};
    size_t count;

    schema_all(set, &count);
    cr_expect_eq(count, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct schema *s = schema_by_id(set, rows[i].id);

        cr_assert_not_null(s);
        cr_expect_str_eq(schema_name(s), rows[i].name);
        cr_expect_eq(schema_id(s), rows[i].id);
        cr_expect_eq(schema_is_columnar(s), rows[i].columnar);
        cr_expect_eq(schema_by_name(set, str_from(rows[i].name)), s);
        cr_expect_eq(schema_all(set, &count)[i], s, "listed by rising id");
    }
    cr_expect_null(schema_by_id(set, 0));
    cr_expect_null(schema_by_id(set, 999));
    cr_expect_null(schema_by_name(set, STR_LITERAL("freehub.v1.Running")), "it has no id");
}

Test(schema, batch_columns_are_in_field_order_with_name_unit_and_scale, .init = load,
     .fini = unload)
{
    static const struct {
        uint32_t field;
        const char *name, *unit;
        unsigned decimals;
        enum column_encoding encoding;
    } rows[] = {
        {11, "latitude_deg", "deg", 7, COLUMN_DELTA},
        {12, "longitude_deg", "deg", 7, COLUMN_DELTA},
        {13, "altitude_m", "m", 1, COLUMN_DELTA},
        {14, "gps_accuracy_m", "m", 1, COLUMN_PLAIN},
        {15, "speed_mps", "m/s", 2, COLUMN_DELTA},
        {16, "cadence_rpm", "1/min", 0, COLUMN_PLAIN},
        {17, "rider_power_w", "W", 0, COLUMN_DELTA},
        {18, "motor_power_w", "W", 0, COLUMN_DELTA},
        {19, "battery_current_a", "A", 3, COLUMN_DELTA},
        {20, "battery_voltage_v", "V", 2, COLUMN_DELTA},
        {21, "battery_soc_pct", "%", 1, COLUMN_DELTA},
        {22, "odometer_m", "m", 1, COLUMN_DELTA},
        {23, "assist_level", "", 0, COLUMN_RUNS},
        {24, "motor_temperature_c", "Cel", 0, COLUMN_DELTA},
        {25, "battery_temperature_c", "Cel", 0, COLUMN_DELTA},
        {26, "flags", "", 0, COLUMN_RUNS},
        {27, "ambient_temperature_c", "Cel", 1, COLUMN_DELTA},
    };
    size_t count;
    const struct schema_column *columns = schema_columns(schema_by_id(set, 1), &count);

    cr_assert_eq(count, ARRAY_LEN(rows));
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(columns[i].field, rows[i].field);
        cr_expect_str_eq(columns[i].name, rows[i].name);
        cr_expect_str_eq(columns[i].unit, rows[i].unit);
        cr_expect_eq(columns[i].decimals, rows[i].decimals, "%s", rows[i].name);
        cr_expect_eq(columns[i].encoding, rows[i].encoding, "%s", rows[i].name);
        cr_expect(columns[i].meaning[0] != '\0', "%s", rows[i].name);
        cr_expect_eq(columns[i].has_none, rows[i].field == 14, "%s", rows[i].name);
    }
    cr_expect_eq(columns[0].min, -900000000);
    cr_expect_eq(columns[0].max, 900000000);
}

Test(schema, numbers_of_an_event_are_its_columns, .init = load, .fini = unload)
{
    size_t count;
    const struct schema_column *columns = schema_columns(schema_by_id(set, 2), &count);

    cr_assert_eq(count, 9); /* rider_id and tz are text */
    cr_expect_str_eq(columns[0].name, "boot_id");
    cr_expect_str_eq(columns[8].name, "longitude_deg");
    cr_expect(columns[8].has_none);
}

Test(schema, a_damaged_set_is_refused)
{
    struct err_detail detail = {""};
    struct schema_set *broken = NULL;

    cr_expect_eq(schema_set_load_bytes(&broken, STR_LITERAL("\x0a\x7f"), &detail), ERR_CORRUPT);
    cr_expect(detail.text[0] != '\0');
    cr_expect_null(broken);
}

/* ---- sets that make no sense ---- */

typedef Google__Protobuf__FileDescriptorSet file_set;
typedef Google__Protobuf__FieldDescriptorProto field_proto;

static Google__Protobuf__DescriptorProto *message_of(file_set *files, const char *name)
{
    for (size_t i = 0; i < files->n_file; i++)
        for (size_t k = 0; k < files->file[i]->n_message_type; k++)
            if (strcmp(files->file[i]->message_type[k]->name, name) == 0)
                return files->file[i]->message_type[k];
    cr_assert_fail("no message %s", name);
    return NULL;
}

static field_proto *field_of(file_set *files, const char *message, const char *name)
{
    Google__Protobuf__DescriptorProto *m = message_of(files, message);

    for (size_t i = 0; i < m->n_field; i++)
        if (strcmp(m->field[i]->name, name) == 0)
            return m->field[i];
    cr_assert_fail("no field %s", name);
    return NULL;
}

static ProtobufCMessageUnknownField *option_of(ProtobufCMessage *options, uint32_t tag)
{
    for (unsigned i = 0; i < options->n_unknown_fields; i++)
        if (options->unknown_fields[i].tag == tag)
            return &options->unknown_fields[i];
    cr_assert_fail("no option %u", tag);
    return NULL;
}

#define TYPE(name) GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_##name

static void column_of_floats(file_set *files)
{
    field_of(files, "Batch", "d_lat_e7")->type = TYPE(FLOAT);
}
static void column_of_text(file_set *files)
{
    field_of(files, "TripStart", "soc_pm")->type = TYPE(STRING);
}
static void role_of_another_type(file_set *files)
{
    field_of(files, "Batch", "boot_id")->type = TYPE(SINT32);
}
static void role_twice(file_set *files)
{
    option_of(&field_of(files, "Batch", "trip_seq")->options->base, 50001)->data[0] = 1;
}
static void role_unknown(file_set *files)
{
    option_of(&field_of(files, "Batch", "trip_seq")->options->base, 50001)->data[0] = 99;
}
static void no_time(file_set *files)
{
    option_of(&field_of(files, "Batch", "d_ms")->options->base, 50001)->data[0] = 0;
}
static void missing_of_another_shape(file_set *files)
{
    field_of(files, "Missing", "runs")->type = TYPE(SINT64);
}
static void id_twice(file_set *files)
{
    option_of(&message_of(files, "Hello")->options->base, 50000)->data[0] = 1;
}
static void unknown_type(file_set *files)
{
    field_of(files, "Hello", "running")->type_name[3] = 'X';
}
static void group(file_set *files)
{
    field_of(files, "Hello", "running")->type = TYPE(GROUP);
}
static void broken_column(file_set *files)
{
    option_of(&field_of(files, "Batch", "d_lat_e7")->options->base, 50000)->data[1] = 0x07;
}

/* Give a field a column of these bounds and decimals. */
static void set_column(file_set *files, const char *message, const char *name, int64_t min,
                       int64_t max, uint32_t decimals)
{
    ProtobufCMessageUnknownField *option =
        option_of(&field_of(files, message, name)->options->base, 50000);
    Freehub__V1__Column column;
    size_t len;

    freehub__v1__column__init(&column);
    column.min = min;
    column.max = max;
    column.decimals = decimals;
    len = freehub__v1__column__get_packed_size(&column);
    cr_assert_lt(len, 128);
    free(option->data);
    option->data = malloc(len + 1);
    option->data[0] = (uint8_t)len;
    freehub__v1__column__pack(&column, option->data + 1);
    option->len = len + 1;
}
static void bounds_crossed(file_set *files)
{
    set_column(files, "Batch", "cadence", 5, 4, 0);
}
static void bounds_beyond_the_type(file_set *files)
{
    set_column(files, "Batch", "cadence", -1, 4, 0);
}
static void too_many_decimals(file_set *files)
{
    set_column(files, "Batch", "cadence", 0, 4, 19);
}
static void bounds_without_zero(file_set *files)
{
    set_column(files, "TripStart", "soc_pm", 1, 4, 0);
}

Test(schema, a_set_that_makes_no_sense_is_refused_with_the_field_that_is_wrong)
{
    static const struct {
        void (*breaks)(file_set *files);
        int rc;
        const char *says;
    } rows[] = {
        {column_of_floats, ERR_UNSUPPORTED, "freehub.v1.Batch.d_lat_e7"},
        {column_of_text, ERR_UNSUPPORTED, "freehub.v1.TripStart.soc_pm"},
        {role_of_another_type, ERR_CORRUPT, "freehub.v1.Batch.boot_id"},
        {role_twice, ERR_CORRUPT, "freehub.v1.Batch.trip_seq"},
        {role_unknown, ERR_CORRUPT, "freehub.v1.Batch.trip_seq"},
        {no_time, ERR_CORRUPT, "TIME_DELTA_MS"},
        {missing_of_another_shape, ERR_CORRUPT, "freehub.v1.Batch.missing"},
        {id_twice, ERR_CORRUPT, "freehub.v1.Hello"},
        {unknown_type, ERR_CORRUPT, "freehub.v1.Hello.running"},
        {group, ERR_UNSUPPORTED, "freehub.v1.Hello.running"},
        {broken_column, ERR_CORRUPT, "freehub.v1.Batch.d_lat_e7"},
        {bounds_crossed, ERR_CORRUPT, "freehub.v1.Batch.cadence"},
        {bounds_beyond_the_type, ERR_CORRUPT, "freehub.v1.Batch.cadence"},
        {too_many_decimals, ERR_CORRUPT, "freehub.v1.Batch.cadence"},
        {bounds_without_zero, ERR_CORRUPT, "freehub.v1.TripStart.soc_pm"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        file_set *files = google__protobuf__file_descriptor_set__unpack(
            NULL, embedded_schema_set_bytes, embedded_schema_set);
        struct schema_set *broken = NULL;
        struct err_detail detail = {""};
        uint8_t *bytes;
        size_t len;

        cr_assert_not_null(files);
        rows[i].breaks(files);
        bytes = malloc(google__protobuf__file_descriptor_set__get_packed_size(files));
        len = google__protobuf__file_descriptor_set__pack(files, bytes);
        cr_expect_eq(schema_set_load_bytes(&broken, str_of_bytes(bytes, len), &detail), rows[i].rc,
                     "row %zu", i);
        cr_expect(strstr(detail.text, rows[i].says), "row %zu: \"%s\"", i, detail.text);
        cr_expect_null(broken, "row %zu", i);
        google__protobuf__file_descriptor_set__free_unpacked(files, NULL);
        free(bytes);
    }
}
