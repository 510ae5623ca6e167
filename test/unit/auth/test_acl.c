#include "broker/auth/acl.h"

#include "broker/codec/topic.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char file_path[64];

static void write_acl(const char *text, size_t len)
{
    int fd;

    if (!file_path[0]) {
        strcpy(file_path, "/tmp/freehub-acl-XXXXXX");
        close(mkstemp(file_path));
    }
    fd = open(file_path, O_WRONLY | O_TRUNC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, len), (ssize_t)len);
    close(fd);
}

static void remove_acl(void)
{
    char beside[80];

    if (file_path[0])
        unlink(file_path);
    snprintf(beside, sizeof beside, "%s.new", file_path);
    cr_assert_neq(access(beside, F_OK), 0, "nothing half written stays");
    file_path[0] = '\0';
}

static struct acl *load(const char *text)
{
    struct err_detail detail = {""};
    struct acl *acl = NULL;

    write_acl(text, strlen(text));
    cr_assert_eq(acl_load(&acl, file_path, &detail), 0, "%s", detail.text);
    return acl;
}

static struct identity named(enum identity_kind kind, const char *name)
{
    struct identity who = {.kind = kind, .name_len = (uint8_t)strlen(name)};

    strcpy(who.name, name);
    return who;
}

Test(acl, a_bike_has_its_own_tree_and_nothing_else)
{
    static const struct {
        const char *topic;
        bool publish, subscribe;
    } rows[] = {
        {"v1/b/bike-1/tel", true, true},
        {"v1/b/bike-1/evt/trip_start", true, true},
        {"v1/b/bike-1/", false, true},
        {"v1/b/bike-1", false, true}, /* "v1/b/bike-1/#" matches it; nothing is there */
        {"v1/b/bike-2/tel", false, false},
        {"v1/b/bike-10/tel", false, false},
        {"v1/b/bike/tel", false, false},
        {"v1/b/BIKE-1/tel", false, false},
        {"v1/b//tel", false, false},
        {"/v1/b/bike-1/tel", false, false},
        {"v1/u/bike-1/tel", false, false},
        {"v2/b/bike-1/tel", false, false},
        {"$SYS/broker/uptime", false, false},
        {"x", false, false},
    };
    struct identity who = named(IDENTITY_BIKE, "bike-1");
    struct acl *acl;

    cr_assert_eq(acl_load(&acl, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str topic = str_from(rows[i].topic);

        cr_expect_eq(acl_may_publish(acl, &who, topic), rows[i].publish, "%s", rows[i].topic);
        cr_expect_eq(acl_may_subscribe(acl, &who, topic), rows[i].subscribe, "%s", rows[i].topic);
    }
    acl_unref(acl);
}

Test(acl, a_bike_may_subscribe_only_within_its_tree)
{
    static const struct {
        const char *filter;
        bool granted;
    } rows[] = {
        {"v1/b/bike-1/#", true},   {"v1/b/bike-1/+", true},
        {"v1/b/bike-1/+/x", true}, {"v1/b/bike-1/cfg/#", true},
        {"v1/b/+/tel", false},     {"v1/b/+/#", false},
        {"v1/b/#", false},         {"#", false},
        {"+/b/bike-1/#", false},   {"v1/+/bike-1/tel", false},
        {"v1/b/bike-1#", false},   {"v1/b/bike-2/#", false},
        {"v1/#", false},           {"+/+/+/+", false},
        {"$SYS/#", false},         {"v1/b/+", false},
        {"v1/b/bike-1/+/#", true},
    };
    struct identity who = named(IDENTITY_BIKE, "bike-1");
    struct acl *acl;

    cr_assert_eq(acl_load(&acl, NULL, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_expect_eq(acl_may_subscribe(acl, &who, str_from(rows[i].filter)), rows[i].granted, "%s",
                     rows[i].filter);
    acl_unref(acl);
}

/* A hostile name either cannot be an identity at all, or has rights on its own tree only. */
Test(acl, no_name_reaches_another_ones_tree)
{
    static const char *const bits[] = {"+",         "#",
                                       "/",         "$",
                                       "%",         "*",
                                       ".",         "..",
                                       "[a-z]",     "%u",
                                       "%c",        "../x",
                                       "\n",        "\t",
                                       " ",         "\x7f",
                                       "\\",        "victim",
                                       "VICTIM",    "victi",
                                       "victimx",   "vict\xc3\xadm",
                                       "vi\xcc\x81"};
    static const char *const topics[] = {"v1/b/victim/tel", "v1/b/victim/evt/x", "v1/b/victim",
                                         "v1/b/",           "v1/b/x/y",          "v1/u/victim/x",
                                         "$SYS/broker/x"};
    static const char *const filters[] = {"v1/b/victim/#", "v1/b/+/#",       "v1/b/#", "#",
                                          "+/b/victim/+",  "v1/b/victim/tel"};
    unsigned tried = 0, refused = 0;
    struct acl *acl = load("user victim\ntopic readwrite v1/b/victim/#\ntopic readwrite #\n");

    for (size_t a = 0; a < ARRAY_LEN(bits); a++)
        for (size_t b = 0; b <= ARRAY_LEN(bits); b++) {
            char name[64];
            struct identity who;

            snprintf(name, sizeof name, "%s%s", bits[a], b < ARRAY_LEN(bits) ? bits[b] : "");
            if (strcmp(name, "victim") == 0)
                continue;
            tried++;
            if (identity_from_certificate(str_from(name), STR_LITERAL("bike"), &who, NULL)) {
                refused++;
                continue;
            }
            for (size_t i = 0; i < ARRAY_LEN(topics); i++)
                cr_expect_not(acl_may_publish(acl, &who, str_from(topics[i])), "\"%s\" to %s", name,
                              topics[i]);
            for (size_t i = 0; i < ARRAY_LEN(filters); i++)
                cr_expect_not(acl_may_subscribe(acl, &who, str_from(filters[i])), "\"%s\" to %s",
                              name, filters[i]);
            who.kind = IDENTITY_SERVICE; /* the section of another `user` is not theirs either */
            for (size_t i = 0; i < ARRAY_LEN(topics); i++)
                cr_expect_not(acl_may_publish(acl, &who, str_from(topics[i])), "\"%s\" to %s", name,
                              topics[i]);
        }
    cr_assert_geq(tried, 200);
    cr_assert_gt(refused, 100);
    acl_unref(acl);
    remove_acl();
}

Test(acl, a_service_has_what_its_section_grants)
{
    static const char text[] = "# who reads\r\n"
                               "\n"
                               "user dash\n"
                               "topic read v1/b/#\n"
                               "topic deny v1/b/secret/#\n"
                               "  topic   write   cmd/+/set  \n"
                               "user both\n"
                               "topic plain/x\n"
                               "topic readwrite rw/#\n"
                               "topic deny a topic with spaces\n"
                               "user dash\n"
                               "topic read extra\n";
    static const struct {
        const char *user, *topic;
        bool publish, subscribe;
    } rows[] = {
        {"dash", "v1/b/bike-1/tel", false, true},
        {"dash", "v1/b/secret/tel", false, false},
        {"dash", "v1/b/secret", false, false},
        {"dash", "v1/b/#", false, false}, /* it would include what is denied */
        {"dash", "v1/b/+/tel", false, false},
        {"dash", "v1/b/bike-1/#", false, true},
        {"dash", "cmd/a/set", true, false},
        {"dash", "cmd/a/b/set", false, false},
        {"dash", "extra", false, true},
        {"dash", "plain/x", false, false},
        {"dash", "#", false, false},
        {"both", "plain/x", true, true},
        {"both", "rw/a/b", true, true},
        {"both", "rw/#", false, true}, /* not a name to publish to */
        {"both", "v1/b/bike-1/tel", false, false},
        {"nobody", "plain/x", false, false},
        {"Dash", "extra", false, false},
    };
    struct acl *acl = load(text);

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct identity who = named(IDENTITY_SERVICE, rows[i].user);
        struct str topic = str_from(rows[i].topic);

        if (topic_name_valid(topic))
            cr_expect_eq(acl_may_publish(acl, &who, topic), rows[i].publish, "row %zu", i);
        cr_expect_eq(acl_may_subscribe(acl, &who, topic), rows[i].subscribe, "row %zu", i);
    }
    acl_unref(acl);
    remove_acl();
}

/* Whatever the order of the lines. */
Test(acl, a_denial_wins)
{
    static const char *const texts[] = {"user a\ntopic deny x/#\ntopic readwrite x/y\n",
                                        "user a\ntopic readwrite x/y\ntopic deny x/#\n",
                                        "user a\ntopic readwrite x/y\nuser a\ntopic deny +/y\n"};
    struct identity who = named(IDENTITY_SERVICE, "a");

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct acl *acl = load(texts[i]);

        cr_expect_not(acl_may_publish(acl, &who, STR_LITERAL("x/y")), "text %zu", i);
        cr_expect_not(acl_may_subscribe(acl, &who, STR_LITERAL("x/y")), "text %zu", i);
        acl_unref(acl);
    }
    remove_acl();
}

Test(acl, no_file_and_an_empty_file_grant_nothing)
{
    struct identity who = named(IDENTITY_SERVICE, "a"), anonymous = {.kind = IDENTITY_ANONYMOUS};

    for (int empty = 0; empty <= 1; empty++) {
        struct acl *acl;

        write_acl("", 0);
        cr_assert_eq(acl_load(&acl, empty ? file_path : NULL, NULL), 0);
        cr_expect_not(acl_may_publish(acl, &who, STR_LITERAL("x")));
        cr_expect_not(acl_may_subscribe(acl, &who, STR_LITERAL("x")));
        cr_expect(acl_may_publish(acl, &anonymous, STR_LITERAL("x"))); /* its listener allows it */
        acl_unref(acl);
    }
    remove_acl();
}

/* Nothing that is not understood whole opens anything. */
Test(acl, refuses_a_broken_file_with_its_line)
{
    static const struct {
        const char *text, *why;
        size_t len; /* 0: all of it */
    } rows[] = {
        {"topic read x\n", ":1: a topic before the first", 0},
        {"user a\npattern read v1/b/%c/#\n", ":2: `pattern` is not supported", 0},
        {"user a\ntopic read x/#/y\n", ":2: this is not a topic filter", 0},
        {"user a\ntopic read\n", ":2: ", 0},
        {"user a\ntopic\n", ":2: ", 0},
        {"user\ntopic read x\n", ":1: this is not a name", 0},
        {"user a/b\n", ":1: this is not a name", 0},
        {"user +\n", ":1: this is not a name", 0},
        {"user a\nTopic read x\n", ":2: a line begins with", 0},
        {"user a\nallow x\n", ":2: a line begins with", 0},
        {"\n\nuser a\n\ntopic write a\0b\n", ":5: this is not a topic filter", 26},
        {"user a\ntopic read v1/b/bike-1", "may have been cut", 0},
        {"user a", "may have been cut", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err_detail detail = {""};
        struct acl *acl = NULL;

        write_acl(rows[i].text, rows[i].len ? rows[i].len : strlen(rows[i].text));
        cr_expect_eq(acl_load(&acl, file_path, &detail), ERR_INVALID, "row %zu", i);
        cr_expect_not_null(strstr(detail.text, rows[i].why), "row %zu: %s", i, detail.text);
        cr_expect_null(acl);
    }
    remove_acl();
}

/* A file that is cut anywhere either is refused or still begins with whole lines of itself, and
 * then grants no more than the whole. */
Test(acl, a_cut_file_never_grants_more)
{
    static const char text[] = "user a\ntopic read v1/b/bike-1/tel\ntopic write cmd/a/set\n";
    static const char *const topics[] = {"v1/b/bike-1/tel", "v1/b/bike-1", "v1/b", "cmd/a/set",
                                         "c"};
    struct identity who = named(IDENTITY_SERVICE, "a");
    struct acl *whole = load(text);

    for (size_t len = 0; len < sizeof text - 1; len++) {
        struct acl *cut = NULL;

        write_acl(text, len);
        if (acl_load(&cut, file_path, NULL))
            continue;
        for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
            struct str topic = str_from(topics[i]);

            cr_expect(!acl_may_publish(cut, &who, topic) || acl_may_publish(whole, &who, topic));
            cr_expect(!acl_may_subscribe(cut, &who, topic) ||
                      acl_may_subscribe(whole, &who, topic));
        }
        acl_unref(cut);
    }
    acl_unref(whole);
    remove_acl();
}

Test(acl, refuses_a_file_it_cannot_read_or_others_may_write)
{
    struct err_detail detail = {""};
    struct acl *acl = NULL;

    cr_expect_eq(acl_load(&acl, "/nowhere/acl", &detail), ERR_NOTFOUND);
    cr_expect_not_null(strstr(detail.text, "/nowhere/acl"));
    cr_expect_eq(acl_load(&acl, "/tmp", &detail), ERR_INVALID);
    write_acl("user a\n", 7);
    chmod(file_path, 0620);
    cr_expect_eq(acl_load(&acl, file_path, &detail), ERR_DENIED);
    chmod(file_path, 0602);
    cr_expect_eq(acl_load(&acl, file_path, &detail), ERR_DENIED);
    chmod(file_path, 0600);
    cr_assert_eq(truncate(file_path, 5 * 1024 * 1024), 0);
    cr_expect_eq(acl_load(&acl, file_path, &detail), ERR_TOO_LARGE);
    cr_expect_null(acl);
    remove_acl();
}

Test(acl, a_grant_replaces_the_section_of_that_user_only)
{
    static const char *const reads[] = {"v1/b/#", "$SYS/#", NULL}, *const none[] = {NULL},
                             *const writes[] = {"cmd/#", NULL}, *const bad[] = {"a/#/b", NULL};
    struct identity dash = named(IDENTITY_SERVICE, "dash"),
                    other = named(IDENTITY_SERVICE, "other");
    struct err_detail detail = {""};
    struct stat info;
    struct acl *acl;

    write_acl("", 0);
    unlink(file_path); /* it is made when missing */
    cr_assert_eq(acl_file_grant(file_path, STR_LITERAL("dash"), none, writes, &detail), 0);
    cr_assert_eq(stat(file_path, &info), 0);
    cr_expect_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(acl_file_grant(file_path, STR_LITERAL("other"), none, writes, &detail), 0);
    cr_assert_eq(acl_file_grant(file_path, STR_LITERAL("dash"), reads, none, &detail), 0);
    cr_assert_eq(acl_load(&acl, file_path, &detail), 0, "%s", detail.text);
    cr_expect_not(acl_may_publish(acl, &dash, STR_LITERAL("cmd/x")), "the old section is gone");
    cr_expect(acl_may_subscribe(acl, &dash, STR_LITERAL("v1/b/#")));
    cr_expect(acl_may_subscribe(acl, &dash, STR_LITERAL("$SYS/broker/uptime")));
    cr_expect(acl_may_publish(acl, &other, STR_LITERAL("cmd/x")));
    acl_unref(acl);

    cr_expect_eq(acl_file_grant(file_path, STR_LITERAL("dash"), bad, none, &detail), ERR_INVALID);
    cr_expect_eq(acl_file_grant(file_path, STR_LITERAL("a b"), reads, none, &detail), ERR_INVALID);
    cr_expect_eq(acl_file_grant("/nowhere/acl", STR_LITERAL("a"), reads, none, &detail),
                 ERR_NOTFOUND);
    write_acl("user a", 6);
    cr_expect_eq(acl_file_grant(file_path, STR_LITERAL("a"), reads, none, &detail), ERR_INVALID,
                 "a cut file is not built upon");
    remove_acl();
}
