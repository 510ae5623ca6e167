#include "broker/server/notify.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

Test(notify, the_manager_gets_the_state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[64] = {0}, name[64];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(name, sizeof name, "@freehub-notify-%d", (int)getpid());
    memcpy(address.sun_path, name, strlen(name));
    address.sun_path[0] = '\0';
    cr_assert_eq(bind(fd, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                 0);
    setenv("NOTIFY_SOCKET", name, 1);
    notify_manager("READY=1");
    cr_assert_eq(recv(fd, text, sizeof text, MSG_DONTWAIT), 7);
    cr_expect_str_eq(text, "READY=1");
    close(fd);
}

Test(notify, no_manager_and_a_broken_name_are_no_failure)
{
    unsetenv("NOTIFY_SOCKET");
    notify_manager("READY=1");
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_manager("READY=1");
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    notify_manager("READY=1");
}
