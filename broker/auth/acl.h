/* broker/auth/acl.h -- who may publish and subscribe where. Bikes have a fixed rule: publish
 * v1/b/{name}/... and subscribe within v1/b/{name}/#. Services have an ACL file in mosquitto's
 * syntax (`user NAME`, then `topic read|write|readwrite|deny FILTER`, comments with '#'). Deny by
 * default; an unreadable or broken file refuses the load and never opens anything. */
#ifndef FREEHUB_BROKER_AUTH_ACL_H
#define FREEHUB_BROKER_AUTH_ACL_H

#include "broker/auth/identity.h"
#include "broker/base/base.h"
#include "broker/base/err.h"

struct acl; /* immutable once loaded; counted */

/* `file` NULL: no services have any rights. ERR_INVALID with file and line in `detail`.
 * Main thread. */
CHECKED int acl_load(struct acl **out, const char *file, struct err_detail *detail);
void acl_ref(struct acl *acl);
void acl_unref(struct acl *acl);

/* Whether `who` may publish to the valid Topic Name; whether it may subscribe to the valid Topic
 * Filter (one granted filter covers it, and no denied one overlaps it). Any thread. */
bool acl_may_publish(const struct acl *acl, const struct identity *who, struct str topic);
bool acl_may_subscribe(const struct acl *acl, const struct identity *who, struct str filter);
/* Append a `user` with these filters to the file (made, mode 0600, when missing), replacing one of
 * the same name: written beside, synced, renamed. Filters end with NULL. Main thread. */
CHECKED int acl_file_grant(const char *file, struct str user, const char *const *read_filters,
                           const char *const *write_filters, struct err_detail *detail);

#endif
