/* cli: the program `session`. One table of commands; each command is a function of its parsed
 * options that prints a result for a person, or one JSON object with --json.
 *
 *     main ─► cli_run ─► table (command.c) ─► id_*, message_*, chain_*, node_*, audit_*, devnet_*
 *
 * Results go to standard output, progress and errors to standard error. Exit codes: 0 ok, 1 failed,
 * 2 usage, 3 not found, 4 refused, 5 unreachable.
 */
#ifndef SES_CLI_CLI_H
#define SES_CLI_CLI_H

/* The whole program: returns the exit code. */
int ses_cli_run(int argc, char **argv);

#endif
