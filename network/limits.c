#include "network/limits.h"

#include <string.h>

static const struct ses_limit limits[SES_PROTO_CNT] = {
    [SES_PROTO_STORE] = {.request_bytes = 131072,
                         .response_bytes = 262144,
                         .deadline_ms = 15000,
                         .concurrent = 64,
                         .rate = 2000,
                         .burst = 4000,
                         .access = SES_ACCESS_CLIENT},
    [SES_PROTO_DELETE] = {.request_bytes = 16384,
                          .response_bytes = 4096,
                          .deadline_ms = 15000,
                          .concurrent = 16,
                          .rate = 100,
                          .burst = 400,
                          .access = SES_ACCESS_CLIENT},
    [SES_PROTO_RETRIEVE] = {.request_bytes = 4096,
                            .response_bytes = SES_FRAME_BYTES_MAX,
                            .deadline_ms = 20000,
                            .concurrent = 16,
                            .rate = 200,
                            .burst = 400,
                            .access = SES_ACCESS_CLIENT},
    [SES_PROTO_WATCH] = {.request_bytes = 4096,
                         .response_bytes = SES_FRAME_BYTES_MAX,
                         .deadline_ms = 20000,
                         .concurrent = 64,
                         .rate = 20,
                         .burst = 100,
                         .access = SES_ACCESS_CLIENT},
    [SES_PROTO_INFO] = {.request_bytes = 1024,
                        .response_bytes = 4096,
                        .deadline_ms = 5000,
                        .concurrent = 64,
                        .rate = 1000,
                        .burst = 2000,
                        .access = SES_ACCESS_CLIENT},
    [SES_PROTO_REGISTRY] = {.request_bytes = 4096,
                            .response_bytes = SES_FRAME_BYTES_MAX,
                            .deadline_ms = 20000,
                            .concurrent = 16,
                            .rate = 200,
                            .burst = 400,
                            .access = SES_ACCESS_GUEST},
    [SES_PROTO_REPLICATE] = {.request_bytes = SES_FRAME_BYTES_MAX,
                             .response_bytes = SES_FRAME_BYTES_MAX,
                             .deadline_ms = 20000,
                             .concurrent = 64,
                             .rate = 100,
                             .burst = 400,
                             .access = SES_ACCESS_NODE},
    [SES_PROTO_PROBE] = {.request_bytes = 64,
                         .response_bytes = 4096,
                         .deadline_ms = 5000,
                         .concurrent = 4,
                         .rate = 1,
                         .burst = 8,
                         .access = SES_ACCESS_NODE},
    [SES_PROTO_SYNC] = {.request_bytes = 262144,
                        .response_bytes = SES_FRAME_BYTES_MAX,
                        .deadline_ms = 20000,
                        .concurrent = 8,
                        .rate = 50,
                        .burst = 200,
                        .access = SES_ACCESS_NODE},
    [SES_PROTO_BULK] = {.request_bytes = 1024,
                        .response_bytes = SES_FRAME_BYTES_MAX,
                        .deadline_ms = 30000,
                        .concurrent = 8,
                        .rate = 100,
                        .burst = 200,
                        .access = SES_ACCESS_NODE},
};

const struct ses_limit *ses_limit_of(enum ses_proto proto)
{
    SES_ASSERT(proto < SES_PROTO_CNT && limits[proto].deadline_ms > 0);
    return &limits[proto];
}

const char *ses_proto_id(enum ses_proto proto)
{
    static const char *const ids[] = {
#define SES_X(name, id) id,
        SES_PROTOS(SES_X)
#undef SES_X
    };
    SES_ASSERT(proto < SES_PROTO_CNT);
    return ids[proto];
}

bool ses_bucket_take(struct ses_bucket *b, uint64_t now_ms, uint32_t rate, uint32_t burst)
{
    const uint64_t full = (uint64_t)burst * 1000;
    const uint64_t passed_ms = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
    if (b->at_ms == 0 || passed_ms >= full / rate) {
        b->milli_tokens = full;
    } else {
        const uint64_t sum = b->milli_tokens + passed_ms * rate;
        b->milli_tokens = sum < full ? sum : full;
    }
    b->at_ms = now_ms;
    if (b->milli_tokens < 1000) {
        return false;
    }
    b->milli_tokens -= 1000;
    return true;
}
