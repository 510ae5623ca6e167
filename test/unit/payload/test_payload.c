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
