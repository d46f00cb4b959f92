#include <stdarg.h>

#include "tests/sim/sim.h"

static void mix(struct trace *t, uint64_t v)
{
    uint64_t z = (t->hash ^ v) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    t->hash = z ^ (z >> 31);
}

void sim_mark(struct sim *s, uint32_t kind, uint64_t a, uint64_t b)
{
    struct trace *t = &s->trace;
    t->event_cnt++;
    mix(t, s->now_ms << 8 | kind);
    mix(t, a);
    mix(t, b);
}

void sim_tell(struct sim *s, const char *format, ...)
{
    struct trace *t = &s->trace;
    char *line = t->lines[t->line_cnt++ % TRACE_LINES];
    const uint64_t ms = s->now_ms;
    const int at =
        snprintf(line, TRACE_CHARS, "%3" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64 "  ",
                 ms / SIM_HOUR_MS, ms / SIM_MINUTE_MS % 60, ms / 1000 % 60, ms % 1000);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line + at, TRACE_CHARS - (size_t)at, format, args);
    va_end(args);
    for (const char *c = line; *c != 0; c++) {
        mix(t, (uint8_t)*c);
    }
    t->event_cnt++;
    if (t->print) {
        printf("%s\n", line);
    }
}

void sim_see(struct sim *s, enum sim_seen what)
{
    s->verdict.seen[what]++;
}

const char *sim_seen_text(enum sim_seen what)
{
    static const char *const texts[] = {
#define SIM_X(name, text) text,
        SIM_SEEN(SIM_X)
#undef SIM_X
    };
    return texts[what];
}
