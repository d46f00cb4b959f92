/* What the client takes from its chain: which chain it is, the registry, the time. */
#include <inttypes.h>
#include <string.h>

#include "client/client_internal.h"

#define REGISTRY_FILE "registry"
#define REGISTRY_MAGIC "sesregi\x01"
#define REGISTRY_FILE_MAX 536870912u
#define REFRESH_PAUSE_MS 5000u /* the chain may be late with a new epoch: ask it no more often */
#define EPOCHS_BEHIND_MAX 2u

/* ---- which chain ---- */

/* A profile belongs to one chain for ever: another one would see its IDs and give it other nodes.
 */
static enum ses_err pin_chain(struct ses_client *c, struct ses_note *note)
{
    static const struct ses_hash zero;
    const struct ses_hash *got = &c->params.chain_id;
    SES_TRY(ses_client_begin(c, note));
    if (memcmp(c->state.chain_id.bytes, zero.bytes, sizeof zero.bytes) == 0) {
        c->state.chain_id = *got;
        return ses_client_commit(c, SES_SAVE_STATE, note);
    }
    ses_client_abort(c);
    if (memcmp(c->state.chain_id.bytes, got->bytes, sizeof got->bytes) != 0) {
        char mine[65];
        char theirs[65];
        ses_hex_encode(mine, c->state.chain_id.bytes, 32);
        ses_hex_encode(theirs, got->bytes, 32);
        ses_note_set(note,
                     "this profile belongs to chain %.16s..., the chain URL serves %.16s... "
                     "(%s): correct the URL or use another profile",
                     mine, theirs, c->params.network_name);
        return SES_ERR_CONFIG;
    }
    return SES_OK;
}

enum ses_err ses_client_need_chain(struct ses_client *c, struct ses_note *note)
{
    if (c->chain == NULL) {
        ses_note_set(note, "no chain URL is configured: without one there is no network");
        return SES_ERR_CONFIG;
    }
    if (c->rpc == NULL) {
        SES_TRY(ses_rpc_client_new(&c->rpc, c->chain, c->timeout_ms, note));
    }
    if (!c->chain_checked) {
        SES_TRY(ses_chain_get_params(c->rpc, &c->params, note));
        SES_REQUIRE(c->params.params.epoch_seconds > 0, SES_ERR_PEER);
        SES_TRY(pin_chain(c, note));
        c->chain_checked = true;
    }
    return SES_OK;
}

/* ---- the registry ---- */

static void load_cached(struct ses_client *c)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    if (c->registry.loaded || ses_client_path(c, REGISTRY_FILE, path, NULL) != SES_OK) {
        return;
    }
    struct ses_note note = {0};
    enum ses_err err = ses_file_load(path, REGISTRY_MAGIC, REGISTRY_FILE_MAX, &bytes, &note);
    if (err == SES_OK) {
        err = ses_registry_cache_decode(&c->registry, bytes.bytes, bytes.len);
    }
    if (err == SES_OK && memcmp(c->registry.chain_id.bytes, c->state.chain_id.bytes, 32) != 0) {
        ses_registry_cache_free(&c->registry); /* of a profile that was copied together */
    }
    if (err != SES_OK && err != SES_ERR_NOT_FOUND) {
        /* only a cache: the chain has it */
        ses_logf(&c->log, SES_LOG_WARN, "registry", "cached copy dropped: %s", note.text);
    }
    ses_buf_free(&bytes);
}

static void save_cached(struct ses_client *c)
{
    char path[SES_PATH_MAX];
    struct ses_buf bytes = {0};
    struct ses_note note = {0};
    enum ses_err err = ses_registry_cache_encode(&bytes, &c->registry);
    if (err == SES_OK) {
        err = ses_client_path(c, REGISTRY_FILE, path, &note);
    }
    if (err == SES_OK) {
        err = ses_file_save(path, REGISTRY_MAGIC, &bytes, &note);
    }
    if (err != SES_OK) {
        ses_logf(&c->log, SES_LOG_WARN, "registry", "cannot be cached: %s", note.text);
    }
    ses_buf_free(&bytes);
}

static enum ses_err take_row(void *cookie, const struct ses_registry_row *row,
                             const struct ses_node_keys *keys, const struct ses_endpoint *endpoint)
{
    return ses_registry_cache_put(cookie, row, keys, endpoint);
}

/* A delta onto what we have, or the whole; checked against the root. */
static enum ses_err fetch_registry(struct ses_client *c, bool whole, struct ses_registry_cache *out,
                                   struct ses_note *note)
{
    struct ses_json_registry header;
    memset(out, 0, sizeof *out);
    if (!whole) {
        SES_TRY(ses_registry_cache_copy(out, &c->registry));
    }
    out->chain_id = c->params.chain_id;
    out->genesis_s = c->params.genesis_timestamp;
    out->epoch_s = c->params.params.epoch_seconds;
    memcpy(out->network_name, c->params.network_name, sizeof out->network_name);
    out->network_name[sizeof out->network_name - 1] = 0;
    SES_TRY(ses_chain_get_registry(c->rpc, whole ? UINT64_MAX : c->registry.map.epoch, &header,
                                   take_row, out, note));
    out->map.epoch = header.epoch;
    out->map.seed = header.seed;
    out->map.registry_root = header.root;
    out->map.num_swarms = header.num_swarms;
    const enum ses_err err = ses_registry_cache_verify(out);
    if (err != SES_OK) {
        ses_note_set(note, "the registry that the chain sent does not match its own root: another "
                           "chain URL is needed");
    }
    return err;
}

static enum ses_err check_epoch(const struct ses_client *c, const struct ses_registry_cache *got,
                                struct ses_note *note)
{
    const uint64_t now = ses_registry_cache_epoch_at(got, ses_client_now(c));
    if (c->registry.loaded && got->map.epoch < c->registry.map.epoch) {
        ses_note_set(note,
                     "the chain server is behind: it is at epoch %" PRIu64 ", we have seen epoch "
                     "%" PRIu64 ". Use another chain URL, or wait until it has caught up",
                     got->map.epoch, c->registry.map.epoch);
        return SES_ERR_PEER;
    }
    if (got->map.epoch + EPOCHS_BEHIND_MAX < now) {
        ses_note_set(note,
                     "the newest registry of the chain is of epoch %" PRIu64 ", by this machine's "
                     "clock it is epoch %" PRIu64 ": the chain stands still, or the clock is ahead "
                     "(set it by NTP)",
                     got->map.epoch, now);
        return SES_ERR_UNAVAILABLE;
    }
    return SES_OK;
}

/* A block from our future means that our clock is behind; one from the past means nothing, for
 * blocks come only when there is something to write. */
static enum ses_err check_clock(struct ses_client *c, struct ses_note *note)
{
    struct ses_chain_head head;
    const uint64_t now_s = ses_client_now(c) / 1000;
    SES_TRY(ses_chain_get_head(c->rpc, &head, note));
    if (head.timestamp > now_s + SES_CLIENT_CLOCK_AHEAD_S) {
        ses_note_set(note,
                     "this machine's clock is at least %" PRIu64
                     " s behind (the chain's last block "
                     "is from then): set it by NTP",
                     head.timestamp - now_s);
        return SES_ERR_CLOCK;
    }
    return SES_OK;
}

static enum ses_err refresh(struct ses_client *c, struct ses_note *note)
{
    struct ses_registry_cache got;
    SES_TRY(ses_client_need_chain(c, note));
    SES_TRY(check_clock(c, note));
    const bool whole = !c->registry.loaded;
    enum ses_err err = fetch_registry(c, whole, &got, note);
    if (!whole && (err == SES_ERR_CHECKSUM || err == SES_ERR_PEER || err == SES_ERR_MALFORMED)) {
        ses_registry_cache_free(&got); /* rows that went away are in no delta */
        err = fetch_registry(c, true, &got, note);
    }
    if (err == SES_OK) {
        err = check_epoch(c, &got, note);
    }
    if (err != SES_OK) {
        ses_registry_cache_free(&got);
        return err;
    }
    ses_registry_cache_free(&c->registry);
    c->registry = got;
    c->registry.loaded = true;
    save_cached(c);
    return SES_OK;
}

/* Is the map that we have good enough although the chain does not answer? */
static bool usable(const struct ses_client *c, enum ses_err err)
{
    if (!c->registry.loaded || err == SES_ERR_CLOCK || err == SES_ERR_CONFIG) {
        return false;
    }
    const uint64_t now = ses_registry_cache_epoch_at(&c->registry, ses_client_now(c));
    return c->registry.map.epoch + EPOCHS_BEHIND_MAX >= now;
}

enum ses_err ses_client_need_map(struct ses_client *c, bool force, struct ses_note *note)
{
    struct ses_note why = {0};
    if (c->chain == NULL) {
        return ses_client_need_chain(c, note);
    }
    load_cached(c);
    const uint64_t now = ses_client_now(c);
    const uint64_t epoch = ses_registry_cache_epoch_at(&c->registry, now);
    const bool current = c->registry.loaded && c->registry.map.epoch >= epoch;
    const bool asked =
        c->registry.loaded && now >= c->refreshed_ms && now - c->refreshed_ms < REFRESH_PAUSE_MS;
    if (c->chain_checked && !force && (current || (asked && usable(c, SES_OK)))) {
        return SES_OK;
    }
    c->refreshed_ms = now;
    const enum ses_err err = refresh(c, &why);
    if (err == SES_OK) {
        return SES_OK;
    }
    if (usable(c, err)) {
        ses_logf(&c->log, SES_LOG_WARN, "registry", "going on with epoch %" PRIu64 ": %s",
                 c->registry.map.epoch, why.text);
        return SES_OK;
    }
    if (note != NULL) {
        *note = why;
    }
    return err;
}
