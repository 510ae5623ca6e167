#include "broker/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *err_text(int code)
{
    switch (code) {
#define ERR_CASE(name, number, text)                                                               \
    case name:                                                                                     \
        return text;
        ERR_LIST(ERR_CASE)
#undef ERR_CASE
    case ERR_OK:
        return "ok";
    default:
        return "unknown error";
    }
}

int err_from_errno(int system_errno)
{
    switch (system_errno) {
    case 0:
        return ERR_OK;
    case ENOMEM:
        return ERR_NOMEM;
    case EINVAL:
        return ERR_INVALID;
    case ENOENT:
        return ERR_NOTFOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return ERR_NOSPACE;
    case EROFS:
        return ERR_READONLY;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case EBUSY:
    case EADDRINUSE:
        return ERR_BUSY;
    case EAGAIN:
        return ERR_AGAIN;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}

int err_set(struct err_detail *detail, int code, const char *format, ...)
{
    va_list args;

    if (!detail)
        return code;
    va_start(args, format);
    vsnprintf(detail->text, sizeof detail->text, format, args);
    va_end(args);
    return code;
}

void assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "freehub: assertion failed at %s:%d: %s\n", file, line, condition);
    abort();
}
