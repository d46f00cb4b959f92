/* Benchmarks only: a link of a given speed and delay between processes on one machine. Whoever
 * dials port i of the link reaches what listens on `backend[i]`; what travels from the backends to
 * the diallers shares one token bucket, as on the receiver's line, and arrives later by the delay.
 */
#ifndef SES_BENCH_LINK_H
#define SES_BENCH_LINK_H

#include <stdatomic.h>
#include <stdint.h>

#define LINK_PORTS 8u

struct link { /* shared between the processes */
    uint32_t port_cnt;
    int listeners[LINK_PORTS];
    uint16_t ports[LINK_PORTS];            /* to be dialled */
    _Atomic uint16_t backends[LINK_PORTS]; /* 0: nobody listens yet */
    _Atomic uint64_t bytes_per_s;          /* 0: as fast as it goes */
    _Atomic uint64_t delay_ns;             /* each way */
};

/* In memory that forked processes share; ends the program if that fails. */
struct link *link_new(uint32_t port_cnt);
/* Forwards until it is killed. */
void link_run(struct link *l);

#endif
