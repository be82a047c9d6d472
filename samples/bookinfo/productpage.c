// SPDX-License-Identifier: Apache-2.0
/* productpage: the page that people see. It asks details and reviews (which asks ratings) and shows what it got, or that
 * it got nothing. Signing in as `jason` sends the header end-user: jason on, which routes can match.
 * GET / /productpage /health /logout /api/v1/products[/{id}[/reviews|/ratings]], POST /login.
 */
#include "bookinfo.h"
#include "http.h"

#include <stdio.h>

enum { DETAILS_TIMEOUT_MS = 3000, REVIEWS_TIMEOUT_MS = 3000, REVIEWS_TRIES = 2 };

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#222;background:#f6f7f9}"
    "header{background:#24425c;color:#fff;padding:.8em "
    "2em;display:flex;justify-content:space-between;align-items:center}"
    "header a,header button{color:#fff;background:none;border:1px solid #fff8;border-radius:4px;padding:.2em "
    ".8em;text-decoration:none}"
    "header input{border:0;border-radius:4px;padding:.3em .6em}main{max-width:60em;margin:2em auto;padding:0 1em}"
    "h1{font-weight:600}section{display:grid;grid-template-columns:1fr 1fr;gap:2em}article{background:#fff;border:1px "
    "solid "
    "#dde1e6;border-radius:8px;padding:1em 1.5em}dt{font-weight:600}dd{margin:0 0 .6em}blockquote{margin:0 0 "
    "1.2em;padding:0 0 0 1em;"
    "border-left:3px solid "
    "#dde1e6}.stars{font-size:1.3em;letter-spacing:.1em}.error{color:#a00}footer{color:#777;font-size:.85em;margin-top:"
    "1.5em}";

/* The user name out of the session cookie, only letters, digits and -_. so that it may stand in a header and in HTML. */
static struct view user_of(const struct request *q)
{
    struct view rest = header(q->head, "cookie"), part;
    while (view_cut(&rest, ';', &part)) {
        part = view_trim(part);
        if (view_starts(part, VIEW("session=")))
            return view_from(part, 8);
    }
    return VIEW_NONE;
}

static bool name_is_fit(struct view name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.'))
            return false;
    }
    return name.n > 0 && name.n <= 64;
}

static void call_headers(const struct request *q, struct buf *out)
{
    struct view user = user_of(q);
    headers_forwarded(q, out);
    if (name_is_fit(user) && !header(q->head, "end-user").n)
        buf_printf(out, "end-user: %.*s\r\n", VIEW_ARGS(user));
}

static void get_details(struct app *app, const struct request *q, struct reply *ret)
{
    struct buf headers = {0};
    call_headers(q, &headers);
    http_call("GET", app->details_host, app->details_port, "/details/0", buf_read(&headers), VIEW_NONE,
              DETAILS_TIMEOUT_MS, ret);
    buf_done(&headers);
}

/* Two tries of three seconds, as the original does: the delay lesson (7 s on ratings) depends on it. */
static void get_reviews(struct app *app, const struct request *q, struct reply *ret)
{
    struct buf headers = {0};
    call_headers(q, &headers);
    for (int i = 0; i < REVIEWS_TRIES; i++) {
        http_call("GET", app->reviews_host, app->reviews_port, "/reviews/0", buf_read(&headers), VIEW_NONE,
                  REVIEWS_TIMEOUT_MS, ret);
        if (ret->status == 200)
            break;
        if (i + 1 < REVIEWS_TRIES)
            reply_done(ret);
    }
    buf_done(&headers);
}

/* The string or number behind "key":, cut out of flat JSON that our own services wrote. */
static struct view json_value(struct view json, const char *key)
{
    char quoted[64];
    int n = snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    size_t at = view_find_view(json, view_make(quoted, (size_t)n));
    struct view rest = view_from(json, at + (size_t)n);
    if (rest.n && rest.p[0] == '"')
        return view_head(view_from(rest, 1), view_find(view_from(rest, 1), '"'));
    size_t end = 0;
    while (end < rest.n && rest.p[end] != ',' && rest.p[end] != '}')
        end++;
    return view_head(rest, end);
}

static void show_details(struct buf *page, const struct reply *details)
{
    static const struct {
        const char *key, *title;
    } rows[] = {{"type", "Type"},         {"pages", "Pages"},     {"publisher", "Publisher"},
                {"language", "Language"}, {"ISBN-10", "ISBN-10"}, {"ISBN-13", "ISBN-13"}};
    buf_str(page, "<article><h2>Book Details</h2>");
    if (details->status != 200) {
        buf_str(page, "<p class=error>Error fetching product details!</p><p>Sorry, product details are currently "
                      "unavailable for this book.</p></article>");
        return;
    }
    buf_str(page, "<dl>");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        buf_printf(page, "<dt>%s</dt><dd>%.*s</dd>", rows[i].title,
                   VIEW_ARGS(json_value(buf_read(&details->body), rows[i].key)));
    buf_str(page, "</dl></article>");
}

static void show_stars(struct buf *page, struct view review)
{
    struct view stars = json_value(review, "stars"), color = json_value(review, "color");
    if (view_find_view(review, VIEW("\"rating\"")) == review.n)
        return;
    if (!stars.n) {
        buf_str(page, "<p class=error>Ratings service is currently unavailable</p>");
        return;
    }
    buf_printf(page, "<div class=stars style='color:%.*s'>", VIEW_ARGS(color));
    for (int i = 0; i < 5; i++)
        buf_str(page, i < stars.p[0] - '0' ? "&#9733;" : "&#9734;");
    buf_str(page, "</div>");
}

static void show_reviews(struct buf *page, const struct reply *reviews)
{
    struct view rest = buf_read(&reviews->body), mark = VIEW("{\"reviewer\"");
    buf_str(page, "<article><h2>Book Reviews</h2>");
    if (reviews->status != 200) {
        buf_str(page, "<p class=error>Error fetching product reviews!</p><p>Sorry, product reviews are currently "
                      "unavailable for this book.</p></article>");
        return;
    }
    for (size_t at; (at = view_find_view(rest, mark)) < rest.n;) {
        rest = view_from(rest, at + 1);
        struct view review = view_head(rest, view_find_view(rest, mark));
        buf_printf(page, "<blockquote>%.*s", VIEW_ARGS(json_value(review, "text")));
        show_stars(page, review);
        buf_printf(page, "<small>%.*s</small></blockquote>", VIEW_ARGS(json_value(review, "reviewer")));
    }
    buf_printf(page, "<footer>Reviews served by: %.*s</footer></article>",
               VIEW_ARGS(json_value(buf_read(&reviews->body), "podname")));
}

static void show_page(struct app *app, const struct request *q, struct reply *r)
{
    struct reply details = {0}, reviews = {0};
    struct view user = user_of(q);
    get_details(app, q, &details);
    get_reviews(app, q, &reviews);
    r->content_type = "text/html; charset=utf-8";
    buf_printf(&r->body,
               "<!doctype html><html lang=en><meta charset=utf-8><title>Simple Bookstore "
               "App</title><style>%s</style><header><b>BookInfo Sample</b>",
               style);
    if (name_is_fit(user))
        buf_printf(&r->body, "<span>%.*s <a href=/logout>sign out</a></span></header>", VIEW_ARGS(user));
    else
        buf_str(&r->body, "<form method=post action=/login><input name=username placeholder='user, e.g. jason'> "
                          "<button>Sign in</button></form></header>");
    buf_str(
        &r->body,
        "<main><h1>The Comedy of Errors</h1><p>The Comedy of Errors is one of William Shakespeare's early plays. It is "
        "his shortest and one of his most "
        "farcical comedies, with a major part of the humour coming from slapstick and mistaken identity.</p><section>");
    show_details(&r->body, &details);
    show_reviews(&r->body, &reviews);
    buf_str(&r->body, "</section></main></html>");
    reply_done(&details);
    reply_done(&reviews);
}

static void log_in(const struct request *q, struct reply *r)
{
    struct view rest = q->body, pair, user = VIEW_NONE;
    while (view_cut(&rest, '&', &pair))
        if (view_starts(pair, VIEW("username=")))
            user = view_from(pair, 9);
    r->status = 302;
    if (name_is_fit(user))
        buf_printf(&r->extra_headers, "set-cookie: session=%.*s; Path=/; HttpOnly; SameSite=Lax\r\n", VIEW_ARGS(user));
    buf_str(&r->extra_headers, "location: /productpage\r\n");
}

static void log_out(struct reply *r)
{
    r->status = 302;
    buf_str(&r->extra_headers, "set-cookie: session=; Path=/; Max-Age=0\r\nlocation: /productpage\r\n");
}

/* /api/v1/products[/0[/reviews|/ratings]] */
static void answer_api(struct app *app, const struct request *q, struct reply *r)
{
    struct view rest = view_from(q->path, sizeof("/api/v1/products") - 1);
    struct reply from = {0};
    r->content_type = "application/json";
    if (!rest.n) {
        buf_str(&r->body, "[{\"id\":0,\"title\":\"The Comedy of Errors\",\"descriptionHtml\":\"One of Shakespeare's "
                          "early plays.\"}]");
        return;
    }
    if (view_is(rest, "/0")) {
        get_details(app, q, &from);
    } else if (view_is(rest, "/0/reviews")) {
        get_reviews(app, q, &from);
    } else if (view_is(rest, "/0/ratings")) {
        struct buf headers = {0};
        call_headers(q, &headers);
        http_call("GET", app->ratings_host, app->ratings_port, "/ratings/0", buf_read(&headers), VIEW_NONE,
                  DETAILS_TIMEOUT_MS, &from);
        buf_done(&headers);
    } else {
        r->status = 404;
        buf_str(&r->body, "{\"error\":\"no such product\"}");
        return;
    }
    r->status = from.status ? from.status : 503;
    if (from.status)
        buf_view(&r->body, buf_read(&from.body));
    else
        buf_str(&r->body, "{\"error\":\"Sorry, the service is currently unavailable.\"}");
    reply_done(&from);
}

static void answer(void *arg, const struct request *q, struct reply *r)
{
    struct app *app = arg;
    if (view_is(q->path, "/productpage") || view_is(q->path, "/") || view_is(q->path, "/index.html"))
        show_page(app, q, r);
    else if (view_is(q->path, "/login") && view_is(q->method, "POST"))
        log_in(q, r);
    else if (view_is(q->path, "/logout"))
        log_out(r);
    else if (view_starts(q->path, VIEW("/api/v1/products")))
        answer_api(app, q, r);
    else if (view_is(q->path, "/health"))
        buf_str(&r->body, "Product page is healthy");
    else {
        r->status = 404;
        buf_str(&r->body, "no such page; try /productpage\n");
    }
}

int productpage_run(struct app *app)
{
    return http_serve(app->port, answer, app);
}
