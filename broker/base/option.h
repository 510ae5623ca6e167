/* broker/base/option.h -- what to say about an option that argp did not take: which value is
 * missing, or which known option was probably meant. */
#ifndef FREEHUB_BROKER_BASE_OPTION_H
#define FREEHUB_BROKER_BASE_OPTION_H

#include <argp.h>

#include "broker/base/base.h"
#include "broker/base/err.h"

/* `word` is the argument as typed; `lists` are `list_count` argp option arrays, each ended as argp
 * wants it, and may be NULL; `program` is named for its --help. Returns ERR_INVALID with the
 * sentence in `detail`. Any thread. */
int option_refuse(const char *word, const struct argp_option *const *lists, size_t list_count,
                  const char *program, struct err_detail *detail);

#endif
