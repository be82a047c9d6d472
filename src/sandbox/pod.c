// SPDX-License-Identifier: Apache-2.0
/* The life of a pod, as kubelet orders it. Everything that happens to the pod wakes one task; it polls the containers,
 * then looks at what should be and is not:
 *
 *   volumes → init containers one after another, a native sidecar being passed as soon as it has started
 *           → containers in order (each waits for the postStart hook of the one before)
 *           → when all have ended for good: sidecars end in reverse order; Succeeded or Failed
 *   stop    → containers at once, then sidecars in reverse; what is left at the deadline is killed; network, files, gone
 */
#include "sandbox/pod.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "net/loop.h"

enum { POD_WAKE = 1, POD_TIMER = 2 };

#define VOLUMES_RETRY (250 * NS_PER_MS)

static void earliest(uint64_t *next, uint64_t at)
{
    *next = at < *next ? at : *next;
}

/* ---- What the sandbox does not have */

static const char *scheme_gap(const struct http_get *get)
{
    bool known =
        !get || view_empty(get->scheme) || view_ieq(get->scheme, VIEW("HTTP")) || view_ieq(get->scheme, VIEW("HTTPS"));
    return known ? NULL : "a scheme other than HTTP and HTTPS";
}

static const char *container_gap(const struct container *c)
{
    const struct probe *probes[] = {c->startup, c->readiness, c->liveness};
    const struct lifecycle_handler *hooks[] = {c->lifecycle ? c->lifecycle->post_start : NULL,
                                               c->lifecycle ? c->lifecycle->pre_stop : NULL};
    const char *gap = NULL;
    for (size_t i = 0; i < COUNT_OF(probes) && !gap; i++)
        gap = probes[i] ? scheme_gap(probes[i]->http_get) : NULL;
    for (size_t i = 0; i < COUNT_OF(hooks) && !gap; i++)
        gap = hooks[i] ? scheme_gap(hooks[i]->http_get) : NULL;
    return gap;
}

/* What network.c gives every pod anyway: a gateway asks for it, to listen on port 80. */
static bool sysctls_granted(const struct labels *l)
{
    return l->n == 0 || (l->n == 1 && labels_is(l, "net.ipv4.ip_unprivileged_port_start", "0"));
}

int pod_check(struct runtime *rt, const struct pod *pod, struct arena *a, struct view *ret_why)
{
    const struct pod_spec *s = &pod->spec;
    const struct {
        bool used;
        const char *field;
    } flags[] = {{s->host_network, "hostNetwork"},
                 {s->host_pid, "hostPID"},
                 {s->share_process_namespace, "shareProcessNamespace"},
                 {!sysctls_granted(&s->security.sysctls), "securityContext.sysctls"}};
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (flags[i].used) {
            *ret_why = arena_printf(a, "spec.%s is not supported by the sandbox", flags[i].field);
            return -EINVAL;
        }
    for (uint32_t i = 0; i < s->n_init_containers + s->n_containers; i++) {
        const struct container *c =
            i < s->n_init_containers ? &s->init_containers[i] : &s->containers[i - s->n_init_containers];
        const char *gap = container_gap(c);
        if (gap) {
            *ret_why = arena_printf(a, "container %.*s: %s is not supported by the sandbox", VIEW_ARGS(c->name), gap);
            return -EINVAL;
        }
    }
    return 0;
}

/* ---- Walking forward */

static uint64_t open_volumes(struct pod_run *p, uint64_t now)
{
    char dir[160];
    if (p->volumes_ready)
        return 0;
    if (now < p->volumes_retry)
        return p->volumes_retry;
    arena_clear(&p->volume_notes);
    p->volume_why = VIEW_NONE;
    snprintf(dir, sizeof(dir), "%s/volumes", p->dir);
    int err = volumes_open(&p->volumes, &p->facts, dir, &p->volume_notes, &p->volume_why);
    if (err) {
        if (view_empty(p->volume_why))
            p->volume_why = view_of(strerror(-err));
        p->volumes_retry = now + VOLUMES_RETRY;
        return p->volumes_retry;
    }
    p->volumes_ready = true;
    p->token_renewal = p->volumes.token_renewal ? now + p->volumes.token_renewal * NS_PER_S : TIMER_NEVER;
    return 0;
}

/* Starts it when it is due. True: it is on its way or done; false: *next says when. */
static void keep_running(struct container_run *c, uint64_t now, uint64_t *next)
{
    if (container_alive(c) || container_finished(c))
        return;
    if (now >= c->retry_at) {
        container_start(c);
        if (!container_alive(c))
            earliest(next, c->retry_at);
    } else {
        earliest(next, c->retry_at);
    }
}

/* True when every init container has done its part. */
static bool walk_init(struct pod_run *p, uint64_t now, uint64_t *next)
{
    for (size_t i = 0; i < p->n_init; i++) {
        struct container_run *c = &p->containers[i];
        if (c->sidecar) {
            keep_running(c, now, next);
            if (!p->status.initialized && !container_started(c))
                return false;
            continue;
        }
        if (p->status.initialized || container_succeeded(c))
            continue;
        if (container_finished(c)) {
            p->terminal = true;
            p->status.reason = VIEW("Error");
            p->status.message = arena_printf(&p->arena, "init container %.*s failed", VIEW_ARGS(c->spec->name));
            return false;
        }
        keep_running(c, now, next);
        return false;
    }
    return true;
}

static void walk_main(struct pod_run *p, uint64_t now, uint64_t *next)
{
    bool all_finished = true;
    for (size_t i = p->n_init; i < p->n_containers; i++) {
        struct container_run *c = &p->containers[i];
        keep_running(c, now, next);
        all_finished &= container_finished(c);
        bool hook = c->spec->lifecycle && c->spec->lifecycle->post_start;
        if (hook && container_alive(c) && (c->creating || c->post_start == HOOK_RUNNING) && c->attempt == 1) {
            all_finished = false;
            break;
        }
    }
    if (all_finished)
        p->terminal = true;
}

static void walk(struct pod_run *p, uint64_t now, uint64_t *next)
{
    uint64_t retry = open_volumes(p, now);
    if (retry) {
        earliest(next, retry);
        return;
    }
    if (walk_init(p, now, next)) {
        p->status.initialized = true;
        walk_main(p, now, next);
    }
    struct opt_i64 limit = p->pod->spec.active_deadline_s;
    if (limit.set && !p->terminal) {
        uint64_t wall = loop_wall(p->rt->loop), end = p->status.started_ns + (uint64_t)limit.value * NS_PER_S;
        if (wall >= end) {
            p->terminal = true;
            p->status.phase = PHASE_FAILED;
            p->status.reason = VIEW("DeadlineExceeded");
            p->status.message = VIEW("Pod was active on the node longer than the specified deadline");
            p->stop_deadline = now + 30 * NS_PER_S;
        } else {
            earliest(next, now + (end - wall));
        }
    }
}

/* ---- Ending */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void tear_down(struct pod_run *p)
{
    if (p->torn_down)
        return;
    p->torn_down = true;
    network_pod_del(&p->rt->network, &p->net);
    (void)nftw(p->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Containers first, all at once; then init containers and sidecars from the last to the first. True: nothing runs. */
static bool stop_all(struct pod_run *p, uint64_t deadline)
{
    bool alive = false;
    for (size_t i = p->n_init; i < p->n_containers; i++)
        if (container_alive(&p->containers[i])) {
            container_stop(&p->containers[i], deadline);
            alive = true;
        }
    for (size_t i = p->n_init; i-- > 0 && !alive;)
        if (container_alive(&p->containers[i])) {
            container_stop(&p->containers[i], deadline);
            alive = true;
        }
    return !alive;
}

static void end(struct pod_run *p, uint64_t now)
{
    struct opt_i64 g = p->pod->spec.termination_grace_s;
    if (!p->stop_deadline)
        p->stop_deadline = now + (uint64_t)(g.set && g.value >= 0 ? g.value : 30) * NS_PER_S;
    if (!stop_all(p, p->stop_deadline))
        return;
    tear_down(p);
    if (p->stopping)
        p->status.gone = true;
}

/* ---- Status */

static enum runtime_phase phase_of(const struct pod_run *p)
{
    bool any_started = false, all_ended = p->terminal || p->stopping, failed = p->status.phase == PHASE_FAILED;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container_run *c = &p->containers[i];
        all_ended &= !container_alive(c);
        if (i >= p->n_init) {
            any_started |= c->ever_started;
            failed |= c->status.state == CONTAINER_TERMINATED && c->status.exit_code != 0;
            failed |= c->status.state != CONTAINER_TERMINATED && (p->terminal || p->stopping);
        } else if (p->terminal && !c->sidecar) {
            failed |= !container_succeeded(c);
        }
    }
    if (all_ended && (p->terminal || any_started))
        return failed ? PHASE_FAILED : PHASE_SUCCEEDED;
    return any_started ? PHASE_RUNNING : PHASE_PENDING;
}

static void fill_containers(struct pod_run *p)
{
    for (size_t i = 0; i < p->n_containers; i++) {
        struct runtime_container_status *s = &p->statuses[i];
        *s = p->containers[i].status;
        if (s->state == CONTAINER_WAITING && view_is(s->reason, "PodInitializing") && !p->containers[i].init &&
            (p->status.initialized || !p->n_init))
            s->reason = VIEW("ContainerCreating");
        if (s->state == CONTAINER_WAITING && !p->volumes_ready && !view_empty(p->volume_why))
            s->message = p->volume_why;
    }
}

static uint64_t hash_of(const struct pod_run *p)
{
    struct buf text = {0};
    const struct runtime_pod_status *s = &p->status;
    buf_printf(&text, "%d %d %d %d %d %d %.*s %.*s\n", s->phase, s->initialized, s->containers_ready, s->ready,
               s->stopping, s->gone, VIEW_ARGS(s->reason), VIEW_ARGS(s->message));
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct runtime_container_status *c = &p->statuses[i];
        buf_printf(&text, "%d %.*s %.*s %d %llu %llu %u %d %d\n", c->state, VIEW_ARGS(c->reason), VIEW_ARGS(c->message),
                   c->exit_code, (unsigned long long)c->started_ns, (unsigned long long)c->finished_ns, c->restarts,
                   c->started, c->ready);
    }
    uint64_t hash = view_hash(buf_read(&text));
    buf_done(&text);
    return hash;
}

static void update_status(struct pod_run *p)
{
    struct runtime_pod_status *s = &p->status;
    fill_containers(p);
    bool ready = s->initialized && !p->terminal && !p->stopping;
    s->containers_ready = s->initialized;
    for (size_t i = 0; i < p->n_containers; i++)
        if (i >= p->n_init || p->containers[i].sidecar)
            s->containers_ready &= p->statuses[i].ready;
    ready &= s->containers_ready;
    s->phase = phase_of(p);
    s->stopping = p->stopping;
    if (ready != s->ready || !s->ready_since_ns)
        s->ready_since_ns = loop_wall(p->rt->loop);
    s->ready = ready;
    uint64_t hash = hash_of(p);
    if (hash != p->status_hash) {
        p->status_hash = hash;
        runtime_pod_changed(p->rt, p);
    }
}

static void pod_run(struct task *t, uint32_t events)
{
    struct pod_run *p = CONTAINER_OF(t, struct pod_run, task);
    uint64_t now = loop_now(p->rt->loop), next = TIMER_NEVER;
    for (size_t i = 0; i < p->n_containers; i++)
        earliest(&next, container_poll(&p->containers[i]));
    if (!p->stopping && !p->terminal)
        walk(p, now, &next);
    if (p->stopping || p->terminal)
        end(p, now);
    if (p->volumes_ready && !p->torn_down) {
        if (now >= p->token_renewal) {
            volumes_refresh_tokens(&p->volumes);
            p->token_renewal = now + (p->volumes.token_renewal ? p->volumes.token_renewal : 60) * NS_PER_S;
        }
        earliest(&next, p->token_renewal);
    }
    update_status(p);
    if (next == TIMER_NEVER || p->status.gone)
        timer_rest(&p->timer);
    else
        timer_set(&p->timer, next > now ? next : now + NS_PER_MS);
}

/* ---- Beginning */

static void describe(struct pod_run *p)
{
    const struct pod *pod = p->pod;
    const struct pod_spec *s = &pod->spec;
    uint32_t ip = p->net.ip, host = p->rt->network.gateway, dns = p->rt->network.config.dns_ip;
    struct view name = view_empty(s->hostname) ? pod->o.meta.name : s->hostname, ns = pod->o.meta.ns;
    struct arena *a = &p->arena;
    snprintf(p->hostname, sizeof(p->hostname), "%.*s", VIEW_ARGS(name));
    snprintf(p->status.ip_text, sizeof(p->status.ip_text), "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
             ip & 255);
    p->facts = (struct facts){.config = &p->rt->config, .pod = pod, .path = p->rt->path};
    p->facts.ip = view_of(p->status.ip_text);
    p->facts.host_ip = arena_printf(a, "%u.%u.%u.%u", host >> 24, host >> 16 & 255, host >> 8 & 255, host & 255);
    p->facts.hostname = view_of(p->hostname);
    bool cluster_first = view_empty(s->dns_policy) || view_starts(s->dns_policy, VIEW("ClusterFirst"));
    struct view search = VIEW_NONE;
    if (cluster_first)
        search = arena_printf(a, "search %.*s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
                              VIEW_ARGS(ns));
    p->resolv_conf = arena_printf(a, "nameserver %u.%u.%u.%u\n%.*s", dns >> 24, dns >> 16 & 255, dns >> 8 & 255,
                                  dns & 255, VIEW_ARGS(search))
                         .p;
    struct view full = VIEW_NONE;
    if (!view_empty(s->subdomain))
        full = arena_printf(a, "%s.%.*s.%.*s.svc.cluster.local\t", p->hostname, VIEW_ARGS(s->subdomain), VIEW_ARGS(ns));
    p->hosts = arena_printf(a, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n%s\t%.*s%s\n",
                            p->status.ip_text, VIEW_ARGS(full), p->hostname)
                   .p;
}

static int make_folders(struct pod_run *p)
{
    snprintf(p->dir, sizeof(p->dir), "%s/pods/%u", ISOLATE_STATE_DIR, p->net.link);
    return mkdir(p->dir, 0755) < 0 ? -errno : 0;
}

int pod_new(struct runtime *rt, const struct pod *pod, struct arena *a, struct pod_run **ret_pod, struct view *ret_why)
{
    const struct pod_spec *s = &pod->spec;
    struct pod_run *p = mem_alloc(sizeof(*p));
    p->rt = rt;
    p->pod = pod;
    list_init(&p->link);
    list_init(&p->changed_link);
    arena_init(&p->arena, 0);
    arena_init(&p->volume_notes, 512);
    task_init(&p->task, rt->loop, pod_run, "pod");
    timer_init(&p->timer, &p->task, POD_TIMER);
    p->token_renewal = TIMER_NEVER;
    p->net.netns = -1;
    int err = network_pod_add(&rt->network, &p->net);
    if (!err)
        err = make_folders(p);
    if (err) {
        *ret_why = arena_printf(a, "no network or folder for the pod: %s", strerror(-err));
        pod_free(p);
        return err;
    }
    p->n_init = s->n_init_containers;
    p->n_containers = p->n_init + s->n_containers;
    p->containers = ARENA_ARRAY(&p->arena, struct container_run, p->n_containers + 1);
    p->statuses = ARENA_ARRAY(&p->arena, struct runtime_container_status, p->n_containers + 1);
    for (size_t i = 0; i < p->n_containers; i++)
        container_init(&p->containers[i], p, i < p->n_init ? &s->init_containers[i] : &s->containers[i - p->n_init],
                       i < p->n_init);
    p->status = (struct runtime_pod_status){.ns = pod->o.meta.ns,
                                            .name = pod->o.meta.name,
                                            .uid = pod->o.meta.uid,
                                            .pod = pod,
                                            .ip = p->net.ip,
                                            .started_ns = loop_wall(rt->loop),
                                            .containers = p->statuses,
                                            .n_containers = p->n_containers};
    describe(p);
    task_wake(&p->task, POD_WAKE);
    *ret_pod = p;
    return 0;
}

void pod_stop(struct pod_run *p, uint64_t grace_ns)
{
    uint64_t now = loop_now(p->rt->loop);
    struct opt_i64 g = p->pod->spec.termination_grace_s;
    if (grace_ns == UINT64_MAX)
        grace_ns = (uint64_t)(g.set && g.value >= 0 ? g.value : 30) * NS_PER_S;
    uint64_t deadline = now + grace_ns;
    if (!p->stop_deadline || deadline < p->stop_deadline)
        p->stop_deadline = deadline;
    p->stopping = true;
    task_wake(&p->task, POD_WAKE);
}

struct pod_run *pod_free(struct pod_run *p)
{
    if (!p)
        return NULL;
    for (size_t i = 0; i < p->n_containers; i++)
        container_done(&p->containers[i]);
    timer_done(&p->timer);
    task_done(&p->task);
    if (p->dir[0])
        tear_down(p);
    else
        network_pod_del(&p->rt->network, &p->net);
    list_del(&p->link);
    list_del(&p->changed_link);
    arena_done(&p->volume_notes);
    arena_done(&p->arena);
    mem_free(p);
    return NULL;
}
