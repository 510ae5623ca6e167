#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "broker/cli/cli.h"

/* Run `freehub sim` with these words; what it said goes to `said`. */
static int sim(char *const *words, char *said, size_t room)
{
    char freehub[] = "freehub", verb[] = "sim";
    char *argv[16] = {freehub, verb};
    FILE *err = fmemopen(said, room, "w"), *out = fopen("/dev/null", "w");
    int argc = 2, code;

    while (*words && argc < 15)
        argv[argc++] = *words++;
    code = cli_run(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}

Test(sim_verb, what_cannot_be_meant_is_a_mistake_of_usage)
{
    static const struct {
        const char *option, *value;
    } rows[] = {
        {"--url", "http://localhost:1"},
        {"--url", "mqtts://"},
        {"--url", "mqtts://host:0"},
        {"--url", "mqtts://host:65536"},
        {"--port", "0"},
        {"--port", "x"},
        {"--speed", "-1"},
        {"--speed", "fast"},
        {"--speed", "nan"},
        {"--batch-samples", "0"},
        {"--batch-samples", "121"},
        {"--window", "65"},
        {"--minutes", "0"},
        {"--boot", "4294967296"},
        {"--boot", "-1"},
        {"--seed", "18446744073709551616"},
        {"--protocol", "3"},
        {"--version", "6"},
        {"--bikes", ""},
        {"--bikes", "a+b"},
        {"--bikes", "good,,good"},
        {"--prefix", "a/b"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char option[32], value[64], said[1024] = "";
        char *words[] = {option, value, NULL};

        snprintf(option, sizeof option, "%s", rows[i].option);
        snprintf(value, sizeof value, "%s", rows[i].value);
        cr_expect_eq(sim(words, said, sizeof said), CLI_USAGE, "%s \"%s\"", option, value);
        cr_expect(said[0] != '\0', "%s \"%s\" says why", option, value);
    }
}

Test(sim_verb, a_folder_without_rides_is_named)
{
    char option[] = "--rides", folder[] = "/nonexistent/rides", said[1024] = "";
    char *words[] = {option, folder, NULL};

    cr_expect_eq(sim(words, said, sizeof said), CLI_NOT_FOUND);
    cr_expect(strstr(said, folder), "%s", said);
}

/* Port 1 of loopback: nobody listens there, and TLS is not reached. */
Test(sim_verb, a_hub_that_is_not_there_is_unreachable)
{
    char url[] = "--url=mqtt://127.0.0.1:1", bikes[] = "--bikes=lonely", minutes[] = "--minutes=1";
    char said[1024] = "";
    char *words[] = {url, bikes, minutes, NULL};

    cr_expect_eq(sim(words, said, sizeof said), CLI_UNREACHABLE);
}
