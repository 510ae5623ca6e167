/* broker/server/config.h -- what the operator asked for: one YAML file in which every key is
 * optional, and the command line, which wins. All settings are listed in config.def.
 *
 * A mistake never passes: an unknown key is refused with its line, column and the nearest known
 * name; a value of the wrong type or out of range with its place and what would be allowed. */
#ifndef FREEHUB_BROKER_SERVER_CONFIG_H
#define FREEHUB_BROKER_SERVER_CONFIG_H

#include <stdio.h>

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/net/listener.h"

struct schema_set;
struct store_options;

/* What the command line asks the program to do. */
enum config_action {
    CONFIG_RUN,
    CONFIG_CHECK,   /* --check: is the configuration sound? */
    CONFIG_SHOW,    /* --show-config: every setting as it would be used, as YAML */
    CONFIG_KEYS,    /* --keys: every setting with default, bounds and meaning */
    CONFIG_HELP,    /* --help */
    CONFIG_VERSION, /* --version */
};

enum {
    CONFIG_LISTENERS_MAX = 16,
    CONFIG_STREAMS_MAX = 64,
    CONFIG_NAME_MAX = 32, /* bytes of a listener's name */
    CONFIG_PLACE_MAX = 256,
    CONFIG_ARGS_MAX = 64,
    CONFIG_FILE_MAX_BYTES = 1 << 20,
};

/* struct config_hub, config_limits, config_log, config_store; struct config_listener and
 * config_stream. Sizes in bytes, durations in ms, as the member's name says. Entries remember where
 * they were written ("hub.yaml:12:3", "--listen", "default"), for later errors about them. */
#define SECTION(name, meaning) struct config_##name {
#define SECTION_END(name)                                                                          \
    }                                                                                              \
    ;
#define ELEMENT(name, meaning) struct config_##name {
#define ELEMENT_END(name)                                                                          \
    char place[CONFIG_PLACE_MAX];                                                                  \
    }                                                                                              \
    ;
#define SIZE(group, member, key, initial, least, most, meaning)     uint64_t member;
#define DURATION(group, member, key, initial, least, most, meaning) uint64_t member;
#define COUNT(group, member, key, initial, least, most, meaning)    uint64_t member;
#define FLAG(group, member, key, initial, meaning)                  bool member;
#define CHOICE(group, member, key, initial, choices, meaning)       int member;
#define TEXT(group, member, key, initial, meaning)                  char *member;
#define FILENAME(group, member, key, initial, meaning)              char *member;
#include "broker/server/config.def"

/* A place to listen on. After config_load() certificate, key and client_ca are set for mqtts. */
struct config_endpoint {
    char name[CONFIG_NAME_MAX + 1];
    struct listener_address address; /* settings.url, parsed */
    struct config_listener settings;
};

/* Immutable once loaded; owns all its text. */
struct config {
#define SECTION(name, meaning) struct config_##name name;
#include "broker/server/config.def"
    struct config_endpoint listeners[CONFIG_LISTENERS_MAX];
    size_t listener_count;
    struct config_stream streams[CONFIG_STREAMS_MAX];
    size_t stream_count;
    enum config_action action;
    char *file; /* NULL: none was given */
};

/* Read the command line, then the file it names (or `file`, which may be NULL), then check what
 * belongs together. `argv` is not changed. For CONFIG_HELP and CONFIG_VERSION nothing is read.
 * ERR_INVALID for what a person must mend, and codes of reading the file, with `detail`; `*out` is
 * then NULL, else the caller's. Main thread. */
CHECKED int config_load(struct config **out, const char *file, int argc, char **argv,
                        struct err_detail *detail);
void config_free(struct config *config); /* NULL is allowed */

/* Do what is asked for instead of running (all actions but CONFIG_RUN) and say so: the program then
 * exits with `*exit_code`. CONFIG_CHECK compiles the streams too. Main thread. */
bool config_answered(const struct config *config, FILE *out, FILE *err, int *exit_code);

/* Every setting as it is used, as YAML that loads to the same; every setting with its default,
 * bounds and meaning; the text of --help. Main thread. */
void config_show(const struct config *config, FILE *out);
void config_keys(FILE *out);
void config_help(FILE *out);

/* Fill what the configuration says about the store; `folder` borrows from `config`. The caller adds
 * schemas and callbacks. Main thread. */
void config_store_options(const struct config *config, struct store_options *out);

#endif
