/* proto_lock FILE: write the listing of the built-in messages to FILE, unless FILE has a line that
 * the listing lost. What once was there must stay; only additions are taken. */
#include <stdio.h>

#include "broker/payload/schema_listing.h"

enum { LISTING_MAX = 1024 * 1024 };

static void file_read(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    char bytes[4096];
    size_t len;

    if (!file)
        return; /* the first time */
    while ((len = fread(bytes, 1, sizeof bytes, file)) > 0)
        buf_add(out, bytes, len);
    fclose(file);
}

static int file_write(const char *path, struct str text)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return 1;
    fputs("# What bikes and logs rely on. Made by `cmake --build --preset debug --target "
          "proto_lock_update`;\n# README.md has the rules.\n",
          file);
    fwrite(text.at, 1, text.len, file);
    return fclose(file) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct buf listing, kept;
    struct str lost;
    int code = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: proto_lock FILE\n");
        return 2;
    }
    buf_init(&listing, LISTING_MAX);
    buf_init(&kept, LISTING_MAX);
    file_read(argv[1], &kept);
    if (schema_listing_embedded(&listing) || buf_err(&kept)) {
        fprintf(stderr, "proto_lock: the messages or %s cannot be read\n", argv[1]);
        goto out;
    }
    lost = schema_listing_lost(buf_str(&kept), buf_str(&listing));
    if (lost.len > 0) {
        fprintf(stderr, "proto_lock: a breaking change, this is no longer so: %.*s\n",
                (int)lost.len, lost.at);
        goto out;
    }
    code = file_write(argv[1], buf_str(&listing));
    if (code)
        fprintf(stderr, "proto_lock: %s cannot be written\n", argv[1]);
out:
    buf_fini(&kept);
    buf_fini(&listing);
    return code;
}
