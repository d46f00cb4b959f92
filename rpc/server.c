/* The HTTP server: libmicrohttpd with a pool of threads. */
#include <microhttpd.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "rpc/rpc_internal.h"

#define IDLE_SECONDS 30u
#define HEADER_BYTES_MAX 32768u

struct ses_rpc_server {
    struct MHD_Daemon *daemon;
    const struct ses_rpc_method *methods;
    const struct ses_rpc_page *pages;
    void *cookie;
    const struct ses_log *log;
    struct ses_hash token; /* SHA-256: comparing hashes hides the token's length too */
    bool has_token;
    bool loopback;
    uint16_t port;
    struct ses_rpc_guests guests;
    atomic_size_t body_bytes; /* held by all requests on their way */
};

/* One request on its way; `status` is set when it is refused before the body has come. */
struct request {
    struct ses_buf body;
    size_t counted; /* part of the server's body_bytes */
    int status;
    const char *why;
};

/* ---- responses ---- */

static enum MHD_Result respond(struct MHD_Connection *connection, int status, const char *type,
                               struct MHD_Response *response)
{
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result ok = MHD_add_response_header(response, "Content-Type", type);
    ok = ok == MHD_YES ? MHD_add_response_header(response, "Cache-Control", "no-store") : ok;
    ok =
        ok == MHD_YES ? MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") : ok;
    if (ok == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        ok = MHD_add_response_header(response, "Allow", "POST");
    }
    ok = ok == MHD_YES ? MHD_queue_response(connection, (unsigned)status, response) : ok;
    MHD_destroy_response(response);
    return ok;
}

/* `text` (from ses_alloc, may be NULL for an empty answer) goes with the response. */
static enum MHD_Result respond_text(struct MHD_Connection *connection, int status, const char *type,
                                    char *text)
{
    const size_t len = text != NULL ? strlen(text) : 0;
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(len, text, ses_free);
    if (response == NULL) {
        ses_free(text);
    }
    return respond(connection, status, type, response);
}

/* `why` needs no escaping: the texts below. */
static enum MHD_Result respond_refusal(struct MHD_Connection *connection, int status,
                                       const char *why)
{
    char text[400];
    const int len = snprintf(text, sizeof text, "{\"error\":\"%s\"}\n", why);
    SES_ASSERT(len > 0 && (size_t)len < sizeof text);
    return respond_text(connection, status, "application/json", ses_strdup(text));
}

/* ---- checks of the headers ---- */

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void refuse(struct request *request, int status, const char *why)
{
    request->status = status;
    request->why = why;
}

static bool length_ok(const char *length)
{
    return length == NULL || strlen(length) < 8
               ? length == NULL || strtoul(length, NULL, 10) <= SES_RPC_BODY_MAX
               : false;
}

static void check_origin(const struct ses_rpc_server *server, struct MHD_Connection *connection,
                         struct request *request)
{
    const char *host = header(connection, "Host");
    if (!ses_rpc_host_ok(host, server->loopback)) {
        refuse(request, MHD_HTTP_FORBIDDEN,
               "this server listens on loopback: ask for it by address or as localhost");
    } else if (!ses_rpc_origin_ok(header(connection, "Origin"), host)) {
        refuse(request, MHD_HTTP_FORBIDDEN, "calls from other web pages are not allowed");
    }
}

static void check_post(const struct ses_rpc_server *server, struct MHD_Connection *connection,
                       const char *path, struct request *request)
{
    if (!ses_rpc_path_ok(path)) {
        refuse(request, MHD_HTTP_NOT_FOUND, "JSON-RPC is at POST /rpc");
    } else if (!length_ok(header(connection, "Content-Length"))) {
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the request body may have 4 MiB at most");
    } else if (!ses_rpc_content_type_ok(header(connection, "Content-Type"))) {
        refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
               "send the request with the header Content-Type: application/json");
    } else {
        check_origin(server, connection, request);
    }
}

static bool is_authorised(const struct ses_rpc_server *server, struct MHD_Connection *connection)
{
    static const char scheme[] = "Bearer ";
    const char *given = header(connection, "Authorization");
    if (!server->has_token) {
        return true;
    }
    if (given == NULL || strncmp(given, scheme, sizeof scheme - 1) != 0) {
        return false;
    }
    struct ses_hash hash;
    given += sizeof scheme - 1;
    ses_sha256(&hash, SES_PARTS(SES_PART(given, strlen(given))));
    return ses_equal(hash.bytes, server->token.bytes, sizeof hash.bytes);
}

/* ---- requests ---- */

static const struct ses_rpc_page *find_page(const struct ses_rpc_server *server, const char *path)
{
    for (const struct ses_rpc_page *p = server->pages; p != NULL && p->path != NULL; p++) {
        if (strcmp(p->path, path) == 0) {
            return p;
        }
    }
    return NULL;
}

static enum MHD_Result serve_get(const struct ses_rpc_server *server,
                                 struct MHD_Connection *connection, const char *path)
{
    struct request check = {0};
    const struct ses_rpc_page *page = find_page(server, path);
    if (page == NULL) {
        return ses_rpc_path_ok(path)
                   ? respond_refusal(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                                     "JSON-RPC takes POST only")
                   : respond_refusal(connection, MHD_HTTP_NOT_FOUND, "there is no such page");
    }
    check_origin(server, connection, &check);
    if (check.status != 0) {
        return respond_refusal(connection, check.status, check.why);
    }
    int status = MHD_HTTP_OK;
    char *text = page->get(server->cookie, &status);
    if (text == NULL && status == MHD_HTTP_OK) {
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    return respond_text(connection, status, page->type, text);
}

static enum MHD_Result serve_post(const struct ses_rpc_server *server,
                                  struct MHD_Connection *connection, const struct request *request)
{
    int status = MHD_HTTP_OK;
    const char *text = request->body.len > 0 ? (const char *)request->body.bytes : "";
    char *answer = ses_rpc_dispatch(server->methods, server->cookie, text, request->body.len,
                                    is_authorised(server, connection), &status);
    return respond_text(connection, status, "application/json", answer);
}

static enum MHD_Result begin(const struct ses_rpc_server *server, struct MHD_Connection *connection,
                             const char *path, const char *method, void **state)
{
    struct request *request = ses_alloc(1, sizeof *request);
    if (request == NULL) {
        return MHD_NO;
    }
    *state = request;
    if (strcmp(method, "POST") == 0) {
        check_post(server, connection, path, request);
        /* answered at once: a body that nobody wants is not waited for */
        return request->status == 0 ? MHD_YES
                                    : respond_refusal(connection, request->status, request->why);
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return respond_refusal(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                               "POST for JSON-RPC and GET for pages is all there is");
    }
    return MHD_YES;
}

static void take_body(struct ses_rpc_server *server, struct request *request, const char *bytes,
                      size_t len)
{
    if (request->status != 0) {
        return;
    }
    if (len > SES_RPC_BODY_MAX - request->body.len) {
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the request body may have 4 MiB at most");
        return;
    }
    const size_t held = atomic_fetch_add(&server->body_bytes, len);
    request->counted += len;
    if (held + len > SES_RPC_BODIES_MAX) {
        refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE,
               "too many large requests at this moment; try again");
    } else if (ses_buf_append(&request->body, bytes, len) != SES_OK) {
        refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "the server has no memory for this request");
    }
}

static enum MHD_Result on_request(void *cookie, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **state)
{
    struct ses_rpc_server *server = cookie;
    (void)version;
    if (*state == NULL) {
        return begin(server, connection, path, method, state);
    }
    struct request *request = *state;
    if (*data_len > 0) {
        take_body(server, request, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (request->status != 0) {
        return respond_refusal(connection, request->status, request->why);
    }
    return strcmp(method, "POST") == 0 ? serve_post(server, connection, request)
                                       : serve_get(server, connection, path);
}

static void on_done(void *cookie, struct MHD_Connection *connection, void **state,
                    enum MHD_RequestTerminationCode code)
{
    struct ses_rpc_server *server = cookie;
    struct request *request = *state;
    (void)connection;
    (void)code;
    if (request != NULL) {
        atomic_fetch_sub(&server->body_bytes, request->counted);
        ses_buf_free(&request->body);
        ses_free(request);
        *state = NULL;
    }
}

static enum MHD_Result on_accept(void *cookie, const struct sockaddr *address, socklen_t len)
{
    struct ses_rpc_server *server = cookie;
    (void)len;
    return ses_rpc_guest_may(&server->guests, address) ? MHD_YES : MHD_NO;
}

static void on_connection(void *cookie, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct ses_rpc_server *server = cookie;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    (void)state;
    SES_ASSERT(info != NULL);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        ses_rpc_guest_enter(&server->guests, info->client_addr);
    } else {
        ses_rpc_guest_leave(&server->guests, info->client_addr);
    }
}

__attribute__((format(printf, 2, 0))) static void on_log(void *cookie, const char *format,
                                                         va_list args)
{
    const struct ses_rpc_server *server = cookie;
    char text[300];
    if (vsnprintf(text, sizeof text, format, args) > 0) {
        text[strcspn(text, "\n")] = 0;
        ses_logf(server->log, SES_LOG_DEBUG, "rpc", "%s", text);
    }
}

/* ---- life ---- */

static enum ses_err start(struct ses_rpc_server *server, int fd, uint32_t threads)
{
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ERROR_LOG, server->port,
        on_accept, server, on_request, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT, SES_RPC_CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEADER_BYTES_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_done, server, MHD_OPTION_END);
    return server->daemon != NULL ? SES_OK : SES_ERR_IO;
}

enum ses_err ses_rpc_server_new(struct ses_rpc_server **out,
                                const struct ses_rpc_server_params *params, struct ses_note *note)
{
    int fd = -1;
    *out = NULL;
    struct ses_rpc_server *server = ses_alloc(1, sizeof *server);
    SES_REQUIRE(server != NULL, SES_ERR_MEMORY);
    server->methods = params->methods;
    server->pages = params->pages;
    server->cookie = params->cookie;
    server->log = params->log;
    ses_rpc_guests_init(&server->guests,
                        params->per_address > 0 ? params->per_address : SES_RPC_PER_ADDRESS);
    server->has_token = params->token != NULL;
    if (server->has_token) {
        ses_sha256(&server->token, SES_PARTS(SES_PART(params->token, strlen(params->token))));
    }
    json_object_seed(0); /* before threads, as jansson asks */
    enum ses_err err = ses_rpc_listen(&fd, &server->port, &server->loopback, params->listen, note);
    if (err == SES_OK) {
        err = start(server, fd, params->threads > 0 ? params->threads : 2);
        if (err != SES_OK) {
            ses_note_set(note, "the HTTP server on %.100s does not start", params->listen);
            close(fd);
        }
    }
    if (err != SES_OK) {
        ses_rpc_server_free(server);
        return err;
    }
    *out = server;
    return SES_OK;
}

uint16_t ses_rpc_server_port(const struct ses_rpc_server *server)
{
    return server->port;
}

void ses_rpc_server_free(struct ses_rpc_server *server)
{
    if (server == NULL) {
        return;
    }
    if (server->daemon != NULL) {
        MHD_stop_daemon(server->daemon); /* closes the socket and joins the threads */
    }
    ses_rpc_guests_free(&server->guests);
    ses_wipe(&server->token, sizeof server->token);
    ses_free(server);
}
