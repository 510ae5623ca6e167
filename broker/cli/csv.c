#include "broker/cli/csv.h"

#include <errno.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"

enum {
    BUFFER_BYTES = 256 << 10,
    CELL_MAX = 2 * CSV_TEXT_MAX_BYTES + 64, /* every byte a quote, doubled */
    DATE_BYTES = 11,                        /* "2026-11-24T" */
    DATES = 4,
    MS_PER_DAY = 86400000,
};

struct csv {
    int fd;
    int err;
    bool in_row; /* the row has a cell */
    size_t len;
    struct {
        int64_t day; /* since 1970 */
        char text[DATE_BYTES];
        bool set;
    } dates[DATES]; /* rows of a few days come together: their dates are worked out once */
    char buffer[BUFFER_BYTES + CELL_MAX];
};

static const char digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                     "25262728293031323334353637383940414243444546474849"
                                     "50515253545556575859606162636465666768697071727374"
                                     "75767778798081828384858687888990919293949596979899";

static const uint64_t powers_of_ten[CSV_DECIMALS_MAX + 1] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
};

int csv_new(struct csv **out, int fd)
{
    struct csv *c = mem_try(sizeof *c);

    if (!c)
        return ERR_NOMEM;
    c->fd = fd;
    c->err = 0;
    c->in_row = false;
    c->len = 0;
    memset(c->dates, 0, sizeof c->dates);
    *out = c;
    return 0;
}

static void flush(struct csv *c)
{
    size_t done = 0;

    while (!c->err && done < c->len) {
        ssize_t written = write(c->fd, c->buffer + done, c->len - done);

        if (written >= 0)
            done += (size_t)written;
        else if (errno == EPIPE)
            c->err = ERR_CLOSED;
        else if (errno != EINTR)
            c->err = err_from_errno(errno);
    }
    c->len = 0;
}

/* Where the next cell goes: CELL_MAX bytes are free. */
static char *cell_begin(struct csv *c)
{
    if (c->len >= BUFFER_BYTES)
        flush(c);
    if (c->in_row)
        c->buffer[c->len++] = ',';
    c->in_row = true;
    return c->buffer + c->len;
}

static void cell_end(struct csv *c, const char *end)
{
    c->len = (size_t)(end - c->buffer);
}

/* ---- numbers ---- */

static unsigned digit_count(uint64_t value)
{
    unsigned count = 1;

    for (; value >= 10000; value /= 10000)
        count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

/* Exactly `digits` of the lowest digits. */
static char *put_digits(char *to, uint64_t value, unsigned digits)
{
    unsigned at = digits;

    while (at >= 2) {
        memcpy(to + at - 2, digit_pairs + 2 * (value % 100), 2);
        value /= 100;
        at -= 2;
    }
    if (at > 0)
        to[0] = (char)('0' + value % 10);
    return to + digits;
}

void csv_uint(struct csv *c, uint64_t value)
{
    cell_end(c, put_digits(cell_begin(c), value, digit_count(value)));
}

void csv_hex(struct csv *c, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *to = cell_begin(c);

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t byte = (uint8_t)bytes.at[i];

        if (to - c->buffer >= BUFFER_BYTES) { /* a cell may be longer than the buffer */
            cell_end(c, to);
            flush(c);
            to = c->buffer;
        }
        *to++ = digits[byte >> 4];
        *to++ = digits[byte & 15];
    }
    cell_end(c, to);
}

void csv_int(struct csv *c, int64_t value)
{
    csv_decimal(c, value, 0);
}

void csv_decimal(struct csv *c, int64_t value, unsigned decimals)
{
    char *to = cell_begin(c);
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    ASSERT(decimals <= CSV_DECIMALS_MAX);
    if (value < 0)
        *to++ = '-';
    if (decimals == 0) {
        to = put_digits(to, size, digit_count(size));
    } else {
        uint64_t whole = size / powers_of_ten[decimals];

        to = put_digits(to, whole, digit_count(whole));
        *to++ = '.';
        to = put_digits(to, size % powers_of_ten[decimals], decimals);
    }
    cell_end(c, to);
}

/* ---- times ---- */

/* The date of the moment into its slot; false when it is out of the years that text can show. */
static bool date_set(struct csv *c, size_t slot, int64_t day, int64_t wall_ms)
{
    char text[CHRONO_ISO_MAX];
    size_t len = chrono_iso_format(text, wall_ms);
    int64_t back;

    if (chrono_iso_parse((struct str){text, len}, &back) || back != wall_ms)
        return false;
    memcpy(c->dates[slot].text, text, DATE_BYTES);
    c->dates[slot].day = day;
    c->dates[slot].set = true;
    return true;
}

void csv_time(struct csv *c, int64_t wall_ms)
{
    char *to = cell_begin(c);
    int64_t day = wall_ms / MS_PER_DAY - (wall_ms % MS_PER_DAY < 0);
    uint64_t ms = (uint64_t)wall_ms - (uint64_t)day * MS_PER_DAY;
    size_t slot = (size_t)((uint64_t)day % DATES);

    if (!(c->dates[slot].set && c->dates[slot].day == day) && !date_set(c, slot, day, wall_ms)) {
        cell_end(c, to + chrono_iso_format(to, wall_ms));
        return;
    }
    memcpy(to, c->dates[slot].text, DATE_BYTES);
    to = put_digits(to + DATE_BYTES, ms / 3600000, 2);
    *to++ = ':';
    to = put_digits(to, ms / 60000 % 60, 2);
    *to++ = ':';
    to = put_digits(to, ms / 1000 % 60, 2);
    *to++ = '.';
    to = put_digits(to, ms % 1000, 3);
    *to++ = 'Z';
    cell_end(c, to);
}

/* ---- text ---- */

void csv_text(struct csv *c, struct str text)
{
    char *to = cell_begin(c);
    bool quoted = false;

    if (text.len > CSV_TEXT_MAX_BYTES)
        text.len = CSV_TEXT_MAX_BYTES;
    for (size_t i = 0; i < text.len && !quoted; i++)
        quoted = text.at[i] == '"' || text.at[i] == ',' || text.at[i] == '\r' || text.at[i] == '\n';
    if (quoted)
        *to++ = '"';
    if (text.len > 0 && memchr("=+-@\t\r", text.at[0], 6))
        *to++ = '\'';
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '"')
            *to++ = '"';
        *to++ = text.at[i];
    }
    if (quoted)
        *to++ = '"';
    cell_end(c, to);
}

void csv_empty(struct csv *c)
{
    cell_end(c, cell_begin(c));
}

/* ---- rows ---- */

bool csv_row(struct csv *c)
{
    memcpy(c->buffer + c->len, "\r\n", 2);
    c->len += 2;
    c->in_row = false;
    if (c->len >= BUFFER_BYTES)
        flush(c);
    return c->err == 0;
}

int csv_end(struct csv *c)
{
    int rc;

    flush(c);
    rc = c->err;
    mem_free(c);
    return rc;
}
