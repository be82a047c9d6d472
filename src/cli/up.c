// SPDX-License-Identifier: Apache-2.0
/* weft up FILES|DIR…: the daemon is a child in a session of its own, and we are its first client: we ask how far it is,
 * print that, and stay. Ctrl-C and SIGTERM end it in order; when we are killed, the kernel ends it (PDEATHSIG). With
 * --detach it is nobody's child and `weft down` ends it.
 */
#include "cli/up.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/client.h"
#include "cli/files.h"
#include "sandbox/daemon.h"
#include "wire/node.h"

enum { POLL_MS = 30 };

void up_note(const struct up *u, bool good, const char *fmt, ...)
{
    const char *mark = good ? "√" : "×", *color = good ? "\033[32m" : "\033[31m";
    bool colored = u->c->color_err;
    fprintf(stderr, "  %s%s%s ", colored ? color : "", mark, colored ? "\033[0m" : "");
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- The child. */

static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3 && null >= 0; i++)
        dup2(null, i);
    if (null > 2)
        close(null);
}

static int run_daemon(struct up *u, const struct daemon_config *config)
{
    setsid();
    if (u->detach)
        leave_terminal();
    else
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!u->detach && getppid() == 1)
        return EXIT_FAILED; /* the parent was faster */
    int r = daemon_run(config);
    if (r < 0)
        log_error("the sandbox could not be made: %s", strerror(-r));
    return r < 0 ? EXIT_FAILED : r;
}

/* images.yaml as said, else beside the manifests. */
static int find_images(struct up *u, struct view *ret_text, const char **ret_file)
{
    *ret_text = VIEW_NONE;
    *ret_file = "images.yaml";
    if (u->images) {
        *ret_file = u->images;
        return files_read_one(u->c, u->images, ret_text);
    }
    for (size_t i = 0; i < u->n_paths; i++) {
        char path[4096];
        struct stat st;
        const char *slash = strrchr(u->paths[i], '/');
        if (stat(u->paths[i], &st) == 0 && S_ISDIR(st.st_mode))
            snprintf(path, sizeof(path), "%s/images.yaml", u->paths[i]);
        else
            snprintf(path, sizeof(path), "%.*simages.yaml", slash ? (int)(slash - u->paths[i] + 1) : 0, u->paths[i]);
        if (access(path, R_OK))
            continue;
        *ret_file = arena_str(&u->c->arena, view_of(path));
        return files_read_one(u->c, *ret_file, ret_text);
    }
    return EXIT_OK;
}

static int spawn(struct up *u)
{
    struct cli *c = u->c;
    struct view images;
    const char *images_file;
    int r = find_images(u, &images, &images_file);
    if (r)
        return r;
    struct daemon_config config = {.name = arena_str(&c->arena, c->sandbox),
                                   .paths = u->paths,
                                   .n_paths = u->n_paths,
                                   .images = images,
                                   .images_file = view_of(images_file),
                                   .certificate_ttl = c->opt[OPT_CERTIFICATE_TTL]};
    fflush(NULL);
    u->started = clock_mono();
    u->child = fork();
    if (u->child < 0)
        return cli_fail(c, "no process could be started: %s", strerror(errno));
    if (u->child == 0)
        _exit(run_daemon(u, &config));
    return EXIT_OK;
}

/* ---- Following it. */

static struct node *ask(struct up *u)
{
    struct answer a = {0};
    struct node *n = NULL;
    if (client_try(u->c, "GET", VIEW("/weft/v1/sandbox"), VIEW_NONE, &a) || a.status != 200 ||
        node_parse(&u->c->arena, arena_view(&u->c->arena, buf_read(&a.body)), &n, NULL))
        n = NULL;
    answer_done(&a);
    return n;
}

static bool child_ended(struct up *u)
{
    int status;
    if (u->child && waitpid(u->child, &status, WNOHANG) == u->child)
        u->child = 0;
    return u->child == 0;
}

static int64_t number(const struct node *n, const char *path)
{
    int64_t v = 0;
    const struct node *at = node_at(n, path);
    return at && node_i64(at, &v) == 0 ? v : 0;
}

static const char *short_name(struct cli *c, const struct node *pod)
{
    struct view name = node_text_at(pod, "metadata.name"),
                hash = node_text(node_get(node_at(pod, "metadata.labels"), VIEW("pod-template-hash")));
    size_t at = hash.n ? view_find_view(name, hash) : name.n;
    return arena_str(&c->arena, at < name.n && at > 1 ? view_head(name, at - 1) : name);
}

static void add_name(struct buf *b, const char *name)
{
    if (buf_len(b))
        buf_char(b, ' ');
    buf_str(b, name);
}

/* "8 pods, 6 sidecars injected (…), gateway …, outside the mesh: …" */
static void tell_pods(struct up *u)
{
    struct cli *c = u->c;
    int r;
    const struct node *list = client_get(c, VIEW("/api/v1/pods"), &r),
                      *items = list ? node_get(list, VIEW("items")) : NULL;
    struct buf sidecars = {0}, gateways = {0}, outside = {0};
    int n_sidecars = 0, n = 0;
    for (uint32_t i = 0; node_is(items, NODE_SEQ) && i < items->n; i++) {
        const struct node *pod = items->items[i], *notes = node_at(pod, "metadata.annotations");
        if (view_is(node_text_at(pod, "metadata.labels.istio"), "pilot"))
            continue;
        n++;
        bool injected = node_get(notes, VIEW("sidecar.istio.io/status")) != NULL;
        bool gateway = view_is(node_text(node_get(notes, VIEW("inject.istio.io/templates"))), "gateway");
        n_sidecars += injected && !gateway;
        add_name(!injected ? &outside : gateway ? &gateways : &sidecars, short_name(c, pod));
    }
    struct buf line = {0};
    buf_printf(&line, "%d pods, %d sidecars injected", n, n_sidecars);
    if (buf_len(&sidecars))
        buf_printf(&line, " (%s)", buf_cstr(&sidecars));
    if (buf_len(&gateways))
        buf_printf(&line, ", gateway %s", buf_cstr(&gateways));
    if (buf_len(&outside))
        buf_printf(&line, ", outside the mesh: %s", buf_cstr(&outside));
    up_note(u, true, "%s", buf_cstr(&line));
    buf_done(&sidecars);
    buf_done(&gateways);
    buf_done(&outside);
    buf_done(&line);
}

static int give_up(struct up *u, const struct node *last)
{
    const struct node *waiting = last ? node_get(last, VIEW("waiting")) : NULL;
    cli_fail(u->c, "not everything is ready after %.0f s:", (double)(clock_mono() - u->started) / 1e9);
    for (uint32_t i = 0; node_is(waiting, NODE_SEQ) && i < waiting->n; i++)
        fprintf(stderr, "      %.*s\n", VIEW_ARGS(node_text(waiting->items[i])));
    fprintf(stderr, "      it runs on: look with `weft get pods -A`, `weft logs`, end it with `weft down`\n");
    return EXIT_FAILED;
}

/* What the daemon told on its own stderr, when that is not ours. */
static void tell_problems(struct up *u, const struct node *n)
{
    struct view text = node_text_at(n, "problems");
    if (u->detach)
        fwrite(text.p, 1, text.n, stderr);
}

/* Ctrl-C, SIGTERM and SIGHUP: blocked, and asked for where we wait, so that the child always ends in order. */
static sigset_t ending_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

static int follow(struct up *u, uint64_t wait)
{
    sigset_t ending = ending_signals();
    bool kernel_told = false, control_told = false;
    struct node *n = NULL;
    while (clock_mono() - u->started < wait) {
        if (child_ended(u))
            return cli_fail(u->c, "the sandbox ended while it was being made%s",
                            u->detach ? ": start it without --detach to see why" : "");
        struct node *now = ask(u);
        n = now ? now : n;
        if (n && !kernel_told)
            up_note(u, true, "kernel: network namespaces, nftables, iptables owner match");
        kernel_told = kernel_told || n;
        if (n && !control_told && node_bool(node_get(n, VIEW("controlReady")), false)) {
            up_note(u, true, "control plane  xDS 15010/15012, CA for trust domain %.*s",
                    VIEW_ARGS(node_text_at(n, "trustDomain")));
            control_told = true;
        }
        const struct node *waiting = n ? node_get(n, VIEW("waiting")) : NULL;
        if (n && control_told && !waiting->n && node_bool(node_get(n, VIEW("settled")), false) &&
            number(n, "pods.total")) {
            u->manifests_good = node_bool(node_get(n, VIEW("manifestsGood")), true);
            tell_problems(u, n);
            tell_pods(u);
            return EXIT_OK;
        }
        struct timespec pause = {.tv_nsec = POLL_MS * 1000 * 1000};
        if (sigtimedwait(&ending, NULL, &pause) > 0) {
            up_end(u);
            return cli_fail(u->c, "interrupted");
        }
    }
    if (n)
        tell_problems(u, n);
    return give_up(u, n);
}

int up_start(struct up *u)
{
    struct cli *c = u->c;
    uint64_t wait = 60 * NS_PER_S;
    if (c->opt[OPT_TIMEOUT] && clock_parse_duration(view_of(c->opt[OPT_TIMEOUT]), &wait))
        return cli_usage(c, "--timeout %s is not a duration: 30s, 2m", c->opt[OPT_TIMEOUT]);
    if (geteuid() != 0)
        return cli_fail(c, "the sandbox makes network namespaces: run it as root");
    int other = client_connect(c, "");
    if (other >= 0) {
        close(other);
        return cli_fail(c, "sandbox `%.*s` runs already: `weft apply` changes it, `weft down` ends it",
                        VIEW_ARGS(c->sandbox));
    }
    for (size_t i = 0; i < u->n_paths; i++)
        if (access(u->paths[i], R_OK))
            return cli_fail(c, "%s cannot be read: %s", u->paths[i], strerror(errno));
    fprintf(stderr, "  weft %s  sandbox \"%.*s\"\n", WEFT_VERSION, VIEW_ARGS(c->sandbox));
    int r = spawn(u);
    if (r)
        return r;
    sigset_t set = ending_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    r = follow(u, wait);
    if (r == EXIT_OK)
        fprintf(stderr, "    ready after %.1f s\n", (double)(clock_mono() - u->started) / 1e9);
    return r;
}

void up_stay(struct up *u, uint64_t ns)
{
    sigset_t set = ending_signals();
    uint64_t until = clock_mono() + ns;
    while (!child_ended(u) && !(ns && clock_mono() >= until)) {
        struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};
        if (sigtimedwait(&set, NULL, &pause) > 0)
            return;
    }
}

void up_end(struct up *u)
{
    struct answer a = {0};
    bool asked = client_try(u->c, "POST", VIEW("/weft/v1/down"), VIEW_NONE, &a) == 0;
    answer_done(&a);
    for (int i = 0; i < 100 && !child_ended(u); i++) {
        if (u->child && (!asked || i == 60))
            kill(u->child, i < 60 ? SIGTERM : SIGKILL);
        usleep(50 * 1000);
    }
}

int verb_up(struct cli *c)
{
    if (!c->n_args)
        return cli_usage(c, "say what to run: weft up samples/bookinfo");
    struct up u = {.c = c,
                   .paths = c->args,
                   .n_paths = c->n_args,
                   .images = c->opt[OPT_IMAGES],
                   .detach = c->opt[OPT_DETACH] != NULL};
    int r = up_start(&u);
    if (u.detach)
        return r ? r : u.manifests_good ? EXIT_OK : EXIT_FAILED;
    if (u.child && r != EXIT_USAGE) {
        if (r == EXIT_OK)
            fprintf(stderr, "    Try         weft status · weft edges · weft get pods -A      (Ctrl-C ends it)\n");
        up_stay(&u, 0);
        fprintf(stderr, "\n");
        up_end(&u);
    }
    return r;
}
