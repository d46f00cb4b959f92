/* The tester's part: asks each node of the plan at its moment, again after a while if there is no
 * valid answer, and keeps the verdicts over a restart. */
#include "daemon/daemon_internal.h"
#include "daemon/epoch.h"

#define ASKING_MAX 4u
#define VERDICTS_KEY "epoch.verdicts"

struct asked {
    struct ses_daemon *d;
    uint64_t epoch;
    uint16_t target;
};

static void save(struct ses_daemon *d)
{
    uint8_t bytes[8 + SES_VERDICT_BYTES_MAX];
    const struct tests *t = &d->epochs.tests;
    ses_put_u64(bytes, t->epoch);
    memcpy(bytes + 8, t->verdicts, sizeof t->verdicts);
    const enum ses_err err = ses_store_meta_set(d->p.store, VERDICTS_KEY, bytes, sizeof bytes);
    if (err != SES_OK) {
        ses_logf(d->p.log, SES_LOG_WARN, MODULE, "cannot keep the verdicts for a restart: %s",
                 ses_err_text(err));
    }
}

static bool bit_of(const uint8_t *bits, uint16_t bit)
{
    return (bits[bit / 8] >> (bit % 8) & 1) != 0;
}

static void load(struct ses_daemon *d)
{
    struct ses_buf bytes = {0};
    struct tests *t = &d->epochs.tests;
    const enum ses_err err = ses_store_meta_get(d->p.store, VERDICTS_KEY, &bytes);
    if (err == SES_OK && bytes.len == 8 + sizeof t->verdicts &&
        ses_get_u64(bytes.bytes) == t->epoch) {
        memcpy(t->verdicts, bytes.bytes + 8, sizeof t->verdicts);
    }
    ses_buf_free(&bytes);
}

static void count(struct ses_daemon *d)
{
    struct ses_report *report = ses_report_now(d);
    report->reached_cnt = 0;
    for (uint16_t i = 0; i < d->epochs.plan->target_cnt; i++) {
        if (d->epochs.tests.tests[i].yes) {
            report->reached_cnt++;
        }
    }
}

void ses_tests_begin(struct ses_daemon *d)
{
    struct tests *t = &d->epochs.tests;
    const struct ses_plan *plan = d->epochs.plan;
    const uint32_t asking = t->asking;
    memset(t, 0, sizeof *t);
    t->epoch = plan->epoch;
    t->asking = asking; /* of the epoch before: still to come back */
    load(d);
    for (uint16_t i = 0; i < plan->target_cnt; i++) {
        t->tests[i].next_ms = plan->targets[i].at_ms;
        t->tests[i].yes = bit_of(t->verdicts, plan->targets[i].bit);
    }
    count(d);
}

static void on_answer(void *cookie, enum ses_err err)
{
    struct asked *asked = cookie;
    struct ses_daemon *d = asked->d;
    struct tests *t = &d->epochs.tests;
    t->asking--;
    if (t->epoch == asked->epoch && ses_epochs_running(d, asked->epoch)) {
        const uint16_t bit = d->epochs.plan->targets[asked->target].bit;
        struct test *test = &t->tests[asked->target];
        test->asking = false;
        if (err == SES_OK && !test->yes) {
            test->yes = true;
            t->verdicts[bit / 8] = (uint8_t)(t->verdicts[bit / 8] | 1u << bit % 8);
            save(d);
            count(d);
        }
    }
    ses_free(asked);
}

static void ask(struct ses_daemon *d, uint16_t target)
{
    struct tests *t = &d->epochs.tests;
    const struct ses_plan *plan = d->epochs.plan;
    struct test *test = &t->tests[target];
    struct asked *asked = ses_alloc(1, sizeof *asked);
    const struct ses_probe_order order = {.epoch = plan->epoch,
                                          .deadline_ms = plan->probe_wait_ms,
                                          .on_done = on_answer,
                                          .cookie = asked};
    test->next_ms = ses_epochs_now(d) + (plan->probe_again_ms << test->attempt_cnt);
    if (test->attempt_cnt < 8) {
        test->attempt_cnt++;
    }
    if (asked == NULL) {
        return;
    }
    asked->d = d;
    asked->epoch = plan->epoch;
    asked->target = target;
    if (ses_probe_start(d, &d->map->nodes[plan->targets[target].node], &order) != SES_OK) {
        ses_free(asked);
        return;
    }
    test->asking = true;
    t->asking++;
}

bool ses_tests_open(const struct ses_daemon *d)
{
    for (uint16_t i = 0; i < d->epochs.plan->target_cnt; i++) {
        const struct test *test = &d->epochs.tests.tests[i];
        if (!test->yes && (test->asking || test->attempt_cnt == 0)) {
            return true;
        }
    }
    return false;
}

void ses_tests_turn(struct ses_daemon *d)
{
    struct tests *t = &d->epochs.tests;
    const struct ses_plan *plan = d->epochs.plan;
    const uint64_t now_ms = ses_epochs_now(d);
    const bool late = now_ms >= plan->probe_end_ms;
    if (d->epochs.respond.state != TASK_WAITING) {
        return; /* the verdicts are given */
    }
    for (uint16_t i = 0; i < plan->target_cnt && t->asking < ASKING_MAX; i++) {
        const struct test *test = &t->tests[i];
        const bool first = test->attempt_cnt == 0;
        if (!test->yes && !test->asking && now_ms >= test->next_ms && (first || !late)) {
            ask(d, i);
        }
    }
}
