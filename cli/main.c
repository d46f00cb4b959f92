#include "cli/cli.h"

int main(int argc, char **argv)
{
    return ses_cli_run(argc, argv);
}
