#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

#include "broker/base/log.h"

enum { LINES_MAX_BYTES = 16384 };

static int pipe_ends[2];

static void open_pipe(void)
{
    cr_assert_eq(pipe(pipe_ends), 0);
}

static void close_pipe(void)
{
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* What was logged, without the moment that every line begins with. */
static const char *logged(void)
{
    static char lines[LINES_MAX_BYTES];
    ssize_t len = read(pipe_ends[0], lines, sizeof lines - 1);
    const char *level;

    cr_assert_gt(len, 0);
    lines[len] = '\0';
    level = strstr(lines, "level");
    cr_assert_not_null(level);
    return level;
}

Test(log, an_event_is_one_line_of_logfmt, .init = open_pipe, .fini = close_pipe)
{
    log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    LOG_INFO("bike_seen", F_TEXT("bike", "b-1"), F_INT("temp_c", -4), F_UINT("bytes", UINT64_MAX),
             F_BOOL("tls", true));
    cr_expect_str_eq(logged(), "level=info event=bike_seen bike=b-1 temp_c=-4 "
                               "bytes=18446744073709551615 tls=true\n");
}

Test(log, an_event_is_one_json_object, .init = open_pipe, .fini = close_pipe)
{
    log_configure(pipe_ends[1], LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    LOG_ERROR("bike_seen", F_TEXT("bike", "b-1"), F_INT("temp_c", -4), F_BOOL("tls", false));
    cr_expect_str_eq(logged(), "level\":\"error\",\"event\":\"bike_seen\",\"bike\":\"b-1\",\"temp_"
                               "c\":-4,\"tls\":false}\n");
}

Test(log, the_moment_comes_first_in_both_formats, .init = open_pipe, .fini = close_pipe)
{
    char start[8] = {0};

    log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    LOG_INFO("x", F_INT("n", 1));
    cr_assert_eq(read(pipe_ends[0], start, 5), 5);
    cr_expect_str_eq(start, "ts=20");
    logged();
    log_configure(pipe_ends[1], LOG_FORMAT_JSON, LOG_LEVEL_INFO);
    LOG_INFO("x", F_INT("n", 1));
    cr_assert_eq(read(pipe_ends[0], start, 7), 7);
    cr_expect_str_eq(start, "{\"ts\":\"");
}

Test(log, bytes_of_a_peer_cannot_forge_a_line, .init = open_pipe, .fini = close_pipe)
{
    static const struct {
        struct str value;
        const char *logfmt, *json;
    } rows[] = {
        {STR_LITERAL(""), "\"\"", "\"\""},
        {STR_LITERAL("a b"), "\"a b\"", "\"a b\""},
        {STR_LITERAL("a=b"), "\"a=b\"", "\"a=b\""},
        {STR_LITERAL("a\nlevel=error"), "\"a\\nlevel=error\"", "\"a\\nlevel=error\""},
        {STR_LITERAL("\r\t"), "\"\\r\\t\"", "\"\\r\\t\""},
        {STR_LITERAL("\"\\"), "\"\\\"\\\\\"", "\"\\\"\\\\\""},
        {STR_LITERAL("\0\x1b[31m\x7f"), "\"\\x00\\x1b[31m\\x7f\"", "\"\\\\x00\\\\x1b[31m\\\\x7f\""},
        {STR_LITERAL("M\xc3\xbcnchen"), "\"M\xc3\xbcnchen\"", "\"M\xc3\xbcnchen\""},
        {STR_LITERAL("\xe2\x82\xac\xf0\x9f\x9a\xb2"), "\"\xe2\x82\xac\xf0\x9f\x9a\xb2\"",
         "\"\xe2\x82\xac\xf0\x9f\x9a\xb2\""},
        {STR_LITERAL("\xc2\x85"), "\"\\xc2\\x85\"", "\"\\\\xc2\\\\x85\""}, /* C1 next line */
        {STR_LITERAL("\xc0\xaf"), "\"\\xc0\\xaf\"", "\"\\\\xc0\\\\xaf\""}, /* overlong */
        {STR_LITERAL("\xe0\x80\xaf"), "\"\\xe0\\x80\\xaf\"", "\"\\\\xe0\\\\x80\\\\xaf\""},
        {STR_LITERAL("\xed\xa0\x80"), "\"\\xed\\xa0\\x80\"", "\"\\\\xed\\\\xa0\\\\x80\""},
        {STR_LITERAL("\xf4\x90\x80\x80"), "\"\\xf4\\x90\\x80\\x80\"",
         "\"\\\\xf4\\\\x90\\\\x80\\\\x80\""},
        {STR_LITERAL("\xe2\x82"), "\"\\xe2\\x82\"", "\"\\\\xe2\\\\x82\""}, /* cut short */
        {STR_LITERAL("\xff"), "\"\\xff\"", "\"\\\\xff\""},
    };
    char expected[256];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
        LOG_WARN("x", F_STR("v", rows[i].value));
        snprintf(expected, sizeof expected, "level=warn event=x v=%s\n", rows[i].logfmt);
        cr_expect_str_eq(logged(), expected, "row %zu", i);
        log_configure(pipe_ends[1], LOG_FORMAT_JSON, LOG_LEVEL_INFO);
        LOG_WARN("x", F_STR("v", rows[i].value));
        snprintf(expected, sizeof expected, "level\":\"warn\",\"event\":\"x\",\"v\":%s}\n",
                 rows[i].json);
        cr_expect_str_eq(logged(), expected, "row %zu", i);
    }
}

Test(log, a_long_value_is_cut_and_says_so, .init = open_pipe, .fini = close_pipe)
{
    static char value[2000];

    memset(value, 'a', sizeof value);
    log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    LOG_INFO("x", F_STR("v", str_of_bytes(value, sizeof value)), F_INT("n", 1));
    const char *line = logged();
    cr_expect_lt(strlen(line), 1100);
    cr_expect_not_null(strstr(line, "aaa...\" n=1\n"));
}

Test(log, a_long_line_drops_whole_fields_and_says_so, .init = open_pipe, .fini = close_pipe)
{
    static const char *const ends[] = {" n=1 truncated=true\n", ",\"n\":1,\"truncated\":true}\n"};
    static char value[1020];
    struct str text = str_of_bytes(value, sizeof value);

    memset(value, 'a', sizeof value);
    for (int format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        log_configure(pipe_ends[1], (enum log_format)format, LOG_LEVEL_INFO);
        LOG_INFO("x", F_STR("a", text), F_STR("b", text), F_STR("c", text), F_INT("n", 1),
                 F_STR("d", text), F_STR("e", text));
        const char *line = logged();
        size_t end_len = strlen(ends[format]);
        cr_assert_gt(strlen(line), end_len);
        cr_expect_str_eq(line + strlen(line) - end_len, ends[format]);
    }
}

static int evaluated;

static int64_t evaluate(void)
{
    return ++evaluated;
}

Test(log, what_is_below_the_least_level_is_neither_written_nor_computed, .init = open_pipe,
     .fini = close_pipe)
{
    log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_WARN);
    LOG_INFO("quiet", F_INT("n", evaluate()));
    LOG_WARN("loud", F_INT("n", evaluate()));
    cr_expect_str_eq(logged(), "level=warn event=loud n=1\n");
    cr_expect_not(log_enabled(LOG_LEVEL_INFO));
    cr_expect(log_enabled(LOG_LEVEL_ERROR));
}

Test(log, a_closed_descriptor_loses_the_line_and_nothing_else)
{
    log_configure(-1, LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    LOG_INFO("lost", F_INT("n", 1));
}

/* Nobody reads: the caller goes on, and later the log says what it lost. */
Test(log, a_full_pipe_stops_nobody, .init = open_pipe, .fini = close_pipe, .timeout = 20)
{
    enum { LINES = 2000 };
    static char bytes[1 << 20];
    static char value[200];
    unsigned written = 0, lost = 0;
    size_t len = 0;
    const char *found;

    memset(value, 'a', sizeof value);
    log_configure(pipe_ends[1], LOG_FORMAT_LOGFMT, LOG_LEVEL_INFO);
    for (int i = 0; i < LINES; i++)
        LOG_INFO("noise", F_STR("v", str_of_bytes(value, sizeof value)));
    while (len < sizeof bytes / 2 && !strstr(bytes, "event=last")) {
        ssize_t got = read(pipe_ends[0], bytes + len, 1 << 16);

        cr_assert_gt(got, 0);
        len += (size_t)got;
        if (lost++ == 0) /* there is room again */
            LOG_INFO("last", F_INT("n", 1));
    }
    for (const char *at = bytes; (at = strstr(at, "event=noise")); at++)
        written++;
    found = strstr(bytes, "level=warn event=log_lines_lost count=");
    cr_assert_not_null(found);
    cr_expect_eq(sscanf(strstr(found, "count="), "count=%u", &lost), 1);
    cr_expect_gt(written, 0);
    cr_expect_eq(written + lost, LINES, "%u written, %u lost", written, lost);
    cr_expect_lt(found, strstr(bytes, "event=last"));
}
