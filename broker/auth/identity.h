/* broker/auth/identity.h -- who a connection is, once its certificate has been verified. */
#ifndef FREEHUB_BROKER_AUTH_IDENTITY_H
#define FREEHUB_BROKER_AUTH_IDENTITY_H

#include "broker/base/base.h"
#include "broker/base/err.h"

enum identity_kind {
    IDENTITY_ANONYMOUS, /* a loopback listener with allow-anonymous: may do everything */
    IDENTITY_BIKE,      /* its own tree only; client id = name */
    IDENTITY_SERVICE,   /* what the ACL file grants `user NAME` */
};

enum { IDENTITY_NAME_MAX = 64 };

struct identity {
    enum identity_kind kind;
    uint8_t name_len;
    char name[IDENTITY_NAME_MAX + 1];
};

/* A name that may stand in a topic and in a file name: 1 to 64 bytes of UTF-8 without control
 * characters, spaces, '+', '#', '/', '$', '\\', and not "." or "..". Any thread. */
bool identity_name_valid(struct str name);

/* From the certificate's CN and OU. An OU of "service" is a service; any other, or none, as a
 * company's own CA may have it, is a bike, which has the least rights. ERR_DENIED with what is
 * wrong with the CN in `detail`. Any thread. */
CHECKED int identity_from_certificate(struct str common_name, struct str unit, struct identity *out,
                                      struct err_detail *detail);

#endif
