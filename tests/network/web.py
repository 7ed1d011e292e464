"""The lab's web servers: nginx, once for the sites and once for the crowd and the owners of forged addresses."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from monitor.demo.sites import page
from tests.pki import TestAuthority

from .plan import CLIENTS
from .sites import SITES, Site

TARDY_PORT = 8001
_HEAD = """user root; worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
events {{ worker_connections 4096; }}
http {{ access_log off; server_tokens off; keepalive_timeout 20; default_type text/html; ssl_session_cache off;
 client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;
 scgi_temp_path {folder}/t5; server_names_hash_bucket_size 128; ssl_protocols TLSv1.2 TLSv1.3; reset_timedout_connection off;
 geo $inside {{ default 0; {client} 1; {client_six} 1; }}
"""


def sites_configuration(folder: Path, authority: TestAuthority) -> str:
    """nginx.conf for the table of sites."""
    served = [s for s in SITES if s.by == "nginx" and s.addresses and not s.rcode]
    first: set[str] = set()
    text = [_head(folder, "sites")]
    for site in served:
        text.append(_server(site, folder, authority, first))
        first.update(_places(site))
    return "".join(text) + "}\n"


def crowd_configuration(folder: Path, authority: TestAuthority) -> str:
    """nginx.conf for many sites; what is not theirs is a stranger's, with a certificate of its own."""
    crowd, stranger = authority.issue("*.crowd.example"), authority.issue("stranger.example")
    _write(folder / "pages" / "crowd", page("One of many", seed="crowd"))
    _write(folder / "pages" / "stranger", page("A stranger", seed="stranger"))

    def server(names: str, pem: Path, root: str, extra: str = "", default: str = "") -> str:
        return (
            f"server {{ listen 443 ssl{default}; listen 80{default}; listen [::]:443 ssl{default}; listen [::]:80{default};\n"
            f" server_name {names}; ssl_certificate {pem}; ssl_certificate_key {pem}; root {folder}/pages/{root};\n"
            f" location / {{ {extra} try_files /index.html =404; }} }}\n"
        )

    tardy = f"proxy_pass http://127.0.0.1:{TARDY_PORT}; proxy_set_header X-Wait 0.6; proxy_set_header Host $host; }} location /never {{"
    return "".join(
        [
            _head(folder, "crowd"), server("stranger.example", stranger, "stranger", default=" default_server"),
            server("~^n[0-9]+\\.crowd\\.example$", crowd, "crowd"),
            server("~^slow[0-9]+\\.crowd\\.example$", crowd, "crowd", "limit_rate 3000;"),
            server("~^tardy[0-9]+\\.crowd\\.example$", crowd, "crowd", tardy), "}\n",
        ]
    )  # fmt: skip


def _head(folder: Path, name: str) -> str:
    return _HEAD.format(folder=folder, name=name, client=CLIENTS[0], client_six=CLIENTS[1])


def _places(site: Site) -> Iterator[str]:
    for address in (*site.addresses, *site.inside, *site.unlisted):
        yield f"[{address}]" if ":" in address else address


def _server(site: Site, folder: Path, authority: TestAuthority, taken: Iterable[str]) -> str:
    text, secure = "", ""
    root = folder / "pages" / site.name
    body = (
        site.body or page(site.title or f"The page of {site.name}", seed=site.name.replace(".", "-")).decode()
    ).encode()
    _write(root, body + b"<!-- -->\n" * (max(0, site.size - len(body)) // 9))
    if site.certificate != "none":
        pem = certificate(site, authority)
        secure = f" ssl_certificate {pem}; ssl_certificate_key {pem};\n"
    for place in _places(site):
        default = " default_server" if place not in taken and site.others == "first" else ""
        if secure:
            text += f" listen {place}:443 ssl{default};"
            if site.others == "reject" and place not in taken:
                text = f" listen {place}:443 ssl;"
        if site.http != "none":
            text += f" listen {place}:80{default};"
    made = f"server {{{text} server_name {site.name};\n{secure} root {root};\n {_location(site)} }}\n"
    if site.others == "reject":
        listens = "".join(f" listen {p}:443 ssl default_server;" for p in _places(site))
        made = f"server {{{listens} ssl_reject_handshake on; }}\n" + made
    return made


def _location(site: Site) -> str:
    before = ""
    if site.certificate != "none" and site.http == "redirect":
        before = "if ($scheme = http) { return 301 https://$host$request_uri; }"
    if site.inside_status:
        before += f" if ($inside) {{ return {site.inside_status}; }}"
    if site.location:
        return f"{before} location / {{ return 302 {site.location}; }}"
    if site.status != 200:
        return f'{before} location / {{ return {site.status} "<title>{site.status}</title>no"; }}'
    if site.h3:
        before += """ add_header Alt-Svc 'h3=":443"; ma=3600';"""
    before += ' add_header X-Site-Edge "hit";'
    if site.wait:
        return f"{before} location / {{ proxy_pass http://127.0.0.1:{TARDY_PORT}; proxy_set_header X-Wait {site.wait}; proxy_set_header Host $host; }}"
    rate = f"limit_rate {site.rate};" if site.rate else ""
    return f"{before} location / {{ {rate} try_files /index.html =404; }}"


def certificate(site: Site, authority: TestAuthority) -> Path:
    """A certificate and key for a site, as good as it says."""
    match site.certificate:
        case "expired":
            return authority.expired(site.name)
        case "wrong_name":
            return authority.issue("elsewhere.example")
        case "self_signed":
            return authority.self_signed(site.name)
    shared = [s.name for s in SITES if set(s.addresses) & set(site.addresses)]
    return authority.issue(site.name, *(n for n in shared if n != site.name), f"www.{site.name}")


def _write(folder: Path, body: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_bytes(body)
