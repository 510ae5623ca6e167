#include "broker/base/json_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/err.h"
#include "broker/base/mem.h"

void json_out_init(struct json_out *j, size_t max_bytes)
{
    *j = (struct json_out){.max = max_bytes};
}

void json_out_fini(struct json_out *j)
{
    mem_free(j->at);
    *j = (struct json_out){.failed = true};
}

static void put(struct json_out *j, const char *bytes, size_t len)
{
    size_t room = j->room ? j->room : 256;
    char *at;

    if (j->failed || len > j->max - j->len) {
        j->failed = true;
        return;
    }
    while (room < j->len + len)
        room *= 2;
    if (room != j->room) {
        at = mem_try_resize(j->at, room);
        if (!at) {
            j->failed = true;
            return;
        }
        j->at = at;
        j->room = room;
    }
    memcpy(j->at + j->len, bytes, len);
    j->len += len;
}

/* What stands before a value: nothing after a key, a comma after another value. */
static void value_begins(struct json_out *j)
{
    if (j->depth > 0) {
        ASSERT(j->levels[j->depth - 1].object == j->has_key);
        if (!j->has_key && j->levels[j->depth - 1].filled)
            put(j, ",", 1);
        j->levels[j->depth - 1].filled = true;
    }
    j->has_key = false;
}

static void level_begin(struct json_out *j, bool object)
{
    value_begins(j);
    ASSERT(j->depth < JSON_DEPTH_MAX);
    j->levels[j->depth].object = object;
    j->levels[j->depth].filled = false;
    j->depth++;
    put(j, object ? "{" : "[", 1);
}

static void level_end(struct json_out *j, bool object)
{
    ASSERT(j->depth > 0 && j->levels[j->depth - 1].object == object && !j->has_key);
    j->depth--;
    put(j, object ? "}" : "]", 1);
}

void json_out_object_begin(struct json_out *j)
{
    level_begin(j, true);
}

void json_out_object_end(struct json_out *j)
{
    level_end(j, true);
}

void json_out_array_begin(struct json_out *j)
{
    level_begin(j, false);
}

void json_out_array_end(struct json_out *j)
{
    level_end(j, false);
}

/* Length of the well-formed UTF-8 sequence at the start (RFC 3629), 0 when there is none. */
static size_t utf8_sequence(const unsigned char *at, size_t len)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high, bytes;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (at[0] < rows[i].first_low || at[0] > rows[i].first_high)
            continue;
        if (rows[i].bytes > len)
            return 0;
        if (rows[i].bytes > 1 && (at[1] < rows[i].second_low || at[1] > rows[i].second_high))
            return 0;
        for (size_t k = 2; k < rows[i].bytes; k++)
            if ((at[k] & 0xc0) != 0x80)
                return 0;
        return rows[i].bytes;
    }
    return 0;
}

static void put_quoted(struct json_out *j, struct str text)
{
    static const char short_escapes[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                         ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\'};
    const unsigned char *at = (const unsigned char *)text.at;

    put(j, "\"", 1);
    for (size_t i = 0; i < text.len;) {
        size_t bytes = utf8_sequence(at + i, text.len - i);
        char escape[8];

        if (bytes == 0) {
            put(j, "\xef\xbf\xbd", 3);
            i++;
            continue;
        }
        if (at[i] < sizeof short_escapes && short_escapes[at[i]]) {
            escape[0] = '\\';
            escape[1] = short_escapes[at[i]];
            put(j, escape, 2);
        } else if (at[i] < 0x20 || at[i] == 0x7f) {
            put(j, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", at[i]));
        } else {
            put(j, text.at + i, bytes);
        }
        i += bytes;
    }
    put(j, "\"", 1);
}

void json_out_key(struct json_out *j, const char *key)
{
    ASSERT(j->depth > 0 && j->levels[j->depth - 1].object && !j->has_key);
    if (j->levels[j->depth - 1].filled)
        put(j, ",", 1);
    put_quoted(j, str_from(key));
    put(j, ":", 1);
    j->has_key = true;
}

void json_out_str(struct json_out *j, struct str text)
{
    value_begins(j);
    put_quoted(j, text);
}

void json_out_int(struct json_out *j, int64_t number)
{
    char text[24];

    value_begins(j);
    put(j, text, (size_t)snprintf(text, sizeof text, "%lld", (long long)number));
}

void json_out_uint(struct json_out *j, uint64_t number)
{
    char text[24];

    value_begins(j);
    put(j, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

void json_out_double(struct json_out *j, double number)
{
    char text[32];
    int len = 0;

    value_begins(j);
    if (!isfinite(number)) {
        put(j, "null", 4);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    put(j, text, (size_t)len);
}

void json_out_bool(struct json_out *j, bool yes)
{
    value_begins(j);
    put(j, yes ? "true" : "false", yes ? 4 : 5);
}

void json_out_null(struct json_out *j)
{
    value_begins(j);
    put(j, "null", 4);
}

void json_out_number(struct json_out *j, struct str digits)
{
    value_begins(j);
    put(j, digits.at, digits.len);
}

void json_out_member_str(struct json_out *j, const char *key, struct str text)
{
    json_out_key(j, key);
    json_out_str(j, text);
}

void json_out_member_text(struct json_out *j, const char *key, const char *text)
{
    json_out_member_str(j, key, str_from(text));
}

void json_out_member_int(struct json_out *j, const char *key, int64_t number)
{
    json_out_key(j, key);
    json_out_int(j, number);
}

void json_out_member_uint(struct json_out *j, const char *key, uint64_t number)
{
    json_out_key(j, key);
    json_out_uint(j, number);
}

void json_out_member_double(struct json_out *j, const char *key, double number)
{
    json_out_key(j, key);
    json_out_double(j, number);
}

void json_out_member_bool(struct json_out *j, const char *key, bool yes)
{
    json_out_key(j, key);
    json_out_bool(j, yes);
}

int json_out_text(const struct json_out *j, struct str *out)
{
    if (j->failed)
        return ERR_TOO_LARGE;
    ASSERT(j->depth == 0);
    *out = (struct str){j->at, j->len};
    return 0;
}
