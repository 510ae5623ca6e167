#include "broker/cli/ride_model.h"

#include <math.h>
#include <stdio.h>

#include "broker/base/chance.h"
#include "broker/base/mem.h"

#define METRES_PER_DEGREE 111320.0
#define RADIANS           0.017453292519943295

enum { FIX_AFTER_MAX_S = 15, LEG_MAX_S = 180, STOP_MAX_S = 45, MOVING_MASS_KG = 105 };

/* Where the bike is and what it does; SI units. */
struct bike {
    struct chance chance;
    double latitude, longitude, heading, altitude, slope;
    double speed, aim; /* m/s: now, and where it is going */
    double rider_w, motor_w, cadence, odometer;
    double charge_wh, capacity_wh, motor_c, battery_c, air_c;
    unsigned assist;
    uint32_t until_s; /* end of this leg or stop */
    uint32_t fix_s;   /* first fix */
};

static double between(struct bike *b, double low, double high)
{
    return low + (high - low) * chance_unit(&b->chance);
}

static void bike_init(struct bike *b, uint64_t seed)
{
    memset(b, 0, sizeof *b);
    chance_seed(&b->chance, seed);
    b->latitude = between(b, 48.05, 48.25);
    b->longitude = between(b, 11.40, 11.75);
    b->heading = between(b, 0, 360);
    b->altitude = between(b, 480, 560);
    b->odometer = between(b, 1e4, 5e6);
    b->capacity_wh = 500;
    b->charge_wh = b->capacity_wh * between(b, 0.5, 1.0);
    b->air_c = between(b, 4, 26);
    b->motor_c = b->battery_c = b->air_c + 3;
    b->assist = 1 + (unsigned)chance_below(&b->chance, 4);
    b->fix_s = (uint32_t)chance_below(&b->chance, FIX_AFTER_MAX_S);
}

/* A new leg, or a stop at a light now and then. */
static void bike_decide(struct bike *b, uint32_t now_s)
{
    bool stop = b->aim > 0 && chance_unit(&b->chance) < 0.25;

    b->aim = stop ? 0 : between(b, 3.5, 7.2);
    b->slope = stop ? 0 : between(b, -0.03, 0.03);
    b->heading += between(b, -90, 90);
    b->until_s = now_s + 5 + (uint32_t)chance_below(&b->chance, stop ? STOP_MAX_S : LEG_MAX_S);
    if (chance_unit(&b->chance) < 0.3)
        b->assist = (unsigned)chance_below(&b->chance, 5);
}

/* Power for speed, slope and acceleration, shared by legs and motor; the motor ends at 25 km/h. */
static void bike_power(struct bike *b, double acceleration)
{
    double force =
        6.0 + 0.25 * b->speed * b->speed + MOVING_MASS_KG * (9.81 * b->slope + acceleration);
    double power = fmax(0, force * b->speed);
    double share = b->speed > 6.95 ? 0 : 0.15 * (double)b->assist;

    b->motor_w = fmin(600, power * share / 0.8);
    b->rider_w = fmin(900, power - 0.8 * b->motor_w);
    b->cadence = b->rider_w > 5 ? 45 + 5.5 * b->speed + between(b, -3, 3) : 0;
    b->charge_wh = fmax(0, b->charge_wh - (b->motor_w + 3) / 3600);
}

static void bike_step(struct bike *b, uint32_t now_s)
{
    double before = b->speed, metres;

    if (now_s >= b->until_s)
        bike_decide(b, now_s);
    b->speed += fmax(-1.8, fmin(0.7, b->aim - b->speed));
    if (b->speed > 0.3)
        b->speed = fmax(0.3, b->speed + between(b, -0.1, 0.1));
    bike_power(b, b->speed - before);
    metres = b->speed;
    b->odometer += metres;
    b->heading += between(b, -4, 4);
    b->latitude += metres * cos(b->heading * RADIANS) / METRES_PER_DEGREE;
    b->longitude +=
        metres * sin(b->heading * RADIANS) / (METRES_PER_DEGREE * cos(b->latitude * RADIANS));
    b->altitude += metres * b->slope;
    b->motor_c += (b->air_c + 3 + b->motor_w / 9 - b->motor_c) / 400;
    b->battery_c += (b->air_c + 3 + b->motor_w / 40 - b->battery_c) / 900;
}

static void put(struct ride_sample *s, enum ride_column column, double value)
{
    s->values[column] = (int64_t)llround(value);
    s->present |= UINT64_C(1) << column;
}

static void bike_sample(struct bike *b, uint32_t now_s, struct ride_sample *s)
{
    double volts = 33 + 9 * b->charge_wh / b->capacity_wh - b->motor_w / 300;

    if (now_s >= b->fix_s) {
        double accuracy = between(b, 1.8, 6);

        put(s, RIDE_LATITUDE, (b->latitude + between(b, -1, 1) / METRES_PER_DEGREE) * 1e7);
        put(s, RIDE_LONGITUDE, (b->longitude + between(b, -1, 1) / METRES_PER_DEGREE) * 1e7);
        put(s, RIDE_ALTITUDE, b->altitude * 10);
        put(s, RIDE_GPS_ACCURACY, accuracy * 10);
    }
    put(s, RIDE_SPEED, b->speed * 100);
    put(s, RIDE_CADENCE, b->cadence);
    put(s, RIDE_RIDER_POWER, b->rider_w);
    put(s, RIDE_MOTOR_POWER, b->motor_w);
    put(s, RIDE_BATTERY_CURRENT, (b->motor_w + 3) / volts * 1000);
    put(s, RIDE_BATTERY_VOLTAGE, volts * 100);
    put(s, RIDE_BATTERY_SOC, b->charge_wh / b->capacity_wh * 1000);
    put(s, RIDE_ODOMETER, b->odometer * 10);
    put(s, RIDE_ASSIST, b->assist);
    put(s, RIDE_MOTOR_TEMPERATURE, b->motor_c);
    put(s, RIDE_BATTERY_TEMPERATURE, b->battery_c);
    put(s, RIDE_FLAGS, b->speed > 0.3 ? 1 : 0);
    put(s, RIDE_AMBIENT_TEMPERATURE, b->air_c * 10);
}

void ride_model_make(struct ride *out, uint64_t seed, uint32_t duration_s, int64_t start_ms)
{
    struct bike b;

    *out = (struct ride){.count = duration_s};
    snprintf(out->name, sizeof out->name, "generated from seed %llu", (unsigned long long)seed);
    out->samples = mem_new(duration_s * sizeof *out->samples);
    bike_init(&b, seed);
    for (uint32_t i = 0; i < duration_s; i++) {
        bike_step(&b, i);
        out->samples[i].time_ms = start_ms + 1000 * (int64_t)i;
        bike_sample(&b, i, &out->samples[i]);
    }
}
