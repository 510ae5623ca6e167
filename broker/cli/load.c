#include "broker/cli/load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "broker/base/chrono.h"
#include "broker/base/json_out.h"
#include "broker/base/mem.h"
#include "broker/cli/load_priv.h"
#include "broker/codec/topic.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, JSON_MAX = 64 * 1024, FILTER_MAX = 256 };

#define TOPIC_DEFAULT "v1/b/bench-{i}/tel"

static const struct {
    const char *name, *argument; /* NULL: a switch */
    int letter;
    const char *meaning;
} options[] = {
    {"host", "ADDRESS", 'H', "IPv4 address of the broker (127.0.0.1)"},
    {"port", "PORT", 'p', "its port; required"},
    {"anywhere", NULL, 'A', "allow an address that is not of this machine"},
    {"protocol", "4|5", 'V', "MQTT 3.1.1 or 5 (5)"},
    {"publishers", "N", 'P', "connections that publish (50)"},
    {"subscribers", "N", 'S', "connections that subscribe (0)"},
    {"qos", "0|1", 'q', "of publishing and subscribing (1)"},
    {"window", "W", 'w', "messages a publisher may have unacknowledged (64)"},
    {"rate", "R", 'r', "messages a second in total; without it as fast as acknowledged"},
    {"seconds", "S", 's', "length of the measurement (5)"},
    {"warmup", "S", 'u', "before the measurement (1)"},
    {"messages", "N", 'n', "send this many instead of measuring for a time"},
    {"payload", "BYTES|batch1", 'l', "size, or a valid one-sample Batch each (batch1)"},
    {"topic", "PATTERN", 't',
     "{i} is the publisher, {s} it modulo the subscribers "
     "(" TOPIC_DEFAULT ")"},
    {"filter", "PATTERN", 'f', "{j} is the subscriber; from the topic without it"},
    {"verify", NULL, 'v', "count losses, duplicates and disorder at the subscribers"},
    {"pid", "P", 'i', "process whose CPU, memory and writes are measured"},
    {"idle", "N", 'I', "only open N connections and measure memory by --pid"},
    {"hold", "S", 'd', "how long idle connections wait (2)"},
    {"tls", NULL, 'T', "idle connections over TLS; needs --pki"},
    {"pki", "DIR", 'k', "folder with ca-bundle.crt"},
    {"identity", "PATH", 'c', "certificate and key below it: services/NAME or bikes/ID"},
    {"json", NULL, 'j', "print one JSON object"},
    {"help", NULL, 'h', "print this"},
};

static void print_help(FILE *to)
{
    fputs("freehub bench --port PORT [options]: load for an MQTT broker, and what it costs\n\n",
          to);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char left[48];

        snprintf(left, sizeof left, "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        fprintf(to, "  %-22s %s\n", left, options[i].meaning);
    }
}

/* ---- the command line ---- */

static int usage(const char *option, const char *why)
{
    fprintf(stderr, "freehub bench: --%s: %s\n", option, why);
    return EXIT_USAGE;
}

/* A number from `least` to `most`; what is not sets `*bad`. */
static double number(const char *text, double least, double most, bool *bad)
{
    char *end = NULL;
    double value = strtod(text, &end);

    *bad |= end == text || *end != '\0' || !(value >= least && value <= most);
    return value;
}

static uint32_t whole(const char *text, uint32_t least, uint32_t most, bool *bad)
{
    double value = number(text, least, most, bad);

    if (!*bad && value != (uint32_t)value)
        *bad = true;
    return *bad ? least : (uint32_t)value;
}

static bool option_apply(struct load_options *o, int letter, const char *text, bool *anywhere)
{
    bool bad = false;

    switch (letter) {
    case 'H':
        o->host = text;
        break;
    case 'p':
        o->port = (uint16_t)whole(text, 1, UINT16_MAX, &bad);
        break;
    case 'A':
        *anywhere = true;
        break;
    case 'V':
        o->version = whole(text, 4, 5, &bad) == 4 ? MQTT_V311 : MQTT_V5;
        break;
    case 'P':
        o->publishers = whole(text, 1, LOAD_PEERS_MAX, &bad);
        break;
    case 'S':
        o->subscribers = whole(text, 0, LOAD_PEERS_MAX, &bad);
        break;
    case 'q':
        o->qos = (uint8_t)whole(text, 0, 1, &bad);
        break;
    case 'w':
        o->window = whole(text, 1, LOAD_WINDOW_MAX, &bad);
        break;
    case 'r':
        o->rate = number(text, 0.001, 1e8, &bad);
        break;
    case 's':
        o->seconds = number(text, 0.05, 86400, &bad);
        break;
    case 'u':
        o->warmup_s = number(text, 0, 3600, &bad);
        break;
    case 'n':
        o->messages = (uint64_t)number(text, 1, 1e9, &bad);
        break;
    case 'l':
        o->batch = strcmp(text, "batch1") == 0;
        if (!o->batch)
            o->payload_bytes = whole(text, LOAD_PAYLOAD_MIN, LOAD_PAYLOAD_MAX, &bad);
        break;
    case 't':
        o->topic = text;
        break;
    case 'f':
        o->filter = text;
        break;
    case 'v':
        o->verify = true;
        break;
    case 'i':
        o->pid = (int)whole(text, 1, INT32_MAX, &bad);
        break;
    case 'I':
        o->idle = whole(text, 1, LOAD_PEERS_MAX, &bad);
        break;
    case 'd':
        o->hold_s = whole(text, 0, 3600, &bad);
        break;
    case 'T':
        o->tls = true;
        break;
    case 'k':
        o->pki = text;
        break;
    case 'c':
        o->identity = text;
        break;
    case 'j':
        o->json = true;
        break;
    default:
        bad = true;
    }
    return !bad;
}

static bool is_loopback(const char *host)
{
    struct in_addr address;

    return inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

/* What belongs together. */
static int options_check(const struct load_options *o, bool anywhere)
{
    if (o->port == 0)
        return usage("port", "is required");
    if (!is_loopback(o->host) && !anywhere)
        return usage("host", "is not of this machine; add --anywhere if that is meant");
    if (o->idle > 0 && o->pid == 0)
        return usage("idle", "needs --pid, whose memory it measures");
    if (o->tls && o->idle == 0)
        return usage("tls", "is for --idle only");
    if (o->tls && !o->pki)
        return usage("tls", "needs --pki");
    if (o->publishers + o->subscribers > LOAD_PEERS_MAX)
        return usage("subscribers", "too many connections");
    if (o->verify && o->subscribers == 0)
        return usage("verify", "needs --subscribers");
    return 0;
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

static void print_latency(const char *name, const struct load_hist *h)
{
    if (h->count > 0)
        printf("%-22s %.0f / %.0f / %.0f us (p50 / p99 / p99.9), at most %.0f us\n", name,
               (double)load_hist_quantile(h, 0.5) / 1e3, (double)load_hist_quantile(h, 0.99) / 1e3,
               (double)load_hist_quantile(h, 0.999) / 1e3, (double)h->max_ns / 1e3);
}

static void traffic_text(const struct load_options *o, const struct load_result *r)
{
    double seconds = (double)r->took_ns / 1e9;

    printf("%-22s %.0f /s (%llu in %.2f s)\n", o->qos > 0 ? "acknowledged" : "sent",
           (double)r->messages / seconds, (unsigned long long)r->messages, seconds);
    print_latency("PUBACK", &r->puback);
    if (o->subscribers > 0)
        printf("%-22s %.0f /s\n", "delivered", (double)r->deliveries / seconds);
    print_latency("delivery", &r->delivery);
    if (r->refused > 0)
        printf("%-22s %llu\n", "refused", (unsigned long long)r->refused);
    if (o->verify)
        printf("%-22s %llu lost, %llu duplicates, %llu out of order\n", "verified",
               (unsigned long long)r->lost, (unsigned long long)r->duplicates,
               (unsigned long long)r->disordered);
    if (o->pid > 0)
        printf("%-22s %.2f us a message, %.0f %% of a core\n"
               "%-22s %.0f bytes written, %.2f read and %.2f write calls a message\n"
               "%-22s %.1f MiB resident\n",
               "broker's CPU", per(r->broker.cpu_ns, r->messages) / 1e3,
               100 * (double)r->broker.cpu_ns / (double)r->took_ns, "broker's I/O",
               per(r->broker.written_bytes, r->messages), per(r->broker.read_calls, r->messages),
               per(r->broker.write_calls, r->messages), "broker's memory",
               (double)r->broker.rss_bytes / (1 << 20));
    printf("%-22s %.0f %% of a core\n", "this generator",
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

static void idle_text(const struct load_idle_result *r)
{
    printf("%-22s %u, %.0f /s\n%-22s %.0f bytes a connection, %.1f MiB resident\n"
           "%-22s %.1f us a connection\n",
           "connected", r->connections, r->connections / ((double)r->took_ns / 1e9),
           "broker's memory", idle_bytes(r), (double)r->after_bytes / (1 << 20), "broker's CPU",
           per(r->cpu_ns, r->connections) / 1e3);
}

/* ---- the verb ---- */

static int print_json(struct json_out *j)
{
    struct str text;
    int rc = json_out_text(j, &text);

    if (rc == 0)
        printf("%.*s\n", (int)text.len, text.at);
    json_out_fini(j);
    return rc ? EXIT_FAILED : 0;
}

static int run(const struct load_options *o)
{
    struct load_result *result = MEM_NEW(struct load_result);
    struct load_idle_result idle = {0};
    struct err_detail detail = {""};
    struct json_out j;
    int code = 0;
    int rc = o->idle > 0 ? load_idle(o, &idle, &detail) : load_traffic(o, result, &detail);

    if (rc) {
        fprintf(stderr, "freehub bench: %s: %s\n", err_text(rc), detail.text);
        code = EXIT_FAILED;
    } else if (o->json) {
        json_out_init(&j, JSON_MAX);
        json_out_object_begin(&j);
        if (o->idle > 0)
            idle_json(&j, &idle);
        else
            traffic_json(&j, o, result);
        json_out_object_end(&j);
        code = print_json(&j);
    } else if (o->idle > 0) {
        idle_text(&idle);
    } else {
        traffic_text(o, result);
    }
    if (code == 0 && o->verify && result->lost + result->duplicates + result->disordered > 0)
        code = EXIT_FAILED;
    mem_free(result);
    return code;
}

int load_run(int argc, char **argv)
{
    struct load_options o = {.host = "127.0.0.1",
                             .version = MQTT_V5,
                             .publishers = 50,
                             .qos = 1,
                             .window = 64,
                             .seconds = 5,
                             .warmup_s = 1,
                             .batch = true,
                             .topic = TOPIC_DEFAULT,
                             .hold_s = 2};
    char filter[FILTER_MAX] = "";
    struct option known[ARRAY_LEN(options) + 1] = {{0}};
    bool anywhere = false;
    int letter, which = 0, rc;

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        known[i] =
            (struct option){options[i].name, options[i].argument != NULL, NULL, options[i].letter};

    optind = 0; /* glibc: start afresh */
    while ((letter = getopt_long(argc, argv, "", known, &which)) != -1) {
        if (letter == 'h') {
            print_help(stdout);
            return 0;
        }
        if (letter == '?')
            return EXIT_USAGE;
        if (!option_apply(&o, letter, optarg, &anywhere))
            return usage(options[which].name, "is not a value for it; see --help");
    }
    if (optind < argc) {
        fprintf(stderr, "freehub bench: \"%s\" belongs to no option; see --help\n", argv[optind]);
        return EXIT_USAGE;
    }
    rc = options_check(&o, anywhere);
    if (rc)
        return rc;
    if (!o.filter) {
        filter_from_topic(o.topic, filter);
        o.filter = filter;
    }
    if (o.messages > 0)
        o.warmup_s = 0;
    return run(&o);
}
