#include "broker/base/option.h"

#include "broker/base/nearest.h"

int option_refuse(const char *word, const struct argp_option *const *lists, size_t list_count,
                  const char *program, struct err_detail *detail)
{
    const struct argp_option *known = NULL;
    struct nearest near;
    struct str name = {word, strcspn(word, "=")};

    if (!str_has_prefix(name, STR_LITERAL("--")))
        return err_set(detail, ERR_INVALID,
                       "unknown option \"%s\", or one without its value; see %s --help", word,
                       program);
    name = (struct str){name.at + 2, name.len - 2};
    nearest_init(&near, name);
    for (size_t i = 0; i < list_count; i++) {
        for (const struct argp_option *o = lists[i]; o && (o->name || o->key || o->doc); o++) {
            if (!o->name)
                continue;
            nearest_offer(&near, o->name);
            if (str_equal(name, str_from(o->name)))
                known = o;
        }
    }
    if (known && known->arg)
        return err_set(detail, ERR_INVALID, "--%s needs a value: --%s %s", known->name, known->name,
                       known->arg);
    if (known)
        return err_set(detail, ERR_INVALID, "--%s takes no value", known->name);
    if (near.name)
        return err_set(detail, ERR_INVALID, "unknown option \"%s\": did you mean --%s?", word,
                       near.name);
    return err_set(detail, ERR_INVALID, "unknown option \"%s\"; see %s --help", word, program);
}
