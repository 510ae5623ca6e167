#include <criterion/criterion.h>

#include <stdio.h>

#include "test/unit/payload/payload_reference.h"

static struct schema_set *set;
static const struct schema *batch;

static void load(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(schema_set_load(&set, &detail), 0, "%s", detail.text);
    batch = schema_by_name(set, STR_LITERAL("freehub.v1.Batch"));
    cr_assert_not_null(batch);
}

static void unload(void)
{
    schema_set_free(set);
}

/* The payload's verdict: NULL when valid. */
static const char *verdict(const struct schema *schema, const void *bytes, size_t len)
{
    struct payload_facts facts;
    const char *why = "no reason given";

    return payload_validate(schema, str_of_bytes(bytes, len), &facts, &why) ? NULL : why;
}

static struct str packed(const Freehub__V1__Batch *b, uint8_t *room, size_t room_bytes)
{
    cr_assert_leq(freehub__v1__batch__get_packed_size(b), room_bytes);
    return str_of_bytes(room, freehub__v1__batch__pack(b, room));
}

/* ---- a sound batch ---- */

#define FIELD(b, name, array) ((b)->n_##name = ARRAY_LEN(array), (b)->name = (array))

/* Three samples with every column, one value absent, one without a fix. */
struct sound {
    Freehub__V1__Batch b;
    Freehub__V1__Missing missing, *missing_list[1];
    uint32_t d_ms[3], acc[3], cadence[3], assist[4], flags[2], runs[2];
    int32_t lat[3], lon[3], alt[3], speed[3], rider[2], motor[3], ma[3], cv[3], soc[3], odo[3];
    int32_t temp_motor[3], temp_batt[3], ambient[3];
};

static void sound_init(struct sound *s)
{
    *s = (struct sound){
        .d_ms = {0, 1000, 1500},
        .acc = {35, 0, 0},
        .cadence = {80, 0, 1000},
        .assist = {2, 1, 4, 2},
        .flags = {4294967295u, 3},
        .runs = {1, 1},
        .lat = {482000000, -15, 20},
        .lon = {-1800000000, 1, 0},
        .alt = {5190, -3, 8},
        .speed = {640, -640, 1},
        .rider = {100, -100},
        .motor = {250, -500, 0},
        .ma = {-6500, 0, 1},
        .cv = {3650, -1, -1},
        .soc = {1000, -1, 0},
        .odo = {2147483647, -1, 1},
        .temp_motor = {-100, 600, 0},
        .temp_batt = {25, 0, 0},
        .ambient = {-1000, 1, 0},
    };
    freehub__v1__batch__init(&s->b);
    freehub__v1__missing__init(&s->missing);
    s->b.boot_id = 7;
    s->b.trip_seq = 3;
    s->b.first_seq = 100;
    s->b.base_ms = 1790000000000;
    s->b.time_ok = true;
    FIELD(&s->b, d_ms, s->d_ms);
    FIELD(&s->b, d_lat_e7, s->lat);
    FIELD(&s->b, d_lon_e7, s->lon);
    FIELD(&s->b, d_alt_dm, s->alt);
    FIELD(&s->b, acc_dm, s->acc);
    FIELD(&s->b, d_speed_cms, s->speed);
    FIELD(&s->b, cadence, s->cadence);
    FIELD(&s->b, d_rider_w, s->rider);
    FIELD(&s->b, d_motor_w, s->motor);
    FIELD(&s->b, d_batt_ma, s->ma);
    FIELD(&s->b, d_batt_cv, s->cv);
    FIELD(&s->b, d_soc_pm, s->soc);
    FIELD(&s->b, d_odo_dm, s->odo);
    FIELD(&s->b, assist, s->assist);
    FIELD(&s->b, d_temp_motor_c, s->temp_motor);
    FIELD(&s->b, d_temp_batt_c, s->temp_batt);
    FIELD(&s->b, flags, s->flags);
    FIELD(&s->b, d_temp_ambient_dc, s->ambient);
    s->missing.column = 17;
    FIELD(&s->missing, runs, s->runs);
    s->missing_list[0] = &s->missing;
    FIELD(&s->b, missing, s->missing_list);
}

Test(payload, a_sound_batch_states_its_facts, .init = load, .fini = unload)
{
    struct payload_facts facts;
    const char *why = "";
    struct sound s;
    uint8_t room[512];

    sound_init(&s);
    cr_assert(payload_validate(batch, packed(&s.b, room, sizeof room), &facts, &why), "%s", why);
    cr_expect_eq(facts.boot, 7);
    cr_expect_eq(facts.trip, 3);
    cr_expect_eq(facts.first_sample, 100);
    cr_expect_eq(facts.sample_count, 3);
    cr_expect_eq(facts.first_ms, 1790000000000);
    cr_expect_eq(facts.last_ms, 1790000002500);
    cr_expect(facts.time_ok);
}

Test(payload, rows_and_last_values_are_those_of_the_reference, .init = load, .fini = unload)
{
    struct reference expected;
    const char *difference;
    struct sound s;
    uint8_t room[512];
    struct str bytes;

    sound_init(&s);
    bytes = packed(&s.b, room, sizeof room);
    cr_assert(reference_expand(&s.b, &expected));
    difference = reference_difference(batch, bytes, &expected);
    cr_expect_null(difference, "%s", difference);
    free(expected.samples);
}

/* ---- rules of a batch ---- */

static void no_samples(struct sound *s)
{
    s->b.n_d_ms = 0;
}
static void first_difference(struct sound *s)
{
    s->d_ms[0] = 1;
}
static void column_short(struct sound *s)
{
    s->b.n_d_lat_e7 = 2;
}
static void column_long(struct sound *s)
{
    s->b.n_d_ms = 2;
    s->b.n_missing = 0;
    s->b.n_d_lon_e7 = 2;
    s->b.n_d_lat_e7 = 3;
}
static void missing_not_left_out(struct sound *s)
{
    s->b.n_missing = 0;
}
static void bounds_high(struct sound *s)
{
    s->lat[1] = 900000000 - s->lat[0] + 1;
}
static void bounds_low(struct sound *s)
{
    s->lon[0] = -1800000001;
}
static void bounds_plain(struct sound *s)
{
    s->cadence[2] = 1001;
}
static void bounds_runs(struct sound *s)
{
    s->assist[0] = 256;
}
static void sum_leaves_bounds_on_the_way(struct sound *s)
{
    s->speed[1] = -641;
    s->speed[2] = 2;
}
static void run_count_zero(struct sound *s)
{
    s->assist[1] = 0;
    s->assist[3] = 3;
}
static void run_half(struct sound *s)
{
    s->b.n_assist = 3;
}
static void run_total_low(struct sound *s)
{
    s->assist[3] = 1;
}
static void run_total_high(struct sound *s)
{
    s->flags[1] = 4;
}
static void run_total_wraps(struct sound *s)
{
    s->assist[1] = 4294967295u;
    s->assist[3] = 4;
}
static void base_time_high(struct sound *s)
{
    s->b.base_ms = 253402300800000;
}
static void last_time_high(struct sound *s)
{
    s->b.base_ms = 253402300799999;
}
static void base_time_negative(struct sound *s)
{
    s->b.base_ms = UINT64_MAX;
}
static void sample_number_wraps(struct sound *s)
{
    s->b.first_seq = 4294967294u;
}
static void missing_unknown_field(struct sound *s)
{
    s->missing.column = 99;
}
static void missing_names_time(struct sound *s)
{
    s->missing.column = 10;
}
static void missing_names_nothing(struct sound *s)
{
    s->missing.column = 0;
}
static void missing_column_not_there(struct sound *s)
{
    s->b.n_d_rider_w = 0;
}
static void missing_no_runs(struct sound *s)
{
    s->missing.n_runs = 0;
}
static void missing_zero_run(struct sound *s)
{
    s->runs[1] = 0;
}
static void missing_sum(struct sound *s)
{
    s->runs[0] = 3;
}
static void missing_sum_wraps(struct sound *s)
{
    s->runs[0] = 4294967295u;
    s->runs[1] = 2;
}
static void missing_all(struct sound *s)
{
    s->runs[0] = 0;
    s->runs[1] = 3;
}
static void missing_twice(struct sound *s)
{
    static Freehub__V1__Missing *both[2];

    both[0] = both[1] = &s->missing;
    FIELD(&s->b, missing, both);
}

Test(payload, each_rule_of_a_batch_is_enforced_and_named, .init = load, .fini = unload)
{
    static const struct {
        const char *rule;
        void (*breaks)(struct sound *s);
        const char *why; /* its start */
    } rows[] = {
        {"at least one sample", no_samples, "d_ms: no samples"},
        {"the first time difference is 0", first_difference, "d_ms: first"},
        {"a column is not shorter than the time", column_short, "d_lat_e7: length"},
        {"nor longer", column_long, "d_lat_e7: length"},
        {"absent values are listed", missing_not_left_out, "d_rider_w: length"},
        {"a sum stays below its maximum", bounds_high, "d_lat_e7: value out"},
        {"and above its minimum", bounds_low, "d_lon_e7: value out"},
        {"also one that comes back", sum_leaves_bounds_on_the_way, "d_speed_cms: value out"},
        {"a plain value keeps its bounds", bounds_plain, "cadence: value out"},
        {"a run's value keeps its bounds", bounds_runs, "assist: value out"},
        {"a run has at least one sample", run_count_zero, "assist: a run with count 0"},
        {"a run has a count", run_half, "assist: a run without"},
        {"runs cover all samples", run_total_low, "assist: length"},
        {"and no more", run_total_high, "flags: length"},
        {"their sum does not wrap", run_total_wraps, "assist: length"},
        {"time ends with the year 9999", base_time_high, "base_ms: value out"},
        {"also for the last sample", last_time_high, "d_ms: time of the last"},
        {"time does not wrap", base_time_negative, "base_ms: value out"},
        {"sample numbers fit in 32 bits", sample_number_wraps, "d_ms: number of the last"},
        {"missing names a known field", missing_unknown_field, "missing: names a field"},
        {"missing names a column", missing_names_time, "missing: names a field"},
        {"missing names something", missing_names_nothing, "missing: names a field"},
        {"missing names a column that is there", missing_column_not_there, "missing: names a col"},
        {"missing has runs", missing_no_runs, "missing: an entry without runs"},
        {"only the first run may be 0", missing_zero_run, "missing: a run of 0"},
        {"runs do not pass the last sample", missing_sum, "missing: runs add up"},
        {"their sum does not wrap", missing_sum_wraps, "missing: runs add up"},
        {"an empty column is left out", missing_all, "missing: leaves a column"},
        {"a column is listed once", missing_twice, "missing: names a column twice"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct reference expected;
        uint8_t room[512];
        const char *why;
        struct sound s;
        struct str bytes;

        sound_init(&s);
        rows[i].breaks(&s);
        bytes = packed(&s.b, room, sizeof room);
        why = verdict(batch, bytes.at, bytes.len);
        cr_expect_not_null(why, "%s", rows[i].rule);
        cr_expect(why && strncmp(why, rows[i].why, strlen(rows[i].why)) == 0, "%s: \"%s\"",
                  rows[i].rule, why ? why : "accepted");
        cr_expect(!reference_expand(&s.b, &expected), "%s: the reference accepts it", rows[i].rule);
    }
}

/* ---- the wire ---- */

/* d_ms of one and of two samples, to begin a batch with. */
#define ONE "\x52\x01\x00"
#define TWO "\x52\x02\x00\x05"

struct wire_row {
    const char *rule;
    struct str bytes;
    const char *why; /* its start; NULL: valid */
};

#define WIRE(rule, bytes, why)                                                                     \
    {                                                                                              \
        (rule), {(bytes), sizeof(bytes) - 1}, (why)                                                \
    }

static void expect_rows(const struct schema *schema, const struct wire_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *exact = malloc(rows[i].bytes.len ? rows[i].bytes.len : 1); /* for AddressSanitizer */
        const char *why;

        memcpy(exact, rows[i].bytes.at, rows[i].bytes.len);
        why = verdict(schema, exact, rows[i].bytes.len);
        if (!rows[i].why)
            cr_expect_null(why, "%s: %s", rows[i].rule, why);
        else
            cr_expect(why && strncmp(why, rows[i].why, strlen(rows[i].why)) == 0, "%s: \"%s\"",
                      rows[i].rule, why ? why : "accepted");
        free(exact);
    }
}

Test(payload, wire_bytes_are_bounded_and_typed, .init = load, .fini = unload)
{
    static const struct wire_row rows[] = {
        WIRE("one sample without columns", ONE, NULL),
        WIRE("nothing at all", "", "d_ms: no samples"),
        WIRE("a tag without value", ONE "\x08", "boot_id: cut short"),
        WIRE("a tag that does not end", ONE "\x88", "the payload has a broken tag"),
        WIRE("a tag of six bytes", ONE "\x88\x80\x80\x80\x80\x00\x01", "the payload has a broken"),
        WIRE("field number 0", ONE "\x00\x01", "the payload has a broken tag"),
        WIRE("an over-long varint of ten bytes", ONE "\x08\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00",
             NULL),
        WIRE("a varint of eleven bytes", ONE "\x08\x81\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00",
             "boot_id: cut short, or"),
        WIRE("a varint of 65 bits", ONE "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
             "boot_id: cut short, or"),
        WIRE("32 bits", ONE "\x08\xff\xff\xff\xff\x0f", NULL),
        WIRE("33 bits in a uint32", ONE "\x08\xff\xff\xff\xff\x1f", "boot_id: number too large"),
        WIRE("a uint32 as fixed32", ONE "\x0d\x01\x00\x00\x00", "boot_id: wrong wire type"),
        WIRE("a uint32 as bytes", ONE "\x0a\x01\x01", "boot_id: wrong wire type"),
        WIRE("a column as fixed32", ONE "\x5d\x01\x00\x00\x00", "d_lat_e7: wrong wire type"),
        WIRE("a column cut short", ONE "\x5a\x02\x01", "d_lat_e7: cut short"),
        WIRE("a value that its piece cuts", ONE "\x5a\x01\x80\x08\x01", "d_lat_e7: cut short, or"),
        WIRE("a value of 33 bits", ONE "\x5a\x05\x80\x80\x80\x80\x10", "d_lat_e7: number too"),
        WIRE("a length beyond the payload", ONE "\x5a\x7f\x01", "d_lat_e7: cut short"),
        WIRE("a huge length", ONE "\x5a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01",
             "d_lat_e7: cut short"),
        WIRE("any number is a bool", ONE "\x28\x80\x01", NULL),
        WIRE("unknown varint", ONE "\xc8\x3e\x05", NULL),
        WIRE("unknown fixed64", ONE "\xc9\x3e\x01\x02\x03\x04\x05\x06\x07\x08", NULL),
        WIRE("unknown bytes", ONE "\xca\x3e\x02\xff\xff", NULL),
        WIRE("unknown fixed32", ONE "\xcd\x3e\x01\x02\x03\x04", NULL),
        WIRE("unknown field cut short", ONE "\xcd\x3e\x01", "an unknown field is cut"),
        WIRE("unknown bytes cut short", ONE "\xca\x3e\x05\x01", "an unknown field is cut"),
        WIRE("a group", ONE "\xcb\x3e\xcc\x3e", "an unknown field is cut short or a group"),
        WIRE("wire type 7", ONE "\xcf\x3e\x01", "an unknown field is cut short or a group"),
        WIRE("the reserved field 6 is unknown", ONE "\x30\x05", NULL),
        WIRE("missing as a number", ONE "\xf0\x01\x01", "missing: wrong wire type"),
        WIRE("missing cut short", ONE "\xf2\x01\x05\x08", "missing: cut short"),
    };

    expect_rows(batch, rows, ARRAY_LEN(rows));
}

Test(payload, columns_in_pieces_and_out_of_order_are_one_column, .init = load, .fini = unload)
{
    static const struct wire_row rows[] = {
        WIRE("two packed pieces", TWO "\x5a\x01\x02\x5a\x01\x02", NULL),
        WIRE("one by one", TWO "\x58\x02\x58\x02", NULL),
        WIRE("packed and alone", TWO "\x5a\x01\x02\x58\x02", NULL),
        WIRE("an empty piece between", TWO "\x5a\x01\x02\x5a\x00\x5a\x01\x02", NULL),
        WIRE("an empty column is no column", TWO "\x5a\x00", NULL),
        WIRE("a column before the time", "\x5a\x02\x02\x02" TWO, NULL),
        WIRE("time in two pieces around it", ONE "\x5a\x02\x02\x02\x52\x01\x05", NULL),
        WIRE("an empty column before the time", "\xd2\x01\x00" ONE "\x58\x02", NULL),
        WIRE("too short before the time", "\x5a\x01\x02" TWO, "d_lat_e7: length"),
        WIRE("too long in pieces", ONE "\x5a\x01\x02\x5a\x01\x02", "d_lat_e7: length"),
        WIRE("the sum leaves its bounds in a later piece",
             TWO "\x5a\x05\x80\xa4\xa8\xda\x06\x5a\x01\x02", "d_lat_e7: value out"),
        WIRE("a run split between value and count", TWO "\xba\x01\x01\x03\xba\x01\x01\x02", NULL),
        WIRE("missing with runs one by one", TWO "\x5a\x01\x02\xf2\x01\x06\x08\x0b\x10\x01\x10\x01",
             NULL),
        WIRE("missing before its column", "\xf2\x01\x06\x08\x0b\x12\x02\x01\x01" TWO "\x5a\x01\x02",
             NULL),
        WIRE("missing with an unknown field",
             TWO "\x5a\x01\x02\xf2\x01\x08\x08\x0b\x12\x02\x01\x01\x18\x05", NULL),
        WIRE("the last column number counts",
             TWO "\x5a\x01\x02\xf2\x01\x08\x08\x63\x08\x0b\x12\x02\x01\x01", NULL),
    };

    expect_rows(batch, rows, ARRAY_LEN(rows));
}

Test(payload, any_spelling_gives_the_same_rows, .init = load, .fini = unload)
{
    static const struct wire_row rows[] = {
        WIRE("packed", TWO "\x5a\x02\x02\x04\xba\x01\x04\x03\x01\x04\x01", NULL),
        WIRE("in pieces", "\xba\x01\x01\x03\x5a\x01\x02" TWO "\xba\x01\x03\x01\x04\x01\x58\x04",
             NULL),
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct payload_rows walk;
        struct payload_row row;

        cr_assert(payload_rows_init(&walk, batch, rows[i].bytes), "%s", rows[i].rule);
        cr_assert(payload_rows_next(&walk, &row));
        cr_expect_eq(row.present, 1u | 1u << 12, "%s", rows[i].rule);
        cr_expect_eq(row.values[0], 1, "%s", rows[i].rule);
        cr_expect_eq(row.values[12], 3, "%s", rows[i].rule);
        cr_assert(payload_rows_next(&walk, &row));
        cr_expect_eq(row.time_ms, 5, "%s", rows[i].rule);
        cr_expect_eq(row.values[0], 3, "%s", rows[i].rule);
        cr_expect_eq(row.values[12], 4, "%s", rows[i].rule);
        cr_expect(!payload_rows_next(&walk, &row), "%s", rows[i].rule);
    }
}

Test(payload, a_singular_number_that_repeats_counts_once_with_its_last_value, .init = load,
     .fini = unload)
{
    struct payload_facts facts;
    const char *why = "";

    cr_assert(payload_validate(batch, STR_LITERAL(ONE "\x08\x01\x08\x07"), &facts, &why), "%s",
              why);
    cr_expect_eq(facts.boot, 7);
    /* Only the last one must be in bounds. */
    cr_expect(payload_validate(
        batch, STR_LITERAL(ONE "\x20\xff\xff\xff\xff\xff\xff\xff\x7f\x20\x05"), &facts, &why));
    cr_expect_eq(facts.first_ms, 5);
}

Test(payload, no_prefix_of_a_batch_passes_unseen, .init = load, .fini = unload)
{
    struct sound s;
    uint8_t room[512];
    struct str bytes;
    size_t valid = 0;

    sound_init(&s);
    bytes = packed(&s.b, room, sizeof room);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *exact = malloc(len ? len : 1);
        Freehub__V1__Batch *b;
        struct reference expected;

        memcpy(exact, bytes.at, len);
        b = freehub__v1__batch__unpack(NULL, len, exact);
        if (!verdict(batch, exact, len)) { /* the cut fell between two fields */
            valid++;
            cr_assert_not_null(b);
            cr_expect(reference_expand(b, &expected), "the first %zu bytes", len);
            free(expected.samples);
        } else if (b) {
            cr_expect(!reference_expand(b, &expected), "the first %zu bytes", len);
        }
        if (b)
            freehub__v1__batch__free_unpacked(b, NULL);
        free(exact);
    }
    cr_expect_eq(valid, 7, "d_ms, then six columns; the seventh needs Missing: %zu", valid);
}

Test(payload, a_batch_has_1024_samples_at_most, .init = load, .fini = unload)
{
    static uint32_t d_ms[SCHEMA_SAMPLES_MAX + 1];
    static int32_t lat[SCHEMA_SAMPLES_MAX + 1];
    static uint8_t room[8192];
    Freehub__V1__Batch b = FREEHUB__V1__BATCH__INIT;
    struct str bytes;
    const char *why;

    b.d_ms = d_ms;
    b.d_lat_e7 = lat;
    b.n_d_ms = b.n_d_lat_e7 = SCHEMA_SAMPLES_MAX;
    bytes = packed(&b, room, sizeof room);
    why = verdict(batch, bytes.at, bytes.len);
    cr_expect_null(why, "%s", why);
    b.n_d_ms = b.n_d_lat_e7 = SCHEMA_SAMPLES_MAX + 1;
    bytes = packed(&b, room, sizeof room);
    why = verdict(batch, bytes.at, bytes.len);
    cr_assert_not_null(why);
    cr_expect_str_eq(why, "d_ms: more samples than a batch may have");
}

/* ---- the newest values ---- */

Test(payload, the_newest_value_has_its_own_time, .init = load, .fini = unload)
{
    Freehub__V1__Batch b = FREEHUB__V1__BATCH__INIT;
    Freehub__V1__Missing tail = FREEHUB__V1__MISSING__INIT, *list[] = {&tail};
    uint32_t d_ms[] = {0, 10, 10, 10}, acc[] = {5, 7, 0, 0}, runs[] = {2, 2};
    int32_t speed[] = {100, 11}, alt[] = {1, 1, 1, 1};
    int64_t times_ms[SCHEMA_COLUMNS_MAX];
    struct payload_facts facts;
    struct payload_row row;
    uint8_t room[256];

    b.base_ms = 1000;
    FIELD(&b, d_ms, d_ms);
    FIELD(&b, acc_dm, acc);
    FIELD(&b, d_alt_dm, alt);
    FIELD(&b, d_speed_cms, speed);
    tail.column = 15;
    FIELD(&tail, runs, runs);
    FIELD(&b, missing, list);
    cr_assert(payload_last(batch, packed(&b, room, sizeof room), &facts, &row, times_ms));
    cr_expect_eq(row.present, 1u << 2 | 1u << 3 | 1u << 4);
    cr_expect_eq(row.values[2], 4);
    cr_expect_eq(times_ms[2], 1030);
    cr_expect_eq(row.values[3], 7, "without a fix there is no accuracy");
    cr_expect_eq(times_ms[3], 1010);
    cr_expect_eq(row.values[4], 111, "the last two are missing");
    cr_expect_eq(times_ms[4], 1010);
    acc[0] = acc[1] = 0;
    cr_assert(payload_last(batch, packed(&b, room, sizeof room), &facts, &row, times_ms));
    cr_expect_eq(row.present, 1u << 2 | 1u << 4, "never a fix: no value");
}

/* ---- types that are not columnar ---- */

Test(payload, an_event_is_one_row_of_its_numbers, .init = load, .fini = unload)
{
    const struct schema *schema = schema_by_id(set, 2);
    Freehub__V1__TripStart t;
    char zone[] = "Europe/Berlin";
    struct payload_rows rows;
    struct payload_row row;
    uint8_t room[128];
    size_t len;

    freehub__v1__trip_start__init(&t);
    t.boot_id = 7;
    t.trip_seq = 3;
    t.start_ms = 1790000000000;
    t.time_ok = true;
    t.lat_e7 = -5;
    t.tz = zone;
    len = freehub__v1__trip_start__pack(&t, room);
    cr_assert(payload_rows_init(&rows, schema, str_of_bytes(room, len)));
    cr_expect_eq(rows.facts.boot, 7);
    cr_expect_eq(rows.facts.trip, 3);
    cr_expect_eq(rows.facts.sample_count, 1);
    cr_expect_eq(rows.facts.last_ms, 1790000000000);
    cr_expect(rows.facts.time_ok);
    cr_assert(payload_rows_next(&rows, &row));
    cr_expect_eq(row.time_ms, 1790000000000);
    cr_expect_eq(row.present, 0xffu, "all but the longitude, whose 0 means none");
    cr_expect_eq(row.values[0], 7);
    cr_expect_eq(row.values[5], 0, "a number that was not sent is 0");
    cr_expect_eq(row.values[7], -5);
    cr_expect(!payload_rows_next(&rows, &row));
}

Test(payload, text_and_nested_messages_are_checked, .init = load, .fini = unload)
{
    static const struct wire_row trip_start[] = {
        WIRE("nothing is a trip with defaults", "", NULL),
        WIRE("UTF-8", "\x52\x06\xc3\xa9\xe2\x82\xac\x41", NULL),
        WIRE("a byte that is not", "\x52\x01\xff", "rider_id: not UTF-8"),
        WIRE("over-long", "\x52\x02\xc0\xaf", "rider_id: not UTF-8"),
        WIRE("a surrogate", "\x52\x03\xed\xa0\x80", "rider_id: not UTF-8"),
        WIRE("above U+10FFFF", "\x52\x04\xf4\x90\x80\x80", "rider_id: not UTF-8"),
        WIRE("cut in the middle", "\x52\x02\xe2\x82", "rider_id: not UTF-8"),
        WIRE("text as a number", "\x50\x01", "rider_id: wrong wire type"),
        WIRE("text cut short",
             "\x52\x05"
             "abc",
             "rider_id: cut short"),
        WIRE("charge above 100 %", "\x38\xe9\x07", "soc_pm: value out of bounds"),
    };
    static const struct wire_row hello[] = {
        WIRE("bytes are any", "\x42\x02\xff\xfe", NULL),
        WIRE("a component", "\x2a\x06\x0a\x04main", NULL),
        WIRE("its text is UTF-8", "\x2a\x03\x0a\x01\xff", "component: not UTF-8"),
        WIRE("its numbers fit", "\x2a\x06\x18\xff\xff\xff\xff\x1f", "security_counter: number too"),
        WIRE("it ends where it ends", "\x2a\x02\x0a\x04main", "component: cut short"),
        WIRE("its tags are whole", "\x2a\x01\x80", "a nested message has a broken tag"),
        WIRE("it may have unknown fields", "\x2a\x03\xc8\x3e\x05", NULL),
        WIRE("but no groups", "\x2a\x02\xcb\x3e", "a nested message has an unknown field"),
        WIRE("it is no number", "\x28\x05", "running: wrong wire type"),
    };

    expect_rows(schema_by_id(set, 2), trip_start, ARRAY_LEN(trip_start));
    expect_rows(schema_by_id(set, 4), hello, ARRAY_LEN(hello));
}
