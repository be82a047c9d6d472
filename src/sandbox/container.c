// SPDX-License-Identifier: Apache-2.0
/* Runs of a container (container.h). The daemon prepares everything that can fail in a way worth telling (image, user,
 * environment, mounts), clones, and learns by a pipe whether the exec worked: closed means yes, text is the reason.
 */
#include "sandbox/container.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/loop.h"
#include "sandbox/confine.h"
#include "sandbox/pod.h"
#include "sandbox/runtime_impl.h"

enum { POD_WAKE = 1 };

#define BACKOFF_FIRST (100 * NS_PER_MS)
#define BACKOFF_MOST (10 * NS_PER_S)
#define BACKOFF_FORGOTTEN (20 * NS_PER_S) /* a run this long makes the next failure the first again */
#define CONFIG_RETRY (250 * NS_PER_MS)
#define HOOK_TIMEOUT (10 * 60 * NS_PER_S) /* a hook has no timeout of its own */

static struct loop *loop_of(const struct container_run *c)
{
    return c->pod->rt->loop;
}

static uint64_t now_of(const struct container_run *c)
{
    return loop_now(loop_of(c));
}

void container_init(struct container_run *c, struct pod_run *pod, const struct container *spec, bool init)
{
    const struct probe *probes[PROBE_KINDS] = {spec->startup, spec->readiness, spec->liveness};
    *c = (struct container_run){
        .pod = pod,
        .spec = spec,
        .init = init,
        .error_fd = -1,
    };
    c->sidecar = init && container_is_sidecar(spec);
    arena_init(&c->arena, 0);
    arena_init(&c->notes, 512);
    process_init(&c->process, &pod->task, POD_WAKE);
    fd_watch_init(&c->error_watch, &pod->task, POD_WAKE);
    container_log_init(&c->log, loop_of(c));
    action_init(&c->post_start_action, loop_of(c), &pod->task, POD_WAKE);
    action_init(&c->pre_stop_action, loop_of(c), &pod->task, POD_WAKE);
    for (int k = 0; k < PROBE_KINDS; k++)
        probe_init(&c->probes[k], (enum probe_kind)k, probes[k], c, loop_of(c), &pod->task, POD_WAKE);
    c->status = (struct runtime_container_status){.name = spec->name, .image = spec->image, .init = init};
    c->status.reason = VIEW("PodInitializing");
}

static void close_error(struct container_run *c)
{
    fd_watch_done(&c->error_watch);
    if (c->error_fd >= 0)
        close(c->error_fd);
    c->error_fd = -1;
}

static void stop_actions(struct container_run *c)
{
    action_cancel(&c->post_start_action);
    action_cancel(&c->pre_stop_action);
    for (int k = 0; k < PROBE_KINDS; k++)
        probe_end(&c->probes[k]);
}

void container_done(struct container_run *c)
{
    stop_actions(c);
    close_error(c);
    process_done(&c->process);
    container_log_done(&c->log);
    arena_done(&c->arena);
    arena_done(&c->notes);
}

/* ---- Preparing a run */

static void wait_because(struct container_run *c, const char *reason, struct view message, uint64_t retry)
{
    struct view copy = arena_view(&c->notes, message); /* message may lie in an arena that is about to be cleared */
    c->status.state = CONTAINER_WAITING;
    c->status.reason = view_of(reason);
    c->status.message = copy;
    c->status.started = c->status.ready = false;
    c->retry_at = now_of(c) + retry;
}

static int user_of(struct container_run *c, const struct image *image, struct confinement *k, struct view *why)
{
    const struct security_context *own = &c->spec->security, *all = &c->pod->pod->spec.security;
    int64_t uid = own->run_as_user.set   ? own->run_as_user.value
                  : all->run_as_user.set ? all->run_as_user.value
                                         : (int64_t)image->user;
    int64_t gid = own->run_as_group.set                          ? own->run_as_group.value
                  : all->run_as_group.set                        ? all->run_as_group.value
                  : own->run_as_user.set || all->run_as_user.set ? 0
                                                                 : (int64_t)image->user;
    bool not_root = own->run_as_non_root.set ? own->run_as_non_root.value : all->run_as_non_root.value;
    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX) {
        *why = VIEW("runAsUser or runAsGroup is out of range");
        return -EINVAL;
    }
    if (not_root && uid == 0) {
        *why = VIEW("container has runAsNonRoot and image will run as root");
        return -EINVAL;
    }
    k->uid = c->uid = (uid_t)uid;
    k->gid = c->gid = (gid_t)gid;
    if (all->fs_group.set && all->fs_group.value >= 0)
        k->groups[k->n_groups++] = (gid_t)all->fs_group.value;
    k->no_new_privs = own->allow_escalation.set && !own->allow_escalation.value;
    k->read_only_root = own->read_only_root.set && own->read_only_root.value;
    k->privileged = own->privileged.set && own->privileged.value;
    return confine_capabilities(&own->caps, k->privileged, &c->arena, &k->capabilities, why);
}

static void command_of(struct container_run *c, const struct image *image, struct confinement *k)
{
    const struct container *s = c->spec;
    const struct strings *lists[2] = {s->command.n && !image->replace ? &s->command : &image->command,
                                      image->replace || (s->command.n && !s->args.n) ? NULL : &s->args};
    char **argv = NULL;
    size_t n = 0, n_env = 0;
    while (k->envp[n_env])
        n_env++;
    for (size_t l = 0; l < COUNT_OF(lists); l++)
        for (uint32_t i = 0; lists[l] && i < lists[l]->n; i++) {
            struct view word = lists[l]->list[i];
            if (lists[l] != &image->command)
                word = expand(&c->arena, word, k->envp, n_env);
            *ARENA_PUSH(&c->arena, argv, n) = arena_str(&c->arena, word);
        }
    *ARENA_PUSH(&c->arena, argv, n) = NULL;
    k->argv = argv;
}

static int add_bind(struct container_run *c, struct confinement *k, struct bind_mount **binds, struct view volume,
                    struct view target, struct view sub_path, bool read_only, struct view *why)
{
    struct view path, part, rest = sub_path;
    if (!volume_path(&c->pod->volumes, volume, &c->arena, &path)) {
        *why = arena_printf(&c->arena, "volumeMount %.*s: the pod has no such volume", VIEW_ARGS(volume));
        return -EINVAL;
    }
    while (view_cut(&rest, '/', &part))
        if (view_is(part, "..")) {
            *why = VIEW("a subPath must not contain ..");
            return -EINVAL;
        }
    if (!view_empty(sub_path)) {
        path = arena_printf(&c->arena, "%.*s/%.*s", VIEW_ARGS(path), VIEW_ARGS(sub_path));
        struct stat st;
        const char *at = arena_str(&c->arena, path);
        if (stat(at, &st) < 0 && mkdir(at, 0777) == 0) /* as kubelet: a missing subPath becomes a folder */
            (void)!chmod(at, 0777);
    }
    struct bind_mount *b = ARENA_PUSH(&c->arena, *binds, k->n_binds);
    b->source = arena_str(&c->arena, path);
    b->target = arena_str(&c->arena, target);
    b->read_only = read_only || volume_read_only(&c->pod->volumes, volume);
    return 0;
}

static int mounts_of(struct container_run *c, struct confinement *k, struct view *why)
{
    struct bind_mount *binds = NULL;
    bool token = false;
    int err = 0;
    for (uint32_t i = 0; i < c->spec->n_mounts && !err; i++) {
        const struct volume_mount *m = &c->spec->mounts[i];
        token |= view_is(m->mount_path, VOLUME_TOKEN_PATH);
        err = add_bind(c, k, &binds, m->name, m->mount_path, m->sub_path, m->read_only, why);
    }
    struct view ignored;
    if (!err && !token && volume_path(&c->pod->volumes, VIEW(VOLUME_TOKEN_NAME), &c->arena, &ignored))
        err = add_bind(c, k, &binds, VIEW(VOLUME_TOKEN_NAME), VIEW(VOLUME_TOKEN_PATH), VIEW_NONE, true, why);
    k->binds = binds;
    return err;
}

/* Fills the confinement from the manifest; the reason is a kubelet's word for the state. */
static const char *prepare(struct container_run *c, struct confinement *k, struct view *why)
{
    struct pod_run *p = c->pod;
    const struct image *image = image_find(&p->rt->images, c->spec->image);
    if (!image) {
        *why =
            arena_printf(&c->arena, "no entry of images.yaml matches image `%.*s`: it says which program stands for it",
                         VIEW_ARGS(c->spec->image));
        return "ErrImagePull";
    }
    char **envp;
    int err = environment_build(&c->arena, &p->facts, c->spec, image, &envp, why);
    if (!err)
        err = user_of(c, image, k, why);
    if (!err)
        err = mounts_of(c, k, why);
    if (err)
        return "CreateContainerConfigError";
    k->envp = envp;
    command_of(c, image, k);
    if (!k->argv[0]) {
        *why = arena_printf(&c->arena, "image `%.*s` has no command of its own, and the container gives none",
                            VIEW_ARGS(c->spec->image));
        return "CreateContainerConfigError";
    }
    struct view cwd = view_empty(c->spec->working_dir) ? image->working_dir : c->spec->working_dir;
    k->cwd = view_empty(cwd) ? "/" : arena_str(&c->arena, cwd);
    k->netns = p->net.netns;
    k->hostname = p->hostname;
    k->resolv_conf = p->resolv_conf;
    k->hosts = p->hosts;
    k->host_mounts = p->rt->host_mounts;
    k->program_dirs = p->rt->program_dirs;
    k->dir = arena_str(&c->arena, arena_printf(&c->arena, "%s/%.*s.%u", p->dir, VIEW_ARGS(c->spec->name), c->attempt));
    return NULL;
}

static int clone_into(struct container_run *c, struct confinement *k)
{
    int pipe_fds[2], log = -1;
    if (mkdir(k->dir, 0755) < 0)
        return -errno;
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    int err = container_log_open(&c->log, c->uid, c->gid, &log);
    if (!err) {
        k->stdio[0] = -1;
        k->stdio[1] = k->stdio[2] = log;
        k->error_fd = pipe_fds[1];
        pid_t pid = process_clone(&c->process, loop_of(c), CONFINE_CLONE_FLAGS);
        if (pid == 0)
            confine_exec(k);
        err = pid < 0 ? pid : 0;
        close(log);
    }
    close(pipe_fds[1]);
    c->error_fd = pipe_fds[0];
    c->n_error = 0;
    if (!err)
        err = fd_watch_open(&c->error_watch, loop_of(c), c->error_fd, FD_IN);
    if (err) {
        process_done(&c->process);
        close_error(c);
    }
    return err;
}

void container_start(struct container_run *c)
{
    struct view why = VIEW_NONE;
    must(!container_alive(c));
    arena_clear(&c->notes);
    arena_clear(&c->arena);
    struct confinement *k = ARENA_NEW(&c->arena, struct confinement);
    c->confinement = k;
    c->attempt++;
    const char *reason = prepare(c, k, &why);
    if (reason) {
        wait_because(c, reason, why, CONFIG_RETRY);
        return;
    }
    int err = clone_into(c, k);
    if (err) {
        wait_because(c, "CreateContainerError", view_of(strerror(-err)), CONFIG_RETRY);
        return;
    }
    c->creating = true;
    c->stopping = c->term_sent = c->hard = false;
    c->post_start = c->pre_stop = HOOK_NONE;
    c->status.reason = VIEW("ContainerCreating");
    c->status.message = VIEW_NONE;
}

/* ---- While it runs */

static bool hook_start(struct container_run *c, const struct lifecycle_handler *h, struct action *a)
{
    if (!h)
        return false;
    struct action_what what = {
        .container = c, .http_get = h->http_get, .tcp_socket = h->tcp_socket, .exec = h->exec, .sleep = h->sleep};
    action_start(a, &what, HOOK_TIMEOUT);
    return true;
}

static void now_running(struct container_run *c)
{
    const struct lifecycle *l = c->spec->lifecycle;
    c->creating = false;
    c->ever_started = true;
    c->started_at = now_of(c);
    c->status.state = CONTAINER_RUNNING;
    c->status.reason = c->status.message = VIEW_NONE;
    c->status.started_ns = loop_wall(loop_of(c));
    c->status.finished_ns = 0;
    c->status.started = c->status.ready = false;
    c->post_start = hook_start(c, l ? l->post_start : NULL, &c->post_start_action) ? HOOK_RUNNING : HOOK_DONE;
    for (int k = 0; k < PROBE_KINDS; k++)
        probe_end(&c->probes[k]);
    probe_begin(&c->probes[PROBE_STARTUP], c->started_at);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void remember_end(struct container_run *c)
{
    if (c->status.state == CONTAINER_TERMINATED) {
        c->status.has_last = true;
        c->status.last_exit_code = c->status.exit_code;
        c->status.last_reason = c->status.reason;
        c->status.last_started_ns = c->status.started_ns;
        c->status.last_finished_ns = c->status.finished_ns;
    }
}

static void now_ended(struct container_run *c)
{
    uint64_t now = now_of(c);
    stop_actions(c);
    close_error(c);
    container_log_finish(&c->log);
    (void)nftw(c->confinement->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    if (c->creating) { /* the exec did not work */
        c->creating = false;
        c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST;
        c->backoff = c->backoff < BACKOFF_MOST ? c->backoff : BACKOFF_MOST;
        c->status.exit_code = 128;
        c->status.started_ns = c->status.finished_ns = loop_wall(loop_of(c));
        wait_because(c, "RunContainerError", view_make(c->error, c->n_error), c->backoff);
        return;
    }
    if (now - c->started_at > BACKOFF_FORGOTTEN)
        c->backoff = 0;
    c->backoff = c->backoff ? c->backoff * 2 : BACKOFF_FIRST;
    c->backoff = c->backoff < BACKOFF_MOST ? c->backoff : BACKOFF_MOST;
    c->retry_at = now + c->backoff;
    c->status.state = CONTAINER_TERMINATED;
    c->status.exit_code = c->process.exit_code;
    c->status.reason = c->process.exit_code ? VIEW("Error") : VIEW("Completed");
    c->status.finished_ns = loop_wall(loop_of(c));
    c->status.started = false;
    c->status.ready = c->init && !c->sidecar && c->process.exit_code == 0;
    c->stopping = false;
}

/* Ended and to be started again: how kubelet shows it until then. */
static void show_backoff(struct container_run *c)
{
    remember_end(c);
    c->status.restarts++;
    c->status.state = CONTAINER_WAITING;
    c->status.reason = VIEW("CrashLoopBackOff");
    arena_clear(&c->notes);
    c->status.message =
        arena_printf(&c->notes, "back-off %u ms restarting failed container=%.*s pod=%.*s",
                     (unsigned)(c->backoff / NS_PER_MS), VIEW_ARGS(c->spec->name), VIEW_ARGS(c->pod->pod->o.meta.name));
    c->status.ready = false;
}

static void read_error(struct container_run *c)
{
    while (c->error_fd >= 0) {
        size_t room = sizeof(c->error) - c->n_error;
        char drop[64];
        ssize_t n = read(c->error_fd, room ? c->error + c->n_error : drop, room ? room : sizeof(drop));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0 && room)
            c->n_error += (size_t)n;
        if (n <= 0)
            close_error(c);
    }
    if (c->n_error == 0 && c->creating)
        now_running(c);
}

static uint64_t grace_of(const struct container_run *c, const struct probe *p)
{
    struct opt_i64 g = p && p->termination_grace_s.set ? p->termination_grace_s : c->pod->pod->spec.termination_grace_s;
    return (uint64_t)(g.set && g.value >= 0 ? g.value : 30) * NS_PER_S;
}

static void poll_hooks(struct container_run *c)
{
    if (c->post_start == HOOK_RUNNING && action_over(&c->post_start_action)) {
        c->post_start = HOOK_DONE;
        if (!c->post_start_action.ok) {
            log_warn("pod %.*s container %.*s: postStart failed (%s); the container is killed",
                     VIEW_ARGS(c->pod->pod->o.meta.name), VIEW_ARGS(c->spec->name), c->post_start_action.text);
            container_stop(c, now_of(c) + grace_of(c, NULL));
        }
    }
    if (c->pre_stop == HOOK_RUNNING && action_over(&c->pre_stop_action))
        c->pre_stop = HOOK_DONE;
}

static uint64_t poll_probes(struct container_run *c)
{
    static const char *const names[PROBE_KINDS] = {"startup", "readiness", "liveness"};
    uint64_t now = now_of(c), next = TIMER_NEVER;
    struct probe_run *startup = &c->probes[PROBE_STARTUP], *readiness = &c->probes[PROBE_READINESS];
    uint64_t due = probe_poll(startup, now);
    next = due < next ? due : next;
    if (startup->ok && !c->status.started && c->post_start == HOOK_DONE) {
        c->status.started = true;
        probe_begin(readiness, now);
        probe_begin(&c->probes[PROBE_LIVENESS], now);
    }
    for (int k = PROBE_READINESS; c->status.started && k < PROBE_KINDS; k++) {
        due = probe_poll(&c->probes[k], now);
        next = due < next ? due : next;
    }
    c->status.ready = c->status.started && readiness->ok;
    for (int k = 0; k < PROBE_KINDS; k++)
        if (c->probes[k].failed) {
            log_info("pod %.*s container %.*s: %s probe failed (%s); the container is restarted",
                     VIEW_ARGS(c->pod->pod->o.meta.name), VIEW_ARGS(c->spec->name), names[k], c->probes[k].text);
            container_stop(c, now + grace_of(c, c->probes[k].spec));
            return next;
        }
    return next;
}

void container_stop(struct container_run *c, uint64_t deadline)
{
    const struct lifecycle *l = c->spec->lifecycle;
    if (!container_alive(c))
        return;
    if (c->stopping) {
        c->stop_deadline = deadline < c->stop_deadline ? deadline : c->stop_deadline;
        return;
    }
    c->stopping = true;
    c->stop_deadline = deadline;
    action_cancel(&c->post_start_action);
    c->post_start = HOOK_DONE;
    for (int k = 0; k < PROBE_KINDS; k++)
        probe_end(&c->probes[k]);
    bool time = deadline > now_of(c) && !c->creating;
    c->pre_stop = time && hook_start(c, l ? l->pre_stop : NULL, &c->pre_stop_action) ? HOOK_RUNNING : HOOK_DONE;
    task_wake(&c->pod->task, POD_WAKE);
}

static uint64_t poll_stopping(struct container_run *c)
{
    uint64_t now = now_of(c);
    c->status.ready = false;
    if (c->pre_stop == HOOK_DONE && !c->term_sent) {
        c->term_sent = true;
        process_signal(&c->process, SIGTERM);
    }
    if (now >= c->stop_deadline && !c->hard) {
        c->hard = true;
        process_signal(&c->process, SIGKILL);
    }
    return c->hard ? TIMER_NEVER : c->stop_deadline;
}

uint64_t container_poll(struct container_run *c)
{
    if (c->error_fd >= 0)
        read_error(c);
    if (c->process.pidfd >= 0 && process_ended(&c->process)) {
        if (c->error_fd >= 0)
            read_error(c);
        now_ended(c);
        if (c->status.state == CONTAINER_TERMINATED && !container_finished(c))
            show_backoff(c);
        return c->retry_at;
    }
    if (!container_alive(c))
        return c->status.state == CONTAINER_WAITING ? c->retry_at : TIMER_NEVER;
    poll_hooks(c);
    if (c->stopping)
        return poll_stopping(c);
    return c->creating ? TIMER_NEVER : poll_probes(c);
}

/* ---- Asked by others */

bool container_succeeded(const struct container_run *c)
{
    return c->status.state == CONTAINER_TERMINATED && c->status.exit_code == 0;
}

bool container_finished(const struct container_run *c)
{
    struct view policy = c->pod->pod->spec.restart_policy;
    if (c->status.state != CONTAINER_TERMINATED || container_alive(c))
        return false;
    if (c->pod->stopping || c->pod->terminal)
        return true;
    if (c->sidecar)
        return false;
    if (c->init)
        return c->status.exit_code == 0 || view_is(policy, "Never");
    return view_is(policy, "Never") || (view_is(policy, "OnFailure") && c->status.exit_code == 0);
}

bool container_started(const struct container_run *c)
{
    return container_alive(c) && c->status.started;
}

uint32_t container_ip(const struct container_run *c)
{
    return c->pod->net.ip;
}

uint32_t container_port_number(const struct container_run *c, const struct int_or_str *port)
{
    uint64_t number;
    if (view_empty(port->text))
        return port->number > 0 && port->number < 65536 ? (uint32_t)port->number : 0;
    for (uint32_t i = 0; i < c->spec->n_ports; i++)
        if (view_eq(c->spec->ports[i].name, port->text))
            return c->spec->ports[i].port;
    return view_u64(port->text, &number) == 0 && number < 65536 ? (uint32_t)number : 0;
}

int container_exec_stdio(struct container_run *c, char *const *argv, const int stdio[3], struct process *p)
{
    if (!container_alive(c) || c->creating)
        return -ESRCH;
    struct confinement k = *c->confinement;
    k.argv = argv;
    k.error_fd = stdio[2] >= 0 ? stdio[2] : open("/dev/null", O_WRONLY | O_CLOEXEC);
    memcpy(k.stdio, stdio, sizeof(k.stdio));
    /* A PID namespace is entered by children only: choose the container's for the next clone, then our own again. */
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    int err = own < 0 ? -errno : setns(c->process.pidfd, CLONE_NEWPID) < 0 ? -errno : 0;
    if (!err) {
        pid_t pid = process_clone(p, loop_of(c), 0);
        if (pid == 0)
            confine_join_exec(&k, c->process.pidfd);
        must(setns(own, CLONE_NEWPID) == 0);
        err = pid < 0 ? pid : 0;
    }
    if (own >= 0)
        close(own);
    if (stdio[2] < 0)
        close(k.error_fd);
    return err;
}

int container_exec(struct container_run *c, const struct strings *command, struct process *p)
{
    static const int none[3] = {-1, -1, -1};
    struct arena a;
    char **argv = NULL;
    size_t n = 0;
    arena_init(&a, 0);
    for (uint32_t i = 0; i < command->n; i++)
        *ARENA_PUSH(&a, argv, n) = arena_str(&a, command->list[i]);
    *ARENA_PUSH(&a, argv, n) = NULL;
    int err = argv[0] ? container_exec_stdio(c, argv, none, p) : -EINVAL;
    arena_done(&a);
    return err;
}
