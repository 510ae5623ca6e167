/* storage/maintenance.h -- the thread that lets the log go: it checkpoints what rotated segments
 * hold into core.mdb, and then removes segments that are old or too many. Never in the way of the
 * writer, which only leaves it a note.
 *
 * A checkpoint is one transaction of core.mdb: bikes, changed latest, the segments' quarantine
 * records, the segment table, the sequence. It begins when every worker has released, that is
 * applied to `latest`, the ring offsets that belong to the old segment. Whatever fails or dies on
 * the way is done again, from the old checkpoint. */
#ifndef FREEHUB_STORAGE_MAINTENANCE_H
#define FREEHUB_STORAGE_MAINTENANCE_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct maintenance; /* opaque: defined in maintenance.c */
struct store;
struct store_status;
struct writer_rotation;

/* Start the thread: s->maintenance. Before the writer. Main thread. */
CHECKED int maintenance_start(struct store *s, struct err_detail *detail);

/* writer_options.on_rotated, with the maintenance as `ctx`. Writer thread. */
void maintenance_on_rotated(void *ctx, const struct writer_rotation *rotation);

/* Checkpoint up to the end of the log if the workers have released all of it, otherwise up to the
 * last rotation they have released; end the thread. The writer has stopped. A checkpoint that fails
 * is logged and costs nothing but a longer replay at the next start. Main thread. */
void maintenance_stop(struct store *s);

/* End the thread without a checkpoint: the log has failed, or never began. Main thread. */
void maintenance_abandon(struct store *s);

/* Fill in what recovery and maintenance know. Any thread. */
void maintenance_status(struct store *s, struct store_status *out);

#endif
