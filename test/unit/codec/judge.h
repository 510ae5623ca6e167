/* test/unit/codec/judge.h -- one row of most codec tests: a body and what the decoder says to it.
 */
#ifndef FREEHUB_TEST_UNIT_CODEC_JUDGE_H
#define FREEHUB_TEST_UNIT_CODEC_JUDGE_H

#include "test/unit/codec/wire.h"

#include <criterion/criterion.h>

struct judge_row {
    uint8_t first;    /* type and flags */
    const char *body; /* as wire.h reads it */
    enum mqtt_reason expected;
};

static inline void judge_rows(enum mqtt_version version, const struct judge_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum mqtt_reason got = wire_judge(version, rows[i].first, rows[i].body);

        cr_expect(got == rows[i].expected, "version %d, first byte %02X, \"%s\": %s, not %s",
                  (int)version, rows[i].first, rows[i].body, mqtt_reason_text(got),
                  mqtt_reason_text(rows[i].expected));
    }
}

#define JUDGE(version, ...)                                                                        \
    do {                                                                                           \
        static const struct judge_row judge_these[] = {__VA_ARGS__};                               \
        judge_rows((version), judge_these, ARRAY_LEN(judge_these));                                \
    } while (0)

#endif
