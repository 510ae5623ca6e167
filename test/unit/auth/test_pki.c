#include "broker/auth/pki.h"

#include <criterion/criterion.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static const char *path(const char *name)
{
    static char paths[8][160];
    static unsigned next;
    char *out = paths[next++ % 8];

    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

static void setup(void)
{
    strcpy(folder, "/tmp/freehub-pki-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    strcat(folder, "/pki");
}

static void teardown(void)
{
    char command[128];

    *strrchr(folder, '/') = '\0';
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

static X509 *read_certificate(const char *file)
{
    FILE *in = fopen(file, "r");
    X509 *certificate;

    cr_assert_not_null(in, "%s", file);
    certificate = PEM_read_X509(in, NULL, NULL, NULL);
    fclose(in);
    cr_assert_not_null(certificate, "%s", file);
    return certificate;
}

static mode_t mode_of(const char *file)
{
    struct stat info;

    cr_assert_eq(stat(file, &info), 0, "%s", file);
    return info.st_mode & 0777;
}

/* What OpenSSL's own verifier thinks of `file`, for `purpose`, under this CA. */
static int verify(const char *file, int purpose)
{
    X509 *ca = read_certificate(path("ca-bundle.crt")), *leaf = read_certificate(file);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int error;

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(ctx, store, leaf, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT);
    error = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(ca);
    X509_free(leaf);
    return error;
}

static void expect_key_of(const char *certificate_file, const char *key_file)
{
    X509 *certificate = read_certificate(certificate_file);
    FILE *in = fopen(key_file, "r");
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    char group[32] = "";
    size_t len;

    fclose(in);
    cr_assert_not_null(key);
    cr_expect_eq(X509_check_private_key(certificate, key), 1, "%s", key_file);
    EVP_PKEY_get_group_name(key, group, sizeof group, &len);
    cr_expect_str_eq(group, "prime256v1");
    EVP_PKEY_free(key);
    X509_free(certificate);
}

Test(pki, makes_a_ca_and_a_server_certificate_that_verify)
{
    static const char *const hosts[] = {"hub.example.com", "192.0.2.7", "0.0.0.0", NULL};
    struct err_detail detail = {""};
    X509 *server;

    setup();
    cr_assert_eq(pki_init(folder, hosts, &detail), 0, "%s", detail.text);
    cr_expect_eq(mode_of(folder), 0700);
    cr_expect_eq(mode_of(path("ca.key")), 0600);
    cr_expect_eq(mode_of(path("server.key")), 0600);
    expect_key_of(path("ca.crt"), path("ca.key"));
    expect_key_of(path("server.crt"), path("server.key"));
    cr_expect_eq(verify(path("server.crt"), X509_PURPOSE_SSL_SERVER), X509_V_OK);
    cr_expect_eq(verify(path("server.crt"), X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
    server = read_certificate(path("server.crt"));
    cr_expect_eq(X509_check_host(server, "localhost", 0, 0, NULL), 1);
    cr_expect_eq(X509_check_host(server, "hub.example.com", 0, 0, NULL), 1);
    cr_expect_eq(X509_check_ip_asc(server, "127.0.0.1", 0), 1);
    cr_expect_eq(X509_check_ip_asc(server, "::1", 0), 1);
    cr_expect_eq(X509_check_ip_asc(server, "192.0.2.7", 0), 1);
    cr_expect_eq(X509_check_ip_asc(server, "0.0.0.0", 0), 0);
    X509_free(server);
    teardown();
}

static void fingerprint(const char *file, unsigned char out[32])
{
    X509 *certificate = read_certificate(file);
    unsigned len = 32;

    X509_digest(certificate, EVP_sha256(), out, &len);
    X509_free(certificate);
}

Test(pki, a_second_start_changes_nothing_unless_a_host_is_new)
{
    static const char *const hosts[] = {"new.example.com", NULL};
    unsigned char ca[2][32], server[3][32];

    setup();
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    fingerprint(path("ca.crt"), ca[0]);
    fingerprint(path("server.crt"), server[0]);
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    fingerprint(path("server.crt"), server[1]);
    cr_assert_eq(pki_init(folder, hosts, NULL), 0);
    fingerprint(path("ca.crt"), ca[1]);
    fingerprint(path("server.crt"), server[2]);
    cr_expect_eq(memcmp(ca[0], ca[1], 32), 0);
    cr_expect_eq(memcmp(server[0], server[1], 32), 0);
    cr_expect_neq(memcmp(server[0], server[2], 32), 0);
    expect_key_of(path("server.crt"), path("server.key"));
    teardown();
}

static void name_entry(X509 *certificate, int nid, char out[80])
{
    out[0] = '\0';
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), nid, out, 80);
}

Test(pki, issues_certificates_for_clients_only)
{
    static const struct {
        enum pki_profile profile;
        const char *unit;
        int days;
    } rows[] = {{PKI_BIKE, "bike", 1095}, {PKI_SERVICE, "service", 397}};

    setup();
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct pki_files files;
        X509 *certificate;
        char text[80];
        int days, seconds;

        cr_assert_eq(pki_issue(folder, rows[i].profile,
                               STR_LITERAL("r\xc3\xa4"
                                           "d-1"),
                               false, &files, &detail),
                     0, "%s", detail.text);
        cr_expect_str_eq(files.ca_bundle, path("ca-bundle.crt"));
        cr_expect_eq(mode_of(files.key), 0600);
        expect_key_of(files.certificate, files.key);
        cr_expect_eq(verify(files.certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
        cr_expect_eq(verify(files.certificate, X509_PURPOSE_SSL_SERVER),
                     X509_V_ERR_INVALID_PURPOSE);
        certificate = read_certificate(files.certificate);
        name_entry(certificate, NID_commonName, text);
        cr_expect_str_eq(text, "r\xc3\xa4"
                               "d-1");
        name_entry(certificate, NID_organizationalUnitName, text);
        cr_expect_str_eq(text, rows[i].unit);
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(certificate),
                       X509_get0_notAfter(certificate));
        cr_expect_eq(days, rows[i].days);
        cr_expect_eq(X509_check_ca(certificate), 0);
        cr_expect_gt(ASN1_STRING_length(X509_get0_serialNumber(certificate)), 8, "128 bits");
        X509_free(certificate);
    }
    teardown();
}

Test(pki, refuses_names_that_could_leave_their_place)
{
    static const struct str names[] = {{"", 0},     {"..", 2},   {"a/b", 3},  {"../ca", 5},
                                       {"+", 1},    {"a b", 3},  {"a\0b", 3}, {"a\n", 2},
                                       {"$SYS", 4}, {"\xff", 1}, {"a\\b", 3}};
    struct pki_files files;

    setup();
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        cr_expect_eq(pki_issue(folder, PKI_BIKE, names[i], true, &files, NULL), ERR_INVALID,
                     "row %zu", i);
    teardown();
}

Test(pki, does_not_replace_unless_told_to)
{
    unsigned char before[32], after[32];
    struct err_detail detail = {""};
    struct pki_files files;

    setup();
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    cr_assert_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), false, &files, NULL), 0);
    fingerprint(files.certificate, before);
    cr_assert_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), false, &files, &detail), ERR_EXISTS);
    cr_expect_not_null(strstr(detail.text, "b.crt"), "%s", detail.text);
    fingerprint(files.certificate, after);
    cr_expect_eq(memcmp(before, after, 32), 0);
    cr_assert_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), true, &files, NULL), 0);
    fingerprint(files.certificate, after);
    cr_expect_neq(memcmp(before, after, 32), 0);
    expect_key_of(files.certificate, files.key);
    teardown();
}

Test(pki, says_when_there_is_no_ca_or_no_key_of_it)
{
    struct err_detail detail = {""};
    struct pki_files files;

    setup();
    cr_expect_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), false, &files, &detail),
                 ERR_NOTFOUND);
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    cr_assert_eq(unlink(path("ca.key")), 0);
    cr_expect_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), false, &files, &detail),
                 ERR_NOTFOUND);
    cr_expect_not_null(strstr(detail.text, "elsewhere"), "%s", detail.text);
    cr_expect_neq(access(path("bikes/b.key"), F_OK), 0);
    teardown();
}

/* Several processes at once: one CA, and everything it issued verifies under it. */
Test(pki, many_processes_make_one_ca)
{
    enum { PROCESSES = 6 };
    pid_t children[PROCESSES];

    setup();
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct pki_files files;
            char name[16];

            snprintf(name, sizeof name, "bike-%d", i);
            _exit(pki_init(folder, NULL, NULL) ||
                  pki_issue(folder, PKI_BIKE, str_from(name), false, &files, NULL));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        char name[32];
        int status;

        cr_assert_eq(waitpid(children[i], &status, 0), children[i]);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        snprintf(name, sizeof name, "bikes/bike-%d.crt", i);
        cr_expect_eq(verify(path(name), X509_PURPOSE_SSL_CLIENT), X509_V_OK, "%s", name);
    }
    teardown();
}

struct seen {
    char names[64];
    unsigned count, stop_after;
    int64_t not_after_ms;
};

static bool on_name(void *ctx, struct str name, int64_t not_after_ms)
{
    struct seen *seen = ctx;

    snprintf(seen->names + strlen(seen->names), sizeof seen->names - strlen(seen->names), "%.*s ",
             (int)name.len, name.at);
    seen->not_after_ms = not_after_ms;
    return ++seen->count != seen->stop_after;
}

Test(pki, lists_names_in_order)
{
    static const char *const names[] = {"b", "a", "c"};
    struct seen seen = {.stop_after = 100}, two = {.stop_after = 2};
    struct pki_files files;

    setup();
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        cr_assert_eq(pki_issue(folder, PKI_BIKE, str_from(names[i]), false, &files, NULL), 0);
    cr_assert_eq(pki_each(folder, PKI_BIKE, on_name, &seen, NULL), 0);
    cr_expect_str_eq(seen.names, "a b c ");
    cr_expect_gt(seen.not_after_ms, ((int64_t)time(NULL) + 1090 * 86400L) * 1000);
    cr_assert_eq(pki_each(folder, PKI_BIKE, on_name, &two, NULL), 0);
    cr_expect_str_eq(two.names, "a b ");
    teardown();
}

/* The script's certificate has the extensions of ours: type, criticality and, where it does not
 * come from the key, value. */
static void expect_same_extensions(const char *ours_file, const char *theirs_file)
{
    X509 *ours = read_certificate(ours_file), *theirs = read_certificate(theirs_file);

    cr_expect_eq(X509_get_ext_count(ours), X509_get_ext_count(theirs), "%s", theirs_file);
    for (int i = 0; i < X509_get_ext_count(ours); i++) {
        X509_EXTENSION *extension = X509_get_ext(ours, i), *other;
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
        int at = X509_get_ext_by_NID(theirs, nid, -1);

        cr_assert_geq(at, 0, "%s has no %s", theirs_file, OBJ_nid2sn(nid));
        other = X509_get_ext(theirs, at);
        cr_expect_eq(X509_EXTENSION_get_critical(extension), X509_EXTENSION_get_critical(other));
        if (nid == NID_subject_key_identifier || nid == NID_authority_key_identifier ||
            nid == NID_subject_alt_name)
            continue;
        cr_expect_eq(ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(extension),
                                           X509_EXTENSION_get_data(other)),
                     0, "%s: %s", theirs_file, OBJ_nid2sn(nid));
    }
    X509_free(ours);
    X509_free(theirs);
}

static int dev_ca(const char *arguments)
{
    char command[256];

    snprintf(command, sizeof command, "certs/dev_ca %s >/dev/null 2>&1", arguments);
    return system(command);
}

Test(pki, the_script_makes_the_same_certificates)
{
    static const char *const files[] = {"ca.crt", "server.crt", "bikes/b.crt", "services/s.crt"};
    char theirs[80], arguments[160];
    static const struct {
        const char *verb, *name;
        bool works;
    } rows[] = {{"init", "", true},
                {"init", "", false},
                {"server", "localhost 127.0.0.1 ::1", true},
                {"bike", "b", true},
                {"service", "s", true},
                {"bike", "b", false},
                {"bike", "a/b", false},
                {"bike", "..", false},
                {"bike", "'a b'", false},
                {"server", "'a,IP:1.2.3.4'", false},
                {"plane", "p", false}};
    struct pki_files made;

    setup();
    snprintf(theirs, sizeof theirs, "%s-of-script", folder);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(arguments, sizeof arguments, "%s %s %s", rows[i].verb, theirs, rows[i].name);
        cr_expect_eq(dev_ca(arguments) == 0, rows[i].works, "dev_ca %s", arguments);
    }
    cr_assert_eq(pki_init(folder, NULL, NULL), 0);
    cr_assert_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("b"), false, &made, NULL), 0);
    cr_assert_eq(pki_issue(folder, PKI_SERVICE, STR_LITERAL("s"), false, &made, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char file[160];

        snprintf(file, sizeof file, "%s/%s", theirs, files[i]);
        expect_same_extensions(path(files[i]), file);
    }
    snprintf(arguments, sizeof arguments, "%s/bikes/b.key", theirs);
    cr_expect_eq(mode_of(arguments), 0600);

    /* Ours goes on where the script began: the folder is the same. */
    strcpy(folder, theirs);
    cr_expect_eq(pki_init(folder, NULL, NULL), 0);
    cr_expect_eq(pki_issue(folder, PKI_BIKE, STR_LITERAL("c"), false, &made, NULL), 0);
    cr_expect_eq(verify(made.certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    cr_expect_eq(verify(path("bikes/b.crt"), X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    teardown();
}
