#include "broker/base/hash.h"

#include <pthread.h>

#include "broker/base/chance.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_keyed(struct hash_key key, struct str bytes)
{
    struct sip s = {.v0 = key.k0 ^ 0x736f6d6570736575,
                    .v1 = key.k1 ^ 0x646f72616e646f6d,
                    .v2 = key.k0 ^ 0x6c7967656e657261,
                    .v3 = key.k1 ^ 0x7465646279746573};
    size_t whole = bytes.len & ~(size_t)7;
    uint64_t last = (uint64_t)bytes.len << 56;

    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, load_u64(bytes.at + i));
    for (size_t i = whole; i < bytes.len; i++)
        last |= (uint64_t)(unsigned char)bytes.at[i] << (8 * (i - whole));
    sip_word(&s, last);

    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static struct hash_key process_key;

static void draw_process_key(void)
{
    chance_fill(&process_key, sizeof process_key);
}

uint64_t hash_bytes(struct str bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, draw_process_key);
    return hash_keyed(process_key, bytes);
}
