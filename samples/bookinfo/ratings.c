// SPDX-License-Identifier: Apache-2.0
/* ratings: stars of the reviewers. GET and POST /ratings/{id}, /health.
 *
 * Here is the sample's deliberate weakness, to be found with the mesh: each twentieth answer takes half a second. The
 * page as a whole looks fine on average; the p99 of the edge reviews → ratings shows it (see README.md).
 */
#include "bookinfo.h"
#include "http.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { BOOKS = 100, SLOW_US = 500 * 1000 };

struct ratings {
    struct app *app;
    pthread_mutex_t lock;
    int stars[BOOKS][2];
    atomic_uint answers;
};

/* {"Reviewer1": 5, "Reviewer2": 4} */
static int read_stars(struct view body, const char *name)
{
    size_t at = view_find_view(body, view_of(name));
    struct view rest = view_from(body, at + view_of(name).n);
    while (rest.n && (rest.p[0] < '0' || rest.p[0] > '9'))
        rest = view_from(rest, 1);
    return rest.n ? rest.p[0] - '0' : -1;
}

static void answer(void *arg, const struct request *q, struct reply *r)
{
    struct ratings *all = arg;
    uint64_t id;
    r->content_type = "application/json";
    if (view_is(q->path, "/health")) {
        buf_str(&r->body, "{\"status\":\"Ratings is healthy\"}");
        return;
    }
    if (!view_starts(q->path, VIEW("/ratings/")) || view_u64(view_from(q->path, 9), &id) || id >= BOOKS) {
        r->status = view_starts(q->path, VIEW("/ratings/")) ? 400 : 404;
        buf_str(&r->body, "{\"error\":\"please provide numeric product ID\"}");
        return;
    }
    unsigned every = all->app->slow_every, n = atomic_fetch_add(&all->answers, 1) + 1;
    if (every && n % every == 0)
        usleep(SLOW_US);
    pthread_mutex_lock(&all->lock);
    if (view_is(q->method, "POST"))
        for (int i = 0; i < 2; i++) {
            int stars = read_stars(q->body, i ? "Reviewer2" : "Reviewer1");
            if (stars >= 0 && stars <= 5)
                all->stars[id][i] = stars;
        }
    buf_printf(&r->body, "{\"id\":%lu,\"ratings\":{\"Reviewer1\":%d,\"Reviewer2\":%d}}", (unsigned long)id,
               all->stars[id][0], all->stars[id][1]);
    pthread_mutex_unlock(&all->lock);
}

int ratings_run(struct app *app)
{
    struct ratings *all = calloc(1, sizeof(*all));
    if (!all)
        return 1;
    all->app = app;
    pthread_mutex_init(&all->lock, NULL);
    for (int i = 0; i < BOOKS; i++) {
        all->stars[i][0] = 5;
        all->stars[i][1] = 4;
    }
    return http_serve(app->port, answer, all); /* the process ends with it */
}
