#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/cli/cli.h"

static char folder[64];
static char *printed, *complained;

static void set_up(void)
{
    snprintf(folder, sizeof folder, "/tmp/freehub-cli-XXXXXX");
    cr_assert(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    unsetenv("FREEHUB_DATA");
}

static void tear_down(void)
{
    free(printed);
    free(complained);
    cr_assert_eq(chdir("/"), 0);
    rmdir(folder);
}

/* Run `words`, which end with NULL; what was printed is in `printed` and
 * `complained`. */
static int run(const char *const *words)
{
    char *argv[16] = {(char[]){"freehub"}};
    int argc = 1, code;
    size_t len;
    FILE *out, *err;

    free(printed);
    free(complained);
    out = open_memstream(&printed, &len);
    err = open_memstream(&complained, &len);
    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    code = cli_run(argc, argv, out, err);
    fclose(out);
    fclose(err);
    return code;
}

/* What is mistyped is answered with what was probably meant, and exit code 2.
 */
Test(cli, mistakes_are_usage_errors, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *words[6];
        const char *says;
    } rows[] = {
        {{"bieks"}, "freehub: unknown command \"bieks\": did you mean \"bikes\"?\n"},
        {{"frobnicate"}, "freehub: unknown command \"frobnicate\"; freehub --help lists all\n"},
        {{"bikes"}, "freehub: bikes what? One of add, list, show\n"},
        {{"bikes", "lst"}, "freehub: unknown verb \"bikes lst\": did you mean \"bikes list\"?\n"},
        {{"bikes", "destroy"},
         "freehub: unknown verb \"bikes destroy\"; bikes has add, list, show\n"},
        {{"--data", "x", "status"},
         "freehub: options follow the verb, as in: freehub bikes list --data\n"},
        {{"bikes", "add"}, "freehub bikes add: ID... is missing; see freehub bikes add --help\n"},
        {{"bikes", "show"}, "freehub bikes show: ID is missing; see freehub bikes show --help\n"},
        {{"bikes", "show", "a", "b"},
         "freehub bikes show: \"b\" is one argument too many; see freehub bikes "
         "show --help\n"},
        {{"status", "now"},
         "freehub status: \"now\" is one argument too many; see freehub status "
         "--help\n"},
        {{"status", "-o", "xml"},
         "freehub status: \"xml\" is no output format: table, json or csv\n"},
        {{"status", "--ouput", "json"},
         "freehub status: unknown option \"--ouput\": did you mean --output?\n"},
        {{"status", "--data"}, "freehub status: --data needs a value: --data DIR\n"},
        {{"status", "-x"},
         "freehub status: unknown option \"-x\", or one without its value; see "
         "freehub status "
         "--help\n"},
        {{"certs", "service", "app", "--read", "a/#/b"},
         "freehub certs service: \"a/#/b\" is not a valid topic filter\n"},
        {{"certs", "service", "app", "--rad", "a"},
         "freehub certs service: unknown option \"--rad\": did you mean "
         "--read?\n"},
        {{"export", "telemetry", "--from", "yesterday"},
         "freehub export telemetry: \"yesterday\" is no moment: write "
         "2026-11-24, "
         "2026-11-24T08:00:00Z, or 2h for two hours ago\n"},
        {{"export", "telemetry", "--from", "2026-01-02", "--to=2026-01-02"},
         "freehub export telemetry: --from is not before --to\n"},
        {{"export", "telemetry", "-o", "json"},
         "freehub export telemetry: telemetry comes as CSV\n"},
        {{"demo", "--seconds", "0"},
         "freehub demo: \"0\" is no number of seconds from 1 to 86400\n"},
        {{"demo", "--seconds=x"}, "freehub demo: \"x\" is no number of seconds from 1 to 86400\n"},
        {{"demo", "now"},
         "freehub demo: \"now\" is one argument too many; see freehub demo --help\n"},
        {{"quarantine", "show", "five"},
         "freehub quarantine show: \"five\" is not a sequence number\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_eq(run(rows[i].words), CLI_USAGE, "row %zu", i);
        cr_expect_str_eq(complained, rows[i].says);
        cr_expect_str_eq(printed, "");
    }
}

Test(cli, without_words_the_usage_is_shown, .init = set_up, .fini = tear_down)
{
    cr_expect_eq(run((const char *const[]){NULL}), CLI_USAGE);
    cr_expect(strstr(complained, "Usage: freehub NOUN"));
}

/* Every verb has help; it goes to standard output and is no failure. */
Test(cli, every_verb_has_help, .init = set_up, .fini = tear_down)
{
    size_t count;
    const struct command *commands = cli_commands(&count);

    cr_expect_eq(run((const char *const[]){"--help", NULL}), CLI_OK);
    for (size_t i = 0; i < count; i++) {
        cr_expect(strlen(commands[i].help) > 10, "%s", commands[i].noun);
        cr_expect(strstr(printed, commands[i].help), "%s", commands[i].help);
    }
    for (size_t i = 0; i < count; i++) {
        const char *words[] = {commands[i].noun, commands[i].verb ? commands[i].verb : "--help",
                               commands[i].verb ? "--help" : NULL, NULL};

        if (strcmp(commands[i].noun, "bench") == 0) /* reads its own command line */
            continue;
        cr_expect_eq(run(words), CLI_OK, "%s", commands[i].noun);
        cr_expect(strncmp(printed, "Usage: freehub ", 15) == 0, "%s", printed);
        cr_expect_str_eq(complained, "");
    }
}

Test(cli, version_is_printed, .init = set_up, .fini = tear_down)
{
    static const char *const words[] = {"version", "--version", "-V"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        cr_expect_eq(run((const char *const[]){words[i], NULL}), CLI_OK);
        cr_expect_str_eq(printed, "freehub " FREEHUB_VERSION "\n");
    }
}

/* 5 without a daemon, 3 without what was asked for. */
Test(cli, exit_codes_without_a_hub, .init = set_up, .fini = tear_down)
{
    static const struct {
        const char *words[6];
        int code;
        const char *says;
    } rows[] = {
        {{"status", "-d", "none"}, CLI_UNREACHABLE, "no freehubd runs here"},
        {{"status", "-d", "/none"}, CLI_UNREACHABLE, "/none/run/admin.sock"},
        {{"bikes", "show", "x", "-d", "none"}, CLI_NOT_FOUND, "none: No such file or directory"},
        {{"bikes", "list", "-d", "/none"}, CLI_NOT_FOUND, "/none: No such file or directory"},
        {{"certs", "list", "-d", "/none"}, CLI_NOT_FOUND, "has no keys yet"},
        {{"sim", "--rides", "/none"}, CLI_NOT_FOUND, "/none"},
        {{"export", "telemetry", "-d", "/none"}, CLI_NOT_FOUND, "/none: No such file"},
        {{"quarantine", "list", "-d", "/none"}, CLI_NOT_FOUND, "/none: No such file"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_eq(run(rows[i].words), rows[i].code, "row %zu: %s", i, complained);
        cr_expect(strstr(complained, rows[i].says), "%s", complained);
    }
}

static void keys_remove(void)
{
    static const char *const files[] = {"d/pki/bikes/b1.crt",
                                        "d/pki/bikes/b1.key",
                                        "d/pki/bikes",
                                        "d/pki/services/app.crt",
                                        "d/pki/services/app.key",
                                        "d/pki/services",
                                        "d/pki/ca-bundle.crt",
                                        "d/pki/ca.crt",
                                        "d/pki/ca.key",
                                        "d/pki/server.crt",
                                        "d/pki/server.key",
                                        "d/pki/lock",
                                        "d/pki/.lock",
                                        "d/pki",
                                        "d/acl",
                                        "d"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        remove(files[i]);
    tear_down();
}

/* Keys are made before the hub ever ran; a second time is refused and changes
 * nothing. */
Test(cli, keys_are_made_once, .init = set_up, .fini = keys_remove)
{
    static const char *const add[] = {"bikes", "add", "b1", "-d", "d", NULL};
    struct stat before, after;

    cr_expect_eq(run(add), CLI_OK, "%s", complained);
    cr_expect(strstr(printed, "d/pki/bikes/b1.key\n"), "%s", printed);
    cr_expect(strstr(printed, "mosquitto_pub -h localhost -p 8883 --cafile"), "%s", printed);
    cr_assert_eq(stat("d/pki/bikes/b1.crt", &before), 0);
    cr_expect_eq(run(add), CLI_REFUSED);
    cr_expect_str_eq(complained, "freehub bikes add: bike \"b1\" has a certificate already\n");
    cr_assert_eq(stat("d/pki/bikes/b1.crt", &after), 0);
    cr_expect_eq(before.st_ino, after.st_ino);

    cr_expect_eq(run((const char *const[]){"bikes", "list", "-d", "d", "-o", "json", NULL}),
                 CLI_OK);
    cr_expect(strstr(printed, "{\"bike\":\"b1\",\"certificate_until\":\"20"), "%s", printed);
    cr_expect_eq(run((const char *const[]){"bikes", "show", "b1", "-d", "d", NULL}), CLI_NOT_FOUND);
    cr_expect(strstr(complained, "d holds no store yet"), "%s", complained);
}

/* Rights are replaced, the certificate stays. */
Test(cli, services_have_rights, .init = set_up, .fini = keys_remove)
{
    char acl[256];
    FILE *in;

    cr_expect_eq(run((const char *const[]){"certs", "service", "app", "-d", "d", NULL}), CLI_OK);
    cr_expect(strstr(printed, "-t 'v1/b/#'"), "%s", printed);
    cr_expect_eq(run((const char *const[]){"certs", "service", "app", "--read", "a/+", "--write",
                                           "b/c", "-d", "d", NULL}),
                 CLI_OK, "%s", complained);
    cr_assert((in = fopen("d/acl", "r")));
    acl[fread(acl, 1, sizeof acl - 1, in)] = '\0';
    fclose(in);
    cr_expect(strstr(acl, "user app"), "%s", acl);
    cr_expect(strstr(acl, "topic read a/+"), "%s", acl);
    cr_expect(strstr(acl, "topic write b/c"), "%s", acl);
    cr_expect(strstr(acl, "v1/b/#") == NULL, "%s", acl);
    cr_expect_eq(run((const char *const[]){"certs", "list", "-d", "d", "-o", "csv", NULL}), CLI_OK);
    cr_expect(strstr(printed, "service,app,20"), "%s", printed);
    cr_expect(strstr(printed, "\r\nca,ca,20"), "%s", printed);
    cr_expect(strstr(printed, "ca-bundle") == NULL, "%s", printed);
}

Test(cli, data_folder_is_found, .init = set_up, .fini = tear_down)
{
    struct cli cli = {.data = NULL};

    cr_expect(strcmp(cli_data(&cli), "freehub-data") == 0 ||
              strcmp(cli_data(&cli), "/var/lib/freehub") == 0);
    mkdir("freehub-data", 0700);
    cr_expect_str_eq(cli_data(&cli), "freehub-data");
    setenv("FREEHUB_DATA", "elsewhere", 1);
    cr_expect_str_eq(cli_data(&cli), "elsewhere");
    cli.data = "said";
    cr_expect_str_eq(cli_data(&cli), "said");
    rmdir("freehub-data");
}
