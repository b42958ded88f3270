"""Configurations of HAProxy and nginx for each transport. TLS is the same for all peers: version 1.3,
AES-256-GCM, one ECDSA P-256 key, no sessions that resume."""

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
