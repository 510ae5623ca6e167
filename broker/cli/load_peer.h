/* broker/cli/load_peer.h -- one raw connection of the load generator: plain TCP, not blocking.
 * Reads go through a buffer that all share; memory of its own only for what could not be parsed or
 * sent yet. One thread. */
#ifndef FREEHUB_BROKER_CLI_LOAD_PEER_H
#define FREEHUB_BROKER_CLI_LOAD_PEER_H

#include "broker/base/base.h"
#include "broker/base/buf.h"
#include "broker/base/err.h"
#include "broker/cli/load_feed.h"
#include "broker/codec/packet.h"

enum { LOAD_BURSTS_MAX = 2 };

enum load_peer_state {
    LOAD_PEER_CONNECTING,
    LOAD_PEER_GREETING,
    LOAD_PEER_JOINING,
    LOAD_PEER_READY
};

/* A message under way: since when, and under which packet id (0: free). */
struct load_slot {
    uint64_t since_ns;
    uint16_t id;
};

struct load_peer {
    int fd; /* -1: none */
    enum load_peer_state state;
    bool subscriber;
    uint32_t index;     /* among publishers, or among subscribers */
    uint32_t events;    /* what epoll watches */
    struct buf out, in; /* left over */

    /* A publisher's. */
    struct load_feed feed;
    uint32_t next_number;
    uint32_t window; /* the broker's Receive Maximum may make it smaller */
    uint32_t in_flight;
    uint16_t last_id;
    struct load_slot *slots; /* by packet id, modulo */
    uint32_t slot_mask;
    uint64_t due;                     /* open loop: messages intended so far */
    uint32_t bursts[LOAD_BURSTS_MAX]; /* QoS 0: messages before each PINGREQ, oldest first */
    uint32_t burst_count;
};

/* What a peer tells its owner. `now_ns` is when the bytes were read. */
struct load_peer_events {
    void (*on_packet)(void *ctx, struct load_peer *peer, const struct mqtt_packet *packet,
                      uint64_t now_ns);
    /* A PUBACK; separate, for speed. */
    void (*on_puback)(void *ctx, struct load_peer *peer, uint16_t packet_id, bool accepted,
                      uint64_t now_ns);
    void (*on_message)(void *ctx, struct load_peer *peer, const struct mqtt_publish *publish,
                       uint64_t now_ns);
};

/* Start to connect and watch the socket with `epoll_fd`. ERR_NETWORK and others. */
CHECKED int load_peer_open(struct load_peer *p, const struct load_options *o, int epoll_fd,
                           struct err_detail *detail);
void load_peer_close(struct load_peer *p);

/* The connection was made, or was not. */
CHECKED int load_peer_connected(struct load_peer *p, struct err_detail *detail);

/* Send, or keep what the socket does not take. ERR_NETWORK, ERR_TOO_LARGE, ERR_NOMEM. */
CHECKED int load_peer_send(struct load_peer *p, int epoll_fd, const uint8_t *bytes, size_t len);
CHECKED int load_peer_send_packet(struct load_peer *p, const struct load_options *o, int epoll_fd,
                                  const struct mqtt_packet *packet);

/* The socket takes bytes again. */
CHECKED int load_peer_flush(struct load_peer *p, int epoll_fd);

/* Read once and show what is whole. ERR_CLOSED: the broker ended it; ERR_INVALID: what came is not
 * MQTT. */
CHECKED int load_peer_read(struct load_peer *p, const struct load_options *o,
                           const struct load_peer_events *events, void *ctx);

#endif
