/* Who counts as one before a rate limit. */
#include "base/tap.h"
#include "daemon/daemon_internal.h"

#define RATE 10u
#define KIND 1u

static struct meters meters;

static uint32_t taken_by(const char *address, uint32_t tries)
{
    struct ses_peer peer = {0};
    uint32_t cnt = 0;
    snprintf(peer.address, sizeof peer.address, "%s", address);
    for (uint32_t i = 0; i < tries; i++) {
        cnt += ses_meter_take(&meters, &peer, KIND, RATE, 1000);
    }
    return cnt;
}

static void begin(void)
{
    memset(&meters, 0, sizeof meters);
    ses_random_fill(tap_random(), meters.secret, sizeof meters.secret);
}

static void test_addresses(void)
{
    begin();
    TAP_EQ(2 * RATE, taken_by("192.0.2.1:1000", 100));
    TAP_EQ(0, taken_by("192.0.2.1:1001", 100)); /* another port, the same peer */
    TAP_EQ(2 * RATE, taken_by("192.0.2.2:1000", 100));
    TAP_EQ(2 * RATE, taken_by("[::ffff:192.0.2.3]:1000", 100));
    TAP_EQ(2 * RATE, taken_by("[::ffff:192.0.2.4]:1000", 100));
    TAP_EQ(2 * RATE, taken_by("somewhere", 100)); /* of a test's network */
    TAP_EQ(0, taken_by("somewhere", 100));
}

static void test_prefix(void)
{
    begin();
    TAP_EQ(2 * RATE, taken_by("[2001:db8:0:1::1]:1000", 100));
    TAP_EQ(0, taken_by("[2001:db8:0:1:ffff::2]:1000", 100));
    TAP_EQ(2 * RATE, taken_by("[2001:db8:0:2::1]:1000", 100));
}

int main(void)
{
    TAP_RUN(test_addresses);
    TAP_RUN(test_prefix);
    return tap_done();
}
