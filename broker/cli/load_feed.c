/* A batch has numbers in variable-length fields. They keep their length, and so the packet its
 * layout, because each starts where its length begins: a boot id above 2^28 takes 5 bytes, sample
 * numbers from 2^21 to 2^28 take 4, milliseconds since 1970 take 6 until the year 2109. */
#include "broker/cli/load_feed.h"

#include "freehub/v1/telemetry.pb-c.h"

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/codec/packet.h"

enum {
    FIRST_SAMPLE = 1 << 21,
    SAMPLE_BYTES = 4,
    TIME_BYTES = 6,
    BOOT_BYTES = 5,
    BATCH_MAX = 512,
    /* Field number and wire type of boot_id, first_seq and base_ms. */
    BOOT_TAG = 1 << 3,
    SAMPLE_TAG = 3 << 3,
    TIME_TAG = 4 << 3,
};

int load_expand(const char *pattern, uint32_t index, uint32_t subscribers, char *out, size_t room)
{
    size_t len = 0;

    for (const char *at = pattern; *at; at++) {
        bool placeholder = at[0] == '{' && strchr("ijs", at[1]) && at[1] && at[2] == '}';
        uint32_t value =
            placeholder && at[1] == 's' && subscribers > 0 ? index % subscribers : index;
        int n = placeholder ? snprintf(out + len, room - len, "%u", value)
                            : snprintf(out + len, room - len, "%c", *at);

        if (n < 0 || (size_t)n >= room - len)
            return ERR_TOO_LARGE;
        len += (size_t)n;
        at += placeholder ? 2 : 0;
    }
    return len > 0 ? 0 : ERR_INVALID;
}

static void store_varint(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 7)
        to[i] = (uint8_t)((value & 0x7f) | (i + 1 < bytes ? 0x80 : 0));
    ASSERT(value == 0);
}

static uint64_t load_varint(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)(from[i] & 0x7f) << (7 * i);
    return value;
}

/* One sample of a ride, every column there is a sensor for. Returns its length; `*number_at` and
 * `*time_at` are set. */
static size_t batch_pack(uint32_t boot, uint8_t to[BATCH_MAX], uint32_t *number_at,
                         uint32_t *time_at)
{
    static uint32_t no_delta = 0, accuracy = 32, cadence = 74, assist[] = {3, 1}, flags[] = {5, 1};
    static int32_t latitude = 480514321, longitude = 116043210, altitude = 5193, speed = 652,
                   rider = 118, motor = 164, current = 4870, voltage = 3691, charge = 815,
                   distance = 12345678, motor_temp = 41, battery_temp = 27, ambient = 184;
    Freehub__V1__Batch batch = FREEHUB__V1__BATCH__INIT;
    size_t len;

    batch.boot_id = boot;
    batch.trip_seq = 12;
    batch.first_seq = FIRST_SAMPLE;
    *number_at = (uint32_t)freehub__v1__batch__get_packed_size(&batch) - SAMPLE_BYTES;
    batch.base_ms = (uint64_t)chrono_wall_ms();
    *time_at = (uint32_t)freehub__v1__batch__get_packed_size(&batch) - TIME_BYTES;
    batch.time_ok = true;
#define COLUMN(member, value)                                                                      \
    do {                                                                                           \
        batch.n_##member = sizeof(value) / sizeof(*batch.member);                                  \
        batch.member = (void *)&(value);                                                           \
    } while (0)
    COLUMN(d_ms, no_delta);
    COLUMN(d_lat_e7, latitude);
    COLUMN(d_lon_e7, longitude);
    COLUMN(d_alt_dm, altitude);
    COLUMN(acc_dm, accuracy);
    COLUMN(d_speed_cms, speed);
    COLUMN(cadence, cadence);
    COLUMN(d_rider_w, rider);
    COLUMN(d_motor_w, motor);
    COLUMN(d_batt_ma, current);
    COLUMN(d_batt_cv, voltage);
    COLUMN(d_soc_pm, charge);
    COLUMN(d_odo_dm, distance);
    COLUMN(assist, assist);
    COLUMN(d_temp_motor_c, motor_temp);
    COLUMN(d_temp_batt_c, battery_temp);
    COLUMN(flags, flags);
    COLUMN(d_temp_ambient_dc, ambient);
#undef COLUMN
    ASSERT(freehub__v1__batch__get_packed_size(&batch) <= BATCH_MAX);
    len = freehub__v1__batch__pack(&batch, to);
    ASSERT(to[0] == BOOT_TAG && to[*number_at - 1] == SAMPLE_TAG && to[*time_at - 1] == TIME_TAG);
    return len;
}

static uint32_t boot_of(uint32_t run, uint32_t publisher)
{
    return UINT32_C(0x80000000) | (run & 0x7fff) << 16 | publisher;
}

int load_feed_init(struct load_feed *f, const struct load_options *o, uint32_t publisher,
                   uint32_t run)
{
    struct mqtt_publish publish = {.qos = o->qos, .packet_id = 1};
    uint32_t expiry_at = 0, payload_at;
    uint8_t batch[BATCH_MAX], *plain = NULL;
    int rc;

    *f = (struct load_feed){.batch = o->batch};
    rc = load_expand(o->topic, publisher, o->subscribers, f->topic, sizeof f->topic);
    if (rc)
        return rc;
    publish.topic = str_from(f->topic);
    if (o->batch) {
        publish.payload.len =
            batch_pack(boot_of(run, publisher), batch, &f->number_at, &f->time_at);
        publish.payload.at = (const char *)batch;
    } else {
        plain = mem_new(o->payload_bytes);
        store_u32(plain, publisher);
        publish.payload = str_of_bytes(plain, o->payload_bytes);
        f->number_at = sizeof publisher;
    }

    f->len = (uint32_t)publish_encoded_bytes(o->version, &publish);
    payload_at = f->len - (uint32_t)publish.payload.len; /* it stands at the end */
    f->packet = mem_new(f->len);
    f->len = (uint32_t)publish_encode_raw(o->version, &publish, f->packet, f->len, &f->packet_id_at,
                                          &expiry_at);
    f->number_at += payload_at;
    f->time_at += f->time_at ? payload_at : 0;
    mem_free(plain);
    return 0;
}

void load_feed_fini(struct load_feed *f)
{
    mem_free(f->packet);
    f->packet = NULL;
}

void load_feed_write(const struct load_feed *f, uint8_t *to, uint16_t packet_id, uint32_t number,
                     int64_t wall_ms)
{
    memcpy(to, f->packet, f->len);
    if (f->packet_id_at) {
        to[f->packet_id_at] = (uint8_t)(packet_id >> 8);
        to[f->packet_id_at + 1] = (uint8_t)packet_id;
    }
    if (f->batch) {
        store_varint(to + f->number_at, FIRST_SAMPLE + number, SAMPLE_BYTES);
        store_varint(to + f->time_at, (uint64_t)wall_ms, TIME_BYTES);
    } else {
        store_u32(to + f->number_at, number);
    }
}

bool load_feed_read(const struct load_options *o, struct str payload, uint32_t *publisher,
                    uint32_t *number)
{
    const uint8_t *at = (const uint8_t *)payload.at;

    if (o->batch) {
        /* boot_id, trip_seq with one byte, first_seq */
        if (payload.len < 1 + BOOT_BYTES + 2 + 1 + SAMPLE_BYTES || at[0] != BOOT_TAG ||
            at[1 + BOOT_BYTES + 2] != SAMPLE_TAG)
            return false;
        *publisher = (uint32_t)load_varint(at + 1, BOOT_BYTES) & 0xffff;
        *number = (uint32_t)load_varint(at + 1 + BOOT_BYTES + 3, SAMPLE_BYTES) - FIRST_SAMPLE;
        return true;
    }
    if (payload.len < LOAD_PAYLOAD_MIN)
        return false;
    *publisher = load_u32(at);
    *number = load_u32(at + 4);
    return true;
}
