#include "broker/base/chance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

void chance_fill(void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fputs("freehub: the kernel gives no random bytes\n", stderr);
            abort();
        }
        at += got;
        len -= (size_t)got;
    }
}

/* splitmix64, as the authors of xoshiro advise for filling its state from one number. */
void chance_seed(struct chance *c, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_LEN(c->state); i++) {
        uint64_t mixed = seed += 0x9e3779b97f4a7c15;

        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
        c->state[i] = mixed ^ mixed >> 31;
    }
}

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

uint64_t chance_next(struct chance *c)
{
    uint64_t *s = c->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t chance_below(struct chance *c, uint64_t bound)
{
    uint64_t uneven, value;

    ASSERT(bound > 0);
    uneven = -bound % bound; /* 2^64 mod bound: so many values would favour small results */
    do
        value = chance_next(c);
    while (value < uneven);
    return value % bound;
}

double chance_unit(struct chance *c)
{
    return (double)(chance_next(c) >> 11) * 0x1.0p-53;
}
