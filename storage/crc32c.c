/* The instruction has a latency of three cycles and a throughput of one, so three parts of the
 * bytes are folded side by side. A part's CRC is moved behind the following part by a table that
 * appends that many zero bytes; the zeros of one length are one linear map, tabulated by byte. */
#include "storage/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reversed */

/* Lengths of one lane: long for most of a block, short for what is left of it. */
enum { LANE_LONG = 4096, LANE_SHORT = 256 };

static uint32_t byte_table[8][256];
static uint32_t long_zeros[4][256], short_zeros[4][256];
static bool has_instruction;
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/* Multiply the 32 by 32 bit matrix by the vector. */
static uint32_t matrix_apply(const uint32_t matrix[32], uint32_t vector)
{
    uint32_t sum = 0;

    for (unsigned bit = 0; vector; bit++, vector >>= 1)
        if (vector & 1)
            sum ^= matrix[bit];
    return sum;
}

/* The map that appends `bytes` (a power of two) of zeros. */
static void zeros_table(uint32_t table[4][256], size_t bytes)
{
    uint32_t matrix[32], square[32];

    matrix[0] = POLYNOMIAL; /* one zero bit */
    for (unsigned bit = 1; bit < 32; bit++)
        matrix[bit] = 1u << (bit - 1);
    for (size_t bits = 1; bits < bytes * 8; bits *= 2) {
        for (unsigned bit = 0; bit < 32; bit++)
            square[bit] = matrix_apply(matrix, matrix[bit]);
        memcpy(matrix, square, sizeof matrix);
    }
    for (unsigned byte = 0; byte < 4; byte++)
        for (uint32_t value = 0; value < 256; value++)
            table[byte][value] = matrix_apply(matrix, value << (8 * byte));
}

static uint32_t shift_zeros(uint32_t table[4][256], uint32_t crc)
{
    return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^
           table[3][crc >> 24];
}

static void make_tables(void)
{
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;

        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        byte_table[0][value] = crc;
    }
    for (uint32_t value = 0; value < 256; value++)
        for (unsigned slice = 1; slice < 8; slice++)
            byte_table[slice][value] = byte_table[slice - 1][value] >> 8 ^
                                       byte_table[0][byte_table[slice - 1][value] & 255];
    zeros_table(long_zeros, LANE_LONG);
    zeros_table(short_zeros, LANE_SHORT);
#ifdef __x86_64__
    has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

static uint32_t fold_portable(uint32_t crc, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word = load_u64(at) ^ crc;

        crc = 0;
        for (unsigned slice = 0; slice < 8; slice++)
            crc ^= byte_table[7 - slice][word >> (8 * slice) & 255];
    }
    for (; len > 0; at++, len--)
        crc = crc >> 8 ^ byte_table[0][(crc ^ *at) & 255];
    return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static const uint8_t *
fold_lanes(uint32_t *crc, const uint8_t *at, size_t *len, size_t lane, uint32_t zeros[4][256])
{
    for (; *len >= 3 * lane; at += 3 * lane, *len -= 3 * lane) {
        uint64_t a = *crc, b = 0, c = 0;

        for (size_t i = 0; i < lane; i += 8) {
            a = __builtin_ia32_crc32di(a, load_u64(at + i));
            b = __builtin_ia32_crc32di(b, load_u64(at + lane + i));
            c = __builtin_ia32_crc32di(c, load_u64(at + 2 * lane + i));
        }
        *crc = shift_zeros(zeros, (uint32_t)a) ^ (uint32_t)b;
        *crc = shift_zeros(zeros, *crc) ^ (uint32_t)c;
    }
    return at;
}

__attribute__((target("sse4.2"))) static uint32_t fold_instruction(uint32_t crc, const uint8_t *at,
                                                                   size_t len)
{
    uint64_t wide;

    at = fold_lanes(&crc, at, &len, LANE_LONG, long_zeros);
    at = fold_lanes(&crc, at, &len, LANE_SHORT, short_zeros);
    for (wide = crc; len >= 8; at += 8, len -= 8)
        wide = __builtin_ia32_crc32di(wide, load_u64(at));
    for (crc = (uint32_t)wide; len > 0; at++, len--)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#endif

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
    pthread_once(&tables_once, make_tables);
    return ~fold_portable(~crc, bytes, len);
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    pthread_once(&tables_once, make_tables);
#ifdef __x86_64__
    if (has_instruction)
        return ~fold_instruction(~crc, bytes, len);
#endif
    return ~fold_portable(~crc, bytes, len);
}
