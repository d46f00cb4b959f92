/* multistream-select, both ends: cut anywhere it comes to the same end with the same answer. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "network/multistream.h"

static int choose(void *cookie, const char *id, size_t len)
{
    (void)cookie;
    return len == 4 && memcmp(id, "/a/1", 4) == 0 ? 7 : -1;
}

struct outcome {
    enum ses_err err;
    enum ses_mss_state state;
    size_t used;
    struct ses_buf out;
};

static struct outcome negotiate(bool dialler, const uint8_t *data, size_t size, size_t step)
{
    struct ses_mss m;
    struct outcome o = {0};
    if (dialler) {
        SES_ASSERT(ses_mss_dial(&m, "/a/1", &o.out) == SES_OK);
    } else {
        ses_mss_listen(&m, choose, NULL);
    }
    while (o.used < size && o.err == SES_OK && m.state != SES_MSS_DONE) {
        const size_t n = size - o.used < step ? size - o.used : step;
        size_t used = 0;
        o.err = ses_mss_recv(&m, data + o.used, n, &used, &o.out);
        SES_ASSERT(used <= n);
        o.used += used;
    }
    SES_ASSERT(m.part.len <= SES_MSS_MESSAGE_MAX + 2);
    o.state = m.state;
    ses_mss_free(&m);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int dialler = 0; dialler < 2; dialler++) {
        struct outcome a = negotiate(dialler == 1, data, size, size + 1);
        struct outcome b = negotiate(dialler == 1, data, size, size == 0 ? 1 : 1 + data[0] % 9);
        SES_ASSERT(a.err == b.err && a.state == b.state);
        SES_ASSERT(a.err != SES_OK || a.used == b.used);
        SES_ASSERT(a.out.len == b.out.len && a.out.len <= 64 + 8 * SES_MSS_PROPOSALS_MAX);
        SES_ASSERT(a.out.len == 0 || memcmp(a.out.bytes, b.out.bytes, a.out.len) == 0);
        ses_buf_free(&a.out);
        ses_buf_free(&b.out);
    }
    return 0;
}
