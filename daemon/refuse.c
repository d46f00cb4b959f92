#include "daemon/daemon_internal.h"

static const uint64_t latency_bounds_ms[] = {
#define SES_X(ms) ms,
    SES_LATENCY_BUCKETS(SES_X)
#undef SES_X
};
_Static_assert(SES_COUNT(latency_bounds_ms) == SES_LATENCY_BUCKET_CNT, "one count a bound");

void ses_latency_add(struct ses_latency *l, uint64_t ms)
{
    size_t i = 0;
    while (i < SES_LATENCY_BUCKET_CNT && ms > latency_bounds_ms[i]) {
        i++;
    }
    l->counts[i]++;
    l->sum_ms += ms;
    l->cnt++;
}

const char *ses_refusal_kind_text(enum ses_refusal_kind kind)
{
    static const char *const texts[] = {
#define SES_X(name, text) text,
        SES_REFUSAL_KINDS(SES_X)
#undef SES_X
    };
    return (size_t)kind < SES_COUNT(texts) ? texts[kind] : "unknown";
}

static enum ses_refusal_kind kind_of(enum ses_err err)
{
    static const struct {
        enum ses_err err;
        enum ses_refusal_kind kind;
    } table[] = {
        {SES_ERR_MALFORMED, SES_REFUSED_MALFORMED},
        {SES_ERR_TRUNCATED, SES_REFUSED_MALFORMED},
        {SES_ERR_VERSION, SES_REFUSED_MALFORMED},
        {SES_ERR_TOO_LARGE, SES_REFUSED_MALFORMED},
        {SES_ERR_WRONG_SWARM, SES_REFUSED_WRONG_SWARM},
        {SES_ERR_CLOCK, SES_REFUSED_CLOCK},
        {SES_ERR_QUOTA, SES_REFUSED_QUOTA},
        {SES_ERR_STRANGERS, SES_REFUSED_QUOTA},
        {SES_ERR_WORK, SES_REFUSED_WORK},
        {SES_ERR_RATE, SES_REFUSED_RATE},
        {SES_ERR_UNAUTHORISED, SES_REFUSED_UNAUTHORISED},
        {SES_ERR_SIGNATURE, SES_REFUSED_UNAUTHORISED},
        {SES_ERR_DISK_LOW, SES_REFUSED_DISK_LOW},
        {SES_ERR_UNAVAILABLE, SES_REFUSED_UNAVAILABLE},
    };
    for (size_t i = 0; i < SES_COUNT(table); i++) {
        if (table[i].err == err) {
            return table[i].kind;
        }
    }
    return SES_REFUSED_OTHER;
}

/* What a peer is told: a condition of ours that it cannot act upon becomes "unavailable". */
static enum ses_err public_status(enum ses_err err)
{
    switch ((int)err) {
    case SES_ERR_MEMORY:
    case SES_ERR_IO:
    case SES_ERR_NO_SPACE:
    case SES_ERR_FULL:
    case SES_ERR_AGAIN:
    case SES_ERR_CLOSED:
    case SES_ERR_CRYPTO:
        return SES_ERR_UNAVAILABLE;
    default:
        return err;
    }
}

static void fill_members(const struct ses_map *map, uint32_t swarm, struct ses_refusal *refusal)
{
    uint32_t active;
    uint32_t index[SES_MEMBERS_MAX];
    const uint32_t cnt = ses_map_members(map, swarm, index, SES_MEMBERS_MAX, &active);
    for (uint32_t i = 0; i < cnt; i++) {
        refusal->members[i] = map->nodes[index[i]].row.node_id;
    }
    refusal->member_cnt = (uint8_t)cnt;
}

static size_t encode(const struct ses_refusal *refusal, uint8_t *out, size_t cap)
{
    struct ses_writer w;
    ses_writer_init(&w, out, cap);
    ses_refusal_write(&w, refusal);
    SES_ASSERT(ses_writer_done(&w) == SES_OK);
    return w.len;
}

static void prepare(struct ses_daemon *d, enum ses_err err, const struct ses_hash *digest,
                    struct ses_refusal *refusal)
{
    memset(refusal, 0, sizeof *refusal);
    refusal->status = public_status(err);
    refusal->time_ms = ses_daemon_now(d);
    if (err == SES_ERR_WRONG_SWARM && digest != NULL && d->map != NULL) {
        refusal->epoch = d->map->epoch;
        refusal->num_swarms = d->map->num_swarms;
        refusal->swarm = ses_atlas_digest_swarm(d->map, digest);
        fill_members(d->map, refusal->swarm, refusal);
    }
    d->stats.refused[kind_of(refusal->status)]++;
}

size_t ses_refusal_body(struct ses_daemon *d, enum ses_err err, const struct ses_hash *digest,
                        uint8_t *out, size_t cap)
{
    struct ses_refusal refusal;
    prepare(d, err, digest, &refusal);
    return encode(&refusal, out, cap);
}

void ses_refuse(struct ses_daemon *d, struct ses_call *call, enum ses_err err)
{
    uint8_t body[REFUSAL_BYTES_MAX];
    ses_call_reply(call, body, ses_refusal_body(d, err, NULL, body, sizeof body));
}

void ses_refuse_swarm(struct ses_daemon *d, struct ses_call *call, const struct ses_hash *digest)
{
    uint8_t body[REFUSAL_BYTES_MAX];
    const enum ses_err err = d->map != NULL ? SES_ERR_WRONG_SWARM : SES_ERR_UNAVAILABLE;
    ses_call_reply(call, body, ses_refusal_body(d, err, digest, body, sizeof body));
}

void ses_refuse_work(struct ses_daemon *d, struct ses_call *call, unsigned bits)
{
    uint8_t body[REFUSAL_BYTES_MAX];
    struct ses_refusal refusal;
    prepare(d, SES_ERR_WORK, NULL, &refusal);
    refusal.work_bits = (uint8_t)bits;
    ses_call_reply(call, body, encode(&refusal, body, sizeof body));
}
