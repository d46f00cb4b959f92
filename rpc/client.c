/* The client: one libcurl handle, a list of URLs, the first that answers. */
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "rpc/rpc_internal.h"

#define URLS_MAX 16u
#define CONNECT_MS_MAX 5000u

struct ses_rpc_client {
    CURL *curl;
    struct curl_slist *headers;
    char *urls[URLS_MAX];
    char shown[URLS_MAX][SES_RPC_URL_TEXT]; /* without user and password */
    bool loopback[URLS_MAX];
    size_t url_cnt;
    size_t last_good;
    uint32_t timeout_ms;
    int64_t next_id;
    struct ses_buf answer;
    size_t answer_max; /* of the call under way */
    bool too_large;
};

#define MIB ((size_t)1 << 20)
#define ANSWER_MAX (2 * MIB)
#define BYTES_PER_VALUE 64u /* at least, on average: what a parsed value takes in memory */
/* Methods with answers that are rightly larger. A registry row has at most 11.4 KB (two encryption
 * keys, eight addresses): this is room for 10,000. An epoch has a root for each swarm; a block is
 * told decoded and as bytes. */
static const struct {
    const char *method;
    size_t bytes;
} large[] = {
    {"sessionvm.getRegistry", 128 * MIB},   {"sessionvm.getEpochs", 64 * MIB},
    {"sessionvm.getBlock", 80 * MIB},       {"sessionvm.getEpoch", 4 * MIB},
    {"sessionvm.getServiceNodes", 4 * MIB},
};

static size_t answer_max_of(const char *method)
{
    for (size_t i = 0; i < SES_COUNT(large); i++) {
        if (strcmp(large[i].method, method) == 0) {
            return large[i].bytes;
        }
    }
    return ANSWER_MAX;
}

/* ---- URLs ---- */

static bool host_is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "[::1]") == 0;
}

/* Reads `text` into a URL with path; false if it is no http or https URL with a host. */
static bool url_complete(CURLU *url, char **out, bool *loopback, const char *text)
{
    char *scheme = NULL;
    char *host = NULL;
    char *path = NULL;
    bool ok = curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_PATH, &path, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    if (ok && (path[0] == 0 || strcmp(path, "/") == 0)) {
        ok = curl_url_set(url, CURLUPART_PATH, "/rpc", 0) == CURLUE_OK;
    }
    if (ok) {
        *loopback = host_is_loopback(host);
        ok = curl_url_get(url, CURLUPART_URL, out, 0) == CURLUE_OK;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(path);
    return ok;
}

/* All up to the last '@' goes: a password may hold any character. */
void ses_rpc_url_text(char out[SES_RPC_URL_TEXT], const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *at = strrchr(url, '@');
    const int head = at != NULL && scheme != NULL && scheme < at ? (int)(scheme + 3 - url) : 0;
    snprintf(out, SES_RPC_URL_TEXT, "%.*s%s", head, url, at != NULL ? at + 1 : url);
}

static enum ses_err url_add(struct ses_rpc_client *c, const char *text, struct ses_note *note)
{
    if (c->url_cnt == URLS_MAX) {
        ses_note_set(note, "at most %u URLs can be given", URLS_MAX);
        return SES_ERR_CONFIG;
    }
    char *shown = c->shown[c->url_cnt];
    ses_rpc_url_text(shown, text);
    CURLU *url = curl_url();
    SES_REQUIRE(url != NULL, SES_ERR_MEMORY);
    const bool ok = url_complete(url, &c->urls[c->url_cnt], &c->loopback[c->url_cnt], text);
    curl_url_cleanup(url);
    if (!ok) {
        ses_note_set(note,
                     "\"%.150s\" is no URL of a chain; give one like http://127.0.0.1:9652/rpc",
                     shown);
        return SES_ERR_CONFIG;
    }
    ses_rpc_url_text(shown, c->urls[c->url_cnt]);
    c->url_cnt++;
    return SES_OK;
}

static enum ses_err urls_add(struct ses_rpc_client *c, const char *urls, struct ses_note *note)
{
    const char *at = urls;
    while (*at != 0) {
        const size_t len = strcspn(at, ",");
        char text[1024];
        if (len >= sizeof text) {
            ses_note_set(note, "a URL is longer than %zu characters", sizeof text - 1);
            return SES_ERR_CONFIG;
        }
        const size_t skip = strspn(at, " ") < len ? strspn(at, " ") : len;
        memcpy(text, at + skip, len - skip);
        text[len - skip] = 0;
        text[strcspn(text, " ")] = 0;
        if (text[0] != 0) {
            SES_TRY(url_add(c, text, note));
        }
        at += len + (at[len] == ',');
    }
    if (c->url_cnt == 0) {
        ses_note_set(note, "no URL of a chain is given; set one like http://127.0.0.1:9652/rpc");
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

/* ---- life ---- */

static size_t on_answer(char *bytes, size_t size, size_t cnt, void *cookie)
{
    struct ses_rpc_client *c = cookie;
    const size_t len = size * cnt;
    if (len > c->answer_max - c->answer.len) {
        c->too_large = true;
        return 0;
    }
    return ses_buf_append(&c->answer, bytes, len) == SES_OK ? len : 0;
}

static enum ses_err headers_set(struct ses_rpc_client *c, const char *token)
{
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json");
    SES_REQUIRE(list != NULL, SES_ERR_MEMORY);
    struct curl_slist *longer = curl_slist_append(list, "Expect:"); /* no wait for 100-continue */
    if (longer != NULL && token != NULL) {
        char text[600];
        const int len = snprintf(text, sizeof text, "Authorization: Bearer %s", token);
        const bool fits = len > 0 && (size_t)len < sizeof text && strpbrk(token, "\r\n") == NULL;
        longer = fits ? curl_slist_append(list, text) : NULL;
        ses_wipe(text, sizeof text);
    }
    if (longer == NULL) {
        curl_slist_free_all(list);
        return SES_ERR_INVALID;
    }
    curl_slist_free_all(c->headers);
    c->headers = list;
    return curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, list) == CURLE_OK ? SES_OK
                                                                           : SES_ERR_MEMORY;
}

enum ses_err ses_rpc_client_set_token(struct ses_rpc_client *client, const char *token)
{
    return headers_set(client, token);
}

static enum ses_err curl_prepare(struct ses_rpc_client *c)
{
    const long connect_ms = c->timeout_ms < CONNECT_MS_MAX ? c->timeout_ms : CONNECT_MS_MAX;
    c->curl = curl_easy_init();
    SES_REQUIRE(c->curl != NULL, SES_ERR_MEMORY);
    const bool ok =
        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
#if LIBCURL_VERSION_NUM >= 0x075500
        curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
#else
        curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) ==
            CURLE_OK &&
#endif
        curl_easy_setopt(c->curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_POST, 1L) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "session/" SES_VERSION) == CURLE_OK;
    return ok ? headers_set(c, NULL) : SES_ERR_MEMORY;
}

enum ses_err ses_rpc_client_new(struct ses_rpc_client **out, const char *urls, uint32_t timeout_ms,
                                struct ses_note *note)
{
    *out = NULL;
    SES_REQUIRE(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, SES_ERR_MEMORY);
    json_object_seed(0);
    struct ses_rpc_client *c = ses_alloc(1, sizeof *c);
    if (c == NULL) {
        curl_global_cleanup();
        return SES_ERR_MEMORY;
    }
    c->timeout_ms = timeout_ms;
    c->next_id = 1;
    enum ses_err err = urls_add(c, urls, note);
    if (err == SES_OK) {
        err = curl_prepare(c);
    }
    if (err != SES_OK) {
        ses_rpc_client_free(c);
        return err;
    }
    *out = c;
    return SES_OK;
}

void ses_rpc_client_free(struct ses_rpc_client *client)
{
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->headers);
    for (size_t i = 0; i < client->url_cnt; i++) {
        curl_free(client->urls[i]);
    }
    ses_buf_free(&client->answer);
    ses_free(client);
    curl_global_cleanup();
}

/* ---- calls ---- */

/* One HTTP exchange; *why says what went wrong. */
static enum ses_err exchange(struct ses_rpc_client *c, size_t url, const struct ses_buf *request,
                             char why[200])
{
    c->answer.len = 0;
    c->too_large = false;
    const bool ok =
        curl_easy_setopt(c->curl, CURLOPT_URL, c->urls[url]) == CURLE_OK &&
        /* a proxy of the environment is for the world outside */
        curl_easy_setopt(c->curl, CURLOPT_PROXY, c->loopback[url] ? "" : NULL) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)request->len) == CURLE_OK &&
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, (const char *)request->bytes) == CURLE_OK;
    SES_REQUIRE(ok, SES_ERR_MEMORY);
    const CURLcode code = curl_easy_perform(c->curl);
    if (code == CURLE_OK) {
        const char *bounds = ses_json_bounds((const char *)c->answer.bytes, c->answer.len,
                                             c->answer_max / BYTES_PER_VALUE);
        snprintf(why, 200, "%s", bounds != NULL ? bounds : "this is no JSON-RPC server of a chain");
        return bounds == NULL ? SES_OK : SES_ERR_PEER;
    }
    const int len = snprintf(why, 200, "%s",
                             c->too_large ? "the answer is too large" : curl_easy_strerror(code));
    SES_ASSERT(len >= 0);
    return SES_ERR_UNREACHABLE;
}

/* The JSON-RPC error of an answer as ours. */
static enum ses_err read_error(const json_t *error, const char *url, struct ses_note *note)
{
    const char *message = json_string_value(json_object_get(error, "message"));
    const int64_t code = json_integer_value(json_object_get(error, "code"));
    const enum ses_err err = ses_rpc_err_of(code);
    ses_note_set(note, "%.350s", message != NULL ? message : ses_err_text(err));
    if (err == SES_ERR_PEER) {
        ses_note_set(note, "%.100s refused the call (code %lld): %.200s", url, (long long)code,
                     message != NULL ? message : "no message");
    }
    return err == SES_OK ? SES_ERR_PEER : err;
}

/* Whether the answer is JSON-RPC 2.0 to the request `id`: then *answer is a new reference. */
static bool read_answer(const struct ses_rpc_client *c, int64_t id, json_t **answer)
{
    json_error_t where;
    json_t *json =
        json_loadb((const char *)c->answer.bytes, c->answer.len, JSON_REJECT_DUPLICATES, &where);
    const json_t *got = json_object_get(json, "id");
    const bool error = json_is_object(json_object_get(json, "error"));
    /* a request that could not be read is answered with the id null */
    const bool same = json_is_integer(got) ? json_integer_value(got) == id : error;
    if (!same || (!error && json_object_get(json, "result") == NULL)) {
        json_decref(json);
        return false;
    }
    *answer = json;
    return true;
}

static enum ses_err request_text(struct ses_buf *out, int64_t id, const char *method,
                                 json_t *params)
{
    json_t *request = json_pack("{s:s, s:I, s:s, s:O}", "jsonrpc", "2.0", "id", (json_int_t)id,
                                "method", method, "params", params);
    SES_REQUIRE(request != NULL, SES_ERR_INVALID);
    const enum ses_err err = ses_json_dump(out, request);
    json_decref(request);
    return err;
}

/* Appends "URL: why; " as far as there is room. */
static void tried_add(struct ses_note *tried, const char *url, const char *why)
{
    const size_t at = strlen(tried->text);
    const int len = snprintf(tried->text + at, sizeof tried->text - at, "%s%.120s: %s",
                             at > 0 ? "; " : "", url, why);
    SES_ASSERT(len >= 0);
}

/* Asks one URL after the other; an answer of any kind ends it. */
static enum ses_err ask(struct ses_rpc_client *c, const struct ses_buf *request, int64_t id,
                        json_t **answer, struct ses_note *note)
{
    struct ses_note tried = {0};
    enum ses_err worst = SES_ERR_UNREACHABLE;
    for (size_t i = 0; i < c->url_cnt; i++) {
        const size_t url = (c->last_good + i) % c->url_cnt;
        char why[200] = "";
        const enum ses_err err = exchange(c, url, request, why);
        if (err == SES_OK && read_answer(c, id, answer)) {
            c->last_good = url;
            return SES_OK;
        }
        worst = err == SES_ERR_UNREACHABLE ? worst : SES_ERR_PEER;
        tried_add(&tried, c->shown[url], why);
    }
    ses_note_set(note, "no answer from the chain (%.300s); check that it runs and the URL",
                 tried.text);
    return worst;
}

enum ses_err ses_rpc_call(struct ses_rpc_client *client, const char *method, json_t *params,
                          json_t **result, struct ses_note *note)
{
    struct ses_buf request = {0};
    json_t *answer = NULL;
    const int64_t id = client->next_id++;
    *result = NULL;
    client->answer_max = answer_max_of(method);
    enum ses_err err = request_text(&request, id, method, params);
    json_decref(params);
    if (err == SES_OK) {
        err = ask(client, &request, id, &answer, note);
    }
    if (err == SES_OK) {
        const json_t *error = json_object_get(answer, "error");
        if (json_is_object(error)) {
            err = read_error(error, client->shown[client->last_good], note);
        } else {
            *result = json_incref(json_object_get(answer, "result"));
        }
    }
    json_decref(answer);
    ses_buf_free(&request);
    return err;
}
