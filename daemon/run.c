/* sessiond --config F: from start to the end of the drain.
 *
 *     keys ─► local port ─► parameters of the chain (file, else asked for until they come)
 *          ─► store ─► host ─► daemon ─► listen ─► READY=1 ... SIGTERM ─► drain ─► store ─► host
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/program.h"

#define MODULE "program"
#define RETRY_MS 2000u
#define DRAIN_MS 8000u
#define HOST_CLOSE_MS 500u
#define FILES_RESERVED 512u /* logs, indexes, the chain, the local port, outbound connections */
#define STORE_RESERVE_BYTES ((uint64_t)256 << 20)

struct program {
    struct settings s;
    struct node_keys keys;
    struct ses_log log;
    struct ses_uv *uv;
    struct local_rpc *rpc;
    struct chain_http *chain;
    struct ses_endpoint endpoint; /* as configured */
    struct ses_chain_params chain_params;
    struct ses_disk disk;
    bool disk_open;
    struct ses_store *store;
    struct ses_net *host;
    struct ses_daemon *daemon;
    struct ses_daemon_status *status; /* scratch: it is large */
    struct ses_timer *retry;
    struct ses_timer *watchdog;
    struct ses_note waiting; /* why it does not serve yet */
    bool asking, stopping;
    int exit_code;
};

enum exit_code ses_exit_code(enum ses_err err)
{
    switch ((int)err) {
    case SES_OK:
        return EXIT_DONE;
    case SES_ERR_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case SES_ERR_EXISTS:
    case SES_ERR_PASSPHRASE:
    case SES_ERR_PERMISSION:
        return EXIT_REFUSED;
    case SES_ERR_UNREACHABLE:
    case SES_ERR_TIMEOUT:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_FAILED;
    }
}

static const struct ses_loop *loop_of(struct program *p)
{
    return ses_uv_loop(p->uv);
}

static void later(struct program *p, struct ses_timer **timer, uint64_t ms,
                  void (*fire)(void *cookie))
{
    if (loop_of(p)->timer_start(loop_of(p)->ctx, timer, ms, fire, p) != SES_OK) {
        *timer = NULL;
        ses_logf(&p->log, SES_LOG_ERROR, MODULE, "no timer: out of memory");
    }
}

/* ---- log ---- */
/* The loggers of base write to standard error, so a log file is put in its place. */
static enum ses_err log_open(const struct settings *s, struct ses_note *note)
{
    if (s->log_file == NULL) {
        return SES_OK;
    }
    const int fd = open(s->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
        ses_note_set(note, "cannot open log-file %.300s: %s", s->log_file, strerror(errno));
        return SES_ERR_PERMISSION;
    }
    close(fd);
    return SES_OK;
}

static void on_hup(void *cookie, int signum)
{
    (void)signum;
    struct program *p = cookie;
    struct ses_note note = {{0}};
    if (log_open(&p->s, &note) != SES_OK) {
        ses_logf(&p->log, SES_LOG_ERROR, MODULE, "%s", note.text);
    }
    ses_logf(&p->log, SES_LOG_INFO, MODULE, "log reopened");
}

/* ---- what the local port asks ---- */
static json_t *waiting_json(struct program *p)
{
    char id[SES_ID_TEXT_MAX];
    ses_node_id_text(id, &p->keys.node_id);
    return json_pack("{s:s, s:s, s:b, s:s, s:b, s:n, s:[], s:[], s:s}", "nodeId", id, "version",
                     SES_VERSION, "registered", false, "chain", p->waiting.text, "chainOk", false,
                     "swarm", "links", "challenges", "advice", p->waiting.text);
}

static json_t *on_status(void *cookie)
{
    struct program *p = cookie;
    if (p->daemon == NULL) {
        return waiting_json(p);
    }
    ses_daemon_status(p->daemon, p->status);
    json_t *json = ses_status_json(p->status);
    struct ses_host_stats host;
    struct ses_store_stats store;
    ses_host_stats(p->host, &host);
    if (json != NULL) {
        uint32_t report_cnt = 0;
        const struct ses_report *reports = ses_daemon_reports(p->daemon, &report_cnt);
        json_object_set_new(json, "challenges", ses_reports_json(reports, report_cnt));
        json_object_set_new(json, "links", ses_members_json(p->status));
        json_object_set_new(json, "replicas", json_integer(p->status->replicas));
        ses_store_stats(p->store, &store);
        json_object_set_new(json, "scrub", ses_scrub_json(&store));
        json_object_set_new(json, "connections", ses_json_u64(host.connections));
    }
    return json;
}

static json_t *on_storage(void *cookie)
{
    struct program *p = cookie;
    struct ses_store_stats stats;
    if (p->store == NULL) {
        return NULL;
    }
    ses_store_stats(p->store, &stats);
    return ses_storage_json(&stats);
}

static char *on_metrics(void *cookie)
{
    struct program *p = cookie;
    struct ses_store_stats stats;
    if (p->daemon == NULL) {
        return NULL;
    }
    ses_store_stats(p->store, &stats);
    ses_daemon_status(p->daemon, p->status);
    return ses_metrics_text(p->status, ses_daemon_stats(p->daemon), &stats);
}

static bool on_ready(void *cookie, struct ses_note *why)
{
    struct program *p = cookie;
    if (p->daemon == NULL || p->stopping) {
        ses_note_set(why, "%s", p->stopping ? "stopping" : p->waiting.text);
        return false;
    }
    ses_daemon_status(p->daemon, p->status);
    const bool ready =
        p->status->has_map && p->status->swarm != SES_SWARM_NONE && !p->status->disk_low;
    ses_note_set(why, "%s", p->status->advice[0] != '\0' ? p->status->advice : "ready");
    if (!ready && !p->status->chain_ok && !p->status->disk_low) {
        ses_note_set(why, "%s (%.200s)", p->status->advice, p->status->chain_text);
    }
    return ready;
}

/* ---- the end ---- */
static void finish(struct program *p, int exit_code)
{
    p->exit_code = exit_code;
    ses_uv_stop(p->uv);
}

static void on_host_closed(void *cookie)
{
    struct program *p = cookie;
    ses_logf(&p->log, SES_LOG_INFO, MODULE, "stopped");
    finish(p, p->exit_code);
}

static void on_store_closed(void *cookie)
{
    struct program *p = cookie;
    if (p->host != NULL) {
        ses_host_close(p->host, HOST_CLOSE_MS, on_host_closed, p);
    } else {
        finish(p, p->exit_code);
    }
}

static void on_drained(void *cookie)
{
    struct program *p = cookie;
    ses_store_close(p->store, on_store_closed, p);
}

static void stop(struct program *p, int exit_code)
{
    p->stopping = true;
    p->exit_code = exit_code;
    ses_systemd_notify("STOPPING=1");
    loop_of(p)->timer_stop(loop_of(p)->ctx, p->retry);
    p->retry = NULL;
    if (p->daemon != NULL) {
        ses_daemon_drain(p->daemon, DRAIN_MS, on_drained, p);
    } else if (p->store != NULL) {
        on_drained(p);
    } else if (!p->asking) {
        on_store_closed(p);
    } /* else the answer of the chain ends it */
}

static void on_term(void *cookie, int signum)
{
    struct program *p = cookie;
    if (p->stopping) {
        ses_logf(&p->log, SES_LOG_WARN, MODULE, "second signal: leaving at once");
        _exit(EXIT_FAILED);
    }
    ses_logf(&p->log, SES_LOG_INFO, MODULE, "signal %d: draining", signum);
    stop(p, EXIT_DONE);
}

/* Nothing may be acknowledged after this: no drain, no second thought. */
static void on_fatal(void *cookie, enum ses_err err, const char *what)
{
    struct program *p = cookie;
    ses_logf(&p->log, SES_LOG_ERROR, MODULE,
             "the store failed, stopping at once: %s: %s. Check the disk, then start again: what "
             "was acknowledged is verified at start",
             what, ses_err_text(err));
    _exit(EXIT_FAILED);
}

/* ---- serving ---- */
static enum ses_err open_store(struct program *p, struct ses_note *note)
{
    char path[PATH_CHARS];
    const struct ses_params *c = &p->chain_params.params;
    SES_TRY(ses_settings_path(&p->s, "data", path));
    SES_TRY(ses_disk_open(&p->disk, path, note));
    p->disk_open = true;
    const struct ses_store_params params = {
        .disk = &p->disk,
        .loop = loop_of(p),
        .random = ses_random_system(),
        .log = &p->log,
        .times = {.genesis_s = p->chain_params.genesis_timestamp,
                  .epoch_s = c->epoch_seconds,
                  .settle_s = c->settle_seconds,
                  .freeze_s = c->freeze_seconds},
        .chain_id = p->chain_params.chain_id,
        .node_id = p->keys.node_id,
        .key = p->keys.dsa,
        .inbox_quota_bytes = c->inbox_quota_bytes,
        .capacity_bytes = p->s.capacity,
        .entry_reserve_bytes = 2 * STORE_RESERVE_BYTES,
        .hard_reserve_bytes = STORE_RESERVE_BYTES,
        .scrub_rate = p->s.scrub_rate,
        .on_fatal = on_fatal,
        .cookie = p,
    };
    return ses_store_open(&p->store, &params, note);
}

static enum ses_err find_node(void *cookie, const struct ses_node_id *node_id,
                              struct ses_dsa_pk *out)
{
    const struct program *p = cookie;
    SES_REQUIRE(p->daemon != NULL, SES_ERR_NOT_FOUND);
    return ses_daemon_find_node(p->daemon, node_id, out);
}

/* Connections must not take the descriptors that the store needs: a log that cannot be opened
 * stops the node. */
static void limit_connections(struct program *p)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return;
    }
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    const uint64_t room =
        files.rlim_cur > 2 * FILES_RESERVED ? files.rlim_cur - FILES_RESERVED : files.rlim_cur / 2;
    if (p->s.connections_max > room) {
        ses_logf(&p->log, SES_LOG_WARN, MODULE,
                 "at most %" PRIu64 " connections: the system allows %" PRIu64
                 " open files (ulimit -n)",
                 room, (uint64_t)files.rlim_cur);
        p->s.connections_max = room;
    }
}

static enum ses_err open_host(struct program *p)
{
    limit_connections(p);
    struct ses_host_params params = {.uv = p->uv,
                                     .random = ses_random_system(),
                                     .log = &p->log,
                                     .peer_seed = p->keys.secret->peer,
                                     .chain_id = p->chain_params.chain_id,
                                     .is_node = true,
                                     .node_id = p->keys.node_id,
                                     .node_key = p->keys.dsa,
                                     .find_node = find_node,
                                     .find_cookie = p,
                                     .agent = PROGRAM "/" SES_VERSION,
                                     .connections_max = (uint32_t)p->s.connections_max};
    const enum ses_err err = ses_host_new(&p->host, &params);
    ses_wipe(&params.peer_seed, sizeof params.peer_seed);
    return err;
}

static enum ses_err open_daemon(struct program *p, struct ses_note *note)
{
    const struct ses_daemon_params params = {
        .loop = loop_of(p),
        .net = p->host,
        .store = p->store,
        .random = ses_random_system(),
        .log = &p->log,
        .chain = ses_chain_http_face(p->chain),
        .chain_params = p->chain_params,
        .node_id = p->keys.node_id,
        .key = p->keys.dsa,
        .secrets = p->keys.derived,
        .endpoint = &p->endpoint,
        .rotate_seconds = p->s.key_hours * 3600,
        .capacity_bytes = p->s.capacity,
        .agent = PROGRAM "/" SES_VERSION,
        .limits = {.store_rate = (uint32_t)p->s.store_rate, .read_rate = (uint32_t)p->s.read_rate},
    };
    return ses_daemon_new(&p->daemon, &params, note);
}

static enum ses_err listen_all(struct program *p, struct ses_note *note)
{
    for (uint32_t i = 0; i < p->s.listen_cnt; i++) {
        struct ses_multiaddr bound;
        char text[SES_MULTIADDR_TEXT_MAX];
        SES_TRY(ses_host_listen(p->host, p->s.listen[i], &bound, note));
        SES_TRY(ses_multiaddr_text(text, sizeof text, bound.bytes, bound.len));
        ses_logf(&p->log, SES_LOG_INFO, MODULE, "listening on %s", text);
    }
    return SES_OK;
}

static void serve(struct program *p)
{
    struct ses_note note = {{0}};
    enum ses_err err = open_store(p, &note);
    if (err == SES_OK) {
        err = open_host(p);
    }
    if (err == SES_OK) {
        err = open_daemon(p, &note);
    }
    if (err == SES_OK) {
        err = listen_all(p, &note);
    }
    if (err != SES_OK) {
        ses_logf(&p->log, SES_LOG_ERROR, MODULE, "cannot start: %s",
                 note.text[0] != '\0' ? note.text : ses_err_text(err));
        stop(p, EXIT_FAILED);
        return;
    }
    ses_systemd_notify("READY=1");
}

static void ask_params(void *cookie);

static void on_params(void *cookie, enum ses_err err, const struct ses_chain_params *params,
                      const struct ses_note *note)
{
    struct program *p = cookie;
    struct ses_note save = {{0}};
    p->asking = false;
    if (p->stopping) {
        on_store_closed(p);
    } else if (err == SES_OK) {
        p->chain_params = *params;
        if (ses_chain_file_save(&p->s, params, &save) != SES_OK) {
            ses_logf(&p->log, SES_LOG_WARN, MODULE, "%s", save.text);
        }
        serve(p);
    } else {
        ses_note_set(&p->waiting, "waiting for the chain, asked every 2 s: %.300s",
                     note->text[0] != '\0' ? note->text : ses_err_text(err));
        ses_logf(&p->log, SES_LOG_WARN, MODULE, "%s", p->waiting.text);
        later(p, &p->retry, RETRY_MS, ask_params);
    }
}

static void ask_params(void *cookie)
{
    struct program *p = cookie;
    p->retry = NULL;
    const enum ses_err err = ses_chain_http_params(p->chain, on_params, p);
    p->asking = err == SES_OK;
    if (err != SES_OK) {
        later(p, &p->retry, RETRY_MS, ask_params);
    }
}

static void on_watchdog(void *cookie)
{
    struct program *p = cookie;
    p->watchdog = NULL;
    ses_systemd_notify("WATCHDOG=1");
    later(p, &p->watchdog, ses_systemd_watchdog_ms(), on_watchdog);
}

/* ---- life ---- */
static enum ses_err watch_signals(struct program *p)
{
    SES_TRY(ses_uv_signal(p->uv, SIGTERM, on_term, p));
    SES_TRY(ses_uv_signal(p->uv, SIGINT, on_term, p));
    return ses_uv_signal(p->uv, SIGHUP, on_hup, p);
}

static enum ses_err open_local(struct program *p, struct ses_note *note)
{
    const struct local_rpc_params params = {.uv = p->uv,
                                            .listen = p->s.rpc_listen,
                                            .per_address = p->s.rpc_per_address,
                                            .chain_urls = p->s.chain,
                                            .log = &p->log,
                                            .status = on_status,
                                            .storage = on_storage,
                                            .metrics = on_metrics,
                                            .ready = on_ready,
                                            .cookie = p};
    return ses_local_rpc_new(&p->rpc, &params, note);
}

static enum ses_err begin(struct program *p, struct ses_note *note)
{
    p->status = ses_alloc(1, sizeof *p->status);
    SES_REQUIRE(p->status != NULL, SES_ERR_MEMORY);
    SES_TRY(ses_node_keys_load(&p->keys, &p->s, note));
    SES_TRY(ses_endpoint_make(&p->endpoint, &p->s, &p->keys.peer_pk, note));
    SES_TRY(ses_uv_new(&p->uv));
    SES_TRY(watch_signals(p));
    ses_note_set(&p->waiting, "waiting for the chain");
    SES_TRY(ses_chain_http_new(&p->chain, p->s.chain, loop_of(p), note));
    SES_TRY(open_local(p, note));
    const enum ses_err err = ses_chain_file_load(&p->s, &p->chain_params, note);
    if (err == SES_OK) {
        serve(p);
    } else if (err == SES_ERR_NOT_FOUND) {
        ask_params(p);
    } else {
        return err;
    }
    if (ses_systemd_watchdog_ms() > 0) {
        on_watchdog(p);
    }
    return SES_OK;
}

static void end(struct program *p)
{
    ses_local_rpc_free(p->rpc);
    ses_daemon_free(p->daemon);
    if (p->store != NULL) {
        ses_store_free(p->store);
    }
    if (p->host != NULL) {
        ses_host_free(p->host);
    }
    if (p->disk_open) {
        ses_disk_close(&p->disk);
    }
    ses_chain_http_free(p->chain);
    if (p->uv != NULL) {
        ses_uv_free(p->uv);
    }
    ses_node_keys_close(&p->keys);
    ses_free(p->status);
    ses_settings_free(&p->s);
}

enum exit_code ses_run_main(int argc, char **argv)
{
    struct program p = {.exit_code = EXIT_DONE};
    struct ses_note note = {{0}};
    enum ses_err err = ses_settings_read(&p.s, ses_settings_keys, &argc, argv, &note);
    if (err != SES_OK) {
        fprintf(stderr, "%s: %s\n", PROGRAM, note.text);
        return EXIT_USAGE;
    }
    p.log = p.s.log_json ? *ses_log_json() : *ses_log_stderr();
    p.log.level = p.s.log_level;
    err = log_open(&p.s, &note);
    if (err == SES_OK) {
        err = begin(&p, &note);
    }
    if (err == SES_OK) {
        ses_uv_run(p.uv);
    } else {
        ses_logf(&p.log, SES_LOG_ERROR, MODULE, "cannot start: %s",
                 note.text[0] != '\0' ? note.text : ses_err_text(err));
        p.exit_code = (int)ses_exit_code(err);
    }
    end(&p);
    return (enum exit_code)p.exit_code;
}

/* ---- check-config, status ---- */
enum exit_code ses_check_config_main(int argc, char **argv)
{
    struct settings s;
    struct node_keys keys = {0};
    struct ses_endpoint endpoint;
    struct ses_note note = {{0}};
    enum ses_err err = ses_settings_read(&s, ses_settings_keys, &argc, argv, &note);
    if (err != SES_OK) {
        fprintf(stderr, "%s: %s\n", PROGRAM, note.text);
        return EXIT_USAGE;
    }
    err = ses_node_keys_load(&keys, &s, &note);
    if (err == SES_OK) {
        err = ses_endpoint_make(&endpoint, &s, &keys.peer_pk, &note);
    }
    if (err == SES_OK) {
        char id[SES_ID_TEXT_MAX];
        ses_node_id_text(id, &keys.node_id);
        printf("ok: %s\n", id);
    } else {
        fprintf(stderr, "%s: %s\n", PROGRAM, note.text);
    }
    ses_node_keys_close(&keys);
    ses_settings_free(&s);
    return ses_exit_code(err);
}

enum exit_code ses_status_main(int argc, char **argv)
{
    struct settings s;
    char url[256];
    json_t *status = NULL;
    struct ses_rpc_client *client = NULL;
    struct ses_note note = {{0}};
    enum ses_err err = ses_settings_read(&s, ses_settings_keys, &argc, argv, &note);
    if (err != SES_OK) {
        fprintf(stderr, "%s: %s\n", PROGRAM, note.text);
        return EXIT_USAGE;
    }
    snprintf(url, sizeof url, "http://%s/rpc", s.rpc_listen);
    err = ses_rpc_client_new(&client, url, 5000, &note);
    if (err == SES_OK) {
        err = ses_rpc_call(client, "sessiond.status", json_object(), &status, &note);
    }
    if (err == SES_OK) {
        json_dumpf(status, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        const bool reached = err != SES_ERR_UNREACHABLE && err != SES_ERR_TIMEOUT;
        fprintf(stderr, "%s: the node does not answer at %s%s%s\n", PROGRAM, url,
                reached ? ": " : "; check that it runs, and rpc-listen", reached ? note.text : "");
    }
    json_decref(status);
    ses_rpc_client_free(client);
    ses_settings_free(&s);
    return ses_exit_code(err);
}
