/* broker/cli/load_feed.h -- what one publisher sends: a PUBLISH made once, in which packet id,
 * message number and time are patched. Every message says whose it is and which, so that a
 * subscriber can count. In place; one thread. */
#ifndef FREEHUB_BROKER_CLI_LOAD_FEED_H
#define FREEHUB_BROKER_CLI_LOAD_FEED_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/cli/load_priv.h"

/* Put its number, and that modulo the subscribers, into a pattern. ERR_TOO_LARGE when `room` bytes
 * do not hold the result and its end; ERR_INVALID when it is empty. Any thread. */
CHECKED int load_expand(const char *pattern, uint32_t index, uint32_t subscribers, char *out,
                        size_t room);

struct load_feed {
    uint8_t *packet;
    uint32_t len;
    uint32_t packet_id_at; /* 0: QoS 0 */
    uint32_t number_at;
    uint32_t time_at; /* 0: no time in it */
    bool batch;
    char topic[256];
};

/* `run`: any number that tells this run from others, so that a store takes none of its samples for
 * one it has. ERR_NOMEM, ERR_TOO_LARGE. */
CHECKED int load_feed_init(struct load_feed *f, const struct load_options *o, uint32_t publisher,
                           uint32_t run);
void load_feed_fini(struct load_feed *f);

/* Write message `number` (< 2^26) to `to`, which has room for f->len. */
void load_feed_write(const struct load_feed *f, uint8_t *to, uint16_t packet_id, uint32_t number,
                     int64_t wall_ms);

/* Whose message this is, and which; false when it is none of a feed. */
bool load_feed_read(const struct load_options *o, struct str payload, uint32_t *publisher,
                    uint32_t *number);

#endif
