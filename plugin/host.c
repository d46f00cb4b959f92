/* The standalone host: one thread makes the blocks, the server's threads ask and submit. */
#include "plugin/host.h"

#include <errno.h>
#include <time.h>

#define IDLE_MS_MAX 1000u /* the clock may be set; a look a second finds out */
#define RETRY_MS 1000u    /* after a failure, of the disk above all */
#define NOTHING_MS 100u   /* when the vm wanted a block and then had none */

/* ---- the producer; all with the lock held ---- */

static const char *fault_advice(enum ses_err err)
{
    if (err == SES_ERR_NO_SPACE) {
        return "free some space on its disk";
    }
    return err == SES_ERR_TIME ? "set the clock of this machine"
                               : "check its disk, then restart sessionvm";
}

/* Said once per kind of failure, not at every try. */
static void fault_set(struct ses_host *host, enum ses_err err)
{
    if (host->fault == err) {
        return;
    }
    host->fault = err;
    ses_note_set(&host->fault_note, "the chain accepts no blocks at the moment: %s; %s",
                 ses_err_text(err), fault_advice(err));
    ses_logf(host->log, SES_LOG_ERROR, "plugin", "%s error=%s", host->fault_note.text,
             ses_err_name(err));
}

static void fault_clear(struct ses_host *host)
{
    if (host->fault != SES_OK) {
        ses_logf(host->log, SES_LOG_INFO, "plugin", "blocks are accepted again");
        host->fault = SES_OK;
    }
}

static void log_block(const struct ses_host *host)
{
    struct ses_vm_head head;
    ses_vm_head(host->vm, &head);
    char id[65];
    ses_hex_encode(id, head.id.bytes, 32);
    ses_logf(host->log, SES_LOG_INFO, "plugin", "block accepted height=%llu epoch=%llu id=%.16s",
             (unsigned long long)head.height, (unsigned long long)head.epoch, id);
}

/* A block that could not be written stays: it is tried again before another is built. */
static enum ses_err accept_undecided(struct ses_host *host)
{
    SES_TRY(ses_vm_accept(host->vm, &host->undecided));
    host->has_undecided = false;
    log_block(host);
    return SES_OK;
}

static enum ses_err produce(struct ses_host *host)
{
    if (!host->has_undecided) {
        SES_TRY(ses_vm_build(host->vm, &host->undecided));
        host->has_undecided = true;
    }
    SES_TRY(accept_undecided(host));
    struct ses_vm_head head;
    ses_vm_head(host->vm, &head);
    return ses_vm_set_preference(host->vm, &head.id);
}

/* Makes a block if it is time; how many ms to sleep. */
static uint64_t producer_step(struct ses_host *host)
{
    const uint64_t now = ses_mono_ms();
    uint64_t next_ms = UINT64_MAX;
    if (now < host->earliest) {
        return host->earliest - now;
    }
    if (!host->has_undecided && !ses_vm_wants_block(host->vm, &next_ms)) {
        const uint64_t unix_ms = ses_now_ms(host->clock);
        const uint64_t left = next_ms > unix_ms ? next_ms - unix_ms : NOTHING_MS;
        return left < IDLE_MS_MAX ? left : IDLE_MS_MAX;
    }
    const enum ses_err err = produce(host);
    if (err == SES_OK) {
        fault_clear(host);
        host->earliest = now + host->block_ms;
    } else if (err == SES_ERR_AGAIN) {
        host->earliest = now + NOTHING_MS;
    } else {
        fault_set(host, err);
        host->earliest = now + RETRY_MS;
    }
    return 0;
}

static void sleep_ms(struct ses_host *host, uint64_t ms)
{
    const uint64_t until = ses_mono_ms() + ms;
    const struct timespec at = {.tv_sec = (time_t)(until / 1000),
                                .tv_nsec = (long)(until % 1000) * 1000000};
    const int woken = pthread_cond_timedwait(&host->wake, &host->lock, &at);
    SES_ASSERT(woken == 0 || woken == ETIMEDOUT);
}

static void *producer_run(void *cookie)
{
    struct ses_host *host = cookie;
    pthread_mutex_lock(&host->lock);
    while (!host->stop) {
        const uint64_t ms = producer_step(host);
        if (ms > 0 && !host->stop) {
            sleep_ms(host, ms);
        }
    }
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

/* ---- pages ---- */

json_t *ses_host_health(struct ses_host *host)
{
    struct ses_vm_head head;
    struct ses_mempool_info pool;
    ses_vm_head(host->vm, &head);
    ses_vm_mempool(host->vm, &pool);
    return json_pack("{s:b, s:o, s:o, s:o, s:I, s:s, s:o}", "healthy", host->fault == SES_OK,
                     "height", ses_json_u64(head.height), "epoch", ses_json_u64(head.epoch),
                     "lastBlockAt", ses_json_u64(head.timestamp), "pendingTxs",
                     (json_int_t)pool.tx_cnt, "version", SES_VERSION, "fault",
                     host->fault == SES_OK ? json_null() : json_string(host->fault_note.text));
}

static char *page_health(void *cookie, int *http_status)
{
    (void)cookie;
    *http_status = 200;
    return ses_strdup("ok\n");
}

static char *page_ready(void *cookie, int *http_status)
{
    struct ses_host *host = cookie;
    pthread_mutex_lock(&host->lock);
    const bool ready = host->fault == SES_OK;
    const struct ses_note note = host->fault_note;
    pthread_mutex_unlock(&host->lock);
    *http_status = ready ? 200 : 503;
    return ses_strdup(ready ? "ready\n" : note.text);
}

/* ---- life ---- */

static enum ses_err open_vm(struct ses_host *host, const struct ses_host_params *params,
                            struct ses_note *note)
{
    struct ses_vm_params vm = {.genesis = params->genesis,
                               .genesis_len = params->genesis_len,
                               .clock = params->clock,
                               .log = params->log};
    SES_TRY(ses_db_open(&host->db, params->data_dir, note));
    SES_TRY(ses_workers_new(&host->workers, 0));
    ses_db_kv(host->db, &vm.kv);
    vm.parallel = ses_workers_parallel(host->workers);
    SES_TRY(ses_vm_new(&host->vm, &vm, note));
    struct ses_params rules;
    uint64_t timestamp = 0;
    char name[64];
    ses_vm_params_of(host->vm, &rules, &timestamp, name);
    host->block_ms = rules.block_seconds * 1000;
    return SES_OK;
}

/* A block in the second in which the last one was made, before a restart, has to wait. */
static void wait_for_last(struct ses_host *host)
{
    struct ses_vm_head head;
    ses_vm_head(host->vm, &head);
    const uint64_t now = ses_now_ms(host->clock);
    const uint64_t next = head.timestamp * 1000 + host->block_ms;
    if (head.timestamp <= now / 1000 && next > now) {
        host->earliest = ses_mono_ms() + (next - now);
    }
}

static enum ses_err open_server(struct ses_host *host, const struct ses_host_params *params,
                                struct ses_note *note)
{
    static const struct ses_rpc_page pages[] = {
        {"/healthz", "text/plain", page_health}, {"/readyz", "text/plain", page_ready}, {0}};
    const struct ses_rpc_server_params server = {.listen = params->rpc_listen,
                                                 .methods = ses_host_methods(),
                                                 .pages = pages,
                                                 .cookie = host,
                                                 .log = params->log,
                                                 .threads = params->rpc_threads,
                                                 .per_address = params->rpc_per_address};
    return params->rpc_listen != NULL ? ses_rpc_server_new(&host->server, &server, note) : SES_OK;
}

static enum ses_err start(struct ses_host *host, const struct ses_host_params *params,
                          struct ses_note *note)
{
    SES_TRY(open_vm(host, params, note));
    wait_for_last(host);
    SES_TRY(open_server(host, params, note));
    SES_REQUIRE(pthread_create(&host->producer, NULL, producer_run, host) == 0, SES_ERR_MEMORY);
    host->producing = true;
    return SES_OK;
}

static void init_locks(struct ses_host *host)
{
    pthread_condattr_t attr;
    SES_ASSERT(pthread_condattr_init(&attr) == 0);
    SES_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    SES_ASSERT(pthread_cond_init(&host->wake, &attr) == 0);
    pthread_condattr_destroy(&attr);
    SES_ASSERT(pthread_mutex_init(&host->lock, NULL) == 0);
}

enum ses_err ses_host_new(struct ses_host **out, const struct ses_host_params *params,
                          struct ses_note *note)
{
    *out = NULL;
    struct ses_host *host = ses_alloc(1, sizeof *host);
    SES_REQUIRE(host != NULL, SES_ERR_MEMORY);
    init_locks(host);
    host->clock = params->clock;
    host->log = params->log;
    const enum ses_err err = start(host, params, note);
    if (err != SES_OK) {
        ses_host_free(host);
        return err;
    }
    *out = host;
    return SES_OK;
}

uint16_t ses_host_port(const struct ses_host *host)
{
    return host->server != NULL ? ses_rpc_server_port(host->server) : 0;
}

void ses_host_free(struct ses_host *host)
{
    if (host == NULL) {
        return;
    }
    ses_rpc_server_free(host->server);
    if (host->producing) {
        pthread_mutex_lock(&host->lock);
        host->stop = true;
        pthread_cond_signal(&host->wake);
        pthread_mutex_unlock(&host->lock);
        SES_ASSERT(pthread_join(host->producer, NULL) == 0);
    }
    ses_vm_free(host->vm);
    ses_workers_free(host->workers);
    ses_db_close(host->db);
    pthread_cond_destroy(&host->wake);
    pthread_mutex_destroy(&host->lock);
    ses_free(host);
}
