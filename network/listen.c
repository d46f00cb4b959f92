#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/host.h"

#define BACKLOG 512
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 200u

static void listener_ready(uv_poll_t *poll, int status, int events);

static void listener_resume(struct ses_due *due)
{
    struct ses_listener *l =
        (struct ses_listener *)((uint8_t *)due - offsetof(struct ses_listener, due));
    (void)uv_poll_start(&l->poll, UV_READABLE, listener_ready);
}

/* Without descriptors the waiting connection would wake the loop without end. */
static void listener_pause(struct ses_listener *l)
{
    ses_logf(l->host->params.log, SES_LOG_WARN, "network",
             "no file descriptors left: raise the limit (ulimit -n)");
    l->due.fire = listener_resume;
    if (ses_due_set(&l->host->dues, &l->due, ses_host_now_ms() + PAUSE_MS) == SES_OK) {
        (void)uv_poll_stop(&l->poll);
    }
}

static void listener_ready(uv_poll_t *poll, int status, int events)
{
    struct ses_listener *l = poll->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_PER_TURN && l->open; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        const int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                listener_pause(l);
            }
            return;
        }
        const enum ses_err err = ses_conn_accept(l->host, fd, &from);
        if (err != SES_OK) {
            char text[64];
            ses_sockaddr_text(text, &from);
            ses_logf(l->host->params.log, SES_LOG_DEBUG, "network", "connection of %s refused: %s",
                     text, ses_err_text(err));
        }
    }
}

static enum ses_err addr_of(struct sockaddr_storage *out, socklen_t *len,
                            const struct ses_tcp_addr *addr)
{
    *out = (struct sockaddr_storage){0};
    if (addr->kind == SES_HOST_IP4) {
        struct sockaddr_in *in4 = (void *)out;
        in4->sin_family = AF_INET;
        in4->sin_port = htons(addr->port);
        memcpy(&in4->sin_addr, addr->ip, 4);
        *len = sizeof *in4;
    } else if (addr->kind == SES_HOST_IP6) {
        struct sockaddr_in6 *in6 = (void *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        memcpy(&in6->sin6_addr, addr->ip, 16);
        *len = sizeof *in6;
    } else {
        return SES_ERR_INVALID;
    }
    return SES_OK;
}

static enum ses_err listen_err(int error)
{
    switch (error) {
    case EADDRINUSE:
        return SES_ERR_IN_USE;
    case EACCES:
    case EPERM:
        return SES_ERR_PERMISSION;
    case EADDRNOTAVAIL:
        return SES_ERR_INVALID;
    default:
        return SES_ERR_IO;
    }
}

static void listen_note(struct ses_note *note, const char *multiaddr, enum ses_err err)
{
    const char *advice = "see the system's log";
    if (err == SES_ERR_IN_USE) {
        advice = "another program listens on this port; stop it or choose another port";
    } else if (err == SES_ERR_PERMISSION) {
        advice = "choose a port above 1023, or allow the program to bind lower ones";
    } else if (err == SES_ERR_INVALID) {
        advice = "the machine has no such address; /ip4/0.0.0.0/tcp/PORT takes all of them";
    }
    ses_note_set(note, "cannot listen on %s: %s: %s", multiaddr, ses_err_text(err), advice);
}

static enum ses_err socket_listen(int *out, const struct ses_tcp_addr *addr)
{
    struct sockaddr_storage at;
    socklen_t len = 0;
    const int on = 1;
    *out = -1;
    SES_TRY(addr_of(&at, &len, addr));
    const int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    SES_REQUIRE(fd >= 0, SES_ERR_IO);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, BACKLOG) != 0) {
        const int error = errno;
        (void)close(fd);
        return listen_err(error);
    }
    *out = fd;
    return SES_OK;
}

static enum ses_err port_find(int fd, uint16_t *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } at = {.ip6 = {0}};
    socklen_t len = sizeof at;
    SES_REQUIRE(getsockname(fd, &at.any, &len) == 0, SES_ERR_IO);
    *port = ntohs(at.any.sa_family == AF_INET ? at.ip4.sin_port : at.ip6.sin6_port);
    return SES_OK;
}

static enum ses_err listener_start(struct ses_host *host, int fd, struct ses_tcp_addr *addr)
{
    struct ses_listener *l = &host->listeners[host->listener_cnt];
    addr->has_peer = false;
    SES_TRY(port_find(fd, &addr->port));
    SES_TRY(ses_tcp_addr_write(&l->addr, addr));
    SES_REQUIRE(uv_poll_init(host->raw, &l->poll, fd) == 0, SES_ERR_IO);
    l->poll.data = l;
    l->host = host;
    l->fd = fd;
    l->open = true;
    host->handle_cnt++;
    host->listener_cnt++;
    if (uv_poll_start(&l->poll, UV_READABLE, listener_ready) != 0) {
        ses_listener_close(l); /* with the descriptor */
        return SES_ERR_FULL;
    }
    return SES_OK;
}

enum ses_err ses_host_listen(struct ses_net *net, const char *multiaddr,
                             struct ses_multiaddr *bound, struct ses_note *note)
{
    struct ses_host *host = ses_host_of(net);
    struct ses_multiaddr bytes;
    struct ses_tcp_addr addr = {0};
    int fd = -1;
    SES_REQUIRE(!host->closing, SES_ERR_CLOSED);
    if (host->listener_cnt == SES_LISTENERS_MAX) {
        ses_note_set(note, "cannot listen on %s: at most %u addresses", multiaddr,
                     SES_LISTENERS_MAX);
        return SES_ERR_FULL;
    }
    enum ses_err err = ses_multiaddr_parse(&bytes, multiaddr);
    if (err == SES_OK) {
        err = ses_tcp_addr_read(&addr, bytes.bytes, bytes.len);
    }
    if (err != SES_OK || (addr.kind != SES_HOST_IP4 && addr.kind != SES_HOST_IP6)) {
        ses_note_set(note,
                     "cannot listen on \"%s\": write it as /ip4/ADDRESS/tcp/PORT or "
                     "/ip6/ADDRESS/tcp/PORT",
                     multiaddr);
        return SES_ERR_INVALID;
    }
    err = socket_listen(&fd, &addr);
    if (err == SES_OK) {
        err = listener_start(host, fd, &addr);
        if (err != SES_OK && err != SES_ERR_FULL) {
            (void)close(fd);
        }
    }
    if (err != SES_OK) {
        listen_note(note, multiaddr, err);
        return err;
    }
    *bound = host->listeners[host->listener_cnt - 1].addr;
    return SES_OK;
}

static void listener_closed(uv_handle_t *handle)
{
    struct ses_listener *l = handle->data;
    l->host->handle_cnt--;
}

void ses_listener_close(struct ses_listener *l)
{
    if (!l->open) {
        return;
    }
    l->open = false;
    ses_due_clear(&l->host->dues, &l->due);
    (void)uv_poll_stop(&l->poll);
    (void)close(l->fd);
    uv_close((uv_handle_t *)&l->poll, listener_closed);
}
