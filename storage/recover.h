/* storage/recover.h -- what a store knows when it opens: the checkpoint in core.mdb, then the log
 * behind it, every CRC checked. A bad block is counted, reported with its range and passed over;
 * the start goes on. */
#ifndef FREEHUB_STORAGE_RECOVER_H
#define FREEHUB_STORAGE_RECOVER_H

#include "broker/base/base.h"
#include "broker/base/err.h"

struct store;

/* Load the checkpoint, replay the log into bikes and latest. Expects folder, options, uuid (of the
 * log, if it has segments), first_sequence and next_sequence of `s`; sets the rest of what is
 * known, uuid in an empty log that had one, and raises next_sequence to the checkpoint where the
 * log has lost its end. A store that is not read-only has a core.mdb afterwards. ERR_CORRUPT:
 * core.mdb is damaged or belongs to another store; ERR_UNSUPPORTED: a newer format. After a failure
 * only recover_close(). Main thread. */
CHECKED int recover_open(struct store *s, struct err_detail *detail);

/* Release what recover_open() made; after a failure too. Main thread. */
void recover_close(struct store *s);

#endif
