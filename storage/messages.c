/* storage/messages.c -- what was stored, as it came: for streams that have no samples to be read as
 * rows (`type: raw`, TripStart, Hello), and for whoever wants a payload's own bytes. */
#include "storage/bikes.h"
#include "storage/scan.h"
#include "storage/store.h"
#include "storage/store_priv.h"

enum { VISIT_ENDED = 1 }; /* `visit` has seen enough; not an error, so not negative */

struct message_walk {
    const struct store_message_query *query;
    struct bikes *bikes;
    store_message_fn *visit;
    void *ctx;
};

static bool is_wanted(const struct store_message_query *query, const struct record *record)
{
    return record->type == RECORD_TELEMETRY && (!query->bike || record->bike == query->bike) &&
           (query->every_type || record->schema == query->schema) &&
           record->recv_ms >= query->from_ms && record->recv_ms < query->to_ms;
}

static int on_block(void *ctx, const struct block *block)
{
    struct message_walk *w = ctx;
    struct block_walk walk = block_walk(block);
    struct record record;
    uint64_t sequence;

    while (block_next(&walk, &record, &sequence)) {
        struct store_message message;

        if (!is_wanted(w->query, &record))
            continue;
        message = (struct store_message){.sequence = sequence,
                                         .recv_ms = record.recv_ms,
                                         .bike = record.bike,
                                         .bike_id = bikes_id(w->bikes, record.bike),
                                         .schema = record.schema,
                                         .topic = record.topic,
                                         .payload = record.payload};
        if (!w->visit(w->ctx, &message))
            return VISIT_ENDED;
    }
    return 0;
}

int store_messages_each(struct store *s, const struct store_message_query *query,
                        store_message_fn *visit, void *ctx, struct err_detail *detail)
{
    struct message_walk walk = {query, s->bikes, visit, ctx};
    struct scan scan = {.folder = s->folder,
                        .from = 0,
                        .to = s->options.read_only ? UINT64_MAX : store_next_sequence(s),
                        .on_block = on_block,
                        .ctx = &walk};
    int rc = scan_run(&scan, detail);

    return rc == VISIT_ENDED ? 0 : rc;
}
