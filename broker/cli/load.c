/* `freehub bench`: what it is asked for, and the figures as text or JSON. The work is in
 * load_traffic.c and load_idle.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "broker/base/json_out.h"
#include "broker/base/mem.h"
#include "broker/cli/load_priv.h"
#include "broker/cli/verbs.h"
#include "broker/codec/topic.h"

enum { JSON_MAX = 64 * 1024, FILTER_MAX = 256 };

enum {
    OPTION_HOST = 0x200,
    OPTION_ANYWHERE,
    OPTION_PROTOCOL,
    OPTION_PUBLISHERS,
    OPTION_SUBSCRIBERS,
    OPTION_QOS,
    OPTION_WINDOW,
    OPTION_RATE,
    OPTION_SECONDS,
    OPTION_WARMUP,
    OPTION_MESSAGES,
    OPTION_PAYLOAD,
    OPTION_TOPIC,
    OPTION_FILTER,
    OPTION_VERIFY,
    OPTION_PID,
    OPTION_IDLE,
    OPTION_HOLD,
    OPTION_TLS,
    OPTION_PKI,
    OPTION_IDENTITY,
    OPTION_JSON,
};

#define TOPIC_DEFAULT "v1/b/bench-{i}/tel"

static const struct argp_option options[] = {
    {"host", OPTION_HOST, "ADDRESS", 0, "IPv4 address of the broker; default 127.0.0.1", 0},
    {"port", 'p', "PORT", 0, "Its port", 0},
    {"anywhere", OPTION_ANYWHERE, NULL, 0, "Allow an address that is not of this machine", 0},
    {"protocol", OPTION_PROTOCOL, "4|5", 0, "MQTT 3.1.1 or 5; default 5", 0},
    {"pid", OPTION_PID, "PID", 0, "The broker's process, to measure its CPU, memory and writes", 0},
    {"json", OPTION_JSON, NULL, 0, "As --output json: one object", 0},

    {"publishers", OPTION_PUBLISHERS, "N", 0, "Connections that publish; default 50", 1},
    {"subscribers", OPTION_SUBSCRIBERS, "N", 0, "Connections that subscribe; default 0", 1},
    {"qos", OPTION_QOS, "0|1", 0, "Of publishing and subscribing; default 1", 1},
    {"window", OPTION_WINDOW, "N", 0, "Messages a publisher may have unacknowledged; default 64",
     1},
    {"rate", OPTION_RATE, "N", 0,
     "Messages a second in all, with latencies from the intended moments; without it as fast as "
     "they are acknowledged",
     1},
    {"seconds", OPTION_SECONDS, "S", 0, "Length of the measurement; default 5", 1},
    {"warmup", OPTION_WARMUP, "S", 0, "Load before it; default 1", 1},
    {"messages", OPTION_MESSAGES, "N", 0, "Measure this many instead of a time", 1},
    {"payload", OPTION_PAYLOAD, "BYTES|batch1", 0,
     "Size, or a valid one-sample Batch in each message; default batch1", 1},
    {"topic", OPTION_TOPIC, "PATTERN", 0,
     "{i} is the publisher's number, {s} the same modulo the subscribers; default " TOPIC_DEFAULT,
     1},
    {"filter", OPTION_FILTER, "PATTERN", 0,
     "{j} is the subscriber's number; default: the topic with + where a number stands", 1},
    {"verify", OPTION_VERIFY, NULL, 0, "Count losses, duplicates and disorder at the subscribers",
     1},

    {"idle", OPTION_IDLE, "N", 0, "Only open N connections, and measure the memory of --pid", 2},
    {"hold", OPTION_HOLD, "S", 0, "How long they wait before that; default 2", 2},
    {"tls", OPTION_TLS, NULL, 0, "Over TLS", 2},
    {"pki", OPTION_PKI, "DIR", 0, "Where ca-bundle.crt is; default pki/ of the data folder", 2},
    {"identity", OPTION_IDENTITY, "PATH", 0,
     "Certificate and key below it: services/NAME or bikes/ID; default: none", 2},
    {NULL, 0, NULL, 0, NULL, 0},
};

struct asked {
    struct load_options o;
    struct cli_words words; /* none are taken */
    bool anywhere;
};

/* ---- the command line ---- */

/* A number from `least` to `most`; what is not clears `*good`. */
static double number(const char *text, double least, double most, bool *good)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= least && value <= most))
        *good = false;
    return value;
}

static uint32_t whole(const char *text, uint32_t least, uint32_t most, bool *good)
{
    double value = number(text, least, most, good);

    if (*good && value != (uint32_t)value)
        *good = false;
    return *good ? (uint32_t)value : least;
}

/* The options that take a number; false when it is none, or out of range. */
static bool number_take(struct load_options *o, int key, const char *text)
{
    bool good = true;

    switch (key) {
    case 'p':
        o->port = (uint16_t)whole(text, 1, UINT16_MAX, &good);
        break;
    case OPTION_PROTOCOL:
        o->version = whole(text, 4, 5, &good) == 4 ? MQTT_V311 : MQTT_V5;
        break;
    case OPTION_PUBLISHERS:
        o->publishers = whole(text, 1, LOAD_PEERS_MAX, &good);
        break;
    case OPTION_SUBSCRIBERS:
        o->subscribers = whole(text, 0, LOAD_PEERS_MAX, &good);
        break;
    case OPTION_QOS:
        o->qos = (uint8_t)whole(text, 0, 1, &good);
        break;
    case OPTION_WINDOW:
        o->window = whole(text, 1, LOAD_WINDOW_MAX, &good);
        break;
    case OPTION_RATE:
        o->rate = number(text, 0.001, 1e8, &good);
        break;
    case OPTION_SECONDS:
        o->seconds = number(text, 0.05, 86400, &good);
        break;
    case OPTION_WARMUP:
        o->warmup_s = number(text, 0, 3600, &good);
        break;
    case OPTION_MESSAGES:
        o->messages = whole(text, 1, 1000000000, &good);
        break;
    case OPTION_PAYLOAD:
        o->batch = strcmp(text, "batch1") == 0;
        if (!o->batch)
            o->payload_bytes = whole(text, LOAD_PAYLOAD_MIN, LOAD_PAYLOAD_MAX, &good);
        break;
    case OPTION_PID:
        o->pid = (int)whole(text, 1, INT32_MAX, &good);
        break;
    case OPTION_IDLE:
        o->idle = whole(text, 1, LOAD_PEERS_MAX, &good);
        break;
    case OPTION_HOLD:
        o->hold_s = whole(text, 0, 3600, &good);
        break;
    default:
        good = false;
    }
    return good;
}

static error_t on_option(int key, char *value, struct argp_state *state)
{
    struct asked *asked = state->input;
    struct cli *cli = asked->words.cli;

    switch (key) {
    case OPTION_HOST:
        asked->o.host = value;
        return 0;
    case OPTION_ANYWHERE:
        asked->anywhere = true;
        return 0;
    case OPTION_JSON:
        cli->format = OUTPUT_JSON;
        return 0;
    case OPTION_TOPIC:
        asked->o.topic = value;
        return 0;
    case OPTION_FILTER:
        asked->o.filter = value;
        return 0;
    case OPTION_VERIFY:
        asked->o.verify = true;
        return 0;
    case OPTION_TLS:
        asked->o.tls = true;
        return 0;
    case OPTION_PKI:
        asked->o.pki = value;
        return 0;
    case OPTION_IDENTITY:
        asked->o.identity = value;
        return 0;
    default:
        break;
    }
    if (!value || key == ARGP_KEY_ARG)
        return cli_words_take(&asked->words, key, value);
    if (number_take(&asked->o, key, value))
        return 0;
    for (const struct argp_option *option = options; option->name; option++) {
        if (option->key == key)
            cli_fail(cli, CLI_USAGE, "--%s: \"%s\" is not possible", option->name, value);
    }
    return EINVAL;
}

static const struct argp parser = {.options = options, .parser = on_option};

static bool is_loopback(const char *host)
{
    struct in_addr address;

    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* What belongs together; NULL when all is well. */
static const char *options_check(const struct asked *asked)
{
    const struct load_options *o = &asked->o;

    if (o->port == 0)
        return "--port is missing";
    if (!is_loopback(o->host) && !asked->anywhere)
        return "--host is not of this machine; add --anywhere if that is meant";
    if (o->idle > 0 && o->pid == 0)
        return "--idle needs --pid, whose memory it measures";
    if (o->tls && o->idle == 0)
        return "--tls is for --idle only";
    if (o->publishers + o->subscribers > LOAD_PEERS_MAX)
        return "too many connections";
    if (o->verify && o->subscribers == 0)
        return "--verify needs --subscribers";
    return NULL;
}

/* The topic with every level that holds a number replaced by '+'. */
static void filter_from_topic(const char *topic, char filter[FILTER_MAX])
{
    struct str rest = str_from(topic), level;
    bool more = true;
    size_t len = 0;

    while (len < FILTER_MAX - 1 && topic_level_next(&rest, &more, &level)) {
        bool varies = memchr(level.at, '{', level.len) != NULL;
        int n = varies ? snprintf(filter + len, FILTER_MAX - len, "+%s", more ? "/" : "")
                       : snprintf(filter + len, FILTER_MAX - len, "%.*s%s", (int)level.len,
                                  level.at, more ? "/" : "");

        len += n > 0 ? (size_t)n : 0;
    }
}

/* ---- figures ---- */

static double per(uint64_t amount, uint64_t count)
{
    return count > 0 ? (double)amount / (double)count : 0;
}

static void json_latency(struct json_out *j, const char *key, const struct load_hist *h)
{
    if (h->count == 0)
        return;
    json_out_key(j, key);
    json_out_object_begin(j);
    json_out_member_double(j, "p50", (double)load_hist_quantile(h, 0.5) / 1e3);
    json_out_member_double(j, "p99", (double)load_hist_quantile(h, 0.99) / 1e3);
    json_out_member_double(j, "p999", (double)load_hist_quantile(h, 0.999) / 1e3);
    json_out_member_double(j, "max", (double)h->max_ns / 1e3);
    json_out_object_end(j);
}

static void traffic_json(struct json_out *j, const struct load_options *o,
                         const struct load_result *r)
{
    double seconds = (double)r->took_ns / 1e9;

    json_out_member_double(j, "seconds", seconds);
    json_out_member_uint(j, "messages", r->messages);
    json_out_member_double(j, "messages_per_s", (double)r->messages / seconds);
    json_latency(j, "puback_us", &r->puback);
    if (o->subscribers > 0) {
        json_out_member_uint(j, "deliveries", r->deliveries);
        json_out_member_double(j, "deliveries_per_s", (double)r->deliveries / seconds);
        json_latency(j, "delivery_us", &r->delivery);
    }
    json_out_member_uint(j, "sent", r->sent);
    json_out_member_uint(j, "acked", r->acked);
    json_out_member_uint(j, "refused", r->refused);
    json_out_member_uint(j, "received", r->received);
    if (o->verify) {
        json_out_member_uint(j, "lost", r->lost);
        json_out_member_uint(j, "duplicates", r->duplicates);
        json_out_member_uint(j, "disordered", r->disordered);
    }
    if (o->pid > 0) {
        json_out_member_double(j, "cpu_us_per_message", per(r->broker.cpu_ns, r->messages) / 1e3);
        json_out_member_double(j, "cpu_share", (double)r->broker.cpu_ns / (double)r->took_ns);
        json_out_member_double(j, "written_bytes_per_message",
                               per(r->broker.written_bytes, r->messages));
        json_out_member_double(j, "syscr_per_message", per(r->broker.read_calls, r->messages));
        json_out_member_double(j, "syscw_per_message", per(r->broker.write_calls, r->messages));
        json_out_member_uint(j, "rss_bytes", r->broker.rss_bytes);
    }
    json_out_member_double(j, "own_cpu_share", (double)r->own_cpu_ns / (double)r->took_ns);
}

static void print_latency(FILE *out, const char *name, const struct load_hist *h)
{
    if (h->count > 0)
        fprintf(out, "%-22s %.0f / %.0f / %.0f us (p50 / p99 / p99.9), at most %.0f us\n", name,
                (double)load_hist_quantile(h, 0.5) / 1e3, (double)load_hist_quantile(h, 0.99) / 1e3,
                (double)load_hist_quantile(h, 0.999) / 1e3, (double)h->max_ns / 1e3);
}

static void traffic_text(FILE *out, const struct load_options *o, const struct load_result *r)
{
    double seconds = (double)r->took_ns / 1e9;

    fprintf(out, "%-22s %.0f /s (%llu in %.2f s)\n", o->qos > 0 ? "acknowledged" : "sent",
            (double)r->messages / seconds, (unsigned long long)r->messages, seconds);
    print_latency(out, "PUBACK", &r->puback);
    if (o->subscribers > 0)
        fprintf(out, "%-22s %.0f /s\n", "delivered", (double)r->deliveries / seconds);
    print_latency(out, "delivery", &r->delivery);
    if (r->refused > 0)
        fprintf(out, "%-22s %llu\n", "refused", (unsigned long long)r->refused);
    if (o->verify)
        fprintf(out, "%-22s %llu lost, %llu duplicates, %llu out of order\n", "verified",
                (unsigned long long)r->lost, (unsigned long long)r->duplicates,
                (unsigned long long)r->disordered);
    if (o->pid > 0)
        fprintf(out,
                "%-22s %.2f us a message, %.0f %% of a core\n"
                "%-22s %.0f bytes written, %.2f read and %.2f write calls a message\n"
                "%-22s %.1f MiB resident\n",
                "broker's CPU", per(r->broker.cpu_ns, r->messages) / 1e3,
                100 * (double)r->broker.cpu_ns / (double)r->took_ns, "broker's I/O",
                per(r->broker.written_bytes, r->messages), per(r->broker.read_calls, r->messages),
                per(r->broker.write_calls, r->messages), "broker's memory",
                (double)r->broker.rss_bytes / (1 << 20));
    fprintf(out, "%-22s %.0f %% of a core\n", "this generator",
            100 * (double)r->own_cpu_ns / (double)r->took_ns);
}

static double idle_bytes(const struct load_idle_result *r)
{
    return ((double)r->after_bytes - (double)r->before_bytes) / r->connections;
}

static void idle_json(struct json_out *j, const struct load_idle_result *r)
{
    json_out_member_uint(j, "connections", r->connections);
    json_out_member_double(j, "bytes_per_connection", idle_bytes(r));
    json_out_member_uint(j, "rss_before_bytes", r->before_bytes);
    json_out_member_uint(j, "rss_after_bytes", r->after_bytes);
    json_out_member_double(j, "cpu_us_per_connect", per(r->cpu_ns, r->connections) / 1e3);
    json_out_member_double(j, "connects_per_s", r->connections / ((double)r->took_ns / 1e9));
}

static void idle_text(FILE *out, const struct load_idle_result *r)
{
    fprintf(out,
            "%-22s %u, %.0f /s\n%-22s %.0f bytes a connection, %.1f MiB resident\n"
            "%-22s %.1f us a connection\n",
            "connected", r->connections, r->connections / ((double)r->took_ns / 1e9),
            "broker's memory", idle_bytes(r), (double)r->after_bytes / (1 << 20), "broker's CPU",
            per(r->cpu_ns, r->connections) / 1e3);
}

/* ---- the verb ---- */

static int json_print(struct cli *cli, struct json_out *j)
{
    struct str text;
    int rc = json_out_text(j, &text);

    if (rc)
        return cli_fail_err(cli, rc, NULL);
    fprintf(cli->out, "%.*s\n", (int)text.len, text.at);
    return CLI_OK;
}

static int figures_print(struct cli *cli, const struct load_options *o,
                         const struct load_result *result, const struct load_idle_result *idle)
{
    struct json_out j;
    int code;

    if (cli->format != OUTPUT_JSON) {
        if (o->idle > 0)
            idle_text(cli->out, idle);
        else
            traffic_text(cli->out, o, result);
        return CLI_OK;
    }
    json_out_init(&j, JSON_MAX);
    json_out_object_begin(&j);
    if (o->idle > 0)
        idle_json(&j, idle);
    else
        traffic_json(&j, o, result);
    json_out_object_end(&j);
    code = json_print(cli, &j);
    json_out_fini(&j);
    return code;
}

static int run(struct cli *cli, const struct load_options *o)
{
    struct load_result *result = MEM_NEW(struct load_result);
    struct load_idle_result idle = {0};
    struct err_detail detail = {""};
    int code;
    int rc = o->idle > 0 ? load_idle(o, &idle, &detail) : load_traffic(o, result, &detail);

    if (rc)
        code = cli_fail_err(cli, rc, &detail);
    else
        code = figures_print(cli, o, result, &idle);
    if (code == CLI_OK && o->verify && result->lost + result->duplicates + result->disordered > 0)
        code = CLI_FAILED;
    mem_free(result);
    return code;
}

int verb_bench(struct cli *cli, int argc, char **argv)
{
    struct asked asked = {.o = {.host = "127.0.0.1",
                                .version = MQTT_V5,
                                .publishers = 50,
                                .qos = 1,
                                .window = 64,
                                .seconds = 5,
                                .warmup_s = 1,
                                .batch = true,
                                .topic = TOPIC_DEFAULT,
                                .hold_s = 2},
                          .words = {.cli = cli}};
    char filter[FILTER_MAX] = "", *pki;
    const char *wrong;
    int code;

    if (!cli_parse(cli, &parser, &asked, argc, argv, &code))
        return code;
    wrong = options_check(&asked);
    if (wrong)
        return cli_fail(cli, CLI_USAGE, "%s; see %s --help", wrong, cli->program);
    if (!asked.o.filter) {
        filter_from_topic(asked.o.topic, filter);
        asked.o.filter = filter;
    }
    if (asked.o.messages > 0)
        asked.o.warmup_s = 0;
    pki = cli_path(cli, "pki");
    if (!asked.o.pki)
        asked.o.pki = pki;
    code = run(cli, &asked.o);
    mem_free(pki);
    return code;
}
