/* broker/cli/batch.h -- samples to Batch payloads, as a bike packs them. */
#ifndef FREEHUB_BROKER_CLI_BATCH_H
#define FREEHUB_BROKER_CLI_BATCH_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/cli/rides.h"

/* What a bike keeps to; the hub takes more. */
enum { BATCH_SAMPLES_MAX = 120, BATCH_BYTES_MAX = 8 * 1024 };

/* What a batch says beside its samples. */
struct batch_head {
    uint32_t boot;
    uint32_t trip;
    uint32_t first_sample; /* number of samples[0] */
    int64_t shift_ms;      /* added to every time */
    bool time_ok;
};

/* Pack the first samples into `to` (BATCH_BYTES_MAX long) and say how many it took: up to `most`
 * (1..BATCH_SAMPLES_MAX) and `count` > 0, fewer where time goes back, where a difference does not
 * fit in 32 bits, or where the payload would grow too long. Returns the payload's length. The
 * shifted times are not negative. Any thread. */
size_t batch_pack(const struct batch_head *head, const struct ride_sample *samples, size_t count,
                  size_t most, uint8_t *to, size_t *out_taken);

#endif
