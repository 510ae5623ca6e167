#include "broker/core/outbox.h"

#include "broker/base/mem.h"

enum { LANE_ROOM_MIN = 8 };

void outbox_init(struct outbox *o, const struct outbox_limits *limits)
{
    *o = (struct outbox){.limits = limits};
}

/* ---- lanes ---- */

static struct outbox_entry *lane_at(const struct outbox_lane *lane, uint32_t index)
{
    return &lane->entries[(lane->first + index) & (lane->room - 1)];
}

static int lane_grow(struct outbox_lane *lane)
{
    uint32_t room = lane->room ? lane->room * 2 : LANE_ROOM_MIN;
    struct outbox_entry *entries = mem_try(room * sizeof *entries);

    if (!entries)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < lane->count; i++)
        entries[i] = *lane_at(lane, i);
    mem_free(lane->entries);
    lane->entries = entries;
    lane->room = room;
    lane->first = 0;
    return 0;
}

static int lane_push(struct outbox_lane *lane, const struct outbox_entry *entry)
{
    if (lane->count == lane->room) {
        int rc = lane_grow(lane);

        if (rc)
            return rc;
    }
    *lane_at(lane, lane->count) = *entry;
    lane->count++;
    lane->bytes += message_bytes(entry->message);
    return 0;
}

/* The entry at `gone` has left the ring. */
static void lane_lose(struct outbox_lane *lane, struct message *gone)
{
    lane->bytes -= message_bytes(gone);
    message_unref(gone);
    if (lane->count == 0) {
        ASSERT(lane->bytes == 0);
        mem_free(lane->entries);
        *lane = (struct outbox_lane){0};
    }
}

static void lane_pop_front(struct outbox_lane *lane)
{
    struct message *gone = lane_at(lane, 0)->message;

    lane->first = (lane->first + 1) & (lane->room - 1);
    lane->count--;
    lane_lose(lane, gone);
}

static void lane_pop_back(struct outbox_lane *lane)
{
    struct message *gone = lane_at(lane, lane->count - 1)->message;

    lane->count--;
    lane_lose(lane, gone);
}

/* ---- the queue ---- */

void outbox_fini(struct outbox *o)
{
    while (o->qos0.count > 0)
        lane_pop_front(&o->qos0);
    while (o->acked.count > 0)
        lane_pop_front(&o->acked);
}

static bool fits(const struct outbox *o, uint64_t count, uint64_t bytes)
{
    return count + 1 <= o->limits->messages && bytes <= o->limits->bytes;
}

/* Whether `m` has its place, after giving up QoS 0 messages if that helps. */
static bool make_room(struct outbox *o, const struct message *m, uint8_t qos, uint32_t *dropped)
{
    size_t bytes = message_bytes(m);

    if (fits(o, outbox_count(o), outbox_bytes(o) + bytes))
        return true;
    if (qos == 0 || !fits(o, o->acked.count, o->acked.bytes + bytes))
        return false;
    do {
        lane_pop_back(&o->qos0);
        o->dropped_qos0++;
        ++*dropped;
    } while (!fits(o, outbox_count(o), outbox_bytes(o) + bytes));
    return true;
}

int outbox_push(struct outbox *o, struct message *m, uint8_t qos, bool retain, uint32_t *dropped)
{
    struct outbox_entry entry = {m, o->next_order, qos, retain};
    int rc = ERR_FULL;

    *dropped = 0;
    if (make_room(o, m, qos, dropped))
        rc = lane_push(qos > 0 ? &o->acked : &o->qos0, &entry);
    if (rc) {
        ++*dropped;
        ++*(qos > 0 ? &o->dropped_acked : &o->dropped_qos0);
        return rc;
    }
    message_ref(m);
    o->next_order++;
    return 0;
}

const struct outbox_entry *outbox_first(const struct outbox *o, bool credit)
{
    const struct outbox_entry *loose = o->qos0.count > 0 ? lane_at(&o->qos0, 0) : NULL;
    const struct outbox_entry *acked = credit && o->acked.count > 0 ? lane_at(&o->acked, 0) : NULL;

    if (loose && acked)
        return loose->order < acked->order ? loose : acked;
    return loose ? loose : acked;
}

void outbox_pop(struct outbox *o, const struct outbox_entry *first)
{
    struct outbox_lane *lane = first->qos > 0 ? &o->acked : &o->qos0;

    ASSERT(first == lane_at(lane, 0));
    lane_pop_front(lane);
}
