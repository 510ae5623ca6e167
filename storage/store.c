/* The folder, its lock and the life of the threads. What is known from the log (bikes, latest,
 * quarantine, rows) has files of its own. */
#include "storage/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/mem.h"
#include "storage/recover.h"
#include "storage/store_priv.h"

/* Numbers that no segment can have used up: more than the smallest records that fit into one. */
#define SEQUENCES_A_SEGMENT ((uint64_t)1 << 26)

void store_options_default(struct store_options *options)
{
    *options = (struct store_options){
        .commit_interval_ms = 10,
        .commit_bytes = 64 << 10,
        .commit_burst = 20,
        .segment_max_bytes = (uint64_t)512 << 20,
        .segment_max_records = 4000000,
        .segment_max_age_s = 3600,
        .log_max_bytes = (uint64_t)20 << 30,
        .log_max_age_s = 7 * 86400,
        .quarantine_max_bytes = (uint64_t)64 << 20,
        .prewrite_max_bytes = (uint64_t)64 << 20,
    };
}

static int check_options(const struct store_options *options, struct err_detail *detail)
{
    if (options->segment_max_bytes < SEGMENT_BYTES_MIN ||
        options->segment_max_bytes > SEGMENT_BYTES_MAX)
        return err_set(detail, ERR_INVALID, "a segment has %llu to %llu bytes, not %llu",
                       (unsigned long long)SEGMENT_BYTES_MIN, (unsigned long long)SEGMENT_BYTES_MAX,
                       (unsigned long long)options->segment_max_bytes);
    if (options->segment_max_records == 0 || options->segment_max_records > SEQUENCES_A_SEGMENT)
        return err_set(detail, ERR_INVALID, "a segment has 1 to %llu records, not %llu",
                       (unsigned long long)SEQUENCES_A_SEGMENT,
                       (unsigned long long)options->segment_max_records);
    return 0;
}

/* ---- the folder ---- */

static int make_folder(const char *path, struct err_detail *detail)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return err_set(detail, err_from_errno(errno), "cannot make the folder %s: %s", path,
                   strerror(errno));
}

static int make_folders(const char *folder, struct err_detail *detail)
{
    static const char *const parts[] = {"", "/log", "/run"};
    char path[SEGMENT_PATH_MAX];
    int rc = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts) && !rc; i++) {
        snprintf(path, sizeof path, "%s%s", folder, parts[i]);
        rc = make_folder(path, detail);
    }
    return rc;
}

static int sync_folder(const char *path, struct err_detail *detail)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 && errno == EACCES)
        return 0; /* a parent that is not ours to read is not ours to sync */
    if (fd < 0 || fsync(fd) != 0)
        rc = err_set(detail, err_from_errno(errno), "cannot sync the folder %s: %s", path,
                     strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The names of what was made: a file survives a power cut only if its folder knows it. */
static int sync_folders(const char *folder, struct err_detail *detail)
{
    char parent[SEGMENT_PATH_MAX];
    char *slash;
    int rc = sync_folder(folder, detail);

    if (rc)
        return rc;
    snprintf(parent, sizeof parent, "%s", folder);
    slash = strrchr(parent, '/');
    if (!slash)
        snprintf(parent, sizeof parent, ".");
    else if (slash == parent)
        slash[1] = '\0';
    else
        *slash = '\0';
    return sync_folder(parent, detail);
}

/* Who holds the lock, as it wrote itself down; 0 if that cannot be read. */
static long lock_holder(int fd)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);

    return len > 0 ? strtol(text, NULL, 10) : 0;
}

static int lock_folder(struct store *s, struct err_detail *detail)
{
    char path[SEGMENT_PATH_MAX], text[32];
    int len;

    snprintf(path, sizeof path, "%s/run/lock", s->folder);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_set(detail, err_from_errno(errno), "cannot open %s: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return err_set(detail, err_from_errno(errno), "cannot lock %s: %s", path,
                           strerror(errno));
        return err_set(detail, ERR_BUSY,
                       "process %ld writes to %s already: stop it first, or use another folder",
                       lock_holder(s->lock_fd), s->folder);
    }
    len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, text, (size_t)len, 0) != len)
        return err_set(detail, errno == ENOSPC ? ERR_NOSPACE : err_from_errno(errno),
                       "cannot write to %s: %s", path, strerror(errno));
    return 0;
}

/* ---- the log at open ---- */

static int make_uuid(struct store *s, struct err_detail *detail)
{
    if (getrandom(s->uuid, sizeof s->uuid, 0) != (ssize_t)sizeof s->uuid)
        return err_set(detail, ERR_IO, "the system gives no random bytes: %s", strerror(errno));
    return 0;
}

static void found_uuid(struct store *s, const uint8_t uuid[SEGMENT_UUID_BYTES])
{
    memcpy(s->uuid, uuid, sizeof s->uuid);
    s->uuid_found = true;
}

/* The UUID of a log whose newest segment is damaged. */
static int uuid_from_older(struct store *s, const struct segment_list *list,
                           struct err_detail *detail)
{
    for (size_t i = list->count - 1; i-- > 0;) {
        struct segment_reader *reader;

        if (segment_reader_open(&reader, s->folder, list->entries[i].first, true, NULL) != 0)
            continue;
        found_uuid(s, segment_reader_uuid(reader));
        segment_reader_close(reader);
        return 0;
    }
    return make_uuid(s, detail);
}

/* A reader's view of the newest segment: its end, and whose it is. */
static int look_at_newest(struct store *s, uint64_t first, struct err_detail *detail)
{
    struct segment_reader *reader;
    int rc = segment_reader_open(&reader, s->folder, first, false, detail);

    if (rc)
        return rc;
    found_uuid(s, segment_reader_uuid(reader));
    rc = segment_reader_end(reader, &s->next_sequence);
    segment_reader_close(reader);
    return rc ? err_set(detail, rc, "cannot read the log of %s: %s", s->folder, err_text(rc)) : 0;
}

/* To go on with it. */
static int take_newest(struct store *s, uint64_t first, struct err_detail *detail)
{
    int rc = segment_open(&s->active, s->folder, first, detail);

    if (rc)
        return rc;
    found_uuid(s, segment_uuid(s->active));
    s->next_sequence = segment_next(s->active);
    return 0;
}

/* A damaged newest segment is left as it is, for salvage, and the log goes on behind every number
 * it can have used. */
static int open_newest(struct store *s, const struct segment_list *list, struct err_detail *detail)
{
    struct err_detail why;
    uint64_t first = list->entries[list->count - 1].first;
    int rc = s->options.read_only ? look_at_newest(s, first, &why) : take_newest(s, first, &why);

    if (rc && rc != ERR_CORRUPT)
        return err_set(detail, rc, "%s", why.text);
    if (rc) {
        LOG_ERROR("segment_damaged", F_UINT("first", first), F_TEXT("why", why.text));
        s->next_sequence = first + SEQUENCES_A_SEGMENT;
        rc = uuid_from_older(s, list, detail);
    }
    return rc;
}

static int open_log(struct store *s, struct err_detail *detail)
{
    struct segment_list list;
    int rc = segment_list_read(&list, s->folder, detail);

    if (rc)
        return rc;
    s->first_sequence = s->next_sequence = 1;
    if (list.count == 0)
        rc = s->options.read_only ? 0 : make_uuid(s, detail);
    else
        rc = open_newest(s, &list, detail);
    if (!rc && list.count > 0)
        s->first_sequence = list.entries[0].first;
    segment_list_free(&list);
    return rc;
}

/* ---- life ---- */

int store_open(struct store **out, const struct store_options *options, struct err_detail *detail)
{
    struct store *s;
    int rc = check_options(options, detail);

    if (rc)
        return rc;
    if (strlen(options->folder) + 64 > SEGMENT_PATH_MAX)
        return err_set(detail, ERR_TOO_LARGE, "the path of the folder is too long");
    s = MEM_NEW(struct store);
    s->options = *options;
    s->options.folder = s->folder = mem_copy_text(str_from(options->folder));
    s->lock_fd = -1;
    if (options->read_only) {
        if (access(s->folder, R_OK | X_OK) != 0)
            rc = err_set(detail, err_from_errno(errno), "cannot read the folder %s: %s", s->folder,
                         strerror(errno));
    } else {
        rc = make_folders(s->folder, detail);
        if (!rc)
            rc = lock_folder(s, detail);
    }
    if (!rc)
        rc = open_log(s, detail);
    if (!rc)
        rc = recover_open(s, detail);
    if (!rc && !options->read_only)
        rc = sync_folders(s->folder, detail);
    if (rc) {
        store_close(s);
        return rc;
    }
    s->bell.bytes = options->commit_bytes;
    s->bell.rings = s->rings;
    *out = s;
    return 0;
}

int store_ring_new(struct store *s, size_t bytes, void (*on_committed)(void *ctx), void *ctx,
                   struct ring **out)
{
    int rc;

    ASSERT(!s->writer && !s->options.read_only);
    if (s->ring_count == WRITER_RINGS_MAX)
        return ERR_FULL;
    rc = ring_new(out, bytes);
    if (rc)
        return rc;
    ring_attach(*out, &s->bell, on_committed, ctx);
    s->rings[s->ring_count++] = *out;
    s->bell.ring_count = s->ring_count;
    return 0;
}

static void on_writer_failed(void *ctx, const struct err_detail *detail)
{
    struct store *s = ctx;

    atomic_store(&s->failed, true);
    if (!s->options.on_failed) {
        LOG_ERROR("commit_failed", F_TEXT("why", detail->text));
        abort();
    }
    s->options.on_failed(s->options.on_failed_ctx, detail);
}

static void on_rotated(void *ctx, const struct writer_rotation *rotation)
{
    struct store *s = ctx;

    maintenance_on_rotated(s->maintenance, rotation);
}

static int start_writer(struct store *s, struct err_detail *detail)
{
    const struct store_options *options = &s->options;
    const struct writer_options writer = {
        .active = s->active,
        .supply = s->supply,
        .next_sequence = s->next_sequence,
        .bell = &s->bell,
        .rings = s->rings,
        .ring_count = s->ring_count,
        .commit_interval_ms = options->commit_interval_ms,
        .commit_bytes = options->commit_bytes,
        .commit_burst = options->commit_burst,
        .segment_max_bytes = options->segment_max_bytes,
        .segment_max_records = options->segment_max_records,
        .segment_max_age_s = options->segment_max_age_s,
        .on_rotated = on_rotated,
        .on_failed = on_writer_failed,
        .ctx = s,
    };

    return writer_start(&s->writer, &writer, detail);
}

int store_start(struct store *s, struct err_detail *detail)
{
    const struct supply_options supply = {
        .folder = s->folder,
        .step_max_bytes = s->options.prewrite_max_bytes,
        .segment_max_bytes = s->options.segment_max_bytes,
        .active = s->active,
        .uuid = s->uuid,
        .bell = &s->bell,
    };
    int rc;

    ASSERT(!s->options.read_only && !s->writer);
    segment_discard_next(s->folder);
    rc = maintenance_start(s, detail);
    if (rc)
        return rc;
    rc = supply_start(&s->supply, &supply, detail);
    if (!rc)
        rc = start_writer(s, detail);
    if (rc) {
        if (s->supply)
            supply_stop(s->supply);
        s->supply = NULL;
        maintenance_abandon(s);
        return rc;
    }
    s->active = NULL;
    return 0;
}

int store_stop(struct store *s, struct err_detail *detail)
{
    struct writer_status status;
    int rc;

    if (!s->writer)
        return 0;
    rc = writer_stop(s->writer, &s->active, &status, detail);
    s->writer = NULL;
    s->next_sequence = status.next_sequence;
    supply_stop(s->supply);
    s->supply = NULL;
    if (rc) /* the failure is what the caller must hear of */
        maintenance_abandon(s);
    else
        maintenance_stop(s);
    return rc;
}

void store_close(struct store *s)
{
    struct err_detail detail;

    if (!s)
        return;
    if (store_stop(s, &detail) != 0)
        LOG_ERROR("store_not_stopped", F_TEXT("why", detail.text));
    recover_close(s);
    segment_close(s->active);
    for (size_t i = 0; i < s->ring_count; i++)
        ring_free(s->rings[i]);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    mem_free(s->folder);
    mem_free(s);
}

/* ---- state ---- */

int store_admission(const struct store *s)
{
    if (atomic_load_explicit(&s->failed, memory_order_relaxed))
        return ERR_IO;
    return s->supply ? supply_admission(s->supply) : 0;
}

uint64_t store_next_sequence(struct store *s)
{
    struct writer_status status;

    if (!s->writer)
        return s->next_sequence;
    writer_status(s->writer, &status);
    return status.next_sequence;
}

void store_status(struct store *s, struct store_status *out)
{
    struct segment_list list;

    *out =
        (struct store_status){.next_sequence = s->next_sequence, .failed = atomic_load(&s->failed)};
    maintenance_status(s, out);
    if (s->writer) {
        struct writer_status writer;

        writer_status(s->writer, &writer);
        out->next_sequence = writer.next_sequence;
        out->commits = writer.commits;
        out->records = writer.records;
        out->bytes = writer.bytes;
        out->commit_us_p50 = writer.commit_us_p50;
        out->commit_us_p99 = writer.commit_us_p99;
        out->pending_bytes = writer.pending_bytes;
    }
    if (segment_list_read(&list, s->folder, NULL) != 0)
        return;
    for (size_t i = 0; i < list.count; i++)
        out->log_bytes += list.entries[i].file_bytes;
    out->segments = (uint32_t)list.count;
    segment_list_free(&list);
}
