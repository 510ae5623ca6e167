/* Reading goes by key from snapshot to snapshot: `next` is the only position, so that a snapshot
 * can be given up at any moment and the walk continues behind the last block. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "storage/crc32c.h"
#include "storage/segment_priv.h"

struct segment_reader {
    MDB_env *env;
    MDB_txn *txn;
    MDB_cursor *cursor;
    uint64_t first;
    uint64_t next;     /* the next block is the first with a record >= next */
    uint64_t at;       /* key of the block the cursor stands on, 0: it stands nowhere */
    uint64_t taken_ms; /* when the snapshot was taken; 0 = there is none */
    struct segment_head head;
    segment_bad_fn *on_bad;
    void *on_bad_ctx;
};

/* ---- header ---- */

void segment_head_write(uint8_t to[SEGMENT_HEAD_BYTES], const struct segment_head *head)
{
    store_u32(to + 4, SEGMENT_MAGIC);
    store_u32(to + 8, SEGMENT_FORMAT);
    store_u32(to + 12, 0);
    store_u64(to + 16, (uint64_t)head->created_ms);
    memcpy(to + 24, head->uuid, SEGMENT_UUID_BYTES);
    store_u32(to, crc32c(0, to + 4, SEGMENT_HEAD_BYTES - 4));
}

int segment_head_read(MDB_txn *txn, const char *path, struct segment_head *out,
                      struct err_detail *detail)
{
    uint64_t zero = 0;
    MDB_val key = {sizeof zero, &zero}, value;
    const uint8_t *at;
    int rc = mdb_get(txn, MDB_UNNAMED, &key, &value);

    if (rc == MDB_NOTFOUND || (!rc && value.mv_size < SEGMENT_HEAD_BYTES))
        return err_set(detail, ERR_CORRUPT, "%s has no header", path);
    if (rc)
        return mdb_fail(detail, rc, "cannot read", path);
    at = value.mv_data;
    if (load_u32(at + 4) != SEGMENT_MAGIC)
        return err_set(detail, ERR_CORRUPT, "%s is not a segment of the log", path);
    if (load_u32(at + 8) > SEGMENT_FORMAT)
        return err_set(detail, ERR_UNSUPPORTED,
                       "%s has format %u and this program reads up to %d: use a newer freehub",
                       path, load_u32(at + 8), SEGMENT_FORMAT);
    if (value.mv_size != SEGMENT_HEAD_BYTES ||
        load_u32(at) != crc32c(0, at + 4, SEGMENT_HEAD_BYTES - 4))
        return err_set(detail, ERR_CORRUPT, "%s has a damaged header", path);
    out->created_ms = (int64_t)load_u64(at + 16);
    memcpy(out->uuid, at + 24, SEGMENT_UUID_BYTES);
    return 0;
}

int segment_length_check(MDB_env *env, const char *path, struct err_detail *detail)
{
    MDB_envinfo info;
    struct stat file;
    uint64_t used;

    mdb_env_info(env, &info);
    used = ((uint64_t)info.me_last_pgno + 1) * SEGMENT_PAGE_BYTES;
    if (stat(path, &file) != 0)
        return err_set(detail, err_from_errno(errno), "cannot read %s", path);
    if ((uint64_t)file.st_size < used)
        return err_set(detail, ERR_CORRUPT, "%s is cut short: %lld of %llu bytes are left", path,
                       (long long)file.st_size, (unsigned long long)used);
    return 0;
}

/* ---- the folder ---- */

int segment_path(char out[SEGMENT_PATH_MAX], const char *folder, uint64_t first)
{
    int len =
        snprintf(out, SEGMENT_PATH_MAX, "%s/log/L-%016llx.mdb", folder, (unsigned long long)first);

    return len > 0 && len < SEGMENT_PATH_MAX ? 0 : ERR_TOO_LARGE;
}

/* "L-<16 hex>.mdb" and nothing else. */
static bool name_parse(const char *name, uint64_t *first)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = 0;

    if (strlen(name) != 22 || memcmp(name, "L-", 2) != 0 || memcmp(name + 18, ".mdb", 4) != 0)
        return false;
    for (const char *at = name + 2; at < name + 18; at++) {
        const char *digit = strchr(digits, *at);

        if (!digit)
            return false;
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *first = value;
    return value > 0;
}

static int by_first(const void *left, const void *right)
{
    uint64_t a = ((const struct segment_entry *)left)->first;
    uint64_t b = ((const struct segment_entry *)right)->first;

    return (a > b) - (a < b);
}

static int list_add(struct segment_list *list, size_t *room, const struct segment_entry *entry)
{
    if (list->count == *room) {
        size_t wider = *room ? 2 * *room : 16;
        struct segment_entry *entries =
            mem_try_resize(list->entries, wider * sizeof *list->entries);

        if (!entries)
            return ERR_NOMEM;
        list->entries = entries;
        *room = wider;
    }
    list->entries[list->count++] = *entry;
    return 0;
}

int segment_list_read(struct segment_list *out, const char *folder, struct err_detail *detail)
{
    char path[SEGMENT_PATH_MAX];
    struct dirent *item;
    size_t room = 0;
    DIR *dir;
    int rc = 0;

    *out = (struct segment_list){NULL, 0};
    if (snprintf(path, sizeof path, "%s/log", folder) >= (int)sizeof path)
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", folder);
    dir = opendir(path);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return err_set(detail, err_from_errno(errno), "cannot read the folder %s: %s", path,
                       strerror(errno));
    while (!rc && (item = readdir(dir)) != NULL) {
        struct segment_entry entry;
        struct stat file;

        if (!name_parse(item->d_name, &entry.first) ||
            fstatat(dirfd(dir), item->d_name, &file, 0) != 0) /* retention was faster */
            continue;
        entry.file_bytes = (uint64_t)file.st_size;
        rc = list_add(out, &room, &entry);
    }
    closedir(dir);
    if (rc) {
        segment_list_free(out);
        return err_set(detail, rc, "no memory for the list of %s", path);
    }
    if (out->count > 1)
        qsort(out->entries, out->count, sizeof *out->entries, by_first);
    return 0;
}

void segment_list_free(struct segment_list *list)
{
    mem_free(list->entries);
    *list = (struct segment_list){NULL, 0};
}

int segment_remove(const char *folder, uint64_t first, struct err_detail *detail)
{
    char path[SEGMENT_PATH_MAX], lock[SEGMENT_PATH_MAX + 8];
    int rc = segment_path(path, folder, first);

    if (rc)
        return err_set(detail, rc, "the path of %s is too long", folder);
    if (unlink(path) != 0)
        return err_set(detail, err_from_errno(errno), "cannot remove %s: %s", path,
                       strerror(errno));
    snprintf(lock, sizeof lock, "%s-lock", path);
    unlink(lock); /* a sealed segment may have none */
    return 0;
}

/* ---- the reader ---- */

/* Does a running daemon hold the folder? When nobody writes, nobody needs LMDB's reader table. */
static bool has_writer(const char *folder)
{
    char path[SEGMENT_PATH_MAX];
    bool held = false;
    int fd;

    if (snprintf(path, sizeof path, "%s/run/lock", folder) >= (int)sizeof path)
        return true;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    held = flock(fd, LOCK_SH | LOCK_NB) != 0;
    close(fd);
    return held;
}

/* The segment that is written to needs its lock file, unless there is no writer and the lock file
 * cannot be used, as on a read-only file system. */
static int reader_env(MDB_env **out, const char *folder, const char *path, bool sealed,
                      struct err_detail *detail)
{
    struct mdb_mode mode = {.map_bytes = SEGMENT_MAP_BYTES, .read_only = true, .no_lock = sealed};
    int rc = mdb_env_acquire(out, path, &mode, detail);

    if ((rc == ERR_DENIED || rc == ERR_READONLY) && !sealed && !has_writer(folder)) {
        mode.no_lock = true;
        rc = mdb_env_acquire(out, path, &mode, detail);
    }
    return rc;
}

int segment_reader_open(struct segment_reader **out, const char *folder, uint64_t first,
                        bool sealed, struct err_detail *detail)
{
    struct segment_reader *reader = MEM_NEW(struct segment_reader);
    char path[SEGMENT_PATH_MAX];
    int rc = segment_path(path, folder, first);

    if (rc) {
        rc = err_set(detail, rc, "the path of %s is too long", folder);
        goto out;
    }
    rc = reader_env(&reader->env, folder, path, sealed, detail);
    if (rc)
        goto out;
    rc = segment_length_check(reader->env, path, detail);
    if (rc)
        goto out;
    rc = mdb_txn_begin(reader->env, NULL, MDB_RDONLY, &reader->txn);
    if (!rc)
        rc = mdb_cursor_open(reader->txn, MDB_UNNAMED, &reader->cursor);
    if (rc) {
        rc = mdb_fail(detail, rc, "cannot read", path);
        goto out;
    }
    rc = segment_head_read(reader->txn, path, &reader->head, detail);
    if (rc)
        goto out;
    reader->taken_ms = chrono_mono_ms();
    reader->first = first;
    reader->next = 1;
out:
    if (rc) {
        segment_reader_close(reader);
        reader = NULL;
    }
    *out = reader;
    return rc;
}

void segment_reader_on_bad(struct segment_reader *reader, segment_bad_fn *on_bad, void *ctx)
{
    reader->on_bad = on_bad;
    reader->on_bad_ctx = ctx;
}

void segment_reader_seek(struct segment_reader *reader, uint64_t sequence)
{
    reader->next = sequence > 0 ? sequence : 1;
    reader->at = 0;
}

void segment_reader_pause(struct segment_reader *reader)
{
    if (reader->taken_ms == 0)
        return;
    mdb_txn_reset(reader->txn);
    reader->taken_ms = 0;
    reader->at = 0;
}

/* A snapshot that is young enough. */
static int take_snapshot(struct segment_reader *reader)
{
    uint64_t now = chrono_mono_ms();
    int rc;

    if (reader->taken_ms > 0 && now - reader->taken_ms < SEGMENT_READ_MAX_MS)
        return 0;
    segment_reader_pause(reader);
    rc = mdb_txn_renew(reader->txn);
    if (!rc)
        rc = mdb_cursor_renew(reader->txn, reader->cursor);
    if (rc)
        return err_from_mdb(rc);
    reader->taken_ms = now;
    return 0;
}

/* The sequence behind a block, as far as its bytes can be believed. */
static uint64_t block_end(uint64_t key, const MDB_val *value)
{
    struct block block;

    return block_open(str_of_bytes(value->mv_data, value->mv_size), key, &block)
               ? key + 1
               : key + block.count;
}

/* Stand on the first block with a record >= next, which may be in the middle of one. */
static int find_block(struct segment_reader *reader, MDB_val *key, MDB_val *value)
{
    uint64_t wanted = reader->next;
    int rc;

    *key = (MDB_val){sizeof wanted, &wanted};
    rc = mdb_cursor_get(reader->cursor, key, value, MDB_SET_RANGE);
    if (rc && rc != MDB_NOTFOUND)
        return rc;
    if (!rc && load_u64(key->mv_data) == wanted)
        return 0;
    rc = mdb_cursor_get(reader->cursor, key, value, rc ? MDB_LAST : MDB_PREV);
    if (rc)
        return rc;
    if (load_u64(key->mv_data) > 0 && block_end(load_u64(key->mv_data), value) > wanted)
        return 0;
    return mdb_cursor_get(reader->cursor, key, value, MDB_NEXT);
}

int segment_reader_next(struct segment_reader *reader, struct block *out)
{
    bool fresh = reader->taken_ms == 0;
    int rc = take_snapshot(reader);

    while (!rc) {
        MDB_val key, value;
        const char *why;

        if (reader->at > 0)
            rc = mdb_cursor_get(reader->cursor, &key, &value, MDB_NEXT);
        else
            rc = find_block(reader, &key, &value);
        if (rc) {
            segment_reader_pause(reader);
            if (rc != MDB_NOTFOUND || fresh)
                return err_from_mdb(rc);
            fresh = true; /* the end of an older snapshot: a new one may hold more */
            rc = take_snapshot(reader);
            continue;
        }
        reader->at = load_u64(key.mv_data);
        why = block_open(str_of_bytes(value.mv_data, value.mv_size), reader->at, out);
        reader->next = reader->at + (why ? 1 : out->count);
        if (!why)
            return 0;
        if (reader->on_bad)
            reader->on_bad(reader->on_bad_ctx, reader->at, value.mv_size, why);
    }
    return rc;
}

int segment_end_read(MDB_cursor *cursor, uint64_t first, uint64_t *out)
{
    MDB_val key, value;
    struct block block;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);

    if (rc)
        return err_from_mdb(rc);
    *out = load_u64(key.mv_data);
    if (*out == 0) /* the header: no block yet */
        *out = first;
    else if (block_open(str_of_bytes(value.mv_data, value.mv_size), *out, &block) == NULL)
        *out += block.count;
    else
        *out += value.mv_size / RECORD_BYTES_MIN + 1;
    return 0;
}

int segment_reader_end(struct segment_reader *reader, uint64_t *out)
{
    int rc;

    segment_reader_pause(reader); /* what is committed now, not what the snapshot knows */
    rc = take_snapshot(reader);
    return rc ? rc : segment_end_read(reader->cursor, reader->first, out);
}

const uint8_t *segment_reader_uuid(const struct segment_reader *reader)
{
    return reader->head.uuid;
}

int64_t segment_reader_created_ms(const struct segment_reader *reader)
{
    return reader->head.created_ms;
}

void segment_reader_close(struct segment_reader *reader)
{
    if (!reader)
        return;
    if (reader->cursor)
        mdb_cursor_close(reader->cursor);
    if (reader->txn)
        mdb_txn_abort(reader->txn);
    mdb_env_release(reader->env);
    mem_free(reader);
}
