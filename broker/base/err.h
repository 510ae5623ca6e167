/* broker/base/err.h -- what failed here, as opposed to what a peer did wrong (enum mqtt_reason).
 * Functions return 0 or one of these negative codes. Codes of libuv, LMDB and OpenSSL are
 * translated where they arrive and travel no further. */
#ifndef FREEHUB_BROKER_BASE_ERR_H
#define FREEHUB_BROKER_BASE_ERR_H

#include "broker/base/base.h"

#define ERR_LIST(X)                                                                                \
    X(ERR_NOMEM, 1, "out of memory")                                                               \
    X(ERR_INVALID, 2, "invalid value")                                                             \
    X(ERR_NOTFOUND, 3, "not found")                                                                \
    X(ERR_EXISTS, 4, "exists already")                                                             \
    X(ERR_IO, 5, "input/output error")                                                             \
    X(ERR_FULL, 6, "full")                                                                         \
    X(ERR_NOSPACE, 7, "no space left on the disk")                                                 \
    X(ERR_READONLY, 8, "read-only")                                                                \
    X(ERR_DENIED, 9, "permission denied")                                                          \
    X(ERR_BUSY, 10, "in use by another process")                                                   \
    X(ERR_CORRUPT, 11, "damaged")                                                                  \
    X(ERR_UNSUPPORTED, 12, "not supported")                                                        \
    X(ERR_TOO_LARGE, 13, "larger than its limit")                                                  \
    X(ERR_CLOSED, 14, "closed")                                                                    \
    X(ERR_TIMEOUT, 15, "timed out")                                                                \
    X(ERR_TLS, 16, "TLS failure")                                                                  \
    X(ERR_NETWORK, 17, "network failure")                                                          \
    X(ERR_AGAIN, 18, "not now")

#define ERR_ENUM(name, number, text) name = -(number),
enum err_code { ERR_OK = 0, ERR_LIST(ERR_ENUM) };
#undef ERR_ENUM

/* A short English text without a full stop; never NULL. Any thread. */
const char *err_text(int code);

/* The code for a system `errno`; ERR_IO for what has no name of its own. Any thread. */
int err_from_errno(int system_errno);

enum { ERR_DETAIL_MAX = 512 };

/* Why something failed, for a person: what, where, and what would mend it. Owned by the caller,
 * who passes NULL when nobody will read it. */
struct err_detail {
    char text[ERR_DETAIL_MAX];
};

/* Put the text into `detail` (cut to fit) and return `code`, so that a failing path is one
 * statement. `detail` may be NULL. Any thread. */
int err_set(struct err_detail *detail, int code, const char *format, ...) PRINTF_LIKE(3, 4);

#endif
