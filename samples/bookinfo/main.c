// SPDX-License-Identifier: Apache-2.0
/* bookinfo ROLE [--version v1] [--port 9080] …: the sample application, one program with the roles of Istio's Bookinfo
 * (productpage, details, reviews, ratings) and a load generator. Routes, names, ports and environment variables are
 * those of the original, so every tutorial's YAML applies unchanged.
 */
#include "bookinfo.h"
#include "base/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(struct app *);
} roles[] = {{"productpage", productpage_run},
             {"details", details_run},
             {"reviews", reviews_run},
             {"ratings", ratings_run},
             {"loadgen", loadgen_run}};

static const char *env(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static const char *host(const char *variable, const char *service)
{
    const char *name = env(variable, service), *domain = env("SERVICES_DOMAIN", "");
    if (!*domain)
        return name;
    size_t n = strlen(name) + strlen(domain) + 2;
    char *full = mem_alloc(n); /* lives as long as the program */
    snprintf(full, n, "%s.%s", name, domain);
    return full;
}

static uint16_t port_of(const char *text)
{
    return (uint16_t)strtoul(text, NULL, 10);
}

static int usage(void)
{
    fputs("usage: bookinfo productpage|details|reviews|ratings [--version v1] [--port 9080]\n"
          "       bookinfo loadgen --url http://HOST[:PORT]/PATH [--rate 20] [--seconds N] [--header 'NAME: VALUE']\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    struct app app = {
        .version = env("SERVICE_VERSION", "v1"),
        .port = port_of(env("PORT", "9080")),
        .details_host = host("DETAILS_HOSTNAME", "details"),
        .reviews_host = host("REVIEWS_HOSTNAME", "reviews"),
        .ratings_host = host("RATINGS_HOSTNAME", "ratings"),
        .details_port = 9080,
        .reviews_port = 9080,
        .ratings_port = 9080,
        .slow_every = (unsigned)strtoul(env("RATINGS_SLOW_EVERY", "20"), NULL, 10),
        .rate = 20,
    };
    if (argc < 2)
        return usage();
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value && argv[i][0] == '-')
            return usage();
        if (!strcmp(argv[i], "--version"))
            app.version = argv[++i];
        else if (!strcmp(argv[i], "--port"))
            app.port = port_of(argv[++i]);
        else if (!strcmp(argv[i], "--url"))
            app.url = argv[++i];
        else if (!strcmp(argv[i], "--rate"))
            app.rate = strtod(argv[++i], NULL);
        else if (!strcmp(argv[i], "--seconds"))
            app.seconds = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--header"))
            app.header_line = argv[++i];
        else if (argv[i][0] == '-')
            return usage();
        else
            app.port = port_of(argv[i]); /* Istio's images take the port as an argument */
    }
    if (strlen(app.version) < 2 || !app.port)
        return usage();
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (!strcmp(argv[1], roles[i].name))
            return roles[i].run(&app);
    return usage();
}
