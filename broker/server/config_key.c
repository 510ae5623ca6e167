#include "broker/server/config_priv.h"

#include <stdio.h>

#include "broker/base/mem.h"
#include "broker/base/quantity.h"

#define SECTION(name, meaning) static const struct config_key name##_keys[] = {
#define SECTION_END(name)                                                                          \
    }                                                                                              \
    ;
#define ELEMENT(name, meaning)  SECTION(name, meaning)
#define ELEMENT_END(name)       SECTION_END(name)
#define KEY(group, member, ...) {.offset = offsetof(struct config_##group, member), __VA_ARGS__},
#define RANGE(initial_, least_, most_, meaning_)                                                   \
    .initial = (initial_), .least = (least_), .most = (most_), .meaning = (meaning_)

#define SIZE(group, member, key, ...)                                                              \
    KEY(group, member, .name = (key), .kind = CONFIG_SIZE, RANGE(__VA_ARGS__))
#define DURATION(group, member, key, ...)                                                          \
    KEY(group, member, .name = (key), .kind = CONFIG_DURATION, RANGE(__VA_ARGS__))
#define COUNT(group, member, key, ...)                                                             \
    KEY(group, member, .name = (key), .kind = CONFIG_COUNT, RANGE(__VA_ARGS__))
#define FLAG(group, member, key, initial_, meaning_)                                               \
    KEY(group, member, .name = (key), .kind = CONFIG_FLAG, .initial = #initial_,                   \
        .meaning = (meaning_))
#define CHOICE(group, member, key, initial_, choices_, meaning_)                                   \
    KEY(group, member, .name = (key), .kind = CONFIG_CHOICE, .initial = (initial_),                \
        .choices = (choices_), .meaning = (meaning_))
#define TEXT(group, member, key, initial_, meaning_)                                               \
    KEY(group, member, .name = (key), .kind = CONFIG_TEXT, .initial = (initial_),                  \
        .meaning = (meaning_))
#define FILENAME(group, member, key, initial_, meaning_)                                           \
    KEY(group, member, .name = (key), .kind = CONFIG_FILENAME, .initial = (initial_),              \
        .meaning = (meaning_))
#include "broker/server/config.def"

#define GROUP(name_, meaning_, offset_)                                                            \
    {                                                                                              \
        .name = #name_, .meaning = (meaning_), .keys = name_##_keys,                               \
        .key_count = ARRAY_LEN(name_##_keys), .offset = (offset_)                                  \
    }

#define SECTION(name, meaning) GROUP(name, meaning, offsetof(struct config, name)),
const struct config_group config_sections[CONFIG_SECTION_COUNT] = {
#include "broker/server/config.def"
};

#define ELEMENT(name, meaning) GROUP(name, meaning, 0),
const struct config_group config_elements[CONFIG_ELEMENT_COUNT] = {
#include "broker/server/config.def"
};

const struct config_key *config_key_find(const struct config_group *group, struct str name)
{
    for (size_t i = 0; i < group->key_count; i++)
        if (str_equal(name, str_from(group->keys[i].name)))
            return &group->keys[i];
    return NULL;
}

static void *member_of(const struct config_key *key, void *base)
{
    return (char *)base + key->offset;
}

static const void *member_of_const(const struct config_key *key, const void *base)
{
    return (const char *)base + key->offset;
}

void config_group_init(const struct config_group *group, void *base)
{
    char why[CONFIG_WHY_MAX];

    for (size_t i = 0; i < group->key_count; i++) {
        const struct config_key *key = &group->keys[i];

        if (key->initial)
            ASSERT(config_key_set(key, base, str_from(key->initial), NULL, why) == 0);
    }
}

void config_group_fini(const struct config_group *group, void *base)
{
    for (size_t i = 0; i < group->key_count; i++) {
        char **text = member_of(&group->keys[i], base);

        if (group->keys[i].kind != CONFIG_TEXT && group->keys[i].kind != CONFIG_FILENAME)
            continue;
        mem_free(*text);
        *text = NULL;
    }
}

/* ---- values ---- */

typedef int number_parse_fn(struct str text, uint64_t *out);

static const struct {
    const char *noun; /* what a value of this kind is called */
    const char *form; /* how to write one */
    number_parse_fn *parse;
} kinds[] = {
    [CONFIG_SIZE] = {"a size", "a whole number and B, KiB, MiB, GiB or TiB, such as 64MiB",
                     size_parse},
    [CONFIG_DURATION] = {"a duration", "a whole number and ms, s, min, h or d, such as 30s",
                         duration_parse},
    [CONFIG_COUNT] = {"a number", "a whole number without a sign, such as 100", count_parse},
    [CONFIG_FLAG] = {"a yes or no", "true or false", NULL},
    [CONFIG_CHOICE] = {"one of the choices", NULL, NULL},
    [CONFIG_TEXT] = {"a text", NULL, NULL},
    [CONFIG_FILENAME] = {"a file name", NULL, NULL},
};

/* Long values are cut where they are quoted back to the person. */
static int shown_len(struct str text)
{
    return (int)(text.len > 48 ? 48 : text.len);
}

static int number_set(const struct config_key *key, uint64_t *member, struct str text, char *why)
{
    number_parse_fn *parse = kinds[key->kind].parse;
    uint64_t value, least, most;

    ASSERT(parse(str_from(key->least), &least) == 0 && parse(str_from(key->most), &most) == 0);
    if (parse(text, &value)) {
        snprintf(why, CONFIG_WHY_MAX, "is \"%.*s\", not %s: write %s", shown_len(text), text.at,
                 kinds[key->kind].noun, kinds[key->kind].form);
        return ERR_INVALID;
    }
    if (value < least || value > most) {
        snprintf(why, CONFIG_WHY_MAX, "is %.*s, out of range: %s to %s is allowed", shown_len(text),
                 text.at, key->least, key->most);
        return ERR_INVALID;
    }
    *member = value;
    return 0;
}

static int flag_set(bool *member, struct str text, char *why)
{
    *member = str_equal(text, STR_LITERAL("true"));
    if (*member || str_equal(text, STR_LITERAL("false")))
        return 0;
    snprintf(why, CONFIG_WHY_MAX, "is \"%.*s\": write true or false", shown_len(text), text.at);
    return ERR_INVALID;
}

/* The length of the choice at the front of "a|b|c". */
static size_t choice_len(const char *choices)
{
    return strcspn(choices, "|");
}

static int choice_set(const struct config_key *key, int *member, struct str text, char *why)
{
    int place = 0;

    for (const char *at = key->choices; *at; place++) {
        size_t len = choice_len(at);

        if (str_equal(text, (struct str){at, len})) {
            *member = place;
            return 0;
        }
        at += len + (at[len] == '|');
    }
    snprintf(why, CONFIG_WHY_MAX, "is \"%.*s\": allowed is %s", shown_len(text), text.at,
             key->choices);
    return ERR_INVALID;
}

static int text_set(char **member, struct str text, const char *folder, char *why)
{
    if (text.len == 0 || memchr(text.at, 0, text.len)) {
        snprintf(why, CONFIG_WHY_MAX, text.len == 0 ? "is empty" : "holds a NUL character");
        return ERR_INVALID;
    }
    mem_free(*member);
    if (!folder || text.at[0] == '/') {
        *member = mem_copy_text(text);
        return 0;
    }
    size_t room = strlen(folder) + 1 + text.len + 1;
    *member = mem_new(room);
    snprintf(*member, room, "%s/%.*s", folder, (int)text.len, text.at);
    return 0;
}

int config_key_set(const struct config_key *key, void *base, struct str text, const char *folder,
                   char why[CONFIG_WHY_MAX])
{
    switch (key->kind) {
    case CONFIG_SIZE:
    case CONFIG_DURATION:
    case CONFIG_COUNT:
        return number_set(key, member_of(key, base), text, why);
    case CONFIG_FLAG:
        return flag_set(member_of(key, base), text, why);
    case CONFIG_CHOICE:
        return choice_set(key, member_of(key, base), text, why);
    case CONFIG_TEXT:
        return text_set(member_of(key, base), text, NULL, why);
    case CONFIG_FILENAME:
        return text_set(member_of(key, base), text, folder, why);
    }
    return ERR_INVALID;
}

bool config_key_show(const struct config_key *key, const void *base, FILE *out)
{
    const void *member = member_of_const(key, base);
    char number[QUANTITY_MAX];
    const char *choice = key->choices;

    switch (key->kind) {
    case CONFIG_SIZE:
        size_format(number, *(const uint64_t *)member);
        fputs(number, out);
        return true;
    case CONFIG_DURATION:
        duration_format(number, *(const uint64_t *)member);
        fputs(number, out);
        return true;
    case CONFIG_COUNT:
        fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)member);
        return true;
    case CONFIG_FLAG:
        fputs(*(const bool *)member ? "true" : "false", out);
        return true;
    case CONFIG_CHOICE:
        for (int place = *(const int *)member; place > 0; place--)
            choice += choice_len(choice) + 1;
        fprintf(out, "%.*s", (int)choice_len(choice), choice);
        return true;
    case CONFIG_TEXT:
    case CONFIG_FILENAME:
        if (!*(char *const *)member)
            return false;
        config_yaml_quote(str_from(*(char *const *)member), out);
        return true;
    }
    return false;
}
