// SPDX-License-Identifier: Apache-2.0
/* DNS messages and the names of the cluster (dns.h), without sockets. A question's bytes are hostile: names are read with
 * bounds, without compression (questions have none), at most 255 bytes. Answers repeat the question and point to it.
 *
 * RFC 1035 (messages), RFC 2308 (negative answers carry the SOA), RFC 6891 (EDNS size), RFC 2782 (SRV).
 */
#include "sandbox/dns.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"

#define ZONE "cluster.local"
#define TTL 5
#define UDP_PLAIN 512
#define UDP_MOST 1232 /* fits every path unfragmented (DNS flag day 2020) */

enum {
    TYPE_A = 1,
    TYPE_CNAME = 5,
    TYPE_SOA = 6,
    TYPE_PTR = 12,
    TYPE_AAAA = 28,
    TYPE_SRV = 33,
    TYPE_OPT = 41,
    TYPE_ANY = 255
};
enum { RCODE_OK = 0, RCODE_FORMAT = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3, RCODE_NOTIMP = 4 };

struct srv {
    uint16_t port;
    struct view target;
};

struct name { /* what one name has */
    uint32_t *ips;
    size_t n_ips;
    struct srv *srvs;
    size_t n_srvs;
    struct view cname;
};

struct dns_zone {
    struct arena arena;
    struct map names; /* lower case, without the final dot */
};

/* ---- Building the zone */

static struct name *name_at(struct dns_zone *z, struct view text)
{
    struct name *n = map_get(&z->names, text);
    if (!n) {
        n = ARENA_NEW(&z->arena, struct name);
        map_put(&z->names, text, n);
    }
    return n;
}

static void add_ip(struct dns_zone *z, struct view name, uint32_t ip)
{
    struct name *n = name_at(z, name);
    for (size_t i = 0; i < n->n_ips; i++)
        if (n->ips[i] == ip)
            return;
    *ARENA_PUSH(&z->arena, n->ips, n->n_ips) = ip;
}

static struct view endpoint_name(struct dns_zone *z, const struct runtime_endpoint *e, struct view service)
{
    if (!view_empty(e->hostname))
        return arena_printf(&z->arena, "%.*s.%.*s", VIEW_ARGS(e->hostname), VIEW_ARGS(service));
    return arena_printf(&z->arena, "%u-%u-%u-%u.%.*s", e->ip >> 24, e->ip >> 16 & 255, e->ip >> 8 & 255, e->ip & 255,
                        VIEW_ARGS(service));
}

static void add_srv(struct dns_zone *z, struct view name, struct view target, uint16_t port)
{
    struct name *n = name_at(z, name);
    *ARENA_PUSH(&z->arena, n->srvs, n->n_srvs) = (struct srv){.port = port, .target = target};
}

static void add_port(struct dns_zone *z, const struct runtime_service *s, const struct runtime_service_port *p,
                     struct view service)
{
    if (view_empty(p->name))
        return;
    struct view name = arena_printf(&z->arena, "_%.*s._%s.%.*s", VIEW_ARGS(p->name),
                                    p->proto == RUNTIME_UDP ? "udp" : "tcp", VIEW_ARGS(service));
    if (s->cluster_ip) {
        add_srv(z, name, service, p->port);
        return;
    }
    for (size_t t = 0; t < p->n_targets; t++)
        for (size_t e = 0; e < s->n_endpoints; e++)
            if (s->endpoints[e].ready && s->endpoints[e].ip == p->targets[t].ip)
                add_srv(z, name, endpoint_name(z, &s->endpoints[e], service), p->targets[t].port);
}

static void add_service(struct dns_zone *z, const struct runtime_service *s)
{
    struct view name = arena_printf(&z->arena, "%.*s.%.*s.svc." ZONE, VIEW_ARGS(s->name), VIEW_ARGS(s->ns));
    name_at(z, arena_printf(&z->arena, "%.*s.svc." ZONE, VIEW_ARGS(s->ns)));
    struct name *own = name_at(z, name);
    if (!view_empty(s->external_name)) {
        struct view target = arena_view(&z->arena, s->external_name);
        own->cname = view_ends(target, VIEW(".")) ? view_head(target, target.n - 1) : target;
        return;
    }
    if (s->cluster_ip)
        add_ip(z, name, s->cluster_ip);
    for (size_t i = 0; i < s->n_endpoints; i++) {
        const struct runtime_endpoint *e = &s->endpoints[i];
        if (!e->ready || (s->cluster_ip && view_empty(e->hostname)))
            continue;
        if (!s->cluster_ip)
            add_ip(z, name, e->ip);
        add_ip(z, endpoint_name(z, e, name), e->ip);
    }
    for (size_t i = 0; i < s->n_ports; i++)
        add_port(z, s, &s->ports[i], name);
}

struct dns_zone *dns_zone_new(const struct runtime_services *table)
{
    struct dns_zone *z = mem_alloc(sizeof(*z));
    arena_init(&z->arena, 0);
    map_init(&z->names, &z->arena);
    name_at(z, VIEW(ZONE));
    name_at(z, VIEW("svc." ZONE));
    name_at(z, VIEW("pod." ZONE));
    for (size_t i = 0; i < table->n_services; i++)
        add_service(z, &table->services[i]);
    return z;
}

struct dns_zone *dns_zone_free(struct dns_zone *z)
{
    if (!z)
        return NULL;
    map_done(&z->names);
    arena_done(&z->arena);
    mem_free(z);
    return NULL;
}

/* ---- Reading a question */

struct question {
    uint16_t id, flags, type, class;
    char name[DNS_NAME_BYTES]; /* dotted, lower case */
    size_t n_name;
    struct view bytes; /* name, type, class as they came */
    bool edns;
    size_t room; /* the largest answer over UDP */
};

static uint16_t be16(struct view v, size_t at)
{
    return (uint16_t)((unsigned char)v.p[at] << 8 | (unsigned char)v.p[at + 1]);
}

/* A name from `at`, following pointers backwards only; returns the place behind it, 0 when it is malformed. */
static size_t read_name(struct view v, size_t at, char *name, size_t *ret_n)
{
    size_t n = 0, end = 0, limit = at;
    for (;;) {
        if (at >= v.n)
            return 0;
        size_t len = (unsigned char)v.p[at];
        if ((len & 0xc0) == 0xc0) {
            if (at + 1 >= v.n)
                return 0;
            size_t to = be16(v, at) & 0x3fffu;
            if (!end)
                end = at + 2;
            if (to >= limit) /* each pointer leads further back: no loop */
                return 0;
            at = limit = to;
            continue;
        }
        if (len > 63 || at + 1 + len > v.n)
            return 0;
        if (len == 0)
            break;
        if (n + len + 1 >= DNS_NAME_BYTES)
            return 0;
        if (n)
            name[n++] = '.';
        for (size_t i = 0; i < len; i++)
            name[n++] = (char)tolower((unsigned char)v.p[at + 1 + i]);
        at += 1 + len;
    }
    name[n] = 0;
    *ret_n = n;
    return end ? end : at + 1;
}

static void read_edns(struct view query, size_t at, struct question *q)
{
    if (be16(query, 10) == 0 || be16(query, 6) != 0 || be16(query, 8) != 0)
        return;
    if (at + 11 <= query.n && query.p[at] == 0 && be16(query, at + 1) == TYPE_OPT) {
        q->edns = true;
        q->room = be16(query, at + 3);
        q->room = q->room < UDP_PLAIN ? UDP_PLAIN : q->room > UDP_MOST ? UDP_MOST : q->room;
    }
}

static bool read_question(struct view query, struct question *q)
{
    *q = (struct question){.room = UDP_PLAIN};
    if (query.n < 12)
        return false;
    q->id = be16(query, 0);
    q->flags = be16(query, 2);
    if ((q->flags & 0x8000) || be16(query, 4) != 1)
        return false;
    for (size_t at = 12; at < query.n && query.p[at]; at += 1 + (size_t)(unsigned char)query.p[at])
        if ((unsigned char)query.p[at] > 63)
            return false; /* a question has no pointers */
    size_t end = read_name(query, 12, q->name, &q->n_name);
    if (!end || end + 4 > query.n)
        return false;
    q->type = be16(query, end);
    q->class = be16(query, end + 2);
    q->bytes = view_make(query.p + 12, end + 4 - 12);
    read_edns(query, end + 4, q);
    return true;
}

/* ---- Writing an answer */

struct answer {
    struct buf *out;
    size_t start; /* of the message in out */
    uint16_t counts[3];
};

static void answer_begin(struct answer *a, const struct question *q, struct buf *out)
{
    *a = (struct answer){.out = out, .start = buf_len(out)};
    buf_be16(out, q->id);
    buf_be16(out, 0);
    buf_be16(out, 1);
    for (int i = 0; i < 3; i++)
        buf_be16(out, 0);
    buf_view(out, q->bytes);
}

static void put_name(struct buf *out, struct view name)
{
    struct view label;
    while (view_cut(&name, '.', &label)) {
        size_t n = label.n < 63 ? label.n : 63;
        if (!n)
            continue;
        buf_char(out, (char)n);
        buf_view(out, view_head(label, n));
    }
    buf_char(out, 0);
}

/* name empty: the question's. Returns where the length of the data stands. */
static uint32_t record_begin(struct answer *a, int section, struct view name, uint16_t type, uint32_t ttl)
{
    a->counts[section]++;
    if (view_empty(name))
        buf_be16(a->out, 0xc00c);
    else
        put_name(a->out, name);
    buf_be16(a->out, type);
    buf_be16(a->out, 1);
    buf_be32(a->out, ttl);
    buf_be16(a->out, 0);
    return a->out->end;
}

static void patch16(struct buf *out, size_t at, uint16_t value)
{
    out->data[at] = (char)(value >> 8);
    out->data[at + 1] = (char)value;
}

static void record_end(struct answer *a, uint32_t data)
{
    patch16(a->out, data - 2, (uint16_t)(a->out->end - data));
}

static void put_ip(struct answer *a, int section, struct view name, uint32_t ip)
{
    uint32_t at = record_begin(a, section, name, TYPE_A, TTL);
    buf_be32(a->out, ip);
    record_end(a, at);
}

static void put_soa(struct answer *a)
{
    uint32_t at = record_begin(a, 1, VIEW(ZONE), TYPE_SOA, TTL);
    put_name(a->out, VIEW("ns.dns." ZONE));
    put_name(a->out, VIEW("hostmaster." ZONE));
    static const uint32_t numbers[] = {1, 7200, 1800, 86400, TTL};
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        buf_be32(a->out, numbers[i]);
    record_end(a, at);
}

static void answer_end(struct answer *a, const struct question *q, int rcode, bool authoritative, bool udp)
{
    uint16_t flags = (uint16_t)(0x8000 | (q->flags & 0x0100) | (authoritative ? 0x0400 : 0) | 0x0080 | rcode);
    if (udp && buf_len(a->out) - a->start > q->room - (q->edns ? 11 : 0)) { /* only the question: ask again over TCP */
        a->out->end = (uint32_t)(a->out->at + a->start + 12 + q->bytes.n);
        memset(a->counts, 0, sizeof(a->counts));
        flags |= 0x0200;
    }
    if (q->edns) {
        buf_char(a->out, 0);
        buf_be16(a->out, TYPE_OPT);
        buf_be16(a->out, UDP_MOST);
        buf_be32(a->out, 0);
        buf_be16(a->out, 0);
        a->counts[2]++;
    }
    size_t head = a->out->at + a->start;
    patch16(a->out, head + 2, flags);
    for (size_t i = 0; i < 3; i++)
        patch16(a->out, head + 6 + 2 * i, a->counts[i]);
}

static void answer_plain(const struct question *q, int rcode, bool authoritative, bool soa, bool udp, struct buf *out)
{
    struct answer a;
    answer_begin(&a, q, out);
    if (soa)
        put_soa(&a);
    answer_end(&a, q, rcode, authoritative, udp);
}

/* ---- Answering */

static bool in_zone(struct view name)
{
    return view_is(name, ZONE) || view_ends(name, VIEW("." ZONE));
}

/* 10-244-0-5.default.pod.cluster.local is that address. */
static bool pod_name(struct view name, uint32_t *ret_ip)
{
    unsigned b[4];
    char first[20];
    size_t dot = view_find(name, '.');
    struct view rest = view_from(name, dot + 1);
    int used = 0;
    if (dot >= sizeof(first) || !view_is(view_from(rest, view_find(rest, '.') + 1), "pod." ZONE))
        return false;
    snprintf(first, sizeof(first), "%.*s", VIEW_ARGS(view_head(name, dot)));
    if (sscanf(first, "%3u-%3u-%3u-%3u%n", &b[0], &b[1], &b[2], &b[3], &used) != 4 || first[used] || b[0] > 255 ||
        b[1] > 255 || b[2] > 255 || b[3] > 255)
        return false;
    *ret_ip = b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
    return true;
}

static void put_addresses(struct answer *a, int section, struct view owner, const struct name *n, uint32_t turn)
{
    for (size_t i = 0; i < n->n_ips; i++)
        put_ip(a, section, owner, n->ips[(i + turn) % n->n_ips]);
}

static void put_srvs(struct answer *a, const struct dns_zone *z, const struct name *n)
{
    for (size_t i = 0; i < n->n_srvs; i++) {
        uint32_t at = record_begin(a, 0, VIEW_NONE, TYPE_SRV, TTL);
        buf_be16(a->out, 0);
        buf_be16(a->out, (uint16_t)(100 / n->n_srvs));
        buf_be16(a->out, n->srvs[i].port);
        put_name(a->out, n->srvs[i].target);
        record_end(a, at);
    }
    for (size_t i = 0; i < n->n_srvs; i++) {
        const struct name *target = map_get(&z->names, n->srvs[i].target);
        if (target)
            put_addresses(a, 2, n->srvs[i].target, target, 0);
    }
}

static bool answer_cname(const struct dns_zone *z, const struct question *q, const struct name *n, bool udp,
                         uint32_t turn, struct buf *out, struct dns_forward *forward)
{
    struct answer a;
    bool inside = in_zone(n->cname);
    if (!inside && q->type != TYPE_CNAME) {
        forward->cname = true;
        snprintf(forward->target, sizeof(forward->target), "%.*s", VIEW_ARGS(n->cname));
        return false;
    }
    answer_begin(&a, q, out);
    uint32_t at = record_begin(&a, 0, VIEW_NONE, TYPE_CNAME, TTL);
    put_name(out, n->cname);
    record_end(&a, at);
    const struct name *target = inside ? map_get(&z->names, n->cname) : NULL;
    if (target && q->type == TYPE_A)
        put_addresses(&a, 0, n->cname, target, turn);
    answer_end(&a, q, RCODE_OK, true, udp);
    return true;
}

enum dns_result dns_zone_answer(const struct dns_zone *z, struct view query, bool udp, uint32_t turn, struct buf *out,
                                struct dns_forward *ret_forward)
{
    struct question q;
    struct name pod = {0};
    uint32_t pod_ip;
    *ret_forward = (struct dns_forward){0};
    if (!read_question(query, &q))
        return DNS_DROP;
    struct view name = view_make(q.name, q.n_name);
    if ((q.flags & 0x7800) != 0 || q.class != 1) {
        answer_plain(&q, RCODE_NOTIMP, false, false, udp, out);
        return DNS_ANSWERED;
    }
    if (!in_zone(name))
        return DNS_FORWARD;
    const struct name *n = map_get(&z->names, name);
    if (!n && pod_name(name, &pod_ip)) {
        pod = (struct name){.ips = &pod_ip, .n_ips = 1};
        n = &pod;
    }
    if (n && !view_empty(n->cname))
        return answer_cname(z, &q, n, udp, turn, out, ret_forward) ? DNS_ANSWERED : DNS_FORWARD;
    bool a_wanted = q.type == TYPE_A || q.type == TYPE_ANY, srv_wanted = q.type == TYPE_SRV || q.type == TYPE_ANY;
    if (!n || !((a_wanted && n->n_ips) || (srv_wanted && n->n_srvs))) {
        answer_plain(&q, n ? RCODE_OK : RCODE_NXDOMAIN, true, true, udp, out);
        return DNS_ANSWERED;
    }
    struct answer a;
    answer_begin(&a, &q, out);
    if (a_wanted)
        put_addresses(&a, 0, VIEW_NONE, n, turn);
    if (srv_wanted)
        put_srvs(&a, z, n);
    answer_end(&a, &q, RCODE_OK, true, udp);
    return DNS_ANSWERED;
}

/* The addresses in a resolver's reply, whatever their owner: aliases were followed for us. */
static void put_reply_addresses(struct answer *a, struct view reply, struct view owner)
{
    char name[DNS_NAME_BYTES];
    size_t n_name, at = 12;
    if (reply.n < 12)
        return;
    unsigned questions = be16(reply, 4), answers = be16(reply, 6);
    for (unsigned i = 0; i < questions; i++)
        if (!(at = read_name(reply, at, name, &n_name)) || (at += 4) > reply.n)
            return;
    for (unsigned i = 0; i < answers; i++) {
        at = read_name(reply, at, name, &n_name);
        if (!at || at + 10 > reply.n)
            return;
        size_t len = be16(reply, at + 8);
        if (at + 10 + len > reply.n)
            return;
        if (be16(reply, at) == TYPE_A && len == 4)
            put_ip(a, 0, owner, (uint32_t)be16(reply, at + 10) << 16 | be16(reply, at + 12));
        at += 10 + len;
    }
}

void dns_forward_answer(struct view query, const struct dns_forward *f, struct view reply, int rcode, bool udp,
                        struct buf *out)
{
    struct question q;
    struct answer a;
    if (!read_question(query, &q))
        return;
    if (!f->cname) {
        answer_plain(&q, rcode, false, false, udp, out);
        return;
    }
    answer_begin(&a, &q, out);
    uint32_t at = record_begin(&a, 0, VIEW_NONE, TYPE_CNAME, TTL);
    put_name(out, view_of(f->target));
    record_end(&a, at);
    if (q.type == TYPE_A)
        put_reply_addresses(&a, reply, view_of(f->target));
    answer_end(&a, &q, RCODE_OK, true, udp);
}
