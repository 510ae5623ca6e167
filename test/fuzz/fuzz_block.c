/* Any bytes as a block of the log, behind a sound checksum or without one: opening the store, rows,
 * latest and quarantine read it without harm, and rows keep their promises. The first byte says how
 * many records the header claims; with its high bit the bytes are the whole block, header and all.
 */
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/log.h"
#include "storage/segment.h"
#include "storage/store.h"
#include "test/unit/storage/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { INPUT_MAX = 1 << 16, WHOLE = 0x80 };

static struct schema_set *set;
static char folder[64];

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    abort();
}

static void tear_down(void)
{
    folder_remove(folder);
}

static void set_up(void)
{
    struct err_detail detail = {""};

    log_configure(2, LOG_FORMAT_LOGFMT, LOG_LEVEL_ERROR + 1);
    snprintf(folder, sizeof folder, "/dev/shm/freehub-fuzz-XXXXXX");
    if (!mkdtemp(folder) || schema_set_load(&set, &detail))
        fail("set up", detail.text);
    atexit(tear_down);
}

/* A log whose only block is this one. */
static void write_log(uint8_t head, const uint8_t *bytes, size_t len)
{
    static const uint8_t uuid[SEGMENT_UUID_BYTES] = {1};
    size_t need = head & WHOLE ? len : BLOCK_HEAD_BYTES + len;
    struct err_detail detail = {""};
    struct segment *segment = NULL;
    char path[128];
    uint8_t *value;

    folder_remove(folder);
    snprintf(path, sizeof path, "%s/log", folder);
    if (mkdir(folder, 0700) || mkdir(path, 0700) ||
        segment_create(&segment, folder, uuid, &detail) || segment_name(segment, 1, &detail) ||
        segment_begin(segment, 1, need, &value, &detail))
        fail("write", detail.text);
    if (head & WHOLE) {
        memcpy(value, bytes, len);
    } else {
        memcpy(value + BLOCK_HEAD_BYTES, bytes, len);
        block_seal(value, need, 1, head, 1764000000000);
    }
    if (segment_commit(segment, &detail))
        fail("commit", detail.text);
    segment_close(segment);
}

struct last {
    bool any;
    struct store_row row;
    uint32_t sample;
};

static bool on_row(void *ctx, const struct store_row *row)
{
    struct last *last = ctx;

    if (last->any && (row->bike < last->row.bike ||
                      (row->bike == last->row.bike && row->time_ms < last->row.time_ms) ||
                      (row->bike == last->row.bike && row->time_ms == last->row.time_ms &&
                       (row->boot < last->row.boot ||
                        (row->boot == last->row.boot && row->values->sample <= last->sample)))))
        fail("rows", "out of order, or twice");
    last->any = true;
    last->row = *row;
    last->sample = row->values->sample;
    return true;
}

static bool on_quarantined(void *ctx, const struct store_quarantined *entry)
{
    size_t *bytes = ctx;

    for (size_t i = 0; i < entry->payload.len; i++)
        *bytes += (uint8_t)entry->payload.at[i];
    return true;
}

static bool on_bike(void *ctx, uint32_t number, struct str id)
{
    struct store_latest latest;

    (void)id;
    (void)store_latest(ctx, number, &latest);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct store_options options;
    struct store_query query = {NULL, 0, INT64_MIN, INT64_MAX};
    struct err_detail detail = {""};
    struct store *store;
    struct last last = {.any = false};
    size_t sum = 0;

    if (!set)
        set_up();
    if (len < 2 || len > INPUT_MAX)
        return 0;
    if (!(bytes[0] & WHOLE) && (bytes[0] == 0 || len - 1 < RECORD_BYTES_MIN))
        return 0; /* no writer seals that */
    write_log(bytes[0], bytes + 1, len - 1);
    store_options_default(&options);
    options.folder = folder;
    options.schemas = set;
    if (store_open(&store, &options, &detail))
        fail("open", detail.text);
    query.schema = schema_by_name(set, STR_LITERAL("freehub.v1.Batch"));
    if (store_rows(store, &query, on_row, &last, &detail))
        fail("rows", detail.text);
    if (store_quarantine_each(store, on_quarantined, &sum))
        fail("quarantine", "not readable");
    store_bikes_each(store, on_bike, store);
    store_close(store);
    return 0;
}
