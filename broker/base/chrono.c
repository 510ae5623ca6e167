#include "broker/base/chrono.h"

#include <time.h>

#include "broker/base/err.h"

enum { MS_PER_SECOND = 1000, MS_PER_MINUTE = 60000, MS_PER_HOUR = 3600000, MS_PER_DAY = 86400000 };

/* Days are counted in eras of 400 years that begin on 1 March, so that a leap day is the last day
 * of its year and needs no case of its own. */
enum { DAYS_PER_ERA = 146097, DAYS_TO_EPOCH = 719468 }; /* from 0000-03-01 to 1970-01-01 */

static const int64_t iso_first_ms = -62135596800000; /* 0001-01-01T00:00:00.000Z */
static const int64_t iso_last_ms = 253402300799999;  /* 9999-12-31T23:59:59.999Z */

struct date {
    int year, month, day;
};

static int64_t days_from_date(struct date date)
{
    int64_t year = date.month <= 2 ? date.year - 1 : date.year; /* >= 0: the first year is 1 */
    int64_t era = year / 400;
    int64_t year_of_era = year % 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

static struct date date_from_days(int64_t days)
{
    int64_t from_era_zero = days + DAYS_TO_EPOCH; /* >= 0: the first year is 1 */
    int64_t era = from_era_zero / DAYS_PER_ERA;
    int64_t day_of_era = from_era_zero % DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    struct date date;

    date.day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    date.month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    date.year = (int)(era * 400 + year_of_era + (date.month <= 2 ? 1 : 0));
    return date;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

int64_t chrono_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * MS_PER_SECOND + now.tv_nsec / 1000000;
}

uint64_t chrono_mono_ms(void)
{
    return chrono_mono_ns() / 1000000;
}

uint64_t chrono_mono_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Exactly `digits` digits, and what follows in the text. */
static char *put_digits(char *to, int64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return to + digits;
}

size_t chrono_iso_format(char out[CHRONO_ISO_MAX], int64_t wall_ms)
{
    if (wall_ms < iso_first_ms)
        wall_ms = iso_first_ms;
    if (wall_ms > iso_last_ms)
        wall_ms = iso_last_ms;

    int64_t ms_of_day = wall_ms % MS_PER_DAY;
    if (ms_of_day < 0)
        ms_of_day += MS_PER_DAY;
    struct date date = date_from_days((wall_ms - ms_of_day) / MS_PER_DAY);
    char *to = out;

    to = put_digits(to, date.year, 4);
    *to++ = '-';
    to = put_digits(to, date.month, 2);
    *to++ = '-';
    to = put_digits(to, date.day, 2);
    *to++ = 'T';
    to = put_digits(to, ms_of_day / MS_PER_HOUR, 2);
    *to++ = ':';
    to = put_digits(to, ms_of_day / MS_PER_MINUTE % 60, 2);
    *to++ = ':';
    to = put_digits(to, ms_of_day / MS_PER_SECOND % 60, 2);
    *to++ = '.';
    to = put_digits(to, ms_of_day % MS_PER_SECOND, 3);
    *to++ = 'Z';
    *to = '\0';
    return (size_t)(to - out);
}

/* What is left of the text; the first thing that does not fit sets `fault`, and the rest reads as
 * zero, so that the check comes once, at the end. */
struct scan {
    struct str left;
    bool fault;
};

static bool scan_has(const struct scan *s, char wanted)
{
    return s->left.len > 0 && s->left.at[0] == wanted;
}

static void scan_skip(struct scan *s)
{
    s->left.at++;
    s->left.len--;
}

static void scan_expect(struct scan *s, char wanted)
{
    if (scan_has(s, wanted))
        scan_skip(s);
    else
        s->fault = true;
}

static bool scan_has_digit(const struct scan *s)
{
    return s->left.len > 0 && s->left.at[0] >= '0' && s->left.at[0] <= '9';
}

static int scan_digits(struct scan *s, int digits, int least, int most)
{
    int value = 0;

    for (int i = 0; i < digits; i++) {
        if (!scan_has_digit(s)) {
            s->fault = true;
            return least;
        }
        value = value * 10 + (s->left.at[0] - '0');
        scan_skip(s);
    }
    if (value < least || value > most) {
        s->fault = true;
        return least;
    }
    return value;
}

/* ".5" to ".123456789"; what is finer than a millisecond is cut off. */
static int64_t scan_fraction_ms(struct scan *s)
{
    static const int64_t weights[] = {100, 10, 1, 0, 0, 0, 0, 0, 0};
    int64_t ms = 0;
    size_t i = 0;

    scan_skip(s);
    while (scan_has_digit(s) && i < ARRAY_LEN(weights)) {
        ms += (s->left.at[0] - '0') * weights[i++];
        scan_skip(s);
    }
    if (i == 0)
        s->fault = true;
    return ms;
}

static int64_t scan_time_ms(struct scan *s)
{
    int64_t ms = scan_digits(s, 2, 0, 23) * (int64_t)MS_PER_HOUR;

    scan_expect(s, ':');
    ms += scan_digits(s, 2, 0, 59) * (int64_t)MS_PER_MINUTE;
    if (scan_has(s, ':')) {
        scan_skip(s);
        ms += scan_digits(s, 2, 0, 59) * (int64_t)MS_PER_SECOND;
        if (scan_has(s, '.'))
            ms += scan_fraction_ms(s);
    }
    return ms;
}

static int64_t scan_zone_ms(struct scan *s)
{
    int64_t sign = scan_has(s, '-') ? -1 : 1;

    if (s->left.len == 0)
        return 0;
    if (scan_has(s, 'Z')) {
        scan_skip(s);
        return 0;
    }
    if (!scan_has(s, '+') && !scan_has(s, '-')) {
        s->fault = true;
        return 0;
    }
    scan_skip(s);
    int64_t hours = scan_digits(s, 2, 0, 23);
    scan_expect(s, ':');
    int64_t minutes = scan_digits(s, 2, 0, 59);
    return sign * (hours * MS_PER_HOUR + minutes * MS_PER_MINUTE);
}

int chrono_iso_parse(struct str text, int64_t *out_wall_ms)
{
    struct scan s = {.left = text};
    struct date date;
    int64_t ms = 0;

    date.year = scan_digits(&s, 4, 1, 9999);
    scan_expect(&s, '-');
    date.month = scan_digits(&s, 2, 1, 12);
    scan_expect(&s, '-');
    date.day = scan_digits(&s, 2, 1, days_in_month(date.year, date.month));
    if (s.left.len > 0) {
        if (scan_has(&s, ' '))
            scan_skip(&s);
        else
            scan_expect(&s, 'T');
        ms = scan_time_ms(&s);
        ms -= scan_zone_ms(&s);
    }
    if (s.fault || s.left.len > 0)
        return ERR_INVALID;
    *out_wall_ms = days_from_date(date) * MS_PER_DAY + ms;
    return 0;
}
