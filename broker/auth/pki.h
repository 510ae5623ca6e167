/* broker/auth/pki.h -- the development CA and what it issues, as files in the data folder's pki/
 * (mode 0700; keys 0600):
 *
 *     ca.key ca.crt                      P-256, 10 years
 *     server.key server.crt              SAN: localhost, 127.0.0.1, ::1 and what is configured
 *     bikes/ID.key bikes/ID.crt          CN=ID, OU=bike
 *     services/NAME.key services/NAME.crt  CN=NAME, OU=service
 *     ca-bundle.crt                      what a client trusts: the CA
 *
 * The profiles (validity, key usage, extended key usage) are certs/profiles/(*).cnf, embedded at
 * build time. Files are written beside, synced and renamed, so that a crash leaves none half. */
#ifndef FREEHUB_BROKER_AUTH_PKI_H
#define FREEHUB_BROKER_AUTH_PKI_H

#include "broker/base/base.h"
#include "broker/base/err.h"

enum pki_profile { PKI_SERVER, PKI_BIKE, PKI_SERVICE };

/* Make the folder and the CA when missing, and a server certificate when missing or due. Safe when
 * two processes do it at once (a lock file). `host_names` (may be NULL) ends with NULL: further
 * SANs. Main thread. */
CHECKED int pki_init(const char *pki_folder, const char *const *host_names,
                     struct err_detail *detail);

/* Make key and certificate for `name`. ERR_EXISTS when it has one (and !replace), ERR_INVALID for a
 * name that identity_name_valid() refuses. `files` gets the paths for the person. Main thread. */
struct pki_files {
    char key[512], certificate[512], ca_bundle[512];
};
CHECKED int pki_issue(const char *pki_folder, enum pki_profile profile, struct str name,
                      bool replace, struct pki_files *files, struct err_detail *detail);

/* Names that have a certificate, in byte order, with the end of validity. Main thread. */
typedef bool pki_visit_fn(void *ctx, struct str name, int64_t not_after_ms);
CHECKED int pki_each(const char *pki_folder, enum pki_profile profile, pki_visit_fn *visit,
                     void *ctx, struct err_detail *detail);

#endif
