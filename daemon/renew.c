/* RotateEncryptionKey and UpdateEndpoint: what the registry says of this node is kept current.
 *
 * Seeds of rotated keys lie in the store, sealed under a key that derives from the key file. A seed
 * is durable before its key is sent, and erased when the registry lists the key no more: whoever
 * takes the machine later cannot open what was sealed before. */
#include <inttypes.h>

#include "daemon/daemon_internal.h"
#include "daemon/epoch.h"

#define RING_KEY "node.kem"
#define RING_VERSION 1u
#define SEALED_BYTES (SES_AEAD_NONCE_BYTES + sizeof(struct ses_kem_seed) + SES_AEAD_TAG_BYTES)
#define AAD_BYTES (20u + 8u)

/* ---- the ring ---- */
static void ring_aad(uint8_t out[AAD_BYTES], const struct ses_daemon *d, uint64_t key_epoch)
{
    memcpy(out, d->p.node_id.bytes, 20);
    ses_put_u64(out + 20, key_epoch);
}

static enum ses_err seal_seed(uint8_t out[SEALED_BYTES], const struct ses_daemon *d,
                              const struct ring_key *key)
{
    struct ses_nonce nonce;
    uint8_t aad[AAD_BYTES];
    ses_random_fill(d->p.random, nonce.bytes, sizeof nonce.bytes);
    ring_aad(aad, d, key->key_epoch);
    memcpy(out, nonce.bytes, sizeof nonce.bytes);
    return ses_aead_seal(out + sizeof nonce.bytes, &d->p.secrets->wrap, &nonce, aad, sizeof aad,
                         key->seed.bytes, sizeof key->seed.bytes);
}

static enum ses_err open_seed(struct ring_key *key, const struct ses_daemon *d,
                              const uint8_t sealed[SEALED_BYTES])
{
    struct ses_nonce nonce;
    uint8_t aad[AAD_BYTES];
    struct ses_kem_private *private = NULL;
    memcpy(nonce.bytes, sealed, sizeof nonce.bytes);
    ring_aad(aad, d, key->key_epoch);
    SES_TRY(ses_aead_open(key->seed.bytes, &d->p.secrets->wrap, &nonce, aad, sizeof aad,
                          sealed + sizeof nonce.bytes, SEALED_BYTES - sizeof nonce.bytes));
    SES_TRY(ses_kem_private_new(&private, &key->seed));
    ses_kem_private_pk(private, &key->pk);
    ses_kem_private_free(private);
    return SES_OK;
}

static enum ses_err ring_save(struct ses_daemon *d)
{
    uint8_t bytes[2 + RING_KEYS_MAX * (8 + SEALED_BYTES)];
    uint8_t sealed[SEALED_BYTES];
    const struct ring *ring = &d->epochs.ring;
    struct ses_writer w;
    ses_writer_init(&w, bytes, sizeof bytes);
    ses_write_u8(&w, RING_VERSION);
    ses_write_u8(&w, (uint8_t)ring->cnt);
    for (uint32_t i = 0; i < ring->cnt; i++) {
        SES_TRY(seal_seed(sealed, d, &ring->keys[i]));
        ses_write_u64(&w, ring->keys[i].key_epoch);
        ses_write_bytes(&w, sealed, sizeof sealed);
    }
    SES_TRY(ses_writer_done(&w));
    return ses_store_meta_set(d->p.store, RING_KEY, bytes, w.len);
}

static enum ses_err read_ring(struct ses_daemon *d, const struct ses_buf *bytes)
{
    struct ring *ring = &d->epochs.ring;
    struct ses_reader r;
    ses_reader_init(&r, bytes->bytes, bytes->len);
    ses_reader_check(&r, ses_read_u8(&r) == RING_VERSION, SES_ERR_VERSION);
    const uint8_t cnt = ses_read_u8(&r);
    ses_reader_check(&r, cnt <= RING_KEYS_MAX, SES_ERR_MALFORMED);
    for (uint8_t i = 0; r.err == SES_OK && i < cnt; i++) {
        struct ring_key *key = &ring->keys[i];
        key->key_epoch = ses_read_u64(&r);
        const uint8_t *sealed = ses_read_view(&r, SEALED_BYTES);
        if (sealed != NULL) {
            SES_TRY(open_seed(key, d, sealed));
        }
    }
    SES_TRY(ses_reader_done(&r));
    ring->cnt = cnt;
    return SES_OK;
}

/* Lost seeds cost what was sealed to their keys, not the node: a new key follows. */
void ses_renew_load(struct ses_daemon *d)
{
    struct ses_buf bytes = {0};
    enum ses_err err = ses_store_meta_get(d->p.store, RING_KEY, &bytes);
    if (err == SES_OK) {
        err = read_ring(d, &bytes);
    }
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "the kept encryption keys cannot be read: %s",
                 ses_err_text(err));
    }
    ses_buf_free(&bytes);
}

void ses_renew_free(struct ses_daemon *d)
{
    ses_wipe(&d->epochs.ring, sizeof d->epochs.ring);
}

static bool same_pk(const struct ses_kem_pk *a, const struct ses_kem_pk *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Listed, or sent in this epoch and to be listed in the next one. */
static bool in_use(const struct ring_key *key, const struct ses_node_keys *listed, uint64_t epoch)
{
    return key->key_epoch >= epoch || same_pk(&key->pk, &listed->encryption_key) ||
           (listed->has_prev_encryption_key && same_pk(&key->pk, &listed->prev_encryption_key));
}

static const struct ses_map_node *own_row(const struct ses_daemon *d)
{
    return ses_map_find(d->map, &d->p.node_id);
}

void ses_renew_begin(struct ses_daemon *d)
{
    struct ring *ring = &d->epochs.ring;
    const struct ses_map_node *own = own_row(d);
    const uint32_t before = ring->cnt;
    uint32_t kept = 0;
    if (own == NULL) {
        return;
    }
    for (uint32_t i = 0; i < before; i++) {
        if (in_use(&ring->keys[i], &own->keys, d->epochs.plan->epoch)) {
            ring->keys[kept++] = ring->keys[i];
        }
    }
    ses_wipe(&ring->keys[kept], (RING_KEYS_MAX - kept) * sizeof ring->keys[0]);
    ring->cnt = kept;
    if (kept < before && ring_save(d) != SES_OK) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "a former encryption key could not be erased");
    }
}

enum ses_err ses_daemon_kem_seed(const struct ses_daemon *d, const struct ses_kem_pk *pk,
                                 struct ses_kem_seed *out)
{
    const struct ring *ring = &d->epochs.ring;
    for (uint32_t i = 0; i < ring->cnt; i++) {
        if (same_pk(&ring->keys[i].pk, pk)) {
            *out = ring->keys[i].seed;
            return SES_OK;
        }
    }
    return SES_ERR_NOT_FOUND;
}

/* ---- transactions ---- */
struct renew_job {
    struct task *task;
    uint64_t epoch;
    struct ses_tx tx;
    struct ses_buf bytes;
    enum ses_err err;
};

static void job_run(void *cookie)
{
    struct renew_job *job = cookie;
    job->err = ses_epochs_sign(job->task->d, &job->tx, &job->bytes);
}

static void job_done(void *cookie)
{
    struct renew_job *job = cookie;
    struct task *task = job->task;
    struct ses_daemon *d = task->d;
    if (ses_epochs_running(d, job->epoch) && task->state == TASK_MAKING) {
        if (job->err == SES_OK) {
            ses_task_ready(task, &job->bytes);
        } else {
            ses_task_again(task);
        }
    }
    ses_buf_free(&job->bytes);
    ses_free(job);
    ses_daemon_release(d);
}

static void start_job(struct task *task, const struct ses_tx *tx)
{
    struct renew_job *job = ses_alloc(1, sizeof *job);
    enum ses_err err = SES_ERR_MEMORY;
    task->state = TASK_MAKING;
    if (job != NULL) {
        job->task = task;
        job->epoch = task->d->epochs.plan->epoch;
        job->tx = *tx;
        err = ses_daemon_work(task->d, job_run, job_done, job);
    }
    if (err != SES_OK) {
        ses_free(job);
        ses_task_again(task);
    }
}

/* ---- the encryption key ---- */
/* When the listed key came into the registry. */
static uint64_t listed_since_ms(const struct ses_daemon *d, const struct ses_map_node *own)
{
    const struct ring *ring = &d->epochs.ring;
    for (uint32_t i = 0; i < ring->cnt; i++) {
        if (same_pk(&ring->keys[i].pk, &own->keys.encryption_key)) {
            return ses_epoch_start_ms(&d->times, ring->keys[i].key_epoch);
        }
    }
    return d->epochs.standing->node.registered_at * 1000;
}

static bool rotation_due(const struct ses_daemon *d, const struct ses_map_node *own)
{
    const uint64_t since_ms = listed_since_ms(d, own);
    const uint64_t now_ms = ses_epochs_now(d);
    return d->p.rotate_seconds != 0 && now_ms >= since_ms &&
           now_ms - since_ms >= d->p.rotate_seconds * 1000;
}

/* The key of this epoch: of a former run, or a fresh one, durable before anybody learns of it. */
static enum ses_err fresh_key(struct ses_daemon *d, struct ses_kem_pk *pk)
{
    struct ring *ring = &d->epochs.ring;
    struct ses_kem_private *private = NULL;
    const uint64_t epoch = d->epochs.plan->epoch;
    for (uint32_t i = 0; i < ring->cnt; i++) {
        if (ring->keys[i].key_epoch == epoch) {
            *pk = ring->keys[i].pk;
            return SES_OK;
        }
    }
    SES_REQUIRE(ring->cnt < RING_KEYS_MAX, SES_ERR_FULL);
    struct ring_key *key = &ring->keys[ring->cnt];
    ses_random_fill(d->p.random, key->seed.bytes, sizeof key->seed.bytes);
    SES_TRY(ses_kem_private_new(&private, &key->seed));
    ses_kem_private_pk(private, &key->pk);
    ses_kem_private_free(private);
    key->key_epoch = epoch;
    ring->cnt++;
    const enum ses_err err = ring_save(d);
    if (err != SES_OK) {
        ring->cnt--;
        ses_wipe(key, sizeof *key);
        return err;
    }
    *pk = key->pk;
    return SES_OK;
}

static void rotate(struct ses_daemon *d)
{
    struct task *task = &d->epochs.rotate;
    const struct ses_map_node *own = own_row(d);
    struct ses_tx tx = {.type = SES_TX_ROTATE_KEY};
    if (own == NULL || !rotation_due(d, own)) {
        task->state = TASK_IDLE; /* the next epoch looks again */
        return;
    }
    tx.body.rotate_key.node_id = d->p.node_id;
    tx.body.rotate_key.key_epoch = d->epochs.plan->epoch;
    const enum ses_err err = fresh_key(d, &tx.body.rotate_key.encryption_key);
    if (err != SES_OK) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "no new encryption key: %s", ses_err_text(err));
        task->state = TASK_IDLE;
        return;
    }
    ses_logf(d->p.log, SES_LOG_INFO, MODULE, "a new encryption key from epoch %" PRIu64 " on",
             d->epochs.plan->epoch + 1);
    start_job(task, &tx);
}

/* ---- the address ---- */
static bool same_endpoint(const struct ses_endpoint *a, const struct ses_endpoint *b)
{
    uint8_t one[SES_ENDPOINT_BYTES_MAX], two[SES_ENDPOINT_BYTES_MAX];
    struct ses_writer v, w;
    ses_writer_init(&v, one, sizeof one);
    ses_endpoint_write(&v, a);
    ses_writer_init(&w, two, sizeof two);
    ses_endpoint_write(&w, b);
    return ses_writer_done(&v) == SES_OK && ses_writer_done(&w) == SES_OK && v.len == w.len &&
           memcmp(one, two, v.len) == 0;
}

static void announce(struct ses_daemon *d)
{
    struct task *task = &d->epochs.announce;
    const struct ses_map_node *own = own_row(d);
    struct ses_tx tx = {.type = SES_TX_ENDPOINT};
    if (own == NULL || d->p.endpoint == NULL || same_endpoint(d->p.endpoint, &own->endpoint)) {
        task->state = TASK_IDLE;
        return;
    }
    tx.body.endpoint.node_id = d->p.node_id;
    tx.body.endpoint.sequence = d->follow.head.timestamp; /* not above the next block's time */
    tx.body.endpoint.endpoint = *d->p.endpoint;
    ses_logf(d->p.log, SES_LOG_INFO, MODULE,
             "the registry lists another address of this node: announcing the configured one");
    start_job(task, &tx);
}

void ses_renew_turn(struct ses_daemon *d)
{
    struct epochs *e = &d->epochs;
    const uint64_t mono_ms = ses_daemon_mono(d);
    const bool due = ses_epochs_now(d) >= e->plan->commit_ms;
    if (due && e->rotate.state == TASK_WAITING && mono_ms >= e->rotate.next_ms) {
        rotate(d);
    }
    if (due && e->announce.state == TASK_WAITING && mono_ms >= e->announce.next_ms) {
        announce(d);
    }
    ses_task_submit(&e->rotate);
    ses_task_submit(&e->announce);
}
