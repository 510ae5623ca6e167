/* broker/cli/load_priv.h -- what the files of `freehub bench` share. */
#ifndef FREEHUB_BROKER_CLI_LOAD_PRIV_H
#define FREEHUB_BROKER_CLI_LOAD_PRIV_H

#include <stdio.h>

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/cli/load_hist.h"
#include "broker/cli/load_proc.h"
#include "broker/codec/mqtt.h"

enum {
    LOAD_PEERS_MAX = 60000,
    LOAD_WINDOW_MAX = 16384,
    LOAD_PAYLOAD_MIN = 8, /* publisher and number */
    LOAD_PAYLOAD_MAX = 128 * 1024,
};

struct load_options {
    const char *host;
    uint16_t port;
    enum mqtt_version version;
    uint32_t publishers, subscribers;
    uint8_t qos;
    uint32_t window; /* messages of one publisher that wait for their PUBACK */
    double rate;     /* messages a second in total; 0: a closed loop */
    double seconds;  /* of the measurement, after `warmup_s` */
    double warmup_s;
    uint64_t messages; /* instead of `seconds`; 0: not given */
    uint32_t payload_bytes;
    bool batch;         /* payload: one-sample freehub.v1.Batch */
    const char *topic;  /* {i}: the publisher; {s}: the publisher modulo the subscribers */
    const char *filter; /* {j}: the subscriber; NULL: from `topic` */
    int pid;            /* of the broker; 0: do not watch */
    uint32_t idle;      /* > 0: connections that only wait */
    uint32_t hold_s;    /* how long they wait before they are counted */
    bool tls;
    const char *pki;      /* folder with ca-bundle.crt, services/ and bikes/ */
    const char *identity; /* "bikes/ID" or "services/NAME" below it; NULL: no certificate */
    bool verify;
};

/* What a run found. Times in ns. */
struct load_result {
    uint64_t messages;   /* inside the measurement; QoS 0: known to be read, or sent at a rate */
    uint64_t deliveries; /* at the subscribers, inside the measurement */
    uint64_t took_ns;
    uint64_t own_cpu_ns;
    struct load_hist puback, delivery;
    struct load_proc_use broker; /* all zero without `pid` */
    /* Over the whole run, warm-up included. */
    uint64_t sent, acked, refused, received;
    uint64_t lost, duplicates, disordered; /* --verify */
};

/* Publish and subscribe until the time or the messages are over. 0, or ERR_ with `detail`. */
CHECKED int load_traffic(const struct load_options *o, struct load_result *out,
                         struct err_detail *detail);

struct load_idle_result {
    uint32_t connections;
    uint64_t before_bytes, after_bytes; /* resident memory of the broker */
    uint64_t took_ns;
    uint64_t cpu_ns; /* the broker's, for connecting */
};

/* Open idle connections, count what the broker grew by, close them. As load_traffic(). */
CHECKED int load_idle(const struct load_options *o, struct load_idle_result *out,
                      struct err_detail *detail);

#endif
