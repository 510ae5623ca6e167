/* Ids are handed out in sequence, so the low bits of an id are its home: neighbours never collide.
 * A client that picks what it leaves unacknowledged can make at most 65,536 / room of them share a
 * home, while room is at least twice their count: some 180 steps at worst. */
#include "broker/core/inflight.h"

#include "broker/base/mem.h"

enum { ROOM_MIN = 8 };

void inflight_init(struct inflight *f, uint16_t peer, uint16_t ours)
{
    ASSERT(peer > 0 && ours > 0);
    *f = (struct inflight){.window = peer < ours ? peer : ours};
}

void inflight_fini(struct inflight *f)
{
    mem_free(f->ids);
    *f = (struct inflight){0};
}

static void put(uint16_t *ids, uint32_t room, uint16_t id)
{
    uint32_t at = id & (room - 1);

    while (ids[at])
        at = (at + 1) & (room - 1);
    ids[at] = id;
}

static int resize(struct inflight *f, uint32_t room)
{
    uint16_t *ids = mem_try(room * sizeof *ids);

    if (!ids)
        return ERR_NOMEM;
    memset(ids, 0, room * sizeof *ids);
    for (uint32_t i = 0; i < f->room; i++) {
        if (f->ids[i])
            put(ids, room, f->ids[i]);
    }
    mem_free(f->ids);
    f->ids = ids;
    f->room = room;
    return 0;
}

/* Where `id` is, or the empty place that ends its probe. */
static uint32_t place(const struct inflight *f, uint16_t id)
{
    uint32_t at = id & (f->room - 1);

    while (f->ids[at] && f->ids[at] != id)
        at = (at + 1) & (f->room - 1);
    return at;
}

bool inflight_has(const struct inflight *f, uint16_t id)
{
    return f->count > 0 && id != 0 && f->ids[place(f, id)] == id;
}

int inflight_take(struct inflight *f, uint16_t *id)
{
    uint16_t next = f->last;

    if (inflight_is_full(f))
        return ERR_FULL;
    if (2u * (f->count + 1u) > f->room) {
        int rc = resize(f, f->room ? f->room * 2 : ROOM_MIN);

        if (rc)
            return rc;
    }
    do /* ends: fewer ids are in use than there are */
        next = next == UINT16_MAX ? 1 : (uint16_t)(next + 1);
    while (inflight_has(f, next));
    put(f->ids, f->room, next);
    f->count++;
    f->last = next;
    *id = next;
    return 0;
}

/* Ids that probed past the freed place move up, so that no tombstones are left. */
static void take_out(struct inflight *f, uint32_t hole)
{
    uint32_t mask = f->room - 1;

    for (uint32_t at = (hole + 1) & mask; f->ids[at]; at = (at + 1) & mask) {
        if (((at - f->ids[at]) & mask) >= ((at - hole) & mask)) {
            f->ids[hole] = f->ids[at];
            hole = at;
        }
    }
    f->ids[hole] = 0;
}

int inflight_release(struct inflight *f, uint16_t id)
{
    if (!inflight_has(f, id))
        return ERR_NOTFOUND;
    take_out(f, place(f, id));
    f->count--;
    if (f->count == 0) {
        mem_free(f->ids);
        f->ids = NULL;
        f->room = 0;
    }
    return 0;
}
