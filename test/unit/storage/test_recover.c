/* What a store knows after it was opened again: checkpoint, replay, damage, retention. */
#include "storage/recover.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "broker/base/chrono.h"
#include "broker/base/log.h"
#include "storage/block.h"
#include "storage/checkpoint.h"
#include "storage/retention.h"
#include "storage/store_priv.h"
#include "test/unit/storage/folder.h"
#include "test/unit/storage/telemetry.h"

#define NOW INT64_C(1764000000000)

static char folder[64];
static struct schema_set *set;
static struct store *store;
static struct ring *ring;
static struct store_options options;
static int speed;

static void set_up(void)
{
    log_configure(2, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR + 1);
    folder_make(folder, false);
    cr_assert_eq(schema_set_load(&set, NULL), 0);
    speed = telemetry_column(set, "speed_mps");
    store_options_default(&options);
    options.folder = folder;
    options.schemas = set;
    options.commit_interval_ms = 0;
    options.prewrite_max_bytes = 1 << 20;
}

static void tear_down(void)
{
    schema_set_free(set);
    folder_remove(folder);
}

static void begin(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(store_open(&store, &options, &detail), 0, "%s", detail.text);
    cr_assert_eq(store_ring_new(store, 1 << 16, NULL, NULL, &ring), 0);
    cr_assert_eq(store_start(store, &detail), 0, "%s", detail.text);
}

static void end(void)
{
    struct err_detail detail = {""};

    cr_assert_eq(store_stop(store, &detail), 0, "%s", detail.text);
    store_close(store);
}

/* Sample `sample` of the bike, committed; applied and released as a worker does if `complete`. */
static void publish(const char *id, uint32_t sample, bool complete)
{
    const struct telemetry batch = {1, 0, sample, 1, NOW + sample, true, 0, (int32_t)sample, 0};
    uint8_t room[TELEMETRY_BYTES];
    struct record record = {
        .type = RECORD_TELEMETRY, .schema = BATCH_SCHEMA, .recv_ms = NOW + 1000};
    uint64_t offset;

    record.payload = telemetry_pack(&batch, room);
    cr_assert_eq(store_bike_number(store, ring, str_from(id), &record.bike), 0);
    offset = ring_put(ring, &record);
    ring_wait(ring, offset);
    if (!complete)
        return;
    store_head_begin(store);
    store_head_update(store, record.bike, record.schema, record.recv_ms, record.payload);
    store_head_end(store);
    ring_release(ring, offset);
}

static void quarantine(const char *topic, const char *reason, const char *bytes)
{
    uint8_t payload[256];
    struct record record = {
        .type = RECORD_QUARANTINE, .flags = RECORD_HAS_TOPIC, .bike = 3, .recv_ms = NOW};
    size_t reason_len = strlen(reason);

    payload[0] = (uint8_t)reason_len;
    memcpy(payload + 1, reason, reason_len);
    memcpy(payload + 1 + reason_len, bytes, strlen(bytes));
    record.topic = str_from(topic);
    record.payload = str_of_bytes(payload, 1 + reason_len + strlen(bytes));
    ring_wait(ring, ring_put(ring, &record));
    store_quarantine_note(store);
    ring_release(ring, ring_committed(ring));
}

static bool count_row(void *ctx, const struct store_row *row)
{
    (void)row;
    ++*(unsigned *)ctx;
    return true;
}

static unsigned rows_of(struct store *s)
{
    const struct store_query query = {schema_by_id(set, BATCH_SCHEMA), 0, INT64_MIN, INT64_MAX};
    unsigned rows = 0;

    cr_assert_eq(store_rows(s, &query, count_row, &rows, NULL), 0);
    return rows;
}

static int64_t latest_speed(struct store *s, const char *id, uint64_t *samples)
{
    struct store_latest latest;
    uint32_t bike;

    cr_assert_eq(store_bike_find(s, str_from(id), &bike), 0);
    cr_assert_eq(store_latest(s, bike, &latest), 0);
    *samples = latest.samples;
    return latest.values[speed];
}

/* ---- checkpoints ---- */

/* Stopped with everything released: nothing to replay. With nothing released: everything. Both know
 * the same, and count the same. */
Test(recover, knows_the_same_with_and_without_checkpoint, .init = set_up, .fini = tear_down)
{
    for (int released = 0; released < 2; released++) {
        uint64_t samples;

        folder_remove(folder);
        for (uint32_t run = 0; run < 3; run++) {
            begin();
            if (run > 0) {
                cr_expect_eq(store->meta.checkpoint, released ? store->next_sequence : 1);
                cr_expect_eq(latest_speed(store, "b", &samples), run * 10 - 1);
                cr_expect_eq(samples, run * 5);
                cr_expect_eq(rows_of(store), run * 10);
            }
            for (uint32_t i = 0; i < 10; i++)
                publish(i % 2 ? "b" : "a", run * 10 + i, released);
            end();
        }
    }
}

/* What core.mdb says now, seen by another reader. */
static uint64_t checkpoint_now(void)
{
    struct store_options reading = options;
    struct store *reader;
    uint64_t sequence;

    reading.read_only = true;
    cr_assert_eq(store_open(&reader, &reading, NULL), 0);
    sequence = reader->meta.checkpoint;
    store_close(reader);
    return sequence;
}

static void nap(void)
{
    const struct timespec ten_ms = {0, 10000000};

    nanosleep(&ten_ms, NULL);
}

/* Rotation is followed by a checkpoint, once the workers have released the old segment and not
 * before. */
Test(recover, checkpoint_waits_for_the_workers, .init = set_up, .fini = tear_down)
{
    options.segment_max_records = 10;
    begin();
    for (uint32_t i = 0; i < 30; i++)
        publish("a", i, false);
    for (int i = 0; i < 5; i++, nap())
        cr_expect_eq(checkpoint_now(), 1);
    ring_release(ring, ring_committed(ring));
    while (checkpoint_now() <= 10)
        nap();
    end();
}

/* Killed after a checkpoint and more: all of it is known, and counted once. */
Test(recover, a_kill_loses_nothing, .init = set_up, .fini = tear_down)
{
    uint64_t samples;
    pid_t child;
    int status;

    options.segment_max_records = 10;
    child = fork();
    if (child == 0) {
        begin();
        for (uint32_t i = 0; i < 30; i++)
            publish("a", i, true);
        quarantine("t/1", "no", "bytes");
        while (checkpoint_now() <= 10)
            nap();
        publish("a", 30, true);
        publish("new", 31, false);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    begin();
    cr_expect_gt(store->meta.checkpoint, 10);
    cr_expect_eq(latest_speed(store, "a", &samples), 30);
    cr_expect_geq(samples, 31);
    cr_expect_eq(latest_speed(store, "new", &samples), 31);
    cr_expect_eq(samples, 1);
    cr_expect_eq(rows_of(store), 32);
    end();
}

/* ---- quarantine ---- */

struct quarantine_seen {
    unsigned count, stop_at;
    char text[1024];
};

static bool on_quarantined(void *ctx, const struct store_quarantined *entry)
{
    struct quarantine_seen *seen = ctx;

    cr_expect_eq(entry->bike, 3);
    cr_expect_eq(entry->recv_ms, NOW);
    sprintf(seen->text + strlen(seen->text), "%.*s %.*s %.*s\n", (int)entry->topic.len,
            entry->topic.at, (int)entry->reason.len, entry->reason.at, (int)entry->payload.len,
            entry->payload.at);
    return ++seen->count != seen->stop_at;
}

static void expect_quarantine(struct store *s, const char *text)
{
    struct quarantine_seen seen = {.count = 0};

    cr_assert_eq(store_quarantine_each(s, on_quarantined, &seen), 0);
    cr_expect_str_eq(seen.text, text);
}

Test(recover, quarantine_moves_and_is_bounded, .init = set_up, .fini = tear_down)
{
    struct quarantine_seen first = {.stop_at = 1};
    struct store_status status;

    options.quarantine_max_bytes = 80; /* two of them */
    begin();
    quarantine("t/1", "bad", "one");
    quarantine("t/2", "", "two");
    quarantine("t/3", "worse", "");
    expect_quarantine(store, "t/1 bad one\nt/2  two\nt/3 worse \n");
    store_status(store, &status);
    cr_expect_eq(status.quarantined, 3);
    end();
    begin();
    store_status(store, &status);
    cr_expect_eq(status.quarantined, 3);
    cr_expect_eq(status.quarantine_dropped, 1);
    quarantine("t/4", "bad", "four");
    expect_quarantine(store, "t/2  two\nt/3 worse \nt/4 bad four\n");
    cr_assert_eq(store_quarantine_each(store, on_quarantined, &first), 0);
    cr_expect_eq(first.count, 1, "ended by the visitor");
    end();
    options.read_only = true;
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    store_status(store, &status);
    cr_expect_eq(status.quarantined, 4);
    cr_expect_eq(status.quarantine_dropped, 2);
    expect_quarantine(store, "t/3 worse \nt/4 bad four\n");
    store_close(store);
}

/* Values whose CRC holds and that are no records: passed over, and the others are shown. */
Test(recover, quarantine_passes_over_what_is_no_record, .init = set_up, .fini = tear_down)
{
    struct core_meta meta = {.checkpoint = 1};
    struct core *c;

    begin();
    quarantine("t/1", "bad", "one");
    end();
    cr_assert_eq(core_open(&c, folder, false, NULL), 0);
    cr_assert_eq(core_read(c, &meta, &(const struct core_visitor){.ctx = NULL}, NULL), 0);
    cr_assert_eq(core_begin(c, NULL), 0);
    cr_assert_eq(core_put_quarantined(c, &meta, 1000, (struct str){"", 0}), 0);
    cr_assert_eq(core_put_quarantined(c, &meta, 1001, STR_LITERAL("no record")), 0);
    cr_assert_eq(core_commit(c, &meta, NULL), 0);
    core_close(c);
    options.read_only = true;
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    expect_quarantine(store, "t/1 bad one\n");
    store_close(store);
}

/* The disk is full at each write of a checkpoint in turn: nothing is lost, the next one does it. */
Test(recover, a_checkpoint_that_fails_is_done_again, .init = set_up, .fini = tear_down)
{
    struct rlimit before, tight;
    uint64_t samples;
    int failed = 0;

    signal(SIGXFSZ, SIG_IGN);
    begin();
    quarantine("t/1", "no", "bytes");
    for (uint32_t i = 0; i < 200; i++) { /* not released: the stop makes no checkpoint */
        char id[16];

        snprintf(id, sizeof id, "bike-%u", i);
        publish(id, i, false);
    }
    end();
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    for (rlim_t allowed = 8192;; allowed += 8192) {
        struct err_detail detail = {""};
        int rc;

        tight = (struct rlimit){allowed, before.rlim_max};
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
        rc = checkpoint_write(store, store_next_sequence(store), &detail);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (rc == 0)
            break;
        failed++;
        cr_expect(detail.text[0], "it says why");
        cr_expect_eq(checkpoint_now(), 1);
    }
    cr_expect_gt(failed, 3);
    store_close(store);
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    cr_expect_eq(store->meta.checkpoint, store->next_sequence);
    cr_expect_eq(latest_speed(store, "bike-199", &samples), 199);
    cr_expect_eq(samples, 1);
    expect_quarantine(store, "t/1 no bytes\n");
    store_close(store);
}

/* ---- retention ---- */

static void many_segments(void)
{
    options.segment_max_records = 10;
    begin();
    for (uint32_t i = 0; i < 50; i++)
        publish("a", i, true);
    end();
    cr_assert_eq(store_open(&store, &options, NULL), 0);
}

Test(recover, retention_by_age_takes_what_is_checkpointed, .init = set_up, .fini = tear_down)
{
    const int64_t now = chrono_wall_ms(), week_ms = INT64_C(7) * 86400000;
    struct store_status status;
    uint64_t checkpoint;

    many_segments();
    retention_run(store, now + week_ms - 60000);
    store_status(store, &status);
    cr_expect(status.segments == 6 && status.segments_dropped == 0, "young: %u", status.segments);
    checkpoint = store->meta.checkpoint;
    store->meta.checkpoint = 15; /* the second one is still needed for a start */
    retention_run(store, now + week_ms + 60000);
    store->meta.checkpoint = checkpoint;
    store_status(store, &status);
    cr_expect(status.segments == 5 && status.segments_dropped == 1, "%u", status.segments);
    cr_expect_eq(status.first_sequence, 11);
    retention_run(store, now + week_ms + 60000);
    store_status(store, &status);
    cr_expect(status.segments == 1 && status.segments_dropped == 5, "the active one stays");
    cr_expect(!status.size_cap_reached);
    store_close(store);
    begin();
    store_status(store, &status);
    cr_expect_eq(status.segments_dropped, 5);
    cr_expect_eq(status.bad_blocks, 0);
    cr_expect_eq(status.first_sequence, 51);
    end();
}

Test(recover, retention_by_size_wins_with_an_alarm, .init = set_up, .fini = tear_down)
{
    struct store_status status;
    struct store_query query = {NULL, 0, INT64_MIN, INT64_MAX};

    many_segments();
    query.schema = schema_by_id(set, BATCH_SCHEMA);
    store_status(store, &status);
    cr_assert_eq(status.segments, 6);
    store->options.log_max_bytes = status.log_bytes - 1;
    retention_run(store, chrono_wall_ms());
    store_status(store, &status);
    cr_expect_eq(status.segments, 5);
    cr_expect(status.size_cap_reached);
    cr_expect_eq(rows_of(store), 41, "the first segment held the bike and nine rows");
    store->options.log_max_bytes = 0;
    retention_run(store, chrono_wall_ms());
    store_status(store, &status);
    cr_expect_eq(status.segments, 1, "the active one stays");
    cr_expect_eq(store_bike_find(store, STR_LITERAL("a"), &query.bike), 0);
    store_close(store);
}

/* A reader that is inside a segment keeps it. */
static bool drop_all(void *ctx, const struct store_row *row)
{
    if (row->values->sample == 0) {
        store->options.log_max_bytes = 0;
        retention_run(store, chrono_wall_ms());
    }
    ++*(unsigned *)ctx;
    return true;
}

Test(recover, readers_keep_what_retention_removes, .init = set_up, .fini = tear_down)
{
    struct store_query query = {NULL, 0, INT64_MIN, INT64_MAX};
    unsigned rows = 0;

    many_segments();
    query.schema = schema_by_id(set, BATCH_SCHEMA);
    cr_assert_eq(store_rows(store, &query, drop_all, &rows, NULL), 0);
    cr_expect_eq(rows, 50);
    cr_expect_eq(rows_of(store), 1, "the active segment's");
    store_close(store);
}

/* ---- damage ---- */

static void file_of(char out[128], uint64_t first)
{
    snprintf(out, 128, "%s/log/L-%016llx.mdb", folder, (unsigned long long)first);
}

/* Any row that still comes out is right. */
static bool check_row(void *ctx, const struct store_row *row)
{
    cr_expect(str_equal(row->bike_id, STR_LITERAL("a")));
    cr_expect_eq(row->values->values[speed], row->values->sample);
    cr_expect_eq(row->time_ms, NOW + row->values->sample);
    ++*(unsigned *)ctx;
    return true;
}

/* Flip one bit of each block in turn: the block is reported and passed over, the rest is right. */
Test(recover, a_flipped_bit_costs_its_block, .init = set_up, .fini = tear_down)
{
    const struct store_query query = {schema_by_id(set, BATCH_SCHEMA), 0, INT64_MIN, INT64_MAX};
    uint8_t bytes[1 << 16];
    char path[128];
    ssize_t len;
    int fd;

    begin();
    for (uint32_t i = 0; i < 20; i++)
        publish("a", i, false);
    end();
    file_of(path, 1);
    fd = open(path, O_RDWR);
    len = pread(fd, bytes, sizeof bytes, 0);
    cr_assert_gt(len, 8192);
    /* The first block holds the bike too; each of the others one row. */
    for (uint64_t sequence = 3; sequence <= 21; sequence++) {
        struct store_status status;
        unsigned rows = 0, copies = 0;

        for (ssize_t at = 0; at + 40 < len; at++) { /* leaves are copied as they grow */
            uint8_t flipped = bytes[at + 35] ^ 4;

            if (load_u64(bytes + at + 16) != sequence || load_u32(bytes + at + 8) != 1)
                continue;
            cr_assert_eq(pwrite(fd, &flipped, 1, at + 35), 1);
            copies++;
        }
        cr_assert_gt(copies, 0);
        options.read_only = true;
        cr_assert_eq(store_open(&store, &options, NULL), 0);
        store_status(store, &status);
        cr_expect_eq(status.bad_blocks, 1, "%llu", (unsigned long long)sequence);
        cr_assert_eq(store_rows(store, &query, check_row, &rows, NULL), 0);
        cr_expect_eq(rows, 19);
        store_close(store);
        cr_assert_eq(pwrite(fd, bytes, (size_t)len, 0), len);
    }
    close(fd);
}

/* A sealed segment cut to any length, emptied or gone: reported, the other segments' rows right. */
Test(recover, a_segment_cut_short_costs_itself, .init = set_up, .fini = tear_down)
{
    const struct store_query query = {schema_by_id(set, BATCH_SCHEMA), 0, INT64_MIN, INT64_MAX};
    struct store_status status;
    char path[128];
    struct stat file;

    options.segment_max_records = 10;
    begin();
    for (uint32_t i = 0; i < 30; i++)
        publish("a", i, false); /* nothing is released: no checkpoint */
    end();
    file_of(path, 11);
    cr_assert_eq(stat(path, &file), 0);
    options.read_only = true;
    for (off_t cut = file.st_size; cut >= 0; cut -= cut > 4096 ? 4096 : 512) {
        unsigned rows = 0;
        int rc;

        if (truncate(path, cut) != 0)
            break;
        rc = store_open(&store, &options, NULL);
        cr_assert_eq(rc, 0, "%lld bytes", (long long)cut);
        store_status(store, &status);
        cr_assert_eq(store_rows(store, &query, check_row, &rows, NULL), 0);
        cr_expect_eq(rows, cut == file.st_size ? 30 : 20, "%lld bytes", (long long)cut);
        cr_expect_eq(status.bad_blocks, cut == file.st_size ? 0 : 1, "%lld bytes", (long long)cut);
        store_close(store);
        if (cut == 0)
            break;
    }
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    store_status(store, &status);
    cr_expect_eq(status.bad_blocks, 1, "a gap");
    store_close(store);
}

/* A checkpointed segment that vanished is missed; one that retention took is not. */
Test(recover, a_missing_segment_is_reported, .init = set_up, .fini = tear_down)
{
    struct store_status status;
    char path[128];

    many_segments();
    store_close(store);
    file_of(path, 21);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(store_open(&store, &options, NULL), 0);
    store_status(store, &status);
    cr_expect_eq(status.bad_blocks, 1);
    cr_expect_eq(rows_of(store), 40);
    store_close(store);
}

Test(recover, without_core_the_log_says_what_it_can, .init = set_up, .fini = tear_down)
{
    uint64_t samples;
    char path[128];
    uint32_t bike;

    many_segments();
    store->options.log_max_bytes = 0;
    retention_run(store, chrono_wall_ms()); /* with the segment that names the bike */
    store_close(store);
    begin();
    publish("b", 100, true);
    end();
    snprintf(path, sizeof path, "%s/core.mdb", folder);
    cr_assert_eq(unlink(path), 0);
    begin();
    cr_expect_eq(store_bike_find(store, STR_LITERAL("a"), &bike), ERR_NOTFOUND);
    cr_expect_eq(latest_speed(store, "b", &samples), 100);
    cr_assert_eq(store_bike_number(store, ring, STR_LITERAL("c"), &bike), 0);
    cr_expect_eq(bike, 3, "numbers in use are not given again");
    end();
}

Test(recover, a_log_that_lost_its_end_goes_on_behind_the_checkpoint, .init = set_up,
     .fini = tear_down)
{
    struct store_status status;
    char command[256];

    begin();
    for (uint32_t i = 0; i < 10; i++)
        publish("a", i, true);
    end();
    snprintf(command, sizeof command, "rm %s/log/*", folder);
    cr_assert_eq(system(command), 0);
    begin();
    store_status(store, &status);
    cr_expect_eq(status.next_sequence, 12);
    publish("a", 50, true);
    cr_expect_eq(rows_of(store), 1);
    end();
    begin();
    cr_expect_eq(rows_of(store), 1);
    end();
}

Test(recover, files_of_two_stores_do_not_mix, .init = set_up, .fini = tear_down)
{
    struct err_detail detail = {""};
    char command[256];

    begin();
    publish("a", 1, true);
    end();
    snprintf(command, sizeof command, "mv %s/core.mdb %s.core && rm -r %s/*", folder, folder,
             folder);
    cr_assert_eq(system(command), 0);
    begin();
    publish("z", 1, true);
    end();
    snprintf(command, sizeof command, "mv %s.core %s/core.mdb", folder, folder);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(store_open(&store, &options, &detail), ERR_CORRUPT);
    cr_expect(strstr(detail.text, "different stores"), "%s", detail.text);
}

/* A reader of a folder that holds no store makes none. */
Test(recover, reading_makes_nothing, .init = set_up, .fini = tear_down)
{
    struct err_detail detail = {""};

    options.read_only = true;
    cr_expect_eq(store_open(&store, &options, &detail), ERR_NOTFOUND, "%s", detail.text);
    cr_expect_eq(rmdir(folder), 0, "it is still empty");
    cr_assert_eq(mkdir(folder, 0700), 0);
}
