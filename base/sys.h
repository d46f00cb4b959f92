/* What pure code may not reach by itself: memory, time, randomness, an event loop, a log.
 * They are values handed in, so that one process can run fifty nodes on a virtual clock. */
#ifndef SES_BASE_SYS_H
#define SES_BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* ---- memory: zeroed; NULL when the machine has none. The only malloc of the project. ---- */
void *ses_alloc(size_t count, size_t size);
/* Grows or shrinks; new bytes are not zeroed; the old block stays valid if NULL comes back. */
void *ses_realloc(void *old, size_t count, size_t size);
char *ses_strdup(const char *text);
void ses_free(void *p);
/* Test hook: the n-th allocation from now on fails (0 = never), in this thread. Returns how many
 * were left of the last call's n: 0 if that one failed. */
uint64_t ses_alloc_fail_at(uint64_t n);

/* ---- files ---- */
/* ERR_PERMISSION, and a note that says chmod, if the mode of this regular file has any bit of
 * `others` (077, or 007 where a group may be meant to read it). */
SES_CHECKED enum ses_err ses_secret_file_check(const char *path, unsigned others,
                                               struct ses_note *note);

/* ---- clock ---- */
struct ses_clock {
    void *ctx;
    uint64_t (*now_ms)(void *ctx); /* unix time in milliseconds */
};
const struct ses_clock *ses_clock_system(void);
static inline uint64_t ses_now_ms(const struct ses_clock *clock)
{
    return clock->now_ms(clock->ctx);
}
/* Milliseconds that never go back; for timeouts and measurements in programs and benchmarks. */
uint64_t ses_mono_ms(void);
uint64_t ses_mono_ns(void);

/* ---- systemd ---- */
/* sd_notify(3): "READY=1" and the like to $NOTIFY_SOCKET if it is set; never fails. */
void ses_systemd_notify(const char *state);
/* Half of WATCHDOG_USEC in ms; 0 without watchdog. */
uint64_t ses_systemd_watchdog_ms(void);

/* ---- randomness ---- */
struct ses_random {
    void *ctx;
    void (*fill)(void *ctx, void *out, size_t len); /* never fails: aborts if the system cannot */
};
/* getrandom(2). */
const struct ses_random *ses_random_system(void);
static inline void ses_random_fill(const struct ses_random *random, void *out, size_t len)
{
    random->fill(random->ctx, out, len);
}
uint64_t ses_random_u64(const struct ses_random *random);
/* Uniform in 0..bound-1; bound > 0. */
uint64_t ses_random_below(const struct ses_random *random, uint64_t bound);

/* ---- event loop ----
 * Single-threaded: every callback runs on the loop's thread, none from inside the call that asked
 * for it. `run` of a work item runs on another thread (on the same one in the simulator) and must
 * touch nothing but its cookie. */
struct ses_timer;
struct ses_loop {
    struct ses_clock clock;
    uint64_t (*mono_ms)(void *ctx);
    /* One shot after `delay_ms`; *out is valid until the callback has begun or it is cancelled. */
    enum ses_err (*timer_start)(void *ctx, struct ses_timer **out, uint64_t delay_ms,
                                void (*fire)(void *cookie), void *cookie);
    void (*timer_stop)(void *ctx, struct ses_timer *timer); /* NULL allowed */
    enum ses_err (*work)(void *ctx, void (*run)(void *cookie), void (*done)(void *cookie),
                         void *cookie);
    void *ctx; /* of the three functions above; the clock has its own */
};

/* ---- log ---- */
enum ses_log_level { SES_LOG_ERROR, SES_LOG_WARN, SES_LOG_INFO, SES_LOG_DEBUG };
struct ses_log {
    void *ctx;
    enum ses_log_level level;
    /* One finished line without newline: "level time module message key=value ...". */
    void (*write)(void *ctx, enum ses_log_level level, const char *module, const char *text);
};
/* Writes "info 2026-01-02T03:04:05.678Z module text" to standard error. */
const struct ses_log *ses_log_stderr(void);
/* As above, as one JSON object a line. */
const struct ses_log *ses_log_json(void);
/* Never log secrets, message content or (above debug) inbox ids. `log` may be NULL. */
__attribute__((format(printf, 4, 5))) void ses_logf(const struct ses_log *log,
                                                    enum ses_log_level level, const char *module,
                                                    const char *format, ...);
/* "error", "warn", "info", "debug"; SES_ERR_INVALID otherwise. */
SES_CHECKED enum ses_err ses_log_level_parse(enum ses_log_level *out, const char *text);

#endif
