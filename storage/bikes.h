/* storage/bikes.h -- which number stands for which bike id. Numbers are dense, begin at 1, are
 * given once and never change; every record carries the number, the id is written once.
 *
 * One lock inside; ids handed out live as long as the table. */
#ifndef FREEHUB_STORAGE_BIKES_H
#define FREEHUB_STORAGE_BIKES_H

#include "broker/base/base.h"
#include "broker/base/err.h"
#include "storage/ring.h"

enum {
    BIKES_MAX = 1 << 22,
    BIKES_ID_MAX_BYTES = 255,
};

struct bikes; /* opaque: defined in bikes.c */

/* The caller owns `*out`. 0 or ERR_NOMEM. Main thread. */
CHECKED int bikes_new(struct bikes **out);
void bikes_free(struct bikes *b);

/* The number of a bike. A new one gets the next number, and its RECORD_BIKE_NEW goes into `r`;
 * while that is not committed, a worker with another ring that meets the bike writes one too, so
 * that the id is on disk no later than any record that uses the number. ERR_AGAIN: the ring is
 * full, nothing was given; ERR_INVALID: the id is empty or too long; ERR_FULL: BIKES_MAX;
 * ERR_NOMEM. Owner worker of `r`. */
CHECKED int bikes_number(struct bikes *b, struct ring *r, struct str id, int64_t recv_ms,
                         uint32_t *out);

/* ERR_NOTFOUND when there is none. Any thread. */
CHECKED int bikes_find(struct bikes *b, struct str id, uint32_t *out);

/* The id behind a number, "" for a number nobody has. Any thread. */
struct str bikes_id(struct bikes *b, uint32_t number);

/* What the log or the checkpoint says. The same again changes nothing; ERR_CORRUPT when id or
 * number are taken by another, or are impossible. Before the threads start. */
CHECKED int bikes_restore(struct bikes *b, uint32_t number, struct str id);

/* A record used `number`: it is not given to anyone new, even if its id is lost. Before the threads
 * start. */
void bikes_note_used(struct bikes *b, uint32_t number);

/* Numbers given so far, holes included: 1..bikes_last(). Any thread. */
uint32_t bikes_last(struct bikes *b);

#endif
