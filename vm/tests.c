/* Who tests whom in an epoch: the plan of step 6 by rows, with the void pairs marked. */
#include "vm/vm_internal.h"

static enum ses_err tests_alloc(struct ses_tests **out, uint32_t row_cnt)
{
    const uint32_t room = row_cnt == 0 ? 1 : row_cnt;
    struct ses_tests *t = ses_alloc(1, sizeof(*t));
    *out = NULL;
    SES_REQUIRE(t != NULL, SES_ERR_MEMORY);
    t->ref_cnt = 1;
    t->row_cnt = row_cnt;
    t->order = ses_alloc(room, sizeof(*t->order));
    t->offsets = ses_alloc(room, sizeof(*t->offsets));
    t->position = ses_alloc(room, sizeof(*t->position));
    if (t->order == NULL || t->offsets == NULL || t->position == NULL) {
        ses_tests_unref(t);
        return SES_ERR_MEMORY;
    }
    *out = t;
    return SES_OK;
}

struct ses_tests *ses_tests_ref(struct ses_tests *tests)
{
    if (tests != NULL) {
        tests->ref_cnt++;
    }
    return tests;
}

void ses_tests_unref(struct ses_tests *tests)
{
    if (tests != NULL && --tests->ref_cnt == 0) {
        ses_free(tests->order);
        ses_free(tests->offsets);
        ses_free(tests->position);
        ses_free(tests->counts);
        ses_free(tests);
    }
}

static enum ses_err mark_pairs(struct ses_tests *t, const struct ses_tester_plan *plan,
                               const struct ses_membership *m)
{
    t->order_cnt = plan->order_cnt;
    t->offset_cnt = plan->offset_cnt;
    t->stride = (plan->offset_cnt + 7) / 8;
    t->counts = ses_alloc((size_t)t->order_cnt * t->stride + 1, 1);
    SES_REQUIRE(t->counts != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < t->row_cnt; i++) {
        t->position[i] = SES_TESTS_NONE;
    }
    for (uint32_t q = 0; q < t->order_cnt; q++) {
        uint8_t *bits = t->counts + (size_t)q * t->stride;
        t->position[t->order[q]] = q;
        for (uint32_t j = 0; j < t->offset_cnt; j++) {
            const unsigned bit = ses_tester_tests(plan, m, q, j) ? 1u << (j % 8) : 0;
            bits[j / 8] = (uint8_t)(bits[j / 8] | bit);
        }
    }
    return SES_OK;
}

enum ses_err ses_tests_new(struct ses_tests **out, struct ses_membership *m,
                           const struct ses_hash *seed, uint64_t testers)
{
    const uint32_t room = m->seat_cnt == 0 ? 1 : m->seat_cnt;
    SES_TRY(tests_alloc(out, m->seat_cnt));
    struct ses_tester_plan plan = {.order = (*out)->order, .offsets = (*out)->offsets};
    struct ses_rank *ranks = ses_alloc(room, sizeof(*ranks));
    enum ses_err err = ranks == NULL ? SES_ERR_MEMORY : SES_OK;
    if (err == SES_OK) {
        err = ses_tester_plan_make(&plan, m, seed, testers, ranks);
    }
    if (err == SES_OK) {
        err = mark_pairs(*out, &plan, m);
    }
    ses_free(ranks);
    if (err != SES_OK) {
        ses_tests_unref(*out);
        *out = NULL;
    }
    return err;
}

enum ses_err ses_tests_of_rows(struct ses_tests **out, const struct ses_rows *rows,
                               uint32_t num_swarms, const struct ses_hash *seed, uint64_t testers)
{
    struct ses_membership m = {.num_swarms = num_swarms, .seat_cnt = rows->cnt};
    *out = NULL;
    m.seats = ses_alloc(rows->cnt == 0 ? 1 : rows->cnt, sizeof(*m.seats));
    SES_REQUIRE(m.seats != NULL, SES_ERR_MEMORY);
    for (uint32_t i = 0; i < rows->cnt; i++) {
        const struct ses_registry_row *row = &rows->rows[i].row;
        m.seats[i] = (struct ses_seat){.node_id = row->node_id,
                                       .owner = row->owner,
                                       .status = row->status,
                                       .swarm = row->swarm};
    }
    const enum ses_err err = ses_tests_new(out, &m, seed, testers);
    ses_free(m.seats);
    return err;
}

enum ses_err ses_tests_write(struct ses_buf *out, const struct ses_tests *tests,
                             const struct ses_membership *m)
{
    const size_t len = 8 + 20 * (size_t)tests->order_cnt + 4 * (size_t)tests->offset_cnt;
    struct ses_writer w;
    SES_TRY(ses_buf_reserve(out, len));
    ses_writer_init(&w, out->bytes, len);
    ses_write_u32(&w, tests->order_cnt);
    for (uint32_t i = 0; i < tests->order_cnt; i++) {
        ses_write_bytes(&w, m->seats[tests->order[i]].node_id.bytes, 20);
    }
    ses_write_u32(&w, tests->offset_cnt);
    for (uint32_t i = 0; i < tests->offset_cnt; i++) {
        ses_write_u32(&w, tests->offsets[i]);
    }
    out->len = w.len;
    return ses_writer_done(&w);
}
