#include "storage/core.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>

#include "storage/crc32c.h"
#include "test/unit/storage/folder.h"

static char folder[64], path[80];

static void set_up(void)
{
    folder_make(folder, false);
    snprintf(path, sizeof path, "%s/core.mdb", folder);
}

static void tear_down(void)
{
    folder_remove(folder);
}

/* What core_read() shows, as text that a test can compare. */
struct dump {
    char text[4096];
    unsigned bad;
};

static int on_bike(void *ctx, uint32_t number, struct str id)
{
    struct dump *d = ctx;

    sprintf(d->text + strlen(d->text), "bike %u %.*s\n", number, (int)id.len, id.at);
    return 0;
}

static int on_latest(void *ctx, uint32_t bike, struct str state)
{
    struct dump *d = ctx;

    sprintf(d->text + strlen(d->text), "latest %u %.*s\n", bike, (int)state.len, state.at);
    return 0;
}

static int on_segment(void *ctx, const struct core_segment *segment)
{
    struct dump *d = ctx;

    sprintf(d->text + strlen(d->text), "segment %llu %llu %lld %lld\n",
            (unsigned long long)segment->first, (unsigned long long)segment->next,
            (long long)segment->recv_first_ms, (long long)segment->recv_last_ms);
    return 0;
}

static int on_quarantined(void *ctx, uint64_t sequence, struct str record)
{
    struct dump *d = ctx;

    sprintf(d->text + strlen(d->text), "quarantine %llu %.*s\n", (unsigned long long)sequence,
            (int)record.len, record.at);
    return 0;
}

static void on_bad(void *ctx, const char *table)
{
    struct dump *d = ctx;

    sprintf(d->text + strlen(d->text), "bad %s\n", table);
    d->bad++;
}

static int dump(struct core *c, struct core_meta *meta, struct dump *out)
{
    const struct core_visitor visitor = {.bike = on_bike,
                                         .latest = on_latest,
                                         .segment = on_segment,
                                         .quarantined = on_quarantined,
                                         .bad = on_bad,
                                         .ctx = out};

    *out = (struct dump){.bad = 0};
    return core_read(c, meta, &visitor, NULL);
}

static struct core *open_core(void)
{
    struct err_detail detail = {""};
    struct core *c;

    cr_assert_eq(core_open(&c, folder, false, &detail), 0, "%s", detail.text);
    return c;
}

static void fill(struct core *c, struct core_meta *meta)
{
    const struct core_segment a = {1, 50, -3, 900}, b = {50, 100, 5, 6};

    cr_assert_eq(core_begin(c, NULL), 0);
    cr_assert_eq(core_put_bike(c, 1, STR_LITERAL("one")), 0);
    cr_assert_eq(core_put_bike(c, 2, STR_LITERAL("two")), 0);
    cr_assert_eq(core_put_latest(c, 256, STR_LITERAL("tardy")), 0);
    cr_assert_eq(core_put_latest(c, 2, STR_LITERAL("early")), 0);
    cr_assert_eq(core_put_segment(c, &a), 0);
    cr_assert_eq(core_put_segment(c, &b), 0);
    cr_assert_eq(core_put_quarantined(c, meta, 300, STR_LITERAL("third")), 0);
    cr_assert_eq(core_put_quarantined(c, meta, 7, STR_LITERAL("first")), 0);
    cr_assert_eq(core_put_quarantined(c, meta, 7, STR_LITERAL("again")), 0);
    meta->checkpoint = 100;
    cr_assert_eq(core_commit(c, meta, NULL), 0);
}

static const char filled[] = "bike 1 one\nbike 2 two\nlatest 2 early\nlatest 256 tardy\n"
                             "segment 1 50 -3 900\nsegment 50 100 5 6\n"
                             "quarantine 7 first\nquarantine 300 third\n";

Test(core, what_was_committed_is_read, .init = set_up, .fini = tear_down)
{
    struct core_meta meta;
    struct core *c = open_core();
    struct dump seen;

    cr_expect(core_is_new(c));
    cr_assert_eq(dump(c, &meta, &seen), 0);
    cr_expect(meta.checkpoint == 1 && meta.log_first == 1 && seen.text[0] == '\0');
    memset(meta.uuid, 7, sizeof meta.uuid);
    meta.segments_dropped = 9;
    fill(c, &meta);
    cr_expect(!core_is_new(c));
    cr_assert_eq(core_begin(c, NULL), 0);
    cr_assert_eq(core_put_bike(c, 3, STR_LITERAL("never")), 0);
    core_abort(c);
    core_close(c);

    for (int read_only = 0; read_only < 2; read_only++) {
        cr_assert_eq(core_open(&c, folder, read_only, NULL), 0);
        cr_expect(!core_is_new(c));
        cr_assert_eq(dump(c, &meta, &seen), 0);
        cr_expect_str_eq(seen.text, filled);
        cr_expect_eq(meta.checkpoint, 100);
        cr_expect_eq(meta.quarantined, 2);
        cr_expect_eq(meta.quarantine_bytes, 10);
        cr_expect_eq(meta.segments_dropped, 9);
        cr_expect_eq(meta.uuid[15], 7);
        core_close(c);
    }
}

Test(core, segments_and_quarantine_are_let_go_oldest_first, .init = set_up, .fini = tear_down)
{
    struct core_meta meta = {.checkpoint = 1, .log_first = 1};
    struct core_segment found;
    struct core *c = open_core();
    struct dump seen;

    fill(c, &meta);
    cr_assert_eq(core_begin(c, NULL), 0);
    cr_expect_eq(core_find_segment(c, 50, &found), 0);
    cr_expect_eq(found.recv_last_ms, 6);
    cr_expect_eq(core_find_segment(c, 51, &found), ERR_NOTFOUND);
    cr_assert_eq(core_drop_segments(c, 50), 0);
    cr_assert_eq(core_trim_quarantine(c, &meta, 10), 0);
    cr_expect_eq(meta.quarantine_dropped, 0, "10 bytes are allowed");
    cr_assert_eq(core_trim_quarantine(c, &meta, 9), 0);
    cr_assert_eq(core_commit(c, &meta, NULL), 0);
    cr_assert_eq(dump(c, &meta, &seen), 0);
    cr_expect_str_eq(seen.text, "bike 1 one\nbike 2 two\nlatest 2 early\nlatest 256 tardy\n"
                                "segment 50 100 5 6\nquarantine 300 third\n");
    cr_expect_eq(meta.quarantine_dropped, 1);
    cr_expect_eq(meta.quarantine_bytes, 5);
    cr_assert_eq(core_begin(c, NULL), 0);
    cr_assert_eq(core_trim_quarantine(c, &meta, 0), 0);
    cr_expect(meta.quarantine_dropped == 2 && meta.quarantine_bytes == 0);
    meta.quarantine_bytes = 77; /* a counter that lies */
    cr_assert_eq(core_trim_quarantine(c, &meta, 0), 0);
    cr_expect_eq(meta.quarantine_bytes, 0);
    core_abort(c);
    core_close(c);
}

static off_t file_size(void)
{
    struct stat file;

    cr_assert_eq(stat(path, &file), 0);
    return file.st_size;
}

/* Replace the value of "meta" by `value`, as another release or a broken disk would have it. */
static void meta_replace(const void *bytes, size_t len)
{
    char name[] = "meta", body[256];
    MDB_val key = {4, name}, value = {4 + len, body};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;

    memcpy(body + 4, bytes, len);
    store_u32(body, crc32c(crc32c(0, "meta", 4), bytes, len));
    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_set_maxdbs(env, 4), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    cr_assert_eq(mdb_dbi_open(txn, "meta", 0, &table), 0);
    cr_assert_eq(mdb_put(txn, table, &key, &value, 0), 0);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

Test(core, a_newer_format_is_refused, .init = set_up, .fini = tear_down)
{
    static const uint8_t newer[] = {2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t odd[] = {1, 0, 0, 0, 9};
    struct core_meta meta = {.checkpoint = 1, .log_first = 1};
    struct err_detail detail = {""};
    struct core *c = open_core();

    fill(c, &meta);
    core_close(c);
    meta_replace(newer, sizeof newer);
    cr_expect_eq(core_open(&c, folder, false, &detail), ERR_UNSUPPORTED);
    cr_expect(strstr(detail.text, "format 2") && strstr(detail.text, "newer"), "%s", detail.text);
    meta_replace(odd, sizeof odd);
    cr_expect_eq(core_open(&c, folder, false, &detail), ERR_CORRUPT);
}

Test(core, what_is_not_there_or_no_core, .init = set_up, .fini = tear_down)
{
    char deep[5000];
    struct core *c;
    int fd;

    cr_expect_eq(core_open(&c, folder, true, NULL), ERR_NOTFOUND);
    memset(deep, 'x', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    cr_expect_eq(core_open(&c, deep, false, NULL), ERR_TOO_LARGE);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    for (int i = 0; i < 4096; i++)
        cr_assert_eq(write(fd, "no database", 11), 11);
    close(fd);
    cr_expect_eq(core_open(&c, folder, false, NULL), ERR_CORRUPT);
}

/* Every length that a copy may have been cut to: an error, never another content. */
Test(core, a_file_cut_short_is_refused, .init = set_up, .fini = tear_down)
{
    struct core_meta meta = {.checkpoint = 1, .log_first = 1};
    struct core *c = open_core();
    off_t size;

    fill(c, &meta);
    core_close(c);
    size = file_size();
    for (off_t cut = size - 4096; cut >= 0; cut -= 4096) {
        cr_assert_eq(truncate(path, cut), 0);
        if (cut == 0)
            break; /* nothing at all is a new one */
        int rc = core_open(&c, folder, false, NULL);

        cr_expect(rc < 0, "%lld of %lld bytes", (long long)cut, (long long)size);
    }
}

/* A flipped bit in any value is found by its CRC; what is left is right. */
Test(core, a_flipped_bit_in_a_value_is_found, .init = set_up, .fini = tear_down)
{
    static const char *const values[] = {"early", "tardy", "first", "third"};
    struct core_meta meta = {.checkpoint = 1, .log_first = 1};
    struct core *c = open_core();
    uint8_t bytes[256 << 10];
    ssize_t len;
    int fd;

    fill(c, &meta);
    core_close(c);
    fd = open(path, O_RDWR);
    len = pread(fd, bytes, sizeof bytes, 0);
    cr_assert_gt(len, 0);
    for (size_t v = 0; v < ARRAY_LEN(values); v++) {
        uint8_t *at = memmem(bytes, (size_t)len, values[v], strlen(values[v]));
        struct dump seen;

        cr_assert_not_null(at);
        for (unsigned bit = 0; bit < 8 * (4 + strlen(values[v])); bit += 5) {
            uint8_t *target = at - 4 + bit / 8;
            uint8_t flipped = (uint8_t)(*target ^ 1u << bit % 8);

            cr_assert_eq(pwrite(fd, &flipped, 1, target - bytes), 1);
            c = open_core();
            cr_assert_eq(dump(c, &meta, &seen), 0);
            cr_expect_eq(seen.bad, 1, "%s bit %u", values[v], bit);
            cr_expect_null(strstr(seen.text, values[v]), "%s bit %u", values[v], bit);
            core_close(c);
            cr_assert_eq(pwrite(fd, target, 1, target - bytes), 1);
        }
    }
    close(fd);
}
