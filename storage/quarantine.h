/* storage/quarantine.h -- payloads that were refused, kept for an operator: in the log at first,
 * from the checkpoint on in core.mdb, where the oldest make room for new ones. */
#ifndef FREEHUB_STORAGE_QUARANTINE_H
#define FREEHUB_STORAGE_QUARANTINE_H

#include "broker/base/base.h"
#include "storage/record.h"
#include "storage/store.h"

/* What a quarantine record says; `*out` borrows from it. Its payload: u8 length of the reason, the
 * reason, the refused bytes. False when it is not sound. Any thread. */
CHECKED bool quarantine_read(const struct record *record, uint64_t sequence,
                             struct store_quarantined *out);

#endif
