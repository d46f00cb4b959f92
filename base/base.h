/* base: what everything stands on, and nothing else.
 *
 *   err.h     one error enum, SES_TRY / SES_REQUIRE / SES_ASSERT
 *   bytes.h   reader and writer with sticky errors, growing buffer
 *   text.h    hex, base58
 *   sys.h     memory, clock, randomness, event loop and log as values that are handed in
 *   file.h    whole files
 *   config.h  key = value files, environment and options in one table
 *   tap.h     test harness (tests only; not included here)
 *
 * Nothing here keeps global state. Functions are thread-safe unless they share an argument.
 */
#ifndef SES_BASE_BASE_H
#define SES_BASE_BASE_H

#include "base/bytes.h"
#include "base/config.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mutant.h"
#include "base/sys.h"
#include "base/text.h"

#define SES_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
