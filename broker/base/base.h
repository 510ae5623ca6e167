/* broker/base/base.h -- the words every file of this project may use: attributes, spans of
 * bytes, assertions. No allocation, no I/O. */
#ifndef FREEHUB_BROKER_BASE_BASE_H
#define FREEHUB_BROKER_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CHECKED  __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(format_index, first_arg)                                                       \
    __attribute__((format(printf, format_index, first_arg)))
/* A large local whose parts are written before they are read: without this the release build, which
 * clears locals, spends its time on it. */
#define UNINITIALIZED       __attribute__((uninitialized))
#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* What only a bug of ours can break. Stays on in release: a broken invariant stops the process
 * before it can acknowledge something untrue. */
#define ASSERT(condition)                                                                          \
    (LIKELY(condition) ? (void)0 : assert_failed(__FILE__, __LINE__, #condition))

/* Writes one line to standard error and aborts. Any thread. */
NORETURN void assert_failed(const char *file, int line, const char *condition);

/* Bytes that belong to somebody else. Not terminated; may hold any byte; `at` may be NULL when
 * `len` is 0. Who owns the bytes, and until when, is said where a `str` is handed over. */
struct str {
    const char *at;
    size_t len;
};

#define STR_LITERAL(text) ((struct str){(text), sizeof(text) - 1})

static inline struct str str_from(const char *text)
{
    return (struct str){text, strlen(text)};
}

static inline struct str str_of_bytes(const void *at, size_t len)
{
    return (struct str){(const char *)at, len};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool str_has_prefix(struct str whole, struct str prefix)
{
    return whole.len >= prefix.len &&
           (prefix.len == 0 || memcmp(whole.at, prefix.at, prefix.len) == 0);
}

/* Little-endian loads and stores of unaligned bytes: the byte order of everything on disk. */
static inline uint16_t load_u16(const void *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t load_u32(const void *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t load_u64(const void *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static inline void store_u16(void *to, uint16_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void store_u32(void *to, uint32_t value)
{
    memcpy(to, &value, sizeof value);
}

static inline void store_u64(void *to, uint64_t value)
{
    memcpy(to, &value, sizeof value);
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the log's byte order is little-endian and records are loaded in place");

#endif
