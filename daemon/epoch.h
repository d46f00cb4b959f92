/* The duties of an epoch (plan.h says which and when). One timer turns the wheel: each turn looks
 * at the clock, the plan, the chain's word and what is under way, and starts what is due. Nothing
 * depends on a moment being hit, so crashes, late starts and clock jumps cost at most a turn.
 *
 *     turn ─► seal ─► standing? ─► commit ── snapshot, sign, remember, submit ... until in a block
 *                               ─► tests ─── probe, verify, remember the verdict
 *                               ─► respond ─ prove, open, sign, submit ........ until in a block
 *                               ─► keys, address
 */
#ifndef SES_DAEMON_EPOCH_H
#define SES_DAEMON_EPOCH_H

#include "daemon/daemon.h"
#include "daemon/plan.h"

/* One transaction of the running epoch on its way to the chain. */
enum task_state {
    TASK_IDLE,    /* not owed, or not in this epoch any more */
    TASK_WAITING, /* for its moment, or for another attempt at making it */
    TASK_MAKING,
    TASK_READY, /* signed: submitted until it stands in a block */
    TASK_DONE,
};
struct task {
    struct ses_daemon *d;
    enum task_state state;
    uint64_t epoch;
    bool submitting;
    bool taken;       /* by the chain's pool, at least once */
    uint64_t next_ms; /* monotonic: the next attempt */
    struct ses_buf tx;
};

/* One node under test. */
struct test {
    uint8_t attempt_cnt;
    bool yes, asking;
    uint64_t next_ms; /* unix */
};
struct tests {
    uint64_t epoch;
    uint32_t asking;
    struct test tests[SES_TARGETS_MAX]; /* by the plan's targets */
    uint8_t verdicts[SES_VERDICT_BYTES_MAX];
};

/* Encryption keys besides that of the key file: listed, listed before, to be listed. */
#define RING_KEYS_MAX 4u
struct ring_key {
    uint64_t key_epoch; /* of the transaction */
    struct ses_kem_seed seed;
    struct ses_kem_pk pk;
};
struct ring {
    uint32_t cnt;
    struct ring_key keys[RING_KEYS_MAX];
};

struct epochs {
    struct ses_timer *timer;
    struct ses_plan *plan; /* of d->map; NULL before the first */
    uint64_t begun_epoch;  /* the tasks below are this epoch's */
    bool begun;
    uint64_t begun_ms; /* unix: later than T_n after a late start */
    struct task commit, respond, rotate, announce;
    bool bare; /* the chain found an opening false: the response goes without */
    struct tests tests;
    struct ring ring;
    bool asking;     /* for the standing */
    uint64_t ask_ms; /* monotonic: not before */
    bool seen;       /* `standing` is of the running epoch */
    struct ses_chain_standing *standing;
    int64_t sealed;
    bool restored;           /* the chain knows a commitment of ours that the store does not: */
    uint64_t restored_epoch; /* none for the epoch in which that was found */
    struct ses_report reports[SES_REPORTS_MAX];
    uint32_t report_cnt;
};

/* ---- epoch.c ---- */
/* Seals what is over by the own clock and by what the chain said last. */
void ses_epochs_seal(struct ses_daemon *d);
SES_CHECKED enum ses_err ses_epochs_start(struct ses_daemon *d);
void ses_epochs_stop(struct ses_daemon *d);
void ses_epochs_free(struct ses_daemon *d);
/* The own clock, or the chain's where that is ahead. */
uint64_t ses_epochs_now(const struct ses_daemon *d);
/* Whether the job of `epoch` is still of interest when it comes back. */
bool ses_epochs_running(const struct ses_daemon *d, uint64_t epoch);
/* A signed transaction of the node: version, type and body from `tx`. CPU: worker. */
SES_CHECKED enum ses_err ses_epochs_sign(const struct ses_daemon *d, const struct ses_tx *tx,
                                         struct ses_buf *out);
void ses_task_begin(struct task *task, uint64_t epoch, bool owed);
void ses_task_done(struct task *task);
/* Another attempt after the plan's resend_ms, as TASK_WAITING. */
void ses_task_again(struct task *task);
/* TASK_READY with these bytes (moved from `tx`). */
void ses_task_ready(struct task *task, struct ses_buf *tx);
/* Submits if it is ready and the time has come. */
void ses_task_submit(struct task *task);

/* ---- commit.c, testers.c, respond.c, renew.c: called each turn, with a standing of the running
 * epoch ---- */
void ses_commit_turn(struct ses_daemon *d);
void ses_tests_begin(struct ses_daemon *d);
void ses_tests_turn(struct ses_daemon *d);
/* Some node was not asked yet, or its answer is on the way. */
bool ses_tests_open(const struct ses_daemon *d);
void ses_respond_turn(struct ses_daemon *d);
void ses_renew_load(struct ses_daemon *d);
void ses_renew_free(struct ses_daemon *d);
/* Erases seeds of keys that are listed no more. */
void ses_renew_begin(struct ses_daemon *d);
void ses_renew_turn(struct ses_daemon *d);
/* The secret whose hash is the `next` of the commitment for `epoch`. */
void ses_reveal_of(struct ses_hash *out, const struct ses_daemon *d, uint64_t epoch);

/* ---- report.c ---- */
void ses_reports_load(struct ses_daemon *d);
/* The running epoch's; opens it. */
struct ses_report *ses_report_now(struct ses_daemon *d);
void ses_reports_save(struct ses_daemon *d);
/* What the chain says of former epochs: notes it, one warning for each miss. */
void ses_reports_judge(struct ses_daemon *d, const struct ses_chain_standing *standing);
/* Sets a reason (`detail` may be NULL), and logs it if it is news. */
void ses_report_why(struct ses_daemon *d, char why[SES_WHY_MAX], const char *what,
                    const char *detail);

#endif
