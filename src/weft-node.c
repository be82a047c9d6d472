// SPDX-License-Identifier: Apache-2.0
/* weft-node: what weft does to the host or to a pod's network, as a program of its own so that nothing else needs the
 * capabilities for it. In this version one verb: `iptables`, the init container (image weft/node) that captures a pod's
 * traffic. `istio-iptables` is the same verb, so that the arguments of Istio's injection template run unchanged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "node/iptables.h"

/* Istio's form: scope:level[,scope:level]; our programs have one scope. */
static int set_log_level(struct view text, bool json)
{
    enum log_level level = LOG_INFO;
    struct view word;
    while (view_cut(&text, ',', &word)) {
        size_t colon = view_find(word, ':');
        struct view scope = colon < word.n ? view_head(word, colon) : VIEW("default");
        char name[16];
        snprintf(name, sizeof(name), "%.*s", VIEW_ARGS(colon < word.n ? view_from(word, colon + 1) : word));
        if ((view_is(scope, "default") || view_is(scope, "all")) && log_parse_level(name, &level) < 0)
            return -1;
    }
    log_set(level, json);
    return 0;
}

static int verb_iptables(int argc, char **argv)
{
    struct arena a;
    struct iptables_options o;
    struct view why = VIEW_NONE;
    int code = 2;
    arena_init(&a, 0);
    if (iptables_options_parse(&o, &a, argc, argv, getenv, &why) < 0)
        fprintf(stderr, "weft-node iptables: %.*s\n", VIEW_ARGS(why));
    else if (set_log_level(o.log_level, o.log_json) < 0)
        fprintf(stderr, "weft-node iptables: --log_output_level: `%.*s` is not scope:level\n", VIEW_ARGS(o.log_level));
    else
        code = iptables_run(&o, &a);
    arena_done(&a);
    return code;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {{"iptables", verb_iptables}, {"istio-iptables", verb_iptables}};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < COUNT_OF(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 2, argv + 2);
    if (argc > 1 && strcmp(argv[1], "version") == 0)
        return puts("weft-node " WEFT_VERSION) < 0;
    fputs("weft-node iptables [flags of istio-iptables]   capture this network namespace's traffic\n"
          "weft-node version\n",
          stderr);
    return 2;
}
