/* broker/base/log.h -- the structured log: one line an event, a fixed event name and fields.
 *
 *     LOG_WARN("tls_refused", F_STR("cn", cn), F_TEXT("why", "certificate has expired"));
 *
 * writes as logfmt `ts=2026-11-24T02:25:48.123Z level=warn event=tls_refused cn=bike-1 why="..."`
 * or as one JSON object a line. Control bytes and bytes that are not UTF-8 are escaped, so a peer
 * can never forge a line. Event names are snake_case and stable: people filter by them. */
#ifndef FREEHUB_BROKER_BASE_LOG_H
#define FREEHUB_BROKER_BASE_LOG_H

#include "broker/base/base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

enum log_field_kind { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_BOOL };

struct log_field {
    const char *key; /* snake_case, unit last: "took_ms" */
    enum log_field_kind kind;
    struct str text;
    int64_t number;
};

#define F_STR(key_, str_)   ((struct log_field){.key = (key_), .kind = LOG_FIELD_STR, .text = (str_)})
#define F_TEXT(key_, text_) F_STR(key_, str_from(text_))
#define F_INT(key_, number_)                                                                       \
    ((struct log_field){.key = (key_), .kind = LOG_FIELD_INT, .number = (int64_t)(number_)})
#define F_UINT(key_, number_)                                                                      \
    ((struct log_field){.key = (key_), .kind = LOG_FIELD_UINT, .number = (int64_t)(number_)})
#define F_BOOL(key_, yes_)                                                                         \
    ((struct log_field){.key = (key_), .kind = LOG_FIELD_BOOL, .number = (yes_)})

#define LOG_AT(level_, event_, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level_)) {                                                                 \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write((level_), (event_), log_fields_, ARRAY_LEN(log_fields_));                    \
        }                                                                                          \
    } while (0)
#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...)  LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...)  LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

/* Where lines go (a file descriptor the caller keeps open) and how they look. Before the first
 * thread starts; default: standard error, logfmt, info. Main thread. */
void log_configure(int fd, enum log_format format, enum log_level least);

bool log_enabled(enum log_level level);

/* Write one event as one line with one write(2). Fields are read before it returns. At least one
 * field. It never waits for who reads the log: a line that a full pipe does not take is lost, and
 * `log_lines_lost` tells how many were. Any thread. */
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count);

#endif
