#include "storage/block.h"

#include "storage/crc32c.h"

enum {
    AT_CRC = 0,
    AT_VERSION = 4,
    AT_FLAGS = 5,
    AT_RESERVED = 6,
    AT_COUNT = 8,
    AT_BYTES = 12,
    AT_SEQUENCE = 16,
    AT_RECV_MS = 24,
};

void block_seal(uint8_t *value, size_t bytes, uint64_t sequence, uint32_t count, int64_t recv_ms)
{
    ASSERT(bytes >= BLOCK_HEAD_BYTES + RECORD_BYTES_MIN && bytes <= UINT32_MAX && count > 0);
    value[AT_VERSION] = BLOCK_VERSION;
    value[AT_FLAGS] = 0;
    store_u16(value + AT_RESERVED, 0);
    store_u32(value + AT_COUNT, count);
    store_u32(value + AT_BYTES, (uint32_t)bytes);
    store_u64(value + AT_SEQUENCE, sequence);
    store_u64(value + AT_RECV_MS, (uint64_t)recv_ms);
    store_u32(value + AT_CRC, crc32c(0, value + AT_VERSION, bytes - AT_VERSION));
}

const char *block_open(struct str value, uint64_t key, struct block *out)
{
    const uint8_t *at = (const uint8_t *)value.at;

    if (value.len < BLOCK_HEAD_BYTES + RECORD_BYTES_MIN)
        return "too short for a block";
    if (load_u32(at + AT_BYTES) != value.len)
        return "length differs from the header";
    if (load_u32(at + AT_CRC) != crc32c(0, at + AT_VERSION, value.len - AT_VERSION))
        return "CRC differs";
    if (at[AT_VERSION] != BLOCK_VERSION)
        return "block version of a newer program";
    if (load_u64(at + AT_SEQUENCE) != key)
        return "sequence differs from the key";
    out->sequence = key;
    out->count = load_u32(at + AT_COUNT);
    out->recv_ms = (int64_t)load_u64(at + AT_RECV_MS);
    out->records = (struct str){value.at + BLOCK_HEAD_BYTES, value.len - BLOCK_HEAD_BYTES};
    if (out->count == 0 || out->count > out->records.len / RECORD_BYTES_MIN)
        return "impossible number of records";
    return NULL;
}
