#include "broker/base/quantity.h"

#include <stdio.h>

#include "broker/base/err.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first, so that formatting takes the first that divides. */
static const struct unit size_units[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1},
};

static size_t digits_read(struct str text, uint64_t *value, bool *fits)
{
    size_t used = 0;

    *value = 0;
    *fits = true;
    for (; used < text.len && text.at[used] >= '0' && text.at[used] <= '9'; used++) {
        uint64_t digit = (uint64_t)(text.at[used] - '0');

        if (*value > ((uint64_t)INT64_MAX - digit) / 10)
            *fits = false;
        else
            *value = *value * 10 + digit;
    }
    return used;
}

static int quantity_parse(struct str text, const struct unit *units, size_t unit_count,
                          uint64_t *out)
{
    uint64_t number;
    bool fits;
    size_t used = digits_read(text, &number, &fits);

    if (used == 0 || !fits)
        return ERR_INVALID;
    while (used < text.len && text.at[used] == ' ')
        used++;
    text = (struct str){text.at + used, text.len - used};
    if (text.len == 0) {
        *out = 0;
        return number == 0 ? 0 : ERR_INVALID;
    }
    for (size_t i = 0; i < unit_count; i++) {
        if (!str_equal(text, str_from(units[i].name)))
            continue;
        if (number > (uint64_t)INT64_MAX / units[i].factor)
            return ERR_INVALID;
        *out = number * units[i].factor;
        return 0;
    }
    return ERR_INVALID;
}

int size_parse(struct str text, uint64_t *out_bytes)
{
    return quantity_parse(text, size_units, ARRAY_LEN(size_units), out_bytes);
}

int duration_parse(struct str text, uint64_t *out_ms)
{
    return quantity_parse(text, duration_units, ARRAY_LEN(duration_units), out_ms);
}

int count_parse(struct str text, uint64_t *out)
{
    bool fits;

    if (text.len == 0 || digits_read(text, out, &fits) != text.len || !fits)
        return ERR_INVALID;
    return 0;
}

static size_t quantity_format(char out[QUANTITY_MAX], const struct unit *units, size_t unit_count,
                              uint64_t value)
{
    size_t i = 0;

    if (value == 0)
        return (size_t)snprintf(out, QUANTITY_MAX, "0");
    while (i + 1 < unit_count && value % units[i].factor != 0)
        i++;
    return (size_t)snprintf(out, QUANTITY_MAX, "%llu%s",
                            (unsigned long long)(value / units[i].factor), units[i].name);
}

size_t size_format(char out[QUANTITY_MAX], uint64_t bytes)
{
    return quantity_format(out, size_units, ARRAY_LEN(size_units), bytes);
}

size_t duration_format(char out[QUANTITY_MAX], uint64_t ms)
{
    return quantity_format(out, duration_units, ARRAY_LEN(duration_units), ms);
}
