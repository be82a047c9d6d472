// SPDX-License-Identifier: Apache-2.0
/* The roles of the sample and what they are told on the command line or in the environment (as Istio's images are). */
#pragma once

#include <stdint.h>

struct app {
    const char *version;      /* v1, v2, v3: --version, SERVICE_VERSION */
    uint16_t port;            /* --port, 9080 */
    const char *details_host; /* DETAILS_HOSTNAME, REVIEWS_HOSTNAME, RATINGS_HOSTNAME; SERVICES_DOMAIN is appended */
    const char *reviews_host;
    const char *ratings_host;
    uint16_t details_port, reviews_port, ratings_port; /* 9080 */
    unsigned slow_every; /* ratings: each nth answer takes half a second (RATINGS_SLOW_EVERY, 0: none) */
    /* loadgen */
    const char *url;         /* --url http://host[:port]/path */
    double rate;             /* --rate requests a second */
    unsigned seconds;        /* --seconds, 0: until SIGTERM */
    const char *header_line; /* --header "name: value" */
};

int productpage_run(struct app *app);
int details_run(struct app *app);
int reviews_run(struct app *app);
int ratings_run(struct app *app);
int loadgen_run(struct app *app);
