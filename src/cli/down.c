// SPDX-License-Identifier: Apache-2.0
/* weft down: ends a sandbox and waits until it is gone. Nothing needs cleaning up: all of it lived in namespaces. */
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/client.h"

int verb_down(struct cli *c)
{
    uint64_t wait = 20 * NS_PER_S;
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &wait))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    struct answer a = {0};
    int r = client_call(c, "POST", VIEW("/weft/v1/down"), VIEW_NONE, &a);
    answer_done(&a);
    if (r)
        return r;
    uint64_t until = clock_mono() + wait;
    int fd;
    while ((fd = client_connect(c, "")) >= 0) {
        close(fd);
        if (clock_mono() > until)
            return cli_fail(c, "sandbox `%.*s` is still ending", VIEW_ARGS(c->sandbox));
        usleep(20 * 1000);
    }
    fprintf(stderr, "sandbox \"%.*s\" is down\n", VIEW_ARGS(c->sandbox));
    return EXIT_OK;
}
