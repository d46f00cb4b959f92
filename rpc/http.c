/* Where the server listens and which requests it takes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/rpc_internal.h"

#define HOST_TEXT_MAX 256u

/* ---- listening ---- */

/* "host:port" or "[v6]:port" into its two parts. */
static bool split_address(char host[HOST_TEXT_MAX], char port[8], const char *listen)
{
    const char *colon = strrchr(listen, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - listen);
    if (len > 1 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    } else if (memchr(listen, ':', len) != NULL) {
        return false;
    }
    const size_t port_len = colon == NULL ? 0 : strlen(colon + 1);
    if (len == 0 || len >= HOST_TEXT_MAX || port_len == 0 || port_len > 5 ||
        strspn(colon + 1, "0123456789") != port_len) {
        return false;
    }
    memcpy(host, listen, len);
    host[len] = 0;
    memcpy(port, colon + 1, port_len + 1);
    return true;
}

static enum ses_err resolve(struct addrinfo **out, const char *listen, struct ses_note *note)
{
    char host[HOST_TEXT_MAX];
    char port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    const bool ok = split_address(host, port, listen) && strtoul(port, NULL, 10) <= 65535;
    if (ok && strcmp(host, "localhost") == 0) {
        memcpy(host, "127.0.0.1", sizeof "127.0.0.1");
    }
    if (!ok || getaddrinfo(host, port, &hints, out) != 0) {
        ses_note_set(note,
                     "\"%.100s\" is no address to listen on; give one like 127.0.0.1:9652 or "
                     "[::1]:9652",
                     listen);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

bool ses_rpc_is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127);
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
}

static enum ses_err explain_bind(int cause, const char *listen, struct ses_note *note)
{
    if (cause == EADDRINUSE) {
        ses_note_set(note,
                     "%.100s is in use by another program; stop that one or choose another port",
                     listen);
        return SES_ERR_IN_USE;
    }
    ses_note_set(note, "cannot listen on %.100s: %s", listen, strerror(cause));
    return cause == EACCES ? SES_ERR_PERMISSION : SES_ERR_IO;
}

static enum ses_err bind_to(int fd, uint16_t *out_port, const struct addrinfo *address,
                            const char *listen_text, struct ses_note *note)
{
    const int on = 1;
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } bound = {.ip6 = {0}};
    socklen_t len = sizeof bound;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, &bound.any, &len) != 0) {
        return explain_bind(errno, listen_text, note);
    }
    *out_port = ntohs(bound.any.sa_family == AF_INET6 ? bound.ip6.sin6_port : bound.ip4.sin_port);
    return SES_OK;
}

enum ses_err ses_rpc_listen(int *out_fd, uint16_t *out_port, bool *out_loopback, const char *listen,
                            struct ses_note *note)
{
    struct addrinfo *address = NULL;
    *out_fd = -1;
    SES_TRY(resolve(&address, listen, note));
    *out_loopback = ses_rpc_is_loopback(address->ai_addr);
    const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    enum ses_err err =
        fd < 0 ? explain_bind(errno, listen, note) : bind_to(fd, out_port, address, listen, note);
    freeaddrinfo(address);
    if (err != SES_OK && fd >= 0) {
        close(fd);
        return err;
    }
    *out_fd = fd;
    return err;
}

/* ---- which requests ---- */

/* Length of the host in "host:port", "[v6]:port", "host". */
static size_t host_len(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');
    if (end == NULL) {
        return strlen(host);
    }
    return (size_t)(end - host) + (host[0] == '[');
}

static bool is_address(const char *host, size_t len)
{
    struct in6_addr parsed;
    char text[INET6_ADDRSTRLEN + 1] = {0};
    const bool v6 = len > 2 && host[0] == '[' && host[len - 1] == ']';
    const size_t skip = v6 ? 1 : 0;
    if (len == 0 || len - 2 * skip > INET6_ADDRSTRLEN) {
        return false;
    }
    memcpy(text, host + skip, len - 2 * skip);
    return inet_pton(v6 ? AF_INET6 : AF_INET, text, &parsed) == 1;
}

bool ses_rpc_host_ok(const char *host, bool loopback)
{
    if (!loopback || host == NULL) {
        return true;
    }
    const size_t len = host_len(host);
    return (len == 9 && strncasecmp(host, "localhost", 9) == 0) || is_address(host, len);
}

bool ses_rpc_origin_ok(const char *origin, const char *host)
{
    if (origin == NULL) {
        return true;
    }
    const char *rest = strstr(origin, "://");
    return rest != NULL && host != NULL && strcasecmp(rest + 3, host) == 0;
}

bool ses_rpc_content_type_ok(const char *type)
{
    static const char json[] = "application/json";
    const size_t len = sizeof json - 1;
    if (type == NULL) {
        return true;
    }
    return strncasecmp(type, json, len) == 0 &&
           (type[len] == 0 || type[len] == ';' || type[len] == ' ');
}

bool ses_rpc_path_ok(const char *path)
{
    static const char host_path[] = "/ext/bc/";
    if (strcmp(path, "/rpc") == 0) {
        return true;
    }
    if (strncmp(path, host_path, sizeof host_path - 1) != 0) {
        return false;
    }
    const char *name = path + sizeof host_path - 1;
    const size_t len = strcspn(name, "/");
    return len > 0 && strcmp(name + len, "/rpc") == 0;
}
