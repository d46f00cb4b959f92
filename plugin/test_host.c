#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/tap.h"
#include "plugin/host.h"

#define START 1800000000u

/* A clock that the test sets; the host's thread reads it. */
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t clock_ms;

static uint64_t clock_now(void *ctx)
{
    (void)ctx;
    pthread_mutex_lock(&clock_lock);
    const uint64_t now = clock_ms;
    pthread_mutex_unlock(&clock_lock);
    return now;
}

static const struct ses_clock fake_clock = {.now_ms = clock_now};

static void clock_set(uint64_t seconds)
{
    pthread_mutex_lock(&clock_lock);
    clock_ms = seconds * 1000;
    pthread_mutex_unlock(&clock_lock);
}

static char dir[64];
static struct ses_buf genesis;
static struct ses_host *host;

static void host_start(void)
{
    struct ses_note note = {0};
    const struct ses_host_params params = {.genesis = genesis.bytes,
                                           .genesis_len = genesis.len,
                                           .data_dir = dir,
                                           .clock = &fake_clock};
    TAP_ERR(SES_OK, ses_host_new(&host, &params, &note));
    TAP_MUST(host != NULL);
}

static void begin(void)
{
    static const char pattern[] = "/tmp/ses-test-host-XXXXXX";
    static const char *const params[] = {"blockSeconds=1", "epochSeconds=1000",
                                         "settleSeconds=300"};
    const struct ses_genesis_options options = {.network_name = "test",
                                                .timestamp = "1800000000",
                                                .params = params,
                                                .param_cnt = SES_COUNT(params)};
    struct ses_note note = {0};
    memcpy(dir, pattern, sizeof pattern);
    TAP_MUST(mkdtemp(dir) != NULL);
    TAP_ERR(SES_OK, ses_genesis_make(&genesis, &options, ses_clock_system(), &note));
    clock_set(START);
    host_start();
}

static void end(void)
{
    static const char *const names[] = {"chain.db", "chain.lock"};
    ses_host_free(host);
    for (size_t i = 0; i < SES_COUNT(names); i++) {
        char path[128];
        TAP_MUST(snprintf(path, sizeof path, "%s/%s", dir, names[i]) > 0);
        TAP_OK(unlink(path) == 0);
    }
    TAP_OK(rmdir(dir) == 0);
    ses_buf_free(&genesis);
}

static struct ses_vm_head head(void)
{
    struct ses_vm_head now;
    pthread_mutex_lock(&host->lock);
    ses_vm_head(host->vm, &now);
    pthread_mutex_unlock(&host->lock);
    return now;
}

static enum ses_err fault(void)
{
    pthread_mutex_lock(&host->lock);
    const enum ses_err err = host->fault;
    pthread_mutex_unlock(&host->lock);
    return err;
}

static void nap(void)
{
    const struct timespec t = {.tv_nsec = 20000000};
    nanosleep(&t, NULL);
}

static void wait_for_height(uint64_t height)
{
    for (int i = 0; i < 3000 && head().height < height; i++) {
        nap();
    }
    TAP_MUST(head().height >= height);
}

static void test_boundaries(void)
{
    begin();
    TAP_EQ(0, head().height);
    clock_set(START + 700); /* the settle moment of epoch 0 */
    wait_for_height(1);
    TAP_EQ(0, head().epoch);
    clock_set(START + 1000);
    wait_for_height(2);
    TAP_EQ(1, head().epoch);
    TAP_EQ(START + 1000, head().timestamp);
    clock_set(START + 9500); /* epochs nobody saw leave no block */
    wait_for_height(3);
    TAP_EQ(9, head().epoch);
    TAP_EQ(3, head().height);
    TAP_ERR(SES_OK, fault());
    end();
}

/* A clock that goes back stops nothing for good: the chain goes on when time catches up. */
static void test_clock_goes_back(void)
{
    begin();
    clock_set(START + 1000);
    wait_for_height(1);
    clock_set(START + 100);
    for (int i = 0; i < 70; i++) {
        nap();
    }
    TAP_EQ(1, head().height);
    clock_set(START + 2000);
    wait_for_height(2);
    TAP_EQ(2, head().epoch);
    TAP_ERR(SES_OK, fault());
    end();
}

static void test_restart(void)
{
    begin();
    clock_set(START + 1000);
    wait_for_height(1);
    const struct ses_vm_head before = head();
    for (int i = 0; i < 3; i++) {
        ses_host_free(host);
        host_start();
        const struct ses_vm_head after = head();
        TAP_BYTES(before.id.bytes, after.id.bytes, 32);
        TAP_BYTES(before.state_root.bytes, after.state_root.bytes, 32);
    }
    end();
}

static void test_bad_starts(void)
{
    struct ses_host *second = NULL;
    struct ses_note note = {0};
    begin();
    struct ses_host_params params = {.genesis = genesis.bytes,
                                     .genesis_len = genesis.len,
                                     .data_dir = dir,
                                     .clock = &fake_clock};
    TAP_ERR(SES_ERR_IN_USE, ses_host_new(&second, &params, &note));
    TAP_OK(second == NULL);
    ses_host_free(host);
    params.genesis_len--;
    TAP_OK(ses_host_new(&second, &params, &note) != SES_OK && second == NULL);
    params.genesis_len++;
    params.rpc_listen = "nonsense";
    TAP_ERR(SES_ERR_CONFIG, ses_host_new(&second, &params, &note));
    host_start(); /* nothing was left locked */
    end();
}

int main(void)
{
    TAP_RUN(test_boundaries);
    TAP_RUN(test_clock_goes_back);
    TAP_RUN(test_restart);
    TAP_RUN(test_bad_starts);
    return tap_done();
}
