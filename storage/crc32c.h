/* storage/crc32c.h -- CRC-32C (Castagnoli, RFC 3720): the checksum of everything in the log, since
 * LMDB has none of its own. Uses the processor's instruction where there is one. */
#ifndef FREEHUB_STORAGE_CRC32C_H
#define FREEHUB_STORAGE_CRC32C_H

#include "broker/base/base.h"

/* The CRC of `len` bytes; `crc` is 0, or the CRC of the bytes before them. Any thread. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same by table on every machine, to hold the fast one against. Any thread. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

#endif
