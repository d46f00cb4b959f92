/* Telling systemd: one datagram (sd_notify(3)). */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"

void ses_systemd_notify(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    const size_t len = path != NULL ? strlen(path) : 0;
    if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') { /* an abstract name begins with a zero */
        address.sun_path[0] = '\0';
    }
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size) <
        0) {
        /* nobody listens: a service runs without its manager too */
    }
    close(fd);
}

uint64_t ses_systemd_watchdog_ms(void)
{
    const char *text = getenv("WATCHDOG_USEC");
    char *end = NULL;
    const unsigned long long usec = text != NULL ? strtoull(text, &end, 10) : 0;
    if (usec == 0 || end == NULL || *end != '\0') {
        return 0;
    }
    return usec / 2000 > 0 ? usec / 2000 : 1;
}
