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
