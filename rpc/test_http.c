#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/tap.h"
#include "rpc/rpc_internal.h"

static json_t *echo(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)error;
    return json_incref(params);
}

static json_t *refuse(void *cookie, json_t *params, struct ses_rpc_error *error)
{
    (void)cookie;
    (void)params;
    return ses_rpc_fail(error, SES_ERR_FUNDS, "the account has 1 nLUX; 2 are needed");
}

static char *page(void *cookie, int *http_status)
{
    (void)cookie;
    *http_status = 503;
    return ses_strdup("not yet\n");
}

static const struct ses_rpc_method methods[] = {
    {"t.echo", echo, false}, {"t.refuse", refuse, false}, {"t.change", echo, true}, {0}};
static const struct ses_rpc_page pages[] = {{"/readyz", "text/plain", page}, {0}};

static struct ses_rpc_server *server_start(const char *token)
{
    struct ses_rpc_server *server = NULL;
    struct ses_note note = {0};
    const struct ses_rpc_server_params params = {
        .listen = "127.0.0.1:0", .methods = methods, .pages = pages, .token = token};
    TAP_ERR(SES_OK, ses_rpc_server_new(&server, &params, &note));
    TAP_MUST(server != NULL);
    return server;
}

static int dial_to(const struct sockaddr_in *address)
{
    const struct timeval patience = {.tv_sec = 20};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TAP_MUST(fd >= 0);
    TAP_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
    TAP_MUST(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

static int dial(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return dial_to(&address);
}

/* Sends raw text and returns the status of the answer; the answer stays in `answer`. */
static char answer[8192];
static int raw(const struct ses_rpc_server *server, const char *text)
{
    const int fd = dial(ses_rpc_server_port(server));
    size_t len = 0;
    ssize_t got = 1;
    TAP_OK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
    while (got > 0 && len < sizeof answer - 1) {
        got = recv(fd, answer + len, sizeof answer - 1 - len, 0);
        len += got > 0 ? (size_t)got : 0;
    }
    answer[len] = 0;
    close(fd);
    return len > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
}

#define ECHO_BODY "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.echo\"}"
#define CHANGE_BODY "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"t.change\"}"

static int post(const struct ses_rpc_server *server, const char *path, const char *headers,
                const char *body)
{
    char text[4096];
    const int len = snprintf(text, sizeof text,
                             "POST %s HTTP/1.1\r\nConnection: close\r\n%sContent-Length: "
                             "%zu\r\n\r\n%s",
                             path, headers, strlen(body), body);
    TAP_MUST(len > 0 && (size_t)len < sizeof text);
    return raw(server, text);
}

#define HOST "Host: 127.0.0.1:1\r\n"
#define JSON "Content-Type: application/json\r\n"

static void test_paths_and_types(void)
{
    struct ses_rpc_server *server = server_start(NULL);
    TAP_EQ(200, (uint64_t)post(server, "/rpc", HOST JSON, ECHO_BODY));
    TAP_OK(strstr(answer, "\"result\":{}") != NULL);
    TAP_EQ(200, (uint64_t)post(server, "/ext/bc/session/rpc", HOST JSON, ECHO_BODY));
    TAP_EQ(200, (uint64_t)post(server, "/rpc", HOST, ECHO_BODY));
    TAP_EQ(200,
           (uint64_t)post(server, "/rpc", HOST "Content-Type: application/json; charset=utf-8\r\n",
                          ECHO_BODY));
    TAP_EQ(415, (uint64_t)post(server, "/rpc", HOST "Content-Type: text/plain\r\n", ECHO_BODY));
    TAP_EQ(415,
           (uint64_t)post(server, "/rpc",
                          HOST "Content-Type: application/x-www-form-urlencoded\r\n", ECHO_BODY));
    TAP_EQ(404, (uint64_t)post(server, "/", HOST JSON, ECHO_BODY));
    TAP_EQ(404, (uint64_t)post(server, "/ext/bc//rpc", HOST JSON, ECHO_BODY));
    TAP_EQ(404, (uint64_t)post(server, "/ext/bc/a/b/rpc", HOST JSON, ECHO_BODY));
    TAP_EQ(204, (uint64_t)post(server, "/rpc", HOST JSON,
                               "{\"jsonrpc\":\"2.0\",\"method\":\"t.echo\"}"));
    TAP_EQ(400, (uint64_t)post(server, "/rpc", HOST JSON, ""));
    TAP_EQ(400, (uint64_t)post(server, "/rpc", HOST JSON,
                               "{\"id\":1,\"method\":\"t.refuse\",\"params\":[{}]}"));
    TAP_OK(strstr(answer, "\"error\":\"the account has 1 nLUX; 2 are needed\"") != NULL);
    ses_rpc_server_free(server);
}

static void test_pages(void)
{
    struct ses_rpc_server *server = server_start(NULL);
    TAP_EQ(503, (uint64_t)raw(server, "GET /readyz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    TAP_OK(strstr(answer, "not yet\n") != NULL);
    TAP_EQ(404, (uint64_t)raw(server, "GET /x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    TAP_EQ(405, (uint64_t)raw(server, "GET /rpc HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    TAP_OK(strstr(answer, "Allow: POST") != NULL);
    TAP_EQ(405, (uint64_t)raw(server, "PUT /rpc HTTP/1.1\r\n" HOST "Connection: close\r\n"
                                      "Content-Length: 0\r\n\r\n"));
    ses_rpc_server_free(server);
}

static void test_browsers(void)
{
    struct ses_rpc_server *server = server_start(NULL);
    TAP_EQ(403,
           (uint64_t)post(server, "/rpc", HOST JSON "Origin: https://evil.example\r\n", ECHO_BODY));
    TAP_EQ(403, (uint64_t)post(server, "/rpc", HOST JSON "Origin: null\r\n", ECHO_BODY));
    TAP_EQ(200,
           (uint64_t)post(server, "/rpc", HOST JSON "Origin: http://127.0.0.1:1\r\n", ECHO_BODY));
    TAP_EQ(403, (uint64_t)post(server, "/rpc",
                               "Host: evil.example\r\n" JSON "Origin: http://evil.example\r\n",
                               ECHO_BODY));
    TAP_EQ(200, (uint64_t)post(server, "/rpc", "Host: localhost:9652\r\n" JSON, ECHO_BODY));
    TAP_EQ(200, (uint64_t)post(server, "/rpc", "Host: [::1]:9652\r\n" JSON, ECHO_BODY));
    TAP_EQ(403, (uint64_t)raw(server, "GET /readyz HTTP/1.1\r\nHost: evil.example\r\n"
                                      "Connection: close\r\n\r\n"));
    ses_rpc_server_free(server);
}

static void test_hosts(void)
{
    TAP_OK(ses_rpc_host_ok("evil.example", false));
    TAP_OK(ses_rpc_host_ok(NULL, true));
    TAP_OK(ses_rpc_host_ok("LOCALHOST", true));
    TAP_OK(!ses_rpc_host_ok("", true));
    TAP_OK(!ses_rpc_host_ok("[", true));
    TAP_OK(!ses_rpc_host_ok("[]", true));
    TAP_OK(!ses_rpc_host_ok("localhost.evil.example", true));
    TAP_OK(!ses_rpc_host_ok("127.0.0.1.evil.example", true));
    TAP_OK(!ses_rpc_origin_ok("evil", "evil"));
    TAP_OK(!ses_rpc_origin_ok("http://a", NULL));
    TAP_OK(!ses_rpc_content_type_ok("application/jsonx"));
    TAP_OK(!ses_rpc_path_ok("/rpc/"));
    TAP_OK(!ses_rpc_path_ok("/ext/bc/rpc"));
}

static void test_sizes(void)
{
    struct ses_rpc_server *server = server_start(NULL);
    char text[600];
    int len =
        snprintf(text, sizeof text, "POST /rpc HTTP/1.1\r\n" HOST JSON "Content-Length: %u\r\n\r\n",
                 SES_RPC_BODY_MAX + 1);
    TAP_MUST(len > 0);
    TAP_EQ(413, (uint64_t)raw(server, text));
    TAP_EQ(413, (uint64_t)raw(server, "POST /rpc HTTP/1.1\r\n" HOST JSON
                                      "Content-Length: 99999999999999\r\n\r\n"));
    ses_rpc_server_free(server);
}

/* A body without announced length is counted as it comes. */
static void test_chunked_body_is_bounded(void)
{
    struct ses_rpc_server *server = server_start(NULL);
    const int fd = dial(ses_rpc_server_port(server));
    static char chunk[65536 + 9];
    const char head[] = "POST /rpc HTTP/1.1\r\n" HOST JSON "Connection: close\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n";
    TAP_OK(send(fd, head, sizeof head - 1, MSG_NOSIGNAL) > 0);
    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, ' ', 65536);
    memcpy(chunk + 7 + 65536, "\r\n", 2);
    for (int i = 0; i < 66; i++) { /* 64 chunks are the limit */
        if (send(fd, chunk, sizeof chunk, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    TAP_OK(send(fd, "0\r\n\r\n", 5, MSG_NOSIGNAL) == 5);
    const ssize_t got = recv(fd, answer, sizeof answer - 1, 0);
    TAP_MUST(got > 12);
    TAP_EQ(413, (uint64_t)strtol(answer + 9, NULL, 10));
    close(fd);
    ses_rpc_server_free(server);
}

/* Bodies that never end hold memory: all together no more than the server allows. */
static void test_bodies_are_bounded_together(void)
{
    enum { HELD = SES_RPC_BODIES_MAX / SES_RPC_BODY_MAX };
    struct ses_rpc_server *server = server_start(NULL);
    int fds[HELD];
    char head[200];
    const int head_len =
        snprintf(head, sizeof head, "POST /rpc HTTP/1.1\r\n" HOST JSON "Content-Length: %u\r\n\r\n",
                 SES_RPC_BODY_MAX);
    char *body = ses_alloc(SES_RPC_BODY_MAX, 1);
    TAP_MUST(head_len > 0 && body != NULL);
    memset(body, ' ', SES_RPC_BODY_MAX);
    for (int i = 0; i < HELD; i++) {
        fds[i] = dial(ses_rpc_server_port(server));
        TAP_OK(send(fds[i], head, (size_t)head_len, MSG_NOSIGNAL) == head_len);
        TAP_OK(send(fds[i], body, SES_RPC_BODY_MAX - 1, MSG_NOSIGNAL) == SES_RPC_BODY_MAX - 1);
    }
    int status = 200;
    for (int i = 0; i < 1000 && status != 503; i++) { /* until the last bytes have arrived */
        status = post(server, "/rpc", HOST JSON, ECHO_BODY);
    }
    TAP_EQ(503, (uint64_t)status);
    for (int i = 0; i < HELD; i++) {
        close(fds[i]);
    }
    for (int i = 0; i < 1000 && status != 200; i++) {
        status = post(server, "/rpc", HOST JSON, ECHO_BODY);
    }
    TAP_EQ(200, (uint64_t)status);
    ses_free(body);
    ses_rpc_server_free(server);
}

static void test_token(void)
{
    struct ses_rpc_server *server = server_start("secret");
    TAP_EQ(200, (uint64_t)post(server, "/rpc", HOST JSON, ECHO_BODY));
    TAP_EQ(401, (uint64_t)post(server, "/rpc", HOST JSON, CHANGE_BODY));
    TAP_EQ(401, (uint64_t)post(server, "/rpc", HOST JSON "Authorization: Bearer secre\r\n",
                               CHANGE_BODY));
    TAP_EQ(401, (uint64_t)post(server, "/rpc", HOST JSON "Authorization: Basic secret\r\n",
                               CHANGE_BODY));
    TAP_EQ(200, (uint64_t)post(server, "/rpc", HOST JSON "Authorization: Bearer secret\r\n",
                               CHANGE_BODY));
    ses_rpc_server_free(server);
}

static void test_listen_errors(void)
{
    static const char *const bad[] = {
        "",       "9652",           "127.0.0.1",   "127.0.0.1:", "127.0.0.1:99999",
        "::1:80", "example.org:80", "127.0.0.1:x", ":80",        "[]:1"};
    struct ses_rpc_server *server = server_start(NULL);
    struct ses_rpc_server *second = NULL;
    struct ses_note note = {0};
    char taken[40];
    TAP_MUST(snprintf(taken, sizeof taken, "127.0.0.1:%u", ses_rpc_server_port(server)) > 0);
    struct ses_rpc_server_params params = {.listen = taken, .methods = methods};
    TAP_ERR(SES_ERR_IN_USE, ses_rpc_server_new(&second, &params, &note));
    TAP_OK(second == NULL && strstr(note.text, taken) != NULL);
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        params.listen = bad[i];
        TAP_ERR(SES_ERR_CONFIG, ses_rpc_server_new(&second, &params, &note));
    }
    ses_rpc_server_free(server);
}

static void test_ipv6(void)
{
    struct ses_rpc_server *server = NULL;
    struct ses_note note = {0};
    const struct ses_rpc_server_params params = {.listen = "[::1]:0", .methods = methods};
    const enum ses_err err = ses_rpc_server_new(&server, &params, &note);
    if (err == SES_ERR_IO) {
        tap_skip("this machine has no IPv6 loopback");
        return;
    }
    TAP_ERR(SES_OK, err);
    TAP_MUST(server != NULL);
    char url[60];
    struct ses_rpc_client *client = NULL;
    json_t *result = NULL;
    TAP_MUST(snprintf(url, sizeof url, "http://[::1]:%u/rpc", ses_rpc_server_port(server)) > 0);
    TAP_ERR(SES_OK, ses_rpc_client_new(&client, url, 20000, &note));
    TAP_ERR(SES_OK, ses_rpc_call(client, "t.echo", json_object(), &result, &note));
    json_decref(result);
    ses_rpc_client_free(client);
    ses_rpc_server_free(server);
}

/* ---- client ---- */

static struct ses_rpc_client *client_start(const char *urls)
{
    struct ses_rpc_client *client = NULL;
    struct ses_note note = {0};
    TAP_ERR(SES_OK, ses_rpc_client_new(&client, urls, 20000, &note));
    TAP_MUST(client != NULL);
    return client;
}

static void test_call_and_failover(void)
{
    struct ses_rpc_server *server = server_start("secret");
    struct ses_note note = {0};
    json_t *result = NULL;
    char urls[100];
    /* nobody listens on port 1; a URL without path means /rpc */
    TAP_MUST(snprintf(urls, sizeof urls, "http://127.0.0.1:1/rpc, http://127.0.0.1:%u",
                      ses_rpc_server_port(server)) > 0);
    struct ses_rpc_client *client = client_start(urls);
    for (int i = 0; i < 3; i++) {
        TAP_ERR(SES_OK, ses_rpc_call(client, "t.echo", json_pack("{s:i}", "a", i), &result, &note));
        TAP_EQ((uint64_t)i, (uint64_t)json_integer_value(json_object_get(result, "a")));
        json_decref(result);
    }
    TAP_ERR(SES_ERR_FUNDS, ses_rpc_call(client, "t.refuse", json_object(), &result, &note));
    TAP_TEXT("the account has 1 nLUX; 2 are needed", note.text);
    TAP_ERR(SES_ERR_VERSION, ses_rpc_call(client, "t.none", json_object(), &result, &note));
    TAP_ERR(SES_ERR_UNAUTHORISED, ses_rpc_call(client, "t.change", json_object(), &result, &note));
    TAP_ERR(SES_ERR_INVALID, ses_rpc_client_set_token(client, "a\r\nHost: x"));
    TAP_ERR(SES_OK, ses_rpc_client_set_token(client, "secret"));
    TAP_ERR(SES_OK, ses_rpc_call(client, "t.change", json_object(), &result, &note));
    json_decref(result);
    ses_rpc_server_free(server);
    TAP_ERR(SES_ERR_UNREACHABLE, ses_rpc_call(client, "t.echo", json_object(), &result, &note));
    TAP_OK(result == NULL && strstr(note.text, "http://127.0.0.1:1/rpc") != NULL);
    ses_rpc_client_free(client);
}

static void test_bad_urls(void)
{
    static const char *const bad[] = {
        "", " , ", "ftp://127.0.0.1/", "file:///etc/passwd", "127.0.0.1:80", "http://", "nonsense"};
    struct ses_rpc_client *client = NULL;
    struct ses_note note = {0};
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        TAP_ERR(SES_ERR_CONFIG, ses_rpc_client_new(&client, bad[i], 1000, &note));
        TAP_OK(client == NULL);
    }
}

/* An address of this machine that is not loopback; false: it has none. */
static bool own_address(struct sockaddr_in *out)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    TAP_MUST(getifaddrs(&list) == 0);
    for (const struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
        found = i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET &&
                (i->ifa_flags & IFF_UP) != 0 && !ses_rpc_is_loopback(i->ifa_addr);
        if (found) {
            memcpy(out, i->ifa_addr, sizeof *out);
        }
    }
    freeifaddrs(list);
    return found;
}

/* Whether the server answers on this connection, and keeps it. */
static bool serves(int fd)
{
    static const char get[] = "GET /readyz HTTP/1.1\r\n" HOST "\r\n";
    return send(fd, get, sizeof get - 1, MSG_NOSIGNAL) > 0 &&
           recv(fd, answer, sizeof answer - 1, 0) > 0;
}

static void test_one_address_does_not_take_all(void)
{
    enum { MAX = 3 };
    struct ses_rpc_server *server = NULL;
    struct ses_note note = {0};
    struct sockaddr_in address = {0};
    int fds[MAX + 8];
    int guests = 0;
    const struct ses_rpc_server_params params = {.listen = "0.0.0.0:0",
                                                 .methods = methods,
                                                 .pages = pages,
                                                 .per_address = MAX,
                                                 .threads = 1};
    if (!own_address(&address)) {
        tap_skip("this machine has no address but loopback");
        return;
    }
    TAP_ERR(SES_OK, ses_rpc_server_new(&server, &params, &note));
    TAP_MUST(server != NULL);
    address.sin_port = htons(ses_rpc_server_port(server));
    for (int i = 0; i < MAX + 8; i++) {
        fds[i] = dial_to(&address);
        guests += serves(fds[i]);
    }
    TAP_EQ(MAX, (uint64_t)guests);
    for (int i = 0; i < 2 * MAX; i++) { /* loopback has no such limit */
        TAP_EQ(503,
               (uint64_t)raw(server, "GET /readyz HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"));
    }
    for (int i = 0; i < MAX + 8; i++) {
        close(fds[i]);
    }
    bool again = false; /* once the server has seen that they are gone */
    for (int i = 0; i < 1000 && !again; i++) {
        const int fd = dial_to(&address);
        again = serves(fd);
        close(fd);
    }
    TAP_OK(again);
    ses_rpc_server_free(server);
}

static struct sockaddr_in6 v6(const char *text)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    TAP_MUST(inet_pton(AF_INET6, text, &address.sin6_addr) == 1);
    return address;
}

static bool may(struct ses_rpc_guests *g, const char *text)
{
    const struct sockaddr_in6 address = v6(text);
    return ses_rpc_guest_may(g, (const struct sockaddr *)(const void *)&address);
}

static void enter(struct ses_rpc_guests *g, const char *text)
{
    const struct sockaddr_in6 address = v6(text);
    ses_rpc_guest_enter(g, (const struct sockaddr *)(const void *)&address);
}

static void test_guests(void)
{
    struct ses_rpc_guests *g = ses_alloc(1, sizeof *g);
    TAP_MUST(g != NULL);
    ses_rpc_guests_init(g, 2);
    enter(g, "2001:db8:0:1::1");
    TAP_OK(may(g, "2001:db8:0:1::1"));
    enter(g, "2001:db8:0:1::2"); /* the same network */
    TAP_OK(!may(g, "2001:db8:0:1::3"));
    TAP_OK(may(g, "2001:db8:0:2::1"));
    enter(g, "::ffff:192.0.2.1"); /* IPv4 through an IPv6 socket: each address for itself */
    enter(g, "::ffff:192.0.2.1");
    TAP_OK(!may(g, "::ffff:192.0.2.1"));
    TAP_OK(may(g, "::ffff:192.0.2.2"));
    for (int i = 0; i < 5; i++) {
        enter(g, "::1");
        enter(g, "::ffff:127.0.0.1");
    }
    TAP_OK(may(g, "::1") && may(g, "::ffff:127.0.0.1"));
    const struct sockaddr_in6 gone = v6("2001:db8:0:1::1");
    ses_rpc_guest_leave(g, (const struct sockaddr *)(const void *)&gone);
    TAP_OK(may(g, "2001:db8:0:1::3"));
    TAP_OK(!may(g, "::ffff:192.0.2.1"));
    TAP_EQ(2, g->cnt);
    ses_rpc_guests_free(g);
    ses_free(g);
}

static void test_passwords_are_not_shown(void)
{
    static const char *const bad[] = {"ftp://ann:s3cret@127.0.0.1/", "ann:s3cret@127.0.0.1:80",
                                      "http://ann:s3c@s3cret@/", "http://ann:s3cret/@x:y:z/"};
    struct ses_rpc_client *client = NULL;
    struct ses_note note = {0};
    json_t *result = NULL;
    for (size_t i = 0; i < SES_COUNT(bad); i++) {
        TAP_ERR(SES_ERR_CONFIG, ses_rpc_client_new(&client, bad[i], 1000, &note));
        TAP_OK(note.text[0] != 0 && strstr(note.text, "s3c") == NULL);
    }
    client = client_start("http://ann:s3cret@127.0.0.1:1/rpc");
    TAP_ERR(SES_ERR_UNREACHABLE, ses_rpc_call(client, "t.echo", json_object(), &result, &note));
    TAP_OK(strstr(note.text, "http://127.0.0.1:1/rpc") != NULL);
    TAP_OK(strstr(note.text, "s3cret") == NULL && strstr(note.text, "ann") == NULL);
    ses_rpc_client_free(client);
}

/* A server that says one thing to one connection, then `fill` bytes more. */
struct liar {
    int fd;
    const char *text;
    size_t fill;
};

static void *liar_run(void *cookie)
{
    const struct liar *liar = cookie;
    static char block[65536];
    const int fd = accept(liar->fd, NULL, NULL);
    ssize_t ok = recv(fd, block, sizeof block, 0);
    ok = ok > 0 ? send(fd, liar->text, strlen(liar->text), MSG_NOSIGNAL) : -1;
    for (size_t sent = 0; ok > 0 && sent < liar->fill; sent += (size_t)ok) {
        ok = send(fd, block, sizeof block, MSG_NOSIGNAL);
    }
    close(fd);
    return NULL;
}

static enum ses_err ask_liar_for(const char *method, const char *text, size_t fill,
                                 struct ses_note *note)
{
    struct liar liar = {.text = text, .fill = fill};
    uint16_t port = 0;
    bool loopback = false;
    TAP_ERR(SES_OK, ses_rpc_listen(&liar.fd, &port, &loopback, "127.0.0.1:0", note));
    TAP_MUST(loopback && fcntl(liar.fd, F_SETFL, 0) == 0); /* the server's sockets do not block */
    char url[60];
    TAP_MUST(snprintf(url, sizeof url, "http://127.0.0.1:%u/rpc", port) > 0);
    struct ses_rpc_client *client = client_start(url);
    pthread_t thread;
    json_t *result = NULL;
    TAP_MUST(pthread_create(&thread, NULL, liar_run, &liar) == 0);
    const enum ses_err err = ses_rpc_call(client, method, json_object(), &result, note);
    json_decref(result);
    ses_rpc_client_free(client);
    TAP_OK(pthread_join(thread, NULL) == 0);
    close(liar.fd);
    return err;
}

static enum ses_err ask_liar(const char *text, size_t fill, struct ses_note *note)
{
    return ask_liar_for("t.echo", text, fill, note);
}

static void test_liars(void)
{
    struct ses_note note = {0};
    TAP_ERR(SES_ERR_PEER,
            ask_liar("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: "
                     "0\r\n\r\n",
                     0, &note));
    TAP_ERR(SES_ERR_PEER, ask_liar("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhtml", 0, &note));
    TAP_ERR(SES_ERR_PEER, ask_liar("HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"
                                   "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":9000}",
                                   0, &note));
    TAP_ERR(SES_ERR_UNREACHABLE,
            ask_liar("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", 0, &note));
    TAP_ERR(SES_ERR_UNREACHABLE,
            ask_liar("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", 80000000, &note));
    TAP_OK(strstr(note.text, "too large") != NULL);
    TAP_ERR(SES_ERR_UNREACHABLE,
            ask_liar_for("sessionvm.getHead", "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n",
                         3145728, &note));
    TAP_OK(strstr(note.text, "too large") != NULL);
    TAP_ERR(SES_ERR_PEER, /* a registry may be of this size; zeros are none */
            ask_liar_for("sessionvm.getRegistry",
                         "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n", 3145728, &note));
}

/* Small texts that take much memory, or much stack, once they are parsed. */
static void test_answers_are_bounded_before_parsing(void)
{
    enum { CNT = 100000 };
    static char text[2 * CNT + 100];
    struct ses_note note = {0};
    int len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", CNT);
    TAP_MUST(len > 0);
    memset(text + len, '[', CNT);
    TAP_ERR(SES_ERR_PEER, ask_liar(text, 0, &note));
    TAP_OK(strstr(note.text, "nested too deeply") != NULL);
    len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n[", 2 * CNT);
    TAP_MUST(len > 0);
    for (int i = 0; i < 2 * CNT - 1; i++) {
        text[len + i] = i % 2 == 0 ? '1' : ',';
    }
    TAP_ERR(SES_ERR_PEER, ask_liar(text, 0, &note));
    TAP_OK(strstr(note.text, "too many values") != NULL);
}

int main(void)
{
    TAP_RUN(test_paths_and_types);
    TAP_RUN(test_pages);
    TAP_RUN(test_browsers);
    TAP_RUN(test_hosts);
    TAP_RUN(test_sizes);
    TAP_RUN(test_chunked_body_is_bounded);
    TAP_RUN(test_bodies_are_bounded_together);
    TAP_RUN(test_token);
    TAP_RUN(test_listen_errors);
    TAP_RUN(test_ipv6);
    TAP_RUN(test_call_and_failover);
    TAP_RUN(test_bad_urls);
    TAP_RUN(test_liars);
    TAP_RUN(test_answers_are_bounded_before_parsing);
    TAP_RUN(test_passwords_are_not_shown);
    TAP_RUN(test_guests);
    TAP_RUN(test_one_address_does_not_take_all);
    return tap_done();
}
