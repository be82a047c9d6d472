// SPDX-License-Identifier: Apache-2.0
/*
 * bt - small bench tool: HTTP/1.1 backend, byte source, load generator.
 *
 *   bt serve  PORT BODY_BYTES          keep-alive HTTP/1.1 backend
 *   bt source PORT                     reads "<bytes>\n", sends that many bytes
 *   bt load   [options] PORT           HTTP/1.1 load, prints one JSON line
 *       -c N   connections             -n N   total requests
 *       -r R   open loop, R requests/s (latency from intended send time)
 *       -k     one connection per request (Connection: close)
 *       -t D   TLS 1.3 with D/client.pem (cert+key) and D/ca.pem
 *       -H S   Host header             -T S   give up after S seconds
 *   bt idle   [-c N -t D -H S] PORT    open N connections, one request each,
 *                                      print "ready", hold until stdin closes
 *   bt sink   [-c N] PORT BYTES        read BYTES over each of N connections
 *
 * Everything talks to 127.0.0.1 only.  Every load is bounded by -n and -T.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAXEV 512
#define BUFSZ 65536

static void die(const char *what)
{
    fprintf(stderr, "bt: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in local_addr(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static int listen_on(int port)
{
    struct sockaddr_in a = local_addr(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("bind");
    if (listen(fd, 4096) < 0)
        die("listen");
    return fd;
}

static void nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---------------------------------------------------------------- backend */

struct sconn {
    int fd;
    int match;
    int close;
    int len;
    char hdr[2048];
};

static _Noreturn void serve_main(int port, int body)
{
    char *resp = malloc((size_t)body + 256);
    int hl = sprintf(resp,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                     "Content-Length: %d\r\n\r\n",
                     body);
    memset(resp + hl, 'x', (size_t)body);
    int total = hl + body, lfd = listen_on(port), ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[MAXEV];
    static char buf[BUFSZ];

    epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
    for (;;) {
        int n = epoll_wait(ep, evs, MAXEV, -1);
        for (int i = 0; i < n; i++) {
            struct sconn *c = evs[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    nodelay(fd);
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    ev.events = EPOLLIN;
                    ev.data.ptr = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                }
                continue;
            }
            ssize_t r = recv(c->fd, buf, sizeof buf, 0);
            if (r < 0 && (errno == EAGAIN || errno == EINTR))
                continue;
            if (r <= 0) {
                close(c->fd);
                free(c);
                continue;
            }
            /* GET only: a request ends at the first CRLFCRLF. */
            int reqs = 0;
            for (ssize_t k = 0; k < r; k++) {
                if (c->len < (int)sizeof c->hdr - 1)
                    c->hdr[c->len++] = buf[k];
                c->match = buf[k] == "\r\n\r\n"[c->match] ? c->match + 1 : buf[k] == '\r';
                if (c->match == 4) {
                    reqs++;
                    c->match = 0;
                    c->hdr[c->len] = 0;
                    c->len = 0;
                    if (strcasestr(c->hdr, "connection: close"))
                        c->close = 1;
                }
            }
            for (; reqs > 0; reqs--)
                if (send(c->fd, resp, (size_t)total, MSG_NOSIGNAL) != total)
                    c->close = 1;
                else if (c->close)
                    break;
            if (c->close && c->match == 0 && c->len == 0) {
                close(c->fd);
                free(c);
            }
        }
    }
}

/* ------------------------------------------------- byte source for TCP bulk */

struct bconn {
    int fd;
    uint64_t left;
};

static _Noreturn void source_main(int port)
{
    int lfd = listen_on(port), ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[64];
    static char out[262144];
    epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &ev);
    for (;;) {
        int n = epoll_wait(ep, evs, 64, -1);
        for (int i = 0; i < n; i++) {
            struct bconn *c = evs[i].data.ptr;
            if (!c) {
                int fd;
                while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    c = calloc(1, sizeof *c);
                    c->fd = fd;
                    ev.events = EPOLLIN;
                    ev.data.ptr = c;
                    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
                }
                continue;
            }
            if (!c->left) {
                char line[64];
                ssize_t r = recv(c->fd, line, sizeof line - 1, 0);
                if (r < 0 && errno == EAGAIN)
                    continue;
                if (r <= 0) {
                    close(c->fd);
                    free(c);
                    continue;
                }
                line[r] = 0;
                c->left = strtoull(line, NULL, 10);
                ev.events = EPOLLOUT;
                ev.data.ptr = c;
                epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
                continue;
            }
            size_t want = c->left < sizeof out ? c->left : sizeof out;
            ssize_t w = send(c->fd, out, want, MSG_NOSIGNAL);
            if (w < 0 && errno == EAGAIN)
                continue;
            if (w <= 0) {
                close(c->fd);
                free(c);
                continue;
            }
            c->left -= (uint64_t)w;
            if (!c->left) {
                shutdown(c->fd, SHUT_WR);
                close(c->fd);
                free(c);
            }
        }
    }
}

static int connect_blocking(int port)
{
    struct sockaddr_in a = local_addr(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        die("socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        die("connect");
    nodelay(fd);
    return fd;
}

static int sink_main(int port, int conns, uint64_t bytes)
{
    static char buf[262144];
    struct epoll_event ev, evs[64];
    int ep = epoll_create1(0), open_conns = conns;
    uint64_t got = 0, t0 = now_ns();
    char line[32];
    int ll = sprintf(line, "%llu\n", (unsigned long long)bytes);
    for (int i = 0; i < conns; i++) {
        int fd = connect_blocking(port);
        if (send(fd, line, (size_t)ll, 0) != ll)
            die("send");
        ev.events = EPOLLIN;
        ev.data.fd = fd;
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
    while (open_conns) {
        int n = epoll_wait(ep, evs, 64, 20000);
        if (n == 0)
            break;
        for (int i = 0; i < n; i++) {
            ssize_t r = recv(evs[i].data.fd, buf, sizeof buf, MSG_DONTWAIT);
            if (r < 0 && errno == EAGAIN)
                continue;
            if (r <= 0) {
                close(evs[i].data.fd);
                open_conns--;
                continue;
            }
            got += (uint64_t)r;
        }
    }
    printf("{\"bytes\":%llu,\"secs\":%.6f,\"want\":%llu}\n", (unsigned long long)got, (double)(now_ns() - t0) / 1e9,
           (unsigned long long)bytes * (unsigned)conns);
    return 0;
}

/* ---------------------------------------------------------- load generator */

enum state { CONNECTING, HANDSHAKE, FREE, WAITING };

struct conn {
    int fd;
    enum state st;
    SSL *ssl;
    uint64_t t0; /* intended (open loop) or actual send time */
    int have_hdr;
    long body_left;
    int hlen;
    char hdr[4096];
};

static struct {
    int port, conns, close_mode, timeout_s;
    uint64_t total;
    double rate;
    const char *host, *tls_dir;
} opt = {.conns = 1, .total = 1000, .host = "bench.local", .timeout_s = 120};

static SSL_CTX *tls;
static int ep;
static char req[512];
static int req_len;
static uint64_t started, finished, errors, non200;
static uint32_t *lat;       /* units of 100 ns */
static struct conn **freeq; /* ring of idle connections, FIFO */
static unsigned fq_head, fq_len;
static uint64_t t_start;

static void tls_setup(void)
{
    char p[512];
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(tls, "X25519");
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    snprintf(p, sizeof p, "%s/client.pem", opt.tls_dir);
    if (SSL_CTX_use_certificate_chain_file(tls, p) != 1 || SSL_CTX_use_PrivateKey_file(tls, p, SSL_FILETYPE_PEM) != 1)
        die(p);
    snprintf(p, sizeof p, "%s/ca.pem", opt.tls_dir);
    if (SSL_CTX_load_verify_locations(tls, p, NULL) != 1)
        die(p);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
}

static void conn_open(struct conn *c)
{
    struct sockaddr_in a = local_addr(opt.port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        die("socket");
    nodelay(c->fd);
    if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS)
        die("connect");
    c->st = CONNECTING;
    if (tls) {
        c->ssl = SSL_new(tls);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}

static void conn_close(struct conn *c)
{
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->fd = -1;
}

static void send_req(struct conn *c, uint64_t intended)
{
    c->st = WAITING;
    c->t0 = intended;
    c->have_hdr = c->hlen = 0;
    int w = c->ssl ? SSL_write(c->ssl, req, req_len) : (int)send(c->fd, req, (size_t)req_len, MSG_NOSIGNAL);
    if (w != req_len)
        errors++;
}

static void make_free(struct conn *c)
{
    c->st = FREE;
    freeq[(fq_head + fq_len++) % (unsigned)opt.conns] = c;
}

static uint64_t intended_time(uint64_t i)
{
    return t_start + (uint64_t)((double)i * 1e9 / opt.rate);
}

/* Send what is due. Closed loop: whenever a connection is free. */
static void pump(void)
{
    while (fq_len && started < opt.total) {
        uint64_t t = now_ns(), when = t;
        if (opt.rate > 0 && (when = intended_time(started)) > t)
            return;
        struct conn *c = freeq[fq_head];
        fq_head = (fq_head + 1) % (unsigned)opt.conns;
        fq_len--;
        started++;
        send_req(c, when);
    }
}

static void request_done(struct conn *c)
{
    uint64_t d = (now_ns() - c->t0) / 100;
    if (finished < opt.total)
        lat[finished] = d > UINT32_MAX ? UINT32_MAX : (uint32_t)d;
    finished++;
    if (!opt.close_mode) {
        make_free(c);
        return;
    }
    conn_close(c);
    if (started < opt.total)
        conn_open(c);
}

/* Returns 1 when a full response has been read. */
static int feed(struct conn *c, const char *p, long n)
{
    if (!c->have_hdr) {
        int room = (int)sizeof c->hdr - 1 - c->hlen, k = n < room ? (int)n : room;
        memcpy(c->hdr + c->hlen, p, (size_t)k);
        c->hlen += k;
        c->hdr[c->hlen] = 0;
        char *end = strstr(c->hdr, "\r\n\r\n");
        if (!end)
            return 0;
        c->have_hdr = 1;
        if (strncmp(c->hdr + 8, " 200", 4))
            non200++;
        char *cl = strcasestr(c->hdr, "\r\ncontent-length:");
        if (!cl || cl > end) {
            fprintf(stderr, "bt: no content-length:\n%s\n", c->hdr);
            exit(1);
        }
        c->body_left = strtol(cl + 17, NULL, 10);
        n -= (long)(end + 4 - c->hdr) - (c->hlen - k);
    }
    c->body_left -= n;
    return c->body_left <= 0;
}

static void on_event(struct conn *c)
{
    static char buf[BUFSZ];
    if (c->st == CONNECTING) {
        int e = 0;
        socklen_t l = sizeof e;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
        if (e) {
            errno = e;
            die("connect");
        }
        c->st = tls ? HANDSHAKE : FREE;
        if (!tls) {
            make_free(c);
            return;
        }
    }
    if (c->st == HANDSHAKE) {
        int r = SSL_do_handshake(c->ssl);
        if (r == 1) {
            make_free(c);
            return;
        }
        int e = SSL_get_error(c->ssl, r);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
            return;
        die("tls handshake");
    }
    for (;;) {
        long r;
        if (c->ssl) {
            r = SSL_read(c->ssl, buf, sizeof buf);
            if (r <= 0) {
                int e = SSL_get_error(c->ssl, (int)r);
                if (e == SSL_ERROR_WANT_READ)
                    return;
                r = 0;
            }
        } else {
            r = recv(c->fd, buf, sizeof buf, 0);
            if (r < 0 && errno == EAGAIN)
                return;
        }
        if (r <= 0) { /* peer closed */
            if (c->st == WAITING) {
                errors++;
                finished++;
            } else if (c->st == FREE) {
                errors++;
            }
            conn_close(c);
            if (started < opt.total) {
                fprintf(stderr, "bt: peer closed early\n");
                exit(1);
            }
            return;
        }
        if (c->st == WAITING && feed(c, buf, r)) {
            request_done(c);
            return;
        }
    }
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double pct(double q)
{
    if (!finished)
        return 0;
    uint64_t i = (uint64_t)(q * (double)finished);
    return lat[i >= finished ? finished - 1 : i] / 10.0;
}

static void build_req(void)
{
    req_len = snprintf(req, sizeof req,
                       "GET /api/v1/items?id=42 HTTP/1.1\r\nHost: %s\r\nUser-Agent: bt/1\r\nAccept: */*\r\n%s\r\n",
                       opt.host, opt.close_mode ? "Connection: close\r\n" : "");
}

static int load_main(void)
{
    struct epoll_event evs[MAXEV];
    struct conn *cs = calloc((size_t)opt.conns, sizeof *cs);
    freeq = calloc((size_t)opt.conns, sizeof *freeq);
    lat = calloc(opt.total + 1, sizeof *lat);
    build_req();
    if (opt.tls_dir)
        tls_setup();
    ep = epoll_create1(0);
    if ((uint64_t)opt.conns > opt.total)
        opt.conns = (int)opt.total;
    uint64_t t_open = now_ns();
    t_start = t_open + (opt.rate > 0 ? 200000000u : 0); /* let conns open */
    for (int i = 0; i < opt.conns; i++)
        conn_open(&cs[i]);
    uint64_t limit = t_open + (uint64_t)opt.timeout_s * 1000000000u;
    while (finished < opt.total && now_ns() < limit) {
        struct timespec ts = {1, 0};
        if (opt.rate > 0 && started < opt.total && fq_len) {
            uint64_t t = now_ns(), w = intended_time(started);
            uint64_t d = w > t ? w - t : 0;
            ts.tv_sec = (time_t)(d / 1000000000u);
            ts.tv_nsec = (long)(d % 1000000000u);
        }
        int n = epoll_pwait2(ep, evs, MAXEV, &ts, NULL);
        for (int i = 0; i < n; i++) {
            struct conn *c = evs[i].data.ptr;
            if (c->fd >= 0)
                on_event(c);
            pump();
        }
        pump();
    }
    double secs = (double)(now_ns() - (opt.rate > 0 ? t_start : t_open)) / 1e9;
    uint64_t done = finished < opt.total ? finished : opt.total;
    qsort(lat, done, sizeof *lat, cmp_u32);
    printf("{\"done\":%llu,\"errors\":%llu,\"non200\":%llu,\"secs\":%.6f,\"rps\":%.1f,"
           "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
           (unsigned long long)finished, (unsigned long long)errors, (unsigned long long)non200, secs,
           (double)finished / secs, pct(0.5), pct(0.9), pct(0.99), pct(0.999), pct(1.0));
    return finished < opt.total || errors || non200;
}

static int idle_main(void)
{
    static char buf[BUFSZ];
    build_req();
    if (opt.tls_dir)
        tls_setup();
    int bad = 0;
    for (int i = 0; i < opt.conns; i++) {
        int fd = connect_blocking(opt.port);
        SSL *s = NULL;
        if (tls) {
            s = SSL_new(tls);
            SSL_set_fd(s, fd);
            if (SSL_connect(s) != 1)
                die("tls connect");
            if (SSL_write(s, req, req_len) != req_len)
                die("tls write");
        } else if (send(fd, req, (size_t)req_len, 0) != req_len)
            die("send");
        struct conn c = {.fd = fd};
        for (;;) {
            long r = s ? SSL_read(s, buf, sizeof buf) : recv(fd, buf, sizeof buf, 0);
            if (r <= 0) {
                bad++;
                break;
            }
            if (feed(&c, buf, r))
                break;
        }
    }
    printf("ready %d %llu\n", bad, (unsigned long long)non200);
    fflush(stdout);
    while (read(0, buf, sizeof buf) > 0) {
    }
    return 0;
}

int main(int argc, char **argv)
{
    int o;
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fprintf(stderr, "usage: see bt.c\n");
        return 2;
    }
    char *cmd = argv[1];
    argc--;
    argv++;
    while ((o = getopt(argc, argv, "c:n:r:kt:H:T:")) != -1)
        switch (o) {
        case 'c':
            opt.conns = atoi(optarg);
            break;
        case 'n':
            opt.total = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            opt.rate = atof(optarg);
            break;
        case 'k':
            opt.close_mode = 1;
            break;
        case 't':
            opt.tls_dir = optarg;
            break;
        case 'H':
            opt.host = optarg;
            break;
        case 'T':
            opt.timeout_s = atoi(optarg);
            break;
        default:
            return 2;
        }
    if (optind >= argc)
        return 2;
    opt.port = atoi(argv[optind]);
    if (!strcmp(cmd, "serve"))
        serve_main(opt.port, atoi(argv[optind + 1]));
    if (!strcmp(cmd, "source"))
        source_main(opt.port);
    if (!strcmp(cmd, "sink"))
        return sink_main(opt.port, opt.conns, strtoull(argv[optind + 1], NULL, 10));
    if (!strcmp(cmd, "load"))
        return load_main();
    if (!strcmp(cmd, "idle"))
        return idle_main();
    return 2;
}
