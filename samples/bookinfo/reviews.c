// SPDX-License-Identifier: Apache-2.0
/* reviews: two reviews of a book. v1 has no stars; v2 shows ratings as black stars, v3 as red ones. GET /reviews/{id}, /health. */
#include "bookinfo.h"
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
    const char *reviewer, *text;
} reviews[] = {
    {"Reviewer1", "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!"},
    {"Reviewer2",
     "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare."},
};

static int stars_of(const struct reply *ratings, const char *reviewer)
{
    struct view body = buf_read(&ratings->body);
    size_t at = view_find_view(body, view_of(reviewer));
    struct view rest = view_from(body, at + view_of(reviewer).n);
    while (rest.n && (rest.p[0] < '0' || rest.p[0] > '9'))
        rest = view_from(rest, 1);
    return rest.n ? rest.p[0] - '0' : 0;
}

static void write_rating(struct reply *r, const struct app *app, const struct reply *ratings, const char *reviewer)
{
    if (ratings->status == 200)
        buf_printf(&r->body, ",\"rating\":{\"stars\":%d,\"color\":\"%s\"}", stars_of(ratings, reviewer),
                   app->version[1] == '2' ? "black" : "red");
    else
        buf_str(&r->body, ",\"rating\":{\"error\":\"Ratings service is currently unavailable\"}");
}

static void answer(void *arg, const struct request *q, struct reply *r)
{
    struct app *app = arg;
    uint64_t id;
    r->content_type = "application/json";
    if (view_is(q->path, "/health")) {
        buf_str(&r->body, "{\"status\":\"Reviews is healthy\"}");
        return;
    }
    if (!view_starts(q->path, VIEW("/reviews/")) || view_u64(view_from(q->path, 9), &id)) {
        r->status = 404;
        buf_str(&r->body, "{\"error\":\"no such page\"}");
        return;
    }
    struct reply ratings = {0};
    bool with_stars = app->version[1] != '1';
    if (with_stars) {
        struct buf headers = {0};
        char path[64];
        snprintf(path, sizeof(path), "/ratings/%lu", (unsigned long)id);
        headers_forwarded(q, &headers);
        http_call("GET", app->ratings_host, app->ratings_port, path, buf_read(&headers), VIEW_NONE, 10000, &ratings);
        buf_done(&headers);
    }
    const char *pod = getenv("HOSTNAME");
    buf_printf(&r->body, "{\"id\":\"%lu\",\"podname\":\"%s\",\"clustername\":\"null\",\"reviews\":[", (unsigned long)id,
               pod ? pod : "");
    for (size_t i = 0; i < COUNT_OF(reviews); i++) {
        buf_printf(&r->body, "%s{\"reviewer\":\"%s\",\"text\":\"%s\"", i ? "," : "", reviews[i].reviewer,
                   reviews[i].text);
        if (with_stars)
            write_rating(r, app, &ratings, reviews[i].reviewer);
        buf_char(&r->body, '}');
    }
    buf_str(&r->body, "]}");
    reply_done(&ratings);
}

int reviews_run(struct app *app)
{
    return http_serve(app->port, answer, app);
}
