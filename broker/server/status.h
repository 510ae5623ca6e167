/* broker/server/status.h -- how the daemon is doing, collected for `freehub status`: counters of
 * the worker, the store's state, rates over the last seconds, and what an operator should look at.
 */
#ifndef FREEHUB_BROKER_SERVER_STATUS_H
#define FREEHUB_BROKER_SERVER_STATUS_H

#include "broker/base/base.h"
#include "broker/server/admin.h"
#include "broker/server/server.h"

enum { STATUS_SAMPLE_MS = 5000 };

/* Counters as they were a moment ago, to make rates of. Embedded in its owner. */
struct status_rates {
    uint64_t at_ms;
    uint64_t messages_in, messages_out;
    double in_per_s, out_per_s;
};

/* Take a sample; call it every STATUS_SAMPLE_MS. Main thread. */
void status_sample(const struct server *s, struct status_rates *rates);

/* Main thread. */
void status_collect(const struct server *s, const struct status_rates *rates,
                    struct admin_status *out);

#endif
