/* broker/cli/sim.h -- plays rides as many bikes, as real ones would: each with its certificate and
 * its connection, Hello after every CONNECT, TripStart, Batches and TripEnd at QoS 1. What was not
 * acknowledged when a connection breaks is sent again on the next one. */
#ifndef FREEHUB_BROKER_CLI_SIM_H
#define FREEHUB_BROKER_CLI_SIM_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "broker/cli/rides.h"
#include "broker/codec/mqtt.h"

enum {
    SIM_BIKES_MAX = 10000,
    SIM_WINDOW_MAX = 64,  /* messages of one bike that wait for their acknowledgement */
    SIM_TRIES_MAX = 8,    /* of one message, and connections in a row without any acknowledgement */
    SIM_REASONS_MAX = 16, /* kinds of refusal that are told apart */
    SIM_TEXT_MAX = 160,
};

struct sim_options {
    const char *host;
    uint16_t port;
    const char *pki; /* folder with ca-bundle.crt and bikes/ID.crt, .key; NULL: plain TCP */
    enum mqtt_version version;
    const char *const *bikes; /* ids */
    size_t bike_count;
    const struct rides *rides; /* ride k belongs to bike k modulo their number */
    double speed;              /* seconds of ride a second; 0: as fast as acknowledged */
    bool keep_times;           /* as recorded; else a ride ends when its play ends */
    uint32_t batch_samples;    /* 1..BATCH_SAMPLES_MAX */
    uint32_t window;           /* 1..SIM_WINDOW_MAX */
    uint32_t pause_max_ms;     /* between two connections of a bike, after failures in a row */
    uint32_t boot;             /* boot id of a bike's first ride; the next ones count up */
};

struct sim_reason {
    char text[SIM_TEXT_MAX];
    uint64_t count;
};

struct sim_result {
    uint64_t bikes_done, bikes_failed;
    uint64_t samples; /* acknowledged as taken */
    uint64_t messages;
    uint64_t acknowledged; /* with success; Hello and events included */
    uint64_t refused;
    uint64_t resent;
    uint64_t given_up; /* messages that were sent and never acknowledged */
    uint64_t connections;
    bool interrupted;
    double took_s;
    struct sim_reason reasons[SIM_REASONS_MAX]; /* of refusals; the last one takes the rest */
    size_t reason_count;
    char failure[SIM_TEXT_MAX]; /* why the last connection ended that was not to end; or empty */
};

/* Play everything and wait until it is acknowledged, or SIGINT or SIGTERM comes. 0 when it was
 * played, whatever came of it: `out` says that. ERR_NOTFOUND and others when it cannot begin: a
 * certificate, the address. Main thread; runs a loop of its own. */
CHECKED int sim_run(const struct sim_options *options, struct sim_result *out,
                    struct err_detail *detail);

#endif
