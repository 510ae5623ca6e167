/* broker/cli/load.h -- `freehub bench`: a load generator for this and any other MQTT broker. One
 * thread; publishers and subscribers in a closed loop (a window of unacknowledged messages) or an
 * open one (a rate, with latencies from the intended send times), or connections that only wait. */
#ifndef FREEHUB_BROKER_CLI_LOAD_H
#define FREEHUB_BROKER_CLI_LOAD_H

/* `argv[0]` is the verb. Prints figures on standard output and what went wrong on standard error.
 * Returns the exit code: 0, 1 when the run failed or --verify found a fault, 2 for a wrong command
 * line. Main thread. */
int load_run(int argc, char **argv);

#endif
