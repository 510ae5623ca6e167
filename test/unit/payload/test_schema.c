#include <criterion/criterion.h>

#include "broker/payload/schema.h"

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
