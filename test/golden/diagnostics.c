// SPDX-License-Identifier: Apache-2.0
/* Golden cases of what a person is told: a manifest in, every error and warning out, as `weft analyze` prints them. All
 * cases stand on the same small mesh, given below.
 */
#include "cases.h"

#include "mesh/analyze.h"
#include "mesh/parse.h"

/* Bookinfo's services and what makes their pods; ratings has a subset `green` that selects nothing. */
static const char mesh_text[] =
    "apiVersion: v1\nkind: Service\nmetadata: {name: ratings, creationTimestamp: '2026-01-01T00:00:00Z'}\n"
    "spec: {selector: {app: ratings}, ports: [{name: http, port: 9080}]}\n"
    "---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: details, creationTimestamp: '2026-01-01T00:00:00Z'}\n"
    "spec: {selector: {app: details}, ports: [{name: http, port: 9080}, {name: grpc, port: 9090}]}\n"
    "---\n"
    "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, creationTimestamp: '2026-01-01T00:00:00Z'}\n"
    "spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}\n"
    "---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: ratings-v1, labels: {app: ratings, version: v1}}\n"
    "spec: {containers: [{name: ratings}]}\n"
    "---\n"
    "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
    "metadata: {name: ratings, creationTimestamp: '2026-01-01T00:00:00Z'}\n"
    "spec: {host: ratings, subsets: [{name: blue, labels: {version: v1}}]}\n"
    "---\n"
    "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: bookinfo-gateway}\n"
    "spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: "
    "['bookinfo.example.com']}]}\n";

static void produce(struct view name, struct view text, struct buf *out)
{
    struct arena a;
    struct diags d;
    struct object_list objects = {0};
    arena_init(&a, 0);
    diags_init(&d, &a);
    int err =
        mesh_parse(&a, &d, &(struct mesh_source){.file = VIEW("mesh.yaml"), .text = view_of(mesh_text)}, &objects);
    if (err)
        buf_str(out, "# the mesh of the cases is wrong\n");
    err = mesh_parse(&a, &d, &(struct mesh_source){.file = name, .text = text}, &objects);
    buf_str(out, err ? "rejected\n\n" : "accepted\n\n");
    mesh_analyze(snapshot_new(&a, &d, objects.list, objects.n), &d);
    diags_print(&d, out, false);
    arena_done(&a);
}

int main(int argc, char **argv)
{
    return cases_main(argc, argv, ".txt", produce);
}
