// SPDX-License-Identifier: Apache-2.0
/* The rules of ClusterIPs (service_nat.h): one table, replaced as a whole by one nft transaction. Connections that exist
 * are not disturbed: their rewriting is remembered by conntrack.
 *
 *   prerouting, output: (address, protocol, port) → verdict map → chain of the service port → dnat to one of N
 *   postrouting:        masquerade where source and rewritten destination are the same pod
 *   forward, output:    what still has a ClusterIP as destination is refused
 */
#include "sandbox/service_nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"
#include "net/timer.h"
#include "sandbox/process.h"

#define RETRY NS_PER_S

enum { BIT_SET = 1, BIT_EXIT = 2, BIT_RETRY = 4 };

struct service_nat {
    struct loop *loop;
    struct service_nat_config config;
    struct task task;
    struct timer retry;
    struct process process;
    struct buf wanted;
    uint64_t wanted_hash, running_hash, applied_hash;
    int errors; /* memfd with what nft said */
};

static void put_ip(struct buf *out, uint32_t ip)
{
    buf_printf(out, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static const char *proto_name(enum runtime_proto p)
{
    return p == RUNTIME_UDP ? "udp" : "tcp";
}

/* A chain for each service port that has targets. */
static void put_chain(struct buf *out, const struct runtime_service *s, const struct runtime_service_port *p,
                      size_t number)
{
    buf_printf(out, "\tchain svc%zu { # %.*s/%.*s:%u\n\t\t", number, VIEW_ARGS(s->ns), VIEW_ARGS(s->name), p->port);
    buf_printf(out, "meta l4proto %s dnat ip to ", proto_name(p->proto));
    if (p->n_targets == 1) {
        put_ip(out, p->targets[0].ip);
        buf_printf(out, ":%u", p->targets[0].port);
    } else {
        if (s->affinity_s)
            buf_printf(out, "jhash ip saddr mod %zu seed 0x77656674 map { ", p->n_targets);
        else
            buf_printf(out, "numgen random mod %zu map { ", p->n_targets);
        for (size_t i = 0; i < p->n_targets; i++) {
            buf_printf(out, "%s%zu : ", i ? ", " : "", i);
            put_ip(out, p->targets[i].ip);
            buf_printf(out, " . %u", p->targets[i].port);
        }
        buf_str(out, " }");
    }
    buf_str(out, "\n\t}\n");
}

static void put_service_map(struct buf *out, const struct runtime_services *t)
{
    size_t number = 0;
    bool any = false;
    buf_str(out, "\tmap services {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n");
    for (size_t i = 0; i < t->n_services; i++)
        for (size_t k = 0; k < t->services[i].n_ports; k++) {
            const struct runtime_service_port *p = &t->services[i].ports[k];
            if (!t->services[i].cluster_ip || !p->n_targets)
                continue;
            buf_str(out, any ? ",\n\t\t\t" : "\t\telements = {\n\t\t\t");
            put_ip(out, t->services[i].cluster_ip);
            buf_printf(out, " . %s . %u : goto svc%zu", proto_name(p->proto), p->port, number++);
            any = true;
        }
    buf_str(out, any ? " }\n\t}\n" : "\t}\n");
}

static int ip_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Pods that a Service may lead back to themselves. */
static void put_hairpin(struct buf *out, const struct runtime_services *t)
{
    uint32_t *ips = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < t->n_services; i++)
        for (size_t k = 0; k < t->services[i].n_ports && t->services[i].cluster_ip; k++)
            for (size_t e = 0; e < t->services[i].ports[k].n_targets; e++) {
                if (n == cap)
                    ips = mem_grow(ips, (cap = cap ? cap * 2 : 64) * sizeof(*ips));
                ips[n++] = t->services[i].ports[k].targets[e].ip;
            }
    if (n)
        qsort(ips, n, sizeof(*ips), ip_order);
    buf_str(out, "\tset hairpin {\n\t\ttype ipv4_addr . ipv4_addr\n");
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (i && ips[i] == ips[i - 1])
            continue;
        buf_str(out, any ? ", " : "\t\telements = { ");
        put_ip(out, ips[i]);
        buf_str(out, " . ");
        put_ip(out, ips[i]);
        any = true;
    }
    buf_str(out, any ? " }\n\t}\n" : "\t}\n");
    mem_free(ips);
}

void service_nat_rules(const struct runtime_services *t, const struct service_nat_config *config, struct buf *out)
{
    size_t number = 0;
    buf_str(out, "table ip weft-services\ndelete table ip weft-services\ntable ip weft-services {\n");
    for (size_t i = 0; i < t->n_services; i++)
        for (size_t k = 0; k < t->services[i].n_ports; k++)
            if (t->services[i].cluster_ip && t->services[i].ports[k].n_targets)
                put_chain(out, &t->services[i], &t->services[i].ports[k], number++);
    put_service_map(out, t);
    put_hairpin(out, t);
    for (int hook = 0; hook < 2; hook++)
        buf_printf(out,
                   "\tchain nat-%s {\n\t\ttype nat hook %s priority -100; policy accept;\n"
                   "\t\tip daddr . ip protocol . th dport vmap @services\n\t}\n",
                   hook ? "output" : "prerouting", hook ? "output" : "prerouting");
    buf_str(out, "\tchain nat-postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n"
                 "\t\tct status dnat ip saddr . ip daddr @hairpin masquerade\n\t}\n");
    for (int hook = 0; hook < 2; hook++) {
        buf_printf(out, "\tchain filter-%s {\n\t\ttype filter hook %s priority 0; policy accept;\n\t\tip daddr ",
                   hook ? "output" : "forward", hook ? "output" : "forward");
        put_ip(out, config->service_cidr);
        buf_str(out, "/16 ip daddr != ");
        put_ip(out, config->dns_ip);
        buf_str(out, " reject with icmp type port-unreachable\n\t}\n");
    }
    buf_str(out, "}\n");
}

/* ---- Giving them to the kernel */

static int memfd_with(const char *name, struct view text)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0) {
            int err = -errno;
            close(fd);
            return err;
        }
        text = view_from(text, (size_t)n);
    }
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int start(struct service_nat *n)
{
    int in = memfd_with("rules", buf_read(&n->wanted));
    if (in < 0)
        return in;
    n->errors = memfd_with("errors", VIEW_NONE);
    pid_t pid = process_clone(&n->process, n->loop, 0);
    if (pid == 0) {
        dup2(in, 0);
        dup2(n->errors, 1);
        dup2(n->errors, 2);
        process_clean(3);
        execlp("nft", "nft", "-f", "-", NULL);
        static const char text[] = "the program nft (package nftables) is not installed";
        (void)!write(2, text, sizeof(text) - 1);
        _exit(127);
    }
    close(in);
    n->running_hash = n->wanted_hash;
    return pid < 0 ? pid : 0;
}

static void finished(struct service_nat *n)
{
    char text[1024] = "";
    if (n->process.exit_code == 0) {
        n->applied_hash = n->running_hash;
    } else {
        ssize_t got = pread(n->errors, text, sizeof(text) - 1, 0);
        log_error("the rules of the Services were not accepted, the old ones stay: %.*s", (int)(got > 0 ? got : 0),
                  text);
        timer_in(&n->retry, RETRY);
    }
    if (n->errors >= 0)
        close(n->errors);
    n->errors = -1;
    n->running_hash = 0;
}

static void service_nat_run(struct task *t, uint32_t events)
{
    struct service_nat *n = CONTAINER_OF(t, struct service_nat, task);
    if (n->running_hash) {
        if (!process_ended(&n->process))
            return;
        finished(n);
    }
    if (n->wanted_hash == n->applied_hash || (timer_is_set(&n->retry) && !(events & BIT_RETRY)))
        return;
    int err = start(n);
    if (err) {
        log_error("cannot write the rules of the Services: %s", strerror(-err));
        n->running_hash = 0;
        timer_in(&n->retry, RETRY);
    }
}

struct service_nat *service_nat_new(struct loop *loop, const struct service_nat_config *config)
{
    struct service_nat *n = mem_alloc(sizeof(*n));
    n->loop = loop;
    n->config = *config;
    n->errors = -1;
    task_init(&n->task, loop, service_nat_run, "service-nat");
    timer_init(&n->retry, &n->task, BIT_RETRY);
    process_init(&n->process, &n->task, BIT_EXIT);
    service_nat_set(n, &(struct runtime_services){0}); /* refuses from the start */
    return n;
}

struct service_nat *service_nat_free(struct service_nat *n)
{
    if (!n)
        return NULL;
    process_done(&n->process);
    timer_done(&n->retry);
    task_done(&n->task);
    if (n->errors >= 0)
        close(n->errors);
    buf_done(&n->wanted);
    mem_free(n);
    return NULL;
}

void service_nat_set(struct service_nat *n, const struct runtime_services *table)
{
    buf_clear(&n->wanted);
    service_nat_rules(table, &n->config, &n->wanted);
    n->wanted_hash = view_hash(buf_read(&n->wanted)) | 1; /* never 0: that is "none" */
    if (n->wanted_hash != n->applied_hash)
        task_wake(&n->task, BIT_SET);
}

bool service_nat_settled(const struct service_nat *n)
{
    return n->wanted_hash == n->applied_hash;
}
