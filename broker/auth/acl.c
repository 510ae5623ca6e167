/* The ACL file, line by line:
 *
 *     # a comment
 *     user dashboard
 *     topic read v1/b/#
 *     topic deny v1/b/secret/#
 *
 * 1. A rule belongs to the `user` above it; before the first one there is nobody to give rights to.
 * 2. Denials win over grants, in whatever order they stand.
 * 3. A file that does not end with a newline may have been cut, and a cut filter can grant more
 *    than was meant: it is refused whole, as is any line that is not understood. */
#include "broker/auth/acl.h"

#include "broker/base/buf.h"
#include "broker/base/mem.h"
#include "broker/codec/topic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACL_FILE_MAX_BYTES = 4 * 1024 * 1024, ACL_RULES_MAX = 100000, ACL_PATH_MAX = 4096 };

enum acl_access { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_DENY = 4 };

struct acl_rule {
    struct str user, filter; /* within `text` */
    uint8_t access;
};

struct acl {
    _Atomic uint32_t refs;
    char *text;
    struct acl_rule *rules;
    size_t rule_count;
};

/* ---- matching ---- */

/* Whether some name is matched by both filters. */
static bool filters_overlap(struct str a, struct str b)
{
    bool more_a = true, more_b = true;
    struct str level_a, level_b;

    for (;;) {
        bool have_a = topic_level_next(&a, &more_a, &level_a);
        bool have_b = topic_level_next(&b, &more_b, &level_b);

        if (have_a && str_equal(level_a, STR_LITERAL("#")))
            return true;
        if (have_b && str_equal(level_b, STR_LITERAL("#")))
            return true;
        if (!have_a || !have_b)
            return have_a == have_b;
        if (!str_equal(level_a, level_b) && !str_equal(level_a, STR_LITERAL("+")) &&
            !str_equal(level_b, STR_LITERAL("+")))
            return false;
    }
}

/* "v1/b/NAME/" in `out`. */
static struct str own_tree(const struct identity *who, char out[IDENTITY_NAME_MAX + 8])
{
    int len = snprintf(out, IDENTITY_NAME_MAX + 8, "v1/b/%s/", who->name);

    return (struct str){out, (size_t)len};
}

static bool bike_may_publish(const struct identity *who, struct str topic)
{
    char tree[IDENTITY_NAME_MAX + 8];
    struct str prefix = own_tree(who, tree);

    return topic.len > prefix.len && str_has_prefix(topic, prefix);
}

static bool bike_may_subscribe(const struct identity *who, struct str filter)
{
    char tree[IDENTITY_NAME_MAX + 9];
    struct str own = own_tree(who, tree);

    tree[own.len++] = '#';
    return topic_filter_covers(own, filter);
}

static bool is_of(const struct acl_rule *rule, const struct identity *who)
{
    return str_equal(rule->user, (struct str){who->name, who->name_len});
}

bool acl_may_publish(const struct acl *acl, const struct identity *who, struct str topic)
{
    bool granted = false;

    if (who->kind == IDENTITY_ANONYMOUS)
        return true;
    if (who->kind == IDENTITY_BIKE)
        return bike_may_publish(who, topic);
    for (size_t i = 0; i < acl->rule_count; i++) {
        const struct acl_rule *rule = &acl->rules[i];

        if (!is_of(rule, who) || !topic_matches(rule->filter, topic))
            continue;
        if (rule->access & ACCESS_DENY)
            return false;
        granted |= (rule->access & ACCESS_WRITE) != 0;
    }
    return granted;
}

bool acl_may_subscribe(const struct acl *acl, const struct identity *who, struct str filter)
{
    bool granted = false;

    if (who->kind == IDENTITY_ANONYMOUS)
        return true;
    if (who->kind == IDENTITY_BIKE)
        return bike_may_subscribe(who, filter);
    for (size_t i = 0; i < acl->rule_count; i++) {
        const struct acl_rule *rule = &acl->rules[i];

        if (!is_of(rule, who))
            continue;
        if ((rule->access & ACCESS_DENY) && filters_overlap(rule->filter, filter))
            return false;
        granted |= (rule->access & ACCESS_READ) && topic_filter_covers(rule->filter, filter);
    }
    return granted;
}

/* ---- reading the file ---- */

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct str trimmed(struct str text)
{
    while (text.len > 0 && is_blank(text.at[0]))
        text = (struct str){text.at + 1, text.len - 1};
    while (text.len > 0 && is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

/* The next line of `*rest`, trimmed; false at the end. Every line ends with a newline. */
static bool next_line(struct str *rest, struct str *line)
{
    const char *end = rest->len > 0 ? memchr(rest->at, '\n', rest->len) : NULL;

    if (!end)
        return false;
    *line = (struct str){rest->at, (size_t)(end - rest->at)};
    *rest = (struct str){end + 1, rest->len - line->len - 1};
    *line = trimmed(*line);
    return true;
}

/* The first word of `*line`, which is left with the rest. */
static struct str next_word(struct str *line)
{
    struct str word = {line->at, 0};

    while (word.len < line->len && !is_blank(line->at[word.len]))
        word.len++;
    *line = trimmed((struct str){line->at + word.len, line->len - word.len});
    return word;
}

/* The rights a word of a `topic` line names; 0: it names none. */
static uint8_t access_of(struct str word)
{
    static const struct {
        const char *word;
        uint8_t access;
    } words[] = {{"read", ACCESS_READ},
                 {"write", ACCESS_WRITE},
                 {"readwrite", ACCESS_READ | ACCESS_WRITE},
                 {"deny", ACCESS_DENY}};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_equal(word, str_from(words[i].word)))
            return words[i].access;
    }
    return 0;
}

static int add_rule(struct acl *acl, struct acl_rule rule)
{
    if (acl->rule_count == ACL_RULES_MAX)
        return ERR_FULL;
    if ((acl->rule_count & (acl->rule_count - 1)) == 0) { /* room doubles at powers of two */
        size_t room = acl->rule_count ? 2 * acl->rule_count : 1;
        struct acl_rule *grown = mem_try_resize(acl->rules, room * sizeof *grown);

        if (!grown)
            return ERR_NOMEM;
        acl->rules = grown;
    }
    acl->rules[acl->rule_count++] = rule;
    return 0;
}

/* A `topic` line, after that word. NULL, or what is wrong with it. */
static const char *parse_topic(struct acl *acl, struct str user, struct str line)
{
    struct str rest = line;
    uint8_t access = access_of(next_word(&rest));

    if (!access) /* mosquitto: without a right both are meant */
        access = ACCESS_READ | ACCESS_WRITE;
    else
        line = rest;
    if (!user.at)
        return "a topic before the first `user` line has nobody to give rights to";
    if (!topic_filter_valid(line))
        return "this is not a topic filter";
    if (add_rule(acl, (struct acl_rule){user, line, access}))
        return "too many rules";
    return NULL;
}

static int parse(struct acl *acl, struct str text, const char *file, struct err_detail *detail)
{
    struct str line, user = {NULL, 0};
    unsigned number = 0;

    if (text.len > 0 && text.at[text.len - 1] != '\n')
        return err_set(detail, ERR_INVALID,
                       "%s: the last line has no end, so the file may have been cut: add a newline",
                       file);
    while (next_line(&text, &line)) {
        const char *fault = NULL;
        struct str word;

        number++;
        if (line.len == 0 || line.at[0] == '#')
            continue;
        word = next_word(&line);
        if (str_equal(word, STR_LITERAL("user")) && identity_name_valid(line))
            user = line;
        else if (str_equal(word, STR_LITERAL("user")))
            fault = "this is not a name";
        else if (str_equal(word, STR_LITERAL("topic")))
            fault = parse_topic(acl, user, line);
        else if (str_equal(word, STR_LITERAL("pattern")))
            fault = "`pattern` is not supported: bikes have their own tree already";
        else
            fault = "a line begins with `user`, `topic` or #";
        if (fault)
            return err_set(detail, ERR_INVALID, "%s:%u: %s", file, number, fault);
    }
    return 0;
}

/* The whole file; NUL bytes are no part of an ACL. The caller frees `*out`. */
static int read_file(const char *file, char **out, size_t *out_len, struct err_detail *detail)
{
    struct stat info;
    size_t len = 0;
    char *text = NULL;
    int rc = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(detail, err_from_errno(errno), "%s: %s", file, strerror(errno));
    if (fstat(fd, &info) || !S_ISREG(info.st_mode))
        rc = err_set(detail, ERR_INVALID, "%s is not a file", file);
    else if (info.st_mode & (S_IWGRP | S_IWOTH))
        rc = err_set(detail, ERR_DENIED, "%s may be written by others: chmod go-w", file);
    else if (info.st_size > ACL_FILE_MAX_BYTES)
        rc = err_set(detail, ERR_TOO_LARGE, "%s is larger than 4 MiB", file);
    if (rc)
        goto out;
    text = mem_try((size_t)info.st_size + 1);
    if (!text) {
        rc = err_set(detail, ERR_NOMEM, "no memory for %s", file);
        goto out;
    }
    while (len < (size_t)info.st_size) {
        ssize_t got = read(fd, text + len, (size_t)info.st_size - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            rc = err_set(detail, ERR_IO, "%s cannot be read to its end", file);
            goto out;
        }
        len += (size_t)got;
    }
    *out = text;
    *out_len = len;
    text = NULL;
out:
    mem_free(text);
    close(fd);
    return rc;
}

int acl_load(struct acl **out, const char *file, struct err_detail *detail)
{
    struct acl *acl = MEM_NEW(struct acl);
    size_t len = 0;
    int rc = 0;

    atomic_init(&acl->refs, 1);
    if (file)
        rc = read_file(file, &acl->text, &len, detail);
    if (rc == 0 && file)
        rc = parse(acl, (struct str){acl->text, len}, file, detail);
    if (rc) {
        acl_unref(acl);
        return rc;
    }
    *out = acl;
    return 0;
}

void acl_ref(struct acl *acl)
{
    atomic_fetch_add_explicit(&acl->refs, 1, memory_order_relaxed);
}

void acl_unref(struct acl *acl)
{
    if (atomic_fetch_sub_explicit(&acl->refs, 1, memory_order_acq_rel) > 1)
        return;
    mem_free(acl->rules);
    mem_free(acl->text);
    mem_free(acl);
}

/* ---- writing the file ---- */

/* Copy all lines but those of the section of `user`. */
static void copy_without(struct buf *out, struct str text, struct str user)
{
    bool inside = false;

    while (text.len > 0) {
        struct str whole = text, line, words, word;

        if (!next_line(&text, &line))
            return;
        words = line;
        word = next_word(&words);
        if (str_equal(word, STR_LITERAL("user")))
            inside = str_equal(words, user);
        if (!inside)
            buf_add_str(out, (struct str){whole.at, whole.len - text.len});
    }
}

static int check_filters(const char *const *filters, struct err_detail *detail)
{
    for (; *filters; filters++) {
        if (!topic_filter_valid(str_from(*filters)))
            return err_set(detail, ERR_INVALID, "\"%s\" is not a topic filter", *filters);
    }
    return 0;
}

static int write_file(const char *file, struct str text, struct err_detail *detail)
{
    char beside[ACL_PATH_MAX];
    int fd, rc = 0;

    if (snprintf(beside, sizeof beside, "%s.new", file) >= (int)sizeof beside)
        return err_set(detail, ERR_TOO_LARGE, "the path of %s is too long", file);
    fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(detail, err_from_errno(errno), "%s: %s", beside, strerror(errno));
    if (write(fd, text.at, text.len) != (ssize_t)text.len || fsync(fd) != 0)
        rc = err_set(detail, err_from_errno(errno), "%s cannot be written: %s", beside,
                     strerror(errno));
    close(fd);
    if (rc == 0 && rename(beside, file) != 0)
        rc = err_set(detail, err_from_errno(errno), "%s cannot be replaced: %s", file,
                     strerror(errno));
    if (rc)
        unlink(beside);
    return rc;
}

int acl_file_grant(const char *file, struct str user, const char *const *read_filters,
                   const char *const *write_filters, struct err_detail *detail)
{
    struct buf text;
    char *old = NULL;
    size_t old_len = 0;
    int rc = 0;

    if (!identity_name_valid(user))
        return err_set(detail, ERR_INVALID, "\"%.*s\" is not a name", (int)user.len, user.at);
    rc = check_filters(read_filters, detail);
    if (rc == 0)
        rc = check_filters(write_filters, detail);
    if (rc == 0 && access(file, F_OK) == 0)
        rc = read_file(file, &old, &old_len, detail);
    if (rc == 0 && old_len > 0 && old[old_len - 1] != '\n')
        rc = err_set(detail, ERR_INVALID, "%s: the last line has no end: add a newline", file);
    if (rc) {
        mem_free(old);
        return rc;
    }
    buf_init(&text, 2 * (size_t)ACL_FILE_MAX_BYTES);
    copy_without(&text, (struct str){old, old_len}, user);
    buf_add_format(&text, "user %.*s\n", (int)user.len, user.at);
    for (; *read_filters; read_filters++)
        buf_add_format(&text, "topic read %s\n", *read_filters);
    for (; *write_filters; write_filters++)
        buf_add_format(&text, "topic write %s\n", *write_filters);
    rc = buf_err(&text) ? err_set(detail, ERR_TOO_LARGE, "%s would be too large", file)
                        : write_file(file, buf_str(&text), detail);
    buf_fini(&text);
    mem_free(old);
    return rc;
}
