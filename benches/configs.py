"""Configurations of HAProxy, nginx and Envoy for each transport. TLS is the same for all peers: version 1.3,
AES-256-GCM, one ECDSA P-256 key, no sessions that resume."""

import json
import os

NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
CIPHER = "TLS_AES_256_GCM_SHA384"

HAPROXY = """\
global
    nbthread {threads}
    maxconn {connections}
    ssl-default-bind-ciphersuites {cipher}
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
defaults
    mode {mode}
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
listen players
    bind {host}:{port} {bind}
    server echo {backend_host}:{backend_port}
"""

NGINX = """\
{load_module}
worker_processes {threads};
worker_rlimit_nofile {files};
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections {files}; }}
{module} {{
    access_log off;
    server {{
        listen {host}:{port} {ssl} backlog=4096 {reuseport};
        {tls}
        {proxy}
    }}
}}
"""

NGINX_TLS = """\
ssl_certificate {directory}/server.pem;
        ssl_certificate_key {directory}/server.key;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {cipher};
        ssl_session_cache off;
        ssl_session_tickets off;"""

# A request is passed on as it is, and then bytes both ways.
NGINX_WEBSOCKET = """\
location / {{
            proxy_pass http://{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}"""


def haproxy(transport, address, backend, threads, connections, directory):
    """haproxy.cfg."""
    return HAPROXY.format(
        threads=threads,
        connections=connections,
        cipher=CIPHER,
        mode="http" if transport.messages else "tcp",
        host=address[0],
        port=address[1],
        bind=f"ssl crt {directory}/both.pem" if transport.tls else "",
        backend_host=backend[0],
        backend_port=backend[1],
    )


def nginx(transport, address, backend, threads, files, directory):
    """nginx.conf."""
    backend = f"{backend[0]}:{backend[1]}"
    load = not transport.messages and os.path.exists(NGINX_STREAM)
    websocket = NGINX_WEBSOCKET.format(backend=backend)
    return NGINX.format(
        load_module=f"load_module {NGINX_STREAM};" if load else "",
        threads=threads,
        files=files,
        directory=directory,
        module="http" if transport.messages else "stream",
        host=address[0],
        port=address[1],
        ssl="ssl" if transport.tls else "",
        # Without it one worker of several may take most connections.
        reuseport="reuseport" if threads > 1 else "",
        tls=NGINX_TLS.format(directory=directory, cipher=CIPHER) if transport.tls else "",
        proxy=websocket if transport.messages else f"proxy_pass {backend};",
    )


def envoy(transport, address, backend, connections, directory):
    """envoy.json."""
    proxy = _typed("filters.network.tcp_proxy", "TcpProxy", stat_prefix="players", cluster="echo")
    if transport.messages:
        # A request is passed on as it is, and then bytes both ways.
        route = {"match": {"prefix": "/"}, "route": {"cluster": "echo", "timeout": "0s"}}
        proxy = _typed(
            "filters.network.http_connection_manager", "HttpConnectionManager", stat_prefix="players",
            upgrade_configs=[{"upgrade_type": "websocket"}], stream_idle_timeout="0s",
            http_filters=[_typed("filters.http.router", "Router")],
            route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        )
    chain = {"filters": [proxy]}
    if transport.tls:
        # Of 1.3 it takes the client's first cipher, which is that of the others.
        pair = {"certificate_chain": {"filename": f"{directory}/server.pem"},
                "private_key": {"filename": f"{directory}/server.key"}}
        only = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
        chain["transport_socket"] = _typed(
            "transport_sockets.tls", "DownstreamTlsContext",
            common_tls_context={"tls_certificates": [pair], "tls_params": only},
            disable_stateless_session_resumption=True, disable_stateful_session_resumption=True,
        )
    limit = {"max_connections": connections, "max_pending_requests": connections, "max_requests": connections}
    endpoint = {"endpoint": {"address": _socket(backend)}}
    return json.dumps({"static_resources": {
        "listeners": [{"name": "players", "address": _socket(address), "tcp_backlog_size": 4096,
                       "filter_chains": [chain]}],
        "clusters": [{"name": "echo", "connect_timeout": "5s", "circuit_breakers": {"thresholds": [limit]},
                      "load_assignment": {"cluster_name": "echo", "endpoints": [{"lb_endpoints": [endpoint]}]}}],
    }})


def _typed(extension, message, **fields):
    """An extension of Envoy with its configuration."""
    url = f"type.googleapis.com/envoy.extensions.{extension}.v3.{message}"
    return {"name": f"envoy.{extension}", "typed_config": {"@type": url, **fields}}


def _socket(address):
    return {"socket_address": {"address": address[0], "port_value": address[1]}}
