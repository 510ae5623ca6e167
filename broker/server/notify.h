/* broker/server/notify.h -- tell a service manager how far we are, in systemd's protocol: one
 * datagram to the socket that NOTIFY_SOCKET names. Without a manager nothing happens. */
#ifndef FREEHUB_BROKER_SERVER_NOTIFY_H
#define FREEHUB_BROKER_SERVER_NOTIFY_H

/* `state` is one assignment or several, one a line: "READY=1", "STOPPING=1". A manager that does
 * not listen is not our failure: nothing is reported. Main thread. */
void notify_manager(const char *state);

#endif
