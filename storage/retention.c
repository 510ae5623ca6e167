#include "storage/retention.h"

#include "broker/base/log.h"
#include "storage/store_priv.h"

/* When the segment was begun, that is when the one before it ended; false when it cannot be read.
 */
static bool segment_begun(const struct store *s, uint64_t first, bool sealed, int64_t *out)
{
    struct segment_reader *reader;

    if (segment_reader_open(&reader, s->folder, first, sealed, NULL))
        return false;
    *out = segment_reader_created_ms(reader);
    segment_reader_close(reader);
    return true;
}

/* core.mdb forgets the segment before the file goes, so that a missing file always means damage. */
static int forget(struct store *s, uint64_t next_first, struct err_detail *detail)
{
    struct core_meta meta = s->meta;
    int rc;

    meta.log_first = next_first;
    meta.segments_dropped++;
    rc = core_begin(s->core, detail);
    if (rc)
        return rc;
    rc = core_drop_segments(s->core, next_first);
    if (rc) {
        core_abort(s->core);
        return err_set(detail, rc, "write core.mdb: %s", err_text(rc));
    }
    rc = core_commit(s->core, &meta, detail);
    if (rc)
        return rc;
    s->meta = meta;
    return 0;
}

static bool drop(struct store *s, uint64_t first, uint64_t next_first, bool by_size)
{
    struct err_detail detail = {""};
    bool counted = first < s->meta.log_first; /* a removal that was cut short */

    if (!counted && forget(s, next_first, &detail)) {
        LOG_ERROR("retention_failed", F_UINT("segment", first), F_TEXT("why", detail.text));
        if (!by_size) /* over its size the log must shrink, whatever core.mdb says */
            return false;
    }
    if (segment_remove(s->folder, first, &detail)) {
        LOG_ERROR("retention_failed", F_UINT("segment", first), F_TEXT("why", detail.text));
        return false;
    }
    atomic_store(&s->facts.segments_dropped, s->meta.segments_dropped);
    atomic_store(&s->facts.log_first, next_first);
    LOG_INFO("segment_dropped", F_UINT("from", first), F_UINT("to", next_first),
             F_TEXT("why", counted   ? "left over"
                           : by_size ? "log_max_bytes"
                                     : "log_max_age"));
    return true;
}

void retention_run(struct store *s, int64_t now_ms)
{
    int64_t oldest_ms = now_ms - (int64_t)s->options.log_max_age_s * 1000;
    struct segment_list list;
    uint64_t total = 0;

    if (segment_list_read(&list, s->folder, NULL))
        return;
    for (size_t i = 0; i < list.count; i++)
        total += list.entries[i].file_bytes;
    for (size_t i = 0; i + 1 < list.count; i++) {
        uint64_t first = list.entries[i].first, next = list.entries[i + 1].first;
        bool left_over = first < s->meta.log_first;
        int64_t ended_ms;
        bool by_age, by_size = total > s->options.log_max_bytes;

        if (next > s->meta.checkpoint)
            break;
        by_age = segment_begun(s, next, i + 2 < list.count, &ended_ms) && ended_ms < oldest_ms;
        if (!left_over && !by_age && !by_size)
            break;
        if (!drop(s, first, next, by_size && !by_age))
            break;
        total -= list.entries[i].file_bytes;
        if (!left_over)
            atomic_store(&s->facts.size_cap_reached, !by_age);
    }
    segment_list_free(&list);
}
