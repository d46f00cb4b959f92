/* Both sides of reconciliation against hostile frames. The first byte chooses: even, the rest is a
 * question to the answering side; odd, the rest is a list of answers to the asking side, each a u16
 * length and its bytes; where that length is 0xFFFF the honest answer is given instead. */
#include "daemon/test_reconcile_kit.h"
#include "fuzz/fuzz.h"

#define HOUR 497000u
#define LEAVES 700u

static struct kit_side ours, theirs;
static bool ready;

static void prepare(void)
{
    kit_side_init(&ours);
    kit_side_init(&theirs);
    for (uint64_t n = 0; n < LEAVES; n++) {
        struct ses_leaf leaf;
        kit_leaf(&leaf, n, (uint8_t)(n % 3), HOUR - (uint32_t)(n % 4));
        if (n % 13 != 0) {
            kit_put(&ours, &leaf);
        }
        if (n % 17 != 0) {
            kit_put(&theirs, &leaf);
        }
    }
    ready = true;
}

static void question(const uint8_t *data, size_t size)
{
    struct ses_buf out = {0};
    (void)kit_answer(&ours, data, size, &out);
    SES_ASSERT(out.len <= SES_FRAME_BYTES_MAX);
    ses_buf_free(&out);
}

static enum ses_err answer_next(struct reconcile *r, struct ses_reader *in)
{
    struct ses_buf honest = {0};
    const uint16_t len = ses_read_u16(in);
    const uint8_t *bytes = NULL;
    enum ses_err err;
    if (len == UINT16_MAX) {
        SES_ASSERT(kit_answer(&theirs, r->need.frame.bytes, r->need.frame.len, &honest));
        err = in->err == SES_OK ? reconcile_answer(r, honest.bytes, honest.len) : in->err;
    } else {
        bytes = ses_read_view(in, len);
        err = in->err == SES_OK ? reconcile_answer(r, bytes, len) : in->err;
    }
    ses_buf_free(&honest);
    return err == SES_OK ? kit_feed(&ours, r) : err;
}

static void answers(const uint8_t *data, size_t size)
{
    const struct reconcile_params params = {
        .set = {1, 0}, .nonce = {{7}}, .whole = true, .bulk = size % 2 == 0};
    struct reconcile *r;
    struct ses_reader in;
    ses_reader_init(&in, data, size);
    SES_ASSERT(reconcile_new(&r, &params) == SES_OK && kit_feed(&ours, r) == SES_OK);
    enum ses_err err = SES_OK;
    while (err == SES_OK && r->need.kind == RECONCILE_SEND) {
        err = answer_next(r, &in);
    }
    SES_ASSERT(r->wants.short_cnt <= RECONCILE_WANTS_MAX);
    SES_ASSERT(r->gives.short_cnt <= RECONCILE_GIVES_MAX);
    reconcile_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!ready) {
        prepare();
    }
    if (size > 0 && data[0] % 2 == 0) {
        question(data + 1, size - 1);
    } else if (size > 0) {
        answers(data + 1, size - 1);
    }
    return 0;
}
