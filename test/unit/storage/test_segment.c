#include "storage/segment.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "broker/base/chrono.h"
#include "storage/crc32c.h"
#include "storage/mdb.h"
#include "storage/segment_priv.h"
#include "test/unit/storage/folder.h"

static const uint8_t uuid[SEGMENT_UUID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
static char folder[64], path[SEGMENT_PATH_MAX];
static struct err_detail detail;

static void set_up(void)
{
    folder_make(folder, true);
    cr_assert_eq(segment_path(path, folder, 1), 0);
}

static void tear_down(void)
{
    folder_remove(folder);
}

static struct segment *make(uint64_t first)
{
    struct segment *seg = NULL;

    cr_assert_eq(segment_create(&seg, folder, uuid, &detail), 0, "%s", detail.text);
    cr_assert_eq(segment_name(seg, first, &detail), 0, "%s", detail.text);
    return seg;
}

/* A block of `count` records; `sound`: with its CRC. Returns the next sequence. */
static uint64_t append(struct segment *seg, uint64_t sequence, uint32_t count, size_t payload_len,
                       bool sound)
{
    static char payload[70000];
    const struct record record = {.type = RECORD_TELEMETRY, .payload = {payload, payload_len}};
    size_t bytes = BLOCK_HEAD_BYTES + count * record_bytes(&record);
    uint8_t *value;

    cr_assert_eq(segment_begin(seg, sequence, bytes, &value, &detail), 0, "%s", detail.text);
    for (uint32_t i = 0; i < count; i++)
        record_write(value + BLOCK_HEAD_BYTES + i * record_bytes(&record), &record);
    block_seal(value, bytes, sequence, count, 5);
    if (!sound)
        value[0] ^= 1;
    cr_assert_eq(segment_commit(seg, &detail), 0, "%s", detail.text);
    return sequence + count;
}

static struct segment_reader *open_reader(uint64_t first, bool sealed)
{
    struct segment_reader *reader = NULL;

    cr_assert_eq(segment_reader_open(&reader, folder, first, sealed, &detail), 0, "%s",
                 detail.text);
    return reader;
}

static uint64_t file_bytes(void)
{
    struct stat file;

    cr_assert_eq(stat(path, &file), 0);
    return (uint64_t)file.st_size;
}

Test(segment, keeps_its_place_and_its_header, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    uint64_t next = append(seg, 1, 3, 10, true);

    next = append(seg, next, 2, 60000, true);
    cr_expect_eq(next, 6);
    segment_close(seg);

    cr_assert_eq(segment_open(&seg, folder, 1, &detail), 0, "%s", detail.text);
    cr_expect_eq(segment_first(seg), 1);
    cr_expect_eq(segment_next(seg), 6);
    cr_expect_arr_eq(segment_uuid(seg), uuid, sizeof uuid);
    cr_expect(segment_created_ms(seg) > 0 && segment_created_ms(seg) <= chrono_wall_ms());
    segment_close(seg);
}

Test(segment, an_empty_one_begins_with_its_name, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1000);
    struct segment_reader *reader;
    struct block block;
    uint64_t end;

    segment_close(seg);
    cr_assert_eq(segment_open(&seg, folder, 1000, NULL), 0);
    cr_expect_eq(segment_next(seg), 1000);
    reader = open_reader(1000, false);
    cr_expect_eq(segment_reader_next(reader, &block), ERR_NOTFOUND);
    cr_expect_eq(segment_reader_end(reader, &end), 0);
    cr_expect_eq(end, 1000);
    segment_reader_close(reader);
    segment_close(seg);
}

/* Blocks of 3, 5 and 1 records from 10: which one holds a sequence? */
Test(segment, seek_finds_the_block_that_holds_it, .init = set_up, .fini = tear_down)
{
    static const struct {
        uint64_t sequence, found; /* 0: the end */
    } rows[] = {{0, 10},  {1, 10},  {9, 10},  {10, 10}, {11, 10}, {12, 10},
                {13, 13}, {17, 13}, {18, 18}, {19, 0},  {500, 0}, {10, 10}};
    struct segment *seg = make(10);
    struct segment_reader *reader;

    append(seg, append(seg, append(seg, 10, 3, 8, true), 5, 5000, true), 1, 8, true);
    reader = open_reader(10, false);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct block block;
        int rc;

        segment_reader_seek(reader, rows[i].sequence);
        rc = segment_reader_next(reader, &block);
        cr_expect_eq(rc, rows[i].found ? 0 : ERR_NOTFOUND, "row %zu", i);
        if (rc == 0)
            cr_expect_eq(block.sequence, rows[i].found, "row %zu", i);
    }
    segment_reader_close(reader);
    segment_close(seg);
}

/* A reader sees what is committed while it reads, and is not thrown by a pause anywhere. */
Test(segment, a_reader_follows_its_writer, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    struct segment_reader *reader = open_reader(1, false);
    uint64_t next = 1, end;
    struct block block;

    for (uint32_t i = 1; i <= 50; i++) {
        uint64_t sequence = next;

        next = append(seg, next, i, i * 100, true);
        cr_assert_eq(segment_reader_next(reader, &block), 0, "block %u", i);
        cr_expect_eq(block.sequence, sequence);
        cr_expect_eq(block.count, i);
        if (i % 3 == 0)
            segment_reader_pause(reader);
        cr_expect_eq(segment_reader_next(reader, &block), ERR_NOTFOUND);
        cr_expect_eq(segment_reader_end(reader, &end), 0);
        cr_expect_eq(end, next);
    }
    segment_reader_close(reader);
    segment_close(seg);
}

struct bad {
    int count;
    uint64_t sequence;
};

static void on_bad(void *ctx, uint64_t sequence, size_t bytes, const char *why)
{
    struct bad *bad = ctx;

    bad->count++;
    bad->sequence = sequence;
    cr_expect(bytes > 0 && strlen(why) > 0);
}

Test(segment, a_bad_block_is_told_and_skipped, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    struct segment_reader *reader;
    struct bad bad = {0};
    struct block block;

    append(seg, append(seg, append(seg, 1, 4, 100, true), 4, 100, false), 4, 100, true);
    reader = open_reader(1, false);
    segment_reader_on_bad(reader, on_bad, &bad);
    cr_expect(segment_reader_next(reader, &block) == 0 && block.sequence == 1);
    cr_expect(segment_reader_next(reader, &block) == 0 && block.sequence == 9);
    cr_expect_eq(segment_reader_next(reader, &block), ERR_NOTFOUND);
    cr_expect_eq(bad.count, 1);
    cr_expect_eq(bad.sequence, 5);
    segment_reader_seek(reader, 6); /* inside the bad one */
    cr_expect(segment_reader_next(reader, &block) == 0 && block.sequence == 9);
    segment_reader_close(reader);
    segment_close(seg);
}

/* Of a bad last block it is not known how many numbers it used: none may be given twice. */
Test(segment, numbers_of_a_bad_last_block_are_not_given_again, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);

    append(seg, append(seg, 1, 4, 0, true), 6, 0, false);
    segment_close(seg);
    cr_assert_eq(segment_open(&seg, folder, 1, NULL), 0);
    cr_expect_geq(segment_next(seg), 11);
    segment_close(seg);
}

/* Zeros are written ahead, a commit stays before their end, sealing cuts what is left of them. */
Test(segment, zeros_ahead_and_cut_at_the_end, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    uint64_t ready, used;
    struct segment_reader *reader;
    struct block block;

    cr_assert_eq(segment_extend(seg, 1000000, &detail), 0, "%s", detail.text);
    ready = segment_ready_bytes(seg);
    cr_expect_geq(ready, 1000000);
    cr_expect_eq(ready % SEGMENT_PAGE_BYTES, 0);
    cr_expect_eq(file_bytes(), ready);
    for (uint64_t sequence = 1;;) {
        if (segment_used_bytes(seg) + segment_need(30000) > ready)
            break;
        sequence = append(seg, sequence, 1, 30000 - BLOCK_HEAD_BYTES - RECORD_HEAD_BYTES, true);
    }
    cr_expect_eq(segment_ready_bytes(seg), ready);
    cr_expect_eq(file_bytes(), ready);
    used = segment_used_bytes(seg);
    cr_expect(used < ready && used > ready / 2);

    segment_close(seg); /* as a stop leaves it: the zeros are found again */
    cr_assert_eq(segment_open(&seg, folder, 1, NULL), 0);
    cr_expect_eq(segment_ready_bytes(seg), ready);
    cr_expect_eq(segment_used_bytes(seg), used);

    cr_assert_eq(segment_seal(seg, &detail), 0, "%s", detail.text);
    segment_close(seg);
    cr_expect_eq(file_bytes(), used);
    reader = open_reader(1, true);
    for (used = 0; segment_reader_next(reader, &block) == 0; used++)
        cr_expect_eq(block.count, 1);
    cr_expect_gt(used, 10);
    segment_reader_close(reader);
}

/* A large step is reserved: it belongs to the file, takes its blocks from the disk, and is not
 * written. Commits go there as elsewhere. */
Test(segment, large_steps_are_reserved, .init = set_up, .fini = tear_down)
{
    enum { STEP = 16 << 20 };
    struct segment *seg = make(1);
    struct segment_reader *reader;
    struct block block;
    struct stat file;
    uint64_t next = 1, seen = 0, ready;

    cr_assert_eq(segment_extend(seg, STEP, &detail), 0, "%s", detail.text);
    ready = segment_ready_bytes(seg);
    cr_expect_geq(ready, STEP);
    cr_assert_eq(stat(path, &file), 0);
    cr_expect_eq((uint64_t)file.st_size, ready);
    cr_expect_geq((uint64_t)file.st_blocks * 512, STEP);
    for (int i = 0; i < 20; i++)
        next = append(seg, next, 1, 60000, true);
    cr_expect_eq(segment_ready_bytes(seg), ready);
    cr_assert_eq(segment_extend(seg, 1 << 20, &detail), 0, "zeros behind it: %s", detail.text);
    cr_expect_eq(segment_ready_bytes(seg), ready + (1 << 20));
    reader = open_reader(1, false);
    while (segment_reader_next(reader, &block) == 0)
        seen += block.count;
    cr_expect_eq(seen, 20);
    segment_reader_close(reader);
    segment_close(seg);
}

/* Zeros and commits from two threads: nothing that was committed is ever zeroed, even when the log
 * outruns its zeros. */
static void *extend(void *ctx)
{
    for (int i = 0; i < 40; i++)
        if (segment_extend(ctx, 256 << 10, NULL) != 0)
            abort();
    return NULL;
}

Test(segment, zeros_never_land_on_a_commit, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    struct segment_reader *reader;
    struct block block;
    uint64_t next = 1, seen = 0;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, extend, seg), 0);
    for (int i = 0; i < 200; i++)
        next = append(seg, next, 1, 65000, true);
    pthread_join(thread, NULL);
    reader = open_reader(1, false);
    while (segment_reader_next(reader, &block) == 0)
        seen += block.count;
    cr_expect_eq(seen, 200);
    segment_reader_close(reader);
    segment_close(seg);
}

/* A file that is shorter than what LMDB uses of it is refused before it is touched. */
Test(segment, one_that_was_cut_is_refused, .init = set_up, .fini = tear_down)
{
    struct segment_reader *reader;
    struct segment *seg = make(1);

    append(seg, append(seg, 1, 1, 60000, true), 1, 60000, true);
    cr_assert_eq(segment_seal(seg, NULL), 0);
    segment_close(seg);
    cr_assert_eq(truncate(path, (off_t)file_bytes() - 1), 0);
    cr_expect_eq(segment_reader_open(&reader, folder, 1, true, &detail), ERR_CORRUPT);
    cr_expect_neq(strstr(detail.text, "cut short"), NULL, "%s", detail.text);
    cr_expect_eq(segment_open(&seg, folder, 1, &detail), ERR_CORRUPT);
    for (off_t bytes = 0; bytes < 3 * SEGMENT_PAGE_BYTES; bytes += 1000) {
        cr_assert_eq(truncate(path, bytes), 0);
        cr_expect_neq(segment_reader_open(&reader, folder, 1, true, &detail), 0);
    }
}

static void write_header(uint32_t format, bool sound)
{
    const struct mdb_mode mode = {.map_bytes = SEGMENT_MAP_BYTES};
    uint8_t head[SEGMENT_HEAD_BYTES];
    uint64_t zero = 0;
    MDB_val key = {sizeof zero, &zero}, value = {sizeof head, head};
    MDB_txn *txn;
    MDB_env *env;

    segment_head_write(head, &(struct segment_head){.created_ms = 1});
    store_u32(head + 8, format);
    store_u32(head, crc32c(0, head + 4, sizeof head - 4) ^ (sound ? 0 : 1));
    cr_assert_eq(mdb_env_acquire(&env, path, &mode, NULL), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    cr_assert_eq(mdb_put(txn, MDB_UNNAMED, &key, &value, 0), 0);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    mdb_env_release(env);
}

Test(segment, a_newer_format_and_a_damaged_header_are_refused, .init = set_up, .fini = tear_down)
{
    struct segment_reader *reader;
    struct segment *seg = make(1);

    segment_close(seg);
    write_header(SEGMENT_FORMAT + 1, true);
    cr_expect_eq(segment_open(&seg, folder, 1, &detail), ERR_UNSUPPORTED);
    cr_expect_neq(strstr(detail.text, "newer freehub"), NULL, "%s", detail.text);
    cr_expect_eq(segment_reader_open(&reader, folder, 1, true, NULL), ERR_UNSUPPORTED);
    write_header(SEGMENT_FORMAT, false);
    cr_expect_eq(segment_open(&seg, folder, 1, NULL), ERR_CORRUPT);
    write_header(SEGMENT_FORMAT, true);
    cr_assert_eq(segment_open(&seg, folder, 1, NULL), 0);
    segment_close(seg);
}

Test(segment, the_list_holds_segments_in_order_and_nothing_else, .init = set_up, .fini = tear_down)
{
    static const char *const others[] = {"next.mdb",
                                         "L-1.mdb",
                                         "L-000000000000000g.mdb",
                                         "L-0000000000000001.mdb-lock",
                                         "L-000000000000000A.mdb",
                                         "L-0000000000000000.mdb",
                                         "x"};
    static const uint64_t firsts[] = {0x300, 1, 0xfedcba9876543210, 0x20};
    struct segment_list list;

    for (size_t i = 0; i < ARRAY_LEN(firsts); i++)
        segment_close(make(firsts[i]));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char name[128];

        snprintf(name, sizeof name, "%s/log/%s", folder, others[i]);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    cr_assert_eq(list.count, 4);
    cr_expect_eq(list.entries[0].first, 1);
    cr_expect_eq(list.entries[1].first, 0x20);
    cr_expect_eq(list.entries[2].first, 0x300);
    cr_expect_eq(list.entries[3].first, 0xfedcba9876543210);
    cr_expect_gt(list.entries[0].file_bytes, 0);
    segment_list_free(&list);
    cr_assert_eq(segment_remove(folder, 0x20, NULL), 0);
    cr_expect_eq(segment_remove(folder, 0x20, NULL), ERR_NOTFOUND);
    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    cr_expect_eq(list.count, 3);
    segment_list_free(&list);
    cr_expect_eq(segment_list_read(&list, "/nonexistent", NULL), 0);
    cr_expect_eq(list.count, 0);
}

/* Retention may take a file under a reader, which reads on; who opens it then is told. */
Test(segment, a_removed_one_is_read_to_its_end, .init = set_up, .fini = tear_down)
{
    struct segment *seg = make(1);
    struct segment_reader *reader, *late;
    struct block block;

    append(seg, append(seg, 1, 1, 60000, true), 1, 60000, true);
    segment_close(seg);
    reader = open_reader(1, true);
    cr_assert_eq(segment_remove(folder, 1, NULL), 0);
    cr_expect_eq(segment_reader_next(reader, &block), 0);
    segment_reader_pause(reader);
    cr_expect_eq(segment_reader_next(reader, &block), 0);
    cr_expect_eq(segment_reader_next(reader, &block), ERR_NOTFOUND);
    cr_expect_eq(segment_reader_open(&late, folder, 1, true, NULL), ERR_NOTFOUND);
    segment_reader_close(reader);
}

/* One environment a file a process: a writer's serves readers, a reader's is not given to a writer.
 */
Test(mdb, one_environment_a_file, .init = set_up, .fini = tear_down)
{
    struct mdb_mode mode = {.map_bytes = SEGMENT_MAP_BYTES};
    MDB_env *writing, *reading, *again;

    segment_close(make(1));
    cr_assert_eq(mdb_env_acquire(&writing, path, &mode, NULL), 0);
    mode.read_only = true;
    cr_assert_eq(mdb_env_acquire(&reading, path, &mode, NULL), 0);
    cr_expect_eq(reading, writing);
    mdb_env_release(writing);
    mdb_env_release(reading);

    cr_assert_eq(mdb_env_acquire(&reading, path, &mode, NULL), 0);
    mode.read_only = false;
    cr_expect_eq(mdb_env_acquire(&again, path, &mode, &detail), ERR_BUSY);
    mdb_env_release(reading);
    cr_assert_eq(mdb_env_acquire(&again, path, &mode, &detail), 0, "%s", detail.text);
    mdb_env_release(again);
    mdb_env_release(NULL);
}

Test(mdb, codes)
{
    static const struct {
        int mdb, err;
    } rows[] = {{MDB_SUCCESS, 0},
                {MDB_NOTFOUND, ERR_NOTFOUND},
                {MDB_KEYEXIST, ERR_EXISTS},
                {MDB_MAP_FULL, ERR_FULL},
                {MDB_READERS_FULL, ERR_FULL},
                {MDB_CORRUPTED, ERR_CORRUPT},
                {MDB_PANIC, ERR_CORRUPT},
                {MDB_VERSION_MISMATCH, ERR_UNSUPPORTED},
                {MDB_BAD_VALSIZE, ERR_TOO_LARGE},
                {MDB_BAD_TXN, ERR_IO},
                {ENOSPC, ERR_NOSPACE},
                {EIO, ERR_IO},
                {EROFS, ERR_READONLY}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(err_from_mdb(rows[i].mdb), rows[i].err, "%d", rows[i].mdb);
}
