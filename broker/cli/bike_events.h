/* broker/cli/bike_events.h -- what a simulated bike says beside its samples: Hello, TripStart and
 * TripEnd, made from the ride. */
#ifndef FREEHUB_BROKER_CLI_BIKE_EVENTS_H
#define FREEHUB_BROKER_CLI_BIKE_EVENTS_H

#include "broker/base/base.h"
#include "broker/cli/batch.h"
#include "broker/cli/rides.h"

enum { BIKE_EVENT_BYTES_MAX = 512 };

/* Each writes to `to` (BIKE_EVENT_BYTES_MAX long) and returns the length. `head` as for the ride's
 * batches. Any thread. */

/* `bike` of at most 64 bytes. */
size_t hello_pack(const char *bike, uint32_t boot, int64_t now_ms, uint64_t nonce, uint8_t *to);
size_t trip_start_pack(const struct batch_head *head, const struct ride *ride, uint8_t *to);
size_t trip_end_pack(const struct batch_head *head, const struct ride *ride, uint8_t *to);

#endif
