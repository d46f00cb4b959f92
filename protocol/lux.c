/* Amounts for people. */
#include "protocol/protocol_internal.h"
#include "protocol/tx.h"

#define NLUX_PER_LUX 1000000000u

void ses_lux_text(char out[SES_LUX_TEXT_MAX], uint64_t nlux)
{
    char fraction[11] = ".";
    unsigned rest = (unsigned)(nlux % NLUX_PER_LUX);
    for (size_t i = 9; i > 0; i--) {
        fraction[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    size_t len = 10;
    while (len > 0 && (fraction[len - 1] == '0' || fraction[len - 1] == '.')) {
        len--;
    }
    fraction[len] = 0;
    const int n = snprintf(out, SES_LUX_TEXT_MAX, "%llu%s",
                           (unsigned long long)(nlux / NLUX_PER_LUX), fraction);
    SES_ASSERT(n > 0 && (size_t)n < SES_LUX_TEXT_MAX);
}
