#include "broker/server/ingest.h"

#include "broker/base/mem.h"
#include "broker/core/message.h"

enum { INGEST_ENTRIES_FIRST = 256 };

void ingest_init(struct ingest *q)
{
    *q = (struct ingest){.mask = INGEST_ENTRIES_FIRST - 1};
    q->entries = mem_new(INGEST_ENTRIES_FIRST * sizeof *q->entries);
}

void ingest_fini(struct ingest *q)
{
    for (; q->first != q->next; q->first++) {
        struct message *message = q->entries[q->first & q->mask].message;

        if (message)
            message_unref(message);
    }
    mem_free(q->entries);
}

static bool grow(struct ingest *q)
{
    size_t room = (size_t)q->mask + 1;
    struct ingest_entry *larger;

    if (room == INGEST_ENTRIES_MAX)
        return false;
    larger = mem_try(2 * room * sizeof *larger);
    if (!larger)
        return false;
    for (uint64_t i = q->first; i != q->next; i++)
        larger[i & (2 * room - 1)] = q->entries[i & q->mask];
    mem_free(q->entries);
    q->entries = larger;
    q->mask = (uint32_t)(2 * room - 1);
    return true;
}

struct ingest_entry *ingest_reserve(struct ingest *q)
{
    if (UNLIKELY(q->next - q->first > q->mask) && !grow(q))
        return NULL;
    return &q->entries[q->next & q->mask];
}

/* Undone by `cover`: every column it may touch has a value there, at a later time. */
static bool is_outdated(const struct ingest_entry *entry, const struct ingest_cover *cover)
{
    return entry->bike == cover->bike && entry->schema == cover->schema &&
           (entry->last_ms < cover->last_ms ||
            (entry->last_ms == cover->last_ms && entry->last_order < cover->last_order)) &&
           (entry->any & ~cover->last) == 0;
}

void ingest_mark_outdated(struct ingest *q, uint64_t committed, struct ingest_cover *slots)
{
    uint64_t end = q->first;

    while (end != q->next && q->entries[end & q->mask].end <= committed)
        end++;
    q->pass++;
    while (end != q->first) {
        struct ingest_entry *entry = &q->entries[--end & q->mask];
        struct ingest_cover *cover;

        if (entry->kind != INGEST_TELEMETRY || entry->slot == INGEST_NO_SLOT)
            continue;
        cover = &slots[entry->slot];
        entry->outdated = cover->pass == q->pass && is_outdated(entry, cover);
        if (entry->outdated)
            continue;
        *cover = (struct ingest_cover){.pass = q->pass,
                                       .last = entry->last,
                                       .last_ms = entry->last_ms,
                                       .last_order = entry->last_order,
                                       .bike = entry->bike,
                                       .schema = entry->schema};
    }
}
