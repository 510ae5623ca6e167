/* broker/base/hash.h -- SipHash-2-4: a keyed hash of bytes. Client ids and topics come from
 * strangers, who could otherwise choose a thousand that meet in one bucket. */
#ifndef FREEHUB_BROKER_BASE_HASH_H
#define FREEHUB_BROKER_BASE_HASH_H

#include "broker/base/base.h"

struct hash_key {
    uint64_t k0, k1;
};

/* The hash of `bytes` under `key`, as in the paper's test vectors. Any thread. */
uint64_t hash_keyed(struct hash_key key, struct str bytes);

/* The same under a key that is drawn once a process: equal within it, different in the next, so
 * it never goes into a file or to a peer. Any thread. */
uint64_t hash_bytes(struct str bytes);

#endif
