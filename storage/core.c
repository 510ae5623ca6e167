#include "storage/core.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "broker/base/mem.h"
#include "storage/crc32c.h"
#include "storage/mdb.h"

enum {
    CRC_BYTES = 4,
    META_BYTES = 4 + CORE_UUID_BYTES + 6 * 8, /* format, UUID, six numbers */
    SEGMENT_KEY_BYTES = 9,
    SEGMENT_VALUE_BYTES = 24,
    CORE_PATH_MAX = 4096,
};

enum { TABLE_META, TABLE_BIKES, TABLE_LATEST, TABLE_QUARANTINE, TABLE_COUNT };

static const char *const table_names[TABLE_COUNT] = {"meta", "bikes", "latest", "quarantine"};
static const char meta_key[] = "meta"; /* and "s" + u64 BE for a segment */

struct core {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    MDB_txn *txn; /* the write transaction between core_begin() and its end */
    bool is_new;
    char path[CORE_PATH_MAX];
};

static MDB_val val_of(const void *bytes, size_t len)
{
    union { /* LMDB takes no const, and does not write through a key */
        const void *in;
        void *out;
    } at = {.in = bytes};

    return (MDB_val){len, at.out};
}

static struct str str_of_val(MDB_val v)
{
    return str_of_bytes(v.mv_data, v.mv_size);
}

static uint32_t value_crc(MDB_val key, const void *body, size_t len)
{
    return crc32c(crc32c(0, key.mv_data, key.mv_size), body, len);
}

/* The body of a value, or false where its CRC is wrong. */
static bool value_open(MDB_val key, MDB_val value, struct str *body)
{
    const uint8_t *at = value.mv_data;

    if (value.mv_size < CRC_BYTES)
        return false;
    *body = str_of_bytes(at + CRC_BYTES, value.mv_size - CRC_BYTES);
    return load_u32(at) == value_crc(key, body->at, body->len);
}

static int value_put(struct core *c, int table, MDB_val key, struct str body, unsigned flags)
{
    MDB_val value = {CRC_BYTES + body.len, NULL};
    int rc;

    rc = mdb_put(c->txn, c->tables[table], &key, &value, MDB_RESERVE | flags);
    if (rc)
        return rc;
    store_u32(value.mv_data, value_crc(key, body.at, body.len));
    memcpy((uint8_t *)value.mv_data + CRC_BYTES, body.at, body.len);
    return 0;
}

/* ---- meta ---- */

static void meta_write(uint8_t out[META_BYTES], const struct core_meta *meta)
{
    const uint64_t numbers[] = {meta->checkpoint,       meta->log_first,
                                meta->quarantined,      meta->quarantine_dropped,
                                meta->quarantine_bytes, meta->segments_dropped};

    store_u32(out, CORE_FORMAT);
    memcpy(out + 4, meta->uuid, CORE_UUID_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        store_u64(out + 4 + CORE_UUID_BYTES + 8 * i, numbers[i]);
}

static int meta_read(const struct core *c, MDB_txn *txn, struct core_meta *out,
                     struct err_detail *detail)
{
    MDB_val key = val_of(meta_key, sizeof meta_key - 1), value;
    uint64_t *const numbers[] = {&out->checkpoint,       &out->log_first,
                                 &out->quarantined,      &out->quarantine_dropped,
                                 &out->quarantine_bytes, &out->segments_dropped};
    struct str body;
    int rc;

    rc = mdb_get(txn, c->tables[TABLE_META], &key, &value);
    if (rc == MDB_NOTFOUND)
        return ERR_NOTFOUND;
    if (rc)
        return mdb_fail(detail, rc, "read", c->path);
    if (!value_open(key, value, &body) || body.len < 4)
        return err_set(detail, ERR_CORRUPT, "%s: damaged (checksum of its head is wrong)", c->path);
    if (load_u32(body.at) != CORE_FORMAT)
        return err_set(detail, ERR_UNSUPPORTED,
                       "%s: format %u, this program knows %u; use the release that wrote it, or a "
                       "newer one",
                       c->path, load_u32(body.at), CORE_FORMAT);
    if (body.len != META_BYTES)
        return err_set(detail, ERR_CORRUPT, "%s: damaged (its head has a wrong length)", c->path);
    memcpy(out->uuid, body.at + 4, CORE_UUID_BYTES);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        *numbers[i] = load_u64(body.at + 4 + CORE_UUID_BYTES + 8 * i);
    if (out->checkpoint == 0 || out->log_first == 0 || out->log_first > out->checkpoint)
        return err_set(detail, ERR_CORRUPT, "%s: damaged (impossible checkpoint)", c->path);
    return 0;
}

/* ---- life ---- */

/* LMDB maps the file and trusts it: a page behind its end would kill the process. */
static int core_check_length(const struct core *c, struct err_detail *detail)
{
    struct stat file;
    MDB_envinfo info;
    MDB_stat stat_of_db;

    if (stat(c->path, &file) != 0)
        return err_set(detail, err_from_errno(errno), "%s: %s", c->path, strerror(errno));
    if (mdb_env_info(c->env, &info) || mdb_env_stat(c->env, &stat_of_db))
        return err_set(detail, ERR_CORRUPT, "%s: not readable", c->path);
    if ((uint64_t)file.st_size < (uint64_t)(info.me_last_pgno + 1) * stat_of_db.ms_psize)
        return err_set(detail, ERR_CORRUPT, "%s: damaged (cut short); restore it from a backup",
                       c->path);
    return 0;
}

static int core_open_tables(struct core *c, bool read_only, struct err_detail *detail)
{
    struct core_meta meta;
    MDB_txn *txn;
    int rc;

    rc = mdb_txn_begin(c->env, NULL, read_only ? MDB_RDONLY : 0, &txn);
    if (rc)
        return mdb_fail(detail, rc, "open", c->path);
    for (size_t t = 0; t < TABLE_COUNT && !rc; t++)
        rc = mdb_dbi_open(txn, table_names[t], read_only ? 0 : MDB_CREATE, &c->tables[t]);
    if (rc == MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return err_set(detail, ERR_NOTFOUND, "%s: holds no store", c->path);
    }
    if (rc) {
        mdb_txn_abort(txn);
        return mdb_fail(detail, rc, "open", c->path);
    }
    rc = meta_read(c, txn, &meta, detail);
    if (rc == ERR_NOTFOUND) { /* made just now, or its maker died before its first commit */
        c->is_new = true;
        rc = 0;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn); /* a read-only one too, to keep its table handles */
    return rc ? mdb_fail(detail, rc, "open", c->path) : 0;
}

int core_open(struct core **out, const char *folder, bool read_only, struct err_detail *detail)
{
    const struct mdb_mode mode = {
        .map_bytes = CORE_MAP_BYTES, .max_tables = TABLE_COUNT, .read_only = read_only};
    struct core *c = MEM_NEW(struct core);
    int len, rc;

    len = snprintf(c->path, sizeof c->path, "%s/core.mdb", folder);
    if (len < 0 || (size_t)len >= sizeof c->path) {
        rc = err_set(detail, ERR_TOO_LARGE, "%s: the path is too long", folder);
        goto out;
    }
    rc = mdb_env_acquire(&c->env, c->path, &mode, detail);
    if (rc)
        goto out;
    rc = core_check_length(c, detail);
    if (rc)
        goto out;
    rc = core_open_tables(c, read_only, detail);
out:
    if (rc)
        core_close(c);
    else
        *out = c;
    return rc;
}

void core_close(struct core *c)
{
    if (!c)
        return;
    core_abort(c);
    mdb_env_release(c->env);
    mem_free(c);
}

bool core_is_new(const struct core *c)
{
    return c->is_new;
}

/* ---- reading ---- */

/* Called with each sound value of a table. */
typedef int core_value_fn(const struct core_visitor *v, struct str key, struct str body);

static int table_walk(const struct core *c, MDB_txn *txn, int table,
                      const struct core_visitor *visitor, core_value_fn *visit)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    struct str body;
    int rc;

    rc = err_from_mdb(mdb_cursor_open(txn, c->tables[table], &cursor));
    if (rc)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        int code =
            value_open(key, value, &body) ? visit(visitor, str_of_val(key), body) : ERR_CORRUPT;

        if (code == ERR_CORRUPT) {
            if (visitor->bad)
                visitor->bad(visitor->ctx, table_names[table]);
        } else if (code) {
            mdb_cursor_close(cursor);
            return code;
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : err_from_mdb(rc);
}

static int on_bike(const struct core_visitor *v, struct str key, struct str body)
{
    return body.len != 4 ? ERR_CORRUPT : v->bike(v->ctx, load_u32(body.at), key);
}

static int on_latest(const struct core_visitor *v, struct str key, struct str body)
{
    return key.len != 4 ? ERR_CORRUPT : v->latest(v->ctx, be32toh(load_u32(key.at)), body);
}

static bool segment_read(struct str key, struct str body, struct core_segment *out)
{
    if (key.len != SEGMENT_KEY_BYTES || key.at[0] != 's' || body.len != SEGMENT_VALUE_BYTES)
        return false;
    out->first = be64toh(load_u64(key.at + 1));
    out->next = load_u64(body.at);
    out->recv_first_ms = (int64_t)load_u64(body.at + 8);
    out->recv_last_ms = (int64_t)load_u64(body.at + 16);
    return true;
}

static int on_segment(const struct core_visitor *v, struct str key, struct str body)
{
    struct core_segment segment;

    if (str_equal(key, STR_LITERAL("meta")))
        return 0;
    return segment_read(key, body, &segment) ? v->segment(v->ctx, &segment) : ERR_CORRUPT;
}

static int on_quarantined(const struct core_visitor *v, struct str key, struct str body)
{
    return key.len != 8 ? ERR_CORRUPT : v->quarantined(v->ctx, be64toh(load_u64(key.at)), body);
}

int core_read(struct core *c, struct core_meta *meta, const struct core_visitor *visitor,
              struct err_detail *detail)
{
    const struct {
        int table;
        core_value_fn *visit; /* NULL: nobody asked */
    } walks[] = {{TABLE_BIKES, visitor->bike ? on_bike : NULL},
                 {TABLE_LATEST, visitor->latest ? on_latest : NULL},
                 {TABLE_META, visitor->segment ? on_segment : NULL},
                 {TABLE_QUARANTINE, visitor->quarantined ? on_quarantined : NULL}};
    MDB_txn *txn;
    int rc;

    rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return mdb_fail(detail, rc, "read", c->path);
    rc = meta_read(c, txn, meta, detail);
    if (rc == ERR_NOTFOUND) {
        *meta = (struct core_meta){.checkpoint = 1, .log_first = 1};
        rc = 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(walks) && !rc; i++) {
        if (!walks[i].visit)
            continue;
        rc = table_walk(c, txn, walks[i].table, visitor, walks[i].visit);
        if (rc)
            err_set(detail, rc, "read %s: %s", c->path, err_text(rc));
    }
    mdb_txn_abort(txn); /* a snapshot has nothing to commit */
    return rc;
}

/* ---- writing ---- */

int core_begin(struct core *c, struct err_detail *detail)
{
    int rc = mdb_txn_begin(c->env, NULL, 0, &c->txn);

    if (rc) {
        c->txn = NULL;
        return mdb_fail(detail, rc, "write", c->path);
    }
    return 0;
}

int core_put_bike(struct core *c, uint32_t number, struct str id)
{
    uint8_t body[4];

    store_u32(body, number);
    return err_from_mdb(
        value_put(c, TABLE_BIKES, val_of(id.at, id.len), str_of_bytes(body, sizeof body), 0));
}

int core_put_latest(struct core *c, uint32_t bike, struct str state)
{
    uint32_t key = htobe32(bike);

    return err_from_mdb(value_put(c, TABLE_LATEST, val_of(&key, sizeof key), state, 0));
}

static void segment_key(uint8_t out[SEGMENT_KEY_BYTES], uint64_t first)
{
    out[0] = 's';
    store_u64(out + 1, htobe64(first));
}

int core_put_segment(struct core *c, const struct core_segment *segment)
{
    uint8_t key[SEGMENT_KEY_BYTES], body[SEGMENT_VALUE_BYTES];

    segment_key(key, segment->first);
    store_u64(body, segment->next);
    store_u64(body + 8, (uint64_t)segment->recv_first_ms);
    store_u64(body + 16, (uint64_t)segment->recv_last_ms);
    return err_from_mdb(
        value_put(c, TABLE_META, val_of(key, sizeof key), str_of_bytes(body, sizeof body), 0));
}

int core_find_segment(struct core *c, uint64_t first, struct core_segment *out)
{
    uint8_t bytes[SEGMENT_KEY_BYTES];
    MDB_val key = val_of(bytes, sizeof bytes), value;
    struct str body;
    int rc;

    segment_key(bytes, first);
    rc = mdb_get(c->txn, c->tables[TABLE_META], &key, &value);
    if (rc)
        return err_from_mdb(rc);
    return value_open(key, value, &body) && segment_read(str_of_val(key), body, out) ? 0
                                                                                     : ERR_CORRUPT;
}

int core_drop_segments(struct core *c, uint64_t first)
{
    uint8_t from[SEGMENT_KEY_BYTES];
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc;

    rc = mdb_cursor_open(c->txn, c->tables[TABLE_META], &cursor);
    if (rc)
        return err_from_mdb(rc);
    segment_key(from, 0);
    key = val_of(from, sizeof from);
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && key.mv_size == SEGMENT_KEY_BYTES && *(const char *)key.mv_data == 's' &&
           be64toh(load_u64((const char *)key.mv_data + 1)) < first) {
        rc = mdb_cursor_del(cursor, 0);
        if (!rc) {
            key = val_of(from, sizeof from);
            rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : err_from_mdb(rc);
}

int core_put_quarantined(struct core *c, struct core_meta *meta, uint64_t sequence,
                         struct str record)
{
    uint64_t key = htobe64(sequence);
    int rc;

    rc = value_put(c, TABLE_QUARANTINE, val_of(&key, sizeof key), record, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST)
        return 0;
    if (rc)
        return err_from_mdb(rc);
    meta->quarantined++;
    meta->quarantine_bytes += record.len;
    return 0;
}

int core_trim_quarantine(struct core *c, struct core_meta *meta, uint64_t max_bytes)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc;

    if (meta->quarantine_bytes <= max_bytes)
        return 0;
    rc = mdb_cursor_open(c->txn, c->tables[TABLE_QUARANTINE], &cursor);
    if (rc)
        return err_from_mdb(rc);
    while (!rc && meta->quarantine_bytes > max_bytes) {
        uint64_t bytes;

        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (rc)
            break;
        bytes = value.mv_size > CRC_BYTES ? value.mv_size - CRC_BYTES : 0;
        rc = mdb_cursor_del(cursor, 0);
        if (rc)
            break;
        meta->quarantine_bytes -= bytes < meta->quarantine_bytes ? bytes : meta->quarantine_bytes;
        meta->quarantine_dropped++;
    }
    mdb_cursor_close(cursor);
    if (rc == MDB_NOTFOUND) { /* empty: what the counter said was wrong */
        meta->quarantine_bytes = 0;
        rc = 0;
    }
    return err_from_mdb(rc);
}

int core_commit(struct core *c, const struct core_meta *meta, struct err_detail *detail)
{
    uint8_t body[META_BYTES];
    int rc;

    meta_write(body, meta);
    rc = value_put(c, TABLE_META, val_of(meta_key, sizeof meta_key - 1),
                   str_of_bytes(body, sizeof body), 0);
    if (rc) {
        core_abort(c);
        return mdb_fail(detail, rc, "write", c->path);
    }
    rc = mdb_txn_commit(c->txn);
    c->txn = NULL; /* also when it failed */
    if (rc)
        return mdb_fail(detail, rc, "commit", c->path);
    c->is_new = false;
    return 0;
}

void core_abort(struct core *c)
{
    if (c->txn)
        mdb_txn_abort(c->txn);
    c->txn = NULL;
}
