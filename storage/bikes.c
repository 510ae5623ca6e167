#include "storage/bikes.h"

#include "broker/base/chrono.h"
#include "broker/base/map.h"
#include "broker/base/mem.h"
#include "broker/base/thread.h"
#include "storage/record.h"
#include "storage/store_priv.h"

/* Numbers live in pages that never move, so that an id can be handed out without holding the lock
 * longer than the look-up. */
enum { PAGE_BIKES = 4096, PAGE_COUNT = BIKES_MAX / PAGE_BIKES + 1 };

struct bike {
    char *id; /* NULL in a hole: given, but not committed before a crash */
    uint32_t id_len;
    uint32_t number;
    struct ring *birth_ring; /* where its RECORD_BIKE_NEW waits; NULL once committed */
    uint64_t birth_end;
};

struct bikes {
    struct mutex lock;
    struct map by_id; /* to struct bike */
    struct bike *pages[PAGE_COUNT];
    uint32_t last; /* the highest number given */
};

int bikes_new(struct bikes **out)
{
    struct bikes *b = mem_try(sizeof *b);

    if (!b)
        return ERR_NOMEM;
    memset(b, 0, sizeof *b);
    mutex_init(&b->lock);
    map_init(&b->by_id, BIKES_MAX);
    *out = b;
    return 0;
}

void bikes_free(struct bikes *b)
{
    if (!b)
        return;
    map_fini(&b->by_id);
    for (size_t p = 0; p < PAGE_COUNT; p++) {
        for (size_t i = 0; b->pages[p] && i < PAGE_BIKES; i++)
            mem_free(b->pages[p][i].id);
        mem_free(b->pages[p]);
    }
    mutex_fini(&b->lock);
    mem_free(b);
}

/* The place of `number`, made when missing; NULL without memory. */
static struct bike *bike_slot(struct bikes *b, uint32_t number)
{
    struct bike **page = &b->pages[number / PAGE_BIKES];

    if (!*page) {
        *page = mem_try(PAGE_BIKES * sizeof **page);
        if (!*page)
            return NULL;
        memset(*page, 0, PAGE_BIKES * sizeof **page);
    }
    return &(*page)[number % PAGE_BIKES];
}

/* The place of `number` if somebody has it. */
static const struct bike *bike_at(const struct bikes *b, uint32_t number)
{
    const struct bike *page = number <= BIKES_MAX ? b->pages[number / PAGE_BIKES] : NULL;

    return page && page[number % PAGE_BIKES].id ? &page[number % PAGE_BIKES] : NULL;
}

/* Enter `id` under `number`, which is free. `*out` belongs to the table. */
static int bikes_enter(struct bikes *b, uint32_t number, struct str id, struct bike **out)
{
    struct bike *bike = bike_slot(b, number);
    char *copy;
    int rc;

    if (!bike)
        return ERR_NOMEM;
    copy = mem_try(id.len);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy, id.at, id.len);
    rc = map_insert(&b->by_id, id, bike);
    if (rc) {
        mem_free(copy);
        return rc;
    }
    *bike = (struct bike){.id = copy, .id_len = (uint32_t)id.len, .number = number};
    if (number > b->last)
        b->last = number;
    *out = bike;
    return 0;
}

static bool id_valid(struct str id)
{
    return id.len > 0 && id.len <= BIKES_ID_MAX_BYTES;
}

/* Put the bike's birth into `r`, where `room` was reserved for it. */
static void bike_announce(struct bike *bike, struct ring *r, void *room, const struct record *birth)
{
    record_write(room, birth);
    bike->birth_end = ring_append(r, record_bytes(birth));
    bike->birth_ring = r;
}

static int bikes_number_locked(struct bikes *b, struct ring *r, struct str id, int64_t recv_ms,
                               uint32_t *out)
{
    struct bike *bike = map_find(&b->by_id, id);
    struct record birth = {.type = RECORD_BIKE_NEW, .recv_ms = recv_ms, .payload = id};
    void *room;
    int rc;

    if (bike && bike->birth_ring && ring_committed(bike->birth_ring) >= bike->birth_end)
        bike->birth_ring = NULL;
    if (bike && (!bike->birth_ring || bike->birth_ring == r)) {
        *out = bike->number;
        return 0;
    }
    if (!bike && b->last >= BIKES_MAX)
        return ERR_FULL;
    room = ring_reserve(r, record_bytes(&birth));
    if (!room)
        return ERR_AGAIN;
    if (!bike) {
        rc = bikes_enter(b, b->last + 1, id, &bike);
        if (rc)
            return rc;
        birth.bike = bike->number;
        bike_announce(bike, r, room, &birth);
    } else { /* it waits in another ring, which may commit later than this one */
        birth.bike = bike->number;
        record_write(room, &birth);
        (void)ring_append(r, record_bytes(&birth));
    }
    *out = bike->number;
    return 0;
}

int bikes_number(struct bikes *b, struct ring *r, struct str id, int64_t recv_ms, uint32_t *out)
{
    int rc;

    if (!id_valid(id))
        return ERR_INVALID;
    mutex_lock(&b->lock);
    rc = bikes_number_locked(b, r, id, recv_ms, out);
    mutex_unlock(&b->lock);
    return rc;
}

int bikes_find(struct bikes *b, struct str id, uint32_t *out)
{
    const struct bike *bike;

    mutex_lock(&b->lock);
    bike = map_find(&b->by_id, id);
    if (bike)
        *out = bike->number;
    mutex_unlock(&b->lock);
    return bike ? 0 : ERR_NOTFOUND;
}

struct str bikes_id(struct bikes *b, uint32_t number)
{
    const struct bike *bike;
    struct str id = {"", 0};

    mutex_lock(&b->lock);
    bike = bike_at(b, number);
    if (bike)
        id = (struct str){bike->id, bike->id_len};
    mutex_unlock(&b->lock);
    return id;
}

int bikes_restore(struct bikes *b, uint32_t number, struct str id)
{
    const struct bike *by_id, *by_number;
    struct bike *bike;
    int rc;

    if (number == 0 || number > BIKES_MAX || !id_valid(id))
        return ERR_CORRUPT;
    mutex_lock(&b->lock);
    by_id = map_find(&b->by_id, id);
    by_number = bike_at(b, number);
    if (by_id || by_number)
        rc = by_id == by_number ? 0 : ERR_CORRUPT;
    else
        rc = bikes_enter(b, number, id, &bike);
    mutex_unlock(&b->lock);
    return rc;
}

void bikes_note_used(struct bikes *b, uint32_t number)
{
    mutex_lock(&b->lock);
    if (number > b->last && number <= BIKES_MAX)
        b->last = number;
    mutex_unlock(&b->lock);
}

uint32_t bikes_last(struct bikes *b)
{
    uint32_t last;

    mutex_lock(&b->lock);
    last = b->last;
    mutex_unlock(&b->lock);
    return last;
}

/* ---- the store's door ---- */

int store_bike_number(struct store *s, struct ring *r, struct str id, uint32_t *out)
{
    return bikes_number(s->bikes, r, id, chrono_wall_ms(), out);
}

int store_bike_find(struct store *s, struct str id, uint32_t *out)
{
    return bikes_find(s->bikes, id, out);
}

void store_bikes_each(struct store *s, store_bike_fn *visit, void *ctx)
{
    uint32_t last = bikes_last(s->bikes);

    for (uint32_t number = 1; number <= last; number++) {
        struct str id = bikes_id(s->bikes, number);

        if (id.len > 0 && !visit(ctx, number, id))
            return;
    }
}
