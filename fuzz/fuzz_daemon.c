/* Frames of all protocols to a running node, from a client and from a member whose key was stolen:
 * every request is answered, every flow is answered or closed, the node goes on serving.
 *
 * Input: u8 kind, u16 length, bytes; repeated. Kind: 0..3 a request (store, retrieve, info,
 * registry), 4 a frame on a replicate flow, 5 on a watch flow, 6 opens both anew, 7 lets a minute
 * pass, 8 a probe from the member, 9 a delete, 10 a retrieve by the owner of the inbox it names. */
#include <string.h>

#include "base/tap.h"
#include "daemon/test_post.h"
#include "fuzz/fuzz.h"

#define REQUESTS_MAX 64u
#define STEP_MS 40u

static struct {
    struct world *world;
    struct world_net *client, *thief;
    struct world_flow flows[2];
    struct ses_identity *owner;
} fuzz;

static void at_end(void)
{
    world_free(fuzz.world);
}

static void open_flows(void)
{
    for (size_t i = 0; i < 2; i++) {
        if (fuzz.flows[i].flow != NULL) {
            ses_flow_close(fuzz.flows[i].flow);
            world_run(fuzz.world, STEP_MS);
        }
        ses_buf_free(&fuzz.flows[i].last);
    }
    world_open(fuzz.world, fuzz.thief, 0, SES_PROTO_REPLICATE, NULL, &fuzz.flows[0]);
    world_open(fuzz.world, fuzz.client, 0, SES_PROTO_WATCH, NULL, &fuzz.flows[1]);
    world_run(fuzz.world, STEP_MS);
}

static void begin(void)
{
    fuzz.world = world_new(2, 1);
    world_crash(fuzz.world, 1);
    fuzz.client = world_client(fuzz.world, "192.0.2.1:1");
    fuzz.thief = world_client(fuzz.world, "192.0.2.2:1");
    world_pose_as(fuzz.world, fuzz.thief, 1);
    atexit(at_end);
}

static void request(struct world_net *from, enum ses_proto proto, const struct ses_identity *login,
                    const uint8_t *bytes, size_t len)
{
    struct world_reply reply;
    struct ses_reader r;
    struct ses_refusal refusal;
    bool ok;
    world_ask(fuzz.world, from, 0, proto, login, bytes, len, &reply);
    const bool answered = world_wait(fuzz.world, &reply, 60000);
    SES_ASSERT(answered && reply.err == SES_OK);
    SES_ASSERT(ses_response_begin(&r, reply.body.bytes, reply.body.len, &ok, &refusal) == SES_OK);
    ses_buf_free(&reply.body);
}

/* Version and op, then the inbox: the owner's, so that the rest of the request is looked at. */
static void by_owner(const uint8_t *bytes, size_t len)
{
    struct ses_hash inbox;
    uint8_t *own = ses_alloc(len + 1, 1);
    SES_ASSERT(own != NULL);
    memcpy(own, bytes, len);
    if (len >= 2 + sizeof inbox.bytes) {
        post_inbox_of(&inbox, fuzz.owner);
        memcpy(own + 2, inbox.bytes, sizeof inbox.bytes);
    }
    request(fuzz.client, SES_PROTO_RETRIEVE, fuzz.owner, own, len);
    ses_free(own);
}

static void frame(struct world_flow *flow, const uint8_t *bytes, size_t len)
{
    if (flow->flow != NULL) {
        const enum ses_err err = ses_flow_send(flow->flow, bytes, len);
        SES_ASSERT(err == SES_OK || err == SES_ERR_AGAIN || err == SES_ERR_CLOSED);
        world_run(fuzz.world, STEP_MS);
    }
}

static void one(uint8_t kind, const uint8_t *bytes, size_t len)
{
    static const enum ses_proto protos[] = {SES_PROTO_STORE, SES_PROTO_RETRIEVE, SES_PROTO_INFO,
                                            SES_PROTO_REGISTRY};
    if (kind < 4) {
        request(fuzz.client, protos[kind], NULL, bytes, len);
    } else if (kind == 8) {
        request(fuzz.thief, SES_PROTO_PROBE, NULL, bytes, len);
    } else if (kind == 9) {
        request(fuzz.client, SES_PROTO_DELETE, NULL, bytes, len);
    } else if (kind == 10) {
        by_owner(bytes, len);
    } else if (kind < 6) {
        frame(&fuzz.flows[kind - 4], bytes, len);
    } else if (kind == 6) {
        open_flows();
    } else {
        world_run(fuzz.world, 60000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ses_reader r;
    if (fuzz.world == NULL) {
        begin();
    }
    open_flows();
    fuzz.owner = post_person(fuzz.world, 1, 0); /* keys lie where no leak detector looks */
    ses_reader_init(&r, data, size);
    for (unsigned i = 0; i < REQUESTS_MAX && r.left > 0; i++) {
        const uint8_t kind = ses_read_u8(&r) % 11;
        const uint16_t len = ses_read_u16(&r);
        const uint8_t *bytes = ses_read_view(&r, len);
        if (r.err != SES_OK) {
            break;
        }
        one(kind, bytes, len);
    }
    ses_identity_free(fuzz.owner);
    SES_ASSERT(!fuzz.world->nodes[0].fatal);
    return 0;
}
