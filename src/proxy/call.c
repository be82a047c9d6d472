// SPDX-License-Identifier: Apache-2.0
/* The verbs of call.h: plain blocking calls to 127.0.0.1, HTTP/1.0 so that the end of the answer is the end of the
 * connection. Everything has a deadline: a hook must not outlive the pod's grace period.
 */
#include "proxy/call.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"

enum { CALL_SECONDS = 5, DRAIN_PORT = 15020, READY_PORT = 15021, WAIT_SECONDS = 60 };

static int connect_local(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval most = {.tv_sec = CALL_SECONDS};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* The status of the answer, whose body goes to stdout when `show`; -errno. */
static int call(unsigned port, const char *method, const char *path, bool show)
{
    char text[4096];
    int fd = connect_local(port), status = 0;
    if (fd < 0)
        return fd;
    int n = snprintf(text, sizeof(text), "%s %s%s HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method,
                     path[0] == '/' ? "" : "/", path);
    ssize_t got = -1;
    if (n > 0 && (size_t)n < sizeof(text) && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n)
        got = recv(fd, text, sizeof(text) - 1, 0);
    if (got > 0) {
        text[got] = 0;
        if (sscanf(text, "HTTP/1.%*d %d", &status) != 1)
            status = -EPROTO;
        const char *body = strstr(text, "\r\n\r\n");
        if (show && body)
            fputs(body + 4, stdout);
        while (show && (got = recv(fd, text, sizeof(text), 0)) > 0)
            fwrite(text, 1, (size_t)got, stdout);
    } else {
        status = got < 0 ? -errno : -EPROTO;
    }
    close(fd);
    return status;
}

/* "--name=value" or "--name value"; moves *i. NULL: another argument. */
static const char *flag(int argc, char **argv, int *i, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    return argv[*i][n] == 0 && *i + 1 < argc ? argv[++*i] : NULL;
}

static int usage(void)
{
    fputs("usage: weft-proxy request [--debug-port=PORT] METHOD PATH\n"
          "       weft-proxy wait [--timeoutSeconds=SECONDS]\n",
          stderr);
    return 2;
}

static int run_request(int argc, char **argv)
{
    const char *words[2] = {NULL, NULL}, *value;
    unsigned port = DRAIN_PORT, n = 0;
    for (int i = 0; i < argc; i++) {
        if ((value = flag(argc, argv, &i, "--debug-port")))
            port = (unsigned)strtoul(value, NULL, 10);
        else if (argv[i][0] == '-' || n == 2)
            return usage();
        else
            words[n++] = argv[i];
    }
    if (n != 2 || !port || port > 65535)
        return usage();
    int status = call(port, words[0], words[1], true);
    if (status >= 200 && status < 300)
        return 0;
    fprintf(stderr, "weft-proxy: %s %s on port %u: %s\n", words[0], words[1], port,
            status < 0 ? strerror(-status) : "refused by the proxy");
    return 1;
}

static int run_wait(int argc, char **argv)
{
    const char *value;
    uint64_t seconds = WAIT_SECONDS;
    for (int i = 0; i < argc; i++) {
        if (!(value = flag(argc, argv, &i, "--timeoutSeconds")))
            return usage();
        seconds = strtoul(value, NULL, 10);
    }
    uint64_t until = clock_mono() + seconds * NS_PER_S;
    while (call(READY_PORT, "GET", "/healthz/ready", false) != 200) {
        if (clock_mono() >= until) {
            fprintf(stderr, "weft-proxy: the proxy was not ready within %llu s\n", (unsigned long long)seconds);
            return 1;
        }
        usleep(100 * 1000);
    }
    return 0;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {{"request", run_request}, {"wait", run_wait}};

bool call_is_verb(const char *verb)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        if (!strcmp(verb, verbs[i].name))
            return true;
    return false;
}

int call_main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < COUNT_OF(verbs); i++)
        if (!strcmp(argv[1], verbs[i].name))
            return verbs[i].run(argc - 2, argv + 2);
    return usage();
}
