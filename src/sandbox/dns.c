// SPDX-License-Identifier: Apache-2.0
/* The DNS server's sockets (dns.h): one UDP socket and one TCP acceptor on the cluster's DNS address, and one UDP socket
 * in the machine's network for what is forwarded. Forwarded questions get random ids and wait in a table of fixed
 * size; an answer counts only when id and question fit what was asked.
 */
#include "sandbox/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "net/acceptor.h"
#include "net/fd_watch.h"
#include "net/loop.h"
#include "net/timer.h"
#include "sandbox/isolate.h"

#define PORT 53
#define FORWARD_TRY (2 * NS_PER_S)
#define FORWARD_TRIES 2
#define TCP_IDLE (10 * NS_PER_S)
#define BATCH 64 /* datagrams taken at once, so that others have their turn */

enum { BIT_UDP = 1, BIT_ACCEPT = 2, BIT_UPSTREAM = 4, BIT_TIMER = 8 };
enum { BIT_IN = 1, BIT_OUT = 2, BIT_IDLE = 4 };
enum { RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };

struct tcp_client {
    struct list link;
    struct task task;
    struct timer idle;
    struct dns_server *server;
    struct conn *conn;
    struct buf in, out;
    uint32_t waiting; /* forwarded questions without an answer */
    bool ended;
};

struct forwarded {
    bool used;
    uint16_t id; /* as asked upstream */
    unsigned tries;
    uint64_t due;
    struct dns_forward what;
    struct sockaddr_in from;   /* UDP client */
    struct tcp_client *client; /* TCP client; NULL: UDP, or it went away */
    bool tcp;
    size_t n_query, n_ask;
    char query[LIMIT_DNS_MESSAGE_BYTES], ask[LIMIT_DNS_MESSAGE_BYTES];
};

struct dns_server {
    struct loop *loop;
    struct dns_config config;
    struct dns_zone *zone;
    struct task task;
    struct timer timer;
    struct fd_watch udp, upstream;
    struct acceptor *acceptor;
    struct list clients;
    uint32_t n_clients, turn;
    struct sockaddr_in resolvers[ISOLATE_RESOLVERS];
    size_t n_resolvers;
    struct forwarded forwarded[LIMIT_DNS_FORWARDED];
};

/* ---- Forwarding */

static void reply_tcp(struct tcp_client *c, struct view answer)
{
    buf_be16(&c->out, (uint16_t)answer.n);
    buf_view(&c->out, answer);
    task_wake(&c->task, BIT_OUT);
}

static void reply_to(struct dns_server *s, struct forwarded *f, struct view answer)
{
    if (f->client) {
        f->client->waiting--;
        reply_tcp(f->client, answer);
    } else if (!f->tcp) {
        (void)!sendto(s->udp.fd, answer.p, answer.n, 0, (struct sockaddr *)&f->from, sizeof(f->from));
    }
    f->used = false;
}

static void give_up(struct dns_server *s, struct forwarded *f, int rcode)
{
    struct buf out = {0};
    dns_forward_answer(view_make(f->query, f->n_query), &f->what, VIEW_NONE, rcode, !f->tcp, &out);
    reply_to(s, f, buf_read(&out));
    buf_done(&out);
}

static void send_upstream(struct dns_server *s, struct forwarded *f)
{
    const struct sockaddr_in *to = &s->resolvers[f->tries % s->n_resolvers];
    f->tries++;
    f->due = loop_now(s->loop) + FORWARD_TRY;
    (void)!sendto(s->upstream.fd, f->ask, f->n_ask, 0, (const struct sockaddr *)to, sizeof(*to));
    if (!timer_is_set(&s->timer))
        timer_set(&s->timer, f->due);
}

/* The question as it goes upstream: the client's, or for a CNAME one for the target. */
static void build_ask(struct forwarded *f)
{
    if (!f->what.cname) {
        memcpy(f->ask, f->query, f->n_query);
        f->n_ask = f->n_query;
    } else {
        struct buf ask = {0};
        struct view name = view_of(f->what.target), label;
        static const char head[] = {0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
        buf_view(&ask, view_make(head, sizeof(head)));
        while (view_cut(&name, '.', &label)) {
            label = view_head(label, 63);
            buf_char(&ask, (char)label.n);
            buf_view(&ask, label);
        }
        buf_view(&ask, view_make("\0\0\1\0\1", 5));
        f->n_ask = buf_len(&ask);
        memcpy(f->ask, buf_read(&ask).p, f->n_ask);
        buf_done(&ask);
    }
    f->ask[0] = (char)(f->id >> 8);
    f->ask[1] = (char)f->id;
}

static void forward(struct dns_server *s, struct view query, const struct dns_forward *what,
                    const struct sockaddr_in *from, struct tcp_client *client)
{
    struct forwarded *f = NULL, now = {0};
    for (size_t i = 0; i < COUNT_OF(s->forwarded) && !f; i++)
        if (!s->forwarded[i].used)
            f = &s->forwarded[i];
    if (!f || query.n > sizeof(f->query))
        return; /* too much at once: the asker tries again */
    *f = now;
    f->used = true;
    f->what = *what;
    f->client = client;
    f->tcp = client != NULL;
    if (client)
        client->waiting++;
    else
        f->from = *from;
    memcpy(f->query, query.p, query.n);
    f->n_query = query.n;
    if (!s->n_resolvers) {
        give_up(s, f, RCODE_NXDOMAIN);
        return;
    }
    (void)!getrandom(&f->id, sizeof(f->id), 0);
    build_ask(f);
    send_upstream(s, f);
}

/* Same id and the same question, byte for byte (resolvers may change the case of nothing). */
static struct forwarded *asked(struct dns_server *s, struct view reply)
{
    if (reply.n < 12 || !(reply.p[2] & 0x80))
        return NULL;
    for (size_t i = 0; i < COUNT_OF(s->forwarded); i++) {
        struct forwarded *f = &s->forwarded[i];
        if (!f->used || memcmp(reply.p, f->ask, 2) != 0)
            continue;
        size_t n = 12;
        while (n < f->n_ask && f->ask[n])
            n += 1 + (size_t)(unsigned char)f->ask[n];
        n += 5;
        if (n <= f->n_ask && n <= reply.n && memcmp(reply.p + 12, f->ask + 12, n - 12) == 0)
            return f;
    }
    return NULL;
}

static void take_upstream(struct dns_server *s)
{
    char bytes[LIMIT_DNS_MESSAGE_BYTES];
    for (int i = 0; i < BATCH; i++) {
        ssize_t n = recv(s->upstream.fd, bytes, sizeof(bytes), 0);
        if (n < 0 && errno == EAGAIN)
            return;
        struct view reply = view_make(bytes, n > 0 ? (size_t)n : 0);
        struct forwarded *f = asked(s, reply);
        if (!f)
            continue;
        if (f->what.cname) {
            struct buf out = {0};
            dns_forward_answer(view_make(f->query, f->n_query), &f->what, reply, 0, !f->tcp, &out);
            reply_to(s, f, buf_read(&out));
            buf_done(&out);
        } else {
            memcpy(bytes, f->query, 2);
            reply_to(s, f, reply);
        }
    }
}

static void check_due(struct dns_server *s)
{
    uint64_t now = loop_now(s->loop), next = TIMER_NEVER;
    for (size_t i = 0; i < COUNT_OF(s->forwarded); i++) {
        struct forwarded *f = &s->forwarded[i];
        if (f->used && f->due <= now) {
            if (f->tries < FORWARD_TRIES)
                send_upstream(s, f);
            else
                give_up(s, f, RCODE_SERVFAIL);
        }
        if (f->used && f->due < next)
            next = f->due;
    }
    if (next != TIMER_NEVER)
        timer_set(&s->timer, next);
}

/* ---- Questions */

static void take_udp(struct dns_server *s)
{
    char bytes[LIMIT_DNS_MESSAGE_BYTES];
    struct buf out = {0};
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        struct dns_forward what;
        ssize_t n = recvfrom(s->udp.fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
        if (n < 0)
            break;
        struct view query = view_make(bytes, (size_t)n);
        buf_clear(&out);
        enum dns_result r = dns_zone_answer(s->zone, query, true, s->turn++, &out, &what);
        if (r == DNS_FORWARD)
            forward(s, query, &what, &from, NULL);
        else if (r == DNS_ANSWERED)
            (void)!sendto(s->udp.fd, buf_read(&out).p, buf_len(&out), 0, (struct sockaddr *)&from, len);
    }
    buf_done(&out);
}

static void client_free(struct tcp_client *c)
{
    struct dns_server *s = c->server;
    for (size_t i = 0; i < COUNT_OF(s->forwarded); i++)
        if (s->forwarded[i].used && s->forwarded[i].client == c)
            s->forwarded[i].client = NULL;
    timer_done(&c->idle);
    conn_close(c->conn);
    buf_done(&c->in);
    buf_done(&c->out);
    task_done(&c->task);
    list_del(&c->link);
    s->n_clients--;
    mem_free(c);
}

/* Every whole message that has come; false: it is not DNS. */
static bool serve_messages(struct tcp_client *c)
{
    struct buf out = {0};
    bool good = true;
    while (good && buf_len(&c->in) >= 2) {
        struct view in = buf_read(&c->in);
        size_t n = (size_t)(unsigned char)in.p[0] << 8 | (unsigned char)in.p[1];
        struct dns_forward what;
        if (n > LIMIT_DNS_MESSAGE_BYTES) {
            good = false;
            break;
        }
        if (in.n < 2 + n)
            break;
        struct view query = view_make(in.p + 2, n);
        buf_clear(&out);
        enum dns_result r = dns_zone_answer(c->server->zone, query, false, c->server->turn++, &out, &what);
        if (r == DNS_FORWARD)
            forward(c->server, query, &what, NULL, c);
        else if (r == DNS_ANSWERED)
            reply_tcp(c, buf_read(&out));
        good = r != DNS_DROP;
        buf_drop(&c->in, (uint32_t)(2 + n));
    }
    buf_done(&out);
    return good;
}

static void client_run(struct task *t, uint32_t events)
{
    struct tcp_client *c = CONTAINER_OF(t, struct tcp_client, task);
    bool good = !(events & BIT_IDLE);
    while (good && !c->ended) {
        ssize_t n = conn_recv_buf(c->conn, &c->in, 512);
        if (n == -EAGAIN)
            break;
        if (n == 0)
            c->ended = true;
        good = n >= 0 && serve_messages(c) && buf_len(&c->out) < LIMIT_HTTP_BUFFER_BYTES;
        timer_in(&c->idle, TCP_IDLE);
    }
    int err = good && buf_len(&c->out) ? conn_send_buf(c->conn, &c->out) : 0;
    if (!good || (err < 0 && err != -EAGAIN) || (c->ended && !c->waiting && !buf_len(&c->out)))
        client_free(c);
}

static void take_clients(struct dns_server *s)
{
    struct conn *conn;
    while (acceptor_accept(s->acceptor, &conn) == 0) {
        if (s->n_clients >= LIMIT_DNS_TCP_CLIENTS) {
            conn_abort(conn);
            continue;
        }
        struct tcp_client *c = mem_alloc(sizeof(*c));
        c->server = s;
        c->conn = conn;
        list_push(&s->clients, &c->link);
        s->n_clients++;
        task_init(&c->task, s->loop, client_run, "dns-client");
        timer_init(&c->idle, &c->task, BIT_IDLE);
        timer_in(&c->idle, TCP_IDLE);
        conn_own(conn, &c->task, BIT_IN, BIT_OUT);
    }
}

static void dns_run(struct task *t, uint32_t events)
{
    struct dns_server *s = CONTAINER_OF(t, struct dns_server, task);
    if (events & BIT_UDP)
        take_udp(s);
    if (events & BIT_ACCEPT)
        take_clients(s);
    if (events & BIT_UPSTREAM)
        take_upstream(s);
    if (events & BIT_TIMER)
        check_due(s);
}

/* ---- Beginning and end */

static int open_udp(struct dns_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(s->config.ip)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int err = bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : fd_watch_open(&s->udp, s->loop, fd, FD_IN);
    if (err < 0)
        close(fd);
    return err;
}

static void open_upstream(struct dns_server *s)
{
    int fd;
    uint32_t ips[ISOLATE_RESOLVERS];
    size_t n = s->config.isolate ? isolate_resolvers(s->config.isolate, ips) : 0;
    if (!n)
        return;
    int err = isolate_host_socket(s->config.isolate, AF_INET, SOCK_DGRAM, &fd);
    if (!err && (err = fd_watch_open(&s->upstream, s->loop, fd, FD_IN)) < 0)
        close(fd);
    if (err) {
        log_warn("no socket to the machine's resolvers (%s): names outside of the cluster do not exist",
                 strerror(-err));
        return;
    }
    for (size_t i = 0; i < n; i++)
        s->resolvers[i] =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(ips[i])};
    s->n_resolvers = n;
}

int dns_server_new(struct loop *loop, const struct dns_config *config, struct dns_server **ret_server)
{
    struct dns_server *s = mem_alloc(sizeof(*s));
    struct addr at = addr_v4(config->ip, PORT);
    s->loop = loop;
    s->config = *config;
    s->zone = dns_zone_new(&(struct runtime_services){0});
    list_init(&s->clients);
    task_init(&s->task, loop, dns_run, "dns");
    timer_init(&s->timer, &s->task, BIT_TIMER);
    fd_watch_init(&s->udp, &s->task, BIT_UDP);
    fd_watch_init(&s->upstream, &s->task, BIT_UPSTREAM);
    int err = open_udp(s);
    if (!err)
        err = acceptor_open(loop, &at, NULL, &s->task, BIT_ACCEPT, &s->acceptor);
    if (err) {
        dns_server_free(s);
        return err;
    }
    open_upstream(s);
    *ret_server = s;
    return 0;
}

struct dns_server *dns_server_free(struct dns_server *s)
{
    if (!s)
        return NULL;
    LIST_EACH (&s->clients, struct tcp_client, link, c)
        client_free(c);
    struct fd_watch *watches[] = {&s->udp, &s->upstream};
    for (size_t i = 0; i < COUNT_OF(watches); i++) {
        int fd = watches[i]->fd;
        fd_watch_done(watches[i]);
        if (fd >= 0)
            close(fd);
    }
    acceptor_close(s->acceptor);
    timer_done(&s->timer);
    task_done(&s->task);
    dns_zone_free(s->zone);
    mem_free(s);
    return NULL;
}

void dns_server_set(struct dns_server *s, const struct runtime_services *table)
{
    dns_zone_free(s->zone);
    s->zone = dns_zone_new(table);
}
