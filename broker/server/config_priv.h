/* broker/server/config_priv.h -- what config.c, config_key.c, config_yaml.c and config_args.c tell
 * each other: the table of config.def as data, and how one value is set. */
#ifndef FREEHUB_BROKER_SERVER_CONFIG_PRIV_H
#define FREEHUB_BROKER_SERVER_CONFIG_PRIV_H

#include "broker/server/config.h"

enum config_kind {
    CONFIG_SIZE,
    CONFIG_DURATION,
    CONFIG_COUNT,
    CONFIG_FLAG,
    CONFIG_CHOICE,
    CONFIG_TEXT,
    CONFIG_FILENAME,
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;       /* of the member in its section's or element's struct */
    const char *initial; /* as text; NULL: none */
    const char *least, *most;
    const char *choices; /* "a|b|c" */
    const char *meaning;
};

/* A section of the file or the shape of a list's entry. */
struct config_group {
    const char *name;
    const char *meaning;
    const struct config_key *keys;
    size_t key_count;
    size_t offset; /* of the section in struct config; unused for elements */
};

/* In the order of config.def. */
enum config_section {
#define SECTION(name, meaning) CONFIG_SECTION_##name,
#include "broker/server/config.def"
    CONFIG_SECTION_COUNT,
};
enum config_element {
#define ELEMENT(name, meaning) CONFIG_ELEMENT_##name,
#include "broker/server/config.def"
    CONFIG_ELEMENT_COUNT,
};
extern const struct config_group config_sections[CONFIG_SECTION_COUNT];
extern const struct config_group config_elements[CONFIG_ELEMENT_COUNT];

/* The key of this name, or NULL. */
const struct config_key *config_key_find(const struct config_group *group, struct str name);

/* Set every member of the group's struct at `base` to its default. */
void config_group_init(const struct config_group *group, void *base);
void config_group_fini(const struct config_group *group, void *base);

enum { CONFIG_WHY_MAX = 200 };

/* Set one member from its text. ERR_INVALID: `why` completes "KEY ...", such as
 * "is \"5 apples\", not a duration: ...". `folder` (may be NULL) is what file names count from. */
CHECKED int config_key_set(const struct config_key *key, void *base, struct str text,
                           const char *folder, char why[CONFIG_WHY_MAX]);

/* Write the member as YAML that config_key_set() takes back; false when it has no value. */
bool config_key_show(const struct config_key *key, const void *base, FILE *out);

/* Write a text as a YAML scalar in double quotes. */
void config_yaml_quote(struct str text, FILE *out);

/* Read the file into `config`, which holds the defaults. ERR_ codes with `detail`. */
CHECKED int config_yaml_read(struct config *config, const char *file, struct err_detail *detail);

/* Append an entry with its defaults, NULL when there are CONFIG_..._MAX. `place` is where it was
 * written. Clearing takes away the defaults or what the file says. */
struct config_endpoint *config_listener_add(struct config *config, struct str name,
                                            const char *place);
struct config_stream *config_stream_add(struct config *config, const char *place);
void config_listeners_clear(struct config *config);
void config_streams_clear(struct config *config);

/* What the command line says beyond the file. Text borrows from argv. */
struct config_args {
    const char *file, *data;
    const char *listen[CONFIG_LISTENERS_MAX];
    size_t listen_count;
    bool allow_anonymous;
    enum config_action action;
    struct err_detail *detail; /* while parsing only, as is `refused` */
    const char *refused;
};
CHECKED int config_args_parse(struct config_args *args, int argc, char **argv,
                              struct err_detail *detail);

#endif
