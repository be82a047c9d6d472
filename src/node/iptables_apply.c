// SPDX-License-Identifier: Apache-2.0
/* `weft-node iptables` against the kernel: what is there is read by iptables-save, what is missing is written by one
 * iptables-restore --noflush a family, which is one transaction a table. Old rules of ours leave in the same input, so
 * no moment lies between.
 *
 *   nothing of ours there         apply
 *   the very rules there          nothing to do (a restarted init container)
 *   other rules of ours there     --reconcile or --force-apply: replace; else an error that says so
 *   --cleanup-only                remove
 *
 * IPv6 gets rules when the pod's first address that is neither loopback nor link-local is IPv6, or with --dual-stack.
 */
#include "node/iptables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

struct family_tools {
    const char *restore, *save;
};
/* In the order of preference; [0] is what the distribution chose. */
static const struct {
    const char *word;
    struct family_tools tools[2];
} backends[] = {
    {"", {{"iptables-restore", "iptables-save"}, {"ip6tables-restore", "ip6tables-save"}}},
    {"nft", {{"iptables-nft-restore", "iptables-nft-save"}, {"ip6tables-nft-restore", "ip6tables-nft-save"}}},
    {"legacy",
     {{"iptables-legacy-restore", "iptables-legacy-save"}, {"ip6tables-legacy-restore", "ip6tables-legacy-save"}}},
};

/* Feeds `input` to a program and gathers what it prints on both outputs; exit code or -errno. */
static int run(const char *const *argv, struct view input, struct buf *out)
{
    int in[2], back[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(back, O_CLOEXEC) < 0) {
        int err = -errno;
        close(in[0]);
        close(in[1]);
        return err;
    }
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(back[1], 1);
        dup2(back[1], 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(in[0]);
    close(back[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    for (bool open_in = true, open_back = pid > 0; open_back;) {
        if (open_in && view_empty(input)) {
            close(in[1]);
            open_in = false;
        }
        struct pollfd fds[2] = {{.fd = back[0], .events = POLLIN}, {.fd = in[1], .events = POLLOUT}};
        if (poll(fds, open_in ? 2 : 1, -1) < 0)
            continue;
        if (open_in && fds[1].revents) {
            ssize_t n = write(in[1], input.p, input.n);
            input = n > 0 ? view_from(input, (size_t)n) : errno == EAGAIN ? input : VIEW_NONE;
        }
        if (fds[0].revents) {
            size_t room;
            char *to = buf_room(out, 4096, &room);
            ssize_t n = read(back[0], to, room);
            open_back = n > 0;
            buf_added(out, n > 0 ? (size_t)n : 0);
        }
        if (!open_back && open_in)
            close(in[1]);
    }
    close(back[0]);
    int status = 0;
    if (pid < 0)
        return -EAGAIN;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int save(const struct family_tools *tools, struct buf *out)
{
    const char *const argv[] = {tools->save, NULL};
    return run(argv, VIEW_NONE, out);
}

static bool has_ipv6(void)
{
    struct ifaddrs *all, *i;
    bool v6 = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || (i->ifa_flags & IFF_LOOPBACK))
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            break;
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
        if (i->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&a6->sin6_addr)) {
            v6 = true;
            break;
        }
    }
    freeifaddrs(all);
    return v6;
}

/* The first backend that this kernel and file system have. */
static const struct family_tools *backend_find(const struct iptables_options *o)
{
    for (size_t i = 0; i < COUNT_OF(backends); i++) {
        if (!view_empty(o->iptables_binary) && !view_is(o->iptables_binary, backends[i].word))
            continue;
        struct buf out = {0};
        int code = save(&backends[i].tools[IPTABLES_V4], &out);
        buf_done(&out);
        if (code == 0)
            return backends[i].tools;
    }
    return NULL;
}

static int restore(const struct family_tools *tools, struct view text)
{
    const char *const argv[] = {tools->restore, "--noflush", NULL};
    struct buf out = {0};
    log_info("running %s --noflush with:", tools->restore);
    if (log_on(LOG_INFO)) { /* as they are, a rule a line */
        fwrite(text.p, 1, text.n, stdout);
        fflush(stdout);
    }
    int code = run(argv, text, &out);
    if (code)
        log_error("%s failed with code %d: %.*s", tools->restore, code, VIEW_ARGS(view_trim(buf_read(&out))));
    buf_done(&out);
    return code ? 1 : 0;
}

/* ::6 is the source address of what the inbound proxy hands to the application; the kernel must own it. */
static int add_v6_source(void)
{
    const char *const argv[] = {"ip", "-6", "addr", "replace", "::6/128", "dev", "lo", NULL};
    struct buf out = {0};
    int code = run(argv, VIEW_NONE, &out);
    if (code)
        log_error("ip -6 addr replace ::6/128 dev lo failed: %.*s", VIEW_ARGS(view_trim(buf_read(&out))));
    buf_done(&out);
    return code ? 1 : 0;
}

static int apply_family(const struct iptables_options *o, struct arena *a, const struct family_tools *tools,
                        enum iptables_family family)
{
    struct buf saved = {0}, wanted = {0}, input = {0};
    struct iptables_difference diff = {0};
    int code = save(tools, &saved);
    if (code) {
        log_error("%s failed with code %d: %.*s", tools->save, code, VIEW_ARGS(view_trim(buf_read(&saved))));
        buf_done(&saved);
        return 1;
    }
    iptables_rules(o, family, &wanted);
    iptables_compare(a, buf_read(&wanted), buf_read(&saved), &diff);
    bool replace = diff.residue && (o->cleanup_only || o->force_apply || (diff.delta && o->reconcile));
    if (replace)
        buf_view(&input, buf_read(&diff.cleanup));
    if (!o->cleanup_only && (replace || (diff.delta && !diff.residue)))
        buf_view(&input, buf_read(&wanted));
    if (diff.residue && diff.delta && !replace && !o->cleanup_only) {
        log_error(
            "other ISTIO_ rules are there already; nothing was changed. Run again with --reconcile to replace them");
        code = 1;
    } else if (buf_len(&input) == 0) {
        log_info("nothing to change: %s", o->cleanup_only ? "no rules of ours" : "the rules are there already");
    } else {
        code = restore(tools, buf_read(&input));
        if (!code && family == IPTABLES_V6 && !o->cleanup_only)
            code = add_v6_source();
    }
    buf_done(&saved);
    buf_done(&wanted);
    buf_done(&input);
    buf_done(&diff.cleanup);
    return code;
}

static void print_rules(const struct iptables_options *o, bool v6)
{
    struct buf out = {0};
    iptables_rules(o, IPTABLES_V4, &out);
    if (v6) {
        buf_str(&out, "# ip6tables-restore --noflush\n");
        iptables_rules(o, IPTABLES_V6, &out);
    }
    fwrite(buf_read(&out).p, 1, buf_len(&out), stdout);
    fflush(stdout);
    buf_done(&out);
}

int iptables_run(const struct iptables_options *o, struct arena *a)
{
    bool v6 = o->dual_stack || has_ipv6();
    int code = 0;
    signal(SIGPIPE, SIG_IGN);
    if (o->dry_run) {
        print_rules(o, v6);
        return 0;
    }
    if (!o->skip_rule_apply) {
        const struct family_tools *tools = backend_find(o);
        if (!tools) {
            log_error(
                "no iptables-save%s%.*s runs here: is the package iptables installed, and NET_ADMIN and NET_RAW given?",
                view_empty(o->iptables_binary) ? "" : " of kind ", VIEW_ARGS(o->iptables_binary));
            return 1;
        }
        for (int family = IPTABLES_V4; family <= (v6 ? IPTABLES_V6 : IPTABLES_V4) && !code; family++)
            code = apply_family(o, a, &tools[family], (enum iptables_family)family);
    }
    if (!code && o->run_validation && !o->cleanup_only) {
        int err = iptables_probe(o);
        if (err) {
            log_error("validation failed (%s): a connection that the rules must redirect did not arrive at port %.*s",
                      strerror(-err), VIEW_ARGS(o->inbound_capture_port));
            return IPTABLES_PROBE_FAILED;
        }
        log_info("validation passed: the rules redirect");
    }
    return code;
}
