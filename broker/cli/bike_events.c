#include "broker/cli/bike_events.h"

#include <stdio.h>

#include "freehub/v1/telemetry.pb-c.h"

enum {
    NAME_MAX_BYTES = 65,
    PACKET_MAX = 16384,
    BLOCK_MAX = 4096,
    MOVING_CMS = 50,
    PAUSE_MS = 10000
};

size_t hello_pack(const char *bike, uint32_t boot, int64_t now_ms, uint64_t nonce, uint8_t *to)
{
    char name[NAME_MAX_BYTES], component[] = "main", version[] = "1.4.2", hw[] = "sim-1";
    char release[] = "sim-1.4.2";
    Freehub__V1__Running running, *list[] = {&running};
    Freehub__V1__Hello hello;

    snprintf(name, sizeof name, "%s", bike);
    freehub__v1__running__init(&running);
    running.component = component;
    running.version = version;
    running.security_counter = 3;
    running.hw = hw;
    freehub__v1__hello__init(&hello);
    hello.bike_id = name;
    hello.boot_id = boot;
    hello.boot_reason = 1;
    hello.release_id = release;
    hello.running = list;
    hello.n_running = 1;
    hello.nonce = (ProtobufCBinaryData){sizeof nonce, (uint8_t *)&nonce};
    hello.time_ms = (uint64_t)now_ms;
    hello.time_trusted = true;
    hello.max_packet = PACKET_MAX;
    hello.max_block_size = BLOCK_MAX;
    ASSERT(freehub__v1__hello__get_packed_size(&hello) <= BIKE_EVENT_BYTES_MAX);
    return freehub__v1__hello__pack(&hello, to);
}

/* The first or last value of a column, 0 when the ride has none. */
static int64_t first_of(const struct ride *ride, enum ride_column column)
{
    for (size_t i = 0; i < ride->count; i++)
        if (ride->samples[i].present >> column & 1)
            return ride->samples[i].values[column];
    return 0;
}

static int64_t last_of(const struct ride *ride, enum ride_column column)
{
    for (size_t i = ride->count; i > 0; i--)
        if (ride->samples[i - 1].present >> column & 1)
            return ride->samples[i - 1].values[column];
    return 0;
}

size_t trip_start_pack(const struct batch_head *head, const struct ride *ride, uint8_t *to)
{
    char zone[] = "Europe/Berlin";
    Freehub__V1__TripStart start;

    freehub__v1__trip_start__init(&start);
    start.boot_id = head->boot;
    start.trip_seq = head->trip;
    start.start_ms = (uint64_t)(ride->samples[0].time_ms + head->shift_ms);
    start.time_ok = head->time_ok;
    start.first_seq = head->first_sample;
    start.odo_dm = (uint64_t)first_of(ride, RIDE_ODOMETER);
    start.soc_pm = (uint32_t)first_of(ride, RIDE_BATTERY_SOC);
    start.lat_e7 = (int32_t)first_of(ride, RIDE_LATITUDE);
    start.lon_e7 = (int32_t)first_of(ride, RIDE_LONGITUDE);
    start.tz = zone;
    return freehub__v1__trip_start__pack(&start, to);
}

/* What the samples add up to. Each value stands until the next sample, at most PAUSE_MS. */
static void trip_sum(const struct ride *ride, Freehub__V1__TripEnd *end)
{
    int64_t moving_ms = 0, rider_mj = 0, motor_mj = 0;

    for (size_t i = 0; i < ride->count; i++) {
        const struct ride_sample *s = &ride->samples[i];
        int64_t speed = s->present >> RIDE_SPEED & 1 ? s->values[RIDE_SPEED] : 0;
        int64_t lasts_ms = i + 1 < ride->count ? ride->samples[i + 1].time_ms - s->time_ms : 0;

        if (speed > end->max_speed_cms)
            end->max_speed_cms = (uint32_t)speed;
        if (lasts_ms < 0 || lasts_ms > PAUSE_MS)
            continue;
        moving_ms += speed > MOVING_CMS ? lasts_ms : 0;
        if (s->present >> RIDE_RIDER_POWER & 1)
            rider_mj += s->values[RIDE_RIDER_POWER] * lasts_ms;
        if ((s->present >> RIDE_MOTOR_POWER & 1) && s->values[RIDE_MOTOR_POWER] > 0)
            motor_mj += s->values[RIDE_MOTOR_POWER] * lasts_ms;
    }
    end->moving_s = (uint32_t)(moving_ms / 1000);
    end->rider_work_j = (uint32_t)(rider_mj / 1000);
    end->motor_work_j = (uint32_t)(motor_mj / 1000);
}

size_t trip_end_pack(const struct batch_head *head, const struct ride *ride, uint8_t *to)
{
    Freehub__V1__TripEnd end;

    freehub__v1__trip_end__init(&end);
    end.boot_id = head->boot;
    end.trip_seq = head->trip;
    end.why = FREEHUB__V1__END_WHY__POWER_OFF;
    end.start_ms = (uint64_t)(ride->samples[0].time_ms + head->shift_ms);
    end.end_ms = (uint64_t)(ride->samples[ride->count - 1].time_ms + head->shift_ms);
    end.time_ok = head->time_ok;
    end.first_seq = head->first_sample;
    end.last_seq = head->first_sample + (uint32_t)ride->count - 1;
    end.odo_start_dm = (uint64_t)first_of(ride, RIDE_ODOMETER);
    end.odo_end_dm = (uint64_t)last_of(ride, RIDE_ODOMETER);
    end.soc_start_pm = (uint32_t)first_of(ride, RIDE_BATTERY_SOC);
    end.soc_end_pm = (uint32_t)last_of(ride, RIDE_BATTERY_SOC);
    end.end_lat_e7 = (int32_t)last_of(ride, RIDE_LATITUDE);
    end.end_lon_e7 = (int32_t)last_of(ride, RIDE_LONGITUDE);
    trip_sum(ride, &end);
    return freehub__v1__trip_end__pack(&end, to);
}
