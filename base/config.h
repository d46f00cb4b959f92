/* Configuration of a program: one table of keys that is read, in rising precedence, from a
 * `key = value` file (# comments), from the environment (PREFIX_KEY_NAME) and from long options
 * (--key-name VALUE, --key-name=VALUE). Unknown keys are errors that name file and line. */
#ifndef SES_BASE_CONFIG_H
#define SES_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct ses_config_key {
    const char *name;    /* lower case with dashes: "rpc-listen" */
    const char *initial; /* default value, NULL if none */
    const char *help;    /* one line for --help */
    bool flag;           /* a switch without value: "true" when given */
};

struct ses_config; /* owns its values */

/* `keys` ends with a zero entry and must outlive the configuration. */
SES_CHECKED enum ses_err ses_config_new(struct ses_config **out, const struct ses_config_key *keys);
void ses_config_free(struct ses_config *c);
SES_CHECKED enum ses_err ses_config_read_file(struct ses_config *c, const char *path,
                                              struct ses_note *note);
/* As the file, from memory; `where` names the text in notes. */
SES_CHECKED enum ses_err ses_config_read_text(struct ses_config *c, const char *where,
                                              const char *text, size_t len, struct ses_note *note);
/* PREFIX_ + key in upper case, dashes as underscores. */
SES_CHECKED enum ses_err ses_config_read_env(struct ses_config *c, const char *prefix,
                                             struct ses_note *note);
/* Takes long options out of argv (argv[0] stays), leaving the other arguments; updates *argc. */
SES_CHECKED enum ses_err ses_config_read_args(struct ses_config *c, int *argc, char **argv,
                                              struct ses_note *note);
/* NULL if neither given nor defaulted. Borrowed until the configuration is changed or freed. */
const char *ses_config_get(const struct ses_config *c, const char *name);
bool ses_config_flag(const struct ses_config *c, const char *name);
/* Decimal; SES_ERR_CONFIG with a note that names key and range. */
SES_CHECKED enum ses_err ses_config_u64(const struct ses_config *c, const char *name,
                                        unsigned long long min, unsigned long long max,
                                        unsigned long long *out, struct ses_note *note);
/* Prints the table of keys for --help. */
void ses_config_help(const struct ses_config_key *keys);

#endif
