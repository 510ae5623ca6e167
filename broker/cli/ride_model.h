/* broker/cli/ride_model.h -- rides that nobody rode: a simple e-bike with legs, motor, battery and
 * GPS, from a seed. For demonstrations and load, not for physics. */
#ifndef FREEHUB_BROKER_CLI_RIDE_MODEL_H
#define FREEHUB_BROKER_CLI_RIDE_MODEL_H

#include "broker/base/base.h"
#include "broker/cli/rides.h"

/* A ride of `duration_s` > 0 seconds, one sample a second from `start_ms` on, with every column;
 * there is no position before the first fix. Equal seeds give equal rides. The caller frees `out`
 * with ride_fini(). Any thread. */
void ride_model_make(struct ride *out, uint64_t seed, uint32_t duration_s, int64_t start_ms);

#endif
