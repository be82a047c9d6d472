// SPDX-License-Identifier: Apache-2.0
/* weft-control as an ordinary pod (istiod.h): Deployment `istiod`, with the names, labels and ports of Istio's.
 *
 * The sandbox makes the mesh's root and gives it to weft-control as the Secret `cacerts`, Istio's form of a plugged-in
 * CA: so every namespace's ConfigMap istio-ca-root-cert is there before the control plane is, and a control plane that
 * is killed and started again signs with the same key. The API reaches the pod as a Unix socket in a hostPath volume.
 */
#include "sandbox/istiod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/admit.h"
#include "sandbox/daemon.h"
#include "sandbox/isolate.h"
#include "trust/ca.h"
#include "wire/base64.h"
#include "wire/node.h"

static const char manifest[] =
    "apiVersion: v1\n"
    "kind: ServiceAccount\n"
    "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod}}\n"
    "---\n"
    "apiVersion: v1\n"
    "kind: Service\n"
    "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod, istio: pilot}}\n"
    "spec:\n"
    "  selector: {app: istiod, istio: pilot}\n"
    "  ports:\n"
    "  - {name: grpc-xds, port: 15010}\n"
    "  - {name: https-dns, port: 15012}\n"
    "  - {name: https-webhook, port: 443, targetPort: 15017}\n"
    "  - {name: http-monitoring, port: 15014}\n"
    "---\n"
    "apiVersion: apps/v1\n"
    "kind: Deployment\n"
    "metadata: {name: istiod, namespace: istio-system, labels: {app: istiod, istio: pilot}}\n"
    "spec:\n"
    "  selector: {matchLabels: {app: istiod, istio: pilot}}\n"
    "  template:\n"
    "    metadata:\n"
    "      labels: {app: istiod, istio: pilot, sidecar.istio.io/inject: \"false\"}\n"
    "    spec:\n"
    "      serviceAccountName: istiod\n"
    "      terminationGracePeriodSeconds: 5\n"
    "      containers:\n"
    "      - name: discovery\n"
    "        image: weft/control\n"
    "        args: [--kube, \"/var/run/weft/kube/api.sock\"]\n"
    "        env:\n"
    "        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}\n"
    "        - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}\n"
    "        - {name: SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}\n"
    "        - {name: DEFAULT_WORKLOAD_CERT_TTL, value: \"%s\"}\n"
    "        - {name: CA_ROOT_SETTLE, value: \"3s\"}\n" /* one replica: proxies alone are waited for */
    "        ports:\n"
    "        - {name: grpc-xds, containerPort: 15010}\n"
    "        - {name: https-dns, containerPort: 15012}\n"
    "        - {name: https-webhook, containerPort: 15017}\n"
    "        - {name: http-monitoring, containerPort: 15014}\n"
    "        readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1}\n"
    "        volumeMounts:\n"
    "        - {name: cacerts, mountPath: /etc/cacerts, readOnly: true}\n"
    "        - {name: kube, mountPath: /var/run/weft/kube}\n"
    "      volumes:\n"
    "      - {name: cacerts, secret: {secretName: cacerts}}\n"
    "      - {name: kube, hostPath: {path: " DAEMON_KUBE_DIR ", type: Directory}}\n";

#define CA_DIR ISOLATE_STATE_DIR "/ca"

/* One file of the folder that ca_save() wrote, as a key of the Secret. */
static int take_file(struct arena *a, struct node *data, const char *name)
{
    char path[128], text[64 * 1024];
    snprintf(path, sizeof(path), CA_DIR "/%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return -EIO;
    struct buf coded = {0}; /* not stringData, which would win over what an operator puts in its place */
    base64_write(&coded, BASE64_STANDARD, view_make(text, (size_t)n));
    node_set_str(a, data, name, arena_view(a, buf_read(&coded)));
    explicit_bzero(text, sizeof(text));
    explicit_bzero(coded.data, coded.cap);
    buf_done(&coded);
    return 0;
}

static int give_root(struct cluster *c, struct arena *a, struct diags *d)
{
    static const char *const files[] = {"root-cert.pem", "ca-cert.pem", "ca-key.pem", "cert-chain.pem"};
    struct ca *ca = NULL;
    const char *why = "its folder cannot be written";
    struct ca_options options = {.trust_domain = VIEW("cluster.local")};
    int err = ca_new(&options, clock_wall(), &ca, &why);
    if (!err && mkdir(CA_DIR, 0700) && errno != EEXIST)
        err = -errno;
    if (!err)
        err = ca_save(ca, CA_DIR);
    struct node *tree = tree_new(a, VIEW("v1"), VIEW("Secret"), VIEW("istio-system"), VIEW("cacerts"));
    struct node *data = node_make(a, tree, "data", NODE_MAP);
    for (size_t i = 0; i < COUNT_OF(files) && !err; i++)
        err = take_file(a, data, files[i]);
    if (!err) {
        c->root_cert = arena_view(a, ca_root_pem(ca));
        err = admit_write(c, &(struct store_put){.tree = tree, .create = true}, d, NULL);
    } else {
        diag_add(d, DIAG_ERROR, "WEFT0306", NULL)->title = diag_text(d, "the mesh's root could not be made: %s", why);
    }
    ca_unref(ca);
    return err;
}

int istiod_install(struct cluster *c, const char *certificate_ttl, struct arena *a, struct diags *d)
{
    int err = give_root(c, a, d);
    if (err)
        return err;
    struct buf text = {0};
    buf_printf(&text, manifest, certificate_ttl ? certificate_ttl : "24h");
    struct apply_result *results;
    size_t n;
    err = admit_apply(c, VIEW("(istiod)"), buf_read(&text), VIEW_NONE, a, d, &results, &n);
    buf_done(&text);
    return err;
}
