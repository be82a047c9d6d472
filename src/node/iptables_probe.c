// SPDX-License-Identifier: Apache-2.0
/* Validation of the rules by a real connection: listen where the proxy will (127.0.0.1, inbound and outbound port), then
 * connect, as the proxy's user, to 127.0.0.6 on the probe port. Only with the rules in place does it arrive, and its
 * original destination tells that it was redirected. What a validation container of the CNI's does too.
 */
#include "node/iptables.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static struct sockaddr_in address(const char *ip, struct view port)
{
    uint64_t n = 0;
    int err = view_u64(port, &n);
    must(err == 0); /* checked with the flags */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)n)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static int listen_on(struct view port)
{
    struct sockaddr_in a = address("127.0.0.1", port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* Once every 100 ms until the parent closes `stop` (it may lack the capability to kill another user's process). */
static void connect_until_closed(const struct iptables_options *o, int stop)
{
    struct pollfd parent = {.fd = stop, .events = POLLIN};
    struct view ids = o->proxy_uid, first;
    uint64_t uid = 1337;
    (void)view_cut(&ids, ',', &first);
    if (view_u64(first, &uid) == 0 && getuid() == 0 && setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) < 0)
        log_warn("cannot become user %u (needs SETUID or runAsUser): the rules will not redirect this probe",
                 (unsigned)uid);
    struct sockaddr_in to = address("127.0.0.6", o->probe_port);
    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
        if (poll(&parent, 1, 100) > 0)
            _exit(0);
        close(fd);
    }
}

static bool redirected(int fd, const struct sockaddr_in *want)
{
    struct sockaddr_in got = {0};
    socklen_t n = sizeof(got);
    return getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &got, &n) == 0 && got.sin_port == want->sin_port &&
           got.sin_addr.s_addr == want->sin_addr.s_addr;
}

int iptables_probe(const struct iptables_options *o)
{
    struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
    struct sockaddr_in want = address("127.0.0.6", o->probe_port);
    uint64_t timeout = 5 * NS_PER_S;
    int err = clock_parse_duration(o->probe_timeout, &timeout);
    if (err < 0)
        return err;
    int stop[2];
    if ((fds[0].fd = listen_on(o->inbound_capture_port)) < 0)
        return fds[0].fd;
    if ((fds[1].fd = listen_on(o->envoy_port)) < 0 || pipe2(stop, O_CLOEXEC) < 0) {
        err = fds[1].fd < 0 ? fds[1].fd : -errno;
        close(fds[0].fd);
        return err;
    }
    pid_t child = fork();
    if (child == 0) {
        close(stop[1]);
        connect_until_closed(o, stop[0]);
    }
    close(stop[0]);
    uint64_t end = clock_mono() + timeout;
    err = child < 0 ? -EAGAIN : -ETIMEDOUT;
    for (uint64_t now = clock_mono(); child > 0 && now < end && err == -ETIMEDOUT; now = clock_mono()) {
        if (poll(fds, 2, (int)((end - now) / NS_PER_MS) + 1) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            int fd = fds[i].revents ? accept4(fds[i].fd, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (fd >= 0 && redirected(fd, &want))
                err = 0;
            if (fd >= 0)
                close(fd);
        }
    }
    close(stop[1]);
    if (child > 0)
        waitpid(child, NULL, 0);
    close(fds[0].fd);
    close(fds[1].fd);
    return err;
}
