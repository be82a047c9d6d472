// SPDX-License-Identifier: Apache-2.0
/* details: what is known of a book. GET /details/{id}, /health. */
#include "bookinfo.h"
#include "http.h"

static void answer(void *arg, const struct request *q, struct reply *r)
{
    (void)arg;
    r->content_type = "application/json";
    if (view_is(q->path, "/health")) {
        buf_str(&r->body, "{\"status\":\"Details is healthy\"}");
        return;
    }
    uint64_t id;
    if (!view_starts(q->path, VIEW("/details/")) || view_u64(view_from(q->path, 9), &id)) {
        r->status = view_starts(q->path, VIEW("/details/")) ? 400 : 404;
        buf_str(&r->body, "{\"error\":\"please provide numeric product id\"}");
        return;
    }
    buf_printf(&r->body,
               "{\"id\":%lu,\"author\":\"William Shakespeare\",\"year\":1595,\"type\":\"paperback\",\"pages\":200,"
               "\"publisher\":\"PublisherA\",\"language\":\"English\",\"ISBN-10\":\"1234567890\","
               "\"ISBN-13\":\"123-1234567890\"}",
               (unsigned long)id);
}

int details_run(struct app *app)
{
    return http_serve(app->port, answer, app);
}
