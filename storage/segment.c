/* The writing side of a segment.
 *
 * used <= ready <= zeroed: what LMDB has allocated, the end of the zeros that are synced, the end
 * of those that are written. A group is begun only with room for it between `used` and `ready`.
 * That room is an estimate (LMDB may reuse or hoard free pages of its own), so a commit and the
 * writing of zeros exclude each other by `file`, and zeros go only where no commit has been:
 * `zeroed` moves with a commit that went further.
 *
 * Small steps are real zeros, so that a commit changes nothing about the file; large ones are
 * reserved. Zeros are written with O_DIRECT where the file system has it: as dirty pages of the
 * same file they would be flushed by the next commit's fdatasync. */
#include "storage/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "storage/segment_priv.h"

enum {
    /* From this much on at once, room is reserved without writing it: under such a load half of all
     * bytes on the device would be zeros, and what a commit pays instead, the marking of its blocks
     * as written, is spread over large groups. */
    RESERVE_LEAST_BYTES = 4 << 20,

    ZEROS_BYTES = 1 << 20, /* at a time, so that a commit waits for the inode only shortly */

    /* Pages that a group may use besides its value's own: the path to the leaf and its split, the
     * list of free pages. */
    SLACK_PAGES = 32,
};

static _Alignas(SEGMENT_PAGE_BYTES) uint8_t zeros[ZEROS_BYTES];

struct segment {
    MDB_env *env;
    MDB_txn *txn; /* between begin and commit */
    int fd;       /* for zeros and for cutting */
    char folder[SEGMENT_PATH_MAX];
    char path[SEGMENT_PATH_MAX];
    uint64_t first; /* 0 until it has a name */
    uint64_t next;
    struct segment_head head;
    struct mutex file;
    uint64_t zeroed;              /* under `file` */
    _Atomic uint64_t used, ready; /* written under `file` */
};

/* With `file` locked. */
static void set_ends(struct segment *seg, uint64_t ready)
{
    MDB_envinfo info;
    uint64_t used;

    mdb_env_info(seg->env, &info);
    used = ((uint64_t)info.me_last_pgno + 1) * SEGMENT_PAGE_BYTES;
    if (ready < used)
        ready = used;
    if (seg->zeroed < ready)
        seg->zeroed = ready;
    atomic_store(&seg->ready, ready);
    atomic_store(&seg->used, used);
}

static int open_zeros(struct segment *seg, struct err_detail *detail)
{
    seg->fd = open(seg->path, O_RDWR | O_CLOEXEC | O_DIRECT);
    if (seg->fd < 0 && errno == EINVAL)
        seg->fd = open(seg->path, O_RDWR | O_CLOEXEC);
    if (seg->fd < 0)
        return err_set(detail, err_from_errno(errno), "cannot open %s: %s", seg->path,
                       strerror(errno));
    return 0;
}

/* Where the written part of the file ends: a crash may have left a hole behind the last sync. */
static void find_ready(struct segment *seg)
{
    off_t hole;

    set_ends(seg, 0);
    hole = lseek(seg->fd, (off_t)atomic_load(&seg->used), SEEK_HOLE);
    if (hole > 0)
        set_ends(seg, (uint64_t)hole & ~(uint64_t)(SEGMENT_PAGE_BYTES - 1));
}

static int open_file(struct segment *seg, struct err_detail *detail)
{
    const struct mdb_mode mode = {.map_bytes = SEGMENT_MAP_BYTES};
    int rc = mdb_env_acquire(&seg->env, seg->path, &mode, detail);

    if (rc)
        return rc;
    rc = segment_length_check(seg->env, seg->path, detail);
    if (!rc)
        rc = open_zeros(seg, detail);
    return rc;
}

static int write_head(struct segment *seg, struct err_detail *detail)
{
    uint8_t head[SEGMENT_HEAD_BYTES];
    uint64_t zero = 0;
    MDB_val key = {sizeof zero, &zero}, value = {sizeof head, head};
    MDB_dbi table;
    MDB_txn *txn;
    int rc = mdb_txn_begin(seg->env, NULL, 0, &txn);

    if (rc)
        goto out;
    segment_head_write(head, &seg->head);
    rc = mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &table);
    if (!rc)
        rc = mdb_put(txn, table, &key, &value, 0);
    if (rc) {
        mdb_txn_abort(txn);
        goto out;
    }
    rc = mdb_txn_commit(txn);
out:
    return rc ? mdb_fail(detail, rc, "cannot write to", seg->path) : 0;
}

static struct segment *segment_alloc(const char *folder)
{
    struct segment *seg = MEM_NEW(struct segment);

    if (strlen(folder) >= sizeof seg->folder) {
        mem_free(seg);
        return NULL;
    }
    seg->fd = -1;
    mutex_init(&seg->file);
    memcpy(seg->folder, folder, strlen(folder) + 1);
    return seg;
}

void segment_discard_next(const char *folder)
{
    char path[SEGMENT_PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/log/next.mdb", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/log/next.mdb-lock", folder);
    unlink(path);
}

int segment_create(struct segment **out, const char *folder, const uint8_t uuid[SEGMENT_UUID_BYTES],
                   struct err_detail *detail)
{
    struct segment *seg = segment_alloc(folder);
    int rc;

    if (!seg ||
        snprintf(seg->path, sizeof seg->path, "%s/log/next.mdb", folder) >= (int)sizeof seg->path) {
        segment_close(seg);
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", folder);
    }
    segment_discard_next(folder);
    seg->head.created_ms = chrono_wall_ms();
    memcpy(seg->head.uuid, uuid, SEGMENT_UUID_BYTES);
    rc = open_file(seg, detail);
    if (!rc)
        rc = write_head(seg, detail);
    if (rc) {
        segment_close(seg);
        segment_discard_next(folder);
        return rc;
    }
    find_ready(seg);
    *out = seg;
    return 0;
}

static int find_next(struct segment *seg, MDB_txn *txn, struct err_detail *detail)
{
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn, MDB_UNNAMED, &cursor);

    if (rc)
        return mdb_fail(detail, rc, "cannot read", seg->path);
    rc = segment_end_read(cursor, seg->first, &seg->next);
    mdb_cursor_close(cursor);
    return rc ? err_set(detail, rc, "cannot read %s: %s", seg->path, err_text(rc)) : 0;
}

int segment_open(struct segment **out, const char *folder, uint64_t first,
                 struct err_detail *detail)
{
    struct segment *seg = segment_alloc(folder);
    MDB_txn *txn = NULL;
    int rc;

    if (!seg || segment_path(seg->path, folder, first) != 0) {
        segment_close(seg);
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", folder);
    }
    seg->first = first;
    rc = open_file(seg, detail);
    if (rc)
        goto out;
    rc = mdb_txn_begin(seg->env, NULL, MDB_RDONLY, &txn);
    if (rc) {
        rc = mdb_fail(detail, rc, "cannot read", seg->path);
        goto out;
    }
    rc = segment_head_read(txn, seg->path, &seg->head, detail);
    if (!rc)
        rc = find_next(seg, txn, detail);
out:
    if (txn)
        mdb_txn_abort(txn);
    if (rc) {
        segment_close(seg);
        return rc;
    }
    find_ready(seg);
    *out = seg;
    return 0;
}

static int sync_folder(const char *folder, struct err_detail *detail)
{
    char path[SEGMENT_PATH_MAX + 8];
    int fd, rc = 0;

    snprintf(path, sizeof path, "%s/log", folder);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        rc = err_set(detail, err_from_errno(errno), "cannot sync %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

int segment_name(struct segment *seg, uint64_t first, struct err_detail *detail)
{
    char path[SEGMENT_PATH_MAX], lock_from[SEGMENT_PATH_MAX + 8], lock_to[SEGMENT_PATH_MAX + 8];

    ASSERT(seg->first == 0 && first > 0);
    if (segment_path(path, seg->folder, first) != 0)
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", seg->folder);
    snprintf(lock_from, sizeof lock_from, "%s-lock", seg->path);
    snprintf(lock_to, sizeof lock_to, "%s-lock", path);
    /* The lock file first: a reader that sees the new name must meet the writer's lock file. */
    if (rename(lock_from, lock_to) != 0 || rename(seg->path, path) != 0)
        return err_set(detail, err_from_errno(errno), "cannot rename %s: %s", seg->path,
                       strerror(errno));
    memcpy(seg->path, path, sizeof seg->path);
    seg->first = seg->next = first;
    return sync_folder(seg->folder, detail);
}

int segment_begin(struct segment *seg, uint64_t sequence, size_t bytes, uint8_t **value,
                  struct err_detail *detail)
{
    MDB_val key = {sizeof sequence, &sequence}, room = {bytes, NULL};
    int rc;

    ASSERT(!seg->txn && seg->first > 0 && sequence >= seg->next);
    rc = mdb_txn_begin(seg->env, NULL, 0, &seg->txn);
    if (!rc)
        rc = mdb_put(seg->txn, MDB_UNNAMED, &key, &room, MDB_APPEND | MDB_RESERVE);
    if (rc) {
        segment_abort(seg);
        return mdb_fail(detail, rc, "cannot append to", seg->path);
    }
    *value = room.mv_data;
    seg->next = sequence + 1; /* the writer keeps count of records */
    return 0;
}

int segment_commit(struct segment *seg, struct err_detail *detail)
{
    int rc;

    mutex_lock(&seg->file);
    rc = mdb_txn_commit(seg->txn);
    seg->txn = NULL;
    if (!rc)
        set_ends(seg, atomic_load(&seg->ready));
    mutex_unlock(&seg->file);
    return rc ? mdb_fail(detail, rc, "cannot commit to", seg->path) : 0;
}

void segment_abort(struct segment *seg)
{
    if (seg->txn)
        mdb_txn_abort(seg->txn);
    seg->txn = NULL;
}

uint64_t segment_first(const struct segment *seg)
{
    return seg->first;
}

uint64_t segment_next(const struct segment *seg)
{
    return seg->next;
}

const uint8_t *segment_uuid(const struct segment *seg)
{
    return seg->head.uuid;
}

int64_t segment_created_ms(const struct segment *seg)
{
    return seg->head.created_ms;
}

uint64_t segment_need(size_t bytes)
{
    /* LMDB's page header stands before the value. */
    return ((uint64_t)bytes / SEGMENT_PAGE_BYTES + 2 + SLACK_PAGES) * SEGMENT_PAGE_BYTES;
}

uint64_t segment_used_bytes(const struct segment *seg)
{
    return atomic_load(&seg->used);
}

uint64_t segment_ready_bytes(const struct segment *seg)
{
    return atomic_load(&seg->ready);
}

static int write_zeros(struct segment *seg, uint64_t at, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = pwrite(seg->fd, zeros, bytes < ZEROS_BYTES ? bytes : ZEROS_BYTES, (off_t)at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : ENOSPC;
        at += (uint64_t)done;
        bytes -= (size_t)done;
    }
    return 0;
}

/* Blocks that belong to the file and read as zeros. EOPNOTSUPP where the file system has none. */
static int reserve(struct segment *seg, uint64_t at, size_t bytes)
{
    return fallocate(seg->fd, 0, (off_t)at, (off_t)bytes) == 0 ? 0 : errno;
}

/* One step: put behind everything, then synced while commits may go on. */
static int extend_step(struct segment *seg, size_t bytes,
                       int (*put)(struct segment *seg, uint64_t at, size_t bytes))
{
    uint64_t to;
    int failed;

    mutex_lock(&seg->file);
    to = seg->zeroed + bytes;
    failed = put(seg, seg->zeroed, bytes);
    if (!failed)
        seg->zeroed = to;
    mutex_unlock(&seg->file);
    if (!failed && fdatasync(seg->fd) != 0)
        failed = errno;
    if (failed)
        return failed;
    mutex_lock(&seg->file);
    if (to > atomic_load(&seg->ready))
        atomic_store(&seg->ready, to);
    mutex_unlock(&seg->file);
    return 0;
}

int segment_extend(struct segment *seg, uint64_t bytes, struct err_detail *detail)
{
    uint64_t left = (bytes + SEGMENT_PAGE_BYTES - 1) / SEGMENT_PAGE_BYTES * SEGMENT_PAGE_BYTES;
    int failed = EOPNOTSUPP;

    if (left >= RESERVE_LEAST_BYTES)
        failed = extend_step(seg, left, reserve);
    if (failed == EOPNOTSUPP || failed == EINTR) {
        for (failed = 0; left > 0 && !failed; left -= left < ZEROS_BYTES ? left : ZEROS_BYTES)
            failed = extend_step(seg, left < ZEROS_BYTES ? left : ZEROS_BYTES, write_zeros);
    }
    if (failed)
        return err_set(detail, err_from_errno(failed), "cannot write ahead in %s: %s", seg->path,
                       strerror(failed));
    return 0;
}

int segment_seal(struct segment *seg, struct err_detail *detail)
{
    uint64_t used = atomic_load(&seg->used);

    if (ftruncate(seg->fd, (off_t)used) != 0)
        return err_set(detail, err_from_errno(errno), "cannot cut %s: %s", seg->path,
                       strerror(errno));
    atomic_store(&seg->ready, used);
    return 0;
}

void segment_close(struct segment *seg)
{
    if (!seg)
        return;
    segment_abort(seg);
    mdb_env_release(seg->env);
    if (seg->fd >= 0)
        close(seg->fd);
    mutex_fini(&seg->file);
    mem_free(seg);
}
