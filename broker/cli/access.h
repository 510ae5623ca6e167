/* broker/cli/access.h -- what verbs need before they can work on a data folder: the store opened
 * read-only, beside a running daemon or without one, and the folder with its keys. */
#ifndef FREEHUB_BROKER_CLI_ACCESS_H
#define FREEHUB_BROKER_CLI_ACCESS_H

#include "broker/cli/cli.h"
#include "broker/payload/schema.h"
#include "storage/store.h"

struct access_store {
    struct schema_set *schemas;
    struct store *store;
};

/* Open the store of cli_data(). ERR_NOTFOUND when there is none yet. Ended by access_store_close(),
 * also after a failure. */
CHECKED int access_store_open(struct cli *cli, struct access_store *out, struct err_detail *detail);
void access_store_close(struct access_store *a);

/* What identity_name_valid() wants, for messages. */
#define ACCESS_NAME_RULE "1 to 64 bytes of UTF-8 without spaces, control characters and + # / $ \\"

/* Make the data folder (mode 0700) and the development CA in its pki/ when missing. The caller
 * frees
 * `*out_pki`, the path of pki/. */
CHECKED int access_pki_open(struct cli *cli, char **out_pki, struct err_detail *detail);

/* Whether the data folder has a pki/ already; the caller frees `*out_pki` when it does. */
bool access_pki_exists(struct cli *cli, char **out_pki);

/* Host and port a client on this machine reaches the mqtts listener at: what a running daemon says,
 * else localhost 8883. */
struct access_address {
    char host[64];
    unsigned port;
};
void access_address_find(struct cli *cli, struct access_address *out);

#endif
