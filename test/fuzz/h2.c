// SPDX-License-Identifier: Apache-2.0
/* Fuzz target of the HTTP/2 codec (wire/h2.h): the first byte chooses the role, the second the size of slices; the rest is
 * what a peer sends (a server's input gets the client preface). Invariants: accepted requests have a method, and a target
 * and an authority that HTTP/1 could carry; everything received can be refunded; the end is always reached.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/list.h"
#include "wire/h1.h"
#include "wire/h2.h"

struct stream {
    struct list link;
    struct headers headers, trailers;
    int32_t id;
    bool head;
};

struct side {
    struct h2 *h2;
    struct arena arena;
    struct list streams;
};

static struct stream *stream_make(struct side *s, int32_t id)
{
    struct stream *st = ARENA_NEW(&s->arena, struct stream);
    st->id = id;
    list_push(&s->streams, &st->link);
    return st;
}

static void *stream_new(void *arg, int32_t id)
{
    return id % 7 == 5 ? NULL : stream_make((struct side *)arg, id);
}

static struct headers *block_begin(void *arg, void *stream, enum h2_block block)
{
    struct side *s = (struct side *)arg;
    struct stream *st = (struct stream *)stream;
    struct headers *h = st->head ? &st->trailers : &st->headers;
    headers_init(h, &s->arena);
    return h;
}

static void block_end(void *arg, void *stream, enum h2_block block, bool end, size_t wire_n)
{
    struct stream *st = (struct stream *)stream;
    struct h1_out out = {.kind = block == H2_REQUEST ? H1_REQUEST : H1_RESPONSE};
    if (block == H2_REQUEST)
        must(headers_has(&st->headers, HEADER_METHOD) && headers_has(&st->headers, HEADER_AUTHORITY));
    if (block == H2_REQUEST || block == H2_RESPONSE) {
        char *room = (char *)malloc(h1_room(&st->headers));
        must(h1_write_head(room, &st->headers, &out) != NULL); /* a downgrade can always be written */
        free(room);
        HEADERS_EACH (&st->headers, e)
            for (size_t i = 0; i < e->value_n; i++)
                must(e->value[i] != '\r' && e->value[i] != '\n' && e->value[i] != 0);
    }
    if (block == H2_INFORMATIONAL)
        headers_init(&st->headers, st->headers.arena);
    else
        st->head = true;
}

static void data(void *arg, void *stream, struct view bytes)
{
    h2_consumed(((struct side *)arg)->h2, ((struct stream *)stream)->id, bytes.n);
}

static void end(void *arg, void *stream)
{
}

static void closed(void *arg, void *stream, uint32_t code, bool by_peer, const char *detail)
{
    list_del(&((struct stream *)stream)->link);
}

static void writable(void *arg, void *stream)
{
}

static void nothing(void *arg)
{
}

static void goaway(void *arg, uint32_t code)
{
}

static const struct h2_handler handler = {stream_new, block_begin, block_end, data,   end,
                                          closed,     writable,    nothing,   goaway, nothing};

static void open_requests(struct side *s)
{
    struct headers h;
    headers_init(&h, &s->arena);
    must(headers_add(&h, HEADER_METHOD, VIEW("GET")) == 0 && headers_add(&h, HEADER_SCHEME, VIEW("http")) == 0 &&
         headers_add(&h, HEADER_PATH, VIEW("/")) == 0 && headers_add(&h, HEADER_AUTHORITY, VIEW("a")) == 0);
    for (int i = 0; i < 3; i++) {
        struct stream *st = stream_make(s, 0);
        must(h2_request(s->h2, st, &h, i != 1, &s->arena, &st->id) == 0);
        while (h2_send(s->h2, true).n)
            ;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct side s = {0};
    struct h2_memory *memory;
    if (size < 2)
        return 0;
    struct h2_config config = {.server = !(bytes[0] & 1)};
    memory = h2_memory_new();
    arena_init(&s.arena, 0);
    list_init(&s.streams);
    s.h2 = h2_new(memory, &config, &handler, &s);
    int r = 0;
    if (config.server)
        r = h2_recv(s.h2, VIEW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"), 0);
    else
        open_requests(&s);
    must(r == 0);
    size_t step = 1 + bytes[1] * 4u;
    struct view rest = {(const char *)bytes + 2, size - 2};
    while (r == 0 && rest.n) {
        struct view part = view_head(rest, step);
        r = h2_recv(s.h2, part, 1000);
        rest = view_from(rest, part.n);
        for (int i = 0; i < 10000 && h2_send(s.h2, false).n; i++)
            ;
    }
    must(r == 0 || h2_detail(s.h2) != NULL);
    LIST_EACH (&s.streams, struct stream, link, st)
        h2_forget(s.h2, st->id);
    h2_free(s.h2);
    h2_memory_free(memory);
    arena_done(&s.arena);
    return 0;
}
