/* test/fuzz/fuzz_config.c -- a configuration file of any bytes: read or refused with a text, and
 * what was read is shown as YAML that reads back to the same. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/server/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int load(const void *text, size_t len, struct config **out, struct err_detail *detail)
{
    char program[] = "freehubd", path[64], *argv[] = {program, NULL};
    int fd = memfd_create("hub.yaml", MFD_CLOEXEC), rc;

    ASSERT(fd >= 0 && write(fd, text, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rc = config_load(out, path, 1, argv, detail);
    close(fd);
    return rc;
}

static char *shown(const struct config *config, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    ASSERT(out);
    config_show(config, out);
    ASSERT(fclose(out) == 0);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *first, *second;
    struct err_detail detail = {""};
    char *one, *two;
    size_t one_len, two_len;

    if (load(data, size, &first, &detail)) {
        ASSERT(detail.text[0] && !first);
        return 0;
    }
    one = shown(first, &one_len);
    ASSERT(load(one, one_len, &second, &detail) == 0);
    two = shown(second, &two_len);
    ASSERT(one_len == two_len && memcmp(one, two, one_len) == 0);
    config_free(first);
    config_free(second);
    free(one);
    free(two);
    return 0;
}
