// SPDX-License-Identifier: Apache-2.0
/* CORS (cors.h). A preflight is OPTIONS with Origin and Access-Control-Request-Method. An origin that the policy does not
 * allow gets no CORS headers, and its preflight an empty 200, unless the policy forwards unmatched preflights.
 */
#include "proxy/filter/cors.h"

#include "plan/route.h"
#include "proxy/stream.h"
#include "wire/headers.h"

static void add(struct headers *h, const char *name, struct view value)
{
    if (value.n && headers_set_name(h, HEADER_OTHER, view_of(name), value) < 0)
        return; /* an answer with 240 headers goes out without these */
}

bool cors_preflight(struct stream *s)
{
    const struct cors *p = s->route->cors;
    const struct headers *in = &s->down->in;
    struct view origin = headers_value(in, HEADER_ORIGIN);
    if (!origin.p)
        return false;
    for (uint32_t i = 0; i < p->n_origins && !s->origin_allowed; i++)
        s->origin_allowed = text_match(&p->origins[i], origin);
    s->origin = origin;
    if (!view_is(headers_value(in, HEADER_METHOD), "OPTIONS") || !headers_has(in, HEADER_ACCESS_CONTROL_REQUEST_METHOD))
        return false;
    return s->origin_allowed || !p->forward_unmatched_preflights;
}

void cors_answer(struct stream *s, struct headers *h, bool preflight)
{
    const struct cors *p = s->route ? s->route->cors : NULL;
    if (!p || !s->origin_allowed)
        return;
    add(h, "access-control-allow-origin", s->origin);
    if (p->has_credentials && p->credentials)
        add(h, "access-control-allow-credentials", VIEW("true"));
    if (!preflight) {
        add(h, "access-control-expose-headers", p->expose);
        return;
    }
    add(h, "access-control-allow-methods", p->methods);
    add(h, "access-control-allow-headers", p->headers);
    add(h, "access-control-max-age", p->max_age);
}
