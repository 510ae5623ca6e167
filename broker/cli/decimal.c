#include "broker/cli/decimal.h"

static bool append_digit(int64_t *value, unsigned digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, (int64_t)digit, value);
}

int decimal_parse(struct str text, unsigned decimals, int64_t *out)
{
    bool negative = text.len > 0 && text.at[0] == '-', point = false, round_up = false,
         large = false;
    size_t i = text.len > 0 && (text.at[0] == '-' || text.at[0] == '+'), digits = 0;
    unsigned fraction = 0; /* digits behind the point that were taken in or dropped */
    int64_t value = 0;

    for (; i < text.len; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');

        if (text.at[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (digit > 9)
            return ERR_INVALID;
        digits++;
        if (!point || fraction < decimals)
            large |= !append_digit(&value, digit);
        else if (fraction == decimals)
            round_up = digit >= 5; /* the first dropped digit decides */
        fraction += point;
    }
    if (digits == 0)
        return ERR_INVALID;
    for (; fraction < decimals; fraction++)
        large |= !append_digit(&value, 0);
    if (large || value == INT64_MAX)
        return ERR_TOO_LARGE;
    value += round_up;
    *out = negative ? -value : value;
    return 0;
}
