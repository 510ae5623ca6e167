/* broker/server/ingest.h -- from an accepted PUBLISH to its acknowledgement: the records a worker
 * has put into its ring and what is to happen, in order, once each is on disk.
 *
 * An entry is made for every durable publish, and for every other publish of a connection that has
 * entries open, so that acknowledgements and live delivery leave in the order of arrival
 * [MQTT-4.6.0-5]. Entries complete strictly in order: each when its ring offset is committed. */
#ifndef FREEHUB_BROKER_SERVER_INGEST_H
#define FREEHUB_BROKER_SERVER_INGEST_H

#include "broker/base/base.h"
#include "broker/codec/mqtt.h"
#include "storage/ring.h"

struct message; /* core/message.h */

enum ingest_kind {
    INGEST_PLAIN,      /* nothing stored: waits for its turn only */
    INGEST_TELEMETRY,  /* a record for `latest` */
    INGEST_QUARANTINE, /* a refused payload, stored before its refusal is sent */
};

struct ingest_entry {
    uint64_t end;            /* ring offset that must be committed */
    struct message *message; /* to route live, one reference; NULL when nobody listens */
    const char *why;         /* INGEST_QUARANTINE: the Reason String; static */
    uint64_t any, last;      /* INGEST_TELEMETRY: columns, see payload_facts */
    int64_t last_ms;         /* INGEST_TELEMETRY: effective time of its last sample ... */
    uint64_t last_order;     /* ... and its boot << 32 | number, which break ties */
    uint32_t record_len;     /* the record lies before `end`; 0 for INGEST_PLAIN */
    uint32_t bike;
    uint32_t slot, generation; /* the connection; gone when the generation differs */
    uint16_t packet_id;        /* 0: nothing to acknowledge */
    uint16_t schema, samples;
    uint8_t kind;
    uint8_t reason; /* of the PUBACK */
    bool outdated;  /* a later entry of the same pass undoes its effect on `latest` */
};

enum { INGEST_ENTRIES_MAX = 1 << 20 };

#define INGEST_NO_SLOT UINT32_MAX /* an entry of no connection: a will */

/* A queue that doubles up to INGEST_ENTRIES_MAX. Owner worker. */
struct ingest {
    struct ingest_entry *entries;
    uint32_t mask;        /* room - 1, a power of two */
    uint64_t first, next; /* entries [first, next) are open */
    uint64_t pass;        /* counts the calls of ingest_mark_outdated() */
};

void ingest_init(struct ingest *q);
void ingest_fini(struct ingest *q); /* drops the message references */

/* The next free entry, or NULL when full (back-pressure, as with a full ring); it counts from
 * ingest_push() on. */
struct ingest_entry *ingest_reserve(struct ingest *q);

static inline void ingest_push(struct ingest *q)
{
    q->next++;
}

static inline bool ingest_is_empty(const struct ingest *q)
{
    return q->first == q->next;
}

/* The oldest entry when everything before `committed` is on disk and it is among it, else NULL. */
static inline struct ingest_entry *ingest_ready(struct ingest *q, uint64_t committed)
{
    struct ingest_entry *oldest = &q->entries[q->first & q->mask];

    return q->first != q->next && oldest->end <= committed ? oldest : NULL;
}

/* Among the entries that are ready at `committed`, mark those whose effect on `latest` a later one
 * of the same connection, bike and type undoes altogether. `slots` covers the connections' slots.
 */
struct ingest_cover;
void ingest_mark_outdated(struct ingest *q, uint64_t committed, struct ingest_cover *slots);

/* What ingest_mark_outdated() knows of a connection while it goes from the newest entry to the
 * oldest; zeroed once, kept between calls. */
struct ingest_cover {
    uint64_t pass;
    uint64_t last;
    int64_t last_ms;
    uint64_t last_order;
    uint32_t bike;
    uint16_t schema;
};

static inline void ingest_pop(struct ingest *q)
{
    q->first++;
}

#endif
