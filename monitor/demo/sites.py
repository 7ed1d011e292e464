"""The world that the demo plays in: the names of the shipped lists, each on a network of its own."""

from collections.abc import Mapping

from .world import Site, World

# Addresses of other sites that forged answers from China gave: Facebook, Twitter, Dropbox (GFWatch 2021;
# the IPv6 one is of Facebook, as in the pool of the Wallbleed injector).
FORGED = (
    "31.13.94.37",
    "104.244.43.128",
    "162.125.2.5",
    "199.59.148.20",
    "2a03:2880:f10c:83:face:b00c:0:25de",
)
_FASTLY = ("151.101.64.81", "151.101.128.81")  # one delivery network for two newspapers

_WORDS = {
    "en": "today reports people world story news life culture read more work city long water light year "
    "house science music video public letter garden market school river open road morning report",
    "zh": "今日 新闻 世界 报道 人们 生活 文化 阅读 更多 城市 科学 音乐 公共 学校 市场 早晨 河流 房屋",
}


def page(title: str, *, seed: str, language: str = "en", paragraphs: int = 24) -> bytes:
    """A page that looks like one: a few KB of text of its own, the same for the same seed."""
    words = _WORDS[language].split()
    number = sum(seed.encode()) * 7919
    text = []
    for at in range(paragraphs):
        picked = [words[(number + at * 31 + step * (3 + at % 5)) % len(words)] for step in range(30)]
        text.append(f'<p id="{seed}-{at}">{" ".join(picked)}.</p>')
    head = f'<meta charset="utf-8"><title>{title}</title><link rel="stylesheet" href="/{seed}.css">'
    body = f"<h1>{title}</h1>\n" + "\n".join(text)
    whole = f'<!DOCTYPE html>\n<html lang="{language}"><head>{head}</head>\n<body>{body}</body></html>\n'
    return whole.encode()


def _site(
    name: str,
    addresses: tuple[str, ...],
    title: str,
    *,
    language: str = "en",
    redirect_to: str = "",
    pages: Mapping[str, bytes] | None = None,
    cname: str = "",
) -> Site:
    seed = name.removeprefix("www.").replace(".", "-")
    body = page(title, seed=seed, language=language)
    return Site(
        name, addresses, title=title, body=body, redirect_to=redirect_to, pages=pages or {}, cname=cname,
        headers=((f"X-{seed.title()}-Edge", "hit"), ("Cache-Control", "max-age=60")),
    )  # fmt: skip


def _release() -> list[Site]:
    bbc = {"/zhongwen/simp": page("BBC News 中文", seed="bbc-zhongwen", language="zh")}
    amnesty = {"/zh-hans/": page("国际特赦组织", seed="amnesty-zh", language="zh")}
    parked = page("uighurbiz.cn - this domain is parked", seed="parked", paragraphs=6)
    cdn = "www-bbc-com.map.fastly.example"
    return [
        _site("www.facebook.com", ("157.240.22.35", "2a03:2880:f12f:83:face:b00c:0:25de"), "Facebook"),
        _site("star.c10r.facebook.com", ("31.13.94.37", "2a03:2880:f10c:83:face:b00c:0:25de"), "Facebook"),
        _site("www.instagram.com", ("157.240.22.174",), "Instagram"),
        _site("x.com", ("162.159.140.229", "172.66.0.227"), "X. It's what's happening"),
        _site("twitter.com", ("104.244.42.1", "104.244.42.65"), "Twitter", redirect_to="https://x.com/"),
        _site("www.bbc.com", _FASTLY, "BBC Home - Breaking News", pages=bbc, cname=cdn),
        _site("www.bbc.co.uk", ("212.58.235.1", "212.58.236.1"), "BBC - Home"),
        _site("www.nytimes.com", (_FASTLY[0], "151.101.193.164"), "The New York Times"),
        _site("cn.nytimes.com", ("151.101.65.164",), "纽约时报中文网", language="zh"),
        Site("www.uighurbiz.net", behaviour="dns_dead"),
        Site("www.uighurbiz.cn", ("103.224.182.246",), title="uighurbiz.cn", body=parked, http="serve"),
        _site("www.amnesty.org", ("104.18.10.132", "104.18.11.132"), "Amnesty International", pages=amnesty),
    ]


def _controls() -> list[Site]:
    return [
        _site("www.baidu.com", ("103.235.46.102", "103.235.46.115"), "百度一下,你就知道", language="zh"),
        _site("www.qq.com", ("203.205.254.157",), "腾讯网", language="zh"),
        _site("www.apple.com", ("17.253.144.10", "2620:149:af0::10"), "Apple"),
        _site("www.microsoft.com", ("23.53.112.172",), "Microsoft - Cloud, Computers, Apps & Gaming"),
        _site("www.bing.com", ("204.79.197.200",), "Search - Microsoft Bing"),
        _site("www.iana.org", ("192.0.46.8", "2620:0:2830:200::b:8"), "Internet Assigned Numbers Authority"),
        _site("example.com", ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"), "Example Domain"),
        _site("www.debian.org", ("130.89.148.77", "2001:67c:2564:a119::77"), "Debian"),
        _site("www.kernel.org", ("139.178.84.217",), "The Linux Kernel Archives"),
        _site("www.ietf.org", ("104.16.45.99", "2606:4700::6810:2d63"), "Internet Engineering Task Force"),
        Site("connectivitycheck.example", ("146.75.30.10",), status=204, http="serve", title="empty"),
    ]


def real_names_world(*, isp: Mapping[str, str] | None = None) -> World:
    """The shipped lists' sites and controls, resolvers at 8.8.8.8 and 9.9.9.9, and DoH at dns.example."""
    return World([*_release(), *_controls()], isp=isp)
