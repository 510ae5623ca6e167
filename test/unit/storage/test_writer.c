#include "storage/writer.h"

#include <criterion/criterion.h>
#include <sched.h>

#include "broker/base/chrono.h"
#include "storage/record.h"
#include "storage/ring_priv.h"
#include "storage/store.h"
#include "test/unit/storage/folder.h"

static char folder[64];

static void set_up(void)
{
    folder_make(folder, false);
}

static void tear_down(void)
{
    folder_remove(folder);
}

static void defaults(struct store_options *options)
{
    store_options_default(options);
    options->folder = folder;
    options->prewrite_max_bytes = 4 << 20;
}

/* A record whose payload is its number, then filler. */
static uint64_t append(struct ring *ring, uint64_t number, size_t filler)
{
    uint8_t payload[4096];
    struct record record = {.type = RECORD_TELEMETRY, .schema = 1, .bike = 7};
    void *room;

    memset(payload, (int)(number & 255), sizeof payload);
    store_u64(payload, number);
    record.payload = str_of_bytes(payload, 8 + filler);
    record.recv_ms = (int64_t)number;
    while ((room = ring_reserve(ring, record_bytes(&record))) == NULL) {
        ring_publish(ring);
        ring_release(ring, ring_committed(ring));
        sched_yield();
    }
    record_write(room, &record);
    return ring_append(ring, record_bytes(&record));
}

static void wait_committed(struct ring *ring, uint64_t offset)
{
    while (ring_committed(ring) < offset)
        sched_yield();
}

/* Read the whole log: how many records there are, whether sequences are dense from 1, and the sum
 * of the numbers. */
struct seen {
    uint64_t records, sum, blocks, largest_block;
    bool dense, in_order;
};

static struct seen read_log(void)
{
    struct seen seen = {.dense = true, .in_order = true};
    uint64_t expected = 1, last = 0;
    struct segment_list list;

    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    for (size_t i = 0; i < list.count; i++) {
        struct segment_reader *reader;
        struct block block;

        cr_assert_eq(
            segment_reader_open(&reader, folder, list.entries[i].first, i + 1 < list.count, NULL),
            0);
        if (list.entries[i].first != expected)
            seen.dense = false;
        while (segment_reader_next(reader, &block) == 0) {
            struct block_walk walk = block_walk(&block);
            struct record record;
            uint64_t sequence;

            seen.blocks++;
            if (block.records.len > seen.largest_block)
                seen.largest_block = block.records.len;
            while (block_next(&walk, &record, &sequence)) {
                uint64_t number = load_u64(record.payload.at);

                if (sequence != expected++)
                    seen.dense = false;
                if (number < last)
                    seen.in_order = false;
                last = number;
                seen.records++;
                seen.sum += number;
            }
            cr_expect_eq(walk.left, 0);
        }
        segment_reader_close(reader);
    }
    segment_list_free(&list);
    return seen;
}

/* Everything published is readable after a reopen, and a second run goes on behind it. */
Test(writer, what_was_published_is_there_after_reopen, .init = set_up, .fini = tear_down)
{
    struct store_options options;

    defaults(&options);
    for (uint64_t run = 0; run < 3; run++) {
        struct err_detail detail = {""};
        struct store_status status;
        struct store *store;
        struct ring *ring;
        uint64_t end = 0;

        cr_assert_eq(store_open(&store, &options, &detail), 0, "%s", detail.text);
        cr_assert_eq(store_ring_new(store, 1 << 20, NULL, NULL, &ring), 0);
        cr_assert_eq(store_start(store, &detail), 0, "%s", detail.text);
        for (uint64_t i = 0; i < 1000; i++) {
            end = append(ring, run * 1000 + i, i % 100);
            if (i % 10 == 0)
                ring_publish(ring);
        }
        ring_publish(ring);
        cr_assert_eq(store_stop(store, &detail), 0, "%s", detail.text);
        cr_expect_eq(ring_committed(ring), end);
        store_status(store, &status);
        cr_expect_eq(status.next_sequence, (run + 1) * 1000 + 1);
        cr_expect_eq(status.first_sequence, 1);
        cr_expect_eq(status.segments, 1);
        store_close(store);

        struct seen seen = read_log();
        cr_expect_eq(seen.records, (run + 1) * 1000);
        cr_expect(seen.dense && seen.in_order);
    }
    cr_expect_eq(read_log().sum, 3000ull * 2999 / 2);
}

/* The default pacing commits by itself, and wakes a ring's owner that sleeps. */
static _Atomic int wake_ups;

static void on_committed(void *ctx)
{
    (void)ctx;
    wake_ups++;
}

Test(writer, commits_by_itself_and_wakes_sleepers, .init = set_up, .fini = tear_down)
{
    struct store_options options;
    struct store *store;
    struct ring *ring;

    wake_ups = 0;
    defaults(&options);
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    cr_assert_eq(store_ring_new(store, 1 << 16, on_committed, NULL, &ring), 0);
    cr_assert_eq(store_start(store, NULL), 0);
    for (uint64_t i = 0; i < 40; i++) { /* more than the burst: some of them are paced */
        uint64_t end = append(ring, i, 0);

        ring_publish(ring);
        wait_committed(ring, end);
    }
    cr_expect_eq(wake_ups, 0, "nobody slept");
    for (int i = 1; i <= 3; i++) {
        uint64_t end = append(ring, 0, 0);

        ring_sleep(ring, true);
        ring_publish(ring);
        wait_committed(ring, end);
        while (wake_ups < i)
            sched_yield();
        cr_expect_eq(wake_ups, i);
    }
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
}

/* ---- pacing, with a pretended clock ---- */

enum { MS = 1000000 };

/* Rules 1 to 3 of writer.h: after `commits` at 0 ms, when are `pending` bytes due at `now_ms`? */
Test(writer, pacing)
{
    static const struct {
        const char *name;
        uint32_t interval_ms, bytes, burst, commits;
        uint64_t pending;
        uint64_t now_ms, due_ms;
    } rows[] = {
        {"a store that was idle has its burst", 10, 1000, 3, 0, 1, 0, 0},
        {"two used, one left", 10, 1000, 3, 2, 1, 0, 0},
        {"all used: the interval", 10, 1000, 3, 3, 1, 0, 10},
        {"the interval, later", 10, 1000, 3, 3, 1, 4, 10},
        {"the interval is over", 10, 1000, 3, 3, 1, 10, 10},
        {"enough bytes go at once", 10, 1000, 3, 3, 1000, 1, 1},
        {"a byte less does not", 10, 1000, 3, 3, 999, 1, 10},
        {"without burst only the interval counts", 10, 1000, 0, 1, 1, 3, 10},
        {"natural: at once", 0, 1000, 3, 5, 1, 0, 0},
        {"natural, without burst", 0, 1000, 0, 5, 1, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct writer_pace pace;

        writer_pace_init(&pace, rows[i].interval_ms, rows[i].bytes, rows[i].burst, 0);
        for (uint32_t k = 0; k < rows[i].commits; k++)
            writer_pace_commit(&pace, 0);
        cr_expect_eq(writer_due(&pace, rows[i].pending, rows[i].now_ms * MS), rows[i].due_ms * MS,
                     "%s", rows[i].name);
    }
}

/* Run a sender of one small record each `gap_us` against the clock; count the commits and the most
 * that a record waited. */
struct run {
    uint64_t commits, wait_max_us;
};

static struct run pace_run(uint32_t burst, uint64_t gap_us, uint64_t records)
{
    struct writer_pace pace;
    struct run run = {0};
    uint64_t oldest = 0, now = 0;

    writer_pace_init(&pace, 10, 1 << 16, burst, 0);
    for (uint64_t i = 0; i < records; i++) {
        now = i * gap_us * 1000;
        if (oldest > 0 && writer_due(&pace, 1, oldest) <= now) {
            uint64_t due = writer_due(&pace, 1, oldest);

            run.wait_max_us =
                due - oldest > run.wait_max_us * 1000 ? (due - oldest) / 1000 : run.wait_max_us;
            writer_pace_commit(&pace, due);
            run.commits++;
            oldest = 0;
        }
        if (oldest == 0)
            oldest = now + 1;
    }
    return run;
}

/* A rare sender never waits; a steady one gets one commit an interval and not the credits besides.
 */
Test(writer, credits_are_for_rare_senders)
{
    struct run rare = pace_run(20, 50000, 1000);
    struct run steady = pace_run(20, 200, 50000); /* 10 s */
    struct run without = pace_run(0, 200, 50000);

    cr_expect_eq(rare.commits, 999);
    cr_expect_eq(rare.wait_max_us, 0);
    cr_expect(steady.commits >= 990 && steady.commits <= 1025, "%d", (int)steady.commits);
    cr_expect_leq(steady.wait_max_us, 10000);
    cr_expect(without.commits >= 950 && without.commits <= 1000, "%d", (int)without.commits);
}

/* ---- groups ---- */

static struct store *start(const struct store_options *options, struct ring **rings, size_t count,
                           size_t bytes)
{
    struct err_detail detail = {""};
    struct store *store = NULL;

    cr_assert_eq(store_open(&store, options, &detail), 0, "%s", detail.text);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(store_ring_new(store, bytes, NULL, NULL, &rings[i]), 0);
    cr_assert_eq(store_start(store, &detail), 0, "%s", detail.text);
    return store;
}

/* What is published at once becomes one block, unless it is larger than a group. */
Test(writer, a_group_is_bounded, .init = set_up, .fini = tear_down)
{
    enum { RECORDS = 2500 };
    struct store_options options;
    struct store *store;
    struct ring *ring;
    struct seen seen;
    uint64_t end = 0;

    defaults(&options);
    store = start(&options, &ring, 1, 16 << 20);
    for (uint64_t i = 0; i < RECORDS; i++)
        end = append(ring, i, 4000);
    cr_assert_gt(end, 2 * WRITER_GROUP_BYTES_MAX);
    ring_publish(ring);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    seen = read_log();
    cr_expect_eq(seen.records, RECORDS);
    cr_expect(seen.dense && seen.in_order);
    cr_expect_eq(seen.blocks, 3);
    cr_expect(seen.largest_block <= WRITER_GROUP_BYTES_MAX &&
              seen.largest_block > WRITER_GROUP_BYTES_MAX - 5000);
}

/* A record that is larger than a group, and than a whole segment, still goes in one piece. */
Test(writer, a_record_larger_than_a_group, .init = set_up, .fini = tear_down)
{
    enum { BIG = 6 << 20 };
    struct store_options options;
    struct store *store;
    struct ring *ring;
    struct seen seen;
    uint8_t *room;

    defaults(&options);
    options.segment_max_bytes = SEGMENT_BYTES_MIN;
    store = start(&options, &ring, 1, 32 << 20);
    for (uint64_t i = 0; i < 3; i++) {
        append(ring, 2 * i, 0);
        room = ring_reserve(ring, BIG);
        cr_assert_neq(room, NULL);
        record_write(room, &(struct record){.type = RECORD_MESSAGE, .payload = {"12345678", 8}});
        store_u32(room, BIG);
        store_u64(room + RECORD_HEAD_BYTES, 2 * i + 1);
        ring_append(ring, BIG);
    }
    ring_publish(ring);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    seen = read_log();
    cr_expect_eq(seen.records, 6);
    cr_expect_eq(seen.sum, 15);
    cr_expect(seen.dense && seen.in_order && seen.largest_block == BIG);
}

/* Several rings: each keeps its order, all arrive. */
Test(writer, rings_share_the_log, .init = set_up, .fini = tear_down)
{
    struct store_options options;
    struct store *store;
    struct ring *rings[3];
    struct seen seen;

    defaults(&options);
    options.commit_interval_ms = 0;
    store = start(&options, rings, 3, 1 << 16);
    for (uint64_t i = 0; i < 3000; i++) {
        append(rings[i % 3], i, i % 300);
        if (i % 7 == 0)
            for (size_t k = 0; k < 3; k++)
                ring_publish(rings[k]);
    }
    for (size_t k = 0; k < 3; k++)
        ring_publish(rings[k]);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    seen = read_log();
    cr_expect_eq(seen.records, 3000);
    cr_expect_eq(seen.sum, 3000ull * 2999 / 2);
    cr_expect(seen.dense);
}

/* ---- rotation ---- */

Test(writer, rotates_by_bytes_by_records_and_by_age, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *name;
        uint64_t bytes, records;
        uint32_t age_s;
        uint32_t at_least, at_most; /* segments */
    } rows[] = {
        {"by bytes", SEGMENT_BYTES_MIN, 4000000, 3600, 3, 8},
        {"by records", SEGMENT_BYTES_MAX, 100, 3600, 10, 11},
        {"by age", SEGMENT_BYTES_MAX, 4000000, 0, 20, 20},
        {"none", SEGMENT_BYTES_MAX, 4000000, 3600, 1, 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct store_options options;
        struct store_status status;
        struct store *store;
        struct ring *ring;
        struct seen seen;

        defaults(&options);
        options.segment_max_bytes = rows[i].bytes;
        options.segment_max_records = rows[i].records;
        options.segment_max_age_s = rows[i].age_s;
        options.commit_interval_ms = 0;
        store = start(&options, &ring, 1, 1 << 20);
        for (uint64_t k = 0; k < 20; k++) { /* 20 groups of 50 records of about 4 KB */
            uint64_t end = 0;

            for (uint64_t n = 0; n < 50; n++)
                end = append(ring, 50 * k + n, 4000);
            ring_publish(ring);
            wait_committed(ring, end);
            ring_release(ring, end);
        }
        cr_assert_eq(store_stop(store, NULL), 0);
        store_status(store, &status);
        cr_expect(status.segments >= rows[i].at_least && status.segments <= rows[i].at_most,
                  "%s: %u segments", rows[i].name, status.segments);
        store_close(store);
        seen = read_log();
        cr_expect_eq(seen.records, 1000, "%s", rows[i].name);
        cr_expect(seen.dense && seen.in_order, "%s", rows[i].name);
        folder_remove(folder);
    }
}

/* Only the newest segment keeps zeros behind what it uses. */
Test(writer, sealed_segments_are_cut, .init = set_up, .fini = tear_down)
{
    struct store_options options;
    struct segment_list list;
    struct store *store;
    struct ring *ring;

    defaults(&options);
    options.segment_max_records = 1;
    store = start(&options, &ring, 1, 1 << 16);
    for (uint64_t i = 0; i < 5; i++)
        wait_committed(ring, (append(ring, i, 0), ring_publish(ring), (i + 1) * 28));
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    cr_assert_eq(list.count, 5);
    for (size_t i = 0; i < list.count; i++)
        cr_expect_eq(list.entries[i].file_bytes < (256 << 10), i < 4, "segment %zu", i);
    segment_list_free(&list);
}

/* ---- the folder ---- */

Test(store, a_second_writer_is_refused_with_the_first_ones_pid, .init = set_up, .fini = tear_down)
{
    struct err_detail detail = {""};
    struct store_options options;
    struct store *store, *second;
    char pid[32];

    defaults(&options);
    cr_assert_eq(store_open(&store, &options, &detail), 0, "%s", detail.text);
    cr_expect_eq(store_open(&second, &options, &detail), ERR_BUSY);
    snprintf(pid, sizeof pid, "process %ld ", (long)getpid());
    cr_expect_neq(strstr(detail.text, pid), NULL, "%s", detail.text);
    store_close(store);
    cr_assert_eq(store_open(&store, &options, &detail), 0, "the lock went with its holder");
    store_close(store);
}

Test(store, is_read_beside_its_writer, .init = set_up, .fini = tear_down)
{
    struct store_options options, reading;
    struct store *store, *beside;
    struct store_status status;
    struct ring *ring;

    defaults(&options);
    reading = options;
    reading.read_only = true;
    store = start(&options, &ring, 1, 1 << 16);
    for (uint64_t i = 0; i < 10; i++)
        append(ring, i, 0);
    ring_publish(ring);
    wait_committed(ring, 280);
    cr_assert_eq(store_open(&beside, &reading, NULL), 0);
    store_status(beside, &status);
    cr_expect_eq(status.next_sequence, 11);
    cr_expect_eq(status.segments, 1);
    store_close(beside);
    cr_expect_eq(read_log().records, 10);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    cr_assert_eq(store_open(&beside, &reading, NULL), 0, "and when it is stopped");
    store_close(beside);
}

Test(store, refuses_options_that_cannot_be, .init = set_up, .fini = tear_down)
{
    static const struct {
        uint64_t bytes, records;
    } rows[] = {{SEGMENT_BYTES_MIN - 1, 1},
                {SEGMENT_BYTES_MAX + 1, 1},
                {SEGMENT_BYTES_MIN, 0},
                {SEGMENT_BYTES_MIN, ((uint64_t)1 << 26) + 1}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct store_options options;
        struct store *store;

        defaults(&options);
        options.segment_max_bytes = rows[i].bytes;
        options.segment_max_records = rows[i].records;
        cr_expect_eq(store_open(&store, &options, &detail), ERR_INVALID, "row %zu", i);
        cr_expect_gt(strlen(detail.text), 0, "row %zu", i);
    }
}

Test(store, a_folder_that_is_missing_or_a_file, .init = set_up, .fini = tear_down)
{
    struct err_detail detail = {""};
    struct store_options options;
    struct store *store;

    defaults(&options);
    options.folder = "/nonexistent/folder";
    cr_expect_eq(store_open(&store, &options, &detail), ERR_NOTFOUND, "%s", detail.text);
    options.read_only = true;
    cr_expect_eq(store_open(&store, &options, &detail), ERR_NOTFOUND, "%s", detail.text);
    options.folder = "/dev/null";
    options.read_only = false;
    cr_expect_neq(store_open(&store, &options, &detail), 0);
    cr_expect_gt(strlen(detail.text), 0);
}

/* The newest segment was damaged: the log goes on behind every number it can have used. */
Test(store, goes_on_behind_a_damaged_segment, .init = set_up, .fini = tear_down)
{
    struct store_options options;
    char path[SEGMENT_PATH_MAX];
    struct store_status status;
    struct segment_list list;
    struct store *store;
    struct ring *ring;

    defaults(&options);
    store = start(&options, &ring, 1, 1 << 16);
    append(ring, 1, 3000);
    ring_publish(ring);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    cr_assert_eq(segment_path(path, folder, 1), 0);
    cr_assert_eq(truncate(path, 3 * 4096), 0);

    store = start(&options, &ring, 1, 1 << 16);
    store_status(store, &status);
    cr_expect_gt(status.next_sequence, 1000000);
    append(ring, 2, 0);
    ring_publish(ring);
    cr_assert_eq(store_stop(store, NULL), 0);
    store_close(store);
    cr_assert_eq(segment_list_read(&list, folder, NULL), 0);
    cr_expect_eq(list.count, 2, "the damaged one is left for salvage");
    cr_expect_eq(truncate(path, 3 * 4096), 0);
    cr_assert_eq(segment_path(path, folder, list.entries[1].first), 0);
    cr_assert_eq(truncate(path, 3 * 4096), 0);
    segment_list_free(&list);
    options.read_only = true; /* a reader is not kept out either */
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    store_close(store);
}
