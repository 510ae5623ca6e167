/* broker/payload/schema_listing.h -- what of the message types must never change, one line a fact,
 * so that two listings can be compared by a program and read by a person (proto/freehub.lock). */
#ifndef FREEHUB_BROKER_PAYLOAD_SCHEMA_LISTING_H
#define FREEHUB_BROKER_PAYLOAD_SCHEMA_LISTING_H

#include "broker/base/base.h"
#include "broker/base/buf.h"
#include "broker/base/err.h"

/* Append the listing of a FileDescriptorSet, of the package freehub.v1 only:
 *
 *     message TYPE SCHEMA_ID
 *     field TYPE NUMBER NAME KIND LABEL [column=... unit=... decimals=... encoding=... none=...]
 * [role=...] reserved TYPE FIRST..LAST         reserved TYPE NAME enum TYPE NUMBER NAME
 *
 * Meanings and bounds are not in it: those may be worded better, and widened. ERR_CORRUPT, or what
 * the buffer says. Any thread. */
CHECKED int schema_listing(struct str descriptor_set, struct buf *out);

/* The listing of the set that is built in. */
CHECKED int schema_listing_embedded(struct buf *out);

/* The first line of `kept` that `listing` does not have, empty when it has all. Any thread. */
struct str schema_listing_lost(struct str kept, struct str listing);

#endif
