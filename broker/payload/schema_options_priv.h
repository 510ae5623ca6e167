/* broker/payload/schema_options_priv.h -- the hub's own options, read from descriptors. */
#ifndef FREEHUB_BROKER_PAYLOAD_SCHEMA_OPTIONS_PRIV_H
#define FREEHUB_BROKER_PAYLOAD_SCHEMA_OPTIONS_PRIV_H

#include "freehub/v1/options.pb-c.h"

#include "broker/base/base.h"
#include "broker/base/err.h"

/* Extension numbers of options.proto. */
enum { OPTION_COLUMN = 50000, OPTION_ROLE = 50001, OPTION_SCHEMA_ID = 50000 };

/* The value of a varint extension of FieldOptions or MessageOptions, 0 when it is not there. The
 * last one counts. `options` may be NULL. */
uint64_t option_number(const ProtobufCMessage *options, uint32_t tag);

/* Unpack the (column) option, to be freed by the caller. `*out` is NULL when it is not there.
 * ERR_CORRUPT. */
CHECKED int option_column(const ProtobufCMessage *options, Freehub__V1__Column **out);

#endif
