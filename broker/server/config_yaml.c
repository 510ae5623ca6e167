/* The file is read with libyaml's document loader, which keeps line and column of every node, and
 * walked along the table of config.def. (libcyaml, on the same parser, knows no mappings with free
 * keys such as `listeners`, and gives no place for a value that is out of range.) */
#include "broker/server/config_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#include "broker/base/mem.h"
#include "broker/base/nearest.h"

struct reading {
    struct config *config;
    yaml_document_t document;
    const char *file;
    char *folder; /* of the file; what file names in it count from */
    struct err_detail *detail;
};

static void place_write(const struct reading *r, const yaml_mark_t *mark, char *out, size_t room)
{
    snprintf(out, room, "%s:%zu:%zu", r->file, mark->line + 1, mark->column + 1);
}

/* "FILE:LINE:COLUMN: text"; returns ERR_INVALID. */
PRINTF_LIKE(3, 4)
static int refuse(const struct reading *r, const yaml_node_t *node, const char *format, ...)
{
    char place[CONFIG_PLACE_MAX], text[ERR_DETAIL_MAX];
    va_list args;

    place_write(r, &node->start_mark, place, sizeof place);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(r->detail, ERR_INVALID, "%s: %s", place, text);
}

static struct str scalar(const yaml_node_t *node)
{
    return str_of_bytes(node->data.scalar.value, node->data.scalar.length);
}

static int shown_len(struct str text)
{
    return (int)(text.len > NEAREST_WORD_MAX ? NEAREST_WORD_MAX : text.len);
}

/* Nothing, "~" or "null" after the colon. */
static bool is_nothing(const yaml_node_t *node)
{
    struct str text;

    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = scalar(node);
    return text.len == 0 || str_equal(text, STR_LITERAL("~")) ||
           str_equal(text, STR_LITERAL("null"));
}

static const char *shape_of(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_SEQUENCE_NODE:
        return "a list";
    default:
        return "a single value";
    }
}

/* ---- mappings ---- */

/* What is done with one "key: value". Both nodes live until the document goes. */
typedef int entry_fn(struct reading *r, void *ctx, const yaml_node_t *key,
                     const yaml_node_t *value);

static bool key_seen_before(struct reading *r, const yaml_node_t *map, const yaml_node_pair_t *end)
{
    struct str name = scalar(yaml_document_get_node(&r->document, end->key));

    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < end; pair++)
        if (str_equal(name, scalar(yaml_document_get_node(&r->document, pair->key))))
            return true;
    return false;
}

/* Call `each` for every entry of the mapping; keys are texts and stand only once. An empty node is
 * an empty mapping, as after commenting everything out. */
static int mapping_each(struct reading *r, const yaml_node_t *map, const char *what, entry_fn *each,
                        void *ctx)
{
    int rc = 0;

    if (is_nothing(map))
        return 0;
    if (map->type != YAML_MAPPING_NODE)
        return refuse(r, map, "%s is %s; it must be a mapping of `key: value` lines", what,
                      shape_of(map));
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         pair < map->data.mapping.pairs.top && rc == 0; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);
        const yaml_node_t *value = yaml_document_get_node(&r->document, pair->value);

        if (key->type != YAML_SCALAR_NODE)
            return refuse(r, key, "%s has %s as a key; a key must be a single word", what,
                          shape_of(key));
        if (key_seen_before(r, map, pair))
            return refuse(r, key, "\"%.*s\" stands twice in %s; keep one", shown_len(scalar(key)),
                          scalar(key).at, what);
        rc = each(r, ctx, key, value);
    }
    return rc;
}

/* ---- keys ---- */

static int refuse_unknown(struct reading *r, const yaml_node_t *key, const char *where,
                          const struct config_group *group, const char *const *others,
                          size_t other_count)
{
    struct nearest near;
    char known[256] = "";
    size_t used = 0;

    nearest_init(&near, scalar(key));
    for (size_t i = 0; i < group->key_count + other_count; i++) {
        const char *name =
            i < group->key_count ? group->keys[i].name : others[i - group->key_count];

        nearest_offer(&near, name);
        if (used < sizeof known)
            used +=
                (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", name);
    }
    if (near.name)
        return refuse(r, key, "unknown key \"%.*s\" in %s: did you mean \"%s\"?",
                      shown_len(scalar(key)), scalar(key).at, where, near.name);
    return refuse(r, key, "unknown key \"%.*s\" in %s; known are %s", shown_len(scalar(key)),
                  scalar(key).at, where, known);
}

struct group_ctx {
    const struct config_group *group;
    void *base;
    const char *where; /* "limits", "listeners.mqtts" */
};

static int value_read(struct reading *r, const struct group_ctx *to, const struct config_key *key,
                      const yaml_node_t *value)
{
    char why[CONFIG_WHY_MAX];

    if (value->type != YAML_SCALAR_NODE)
        return refuse(r, value, "%s is %s; it must be a single value", key->name, shape_of(value));
    if (is_nothing(value))
        return refuse(r, value, "%s has no value; write one or leave the line out", key->name);
    if (config_key_set(key, to->base, scalar(value), r->folder, why))
        return refuse(r, value, "%s %s", key->name, why);
    return 0;
}

static int group_entry(struct reading *r, void *ctx, const yaml_node_t *key,
                       const yaml_node_t *value)
{
    const struct group_ctx *to = ctx;
    const struct config_key *known = config_key_find(to->group, scalar(key));

    if (!known)
        return refuse_unknown(r, key, to->where, to->group, NULL, 0);
    return value_read(r, to, known, value);
}

/* ---- listeners: a mapping with names for keys ---- */

static bool listener_name_valid(struct str name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", name.at[i]) || !name.at[i])
            return false;
    return name.len > 0 && name.len <= CONFIG_NAME_MAX;
}

static int listener_entry(struct reading *r, void *ctx, const yaml_node_t *key,
                          const yaml_node_t *value)
{
    char place[CONFIG_PLACE_MAX], where[CONFIG_NAME_MAX + 16];
    struct config_endpoint *endpoint;

    (void)ctx;
    if (!listener_name_valid(scalar(key)))
        return refuse(r, key, "\"%.*s\" is no name for a listener: at most %d of a-z, 0-9, - and _",
                      shown_len(scalar(key)), scalar(key).at, CONFIG_NAME_MAX);
    place_write(r, &key->start_mark, place, sizeof place);
    endpoint = config_listener_add(r->config, scalar(key), place);
    if (!endpoint)
        return refuse(r, key, "more than %d listeners", CONFIG_LISTENERS_MAX);
    snprintf(where, sizeof where, "listeners.%s", endpoint->name);
    return mapping_each(
        r, value, where, group_entry,
        &(struct group_ctx){&config_elements[CONFIG_ELEMENT_listener], &endpoint->settings, where});
}

static int listeners_read(struct reading *r, const yaml_node_t *value)
{
    config_listeners_clear(r->config);
    return mapping_each(r, value, "listeners", listener_entry, NULL);
}

/* ---- streams: a list, because the first match counts ---- */

static int streams_read(struct reading *r, const yaml_node_t *value)
{
    int rc = 0;

    config_streams_clear(r->config);
    if (is_nothing(value))
        return 0;
    if (value->type != YAML_SEQUENCE_NODE)
        return refuse(r, value, "streams is %s; it must be a list of `- topic: ...` entries",
                      shape_of(value));
    for (const yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top && rc == 0; item++) {
        const yaml_node_t *entry = yaml_document_get_node(&r->document, *item);
        char place[CONFIG_PLACE_MAX];
        struct config_stream *stream;

        place_write(r, &entry->start_mark, place, sizeof place);
        stream = config_stream_add(r->config, place);
        if (!stream)
            return refuse(r, entry, "more than %d streams", CONFIG_STREAMS_MAX);
        rc = mapping_each(r, entry, "an entry of streams", group_entry,
                          &(struct group_ctx){&config_elements[CONFIG_ELEMENT_stream], stream,
                                              "an entry of streams"});
    }
    return rc;
}

/* ---- the top level ---- */

static int top_entry(struct reading *r, void *ctx, const yaml_node_t *key, const yaml_node_t *value)
{
    static const char *const others[] = {
#define SECTION(name, meaning) #name,
#include "broker/server/config.def"
        "listeners",
        "streams",
    };
    const struct config_group *hub = &config_sections[CONFIG_SECTION_hub];
    const struct config_key *known = config_key_find(hub, scalar(key));
    char *config = (char *)r->config;

    (void)ctx;
    if (known)
        return value_read(r, &(struct group_ctx){hub, config + hub->offset, "the file"}, known,
                          value);
    if (str_equal(scalar(key), STR_LITERAL("listeners")))
        return listeners_read(r, value);
    if (str_equal(scalar(key), STR_LITERAL("streams")))
        return streams_read(r, value);
    for (size_t i = 0; i < CONFIG_SECTION_COUNT; i++) {
        const struct config_group *group = &config_sections[i];

        if (group != hub && str_equal(scalar(key), str_from(group->name)))
            return mapping_each(r, value, group->name, group_entry,
                                &(struct group_ctx){group, config + group->offset, group->name});
    }
    return refuse_unknown(r, key, "the file", hub, others + 1, ARRAY_LEN(others) - 1); /* not hub */
}

/* ---- the file ---- */

static int file_read(const char *file, char **out, size_t *len, struct err_detail *detail)
{
    FILE *in = fopen(file, "rb");
    char *text = NULL;
    int rc = 0;

    if (!in)
        return err_set(detail, err_from_errno(errno), "%s: %s", file, strerror(errno));
    text = mem_try(CONFIG_FILE_MAX_BYTES + 1);
    if (!text) {
        rc = err_set(detail, ERR_NOMEM, "%s: out of memory", file);
        goto out;
    }
    errno = 0;
    *len = fread(text, 1, CONFIG_FILE_MAX_BYTES + 1, in);
    if (ferror(in))
        rc = err_set(detail, err_from_errno(errno), "%s: %s", file, strerror(errno));
    else if (*len > CONFIG_FILE_MAX_BYTES)
        rc =
            err_set(detail, ERR_TOO_LARGE, "%s: larger than %d bytes", file, CONFIG_FILE_MAX_BYTES);
out:
    fclose(in);
    if (rc)
        mem_free(text);
    else
        *out = text;
    return rc;
}

static int refuse_syntax(const struct reading *r, const yaml_parser_t *parser, struct str text)
{
    size_t at = parser->problem_mark.index;
    bool tab = at < text.len && text.at[at] == '\t';
    char place[CONFIG_PLACE_MAX];

    if (parser->error == YAML_MEMORY_ERROR)
        return err_set(r->detail, ERR_NOMEM, "%s: out of memory", r->file);
    if (parser->error == YAML_READER_ERROR)
        return err_set(r->detail, ERR_INVALID, "%s: byte %zu: %s; the file must be UTF-8", r->file,
                       parser->problem_offset, parser->problem);
    place_write(r, &parser->problem_mark, place, sizeof place);
    return err_set(r->detail, ERR_INVALID, "%s: not YAML: %s%s%s%s", place, parser->problem,
                   parser->context ? " " : "", parser->context ? parser->context : "",
                   tab ? " (indent with spaces, not tabs)" : "");
}

static int document_read(struct reading *r, struct str text)
{
    const yaml_node_t *root;
    yaml_document_t next;
    yaml_parser_t parser;
    int rc = 0;

    if (!yaml_parser_initialize(&parser))
        return err_set(r->detail, ERR_NOMEM, "%s: out of memory", r->file);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.at, text.len);
    if (!yaml_parser_load(&parser, &r->document)) {
        rc = refuse_syntax(r, &parser, text);
        goto out;
    }
    root = yaml_document_get_root_node(&r->document);
    if (root)
        rc = mapping_each(r, root, "the file", top_entry, NULL);
    yaml_document_delete(&r->document);
    if (rc || !root)
        goto out;

    if (!yaml_parser_load(&parser, &next)) {
        rc = refuse_syntax(r, &parser, text);
        goto out;
    }
    root = yaml_document_get_root_node(&next);
    if (root)
        rc = refuse(r, root, "a second YAML document; the file must hold one");
    yaml_document_delete(&next);
out:
    yaml_parser_delete(&parser);
    return rc;
}

int config_yaml_read(struct config *config, const char *file, struct err_detail *detail)
{
    const char *slash = strrchr(file, '/');
    struct reading r = {.config = config, .file = file, .detail = detail};
    char *text = NULL;
    size_t len = 0;
    int rc = file_read(file, &text, &len, detail);

    if (rc)
        return rc;
    r.folder = slash ? mem_copy_text((struct str){file, (size_t)(slash - file)})
                     : mem_copy_text(STR_LITERAL("."));
    rc = document_read(&r, (struct str){text, len});
    mem_free(r.folder);
    mem_free(text);
    return rc;
}

/* The code point at the front of UTF-8 that is taken as sound, and its length; a byte that begins
 * nothing stands for itself. */
static size_t code_point(struct str text, uint32_t *out)
{
    const unsigned char *at = (const unsigned char *)text.at;
    size_t len = at[0] < 0xc0 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

    *out = at[0];
    if (len == 1 || len > text.len)
        return 1;
    *out &= 0x7fu >> len;
    for (size_t i = 1; i < len; i++)
        *out = *out << 6 | (at[i] & 0x3f);
    return len;
}

/* What YAML lets stand in a file as it is, line breaks and the byte order mark left out. */
static bool is_printable(uint32_t code)
{
    return (code >= 0x20 && code <= 0x7e) ||
           (code >= 0xa0 && code <= 0xd7ff && code != 0x2028 && code != 0x2029) ||
           (code >= 0xe000 && code <= 0xfffd && code != 0xfeff) || code >= 0x10000;
}

void config_yaml_quote(struct str text, FILE *out)
{
    putc('"', out);
    while (text.len > 0) {
        uint32_t code;
        size_t len = code_point(text, &code);

        if (code == '"' || code == '\\')
            fprintf(out, "\\%c", (char)code);
        else if (is_printable(code))
            fwrite(text.at, 1, len, out);
        else
            fprintf(out, "\\u%04x", code);
        text = (struct str){text.at + len, text.len - len};
    }
    putc('"', out);
}
