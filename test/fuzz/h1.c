// SPDX-License-Identifier: Apache-2.0
/* Fuzz target of the HTTP/1 parser and writer (wire/h1.h). The first byte chooses request or response, the second the size
 * of slices. Invariants: slices do not change what is accepted; what was accepted can be written, and what was written is
 * accepted again and means the same.
 */
#include "fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "wire/h1.h"

struct seen {
    int result;
    uint8_t reason;
    size_t head, body;
    struct headers headers;
    struct h1 parser;
};

/* Gives `step` more bytes at a time, each time in memory of exactly that length. */
static void parse(enum h1_kind kind, struct view bytes, size_t step, struct arena *a, struct seen *o)
{
    struct headers trailers;
    size_t n = 0, at, have = 0;
    headers_init(&o->headers, a);
    headers_init(&trailers, a);
    h1_init(&o->parser, kind);
    o->body = 0;
    o->parser.slack = step > bytes.n ? 32 : 0; /* the whole message goes the fast way, slices the slow one */
    char *copy = (char *)arena_alloc_raw(a, bytes.n + o->parser.slack + 1, 1); /* one place: views stay valid */
    memcpy(copy, bytes.p, bytes.n);
    memset(copy + bytes.n, 0, o->parser.slack);
    do {
        have = have + step < bytes.n ? have + step : bytes.n;
        o->result = h1_head(&o->parser, &o->headers, (struct view){copy, have}, &n);
    } while (o->result == -EAGAIN && have < bytes.n);
    o->reason = o->parser.reason;
    if (o->result < 0)
        return;
    o->head = at = n;
    while (!h1_done(&o->parser)) {
        int r = h1_frame(&o->parser, (struct view){copy + at, have - at}, &trailers, &n);
        must(n <= have - at);
        at += n;
        if (r == -EBADMSG)
            break;
        size_t take = r == 0 && o->parser.run < have - at ? (size_t)o->parser.run : r == 0 ? have - at : 0;
        h1_took(&o->parser, take);
        o->body += take;
        at += take;
        if (take || (r == 0 && h1_done(&o->parser)))
            continue;
        if (have == bytes.n)
            break;
        have = have + step < bytes.n ? have + step : bytes.n;
    }
    o->reason = o->parser.reason;
}

static void same_headers(const struct headers *a, const struct headers *b, bool framing)
{
    for (int id = 1; id < HEADER_COUNT; id++) {
        struct view x = headers_value(a, (enum header_id)id), y = headers_value(b, (enum header_id)id);
        if (id == HEADER_TE || (!framing && id == HEADER_CONTENT_LENGTH))
            continue; /* not written on HTTP/1 */
        if (id == HEADER_HOST)
            continue; /* means nothing in a response, and is not written */
        if (id == HEADER_AUTHORITY && !x.p)
            continue; /* HTTP/1.0 without Host: written as an empty one, which we ourselves would refuse */
        must(view_eq(x, y));
    }
}

static void write_and_read_back(struct seen *o, struct arena *a)
{
    struct h1_out out = {.kind = (enum h1_kind)o->parser.kind,
                         .framing = o->parser.framing <= H1_CHUNKED ? (enum h1_framing)o->parser.framing : H1_NO_BODY};
    if (headers_status(&o->headers) / 100 == 1 ||
        (o->parser.kind == H1_REQUEST && !headers_has(&o->headers, HEADER_AUTHORITY)))
        return;
    size_t room = h1_room(&o->headers);
    char *text = (char *)malloc(room), *end = h1_write_head(text, &o->headers, &out);
    must(end && (size_t)(end - text) <= room);
    struct seen again;
    parse((enum h1_kind)o->parser.kind, (struct view){text, (size_t)(end - text)}, SIZE_MAX / 2, a, &again);
    must(again.result == 0 && again.head == (size_t)(end - text));
    same_headers(&o->headers, &again.headers, out.framing == H1_LENGTH);
    if (o->parser.kind == H1_REQUEST)
        must(again.parser.framing == out.framing || out.framing == H1_NO_BODY);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct seen whole, sliced;
    if (size < 2)
        return 0;
    arena_init(&a, 0);
    enum h1_kind kind = data[0] & 1 ? H1_RESPONSE : H1_REQUEST;
    struct view bytes = {(const char *)data + 2, size - 2};
    parse(kind, bytes, SIZE_MAX / 2, &a, &whole);
    parse(kind, bytes, 1 + data[1] % 64, &a, &sliced);
    /* an unfinished line is judged at once only if it came in one piece: then one refuses what the other waits for */
    must((whole.result == 0) == (sliced.result == 0));
    if (whole.result == 0) {
        must(whole.head == sliced.head && whole.body == sliced.body &&
             h1_done(&whole.parser) == h1_done(&sliced.parser));
        write_and_read_back(&whole, &a);
    }
    arena_done(&a);
    return 0;
}
