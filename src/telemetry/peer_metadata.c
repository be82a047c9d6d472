// SPDX-License-Identifier: Apache-2.0
/* Peers that say who they are (peer_metadata.h): our own words, made once; theirs, decoded once and found again by their
 * bytes. Keys are those that Istio's proxies write.
 */
#include "telemetry/peer_metadata.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "telemetry/peer_struct.h"
#include "wire/base64.h"

#define ANY_TYPE "type.googleapis.com/google.protobuf.Struct"
enum { ANY_URL = 1, ANY_VALUE = 2, PREFACE_HEAD = 8 };

const struct peer peer_unknown = {.refs = 1};

struct peer_entry {
    struct peer peer; /* first: peer_unref casts back */
    struct arena arena;
    struct list link; /* in the cache by last use; alone when the cache let go */
    struct view key;  /* one letter for the form, then the bytes */
};

struct peer_cache {
    struct map entries;
    struct list by_use; /* oldest first */
    uint32_t n;
};

struct self {
    struct peer_self self; /* first: peer_self_free casts back */
    struct arena arena;
};

/* Which key of the Struct is which field; labels are behind their own key. */
static const struct {
    struct view key;
    size_t offset;
} fields[] =
    {
#define FIELD(key, field)                                                                                              \
    {                                                                                                                  \
        {key, sizeof(key) - 1}, offsetof(struct peer, field)                                                           \
    }
        FIELD("WORKLOAD_NAME", workload), FIELD("NAMESPACE", ns), FIELD("CLUSTER_ID", cluster),
        FIELD("NAME", instance),          FIELD("APP", app),      FIELD("VERSION", version),
#undef FIELD
},
  labels[] = {
#define FIELD(key, field)                                                                                              \
    {                                                                                                                  \
        {key, sizeof(key) - 1}, offsetof(struct peer, field)                                                           \
    }
      FIELD("app", app),
      FIELD("version", version),
      FIELD("service.istio.io/canonical-name", canonical_service),
      FIELD("service.istio.io/canonical-revision", canonical_revision),
      FIELD("topology.kubernetes.io/region", region),
      FIELD("topology.kubernetes.io/zone", zone),
#undef FIELD
};

static struct view *field_at(struct peer *p, size_t offset)
{
    return (struct view *)(void *)((char *)p + offset);
}

static int read_labels(struct arena *a, struct view bytes, struct peer *p)
{
    struct view key, value;
    int r;
    while ((r = pb_struct_next(&bytes, &key, &value)) == 1)
        for (size_t i = 0; i < COUNT_OF(labels); i++)
            if (view_eq(labels[i].key, key))
                *field_at(p, labels[i].offset) = arena_view(a, pb_value_string(value));
    return r;
}

static int read_struct(struct arena *a, struct view bytes, struct peer *p)
{
    struct view key, value;
    int r;
    while ((r = pb_struct_next(&bytes, &key, &value)) == 1) {
        if (view_is(key, "LABELS") && read_labels(a, pb_value_struct(value), p) < 0)
            return -EPROTO;
        if (view_is(key, "OWNER")) { /* kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1 */
            struct view owner = pb_value_string(value);
            size_t end = owner.n, at;
            while (end && owner.p[end - 1] != '/')
                end--;
            at = end ? end - 1 : 0;
            while (at && owner.p[at - 1] != '/')
                at--;
            struct view kind = end ? view_head(view_from(owner, at), end - 1 - at) : VIEW_NONE;
            p->type = arena_view(a, view_ends(kind, VIEW("s")) ? view_head(kind, kind.n - 1) : kind);
        }
        for (size_t i = 0; i < COUNT_OF(fields); i++)
            if (view_eq(fields[i].key, key))
                *field_at(p, fields[i].offset) = arena_view(a, pb_value_string(value));
    }
    p->known = r == 0 && (p->workload.n || p->ns.n);
    return r;
}

static void write_struct(const struct peer_me *me, struct buf *out)
{
    struct buf nested = {0};
    for (uint32_t i = 0; i < me->n_labels; i++)
        pb_put_struct_string(&nested, me->labels[i][0], me->labels[i][1]);
    if (!me->n_labels) {
        pb_put_struct_string(&nested, VIEW("app"), me->app);
        pb_put_struct_string(&nested, VIEW("version"), me->version);
        pb_put_struct_string(&nested, VIEW("service.istio.io/canonical-name"), me->canonical_service);
        pb_put_struct_string(&nested, VIEW("service.istio.io/canonical-revision"), me->canonical_revision);
    }
    pb_put_struct_string(out, VIEW("CLUSTER_ID"), me->cluster);
    pb_put_struct_struct(out, VIEW("LABELS"), buf_read(&nested));
    pb_put_struct_string(out, VIEW("MESH_ID"), me->mesh_id);
    pb_put_struct_string(out, VIEW("NAME"), me->instance);
    pb_put_struct_string(out, VIEW("NAMESPACE"), me->ns);
    pb_put_struct_string(out, VIEW("OWNER"), me->owner);
    pb_put_struct_string(out, VIEW("SERVICE_ACCOUNT"), me->service_account);
    pb_put_struct_string(out, VIEW("WORKLOAD_NAME"), me->workload);
    buf_done(&nested);
}

/* A preface: magic, length, Any{Struct{x-envoy-peer-metadata: Struct, x-envoy-peer-metadata-id}}. */
static struct view write_preface(struct arena *a, struct view metadata, struct view id)
{
    struct buf both = {0}, any = {0}, out = {0};
    pb_put_struct_struct(&both, VIEW(PEER_HEADER), metadata);
    pb_put_struct_string(&both, VIEW(PEER_ID_HEADER), id);
    pb_put_bytes(&any, ANY_URL, VIEW(ANY_TYPE));
    pb_put_bytes(&any, ANY_VALUE, buf_read(&both));
    buf_be32(&out, PEER_MAGIC);
    buf_be32(&out, (uint32_t)buf_len(&any));
    buf_view(&out, buf_read(&any));
    struct view preface = arena_view(a, buf_read(&out));
    buf_done(&both);
    buf_done(&any);
    buf_done(&out);
    return preface;
}

static struct view encode_base64(struct arena *a, struct view bytes)
{
    struct buf text = {0};
    base64_write(&text, BASE64_STANDARD, bytes);
    struct view kept = arena_view(a, buf_read(&text));
    buf_done(&text);
    return kept;
}

struct peer_self *peer_self_new(const struct peer_me *me)
{
    struct self *s = mem_alloc(sizeof(*s));
    struct buf metadata = {0};
    struct arena *a = &s->arena;
    arena_init(a, 0);
    write_struct(me, &metadata);
    s->self.header = encode_base64(a, buf_read(&metadata));
    s->self.id = arena_view(a, me->id);
    s->self.preface = write_preface(a, buf_read(&metadata), me->id);
    s->self.peer = (struct peer){
        .refs = 1,
        .known = true,
        .id = s->self.id,
        .workload = arena_view(a, me->workload),
        .ns = arena_view(a, me->ns),
        .cluster = arena_view(a, me->cluster),
        .app = arena_view(a, me->app),
        .version = arena_view(a, me->version),
        .canonical_service = arena_view(a, me->canonical_service),
        .canonical_revision = arena_view(a, me->canonical_revision),
        .type = arena_view(a, me->type),
        .instance = arena_view(a, me->instance),
        .region = arena_view(a, me->region),
        .zone = arena_view(a, me->zone),
    };
    buf_done(&metadata);
    return &s->self;
}

struct peer_self *peer_self_free(struct peer_self *self)
{
    struct self *s = (struct self *)self;
    if (s)
        arena_done(&s->arena);
    mem_free(s);
    return NULL;
}

struct peer_cache *peer_cache_new(void)
{
    struct peer_cache *c = mem_alloc(sizeof(*c));
    map_init(&c->entries, NULL);
    list_init(&c->by_use);
    return c;
}

const struct peer *peer_ref(const struct peer *p)
{
    if (p && p != &peer_unknown)
        ((struct peer *)(uintptr_t)p)->refs++;
    return p;
}

void peer_unref(const struct peer *p)
{
    if (!p || p == &peer_unknown)
        return;
    struct peer_entry *e = (struct peer_entry *)(uintptr_t)p;
    if (--e->peer.refs)
        return;
    arena_done(&e->arena);
    mem_free(e);
}

static void let_go(struct peer_cache *c, struct peer_entry *e)
{
    map_del(&c->entries, e->key);
    list_del(&e->link);
    c->n--;
    peer_unref(&e->peer);
}

struct peer_cache *peer_cache_free(struct peer_cache *c)
{
    if (!c)
        return NULL;
    while (!list_empty(&c->by_use))
        let_go(c, LIST_ITEM(c->by_use.next, struct peer_entry, link));
    map_done(&c->entries);
    mem_free(c);
    return NULL;
}

/* Reads the bytes of one form into a peer; what it leaves unknown is remembered as unknown. */
typedef void (*peer_reader)(struct arena *a, struct view bytes, struct peer *p);

static void read_header(struct arena *a, struct view value, struct peer *p)
{
    struct buf bytes = {0};
    if (base64_read(&bytes, BASE64_STANDARD, value) == 0 && read_struct(a, buf_read(&bytes), p) < 0)
        p->known = false;
    buf_done(&bytes);
}

static void read_payload(struct arena *a, struct view any, struct peer *p)
{
    struct pb_field f;
    struct view both = VIEW_NONE, key, value;
    while (pb_next(&any, &f) == 1)
        if (f.number == ANY_VALUE)
            both = f.bytes;
    while (pb_struct_next(&both, &key, &value) == 1) {
        if (view_is(key, PEER_ID_HEADER))
            p->id = arena_view(a, pb_value_string(value));
        else if (view_is(key, PEER_HEADER) && read_struct(a, pb_value_struct(value), p) < 0)
            p->known = false;
    }
}

/* workload;namespace;canonical name;canonical revision;cluster */
static void read_endpoint(struct arena *a, struct view text, struct peer *p)
{
    struct view *const into[] = {&p->workload, &p->ns, &p->canonical_service, &p->canonical_revision, &p->cluster};
    struct view rest = text, part;
    for (size_t i = 0; i < COUNT_OF(into) && view_cut(&rest, ';', &part); i++)
        *into[i] = arena_view(a, part);
    p->known = p->workload.n > 0;
}

static const struct peer *find(struct peer_cache *c, char form, struct view bytes, peer_reader read)
{
    char key[LIMIT_PEER_EXCHANGE_BYTES + 1];
    if (!bytes.n || bytes.n >= sizeof(key))
        return &peer_unknown;
    key[0] = form;
    memcpy(key + 1, bytes.p, bytes.n);
    struct view name = view_make(key, bytes.n + 1);
    struct peer_entry *e = map_get(&c->entries, name);
    if (e) {
        list_del(&e->link);
        list_push(&c->by_use, &e->link);
        return &e->peer;
    }
    if (c->n >= LIMIT_PEERS)
        let_go(c, LIST_ITEM(c->by_use.next, struct peer_entry, link));
    e = mem_alloc(sizeof(*e));
    arena_init(&e->arena, 1024);
    e->key = arena_view(&e->arena, name);
    e->peer.refs = 1;
    read(&e->arena, bytes, &e->peer);
    list_push(&c->by_use, &e->link);
    map_put(&c->entries, e->key, e);
    c->n++;
    return &e->peer;
}

const struct peer *peer_cache_header(struct peer_cache *c, struct view value)
{
    return value.n > LIMIT_PEER_METADATA_BYTES ? &peer_unknown : find(c, 'h', value, read_header);
}

const struct peer *peer_cache_payload(struct peer_cache *c, struct view any)
{
    return find(c, 'p', any, read_payload);
}

const struct peer *peer_cache_endpoint(struct peer_cache *c, struct view text)
{
    return find(c, 'e', text, read_endpoint);
}

int peer_preface_read(struct view bytes, struct view *ret_any, size_t *ret_taken)
{
    static const unsigned char magic[4] = {PEER_MAGIC >> 24, PEER_MAGIC >> 16 & 0xff, PEER_MAGIC >> 8 & 0xff,
                                           PEER_MAGIC & 0xff};
    const unsigned char *p = (const unsigned char *)bytes.p;
    if (bytes.n && memcmp(p, magic, bytes.n < 4 ? bytes.n : 4) != 0)
        return -EPROTO;
    if (bytes.n < PREFACE_HEAD)
        return -EAGAIN;
    size_t n = (size_t)p[4] << 24 | (size_t)p[5] << 16 | (size_t)p[6] << 8 | p[7];
    if (n > LIMIT_PEER_EXCHANGE_BYTES)
        return -EMSGSIZE;
    if (bytes.n - PREFACE_HEAD < n)
        return -EAGAIN;
    *ret_any = view_make(p + PREFACE_HEAD, n);
    *ret_taken = PREFACE_HEAD + n;
    return 0;
}
