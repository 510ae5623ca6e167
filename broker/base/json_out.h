/* broker/base/json_out.h -- writes JSON text in order, without a tree: admin answers, `-o json`.
 * Commas and nesting are kept by the writer; misuse (a value without a key inside an object) is a
 * bug and asserted. Strings are escaped; bytes that are not UTF-8 become U+FFFD, so that the
 * result is always valid JSON. */
#ifndef FREEHUB_BROKER_BASE_JSON_OUT_H
#define FREEHUB_BROKER_BASE_JSON_OUT_H

#include "broker/base/base.h"

enum { JSON_DEPTH_MAX = 16 };

/* On the caller's stack; fields belong to json_out.c. */
struct json_out {
    char *at;
    size_t len, room, max;
    uint8_t depth;
    bool failed;
    bool has_key; /* a key waits for its value */
    struct {
        bool object, filled;
    } levels[JSON_DEPTH_MAX];
};

/* Text of at most `max_bytes`; what goes beyond, or does not fit in memory, makes json_out_text()
 * fail. Any thread. */
void json_out_init(struct json_out *j, size_t max_bytes);
void json_out_fini(struct json_out *j);

void json_out_object_begin(struct json_out *j);
void json_out_object_end(struct json_out *j);
void json_out_array_begin(struct json_out *j);
void json_out_array_end(struct json_out *j);
void json_out_key(struct json_out *j, const char *key);

void json_out_str(struct json_out *j, struct str text);
void json_out_int(struct json_out *j, int64_t number);
void json_out_uint(struct json_out *j, uint64_t number);
/* Shortest form that reads back the same; not a number and infinities become null. */
void json_out_double(struct json_out *j, double number);
void json_out_bool(struct json_out *j, bool yes);
void json_out_null(struct json_out *j);
/* `digits` is a number as JSON writes it; the caller has made sure. */
void json_out_number(struct json_out *j, struct str digits);

/* A key and its value. */
void json_out_member_str(struct json_out *j, const char *key, struct str text);
void json_out_member_text(struct json_out *j, const char *key, const char *text);
void json_out_member_int(struct json_out *j, const char *key, int64_t number);
void json_out_member_uint(struct json_out *j, const char *key, uint64_t number);
void json_out_member_double(struct json_out *j, const char *key, double number);
void json_out_member_bool(struct json_out *j, const char *key, bool yes);

/* The whole text, every level closed; lives until the next call that writes, or json_out_fini().
 * ERR_TOO_LARGE, ERR_NOMEM. */
CHECKED int json_out_text(const struct json_out *j, struct str *out);

#endif
