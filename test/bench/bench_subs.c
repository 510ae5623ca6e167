/* How long one match takes in a tree of 100,000 subscriptions. Prints a line, or with --json one
 * JSON object a figure. */
#include "broker/base/chance.h"
#include "broker/base/chrono.h"
#include "broker/core/subs.h"

#include <stdio.h>
#include <stdlib.h>

enum { BIKES = 33000, TOPICS = 4096, ROUNDS = 200, TARGET_US = 2 };

static uint64_t visits;
static char people[BIKES];

static void on_match(void *ctx, struct session *who, struct sub_options options)
{
    (void)ctx;
    (void)who;
    (void)options;
    visits++;
}

static void add(struct subs *subs, const char *filter, unsigned who)
{
    bool replaced;
    int rc = subs_add(subs, str_from(filter), (struct session *)(void *)&people[who],
                      (struct sub_options){.qos = 1}, &replaced);

    if (rc) {
        fprintf(stderr, "bench_subs: %s\n", err_text(rc));
        exit(1);
    }
}

/* Three filters a bike, of which two have a wildcard, and services that watch whole fleets. */
static void fill(struct subs *subs)
{
    static const char *const services[] = {"v1/b/+/tel", "v1/b/+/evt/#", "v1/#", "v1/+/+/hello",
                                           "+/+/+/tel"};
    char filter[64];

    for (unsigned i = 0; i < BIKES; i++) {
        snprintf(filter, sizeof filter, "v1/b/bike-%u/#", i);
        add(subs, filter, i);
        snprintf(filter, sizeof filter, "v1/b/bike-%u/cfg/+/set", i);
        add(subs, filter, i);
        snprintf(filter, sizeof filter, "v1/b/bike-%u/ota/manifest", i);
        add(subs, filter, i);
    }
    for (unsigned i = 0; i < 5 * ARRAY_LEN(services); i++)
        add(subs, services[i % ARRAY_LEN(services)], i);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    static char topics[TOPICS][48];
    struct chance chance;
    struct subs *subs;
    uint64_t start_ns;
    double each_us;

    if (subs_new(&subs))
        return 1;
    fill(subs);
    chance_seed(&chance, 1);
    for (unsigned i = 0; i < TOPICS; i++)
        snprintf(topics[i], sizeof topics[i], "v1/b/bike-%u/cfg/lock/set",
                 (unsigned)chance_below(&chance, BIKES));
    start_ns = chrono_mono_ns();
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < TOPICS; i++)
            subs_match(subs, str_from(topics[i]), on_match, NULL);
    }
    each_us = (double)(chrono_mono_ns() - start_ns) / 1e3 / ROUNDS / TOPICS;
    if (json)
        printf("{\"name\":\"subs_match\",\"value\":%.3f,\"unit\":\"us\",\"target\":%d}\n", each_us,
               TARGET_US);
    else
        printf("%.3f us a match of %.1f subscribers in %zu\n", each_us,
               (double)visits / ROUNDS / TOPICS, subs_count(subs));
    subs_free(subs);
    return 0;
}
