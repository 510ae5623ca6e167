/* storage/retention.h -- which segments of the log go. */
#ifndef FREEHUB_STORAGE_RETENTION_H
#define FREEHUB_STORAGE_RETENTION_H

#include "broker/base/base.h"

struct store;

/* Remove the oldest sealed segments, as long as they are checkpointed and either the next one was
 * begun more than log_max_age_s before `now_ms`, or the files together are over log_max_bytes. Size
 * wins: what goes for it alone raises size_cap_reached, until one goes for its age again. What
 * cannot be removed is logged and tried again. Maintenance thread, or main when it is not running.
 */
void retention_run(struct store *s, int64_t now_ms);

#endif
