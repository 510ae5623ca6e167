#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "broker/base/chrono.h"
#include "broker/base/mem.h"
#include "broker/base/quantity.h"
#include "broker/cli/access.h"
#include "broker/cli/verbs.h"

/* ---- list ---- */

struct listing {
    struct output *list;
    int rc;
};

static bool on_listed(void *ctx, const struct store_quarantined *entry)
{
    struct listing *listing = ctx;
    char sequence[24], bytes[24], time[CHRONO_ISO_MAX];
    char *topic = mem_copy_text(entry->topic), *reason = mem_copy_text(entry->reason);

    snprintf(sequence, sizeof sequence, "%llu", (unsigned long long)entry->sequence);
    snprintf(bytes, sizeof bytes, "%zu", entry->payload.len);
    chrono_iso_format(time, entry->recv_ms);
    listing->rc =
        output_row(listing->list, (const char *const[]){sequence, time, topic, bytes, reason});
    mem_free(topic);
    mem_free(reason);
    return listing->rc == 0;
}

int verb_quarantine_list(struct cli *cli, int argc, char **argv)
{
    static const struct output_column columns[] = {{"sequence", OUTPUT_NUMBER},
                                                   {"received", OUTPUT_TEXT},
                                                   {"topic", OUTPUT_TEXT},
                                                   {"bytes", OUTPUT_NUMBER},
                                                   {"reason", OUTPUT_TEXT}};
    struct listing listing = {NULL, 0};
    struct access_store opened;
    struct err_detail detail = {""};
    struct cli_words none;
    int code, rc, end;

    if (!cli_parse_words(cli, &none, 0, 0, argc, argv, &code))
        return code;
    rc = access_store_open(cli, &opened, &detail);
    if (rc == 0)
        rc = output_begin(&listing.list, cli->out, cli->format, columns, ARRAY_LEN(columns));
    if (rc == 0)
        rc = store_quarantine_each(opened.store, on_listed, &listing);
    end = listing.list ? output_end(listing.list) : 0;
    rc = rc ? rc : listing.rc ? listing.rc : end;
    access_store_close(&opened);
    return rc ? cli_fail_err(cli, rc, &detail) : CLI_OK;
}

/* ---- show ---- */

struct showing {
    struct cli_words sequence;
    bool raw;
    struct cli *cli;
    uint64_t wanted;
    bool found;
};

static const struct argp_option show_options[] = {
    {"raw", 'R', NULL, 0, "Write the payload's bytes and nothing else", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

static error_t on_show_option(int key, char *value, struct argp_state *state)
{
    struct showing *showing = state->input;

    if (key != 'R')
        return cli_words_take(&showing->sequence, key, value);
    showing->raw = true;
    return 0;
}

/* "00000010  68 65 6c 6c 6f ...  |hello|", 16 bytes a line. */
static void hex_print(FILE *out, struct str bytes)
{
    for (size_t at = 0; at < bytes.len; at += 16) {
        fprintf(out, "%08zx ", at);
        for (size_t i = at; i < at + 16; i++) {
            if (i < bytes.len)
                fprintf(out, "%s%02x", i == at + 8 ? "  " : " ", (unsigned char)bytes.at[i]);
            else
                fputs(i == at + 8 ? "    " : "   ", out);
        }
        fputs("  |", out);
        for (size_t i = at; i < at + 16 && i < bytes.len; i++)
            putc(isprint((unsigned char)bytes.at[i]) ? bytes.at[i] : '.', out);
        fputs("|\n", out);
    }
}

static char *hex_text(struct str bytes)
{
    char *text = mem_try(bytes.len * 2 + 1);

    if (!text)
        return NULL;
    for (size_t i = 0; i < bytes.len; i++)
        snprintf(text + 2 * i, 3, "%02x", (unsigned char)bytes.at[i]);
    text[bytes.len * 2] = '\0';
    return text;
}

static int entry_row(struct cli *cli, const struct store_quarantined *entry)
{
    static const struct output_column columns[] = {{"sequence", OUTPUT_NUMBER},
                                                   {"received", OUTPUT_TEXT},
                                                   {"topic", OUTPUT_TEXT},
                                                   {"reason", OUTPUT_TEXT},
                                                   {"payload_hex", OUTPUT_TEXT}};
    char sequence[24], time[CHRONO_ISO_MAX];
    char *topic = mem_copy_text(entry->topic), *reason = mem_copy_text(entry->reason);
    char *payload = hex_text(entry->payload);
    struct output *list;
    int rc, end = 0;

    snprintf(sequence, sizeof sequence, "%llu", (unsigned long long)entry->sequence);
    chrono_iso_format(time, entry->recv_ms);
    rc = output_begin(&list, cli->out, cli->format, columns, ARRAY_LEN(columns));
    if (rc == 0) {
        rc = output_row(list, (const char *const[]){sequence, time, topic, reason, payload});
        end = output_end(list);
    }
    mem_free(payload);
    mem_free(reason);
    mem_free(topic);
    return rc ? rc : end;
}

static bool on_shown(void *ctx, const struct store_quarantined *entry)
{
    struct showing *showing = ctx;
    FILE *out = showing->cli->out;
    char time[CHRONO_ISO_MAX];

    if (entry->sequence != showing->wanted)
        return true;
    showing->found = true;
    if (showing->raw) {
        fwrite(entry->payload.at, 1, entry->payload.len, out);
    } else if (showing->cli->format != OUTPUT_TABLE) {
        int rc = entry_row(showing->cli, entry);

        if (rc)
            cli_fail_err(showing->cli, rc, NULL);
    } else {
        chrono_iso_format(time, entry->recv_ms);
        fprintf(out,
                "sequence  %llu\nreceived  %s\ntopic     %.*s\nreason    %.*s\n"
                "payload   %zu bytes\n",
                (unsigned long long)entry->sequence, time, (int)entry->topic.len, entry->topic.at,
                (int)entry->reason.len, entry->reason.at, entry->payload.len);
        hex_print(out, entry->payload);
    }
    return false;
}

int verb_quarantine_show(struct cli *cli, int argc, char **argv)
{
    static const struct argp parser = {.options = show_options, .parser = on_show_option};
    struct showing showing = {.sequence = {.cli = cli, .least = 1, .most = 1}, .cli = cli};
    struct access_store opened;
    struct err_detail detail = {""};
    int code, rc;

    if (!cli_parse(cli, &parser, &showing, argc, argv, &code))
        return code;
    if (count_parse(str_from(showing.sequence.at[0]), &showing.wanted))
        return cli_fail(cli, CLI_USAGE, "\"%s\" is not a sequence number", showing.sequence.at[0]);
    rc = access_store_open(cli, &opened, &detail);
    if (rc == 0)
        rc = store_quarantine_each(opened.store, on_shown, &showing);
    if (rc)
        code = cli_fail_err(cli, rc, &detail);
    else if (!showing.found)
        code = cli_fail(cli, CLI_NOT_FOUND, "nothing with sequence %llu is in quarantine",
                        (unsigned long long)showing.wanted);
    else
        code = cli->failed ? CLI_FAILED : CLI_OK;
    access_store_close(&opened);
    return code;
}
