/* broker/cli/decimal.h -- decimal text as a whole number of 10^-decimals, without floating point,
 * so that what is written down is what is stored. */
#ifndef FREEHUB_BROKER_CLI_DECIMAL_H
#define FREEHUB_BROKER_CLI_DECIMAL_H

#include "broker/base/base.h"
#include "broker/base/err.h"

/* Read "-12.345" as a multiple of 10^-`decimals` (at most 18), rounded half away from zero.
 * ERR_INVALID: not digits with at most one sign and point; ERR_TOO_LARGE: beyond 63 bits. Any
 * thread. */
CHECKED int decimal_parse(struct str text, unsigned decimals, int64_t *out);

#endif
