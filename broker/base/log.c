#include "broker/base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/thread.h"

/* A line never grows past LINE_MAX and a value never past VALUE_MAX, whatever a peer sends. A cut
 * value ends in "..."; a line that lost fields says so in its last one.
 *
 * Whoever reads the log may be slow or stopped, and a worker must not wait for it. A descriptor
 * that poll(2) calls writable takes PIPE_BUF bytes without blocking, as long as nobody else writes
 * in between: hence the lock, and lines that fit. What it would not take is counted, and the next
 * line that is written comes behind one that tells the count. */
enum { LINE_MAX_BYTES = PIPE_BUF - 32, VALUE_MAX_BYTES = 1024, TAIL_BYTES = 32 };

static struct {
    int fd;
    enum log_format format;
    enum log_level least;
    struct mutex lock; /* around writing; guards `lost` */
    uint64_t lost;     /* lines since the last one that was written */
} log_state = {.lock = {PTHREAD_MUTEX_INITIALIZER},
               .fd = STDERR_FILENO,
               .format = LOG_FORMAT_LOGFMT,
               .least = LOG_LEVEL_INFO};

struct line {
    char text[LINE_MAX_BYTES + TAIL_BYTES];
    size_t len;
    bool full; /* something did not fit: nothing more is added */
};

void log_configure(int fd, enum log_format format, enum log_level least)
{
    log_state.fd = fd;
    log_state.format = format;
    log_state.least = least;
}

bool log_enabled(enum log_level level)
{
    return level >= log_state.least;
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    return names[level];
}

static void line_add(struct line *line, const char *at, size_t len)
{
    if (line->full || len > LINE_MAX_BYTES - line->len) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, at, len);
    line->len += len;
}

PRINTF_LIKE(2, 3) static void line_format(struct line *line, const char *format, ...)
{
    char text[64];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len > 0)
        line_add(line, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* Length of the printable UTF-8 character at the start of `text`, or 0 when the byte there has to
 * be escaped: ASCII and C1 control characters, DEL, and whatever is not well-formed UTF-8. */
static size_t printable_len(struct str text)
{
    const unsigned char *at = (const unsigned char *)text.at;
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    size_t len;
    uint32_t code;

    if (at[0] < 0x80)
        return at[0] >= 0x20 && at[0] != 0x7f;
    if (at[0] >= 0xc2 && at[0] < 0xe0)
        len = 2;
    else if (at[0] >= 0xe0 && at[0] < 0xf0)
        len = 3;
    else if (at[0] >= 0xf0 && at[0] < 0xf5)
        len = 4;
    else
        return 0;
    if (text.len < len)
        return 0;
    code = at[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fU);
    }
    if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return 0;
    return len;
}

static bool needs_quotes(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];

        if (byte <= ' ' || byte == '"' || byte == '=' || byte == '\\' || byte >= 0x7f)
            return true;
    }
    return text.len == 0;
}

/* A byte that may not appear as it is. JSON knows no \x, so there the backslash itself is escaped:
 * the reader gets the same text from both formats. */
static void add_escaped(struct line *line, char byte)
{
    switch (byte) {
    case '\n':
        line_add(line, "\\n", 2);
        break;
    case '\r':
        line_add(line, "\\r", 2);
        break;
    case '\t':
        line_add(line, "\\t", 2);
        break;
    default:
        line_format(line, log_state.format == LOG_FORMAT_JSON ? "\\\\x%02x" : "\\x%02x",
                    (unsigned)(unsigned char)byte);
        break;
    }
}

static void add_quoted(struct line *line, struct str text)
{
    bool cut = text.len > VALUE_MAX_BYTES;

    if (cut)
        text.len = VALUE_MAX_BYTES;
    line_add(line, "\"", 1);
    while (text.len > 0) {
        size_t len = printable_len(text);

        if (len == 0) {
            add_escaped(line, text.at[0]);
            len = 1;
        } else {
            if (text.at[0] == '"' || text.at[0] == '\\')
                line_add(line, "\\", 1);
            line_add(line, text.at, len);
        }
        text.at += len;
        text.len -= len;
    }
    line_add(line, cut ? "...\"" : "\"", cut ? 4 : 1);
}

static void add_text(struct line *line, struct str text)
{
    if (log_state.format == LOG_FORMAT_JSON || text.len > VALUE_MAX_BYTES || needs_quotes(text))
        add_quoted(line, text);
    else
        line_add(line, text.at, text.len);
}

static void add_key(struct line *line, const char *key)
{
    bool first = line->len == 0;

    if (log_state.format == LOG_FORMAT_JSON) {
        line_add(line, first ? "{\"" : ",\"", 2);
        line_add(line, key, strlen(key));
        line_add(line, "\":", 2);
    } else {
        if (!first)
            line_add(line, " ", 1);
        line_add(line, key, strlen(key));
        line_add(line, "=", 1);
    }
}

static void add_field(struct line *line, const struct log_field *field)
{
    size_t before = line->len;

    add_key(line, field->key);
    switch (field->kind) {
    case LOG_FIELD_STR:
        add_text(line, field->text);
        break;
    case LOG_FIELD_INT:
        line_format(line, "%lld", (long long)field->number);
        break;
    case LOG_FIELD_UINT:
        line_format(line, "%llu", (unsigned long long)field->number);
        break;
    case LOG_FIELD_BOOL:
        line_format(line, "%s", field->number ? "true" : "false");
        break;
    }
    if (line->full)
        line->len = before; /* half a field would not parse */
}

/* TAIL_BYTES are kept free for this. */
static void add_tail(struct line *line)
{
    static const char *const tails[2][2] = {{"\n", " truncated=true\n"},
                                            {"}\n", ",\"truncated\":true}\n"}};
    const char *tail = tails[log_state.format == LOG_FORMAT_JSON][line->full];

    memcpy(line->text + line->len, tail, strlen(tail));
    line->len += strlen(tail);
}

/* A log that cannot be written has nobody to tell: the line is lost. */
static void write_all(int fd, const char *at, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, at, len);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return;
        at += wrote;
        len -= (size_t)wrote;
    }
}

static bool would_block(int fd)
{
    struct pollfd out = {.fd = fd, .events = POLLOUT};

    return poll(&out, 1, 0) == 0;
}

static void line_make(struct line *line, enum log_level level, const char *event,
                      const struct log_field *fields, size_t field_count)
{
    char moment[CHRONO_ISO_MAX];
    struct str ts = {moment, chrono_iso_format(moment, chrono_wall_ms())};
    const struct log_field head[] = {F_STR("ts", ts), F_TEXT("level", level_name(level)),
                                     F_TEXT("event", event)};

    line->len = 0;
    line->full = false;
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        add_field(line, &head[i]);
    for (size_t i = 0; i < field_count && !line->full; i++)
        add_field(line, &fields[i]);
    add_tail(line);
}

/* With the lock held. False: it would have blocked. */
static bool line_write(const struct line *line)
{
    if (would_block(log_state.fd))
        return false;
    write_all(log_state.fd, line->text, line->len);
    return true;
}

/* With the lock held: say how many lines were lost, if any were. */
static bool report_lost(void)
{
    const struct log_field count = F_UINT("count", log_state.lost);
    struct line line;

    if (log_state.lost == 0)
        return true;
    line_make(&line, LOG_LEVEL_WARN, "log_lines_lost", &count, 1);
    if (!line_write(&line))
        return false;
    log_state.lost = 0;
    return true;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count)
{
    int saved_errno = errno;
    struct line line;

    line_make(&line, level, event, fields, field_count);
    mutex_lock(&log_state.lock);
    if (!report_lost() || !line_write(&line))
        log_state.lost++;
    mutex_unlock(&log_state.lock);
    errno = saved_errno;
}
