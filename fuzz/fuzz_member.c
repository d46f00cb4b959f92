/* A member that lies to one that has lost everything: comparing, in bulk, fetching, receipts and
 * probes. It is a real member, whose words to the other one the input changes on their way.
 * Whatever it says, the other one goes on, and gets everything back from the third, which is
 * honest.
 *
 * Input: u8 to which protocol, u8 how, u16 where, u16 length, bytes; repeated. Each lie takes the
 * next answer of its protocol. How: 0 the bytes stand in its place; 1 they are laid over it; 2 it
 * is cut; 3 none comes; 4 the one before comes once more. */
#include <ftw.h>
#include <string.h>

#include "base/tap.h"
#include "daemon/daemon_internal.h"
#include "daemon/test_crop.h"
#include "fuzz/fuzz.h"

#define LIES_MAX 32u
#define CROPS 4u
#define ROUNDS 20u /* of one world, before it is too old */
#define LYING_MS 20000u
#define HEALING_MS 900000u

enum { VICTIM, LIAR, HONEST, NODES };
static const enum ses_proto protos[] = {SES_PROTO_SYNC, SES_PROTO_BULK, SES_PROTO_REPLICATE,
                                        SES_PROTO_PROBE};
struct lie {
    bool used;
    enum ses_proto proto;
    uint8_t how;
    uint16_t at, len;
    const uint8_t *bytes;
};
static struct {
    struct world *world;
    struct crop crops[CROPS]; /* enough of an hour for bulk, but of the last */
    unsigned rounds;
    struct lie lies[LIES_MAX];
    unsigned lie_cnt;
    struct ses_buf last[SES_PROTO_CNT];
    unsigned probes;
} fuzz;

static void end_world(void)
{
    for (unsigned i = 0; i < SES_PROTO_CNT; i++) {
        ses_buf_free(&fuzz.last[i]);
    }
    if (fuzz.world != NULL) {
        for (unsigned i = 0; i < CROPS; i++) {
            crop_free(&fuzz.crops[i]);
        }
        world_free(fuzz.world);
    }
    fuzz.world = NULL;
}

static void begin_world(void)
{
    fuzz.rounds = 0;
    fuzz.world = world_new(NODES, 1);
    world_run(fuzz.world, 1000);
    for (uint32_t i = 0; i < CROPS; i++) {
        const uint64_t ms = world_unix_ms(fuzz.world) - (i + 1) * 3600000u;
        crop_make(&fuzz.crops[i], fuzz.world, i + 1 < CROPS ? 70 : 10, 1, 0, ms);
        plant(fuzz.world, LIAR, &fuzz.crops[i]);
        plant(fuzz.world, HONEST, &fuzz.crops[i]);
    }
}

/* ---- lies ---- */
static struct lie *next_lie(enum ses_proto proto)
{
    for (unsigned i = 0; i < fuzz.lie_cnt; i++) {
        if (!fuzz.lies[i].used && fuzz.lies[i].proto == proto) {
            fuzz.lies[i].used = true;
            return &fuzz.lies[i];
        }
    }
    return NULL;
}

static void set(struct ses_buf *out, const uint8_t *bytes, size_t len)
{
    out->len = 0;
    SES_ASSERT(ses_buf_append(out, bytes, len) == SES_OK);
}

static void overlay(struct ses_buf *out, const struct lie *l)
{
    if (l->len > 0 && out->len > 0) {
        const size_t at = l->at % out->len;
        memcpy(out->bytes + at, l->bytes, l->len < out->len - at ? l->len : out->len - at);
    }
}

static bool lie(void *cookie, enum ses_proto proto, const struct ses_peer *to, struct ses_buf *out)
{
    const struct world_node *victim = &fuzz.world->nodes[VICTIM];
    struct ses_buf honest = {0};
    (void)cookie;
    const struct lie *l =
        victim->daemon != NULL && ses_equal(&to->node_id, &victim->daemon->p.node_id, 20)
            ? next_lie(proto)
            : NULL;
    set(&honest, out->bytes, out->len);
    if (l != NULL && l->how == 0) {
        set(out, l->bytes, l->len);
    } else if (l != NULL && l->how == 1) {
        overlay(out, l);
    } else if (l != NULL && l->how == 2 && out->len > 0) {
        out->len = l->at % out->len;
    } else if (l != NULL && l->how == 4) {
        set(out, fuzz.last[proto].bytes, fuzz.last[proto].len);
    }
    ses_buf_free(&fuzz.last[proto]);
    fuzz.last[proto] = honest;
    return l == NULL || l->how != 3;
}

static void read_lies(const uint8_t *data, size_t size)
{
    struct ses_reader r;
    ses_reader_init(&r, data, size);
    for (fuzz.lie_cnt = 0; fuzz.lie_cnt < LIES_MAX && r.left > 0; fuzz.lie_cnt++) {
        struct lie *l = &fuzz.lies[fuzz.lie_cnt];
        *l = (struct lie){.proto = protos[ses_read_u8(&r) % SES_COUNT(protos)]};
        l->how = ses_read_u8(&r) % 5;
        l->at = ses_read_u16(&r);
        l->len = ses_read_u16(&r);
        l->bytes = ses_read_view(&r, l->len);
        if (r.err != SES_OK) {
            break;
        }
    }
}

/* ---- the victim ---- */
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void lose_everything(struct world *w)
{
    world_crash(w, VICTIM);
    SES_ASSERT(nftw(w->nodes[VICTIM].dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
    world_start(w, VICTIM);
}

static void on_probe(void *cookie, enum ses_err err)
{
    (void)cookie;
    (void)err;
    fuzz.probes++;
}

static void probe(struct world *w)
{
    const struct ses_probe_order order = {
        .epoch = w->map.epoch, .deadline_ms = 2000, .on_done = on_probe};
    const struct ses_map_node *liar = ses_map_find(&w->map, &world_row(w, LIAR)->node_id);
    fuzz.probes = 0;
    SES_ASSERT(ses_probe_start(w->nodes[VICTIM].daemon, liar, &order) == SES_OK);
}

/* Something that the victim has to spread. */
static void send(struct world *w, struct post *p, struct world_reply *reply)
{
    struct ses_hash inbox;
    post_inbox(w, &inbox, 1, 0);
    post_stranger(p, w, &inbox, 300, world_unix_ms(w));
    post_start(w, world_client(w, "192.0.2.1:1"), VICTIM, p, 3000, NULL, reply);
}

static bool has_all(struct world *w)
{
    bool all = !is_partial(w, VICTIM);
    for (unsigned i = 0; i < CROPS; i++) {
        all = all && held(w, VICTIM, &fuzz.crops[i]) == fuzz.crops[i].cnt;
    }
    return all;
}

static void run(struct world *w)
{
    struct world_reply reply;
    struct post_answer answer;
    struct post p;
    world_lie(w, LIAR, lie, NULL);
    lose_everything(w);
    probe(w);
    world_run(w, 50); /* it has a map */
    send(w, &p, &reply);
    world_run(w, LYING_MS);
    world_lie(w, LIAR, NULL, NULL);
    post_finish(w, &reply, &answer);
    SES_ASSERT(answer.err == SES_OK && fuzz.probes == 1);
    bool healed = has_all(w);
    for (uint64_t ms = 0; !healed && ms < HEALING_MS; ms += 5000) {
        world_run(w, 5000);
        healed = has_all(w);
    }
    SES_ASSERT(healed);
    SES_ASSERT(!answer.ok || post_at(w, VICTIM, &p));
    SES_ASSERT(!answer.ok || answer.stored.state != SES_STORED ||
               post_copies(w, &p, NODES) == NODES);
    SES_ASSERT(!w->nodes[VICTIM].fatal);
    post_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool registered;
    if (!registered) {
        SES_ASSERT(atexit(end_world) == 0);
        registered = true;
    }
    if (fuzz.rounds++ == ROUNDS) {
        end_world();
    }
    if (fuzz.world == NULL) {
        begin_world();
    }
    read_lies(data, size);
    run(fuzz.world);
    return 0;
}
