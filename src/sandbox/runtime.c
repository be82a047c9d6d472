// SPDX-License-Identifier: Apache-2.0
/* The runtime as others see it (runtime.h): the list of pods, and the parts that serve all of them. */
#include "sandbox/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "http/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "sandbox/confine.h"
#include "sandbox/dns.h"
#include "sandbox/host_port.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"
#include "sandbox/service_nat.h"

#define DEFAULT_POD_CIDR 0x0af40000u     /* 10.244.0.0 */
#define DEFAULT_SERVICE_CIDR 0x0a600000u /* 10.96.0.0 */
#define SYSTEM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void add_program_dir(struct runtime *rt, const char ***dirs, size_t *n, const char *path)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real) || stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
        return;
    rt->path = arena_printf(&rt->arena, "%.*s:" CONFINE_PROGRAMS, VIEW_ARGS(rt->path), *n);
    *ARENA_PUSH(&rt->arena, *dirs, *n) = arena_str(&rt->arena, view_of(real));
}

/* weft's programs lie beside the one that runs; in a build tree the sample lies in its own folder. */
static void find_programs(struct runtime *rt)
{
    char own[PATH_MAX] = "", sample[PATH_MAX + 32];
    const char **dirs = NULL;
    size_t n = 0;
    rt->path = VIEW(SYSTEM_PATH);
    if (view_empty(rt->config.bin_dir)) {
        ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
        char *slash = len > 0 ? strrchr(own, '/') : NULL;
        if (slash)
            *slash = 0;
    } else {
        snprintf(own, sizeof(own), "%.*s", VIEW_ARGS(rt->config.bin_dir));
    }
    add_program_dir(rt, &dirs, &n, own);
    snprintf(sample, sizeof(sample), "%s/../samples/bookinfo", own);
    add_program_dir(rt, &dirs, &n, sample);
    *ARENA_PUSH(&rt->arena, dirs, n) = NULL;
    rt->program_dirs = dirs;
}

int runtime_new(struct loop *loop, const struct runtime_config *config, struct runtime **ret_rt)
{
    struct runtime *rt = mem_alloc(sizeof(*rt));
    struct view why = VIEW_NONE;
    rt->loop = loop;
    rt->config = *config;
    list_init(&rt->pods);
    list_init(&rt->changed);
    arena_init(&rt->arena, 0);
    rt->network.netlink = rt->network.node_ns = -1;
    if (!rt->config.pod_cidr)
        rt->config.pod_cidr = DEFAULT_POD_CIDR;
    if (!rt->config.service_cidr)
        rt->config.service_cidr = DEFAULT_SERVICE_CIDR;
    if (!rt->config.dns_ip)
        rt->config.dns_ip = rt->config.service_cidr + 10;
    find_programs(rt);
    rt->host_mounts = confine_host_mounts(&rt->arena);
    int err = image_table_read(&rt->arena, arena_view(&rt->arena, config->images_yaml), config->images_file,
                               &rt->images, &why);
    if (err)
        log_error("%.*s", VIEW_ARGS(why));
    struct network_config net = {rt->config.pod_cidr, rt->config.service_cidr, rt->config.dns_ip};
    if (!err && mkdir(ISOLATE_STATE_DIR "/pods", 0755) < 0)
        err = -errno;
    if (!err)
        err = network_open(&rt->network, &net);
    if (!err)
        err = dns_server_new(loop, &(struct dns_config){.ip = rt->config.dns_ip, .isolate = config->isolate}, &rt->dns);
    const char *tls_why = NULL;
    if (!err && (err = tls_context_new(loop, &(struct tls_config){0}, &rt->tls, &tls_why)) < 0)
        log_error("no TLS for probes: %s", tls_why);
    if (err) {
        runtime_free(rt);
        return err;
    }
    rt->http = http_shared_new(loop);
    rt->nat = service_nat_new(
        loop, &(struct service_nat_config){rt->config.service_cidr, rt->config.dns_ip, rt->network.gateway});
    rt->host_ports = host_port_set_new(loop, config->isolate);
    *ret_rt = rt;
    return 0;
}

struct runtime *runtime_free(struct runtime *rt)
{
    if (!rt)
        return NULL;
    LIST_EACH (&rt->pods, struct pod_run, link, p)
        pod_free(p);
    host_port_set_free(rt->host_ports);
    service_nat_free(rt->nat);
    dns_server_free(rt->dns);
    tls_context_free(rt->tls);
    http_shared_free(rt->http);
    network_close(&rt->network);
    arena_done(&rt->arena);
    mem_free(rt);
    return NULL;
}

struct pod_run *runtime_pod(struct runtime *rt, struct view uid)
{
    LIST_EACH (&rt->pods, struct pod_run, link, p)
        if (view_eq(p->status.uid, uid) && p != rt->handed)
            return p;
    return NULL;
}

void runtime_pod_changed(struct runtime *rt, struct pod_run *p)
{
    list_del(&p->changed_link);
    list_push(&rt->changed, &p->changed_link);
    if (rt->config.changed)
        task_wake(rt->config.changed, 1);
}

int runtime_pod_start(struct runtime *rt, const struct pod *pod, struct arena *a, struct view *ret_why)
{
    struct pod_run *p;
    *ret_why = VIEW_NONE;
    if (runtime_pod(rt, pod->o.meta.uid))
        return -EEXIST;
    int err = pod_check(rt, pod, a, ret_why);
    if (!err && rt->n_pods >= LIMIT_SANDBOX_PODS) {
        *ret_why = VIEW("there are too many pods for one machine");
        err = -ENOSPC;
    }
    if (!err)
        err = pod_new(rt, pod, a, &p, ret_why);
    if (err)
        return err;
    rt->n_pods++;
    list_push(&rt->pods, &p->link);
    return 0;
}

int runtime_pod_stop(struct runtime *rt, struct view uid, uint64_t grace_ns)
{
    struct pod_run *p = runtime_pod(rt, uid);
    if (!p)
        return -ENOENT;
    pod_stop(p, grace_ns);
    return 0;
}

const struct runtime_pod_status *runtime_next(struct runtime *rt)
{
    if (rt->handed) {
        pod_free(rt->handed);
        rt->handed = NULL;
        rt->n_pods--;
    }
    struct list *first = list_pop(&rt->changed);
    if (!first)
        return NULL;
    struct pod_run *p = LIST_ITEM(first, struct pod_run, changed_link);
    if (p->status.gone)
        rt->handed = p; /* its status must live until the caller has seen it */
    return &p->status;
}

const struct runtime_pod_status *runtime_status(struct runtime *rt, struct view uid)
{
    struct pod_run *p = runtime_pod(rt, uid);
    return p ? &p->status : NULL;
}

void runtime_items_changed(struct runtime *rt, enum runtime_source source, struct view ns, struct view name)
{
    LIST_EACH (&rt->pods, struct pod_run, link, p)
        if (view_eq(p->status.ns, ns) && !p->torn_down) {
            if (p->volumes_ready)
                volumes_refresh(&p->volumes, source, name);
            p->volumes_retry = 0; /* what waited for it need not wait longer */
            for (size_t i = 0; i < p->n_containers; i++)
                if (view_is(p->containers[i].status.reason, "CreateContainerConfigError"))
                    p->containers[i].retry_at = 0;
            task_wake(&p->task, 1);
        }
}

void runtime_pod_meta_changed(struct runtime *rt, struct view uid)
{
    struct pod_run *p = runtime_pod(rt, uid);
    if (p && p->volumes_ready && !p->torn_down)
        volumes_refresh_meta(&p->volumes);
}

int runtime_pod_connect(struct runtime *rt, struct view uid, uint16_t port, int *ret_fd)
{
    static const struct timeval patience = {.tv_usec = 200 * 1000}; /* loopback answers at once, or not at all */
    struct pod_run *p = runtime_pod(rt, uid);
    int fd = -1, err = p ? network_pod_socket(&rt->network, &p->net, SOCK_STREAM, &fd) : -ENOENT;
    if (err)
        return err;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
        connect(fd, (struct sockaddr *)&to, sizeof(to)) || fcntl(fd, F_SETFL, O_NONBLOCK)) {
        err = -errno;
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

void runtime_services_set(struct runtime *rt, const struct runtime_services *table)
{
    service_nat_set(rt->nat, table);
    dns_server_set(rt->dns, table);
}

bool runtime_services_settled(const struct runtime *rt)
{
    return service_nat_settled(rt->nat);
}

int runtime_host_port_set(struct runtime *rt, uint16_t host_port, uint32_t target_ip, uint16_t target_port)
{
    return host_port_set(rt->host_ports, host_port, target_ip, target_port);
}

bool runtime_host_port_accepted(struct runtime *rt, uint32_t id, int fd)
{
    return host_port_accepted(rt->host_ports, id, fd);
}
