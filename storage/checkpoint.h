/* storage/checkpoint.h -- moves what a store knows into core.mdb, so that a start replays only the
 * log behind it and retention may take the log before it. */
#ifndef FREEHUB_STORAGE_CHECKPOINT_H
#define FREEHUB_STORAGE_CHECKPOINT_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct store;

/* Everything before sequence `to` has been applied to bikes and latest: write what changed of them,
 * the quarantine records and the segment table up to `to`, and `to` itself, as one transaction. (Of
 * a great many bikes the first go in transactions of their own before it: a state that is newer
 * than the checkpoint is as good.) After an error nothing is lost: call again. `to` at or before
 * the last checkpoint, with nothing changed, is fine. Maintenance thread, or main when it is not
 * running. */
CHECKED int checkpoint_write(struct store *s, uint64_t to, struct err_detail *detail);

#endif
