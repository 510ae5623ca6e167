/* The development CA.
 *
 *   1. pki/lock is held while anything is made, so that two processes make one CA.
 *   2. Every file is written beside its place, synced and renamed; a key is in place before its
 *      certificate, and a certificate is what says that a name exists.
 *   3. Keys never leave this folder and are readable by their owner only. */
#include "broker/auth/pki.h"

#include "broker/auth/identity.h"
#include "broker/base/mem.h"

#include <certs/profiles.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATH_BYTES = 512,
    SERIAL_BYTES = 16,
    SAN_BYTES = 2048,
    BACKDATE_S = 300, /* clocks of bikes may be a little behind */
    SERVER_RENEW_S = 30 * 86400,
    NAMES_MAX = 10 * 1000 * 1000,
};

struct profile {
    const char *text;
    const char *folder; /* of what it issues, within pki/ */
};

static const struct profile ca_profile = {profile_ca, ""};
static const struct profile profiles[] = {
    [PKI_SERVER] = {profile_server, ""},
    [PKI_BIKE] = {profile_bike, "bikes"},
    [PKI_SERVICE] = {profile_service, "services"},
};

/* A key and its certificate in memory. */
struct pair {
    EVP_PKEY *key;
    X509 *certificate;
};

static void pair_fini(struct pair *pair)
{
    EVP_PKEY_free(pair->key);
    X509_free(pair->certificate);
    *pair = (struct pair){NULL, NULL};
}

static int fail_openssl(struct err_detail *detail, const char *what)
{
    char text[128];

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    return err_set(detail, ERR_TLS, "%s: %s", what, text);
}

/* ---- files ---- */

static int path_of(char out[PATH_BYTES], struct err_detail *detail, const char *folder,
                   const char *sub, struct str name, const char *suffix)
{
    int len = snprintf(out, PATH_BYTES, "%s/%s%s%.*s%s", folder, sub, *sub ? "/" : "",
                       (int)name.len, name.at, suffix);

    if (len < 0 || len >= PATH_BYTES)
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", folder);
    return 0;
}

static int make_folder(const char *folder, const char *sub, struct err_detail *detail)
{
    char path[PATH_BYTES];
    int rc = path_of(path, detail, folder, sub, (struct str){NULL, 0}, "");

    if (rc)
        return rc;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(detail, err_from_errno(errno), "cannot make %s: %s", path, strerror(errno));
    return 0;
}

static int sync_folder_of(const char *path)
{
    char folder[PATH_BYTES];
    char *slash;
    int fd, rc;

    snprintf(folder, sizeof folder, "%s", path);
    slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

static int write_file(const char *path, struct str bytes, mode_t mode, struct err_detail *detail)
{
    char beside[PATH_BYTES + 8];
    int fd, rc = 0;

    snprintf(beside, sizeof beside, "%s.new", path);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_set(detail, err_from_errno(errno), "%s: %s", beside, strerror(errno));
    if (fchmod(fd, mode) || write(fd, bytes.at, bytes.len) != (ssize_t)bytes.len || fsync(fd))
        rc = err_set(detail, err_from_errno(errno), "%s cannot be written: %s", beside,
                     strerror(errno));
    close(fd);
    if (rc == 0 && (rename(beside, path) != 0 || sync_folder_of(path) != 0))
        rc = err_set(detail, err_from_errno(errno), "%s cannot be put in place: %s", path,
                     strerror(errno));
    if (rc)
        unlink(beside);
    return rc;
}

/* Write what `emit` puts into a memory BIO. */
static int write_pem(const char *path, bool (*emit)(BIO *bio, const struct pair *pair),
                     const struct pair *pair, mode_t mode, struct err_detail *detail)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes = NULL;
    long len;
    int rc;

    if (!bio || !emit(bio, pair)) {
        rc = fail_openssl(detail, "cannot encode PEM");
        goto out;
    }
    len = BIO_get_mem_data(bio, &bytes);
    rc = write_file(path, (struct str){bytes, (size_t)len}, mode, detail);
    OPENSSL_cleanse(bytes, (size_t)len);
out:
    BIO_free(bio);
    return rc;
}

static bool emit_key(BIO *bio, const struct pair *pair)
{
    return PEM_write_bio_PKCS8PrivateKey(bio, pair->key, NULL, NULL, 0, NULL, NULL) == 1;
}

static bool emit_certificate(BIO *bio, const struct pair *pair)
{
    return PEM_write_bio_X509(bio, pair->certificate) == 1;
}

static int read_certificate(const char *path, X509 **out, struct err_detail *detail)
{
    BIO *bio = BIO_new_file(path, "r");

    *out = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!*out)
        return fail_openssl(detail, path);
    return 0;
}

static int read_key(const char *path, EVP_PKEY **out, struct err_detail *detail)
{
    BIO *bio = BIO_new_file(path, "r");

    *out = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!*out)
        return fail_openssl(detail, path);
    return 0;
}

static bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Key first, then certificate (2.). */
static int write_pair(const struct pair *pair, const char *key_path, const char *certificate_path,
                      struct err_detail *detail)
{
    int rc = write_pem(key_path, emit_key, pair, 0600, detail);

    return rc ? rc : write_pem(certificate_path, emit_certificate, pair, 0644, detail);
}

/* ---- certificates ---- */

static bool set_serial(X509 *certificate)
{
    uint8_t bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool done;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] &= 0x7f; /* positive, and at most 20 octets in DER */
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return done;
}

static bool add_name(X509_NAME *name, const char *field, const char *text, size_t len)
{
    return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text,
                                      (int)len, -1, 0) == 1;
}

static bool set_subject(X509 *certificate, CONF *conf, struct str common_name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    const char *unit = NCONF_get_string(conf, "profile", "unit");

    ERR_clear_error(); /* `unit` is optional */
    return add_name(subject, "O", "Freehub", 7) &&
           (!unit || add_name(subject, "OU", unit, strlen(unit))) &&
           add_name(subject, "CN", common_name.at, common_name.len);
}

static bool set_extensions(X509 *certificate, X509 *issuer, CONF *conf, const char *names)
{
    char section[] = "extensions";
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool done;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509V3_set_nconf(&context, conf);
    if (X509V3_EXT_add_nconf(conf, &context, section, certificate) != 1)
        return false;
    if (!names)
        return true;
    extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, names);
    done = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

static CONF *profile_conf(const char *text)
{
    CONF *conf = NCONF_new(NULL);
    BIO *bio = BIO_new_mem_buf(text, -1);
    long line = 0;

    if (conf && (!bio || NCONF_load_bio(conf, bio, &line) != 1)) {
        NCONF_free(conf);
        conf = NULL;
    }
    BIO_free(bio);
    return conf;
}

/* A new P-256 key and a certificate for it, signed by `issuer`, or by itself when that is NULL.
 * `names`: subjectAltName, or NULL. The caller ends `*out` with pair_fini(). */
static int make_pair(struct pair *out, const struct profile *profile, struct str common_name,
                     const char *names, const struct pair *issuer, struct err_detail *detail)
{
    CONF *conf = profile_conf(profile->text);
    X509 *certificate = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *signer = issuer ? issuer->certificate : certificate;
    long days = 0;
    int rc = 0;

    if (!conf || !certificate || !key || NCONF_get_number_e(conf, "profile", "days", &days) != 1 ||
        !X509_set_version(certificate, X509_VERSION_3) || !set_serial(certificate) ||
        !set_subject(certificate, conf, common_name) ||
        !X509_set_issuer_name(certificate, X509_get_subject_name(signer)) ||
        !X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATE_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(certificate), days * 86400) ||
        !X509_set_pubkey(certificate, key) || !set_extensions(certificate, signer, conf, names) ||
        !X509_sign(certificate, issuer ? issuer->key : key, EVP_sha256())) {
        rc = fail_openssl(detail, "cannot make a certificate");
        X509_free(certificate);
        EVP_PKEY_free(key);
    } else {
        *out = (struct pair){key, certificate};
    }
    NCONF_free(conf);
    return rc;
}

/* ---- the CA ---- */

static int lock_folder(const char *folder, struct err_detail *detail)
{
    char path[PATH_BYTES];
    int fd, rc = path_of(path, detail, folder, "", STR_LITERAL("lock"), "");

    if (rc)
        return rc;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX) == 0)
        return fd;
    rc = err_set(detail, err_from_errno(errno), "cannot lock %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return rc;
}

static int load_ca(const char *folder, struct pair *out, struct err_detail *detail)
{
    char key[PATH_BYTES], certificate[PATH_BYTES];
    int rc = path_of(key, detail, folder, "", STR_LITERAL("ca"), ".key");

    if (rc == 0)
        rc = path_of(certificate, detail, folder, "", STR_LITERAL("ca"), ".crt");
    if (rc)
        return rc;
    if (!file_exists(certificate))
        return err_set(detail, ERR_NOTFOUND, "there is no CA in %s: start freehubd once", folder);
    if (!file_exists(key))
        return err_set(detail, ERR_NOTFOUND,
                       "%s is missing, so nothing can be issued here: this CA's key is elsewhere",
                       key);
    rc = read_certificate(certificate, &out->certificate, detail);
    if (rc == 0)
        rc = read_key(key, &out->key, detail);
    if (rc)
        pair_fini(out);
    return rc;
}

static int make_ca(const char *folder, struct err_detail *detail)
{
    char key[PATH_BYTES], certificate[PATH_BYTES], bundle[PATH_BYTES];
    struct pair ca = {NULL, NULL};
    int rc = path_of(key, detail, folder, "", STR_LITERAL("ca"), ".key");

    if (rc == 0)
        rc = path_of(certificate, detail, folder, "", STR_LITERAL("ca"), ".crt");
    if (rc == 0)
        rc = path_of(bundle, detail, folder, "", STR_LITERAL("ca-bundle"), ".crt");
    if (rc || (file_exists(certificate) && file_exists(bundle)))
        return rc;
    if (file_exists(certificate)) { /* a crash came between the two, or it was deleted */
        rc = read_certificate(certificate, &ca.certificate, detail);
    } else {
        rc = make_pair(&ca, &ca_profile, STR_LITERAL("Freehub development CA"), NULL, NULL, detail);
        if (rc == 0)
            rc = write_pair(&ca, key, certificate, detail);
    }
    if (rc == 0)
        rc = write_pem(bundle, emit_certificate, &ca, 0644, detail);
    pair_fini(&ca);
    return rc;
}

/* ---- the server's certificate ---- */

static bool is_address(const char *host)
{
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    return address != NULL;
}

static int server_names(char out[SAN_BYTES], const char *const *hosts, struct err_detail *detail)
{
    size_t len = (size_t)snprintf(out, SAN_BYTES, "DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1");
    char own[256] = "";

    if (gethostname(own, sizeof own - 1) == 0 && own[0] && !is_address(own))
        len += (size_t)snprintf(out + len, SAN_BYTES - len, ",DNS:%s", own);
    for (; hosts && *hosts; hosts++) {
        if (strcmp(*hosts, "0.0.0.0") == 0 || strcmp(*hosts, "::") == 0)
            continue; /* every address is no name */
        len += (size_t)snprintf(out + len, SAN_BYTES - len, ",%s:%s",
                                is_address(*hosts) ? "IP" : "DNS", *hosts);
        if (len >= SAN_BYTES)
            return err_set(detail, ERR_TOO_LARGE, "too many host names for one certificate");
    }
    return 0;
}

/* Whether it will hold for another month, and for every host. */
static bool server_is_fine(const char *path, const char *const *hosts)
{
    time_t soon = time(NULL) + SERVER_RENEW_S;
    X509 *certificate;
    bool fine;

    if (!file_exists(path) || read_certificate(path, &certificate, NULL))
        return false;
    fine = X509_cmp_time(X509_get0_notAfter(certificate), &soon) > 0;
    for (; fine && hosts && *hosts; hosts++) {
        if (strcmp(*hosts, "0.0.0.0") == 0 || strcmp(*hosts, "::") == 0)
            continue;
        fine = is_address(*hosts) ? X509_check_ip_asc(certificate, *hosts, 0) == 1
                                  : X509_check_host(certificate, *hosts, 0, 0, NULL) == 1;
    }
    X509_free(certificate);
    return fine;
}

static int make_server(const char *folder, const char *const *hosts, struct err_detail *detail)
{
    char key[PATH_BYTES], certificate[PATH_BYTES], names[SAN_BYTES];
    struct pair ca = {NULL, NULL}, server = {NULL, NULL};
    int rc = path_of(key, detail, folder, "", STR_LITERAL("server"), ".key");

    if (rc == 0)
        rc = path_of(certificate, detail, folder, "", STR_LITERAL("server"), ".crt");
    if (rc || (server_is_fine(certificate, hosts) && file_exists(key)))
        return rc;
    rc = server_names(names, hosts, detail);
    if (rc == 0)
        rc = load_ca(folder, &ca, detail);
    if (rc == 0)
        rc = make_pair(&server, &profiles[PKI_SERVER], STR_LITERAL("freehubd"), names, &ca, detail);
    if (rc == 0)
        rc = write_pair(&server, key, certificate, detail);
    pair_fini(&server);
    pair_fini(&ca);
    return rc;
}

int pki_init(const char *pki_folder, const char *const *host_names, struct err_detail *detail)
{
    int lock, rc = make_folder(pki_folder, "", detail);

    if (rc == 0)
        rc = make_folder(pki_folder, "bikes", detail);
    if (rc == 0)
        rc = make_folder(pki_folder, "services", detail);
    if (rc)
        return rc;
    lock = lock_folder(pki_folder, detail);
    if (lock < 0)
        return lock;
    rc = make_ca(pki_folder, detail);
    if (rc == 0)
        rc = make_server(pki_folder, host_names, detail);
    close(lock);
    return rc;
}

/* ---- bikes and services ---- */

static int issue_locked(const char *folder, enum pki_profile profile, struct str name, bool replace,
                        const struct pki_files *files, struct err_detail *detail)
{
    struct pair ca = {NULL, NULL}, leaf = {NULL, NULL};
    int rc;

    if (file_exists(files->certificate) && !replace)
        return err_set(detail, ERR_EXISTS, "%.*s has a certificate already: %s", (int)name.len,
                       name.at, files->certificate);
    rc = load_ca(folder, &ca, detail);
    if (rc == 0)
        rc = make_pair(&leaf, &profiles[profile], name, NULL, &ca, detail);
    if (rc == 0)
        rc = write_pair(&leaf, files->key, files->certificate, detail);
    pair_fini(&leaf);
    pair_fini(&ca);
    return rc;
}

int pki_issue(const char *pki_folder, enum pki_profile profile, struct str name, bool replace,
              struct pki_files *files, struct err_detail *detail)
{
    int lock, rc;

    ASSERT(profile == PKI_BIKE || profile == PKI_SERVICE);
    if (!identity_name_valid(name))
        return err_set(detail, ERR_INVALID,
                       "\"%.*s\" cannot be a name: 1 to 64 bytes of UTF-8 without spaces, control "
                       "characters and + # / $ \\",
                       (int)name.len, name.at);
    rc = path_of(files->key, detail, pki_folder, profiles[profile].folder, name, ".key");
    if (rc == 0)
        rc =
            path_of(files->certificate, detail, pki_folder, profiles[profile].folder, name, ".crt");
    if (rc == 0)
        rc = path_of(files->ca_bundle, detail, pki_folder, "", STR_LITERAL("ca-bundle"), ".crt");
    if (rc)
        return rc;
    lock = lock_folder(pki_folder, detail);
    if (lock < 0)
        return lock;
    rc = issue_locked(pki_folder, profile, name, replace, files, detail);
    close(lock);
    return rc;
}

/* ---- listing ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in `path` that end with ".crt", sorted; the caller frees them and the array. */
static int list_names(const char *path, char ***out, size_t *out_count, struct err_detail *detail)
{
    DIR *folder = opendir(path);
    char **names = NULL;
    size_t count = 0, room = 0;
    const struct dirent *entry;

    if (!folder)
        return err_set(detail, err_from_errno(errno), "%s: %s", path, strerror(errno));
    while (count < NAMES_MAX && (entry = readdir(folder))) { // NOLINT(concurrency-mt-unsafe): own
        struct str name = str_from(entry->d_name);

        if (name.len <= 4 || memcmp(name.at + name.len - 4, ".crt", 4) != 0)
            continue;
        if (count == room) {
            char **grown = mem_try_resize(names, (room = room ? 2 * room : 64) * sizeof *names);

            if (!grown)
                break; /* the list is cut rather than the process ended */
            names = grown;
        }
        names[count++] = mem_copy_text((struct str){name.at, name.len - 4});
    }
    closedir(folder);
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    *out = names;
    *out_count = count;
    return 0;
}

static int64_t not_after_ms(const char *path)
{
    X509 *certificate;
    struct tm end;
    int64_t ms = 0;

    if (read_certificate(path, &certificate, NULL))
        return 0;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1)
        ms = (int64_t)timegm(&end) * 1000;
    X509_free(certificate);
    return ms;
}

int pki_each(const char *pki_folder, enum pki_profile profile, pki_visit_fn *visit, void *ctx,
             struct err_detail *detail)
{
    char path[PATH_BYTES];
    char **names = NULL;
    size_t count = 0;
    bool more = true;
    int rc = path_of(path, detail, pki_folder, profiles[profile].folder, (struct str){NULL, 0}, "");

    if (rc == 0)
        rc = list_names(path, &names, &count, detail);
    for (size_t i = 0; i < count; i++) {
        if (more && path_of(path, detail, pki_folder, profiles[profile].folder, str_from(names[i]),
                            ".crt") == 0)
            more = visit(ctx, str_from(names[i]), not_after_ms(path));
        mem_free(names[i]);
    }
    mem_free(names);
    return rc;
}
